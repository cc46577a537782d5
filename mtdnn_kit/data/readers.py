"""Records of a file, one reader per format: JSON lines, CSV, TSV, Parquet, JSON (SQuAD's form and variants, or an array); packed or not.

A record is a dict with the file's own columns; `row_checks` knows what they mean, `delimited` how text tables are written. A file that
cannot be read raises a DataError that says which file, where in it, and what to do. pyarrow is imported only for Parquet. Knows no task and
no cache.
"""

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from mtdnn_kit.data import delimited
from mtdnn_kit.data.read_as import Reading
from mtdnn_kit.errors import DataError
from mtdnn_kit.files import json_files
from mtdnn_kit.files.wording import short, some

LARGEST_WHOLE = 1_000_000_000  # bytes of a file that is read into memory at once
BATCH = 256  # rows of Parquet in memory at once
OPENERS: dict[str, Callable[[BinaryIO], Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
PACKINGS = {".gz": "gzip", ".bz2": "bz2", ".xz": "xz"}


def suffix_of(name: str) -> tuple[str, str]:
    """(format, packing) by a file's name, e.g. (".csv", ".gz"); "" for a format not in `READERS`, or if it is not packed."""
    lower = name.lower()
    packed = next((end for end in OPENERS if lower.endswith(end)), "")
    return next((end for end in READERS if lower.removesuffix(packed).endswith(end)), ""), packed


def named(split: str) -> list[str]:
    """All possible names of a split's file, JSON lines first."""
    return [f"{split}{end}{packed}" for end in READERS for packed in (".gz", "", ".bz2", ".xz")]


def read(file: Path, where: str, quoted: bool | None = None, reading: Reading | None = None) -> Iterator[tuple[dict, str]]:
    """The records of a file, in order, each with its place. where: the file's name in errors.

    quoted: whether quotation marks in CSV and TSV quote fields, None: judged by the file; reading: receives the counts. Raises DataError if
    the file cannot be opened, has another format than its name says, or is damaged.
    """
    reading, (suffix, packed) = reading or Reading(), suffix_of(file.name)
    with opened(file, where) as raw, OPENERS[packed](raw) if packed else raw as content:
        if suffix not in delimited.OWN:
            yield from READERS[suffix](content, where, reading)
            return

        def lines() -> Iterator[str]:
            content.seek(0)
            return _text(content, where)

        dialect = delimited.dialect_of(lines, suffix, quoted, where, reading)
        yield from delimited.records(lines(), where, dialect, reading)


def is_table(name: str) -> bool:
    """Whether a file of that name holds text values only."""
    return suffix_of(name)[0] in delimited.OWN


def counted(records: Iterable[dict], reading: Reading) -> Iterator[tuple[dict, str]]:
    """Rows that need no reader (the hub's), in the form that `read` returns."""
    for record in records:
        reading.found += 1
        yield record, f"row {reading.found}"


@contextmanager
def opened(file: Path, where: str) -> Iterator[io.BufferedReader]:
    """The open file, still packed. An error of opening, reading or unpacking it within the block becomes a DataError that names `where`."""
    packed = suffix_of(file.name)[1]
    try:
        with file.open("rb") as stream:
            yield stream
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        if not packed or getattr(error, "strerror", None):  # an error of the operating system, not of unpacking
            raise DataError(f"{where}: cannot be read ({getattr(error, 'strerror', error)}): name a file that you may read") from None
        remedy = f"copy it again, or drop {packed} from its name if it is plain text"
        raise DataError(f"{where}: truncated or not {PACKINGS[packed]} ({error}): {remedy}") from None


def _lines(content: BinaryIO, where: str, reading: Reading) -> Iterator[tuple[dict, str]]:
    """Lines end at line feeds only, not at U+2028 and the like; empty lines are left out. A line may hold an article with its questions."""
    reading.unit = "lines"
    for number, line in enumerate(_bounded(content, where), 1):
        if not line.strip(b" \t\r\n"):
            reading.found += 1
            reading.leave_out("empty lines")
            continue
        record = _of_line(line, f"{where}, line {number}")
        articles = record.get("data")
        if isinstance(articles, list) and articles and isinstance(articles[0], dict) and "paragraphs" in articles[0]:
            raise DataError(f"{where}, line {number}: it holds a whole file in SQuAD's format: name that file .json")
        if ("paragraphs" not in record and "qas" not in record) or not _has_questions(record):
            reading.found += 1
            yield record, f"line {number}"
            continue
        reading.unit = "questions"
        for asked, place in _questions(record, 1, f"{where}, line {number}"):
            reading.found += 1
            yield asked, f"line {number}, {place}"


def _of_line(line: bytes, where: str) -> dict:
    """The record on a line of JSON. Raises DataError."""
    remedy = 'each line must be one JSON object, {"column": value, …}'
    try:
        record = json_files.parsed(line.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise DataError(f"{where}: {delimited.not_utf8(error)}; if it is compressed, name it .gz") from None
    except ValueError as error:
        whole = "; name a file that holds one JSON value over several lines .json" * (line.strip() in (b"{", b"["))
        raise DataError(f"{where}: not JSON ({error}): {remedy}{whole}") from None
    if not isinstance(record, dict):
        whole = "; name a file that is one JSON list .json" * isinstance(record, list)
        raise DataError(f"{where}: {short.repr(record)} is not an object: {remedy}{whole}")
    return record


def _bounded(content: BinaryIO, where: str) -> Iterator[bytes]:
    number = 1
    try:
        for line in json_files.lines_of(content):
            yield line
            number += 1
    except ValueError:
        longest = f"{json_files.LONGEST_LINE:,} bytes"
        raise DataError(f"{where}, line {number}: it has more than {longest}: put each row on a separate line") from None


def _text(content: BinaryIO, where: str) -> Iterator[str]:
    """Lines of UTF-8 with their ends, decoded one at a time so that an error names its row; without the byte order mark."""
    for number, line in enumerate(_bounded(content, where)):
        yield line.decode("utf-8" if number else "utf-8-sig")


def _parquet(content: BinaryIO, where: str, reading: Reading) -> Iterator[tuple[dict, str]]:
    import pyarrow
    import pyarrow.parquet

    source = content if isinstance(content, io.BufferedReader) else io.BytesIO(_whole(content, where))
    try:
        for batch in pyarrow.parquet.ParquetFile(source).iter_batches(BATCH):
            yield from counted(_records(batch, where, reading.found), reading)
    except DataError:
        raise
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError) as error:  # pyarrow raises any of these on damaged bytes
        raise DataError(f"{where}: not Parquet, or damaged ({_line(error)}): copy it again, or correct its name") from None


def _records(batch: Any, where: str, number: int) -> Iterator[dict]:
    """The rows of a batch; number: that of its first row, from 0."""
    names, columns = batch.schema.names, []
    delimited.check_names(names, f"{where}: a column name", "give each column a different name")
    for name, column in zip(names, batch.columns, strict=True):
        try:
            columns.append(column.to_pylist())
        except (ArithmeticError, ImportError, LookupError, TypeError, ValueError) as error:  # bytes that are not text, a year beyond 9999
            rows = f"in rows {number + 1} to {number + len(batch)}"
            what = f"a value of column {short.repr(name)}, {some([column.type])}, {rows} cannot be read ({_line(error)})"
            raise DataError(f"{where}: {what}: save the column as text or whole numbers, or remove it") from None
    return (dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True))


def _line(error: Exception) -> str:
    """The first line of an error's text."""
    return next(iter(str(error).splitlines()), type(error).__name__)[:300]


def _whole(content: BinaryIO, where: str) -> bytes:
    """All of a file's bytes, unpacked. Raises DataError if there are more than LARGEST_WHOLE."""
    found = b"".join(islice(iter(partial(content.read, 2**20), b""), LARGEST_WHOLE // 2**20 + 1))
    if len(found) > LARGEST_WHOLE:
        raise DataError(f"{where}: it has more than {LARGEST_WHOLE:,} bytes, unpacked: save it as JSON lines, which are read one at a time")
    return found


def _json(content: BinaryIO, where: str, reading: Reading) -> Iterator[tuple[dict, str]]:
    """Records of one JSON value: SQuAD's official form or a variant of it, or an array of objects."""
    raw = _whole(content, where)
    try:
        whole = json_files.parsed(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise DataError(f"{where}: {delimited.not_utf8(error)}") from None
    except ValueError as error:
        raise DataError(f"{where}: not JSON ({error}): name a file with one JSON object per line .jsonl") from None
    items = whole
    if isinstance(whole, dict):
        several = [key for key, value in whole.items() if isinstance(value, list) and any(isinstance(one, dict) for one in value)]
        items = whole.get("data", [whole] if _has_questions(whole) else None)
        if isinstance(whole.get("data"), list) and len(several) > 1:
            raise DataError(f"{where}: it has lists of objects in {some(several)}, and which one holds the rows is not clear: keep one")
        rows = whole["rows"] if {*several} in ({"rows"}, {"rows", "features"}) else []  # the form of the hub's viewer
        if rows and all(isinstance(one, dict) and isinstance(one.get("row"), dict) for one in rows):
            if cut := next((number for number, one in enumerate(rows, 1) if one.get("truncated_cells")), None):
                raise DataError(f"{where}, row {cut}: the hub's viewer has shortened values of this row: download the dataset's own file")
            if isinstance(total := whole.get("num_rows_total"), int) and total > len(rows):
                part = f"{len(rows):,} of the {total:,} rows of a dataset"
                raise DataError(f"{where}: a reply of the hub's viewer with {part}: download the dataset's own file")
            items = [one["row"] for one in rows]
            reading.whole.append("a reply of the hub's viewer")
        if isinstance(whole.get("data"), list) and not all(isinstance(item, dict) and "paragraphs" in item for item in items):
            reading.whole.append("rows or contexts below `data`")
    if not isinstance(items, list):
        squad = '{"data": [{"title": …, "paragraphs": [{"context": …, "qas": […]}]}]}'
        frame = "as an array (in pandas: orient='records'), or as JSON lines"
        raise DataError(f"{where}: neither an array of objects nor SQuAD's official form, {squad}: save it {frame}")
    reading.unit = "questions" if items and _has_questions(items[0]) else "records"
    if isinstance(whole, list) and reading.unit == "questions":
        reading.whole.append("a list of articles or contexts without `data` around it")
    for number, item in enumerate(items, 1):
        if not isinstance(item, dict):
            raise DataError(f"{where}, row {number}: {short.repr(item)} is not an object: each row must be {{column: value, …}}")
        for found in _questions(item, number, where):
            reading.found += 1
            yield found


def _has_questions(item: Any) -> bool:
    """Whether an object is an article or a context in SQuAD's form, with questions inside it, rather than a row with a column of that
    name."""
    if not isinstance(item, dict) or "question" in item:
        return False
    below = [item[key] for key in ("paragraphs", "qas") if key in item and not isinstance(item[key], str)]
    empty = below and not any(below) and not set(item) <= {"title", "context", "paragraphs", "qas"}
    return bool(below) and not empty and all(not isinstance(some, list) or all(isinstance(one, dict) for one in some) for some in below)


def _questions(item: dict, number: int, where: str) -> Iterator[tuple[dict, str]]:
    """The questions of an article or a context (Rajpurkar et al., 2016, 2018), one record each in the hub's columns, with their places; a
    row unchanged."""
    if not _has_questions(item):
        yield item, f"row {number}"
        return
    contexts = [(item, f"context {number}")] if "qas" in item else []
    if "paragraphs" in item:
        paragraphs = _inside(item, "paragraphs", list, f"{where}, article {number}")
        contexts += [(paragraph, f"article {number}, paragraph {p}") for p, paragraph in enumerate(paragraphs, 1)]
    for paragraph, at in contexts:
        shared = {"title": item.get("title"), "context": _inside(paragraph, "context", str, f"{where}, {at}")}
        if paragraph is not item and "paragraphs" in paragraph:
            raise DataError(f"{where}, {at}: a paragraph holds paragraphs: move them up into the article")
        for q, asked in enumerate(_inside(paragraph, "qas", list, f"{where}, {at}"), 1):
            if not isinstance(asked, dict):
                raise DataError(f"{where}, {at}, question {q}: {short.repr(asked)} is not an object: write it as in SQuAD's files")
            yield {**shared, **asked}, f"{at}, question {q}"


def _inside(part: Any, key: str, kind: type, at: str) -> Any:
    if not isinstance(part, dict) or not isinstance(part.get(key), kind):
        raise DataError(f"{at}: it has no {key!r}, or one of another type than in SQuAD's files: {short.repr(part)}")
    return part[key]


READERS: dict[str, Callable[..., Iterator]] = {
    ".jsonl": _lines, ".csv": delimited.records, ".tsv": delimited.records, ".parquet": _parquet, ".json": _json,
}  # fmt: skip
