"""What is written otherwise than a dataset's own form and can mean one thing only: taken for that thing, and counted under a name.

`plain` takes a record to one that `rows` reads as it stands, so that the checks there stay strict; `Reading` keeps the count. What can mean
two things is left as it is, for the checks to refuse. Knows one record at a time.
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
from mtdnn_kit.files.json_files import parsed
from mtdnn_kit.files.wording import short

LONGEST_LITERAL = 200_000  # characters of a list that Python's own parser may see
LABELLED = ("sc", "mcc")  # the types whose rows have one label each
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
    """What a file holds, and what became of it: `found` lines, questions or records are the rows read, and all of `left_out`.

    read_as: how many rows or values were read by which rule; whole: rules that hold for all of the file.
    """

    unit: str = "records"
    found: int = 0
    rows: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    read_as: Counter[str] = field(default_factory=Counter)
    whole: list[str] = field(default_factory=list)

    def leave_out(self, why: str, count: int = 1) -> None:
        """Counts what becomes no row."""
        if count:
            self.left_out[why] += count

    def record(self) -> dict[str, Any]:
        """What a manifest keeps of it, e.g. {"lines": 9, "rows": 7, "left_out": {"the header": 1, "empty lines": 1}, "read_as": {}}."""
        read_as = {**dict.fromkeys(self.whole, self.rows), **+self.read_as}
        return {self.unit: self.found, "rows": self.rows, "left_out": dict(self.left_out), "read_as": read_as}


def plain(dataset: Dataset, record: dict, reading: Reading, table: bool = False) -> dict | None:
    """The record with label, choices, answers and id in the form that `rows` takes; None for one whose label the dataset skips.

    table: whether it is of a file that holds nothing but text: there a number as text is no news.
    """
    notes, columns = reading.read_as, dataset.columns
    new: dict[str, Any] = {}

    def number(found: Any) -> Any:
        return whole_number(found, notes, table)

    for column in dataset.nested:
        root = column.partition(".")[0]
        if column not in record and isinstance(record.get(root), str):  # an object that a table holds as text
            record = record | {root: listed(record[root], notes)}
    if dataset.type in LABELLED and "label" in columns and (found := lookup(record, columns["label"])) is not NOTHING:
        label = new[columns["label"]] = _label(dataset.label_values, found, notes, number)
        if any(type(one) is type(value) and one == value for one in (found, label) for value in dataset.skip):
            reading.leave_out(f"label {short(found)} (skip)")
            return None
    if isinstance(columns.get("choices"), str):
        new |= _choices(columns["choices"], columns.get("label"), record, notes)
    if dataset.type == "qa":
        new = _answers(columns["answers"], columns.get("starts"), record, notes, number)
        for role in ("id", "title"):
            if role in columns and type(found := lookup(record, columns[role])) is float:
                new[columns[role]] = number(found)
        if "id" not in columns or (name := columns["id"]) not in record or new.get(name, record[name]) in (None, ""):
            notes[MADE_ID] += 1
    changed = {column: value for column, value in new.items() if value is not NOTHING and record.get(column, NOTHING) is not value}
    return record | changed if changed else record


def whole_number(found: Any, notes: Counter[str], table: bool) -> Any:
    """The whole number that 35.0 or a text of one is, None for a number that is none (NaN), or else what was given."""
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
    """A label as its name, its value or its number; known: what the column may hold beside numbers."""
    if isinstance(found, str):
        truth = {str(value).lower(): value for value in known if isinstance(value, bool)}
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
    label = number(found)
    return str(label) if type(label) is int and label not in known and str(label) in known else label


def _choices(column: str, label: str | None, record: dict, notes: Counter[str]) -> dict[str, Any]:
    """Choices as a list of texts; where each has a label of its own (ARC, CommonsenseQA), the right one's number by these."""
    found = listed(lookup(record, column), notes)
    own = lookup(record, f"{column.removesuffix('.text')}.label") if column.endswith(".text") else None
    if isinstance(found, list) and found and all(isinstance(one, dict) and {"text", "label"} <= set(one) for one in found):
        own, found = [one["label"] for one in found], [one["text"] for one in found]
    key = lookup(record, label) if label else NOTHING
    if isinstance(own, list) and own.count(key) == 1:
        notes[OWN_LABEL] += 1
        return {column: found, str(label): own.index(key)}
    return {column: found}


def _answers(column: str, starts: str | None, record: dict, notes: Counter[str], number: Callable[[Any], Any]) -> dict[str, Any]:
    """Answers whose first characters are whole numbers, and none of empty text: {column: value}, of two columns or one (`gold_answers`)."""
    found = lookup(record, column)
    if (found is None or found is NOTHING) and impossible(record):
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
    """As `_answers`, of a column of texts and one of first characters. A text is a list where the other is one: it may begin with [."""
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
    """Whether first characters are none: -1, 0 or nothing."""
    return all(start in (None, "", -1, 0) for start in (starts if isinstance(starts, list) else [starts]))


def listed(found: Any, notes: Counter[str]) -> Any:
    """The list or the object that stands in a text as JSON, or as Python or numpy print it; else what was given."""
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
    """The value of a printed list or object; numpy parts items by white space alone, which Python would take for one text. Runs no code.

    Raises ValueError or SyntaxError where it is none.
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
        warnings.simplefilter("ignore")  # of a text like '\d'
        return _value(ast.parse(tokenize.untokenize(parts).strip(), mode="eval").body)


def _value(node: ast.AST) -> Any:
    """A literal's value, in JSON's types; `array(…)`, `np.int64(…)` and the like are what they hold. Raises ValueError."""
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
        raise ValueError("no value of JSON's")
    return value
