"""Files as users have them: an unambiguous form is read and counted, any other is refused with its place, cause and remedy."""

import csv
import io
import json
import unicodedata

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from mtdnn_kit import Config
from mtdnn_kit.data import readers
from mtdnn_kit.data.definitions import dataset_from
from mtdnn_kit.data.read_as import Reading, listed
from mtdnn_kit.data.rows import made_id
from mtdnn_kit.data.sources import load
from mtdnn_kit.errors import DataError
from mtdnn_kit.training.setup import read_rows

PASSAGE = "The ferry to Brekke leaves at nine, and the last one back at six."
OTHER = "Two herons nest on the mast of the Solveig."
SC = {"type": "sc", "columns": {"first": "text", "label": "y"}, "labels": ["no", "yes"]}
FLAT = {"type": "qa", "columns": {"id": "id", "context": "doc", "question": "ask", "answers": "a", "starts": "s"}}
MCC = {"type": "mcc", "columns": {"context": "q", "choices": "o", "label": "y"}}


def read(tmp_path, name: str, content: str | bytes, **row):
    """The rows of a file that a definition names, and the record of how it was read."""
    file = tmp_path / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    dataset = dataset_from("mine", {"files": {"train": str(file)}, "score": None, **row})
    found = load("mine", dataset, "train", "sample")
    unit = next(iter(found.file))
    assert found.file[unit] == found.file["rows"] + sum(found.file["left_out"].values()) and found.file["rows"] == len(found)
    return list(found.rows), found.file


def lines(*records: dict) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def asked(answers, **more) -> dict:
    return {"id": "a", "context": PASSAGE, "question": "When?", "answers": answers, **more}


ANSWERED = [{"text": "nine", "answer_start": PASSAGE.index("nine")}]


# Tables

STRAY = 'sort\ty\ttext\nA\tno\t"Row on, he said.\nB\tyes\tThe oars are wet.\nA\tno\tWe row to home"\nB\tyes\tSay "when".\n'


def test_a_quotation_mark_in_a_tsv_is_a_letter_and_joins_no_rows(tmp_path):
    rows, file = read(tmp_path, "x.tsv", STRAY, **SC)
    assert [row.first for row in rows] == ['"Row on, he said.', "The oars are wet.", 'We row to home"', 'Say "when".']
    assert file == {
        "lines": 5,
        "rows": 4,
        "left_out": {"the header": 1},
        "read_as": {"quotation marks as letters (lines that have any)": 3},
    }
    assert len(pd.read_csv(tmp_path / "x.tsv", sep="\t", quoting=csv.QUOTE_NONE)) == 4
    assert len(read(tmp_path, "x.tsv", STRAY, **SC, quoted=True)[0]) == 2, "`quoted: true` makes the marks quote"


@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])
def test_a_tsv_quoted_by_a_program_is_unquoted(tmp_path, quoting):
    records = [{"text": 'He said "no".', "y": "no"}, {"text": "Plain.", "y": "yes"}, {"text": '"All of it."', "y": "yes"}]
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, ["text", "y"], delimiter="\t", quoting=quoting)
    writer.writeheader()
    writer.writerows(records)
    rows, file = read(tmp_path, "x.tsv", out.getvalue(), **SC)
    assert [row.first for row in rows] == [record["text"] for record in records] and not file["read_as"]


def test_a_tsv_with_a_misplaced_quotation_mark_is_read_as_unquoted(tmp_path):
    """A CSV writer would have quoted the second row's text, too."""
    rows, file = read(tmp_path, "x.tsv", 'text\ty\n"a ""b"""\tno\nA 5" pipe.\tyes\n', **SC)
    assert [row.first for row in rows] == ['"a ""b"""', 'A 5" pipe.'] and file["read_as"][
        "quotation marks as letters (lines that have any)"
    ] == 2


def test_quotes_over_several_lines_are_refused_if_each_line_may_be_a_row(tmp_path):
    with pytest.raises(DataError, match="x.csv, line 2: a quoted field spans several lines that look like separate rows: set `quoted"):
        read(tmp_path, "x.csv", STRAY.replace(",", ";").replace("\t", ","), **SC)
    broken = STRAY + "C\tyes\n"  # a line with too few fields: single lines are not all rows, and the marks would join several lines
    with pytest.raises(
        DataError, match="x.tsv, row 5 .line 6.: 2 fields .'C', 'yes'., but .* names 3 columns .*: correct the line or remove it$"
    ):
        read(tmp_path, "x.tsv", broken, **SC)


@pytest.mark.parametrize(
    "content",
    [
        'sort\ty\ttext\nA\tno\t"Row on\nB\tyes\nA\tno\tWe go home"\nC\tyes\tok\n',  # a broken line between two stray quotation marks
        'text\ty\n"Row on\tno\nbroken\nback home"\tyes\nok\tno\n',
    ],
)
def test_quotes_around_a_broken_line_are_refused(tmp_path, content):
    with pytest.raises(DataError, match="x.tsv, line 2: a quoted field spans several lines that look like separate rows: set `quoted: t"):
        read(tmp_path, "x.tsv", content, **SC)


@pytest.mark.parametrize("quoted", ["Hello, world", "Hello, ñ"])
def test_a_spreadsheets_tsv_quotes_only_fields_with_commas(tmp_path, quoted):
    rows, file = read(tmp_path, "x.tsv", f'text\ty\n"{quoted}"\tno\nplain\tyes\n', **SC)
    assert [row.first for row in rows] == [quoted, "plain"] and not file["read_as"]
    rows, _ = read(tmp_path, "x.tsv", f'text\ty\n"{quoted}"\tno\nplain, too\tyes\n', **SC)
    assert [row.first for row in rows] == [f'"{quoted}"', "plain, too"], "an unquoted comma: marks are letters"


def test_long_fields_are_read_in_linear_time(tmp_path):
    text = '""'.join("word" for _ in range(200_000))
    rows, _ = read(tmp_path, "x.tsv", f'text\ty\n"{text}"\tno\n', **SC)
    assert rows[0].first == text.replace('""', '"')
    context, answer = "a" * 200_000, "a" * 20_000 + "c"
    with pytest.raises(DataError, match="does not contain the text"):
        read(tmp_path, "x.json", json.dumps([asked([{"text": answer, "answer_start": 1}], context=context)]), type="qa")


def test_empty_columns_at_the_end_of_a_spreadsheet_are_left_out(tmp_path):
    rows, file = read(tmp_path, "x.csv", "text;y;;\na;no;;\nb;yes\n;;;\n", **SC)
    assert [(row.first, row.label) for row in rows] == [("a", 0), ("b", 1)] and file["read_as"]["empty columns at the end, left out"] == 2
    for content in ("text;y;\na;no;lost\n", "text;y\na;no;\n", "text;y;\na;no;;\n"):  # an unquoted delimiter would shift the fields
        with pytest.raises(DataError, match="row 1 .line 2.: [34] fields"):
            read(tmp_path, "x.csv", content, **SC)


def test_line_numbers_include_line_breaks_in_fields(tmp_path):
    rows, file = read(tmp_path, "x.csv", 'text,y\n"one,\ntwo\nthree",no\n\n"four",yes\n,\n', **SC)
    assert [row.first for row in rows] == ["one,\ntwo\nthree", "four"]
    with pytest.raises(DataError, match="row 2 .line 4.: column 'y' is 'maybe'"):
        read(tmp_path, "x.csv", 'text,y\n"one,\ntwo",no\n"three\nfour, five",maybe\n', **SC)
    assert file == {
        "lines": 7,
        "rows": 2,
        "left_out": {"the header": 1, "line breaks in quotation marks": 2, "empty lines": 2},
        "read_as": {},
    }


@pytest.mark.parametrize(
    ("name", "content", "rule"),
    [
        ("x.csv", "\ufefftext;y\nNA;no\nnull;yes\n", "fields separated by semicolons"),
        ("x.csv", 'sep=;\r\n"text";"y"\r\n"NA";"no"\r\nnull;yes\r\n', "fields separated by semicolons"),
        ("x.csv", "text\ty\nNA\tno\nnull\tyes\n", "fields separated by tabs"),
        ("x.tsv", "text,y\nNA,no\nnull,yes\n", "fields separated by commas"),
        ("x.csv", ",text,y\n0,NA,no\n1,null,yes\n", "a first column without a name, left out"),
    ],
)
def test_a_table_of_another_dialect_is_read_and_reported(tmp_path, name, content, rule):
    rows, file = read(tmp_path, name, content, **SC)
    assert [(row.first, row.label) for row in rows] == [("NA", 0), ("null", 1)] and file["read_as"] == {rule: 2}


CELL = st.text(st.sampled_from('ab";,\t\n ñ'), max_size=6)


@given(st.lists(st.tuples(CELL, CELL, CELL), min_size=1, max_size=5), st.sampled_from([",", "\t"]), st.sampled_from([0, 1]))
@settings(max_examples=300, deadline=None)
def test_three_readers_of_a_table_agree_on_every_cell_or_the_file_is_refused(tmp_path_factory, cells, delimiter, quoting):
    """The kit's, pandas' and the csv module's, of what the csv module wrote. An ambiguous TSV is refused."""
    file = tmp_path_factory.mktemp("t") / ("x.csv" if delimiter == "," else "x.tsv")
    with open(file, "w", newline="", encoding="utf-8") as out:
        csv.writer(out, delimiter=delimiter, quoting=quoting, lineterminator="\n").writerows([("k", "l", "m"), *cells])
    with open(file, newline="", encoding="utf-8") as opened:
        wanted = [row for row in csv.reader(opened, delimiter=delimiter) if any(map(str.strip, row))][1:]
    frame = pd.read_csv(file, sep=delimiter, dtype=str, keep_default_na=False, skip_blank_lines=False).to_numpy().tolist()
    assert [row for row in frame if any(map(str.strip, row))] == wanted
    reading = Reading()
    try:
        found = [list(record.values()) for record, _ in readers.read(file, "x", None, reading)]
    except DataError as error:
        assert "look like separate rows" in str(error)
        return
    assert reading.found == reading.left_out.total() + len(found)
    if reading.read_as:  # marks as letters: pandas agrees with QUOTE_NONE
        assert (
            delimiter == "\t"
            and found
            == pd.read_csv(file, sep=delimiter, dtype=str, keep_default_na=False, quoting=csv.QUOTE_NONE, skip_blank_lines=True)
            .to_numpy()
            .tolist()
        )
        return
    assert found == wanted


def test_utf16_and_invalid_bytes_are_reported_with_the_line(tmp_path):
    with pytest.raises(DataError, match="x.csv, line 1: UTF-16, not UTF-8: save the file as UTF-8"):
        read(tmp_path, "x.csv", "text,y\na,no\n".encode("utf-16"), **SC)
    with pytest.raises(DataError, match="x.csv, line 3: not UTF-8 .byte 3: invalid"):
        read(tmp_path, "x.csv", b"text,y\na,no\nno\xff,no\n", **SC)


def test_empty_lines_in_json_lines_are_skipped_and_counted(tmp_path):
    rows, file = read(tmp_path, "x.jsonl", lines({"text": "a", "y": 0}) + "\n  \r\n" + lines({"text": "b", "y": 1}) + "\n", **SC)
    assert [row.first for row in rows] == ["a", "b"] and file == {"lines": 5, "rows": 2, "left_out": {"empty lines": 3}, "read_as": {}}
    with pytest.raises(DataError, match="x.jsonl, line 3: column 'y' is 2"):
        read(tmp_path, "x.jsonl", lines({"text": "a", "y": 0}) + "\n" + lines({"text": "b", "y": 2}), **SC)


# Labels and choices

LETTERS = {"type": "mcc", "columns": {"context": "q", "choices": ["a", "b", "c"], "label": "key"}, "labels": ["A", "B", "C"]}
KEYS = "q,a,b,c,key\nFirst?,x,y,z,A\nSecond?,x,y,z,2\n"
BOTH = {"A": "A", "B": "B", "C": "C", "1": "A", "2": "B", "3": "C"}


def test_letters_and_numbers_in_a_column_are_refused_until_they_are_mapped(tmp_path):
    with pytest.raises(DataError, match="row 2 .line 3.: column 'key' is 2, a number, but the first row has 'A', a name.*") as error:
        read(tmp_path, "x.csv", KEYS, **LETTERS)
    remedy = yaml.safe_load(str(error.value).partition("`labels: ")[2].partition("`")[0])
    assert remedy == BOTH and [row.label for row in read(tmp_path, "x.csv", KEYS, **{**LETTERS, "labels": remedy})[0]] == [0, 1]
    records = [{"q": "?", "o": ["x", "y", "z"], "y": y} for y in ("A", 2, "3", 1)]
    assert [row.label for row in read(tmp_path, "x.jsonl", lines(*records), **MCC, labels=BOTH)[0]] == [0, 1, 2, 0]
    with pytest.raises(DataError, match="line 2: column 'y' is 2, a number"):
        read(tmp_path, "x.jsonl", lines(*records), **MCC, labels=["A", "B", "C"])


def test_the_right_choice_is_found_by_the_choices_labels(tmp_path):
    """As in ARC (a mapping of two lists, with letters in some rows and numbers in others) and CommonsenseQA (a list of objects)."""
    choices = [{"text": ["x", "y"], "label": ["B", "A"]}, {"text": ["x", "y"], "label": ["1", "2"]}]
    records = [{"q": f"{i}?", "c": some, "y": key} for i, (some, key) in enumerate(zip(choices, ("A", "2"), strict=True))]
    row = {"type": "mcc", "columns": {"context": "q", "choices": "c.text", "label": "y"}}
    rows, file = read(tmp_path, "x.jsonl", lines(*records), **row)
    assert [r.label for r in rows] == [1, 1] and file["read_as"]["the right choice by the choices' own labels"] == 2
    objects = [{**one, "c": [{"text": t, "label": la} for t, la in zip(*one["c"].values(), strict=True)]} for one in records]
    rows, _ = read(tmp_path, "x.jsonl", lines(*objects), **{**row, "columns": {**row["columns"], "choices": "c"}})
    assert [(r.label, r.choices) for r in rows] == [(1, ("x", "y"))] * 2


def test_the_choices_labels_count_in_tables_too_and_never_as_positions(tmp_path):
    """A table holds text only. Elsewhere text and numbers mixed could be labels or positions."""
    row = {"type": "mcc", "columns": {"context": "q", "choices": "o", "label": "y"}}
    for own, key, right in (((1, 0), "0", "b"), ((1, 2), "2", "b"), (("A", "B"), "A", "a")):
        choices = json.dumps([{"text": text, "label": label} for text, label in zip("ab", own, strict=True)]).replace('"', '""')
        (one,), file = read(tmp_path, "x.csv", f'q,o,y\n?,"{choices}",{key}\n', **row)
        assert one.choices[one.label] == right and file["read_as"]["the right choice by the choices' own labels"] == 1
    mapped = {"A": "A", "B": "B", "1": "A", "2": "B"}
    records = [
        {"q": "?", "o": [{"text": text, "label": label} for text, label in zip("ab", own, strict=True)], "y": own[1]}
        for own in ("AB", "12", (1, 2))
    ]
    assert [one.label for one in read(tmp_path, "x.jsonl", lines(*records), **row, labels=mapped)[0]] == [1, 1, 1]
    number = [{"text": text, "label": label} for text, label in zip("abc", (1, 2, 3), strict=True)]  # a column with gaps holds 1.0
    text = [{**one, "label": str(one["label"])} for one in number]
    floats = [{**one, "label": float(one["label"])} for one in number]
    for own, key in ((number, 1.0), (floats, 1), (text, " 1"), (text, "1.0"), (number, [1]), (text, ["1"]), (number, "[1]")):
        (one,), file = read(tmp_path, "x.jsonl", lines({"q": "?", "o": own, "y": key}), **row)
        assert one.choices[one.label] == "a" and file["read_as"]["the right choice by the choices' own labels"] == 1
    for own, key in ((number, 0), (text, "4"), (number, -1)):  # not a position, where the labels are numbers
        with pytest.raises(DataError, match=f"line 1: column 'y' is '?{key}'?, which is none of the labels of the choices, .*: correct it"):
            read(tmp_path, "x.jsonl", lines({"q": "?", "o": own, "y": key}), **row)
    mixed = {**records[1], "o": [{"text": "a", "label": "1"}, {"text": "b", "label": "0"}], "y": 0}
    with pytest.raises(
        DataError, match="line 1: column 'y' is 0, but the labels of the choices are .*: write both as text, or both as numbers"
    ):
        read(tmp_path, "x.jsonl", lines(mixed), **row)


@pytest.mark.parametrize("labels", [{True: "yes", False: "no"}, {"true": "yes", "false": "no"}])
def test_true_and_false_are_labels_in_every_format(tmp_path, labels):
    """Also once the definition was kept as JSON, whose keys are text."""
    row = {**SC, "labels": labels}
    names = [
        list(dict.fromkeys(labels.values()))[one.label]
        for one in read(tmp_path, "x.jsonl", lines({"text": "a", "y": True}, {"text": "b", "y": False}), **row)[0]
    ]
    assert names == ["yes", "no"]
    names = list(labels.values())
    records = lines({"text": "a", "y": True}, {"text": "b", "y": False})
    for name, content in (("x.jsonl", records), ("x.csv", "text,y\na,True\nb,false\n")):
        assert [names[one.label] for one in read(tmp_path, name, content, **row)[0]] == ["yes", "no"]


def test_numbers_of_choices_may_be_text_and_count_from_0_unless_mapped(tmp_path):
    records = [{"q": f"{i}?", "o": ["x", "y", "z"], "y": str(i)} for i in range(3)]
    rows, file = read(tmp_path, "x.jsonl", lines(*records), **MCC)
    assert [row.label for row in rows] == [0, 1, 2] and file["read_as"] == {"a number written as text": 3}
    from_one = [{**record, "y": str(i + 1)} for i, record in enumerate(records)]
    with pytest.raises(
        DataError, match=r"line 3: column 'y' is 3: it must be from 0 to 2; .* if labels count from 1, map them: `labels: {1:"
    ):
        read(tmp_path, "x.jsonl", lines(*from_one), **MCC)
    assert [row.label for row in read(tmp_path, "x.jsonl", lines(*from_one), **MCC, labels={1: "A", 2: "B", 3: "C"})[0]] == [0, 1, 2]


@pytest.mark.parametrize(
    ("values", "labels", "rule"),
    [
        ([["no"], ["yes"]], ["no", "yes"], "a label in a list of one"),
        (["no ", " yes"], ["no", "yes"], "a label without the white space around it"),
        ([[0], [1]], ["no", "yes"], "a label in a list of one"),
        ([" 0", "1 "], ["no", "yes"], ("a label without the white space around it", "a number written as text")),
        ([0.0, 1.0], ["no", "yes"], "a whole number written as 35.0"),
        (["0", "1"], ["no", "yes"], "a number written as text"),
        ([1, 2], {"1": "no", "2": "yes"}, None),
        (["1", "2"], {1: "no", 2: "yes"}, "a number written as text"),
    ],
)
def test_a_label_in_another_form_is_read_and_counted(tmp_path, values, labels, rule):
    rows, file = read(tmp_path, "x.jsonl", lines(*({"text": "t", "y": y} for y in values)), **{**SC, "labels": labels})
    assert [row.label for row in rows] == [0, 1] and file["read_as"] == dict.fromkeys([rule] if isinstance(rule, str) else rule or (), 2)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (1.5, "is 1.5: it must be a whole number"),
        (["no", "yes"], r"is \['no', 'yes'\]: 2 labels, but a row may have only one"),
        ("['no', 'yes']", r"is \['no', 'yes'\]: 2 labels, but a row may have only one"),
        ([], r"is \[\]: 0 labels"),
        ("{{1}}", "is '{{1}}': it must be a whole number".replace("{", "[{]")),
    ],
)
def test_an_invalid_label_is_refused(tmp_path, value, message):
    with pytest.raises(DataError, match=f"line 1: column 'y' {message}"):
        read(tmp_path, "x.jsonl", lines({"text": "t", "y": value}), **SC)


def test_rows_without_a_label_are_left_out_by_skip(tmp_path):
    records = [{"text": f"t{i}", "y": y} for i, y in enumerate([0, -1, 1, "-", None, "", 1])]
    with pytest.raises(DataError, match=r"line 2: column 'y' is -1: the row has no label; leave such rows out by `skip: \[-1\]`"):
        read(tmp_path, "x.jsonl", lines(*records), **SC)
    rows, file = read(tmp_path, "x.jsonl", lines(*records), **SC, skip=[-1, "-", None, ""])
    assert [(row.id, row.label) for row in rows] == [(0, 0), (2, 1), (6, 1)], "a row's id is its position in the file"
    assert file == {"lines": 7, "rows": 3, "left_out": {f"label {value} (skip)": 1 for value in ("-1", "'-'", "None", "''")}, "read_as": {}}
    table = "text,y\na,0\nb,-1\nc,-\n"
    assert read(tmp_path, "x.csv", table, **SC, skip=[-1, "-"])[1]["left_out"] == {
        "the header": 1,
        "label '-1' (skip)": 1,
        "label '-' (skip)": 1,
    }
    with pytest.raises(DataError, match="it has no rows, apart from the header, label '0' "):
        read(tmp_path, "x.csv", "text,y\na,0\n", **SC, skip=[0])


# Questions

RELATIVES = {
    "a list of contexts": [{"context": PASSAGE, "qas": [asked(ANSWERED)]}],
    "articles that hold qas": {"data": [{"title": "T", "context": PASSAGE, "qas": [asked(ANSWERED)]}]},
    "rows under data": {"data": [asked(ANSWERED)]},
    "a list of articles": [{"title": "T", "paragraphs": [{"context": PASSAGE, "qas": [asked(ANSWERED)]}]}],
    "one article": {"title": "T", "paragraphs": [{"context": PASSAGE, "qas": [asked(ANSWERED)]}]},
    "an array of rows": [asked(ANSWERED)],
    "the official form": {"version": "1.1", "data": [{"paragraphs": [{"context": PASSAGE, "qas": [asked(ANSWERED)]}]}]},
}


@pytest.mark.parametrize("form", RELATIVES)
def test_variants_of_squads_form_are_read(tmp_path, form):
    rows, file = read(tmp_path, "x.json", json.dumps(RELATIVES[form]), type="qa")
    assert rows[0].answers == ((30, "nine"),) and rows[0].context == PASSAGE and len(rows) == 1
    assert bool(file["read_as"]) == (form not in ("an array of rows", "the official form", "one article"))


def test_a_line_may_contain_a_context_and_its_questions(tmp_path):
    line = {
        "context": PASSAGE,
        "qas": [{"id": "1", "question": "When?", "answers": ANSWERED}, {"id": "2", "question": "Who?", "answers": []}],
    }
    rows, file = read(tmp_path, "x.jsonl", lines(line), type="qa")
    assert [row.answers for row in rows] == [((30, "nine"),), ()] and file["questions"] == 2


@pytest.mark.parametrize(
    ("answers", "wanted", "rule"),
    [
        ([{"text": "", "answer_start": 0}], (), "an answer of empty text as none"),
        ({"text": [""], "answer_start": [-1]}, (), "an answer of empty text as none"),
        ({"text": [], "answer_start": []}, (), None),
        ({"text": [""], "answer_start": [7]}, DataError, "an answer with empty text"),
        ({"text": ["nine"], "answer_start": [30.0]}, ((30, "nine"),), "a whole number written as 35.0"),
        ([{"text": "nine", "answer_start": "30"}], ((30, "nine"),), "a number written as text"),
        ({"text": "nine", "answer_start": 30}, ((30, "nine"),), "an answer without a list around it"),
        ("{'text': ['nine'], 'answer_start': [30]}", ((30, "nine"),), "a list or an object as Python or numpy prints it"),
        (
            str({"text": np.array(["nine"], object), "answer_start": np.array([30])}),
            ((30, "nine"),),
            "a list or an object as Python or numpy prints it",
        ),
        ('{"text": ["nine"], "answer_start": [30]}', ((30, "nine"),), "a list or an object as JSON in a text"),
    ],
)  # fmt: skip
def test_answers_in_another_form_are_read_and_counted(tmp_path, answers, wanted, rule):
    if wanted is DataError:
        with pytest.raises(DataError, match=rule):
            read(tmp_path, "x.json", json.dumps([asked(answers)]), type="qa")
        return
    rows, file = read(tmp_path, "x.json", json.dumps([asked(answers)]), type="qa")
    assert rows[0].answers == wanted and file["read_as"] == ({rule: 1} if rule else {})


def test_printed_numpy_arrays_are_parsed_and_no_code_is_run():
    notes = Reading().read_as
    texts = ["it's", 'a "b"', "c d"]
    assert listed(str(np.array(texts, object)), notes) == texts and listed(str(np.array([3, -1, 40])), notes) in (
        [3, -1, 40],
        str(np.array([3, -1, 40])),
    )
    assert listed("[np.str_('x'), np.int64(3)]", notes) == ["x", 3]
    assert listed("[ 3 -1 40]", notes) == [3, -1, 40] and listed("['\\d']", notes) == ["\\d"]
    for text in (
        "{(0, 5): 'x'}",
        "[{[1]: 2}]",
        "{{1}}",
        "[__import__('os')]",
        "[open('x')]",
        "[x for x in 'ab']",
        "[1, ...]",
        "{'a': 1, 'a': 2}",
        "[1, 2",
        "[" * 5000,
        "[b'x']",
    ):
        assert listed(text, notes) == text


def test_a_table_may_have_floats_as_starts_and_several_lines_per_question(tmp_path):
    asks = f'7,"{PASSAGE}",When?'
    table = f'id,doc,ask,a,s\n{asks},nine,30.0\n8,"{OTHER}",Who?,,\n{asks},at nine,27.0\n{asks},nine,30.0\n'
    rows, file = read(tmp_path, "x.csv", table, **FLAT)
    assert [(row.id, row.answers) for row in rows] == [("7", ((30, "nine"), (27, "at nine"))), ("8", ())]
    assert file["left_out"] == {"the header": 1, "further lines of a question": 2} and file["read_as"] == {
        "a whole number written as 35.0": 3
    }
    with pytest.raises(DataError, match="row 2 .line 3. .id '7'.: row 1 .line 2., which has another question or passage, has the same id"):
        read(tmp_path, "x.csv", f'id,doc,ask,a,s\n7,"{PASSAGE}",When?,nine,30\n7,"{PASSAGE}",Why?,,\n', **FLAT)
    with pytest.raises(
        DataError, match="row 2 .line 3. .id '7'.: it repeats the question of row 1 .line 2., but only one of the two has an answer"
    ):
        read(tmp_path, "x.csv", f'id,doc,ask,a,s\n7,"{PASSAGE}",When?,nine,30\n7,"{PASSAGE}",When?,,\n', **FLAT)


def test_generated_ids_do_not_depend_on_the_order(tmp_path):
    records = [{"context": context, "question": "When?", "answers": []} for context in (PASSAGE, OTHER)] + [
        asked([], id=None, question="Who?")
    ]
    rows, file = read(tmp_path, "x.jsonl", lines(*records), type="qa")
    again, _ = read(tmp_path, "x.jsonl", lines(*records[::-1]), type="qa")
    assert {row.id for row in rows} == {row.id for row in again} and file["read_as"] == {"an id made from passage and question": 3}
    assert rows[0].id == made_id(PASSAGE, "When?") and len(rows[0].id) == 16
    inside = {"meta": {"id": 7}, "context": PASSAGE, "question": "When?", "answers": []}
    columns = {"id": "meta.id", "context": "context", "question": "question", "answers": "answers"}
    rows, file = read(tmp_path, "y.jsonl", lines(inside), type="qa", columns=columns)
    assert rows[0].id == "7" and not file["read_as"]
    with pytest.raises(DataError, match="column 'qid' is missing"):
        read(
            tmp_path,
            "x.jsonl",
            lines(*records),
            type="qa",
            columns={"id": "qid", "context": "context", "question": "question", "answers": "answers"},
        )


ZURICH = unicodedata.normalize("NFD", "In Zürich, at the Café.")


@pytest.mark.parametrize(
    ("context", "answer", "start", "message"),
    [
        ("🚲 🎈 The dawn.", "dawn", 10, r"starts at character 8 \(its offset counts UTF-16 code units"),
        ("ñ ñ The dawn.", "dawn", 10, r"starts at character 8 \(its offset counts UTF-8 bytes"),
        ("The dawn, and dawn, dawn.", "dawn", 3, r"starts at character 4, 14, 20\. Correct answer_start to the right one"),
        ("The dawn.", "dawn", 5, r"starts at character 4 \(one less: its offsets may count from 1\)"),
        ("One.\nTwo.\nThree.", "Three", 12, r"starts at character 10 \(its offset counts a line break as two characters\)"),
        ("One.\r\nTwo.\r\nThree.", "Three", 10, r"starts at character 12 \(its offset counts a two-character line break as one\)"),
        (ZURICH, "Zürich", 3, "only in another Unicode form, which writes a letter and its accent"),
        ("In Zürich.", unicodedata.normalize("NFD", "Zürich"), 3, "only in another Unicode form"),
        ("It is ﬁne.", "fine", 6, "only with compatibility letters"),
        ("a  wide\ngap", "a wide gap", 0, "only with different white space"),
        ("Fish & chips", "Fish &amp; chips", 0, "only with HTML entities in one of them"),
        ("The Dawn.", "dawn", 4, "only in different upper or lower case"),
        ("The dawn.", "dusk", 4, "does not contain the text. Correct the answer, or remove the question"),
    ],
)
def test_a_misplaced_answer_is_reported_with_its_cause_and_all_places(tmp_path, context, answer, start, message):
    with pytest.raises(DataError, match=f"x.json, article 1, paragraph 1, question 1 .id 'a', question 'When.'.: answer .*{message}"):
        whole = {
            "data": [{"paragraphs": [{"context": context, "qas": [asked([{"text": answer, "answer_start": start}], context=context)]}]}]
        }
        read(tmp_path, "x.json", json.dumps(whole), type="qa")


def test_a_scored_file_without_answers_says_how_to_answer_it(tmp_path):
    record = asked(None)
    del record["answers"]
    with pytest.raises(DataError, match=r"column 'answers' is missing: training and scoring need answers.*load\(RUN\).answer"):
        read(tmp_path, "x.json", json.dumps([record]), type="qa")


@pytest.mark.parametrize(("said", "answers"), [("true", ANSWERED), (True, ANSWERED), (False, []), ("False", [])])
def test_is_impossible_must_agree_with_the_answers(tmp_path, said, answers):
    with pytest.raises(
        DataError, match="is_impossible is (true, but there is an answer|false, but there is no answer): correct one of them"
    ):
        read(tmp_path, "x.json", json.dumps([asked(answers, is_impossible=said)]), type="qa")


def test_long_contexts_and_other_forms_of_no_answer_are_read(tmp_path):
    long = "word " * 5000 + "end."
    records = [
        asked({"text": ["end"], "answer_start": [25_000]}, context=long),
        asked({"text": [], "answer_start": [], "answer_subj_level": []}, id="b"),
        asked([], id="c"),
        asked({"text": ["", ""], "answer_start": [-1, -1]}, id="d"),
    ]
    assert [row.answers for row in read(tmp_path, "x.jsonl", lines(*records), type="qa")[0]] == [((25_000, "end"),), (), (), ()]


def test_a_row_may_have_a_column_named_as_in_squads_files(tmp_path):
    records = [{"text": "a", "y": 1, "paragraphs": []}, {"text": "b", "y": 1, "qas": []}, {"text": "c", "y": 0, "paragraphs": "of text"}]
    assert [row.first for row in read(tmp_path, "x.jsonl", lines(*records), **SC)[0]] == ["a", "b", "c"]
    assert [row.first for row in read(tmp_path, "x.json", json.dumps(records), **SC)[0]] == ["a", "b", "c"]


def test_no_question_of_a_nested_file_is_lost(tmp_path):
    one, two = ({"id": name, "question": "When?", "answers": ANSWERED} for name in "ab")
    both = {"context": PASSAGE, "qas": [one], "paragraphs": [{"context": PASSAGE, "qas": [two]}]}
    assert [row.id for row in read(tmp_path, "x.json", json.dumps({"data": [both]}), type="qa")[0]] == ["a", "b"]
    deep = {"paragraphs": [{"context": PASSAGE, "qas": [one], "paragraphs": []}]}
    with pytest.raises(DataError, match="article 1, paragraph 1: a paragraph holds paragraphs"):
        read(tmp_path, "x.json", json.dumps([deep]), type="qa")
    with pytest.raises(DataError, match="lists of objects in data, more, and which one holds the rows is not clear"):
        read(tmp_path, "x.json", json.dumps({"data": [both], "more": [both]}), type="qa")
    viewer = {"features": [{"name": "id"}], "rows": [{"row_idx": 0, "row": asked(ANSWERED)}]}
    assert len(read(tmp_path, "x.json", json.dumps({"rows": viewer["rows"]}), type="qa")[0]) == 1
    assert len(read(tmp_path, "x.json", json.dumps({**viewer, "num_rows_total": 1}), type="qa")[0]) == 1, "as the hub's viewer replies"
    with pytest.raises(DataError, match="a reply of the hub's viewer with 1 of the 130,319 rows of a dataset: download the dataset's own"):
        read(tmp_path, "x.json", json.dumps({**viewer, "num_rows_total": 130_319}), type="qa")
    cut = {**viewer, "rows": [{**viewer["rows"][0], "truncated_cells": ["context"]}]}
    with pytest.raises(DataError, match="row 1: the hub's viewer has shortened values of this row: download the dataset's own file"):
        read(tmp_path, "x.json", json.dumps(cut), type="qa")


def test_a_table_may_have_no_answers_to_impossible_questions(tmp_path):
    """As pandas writes a column of answers and one of flags with gaps."""
    cell = json.dumps({"text": ["nine"], "answer_start": [PASSAGE.index("nine")]}).replace('"', '""')
    text = f'id,context,question,answers,is_impossible\n1,"{PASSAGE}",When?,"{cell}",\n2,"{PASSAGE}",Who?,,1.0\n3,"{PASSAGE}",Why?,,True\n'
    assert [len(row.answers) for row in read(tmp_path, "x.csv", text, type="qa")[0]] == [1, 0, 0]
    frame = pd.DataFrame([asked(ANSWERED, is_impossible=float("nan")), asked([], id="b", is_impossible=1.0)])
    frame.to_parquet(tmp_path / "y.parquet")
    assert [len(row.answers) for row in read(tmp_path, "x.parquet", (tmp_path / "y.parquet").read_bytes(), type="qa")[0]] == [1, 0]


@pytest.mark.parametrize("more", [{"is_impossible": True}, {"is_impossible": "true", "answers": None}, {"is_impossible": 1}])
def test_an_impossible_question_needs_no_answers(tmp_path, more):
    record = {"id": "a", "context": PASSAGE, "question": "When?", **more}
    nested = {"data": [{"paragraphs": [{"context": PASSAGE, "qas": [record]}]}]}
    assert read(tmp_path, "x.jsonl", lines(record), type="qa")[0][0].answers == ()
    assert read(tmp_path, "x.json", json.dumps(nested), type="qa")[0][0].answers == ()


def test_the_manifests_sources_record_how_a_file_was_read(tmp_path):
    (tmp_path / "x.csv").write_text("text;y\n" + "".join(f"t{i};{['no', 'yes', '-'][i % 3]}\n" for i in range(30)))
    row = {**SC, "files": {"train": str(tmp_path / "x.csv")}, "validation_ratio": 0.2, "skip": ["-"]}
    (train, _, scored), sources = read_rows(Config(tasks=["mine"], qa_weight=1.0, define={"mine": row}))
    said = sources["mine/train"]
    assert said["file"] == sources["mine/validation"]["file"] == {
        "lines": 31, "rows": 20, "left_out": {"the header": 1, "label '-' (skip)": 10}, "read_as": {"fields separated by semicolons": 20},
    }  # fmt: skip
    assert len(train["mine"]) + len(scored["mine"]) == 20 == said["rows"] + sources["mine/validation"]["rows"]
