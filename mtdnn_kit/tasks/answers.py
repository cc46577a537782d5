"""Answers to questions, and their scores. A threshold decides between a span of the context and no answer (paper, "Model").

`qa` makes spans and null scores; `metrics` scores a text.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mtdnn_kit.data.registry import ALWAYS
from mtdnn_kit.data.rows import QARow, gold_texts
from mtdnn_kit.metrics import exact_f1_nothing
from mtdnn_kit.tasks.decoding import NBest, Span, probabilities
from mtdnn_kit.tasks.null_threshold import best_threshold, no_answer, qa_threshold_scores

AT_ONCE = 1024  # questions per block of probabilities


@dataclass(frozen=True)
class Answer:
    """A model's output for one question: n-best spans, null score, and the probability of each span and (last) of no answer.

    The probabilities are a softmax over the n-best spans' scores and the null score.
    """

    id: str
    null: float
    spans: list[Span]
    probabilities: list[float]

    @property
    def diff(self) -> float:
        """null − best; infinite if no span is possible."""
        return self.null - self.spans[0].score if self.spans else float("inf")

    def text(self, context: str, threshold: float) -> str:
        """The answer at a threshold: the best span, or "" for no answer (`null_threshold.no_answer`). Without a span always ""."""
        return context[self.spans[0].start : self.spans[0].end] if self.spans and not no_answer(self.diff, threshold) else ""


@dataclass(frozen=True)
class Answers(Sequence):
    """The answers to Q questions as arrays; item i is question i's `Answer`.

    null fp32 [Q]; best: n-best [Q, n]; windows [Q]: each question's number of windows. Probabilities are computed when they are read.
    """

    ids: Sequence[str]
    null: np.ndarray
    best: NBest
    windows: np.ndarray

    @property
    def diff(self) -> np.ndarray:
        """null − best of each question, float64 [Q]; infinite if no span is possible."""
        return self.null.astype(np.float64) - self.best.score[:, 0]

    def __len__(self) -> int:
        return len(self.null)

    def __getitem__(self, i: int) -> Answer:
        i = range(len(self))[i]
        return next(self._block(i, i + 1))

    def __iter__(self) -> Iterator[Answer]:
        return (answer for first in range(0, len(self), AT_ONCE) for answer in self._block(first, min(first + AT_ONCE, len(self))))

    def _block(self, first: int, end: int) -> Iterator[Answer]:
        shares = probabilities(NBest(*(part[first:end] for part in self.best)), self.null[first:end])
        for i in range(first, end):
            spans = self.best.spans(i)
            yield Answer(self.ids[i], float(self.null[i]), spans, shares[i - first, [*range(len(spans)), -1]].tolist())


def tune(rows: Sequence[QARow], answers: Answers) -> float:
    """The threshold that is best for F1 on `rows` (held out of training, never the reported set); without unanswerable ones `ALWAYS`."""
    found = scored(rows, answers)
    if found["answerable"].all():
        return ALWAYS
    return best_threshold(found["f1"], found["nothing"], found["diff"])[0]


def scores(rows: Sequence[QARow], answers: Answers, threshold: float) -> dict:
    """EM, F1 and their parts in percent (see `null_threshold.qa_threshold_scores`), at `threshold`, at 0 and at the best on these rows."""
    return qa_threshold_scores(**scored(rows, answers), threshold=threshold)


def scored(rows: Sequence[QARow], answers: Answers) -> dict[str, np.ndarray]:
    """The inputs of a threshold's choice: em, f1 of the best spans and of no answer (nothing), 0 to 1, whether there is an answer, diff
    [Q]."""
    # [Q, 4]: EM, F1, the score of no answer, whether there is an answer; characters 0 and 0 (empty text) if there is no span
    starts, ends = answers.best.start[:, 0], answers.best.end[:, 0]
    found = np.empty((len(answers), 4))
    for i, (row, start, end) in enumerate(zip(rows, starts, ends, strict=True)):
        found[i] = *exact_f1_nothing(row.context[start:end], gold_texts(row)), bool(row.answers)
    em, f1, nothing, answerable = found.T
    return {"em": em, "f1": f1, "nothing": nothing, "answerable": answerable.astype(bool), "diff": answers.diff}
