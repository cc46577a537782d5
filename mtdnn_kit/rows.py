"""Rows of the three task types, each checked on its own when it is made from a record (a dict in a dataset's columns).

Merely odd rows pass: empty questions, sentences and choices (355 of CODAH have an empty `sent1`), white space at the ends. Where
records are from is `sources`' business.
"""

import json
from typing import Any, NamedTuple

from mtdnn_kit.jsons import once
from mtdnn_kit.registry import DATASETS, Dataset
from mtdnn_kit.values import short, some

KINDS = {str: "text", int: "a whole number", dict: "an object", list: "a list"}


class DataError(ValueError):
    """A problem with data: the message says in which file and row, what is wrong and what to do."""


class QARow(NamedTuple):
    """A question; `answers` are (character offset in the context, text), each checked to stand there, none = unanswerable."""

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
    _check_columns(dataset, record)
    return PARSERS[dataset.type](dataset, record, number)


def from_line(line: bytes) -> dict:
    """The record on a line of JSON. Raises DataError."""
    remedy = 'each line must be one JSON object, {"column": value, …}'
    try:
        record = json.loads(line.decode("utf-8-sig"), object_pairs_hook=once)
    except UnicodeDecodeError as error:
        raise DataError(
            f"not UTF-8 (byte {error.start + 1} of the line): save the file as UTF-8; if it is compressed, name it .gz"
        ) from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"not JSON ({error}): {remedy}") from None
    if not isinstance(record, dict):
        raise DataError(f"{short.repr(record)} is no object: {remedy}")
    return record


def _columns(dataset: Dataset) -> list[str]:
    """Columns that every row must have."""
    named = [name for role, name in dataset.columns.items() if role != "title"]
    return [column for name in named for column in ([name] if isinstance(name, str) else name)]


def _check_columns(dataset: Dataset, record: dict) -> None:
    missing = [column for column in _columns(dataset) if column not in record]
    if missing:
        like = [name for name, other in DATASETS.items() if all(column in record for column in _columns(other))]
        hint = f" It looks like a row of {' or '.join(like)}." if like else ""
        found = some(map(short.repr, record)) or "none"
        raise DataError(f"column {missing[0]!r} is missing; the columns are {found}.{hint} Rename the column, or correct `columns`.")


def _value(value: Any, kind: type, what: str) -> Any:
    """`value` if it is of that kind and, being text, can be encoded."""
    if not isinstance(value, kind) or isinstance(value, bool):
        raise DataError(f"{what} is {short.repr(value)}: it must be {KINDS[kind]}")
    if kind is str and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise DataError(f"{what} has half a surrogate pair at character {error.start}, which no tokenizer reads: remove it") from None
    return value


def _text(dataset: Dataset, record: dict, role: str) -> str:
    column = dataset.columns[role]
    return _value(record[column], str, f"column {column!r}")


def _label(dataset: Dataset, record: dict, count: int) -> int:
    column = dataset.columns["label"]
    label = record[column]
    if type(label) is int and 0 <= label < count:
        return label
    names = f" ({some(f'{i} {name}' for i, name in enumerate(dataset.labels))})" if dataset.labels else ""
    if not isinstance(label, int) or isinstance(label, bool):
        raise DataError(f"column {column!r} is {short.repr(label)}: it must be a whole number from 0 to {count - 1}{names}")
    if label < 0:
        raise DataError(f"column {column!r} is {short(label)}: an unlabelled row (of a test split); choose a split that has labels")
    raise DataError(f"column {column!r} is {short(label)}: it must be from 0 to {count - 1}{names}; correct it, or `labels`")


def _qa(dataset: Dataset, record: dict, number: int) -> QARow:
    title = _text(dataset, record, "title") if dataset.columns.get("title") in record else ""
    row_id, context, question = (_text(dataset, record, role) for role in ("id", "context", "question"))
    if not context.strip():
        raise DataError(f"column {dataset.columns['context']!r} is empty: a question needs a text to be answered from; remove the row")
    return QARow(row_id, title, context, question, _answers(record[dataset.columns["answers"]], dataset.columns["answers"], context))


def _answers(value: Any, column: str, context: str) -> tuple[tuple[int, str], ...]:
    what = f"column {column!r}"
    if not isinstance(value, dict) or not all(isinstance(value.get(key), list) for key in ("text", "answer_start")):
        raise DataError(f'{what} is {short.repr(value)}: it must be {{"text": [...], "answer_start": [...]}}, empty lists if unanswerable')
    texts, starts = value["text"], value["answer_start"]
    if len(texts) != len(starts):
        raise DataError(f"{what} has {len(texts)} in text but {len(starts)} in answer_start: each answer needs both")
    for text, start in zip(texts, starts, strict=True):
        _value(text, str, f"an answer's text in {what}")
        _value(start, int, f"an answer_start in {what}")
        if not text:
            raise DataError(f"{what} has an answer with empty text: an unanswerable question has empty lists")
        if start < 0 or not context.startswith(text, start):
            there = (
                f"the context has {short.repr(context[start : start + len(text)])}"
                if 0 <= start < len(context)
                else "the context has nothing"
            )
            first = context.find(text)
            remedy = f"the text stands at character {first}" if first >= 0 else "the context does not hold the text at all"
            raise DataError(
                f"answer {short.repr(text)} should stand at character {short(start)}, but {there} there; {remedy}. Correct answer_start."
            )
    return tuple(zip(starts, texts, strict=True))


def _sc(dataset: Dataset, record: dict, number: int) -> SCRow:
    second = _text(dataset, record, "second") if "second" in dataset.columns else None
    return SCRow(number, _text(dataset, record, "first"), second, _label(dataset, record, len(dataset.labels)))


def _mcc(dataset: Dataset, record: dict, number: int) -> MCCRow:
    start = _text(dataset, record, "start") if "start" in dataset.columns else ""
    columns = dataset.columns["choices"]
    if isinstance(columns, str) or len(columns) < 2:
        raise DataError(f"multiple choice needs at least 2 choices, not {short(columns)}: name the columns that hold them in `choices`")
    choices = tuple(_value(record[column], str, f"column {column!r}") for column in columns)
    return MCCRow(number, _text(dataset, record, "context"), start, choices, _label(dataset, record, len(choices)))


PARSERS = {"qa": _qa, "sc": _sc, "mcc": _mcc}
