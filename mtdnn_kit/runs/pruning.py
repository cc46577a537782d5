"""Deletes what a finished run can spare: its checkpoints, which only an unfinished run needs, and its model. Nothing else.

Scores, answers, n-best, log, manifest and exports stay, so a pruned run can be compared and explored as before.
"""

import os
import shutil
from contextlib import suppress
from pathlib import Path

from mtdnn_kit.errors import RunError
from mtdnn_kit.files.locks import held
from mtdnn_kit.files.paths import check_folder
from mtdnn_kit.files.wording import disk_size
from mtdnn_kit.runs.run import LOCK_FILE, Run, prune_checkpoints
from mtdnn_kit.runs.schema import missing

STILL = "Scores, comparisons, the explorer, tables and pages work as before"
NO_LONGER = (
    "ask, load, export, heldout, salience, init_from and anchor need the model: "
    "train the run again (config.yaml is kept), or copy model/ back"
)


def tidy(run: Run) -> None:
    """Deletes the checkpoints of a run that has just finished, and the weights of before each block (`balance.anchors.Successive`); keeps
    those set aside as damaged, and what cannot be deleted."""
    with suppress(OSError):
        prune_checkpoints(run, 0)
        (run.path / "checkpoints").rmdir()
    if blocks := list(run.path.glob("anchor/block-*")):
        shutil.rmtree(blocks[0].parent, ignore_errors=True)


def prune(run: Run, checkpoints_only: bool = False) -> str:
    """Deletes a finished run's model and checkpoints, or only the latter. Returns a sentence on the freed space and what still works.

    Raises RunError for a folder without a finished run, ConfigError if it holds a symbolic link, LockedError if a process writes to it.
    """
    if not (run.path / "manifest.json").exists():
        raise RunError(missing(run.path, "manifest.json"))
    if not run.finished:
        raise RunError(f"{run.path}: the run is not finished and needs its checkpoints: finish it, or delete the folder")
    check_folder(run.path)
    with held(run.path / LOCK_FILE, "a training is running"):
        sizes = {name: _removed(run.path / name) for name in ("checkpoints", "best", "anchor", "model")[: 3 if checkpoints_only else 4]}
    freed = ", ".join(f"{name} {disk_size(size)}" for name, size in sizes.items() if size)
    after = "Its model is kept" if (run.path / "model").is_dir() else f"{STILL}; {NO_LONGER}"
    return f"{run.name}: {f'freed {freed}' if freed else 'nothing to delete'}. {after}."


def _removed(folder: Path) -> int:
    """Deletes a folder (renamed first, so that no partial folder keeps its name); returns its size in bytes, 0 if there is none."""
    partial = folder.with_name(f"{folder.name}.partial")
    if folder.exists():
        shutil.rmtree(partial, ignore_errors=True)
        os.replace(folder, partial)
    size = sum(file.stat().st_size for file in partial.rglob("*") if file.is_file())
    if partial.exists():
        shutil.rmtree(partial)
    return size
