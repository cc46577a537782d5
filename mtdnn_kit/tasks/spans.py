"""Windows and answers: from characters to tokens and back. Pure functions on text and integers; no model, no score, no task, no file.

A question–context pair reads `[CLS] question [SEP] context [SEP]` (paper, "Model"). A context that does not fit is cut into windows that
share `overlap` tokens. `[CLS]`, position 0, carries the null answer. Question and context are tokenised separately and joined here, so
that a question of any length is safe for the tokenizer, and each context is tokenised once for all its questions.
Shapes: T tokens, N texts, R answers, W windows.
"""

from typing import Any, NamedTuple, TypeVar

import numpy as np

from mtdnn_kit.data.arrays import ends_of
from mtdnn_kit.errors import ConfigError
from mtdnn_kit.tasks.tokens import TokenList

NULL = 0  # the position of [CLS]
TOKENS_AT_ONCE = 1 << 20  # tokens compared at once
Count = TypeVar("Count", int, np.ndarray)


class Frame(NamedTuple):
    """The special tokens of a pair, and the token types of its five parts (all 0 if the tokenizer has one type)."""

    prefix: list[int]
    middle: list[int]
    suffix: list[int]
    types: tuple[int, int, int, int, int]

    @property
    def size(self) -> int:
        """Number of special tokens."""
        return len(self.prefix) + len(self.middle) + len(self.suffix)


def pair_frame(tokenizer: Any) -> Frame:
    """How `tokenizer` joins a pair, read off an example. Raises ValueError if no special token comes first."""
    pair = tokenizer("a", "b", return_token_type_ids=True)
    ids, part, types = pair["input_ids"], pair.sequence_ids(0), pair["token_type_ids"]
    first, second = ([i for i, p in enumerate(part) if p == which] for which in (0, 1))
    prefix, middle, suffix = ids[: first[0]], ids[first[-1] + 1 : second[0]], ids[second[-1] + 1 :]
    if not prefix:
        raise ValueError("this tokenizer puts no special token first, but the null answer needs one")
    at = (0, first[0], max(second[0] - 1, 0), second[0], len(ids) - 1)
    return Frame(prefix, middle, suffix, tuple(types[i] for i in at))


def context_room(max_length: int, question_tokens: Count, frame: Frame) -> Count:
    """Context tokens that fit into a window next to a question of this many tokens, or next to each of several [N]."""
    return max_length - question_tokens - frame.size


def check_lengths(max_length: int, max_question: int, overlap: int, frame: Frame) -> None:
    """Raises ConfigError unless every question leaves room for the context and `overlap` is at most half of it."""
    room = context_room(max_length, max_question, frame)
    if room < 1:
        raise ConfigError(f"max_question: {max_question} leaves no room for the context within max_length {max_length}; lower it")
    if not 0 <= overlap <= room // 2:
        raise ConfigError(
            f"overlap: {overlap} must lie between 0 and {room // 2}, half of the {room} tokens that max_length {max_length} "
            f"leaves for the context next to a question of max_question {max_question}"
        )


def windows(n_tokens: np.ndarray, room: np.ndarray, overlap: int) -> np.ndarray:
    """Token ranges of texts of this many tokens [N], as int64 [W, 3]: text, first and end token.

    A range has at most `room` [N] tokens; neighbours share `overlap`; together they cover every token (at least one range per text).
    """
    # after the first window one more for each step, begun or whole, that its text goes on [N]
    step, beyond = room - overlap, np.maximum(n_tokens - room, 0)
    count = 1 + -(-beyond // step)
    # per window [W]: its text, and its first token, step by step
    owner = np.repeat(np.arange(len(count)), count)
    first = (np.arange(len(owner)) - ends_of(count)[:-1][owner]) * step[owner]
    return np.stack([owner, first, np.minimum(first + room[owner], n_tokens[owner])], axis=1)


def token_spans(tokens: TokenList, owners: np.ndarray, characters: np.ndarray) -> np.ndarray:
    """First and last token (both included) of the smallest token span that covers characters [start, end): int32 [R, 2], −1 if none does.

    characters [R, 2]: each in the text that `owners` [R] names; −1 and −1 for none.
    """
    # in groups of answers whose texts have about TOKENS_AT_ONCE tokens together
    sizes, found = np.diff(tokens.ends)[owners], np.empty((len(owners), 2), np.int32)
    group = np.cumsum(sizes) // TOKENS_AT_ONCE
    for some in np.split(np.arange(len(owners)), np.flatnonzero(np.diff(group)) + 1):
        found[some] = _token_spans(tokens, owners[some], sizes[some], *characters[some].T)
    return found


def _token_spans(tokens: TokenList, owners: np.ndarray, sizes: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    found = np.full((len(owners), 2), -1, np.int32)
    # every token of every answer's text: the answer it is compared with, and its index in the text
    row = np.repeat(np.arange(len(owners)), sizes)
    place = np.arange(len(row)) - ends_of(sizes)[row]
    at = tokens.ends[owners][row] + place
    token_starts, token_ends = tokens.flat.starts[at], tokens.flat.ends[at]
    # tokens that overlap their answer; assigning backwards keeps the first one, forwards the last
    inside = np.flatnonzero((token_ends > starts[row]) & (token_starts < ends[row]) & (token_ends > token_starts))
    of, at, begin, end = row[inside], place[inside], token_starts[inside], token_ends[inside]
    found[of[::-1], 0], found[of, 1] = at[::-1], at
    # if several tokens hold the first letter (one of several bytes), the one that begins last; for the last letter, the one that ends first
    other = np.flatnonzero(np.diff(of, prepend=-1) | np.diff(begin, prepend=-1))
    other = other[begin[other] <= starts[of[other]]]
    found[of[other], 0] = at[other]
    other = np.flatnonzero(np.diff(of, append=-1) | np.diff(end, append=-1))[::-1]
    other = other[end[other] >= ends[of[other]]]
    found[of[other], 1] = np.maximum(at[other], found[of[other], 0])
    return found


def window_labels(spans: np.ndarray, windows: np.ndarray, firsts: np.ndarray) -> np.ndarray:
    """Start and end label [W, 2] in windows whose context begins at position `firsts` [W]; NULL unless a window holds the whole answer.

    spans [W, 2]: first and last token of the answer, −1 without one; windows [W, 2]: first and end token.
    """
    # a window that lacks any part of the answer is labelled with no answer
    held = (spans[:, 0] >= windows[:, 0]) & (spans[:, 1] < windows[:, 1])
    return np.where(held[:, None], firsts[:, None] + spans - windows[:, :1], NULL)
