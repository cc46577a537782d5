"""Question answering: a span of the context, or no answer (paper, "Model": start and end score of every token).

An item is a window. Windows of one question share its row; the null score of a question is the minimum over its windows.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from mtdnn_kit.data.arrays import SIZE, Parts, Ragged, gathered, ragged, ragged_parts
from mtdnn_kit.data.rows import QARow
from mtdnn_kit.data.table import column, shared
from mtdnn_kit.errors import ScoreError
from mtdnn_kit.tasks.answers import Answers, scored, scores, tune
from mtdnn_kit.tasks.decoding import NBest, best_spans, merge_windows, no_spans
from mtdnn_kit.tasks.padding import Batch
from mtdnn_kit.tasks.spans import (
    NULL,
    Frame,
    check_lengths,
    context_room,
    pair_frame,
    token_spans,
    window_labels,
    windows,
)
from mtdnn_kit.tasks.tokens import TokenList, Tokens, token_ids, tokenize

HEAD = "AutoModelForQuestionAnswering"
OUTPUTS = 2  # per token: start and end
SETTINGS = ("max_length", "max_question", "overlap")  # parameters on which the columns depend
TEXTS = 256  # passages tokenised at once
QUESTIONS_AT_ONCE = 8192  # questions encoded at once
__all__ = ["HEAD", "OUTPUTS", "SETTINGS", "Features", "Reader", "encode", "features", "logits", "loss", "scored", "scores", "tune"]


class Contexts(Mapping):
    """The tokens of each distinct context: {text: tokens}. numbers [Q]: the context of each row, in order of first occurrence."""

    def __init__(self, rows: Sequence[QARow], tokens: TokenList, numbers: np.ndarray):
        self.rows, self.tokens, self.numbers = rows, tokens, numbers

    def __len__(self) -> int:
        return len(self.tokens)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __getitem__(self, text: str) -> Tokens:
        return self.tokens[self._places[text]]

    @cached_property
    def _places(self) -> dict[str, int]:
        return {self.rows[row].context: number for number, row in enumerate(np.unique(self.numbers, return_index=True)[1].tolist())}


@dataclass(frozen=True)
class Features:
    """Windows of all questions. Token ids are stored once per question and once per context; a window is five integers.

    table [W, 5]: row, first and end context token, start and end label (positions in the window, NULL for no answer).
    """

    rows: Sequence[QARow]
    questions: Ragged
    contexts: Contexts
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
        return self.questions.sizes[self.table[:, 0]] + len(self.frame.prefix) + len(self.frame.middle)

    def first(self, item: int) -> int:
        """Position of the first context token of a window."""
        return int(self.firsts[item])

    def window(self, item: int) -> Tokens:
        """The context tokens of a window."""
        row, a, b = self.table[item, :3]
        return Tokens(*(part[a:b] for part in self.contexts.tokens[self.contexts.numbers[row]]))

    def collate(self, items: np.ndarray) -> Batch:
        """inputs [B, T], targets int64 [B, 2]."""
        # per window [B]: its question, its first context token, and the positions at which its parts begin
        frame, (row, a) = self.frame, self.table[items, :2].T.astype(np.int64)
        firsts, lengths, question = self.firsts[items], self.lengths[items], len(self.frame.prefix)
        middle, suffix = firsts - len(frame.middle), lengths - len(frame.suffix)
        # the part that each position belongs to [B, T]: 0 [CLS], 1 question, 2 [SEP], 3 context, 4 [SEP], 5 padding
        place = np.arange(int(lengths.max()))
        part = sum((place >= begin[:, None]).astype(np.int8) for begin in (middle, firsts, suffix, lengths)) + (place >= question)
        # [B, T]: the special tokens, then question and context, taken from one array of all rows' tokens
        ids = np.full(part.shape, self.pad_id, np.int64)
        for number, tokens, begin in ((0, frame.prefix, 0), (2, frame.middle, middle[:, None]), (4, frame.suffix, suffix[:, None])):
            at = part == number
            ids[at] = np.array(tokens, np.int64)[np.broadcast_to(place - begin, at.shape)[at]]
        for number, flat, begin in (
            (1, self.questions.values, self.questions.ends[row] - question),
            (3, self.contexts.tokens.flat.ids, self.contexts.tokens.ends[self.contexts.numbers[row]] + a - firsts),
        ):
            at = part == number
            ids[at] = flat[(begin[:, None] + place)[at]]
        # int64 [B, T] each; targets [B, 2]: start and end position, NULL for no answer
        inputs = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy((part < 5).astype(np.int64))}
        if self.types:
            inputs["token_type_ids"] = torch.from_numpy(np.array([*frame.types, 0])[part])
        return Batch(inputs, torch.from_numpy(self.table[items, 3:5].astype(np.int64)), int(lengths.sum()))


def features(rows: Sequence[QARow], dataset: Any, tokenizer: Any, config: Any, types: bool = True, columns: dict | None = None) -> Features:
    """Windows of `rows`, of at most `max_length` tokens; a question is cut to `max_question` first (paper, "Settings").

    A row with several answers is labelled with the first. columns: the result of `encode`, if it was called before. Raises ConfigError that
    names the parameter if lengths do not fit.
    """
    made = columns or gathered(encode(rows, tokenizer, **{name: getattr(config, name) for name in SETTINGS}))
    tokens = TokenList(made["context"], made["context_starts"], made["context_ends"], made[SIZE.format("context")])
    contexts = Contexts(rows, tokens, made["context_of"])
    return Features(rows, ragged("question", made), contexts, made["table"], pair_frame(tokenizer), tokenizer.pad_token_id, types)


def encode(rows: Sequence[QARow], tokenizer: Any, max_length: int, max_question: int, overlap: int) -> Parts:
    """The columns of `Features`, part by part: tokens of contexts and questions, and the windows."""
    frame = pair_frame(tokenizer)
    check_lengths(max_length, max_question, overlap, frame)
    numbers, texts = shared(rows, "context")
    sizes, spans, answers = np.zeros(len(texts), np.int32), np.full((len(rows), 2), -1, np.int32), answer_characters(rows)
    # rows with an answer, in the order of their contexts: a block of contexts has those from begin[block] to begin[block + 1]
    answered = np.flatnonzero(answers[:, 0] >= 0)
    answered = answered[np.argsort(numbers[answered], kind="stable")]
    begin = np.searchsorted(numbers[answered], np.arange(0, len(texts) + TEXTS, TEXTS))
    for block, first in enumerate(range(0, len(texts), TEXTS)):
        tokens = tokenize(tokenizer, texts[first : first + TEXTS])
        sizes[first : first + TEXTS] = np.diff(tokens.ends)
        some = answered[slice(*begin[block : block + 2])]
        spans[some] = token_spans(tokens, numbers[some] - first, answers[some])
        yield {"context": tokens.flat.ids, "context_starts": tokens.flat.starts, "context_ends": tokens.flat.ends}
    yield {SIZE.format("context"): sizes, "context_of": numbers}
    questions = column(rows, "question")
    for first in range(0, len(rows), QUESTIONS_AT_ONCE):
        these = slice(first, first + QUESTIONS_AT_ONCE)
        # the question is truncated before pairing (paper, "Settings"): a long one neither fails nor crowds out the context
        ids = [found[:max_question] for found in token_ids(tokenizer, questions[these])]
        words = np.array([len(found) for found in ids], np.int64)
        # per window [W]: its row, first and end context token; the position at which its context begins; its two labels
        owner, *window = windows(sizes[numbers[these]], context_room(max_length, words, frame), overlap).T
        firsts = (words + len(frame.prefix) + len(frame.middle))[owner]
        labels = window_labels(spans[these][owner], np.stack(window, axis=1), firsts)
        yield {**ragged_parts("question", ids, np.int32), "table": np.column_stack([owner + first, *window, labels]).astype(np.int32)}


def answer_characters(rows: Sequence[QARow]) -> np.ndarray:
    """Characters [start, end) of each row's first answer, −1 and −1 without one: int32 [Q, 2]."""
    firsts = (answers[0] if answers else (-1, "") for answers in column(rows, "answers"))
    return np.fromiter(((start, start + len(text)) for start, text in firsts), np.dtype((np.int32, 2)), len(rows))


def logits(out: Any, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """Start and end scores [B, T, 2] from the output of transformers' model, −inf at padding."""
    # [B, T] twice → [B, T, 2]; padding is never part of an answer
    both = torch.stack([out.start_logits, out.end_logits], dim=-1)
    return both.masked_fill(inputs["attention_mask"][..., None] == 0, -torch.inf)


def loss(logits: torch.Tensor, targets: torch.Tensor, config: Any) -> torch.Tensor:
    """Cross entropy of the start plus that of the end over the tokens (paper, "Model"); `loss: mean` halves it, as transformers does.

    logits [B, T, 2] with padding at −inf, targets [B, 2]; a scalar, the mean over the batch.
    """
    # [B, T] against [B]: separate softmaxes over the tokens for start and end
    total = cross_entropy(logits[..., 0], targets[:, 0]) + cross_entropy(logits[..., 1], targets[:, 1])
    return total if config.loss == "sum" else total / 2


class Reader:
    """Collects the logits of windows, batch by batch in any order, into the answers. Keeps the n-best and the null score of a window."""

    def __init__(self, features: Features, config: Any):
        self.features, self.config, count = features, config, len(features.table)
        self.best, self.null = no_spans(count, config.n_best), np.full(count, np.nan, np.float32)
        # offsets [Q]: the index in starts and ends (the characters of all contexts' tokens) at which a row's context begins
        tokens, numbers = features.contexts.tokens, features.contexts.numbers
        self.offsets = tokens.ends[:-1][numbers]
        self.starts: np.ndarray
        self.ends: np.ndarray
        self.starts, self.ends = tokens.flat[1:] if len(tokens.flat.ids) else np.zeros((2, 1), np.int32)

    def add(self, items: np.ndarray, logits: np.ndarray) -> None:
        """logits [B, T, 2] of the windows `items` [B], fp32. Raises ScoreError, with the question's id, if they are NaN or infinite."""
        row, a, b = self.features.table[items, :3].T.astype(np.int64)
        # [B, M], M the most context tokens of a window: whether the token exists, its position, and its index among all tokens
        place = np.arange(max(int((b - a).max()), 1))
        held = place < (b - a)[:, None]
        here = np.where(held, self.features.firsts[items][:, None] + place, NULL)
        token = np.where(held, (self.offsets[row] + a)[:, None] + place, 0)
        # [B, M, 2]: logits of context tokens only, so that question, special and pad tokens are never part of an answer
        scores = np.where(held[..., None], logits[np.arange(len(items))[:, None], here], -np.inf).astype(np.float32)
        # [B]: the null score of a window, start[CLS] + end[CLS]
        null = logits[:, NULL].sum(axis=1, dtype=np.float32)
        bad = ~np.isfinite(null) | (np.isnan(scores) | (scores == np.inf)).any(axis=(1, 2))
        if bad.any():
            raise ScoreError(f"question {self.features.rows[row[bad][0]].id}: the model's scores are not numbers (NaN or infinite)")
        # characters 0 … 0 (empty) if the window has no such token
        ends = np.where(held, self.ends[token], 0)
        found = best_spans(
            scores[..., 0], scores[..., 1], np.where(held, self.starts[token], 0), ends, self.config.n_best, self.config.max_answer
        )
        self.null[items] = null
        for part, values in zip(self.best, found, strict=True):
            part[items] = values

    def predictions(self) -> Answers:
        """The answers, in the order of the rows; the reader cannot be used again. Raises ScoreError, with its id, for a question without a
        score.

        Windows come in the order of their questions, so a question's n-best can overwrite that of its windows, which halves the memory.
        """
        rows, owners = self.features.rows, self.features.table[:, 0]
        count = np.bincount(owners, minlength=len(rows))
        lacking = np.concatenate([np.flatnonzero(count == 0), owners[np.isnan(self.null)]])
        if len(lacking):
            raise ScoreError(f"question {rows[lacking[0]].id}: some or all of its windows were not scored, so it has no answer")
        # [Q]: the null score of a question is the minimum over its windows
        null = np.full(len(rows), np.inf, np.float32)
        np.minimum.at(null, owners, self.null)
        ends = np.cumsum(count)
        for first in range(0, len(rows), QUESTIONS_AT_ONCE):
            last = min(first + QUESTIONS_AT_ONCE, len(rows))
            some = slice(ends[first] - count[first], ends[last - 1])
            merged = merge_windows(NBest(*(part[some] for part in self.best)), owners[some] - first, last - first)
            for part, values in zip(self.best, merged, strict=True):
                part[first:last] = values
        best = NBest(*(part[: len(rows)] for part in self.best))
        return Answers(column(rows, "id"), null, best, count)
