"""Whether the other tasks of a mixture were learnt: each next to chance and the best constant answer, with intervals.

A model cannot transfer what it has not learnt, so claims about a mixture are marked with the tasks that it was not shown to learn
(`marked`). A task counts as learnt if the whole interval of its first score with an interval lies above chance and the best constant
answer. If it does not, this does not prove that nothing was learnt.

Intervals are for other rows (sentences, pairs, endings), with these runs; those of a setting in other tables are for other seeds, too. With
the runs' labels, a score has the interval of `significance.interval`, its ends averaged over the runs; that of score minus constant answer
is of the rows' pseudo-values (jackknife, Tukey 1958), summed by the same clusters. Kept studies have only the scores: they use Wilson's
(1927) for accuracy and Fisher's z (1921) for Matthews' correlation, and treat score and constant answer as independent, which is
conservative. Shapes: N rows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from scipy.stats import norm, t

from mtdnn_kit.compare import choices, significance
from mtdnn_kit.compare.differences import LEAST, Settings, counting
from mtdnn_kit.compare.pairing import scored_rows
from mtdnn_kit.data.read_as import LABELLED
from mtdnn_kit.data.rows import SCRow
from mtdnn_kit.errors import CompareError, DataError
from mtdnn_kit.metrics import SCORES
from mtdnn_kit.runs.run import Run

Ends = tuple[float, float]  # of a 95 % interval
_FAR = float(norm.isf(0.025))
YES, NOT_SHOWN, UNKNOWN = "yes", "not shown", "unknown"  # unknown: no basis for a verdict, or no rows
PLACEBO, ODD_PLACEBO = "placebo", "placebo, yet above"  # a task with permuted labels, which nothing can be learnt from


@dataclass(frozen=True)
class Scored:
    """The scored rows of a task: right labels [N], the number of labels, the labels predicted by each run that keeps them [N]; each row's
    cluster number [N] (None: every row is a cluster)."""

    gold: np.ndarray
    labels: int
    said: dict[str, np.ndarray]
    clusters: np.ndarray | None = None

    def ends(self, score: str) -> Ends | None:
        """The interval over clusters (`significance.interval`), ends averaged over the runs; None where they keep no labels, or there
        is one cluster."""
        groups = np.arange(len(self.gold)) if self.clusters is None else self.clusters
        if not self.said or len(np.unique(groups)) < 2:
            return None
        statistic, bounds = choices.label_statistic(score, self.labels), {"least": LEAST.get(score, 0), "most": 100}
        pairs = [np.column_stack([self.gold, one]) for one in self.said.values()]
        found = [significance.interval(one, groups, statistic, counts=counting(score, one), **bounds) for one in pairs]
        return float(np.mean([one.low for one in found])), float(np.mean([one.high for one in found]))

    def constant(self, score: str) -> tuple[float, int]:
        """What the best constant answer scores, and its label, the lowest of those that are equally good."""
        found = [SCORES[score](self.gold, np.full_like(self.gold, label)) for label in range(self.labels)]
        return max(found), int(np.argmax(found))

    def bar(self, score: str) -> float:
        """The value that a score must exceed: the larger of chance and the best constant answer (of macro F1 that is chance)."""
        return max(self.constant(score)[0], self.chance(score))

    def chance(self, score: str) -> float:
        """The score of uniformly drawn labels, from expected counts."""
        shares, alike = np.bincount(self.gold, minlength=self.labels) / len(self.gold), 1 / self.labels
        f1 = 100 * 2 * shares * alike / (shares + alike)
        return {"accuracy": 100 * alike, "matthews": 0.0, "f1": float(f1[1]), "macro_f1": float(f1.mean())}[score]


def learnt_table(runs: Mapping[str, Run], settings: Settings, data: str | None = None) -> list[dict]:
    """One row per setting, other task and score of it: the mean over the setting's seeds with its interval, chance, the best constant
    answer, how far the score is above the larger of these with its interval, and whether the task was learnt (of a placebo, with permuted
    labels, whether it is above, which should not be).

    data: where the rows are ("sample", "hub", a folder); None: where the runs had them. Without the rows, chance and constant answer are
    left out.
    """
    rows = []
    for setting, own in settings.items():
        named = {name: runs[name] for name in own.values()}
        first = next(iter(named.values()))
        there = [task for task, kind in first.types.items() if kind in LABELLED and all(task in run.metrics for run in named.values())]
        for task in there:
            labels = _scored(named, data, task)
            made = [_row(named, labels, task, score) for score in first.metrics[task] if score in SCORES]
            above = [row["above baseline low"] for row in made if row["above baseline low"] is not None]
            learnt = UNKNOWN if not above else YES if above[0] > 0 else NOT_SHOWN
            if first.parameters.datasets[task].permute_labels:
                learnt = ODD_PLACEBO if learnt == YES else PLACEBO
            rows += [{"setting": setting, "task": task, "seeds": len(own), **row, "learnt": learnt} for row in made]
    return rows


def not_learnt(table: Sequence[dict]) -> dict[str, list[str]]:
    """The tasks of each setting that were not shown to be learnt, by the rows of `learnt_table`."""
    found: dict[str, list[str]] = {}
    for row in table:
        tasks = found.setdefault(row["setting"], [])
        if row["learnt"] == NOT_SHOWN and row["task"] not in tasks:
            tasks.append(row["task"])
    return found


def marked(rows: Sequence[dict], table: Sequence[dict], first: str) -> list[dict]:
    """Rows of differences to the setting `first`, or to the one that they are "compared with", each with the tasks that it or its setting
    trained and was not shown to learn: a claim about such a task is about the recipe, not the skill. Unchanged if every task was learnt, or
    none is known."""
    lacking = not_learnt(table)
    if not any(lacking.values()):
        return list(rows)
    made = []
    for row in rows:
        trained = "setting" in row or "seeds" in row  # the others need no training: always no answer, lexical overlap
        name = row.get("setting") or row["run"]
        tasks = {*lacking.get(name, []), *lacking.get(row.get("compared with", first) or name, [])} if trained else set()
        made.append({**row, "not shown to be learnt": ", ".join(sorted(tasks))})
    return made


def _scored(runs: Mapping[str, Run], data: str | None, task: str) -> Scored | None:
    """None if the rows are missing or have changed."""
    try:
        if all(run.keeps(task) for run in runs.values()):
            items = choices.pair(dict(runs), data, task)
            said = {name: np.array([item.replies[name].label for item in items]) for name in runs}
            gold, labels = np.array([item.gold for item in items]), max(len(item.names) for item in items)
            return Scored(gold, labels, said, choices.numbered(items, items))
        rows = scored_rows(dict(runs), data, task, *LABELLED)
    except (CompareError, DataError):
        return None
    names = next(iter(runs.values())).parameters.datasets[task].labels
    labels = len(names) if isinstance(rows[0], SCRow) else len(rows[0].choices)
    return Scored(np.array([row.label for row in rows]), labels, {})


def _row(runs: Mapping[str, Run], scored: Scored | None, task: str, score: str) -> dict[str, Any]:
    """The cells of one score of a task: the mean over the runs, its baselines, and the intervals."""
    metrics = [run.metrics[task] for run in runs.values()]
    found = float(np.mean([one[score] for one in metrics]))
    constant = scored.constant(score)[0] if scored else None
    bar = scored.bar(score) if scored else None
    ends, above = _intervals(scored, score, found, metrics[0]["n"]) if scored else (None, None)
    row: dict[str, Any] = {"score": score, "value": found, **_cells("value", ends)}
    row |= {"chance": scored and scored.chance(score), "constant answer": constant}
    return row | {"above baseline": None if bar is None else found - bar, **_cells("above baseline", above)}


def _cells(key: str, ends: Ends | None) -> dict[str, float | None]:
    return {f"{key} low": ends and ends[0], f"{key} high": ends and ends[1]}


def _intervals(scored: Scored, score: str, found: float, n: int) -> tuple[Ends | None, Ends | None]:
    """The interval of a score, and of its difference to the best constant answer; None if the runs keep too little data."""
    constant, label = scored.constant(score)
    bar = scored.bar(score)
    units = n if scored.clusters is None else len(np.unique(scored.clusters))
    if units < 2:
        return None, None
    if scored.said:
        of = partial(_jackknife, SCORES[score], scored.gold)
        # [N], means over the runs: each row's contribution to the score, and to that of the constant answer
        own = np.mean([of(said) for said in scored.said.values()], axis=0)
        fixed = of(np.full_like(scored.gold, label)) if bar == constant else np.full(n, bar)
        if np.ptp(own):
            return scored.ends(score), _around(found - bar, own - fixed, scored.clusters)
    # no variance: one label is always predicted, or every row is right
    ends = scored.ends(score)
    if score == "accuracy":
        half = 100 * _FAR * np.sqrt(sum(share * (1 - share) for share in (found / 100, constant / 100)) / units)
        right = np.arange(units) < round(found / 100 * units)
        made = significance.interval(100.0 * right, np.arange(units), most=100)
        return ends or (made.low, made.high), (found - constant - half, found - constant + half)
    if score == "matthews":
        z, half = np.arctanh(np.clip(found / 100, -0.999999, 0.999999)), _FAR / np.sqrt(max(units - 3, 1))
        low, high = (float(100 * np.tanh(z + side)) for side in (-half, half))
        return ends or (low, high), ends or (low, high)
    return ends, ends and (ends[0] - bar, ends[1] - bar)


def _jackknife(score: Any, gold: np.ndarray, said: np.ndarray) -> np.ndarray:
    """Pseudo-values [N] of a score of labels: n·θ − (n − 1)·θ without the row; rows of equal labels have the same, computed once."""
    n, whole = len(gold), score(gold, said)
    _, place, inverse = np.unique(gold * (max(gold.max(), said.max()) + 1) + said, return_index=True, return_inverse=True)
    without = np.array([score(np.delete(gold, i), np.delete(said, i)) for i in place])
    return n * whole - (n - 1) * without[inverse]


def _around(middle: float, parts: np.ndarray, clusters: np.ndarray | None) -> Ends | None:
    """The interval of a mean of `parts` [N] by t over clusters (None: every row is one); None with fewer than two."""
    group = np.unique(np.arange(len(parts)) if clusters is None else clusters, return_inverse=True)[1]
    sums, sizes = np.bincount(group, parts), np.bincount(group).astype(float)
    if len(sizes) < 2:
        return None
    variance, df = significance.spread(sums, sizes)
    half = float(t.isf(0.025, df) * np.sqrt(variance))
    return middle - half, middle + half
