"""Slices of questions: by question word, length of answer and passage, number of windows, and agreement of the annotators.

A facet puts each question into one slice, or into none if it does not apply (the answer length of questions without an answer).
Knows rows; no run, no score.
"""

import re
from collections.abc import Callable, Sequence
from math import inf

from mtdnn_kit.data.rows import QARow
from mtdnn_kit.metrics import normalize

QUESTION_WORDS = ("what", "which", "who", "how", "when", "where", "why")
# The number below which a slice ends, and its name.
ANSWER_WORDS = ((2, "1 word"), (3, "2 words"), (6, "3–5 words"), (inf, "6 words or more"))
PASSAGE_WORDS = ((80, "under 80 words"), (120, "80–119 words"), (160, "120–159 words"), (inf, "160 words or more"))
WINDOWS = ((2, "1 window"), (3, "2 windows"), (inf, "3 windows or more"))


def question_word(row: QARow) -> str:
    """The first of QUESTION_WORDS in a question; "other" where it has none."""
    words = re.findall(r"[a-z]+", row.question.lower().replace("whose", "who").replace("whom", "who"))
    return next((word for word in words if word in QUESTION_WORDS), "other")


def gold_agreement(row: QARow) -> str | None:
    """The agreement of a question's annotators, with answers compared as in EM; None for a question without answers."""
    if len(row.answers) < 2:
        return "one annotation" if row.answers else None
    texts = [normalize(text) for _, text in row.answers]
    most = max(texts.count(text) for text in texts)
    return "all agree" if most == len(texts) else "a majority agrees" if 2 * most > len(texts) else "no majority"


def _band(value: int, bands: Sequence[tuple[float, str]]) -> str:
    return next(name for limit, name in bands if value < limit)


FACETS: dict[str, Callable[[QARow], str | None]] = {
    "answerable": lambda row: "answerable" if row.answers else "unanswerable",
    "question word": question_word,
    "answer length": lambda row: _band(len(row.answers[0][1].split()), ANSWER_WORDS) if row.answers else None,
    "passage length": lambda row: _band(len(row.context.split()), PASSAGE_WORDS),
    "gold agreement": gold_agreement,
}
ORDER = (
    *("answerable", "unanswerable", *QUESTION_WORDS, "other", *(name for _, name in (*ANSWER_WORDS, *PASSAGE_WORDS))),
    *("all agree", "a majority agrees", "no majority", "one annotation", *(name for _, name in WINDOWS)),
)


def slices(rows: Sequence[QARow], windows: Sequence[int] | None = None) -> dict[str, dict[str, list[int]]]:
    """{facet: {slice: places of its questions in `rows`}}, slices in the order of ORDER, empty ones left out.

    windows: number of windows of each question, where it is known (it depends on the run's tokenizer and lengths).
    """
    found = {facet: [name(row) for row in rows] for facet, name in FACETS.items()}
    if windows is not None:
        found["windows"] = [_band(count, WINDOWS) for count in windows]
    return {
        facet: {name: [i for i, own in enumerate(names) if own == name] for name in ORDER if name in names}
        for facet, names in found.items()
    }
