"""Answers to questions, and their scores: a span of the context or nothing, which a threshold decides (paper, "Model").

Where spans and null scores come from is `qa`'s business; how a text is scored, `metrics`'.
"""

from dataclasses import dataclass

import numpy as np

from mtdnn_kit.decoding import NBest, Span
from mtdnn_kit.metrics import exact, f1
from mtdnn_kit.rows import QARow, gold_texts
from mtdnn_kit.thresholds import best_threshold, qa_threshold_scores


@dataclass(frozen=True)
class Answer:
    """What a model says of one question: n-best spans, null score, and the probability of each and (last) of nothing.

    The probabilities are a softmax over the n-best spans' scores and the null score.
    """

    id: str
    null: float
    spans: list[Span]
    probabilities: list[float]

    @property
    def diff(self) -> float:
        """null − best; infinite where no span is possible."""
        return self.null - self.spans[0].score if self.spans else float("inf")

    def text(self, context: str, threshold: float) -> str:
        """The answer at a threshold: nothing iff null − best > threshold (paper, "Model"). Without a span, nothing at any threshold."""
        return context[self.spans[0].start : self.spans[0].end] if self.spans and self.diff <= threshold else ""


@dataclass(frozen=True)
class Answers:
    """The answers to Q questions as arrays; item i is question i's `Answer`.

    null fp32 [Q]; best: n-best [Q, n]; probabilities [Q, n + 1]; windows [Q]: in how many windows each question was read.
    """

    ids: list[str]
    null: np.ndarray
    best: NBest
    probabilities: np.ndarray
    windows: np.ndarray

    @property
    def diff(self) -> np.ndarray:
        """null − best of each question, float64 [Q]; infinite where no span is possible."""
        return self.null.astype(np.float64) - self.best.score[:, 0]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, i: int) -> Answer:
        spans = self.best.spans(range(len(self))[i])
        return Answer(self.ids[i], float(self.null[i]), spans, self.probabilities[i, [*range(len(spans)), -1]].tolist())


def tune(rows: list[QARow], answers: Answers) -> float:
    """The threshold that is best for F1 on `rows` (held out of training, never the reported set)."""
    scored = _scored(rows, answers)
    return best_threshold(scored["f1"], scored["nothing"], scored["diff"])[0]


def scores(rows: list[QARow], answers: Answers, threshold: float) -> dict:
    """EM, F1 and their parts in percent (see `metrics.qa_threshold_scores`), at `threshold`, at 0 and at the best on these rows."""
    return qa_threshold_scores(**_scored(rows, answers), threshold=threshold)


def _scored(rows: list[QARow], answers: Answers) -> dict[str, np.ndarray]:
    starts, ends = (part[:, 0].tolist() for part in answers.best[:2])  # 0 and 0, no text, where there is no span
    best = [row.context[a:b] for row, a, b in zip(rows, starts, ends, strict=True)]
    golds = [gold_texts(row) for row in rows]
    return {
        "em": np.array([exact(text, gold) for text, gold in zip(best, golds, strict=True)]),
        "f1": np.array([f1(text, gold) for text, gold in zip(best, golds, strict=True)]),
        "nothing": np.array([exact("", gold) for gold in golds]),
        "answerable": np.array([bool(row.answers) for row in rows]),
        "diff": answers.diff,
    }
