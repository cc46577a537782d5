"""Windows and answers: from characters to tokens and back. Pure functions on text and integers; no model, no score, no task, no file.

A question–context pair reads `[CLS] question [SEP] context [SEP]` (paper, "Model"). A context that does not fit is cut into windows that
share `overlap` tokens. `[CLS]`, position 0, carries the null answer. Question and context are tokenised apart and put together here, so
that no length of the question can upset the tokenizer, and each context is tokenised once however many questions it has.
Shapes: T tokens.
"""

from typing import NamedTuple

import numpy as np

NULL = 0  # the position of [CLS]


class Frame(NamedTuple):
    """The special tokens of a pair, and the token types of its five parts (all 0 where the tokenizer has one type)."""

    prefix: list[int]
    middle: list[int]
    suffix: list[int]
    types: tuple[int, int, int, int, int]

    @property
    def size(self) -> int:
        """Number of special tokens."""
        return len(self.prefix) + len(self.middle) + len(self.suffix)


class Tokens(NamedTuple):
    """A text's tokens: ids [T], and the characters [start, end) of each, white space trimmed; start == end for a token of no character."""

    ids: np.ndarray
    starts: np.ndarray
    ends: np.ndarray


def pair_frame(tokenizer) -> Frame:
    """How `tokenizer` puts a pair together, read off an example. Raises ValueError where `[CLS]` would not come first."""
    pair = tokenizer("a", "b", return_token_type_ids=True)
    ids, part, types = pair["input_ids"], pair.sequence_ids(0), pair["token_type_ids"]
    first, second = ([i for i, p in enumerate(part) if p == which] for which in (0, 1))
    prefix, middle, suffix = ids[: first[0]], ids[first[-1] + 1 : second[0]], ids[second[-1] + 1 :]
    if not prefix:
        raise ValueError("this tokenizer puts no special token first, and the null answer needs one")
    at = (0, first[0], max(second[0] - 1, 0), second[0], len(ids) - 1)
    return Frame(prefix, middle, suffix, tuple(types[i] for i in at))


def tokenize(tokenizer, texts: list[str]) -> list[Tokens]:
    """Tokens of each text, without special tokens, however long it is."""
    if not texts:
        return []
    batch = tokenizer(
        texts,
        add_special_tokens=False,
        return_offsets_mapping=True,
        return_attention_mask=False,
        return_token_type_ids=False,
        verbose=False,
    )
    return [
        _trimmed(text, np.array(ids, np.int32), np.array(offsets, np.int32).reshape(-1, 2))
        for text, ids, offsets in zip(texts, batch["input_ids"], batch["offset_mapping"], strict=True)
    ]


def _trimmed(text: str, ids: np.ndarray, offsets: np.ndarray) -> Tokens:
    starts, ends = offsets[:, 0].copy(), offsets[:, 1].copy()
    for i, (start, end) in enumerate(offsets):
        while start < end and text[start].isspace():
            start += 1
        while start < end and text[end - 1].isspace():
            end -= 1
        starts[i], ends[i] = start, end
    return Tokens(ids, starts, ends)


def context_room(max_length: int, question_tokens: int, frame: Frame) -> int:
    """Context tokens that fit beside a question of so many tokens."""
    return max_length - question_tokens - frame.size


def check_lengths(max_length: int, max_question: int, overlap: int, frame: Frame) -> None:
    """Raises ValueError, naming the parameter, unless every question leaves room for the context and `overlap` is at most half of it."""
    room = context_room(max_length, max_question, frame)
    if room < 1:
        raise ValueError(f"max_question: {max_question} leaves no room for the context within max_length {max_length}")
    if not 0 <= overlap <= room // 2:
        raise ValueError(
            f"overlap: {overlap} must lie between 0 and {room // 2}, half of the {room} tokens that max_length {max_length} "
            f"leaves to the context beside a question of max_question {max_question}"
        )


def windows(n_tokens: int, room: int, overlap: int) -> list[tuple[int, int]]:
    """Token ranges [a, b) of at most `room` tokens; neighbours share `overlap`; together they hold every token (at least one range)."""
    step, last = room - overlap, max(n_tokens - room, 0)
    count = 1 + -(-last // step)
    return [(i * step, min(i * step + room, n_tokens)) for i in range(count)]


def token_span(tokens: Tokens, start: int, end: int) -> tuple[int, int] | None:
    """First and last token (both included) of the smallest token span that covers characters [start, end); None if no token does."""
    inside = np.flatnonzero((tokens.ends > start) & (tokens.starts < end) & (tokens.ends > tokens.starts))
    return (int(inside[0]), int(inside[-1])) if len(inside) else None


def window_label(span: tuple[int, int] | None, window: tuple[int, int], first: int) -> tuple[int, int]:
    """Start and end label in a window whose context begins at position `first`; both NULL unless the window holds the whole answer."""
    if span is None or span[0] < window[0] or span[1] >= window[1]:
        return NULL, NULL
    return first + span[0] - window[0], first + span[1] - window[0]
