"""The score and the kind of each run's answer to each question, at any threshold: columns to count and to sort by.

Computed once from the paired answers (`compare`); moving a threshold is then a comparison of arrays. Knows no widget and no file.
Shapes: R runs, N questions (of SC and MCC: rows; a label is then the answer, and no threshold changes it).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from mtdnn_kit.compare.choices import Choice, Item
from mtdnn_kit.compare.pairing import Question, Reply, reply
from mtdnn_kit.data.rows import QARow, gold_texts
from mtdnn_kit.metrics import exact, normalize, percent
from mtdnn_kit.tasks.null_threshold import no_answer

ANSWER_KINDS = ("right", "missed", "false answer", "too long", "cut off", "overlapping", "elsewhere", "wrong label")


@dataclass(frozen=True)
class Columns:
    """Values that do not depend on a threshold; `at` gives those that do. All [R, N] unless noted otherwise.

    names: of the runs; tuned [R]: their thresholds, NaN if fixed; nothing [N]: EM (and F1) of no answer; diff: null − best, −inf where a
    run always answers and inf where it cannot; em, f1, text, kind: of the best span; text: a number, equal for texts that EM treats as
    equal, 0 for no answer; kind: an index into ANSWER_KINDS; probability, of_nothing: NaN where unknown.
    """

    names: tuple[str, ...]
    tuned: np.ndarray
    nothing: np.ndarray
    diff: np.ndarray
    em: np.ndarray
    f1: np.ndarray
    text: np.ndarray
    kind: np.ndarray
    probability: np.ndarray
    of_nothing: np.ndarray

    def at(self, thresholds: Sequence[float] | np.ndarray | None = None) -> "Outcomes":
        """Every run's answers at its threshold [R] (None: the tuned ones)."""
        given = ~no_answer(self.diff, np.nan_to_num(self.tuned if thresholds is None else np.asarray(thresholds, np.float64))[:, None])
        kind = np.where(self.nothing > 0, ANSWER_KINDS.index("right"), ANSWER_KINDS.index("missed"))
        left: dict[str, ArrayLike] = {"em": self.nothing, "f1": self.nothing, "text": 0, "kind": kind, "probability": self.of_nothing}
        return Outcomes(given, **{name: np.where(given, getattr(self, name), empty) for name, empty in left.items()})

    def curve(self, run: int, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(thresholds, score in percent there) of a run, over every threshold that changes an answer; score: `em` or `f1`."""
        levels, group = np.unique(self.diff[run], return_inverse=True)
        gains = np.bincount(group, score[run] - self.nothing, len(levels))
        finite = np.isfinite(levels)
        return levels[finite], (100 * (self.nothing.sum() + np.cumsum(gains)) / len(group))[finite]


@dataclass(frozen=True)
class Outcomes:
    """Answers at given thresholds, [R, N]: whether one is given; EM, F1 (0 to 1), text, kind and probability of the given answer."""

    given: np.ndarray
    em: np.ndarray
    f1: np.ndarray
    text: np.ndarray
    kind: np.ndarray
    probability: np.ndarray

    def is_kind(self, run: int, kind: str) -> np.ndarray:
        """Whether a run's answer is of a kind, [N]."""
        return self.kind[run] == ANSWER_KINDS.index(kind)

    @property
    def differ(self) -> np.ndarray:
        """Whether any two runs answer differently, as EM compares texts, [N]."""
        return (self.text != self.text[:1]).any(axis=0)

    def table(self, run: int) -> dict[str, Any]:
        """A run's scores over all questions: EM and F1 in percent (None without questions), and its numbers of false and missed answers."""
        counts = {name: int(self.is_kind(run, kind).sum()) for name, kind in (("false answers", "false answer"), ("missed", "missed"))}
        return {"EM": percent(self.em[run]), "F1": percent(self.f1[run]), **counts}


def of_questions(questions: Sequence[Question]) -> Columns:
    """Columns of the replies to `questions`. The threshold of a run without n-best is fixed."""
    names, codes = tuple(questions[0].replies) if questions else (), {"": 0}
    parts = [[_parts(q.row, q.replies[name], codes) for q in questions] for name in names]
    # [7, R, N]: one matrix per part
    diff, em, f1, text, kind, *probabilities = np.moveaxis(np.array(parts, float).reshape(len(names), len(questions), 7), 2, 0).copy()
    tuned = [next((q.replies[name].threshold for q in questions if q.replies[name].threshold is not None), np.nan) for name in names]
    nothing = np.array([exact("", gold_texts(q.row)) for q in questions], float)
    whole = text.astype(np.int64), kind.astype(np.int64)
    return Columns(names, np.array(tuned, float), nothing, diff, em, f1, *whole, *probabilities)


def _parts(row: QARow, said: Reply, codes: dict[str, int]) -> tuple:
    """diff, EM, F1, number of the text, kind, probability, probability of nothing: of a reply's best span."""
    if said.diff is None:  # without n-best: the answer is the same at any threshold
        diff, span, probability = -np.inf if said.text else np.inf, (said.start, said.end), np.nan
        text, em, score = said.text, said.em, said.f1
    else:
        start, end, probability = said.best[0] if said.best else (0, 0, 0.0)
        diff, span, text, em, score = said.diff, (start, end), row.context[start:end], said.span_em, said.span_f1
    number, kind = codes.setdefault(normalize(text), len(codes)), ANSWER_KINDS.index(span_kind(row, span, em))
    return diff, em or 0.0, score or 0.0, number, kind, probability, np.nan if said.nothing is None else said.nothing


def span_kind(row: QARow, span: tuple[int | None, int | None], em: float | None) -> str:
    """The kind of the answer at characters [start, end) of the context: one of ANSWER_KINDS.

    "too long" holds an accepted answer whole, with more around it; "cut off" lies within one; "overlapping" shares characters with one.
    """
    if em:
        return "right"
    if not row.answers:
        return "false answer"
    start, end = span
    golds = [(a, a + len(text)) for a, text in row.answers]
    if start is None or end is None:
        return "elsewhere"
    if any(start <= a and b <= end for a, b in golds):
        return "too long"
    if any(a <= start and end <= b for a, b in golds):
        return "cut off"
    return "overlapping" if any(a < end and start < b for a, b in golds) else "elsewhere"


def best_kind(row: QARow, said: Reply) -> str:
    """The kind of a reply's best span, whether it is given or not: `span_kind`."""
    return span_kind(row, said.best[0][:2] if said.best else (None, None), said.span_em)


def reply_at(row: QARow, said: Reply, threshold: float) -> Reply:
    """A run's reply at another threshold: its best span, or no answer. A reply without n-best is unchanged."""
    return said if said.diff is None else reply(row, said.best, said.diff, threshold, said.nothing)


def of_items(items: Sequence[Item]) -> Columns:
    """Columns of the labels predicted for `items` (SC, MCC): `f1` is the probability of the right label, `text` the predicted label, from
    1."""
    names = tuple(items[0].replies) if items else ()
    shape = len(names), len(items)

    def each(of: Callable[[Item, Choice], float]) -> np.ndarray:
        return np.array([[of(item, item.replies[name]) for item in items] for name in names], float).reshape(shape)

    right, label = each(lambda item, said: said.label == item.gold), each(lambda item, said: said.label + 1).astype(int)
    kind = np.where(right > 0, ANSWER_KINDS.index("right"), ANSWER_KINDS.index("wrong label"))
    p_right, p_said = each(lambda item, said: said.probabilities[item.gold]), each(lambda item, said: said.probability)
    always, unknown = np.full(shape, -np.inf), np.full(shape, np.nan)
    tuned, nothing = np.full(len(names), np.nan), np.zeros(len(items))
    return Columns(names, tuned, nothing, always, right, p_right, label, kind, p_said, unknown)
