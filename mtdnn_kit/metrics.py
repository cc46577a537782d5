"""Scores: plain values in, plain values out. Knows no model, no row and no file, and imports nothing from the kit.

EM and F1 follow the official SQuAD 2.0 evaluation (Rajpurkar et al., 2018): answers are compared in lower case, without
punctuation, articles and extra white space; of several gold answers the best match counts; the denominator is questions. All scores are in
percent unless noted otherwise. `null_threshold` applies a threshold to them. Shapes: N questions or rows.
"""

import math
import re
import string
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

Labels = Sequence[int] | np.ndarray
_PUNCTUATION = str.maketrans("", "", string.punctuation)  # ASCII only, as in the official scorer
_ARTICLES = re.compile(r"\b(a|an|the)\b")


def normalize(text: str) -> str:
    """`text` for comparison: lower case, no ASCII punctuation, no English articles, single spaces."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def _golds(golds: Sequence[str]) -> list[str]:
    """Normalised gold answers without empty ones; [""] (no answer is right) if none is left. Raises ValueError for a single text."""
    if isinstance(golds, str):
        raise ValueError(f"golds: {golds!r} is a text; give a list of gold answers")
    return [gold for gold in map(normalize, dict.fromkeys(golds)) if gold] or [""]


def exact(answer: str, golds: Sequence[str]) -> float:
    """Exact match, 0 or 1; golds: the gold answers, [""] or [] for an unanswerable question."""
    return float(normalize(answer) in _golds(golds))


def f1(answer: str, golds: Sequence[str]) -> float:
    """F1 over words, 0 to 1: the best over `golds`; if either side is empty, 1 if both are, else 0."""
    words = normalize(answer).split()
    return max(_f1_of_words(words, gold.split()) for gold in _golds(golds))


def exact_f1_nothing(answer: str, golds: Sequence[str]) -> tuple[float, float, float]:
    """`exact`, `f1`, and the score of no answer (the same in both), together: texts are normalised only once."""
    said, wanted = normalize(answer), _golds(golds)
    words = said.split()
    return float(said in wanted), max(_f1_of_words(words, gold.split()) for gold in wanted), float("" in wanted)


def _f1_of_words(answer: list[str], gold: list[str]) -> float:
    if not answer or not gold or answer == gold:
        return float(answer == gold)
    # multiset intersection of the words
    shared = sum((Counter(answer) & Counter(gold)).values())
    if not shared:
        return 0.0
    precision, recall = shared / len(answer), shared / len(gold)
    return 2 * precision * recall / (precision + recall)


def qa_scores(answers: Sequence[str], golds: Sequence[Sequence[str]]) -> dict[str, float]:
    """{"em", "f1", "n"} of final answers ("" for no answer). Raises ValueError without questions."""
    if not len(answers):
        raise ValueError("there are no questions to score")
    pairs = list(zip(answers, golds, strict=True))
    return {"em": mean_percent([exact(*p) for p in pairs]), "f1": mean_percent([f1(*p) for p in pairs]), "n": len(pairs)}


def matched(golds: Mapping[str, Sequence[str]], predictions: Mapping[str, str]) -> tuple[list[str], list[Sequence[str]]]:
    """Answers and gold answers in the order of `golds`, for `qa_scores`: {id: gold answers} and {id: answer}, "" for no answer.

    Raises ValueError that names the id for a prediction of an unknown question, a question without prediction, and an answer that is not
    text.
    """
    for what, ids, others in (("does not belong to any question", predictions, golds), ("has no prediction", golds, predictions)):
        lacking = [key for key in ids if key not in others]
        if lacking:
            raise ValueError(f"id {lacking[0]!r} {what} ({len(lacking):,} of {len(ids):,} ids); every question needs exactly one answer")
    for key in golds:
        if not isinstance(predictions[key], str):
            raise ValueError(f'id {key!r}: the answer is {predictions[key]!r:.80}; it must be text, "" for no answer')
    return [predictions[key] for key in golds], list(golds.values())


def accuracy(gold: Labels, said: Labels) -> float:
    """Share of right labels."""
    right, labels = _labels(gold, said)
    return mean_percent(right == labels)


def matthews(gold: Labels, said: Labels) -> float:
    """Matthews' correlation of two or more labels (Gorodkin's R_K), −100 to 100; 0 if either side has only one label (CoLA)."""
    right, labels = _labels(gold, said)
    # confusion table [L, L]: gold by predicted, from the least label on, since −1 may stand for no prediction
    least = min(right.min(), labels.min())
    table = np.zeros((max(right.max(), labels.max()) - least + 1,) * 2)
    np.add.at(table, (right - least, labels - least), 1)
    by_gold, by_said, n = table.sum(axis=1), table.sum(axis=0), len(right)
    spread = np.sqrt(n**2 - by_gold @ by_gold) * np.sqrt(n**2 - by_said @ by_said)
    return 100 * float((np.trace(table) * n - by_gold @ by_said) / spread) if spread else 0.0


def f1_binary(gold: Labels, said: Labels) -> float:
    """F1 of label 1 (MRPC); 0 if neither side has it."""
    right, labels = (side == 1 for side in _labels(gold, said))
    both, either = (right & labels).sum(), right.sum() + labels.sum()
    return 100 * float(2 * both / either) if either else 0.0


def f1_macro(gold: Labels, said: Labels) -> float:
    """Mean F1 of the labels that either side has, with equal weights (scikit-learn's `average="macro"`)."""
    a, b = _labels(gold, said)
    by_label = [f1_binary(a == label, b == label) for label in np.union1d(a, b)]
    return math.fsum(by_label) / len(by_label)


def _labels(gold: Labels, said: Labels) -> tuple[np.ndarray, np.ndarray]:
    """Both sides as whole numbers [N]. Raises ValueError without rows, for different lengths, and for other numbers."""
    if not len(gold) or len(gold) != len(said):
        lengths = f"there are {len(gold):,} gold labels and {len(said):,} predicted ones"
        raise ValueError(lengths if len(gold) or len(said) else "there are no rows to score")
    right, labels = np.asarray(gold), np.asarray(said)
    for side in (right, labels):
        if side.dtype.kind not in "iub" and not (side == side.astype(np.int64)).all():
            raise ValueError(f"labels are whole numbers; these are not: {side[:3].tolist()} …")
    return right.astype(np.int64), labels.astype(np.int64)


def percent(values: Sequence[float] | np.ndarray) -> float | None:
    """100 times the mean, the same for any order of the values; None without values."""
    return mean_percent(values) if len(values) else None


def mean_percent(values: Sequence[float] | np.ndarray) -> float:
    """`percent` of at least one value."""
    return 100 * math.fsum(values) / len(values)


def calibration(probability: Sequence[float], right: Sequence[float], bins: int = 10) -> tuple[list[dict], float]:
    """Calibration of probabilities: rows {"from", "to", "n", "probability", "right"} of the non-empty bins, and the expected calibration
    error, the mean distance between the two weighted by n (Guo et al., 2017, eq. 3). All from 0 to 1.

    probability, right [N]: of an answer, and whether it is right. Bins have equal width; each includes its upper end. Raises ValueError
    without answers and for values outside 0 to 1.
    """
    p, true = np.asarray(probability, np.float64), np.asarray(right, np.float64)
    if not len(p) or len(p) != len(true) or not all(((some >= 0) & (some <= 1 + 1e-9)).all() for some in (p, true)):
        raise ValueError("calibration needs at least one probability and as many values of `right`, all from 0 to 1")
    edges, rows = np.linspace(0, 1, bins + 1), []
    number = np.clip(np.searchsorted(edges, p, side="left") - 1, 0, bins - 1)
    for i in np.unique(number):
        inside = number == i
        means = {"probability": float(p[inside].mean()), "right": float(true[inside].mean())}
        rows.append({"from": float(edges[i]), "to": float(edges[i + 1]), "n": int(inside.sum()), **means})
    return rows, sum(row["n"] * abs(row["right"] - row["probability"]) for row in rows) / len(p)


SCORES = {"accuracy": accuracy, "matthews": matthews, "f1": f1_binary, "macro_f1": f1_macro}
