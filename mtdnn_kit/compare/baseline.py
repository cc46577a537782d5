"""Question answering without learning: a lexical-overlap baseline, which a trained model should exceed.

Similar to the sliding window of MCTest (Richardson et al., 2013): the sentence that shares most with the question, with words weighted by
rarity, then the words in it that are closest to the shared ones. It always answers.
"""

import re
from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from math import fsum, log

from mtdnn_kit.data.rows import QARow

LONGEST_ANSWER = 5  # words of an answer
Word = tuple[str, int, int]  # lower case, first character, end


def lexical_answers(rows: Sequence[QARow]) -> list[str]:
    """The baseline's answer to each question; the rarity of words is computed over the contexts of these rows."""
    contexts = {row.context: _words(row.context) for row in rows}
    found_in = Counter(word for words in contexts.values() for word in {w for w, *_ in words})
    rarity = {word: log(len(contexts) / n) + 0.01 for word, n in found_in.items()}
    common = {word for word, n in found_in.items() if n > max(len(contexts) / 5, 1)}  # function words
    return [_answer(row, rarity, common) for row in rows]


def _words(text: str, offset: int = 0) -> list[Word]:
    return [(m.group().lower(), m.start() + offset, m.end() + offset) for m in re.finditer(r"\w+(?:['’.,-]\w+)*", text)]


def _answer(row: QARow, rarity: dict[str, float], common: set[str]) -> str:
    asked = {word for word, *_ in _words(row.question)}
    sentences = [_words(m.group(), m.start()) for m in re.finditer(r".+?(?:[.!?](?=\s|$)|$)", row.context, re.DOTALL)]
    if not any(sentences):
        return ""
    best = max(sentences, key=lambda words: fsum(rarity[w] for w in {w for w, *_ in words} & asked))  # in any order
    if not (spans := _spans(best, asked | common)):
        return ""
    shared = [(i, rarity[w]) for i, (w, *_) in enumerate(best) if w in asked]
    first, last = min(spans, key=lambda span: (_distance(span, shared), span[0] - span[1]))
    return row.context[best[first][1] : best[last][2]]


def _spans(words: list[Word], left_out: set[str]) -> list[tuple[int, int]]:
    """Stretches of a sentence without a word of `left_out`, as spans (first, last place) of at most LONGEST_ANSWER words; a word is also
    left out between two spans of one stretch."""
    stretches = [list(some) for inside, some in groupby(range(len(words)), lambda i: words[i][0] not in left_out) if inside]
    return [(some[i], some[i : i + LONGEST_ANSWER][-1]) for some in stretches for i in range(0, len(some), LONGEST_ANSWER + 1)]


def _distance(span: tuple[int, int], shared: list[tuple[int, float]]) -> float:
    """Mean number of words between a span and the shared words, with more weight on rare ones."""
    weight = sum(w for _, w in shared)
    apart = sum(w * min(abs(i - span[0]), abs(i - span[1])) for i, w in shared)
    return apart / weight if weight else 0.0
