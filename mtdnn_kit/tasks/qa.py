"""Question answering: an answer is a span of the context or nothing (paper, "Model": start and end score of every token).

An item is a window. Windows of one question share its row; the null score of a question is the least over its windows.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from mtdnn_kit.metrics import best_threshold, exact, f1, qa_threshold_scores
from mtdnn_kit.rows import QARow
from mtdnn_kit.spans import (
    NULL,
    Frame,
    Span,
    Tokens,
    best_spans,
    check_lengths,
    context_room,
    merge_spans,
    pair_frame,
    token_span,
    tokenize,
    window_label,
    windows,
)
from mtdnn_kit.tasks.padding import Batch, pad

HEAD = "AutoModelForQuestionAnswering"


@dataclass(frozen=True)
class Features:
    """Windows of all questions. Token ids are kept once a question and once a context; a window is five integers.

    table [W, 5]: row, first and end context token, start and end label (positions in the window, NULL for no answer).
    """

    rows: list[QARow]
    questions: list[np.ndarray]
    contexts: dict[str, Tokens]
    table: np.ndarray
    frame: Frame
    pad_id: int
    types: bool

    @cached_property
    def lengths(self) -> np.ndarray:
        """Tokens of each window, special ones included [W]."""
        words = np.array([len(q) for q in self.questions], np.int64)[self.table[:, 0]]
        return words + self.frame.size + self.table[:, 2] - self.table[:, 1]

    def first(self, item: int) -> int:
        """Position of the first context token of a window."""
        return len(self.frame.prefix) + len(self.questions[self.table[item, 0]]) + len(self.frame.middle)

    def window(self, item: int) -> Tokens:
        """The context tokens of a window."""
        row, a, b = self.table[item, :3]
        return Tokens(*(part[a:b] for part in self.contexts[self.rows[row].context]))

    def collate(self, items: np.ndarray) -> Batch:
        """inputs [B, T], targets int64 [B, 2]."""
        ids, types = zip(*(self._sequence(i) for i in items), strict=True)
        inputs = pad(list(ids), list(types) if self.types else None, self.pad_id)
        return Batch(inputs, torch.from_numpy(self.table[items, 3:5].astype(np.int64)), int(sum(map(len, ids))))

    def _sequence(self, item: int) -> tuple[np.ndarray, np.ndarray]:
        frame, question = self.frame, self.questions[self.table[item, 0]]
        parts = [frame.prefix, question, frame.middle, self.window(item).ids, frame.suffix]
        return np.concatenate(parts).astype(np.int32), np.repeat(frame.types, [len(p) for p in parts])


def features(rows: list[QARow], dataset, tokenizer, config, types: bool = True) -> Features:
    """Windows of `rows`, of at most `max_length` tokens; a question is cut to `max_question` first (paper, "Settings").

    A row with several answers is labelled with the first. Raises ValueError that names the parameter where lengths do not fit.
    """
    frame = pair_frame(tokenizer)
    check_lengths(config.max_length, config.max_question, config.overlap, frame)
    questions = [tokens.ids[: config.max_question] for tokens in tokenize(tokenizer, [row.question for row in rows])]
    texts = list(dict.fromkeys(row.context for row in rows))
    contexts = dict(zip(texts, tokenize(tokenizer, texts), strict=True))
    table = []
    for i, row in enumerate(rows):
        tokens = contexts[row.context]
        answer = _answer_span(row, tokens)
        first = len(frame.prefix) + len(questions[i]) + len(frame.middle)
        for window in windows(len(tokens.ids), context_room(config.max_length, len(questions[i]), frame), config.overlap):
            table.append((i, *window, *window_label(answer, window, first)))
    table = np.array(table, np.int32).reshape(-1, 5)
    return Features(rows, questions, contexts, table, frame, tokenizer.pad_token_id, types)


def _answer_span(row: QARow, tokens: Tokens) -> tuple[int, int] | None:
    if not row.answers:
        return None
    start, text = row.answers[0]
    return token_span(tokens, start, start + len(text))


def loss(logits: torch.Tensor, targets: torch.Tensor, config) -> torch.Tensor:
    """Cross entropy of the start plus that of the end over the tokens (paper, "Model"); `loss: mean` halves it, as transformers does.

    logits [B, T, 2] with padding at −inf, targets [B, 2]; a scalar, the mean over the batch.
    """
    total = cross_entropy(logits[..., 0], targets[:, 0]) + cross_entropy(logits[..., 1], targets[:, 1])
    return total if config.loss == "sum" else total / 2


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
        """The answer at a threshold: nothing iff null − best > threshold (paper, "Model")."""
        return context[self.spans[0].start : self.spans[0].end] if self.diff <= threshold else ""


class Reader:
    """Collects the logits of windows, batch by batch in any order, into one Answer a question."""

    def __init__(self, features: Features, config):
        self.features, self.config = features, config
        self.spans: list[list[list[Span]]] = [[] for _ in features.rows]
        self.null = np.full(len(features.rows), np.inf, np.float32)

    def add(self, items: np.ndarray, logits: np.ndarray) -> None:
        """logits [B, T, 2] of the windows `items`, fp32. Raises ValueError, with the question's id, on NaN."""
        f, config = self.features, self.config
        held = [f.window(i) for i in items]
        width = max(len(tokens.ids) for tokens in held)
        scores, chars = np.full((2, len(items), width), -np.inf, np.float32), np.zeros((2, len(items), width), np.int32)
        for j, (item, tokens) in enumerate(zip(items, held, strict=True)):
            n, first, row = len(tokens.ids), f.first(item), f.table[item, 0]
            scores[:, j, :n] = logits[j, first : first + n].T
            chars[:, j, :n] = tokens.starts, tokens.ends
            null = logits[j, NULL, 0] + logits[j, NULL, 1]
            if np.isnan(null) or np.isnan(scores[:, j, :n]).any():
                raise ValueError(f"question {f.rows[row].id}: the model's scores are not numbers (NaN)")
            self.null[row] = min(self.null[row], null)
        for item, spans in zip(items, best_spans(*scores, *chars, config.n_best, config.max_answer), strict=True):
            self.spans[f.table[item, 0]].append(spans)

    def predictions(self) -> list[Answer]:
        """One Answer a question, in the order of the rows."""
        merged = [merge_spans(spans, self.config.n_best) for spans in self.spans]
        return [
            Answer(row.id, float(null), spans, _softmax([s.score for s in spans] + [float(null)]))
            for row, null, spans in zip(self.features.rows, self.null, merged, strict=True)
        ]


def _softmax(scores: list[float]) -> list[float]:
    values = np.exp(np.array(scores, np.float64) - max(scores))
    return (values / values.sum()).tolist()


def gold_texts(row: QARow) -> list[str]:
    """The answers that the official scorer accepts: "" alone for an unanswerable question."""
    return [text for _, text in row.answers] or [""]


def tune(rows: list[QARow], answers: list[Answer]) -> float:
    """The threshold that is best for F1 on `rows` (held out of training, never the reported set)."""
    scored = _scored(rows, answers)
    return best_threshold(scored["f1"], scored["nothing"], scored["diff"])[0]


def scores(rows: list[QARow], answers: list[Answer], threshold: float) -> dict:
    """EM, F1 and their parts in percent (see `metrics.qa_threshold_scores`), at `threshold`, at 0 and at the best on these rows."""
    return qa_threshold_scores(**_scored(rows, answers), threshold=threshold)


def _scored(rows: list[QARow], answers: list[Answer]) -> dict[str, np.ndarray]:
    best = [a.text(row.context, float("inf")) if a.spans else "" for row, a in zip(rows, answers, strict=True)]
    golds = [gold_texts(row) for row in rows]
    return {
        "em": np.array([exact(text, gold) for text, gold in zip(best, golds, strict=True)]),
        "f1": np.array([f1(text, gold) for text, gold in zip(best, golds, strict=True)]),
        "nothing": np.array([exact("", gold) for gold in golds]),
        "answerable": np.array([bool(row.answers) for row in rows]),
        "diff": np.array([a.diff for a in answers]),
    }
