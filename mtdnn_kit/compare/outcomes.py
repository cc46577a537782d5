"""What each run's answer to each question is worth, and what kind of answer it is, at any threshold: columns to count and to sort by.

Made once of the answers side by side (`compare`); moving a threshold is then a comparison of arrays. Knows no widget and no file.
Shapes: R runs, N questions (of SC and MCC: rows; a label is then the answer, and no threshold changes it).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mtdnn_kit.compare.choices import Item
from mtdnn_kit.compare.pairing import Question, Reply
from mtdnn_kit.data.rows import QARow, gold_texts
from mtdnn_kit.metrics import exact, f1, normalize, percent

ANSWER_KINDS = ("right", "false nothing", "false answer", "too long", "cut off", "overlapping", "elsewhere", "wrong label")


@dataclass(frozen=True)
class Columns:
    """What does not depend on a threshold; see `at` for what does. All [R, N] but where said otherwise.

    names: of the runs; tuned [R]: their thresholds, NaN where none can move; answerable [N]; nothing [N]: EM (and F1) of answering nothing;
    diff: null − best, −inf where a run always answers and inf where it cannot; em, f1, text, kind: of the best span; text: a number, the
    same for what EM takes as the same, 0 for nothing; kind: a place in ANSWER_KINDS; probability, of_nothing: NaN where unknown.
    """

    names: tuple[str, ...]
    tuned: np.ndarray
    answerable: np.ndarray
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
        given = self.diff <= np.nan_to_num(self.tuned if thresholds is None else np.asarray(thresholds, np.float64))[:, None]
        left = np.where(self.nothing > 0, 0, ANSWER_KINDS.index("false nothing"))
        return Outcomes(
            given=given,
            em=np.where(given, self.em, self.nothing),
            f1=np.where(given, self.f1, self.nothing),
            text=np.where(given, self.text, 0),
            kind=np.where(given, self.kind, left),
            probability=np.where(given, self.probability, self.of_nothing),
        )

    def curve(self, run: int, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(thresholds, score in percent there) of a run, over every threshold that changes an answer; score: `em` or `f1`."""
        levels, group = np.unique(self.diff[run], return_inverse=True)
        gains = np.bincount(group, score[run] - self.nothing, len(levels))
        finite = np.isfinite(levels)
        return levels[finite], (100 * (self.nothing.sum() + np.cumsum(gains)) / len(group))[finite]


@dataclass(frozen=True)
class Outcomes:
    """Answers at given thresholds, [R, N]: whether one is given; EM, F1 (0 to 1), text, kind and probability of what is said."""

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
        """Whether any two runs say something else, as EM compares texts, [N]."""
        return (self.text != self.text[:1]).any(axis=0)

    def table(self, run: int) -> dict[str, Any]:
        """What a run scores over all questions: EM and F1 in percent (None of none), its numbers of false answers and false nothings."""
        counts = {f"{kind}s": int(self.is_kind(run, kind).sum()) for kind in ("false answer", "false nothing")}
        return {"EM": percent(self.em[run]), "F1": percent(self.f1[run]), **counts}


def of_questions(questions: Sequence[Question]) -> Columns:
    """Columns of the replies to `questions`. A run without n-best has no threshold that moves."""
    names, codes = tuple(questions[0].replies) if questions else (), {"": 0}
    parts = [[_parts(q.row, q.replies[name], codes) for q in questions] for name in names]
    shape = (len(names), len(questions))
    diff, em, f1_, text, kind, probability, of_nothing = (
        np.array([[part[k] for part in row] for row in parts], float).reshape(shape) for k in range(7)
    )
    tuned = [next((q.replies[name].threshold for q in questions if q.replies[name].threshold is not None), np.nan) for name in names]
    return Columns(
        names,
        np.array(tuned, float),
        np.array([bool(q.row.answers) for q in questions], bool),
        np.array([exact("", gold_texts(q.row)) for q in questions], float),
        diff,
        em,
        f1_,
        text.astype(np.int64),
        kind.astype(np.int64),
        probability,
        of_nothing,
    )


def _parts(row: QARow, reply: Reply, codes: dict[str, int]) -> tuple:
    """diff, EM, F1, number of the text, kind, probability, probability of nothing: of a reply's best span."""
    unknown = float("nan")
    of_nothing = unknown if reply.nothing is None else reply.nothing
    if reply.diff is None:  # without n-best: what is said is said at any threshold
        diff, span, probability = -np.inf if reply.text else np.inf, (reply.start, reply.end), unknown
        text, em, score = reply.text, reply.em or 0.0, reply.f1 or 0.0
    else:
        a, b, probability = reply.best[0] if reply.best else (0, 0, 0.0)
        diff, span, text, em, score = reply.diff, (a, b), row.context[a:b], reply.span_em or 0.0, reply.span_f1 or 0.0
    plain = normalize(text)
    return diff, em, score, codes.setdefault(plain, len(codes)), ANSWER_KINDS.index(span_kind(row, span, em)), probability, of_nothing


def span_kind(row: QARow, span: tuple[int | None, int | None], em: float | None) -> str:
    """What kind of answer characters [start, end) of the context are: one of ANSWER_KINDS.

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


def reply_at(row: QARow, reply: Reply, threshold: float) -> Reply:
    """The reply that a run gives at another threshold: its best span, or nothing. One without n-best stays as it is."""
    if reply.diff is None:
        return reply
    golds = gold_texts(row)
    said: dict = {"threshold": threshold}
    if not reply.best or reply.diff > threshold:
        said |= dict(start=None, end=None, text="", probability=reply.nothing, em=exact("", golds), f1=f1("", golds))
    else:
        start, end, p = reply.best[0]
        said |= dict(start=start, end=end, text=row.context[start:end], probability=p, em=reply.span_em, f1=reply.span_f1)
    return Reply(**{**vars(reply), **said})


def of_items(items: Sequence[Item]) -> Columns:
    """Columns of the labels said of `items` (SC, MCC): `f1` is the probability of the right label, `text` the label said, from 1."""
    names = tuple(items[0].replies) if items else ()
    said = np.array([[item.replies[name].label for item in items] for name in names], int).reshape(len(names), len(items))
    gold = np.array([item.gold for item in items], int)

    def p(label: Callable[[Item, str], int]) -> np.ndarray:
        return np.array([[item.replies[name].probabilities[label(item, name)] for item in items] for name in names]).reshape(said.shape)

    right, n = (said == gold).astype(float), len(items)
    return Columns(
        names,
        np.full(len(names), np.nan),
        np.ones(n, bool),
        np.zeros(n),
        np.full(said.shape, -np.inf),
        right,
        p(lambda item, name: item.gold),
        said + 1,
        np.where(right > 0, 0, ANSWER_KINDS.index("wrong label")),
        p(lambda item, name: item.replies[name].label),
        np.full(said.shape, np.nan),
    )
