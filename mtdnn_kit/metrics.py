"""Scores: plain values in, plain values out. Knows no model, no row and no file, and imports nothing of ours.

EM, F1 and the threshold follow the official SQuAD 2.0 evaluation (Rajpurkar et al., 2018): answers are compared after lower-casing and
without punctuation, articles and spare white space; of several gold answers the best counts; the denominator is questions. All scores
are in percent, where not said otherwise. Shapes: N questions or rows.
"""

import re
import string
from collections import Counter
from collections.abc import Sequence

import numpy as np

_PUNCTUATION = str.maketrans("", "", string.punctuation)  # ASCII alone, as in the official scorer
_ARTICLES = re.compile(r"\b(a|an|the)\b")


def normalize(text: str) -> str:
    """`text` as it is compared: lower case, no ASCII punctuation, no English articles, single spaces."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def _golds(golds: Sequence[str]) -> list[str]:
    """Normalised gold answers; those that come to nothing do not count, and where none is left the right answer is nothing."""
    return [gold for gold in map(normalize, golds) if gold] or [""]


def exact(answer: str, golds: Sequence[str]) -> float:
    """Exact match, 0 or 1; golds: the accepted answers, [""] or [] for an unanswerable question."""
    return float(normalize(answer) in _golds(golds))


def f1(answer: str, golds: Sequence[str]) -> float:
    """F1 over words, 0 to 1: the best over `golds`; where either side is nothing, 1 if both are."""
    words = normalize(answer).split()
    return max(_f1_of_words(words, gold.split()) for gold in _golds(golds))


def _f1_of_words(answer: list[str], gold: list[str]) -> float:
    if not answer or not gold:
        return float(answer == gold)
    shared = sum((Counter(answer) & Counter(gold)).values())
    if not shared:
        return 0.0
    precision, recall = shared / len(answer), shared / len(gold)
    return 2 * precision * recall / (precision + recall)


def qa_scores(answers: Sequence[str], golds: Sequence[Sequence[str]]) -> dict[str, float]:
    """{"em", "f1", "n"} of final answers ("" for nothing). Raises ValueError without questions."""
    if not len(answers):
        raise ValueError("there are no questions to score")
    pairs = list(zip(answers, golds, strict=True))
    return {"em": _percent([exact(*p) for p in pairs]), "f1": _percent([f1(*p) for p in pairs]), "n": len(pairs)}


def score_at(threshold: float, span: np.ndarray, nothing: np.ndarray, diff: np.ndarray) -> float:
    """Score at a threshold: a question whose diff is above it gets `nothing`, every other its `span` score.

    span, nothing [N]: scores, 0 to 1, of the best span and of answering nothing; diff [N]: null − best.
    """
    return _percent(np.where(np.asarray(diff) > threshold, nothing, span))


def best_threshold(span: np.ndarray, nothing: np.ndarray, diff: np.ndarray) -> tuple[float, float]:
    """(τ, score at it): the threshold that is best on these questions, exactly, whatever their order.

    Arguments as for `score_at`. Only the values of `diff` matter as thresholds, and one below them all (nothing is ever answered);
    questions of equal diff change sides together. Of equally good thresholds the least is taken. Raises ValueError on NaN and
    on no questions; diff may be infinite where no span is possible.
    """
    span, nothing, diff = (np.asarray(x, np.float64) for x in (span, nothing, diff))
    if not len(diff) or np.isnan(span + nothing).any() or np.isnan(diff).any():
        raise ValueError("a threshold needs at least one question, and no score may be NaN")
    levels, group = np.unique(diff, return_inverse=True)
    gains = np.zeros(len(levels))
    for g, gain in sorted(zip(group.tolist(), (span - nothing).tolist(), strict=True)):  # sorted: one sum in any order of the questions
        gains[g] += gain
    finite = levels[np.isfinite(levels)]
    lowest = float(np.nextafter(finite[0], -np.inf)) if len(finite) else 0.0
    totals = np.concatenate([[0.0], np.cumsum(gains)])[: len(finite) + 1]
    best = int(np.argmax(totals > totals.max() - 1e-9))
    threshold = float(finite[best - 1]) if best else lowest
    return threshold, score_at(threshold, span, nothing, diff)


def qa_threshold_scores(
    em: np.ndarray, f1: np.ndarray, nothing: np.ndarray, answerable: np.ndarray, diff: np.ndarray, threshold: float
) -> dict[str, float | None]:
    """All scores of SQuAD 2.0 questions whose best spans score em, f1 [N] (0 to 1) and whose null − best is diff [N].

    nothing [N]: score of answering nothing; answerable [N]: whether the question has a gold answer. `em, f1` are at `threshold`, `em_at_0,
    f1_at_0` at 0, `best_em, best_f1` at the best thresholds on these very questions (an upper bound, no result); `has_answer_…` over
    answerable questions at `threshold`, `span_…` the same with nothing not allowed; `no_answer_accuracy` over the unanswerable, at
    `threshold`. A score over no questions is None.
    """
    em, f1, nothing, diff = (np.asarray(x, np.float64) for x in (em, f1, nothing, diff))
    answerable = np.asarray(answerable, bool)
    em_threshold, best_em = best_threshold(em, nothing, diff)
    f1_threshold, best_f1 = best_threshold(f1, nothing, diff)
    em_given, f1_given = (np.where(diff > threshold, nothing, span) for span in (em, f1))
    return {
        "em": _percent(em_given),
        "f1": _percent(f1_given),
        "threshold": float(threshold),
        "em_at_0": score_at(0.0, em, nothing, diff),
        "f1_at_0": score_at(0.0, f1, nothing, diff),
        "best_em": best_em,
        "best_em_threshold": em_threshold,
        "best_f1": best_f1,
        "best_f1_threshold": f1_threshold,
        "has_answer_em": _percent(em_given[answerable]),
        "has_answer_f1": _percent(f1_given[answerable]),
        "span_em": _percent(em[answerable]),
        "span_f1": _percent(f1[answerable]),
        "no_answer_accuracy": _percent(em_given[~answerable]),
        "n": len(em),
    }


def accuracy(gold: Sequence[int], said: Sequence[int]) -> float:
    """Share of right labels."""
    return _percent(_labels(gold) == _labels(said))


def matthews(gold: Sequence[int], said: Sequence[int]) -> float:
    """Matthews' correlation of two labels or more (Gorodkin's R_K), −100 to 100; 0 where either side has one label only (CoLA)."""
    gold, said = _labels(gold), _labels(said)
    table = np.zeros((max(gold.max(), said.max()) + 1,) * 2)
    np.add.at(table, (gold, said), 1)
    by_gold, by_said, n = table.sum(axis=1), table.sum(axis=0), len(gold)
    spread = np.sqrt(n**2 - by_gold @ by_gold) * np.sqrt(n**2 - by_said @ by_said)
    return 100 * float((np.trace(table) * n - by_gold @ by_said) / spread) if spread else 0.0


def f1_binary(gold: Sequence[int], said: Sequence[int]) -> float:
    """F1 of label 1 (MRPC); 0 where neither side has it."""
    gold, said = _labels(gold), _labels(said)
    both, either = ((gold == 1) & (said == 1)).sum(), (gold == 1).sum() + (said == 1).sum()
    return 100 * float(2 * both / either) if either else 0.0


def _labels(values: Sequence[int]) -> np.ndarray:
    if not len(values):
        raise ValueError("there are no rows to score")
    return np.asarray(values, np.int64)


def _percent(values) -> float | None:
    values = np.asarray(values, np.float64)
    return 100 * float(values.mean()) if len(values) else None


SCORES = {"accuracy": accuracy, "matthews": matthews, "f1": f1_binary}
