"""Rows as columns: a list that makes a row when it is asked for one, so that a question costs its text and no Python object.

`parts` takes rows to columns, `RowList` takes them back. Passages and titles, which many questions share, are kept once. The functions
below it serve plain lists of rows as well. Knows no file and no token.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

import numpy as np

from mtdnn_kit.data.arrays import Parts, Texts, ends_of, text_parts, texts
from mtdnn_kit.data.rows import MCCRow, QARow, SCRow

BLOCK = 2048  # rows that become columns in one go
ROWS: dict[str, Any] = {"qa": QARow, "sc": SCRow, "mcc": MCCRow}  # each a NamedTuple class


class Shared(Sequence[str]):
    """Texts of which many are equal: each different one once, and its number [N]."""

    def __init__(self, texts: Texts, numbers: np.ndarray):
        self.texts, self.numbers = texts, numbers
        self.last = (-1, "")

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, i: int) -> str:
        number, (before, text) = self.numbers[i], self.last
        if number != before:  # neighbours mostly have the same one: it stays one string
            text = self.texts[number]
            self.last = number, text
        return text


class _Numbers(Sequence[int]):
    def __init__(self, values: np.ndarray):
        self.values = values

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, i: int) -> int:
        return int(self.values[i])


class _Answers(Sequence[tuple[tuple[int, str], ...]]):
    def __init__(self, sizes: np.ndarray, starts: np.ndarray, texts: Texts):
        self.ends, self.starts, self.texts = ends_of(sizes), starts, texts

    def __len__(self) -> int:
        return len(self.ends) - 1

    def __getitem__(self, i: int) -> tuple[tuple[int, str], ...]:
        return tuple((int(self.starts[j]), self.texts[j]) for j in range(self.ends[i], self.ends[i + 1]))


class _Choices(Sequence[tuple[str, ...]]):
    def __init__(self, texts: Texts, each: int):
        self.texts, self.each = texts, each

    def __len__(self) -> int:
        return len(self.texts) // self.each

    def __getitem__(self, i: int) -> tuple[str, ...]:
        i = range(len(self))[i]
        return tuple(self.texts[i * self.each : (i + 1) * self.each])


class RowList(Sequence):
    """Rows of a task type, made when asked for. `picks`: the numbers of those that are in the list, None for all."""

    def __init__(self, kind: str, arrays: dict[str, np.ndarray], picks: np.ndarray | None = None):
        self.kind, self.arrays, self.picks = kind, arrays, picks
        self.fields = FIELDS[kind](arrays) if kind in FIELDS else _other_fields(kind, arrays)

    def __len__(self) -> int:
        return len(self.fields["id"]) if self.picks is None else len(self.picks)

    def __getitem__(self, i: int | slice) -> Any:
        if isinstance(i, slice):
            return [self[j] for j in range(len(self))[i]]
        i = range(len(self))[i]
        return ROWS[self.kind](*(field[i if self.picks is None else self.picks[i]] for field in self.fields.values()))

    def __eq__(self, other: Any) -> bool:
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    def __add__(self, other: Iterable) -> list:
        return [*self, *other]

    __hash__ = None  # type: ignore[assignment] # as Python itself does it, written out

    @property
    def digest(self) -> str:
        """sha256 of all the rows that the columns hold, and of which of them are in the list."""
        picked = b"" if self.picks is None else hashlib.sha256(self.picks.astype(np.int64).tobytes()).digest()
        return (self.arrays["digest"].tobytes() + picked).hex()


def _qa_fields(a: dict[str, np.ndarray]) -> dict[str, Sequence]:
    shared = {name: Shared(texts(name, a), a[f"{name}_of"]) for name in ("title", "context")}
    answers = _Answers(a["answers"], a["answer_start"], texts("answer", a))
    return {"id": texts("id", a), **shared, "question": texts("question", a), "answers": answers}


def _sc_fields(a: dict[str, np.ndarray]) -> dict[str, Sequence]:
    second = texts("second", a) if "second" in a else [None] * len(a["id"])
    return {"id": _Numbers(a["id"]), "first": texts("first", a), "second": second, "label": _Numbers(a["label"])}


def _mcc_fields(a: dict[str, np.ndarray]) -> dict[str, Sequence]:
    choices = _Choices(texts("choice", a), len(a["choice_sizes"]) // max(len(a["id"]), 1))
    named = {name: texts(name, a) for name in ("context", "start")}
    return {"id": _Numbers(a["id"]), **named, "choices": choices, "label": _Numbers(a["label"])}


class _Values(Sequence):
    """One field of rows that are kept as JSON, as a row of another type is; what was a tuple is one."""

    def __init__(self, lines: Texts, place: int):
        self.lines, self.place = lines, place

    def __len__(self) -> int:
        return len(self.lines)

    def __getitem__(self, i: int) -> Any:
        return _frozen(json.loads(self.lines[i])[self.place])


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def _other_fields(kind: str, a: dict[str, np.ndarray]) -> dict[str, Sequence]:
    """The fields of a registered type's rows (`tasks.register`)."""
    return {name: _Values(texts("row", a), place) for place, name in enumerate(ROWS[kind]._fields)}


FIELDS = {"qa": _qa_fields, "sc": _sc_fields, "mcc": _mcc_fields}


def parts(kind: str, rows: Iterable) -> Parts:
    """Columns of rows, block by block, and last the sha256 of all of them, "digest"."""
    digest, rows, separator = hashlib.sha256(), iter(rows), ""
    seen: dict[str, dict] = {"title": {}, "context": {}}
    while block := list(islice(rows, BLOCK)):
        digest.update((separator + "\n".join(map(json.dumps, block))).encode())
        separator = "\n"
        yield _qa_parts(block, seen) if kind == "qa" else _label_parts(kind, block) if kind in FIELDS else _line_parts(block)
    yield {"digest": np.frombuffer(digest.digest(), np.uint8)}


def _qa_parts(rows: list[QARow], seen: dict[str, dict]) -> dict[str, np.ndarray]:
    found = {**text_parts("id", [row.id for row in rows]), **text_parts("question", [row.question for row in rows])}
    for name, numbers in seen.items():
        values = [getattr(row, name) for row in rows]
        keys = [hashlib.blake2b(text.encode(), digest_size=16).digest() for text in values]
        new = {key: text for key, text in zip(keys, values, strict=True) if key not in numbers}
        numbers |= {key: len(numbers) + i for i, key in enumerate(new)}
        found |= {**text_parts(name, list(new.values())), f"{name}_of": np.array([numbers[key] for key in keys], np.int32)}
    answers = [answer for row in rows for answer in row.answers]
    starts = np.array([start for start, _ in answers], np.int32)
    counts = np.array([len(row.answers) for row in rows], np.int32)
    return {**found, **text_parts("answer", [text for _, text in answers]), "answer_start": starts, "answers": counts}


def _line_parts(rows: list) -> dict[str, np.ndarray]:
    """Rows of a registered type, whose fields are JSON's values and tuples of them."""
    return text_parts("row", [json.dumps(row) for row in rows])


def _label_parts(kind: str, rows: list) -> dict[str, np.ndarray]:
    found = {name: np.array([getattr(row, name) for row in rows], np.int64) for name in ("id", "label")}
    for name in {"sc": ("first", "second"), "mcc": ("context", "start")}[kind]:
        if getattr(rows[0], name) is not None:
            found |= text_parts(name, [getattr(row, name) for row in rows])
    return found if kind == "sc" else found | text_parts("choice", [choice for row in rows for choice in row.choices])


def column(rows: Sequence, name: str) -> Sequence:
    """One field of each row."""
    if not isinstance(rows, RowList):
        return [getattr(row, name) for row in rows]
    return rows.fields[name] if rows.picks is None else Picked(rows.fields[name], rows.picks)


def pick(rows: Sequence, places: np.ndarray) -> Sequence:
    """The rows at some places, in that order."""
    if not isinstance(rows, RowList):
        return [rows[i] for i in places]
    places = np.asarray(places, np.int32)
    return RowList(rows.kind, rows.arrays, places if rows.picks is None else rows.picks[places])


def shared(rows: Sequence, name: str) -> tuple[np.ndarray, Sequence[str]]:
    """The different texts of a field, in order of their first row, and each row's number among them, int32 [N]."""
    if not isinstance(rows, RowList):
        known: dict[str, int] = {}
        each = [known.setdefault(text, len(known)) for text in column(rows, name)]
        return np.array(each, np.int32), list(known)
    field: Any = rows.fields[name]  # Shared
    numbers = field.numbers if rows.picks is None else field.numbers[rows.picks]
    used, first, of = np.unique(numbers, return_index=True, return_inverse=True)
    order = np.argsort(first)
    place = np.empty(len(used), np.int32)
    place[order] = np.arange(len(used))
    return place[of], Picked(field.texts, used[order])


class Picked(Sequence):
    """Some of a sequence's items, by their numbers."""

    def __init__(self, items: Sequence, picks: np.ndarray):
        self.items, self.picks = items, picks

    def __len__(self) -> int:
        return len(self.picks)

    def __getitem__(self, i: int | slice) -> Any:
        if isinstance(i, slice):
            return [self.items[j] for j in self.picks[i]]
        return self.items[self.picks[i]]
