"""Which tasks should I mix? Ranks them from one training, by what a step of each does to the main task's loss; and how gradients agree.

    mtdnn affinity parameters/minilm.yaml           trains a run that measures during training, and ranks its tasks
    mtdnn affinity runs/one                         ranks the tasks of a finished run that had `interference_every`

With L the main task's loss on a batch, before and after a step of the shared encoder along task i's gradient (Fifty et al. 2021,
"Efficiently Identifying Task Groupings for Multi-Task Learning", TAG), the affinity of i is the mean over the training of

    1 − L(θ − ε ‖θ‖ gᵢ/‖gᵢ‖) / L(θ)            (`training.interference.affinities`)

Its interval covers other batches at the same steps of the same training, not other seeds. Shapes: M measurements, B blocks.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import t

from mtdnn_kit.config import from_file
from mtdnn_kit.errors import RunError
from mtdnn_kit.files.checks import require
from mtdnn_kit.files.wording import some
from mtdnn_kit.runs.run import Run
from mtdnn_kit.training.interference import WHOLE
from mtdnn_kit.training.setup import prepare
from mtdnn_kit.training.trainer import train

MEASUREMENTS = 50  # of a training that `affinity` starts itself
BLOCKS, FEWEST = 10, 6  # blocks of consecutive measurements; fewest measurements for an interval


class Affinity(NamedTuple):
    """The measured run; one row per other task, the most helpful first (percent, as in a table); sentences that interpret them."""

    run: Run
    rows: list[dict[str, Any]]
    sentences: list[str]


def affinity(source: str | Path | Run, every: int | None = None, **changes: Any) -> Affinity:
    """Ranks the other tasks by what a step of each does to the main task's loss.

    source: a parameter file, which is trained with `changes`, in fp32 unless it names a precision; or a finished run that had
    `interference_every`. every: steps between measurements; None: as in the file, else for MEASUREMENTS in all. Raises RunError for
    a run with one task or without measurements, ConfigError for settings next to a finished run; else as `train`.
    """
    if isinstance(source, Run) or not str(source).endswith((".yaml", ".yml")):
        run = source if isinstance(source, Run) else Run(source)
        unused = ["every"] * (every is not None) + [*changes]
        require(not unused, f"{some(unused)}: {run.name} is a run, which is read as it is: leave them out, or name a parameter file")
    else:
        run = _trained(source, every, changes)
    records = run.interference()
    if len(run.types) < 2:
        raise RunError(f"{run.name}: it has only one task, so there is none to rank; name others in `tasks`")
    if not records or "affinity" not in records[0]:
        why = "it did not measure how its tasks affect each other"
        raise RunError(f"{run.name}: {why}; train it with interference_every, or name its parameter file")
    series = {task: np.array([r["affinity"] for r in records if r["task"] == task]) for task in run.types}
    main, *others = series
    ranked = sorted(others, key=lambda task: -series[task].mean())
    return Affinity(run, [_row(task, series[task], series[main], records) for task in ranked], _sentences(run, main, ranked, series))


def _trained(file: str | Path, every: int | None, changes: dict[str, Any]) -> Run:
    """A run of a parameter file that measures during training."""
    config = from_file(file, **changes)
    setup = prepare(config)
    every = every or config.interference_every or max(1, len(setup.schedule) // MEASUREMENTS)
    config = replace(config, interference_every=every, precision="fp32" if config.precision == "auto" else config.precision)
    return train(config, replace(setup, config=config))


def interval(values: np.ndarray) -> tuple[float, float] | None:
    """The 95 % interval of the mean of measurements [M] along a training, whose level may drift; None for fewer than FEWEST.

    From the differences of neighbouring blocks' means (von Neumann 1941), so that a drift does not count as noise.
    """
    if len(values) < FEWEST:
        return None
    means = np.array([block.mean() for block in np.array_split(values, min(BLOCKS, len(values)))])
    error = float(np.sqrt(np.square(np.diff(means)).mean() / 2 / len(means)))
    half = float(t.ppf(0.975, 2 * (len(means) - 1) / 3)) * error
    return float(values.mean()) - half, float(values.mean()) + half


def _row(task: str, mine: np.ndarray, main: np.ndarray, records: Sequence[dict]) -> dict[str, Any]:
    """A table's row: the affinity with its interval, in percent of the main task's loss; the same as a share of what the main task's own
    step does; the mean cosine of the gradients, of the whole encoder and layer by layer."""
    found = interval(mine)
    cosines = [r["cosine"] for r in records if r["task"] == task]
    groups = [WHOLE, *(group for group in cosines[0] if group != WHOLE)]
    means = {g: np.mean([c[g] for c in cosines]) if all(c[g] is not None for c in cosines) else None for g in groups}
    return {
        "task": task,
        "affinity": 100 * float(mine.mean()),
        "95 %": f"{100 * found[0]:+.3f} to {100 * found[1]:+.3f}" if found else "",
        "of the main task's own": f"{mine.mean() / main.mean():.0%}" if main.mean() > 0 else "",
        **{f"cosine, {group}": "" if mean is None else f"{mean:+.2f}" for group, mean in means.items()},
    }


def _sentences(run: Run, main: str, ranked: Sequence[str], series: dict[str, np.ndarray]) -> list[str]:
    """The ranking in words, and how far to trust it."""
    ends = {task: interval(series[task]) for task in ranked}
    helps = [task for task, end in ends.items() if end and end[0] > 0]
    hurts = [task for task, end in ends.items() if end and end[1] < 0]
    open_ = [task for task in ranked if task not in (*helps, *hurts)]
    parts = [(helps, "lowers its loss"), (hurts, "raises its loss"), (open_, "shows no clear effect")]
    said = "; ".join(f"{', '.join(names)}: a step {does}" for names, does in parts if names)
    count = len(series[main])
    sentences = [f"For {main}, by {count} measurements along one training: {said}."]
    if len(ranked) > 1:
        apart = interval(series[ranked[0]] - series[ranked[1]])
        told = "is clearly ahead of" if apart and apart[0] > 0 else "is not clearly ahead of"
        sentences.append(f"{ranked[0]}, the first of the ranking, {told} {ranked[1]}, the second.")
    return [
        *sentences,
        f"The intervals are for other batches at these moments of this training (seed {run.config.get('seed', 0)}), not for other seeds.",
        "It measures the next step, not the result of training a mixture: use it to choose which mixtures to train, and let a study "
        "of several seeds decide between them.",
    ]
