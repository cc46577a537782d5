"""Weighted stochastic batch selection (paper, Algorithm 1): the batches of a pass, and which task's batch is drawn at which step.

The whole run is drawn from the seed before its first step, so the number of steps, the warm-up, the time left and a resume at step k
are exact. The first task is the main one: an epoch ends right after its last batch. Every epoch starts a new pass of every task (under
unimax, of the main one). Samplers differ in the weights, which are constant within an epoch, and in whether they draw tasks at random or
in order: in turn, with equal weights (round robin), or one task after another (sequential). In both the main task comes last. A curriculum
draws from some of the tasks first (`first_phase`). docs/samplers.md has all samplers in one table.

The batches of a pass are a pure function of seed, task and number of the pass. Items of similar length share a batch, so that padding is
small, yet batches stay random: the order is shuffled, cut into pools of many batches, sorted by length within a pool, cut, and shuffled
again. Here a batch is a list of item numbers; the module does not know what an item is.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from zlib import crc32

import numpy as np

from mtdnn_kit.errors import ConfigError, PluginError

POOL = 50  # batches sorted by length together: more mean less padding and less randomness
DRAWN_AT_ONCE = 1024  # random numbers per call: another value gives a seed another schedule
MOST_STEPS = 1e8  # the maximum of a schedule's expected steps: it is held in memory


def generator(seed: int, *purpose: str | int) -> np.random.Generator:
    """A separate random generator for each purpose, so that one never shifts another's numbers."""
    return np.random.default_rng([seed, *(crc32(p.encode()) if isinstance(p, str) else p for p in purpose)])


def batch_count(n_items: int, batch_size: int) -> int:
    """Batches of a pass."""
    return -(-n_items // batch_size)


def batches(seed: int, task: str, pass_: int, lengths: np.ndarray, batch_size: int) -> list[np.ndarray]:
    """Item numbers of each batch of a pass, in order.

    lengths [N] in tokens. Every item comes exactly once; only the last batch may be smaller, and its items are random.
    """
    # cut off the partial batch first, so that its items are random
    rng = generator(seed, "batches", task, pass_)
    order = rng.permutation(len(lengths))
    whole = len(order) - len(order) % batch_size
    full = []
    for pool in np.split(order[:whole], range(POOL * batch_size, whole, POOL * batch_size)):
        # [POOL · B] → batches of similar length [POOL, B]
        by_length = pool[np.argsort(lengths[pool], kind="stable")]
        full += list(by_length.reshape(-1, batch_size))
    shuffled = [full[i] for i in rng.permutation(len(full))]
    return shuffled + ([order[whole:]] if whole < len(order) else [])


@dataclass(frozen=True, repr=False)
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

    def first(self, steps: int) -> "Schedule":
        """The schedule of its first steps only."""
        return Schedule(self.tasks, *(column[:steps] for column in (self.task, self.pass_, self.batch, self.epoch)))

    def steps_of(self, task: int) -> np.ndarray:
        """The steps, from 0, of the task of this number."""
        return np.flatnonzero(self.task == task)

    def draws(self) -> dict[str, int]:
        """Steps of each task."""
        return {name: int((self.task == i).sum()) for i, name in enumerate(self.tasks)}

    def passes(self) -> dict[str, int]:
        """Passes that each task has begun."""
        return {name: len(np.unique(self.pass_[self.task == i])) for i, name in enumerate(self.tasks)}

    def __repr__(self) -> str:
        return f"Schedule({len(self):,} steps: {', '.join(f'{name} {count:,}' for name, count in self.draws().items())})"


def weights(
    sampler: str,
    sizes: Sequence[int],
    types: Sequence[str] = (),
    qa_weight: float | None = None,
    sharing: str | None = None,
    temperature: float | None = None,
    epoch: int = 1,
    epochs: float = 1.0,
    max_passes: float | None = None,
    max_steps: int | None = None,
) -> np.ndarray:
    """Probability of each task at a step of an epoch (from 1) of `epochs`; they sum to 1. sizes N: batches per pass; types: task types.

    weighted (the paper): the main task has `qa_weight`, the others share the rest, equally (`dataset`), or equally by task type and within
    a type by dataset (`group`). proportional: p ∝ N (Liu et al. 2019, MT-DNN). temperature: p ∝ N^(1/T) (Raffel et al. 2020, T5, section
    3.5.2). annealed: p ∝ N^α, α = 1 − 0.8 (e − 1) / (E − 1) in epoch e of E (Stickland & Murray 2019, PALs, section 4). round_robin: each
    alike. sequential: p ∝ N, the share of steps that a task has once every batch came. curriculum, anti_curriculum: as weighted, once their
    first phase is over (`first_phase`). unimax: p ∝ U of `unimax`.
    """
    if sampler in ("weighted", *CURRICULA):
        return _weighted(types, qa_weight, sharing)
    if sampler == "unimax":
        planned = unimax(sizes, epochs, max_passes or math.inf, max_steps)
        return planned / planned.sum()
    last = math.ceil(epochs)
    power = {"temperature": 1 / (temperature or 1), "annealed": 1 - 0.8 * (epoch - 1) / max(last - 1, 1), "round_robin": 0.0}
    # relative to the largest, which no power makes infinite
    p = (np.array(sizes, float) / max(sizes)) ** power.get(sampler, 1.0)
    return p / p.sum()


def _weighted(types: Sequence[str], qa_weight: float | None, sharing: str | None) -> np.ndarray:
    if qa_weight is None:
        raise ValueError("qa_weight: sampler 'weighted' needs it: set it to a probability")
    others = list(types[1:])
    share = [1.0] * len(others) if sharing == "dataset" else [1 / others.count(t) for t in others]
    rest = np.array(share) / sum(share) * (1 - qa_weight) if others else np.array([])
    return np.concatenate([[qa_weight], rest])


def unimax(sizes: Sequence[int], epochs: float, max_passes: float, max_steps: int | None = None) -> np.ndarray:
    """Batches U [K] of each task, as even as a cap of `max_passes` passes allows (Chung et al. 2023, UniMax, Algorithm 1).

    From the smallest task to the largest U = min(cap, remaining budget / remaining tasks). The main task makes `epochs` passes, and no
    other task gets more batches than it. The budget is the sum of these, or `max_steps` if that is less.
    """
    caps = np.array(most_batches(sizes, max_passes), float)
    caps[0] = sizes[0] * epochs
    budget, planned = min(np.minimum(caps, caps[0]).sum(), max_steps or math.inf), np.zeros(len(caps))
    for done, task in enumerate(np.argsort(caps, kind="stable")):
        planned[task] = min(caps[task], budget / (len(caps) - done))
        budget -= planned[task]
    return planned


def most_batches(sizes: Sequence[int], max_passes: float) -> list[float]:
    """Batches that `max_passes` passes of each task have, at least 1."""
    return [max(1, math.floor(n * max_passes)) if max_passes < math.inf else math.inf for n in sizes]


class Phase(NamedTuple):
    """The first phase of a curriculum: its number of steps, and its weights p [K]."""

    steps: int
    p: np.ndarray


def first_phase(p: np.ndarray, first: Sequence[bool], share: float, main: float, max_steps: int | None = None) -> Phase:
    """The first `share` φ of the steps, in which only some tasks are drawn (McCann et al. 2018, decaNLP), with the same relative weights p
    [K] as afterwards.

    first [K]: whether a task is one of them; main: batches of the main task in all epochs. Its number of steps does not depend on the seed:
    φ times those of the mean schedule, main / ((1 − φ) p₀ + φ q₀) with q the weights of the phase, or φ · max_steps if that is less. With
    the main task in it, an epoch ends within the phase as it does later. Without it, the phase precedes the main task's first batch and
    lengthens epoch 1. It ends early if `exhausted: drop` leaves it no batch. decaNLP takes its tasks in turn; here they are drawn, so that
    a curriculum differs from `weighted` only in the order of the tasks.
    """
    q = np.where(first, p, 0.0) / np.sum(p, where=np.array(first))
    mean = main / ((1 - share) * p[0] + share * q[0])
    return Phase(round(share * min(mean, max_steps or math.inf)), q)


def draw(
    seed: int,
    sizes: dict[str, int],
    p: Callable[[int], np.ndarray],
    exhausted: str | None,
    epochs: float,
    max_steps: int | None = None,
    sampler: str = "weighted",
    max_passes: float | None = None,
    phase: Phase | None = None,
) -> Schedule:
    """The schedule of a run.

    sizes: task → batches per pass, main task first; p: epoch (from 1) → weights, float [K], or an order of tasks, int [S]
    (`custom_plan`); exhausted: `cycle` (another reshuffled pass of that task), `drop` (the task is out, the weights renormalised, until the
    epoch ends), None: for sequential, one pass of each; for unimax, every task but the main one is out for good after `max_passes` passes.
    A fraction of an epoch ends after that share of the main task's batches. phase: the first phase of a curriculum. Raises ConfigError for
    more than `MOST_STEPS` steps.
    """
    rng, names, full = generator(seed, "schedule"), tuple(sizes), np.array(list(sizes.values()))
    phase = phase or Phase(0, np.zeros(len(full)))
    _check_steps(names[0], full[0], shares(p(1), len(full))[0], epochs, max_steps, phase.steps)
    allowed = np.array(most_batches(list(sizes.values()), max_passes), np.int64) if max_passes else None
    parts, passes = [], np.zeros(len(full), np.int64)
    before = np.zeros(len(full), np.int64)  # batches of earlier epochs: of unimax, which limits passes, a pass continues in the next epoch
    for number, share in enumerate(_shares(epochs), 1):
        left = _batches_left(full, share, exhausted) if allowed is None else np.array([max(1, round(full[0] * share)), *allowed[1:]])
        planned = FIXED_ORDERS[sampler](left) if sampler in FIXED_ORDERS else p(number)
        if planned.dtype.kind == "i":  # an order of tasks, not weights
            tasks = planned
        else:
            tasks, phase = _begun_epoch(rng, planned, left, phase)
        counts = np.bincount(tasks, minlength=len(full))
        running = _running_count(tasks, len(full)) + before[tasks]
        parts.append((tasks, passes[tasks] + running // full[tasks], running % full[tasks], np.full(len(tasks), number)))
        if allowed is None:
            passes += -(-counts // full)
        else:
            allowed, before = allowed - counts, before + counts
        if max_steps and sum(len(part[0]) for part in parts) >= max_steps:
            break
    task, pass_, batch, epoch = (np.concatenate(column)[:max_steps].astype(np.int32) for column in zip(*parts, strict=True))
    return Schedule(names, task, pass_, batch, epoch)


def _check_steps(name: str, n: int, weight: float, epochs: float, max_steps: int | None, before: int) -> None:
    # max_steps ends the schedule, but the epoch in which it lies is drawn whole
    if min(n * epochs / weight, (max_steps or math.inf) + n / weight) + before > MOST_STEPS:
        drawn = f"{epochs} of {n} batches of {name}, drawn with probability {weight:.2g}"
        phase = f", after a phase of {before:.2g}," if before else ","
        raise ConfigError(f"epochs: {drawn}{phase} are about {n * epochs / weight + before:.2g} steps: too many")


def _batches_left(full: np.ndarray, share: float, exhausted: str | None) -> np.ndarray:
    """The number of batches that an epoch, or a share of it, may take from each task."""
    part = np.array([max(1, round(n * share)) for n in full])
    others = {"cycle": np.full(len(full), np.iinfo(np.int64).max), "drop": full, None: part}[exhausted]
    return np.array([part[0], *others[1:]])


def _shares(epochs: float) -> Iterator[float]:
    """1.0 for each whole epoch, then what is left."""
    whole, rest = int(epochs), epochs - int(epochs)
    yield from (1.0 for _ in range(whole))
    if rest > 1e-9:
        yield rest


def _begun_epoch(rng: np.random.Generator, p: np.ndarray, left: np.ndarray, phase: Phase) -> tuple[np.ndarray, Phase]:
    """Tasks drawn by the weights of the rest of a phase, then by p, until the epoch ends; and what then remains of the phase."""
    first = _epoch(rng, phase.p, left, phase.steps)
    left = left - np.bincount(first, minlength=len(p))
    # if the epoch ended within the phase, the rest remains; if the phase ran out of batches, it is over
    rest = phase.steps - len(first) if not left[0] else 0
    return np.concatenate([first, _epoch(rng, p, left)]), phase._replace(steps=rest)


def _epoch(rng: np.random.Generator, p: np.ndarray, left: np.ndarray, most: float = math.inf) -> np.ndarray:
    """Tasks drawn until the main task's batches are used up, `most` are drawn, or none that is left has a weight.

    left: batches that each task still has.
    """
    p, left, drawn = np.where(left > 0, p, 0.0), left.copy(), [np.zeros(0, np.int64)]
    while left[0] and p.any() and most > 0:
        # draws [DRAWN_AT_ONCE] by cumulative weights, cut where a task runs out: then the weights change
        block, ends = np.searchsorted(np.cumsum(p) / p.sum(), rng.random(DRAWN_AT_ONCE), side="right"), list[int]()
        for task in np.flatnonzero(p):
            at = np.flatnonzero(block == task)
            if len(at) >= left[task]:
                ends.append(at[left[task] - 1] + 1)
        block = block[: int(min([*ends, most, DRAWN_AT_ONCE]))]
        most -= len(block)
        left -= np.bincount(block, minlength=len(p))
        p[left == 0] = 0
        drawn.append(block)
    return np.concatenate(drawn)


def _in_turn(left: np.ndarray) -> np.ndarray:
    """One batch of every task in turn, the main task last, until the main task has no batches left."""
    order = np.roll(np.arange(len(left)), -1)
    turns = np.minimum(left, left[0])[order]
    turn = np.concatenate([np.arange(n) for n in turns])
    return np.repeat(order, turns)[np.argsort(turn, kind="stable")]


def _one_after_another(left: np.ndarray) -> np.ndarray:
    """All batches of the second task, of the third …, and of the main task last (one epoch is intermediate training: Phang et al. 2018)."""
    order = np.roll(np.arange(len(left)), -1)
    return np.repeat(order, left[order])


def custom_plan(function: Callable, seed: int, sizes: dict[str, int], exhausted: str | None, epochs: float, epoch: int) -> np.ndarray:
    """A custom sampler's result for an epoch: weights, float [K], or the tasks of its steps in order, int [S].

    function(sizes, epoch, epochs, rng) → {task: weight} or [task, task, …] (docs/plugins.md). Raises PluginError for an invalid result.
    """
    part = {task: max(1, round(n * min(1.0, epochs - epoch + 1))) for task, n in sizes.items()}
    found, names = function(dict(part), epoch, epochs, generator(seed, "sampler", epoch)), list(sizes)
    said = f"sampler: in epoch {epoch} {getattr(function, 'name', 'it')}"
    if not isinstance(found, Mapping | list | tuple):
        raise PluginError(f"{said} returned {type(found).__name__}; it must return a weight for each task, or a list of tasks")
    if unknown := [task for task in found if task not in names]:
        raise PluginError(f"{said} returned a task {unknown[0]!r}; choose from {', '.join(names)}")
    return _own_weights(said, found, names) if isinstance(found, Mapping) else _own_order(said, list(found), part, exhausted)


def _own_weights(said: str, found: Mapping[str, float], names: list[str]) -> np.ndarray:
    try:
        p = np.array([float(found.get(name, 0)) for name in names])
    except (TypeError, ValueError):
        p = np.full(len(names), np.nan)
    if not (np.isfinite(p).all() and (p >= 0).all() and p[0] > 0):
        raise PluginError(f"{said} returned the weights {dict(found)}; each must be at least 0, and that of {names[0]} above 0")
    return p / p.sum()


def _own_order(said: str, found: list[str], part: dict[str, int], exhausted: str | None) -> np.ndarray:
    counts, main = {task: found.count(task) for task in part}, next(iter(part))
    if counts[main] != part[main] or found[-1] != main:
        raise PluginError(f"{said} returned an order with {counts[main]} batches of {main}; it must hold all {part[main]}, one at the end")
    if over := next((task for task, n in counts.items() if exhausted == "drop" and n > part[task]), None):
        raise PluginError(f"{said} returned {counts[over]} batches of {over}, which has {part[over]}: return fewer or set exhausted: cycle")
    return np.array([list(part).index(task) for task in found], np.int64)


def shares(planned: np.ndarray, n_tasks: int) -> np.ndarray:
    """The probability of each task [K] by weights, or its share of the steps of an order."""
    return planned if planned.dtype.kind == "f" else np.bincount(planned, minlength=n_tasks) / len(planned)


CURRICULA = ("curriculum", "anti_curriculum")
FIXED_ORDERS = {"round_robin": _in_turn, "sequential": _one_after_another}


def _running_count(tasks: np.ndarray, n_tasks: int) -> np.ndarray:
    """How often the task of each step was drawn before, in this epoch."""
    count = np.empty(len(tasks), np.int64)
    for t in range(n_tasks):
        at = np.flatnonzero(tasks == t)
        count[at] = np.arange(len(at))
    return count
