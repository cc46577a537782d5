"""Rows of a dataset from the Hugging Face hub, local files or the packaged sample: checked, then fingerprinted.

A folder holds FOLDER/SPLIT.jsonl or .jsonl.gz, one JSON object per line in the columns of the hub's dataset, or another format of
`readers`; a custom dataset may name its files instead, and split its scored rows off the training rows (`split`). Every row is checked
before anything uses it; the first invalid row raises a DataError that says where it is, what is wrong and what to do. Valid rows are cached
as columns (`table`) under the hash of the file's bytes, so that the same bytes are not read and checked again. Unusual but valid rows pass:
empty questions, sentences and choices (355 of CODAH have an empty `sent1`), white space at the ends, repeated rows. This file knows no
tokens or parameters, and splits only by name; `hub` reaches the hub.
"""

import hashlib
import inspect
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mtdnn_kit.data import read_as, readers, row_checks
from mtdnn_kit.data.arrays import Parts
from mtdnn_kit.data.cache import code_of, kept, key_of, sha256_of
from mtdnn_kit.data.hub import from_hub
from mtdnn_kit.data.read_as import Reading
from mtdnn_kit.data.registry import REGISTERED, Dataset
from mtdnn_kit.data.rows import PARSERS, QARow, from_record
from mtdnn_kit.data.split import CUT_RULES, content_of, joined, sides, unit_of
from mtdnn_kit.data.table import UNIT, RowList, parts, pick
from mtdnn_kit.errors import DataError, RepeatedIdError
from mtdnn_kit.files.wording import short, some

COLUMNS_CODE = ("data", "files")  # the packages whose code turns a file into columns
SAMPLE = Path(__file__).with_name("sample")


@dataclass(frozen=True)
class Rows:
    """A split. `origin` says where it comes from, without absolute paths; equal rows in equal order have equal fingerprints.

    file: the counts of the whole file (`read_as.Reading.record`), before part of its rows was split off.
    """

    task: str
    split: str
    origin: str
    rows: Sequence
    fingerprint: str
    file: dict[str, Any]

    def __len__(self) -> int:
        return len(self.rows)


def load(task: str, dataset: Dataset, split: str, data: str, rest: bool = False) -> Rows:
    """The rows of a split; `data` is "sample", "hub" or a folder that holds FOLDER/SPLIT.jsonl or .jsonl.gz, or another format.

    If the dataset names files, these are read, whatever `data` says. A dataset that the sample lacks is read from the hub, if it is there.
    Of the hub's scored split, returns the part that `dataset.cut` names or, with `rest`, the other part: a second set to score on, which no
    choice has used. Raises DataError if the rows are out of reach, missing or unreadable, or if a row is invalid.
    """
    ratio, stored = dataset.validation_ratio, dataset.train if dataset.validation_ratio else split
    hub = not dataset.files and (data == "hub" or (data == "sample" and bool(dataset.hub) and not (SAMPLE / dataset.folder).is_dir()))
    if hub:
        where = origin = " ".join(filter(None, ("hub", dataset.hub, dataset.hub_config, stored)))
        records = from_hub(task, dataset, stored)
        digests = [sha256_of(Path(file["filename"])) for file in records.cache_files]  # none if the hub's client keeps no file
        key = _key(dataset, split=stored, files=digests, rows=len(records)) if digests else None
        arrays = _columns(key, _File(dataset, lambda reading: readers.counted(records, reading), where))
    else:
        where, origin, path = _named_file(dataset, stored) if dataset.files else _from_folder(dataset, stored, data)
        with readers.opened(path, where) as opened:
            key = _key(dataset, file=hashlib.file_digest(opened, "sha256").hexdigest(), format=readers.suffix_of(path.name))
        file = _File(dataset, lambda reading: readers.read(path, where, dataset.quoted, reading), where, readers.is_table(path.name))
        arrays = _columns(key, file)
    rows: Any = RowList(dataset.type, arrays)
    if ratio:
        contents = np.array([content_of(row) for row in rows], np.uint64) if dataset.group else None
        units = arrays[UNIT] if contents is None else joined(arrays[UNIT], contents)
        rows = pick(rows, sides(units, ratio, where)[int(split == dataset.score)])
        origin += f" ({ratio:g} of it)" if split == dataset.score else f" (without {ratio:g} of it)"
    if hub and split == dataset.score and dataset.cut:
        rows, origin = CUT_RULES[dataset.cut](rows)[int(rest)], f"{origin} ({'without ' if rest else ''}{dataset.cut})"
    return Rows(task, split, origin, rows, _fingerprint(rows), json.loads(arrays["_file"].tobytes()))


def _fingerprint(rows: RowList) -> str:
    """The first 16 digits of the sha256 of the rows as JSON, one per line."""
    if rows.picks is None:
        return rows.digest[:16]
    return hashlib.sha256("\n".join(map(json.dumps, rows)).encode()).hexdigest()[:16]


def _columns(key: str | None, file: "_File") -> dict[str, np.ndarray]:
    """The columns of a file's rows, from the cache under `key` or from the file, which is read twice if an id repeats. Raises DataError."""
    try:
        return kept(key, lambda: _parts(file, {}))
    except RepeatedIdError:
        return kept(key, lambda: _parts(file, file.further()))


def _parts(file: "_File", further: dict[str, list]) -> Parts:
    """The rows as columns; UNIT if some are to be split off or the dataset has a `group`; `_file`: the file's counts."""
    units: list[int] | None = [] if file.dataset.validation_ratio or file.dataset.group else None
    reading = Reading()
    yield from parts(file.dataset.type, file.checked(reading, units, further))
    if units is not None:
        yield {UNIT: np.array(units, np.uint64)}
    yield {"_file": np.frombuffer(json.dumps(reading.record()).encode(), np.uint8)}


def _key(dataset: Dataset, **content: Any) -> str:
    """A key of all that the columns depend on: the file's content (not its place), the code that reads it, and a custom type's parser."""
    what = {key: value for key, value in asdict(dataset).items() if key not in ("files", "permute_labels")}
    own = REGISTERED.get(dataset.type)
    parser = own["sha256"] if own else sha256_of(Path(inspect.getfile(PARSERS[dataset.type])))
    return key_of("rows", dataset=what, code=code_of(*COLUMNS_CODE), parser=parser, **content)


def _named_file(dataset: Dataset, split: str) -> tuple[str, str, Path]:
    """As `_from_folder`, for a dataset that names its files."""
    file = Path(dataset.files[split])
    try:
        there = file.is_file()
    except OSError as error:  # the name is too long, or access to the folder is denied
        raise DataError(f"{str(file)[:1000]}: cannot be accessed ({error.strerror}): correct `files`") from None
    if not there:
        raise DataError(f"{file}: there is no such file. Correct `files` (a relative path starts at the project's folder).")
    return str(file), f"file {file.parent.name}/{file.name}", file


def _from_folder(dataset: Dataset, split: str, data: str) -> tuple[str, str, Path]:
    """The file's name in errors, its origin, and its path."""
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
        raise DataError(f"{name}: it holds neither {split}.jsonl.gz nor {split}.jsonl, but {some(there) or 'nothing'}. {remedy}")
    if len(found) > 1:
        raise DataError(f"{name}: it holds both {found[0]} and {found[1]}, and which one to read is not clear: remove one")
    if dataset.validation_ratio and dataset.score and (other := [file for file in readers.named(dataset.score) if file in there]):
        raise DataError(
            f"{name}: it holds {other[0]}, but validation_ratio splits the scored rows off {found[0]}: leave validation_ratio out"
        )
    where, base = f"{name}/{found[0]}", root.name if data == "sample" else Path(data).resolve().name
    return where, "sample" if data == "sample" else f"folder {base}/{dataset.folder}/{found[0]}", folder / found[0]


@dataclass(frozen=True)
class _File:
    """A source of records: `read` returns the file's or the hub's records from the start, each with its place, and counts them.

    where: its name in errors; table: it holds text values only.
    """

    dataset: Dataset
    read: Callable[[Reading], Iterator[tuple[dict, str]]]
    where: str
    table: bool = False

    def checked(self, reading: Reading, units: list[int] | None, further: dict[str, list]) -> Iterator:
        """The checked rows; several rows of one question are joined. units: a list to append each row's unit to, or None.

        Raises DataError, and RepeatedIdError for a repeated id unless `further` has its rows.
        """
        seen: set[str] = set()
        for place, unit, row in self.rows(reading):
            if self.dataset.type == "qa":
                if row.id in seen and not further:
                    raise RepeatedIdError
                if row.id in seen:
                    reading.leave_out("further lines of a question")
                    continue
                seen.add(row.id)
                row = self._together(row, place, further[row.id]) if row.id in further else row
            if units is not None:
                units.append(unit)
            reading.rows += 1
            yield row

    def rows(self, reading: Reading) -> Iterator[tuple[str, int, Any]]:
        """Place, unit (`split.unit_of`; 0 if nothing is split off or grouped) and row of each record that is not left out. Raises DataError
        if a record is invalid, or if there is none."""
        first: tuple[dict, Any] | None = None
        for number, (given, place) in enumerate(self.read(reading)):
            try:
                record = read_as.plain(self.dataset, given, reading, self.table)
                if record is None:
                    continue
                row: Any = from_record(self.dataset, record, number)
                first = first or (record, row)
                if self.dataset.type != "qa":
                    row_checks.check_alike(self.dataset, record, first[0])
                if self.dataset.type == "mcc" and len(row.choices) != (count := len(first[1].choices)):
                    few = "each row must have the same number; remove the others"
                    raise DataError(f"{len(row.choices)} choices, but the first row has {count}: {few}")
                unit = unit_of(self.dataset, record, row) if self.dataset.validation_ratio or self.dataset.group else 0
            except DataError as error:
                raise DataError(f"{self.where}, {place}{_named(self.dataset, given)}: {error}") from None
            yield place, unit, row
        if first is None:
            but = f", apart from {some(reading.left_out)}" if reading.left_out else ""
            form = "write each row as a JSON object on a separate line, or as a line of a table below its header"
            raise DataError(f"{self.where}: it has no rows{but}: {form}")

    def further(self) -> dict[str, list]:
        """{id: its rows after the first, with their places}."""
        seen: set[str] = set()
        found: dict[str, list] = {}
        for place, _, row in self.rows(Reading()):
            if row.id in seen:
                found.setdefault(row.id, []).append((place, row))
            seen.add(row.id)
        return found

    def _together(self, row: QARow, place: str, further: list[tuple[str, QARow]]) -> QARow:
        """A question with the answers of its further rows. Raises DataError if these ask something else, or if only some have an answer."""
        answers = row.answers
        for other_place, other in further:
            at = f"{self.where}, {other_place} (id {short.repr(other.id)}): "
            if (other.context, other.question) != (row.context, row.question):
                asks = "which has another question or passage"
                raise DataError(f"{at}{place}, {asks}, has the same id: give each question a unique id")
            if bool(other.answers) != bool(answers):
                raise DataError(f"{at}it repeats the question of {place}, but only one of the two has an answer: correct one of them")
            answers += other.answers
        return row._replace(answers=tuple(dict.fromkeys(answers)))


def _named(dataset: Dataset, record: dict) -> str:
    """A question's id and text, if they can be read, for an error message."""
    if dataset.type != "qa":
        return ""
    roles = {"id": dataset.columns.get("id"), "question": dataset.columns.get("question")}
    found = {role: record[column] for role, column in roles.items() if isinstance(record.get(column), str | int)}
    return f" ({', '.join(f'{role} {short.repr(value)}' for role, value in found.items())})" if found else ""
