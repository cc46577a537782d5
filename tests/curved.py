"""Run folders with planted curves: only parameters and a log."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from mtdnn_kit import Config, Run

SCORES = {"squad": "f1", "swag": "accuracy", "cola": "matthews", "mrpc": "f1", "mnli": "accuracy"}
CONSTANT = {"squad": 33.0, "swag": 26.0, "cola": 0.0, "mrpc": 81.2, "mnli": 35.5}


def planted(folder: Path, values: Mapping[str, Sequence[float | None]], every: int = 10) -> Run:
    """A run that scored its tasks at regular steps, with these values of their headline scores."""
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(Config(tasks=list(values), qa_weight=1.0 if len(values) == 1 else 0.8).to_yaml())
    lines = [{"step": 1, "task": "squad", "loss": 2.0}]
    for k in range(max(map(len, values.values()))):
        for task, own in values.items():
            scores, constant = {"n": 200, SCORES[task]: own[k], "other": 1.0}, {SCORES[task]: CONSTANT[task], "n": 200}
            lines.append({"step": every * (k + 1), "of": "scored", "task": task, "scores": scores, "constant": constant})
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return Run(folder)
