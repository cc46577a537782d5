"""What files and definitions say, by a second, plain reading: it checks nothing, and is only asked where the kit found no fault.

It shares nothing with the kit's: a table is read letter by letter, Parquet column by column.
"""

import io
import json
import re

import pyarrow.parquet


def fields_of(text: str, delimiter: str, quoted: bool) -> list[list[str]]:
    """The fields of a table, letter by letter (RFC 4180); lines without a letter are left out."""
    rows, row, found, inside, i = [], [], "", False, 0
    fresh = True  # at the start of a field
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


def records_of(end: str, raw: bytes, quoted: bool) -> list[dict]:
    """The records of an unpacked file."""
    if end in (".csv", ".tsv"):
        header, *rows = fields_of(raw.decode("utf-8-sig"), {".csv": ",", ".tsv": "\t"}[end], quoted)
        return [dict(zip(header, row, strict=True)) for row in rows]
    if end == ".parquet":
        read = pyarrow.parquet.read_table(io.BytesIO(raw))
        columns = [column.to_pylist() for column in read.columns]
        return [dict(zip(read.column_names, values, strict=True)) for values in zip(*columns, strict=True)]
    if end == ".jsonl":
        return [json.loads(line) for line in raw.decode("utf-8-sig").rstrip().split("\n")]
    whole = json.loads(raw.decode("utf-8-sig"))
    if isinstance(whole, list):
        return whole
    return [
        {"title": article.get("title") or "", "context": paragraph["context"]} | asked
        for article in whole["data"]
        for paragraph in article["paragraphs"]
        for asked in paragraph["qas"]
    ]


def rows_of(definition: dict, records: list[dict], texts: bool) -> list[tuple]:
    """The rows that the records are, by the definition; texts: whether a table's numbers come as text."""
    columns = definition.get("columns") or {role: role for role in ("id", "title", "context", "question", "answers")}
    return [_row(definition, columns, record, number, texts) for number, record in enumerate(records)]


def at(record: dict, column: str):
    """A column's value; `a.b` is that of b in a."""
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
    title = record.get(columns.get("title", ""), "") if columns.get("title") in record else ""
    name = str(at(record, columns["id"])) if "id" in columns else str(number)
    starts = at(record, columns["starts"]) if "starts" in columns else None
    return name, title, text("context"), text("question"), _answers(text("answers"), starts, "starts" in columns)


def _list(value):
    return json.loads(value) if isinstance(value, str) and value.lstrip()[:1] in ("[", "{") else value


def _label(definition: dict, value, texts: bool) -> int:
    """The number of a label: that of the one that is written so, a name, or the number itself."""
    labels = definition.get("labels", [])
    pairs = list(enumerate(labels))  # a mapping's keys, a list's names
    for i, known in pairs:
        if type(known) is type(value) and known == value:
            return i
    for i, known in pairs if isinstance(labels, dict) and texts else ():
        if (isinstance(known, bool) and str(known).lower() == value.lower()) or (type(known) is int and known == int(value)):
            return i
    assert not isinstance(labels, dict) and not isinstance(value, bool)
    return int(value) if texts else value


def _answers(value, starts, two: bool) -> tuple:
    value = _list(value)
    if not two:
        pairs = (
            [(a["answer_start"], a["text"]) for a in value]
            if isinstance(value, list)
            else zip(value["answer_start"], value["text"], strict=True)
        )
        return tuple(pairs)
    starts = _list(starts)
    if isinstance(value, list):
        return tuple(zip(starts, value, strict=True))
    return ((int(starts), value),) if value not in ("", None) else ()
