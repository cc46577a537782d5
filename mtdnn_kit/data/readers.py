"""Records of a file, one reader a format: JSON lines, CSV, TSV, Parquet, JSON (SQuAD's official form, or an array); packed or not.

A record is a dict in the file's own columns; what the columns mean `row_checks` knows. Tables of text (CSV, TSV) have a header row and
hold nothing but text. A file that cannot be read stops with a DataError that says which file, where in it, and what to do. pyarrow is
imported only for Parquet. Knows no task and no cache.
"""

import bz2
import csv
import gzip
import io
import lzma
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from mtdnn_kit.errors import DataError
from mtdnn_kit.files import json_files
from mtdnn_kit.files.wording import short, some

LARGEST_WHOLE = 1_000_000_000  # bytes of a file that is read as a whole
BATCH = 256  # rows of Parquet in memory at once
OPENERS: dict[str, Callable[[BinaryIO], Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
PACKINGS = {".gz": "gzip", ".bz2": "bz2", ".xz": "xz"}


def suffix_of(name: str) -> tuple[str, str]:
    """(format, packing) by a file's name, e.g. (".csv", ".gz"); "" where it has none of `READERS`, or is not packed."""
    lower = name.lower()
    packed = next((end for end in OPENERS if lower.endswith(end)), "")
    return next((end for end in READERS if lower.removesuffix(packed).endswith(end)), ""), packed


def named(split: str) -> list[str]:
    """Every name that a split's file may have, those of JSON lines first."""
    return [f"{split}{end}{packed}" for end in READERS for packed in (".gz", "", ".bz2", ".xz")]


def read(file: Path, where: str, quoted: bool = True) -> Iterator[dict | bytes]:
    """The records of a file, in order; of JSON lines, the lines. where: how errors call it; quoted: whether CSV and TSV quote.

    Raises DataError: it cannot be opened, is not what its name says, or is broken at some place.
    """
    reader, packed = READERS[suffix_of(file.name)[0]], suffix_of(file.name)[1]
    with opened(file, where) as raw, OPENERS[packed](raw) if packed else raw as content:
        yield from reader(content, where, quoted)


@contextmanager
def opened(file: Path, where: str) -> Iterator[io.BufferedReader]:
    """The file's bytes as they are. Raises DataError for one that cannot be opened or read."""
    packed = suffix_of(file.name)[1]
    try:
        with file.open("rb") as stream:
            yield stream
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        if not packed or getattr(error, "strerror", None):  # bytes that cannot be unpacked are no error of the system's
            raise DataError(f"{where}: cannot be read ({getattr(error, 'strerror', error)}): it must be a file that you may read") from None
        remedy = f"copy it again, or drop {packed} from its name if it is plain text"
        raise DataError(f"{where}: truncated or not {PACKINGS[packed]} ({error}): {remedy}") from None


def _lines(content: BinaryIO, where: str, quoted: bool) -> Iterator[bytes]:
    """Lines are cut at line feeds only, not at U+2028 and the like; empty ones at the end do not count."""
    empty: list[bytes] = []
    for line in _bounded(content, where):
        if line.strip(b" \t\r\n"):
            yield from empty
            yield line.rstrip(b"\n")
        elif not empty:  # the first is enough to stop the reading
            empty = [line]


def _bounded(content: BinaryIO, where: str) -> Iterator[bytes]:
    number = 1
    try:
        for line in json_files.lines_of(content):
            yield line
            number += 1
    except ValueError:
        longest = f"{json_files.LONGEST_LINE:,} bytes"
        raise DataError(f"{where}, row {number}: it has more than {longest}: is each row on a line of its own?") from None


def _table(content: BinaryIO, where: str, quoted: bool, delimiter: str) -> Iterator[dict]:
    """The rows of a table with a header row: {column: text}, each as long as the header.

    A field that holds the delimiter, a line break or a quote is quoted, quotes in it doubled.
    """
    csv.field_size_limit(json_files.LONGEST_LINE)
    quoting: Any = csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
    rows, number = csv.reader(_text(content, where), delimiter=delimiter, strict=quoted, quoting=quoting), 0
    try:
        for header in islice(rows, 1):  # none in an empty file
            _check_names(header, f"{where}: a column's name in the first row", "the first row must name the columns, each differently")
        for number, cells in enumerate(filter(None, rows), 1):
            yield _row(header, cells, f"{where}, row {number} (line {rows.line_num})", delimiter)
    except UnicodeDecodeError as error:
        raise DataError(f"{where}, row {number + 1}: not UTF-8 ({error.reason}): save the file as UTF-8") from None
    except csv.Error as error:
        raise DataError(f"{where}, row {number + 1} (line {rows.line_num}): {_broken(str(error))}") from None


def _broken(error: str) -> str:
    """What to do where the standard library reads no table."""
    if error.startswith("new-line"):
        return "a carriage return in a field without quotation marks: save the file with line feeds, or quote the field"
    return (
        f"{error}: a field that begins with a quotation mark ends with one, and those in it are doubled; where the file's quotation marks "
        "are plain characters, set `quoted: false`"
    )


def _text(content: BinaryIO, where: str) -> Iterator[str]:
    """Lines of UTF-8 with their ends, one decoded at a time, so that what is not UTF-8 is said of its row; a byte order mark left out."""
    for number, line in enumerate(_bounded(content, where)):
        yield line.decode("utf-8" if number else "utf-8-sig")


def _check_names(names: list[str], where: str, remedy: str) -> None:
    """Raises DataError for a name that is empty or comes twice: of two columns, one would be lost."""
    wrong = next((name for name, count in Counter(names).items() if not name or count > 1), None)
    if wrong is not None or not names:
        raise DataError(f"{where} {f'{short.repr(wrong)} comes twice' if wrong else 'is empty'}: {remedy}")


def _row(header: list[str], cells: list[str], where: str, delimiter: str) -> dict[str, str]:
    if len(cells) != len(header):
        name = {",": "comma", "\t": "tab"}[delimiter]
        raise DataError(
            f"{where}: {len(cells)} fields, where the first row names {len(header)} columns ({some(map(short.repr, header))}): "
            f"write a field that holds a {name} in quotation marks"
        )
    return dict(zip(header, cells, strict=True))


def _parquet(content: BinaryIO, where: str, quoted: bool) -> Iterator[dict]:
    import pyarrow
    import pyarrow.parquet

    source = content if isinstance(content, io.BufferedReader) else io.BytesIO(_whole(content, where))
    try:
        number = 0
        for batch in pyarrow.parquet.ParquetFile(source).iter_batches(BATCH):
            yield from _records(batch, where, number)
            number += len(batch)
    except DataError:
        raise
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError) as error:  # of damaged bytes pyarrow raises any of them
        raise DataError(f"{where}: not Parquet, or damaged ({_line(error)}): copy it again, or correct its name") from None


def _records(batch: Any, where: str, number: int) -> Iterator[dict]:
    """The rows of a batch, the first of which has that number, from 0."""
    names, columns = batch.schema.names, []
    _check_names(names, f"{where}: a column's name", "name the columns, each differently")
    for name, column in zip(names, batch.columns, strict=True):
        try:
            columns.append(column.to_pylist())
        except (ArithmeticError, ImportError, LookupError, TypeError, ValueError) as error:  # bytes that are no text, a year beyond 9999
            rows = f"in rows {number + 1} to {number + len(batch)}"
            what = f"a value of column {short.repr(name)}, {some([column.type])}, {rows} cannot be read ({_line(error)})"
            raise DataError(f"{where}: {what}: save it as text or whole numbers, or leave the column out") from None
    return (dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True))


def _line(error: Exception) -> str:
    """The first line of an error's text."""
    return next(iter(str(error).splitlines()), type(error).__name__)[:300]


def _whole(content: BinaryIO, where: str) -> bytes:
    """All of a file's bytes. Raises DataError for one that no machine should hold, or that unpacks to as much."""
    found = b"".join(islice(iter(partial(content.read, 2**20), b""), LARGEST_WHOLE // 2**20 + 1))
    if len(found) > LARGEST_WHOLE:
        raise DataError(f"{where}: it has more than {LARGEST_WHOLE:,} bytes, unpacked: save it as JSON lines, which are read one at a time")
    return found


def _json(content: BinaryIO, where: str, quoted: bool) -> Iterator[dict]:
    """Records of one JSON value: SQuAD's official form, or an array of objects."""
    try:
        whole = json_files.parsed(_whole(content, where).decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise DataError(f"{where}: not UTF-8 (byte {error.start + 1}): save the file as UTF-8") from None
    except ValueError as error:
        raise DataError(f"{where}: not JSON ({error}): a file of one JSON object a line is called .jsonl") from None
    if isinstance(whole, dict) and isinstance(whole.get("data"), list):
        return _squad(whole["data"], where)
    if not isinstance(whole, list):
        squad = '{"data": [{"title": …, "paragraphs": [{"context": …, "qas": […]}]}]}'
        raise DataError(f"{where}: neither an array of objects nor SQuAD's official form, {squad}: save it as one, or as JSON lines")
    for number, record in enumerate(whole, 1):
        if not isinstance(record, dict):
            raise DataError(f"{where}, row {number}: {short.repr(record)} is no object: each must be {{column: value, …}}")
    return iter(whole)


def _squad(articles: list, where: str) -> Iterator[dict]:
    """A record a question of SQuAD 1.1 or 2.0 (Rajpurkar et al., 2016, 2018), in the hub's columns; plausible answers are no answers."""
    for a, article in enumerate(articles, 1):
        for p, paragraph in enumerate(_inside(article, "paragraphs", list, f"{where}, article {a}"), 1):
            at = f"{where}, article {a}, paragraph {p}"
            context = _inside(paragraph, "context", str, at)
            for q, asked in enumerate(_inside(paragraph, "qas", list, at), 1):
                yield _question(asked, article.get("title", ""), context, f"{at}, question {q}")


def _question(asked: Any, title: Any, context: str, at: str) -> dict:
    answers, impossible = _inside(asked, "answers", list, at), asked.get("is_impossible", not asked["answers"])
    name = f"{at} (id {short.repr(asked.get('id'))})"
    if not isinstance(impossible, bool):
        raise DataError(f"{name}: is_impossible is {short.repr(impossible)}: it must be true or false")
    if impossible != (not answers):
        has = f"but there {'is an answer' if len(answers) == 1 else f'are {len(answers)} answers'}" if answers else "but there is no answer"
        raise DataError(f"{name}: is_impossible is {str(impossible).lower()}, {has}: correct one of them")
    row = {"id": asked.get("id"), "title": title, "context": context, "question": asked.get("question"), "answers": answers}
    return {key: value for key, value in row.items() if value is not None}


def _inside(part: Any, key: str, kind: type, at: str) -> Any:
    if not isinstance(part, dict) or not isinstance(part.get(key), kind):
        raise DataError(f"{at}: no {key!r} in it, or another kind of value than SQuAD's files have there: {short.repr(part)}")
    return part[key]


READERS: dict[str, Callable[..., Iterator]] = {
    ".jsonl": _lines, ".csv": partial(_table, delimiter=","), ".tsv": partial(_table, delimiter="\t"), ".parquet": _parquet, ".json": _json,
}  # fmt: skip
