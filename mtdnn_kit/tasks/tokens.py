"""Texts → tokens, and the characters of each token. Knows no question, no window and no answer.

A fast tokenizer reports the characters of each token. They are read here before its post-processor trims them, because some trim a letter
that belongs to the word; only white space is trimmed here. Every letter is in a token: a combining mark, or a letter that the normalizer
merges with its neighbour, belongs to the adjacent token; a text with a letter that the tokenizer drops is refused. Control and format
characters do not count as letters. Shapes: T tokens, N texts, C characters.
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
PROBES = (  # texts to try a tokenizer with: many scripts and separators
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
    """The tokens of N texts as flat arrays; item i is text i's `Tokens`, no copy. ends [N + 1]: where each text begins, and the last
    ends."""

    def __init__(self, ids: np.ndarray, starts: np.ndarray, ends: np.ndarray, sizes: np.ndarray):
        self.flat, self.ends = Tokens(ids, starts, ends), ends_of(sizes)

    def __len__(self) -> int:
        return len(self.ends) - 1

    def __getitem__(self, i: int) -> Tokens:
        i = range(len(self))[i]
        return Tokens(*(part[self.ends[i] : self.ends[i + 1]] for part in self.flat))


def tokenize(tokenizer: Any, texts: Sequence[str]) -> TokenList:
    """Tokens of each text, of any length, without special tokens. Raises EncoderError, with the place, for a letter in no token."""
    bare = _bare(tokenizer)
    made = bare.encode_batch(list(texts), add_special_tokens=False)
    # sizes [N]; the tokens of all texts, concatenated: ids [T], offsets [T, 2]
    sizes = np.array([len(encoding) for encoding in made], np.int64)
    ids = np.fromiter(chain.from_iterable(encoding.ids for encoding in made), np.int32, sizes.sum())
    pairs = chain.from_iterable(encoding.offsets for encoding in made)
    offsets = np.fromiter(chain.from_iterable(pairs), np.int32, 2 * sizes.sum()).reshape(-1, 2)
    # the texts joined by line breaks, which separate neighbours: where each token begins and ends in the joined text
    joined = "".join(f"{text}\n" for text in texts)
    before = np.repeat(ends_of(np.array([len(text) + 1 for text in texts], np.int64))[:-1], sizes)
    letters = np.frombuffer(joined.encode("utf-32-le"), np.uint32)
    space = np.isin(letters, SPACES)
    starts, ends = _trimmed(space, offsets[:, 0] + before, offsets[:, 1] + before)
    # a token for a space that was put before a word claims the word's first letter, which it does not contain
    put, numbers = _put_before_words(bare)
    alone = np.flatnonzero(np.isin(ids, numbers))
    alone = alone[~np.isin(letters[starts[alone]], [ord(letter) for letter in f"▁{put}"])]
    ends[alone] = starts[alone]
    starts, ends = _with_every_letter(bare, joined, space, starts, ends)
    return TokenList(ids, (starts - before).astype(np.int32), (ends - before).astype(np.int32), sizes)


def token_ids(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """The ids only, which is faster."""
    return [encoding.ids for encoding in _bare(tokenizer).encode_batch_fast(list(texts), add_special_tokens=False)]


def check_tokenizer(tokenizer: Any) -> None:
    """Raises EncoderError for a tokenizer that drops letters of common texts, or fails on them."""
    try:
        tokenize(tokenizer, PROBES)
    except EncoderError:
        raise
    except Exception as error:  # the library's errors have no common class
        raise EncoderError(f"the tokenizer cannot read every text ({error})") from None


def _bare(tokenizer: Any) -> Tokenizer:
    """The underlying tokenizer without truncation, padding and post-processor; it shares the other parts."""
    own = tokenizer.backend_tokenizer
    bare = Tokenizer(own.model)
    bare.normalizer, bare.pre_tokenizer, bare.encode_special_tokens = own.normalizer, own.pre_tokenizer, own.encode_special_tokens
    bare.add_tokens([token for _, token in sorted(own.get_added_tokens_decoder().items())])
    return bare


def _put_before_words(bare: Tokenizer) -> tuple[str, list[int]]:
    """The mark that the tokenizer puts before a word, sentencepiece's ▁ or a byte-level Ġ, and the ids of tokens that consist of it."""
    word = bare.normalizer.normalize_str("a") if bare.normalizer else "a"
    pieces = bare.pre_tokenizer.pre_tokenize_str(word) if bare.pre_tokenizer else [(word, ())]
    put, letter, _ = "".join(piece for piece, _ in pieces).partition("a")
    parts = {put[i:j] for i in range(len(put)) for j in range(i + 1, len(put) + 1)} if letter else ()
    return put, [number for number in map(bare.token_to_id, parts) if number is not None]


def _trimmed(space: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First and last character of tokens [T] without the white space at their ends; space [C]: whether a character is white space."""
    # per position [C + 1]: the next character that is not a space, and the end of the last one before it
    place, none = np.arange(len(space) + 1), np.append(space, False)
    ahead = np.minimum.accumulate(np.where(none, len(space), place)[::-1])[::-1]
    behind = np.append(0, np.maximum.accumulate(np.where(none, 0, place + 1))[:-1])
    starts = np.minimum(ahead[starts], ends)
    return starts, np.maximum(behind[ends], starts)


def _with_every_letter(
    bare: Tokenizer, text: str, space: np.ndarray, starts: np.ndarray, ends: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """First and last character of tokens [T], with letters in no token added to an adjacent one. Raises EncoderError (`_check_kept`)."""
    size = len(space) + 1
    held = np.cumsum(np.bincount(starts, minlength=size) - np.bincount(ends, minlength=size)) > 0
    lost = [at for at in np.flatnonzero(~held[:-1] & ~space).tolist() if category(text[at])[0] != "C"]
    if not lost:
        return starts, ends
    # the new first, or last, character of tokens that began, or ended, at a position [C + 1]
    begin, end, breaks = np.arange(size), np.arange(size), np.flatnonzero(space)
    for first, last in zip(*_stretches(lost), strict=True):
        # between the white space before and after it
        i = int(np.searchsorted(breaks, first))
        word = slice(breaks[i - 1] + 1 if i else 0, breaks[i])
        of_the_next = [at for at in range(first, last) if _is_of_the_next(bare, text, word, at)]
        if not held[last]:  # no token follows
            cut = last
        elif first == 0 or not held[first - 1]:  # none precedes
            cut = first
        else:
            cut = min(of_the_next, default=last)
        end[first], begin[last] = cut, cut
    some = starts < ends
    return np.where(some, begin[starts], starts), np.where(some, end[ends], ends)


def _stretches(places: list[int]) -> tuple[list[int], list[int]]:
    """First and end of each run of consecutive positions."""
    apart = np.flatnonzero(np.diff(places) > 1)
    return [places[i] for i in (0, *(apart + 1))], [places[i] + 1 for i in (*apart, -1)]


def _is_of_the_next(bare: Tokenizer, text: str, word: slice, at: int) -> bool:
    """Whether a letter in no token belongs to the next letter: the normalizer merges both (`` → ") and keeps only the last one's position.

    A mark belongs to the letter before it, and so does a letter that becomes a space (¸). Raises EncoderError if the normalizer kept the
    letter and a later step dropped it.
    """
    if category(text[at])[0] == "M":
        return False
    _check_kept(bare, text, word, at)
    before, both = (bare.normalizer.normalize_str(text[word.start : end]) for end in (at, at + 1))
    return both.startswith(before) and both[len(before) :].strip() != ""


def _check_kept(bare: Tokenizer, text: str, word: slice, at: int) -> None:
    """Raises EncoderError if the normalizer keeps a letter that is in no token: the pre-tokenizer or the model dropped it."""
    pieces = Tokenizer(models.WordLevel({"?": 0}, unk_token="?"))
    pieces.normalizer, pieces.pre_tokenizer = bare.normalizer, LETTERS
    if any(start <= at - word.start < end for start, end in pieces.encode(text[word]).offsets):
        place = short(text[max(at - 20, 0) : at + 20].strip())
        why = "its pre-tokenizer or its model drops it"
        raise EncoderError(f"the tokenizer leaves {text[at]!r} of {place} in no token, so answers would lose it: {why}")
