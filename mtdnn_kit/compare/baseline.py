"""Question answering without learning: a lexical-overlap baseline, the floor that a trained model has to clear.

In the manner of the sliding window of MCTest (Richardson et al., 2013): the sentence that shares most with the question, words weighted
by how rare they are, then the words in it that stand nearest to the shared ones. It never answers nothing.
"""

import re
from collections.abc import Sequence
from math import fsum, log

from mtdnn_kit.data.rows import QARow

LONGEST_ANSWER = 5  # words of an answer
Word = tuple[str, int, int]  # lower case, first character, end


def lexical_answers(rows: Sequence[QARow]) -> list[str]:
    """The baseline's answer to each question; rarity of words is taken over the contexts of these rows."""
    contexts = {row.context: _words(row.context) for row in rows}
    found_in: dict[str, int] = {}
    for words in contexts.values():
        for word in {w for w, *_ in words}:
            found_in[word] = found_in.get(word, 0) + 1
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
    best = max(sentences, key=lambda words: fsum(rarity[w] for w in {w for w, *_ in words} & asked))  # in whatever order
    spans = [span for run in _runs(best, asked) for span in _spans(run, common)]
    if not spans:
        return ""
    shared = [(i, rarity[w]) for i, (w, *_) in enumerate(best) if w in asked]
    first, last = min(spans, key=lambda span: (_distance(span, shared), span[0] - span[1]))
    return row.context[best[first][1] : best[last][2]]


def _runs(words: list[Word], asked: set[str]) -> list[list[tuple[int, str]]]:
    """Stretches of a sentence without a word of the question, as (place, word)."""
    runs: list[list[tuple[int, str]]] = [[]]
    for i, (word, *_) in enumerate(words):
        if word in asked:
            runs.append([])
        else:
            runs[-1].append((i, word))
    return runs


def _spans(run: list[tuple[int, str]], common: set[str]) -> list[tuple[int, int]]:
    """The run cut at function words into spans (first, last place) of at most LONGEST_ANSWER words."""
    spans: list[tuple[int, int]] = []
    current: list[int] = []
    for i, word in [*run, (-1, "")]:
        if i >= 0 and word not in common and len(current) < LONGEST_ANSWER:
            current.append(i)
        elif current:
            spans.append((current[0], current[-1]))
            current = []
    return spans


def _distance(span: tuple[int, int], shared: list[tuple[int, float]]) -> float:
    """Mean number of words between a span and the shared words, rare ones weighing more."""
    weight = sum(w for _, w in shared)
    apart = sum(w * min(abs(i - span[0]), abs(i - span[1])) for i, w in shared)
    return apart / weight if weight else 0.0
