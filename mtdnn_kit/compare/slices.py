"""Slices of questions: by what is asked, how long answer and passage are, in how many windows, and how far the annotators agree.

A facet puts each question into one slice, or in none where it does not apply (how long an answer is, of questions without one).
Knows rows; no run, no score.
"""

import re
from collections.abc import Callable, Sequence

from mtdnn_kit.data.rows import QARow
from mtdnn_kit.metrics import normalize

QUESTION_WORDS = ("what", "which", "who", "how", "when", "where", "why")


def question_word(row: QARow) -> str:
    """The first of QUESTION_WORDS in a question; "other" where it has none."""
    words = re.findall(r"[a-z]+", row.question.lower().replace("whose", "who").replace("whom", "who"))
    return next((word for word in words if word in QUESTION_WORDS), "other")


def _kind(row: QARow) -> str:
    return "answerable" if row.answers else "unanswerable"


def _answer_length(row: QARow) -> str | None:
    if not row.answers:
        return None
    return _band(len(row.answers[0][1].split()), ((2, "1 word"), (3, "2 words"), (6, "3–5 words")), "6 words or more")


def _context_length(row: QARow) -> str:
    return _band(len(row.context.split()), ((80, "under 80 words"), (120, "80–119 words"), (160, "120–159 words")), "160 words or more")


def _band(value: int, bands: Sequence[tuple[int, str]], above: str) -> str:
    """The name of the first band that a value is below."""
    return next((name for limit, name in bands if value < limit), above)


def gold_agreement(row: QARow) -> str | None:
    """How far the annotators of a question agree, answers being compared as EM compares them; None of a question without answers."""
    if len(row.answers) < 2:
        return "one annotation" if row.answers else None
    texts = [normalize(text) for _, text in row.answers]
    most = max(texts.count(text) for text in texts)
    return "all agree" if most == len(texts) else "a majority agrees" if 2 * most > len(texts) else "no majority"


FACETS: dict[str, Callable[[QARow], str | None]] = {
    "answerable": _kind,
    "question word": question_word,
    "answer length": _answer_length,
    "passage length": _context_length,
    "gold agreement": gold_agreement,
}
ORDER = (
    *("answerable", "unanswerable", *QUESTION_WORDS, "other", "1 word", "2 words", "3–5 words", "6 words or more"),
    *("under 80 words", "80–119 words", "120–159 words", "160 words or more"),
    *("all agree", "a majority agrees", "no majority", "one annotation", "1 window", "2 windows", "3 windows or more"),
)


def slices(rows: Sequence[QARow], windows: Sequence[int] | None = None) -> dict[str, dict[str, list[int]]]:
    """{facet: {slice: places of its questions in `rows`}}, slices in the order of ORDER, empty ones left out.

    windows: number of windows of each question, where it is known (it depends on the run's tokenizer and lengths).
    """
    found = {facet: [name(row) for row in rows] for facet, name in FACETS.items()}
    if windows is not None:
        found["windows"] = [_band(count, ((2, "1 window"), (3, "2 windows")), "3 windows or more") for count in windows]
    return {
        facet: {name: [i for i, own in enumerate(names) if own == name] for name in ORDER if name in names}
        for facet, names in found.items()
    }
