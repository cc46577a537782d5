"""Files of every format: reading returns what was written; an unreadable file is reported with the place and a remedy."""

import bz2
import gzip
import json
import lzma
import tempfile
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest
from conftest import TEXTS
from hypothesis import given, settings
from hypothesis import strategies as st
from written import jsonl, parquet, table

from mtdnn_kit.data import readers
from mtdnn_kit.data.definitions import PACKED, SUFFIXES
from mtdnn_kit.data.readers import READERS, read, suffix_of
from mtdnn_kit.data.registry import DATASETS, Dataset
from mtdnn_kit.data.sources import load
from mtdnn_kit.errors import DataError

PACK = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}
PAIRS = Dataset("sc", {"first": "one", "second": "two", "label": "y"}, "pairs", labels=("no", "yes"), score=None)


WRITE = {
    ".jsonl": jsonl,
    ".csv": lambda records: table(records, ","),
    ".tsv": lambda records: table(records, "\t"),
    ".parquet": parquet,
    ".json": lambda records: json.dumps(records).encode(),
}


def put(folder, name: str, content: bytes) -> Path:
    file = Path(folder, name)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(PACK[suffix_of(name)[1]](content))
    return file


def test_every_format_has_a_reader_compressed_or_not():
    assert set(READERS) == set(SUFFIXES) == set(WRITE) and set(PACKED) == set(PACK)
    assert suffix_of("a.b.CSV.gz") == (".csv", ".gz") and suffix_of("a.gz") == ("", ".gz") and suffix_of("a.json") == (".json", "")


@given(st.lists(st.fixed_dictionaries({"a": st.one_of(st.just(""), TEXTS), "b c": TEXTS}), min_size=1, max_size=4))
@settings(max_examples=60, deadline=None)
def test_reading_returns_what_was_written(records):
    """Written by the standard library and pyarrow; the texts include quotes, delimiters, line breaks and NULs."""
    with tempfile.TemporaryDirectory() as folder:
        for end, write in WRITE.items():
            found = [record for record, _ in read(put(folder, f"x{end}", write(records)), "x", quoted=True)]
            assert found == [one for one in records if end not in (".csv", ".tsv") or any(map(str.strip, one.values()))], end


@pytest.mark.parametrize("packed", PACKED)
@pytest.mark.parametrize("end", SUFFIXES)
def test_the_same_rows_have_the_same_fingerprint_in_every_format(tmp_path, end, packed):
    records = [{"one": f'He said "{i}",\n\tand left.', "two": f"ñ{i}", "y": i % 2} for i in range(600)]
    put(tmp_path, f"pairs/train{end}{packed}", WRITE[end](records))
    found = load("pairs", PAIRS, "train", str(tmp_path))
    assert found.rows[599] == (599, 'He said "599",\n\tand left.', "ñ599", 1) and found.origin.endswith(f"/pairs/train{end}{packed}")
    put(tmp_path, "plain/pairs/train.jsonl", WRITE[".jsonl"](records))
    assert found.fingerprint == load("pairs", PAIRS, "train", str(tmp_path / "plain")).fingerprint


def test_two_files_of_one_split_are_refused(tmp_path):
    for name in ("train.csv", "train.parquet"):
        put(tmp_path, f"pairs/{name}", b"")
    with pytest.raises(DataError, match="it holds both train.csv and train.parquet"):
        load("pairs", PAIRS, "train", str(tmp_path))


BROKEN = [
    ("train.csv", b"", "has no rows"),
    ("train.csv", b"one,two,y\n", "has no rows"),
    ("train.csv", b"one,two,one\na,b,0\n", "'one' comes twice: give each column"),
    ("train.csv", b"one,,y\na,b,0\n", "a column name in the first row is empty"),
    (
        "train.csv",
        b"one,two,y\na,b,0\nc,d, e,1\n",
        r"row 2 \(line 3\): 4 fields .*, but the first row names 3 columns .*quote each field that contains a comma",
    ),
    ("train.csv", b'one,two,y\n"a\nb",b,0\nc,1\n', r"row 2 \(line 4\): 2 fields"),
    (
        "train.tsv",
        b"one\ttwo\ty\na\tb\n",
        r"row 1 \(line 2\): 2 fields \('a', 'b'\), but the first row names 3 .*: correct the line or remove it$",
    ),
    ("train.csv", b'one,two,y\n"a,b,0\n', r"row 1 .*unexpected end of data.*set `quoted: false`"),
    ("train.tsv", b'"one"\ttwo\ty\n"a" b\tc\t0\n', "row 1 .*set `quoted: false`"),
    ("train.csv", b"one,two,y\n\xff,b,0\n", "line 2: not UTF-8"),
    ("train.csv", b"one,two\na,b\n", "row 1 .line 2.: column 'y' is missing; the columns are 'one', 'two'"),
    (
        "train.csv",
        b"one,two,y\na,b,maybe\n",
        r"row 1 .line 2.: column 'y' is 'maybe': it must be a whole number from 0 to 1 \(0 no, 1 yes\), or one of",
    ),
    ("train.csv", b"one,two,y\na,b,\n", "row 1 .line 2.: column 'y' is '': the row has no label; leave such rows out by `skip: .''.`"),
    ("train.csv", b"one,two,y\na,b,-1\n", "row 1 .line 2.: column 'y' is -1: the row has no label; leave such rows out by `skip: .-1.`"),
    ("train.csv", b"one,two,y\na,b,1.5\n", "row 1 .line 2.: column 'y' is '1.5': it must be a whole number"),
    ("train.parquet", b"one,two,y\na,b,0\n", "not Parquet, or damaged"),
    ("train.parquet", parquet([{"one": "a", "two": "b", "y": 0}])[:-9], "not Parquet, or damaged"),
    ("train.parquet", parquet([{"one": "a", "two": None, "y": 0}]), "row 1: column 'two' is None: it must be text"),
    ("train.json", b'{"one": "a"}\n{"one": "b"}\n', "not JSON .*name a file with one JSON object per line .jsonl"),
    ("train.json", b'{"rows": []}', "neither an array of objects nor SQuAD's official form"),
    ("train.json", b"[1]", "row 1: 1 is not an object"),
    ("train.json", b'["\xff"]', "not UTF-8"),
    ("train.json", b"[]", "has no rows"),
]


@pytest.mark.parametrize(("name", "content", "message"), BROKEN)
def test_an_unreadable_file_is_reported_with_place_and_remedy(tmp_path, name, content, message):
    put(tmp_path, f"pairs/{name}", content)
    with pytest.raises(DataError, match=f"pairs/{name}.*{message}"):
        load("pairs", PAIRS, "train", str(tmp_path))


@pytest.mark.parametrize("packed", [".gz", ".bz2", ".xz"])
@pytest.mark.parametrize("cut", [True, False])
def test_a_truncated_or_misnamed_archive_is_reported(tmp_path, packed, cut):
    whole = put(tmp_path, f"pairs/train.csv{packed}", table([{"one": str(i), "two": "b", "y": 0} for i in range(3000)], ","))
    whole.write_bytes(whole.read_bytes()[:-90] if cut else b"one,two,y\na,b,0\n")
    with pytest.raises(DataError, match=rf"train.csv{packed}.*truncated or not (gzip|bz2|xz) .*: copy it again, or drop {packed} from"):
        load("pairs", PAIRS, "train", str(tmp_path))


@pytest.mark.parametrize(("place", "rows"), [(0, "1 to 2"), (1, "1 to 2"), (2, "3 to 4"), (5, "5 to 6"), (6, "7 to 7")])
def test_an_unreadable_value_is_reported_with_the_rows_of_its_batch(tmp_path, monkeypatch, place, rows):
    """Parquet is read in batches; row numbers count from the start of the file."""
    monkeypatch.setattr(readers, "BATCH", 2)
    dates = pa.array([2**62 if i == place else 0 for i in range(7)], pa.timestamp("us"))  # a year outside Python's range
    pyarrow.parquet.write_table(pa.table({"sentence": list("abcdefg"), "date": dates}), tmp_path / "x.parquet")
    with pytest.raises(DataError, match=rf"x: a value of column 'date', timestamp.us., in rows {rows} cannot be read"):
        list(readers.read(tmp_path / "x.parquet", "x"))


def test_parquet_is_read_completely_in_several_batches(tmp_path, monkeypatch):
    monkeypatch.setattr(readers, "BATCH", 3)
    records = [{"sentence": letter, "label": i} for i, letter in enumerate("abcdefgh")]
    pyarrow.parquet.write_table(pa.Table.from_pylist(records), tmp_path / "x.parquet")
    assert list(readers.read(tmp_path / "x.parquet", "x")) == [(one, f"row {i}") for i, one in enumerate(records, 1)]


def test_csv_of_a_spreadsheet_has_a_byte_order_mark_and_other_line_ends(tmp_path):
    put(tmp_path, "pairs/train.csv", b'\xef\xbb\xbfone,two,y\r\n"a ""b"", c",d,yes\r\n\r\ne,f,no\r\n')
    assert list(load("pairs", PAIRS, "train", str(tmp_path)).rows) == [(0, 'a "b", c', "d", 1), (1, "e", "f", 0)]


def test_quotation_marks_are_characters_if_quoted_is_false(tmp_path):
    put(tmp_path, "pairs/train.tsv", b'one\ttwo\ty\n"a" b\t"\tno\nc d\t"e"\tyes\n')
    plain = replace(PAIRS, quoted=False)
    assert list(load("pairs", plain, "train", str(tmp_path)).rows) == [(0, '"a" b', '"', 0), (1, "c d", '"e"', 1)]


def test_a_field_may_be_longer_than_the_standard_librarys_limit(tmp_path):
    put(tmp_path, "pairs/train.csv", b"one,two,y\n" + b"a" * 200_000 + b",b,0\n")
    assert len(load("pairs", PAIRS, "train", str(tmp_path)).rows[0].first) == 200_000


def official(*asked: dict, context="It rises in the Alps.", **more) -> bytes:
    return json.dumps(
        {"version": "2.0", "data": [{"title": "Rhine", "paragraphs": [{"context": context, "qas": list(asked)}], **more}]}
    ).encode()


ASKED = {"id": "a", "question": "Where?", "answers": [{"text": "the Alps", "answer_start": 12}, {"text": "Alps", "answer_start": 16}]}
NOTHING = {
    "id": "b",
    "question": "When?",
    "answers": [],
    "is_impossible": True,
    "plausible_answers": [{"text": "Alps", "answer_start": 16}],
}


def test_squads_official_form_gives_the_same_rows_as_the_hubs(tmp_path):
    put(tmp_path, "squad/train.json.gz", official(ASKED, NOTHING))
    found = load("squad", DATASETS["squad"], "train", str(tmp_path))
    first, second = found.rows
    assert first == ("a", "Rhine", "It rises in the Alps.", "Where?", ((12, "the Alps"), (16, "Alps"))) and second.answers == ()
    hub = [
        {"id": "a", "answers": {"text": ["the Alps", "Alps"], "answer_start": [12, 16]}},
        {"id": "b", "answers": {"text": [], "answer_start": []}},
    ]
    both = [
        {"title": "Rhine", "context": first.context, "question": row.question, **more} for row, more in zip(found.rows, hub, strict=True)
    ]
    put(tmp_path, "hub/squad/train.jsonl", WRITE[".jsonl"](both))
    assert load("squad", DATASETS["squad"], "train", str(tmp_path / "hub")).fingerprint == found.fingerprint


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            official({**ASKED, "is_impossible": True}),
            r"article 1, paragraph 1, question 1 \(id 'a', question 'Where\?'\): is_impossible is true, but there are 2 answers",
        ),
        (official({**NOTHING, "is_impossible": False}), r"question 1 \(id 'b', .*\): is_impossible is false, but there is no answer"),
        (official({**NOTHING, "is_impossible": "no"}), "is_impossible is 'no': it must be true or false"),
        (
            official({"id": "a", "question": "?"}),
            r"question 1 \(id 'a', .*\): column 'answers' is missing: training and scoring need",
        ),
        (official(ASKED, context=3), "article 1, paragraph 1: it has no 'context'"),
        (official(paragraphs=3), "article 1: it has no 'paragraphs'"),
        (
            official(ASKED, {**ASKED, "question": "When?"}),
            r"paragraph 1, question 2 \(id 'a'\): article 1, paragraph 1, question 1, which has another question",
        ),
        (
            official({**ASKED, "answers": [{"text": "Alps", "answer_start": 15}]}),
            r"question 1 \(id 'a', .*\): .*the text starts at character 16",
        ),
        (official({key: value for key, value in ASKED.items() if key != "question"}), "question 1 .id 'a'.: column 'question' is missing"),
        (official({**ASKED, "answers": [{"text": "Alps"}]}), r"question 1 \(id 'a', .*\): column 'answers' is"),
    ],
)
def test_an_error_in_squads_form_is_reported_with_its_place(tmp_path, content, message):
    put(tmp_path, "squad/train.json", content)
    with pytest.raises(DataError, match=f"squad/train.json, .*{message}"):
        load("squad", DATASETS["squad"], "train", str(tmp_path))
