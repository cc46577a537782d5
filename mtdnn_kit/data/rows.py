"""Rows of the three task types, each checked on its own when it is made from a record (a dict in a dataset's columns).

Merely odd rows pass: empty questions, sentences and choices (355 of CODAH have an empty `sent1`), white space at the ends. Where
records are from is `sources`' business.
"""

import hashlib
from collections.abc import Callable
from typing import Any, NamedTuple

from mtdnn_kit.data import gold_answers, row_checks
from mtdnn_kit.data.registry import Dataset
from mtdnn_kit.errors import DataError


class QARow(NamedTuple):
    """A question; `answers` are (character offset in the context, text), each checked to stand there, none = unanswerable. An `id` that is
    not there is made of passage and question."""

    id: str
    title: str  # "" where the column is not there
    context: str
    question: str
    answers: tuple[tuple[int, str], ...]


class SCRow(NamedTuple):
    """A sentence (`second` None) or a pair to classify; `id` is the row's number in its file, from 0."""

    id: int
    first: str
    second: str | None
    label: int


class MCCRow(NamedTuple):
    """A text and its possible endings: `start` begins each of `choices`; `id` is the row's number in its file, from 0."""

    id: int
    context: str
    start: str
    choices: tuple[str, ...]
    label: int


def gold_texts(row: QARow) -> list[str]:
    """The answers that the official scorer accepts: "" alone for an unanswerable question."""
    return [text for _, text in row.answers] or [""]


def from_record(dataset: Dataset, record: dict, number: int) -> QARow | SCRow | MCCRow:
    """The row of a record; number: its place in the file, from 0. Raises DataError: a column missing, a value that cannot be right."""
    row_checks.check_columns(dataset, record)
    return PARSERS[dataset.type](dataset, record, number)


def _qa(dataset: Dataset, record: dict, number: int) -> QARow:
    columns = dataset.columns
    title = row_checks.lookup(record, columns["title"]) if "title" in columns else None
    title = "" if title in (None, row_checks.NOTHING) else _written(title, columns["title"])
    context, question = (row_checks.text(dataset, record, role) for role in ("context", "question"))
    if not context.strip():
        raise DataError(f"column {columns['context']!r} is empty: a question needs a text to be answered from; remove the row")
    found = row_checks.lookup(record, columns["id"]) if "id" in columns else None
    none = found in (None, "", row_checks.NOTHING)
    row_id = made_id(context, question) if none else _written(found, columns["id"])
    return QARow(row_id, title, context, question, gold_answers.answers(dataset, record, context))


def _written(found: Any, column: str) -> str:
    """A text, or a whole number as one. Raises DataError."""
    plain = isinstance(found, str) and found.isascii()  # most are: nothing is to be said of them
    return found if plain else row_checks.written(found, f"column {column!r}")


def made_id(context: str, question: str) -> str:
    """The id of a question that has none: 16 hexadecimal digits of what is asked, the same in any order of the rows."""
    return hashlib.blake2b(f"{context}\0{question}".encode(), digest_size=8).hexdigest()


def _sc(dataset: Dataset, record: dict, number: int) -> SCRow:
    first = row_checks.text(dataset, record, "first")
    second = row_checks.text(dataset, record, "second") if "second" in dataset.given else None
    return SCRow(number, first, second, row_checks.label(dataset, record, len(dataset.labels)))


def _mcc(dataset: Dataset, record: dict, number: int) -> MCCRow:
    start = row_checks.text(dataset, record, "start") if "start" in dataset.given else ""
    choices = row_checks.choices(dataset, record)
    return MCCRow(number, row_checks.text(dataset, record, "context"), start, choices, row_checks.right_choice(dataset, record, choices))


PARSERS: dict[str, Callable[[Dataset, dict, int], Any]] = {"qa": _qa, "sc": _sc, "mcc": _mcc}
