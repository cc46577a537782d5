"""Failures of a training and their messages: signals, full memory or disk, a loss that is NaN or infinite.

Errors name the step, its task, rows and length, and what to change; files written before stay intact. Knows nothing of models.
"""

import errno
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError

from mtdnn_kit.errors import RunError, TrainingError, WriteError
from mtdnn_kit.files.atomic import write_json
from mtdnn_kit.files.wording import disk_size, some
from mtdnn_kit.runs.run import Run, checkpoints
from mtdnn_kit.training.checkpoints import KEEP
from mtdnn_kit.training.interruptions import Interrupted
from mtdnn_kit.training.setup import Setup

NAMED = 32  # row ids in a message
FULL, CLOSED = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG), (errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO)
NO_MEMORY = (  # messages of libraries without a specific error class
    "out of memory", "can't allocate memory", "cannot allocate memory", "bad_alloc", "alloc_failed", "could not create a memory object",
)  # fmt: skip


@contextmanager
def accounted(run: Run, manifest: dict) -> Iterator[None]:
    """Records in the manifest how an unfinished run ended, if the disk allows; re-raises the error."""
    try:
        yield
    except (Exception, KeyboardInterrupt, Interrupted) as error:
        why = signal.Signals(error.number).name if isinstance(error, Interrupted) else type(error).__name__
        status = f"failed: {why}: {error}"[:500] if isinstance(error, Exception) else f"stopped: {why}"
        with suppress(OSError):
            write_json(run.path / "manifest.json", {**manifest, "status": status})
        raise


@contextmanager
def on_disk(where: str) -> Iterator[None]:
    """Raises RunError, with a remedy, if the run folder `where` cannot be written or read."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        number = getattr(error, "errno", None)
        if not (isinstance(error, WriteError | SafetensorError) or number in (*FULL, *CLOSED)):
            raise
        full = number in FULL or "os error 28" in str(error)
        todo = "Free some space there" if full else "Make it writable, or name another run_dir"
        whole = "No finished file was changed, and none is partial"
        raise RunError(f"run_dir: {where}: {error}. {todo}. {whole}; set resume: true to continue from the last checkpoint.") from None


def last_checkpoint(run: Run) -> str:
    """The newest checkpoint in words."""
    found = checkpoints(run)
    return f"the last checkpoint is of step {found[-1][0]}" if found else "there is no checkpoint"


def row_ids(features: Any, items: np.ndarray) -> str:
    """The ids of the rows of some items, for a message."""
    rows = features.table[items, 0] if hasattr(features, "table") else items
    return some((features.rows[int(row)].id for row in dict.fromkeys(rows.tolist())), NAMED)


def diverged(run: Run, setup: Setup, record: dict, loss: float, norm: float) -> TrainingError:
    """The error for a step whose loss or gradient is NaN or infinite; record: its log record."""
    parts = setup.parts(record["step"] - 1)
    ids = "; ".join(row_ids(setup.train[task], items) for task, items in parts.items())
    return TrainingError(
        f"step {record['step']}, task {', '.join(parts)}: loss {loss}, gradient norm {norm}, the first that is not finite, in the batch of "
        f"rows {ids}. "
        "The training has diverged: lower learning_rate or max_grad_norm, or set precision: fp32, in a new run_dir (a resumed run "
        f"keeps its parameters). No checkpoint was written since; {last_checkpoint(run)}."
    )


@contextmanager
def memory(setup: Setup, step: int | None = None, doing: str = "scoring") -> Iterator[None]:
    """Raises TrainingError if memory runs out, with the batch of `step` (from 0), or the activity, and what to change."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not (isinstance(error, MemoryError | torch.OutOfMemoryError) or any(words in str(error).lower() for words in NO_MEMORY)):
            raise
        said = " ".join(str(error).split("\n")[0].split())[:200] or type(error).__name__
        what, change = _of_step(setup, step) if step is not None else (doing, "Lower max_length")
        raise TrainingError(
            f"{what}: out of memory ({said}). {change}, use a smaller encoder or device: cpu, in a new run_dir, since a resumed run "
            "keeps its parameters. If another program took the memory, set resume: true to continue."
        ) from None


def _of_step(setup: Setup, step: int) -> tuple[str, str]:
    """A step in words: its task and batch; and how to make it smaller."""
    # of a joint step the task with the most tokens: its pass takes the most
    task, items = max(setup.parts(step).items(), key=lambda part: setup.train[part[0]].lengths[part[1]].sum())
    config = setup.config
    features = setup.train[task]
    pieces, choices = min(config.grad_accumulation, len(items)), getattr(features, "choices", 1)
    rows = f"{len(items)} rows" + (f" of {choices} sequences" if choices > 1 else "") + (f" in {pieces} pieces" if pieces > 1 else "")
    what = f"step {step + 1}, task {task}, {rows}, padded to {int(features.lengths[items].max())} tokens ({row_ids(features, items)})"
    smaller = f"Raise grad_accumulation to {min(2 * pieces, len(items))} (smaller pieces, the same batch), or lower"
    more = smaller if pieces < len(items) else "Lower"
    return what, f"{more} batch_size ({config.batch_size}) or max_length ({config.max_length}), set precision: bf16"


ANCHORS = {"l2sp": 0, "ewc": 1, "successive": KEEP + 2}  # copies of the encoder that an anchor keeps in the folder
MOMENTS = 2  # tensors of its size that the optimizers store per weight

HEADER = 800  # bytes of a file's tensor index, per weight
LINE, SPAN, LABEL, WORD = 300, 90, 200, 120  # bytes of a log's line, an answer in the n-best list, a row's labels, a vocabulary's entry
FIGURE = 70  # of a task's loss or weight in a joint step's line


def disk_bytes(model: Any, setup: Setup) -> dict[str, int]:
    """The maximum size of a run's folder in bytes, by purpose.

    A checkpoint holds the weights and two moments for each; while one is written there is one more than are kept (and one if a signal stops
    the run, even without `checkpoint_every`).
    """
    config = setup.config
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    state = (1 + MOMENTS) * weights + HEADER * sum(1 for _ in model.parameters())
    scored = {task: len(features.rows) for task, features in setup.scored.items()}
    qa = sum(n for task, n in scored.items() if hasattr(setup.scored[task], "table"))
    answers = qa * (LABEL + config.n_best * SPAN + 400) + (sum(scored.values()) - qa) * LABEL
    scorings = (1 + len(setup.slices)) * len(setup.schedule) // config.eval_every if config.eval_every else 0
    vectors = len(config.tasks) * (len(config.tasks) + 1) // 2  # one number per layer group: each task's norm, each pair's cosine
    pulls = 10 * vectors * len(setup.schedule) // config.interference_every if config.interference_every else 0
    joint = len(setup.schedule) * len(config.tasks) * 2 * FIGURE if config.step == "joint" else 0
    return {
        "checkpoints": state * (KEEP + 1 if config.checkpoint_every else 1),
        **({"best": (KEEP + 2) * (weights + HEADER * len(list(model.parameters())))} if config.select == "best" else {}),
        **({"anchor": ANCHORS[config.anchored.kind] * weights} if config.anchored else {}),
        "model": weights + WORD * len(setup.tokenizer) + 100_000,
        "answers": answers,
        "log": LINE * (len(setup.schedule) + 3 * scorings + pulls) + joint + 50_000,
    }


def check_space(run: Run, need: dict[str, int]) -> None:
    """Raises RunError if the disk of the run's folder lacks space for what the run will still write."""
    there = sum(file.stat().st_size for file in run.path.rglob("*") if file.is_file())
    total, free = sum(need.values()), shutil.disk_usage(run.path).free
    if total > there + free:
        parts = ", ".join(f"{name} {disk_size(size)}" for name, size in need.items())
        raise RunError(
            f"run_dir: a training in {run.path} takes up to {disk_size(total)} ({parts}), and {disk_size(free)} are free there. "
            "Free some space, or name a run_dir on another disk."
        )
