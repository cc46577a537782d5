"""Texts → tokens, and the characters of each. Knows no question, no window and no answer.

A fast tokenizer tells of each token which characters it was made of, and that is taken here before the tokenizer's own last step, its
post-processor, trims it: some trim a letter that a word needs. What is trimmed here is white space. Every letter is in a token:
a combining mark, or what the normalizer merges with its neighbour, belongs to the token beside it; a text with a letter that the
tokenizer throws away is refused. Control and format characters are no letters. Shapes: T tokens, N texts, C characters.
"""

from collections.abc import Sequence
from itertools import chain
from typing import Any, NamedTuple
from unicodedata import category

import numpy as np
from tokenizers import Regex, Tokenizer, models, pre_tokenizers

from mtdnn_kit.data.arrays import ends_of
from mtdnn_kit.errors import EncoderError
from mtdnn_kit.files.wording import short

SPACES = np.array([i for i in range(0x3001) if chr(i).isspace()], np.uint32)  # there are none beyond
LETTERS = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split(Regex("."), "isolated")])
PROBES = (  # what a tokenizer is tried with: each script, and what stands between words
    *("".join(map(chr, range(first, first + 0x60))) for first in range(0x20, 0x600, 0x60)),
    "The Rhine rises  (in the Alps);\tit's 1,320 km\nlong. e\u0301lan, cafe\u0301",
    "🌍 👩\u200d🚀 🇩🇪 ❤\ufe0f 東京は 北京市 ｶﾞ 한국 \u1112\u1161\u11ab שלום مَرحبا नमस्ते สวัสดีครับ தமிழ் ქართული አማርኛ ﬁ ½ x\x00y",
)


class Tokens(NamedTuple):
    """A text's tokens: ids [T], and the characters [start, end) of each, white space trimmed; start == end for a token of no character."""

    ids: np.ndarray
    starts: np.ndarray
    ends: np.ndarray


class TokenList(Sequence[Tokens]):
    """The tokens of N texts as flat arrays; item i is text i's `Tokens`, no copy. ends [N + 1]: where each begins, and the last ends."""

    def __init__(self, ids: np.ndarray, starts: np.ndarray, ends: np.ndarray, sizes: np.ndarray):
        self.flat, self.ends = Tokens(ids, starts, ends), ends_of(sizes)

    def __len__(self) -> int:
        return len(self.ends) - 1

    def __getitem__(self, i: int) -> Tokens:
        i = range(len(self))[i]
        return Tokens(*(part[self.ends[i] : self.ends[i + 1]] for part in self.flat))


def tokenize(tokenizer: Any, texts: Sequence[str]) -> TokenList:
    """Tokens of each text, without special tokens, however long it is. Raises EncoderError, with the place, for a letter in no token."""
    bare = _bare(tokenizer)
    made = bare.encode_batch(list(texts), add_special_tokens=False)
    # sizes [N]; all texts' tokens one after another: ids [T], offsets [T, 2]
    sizes = np.array([len(encoding) for encoding in made], np.int64)
    ids = np.fromiter(chain.from_iterable(encoding.ids for encoding in made), np.int32, sizes.sum())
    pairs = chain.from_iterable(encoding.offsets for encoding in made)
    offsets = np.fromiter(chain.from_iterable(pairs), np.int32, 2 * sizes.sum()).reshape(-1, 2)
    # the texts as one, a line break after each, so that nothing of one touches the next: where each token begins and ends in it
    joined = "".join(f"{text}\n" for text in texts)
    before = np.repeat(ends_of(np.array([len(text) + 1 for text in texts], np.int64))[:-1], sizes)
    letters = np.frombuffer(joined.encode("utf-32-le"), np.uint32)
    space = np.isin(letters, SPACES)
    starts, ends = _trimmed(space, offsets[:, 0] + before, offsets[:, 1] + before)
    # a token that stands for a space put before a word claims the word's first letter, which it lacks
    put, numbers = _put_before_words(bare)
    alone = np.flatnonzero(np.isin(ids, numbers))
    alone = alone[~np.isin(letters[starts[alone]], [ord(letter) for letter in f"▁{put}"])]
    ends[alone] = starts[alone]
    starts, ends = _with_every_letter(bare, joined, space, starts, ends)
    return TokenList(ids, (starts - before).astype(np.int32), (ends - before).astype(np.int32), sizes)


def token_ids(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """The ids alone, which is faster."""
    return [encoding.ids for encoding in _bare(tokenizer).encode_batch_fast(list(texts), add_special_tokens=False)]


def check_tokenizer(tokenizer: Any) -> None:
    """Raises EncoderError for a tokenizer that leaves letters of common texts in no token, or fails at them."""
    try:
        tokenize(tokenizer, PROBES)
    except EncoderError:
        raise
    except Exception as error:  # the library's errors have no class of their own
        raise EncoderError(f"the tokenizer cannot read every text ({error})") from None


def _bare(tokenizer: Any) -> Tokenizer:
    """The tokenizer that does the work, without what comes after: nothing is cut, padded or trimmed. It shares its parts."""
    own = tokenizer.backend_tokenizer
    bare = Tokenizer(own.model)
    bare.normalizer, bare.pre_tokenizer, bare.encode_special_tokens = own.normalizer, own.pre_tokenizer, own.encode_special_tokens
    bare.add_tokens([token for _, token in sorted(own.get_added_tokens_decoder().items())])
    return bare


def _put_before_words(bare: Tokenizer) -> tuple[str, list[int]]:
    """What the tokenizer itself puts before a word, sentencepiece's ▁ or a byte-level Ġ, and the ids of tokens that are nothing else."""
    word = bare.normalizer.normalize_str("a") if bare.normalizer else "a"
    pieces = bare.pre_tokenizer.pre_tokenize_str(word) if bare.pre_tokenizer else [(word, ())]
    put, letter, _ = "".join(piece for piece, _ in pieces).partition("a")
    parts = {put[i:j] for i in range(len(put)) for j in range(i + 1, len(put) + 1)} if letter else ()
    return put, [number for number in map(bare.token_to_id, parts) if number is not None]


def _trimmed(space: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First and last character of tokens [T] without the white space at their ends; space [C]: which characters are."""
    # of each place [C + 1]: the next character that is no space, and the end of the last one before it
    place, none = np.arange(len(space) + 1), np.append(space, False)
    ahead = np.minimum.accumulate(np.where(none, len(space), place)[::-1])[::-1]
    behind = np.append(0, np.maximum.accumulate(np.where(none, 0, place + 1))[:-1])
    starts = np.minimum(ahead[starts], ends)
    return starts, np.maximum(behind[ends], starts)


def _with_every_letter(
    bare: Tokenizer, text: str, space: np.ndarray, starts: np.ndarray, ends: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """First and last character of tokens [T], what no token holds given to the one beside it. Raises EncoderError (`_check_kept`)."""
    size = len(space) + 1
    held = np.cumsum(np.bincount(starts, minlength=size) - np.bincount(ends, minlength=size)) > 0
    lost = [at for at in np.flatnonzero(~held[:-1] & ~space).tolist() if category(text[at])[0] != "C"]
    if not lost:
        return starts, ends
    # where a token begins, or ends, that did so at a place [C + 1]
    begin, end, breaks = np.arange(size), np.arange(size), np.flatnonzero(space)
    for first, last in zip(*_stretches(lost), strict=True):
        word = slice(*(breaks[[i - 1, i]] + (1, 0) if (i := np.searchsorted(breaks, first)) else (0, breaks[0])))
        cut = min((at for at in range(first, last) if _is_of_the_next(bare, text, word, at)), default=last)
        cut = last if not held[last] else first if not first or not held[first - 1] else cut
        end[first], begin[last] = cut, cut
    some = starts < ends
    return np.where(some, begin[starts], starts), np.where(some, end[ends], ends)


def _stretches(places: list[int]) -> tuple[list[int], list[int]]:
    """First and end of each run of consecutive places."""
    apart = np.flatnonzero(np.diff(places) > 1)
    return [places[i] for i in (0, *(apart + 1))], [places[i] + 1 for i in (*apart, -1)]


def _is_of_the_next(bare: Tokenizer, text: str, word: slice, at: int) -> bool:
    """Whether a letter that is in no token belongs to the one after it: the normalizer makes one of both (`` → "), and claims the last.

    A mark belongs to the letter before it, and so does what becomes a space (¸). Raises EncoderError where the normalizer kept the letter,
    and it was thrown away later.
    """
    if category(text[at])[0] == "M":
        return False
    _check_kept(bare, text, word, at)
    before, both = (bare.normalizer.normalize_str(text[word.start : end]) for end in (at, at + 1))
    return both.startswith(before) and both[len(before) :].strip() != ""


def _check_kept(bare: Tokenizer, text: str, word: slice, at: int) -> None:
    """Raises EncoderError where the normalizer keeps a letter that is in no token: the pre-tokenizer or the model threw it away."""
    pieces = Tokenizer(models.WordLevel({"?": 0}, unk_token="?"))
    pieces.normalizer, pieces.pre_tokenizer = bare.normalizer, LETTERS
    if any(start <= at - word.start < end for start, end in pieces.encode(text[word]).offsets):
        place = short(text[max(at - 20, 0) : at + 20].strip())
        why = "its pre-tokenizer or its model throws it away"
        raise EncoderError(f"the tokenizer leaves {text[at]!r} of {place} in no token, so that answers would lose it: {why}")
