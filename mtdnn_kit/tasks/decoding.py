"""From logits to the n best answers: every span of a window is a candidate, and their order is total, so that ties have one result.

Order: (−score, first character, last character); the score is start logit + end logit in fp32. All computation is on arrays, one batch of
windows at a time; the result is [windows, n] for windows of any length. Knows characters and scores; no text, token or task.
Shapes: W windows, M context tokens, K tokens of the longest answer, n of n-best, Q questions.
"""

from typing import NamedTuple

import numpy as np

LOW = np.float32(-np.inf)
CANDIDATES = 1 << 21  # compared at once: 16 MB


class Span(NamedTuple):
    """A candidate answer: characters [start, end) of the context and its score, start logit + end logit in fp32."""

    start: int
    end: int
    score: float


class NBest(NamedTuple):
    """The best spans of W windows (or questions), best first: characters int32 [W, n], scores fp32 [W, n], −inf beyond the last span."""

    start: np.ndarray
    end: np.ndarray
    score: np.ndarray

    def spans(self, row: int) -> list[Span]:
        """The spans of one window or question."""
        found = int(np.count_nonzero(self.score[row] > LOW))
        return [Span(*values) for values in zip(*(part[row, :found].tolist() for part in self), strict=True)]


def no_spans(rows: int, n: int) -> NBest:
    """An empty n-best for `rows` windows or questions."""
    return NBest(np.zeros((rows, n), np.int32), np.zeros((rows, n), np.int32), np.full((rows, n), LOW))


def best_spans(start: np.ndarray, end: np.ndarray, starts: np.ndarray, ends: np.ndarray, n: int, max_answer: int) -> NBest:
    """The n best spans of each window, over *all* spans of at most `max_answer` tokens; one entry per character span, its best.

    start, end: logits of the context's tokens [W, M], no NaN and no +inf; starts, ends: characters of those tokens [W, M], start == end
    for padding and tokens without characters, at which no answer may start or end.
    """
    found, tokens = no_spans(len(start), n), start.shape[1]
    if not tokens:
        return found
    # [W, M]: an answer may start or end only at a token with characters
    usable = ends > starts
    first, last = (np.where(usable, x.astype(np.float32), LOW) for x in (start, end))
    # [W]: if no tokens share characters, two token spans are never the same character span
    apart = _apart(starts, usable) & _apart(ends, usable)
    width, some = min(max_answer, tokens), np.flatnonzero(apart)
    chunk = max(1, CANDIDATES // (min(n, tokens) * width))
    for rows in (some[i : i + chunk] for i in range(0, len(some), chunk)):
        _fill(found, rows, *_best_token_spans(first[rows], last[rows], n, width), starts, ends)
    for row in np.flatnonzero(~apart).tolist():
        _fill_shared(found, row, first[row], last[row], starts[row], ends[row], width)
    return found


def _apart(characters: np.ndarray, usable: np.ndarray) -> np.ndarray:
    """Whether the usable tokens of each window [W] begin (or end) at distinct characters, in order; spans then do so, too."""
    placed = np.where(usable, characters, -1)
    before = np.maximum.accumulate(placed, axis=1)[:, :-1]
    return np.all(~usable[:, 1:] | (placed[:, 1:] > before), axis=1)


def _best_token_spans(first: np.ndarray, last: np.ndarray, n: int, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """First token, last token and score of the n best spans [W, ≤ n], in order, for windows in which no two spans have the same characters.

    Only the n tokens whose best span scores highest (of equal ones, the first) can begin one of the n best: each of them has a span that
    precedes every span of the other tokens.
    """
    # [W, M + K − 1]: no span ends beyond the last token
    rows, tokens = first.shape
    last = np.pad(last, ((0, 0), (0, width - 1)), constant_values=LOW)
    # [W, n]: the first tokens whose best span scores highest
    begin, _ = _largest(first + _largest_ahead(last, width)[:, :tokens], np.arange(tokens), n)
    # [W, n, K]: all spans that begin there
    begin = begin[:, :, None]
    at = np.arange(rows)[:, None, None]
    scores = first[at, begin] + last[at, begin + np.arange(width)]
    number, score = _largest(scores.reshape(rows, -1), (begin * width + np.arange(width)).reshape(rows, -1), n)
    return number // width, number // width + number % width, score


def _largest_ahead(values: np.ndarray, width: int) -> np.ndarray:
    """The maximum of each value and the next width − 1 values of its row."""
    most, seen = values.copy(), 1
    while seen < width:
        step = min(seen, width - seen)
        most[:, :-step] = np.maximum(most[:, :-step], most[:, step:])
        seen += step
    return most


def _largest(scores: np.ndarray, numbers: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Numbers and scores of the n largest scores of each row, of equal scores those with the lowest numbers; scores fp32, numbers below
    2³².

    Score and number form one integer per candidate, in the same order: fp32 bit patterns sort like their values once those of negative
    values are inverted.
    """
    # + 0 turns −0 into 0, which it equals
    bits = (scores + np.float32(0)).view(np.int32).astype(np.int64)
    # high 32 bits: the score; low 32: the number, inverted, so that of equal scores the lowest number has the largest key
    keys = np.where(bits < 0, bits ^ 0x7FFFFFFF, bits) << 32 | 0xFFFFFFFF - numbers
    if n < keys.shape[1]:
        keys = np.partition(keys, keys.shape[1] - n, axis=1)[:, -n:]
    keys = np.sort(keys, axis=1)[:, ::-1]
    bits = (keys >> 32).astype(np.int32)
    return 0xFFFFFFFF - (keys & 0xFFFFFFFF), np.where(bits < 0, bits ^ 0x7FFFFFFF, bits).view(np.float32)


def _fill(
    found: NBest, rows: np.ndarray, first: np.ndarray, last: np.ndarray, score: np.ndarray, starts: np.ndarray, ends: np.ndarray
) -> None:
    """Writes token spans [R, ≤ n] of the windows `rows` [R] into `found` as characters."""
    slots = np.arange(score.shape[1])
    found.start[rows[:, None], slots] = starts[rows[:, None], first]
    found.end[rows[:, None], slots] = ends[rows[:, None], np.minimum(last, ends.shape[1] - 1)]
    found.score[rows[:, None], slots] = score


def _fill_shared(found: NBest, row: int, first: np.ndarray, last: np.ndarray, starts: np.ndarray, ends: np.ndarray, width: int) -> None:
    """As `_fill`, for a window in which tokens share characters (e.g. the bytes of an emoji), so that spans may coincide: compares all
    spans."""
    # every pair of a first token i and a last token j
    i, more = (x.ravel() for x in np.indices((len(first), min(width, len(first)))))
    j = i + more
    i, j = i[j < len(first)], j[j < len(first)]
    score = first[i] + last[j]
    i, j, score = (x[score > LOW] for x in (i, j, score))
    merge_into(found, np.full(len(score), row), starts[i], ends[j], score)


def merge_into(found: NBest, rows: np.ndarray, starts: np.ndarray, ends: np.ndarray, scores: np.ndarray) -> None:
    """Fills rows of `found` with the n best of these spans [S], each of the row that `rows` [S] names; one entry per character span."""
    # by row and characters, the best first: of spans with the same characters, the first is kept
    order = np.lexsort((-scores, ends, starts, rows))
    rows, starts, ends, scores = (x[order] for x in (rows, starts, ends, scores))
    new = np.ones(len(rows), bool)
    new[1:] = (rows[1:] != rows[:-1]) | (starts[1:] != starts[:-1]) | (ends[1:] != ends[:-1])
    # the rest by (−score, start, end) within a row; the first n are kept
    order = np.flatnonzero(new)[np.lexsort((ends[new], starts[new], -scores[new], rows[new]))]
    rows, starts, ends, scores = (x[order] for x in (rows, starts, ends, scores))
    place = np.arange(len(rows)) - np.searchsorted(rows, rows)
    kept = place < found.score.shape[1]
    for part, values in zip(found, (starts, ends, scores), strict=True):
        part[rows[kept], place[kept]] = values[kept]


def merge_windows(windows: NBest, owners: np.ndarray, questions: int) -> NBest:
    """The n best of each question [Q, n] from those of its windows [W, n], whose questions `owners` [W] names."""
    # a question with one window takes that window's n-best
    n, count = windows.score.shape[1], np.bincount(owners, minlength=questions)
    found, alone = no_spans(questions, n), count[owners] == 1
    for part, values in zip(found, windows, strict=True):
        part[owners[alone]] = values[alone]
    several = ~alone[:, None] & (windows.score > LOW)
    merge_into(found, np.broadcast_to(owners[:, None], several.shape)[several], *(part[several] for part in windows))
    return found


def probabilities(found: NBest, null: np.ndarray) -> np.ndarray:
    """Softmax over the n-best scores and, last, the null score [Q]: float64 [Q, n + 1], 0 beyond the last span. Each row sums to 1."""
    scores = np.concatenate([found.score, null[:, None]], axis=1).astype(np.float64)
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)
