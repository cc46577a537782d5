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
from mtdnn_kit.data.registry import Dataset
from mtdnn_kit.data.rows import PARSERS, QARow, from_record
from mtdnn_kit.data.split import CUT_RULES, sides, unit_of
from mtdnn_kit.data.table import UNIT, RowList, parts, pick
from mtdnn_kit.errors import DataError, RepeatedIdError
from mtdnn_kit.files.wording import short, some

COLUMNS_CODE = ("data", "files")  # what makes columns of a file
SAMPLE = Path(__file__).with_name("sample")


@dataclass(frozen=True)
class Rows:
    """A split. `origin` says where it is from, without absolute paths; equal rows in equal order have equal fingerprints, from anywhere.

    file: what the file holds and what became of it (`read_as.Reading.record`), before a part of its rows was cut off.
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
        arrays = _columns(key, _File(dataset, lambda reading: readers.counted(records, reading), where))
    else:
        where, origin, path = _named_file(dataset, stored) if dataset.files else _from_folder(dataset, stored, data)
        with readers.opened(path, where) as opened:
            key = _key(dataset, file=hashlib.file_digest(opened, "sha256").hexdigest(), format=readers.suffix_of(path.name))
        file = _File(dataset, lambda reading: readers.read(path, where, dataset.quoted, reading), where, readers.is_table(path.name))
        arrays = _columns(key, file)
    rows: Any = RowList(dataset.type, arrays)
    if ratio:
        rows = pick(rows, sides(arrays[UNIT], ratio, where)[int(split == dataset.score)])
        origin += f" ({ratio:g} of it)" if split == dataset.score else f" (without {ratio:g} of it)"
    if hub and split == dataset.score and dataset.cut:
        rows, origin = CUT_RULES[dataset.cut](rows)[int(rest)], f"{origin} ({'without ' if rest else ''}{dataset.cut})"
    return Rows(task, split, origin, rows, _fingerprint(rows), json.loads(arrays["_file"].tobytes()))


def _fingerprint(rows: RowList) -> str:
    """The first 16 digits of the sha256 of the rows as JSON, a line each."""
    if rows.picks is None:
        return rows.digest[:16]
    return hashlib.sha256("\n".join(map(json.dumps, rows)).encode()).hexdigest()[:16]


def _columns(key: str | None, file: "_File") -> dict[str, np.ndarray]:
    """The columns of a file's rows: those that are kept under `key`, or else read; once more where an id comes again. Raises DataError."""
    try:
        return kept(key, lambda: _parts(file, {}))
    except RepeatedIdError:
        return kept(key, lambda: _parts(file, file.further()))


def _parts(file: "_File", further: dict[str, list]) -> Parts:
    """The rows as columns; UNIT, where some are to be cut off or the dataset has a `group`; `_file`, what became of the file."""
    units: list[int] | None = [] if file.dataset.validation_ratio or file.dataset.group else None
    reading = Reading()
    yield from parts(file.dataset.type, file.checked(reading, units, further))
    if units is not None:
        yield {UNIT: np.array(units, np.uint64)}
    yield {"_file": np.frombuffer(json.dumps(reading.record()).encode(), np.uint8)}


def _key(dataset: Dataset, **content: Any) -> str:
    """Whatever the columns depend on: a file's content, not its place; the code that reads it, and the parser of a type of one's own."""
    what = {key: value for key, value in asdict(dataset).items() if key not in ("files", "permute_labels")}
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


@dataclass(frozen=True)
class _File:
    """What is read: `read` gives a file's or the hub's records anew, each with its place, and counts them.

    where: how errors call it; table: it holds nothing but text.
    """

    dataset: Dataset
    read: Callable[[Reading], Iterator[tuple[dict, str]]]
    where: str
    table: bool = False

    def checked(self, reading: Reading, units: list[int] | None, further: dict[str, list]) -> Iterator:
        """The rows, each checked, those of a question as one. units: takes each row's unit, where it is a list.

        Raises DataError; RepeatedIdError for an id that comes again, unless `further` has its rows.
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
        """Place, unit (`split.unit_of`; 0 where nothing is cut off or grouped) and row of each record that is not left out. Raises
        DataError where one is at fault, or none is there."""
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
                    few = "each row needs as many; remove the others"
                    raise DataError(f"{len(row.choices)} choices, where the first row has {count}: {few}")
                unit = unit_of(self.dataset, record, row) if self.dataset.validation_ratio or self.dataset.group else 0
            except DataError as error:
                raise DataError(f"{self.where}, {place}{_named(self.dataset, given)}: {error}") from None
            yield place, unit, row
        if first is None:
            but = f" but what is left out ({some(reading.left_out)})" if reading.left_out else ""
            form = "each row is a JSON object on a line of its own, or a line of a table below its header"
            raise DataError(f"{self.where}: no rows in it{but}: {form}")

    def further(self) -> dict[str, list]:
        """The rows of each id after its first one, with their places."""
        seen: set[str] = set()
        found: dict[str, list] = {}
        for place, _, row in self.rows(Reading()):
            if row.id in seen:
                found.setdefault(row.id, []).append((place, row))
            seen.add(row.id)
        return found

    def _together(self, row: QARow, place: str, further: list[tuple[str, QARow]]) -> QARow:
        """A question with the answers of its further rows. Raises DataError where they ask something else, or one has no answer."""
        answers = row.answers
        for other_place, other in further:
            at = f"{self.where}, {other_place} (id {short.repr(other.id)}): "
            if (other.context, other.question) != (row.context, row.question):
                asks = "another question, or the same of another passage"
                raise DataError(f"{at}its id is already that of {place}, {asks}: give each question an id of its own")
            if bool(other.answers) != bool(answers):
                raise DataError(f"{at}it is the question of {place}, but only one of them has an answer: correct one of them")
            answers += other.answers
        return row._replace(answers=tuple(dict.fromkeys(answers)))


def _named(dataset: Dataset, record: dict) -> str:
    """A question's id and text, where they can be read, for an error's message."""
    if dataset.type != "qa":
        return ""
    roles = {"id": dataset.columns.get("id"), "question": dataset.columns.get("question")}
    found = {role: record[column] for role, column in roles.items() if isinstance(record.get(column), str | int)}
    return f" ({', '.join(f'{role} {short.repr(value)}' for role, value in found.items())})" if found else ""
