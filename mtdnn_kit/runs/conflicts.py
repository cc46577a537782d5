"""How often and how strongly tasks conflict, measured by `interference_every`: by pair of tasks, layer group and part of the training.

Two tasks conflict in a layer group where the cosine of their gradients there is below 0 (Yu et al. 2020). Unrelated gradients
do so by chance in half of the measurements, with a mean of 0. A measurement is of one fixed batch per task, so neighbouring ones are
correlated: the figures describe these batches, not the tasks' other rows. Knows no run folder and no plot.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

PARTS = 3  # of a training, with equally many measurements


class Conflicts(NamedTuple):
    """mean, often: mean cosine, and share of measurements below 0, by part of the training, pair and group; [P, pairs, groups].

    NaN where a task does not use a group. parts: first and last measured step of each; whole: both over the whole training, for the
    whole encoder; [pairs, 2], mean and share.
    """

    pairs: list[tuple[str, str]]
    groups: list[str]
    parts: list[tuple[int, int]]
    mean: np.ndarray
    often: np.ndarray
    whole: np.ndarray


def pair_cosines(records: Sequence[dict]) -> Iterator[tuple[tuple[str, str], int, dict[str, float | None]]]:
    """Pair of tasks, step, {group: cosine} of all measurements; older runs have only the pairs with the main task. records:
    `Run.interference()`."""
    for record in records:
        found = {**({records[0]["task"]: record["cosine"]} if "cosine" in record else {}), **record.get("cosine_with", {})}
        for other, cosines in found.items():
            yield (other, record["task"]), record["step"], cosines


def conflicts(records: Sequence[dict]) -> Conflicts | None:
    """The conflicts of a run; None where no pair of tasks was measured. With fewer than `PARTS` measurements each is a part."""
    found = dict[tuple[str, str], dict[int, dict]]()
    for pair, step, cosines in pair_cosines(records):
        found.setdefault(pair, {})[step] = cosines
    if not found:
        return None
    groups, order = list(records[0]["norm"]), list(dict.fromkeys(record["task"] for record in records))
    pairs = sorted(found, key=lambda pair: [order.index(task) for task in pair])
    steps = sorted({step for own in found.values() for step in own})
    # [steps, pairs, groups]
    measured = np.array([[[found[pair].get(step, {}).get(g) for g in groups] for pair in pairs] for step in steps], float)
    parts = np.array_split(np.arange(len(steps)), min(PARTS, len(steps)))
    of_parts = [_summary(measured[part]) for part in parts]
    mean, often = (np.stack(figures) for figures in zip(*of_parts, strict=True))
    whole = np.stack([x[:, -1] for x in _summary(measured)], 1)
    return Conflicts(pairs, groups, [(steps[part[0]], steps[part[-1]]) for part in parts], mean, often, whole)


def _summary(cosines: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and share below 0 of measurements [N, pairs, groups], of those that have a value; NaN where none has."""
    there = ~np.isnan(cosines)
    n = np.where(there.any(0), there.sum(0), np.nan)
    return np.nansum(cosines, 0) / n, (cosines < 0).sum(0) / n


def table(found: Conflicts) -> list[dict[str, Any]]:
    """One row per pair, the most frequent conflict first: the share of measurements below 0 and the mean cosine, of the whole encoder."""
    said = [(" – ".join(pair), float(mean), float(often)) for pair, (mean, often) in _by_conflict(found)]
    return [{"tasks": tasks, "conflicts, percent": round(100 * often, 1), "mean cosine": round(mean, 3)} for tasks, mean, often in said]


def note(found: Conflicts) -> str:
    """A sentence: which pair conflicts most often, and which least."""
    (most, (mean, often)), (least, (other_mean, seldom)) = _by_conflict(found)[0], _by_conflict(found)[-1]
    said = f"{' and '.join(most)} conflict in {often:.0%} of the measurements (mean cosine {mean:.2f}, whole encoder)"
    fewest = f"; {' and '.join(least)} in {seldom:.0%} ({other_mean:.2f})" if len(found.pairs) > 1 else ""
    return f"{said}{fewest}. Unrelated tasks would conflict in half of them."


def _by_conflict(found: Conflicts) -> list[tuple[tuple[str, str], np.ndarray]]:
    pairs = zip(found.pairs, found.whole, strict=True)
    return sorted(pairs, key=lambda one: (-np.nan_to_num(one[1][1]), np.nan_to_num(one[1][0])))
