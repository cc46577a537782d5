"""Which tasks should I mix? Ranked from one training: what a step of each task does to the main task's loss, and how their gradients agree.

    mtdnn affinity parameters/minilm.yaml           trains a run that measures on its way, and ranks its tasks
    mtdnn affinity runs/one                         ranks those of a finished run that had `interference_every`

With L the main task's loss on a batch, before and after a step of the shared encoder along task i's gradient (Fifty et al. 2021,
"Efficiently Identifying Task Groupings for Multi-Task Learning", TAG), the affinity of i is the mean over the training of

    1 − L(θ − ε ‖θ‖ gᵢ/‖gᵢ‖) / L(θ)            (`training.interference.affinities`)

Its interval speaks for other batches at the same moments of the same training, not for other seeds. Shapes: M measurements, B blocks.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import t

from mtdnn_kit.config import from_file
from mtdnn_kit.errors import RunError
from mtdnn_kit.runs.run import Run
from mtdnn_kit.training.interference import WHOLE
from mtdnn_kit.training.setup import prepare
from mtdnn_kit.training.trainer import train

MEASUREMENTS = 50  # of a training that is made for this
BLOCKS, FEWEST = 10, 6  # of consecutive measurements; measurements without which there is no interval


class Affinity(NamedTuple):
    """The run that was measured; its other tasks, a row each, the most helpful first (percent, as a table has them); what that is worth."""

    run: Run
    rows: list[dict[str, Any]]
    sentences: list[str]


def affinity(source: str | Path | Run, every: int | None = None, **changes: Any) -> Affinity:
    """Ranks the tasks that are trained beside the main one by what a step of theirs does for it.

    source: a parameter file, which is trained, in fp32 unless it names a precision, with `changes` on top; or a finished run that had
    `interference_every`. every: steps between measurements; None: what the file says, or MEASUREMENTS of them in all. Raises RunError for
    a run with one task, or that measured nothing; else as `train`.
    """
    if isinstance(source, Run) or not str(source).endswith((".yaml", ".yml")):
        run = source if isinstance(source, Run) else Run(source)
    else:
        run = _trained(source, every, changes)
    records = run.interference()
    if len(run.types) < 2:
        raise RunError(f"{run.name}: it has one task, so there is none to mix with; name the others in `tasks`")
    if not records or "affinity" not in records[0]:
        why = "it did not measure how its tasks affect each other"
        raise RunError(f"{run.name}: {why}; train it with interference_every, or name its parameter file")
    series = {task: np.array([r["affinity"] for r in records if r["task"] == task]) for task in run.types}
    main, *others = series
    ranked = sorted(others, key=lambda task: -series[task].mean())
    return Affinity(run, [_row(task, series[task], series[main], records) for task in ranked], _sentences(run, main, ranked, series))


def _trained(file: str | Path, every: int | None, changes: dict[str, Any]) -> Run:
    """A run of a parameter file that measures on its way."""
    config = from_file(file, **changes)
    setup = prepare(config)
    every = every or config.interference_every or max(1, len(setup.schedule) // MEASUREMENTS)
    config = replace(config, interference_every=every, precision="fp32" if config.precision == "auto" else config.precision)
    return train(config, replace(setup, config=config))


def interval(values: np.ndarray) -> tuple[float, float] | None:
    """The 95 % interval of the mean of measurements [M] along a training, by which their level may drift; None of fewer than FEWEST.

    From the differences of neighbouring blocks' means (von Neumann 1941): a drift is none of the noise, and what neighbours share is.
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
    """What the ranking says, and how far it is to be trusted."""
    ends = {task: interval(series[task]) for task in ranked}
    helps = [task for task, end in ends.items() if end and end[0] > 0]
    hurts = [task for task, end in ends.items() if end and end[1] < 0]
    open_ = [task for task in ranked if task not in (*helps, *hurts)]
    parts = [(helps, "lowers its loss"), (hurts, "raises it"), (open_, "cannot be told from none")]
    said = "; ".join(f"{', '.join(names)}: a step {does}" for names, does in parts if names)
    count = len(series[main])
    sentences = [f"For {main}, by {count} measurements along one training: {said}."]
    if len(ranked) > 1:
        apart = interval(series[ranked[0]] - series[ranked[1]])
        told = "is told apart from" if apart and apart[0] > 0 else "is not told apart from"
        sentences.append(f"{ranked[0]}, the first of the ranking, {told} {ranked[1]}, the second.")
    return [
        *sentences,
        f"The intervals are for other batches at these moments of this training (seed {run.config.get('seed', 0)}), not for other seeds.",
        "It says what the next step does, not what a whole mixture ends with: take it to choose which mixtures to train, and let a study "
        "of several seeds decide between them.",
    ]
