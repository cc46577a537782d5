"""Checkpoints of a run: weights, optimizer state, and the length of its logs, as safetensors and JSON, never pickled.

state.json holds size and sha256 of the other files and of the logs so far, and a checksum of itself; a damaged checkpoint is never
loaded. No random state is kept: that of a step depends only on seed and step (`trainer`).
"""

import hashlib
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from safetensors.torch import load_file, save_file
from torch import Tensor

from mtdnn_kit.errors import CheckpointWarning, RunError
from mtdnn_kit.files.atomic import json_text, write_folder, write_whole
from mtdnn_kit.files.json_files import read_json
from mtdnn_kit.model.multitask import MultiTask, load_weights
from mtdnn_kit.runs.run import LOGS, Run, checkpoints, prune_checkpoints
from mtdnn_kit.training.optim import load_state_tensors, state_tensors

KEEP = 2  # number of checkpoints
FILES = ("model.safetensors", "optimizer.safetensors")
BALANCE = "balance.safetensors"  # of joint steps whose method has a state
STATE = "state.json"
READ_AT_ONCE = 2**22  # bytes per read


class Point(NamedTuple):
    """The point where a run resumes: steps done, training seconds, bytes of each log that belong to them, and the state of joint steps."""

    step: int = 0
    seconds: float = 0.0
    logs: Mapping[str, int] = MappingProxyType({})
    balance: Mapping[str, Tensor] = MappingProxyType({})


def save_checkpoint(run: Run, done: int, model: MultiTask, optimizer: Any, seconds: float, balance: Mapping[str, Tensor]) -> None:
    """Writes what a run needs to resume after `done` steps, whose logs are written; only the last KEEP checkpoints stay. balance: the state
    of the method of joint steps; {} for drawn ones."""
    logs = {name: _sum(run.path / name) for name in LOGS if (run.path / name).exists()}

    def fill(folder: Path) -> None:
        """Writes weights and states; state.json, with the sums of all files, last."""
        save_file(model.tensors(), folder / FILES[0])
        save_file(state_tensors(optimizer, model), folder / FILES[1])
        if balance:
            save_file({name: value.contiguous() for name, value in balance.items()}, folder / BALANCE)
        files = {file.name: _sum(file) for file in sorted(folder.iterdir())}
        state = {"step": done, "train_seconds": seconds, "files": files, "logs": logs}
        write_whole(folder / STATE, _sealed(state))

    write_folder(run.path / "checkpoints" / f"step-{done:07d}", fill)
    prune_checkpoints(run, KEEP)


def restore(run: Run, model: MultiTask, optimizer: Any) -> Point:
    """Loads the newest valid checkpoint into model and optimizer, and returns its `Point`; `Point()` if the run has none yet.

    Renames a damaged checkpoint to step-N.damaged, with a CheckpointWarning. Raises RunError if all are damaged.
    """
    damaged: dict[Path, str] = {}
    for done, folder in reversed(checkpoints(run)):
        if not (why := damage(run, done, folder)):
            for other, fault in damaged.items():
                _set_aside(other, fault, done)
            return _load(folder, model, optimizer)
        damaged[folder] = why
    if damaged:
        said = "; ".join(f"{folder.name}: {why}" for folder, why in damaged.items())
        raise RunError(
            f"{run.path}: no checkpoint of this run can be used. {said}. To start again at the first step, delete its folder checkpoints "
            "and set resume: true; or name another run_dir."
        )
    return Point()


def damage(run: Run, done: int, folder: Path) -> str:
    """Why a checkpoint cannot be used, "" if every file is intact. Reads all of it once."""
    try:
        text = (folder / STATE).read_bytes()
        state = read_json(text)
        del state["seal"]
        whole = text == _sealed(state).encode() and state["step"] == done
        wanted = [(folder / name, sums) for name, sums in state["files"].items()]
        logs = [(run.path / name, state["logs"][name]) for name in LOGS if name in state["logs"]]
    except FileNotFoundError:
        return f"{STATE} is missing"
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        whole = False
    if not whole:
        return f"{STATE} has changed since it was written"
    found = [_differs(*pair, cut=False) for pair in wanted] + [_differs(*pair, cut=True) for pair in logs]
    return next(filter(None, found), "")


def _differs(file: Path, sums: dict, cut: bool) -> str:
    """Why a file differs from what was written, or "". cut: checks only its beginning, because logs grow."""
    try:
        size = file.stat().st_size
        if size < sums["bytes"] or (size > sums["bytes"] and not cut):
            return f"{file.name} has {size} bytes instead of {sums['bytes']}"
        return "" if _sum(file, sums["bytes"]) == sums else f"{file.name} has changed since it was written: its sha256 differs"
    except FileNotFoundError:
        return f"{file.name} is missing"
    except OSError as error:
        return f"{file.name} cannot be read: {error.strerror}"


def _sum(file: Path, size: int | None = None) -> dict:
    """Bytes and sha256 of a file, or of its first `size` bytes."""
    digest, size = hashlib.sha256(), file.stat().st_size if size is None else size
    with open(file, "rb") as source:
        for read in range(0, size, READ_AT_ONCE):
            digest.update(source.read(min(size - read, READ_AT_ONCE)))
    return {"bytes": size, "sha256": digest.hexdigest()}


def _sealed(state: dict) -> str:
    """The text of state.json, with the sha256 of the rest of it."""
    return json_text({**state, "seal": hashlib.sha256(json_text(state).encode()).hexdigest()})


def _set_aside(folder: Path, why: str, done: int) -> None:
    """Renames a damaged checkpoint, so that it is not used but can be inspected."""
    names = (folder.with_name(f"{folder.name}.damaged{more}") for more in ("", *(f"-{n}" for n in range(2, 10_000))))
    aside = next(name for name in names if not name.exists())
    os.replace(folder, aside)
    said = f"{folder}: {why}. The run continues from step {done} instead; the damaged checkpoint is kept as {aside.name}."
    warnings.warn(said, CheckpointWarning, stacklevel=4)


def _load(folder: Path, model: MultiTask, optimizer: Any) -> Point:
    load_weights(model, load_file(folder / FILES[0]), folder)
    load_state_tensors(optimizer, model, load_file(folder / FILES[1]))
    state = read_json((folder / STATE).read_bytes())
    balance = load_file(folder / BALANCE) if BALANCE in state["files"] else {}
    return Point(state["step"], state["train_seconds"], {name: sums["bytes"] for name, sums in state["logs"].items()}, balance)
