"""Each task's score during training (`eval_every`), and whether it was still rising at the end, from the logs of runs only.

If a task's score still rises when training ends, no conclusion about its missing benefit is possible. The rule (`rises`): cut the last
third of the scorings, at least 4, into at most 6 blocks of neighbours; a task rises if so steep a least-squares line through the blocks'
means is rare among all their orders (Pitman 1937, "Significance tests which may be applied to samples from any populations"; exact, ties
included), with p times the number of tasks (Bonferroni) below 0.05. It uses a slope because it has more power than Kendall's tau, and
blocks because neighbouring scorings are correlated. In simulation it reports one of 5 flat tasks in 4 to 5 % of runs, also if noise falls
with the learning rate; if the noise of neighbours correlates by 0.5, in 17 % with 16 scorings and in 8 % with 60 or 180. A task that it
does not report may still rise: scores of few rows are noisy, and a learning rate that falls to 0 flattens any curve. Scores are in percent.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from math import ceil, factorial

import numpy as np

from mtdnn_kit.data.registry import Dataset
from mtdnn_kit.files.wording import some
from mtdnn_kit.runs.run import LOGS, Run

_LEVEL, _LEAST_POINTS, _BLOCKS = 0.05, 4, 6
UNWATCHED = "No log holds scores during training (eval_every), so whether a task still rises at the end is unknown."


@dataclass(frozen=True)
class TaskCurve:
    """The headline score of a task (F1 for question answering; else the first of its metrics) on some of its scored rows, after each of
    `steps`; with the score of a constant answer on them, and chance, if known."""

    score: str
    steps: list[int]
    values: list[float]
    constant: float | None
    chance: float | None


def curves(run: Run) -> dict[str, TaskCurve]:
    """{task: its curve} of the tasks that were scored during training, in the run's order; {} if none was, or without a log."""
    records = run.watched() if (run.path / LOGS[0]).is_file() else []
    found = {}
    for task, dataset in run.parameters.datasets.items() if records else ():
        mine = [record for record in records if record["task"] == task]
        score = "f1" if dataset.type == "qa" else next((name for record in mine for name in record["scores"] if name != "n"), "")
        if told := [(record["step"], value) for record in mine if (value := record["scores"].get(score)) is not None]:
            steps, values = map(list, zip(*told, strict=True))
            found[task] = TaskCurve(score, steps, values, mine[0].get("constant", {}).get(score), _chance(dataset, score))
    return found


def _chance(dataset: Dataset, score: str) -> float | None:
    """The score of uniformly drawn labels on any rows; None if it depends on the rows or on their number of choices."""
    choices = dataset.columns.get("choices")
    labels = len(dataset.labels) or (len(choices) if isinstance(choices, tuple | list) else 0)
    return 0.0 if score == "matthews" else 100 / labels if score == "accuracy" and labels else None


def rises(found: Mapping[str, TaskCurve]) -> dict[str, tuple[float, float]]:
    """The curves of a run that still rise at the end: {task: (points gained over the last third, p corrected for all tasks of the run)}."""
    tests = {task: rise(curve.values) for task, curve in found.items()}
    return {task: (gain, p * len(tests)) for task, (gain, p) in tests.items() if p * len(tests) < _LEVEL}


def rise(values: Sequence[float]) -> tuple[float, float]:
    """Points gained by the least-squares line of the last third of `values`, and the one-sided p of the rise; 1 with fewer than 4
    values."""
    last = np.asarray(values[-ceil(len(values) / 3) :], float)
    if len(last) < _LEAST_POINTS:
        return 0.0, 1.0
    means = np.array([block.mean() for block in np.array_split(last, min(_BLOCKS, len(last)))])
    times = np.arange(len(means))
    slopes = np.array(list(permutations(means))) @ (times - times.mean())  # of every order, the observed one first
    return float(np.polyfit(np.arange(len(last)), last, 1)[0] * (len(last) - 1)), float((slopes >= slopes[0] - 1e-9).mean())


def may_rise(found: Mapping[str, TaskCurve]) -> dict[str, tuple[float, float]]:
    """The curves that rise only without correction for the number of tasks: {task: (points gained over the last third, its p)}."""
    tests = {task: rise(curve.values) for task, curve in found.items()}
    return {task: (gain, p) for task, (gain, p) in tests.items() if p < _LEVEL <= p * len(tests)}


def still_rising(run: Run) -> list[str]:
    """The tasks of a run whose score still rises at the end."""
    return list(rises(curves(run)))


def notes(runs: Mapping[str, Run]) -> list[str]:
    """Sentences on the ends of runs' curves (by name): one for each task that still rises, or one that none was seen to, and one on runs
    that were scored too rarely. The false alarm rate is 5 % per run, not per study."""
    watched = {name: found for name, run in runs.items() if (found := curves(run))}
    if not watched:
        return [UNWATCHED]
    rising = {name: rises(found) for name, found in watched.items()}
    few = {name: n for name, found in watched.items() if (n := max(len(curve.values) for curve in found.values())) < _needed(len(found))}
    said = []
    for task in dict.fromkeys(task for own in rising.values() for task in own):
        own = [(name, watched[name][task].score, *rising[name][task]) for name in rising if task in rising[name]]
        of = f" of {len(own)} of {len(watched)} runs" if len(runs) > 1 else ""
        parts = [f"{f'{name}: ' if of else ''}{score} {gain:+.1f} in the last third, p = {p:.2g}" for name, score, gain, p in own]
        said.append(f"{task} still rises at the end{of} ({'; '.join(parts)}): train longer before you conclude that it does not help.")
    for name, found in watched.items():
        of = f" of {name}" if len(runs) > 1 else ""
        parts = [f"{task} ({found[task].score} {gain:+.1f} in the last third, p = {p:.2g})" for task, (gain, p) in may_rise(found).items()]
        said += [f"May still rise{of}, without correction for testing {len(found)} tasks: {', '.join(parts)}."] * bool(parts)
    if not said and len(few) < len(watched):
        said = ["No task's score was seen to rise in its last third. That does not prove that none would: the learning rate falls to 0."]
    if few:
        of = f" of {some(few)}" if len(runs) > 1 else ""
        need = max(_needed(len(watched[name])) for name in few)
        said.append(
            f"Too few scorings{of} to tell whether a task still rises ({min(few.values())}, {need} needed): set a lower eval_every."
        )
    return said


def _needed(tasks: int) -> int:
    """The number of scorings that a run with this many tasks needs for a verdict: their last third must have enough orders."""
    return 3 * next((n for n in range(_LEAST_POINTS, _BLOCKS) if _LEVEL * factorial(n) > tasks), _BLOCKS) - 2
