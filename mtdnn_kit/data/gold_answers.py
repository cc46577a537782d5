"""The accepted answers of a question, in any of the forms that datasets have them, each checked against its passage.

The forms: an object of two lists (the hub's), a list of objects (SQuAD's files), or two columns of texts and of first characters, each
a list or a single value. Knows one record at a time.
"""

from typing import Any

from mtdnn_kit.data import row_checks
from mtdnn_kit.data.registry import Dataset
from mtdnn_kit.errors import DataError
from mtdnn_kit.files.wording import short


def answers(dataset: Dataset, record: dict, context: str) -> tuple[tuple[int, str], ...]:
    """(character offset, text) of a question's accepted answers, each checked to stand there; () where there is none. Raises DataError."""
    column, starts = dataset.columns["answers"], dataset.columns.get("starts")
    found = row_checks.listed(row_checks.lookup(record, column))
    texts, firsts, words = _with_starts(found, column, row_checks.lookup(record, starts), starts) if starts else _in_one(found, column)
    if len(texts) != len(firsts):
        has, of_texts, of_firsts = words
        raise DataError(f"{has} {len(texts)} {of_texts} but {len(firsts)} {of_firsts}: each answer needs both")
    for answer, start in zip(texts, firsts, strict=True):
        row_checks.value(answer, str, f"an answer's text in column {column!r}")
        row_checks.value(start, int, f"an answer_start in column {starts or column!r}")
        if not answer:
            raise DataError(f"column {column!r} has an answer with empty text: an unanswerable question has empty lists")
        if start < 0 or not context.startswith(answer, start):
            raise DataError(_misplaced(answer, start, context))
    if not texts and not dataset.unanswerable:
        raise DataError(f"column {column!r} has no answer, but `unanswerable: false` says that every question has one: correct one of them")
    return tuple(zip(firsts, texts, strict=True))


def _in_one(found: Any, column: str) -> tuple[list, list, tuple[str, ...]]:
    """Texts, first characters, and the words that count them, of a column that holds both: an object of two lists (the hub's), or a list of
    objects (SQuAD's files)."""
    words = (f"column {column!r} has", "in text", "in answer_start")
    if isinstance(found, list) and all(isinstance(one, dict) and {"text", "answer_start"} <= set(one) for one in found):
        return [one["text"] for one in found], [one["answer_start"] for one in found], words
    if not isinstance(found, dict) or not all(isinstance(found.get(key), list) for key in ("text", "answer_start")):
        raise DataError(
            f'column {column!r} is {short.repr(found)}: it must be {{"text": [...], "answer_start": [...]}}, empty lists if unanswerable; '
            "where the column holds texts alone, name the column of their first characters as `starts`"
        )
    return found["text"], found["answer_start"], words


def _with_starts(texts: Any, column: str, starts: Any, of_starts: str) -> tuple[list, list, tuple[str, ...]]:
    """As `_in_one`, of two columns: lists, or a text and a number; an empty text, or null, is no answer."""
    starts, words = row_checks.listed(starts), (f"columns {column!r} and {of_starts!r} have", "texts", "starts")
    if isinstance(texts, list) and isinstance(starts, list):
        return texts, starts, words
    if texts in ("", None):
        if starts not in ("", None, -1):
            raise DataError(
                f"column {column!r} is empty, but {of_starts!r} is {short.repr(starts)}: a question without an answer has -1 there"
            )
        return [], [], words
    if not isinstance(texts, str) or isinstance(starts, list):
        raise DataError(f"columns {column!r} and {of_starts!r} must hold a text and a whole number, or a list of each")
    return [texts], [starts], words


def _misplaced(answer: str, start: int, context: str) -> str:
    """Says where an answer should stand and where it does."""
    inside = 0 <= start < len(context)
    there = f"the context has {short.repr(context[start : start + len(answer)])}" if inside else "the context has nothing"
    first = context.find(answer)
    remedy = f"the text stands at character {first}" if first >= 0 else "the context does not hold the text at all"
    if start >= 0 and context.encode().startswith(answer.encode(), start):
        remedy += " (its offset counts the bytes of UTF-8, not characters)"
    return f"answer {short.repr(answer)} should stand at character {short(start)}, but {there} there; {remedy}. Correct answer_start."
