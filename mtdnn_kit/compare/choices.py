"""Labels and choices of several runs for the same sentences, pairs and endings, side by side, as `compare` does for answers.

Reads each run's labels and probabilities just as strictly: the same rows, each once, or an error with file and line.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np

from mtdnn_kit.compare import pairing
from mtdnn_kit.compare.pairing import by_row, scored_rows
from mtdnn_kit.data.read_as import LABELLED
from mtdnn_kit.data.rows import MCCRow, SCRow
from mtdnn_kit.data.table import units
from mtdnn_kit.errors import CompareError
from mtdnn_kit.metrics import SCORES
from mtdnn_kit.runs.run import Run
from mtdnn_kit.runs.schema import is_number

Statistic = Callable[[np.ndarray, np.ndarray], float]  # of outcomes and their weights (`significance.Statistic`)
ScoreData = tuple[np.ndarray, np.ndarray, Statistic | None]  # the data of a score (`differences.outcomes`)


@dataclass(frozen=True)
class Choice:
    """One run's prediction for a row: the number of its label (sc) or choice (mcc), and the probability of each; they sum to 1."""

    label: int
    probabilities: tuple[float, ...]

    @property
    def probability(self) -> float:
        """The probability of the chosen one."""
        return self.probabilities[self.label]


@dataclass(frozen=True)
class Item:
    """A scored row and each run's prediction, by the run's name; `names` of the labels (sc), or the texts of the choices (mcc).

    metrics: the task's scores; group: the number of its group, if the dataset has a `group`.
    """

    row: SCRow | MCCRow
    replies: dict[str, Choice]
    names: tuple[str, ...]
    metrics: tuple[str, ...] = ("accuracy",)
    group: int | None = None

    @property
    def cluster(self) -> str | int:
        """What dependent rows share: the group, or the first text (a premise, or the beginning of endings)."""
        return self.group if self.group is not None else next(iter(self.texts), f"row {self.row.id}")

    @property
    def population(self) -> str:
        """The name of its clusters."""
        return "texts" if self.group is None else "groups"

    @property
    def gold(self) -> int:
        """The number of the right label or choice."""
        return self.row.label

    @property
    def texts(self) -> tuple[str, ...]:
        """The input: a sentence, a pair, or a text and the beginning of its endings."""
        parts = (self.row.first, self.row.second) if isinstance(self.row, SCRow) else (self.row.context, self.row.start)
        return tuple(part for part in parts if part)


def pair(runs: dict[str, Run], data: str | None = None, task: str = "mnli") -> list[Item]:
    """The rows of an sc or mcc task that all runs were scored on, with every run's choice, in the order of the rows.

    data: where the rows are now ("sample", "hub", a folder); None: where the first run had them. Raises CompareError as `compare.pair`
    does, or naming file and line: no id with finite probabilities, one for each label, that sum to 1 and whose largest is the label's;
    RunError if a file cannot be read; DataError if the rows cannot.
    """
    rows = scored_rows(runs, data, task, *LABELLED)
    dataset = next(iter(runs.values())).parameters.dataset_of(task)
    names = {row.id: tuple(dataset.labels) if isinstance(row, SCRow) else row.choices for row in rows}
    replies = {name: _replies(name, run, task, names) for name, run in runs.items()}
    found = units(rows) if dataset.group else None
    groups = {} if found is None else {row.id: int(unit) for row, unit in zip(rows, found, strict=True)}
    metrics = tuple(dataset.metrics)
    return [Item(row, said, names[row.id], metrics, groups.get(row.id)) for row, said in by_row(rows, replies, "row")]


def pair_any(runs: dict[str, Run], data: str | None = None, task: str | None = None, nbest: int | None = None) -> list[Any]:
    """The rows of any task with each run's prediction: `pairing.Question` for question answering, `Item` for sentences, pairs and endings.

    This is `compare.pair`. Arguments and errors as in `pairing.pair`, or `pair`; nbest applies to questions only.
    """
    task = task or pairing.qa_task(runs)
    first = next(iter(runs.values()), None)
    labelled = first is not None and first.types.get(first.parameters.task_of(task)) in LABELLED
    return pair(runs, data, task) if labelled else pairing.pair(runs, data, task, nbest)


def _replies(name: str, run: Run, task: str, names: dict[int, tuple[str, ...]]) -> dict[int, Choice]:
    """Choices by the row's id. Raises CompareError, naming file and line, for an invalid, repeated or unknown row, or if rows are
    missing."""
    found: dict[int, Choice] = {}
    for number, entry in enumerate(run.choices(task), 1):
        where = f"{name}: {run.name}, predictions/{task}.jsonl, line {number}"
        key = entry.get("id") if isinstance(entry, dict) else None
        if type(key) is not int:
            raise CompareError(f"{where}: not an id with a label and probabilities: {entry!r:.80}")
        if key not in names or key in found:
            raise CompareError(f"{where}: row {key} {'comes twice' if key in found else 'is not one of the scored rows'}")
        wrong = _wrong(entry.get("label"), entry.get("probabilities"), len(names[key]))
        if wrong:
            raise CompareError(f"{where}: row {key}: {wrong}")
        found[key] = Choice(entry["label"], tuple(entry["probabilities"]))
    if len(found) != run.metrics[task]["n"]:
        raise CompareError(f"{name}: {run.name} has {len(found):,} labels of {task}, but metrics.json says {run.metrics[task]['n']:,}")
    return found


def _wrong(label: Any, probabilities: Any, count: int) -> str | None:
    """What is wrong with a label and its probabilities, if anything."""
    if not isinstance(probabilities, list) or len(probabilities) != count:
        return f"{probabilities!r:.60} should be {count} probabilities"
    if not all(is_number(p) and p >= 0 for p in probabilities) or abs(sum(probabilities) - 1) > 1e-6:
        return f"{probabilities!r:.60} are not probabilities: they must sum to 1"
    if type(label) is not int or not 0 <= label < count or probabilities[label] < max(probabilities):
        return f"label {label!r} is not the most probable of {count}"
    return None


def numbered(rows: Sequence[Any], some: Sequence[Any]) -> np.ndarray:
    """The cluster number of each row or question [N]."""
    clusters = {name: i for i, name in enumerate(dict.fromkeys(row.cluster for row in rows))}
    return np.array([clusters[row.cluster] for row in some])


def label_outcomes(items: Sequence[Item], run: str, score: str) -> ScoreData | None:
    """`differences.outcomes` of rows with labels: whether the label is right, in percent, or the right and the predicted label [N, 2]. None
    for an unknown score, and for F1 (of label 1 of two) with more labels.
    """
    labels = max(len(item.names) for item in items)
    if score not in SCORES or (score == "f1" and labels != 2):
        return None
    pairs = np.array([(item.gold, item.replies[run].label) for item in items], float)
    if score == "accuracy":
        return 100.0 * (pairs[:, 0] == pairs[:, 1]), numbered(items, items), None
    return pairs, numbered(items, items), label_statistic(score, labels)


@cache
def label_statistic(score: str, labels: int) -> Statistic:
    """A score as a statistic of pairs of right and predicted label; it depends only on the count of each pair, and is computed once per
    combination of counts."""

    @lru_cache(100_000)
    def scored(there: bytes, counts: bytes) -> float:
        kinds = np.repeat(np.frombuffer(there, np.int64), np.frombuffer(counts, np.int64))
        return SCORES[score](kinds // labels, kinds % labels) if len(kinds) else 0.0

    def statistic(pairs: np.ndarray, weights: np.ndarray) -> float:
        kinds = (pairs[:, 0] * labels + pairs[:, 1]).astype(int)
        counts = np.bincount(kinds, weights).astype(np.int64)
        there = np.flatnonzero(counts).astype(np.int64)
        return scored(there.tobytes(), counts[there].tobytes())

    return statistic
