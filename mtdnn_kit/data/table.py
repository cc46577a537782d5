"""Rows stored as columns: a list that makes each row when it is read, so that a question costs only its text, not a Python object.

`parts` turns rows into columns, `RowList` turns them back. Passages and titles, which many questions share, are stored once. The functions
below also accept plain lists of rows. Knows no file and no token.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import islice
from typing import Any, get_type_hints

import numpy as np

from mtdnn_kit.data.arrays import LazySequence, Parts, text_parts, texts
from mtdnn_kit.data.rows import MCCRow, QARow, SCRow

BLOCK = 2048  # rows per block of columns
ROWS: dict[str, Any] = {"qa": QARow, "sc": SCRow, "mcc": MCCRow}  # each a NamedTuple class
SHARED = {"qa": ("title", "context")}  # fields whose distinct texts are stored once
TO_JSON = json.JSONEncoder(ensure_ascii=False).encode
DIGEST, UNIT = "_digest", "_unit"  # NamedTuple fields cannot begin with _; UNIT: the hash of a row's unit (`split`)


class RowList(LazySequence):
    """Rows of a task type, made when read. `picks`: indices of the rows that the list has, None for all."""

    def __init__(self, kind: str, arrays: dict[str, np.ndarray], picks: np.ndarray | None = None):
        self.kind, self.arrays, self.picks = kind, arrays, picks
        fields = {name: _field(kind, name, arrays) for name in ROWS[kind]._fields}
        self.fields = fields if picks is None else {name: picked(field, picks) for name, field in fields.items()}
        row, makers = ROWS[kind], [field.make for field in self.fields.values()]
        super().__init__(len(next(iter(self.fields.values()))), lambda i: row(*[make(i) for make in makers]))

    def __eq__(self, other: Any) -> bool:
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    def __add__(self, other: Iterable) -> list:
        return [*self, *other]

    __hash__ = None  # type: ignore[assignment] # what Python sets implicitly, made explicit

    @property
    def digest(self) -> str:
        """sha256 of all rows in the columns, and of the selection."""
        picked = b"" if self.picks is None else hashlib.sha256(self.picks.astype(np.int64).tobytes()).digest()
        return (self.arrays[DIGEST].tobytes() + picked).hex()


def picked(items: Sequence, picks: np.ndarray) -> LazySequence:
    """The items of a sequence at some indices."""
    return LazySequence(len(picks), lambda i: items[picks[i]])


def _hints(kind: str) -> dict[str, Any]:
    """The types of a row's fields: text and whole numbers are stored as they are, everything else as JSON."""
    return get_type_hints(ROWS[kind])


def _field(kind: str, name: str, arrays: dict[str, np.ndarray]) -> LazySequence:
    """The values of a row's field; tuples come back as tuples. Neighbouring rows with the same shared text get the same string object."""
    if (hint := _hints(kind).get(name)) is int:
        return LazySequence(len(arrays[name]), lambda i: int(arrays[name][i]))
    kept = texts(name, arrays)
    if name in SHARED.get(kind, ()):
        numbers, text = arrays[f"{name}_of"], lru_cache(1)(kept.make)
        return LazySequence(len(numbers), lambda i: text(int(numbers[i])))
    return kept if hint is str else LazySequence(len(kept), lambda i: _frozen(json.loads(kept.make(i))))


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def parts(kind: str, rows: Iterable) -> Parts:
    """The columns of rows, block by block, and at the end DIGEST, the sha256 of all rows."""
    digest, rows, separator = hashlib.sha256(), iter(rows), ""
    seen: dict[str, dict] = {name: {} for name in SHARED.get(kind, ())}
    hints = _hints(kind)
    while block := list(islice(rows, BLOCK)):
        digest.update((separator + "\n".join(map(json.dumps, block))).encode())
        separator = "\n"
        made: dict[str, np.ndarray] = {}
        for name, values in zip(ROWS[kind]._fields, zip(*block, strict=True), strict=True):
            if name in seen:
                made |= _shared_parts(name, values, seen[name])
            elif hints.get(name) is int:
                made[name] = np.array(values, np.int64)
            else:
                made |= text_parts(name, values if hints.get(name) is str else list(map(TO_JSON, values)))
        yield made
    yield {DIGEST: np.frombuffer(digest.digest(), np.uint8)}


def _shared_parts(name: str, values: Sequence[str], numbers: dict[bytes, int]) -> dict[str, np.ndarray]:
    """Columns of texts of which many are equal: the texts not yet in `numbers`, and each row's text number, int32 [N]."""
    keys = [hashlib.blake2b(text.encode(), digest_size=16).digest() for text in values]
    new = {key: text for key, text in zip(keys, values, strict=True) if key not in numbers}
    numbers |= {key: len(numbers) + i for i, key in enumerate(new)}
    return {**text_parts(name, list(new.values())), f"{name}_of": np.array([numbers[key] for key in keys], np.int32)}


def column(rows: Sequence, name: str) -> Sequence:
    """One field of each row."""
    return rows.fields[name] if isinstance(rows, RowList) else [getattr(row, name) for row in rows]


def pick(rows: Sequence, places: np.ndarray) -> Sequence:
    """The rows at some indices, in that order."""
    if not isinstance(rows, RowList):
        return [rows[i] for i in places]
    places = np.asarray(places, np.int32)
    return RowList(rows.kind, rows.arrays, places if rows.picks is None else rows.picks[places])


def units(rows: Sequence) -> np.ndarray | None:
    """Each row's unit as a number (`split.unit_of`), uint64 [N]; None if the file was read without units."""
    if not isinstance(rows, RowList) or UNIT not in rows.arrays:
        return None
    return rows.arrays[UNIT] if rows.picks is None else rows.arrays[UNIT][rows.picks]


def permuted(rows: Sequence, order: np.ndarray) -> Sequence:
    """The rows with permuted labels: row i gets the label of row order[i] (`order`: a permutation of 0 … N − 1); all else is unchanged."""
    labels = np.array(column(rows, "label"), np.int64)[order]
    if not isinstance(rows, RowList):
        return [row._replace(label=int(label)) for row, label in zip(rows, labels, strict=True)]
    given = rows.arrays["label"].copy()
    given[slice(None) if rows.picks is None else rows.picks] = labels
    digest = hashlib.sha256(rows.arrays[DIGEST].tobytes() + given.tobytes()).digest()
    return RowList(rows.kind, {**rows.arrays, "label": given, DIGEST: np.frombuffer(digest, np.uint8)}, rows.picks)


def shared(rows: Sequence, name: str) -> tuple[np.ndarray, Sequence[str]]:
    """The number of each row's text in a field, int32 [N], and the distinct texts, in order of first occurrence."""
    values: Sequence = column(rows, name)
    if isinstance(rows, RowList):
        numbers = rows.arrays[f"{name}_of"]
        values = (numbers if rows.picks is None else numbers[rows.picks]).tolist()
    known: dict[Any, int] = {}
    each = np.array([known.setdefault(value, len(known)) for value in values], np.int32)
    return each, picked(texts(name, rows.arrays), np.array(list(known), np.int32)) if isinstance(rows, RowList) else list(known)
