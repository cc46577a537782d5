"""Rows as columns: a list that makes a row when it is asked for one, so that a question costs its text and no Python object.

`parts` takes rows to columns, `RowList` takes them back. Passages and titles, which many questions share, are kept once. The functions
below it serve plain lists of rows as well. Knows no file and no token.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import islice
from typing import Any

import numpy as np

from mtdnn_kit.data.arrays import Made, Parts, ends_of, text_parts, texts
from mtdnn_kit.data.rows import MCCRow, QARow, SCRow

BLOCK = 2048  # rows that become columns in one go
ROWS: dict[str, Any] = {"qa": QARow, "sc": SCRow, "mcc": MCCRow}  # each a NamedTuple class


class RowList(Made):
    """Rows of a task type, made when asked for. `picks`: the numbers of those that are in the list, None for all."""

    def __init__(self, kind: str, arrays: dict[str, np.ndarray], picks: np.ndarray | None = None):
        self.kind, self.arrays, self.picks = kind, arrays, picks
        fields = FIELDS[kind](arrays) if kind in FIELDS else _other_fields(kind, arrays)
        self.fields = fields if picks is None else {name: picked(field, picks) for name, field in fields.items()}
        row, makers = ROWS[kind], [field.make for field in self.fields.values()]
        super().__init__(len(self.fields["id"]), lambda i: row(*[make(i) for make in makers]))

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


def picked(items: Sequence, picks: np.ndarray) -> Made:
    """Some of a sequence's items, by their numbers."""
    return Made(len(picks), lambda i: items[picks[i]])


def _numbers(values: np.ndarray) -> Made:
    return Made(len(values), lambda i: int(values[i]))


def _shared(name: str, a: dict[str, np.ndarray]) -> Made:
    """Texts of which many are equal: each different one is kept once; neighbours, which mostly have the same one, have the same string."""
    numbers, text = a[f"{name}_of"], lru_cache(1)(texts(name, a).make)
    return Made(len(numbers), lambda i: text(int(numbers[i])))


def _qa_fields(a: dict[str, np.ndarray]) -> dict[str, Made]:
    ends, starts, answers = ends_of(a["answers"]), a["answer_start"], texts("answer", a)
    each = Made(len(ends) - 1, lambda i: tuple((int(starts[j]), answers[j]) for j in range(ends[i], ends[i + 1])))
    names = {name: _shared(name, a) for name in ("title", "context")}
    return {"id": texts("id", a), **names, "question": texts("question", a), "answers": each}


def _sc_fields(a: dict[str, np.ndarray]) -> dict[str, Made]:
    second = texts("second", a) if "second" in a else Made(len(a["id"]), lambda i: None)
    return {"id": _numbers(a["id"]), "first": texts("first", a), "second": second, "label": _numbers(a["label"])}


def _mcc_fields(a: dict[str, np.ndarray]) -> dict[str, Made]:
    count, choice = len(a["id"]), texts("choice", a)
    n = len(choice) // max(count, 1)  # choices of a row
    choices = Made(count, lambda i: tuple(choice[i * n : (i + 1) * n]))
    return {
        "id": _numbers(a["id"]),
        **{name: texts(name, a) for name in ("context", "start")},
        "choices": choices,
        "label": _numbers(a["label"]),
    }


def _other_fields(kind: str, a: dict[str, np.ndarray]) -> dict[str, Made]:
    """The fields of a registered type's rows (`tasks.register`), which are kept as JSON; what was a tuple is one."""
    lines = texts("row", a)

    def field(place: int) -> Made:
        return Made(len(lines), lambda i: _frozen(json.loads(lines[i])[place]))

    return {name: field(place) for place, name in enumerate(ROWS[kind]._fields)}


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


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
    return rows.fields[name] if isinstance(rows, RowList) else [getattr(row, name) for row in rows]


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
    numbers = rows.arrays[f"{name}_of"]
    used, first, of = np.unique(numbers if rows.picks is None else numbers[rows.picks], return_index=True, return_inverse=True)
    order = np.argsort(first)
    place = np.empty(len(used), np.int32)
    place[order] = np.arange(len(used))
    return place[of], picked(texts(name, rows.arrays), used[order])
