"""Rows of the three task types; each is checked when it is made from a record (a dict with a dataset's columns).

Unusual but valid rows pass: empty questions, sentences and choices (355 of CODAH have an empty `sent1`), white space at the ends. `sources`
provides the records.
"""

import hashlib
from collections.abc import Callable
from typing import Any, NamedTuple

from mtdnn_kit.data import gold_answers, row_checks
from mtdnn_kit.data.registry import Dataset
from mtdnn_kit.errors import DataError


class QARow(NamedTuple):
    """A question; `answers` are (character offset in the context, text), each checked to occur there; () means unanswerable. A missing `id`
    is made from passage and question."""

    id: str
    title: str  # "" if the column is missing
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
    """A text and its possible endings: `start` precedes each of `choices`; `id` is the row's number in its file, from 0."""

    id: int
    context: str
    start: str
    choices: tuple[str, ...]
    label: int


def gold_texts(row: QARow) -> list[str]:
    """The answers that the official scorer accepts: "" alone for an unanswerable question."""
    return [text for _, text in row.answers] or [""]


def from_record(dataset: Dataset, record: dict, number: int) -> QARow | SCRow | MCCRow:
    """The row of a record; number: its position in the file, from 0. Raises DataError for a missing column or an invalid value."""
    row_checks.check_columns(dataset, record)
    return PARSERS[dataset.type](dataset, record, number)


def _qa(dataset: Dataset, record: dict, number: int) -> QARow:
    columns = dataset.columns
    title = row_checks.lookup(record, columns["title"]) if "title" in columns else None
    title = "" if title in (None, row_checks.NOTHING) else _written(title, columns["title"])
    context, question = (row_checks.text(dataset, record, role) for role in ("context", "question"))
    if not context.strip():
        raise DataError(f"column {columns['context']!r} is empty: every question needs a passage; add it, or remove the row")
    found = row_checks.lookup(record, columns["id"]) if "id" in columns else None
    none = found in (None, "", row_checks.NOTHING)
    row_id = made_id(context, question) if none else _written(found, columns["id"])
    return QARow(row_id, title, context, question, gold_answers.answers(dataset, record, context))


def _written(found: Any, column: str) -> str:
    """A text, or a whole number as one. Raises DataError."""
    plain = isinstance(found, str) and found.isascii()  # most are, and need no further check
    return found if plain else row_checks.written(found, f"column {column!r}")


def made_id(context: str, question: str) -> str:
    """The id of a question without one: 16 hexadecimal digits that depend on passage and question, not on the order of the rows."""
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
