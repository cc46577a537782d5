"""How much of a disk a training takes, known before its first step, and whether it is there. An upper bound, from sizes alone."""

import shutil
from pathlib import Path
from typing import Any

from mtdnn_kit.errors import RunError
from mtdnn_kit.runs.run import Run
from mtdnn_kit.training.checkpoints import KEEP
from mtdnn_kit.training.setup import Setup

MOMENTS = 2  # tensors of its size that the optimizers keep for each weight
HEADER = 800  # bytes that say which tensors of a weight are where
LINE, SPAN, LABEL, WORD = 300, 90, 200, 120  # bytes of a log's line, an answer in the n-best list, a row's labels, a vocabulary's entry


def disk_bytes(model: Any, setup: Setup) -> dict[str, int]:
    """Bytes that a run's folder takes at most, by what they are for.

    Weights and two moments for each make a checkpoint; one more than is kept is there while it is written (and one, if a signal stops the
    run, where `checkpoint_every` is none).
    """
    config = setup.config
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    state = (1 + MOMENTS) * weights + HEADER * sum(1 for _ in model.parameters())
    scored = {task: len(features.rows) for task, features in setup.scored.items()}
    qa = sum(n for task, n in scored.items() if hasattr(setup.scored[task], "table"))
    answers = qa * (LABEL + config.n_best * SPAN + 400) + (sum(scored.values()) - qa) * LABEL
    scorings = len(setup.schedule) // config.eval_every if config.eval_every else 0
    pulls = 20 * len(config.tasks) * len(setup.schedule) // config.interference_every if config.interference_every else 0
    return {
        "checkpoints": state * (KEEP + 1 if config.checkpoint_every else 1),
        "model": weights + WORD * len(setup.tokenizer) + 100_000,
        "answers": answers,
        "log": LINE * (len(setup.schedule) + 3 * scorings + pulls) + 50_000,
    }


def check_space(run: Run, need: dict[str, int]) -> None:
    """Raises RunError where the disk of the run's folder has not got what the run needs beyond what is there of it already."""
    total, there, free = sum(need.values()), _size(run.path), shutil.disk_usage(run.path).free
    if total > there + free:
        parts = ", ".join(f"{name} {_shown(size)}" for name, size in need.items())
        raise RunError(
            f"run_dir: a training in {run.path} takes up to {_shown(total)} ({parts}), and {_shown(free)} are free there. "
            "Free some space, or name a run_dir on another disk."
        )


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _shown(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
