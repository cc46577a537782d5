"""Text tables, CSV and TSV: one header row that names the columns, then one row per record; every value is text.

Where the file's name and the definition leave the delimiter and the meaning of quotation marks open, the file decides: programs quote as
RFC 4180 says, people use marks as plain characters (CoLA, MRPC), and many European spreadsheets write semicolons. An ambiguous file is
refused, except a TSV whose lines are rows as they stand: there, marks are plain characters. Knows nothing of the columns' roles.
"""

import csv
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple

from mtdnn_kit.data.read_as import Reading
from mtdnn_kit.errors import DataError
from mtdnn_kit.files.json_files import LONGEST_LINE
from mtdnn_kit.files.wording import short, some

OWN = {".csv": ",", ".tsv": "\t"}  # by the file's name
DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "vertical bar"}
STATED = re.compile('"?sep=([,;|\t])"?[\r\n]*')  # a first line that spreadsheets write, e.g. sep=;
QUOTED = re.compile('"[^"]*(?:""[^"]*)*"')  # a quoted field; marks inside it are doubled
UTF16 = (b"\xff\xfe", b"\xfe\xff")
ASK = "set `quoted: true` if the marks quote fields, `quoted: false` if they are plain characters"


class Dialect(NamedTuple):
    """How a table is written: its delimiter, whether quotation marks quote fields, and how many lines precede the header."""

    delimiter: str
    quoted: bool
    before: int


def records(lines: Iterable[str], where: str, dialect: Dialect, reading: Reading) -> Iterator[tuple[dict, str]]:
    """The rows of a table, {column: text}, each with its place. Raises DataError: a name twice, too many or too few fields, stray marks."""
    csv.field_size_limit(LONGEST_LINE)
    quoting: Any = csv.QUOTE_MINIMAL if dialect.quoted else csv.QUOTE_NONE
    rows = csv.reader(islice(lines, dialect.before, None), delimiter=dialect.delimiter, strict=dialect.quoted, quoting=quoting)
    reading.unit, number, ended = "lines", 0, 0
    header: list[str] = []
    width = 0  # of the header, with empty columns at its end
    try:
        for cells in rows:
            # lines [began, rows.line_num] of the file hold these cells
            began, ended, lone = ended + 1, rows.line_num, rows.line_num - ended - 1
            reading.found = dialect.before + ended
            reading.leave_out("line breaks in quotation marks", lone)
            if not any(map(str.strip, cells)):
                reading.leave_out("empty lines")
            elif not header:
                header, width = _names(cells, where, reading), len(cells)
                reading.leave_out("the header", 1 + dialect.before)
            else:
                number += 1
                place = f"row {number} (line {dialect.before + began})"
                yield _row(header, width, cells, f"{where}, {place}", dialect), place
    except UnicodeDecodeError as error:
        raise DataError(f"{where}, line {dialect.before + ended + 1}: {not_utf8(error)}") from None
    except csv.Error as error:
        raise DataError(f"{where}, row {number + 1} (line {dialect.before + ended + 1}): {_broken(str(error))}") from None


def not_utf8(error: UnicodeDecodeError) -> str:
    """What to do about bytes that are not UTF-8."""
    if error.object.startswith(UTF16):
        return "UTF-16, not UTF-8: save the file as UTF-8 (spreadsheets call it CSV UTF-8)"
    return f"not UTF-8 (byte {error.start + 1}: {error.reason}): save the file as UTF-8"


def _broken(error: str) -> str:
    """What to do about an error of the standard library's reader."""
    if error.startswith("new-line"):
        return "a carriage return in a field without quotation marks: save the file with line feeds, or quote the field"
    return (
        f"{error}: a field that begins with a quotation mark must end with one, and marks inside it must be doubled; if the file's marks "
        "are plain characters, set `quoted: false`"
    )


def _names(cells: list[str], where: str, reading: Reading) -> list[str]:
    """The column names. The first may be empty (a data frame's index), and so may empty columns at the end."""
    names = list(cells)
    while len(names) > 1 and not names[-1]:
        names.pop()
    if len(names) < len(cells):
        reading.whole.append("empty columns at the end, left out")
    if len(names) > 1 and not names[0]:
        reading.whole.append("a first column without a name, left out")
    remedy = "give each column a different name, in the first row"
    check_names(names[not names[0] and len(names) > 1 :], where + ": a column name in the first row", remedy)
    return names


def check_names(names: list[str], where: str, remedy: str) -> None:
    """Raises DataError for an empty or repeated name: of two columns with one name, one would be lost."""
    wrong = next((name for name, count in Counter(names).items() if not name or count > 1), None)
    if wrong is not None or not names:
        raise DataError(f"{where} {f'{short.repr(wrong)} comes twice' if wrong else 'is empty'}: {remedy}")


def _row(header: list[str], width: int, cells: list[str], where: str, dialect: Dialect) -> dict[str, str]:
    """The fields by column; below empty columns of the header, whose `width` counts them, empty fields are left out."""
    if len(header) < len(cells) <= width and not any(cells[len(header) :]):
        cells = cells[: len(header)]
    if len(cells) != len(header):
        quotes = f", or quote each field that contains a {DELIMITERS[dialect.delimiter]}"
        raise DataError(
            f"{where}: {len(cells)} fields ({some(map(short.repr, cells))}), but the first row names {len(header)} columns "
            f"({some(map(short.repr, header))}): correct the line or remove it{quotes * (dialect.quoted and len(cells) > len(header))}"
        )
    return dict(zip(header, cells, strict=True))


def dialect_of(opened: Callable[[], Iterable[str]], suffix: str, quoted: bool | None, where: str, reading: Reading) -> Dialect:
    """The dialect of a file; opened: reads its lines from the start again. quoted: what the definition says, None if nothing.

    Notes in `reading` what the file's name does not show. Raises DataError if the file is ambiguous or not UTF-8.
    """
    try:
        stated = STATED.fullmatch(next(iter(opened()), ""))
        before = int(stated is not None)
        header = next((line for line in islice(opened(), before, None) if line.strip()), "")
        delimiter = stated[1] if stated else _delimiter(header, OWN[suffix])
        if delimiter != OWN[suffix]:
            reading.whole.append(f"fields separated by {DELIMITERS.get(delimiter, delimiter)}s")
        if quoted is None:
            quoted = _quotes(lambda: islice(opened(), before, None), delimiter, header, where, reading)
    except UnicodeDecodeError:
        quoted, delimiter, before = True, OWN[suffix], 0  # reading the rows reports bytes that are not UTF-8
    return Dialect(delimiter, quoted, before)


def _delimiter(header: str, own: str) -> str:
    """The delimiter of the header: the one the file's name implies, or the only other one that occurs."""
    there = [delimiter for delimiter in DELIMITERS if delimiter in QUOTED.sub("", header)]
    return there[0] if own not in there and len(there) == 1 else own


def _quotes(opened: Callable[[], Iterable[str]], delimiter: str, header: str, where: str, reading: Reading) -> bool:
    """Whether quotation marks quote fields, judged by the file's content.

    They do unless the delimiter is a tab. In a TSV where each line, ignoring the marks, has as many fields as the header, marks are plain
    characters, unless a program wrote the file: then all marks are placed correctly, and the header is quoted, a field contains doubled
    marks, or exactly the fields that contain a comma are quoted.
    """
    wanted, tabs = header.count(delimiter), delimiter == "\t"
    lines_are_rows = True  # each line has as many delimiters as the header
    marks = 0  # lines with quotation marks
    misplaced = 0  # fields with marks that do not enclose them
    doubled = '"' in header  # or a field with doubled marks
    commas_are_quoted = True  # exactly the fields with a comma are
    for line in opened():
        lines_are_rows = lines_are_rows and (line.count(delimiter) == wanted or not line.strip())
        marks += '"' in line
        for field in line.rstrip("\r\n").split(delimiter) if tabs and ('"' in line or "," in line) else ():
            held = QUOTED.fullmatch(field) is not None
            misplaced += '"' in field and not held
            doubled |= held and '""' in field[1:-1]
            commas_are_quoted &= ("," in field) == held
    readable, suspicious = _quoted_rows(opened(), delimiter, wanted) if marks else (True, 0)
    if suspicious and lines_are_rows != tabs:
        raise DataError(f"{where}, line {suspicious}: a quoted field spans several lines that look like separate rows: {ASK}")
    if not marks or not tabs or not lines_are_rows:
        return readable or not tabs
    written = doubled or commas_are_quoted
    if (written and readable and not suspicious and not misplaced) or ('"' in header and not readable):
        return True
    reading.read_as["quotation marks as letters (lines that have any)"] += marks
    return False


def _quoted_rows(lines: Iterable[str], delimiter: str, wanted: int) -> tuple[bool, int]:
    """Whether the file can be read with marks that quote; and the first line of a row that spans several lines which look like rows: each
    has as many delimiters as the header, or they have more tabs and no doubled marks. 0 if there is none."""
    csv.field_size_limit(LONGEST_LINE)
    held: list[str] = []

    def counted() -> Iterator[str]:
        for line in lines:
            held.append(line)
            yield line

    rows, columns, suspicious = csv.reader(counted(), delimiter=delimiter, strict=True), 0, 0
    try:
        for cells in rows:
            columns = columns or len(cells)
            if cells and len(cells) != columns:
                return False, 0
            if len(held) > 1 and not suspicious:
                counts = [line.count(delimiter) for line in held]
                more = delimiter == "\t" and sum(counts) > wanted and not any('""' in line for line in held)
                suspicious = rows.line_num - len(held) + 1 if more or all(count == wanted for count in counts) else 0
            held.clear()
    except csv.Error:
        return False, 0
    return True, suspicious
