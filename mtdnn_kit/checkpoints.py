"""Checkpoints of a run: weights, optimizer state and time so far, as safetensors and JSON, never pickled.

No random state is kept: that of a step depends on seed and step alone (`training`).
"""

import json
from pathlib import Path

from safetensors.torch import load_file, save_file

from mtdnn_kit.folders import write_folder, write_json
from mtdnn_kit.model import MultiTask, load_weights
from mtdnn_kit.optim import load_state_tensors, state_tensors
from mtdnn_kit.runs import Run, checkpoints, prune_checkpoints

KEEP = 2  # the last ones


def save_checkpoint(run: Run, done: int, model: MultiTask, optimizer, seconds: float) -> None:
    """Weights, optimizer state and time so far after `done` steps; no random state is needed, and nothing is pickled."""

    def fill(folder: Path) -> None:
        save_file(model.tensors(), folder / "model.safetensors")
        save_file(state_tensors(optimizer, model), folder / "optimizer.safetensors")
        write_json(folder / "state.json", {"step": done, "train_seconds": seconds})

    write_folder(run.path / "checkpoints" / f"step-{done:07d}", fill)
    prune_checkpoints(run, KEEP)


def restore(run: Run, model: MultiTask, optimizer) -> tuple[int, float]:
    """Steps done and seconds spent at the last checkpoint, whose state is put into model and optimizer; 0 without one."""
    found = checkpoints(run)
    if not found:
        return 0, 0.0
    done, folder = found[-1]
    load_weights(model, load_file(folder / "model.safetensors"), folder)
    load_state_tensors(optimizer, model, load_file(folder / "optimizer.safetensors"))
    state = json.loads((folder / "state.json").read_text())
    return done, state["train_seconds"]
