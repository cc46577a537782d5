"""Converts values that are written in another form but have one possible meaning, and counts each conversion under a name.

`plain` converts a record to the form that `rows` reads, so that the checks there stay strict; `Reading` keeps the counts. Ambiguous values
are left unchanged, for the checks to refuse. Knows one record at a time.
"""

import ast
import io
import tokenize
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from math import isnan
from typing import Any

from mtdnn_kit.data.registry import Dataset
from mtdnn_kit.data.row_checks import NOTHING, impossible, lookup
from mtdnn_kit.errors import DataError
from mtdnn_kit.files.json_files import parsed
from mtdnn_kit.files.wording import short

LONGEST_LITERAL = 200_000  # characters of a list that Python's parser may read
LABELLED = ("sc", "mcc")  # the types with one label per row
NUMPY = ("array", "str_", "int64", "int32", "float64", "float32")  # what numpy prints around a value
SPACED_LABEL = "a label without the white space around it"
OWN_LABEL = "the right choice by the choices' own labels"
ONE_LABEL = "a label in a list of one"
DECIMALS = "a whole number written as 35.0"
TEXT_NUMBERS = "a number written as text"
JSON_TEXT = "a list or an object as JSON in a text"
PYTHON_TEXT = "a list or an object as Python or numpy prints it"
ONE_ANSWER = "an answer without a list around it"
EMPTY_ANSWER = "an answer of empty text as none"
MADE_ID = "an id made from passage and question"


@dataclass
class Reading:
    """Counts of a file: `found` lines, questions or records become rows or are counted in `left_out`.

    read_as: how many rows or values each rule converted; whole: rules that apply to the whole file.
    """

    unit: str = "records"
    found: int = 0
    rows: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    read_as: Counter[str] = field(default_factory=Counter)
    whole: list[str] = field(default_factory=list)

    def leave_out(self, why: str, count: int = 1) -> None:
        """Counts what does not become a row."""
        if count:
            self.left_out[why] += count

    def record(self) -> dict[str, Any]:
        """The manifest's record of it, e.g. {"lines": 9, "rows": 7, "left_out": {"the header": 1, "empty lines": 1}, "read_as": {}}."""
        read_as = {**dict.fromkeys(self.whole, self.rows), **+self.read_as}
        return {self.unit: self.found, "rows": self.rows, "left_out": dict(self.left_out), "read_as": read_as}


def plain(dataset: Dataset, record: dict, reading: Reading, table: bool = False) -> dict | None:
    """The record with label, choices, answers and id in the form that `rows` takes; None for one whose label the dataset skips.

    table: whether the file holds text only: numbers as text are then not counted.
    """
    notes, columns = reading.read_as, dataset.columns
    new: dict[str, Any] = {}

    def number(found: Any) -> Any:
        return whole_number(found, notes, table)

    for column in dataset.nested:
        root = column.partition(".")[0]
        if column not in record and isinstance(record.get(root), str):  # an object that a table stores as text
            record = record | {root: listed(record[root], notes)}
    if dataset.type in LABELLED and "label" in columns and (found := lookup(record, columns["label"])) is not NOTHING:
        label = new[columns["label"]] = _label(dataset.label_values, found, notes, number)
        if any(type(one) is type(value) and one == value for one in (found, label) for value in dataset.skip):
            reading.leave_out(f"label {short(found)} (skip)")
            return None
    if isinstance(columns.get("choices"), str):
        new |= _choices(columns["choices"], columns.get("label"), record, notes, dataset.values, table)
    if dataset.type == "qa":
        new = _answers(columns["answers"], columns.get("starts"), record, notes, number)
        for role in ("id", "title"):
            if role in columns and type(found := lookup(record, columns[role])) is float:
                new[columns[role]] = number(found)
        if "id" not in columns or new.get(columns["id"], lookup(record, columns["id"])) in (None, "", NOTHING):
            notes[MADE_ID] += 1
    changed = {column: value for column, value in new.items() if value is not NOTHING and record.get(column, NOTHING) is not value}
    return record | changed if changed else record


def whole_number(found: Any, notes: Counter[str], table: bool) -> Any:
    """35.0, or a whole number written as text, as a whole number; None for NaN; anything else unchanged."""
    if isinstance(found, float) and not found.is_integer():
        return None if isnan(found) else found
    text = str(found) if isinstance(found, float | str) else ""
    whole = text.removesuffix(".0")
    if not (whole.isascii() and whole.removeprefix("-").isdecimal() and len(whole) < 20):
        return found
    if whole != text:
        notes[DECIMALS] += 1
    elif not table:
        notes[TEXT_NUMBERS] += 1
    return int(whole)


def _label(known: tuple, found: Any, notes: Counter[str], number: Callable[[Any], Any]) -> Any:
    """A label as its name, value or number; known: the values that the column may hold besides numbers."""
    if isinstance(found, str):
        truth = {str(value).lower(): value for value in known if isinstance(value, bool) or value in ("true", "false")}
        if found in known or found.lower() in truth:
            return found if found in known else truth[found.lower()]
        if found.strip() in known:
            notes[SPACED_LABEL] += 1
            return found.strip()
        inner = listed(found, Counter())
        found = inner if isinstance(inner, list) else found
    if isinstance(found, list) and len(found) == 1:
        notes[ONE_LABEL] += 1
        return _label(known, found[0], notes, number)
    label = number(found.strip()) if isinstance(found, str) else number(found)
    if isinstance(found, str) and found != found.strip():
        notes[SPACED_LABEL] += type(label) is int
        label = label if type(label) is int else found
    text = str(label).lower() if isinstance(label, bool) else str(label)  # keys of JSON are text
    return text if isinstance(label, int) and label not in known and text in known else label


def _choices(column: str, label: str | None, record: dict, notes: Counter[str], values: tuple, table: bool) -> dict[str, Any]:
    """Choices as a list of texts; if each carries a label (ARC, CommonsenseQA), the right choice by these labels: its number, or the value
    that `values` (pairs of value and number) maps to it. Raises DataError where text and numbers are mixed, so that the key could be a
    label or a position."""
    found = listed(lookup(record, column), notes)
    own = lookup(record, f"{column.removesuffix('.text')}.label") if column.endswith(".text") else None
    if isinstance(found, list) and found and all(isinstance(one, dict) and {"text", "label"} <= set(one) for one in found):
        own, found = [one["label"] for one in found], [one["text"] for one in found]
    key = _only(lookup(record, label)) if label else NOTHING
    if not isinstance(own, list) or key is NOTHING:
        return {column: found}
    alike = [i for i, one in enumerate(own) if _as_text(one) == _as_text(key)]
    if not alike and all(_as_text(one).removeprefix("-").isdecimal() for one in (key, *own)):
        labels = f"the labels of the choices, {short.repr(own)}"
        raise DataError(f"column {label!r} is {short.repr(key)}, which is none of {labels}: correct it, or leave the row out (skip)")
    if len(alike) != 1:
        return {column: found}
    (place,) = alike
    if not (table or isinstance(own[place], str) == isinstance(key, str) or str(place) == _as_text(key)):
        labels = f"the labels of the choices are {short.repr(own)}"
        raise DataError(f"column {label!r} is {short.repr(key)}, but {labels}: write both as text, or both as numbers")
    notes[OWN_LABEL] += 1
    return {column: found, str(label): next((value for value, number in values if number == place), place)}


def _only(found: Any) -> Any:
    """The item of a list of one, or of a printed one; anything else unchanged."""
    inner = listed(found, Counter())
    return _only(inner[0]) if isinstance(inner, list) and len(inner) == 1 else found


def _as_text(label: Any) -> str:
    """A choice's own label for comparing: "1" for 1, 1.0, "1.0" and " 1"."""
    return str(whole_number(label.strip() if isinstance(label, str) else label, Counter(), True))


def _answers(column: str, starts: str | None, record: dict, notes: Counter[str], number: Callable[[Any], Any]) -> dict[str, Any]:
    """Answers with whole numbers as offsets and without empty texts: {column: value}, of two columns or one (`gold_answers`)."""
    found = lookup(record, column)
    if (found is None or found is NOTHING or (found == "" and starts is None)) and impossible(record):
        return {column: [], **({starts: []} if starts else {})}
    if starts is not None:
        return _two_columns(column, found, starts, lookup(record, starts), notes, number)
    found = listed(found, notes)
    if isinstance(found, dict) and isinstance(found.get("text"), str) and not isinstance(found.get("answer_start"), list):
        notes[ONE_ANSWER] += 1
        found = [found]
    if isinstance(found, dict) and isinstance(texts := found.get("text"), list) and isinstance(firsts := found.get("answer_start"), list):
        if texts and not any(texts) and _nowhere(firsts):
            notes[EMPTY_ANSWER] += 1
            return {column: {"text": [], "answer_start": []}}
        if not {*map(type, firsts)} <= {int}:
            found = found | {"answer_start": [number(start) for start in firsts]}
    elif isinstance(found, list) and found and all(isinstance(one, dict) and "answer_start" in one for one in found):
        if not any(one.get("text") for one in found) and _nowhere([one["answer_start"] for one in found]):
            notes[EMPTY_ANSWER] += 1
            return {column: []}
        if any(type(one["answer_start"]) is not int for one in found):
            found = [one | {"answer_start": number(one["answer_start"])} for one in found]
    return {column: found}


def _two_columns(column: str, found: Any, starts: str, firsts: Any, notes: Counter[str], number: Callable[[Any], Any]) -> dict[str, Any]:
    """As `_answers`, of a column of texts and one of offsets. Text is read as a list only if the other is one: an answer may begin with
    [."""
    firsts = listed(firsts, notes)
    if isinstance(firsts, list):
        found, firsts = listed(found, notes), [number(one) for one in firsts]
    else:
        found, firsts = number(found) if isinstance(found, float) else found, number(firsts)
    texts = found if isinstance(found, list) else [found]
    if texts and all(text in ("", None) for text in texts) and _nowhere(firsts):
        if isinstance(found, list) or firsts == 0:
            notes[EMPTY_ANSWER] += 1
        return {column: None, starts: None}
    return {column: found, starts: firsts}


def _nowhere(starts: Any) -> bool:
    """Whether the offsets stand for no answer: -1, 0 or nothing."""
    return all(start in (None, "", -1, 0) for start in (starts if isinstance(starts, list) else [starts]))


def listed(found: Any, notes: Counter[str]) -> Any:
    """The list or object that a text holds as JSON, or as Python or numpy print it; anything else unchanged."""
    if not isinstance(found, str) or not found.lstrip().startswith(("[", "{")):
        return found
    try:
        value = parsed(found)
        notes[JSON_TEXT] += 1
    except ValueError:
        try:
            value = _printed(found)
        except (ValueError, TypeError, SyntaxError, tokenize.TokenError, RecursionError, MemoryError):
            return found
        notes[PYTHON_TEXT] += 1
    return value


def _printed(text: str) -> Any:
    """The value of a printed list or object; numpy separates items by white space only, which Python would join into one text. Runs no
    code.

    Raises ValueError or SyntaxError for other text.
    """
    if len(text) > LONGEST_LITERAL:
        raise ValueError("too long")
    parts: list[tuple[int, str]] = []
    for kind, string, *_ in tokenize.generate_tokens(io.StringIO(text.strip()).readline):
        if kind in (tokenize.NL, tokenize.NEWLINE, tokenize.ENDMARKER):
            continue
        if parts and (kind == parts[-1][0] != tokenize.OP or (string == "-" and parts[-1][0] == tokenize.NUMBER)):
            parts.append((tokenize.OP, ","))
        parts.append((kind, string))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on a text like '\d'
        return _value(ast.parse(tokenize.untokenize(parts).strip(), mode="eval").body)


def _value(node: ast.AST) -> Any:
    """A literal's value, in JSON's types; `array(…)`, `np.int64(…)` and the like are unwrapped. Raises ValueError."""
    if isinstance(node, ast.Call) and node.args and ast.unparse(node.func).rpartition(".")[2] in NUMPY:
        return _value(node.args[0])
    if isinstance(node, ast.List | ast.Tuple):
        return [_value(item) for item in node.elts]
    if isinstance(node, ast.Dict) and None not in node.keys:
        found = {_value(key): _value(value) for key, value in zip(node.keys, node.values, strict=True) if key is not None}
        if len(found) == len(node.keys) and all(isinstance(key, str) for key in found):
            return found
    value = ast.literal_eval(node)
    if value is not None and not isinstance(value, str | int | float):
        raise ValueError("not a JSON value")
    return value
