"""The run folder: what a run leaves behind, and reading it back. Files and their names; no model, no torch.

Each file is whole or absent (`folders`). A run counts as finished when its manifest says so, and that is written last.
"""

import gzip
import hashlib
import json
import os
import shutil
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mtdnn_kit import runfiles
from mtdnn_kit.config import Config, ConfigError, project_root, resolve
from mtdnn_kit.folders import WriteError, write_folder, write_whole
from mtdnn_kit.jsons import lines_of, read_json
from mtdnn_kit.links import own
from mtdnn_kit.registry import REST
from mtdnn_kit.shown import run_html
from mtdnn_kit.yamls import read_yaml, text_of

COPY = "copy it again from where the run was made"
RESUME_MAY_CHANGE = {"run_dir", "resume", "log_every", "checkpoint_every", "log_with"}
LOGS = ("log.jsonl", "interference.jsonl")  # written step by step


class RunError(ValueError):
    """A run folder that is not what it should be; says which file, and what to do."""


def code_hash() -> str:
    """sha256 over the kit's own modules, in order of their names."""
    folder, digest = Path(__file__).parent, hashlib.sha256()
    for file in sorted(folder.rglob("*.py")):
        digest.update(f"{file.relative_to(folder).as_posix()}\0".encode() + file.read_bytes() + b"\0")
    return digest.hexdigest()


class Run:
    """A run folder, read when asked."""

    def __init__(self, path: str | Path):
        self.path = resolve(str(path))

    def __repr__(self) -> str:
        try:
            return f"Run({self.name}: {self.manifest.get('status', 'unfinished')}, {', '.join(self.config['tasks'])})"
        except (OSError, ValueError, KeyError, TypeError):
            return f"Run({self.name}: cannot be read)"

    def _repr_html_(self) -> str:
        return run_html(self)

    @property
    def name(self) -> str:
        """Its path within the project, or the folder's name."""
        root = project_root()
        return str(self.path.relative_to(root)) if self.path.is_relative_to(root) else self.path.name

    @property
    def config(self) -> dict:
        """The parameters it was made with, resolved."""
        return self._read("config.yaml", runfiles.of_config)

    @property
    def parameters(self) -> Config:
        """The same as parameters of today, to be read with, not resumed. Raises RunError where they are none."""
        try:
            return Config(**{**self.config, "resume": False})
        except (ConfigError, TypeError) as error:
            raise RunError(f"{self.path}/config.yaml: not the parameters of a run ({str(error)[:600]}); {COPY}") from None

    @property
    def types(self) -> dict[str, str]:
        """{task: task type}, in order."""
        return {task: dataset.type for task, dataset in self.parameters.datasets.items()}

    @property
    def manifest(self) -> dict:
        """Status, versions, seed, device, data fingerprints, steps, times (design, "Run folder")."""
        return self._read("manifest.json", runfiles.of_manifest)

    @property
    def metrics(self) -> dict:
        """{task: {score: percent, "n": rows}}."""
        return self._read("metrics.json", runfiles.of_metrics)

    @property
    def finished(self) -> bool:
        """Whether the run ended and everything it writes is there."""
        return (self.path / "manifest.json").is_file() and self.manifest.get("status") == "finished"

    def log(self) -> list[dict]:
        """One record a step: step, epoch, task, loss, lr, grad_norm, tokens_per_second."""
        return [record for record in self._log() if "loss" in record]

    def scorings(self) -> list[dict]:
        """Scores of the threshold articles during training (`eval_every`): step, task and scores."""
        return [record for record in self._log() if "scores" in record]

    def interference(self) -> list[dict]:
        """What `interference_every` measured, a record a step and task: step, task, norm, cosine; [] where nothing was measured."""
        return self._log("interference.jsonl") if self.config.get("interference_every") else []

    def _log(self, name: str = "log.jsonl") -> list[dict]:
        lines = self._text(name).split("\n")[:-1]  # without a line that is being written
        return [self._checked(f"{name}, line {number}", line, read_json, runfiles.of_record) for number, line in enumerate(lines, 1)]

    def answers(self, task: str = "squad") -> dict[str, str]:
        """{question id: answer} at the tuned threshold, the official format."""
        return self._read(f"predictions/{task}.json", runfiles.of_answers)

    def has_nbest(self, task: str = "squad") -> bool:
        """Whether the run keeps its n-best; one that `imports` made of a predictions file has none."""
        return (self.path / f"predictions/{task}_nbest.jsonl.gz").is_file()

    def keeps(self, task: str = "squad") -> bool:
        """Whether the run keeps its answers to a task: n-best, texts or labels."""
        folder, names = self.path / "predictions", (f"{task}_nbest.jsonl.gz", f"{task}.json", f"{task}.jsonl")
        return any((folder / name).is_file() for name in names)

    def nbest(self, task: str = "squad") -> Iterator[dict]:
        """Per question: id, null score, and n-best as [start, end, score, probability], character offsets. Raises RunError: unreadable."""
        file = self.path / f"predictions/{task}_nbest.jsonl.gz"
        try:
            with gzip.open(file) as lines:
                yield from map(read_json, lines_of(lines))
        except (OSError, EOFError, ValueError, zlib.error) as error:
            raise RunError(f"{file}: cannot be read ({error}); {COPY}") from None

    def choices(self, task: str) -> Iterator[dict]:
        """Per row of an sc or mcc task: id, label, probabilities. Raises RunError: no such file, or a line that is no JSON."""
        file = self.path / f"predictions/{task}.jsonl"
        if not file.is_file():
            raise RunError(f"{self.path} has no predictions/{task}.jsonl: copy it, or keep the run again, from where the run was made")
        with open(file, "rb") as lines:
            for number, line in enumerate(lines, 1):
                yield self._checked(f"predictions/{task}.jsonl, line {number}", line, read_json)

    def keep(self, folder: Path) -> None:
        """Copies what comparing needs (parameters, manifest, log, scores, n-best, labels) into `folder`: neither model nor anybody's text.

        Raises RunError for a run without n-best: its answers are text.
        """
        known = {name for task in self.types for name in (task, task + REST)}  # the names in metrics.json are a file's
        nbest = [f"predictions/{task}_nbest.jsonl.gz" for task, scores in self.metrics.items() if "span_f1" in scores and task in known]
        if not nbest and "qa" in self.types.values():
            raise RunError(f"{self.path} has no n-best, only answers' texts, which are not to be kept with a project")

        labels = [f"predictions/{task}.jsonl" for task in self.metrics if self.types.get(task, "qa") != "qa"]

        def fill(partial: Path) -> None:
            (partial / "predictions").mkdir()
            for name in [*nbest, *labels, "config.yaml", "log.jsonl", "metrics.json", "manifest.json"]:
                if name != "log.jsonl" or (self.path / name).exists():
                    shutil.copyfile(self.path / name, partial / name)

        write_folder(folder, fill)

    def _read(self, name: str, wrong: Callable) -> dict:
        """What a file holds, `wrong` being one of `runfiles`. Raises RunError."""
        return self._checked(name, self._text(name), read_yaml if name.endswith(".yaml") else read_json, wrong)

    def _checked(self, where: str, text: str | bytes, read: Callable, wrong: Callable = lambda value: None) -> Any:
        try:
            value = read(text)
        except ValueError as error:
            raise RunError(f"{self.path}/{where}: cannot be read ({str(error)[:600]}); {COPY}") from None
        if problem := wrong(value):
            raise RunError(f"{self.path}/{where}: {problem}; {COPY}")
        return value

    def _text(self, name: str) -> str:
        file = self.path / name
        try:
            return text_of(file) if name == "config.yaml" else file.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise RunError(f"{self.path} has no {name}: not a run folder, or the run has not come that far") from None
        except OSError as error:
            raise RunError(f"{file}: cannot be read ({error.strerror}); it must be a file that you may read") from None
        except ValueError as error:
            raise RunError(f"{file}: cannot be read ({error}); {COPY}") from None


def claim(config: Config) -> Run:
    """The folder that a run may write to: a new one (below $MTDNN_RUNS or runs/, if none is named), or the one it goes on in.

    Raises ConfigError where the folder holds another run, one with other parameters, or a symbolic link.
    """
    if config.run_dir is None:
        return _next_run(resolve(os.environ.get("MTDNN_RUNS", "runs")))
    try:
        run = Run(config.run_dir)
    except ConfigError as error:  # a folder that no system can have
        raise ConfigError(f"run_dir: {error}") from None
    if run.path.is_file() or run.path in (project_root(), *project_root().parents):
        raise ConfigError(f"run_dir: {run.path} is a file, or the project or a folder above it; name a folder for the run alone.")
    own(run.path)
    if config.resume and not (run.path / "manifest.json").exists():
        raise ConfigError(f"resume: there is no run in {run.path} to go on with; correct run_dir, or set resume: false to start one there.")
    check_claim(run, config)
    run.path.mkdir(parents=True, exist_ok=True)
    return run


def check_claim(run: Run, config: Config) -> None:
    """Raises ConfigError where the folder holds a run that may not be gone on with. Another training may have begun there since `claim`."""
    if not (run.path / "manifest.json").exists():
        if checkpoints(run):
            raise ConfigError(
                f"run_dir: {run.path} holds checkpoints of a run that has no manifest.json. Name another folder, or delete it."
            )
        return
    if not config.resume:
        state = "a finished run" if run.finished else "an unfinished run"
        raise ConfigError(f"run_dir: {run.path} holds {state}. Name another folder, delete it, or set resume: true to go on with it.")
    for key, value in run.config.items():
        if key not in RESUME_MAY_CHANGE and value != getattr(config, key):
            raise ConfigError(
                f"{key}: the run in {run.path} has {value!r}, not {getattr(config, key)!r}; a resumed run keeps its parameters."
            )


def _next_run(folder: Path) -> Run:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(1, 10_000):
        try:
            (folder / f"{number:03d}").mkdir()
        except FileExistsError:
            continue
        return Run(folder / f"{number:03d}")
    raise RunError(f"{folder} is full: delete runs that are no longer needed")


class Log:
    """A log of a run at work: lines are appended when flushed; a run that goes on keeps the first `size` bytes, its checkpoint's."""

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


def checkpoints(run: Run) -> list[tuple[int, Path]]:
    """(steps done, folder) of the checkpoints, oldest first."""
    found = (run.path / "checkpoints").glob("step-*[0-9]")
    return sorted((int(folder.name.removeprefix("step-")), folder) for folder in found)


def prune_checkpoints(run: Run, keep: int) -> None:
    """Deletes all checkpoints but the last `keep`, and what a kill left of one; never is there half of one under its name."""
    old = checkpoints(run)
    for _, folder in old[: max(len(old) - keep, 0)]:
        os.replace(folder, folder.with_name(folder.name + ".partial"))
    for partial in (run.path / "checkpoints").glob("*.partial"):
        shutil.rmtree(partial)
