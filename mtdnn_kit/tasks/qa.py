"""Question answering: an answer is a span of the context or nothing (paper, "Model": start and end score of every token).

An item is a window. Windows of one question share its row; the null score of a question is the least over its windows.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from mtdnn_kit.decoding import best_spans, merge_windows, no_spans, probabilities
from mtdnn_kit.rows import QARow
from mtdnn_kit.spans import (
    NULL,
    Frame,
    Tokens,
    check_lengths,
    context_room,
    pair_frame,
    token_span,
    tokenize,
    window_label,
    windows,
)
from mtdnn_kit.tasks.answers import Answers, scores, tune
from mtdnn_kit.tasks.padding import Batch, pad

HEAD = "AutoModelForQuestionAnswering"
__all__ = ["HEAD", "Features", "Reader", "features", "loss", "scores", "tune"]


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
        return self.firsts + len(self.frame.suffix) + self.table[:, 2] - self.table[:, 1]

    @cached_property
    def firsts(self) -> np.ndarray:
        """Position of the first context token of each window [W]."""
        words = np.array([len(q) for q in self.questions], np.int64)[self.table[:, 0]]
        return words + len(self.frame.prefix) + len(self.frame.middle)

    def first(self, item: int) -> int:
        """Position of the first context token of a window."""
        return int(self.firsts[item])

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


class Reader:
    """Collects the logits of windows, batch by batch in any order, into the answers. Keeps the n-best and the null score of a window."""

    def __init__(self, features: Features, config):
        self.features, self.config, count = features, config, len(features.table)
        self.best, self.null = no_spans(count, config.n_best), np.full(count, np.nan, np.float32)
        offsets, at = {}, 0
        for context, tokens in features.contexts.items():
            offsets[context], at = at, at + len(tokens.ids)
        self.offsets = np.array([offsets[row.context] for row in features.rows], np.int64)  # where the context of a row begins in …
        empty = np.zeros(1, np.int32)  # (a last token for windows without any)
        self.starts = np.concatenate([*(tokens.starts for tokens in features.contexts.values()), empty])
        self.ends = np.concatenate([*(tokens.ends for tokens in features.contexts.values()), empty])

    def add(self, items: np.ndarray, logits: np.ndarray) -> None:
        """logits [B, T, 2] of the windows `items` [B], fp32. Raises ValueError, with the question's id, where they are no numbers."""
        row, a, b = self.features.table[items, :3].T.astype(np.int64)
        place = np.arange(max(int((b - a).max()), 1))
        held = place < (b - a)[:, None]  # [B, M]
        here = np.where(held, self.features.firsts[items][:, None] + place, NULL)
        token = np.where(held, (self.offsets[row] + a)[:, None] + place, -1)
        scores = np.where(held[..., None], logits[np.arange(len(items))[:, None], here], -np.inf).astype(np.float32)
        null = logits[:, NULL].sum(axis=1, dtype=np.float32)
        bad = ~np.isfinite(null) | (np.isnan(scores) | (scores == np.inf)).any(axis=(1, 2))
        if bad.any():
            raise ValueError(f"question {self.features.rows[row[bad][0]].id}: the model's scores are not numbers (NaN or infinite)")
        ends = np.where(held, self.ends[token], 0)  # 0 … 0, no characters, where the window has no such token
        found = best_spans(
            *np.moveaxis(scores, 2, 0), np.where(held, self.starts[token], 0), ends, self.config.n_best, self.config.max_answer
        )
        self.null[items] = null
        for part, values in zip(self.best, found, strict=True):
            part[items] = values

    def predictions(self) -> Answers:
        """The answers, in the order of the rows. Raises ValueError, with its id, for a question a window of which was not scored."""
        rows, owners = self.features.rows, self.features.table[:, 0]
        count = np.bincount(owners, minlength=len(rows))
        lacking = np.concatenate([np.flatnonzero(count == 0), owners[np.isnan(self.null)]])
        if len(lacking):
            raise ValueError(f"question {rows[lacking[0]].id}: none of its windows was scored, or not all, so it has no answer")
        null = np.full(len(rows), np.inf, np.float32)
        np.minimum.at(null, owners, self.null)
        best = merge_windows(self.best, owners, len(rows))
        return Answers([row.id for row in rows], null, best, probabilities(best, null), count)
