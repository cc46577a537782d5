"""The run folder: the files of a run, and how to read them. Files and their names; no model, no torch.

Each file is whole or absent (`files.atomic`). A run counts as finished when its manifest says so, and that is written last.
"""

import gzip
import json
import os
import re
import shutil
import zlib
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from mtdnn_kit.config import Config
from mtdnn_kit.data.read_as import LABELLED
from mtdnn_kit.data.registry import REST
from mtdnn_kit.errors import ConfigError, RunError, WriteError
from mtdnn_kit.files.atomic import write_folder, write_whole
from mtdnn_kit.files.json_files import lines_of, read_json
from mtdnn_kit.files.paths import project_root, resolve
from mtdnn_kit.files.yaml_files import read_yaml, text_of
from mtdnn_kit.runs import schema

COPY = "copy it again from where the run was made"
HELD_OUT_FILE = "{}_held_out.jsonl.gz"  # of a task, in predictions (`runs.held_out`)
LOCK_FILE = ".lock"  # of the process that writes the run; it stays, and marks the folder as the kit's
OF_SCORED_ROWS = "scored"  # marks a log record that holds scores of some scored rows
LATER_FOLDER = "scored"  # folder of sets that were scored after the run had ended
LOGS = ("log.jsonl", "interference.jsonl")  # written step by step
REQUIREMENTS = "requirements.txt"  # all packages that were installed (`runs.origin`)


_known_yaml = lru_cache(maxsize=128)(read_yaml)


def _parameters(text: str) -> Any:
    """`read_yaml`, which takes some milliseconds, once per text: a run's parameters are asked for time and again."""
    return deepcopy(_known_yaml(text))


class Run:
    """A run folder; each file is read on access."""

    def __init__(self, path: str | Path):
        self.path = resolve(str(path))

    def __repr__(self) -> str:
        try:
            return f"Run({self.name}: {self.manifest.get('status', 'unfinished')}, {', '.join(self.config['tasks'])})"
        except (OSError, ValueError, KeyError, TypeError):
            return f"Run({self.name}: cannot be read)"

    @property
    def name(self) -> str:
        """Its path relative to the project, or the folder's name."""
        root = project_root()
        return str(self.path.relative_to(root)) if self.path.is_relative_to(root) else self.path.name

    @property
    def place(self) -> str:
        """Its path within the project, or its whole path: what `run_dir` takes. Only for messages; files contain `name`."""
        return self.name if self.path.is_relative_to(project_root()) else str(self.path)

    @property
    def config(self) -> dict:
        """The parameters that it was made with, resolved."""
        return self._read("config.yaml", schema.CONFIG_FORM)

    @property
    def parameters(self) -> Config:
        """The parameters as a `Config` of this version, for reading, not for resuming; sets scored `later` are in `scored_also`. Raises
        RunError if they are invalid."""
        later = {name: one["set"] for name, one in self.later.items()}
        try:
            config = Config(**{**self.config, "resume": False})
            return replace(config, scored_also={**config.scored_also, **later}) if later else config
        except (ConfigError, TypeError) as error:
            raise RunError(f"{self.path}/config.yaml: it does not hold the parameters of a run ({str(error)[:600]}); {COPY}") from None

    @property
    def later(self) -> dict[str, dict]:
        """The sets that were scored after the run had ended (`inference.scoring`), by name: `set`, as in `scored_also`; `data`, as in the
        manifest; `scores`."""
        files = sorted((self.path / LATER_FOLDER).glob("*.json"))
        return {file.stem: self._read(f"{LATER_FOLDER}/{file.name}", schema.LATER_FORM) for file in files}

    @property
    def types(self) -> dict[str, str]:
        """{task: task type}, in order."""
        return {task: dataset.type for task, dataset in self.parameters.datasets.items()}

    @property
    def manifest(self) -> dict:
        """Status, versions, seed, device, data fingerprints (also those of `later`), steps, times (docs/start.md, "What a run leaves")."""
        found = self._read("manifest.json", schema.MANIFEST_FORM)
        later = {name: source for one in self.later.values() for name, source in one["data"].items()}
        return {**found, "data": {**found.get("data", {}), **later}} if later else found

    @property
    def metrics(self) -> dict:
        """{task: {score: percent, "n": rows}}, sets that were scored `later` last."""
        return {**self._read("metrics.json", schema.METRICS_FORM), **{name: one["scores"] for name, one in self.later.items()}}

    @property
    def finished(self) -> bool:
        """Whether the run ended and wrote all its files."""
        return (self.path / "manifest.json").is_file() and self.manifest.get("status") == "finished"

    def log(self) -> list[dict]:
        """One record per step: step, epoch, task, loss, lr, grad_norm, tokens_per_second; of a joint step `task` and `loss` are the main
        task's, and there are `losses` and `weights` of all (`balance`)."""
        return [record for record in self._log() if "loss" in record]

    def scorings(self) -> list[dict]:
        """Scores of the held-out questions during training (`eval_every`): step, task and scores."""
        return [record for record in self._log() if "scores" in record and "of" not in record]

    def watched(self) -> list[dict]:
        """Scores of some of each task's scored rows during training (`eval_every`): step, task, scores, and `constant`, the score of
        one constant answer on them (no answer; the most frequent label)."""
        return [record for record in self._log() if record.get("of") == OF_SCORED_ROWS]

    def interference(self) -> list[dict]:
        """What `interference_every` measured, one record per step and task: step, task, norm, cosine, cosine_with; [] where
        nothing was measured. Runs made before all pairs of tasks were measured have no cosine_with (`runs.conflicts` reads both)."""
        return self._log("interference.jsonl") if self.config.get("interference_every") else []

    def _log(self, name: str = "log.jsonl") -> list[dict]:
        lines = self._text(name).split("\n")[:-1]  # without a partly written last line
        return [self._checked(f"{name}, line {number}", line, read_json, schema.RECORD_FORM) for number, line in enumerate(lines, 1)]

    def answers(self, task: str = "squad") -> dict:
        """{question id: answer} at the tuned threshold, the official format; of sentences and pairs {row id: label}, of multiple choice
        {row id: number of the choice, from 0}."""
        config = self.parameters
        kind = self.types.get(config.task_of(task))
        if kind not in LABELLED:
            if not (self.path / f"predictions/{task}.json").exists() and self.has_nbest(task):
                raise RunError(f"{self.path}: this kept run has spans, not texts; `compare.pair` joins them with the passages")
            return self._read(f"predictions/{task}.json", schema.ANSWERS_FORM)
        names, found = config.dataset_of(task).labels if kind == "sc" else (), {}
        for number, line in enumerate(self.choices(task), 1):
            wrong = schema.problem(line, schema.CHOICE_FORM)
            if wrong or (names and line["label"] >= len(names)):
                wrong = wrong or f"label {line['label']} is not one of the {len(names)} labels"
                raise RunError(f"{self.path}/predictions/{task}.jsonl, line {number}: {wrong}; {COPY}")
            found[line["id"]] = names[line["label"]] if names else line["label"]
        return found

    def has_nbest(self, task: str = "squad") -> bool:
        """Whether the run has its n-best; a run imported from a predictions file has none."""
        return (self.path / f"predictions/{task}_nbest.jsonl.gz").is_file()

    def keeps(self, task: str = "squad") -> bool:
        """Whether the run has its answers to a task: n-best, texts or labels."""
        folder, names = self.path / "predictions", (f"{task}_nbest.jsonl.gz", f"{task}.json", f"{task}.jsonl")
        return any((folder / name).is_file() for name in names)

    def nbest(self, task: str = "squad") -> Iterator[dict]:
        """Each question's entry (`runs.predictions`). Raises RunError if unreadable."""
        return (entry for _, entry in self.nbest_lines(task))

    def nbest_lines(self, task: str) -> Iterator[tuple[bytes, Any]]:
        """Each line of a task's n-best, raw and parsed. Raises RunError if unreadable."""
        file = self.path / f"predictions/{task}_nbest.jsonl.gz"
        try:
            with gzip.open(file) as lines:
                yield from ((line, read_json(line)) for line in lines_of(lines))
        except (OSError, EOFError, ValueError, zlib.error) as error:
            raise RunError(f"{file}: cannot be read ({error}); {COPY}") from None

    def choices(self, task: str) -> Iterator[dict]:
        """Per row of an sc or mcc task: id, label, probabilities. Raises RunError if the file is missing or a line is not JSON."""
        file = self.path / f"predictions/{task}.jsonl"
        if not file.is_file():
            raise RunError(f"{self.path} has no predictions/{task}.jsonl: copy the file, or keep the run again, from where it was made")
        with open(file, "rb") as lines:
            for number, line in enumerate(lines, 1):
                yield self._checked(f"predictions/{task}.jsonl, line {number}", line, read_json)

    def keep(self, folder: Path) -> None:
        """Copies what a comparison needs (parameters, manifest, log, scores, n-best, labels) into `folder`: no model and no dataset text.

        Raises RunError for a run without n-best: its answers are text.
        """
        config, types = self.parameters, self.types
        known = {*config.scored_also, *(name for task in types for name in (task, task + REST))}  # names in metrics.json come from a file
        scored = {name: types[config.task_of(name)] for name in self.metrics if name in known}
        nbest = [f"predictions/{name}_nbest.jsonl.gz" for name, kind in scored.items() if kind == "qa" and "span_f1" in self.metrics[name]]
        if not nbest and "qa" in types.values():
            raise RunError(f"{self.path} has no n-best, only texts of answers, which must not be kept with a project")

        labels = [f"predictions/{name}.jsonl" for name, kind in scored.items() if kind != "qa"]

        def fill(partial: Path) -> None:
            """Copies the files that there are."""
            (partial / "predictions").mkdir()
            held_out = [f"predictions/{HELD_OUT_FILE.format(task)}" for task in known]
            later = [f"{LATER_FOLDER}/{name}.json" for name in self.later]
            for name in [*nbest, *labels, *held_out, *later, REQUIREMENTS, "config.yaml", "log.jsonl", "metrics.json", "manifest.json"]:
                if name not in ("log.jsonl", REQUIREMENTS, *held_out) or (self.path / name).exists():
                    (partial / name).parent.mkdir(exist_ok=True)
                    shutil.copyfile(self.path / name, partial / name)

        write_folder(folder, fill)

    def _read(self, name: str, form: schema.Form) -> dict:
        """The content of a file, checked against that form. Raises RunError."""
        return self._checked(name, self._text(name), _parameters if name.endswith(".yaml") else read_json, form)

    def _checked(self, where: str, text: str | bytes, read: Callable, form: schema.Form | None = None) -> Any:
        try:
            value = read(text)
        except ValueError as error:
            raise RunError(f"{self.path}/{where}: cannot be read ({str(error)[:600]}); {COPY}") from None
        if form and (wrong := schema.problem(value, form)):
            raise RunError(f"{self.path}/{where}: {wrong}; {COPY}")
        return value

    def _text(self, name: str) -> str:
        file = self.path / name
        try:
            return text_of(file) if name == "config.yaml" else file.read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError):
            raise RunError(schema.missing(self.path, name)) from None
        except OSError as error:
            raise RunError(f"{file}: cannot be read ({error.strerror}); make it readable") from None
        except ValueError as error:
            raise RunError(f"{file}: cannot be read ({error}); {COPY}") from None


class Log:
    """The log of a running training: lines are appended when flushed; a resumed run keeps the first `size` bytes, those of its
    checkpoint."""

    def __init__(self, path: Path, size: int):
        self.path = path
        write_whole(path, path.read_bytes()[:size] if size else b"")

    def append(self, records: list[dict]) -> None:
        """Appends records, one JSON line each, and syncs. Raises WriteError."""
        try:
            with open(self.path, "a") as file:
                file.write("".join(json.dumps(record, allow_nan=False) + "\n" for record in records))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise WriteError(self.path, error) from None


def smoothed(before: float | None, loss: float) -> float:
    """The displayed loss of a task after a step: nine tenths of the previous one (None at first) plus a tenth of the step's loss."""
    return loss if before is None else 0.9 * before + 0.1 * loss


def now() -> str:
    """The current time, in the manifest's format."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def checkpoints(run: Run) -> list[tuple[int, Path]]:
    """(steps done, folder) of the checkpoints, oldest first."""
    folders = (run.path / "checkpoints").glob("step-*")
    return sorted((int(found[1]), folder) for folder in folders if (found := re.fullmatch(r"step-(\d+)", folder.name)))


def prune_checkpoints(run: Run, keep: int) -> None:
    """Deletes all checkpoints except the last `keep`, and partial ones left by a kill. No partial checkpoint ever has a checkpoint's
    name."""
    old = checkpoints(run)
    for _, folder in old[: max(len(old) - keep, 0)]:
        os.replace(folder, folder.with_name(folder.name + ".partial"))
    for partial in [*(run.path / "checkpoints").glob("*.partial"), *run.path.glob("*.old.partial")]:
        shutil.rmtree(partial)


def demo_runs() -> list[str]:
    """The runs that notebook 04 opens by default: those of `make demo` in runs/demo if all four are finished, else the kept ones in
    results/sample; the latter also if $MTDNN_RUNS names another place for runs (tests, `make notebooks`)."""
    names = ("qa", "qa-mcc", "qa-sc", "qa-mcc-sc")
    own = "MTDNN_RUNS" not in os.environ and all(Run(f"runs/demo/{name}").finished for name in names)
    return [f"{'runs/demo' if own else 'results/sample'}/{name}" for name in names]
