"""The gold answers of a question, in any of the usual forms, each checked against its passage.

The forms: an object of two lists (the hub's), a list of objects (SQuAD's files), or a column of texts and one of offsets, each a list or a
single value. `read_as` converts other notations into one of these. Knows one record at a time.
"""

import html
import re
import unicodedata
from collections.abc import Callable
from typing import Any

from mtdnn_kit.data import row_checks
from mtdnn_kit.data.registry import Dataset
from mtdnn_kit.errors import DataError
from mtdnn_kit.files.wording import short, some


def answers(dataset: Dataset, record: dict, context: str) -> tuple[tuple[int, str], ...]:
    """(character offset, text) of a question's gold answers, each checked to occur at its offset; () if there is none. Raises DataError."""
    column, starts = dataset.columns["answers"], dataset.columns.get("starts")
    found = row_checks.lookup(record, column)
    texts, firsts, words = _with_starts(found, column, row_checks.lookup(record, starts), starts) if starts else _in_one(found, column)
    if len(texts) != len(firsts):
        has, of_texts, of_firsts = words
        raise DataError(f"{has} {len(texts)} {of_texts} but {len(firsts)} {of_firsts}: each answer needs both")
    of_text, of_start = f"an answer's text in column {column!r}", f"an answer_start in column {starts or column!r}"
    for answer, start in zip(texts, firsts, strict=True):
        row_checks.value(answer, str, of_text)
        row_checks.value(start, int, of_start)
        if not answer:
            raise DataError(f"column {column!r} has an answer with empty text: give an unanswerable question empty lists")
        if start < 0 or not context.startswith(answer, start):
            raise DataError(_misplaced(answer, start, context))
    _check_impossible(row_checks.impossible(record), len(texts))
    if not texts and not dataset.unanswerable:
        raise DataError(f"column {column!r} has no answer, despite `unanswerable: false`: add the answer, or correct the definition")
    return tuple(zip(firsts, texts, strict=True))


def _check_impossible(said: bool | None, count: int) -> None:
    """Raises DataError if SQuAD's `is_impossible` contradicts the answers."""
    if said is not None and said == bool(count):
        has = f"there {'is an answer' if count == 1 else f'are {count} answers'}" if count else "there is no answer"
        raise DataError(f"is_impossible is {str(said).lower()}, but {has}: correct one of them")


def _in_one(found: Any, column: str) -> tuple[list, list, tuple[str, ...]]:
    """Texts, offsets, and the words that a message counts them with, of a column that holds both: an object of two lists (the hub's), or a
    list of objects (SQuAD's files)."""
    words = (f"column {column!r} has", "in text", "in answer_start")
    if isinstance(found, list) and all(isinstance(one, dict) and {"text", "answer_start"} <= set(one) for one in found):
        return [one["text"] for one in found], [one["answer_start"] for one in found], words
    if not isinstance(found, dict) or not all(isinstance(found.get(key), list) for key in ("text", "answer_start")):
        printed = "; if it is a list printed as text, save the list as JSON" * isinstance(found, str)
        raise DataError(
            f'column {column!r} is {short.repr(found)}: it must be {{"text": [...], "answer_start": [...]}}, empty lists if unanswerable; '
            f"if the column holds texts only, name the column of their offsets as `starts`{printed}"
        )
    return found["text"], found["answer_start"], words


def _with_starts(texts: Any, column: str, starts: Any, of_starts: str) -> tuple[list, list, tuple[str, ...]]:
    """As `_in_one`, from two columns: lists, or a text and a number; an empty text or null means no answer."""
    words = (f"columns {column!r} and {of_starts!r} have", "texts", "starts")
    if isinstance(texts, list) and isinstance(starts, list):
        return texts, starts, words
    if texts in ("", None):
        if starts not in ("", None, -1):
            raise DataError(
                f"column {column!r} is empty, but {of_starts!r} is {short.repr(starts)}: a question without an answer must have -1 there"
            )
        return [], [], words
    if not isinstance(texts, str) or isinstance(starts, list):
        raise DataError(f"columns {column!r} and {of_starts!r} must hold a text and a whole number, or a list of each")
    return [texts], [starts], words


def _misplaced(answer: str, start: int, context: str) -> str:
    """The message on a wrong offset: where the answer should be, where it occurs, and what the offset may count instead of characters."""
    there = context[start : start + len(answer)] if 0 <= start < len(context) else ""
    has = short.repr(there) if there else "nothing"
    said = f"answer {short.repr(answer)} should start at character {short(start)}, but the context has {has} there"
    places = _places(answer, context)
    cause = next((f" ({words})" for words, holds in MISCOUNTS.items() if start > 0 and holds(answer, start, context)), "")
    if places:
        where = f"the text starts at character {some(places)}{cause}"
        return f"{said}; {where}. Correct answer_start{' to the right one' * (len(places) > 1)}."
    for words, alike in ALIKE.items():
        if alike(answer) in alike(context):
            return f"{said}; the context contains the text only {words}."
    return f"{said}; the context does not contain the text{cause}. Correct the answer, or remove the question."


def _places(answer: str, context: str) -> list[int]:
    """The first hundred offsets at which a text occurs."""
    found, at = list[int](), context.find(answer)
    while at >= 0 and len(found) < 100:
        found.append(at)
        at = context.find(answer, at + 1)
    return found


def _coded(encoding: str, width: int) -> Callable[[str, int, str], bool]:
    return lambda answer, start, context: context.encode(encoding).startswith(answer.encode(encoding), start * width)


MISCOUNTS: dict[str, Callable[[str, int, str], bool]] = {  # wrong offset → what it may count instead of characters
    "its offset counts UTF-8 bytes, not characters": _coded("utf-8", 1),
    "its offset counts UTF-16 code units, as JavaScript and Java do: each emoji counts as two": _coded("utf-16-le", 2),
    "one less: its offsets may count from 1": lambda answer, start, context: context.startswith(answer, start - 1),
    "its offset counts a line break as two characters": lambda answer, start, context: re.sub("\r?\n", "\r\n", context).startswith(
        answer, start
    ),
    "its offset counts a two-character line break as one": lambda answer, start, context: context.replace("\r\n", "\n").startswith(
        answer, start
    ),
}
ALIKE: dict[str, Callable[[str], str]] = {  # differences between texts that should be equal
    "in another Unicode form, which writes a letter and its accent as one character or as two: bring both into one form, e.g. by "
    'unicodedata.normalize("NFC", text), and recompute answer_start': lambda text: unicodedata.normalize("NFC", text),
    "with compatibility letters (ligatures, full width): write both alike, and recompute answer_start": lambda text: unicodedata.normalize(
        "NFKC", text
    ),
    "with different white space: write both alike": lambda text: " ".join(text.split()),
    "with HTML entities in one of them: write both as plain text": html.unescape,
    "in different upper or lower case: write both alike": str.casefold,
}
