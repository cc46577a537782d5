"""Rows of every task in each step (`step: joint`): how many of each, computed for the whole run before the first step, like `sampler`.

A step has `size` rows. Task k has the share p_k · size of them: the whole rows always, the remaining ones by largest
remainder, carried over from step to step, so that every step has all its rows and an epoch as many of each task as the drawn
schedule has on average. The main task's last rows end the epoch, in a step that may have fewer; every epoch starts a new pass of every
task, and a task that runs out within an epoch starts another pass. The module does not know what a row is.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mtdnn_kit.errors import ConfigError
from mtdnn_kit.sampler import MOST_STEPS

_NEARLY = 1e-9  # rounding error of shares that are whole


@dataclass(frozen=True, repr=False)
class JointSchedule:
    """Step s takes `rows[s, k]` rows of task `tasks[k]` from row `start[s, k]` on, counted through all passes of its `items[k]`; arrays
    [S, K], `epoch` [S] (from 1). size: rows of a whole step."""

    tasks: tuple[str, ...]
    items: np.ndarray
    size: int
    start: np.ndarray
    rows: np.ndarray
    epoch: np.ndarray

    def __len__(self) -> int:
        return len(self.epoch)

    @property
    def task(self) -> np.ndarray:
        """The task under which each step is logged [S]: the main one, 0."""
        return np.zeros(len(self), np.int32)

    def at(self, step: int) -> dict[str, tuple[int, int]]:
        """{task: (first row, rows)} of a step, counted from 0."""
        return {task: (int(self.start[step, k]), int(self.rows[step, k])) for k, task in enumerate(self.tasks)}

    def first(self, steps: int) -> "JointSchedule":
        """The schedule of its first steps only."""
        return JointSchedule(self.tasks, self.items, self.size, self.start[:steps], self.rows[:steps], self.epoch[:steps])

    def steps_of(self, task: int) -> np.ndarray:
        """The steps, from 0, that have rows of the task of this number: all."""
        return np.flatnonzero(self.rows[:, task])

    def draws(self) -> dict[str, int]:
        """Each task's rows, as a number of whole batches."""
        return {task: round(n / self.size) for task, n in zip(self.tasks, self.rows.sum(0).tolist(), strict=True)}

    def passes(self) -> dict[str, int]:
        """Passes that each task began."""
        first, last = self.start, self.start + self.rows - 1
        begun = [_covered(first[:, k] // n, last[:, k] // n) for k, n in self._numbered()]
        return dict(zip(self.tasks, begun, strict=True))

    def _numbered(self) -> list[tuple[int, int]]:
        return list(enumerate(self.items.tolist()))

    def __repr__(self) -> str:
        rows = ", ".join(f"{task} {n:,}" for task, n in zip(self.tasks, self.rows.sum(0).tolist(), strict=True))
        return f"JointSchedule({len(self):,} steps; rows: {rows})"


def _covered(first: np.ndarray, last: np.ndarray) -> int:
    """How many whole numbers lie in any of the ranges first … last [S], both in ascending order."""
    return int((last - np.maximum(first, np.r_[-1, last[:-1]] + 1) + 1).clip(0).sum())


def draw_joint(
    items: dict[str, int], p: Callable[[int], np.ndarray], size: int, epochs: float, max_steps: int | None = None
) -> JointSchedule:
    """The schedule of a run. items: task → rows (or windows) of a pass, main task first; p: epoch (from 1) → the tasks' probabilities [K].

    A fraction of an epoch ends after that share of the main task's rows. Raises ConfigError where a step would lack a task, where the
    sampler gives an order instead of weights, and for more than `MOST_STEPS` steps.
    """
    names, full = tuple(items), np.array(list(items.values()), np.int64)
    passes, parts, total = np.zeros(len(full), np.int64), [], 0
    for number in range(1, math.ceil(epochs - _NEARLY) + 1):
        weights = p(number)
        _check(names, weights, size, number)
        left = max(1, round(full[0] * min(1.0, epochs - number + 1)))
        if min(left * epochs / (size * weights[0]), max_steps or math.inf) > MOST_STEPS:
            raise ConfigError(f"epochs: {epochs} of {full[0]} rows of {names[0]} are more than {MOST_STEPS:.0e} steps; lower it")
        rows = _epoch(weights * size, left, max_steps and max_steps - total)
        before = np.cumsum(rows, axis=0) - rows
        parts.append((passes * full + before, rows, np.full(len(rows), number, np.int32)))
        passes += -(-rows.sum(0) // full)
        total += len(rows)
        if max_steps and total >= max_steps:
            break
    start, rows, epoch = (np.concatenate(column) for column in zip(*parts, strict=True))
    return JointSchedule(names, full, size, start, rows, epoch)


def _check(names: tuple[str, ...], weights: np.ndarray, size: int, epoch: int) -> None:
    """Raises ConfigError unless every task has a row in each step of an epoch."""
    if weights.dtype.kind != "f":
        raise ConfigError("sampler: it gives an order, but a joint step needs weights: return weights, or set step to drawn")
    least = int(weights.argmin())
    if weights[least] <= 0:
        raise ConfigError(
            f"sampler: {names[least]} has weight 0 in epoch {epoch}, but a joint step has rows of every task: set step to drawn"
        )
    if weights[least] * size < 1 - _NEARLY:
        share, enough = weights[least] * size, math.ceil(1 / weights[least] - _NEARLY)
        raise ConfigError(
            f"batch_size: a joint step has at least one row per task, but {names[least]} gets {share:.2g} of {size} rows by its weight: "
            f"set batch_size to {enough} or more, or raise the weight of {names[least]}"
        )


def _epoch(shares: np.ndarray, left: int, most: int | None) -> np.ndarray:
    """Rows of each task in each step [S, K] until the main task's `left` rows are used up, `most` steps at most."""
    whole = np.floor(shares + _NEARLY).astype(np.int64)
    owed, spare = np.zeros(len(shares)), round(shares.sum()) - whole.sum()
    steps: list[np.ndarray] = []
    while left > 0 and (most is None or len(steps) < most):
        rows, owed = whole.copy(), owed + (shares - whole)
        # ties go to the first task; sums of fractions are rounded, so that their last bits do not decide
        more = np.argsort(-np.round(owed, 6), kind="stable")[:spare]
        rows[more] += 1
        owed[more] -= 1
        rows[0] = min(rows[0], left)
        left -= int(rows[0])
        steps.append(rows)
    return np.array(steps, np.int64)
