"""Rows of a dataset from the Hugging Face hub, a local folder or the packaged sample: checked, then fingerprinted.

A folder holds FOLDER/SPLIT.jsonl or .jsonl.gz: one JSON object a line, in the columns of the hub's dataset. Every row is checked
before anything uses it, and the first that cannot be right stops the reading with a DataError that says where, what and what to do. What
passed is kept as columns (`rowlist`) under the hash of the file's bytes, so that the same bytes are not read and checked again.
Merely odd rows pass: empty questions, sentences and choices (355 of CODAH have an empty `sent1`), white space at the ends, repeated rows.
This file does not know tokens, parameters or splits beyond their names, and how the hub is reached is `hub`'s business.
"""

import gzip
import hashlib
import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import BinaryIO

import numpy as np

from mtdnn_kit.cache import code_of, kept, key_of
from mtdnn_kit.hub import from_hub
from mtdnn_kit.registry import Dataset
from mtdnn_kit.rowlist import RowList, column, parts, pick
from mtdnn_kit.rows import DataError, QARow, from_line, from_record, short

CODE = ("sources", "hub", "rowlist", "rows", "registry", "columns")  # what makes columns of a file
CS224N_TITLES = (
    "Normans",
    "Computational_complexity_theory",
    "Huguenot",
    "Steam_engine",
    "1973_oil_crisis",
    "European_Union_law",
    "Packet_switching",
    "Harvard_University",
    "Yuan_dynasty",
    "Immune_system",
    "Scottish_Parliament",
    "Islamism",
    "Imperialism",
    "Warsaw",
    "French_and_Indian_War",
    "Force",
)


@dataclass(frozen=True)
class Rows:
    """A split. `origin` says where it is from, without absolute paths; equal rows in equal order have equal fingerprints, from anywhere."""

    task: str
    split: str
    origin: str
    rows: Sequence
    fingerprint: str

    def __len__(self) -> int:
        return len(self.rows)


def load(task: str, dataset: Dataset, split: str, data: str, rest: bool = False) -> Rows:
    """The rows of a split; `data` is "sample", "hub" or a folder that holds FOLDER/SPLIT.jsonl or .jsonl.gz.

    Of the hub's scored split, only the part that `dataset.cut` names, or, with `rest`, the other one: a second set to score on, untouched
    by what was chosen on the first. Raises DataError: out of reach, missing, unreadable, a row at fault.
    """
    if data == "hub":
        where = origin = " ".join(filter(None, ("hub", dataset.hub, dataset.hub_config, split)))
        records = from_hub(task, dataset, split)
        arrays = kept(_key_of_hub(dataset, split, records), lambda: parts(dataset.type, _checked(dataset, records, where)))
    else:
        where, origin, file = _from_folder(dataset, split, data)
        arrays = _read(dataset, file, where)
    rows = RowList(dataset.type, arrays)
    if data == "hub" and split == dataset.score and dataset.cut:
        rows, origin = CUTS[dataset.cut](rows)[int(rest)], f"{origin} ({'without ' if rest else ''}{dataset.cut})"
    return Rows(task, split, origin, rows, _fingerprint(rows))


def cs224n(records: Sequence[QARow]) -> tuple[Sequence[QARow], Sequence[QARow]]:
    """The CS224N dev split (the paper's; its tables are k/6078): the questions of SQuAD 2.0's dev set on 16 articles; and the 5,795 others.

    Raises DataError unless the first are 6,078 questions, 3,168 of them unanswerable, and the others 5,795.
    """
    inside = np.array([title in CS224N_TITLES for title in column(records, "title")], bool)
    ours, rest = (pick(records, np.flatnonzero(where)) for where in (inside, ~inside))
    empty = sum(not answers for answers in column(ours, "answers"))
    changed = "the hub's data are not what they were. Scores would not compare with the paper's; "
    remedy = "set `data:` to a folder with the split you want to score."
    if (len(ours), empty) != (6078, 3168):
        found = f"the 16 articles have {len(ours):,} questions, {empty:,} of them unanswerable, not 6,078 and 3,168"
        raise DataError(f"cs224n: {found}: {changed}{remedy}")
    if len(rest) != 5795:
        raise DataError(f"cs224n: the dev set has {len(rest):,} questions on other articles, not 5,795: {changed}{remedy}")
    return ours, rest


CUTS = {"cs224n": cs224n}


def _fingerprint(rows: RowList) -> str:
    """The first 16 digits of the sha256 of the rows as JSON, a line each."""
    if rows.picks is None:
        return rows.digest[:16]
    return hashlib.sha256("\n".join(map(json.dumps, rows)).encode()).hexdigest()[:16]


def _read(dataset: Dataset, file, where: str) -> dict[str, np.ndarray]:
    """The columns of a file: those that are kept for its bytes, or else read, checked and kept. Raises DataError."""
    with _open(file, where) as opened:
        key = _key(dataset, file=hashlib.file_digest(opened, "sha256").hexdigest(), compressed=file.name.endswith(".gz"))
    return kept(key, lambda: parts(dataset.type, _checked(dataset, _lines(file, where), where)))


@contextmanager
def _open(file, where: str) -> Iterator[BinaryIO]:
    """The file's bytes as they are. Raises DataError for one that cannot be opened or read."""
    try:
        with file.open("rb") as opened:
            yield opened
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{where}: truncated or not gzip ({error}): copy it again, or drop .gz from its name if it is plain text") from None
    except OSError as error:
        raise DataError(f"{where}: cannot be read ({error.strerror}): it must be a file that you may read") from None


def _key(dataset: Dataset, **content) -> str:
    return key_of("rows", dataset=asdict(dataset), code=code_of(*CODE), **content)


def _key_of_hub(dataset: Dataset, split: str, records) -> str | None:
    """From the bytes of the files that the hub's client keeps; None where it keeps none."""
    digests = []
    for file in records.cache_files:
        with open(file["filename"], "rb") as opened:
            digests.append(hashlib.file_digest(opened, "sha256").hexdigest())
    return _key(dataset, split=split, files=digests, rows=len(records)) if digests else None


def _from_folder(dataset: Dataset, split: str, data: str) -> tuple[str, str, Path]:
    """How errors name the file, the origin, and the file."""
    root = files("mtdnn_kit") / "sample" if data == "sample" else Path(data)
    remedy = f'Set `data:` to a folder that holds {dataset.folder}/{split}.jsonl.gz (or .jsonl), to "hub" or to "sample".'
    for folder, name in ((root, data), (root / dataset.folder, f"{data}/{dataset.folder}")):
        if not folder.is_dir():
            raise DataError(f"{name}: there is no such folder. {remedy}")
    there = sorted(file.name for file in folder.iterdir() if not file.name.startswith("."))
    found = [file for file in (f"{split}.jsonl.gz", f"{split}.jsonl") if file in there]
    if not found:
        raise DataError(f"{name}: neither {split}.jsonl.gz nor {split}.jsonl is there, but {', '.join(there) or 'nothing'}. {remedy}")
    if len(found) > 1:
        raise DataError(f"{name}: both {found[0]} and {found[1]} are there, and it is not clear which is meant: remove one")
    where, base = f"{name}/{found[0]}", root.name if data == "sample" else Path(data).resolve().name
    return where, "sample" if data == "sample" else f"folder {base}/{dataset.folder}/{found[0]}", folder / found[0]


def _lines(file, where: str) -> Iterator[bytes]:
    """Lines are cut at line feeds only, not at U+2028 and the like; empty ones at the end do not count. Raises DataError."""
    empty: list[bytes] = []
    with _open(file, where) as opened:
        for line in gzip.GzipFile(fileobj=opened) if file.name.endswith(".gz") else opened:
            if line.strip(b" \t\r\n"):
                yield from empty
                empty = []
                yield line.rstrip(b"\n")
            else:
                empty.append(line)


def _checked(dataset: Dataset, records: Iterable, where: str) -> Iterator:
    """The rows of `records` (dicts, or lines of JSON), each checked. Raises DataError."""
    seen, number = {}, 0
    for number, record in enumerate(records, 1):
        try:
            row = from_record(dataset, from_line(record) if isinstance(record, bytes) else record, number - 1)
            if dataset.type == "qa" and seen.setdefault(row.id, number) != number:
                raise DataError(f"id {short.repr(row.id)} is already that of row {seen[row.id]}: give each question an id of its own")
        except DataError as error:
            raise DataError(f"{where}, row {number}{_named(dataset, record)}: {error}") from None
        yield row
    if not number:
        raise DataError(f"{where}: no rows in it: each row is a JSON object on a line of its own")


def _named(dataset: Dataset, record: dict | bytes) -> str:
    """A question's id, where it can be read, for an error's message."""
    try:
        found = (from_line(record) if isinstance(record, bytes) else record).get(dataset.columns.get("id"))
    except DataError:
        found = None
    return f" (id {short.repr(found)})" if isinstance(found, str) else ""
