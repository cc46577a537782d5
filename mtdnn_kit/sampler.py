"""The schedule: which task's batch is drawn at which step (paper, Algorithm 1: weighted stochastic batch selection).

The whole run is drawn from the seed before its first step, so the number of steps, the warm-up, the time left and a resume at step k
are exact. The first task is the main one: an epoch ends right after its last batch. Every epoch starts a new pass of every task.
The module knows how many batches a task has, not what is in them.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mtdnn_kit.batches import generator

BLOCK = 1024  # draws made at once
MOST = 1e8  # steps that a schedule may be expected to have: it is held in memory


@dataclass(frozen=True)
class Schedule:
    """Step k takes batch `batch[k]` of pass `pass_[k]` of task `tasks[task[k]]` in epoch `epoch[k]` (from 1); arrays [S], S steps."""

    tasks: tuple[str, ...]
    task: np.ndarray
    pass_: np.ndarray
    batch: np.ndarray
    epoch: np.ndarray

    def __len__(self) -> int:
        return len(self.task)

    def at(self, step: int) -> tuple[str, int, int]:
        """Task, pass and batch of a step, counted from 0."""
        return self.tasks[self.task[step]], int(self.pass_[step]), int(self.batch[step])

    def draws(self) -> dict[str, int]:
        """Steps of each task."""
        return {name: int((self.task == i).sum()) for i, name in enumerate(self.tasks)}

    def passes(self) -> dict[str, int]:
        """Passes that each task began."""
        return {name: len(np.unique(self.pass_[self.task == i])) for i, name in enumerate(self.tasks)}


def weights(sampler: str, sizes: list[int], types: list[str], qa_weight: float | None, sharing: str | None) -> np.ndarray:
    """Probability of each task at a step; they sum to 1.

    sizes: batches a pass; types: task types. `weighted` (the paper): the main task has `qa_weight`, the others share the rest, each alike
    (`dataset`), or each task type alike and within it each dataset alike (`group`). `proportional`: by size (Liu et al., MT-DNN).
    """
    if sampler == "proportional":
        return np.array(sizes) / sum(sizes)
    others = types[1:]
    share = [1.0] * len(others) if sharing == "dataset" else [1 / others.count(t) for t in others]
    rest = np.array(share) / sum(share) * (1 - qa_weight) if others else np.array([])
    return np.concatenate([[qa_weight], rest])


def draw(seed: int, sizes: dict[str, int], p: np.ndarray, exhausted: str, epochs: float, max_steps: int | None = None) -> Schedule:
    """The schedule of a run.

    sizes: task → batches a pass, main task first; p: `weights`; exhausted: `cycle` (another reshuffled pass of that task) or `drop` (the
    task is out, the weights renormalised, until the epoch ends). A fraction of an epoch ends after that share of the main task's batches.
    Raises ValueError, naming the parameter, where there would be more than `MOST` steps.
    """
    rng, names, full = generator(seed, "schedule"), tuple(sizes), np.array(list(sizes.values()))
    if full[0] * min(epochs, max(max_steps or math.inf, 1)) / p[0] > MOST:
        steps, n = full[0] * epochs / p[0], full[0]
        raise ValueError(
            f"epochs: {epochs} of {n} batches of {names[0]}, drawn with probability {p[0]:.2g}, are about {steps:.2g} steps: too many"
        )
    parts, passes = [], np.zeros(len(full), np.int64)
    for number, share in enumerate(_shares(epochs), 1):
        quota = max(1, round(full[0] * share))
        tasks = _epoch(rng, p, np.array([quota, *(full[1:] if exhausted == "drop" else full[1:] * 0 + np.iinfo(np.int64).max)]))
        running = _running_count(tasks, len(full))
        parts.append((tasks, passes[tasks] + running // full[tasks], running % full[tasks], np.full(len(tasks), number)))
        passes += -(-np.bincount(tasks, minlength=len(full)) // full)
        if max_steps and sum(len(part[0]) for part in parts) >= max_steps:
            break
    task, pass_, batch, epoch = (np.concatenate(column)[:max_steps].astype(np.int32) for column in zip(*parts, strict=True))
    return Schedule(names, task, pass_, batch, epoch)


def _shares(epochs: float) -> Iterator[float]:
    """1.0 for each whole epoch, then what is left."""
    whole, rest = int(epochs), epochs - int(epochs)
    yield from (1.0 for _ in range(whole))
    if rest > 1e-9:
        yield rest


def _epoch(rng: np.random.Generator, p: np.ndarray, left: np.ndarray) -> np.ndarray:
    """Tasks drawn until the main task's batches are used up; left: batches that each task still has."""
    p, left, drawn = p.copy(), left.copy(), []
    while left[0]:
        block = np.searchsorted(np.cumsum(p) / p.sum(), rng.random(BLOCK), side="right")
        ends = [hits[n - 1] + 1 for hits, n in ((np.flatnonzero(block == t), left[t]) for t in np.flatnonzero(p)) if n <= len(hits)]
        block = block[: min(ends, default=BLOCK)]
        left -= np.bincount(block, minlength=len(p))
        p[left == 0] = 0
        drawn.append(block)
    return np.concatenate(drawn)


def _running_count(tasks: np.ndarray, n_tasks: int) -> np.ndarray:
    """How often the task of each step was drawn before, in this epoch."""
    count = np.empty(len(tasks), np.int64)
    for t in range(n_tasks):
        at = np.flatnonzero(tasks == t)
        count[at] = np.arange(len(at))
    return count
