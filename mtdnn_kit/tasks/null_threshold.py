"""The threshold on null − best: the rule (`no_answer`), scores at a threshold, the best threshold. Plain arrays in, plain values out.

The best thresholds are exact, treat questions of equal null − best as one group, and do not depend on the order of the questions.
Knows no model, no text and no file. Scores are in percent unless noted otherwise. Shapes: N questions, L levels of null − best.
"""

import numpy as np
from numpy.typing import ArrayLike

from mtdnn_kit.data.registry import ALWAYS
from mtdnn_kit.metrics import mean_percent, percent


def no_answer(diff: ArrayLike, threshold: ArrayLike) -> np.ndarray:
    """Whether a question gets no answer: iff null − best is above the threshold (paper, "Model") or NaN; at the threshold itself it gets
    the best span. Takes numbers or arrays that broadcast; returns bool of their shape."""
    return ~(np.asarray(diff) <= threshold)


def score_at(threshold: float, span: np.ndarray, nothing: np.ndarray, diff: np.ndarray) -> float:
    """Score at a threshold: a question whose diff is above it gets `nothing`, every other its `span` score.

    span, nothing [N]: scores, 0 to 1, of the best span and of no answer; diff [N]: null − best.
    """
    return mean_percent(np.where(no_answer(diff, threshold), nothing, span))


def best_threshold(span: np.ndarray, nothing: np.ndarray, diff: np.ndarray) -> tuple[float, float]:
    """(τ, score at it): the exact best threshold on these questions, in any order.

    Arguments as for `score_at`. Questions of equal diff change sides together. Of equally good thresholds, takes one that answers the most
    questions, so that no answer is given only if it pays. It lies midway between the highest diff that is answered and the next one, where
    it changes least on other questions; it is `ALWAYS` if all are answered, and just below all diffs if none is. Raises ValueError on NaN
    and without questions; diff may be infinite (no span is possible).
    """
    span, nothing, diff = (np.asarray(x, np.float64) for x in (span, nothing, diff))
    if not len(diff) or np.isnan(span + nothing).any() or np.isnan(diff).any():
        raise ValueError("a threshold needs at least one question, and no score may be NaN")
    # [L]: the gain from answering the questions of a level, summed from the lowest level up
    levels, group = np.unique(diff, return_inverse=True)
    gains = np.bincount(group, span - nothing, len(levels))
    finite = levels[np.isfinite(levels)]
    totals = np.concatenate([[0.0], np.cumsum(gains)])[: len(finite) + 1]
    # the number of levels to answer: the largest of the equally good ones, within rounding, which depends on the order of the questions
    answered = int(np.flatnonzero(totals > totals.max() - 1e-9)[-1])
    threshold = between(finite, answered)
    return threshold, score_at(threshold, span, nothing, diff)


def between(levels: np.ndarray, answered: int) -> float:
    """The threshold that answers the lowest `answered` levels, in the middle of its range; levels [L], ascending."""
    if answered == len(levels):
        return ALWAYS
    below = np.nextafter(levels[answered], -np.inf)
    return float(np.clip(levels[answered] / 2 + levels[answered - 1] / 2, levels[answered - 1], below) if answered else below)


def finite_threshold(threshold: float, diff: np.ndarray) -> float:
    """A threshold to report: `ALWAYS` is replaced by the smallest one with the same effect on these questions; diff [N]."""
    finite = diff[np.isfinite(diff)]
    return float(threshold) if threshold < ALWAYS else float(finite.max()) if len(finite) else 0.0


def no_answer_curve(diff: np.ndarray, unanswerable: np.ndarray, weights: np.ndarray | None = None) -> tuple[np.ndarray, ...]:
    """Precision and recall (0 to 1) of "no answer" by threshold: levels, precision, recall [L], the highest level first.

    At a level, questions whose diff is at least that get no answer; diff [N]: null − best; weights [N]: of the questions.
    Recall is NaN if no question is unanswerable.
    """
    weights = np.ones(len(diff)) if weights is None else np.asarray(weights, np.float64)
    # [L], from the highest level down: how many questions get no answer, and how many of them rightly
    levels, group = np.unique(-np.asarray(diff, np.float64), return_inverse=True)
    said = np.cumsum(np.bincount(group, weights, len(levels)))
    right = np.cumsum(np.bincount(group, weights * np.asarray(unanswerable, bool), len(levels)))
    with np.errstate(invalid="ignore"):
        return -levels, right / said, right / right[-1] if right[-1] else np.full(len(levels), np.nan)


def average_precision(diff: np.ndarray, unanswerable: np.ndarray, weights: np.ndarray | None = None) -> float | None:
    """Average precision of "no answer": precision at each level of diff, weighted by the recall gained there (no interpolation).

    It measures how well null − best separates unanswerable questions, at any threshold. Arguments as for `no_answer_curve`; None
    if no question is unanswerable. Raises ValueError on NaN and without questions.
    """
    if not len(diff) or np.isnan(diff).any():
        raise ValueError("average precision needs at least one question, and no score may be NaN")
    _, precision, recall = no_answer_curve(diff, unanswerable, weights)
    gained = np.diff(recall, prepend=0.0)
    return None if np.isnan(recall[-1]) else 100 * float(np.sum(np.where(gained > 0, precision, 0.0) * gained))


def qa_threshold_scores(
    em: np.ndarray, f1: np.ndarray, nothing: np.ndarray, answerable: np.ndarray, diff: np.ndarray, threshold: float
) -> dict[str, float | None]:
    """All scores of SQuAD 2.0 questions; em, f1 [N] (0 to 1): of their best spans; diff [N]: null − best.

    nothing [N]: score of no answer; answerable [N]: whether the question has a gold answer. `em, f1` are at `threshold`, `em_at_0,
    f1_at_0` at 0, `best_em, best_f1` at the best thresholds on these very questions (an upper bound, not a result); thresholds are
    finite (`finite_threshold`); `has_answer_…` over
    answerable questions at `threshold`, `span_…` the same if every question must be answered; `no_answer_accuracy` over the unanswerable,
    at `threshold`; `no_answer_ap` is the average precision of "no answer". A score over no questions is None.
    """
    em, f1, nothing, diff = (np.asarray(x, np.float64) for x in (em, f1, nothing, diff))
    answerable = np.asarray(answerable, bool)
    em_threshold, best_em = best_threshold(em, nothing, diff)
    f1_threshold, best_f1 = best_threshold(f1, nothing, diff)
    em_given, f1_given = (np.where(no_answer(diff, threshold), nothing, span) for span in (em, f1))
    return {
        "em": percent(em_given),
        "f1": percent(f1_given),
        "threshold": finite_threshold(threshold, diff),
        "em_at_0": score_at(0.0, em, nothing, diff),
        "f1_at_0": score_at(0.0, f1, nothing, diff),
        "best_em": best_em,
        "best_em_threshold": finite_threshold(em_threshold, diff),
        "best_f1": best_f1,
        "best_f1_threshold": finite_threshold(f1_threshold, diff),
        "has_answer_em": percent(em_given[answerable]),
        "has_answer_f1": percent(f1_given[answerable]),
        "span_em": percent(em[answerable]),
        "span_f1": percent(f1[answerable]),
        "no_answer_accuracy": percent(em_given[~answerable]),
        "no_answer_ap": average_precision(diff, ~answerable),
        "n": len(em),
    }
