"""Rows of a dataset from the Hugging Face hub, local files or the packaged sample: checked, then fingerprinted.

A folder holds FOLDER/SPLIT.jsonl or .jsonl.gz, one JSON object a line in the columns of the hub's dataset, or another of `readers`'
formats; a dataset of one's own may name its files instead, and have the rows that are scored cut from the others (`split`). Every row
is checked before anything uses it, and the first that cannot be right stops the reading with a DataError that says where, what and what to
do. What passed is kept as columns (`table`) under the hash of the file's bytes, so that the same bytes are not read and checked again.
Merely odd rows pass: empty questions, sentences and choices (355 of CODAH have an empty `sent1`), white space at the ends, repeated rows.
This file does not know tokens, parameters or splits beyond their names, and how the hub is reached is `hub`'s business.
"""

import hashlib
import inspect
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mtdnn_kit.data import readers, row_checks
from mtdnn_kit.data.arrays import Parts
from mtdnn_kit.data.cache import code_of, kept, key_of, sha256_of
from mtdnn_kit.data.hub import from_hub
from mtdnn_kit.data.registry import Dataset
from mtdnn_kit.data.rows import PARSERS, QARow, from_line, from_record
from mtdnn_kit.data.split import sides, unit_of
from mtdnn_kit.data.table import RowList, column, parts, pick
from mtdnn_kit.errors import DataError
from mtdnn_kit.files.wording import short, some

COLUMNS_CODE = ("data", "files")  # what makes columns of a file
SAMPLE = Path(__file__).with_name("sample")
CS224N_TITLES = (
    "Normans", "Computational_complexity_theory", "Huguenot", "Steam_engine", "1973_oil_crisis", "European_Union_law", "Packet_switching",
    "Harvard_University", "Yuan_dynasty", "Immune_system", "Scottish_Parliament", "Islamism", "Imperialism", "Warsaw",
    "French_and_Indian_War", "Force",
)  # fmt: skip


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
    """The rows of a split; `data` is "sample", "hub" or a folder that holds FOLDER/SPLIT.jsonl or .jsonl.gz, or another format.

    Where the dataset names files, those are read, whatever `data` says; where it is on the hub and not in the sample, the hub stands in
    for that. Of the hub's scored split, only the part that `dataset.cut` names, or, with `rest`, the other one: a second set to score on,
    untouched by what was chosen on the first. Raises DataError: out of reach, missing, unreadable, a row at fault.
    """
    ratio, stored = dataset.validation_ratio, dataset.train if dataset.validation_ratio else split
    hub = not dataset.files and (data == "hub" or (data == "sample" and bool(dataset.hub) and not (SAMPLE / dataset.folder).is_dir()))
    if hub:
        where = origin = " ".join(filter(None, ("hub", dataset.hub, dataset.hub_config, stored)))
        records = from_hub(task, dataset, stored)
        digests = [sha256_of(Path(file["filename"])) for file in records.cache_files]  # none where the hub's client keeps no file
        key = _key(dataset, split=stored, files=digests, rows=len(records)) if digests else None
        arrays = kept(key, lambda: _arrays(dataset, records, where))
    else:
        where, origin, file = _named_file(dataset, stored) if dataset.files else _from_folder(dataset, stored, data)
        arrays = _read(dataset, file, where)
    rows: Any = RowList(dataset.type, arrays)
    if ratio:
        rows = pick(rows, sides(arrays["_unit"], ratio, where)[int(split == dataset.score)])
        origin += f" ({ratio:g} of it)" if split == dataset.score else f" (without {ratio:g} of it)"
    if hub and split == dataset.score and dataset.cut:
        rows, origin = CUT_RULES[dataset.cut](rows)[int(rest)], f"{origin} ({'without ' if rest else ''}{dataset.cut})"
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


CUT_RULES = {"cs224n": cs224n}


def _fingerprint(rows: RowList) -> str:
    """The first 16 digits of the sha256 of the rows as JSON, a line each."""
    if rows.picks is None:
        return rows.digest[:16]
    return hashlib.sha256("\n".join(map(json.dumps, rows)).encode()).hexdigest()[:16]


def _read(dataset: Dataset, file: Path, where: str) -> dict[str, np.ndarray]:
    """The columns of a file: those that are kept for its bytes, or else read, checked and kept. Raises DataError."""
    with readers.opened(file, where) as opened:
        key = _key(dataset, file=hashlib.file_digest(opened, "sha256").hexdigest(), format=readers.suffix_of(file.name))
    return kept(key, lambda: _arrays(dataset, _records(dataset, file, where), where))


def _records(dataset: Dataset, file: Path, where: str) -> Iterator[dict | bytes]:
    records: Iterator[Any] = readers.read(file, where, dataset.quoted)
    text_alone = readers.suffix_of(file.name)[0] in (".csv", ".tsv")
    return (row_checks.from_text(dataset, record) for record in records) if text_alone else records


def _arrays(dataset: Dataset, records: Iterable, where: str) -> Parts:
    """The checked rows as columns; where a part of them is to be cut off, also what each may not be parted from."""
    units: list[int] | None = [] if dataset.validation_ratio else None
    yield from parts(dataset.type, _checked(dataset, records, where, units))
    if units is not None:
        yield {"_unit": np.array(units, np.uint64)}


def _key(dataset: Dataset, **content: Any) -> str:
    """Whatever the columns depend on: a file's content, not its place; the code that reads it, and the parser of a type of one's own."""
    what = {key: value for key, value in asdict(dataset).items() if key != "files"}
    parser = sha256_of(Path(inspect.getfile(PARSERS[dataset.type])))
    return key_of("rows", dataset=what, code=code_of(*COLUMNS_CODE), parser=parser, **content)


def _named_file(dataset: Dataset, split: str) -> tuple[str, str, Path]:
    """As `_from_folder`, of a dataset that names its files."""
    file = Path(dataset.files[split])
    try:
        there = file.is_file()
    except OSError as error:  # too long a name, a folder that may not be entered
        raise DataError(f"{str(file)[:1000]}: cannot be looked for ({error.strerror}): correct `files`") from None
    if not there:
        raise DataError(f"{file}: there is no such file. Correct `files` (a relative path starts at the project's folder).")
    return str(file), f"file {file.parent.name}/{file.name}", file


def _from_folder(dataset: Dataset, split: str, data: str) -> tuple[str, str, Path]:
    """How errors name the file, the origin, and the file."""
    root = SAMPLE if data == "sample" else Path(data)
    remedy = (
        f'Set `data:` to a folder that holds {dataset.folder}/{split}.jsonl.gz (or .jsonl, .csv, .tsv, .parquet, .json), to "hub" or to '
        '"sample".'
    )
    try:
        for folder, name in ((root, data), (root / dataset.folder, f"{data}/{dataset.folder}")):
            if not folder.is_dir():
                raise DataError(f"{name}: there is no such folder. {remedy}")
        there = sorted(file.name for file in folder.iterdir() if not file.name.startswith("."))
    except OSError as error:
        raise DataError(f"{name}: the folder cannot be read ({error.strerror}). {remedy}") from None
    found = [file for file in readers.named(split) if file in there]
    if not found:
        raise DataError(f"{name}: neither {split}.jsonl.gz nor {split}.jsonl is there, but {some(there) or 'nothing'}. {remedy}")
    if len(found) > 1:
        raise DataError(f"{name}: both {found[0]} and {found[1]} are there, and it is not clear which is meant: remove one")
    if dataset.validation_ratio and dataset.score and (other := [file for file in readers.named(dataset.score) if file in there]):
        raise DataError(
            f"{name}: {other[0]} is there, yet validation_ratio cuts the scored rows from {found[0]}: leave validation_ratio out"
        )
    where, base = f"{name}/{found[0]}", root.name if data == "sample" else Path(data).resolve().name
    return where, "sample" if data == "sample" else f"folder {base}/{dataset.folder}/{found[0]}", folder / found[0]


def _checked(dataset: Dataset, records: Iterable, where: str, units: list[int] | None) -> Iterator:
    """The rows of `records` (dicts, or lines of JSON), each checked. Raises DataError. units: takes each row's unit, where it is a list."""
    seen: dict[str, int] = {}
    number, choices = 0, None
    for number, line in enumerate(records, 1):
        record = line
        try:
            record = from_line(line) if isinstance(line, bytes) else line
            row: Any = from_record(dataset, record, number - 1)
            if dataset.type == "qa" and seen.setdefault(row.id, number) != number:
                raise DataError(f"id {short.repr(row.id)} is already that of row {seen[row.id]}: give each question an id of its own")
            if dataset.type == "mcc" and len(row.choices) != (choices := choices or len(row.choices)):
                raise DataError(f"{len(row.choices)} choices, where the first row has {choices}: each row needs as many; remove the others")
            if units is not None:
                units.append(unit_of(dataset, record, row))
        except DataError as error:
            raise DataError(f"{where}, row {number}{_named(dataset, record)}: {error}") from None
        yield row
    if not number:
        raise DataError(f"{where}: no rows in it: each row is a JSON object on a line of its own, or a line of a table below its header")


def _named(dataset: Dataset, record: dict | bytes) -> str:
    """A question's id, where it can be read, for an error's message."""
    found = record.get(dataset.columns.get("id")) if isinstance(record, dict) else None
    return f" (id {short.repr(found)})" if isinstance(found, str) else ""
