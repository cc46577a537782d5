"""A second, simple reader of files and definitions. It checks nothing: tests use it only where the kit found no fault.

It shares no code with the kit: it reads a table character by character, Parquet column by column.
"""

import ast
import hashlib
import io
import json
import re

import pyarrow.parquet


def fields_of(text: str, delimiter: str, quoted: bool) -> list[list[str]]:
    """The fields of a table, read character by character (RFC 4180), without empty lines."""
    rows, row, found, inside, i = [], [], "", False, 0
    fresh = True  # at a field's start
    while i <= len(text):
        c = text[i] if i < len(text) else "\n"
        if inside and text[i : i + 2] == '""':
            found, i = found + '"', i + 1
        elif inside:
            found, inside = (found, False) if c == '"' else (found + c, True)
        elif quoted and fresh and c == '"':
            inside, fresh = True, False
        elif c == delimiter:
            row, found, fresh = [*row, found], "", True
        elif c in "\r\n":
            rows += [[*row, found]] if row or found or not fresh else []
            row, found, fresh = [], "", True
        else:
            found, fresh = found + c, False
        i += 1
    return rows


def table_of(text: str, end: str, quoted: bool | None) -> list[list[str]]:
    """The rows of a table, the header first; quoted None: decided by the rules in `delimited`, here over the whole text."""
    lines = [line for line in re.split("\r?\n", text) if line.strip()]
    bare, own = re.sub('"([^"]|"")*"', "", lines[0]), {".csv": ",", ".tsv": "\t"}[end]
    others = [c for c in ",;\t|" if c in bare]
    delimiter = others[0] if own not in bare and len(others) == 1 else own
    if quoted is None:
        whole = {line.count(delimiter) for line in lines} == {lines[0].count(delimiter)}
        fields = [field for line in lines for field in line.split(delimiter) if '"' in field]
        placed = all(re.fullmatch('"([^"]|"")*"', field) for field in fields)
        written = '"' in lines[0] or any('""' in field[1:-1] for field in fields)
        quoted = delimiter != "\t" or not whole or (placed and written)
    return [row for row in fields_of(text, delimiter, quoted) if any(map(str.strip, row))]


def records_of(end: str, raw: bytes, quoted: bool | None) -> list[dict]:
    """The records of an unpacked file."""
    if end in (".csv", ".tsv"):
        header, *rows = table_of(raw.decode("utf-8-sig"), end, quoted)
        header = cut(header, 1)
        return [dict(zip(header, cut(row, len(header)), strict=True)) for row in rows]
    if end == ".parquet":
        read = pyarrow.parquet.read_table(io.BytesIO(raw))
        columns = [column.to_pylist() for column in read.columns]
        return [dict(zip(read.column_names, values, strict=True)) for values in zip(*columns, strict=True)]
    if end == ".jsonl":
        lines = raw.decode("utf-8-sig").split("\n")
        return [asked for line in lines if line.strip(" \t\r\n") for asked in asked_of(json.loads(line))]
    whole = json.loads(raw.decode("utf-8-sig"))
    items = whole if isinstance(whole, list) else whole.get("data", [whole])
    return [asked for item in items for asked in asked_of(item)]


def cut(row: list[str], least: int) -> list[str]:
    """The row without empty fields at its end, but with at least so many fields."""
    return cut(row[:-1], least) if len(row) > least and not row[-1] else row


def asked_of(item: dict) -> list[dict]:
    """The questions of an article or a context; a plain row is returned as it is."""
    if not ({"paragraphs", "qas"} & set(item)):
        return [item]
    return [
        {"title": item.get("title"), "context": paragraph["context"], "answers": [], **asked}
        for paragraph in item.get("paragraphs", [item])
        for asked in paragraph["qas"]
    ]


def rows_of(definition: dict, records: list[dict], texts: bool) -> list[tuple]:
    """The rows that the definition makes of the records; texts: whether numbers are text, as in a table."""
    columns = definition.get("columns") or {role: role for role in ("id", "title", "context", "question", "answers")}
    return [_row(definition, columns, record, number, texts) for number, record in enumerate(records)]


def as_questions(rows: list[tuple]) -> list[tuple]:
    """Merges rows with the same id: the later ones only add answers."""
    found: dict[str, tuple] = {}
    for row in rows:
        same = found.setdefault(row[0], row)
        found[row[0]] = (*same[:-1], tuple(dict.fromkeys((*same[-1], *row[-1])))) if same is not row else row
    return list(found.values())


def at(record: dict, column: str):
    """A column's value; `a.b` is the value of b in a."""
    if column in record or "." not in column:
        return record[column]
    for key in column.split("."):
        record = record[key]
    return record


def _row(definition: dict, columns: dict, record: dict, number: int, texts: bool) -> tuple:
    template = definition.get("template", {})

    def text(role: str):
        if role in template:
            return re.sub(r"\{\{|\}\}|\{([^{}]+)\}", lambda m: str(at(record, m[1])) if m[1] else m[0][0], template[role])
        return at(record, columns[role])

    played = {*columns, *template}
    if definition["type"] == "sc":
        return number, text("first"), text("second") if "second" in played else None, _label(definition, text("label"), texts)
    if definition["type"] == "mcc":
        several = columns["choices"]
        choices = tuple(at(record, name) for name in several) if not isinstance(several, str) else tuple(_list(at(record, several)))
        right = choices.index(text("answer")) if "answer" in played else _label(definition, text("label"), texts)
        return number, text("context"), text("start") if "start" in played else "", choices, right
    title = record.get(columns["title"]) if "title" in columns else None
    name = record.get(columns["id"]) if "id" in columns else None
    starts = at(record, columns["starts"]) if "starts" in columns else None
    context, question = text("context"), text("question")
    if name in (None, ""):
        name = hashlib.blake2b(context.encode() + b"\0" + question.encode(), digest_size=8).hexdigest()
    answers = _answers(text("answers"), starts, "starts" in columns)
    name, title = (whole(value) if isinstance(value, float) else value for value in (name, title))
    return str(name), "" if title is None else str(title), context, question, answers


def whole(value):
    """35 for 35.0, "35.0" and "35"; any other value unchanged."""
    if isinstance(value, float) and value == value // 1:
        return int(value)
    found = re.fullmatch("(-?[0-9]{1,18})([.]0)?", value) if isinstance(value, str) else None
    return int(found[1]) if found else value


def _list(value):
    if not isinstance(value, str) or value.lstrip()[:1] not in ("[", "{"):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return printed(value.strip())


ITEM = re.compile(r"""[uUrR]?("(\\.|[^"\\])*"|'(\\.|[^'\\])*')|[\d.eE+]+""", re.DOTALL)


def printed(text: str):
    """A list or object as Python prints it, or as numpy does: without commas."""
    return ast.literal_eval(ITEM.sub(lambda m: m[0] + "," * bool(re.match(r"\s*-?([\d.]|[uUrR]?[\"'])", text[m.end() :])), text))


def _label(definition: dict, value, texts: bool) -> int:
    """A label's number: of the label with exactly this value, else of an equivalent one, else the number itself."""
    labels = definition.get("labels", [])
    if isinstance(value, list):
        (value,) = value
    names = list(dict.fromkeys(labels.values())) if isinstance(labels, dict) else labels
    pairs = [(known, names.index(name)) for known, name in (labels.items() if isinstance(labels, dict) else zip(labels, labels))]
    for known, number in pairs:
        if type(known) is type(value) and known == value:
            return number
    for known, number in pairs if isinstance(labels, dict) else ():
        same = isinstance(known, bool) and str(known).lower() == str(value).lower() and isinstance(value, str)
        if same or (type(known) is int and known == whole(value) and not isinstance(value, bool)) or (known == str(whole(value))):
            return number
    assert not isinstance(labels, dict) and not isinstance(value, bool)
    return whole(value)


def _answers(value, starts, two: bool) -> tuple:
    if not two:
        value = _list(value)
        pairs = (
            [(whole(a["answer_start"]), a["text"]) for a in value]
            if isinstance(value, list)
            else zip(map(whole, value["answer_start"]), value["text"], strict=True)
        )
        return tuple(pair for pair in pairs if pair[1])
    starts = _list(starts)
    if isinstance(starts, list):
        return tuple((whole(start), text) for start, text in zip(starts, _list(value), strict=True) if text)
    return ((whole(starts), value),) if value not in ("", None) else ()
