"""Chooses the step whose weights a run ends with (`select`), and ends a run without improvement (`patience`).

Both use the main task's F1 on its held-out questions at each scoring (`eval_every`) and at the end, never the reported rows. Scores are
read back from the log, so that a resumed run knows the same as an uninterrupted one. The best weights so far are in best/step-N of the run
folder until the run is finished. Knows only steps that were scored.
"""

import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from mtdnn_kit.config import Config
from mtdnn_kit.errors import RunError
from mtdnn_kit.files.atomic import write_folder
from mtdnn_kit.files.checks import require
from mtdnn_kit.model.multitask import MultiTask, load_weights
from mtdnn_kit.runs.run import Run, checkpoints

WEIGHTS = "model.safetensors"


def check_selection(config: Config, held_out: Mapping[str, Any]) -> None:
    """Raises ConfigError if the main task has no held-out questions to select by. held_out: task → features."""
    wanted = "select" if config.select == "best" else "patience" if config.patience else None
    main = config.tasks[0]
    require(wanted is None or main in held_out, f"{wanted}: it needs held-out questions of {main}: add titles to threshold_articles")


class Selection:
    """The scores of the main task in a run's log so far, by step."""

    def __init__(self, run: Run, config: Config) -> None:
        self.run, self.config, self.task = run, config, config.tasks[0]
        self.seen = {record["step"]: record["scores"]["f1"] for record in run.scorings() if record["task"] == self.task}

    @property
    def best(self) -> int:
        """The step (from 1) with the highest score, the first of several; 0 if none is scored."""
        return self._best(max(self.seen, default=0))

    @property
    def waited(self) -> bool:
        """Whether `patience` scorings have brought nothing better than the best one."""
        return bool(self.config.patience) and sum(step > self.best for step in self.seen) >= self.config.patience

    def saw(self, step: int, found: Mapping[str, dict], model: MultiTask) -> None:
        """Adds the scores after a step (from 1); saves the weights if the best are to be selected and these are the best so far."""
        self.seen[step] = found[self.task]["f1"]
        if self.config.select == "best" and self.best == step:
            write_folder(self._folder(step), lambda folder: save_file(model.tensors(), folder / WEIGHTS))
            # a checkpoint resumes with the best step at that time
            needed = {step, *(self._best(done) for done, _ in checkpoints(self.run))}
            for folder in self._folder(step).parent.iterdir():
                if folder not in map(self._folder, needed):
                    shutil.rmtree(folder)

    def take(self, model: MultiTask, made: int) -> dict:
        """Loads the best weights into the model, which has made `made` steps and was scored after them; returns the manifest's record.

        Raises RunError if they are missing.
        """
        if self.best != made:
            file = self._folder(self.best) / WEIGHTS
            try:
                load_weights(model, load_file(file), file.parent)
            except (OSError, SafetensorError) as error:
                remedy = "delete the folders checkpoints and best there, and set resume: true to train again"
                raise RunError(f"{file}: the weights of the best step cannot be read ({error}); {remedy}") from None
        by = f"F1 of {self.task} on its held-out questions"
        return {"step": self.best, "by": by, "score": self.seen[self.best], "scorings": len(self.seen)}

    def close(self) -> None:
        """Deletes the saved weights."""
        with suppress(OSError):
            shutil.rmtree(self._folder(0).parent)

    def _best(self, until: int) -> int:
        known = {step: score for step, score in self.seen.items() if step <= until}
        return max(known, key=lambda step: (known[step], -step), default=0)

    def _folder(self, step: int) -> Path:
        return self.run.path / "best" / f"step-{step:07d}"
