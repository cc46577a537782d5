"""Damaged files of every format and damaged definitions: one of the kit's errors, or the rows that a second, simple reader gives."""

import pyarrow as pa
import pyarrow.parquet
import pytest
from hostile import cases, each, ends, refused
from hostile_data import value_of
from hostile_formats import OFFICIAL, PACK, ROWS, UNPACK, WRITE, files, table
from hostile_readings import as_questions, records_of, rows_of
from hypothesis import strategies as st

from mtdnn_kit import Config
from mtdnn_kit.data import arrays, readers, sources
from mtdnn_kit.data.definitions import dataset_from
from mtdnn_kit.data.readers import suffix_of
from mtdnn_kit.data.sources import load
from mtdnn_kit.errors import DataError


@pytest.fixture(autouse=True)
def uncached(monkeypatch):
    """No cache: rows are read each time."""
    monkeypatch.setattr(sources, "kept", lambda key, make: arrays.gathered(make()))
    monkeypatch.setattr(sources, "_key", lambda *of, **content: "")  # would read the kit's code each time


def loaded(row: dict) -> list[list]:
    """A definition's rows: the training split, and the scored one if it is split off."""
    config = Config(tasks=["x"], qa_weight=1.0, define={"x": row})
    dataset = config.datasets["x"]
    return [
        list(load("x", dataset, split, "sample").rows) for split in ("train", "validation") if split == "train" or dataset.validation_ratio
    ]


def same(definition: dict, file, splits: list[list]) -> None:
    """Asserts that the rows equal those of the second reader, and that no group, passage or text is in both splits."""
    end, pack = suffix_of(file.name)
    records = records_of(end, UNPACK[pack](file.read_bytes()), definition.get("quoted"))
    each = rows_of(definition, records, end in (".csv", ".tsv"))
    wanted = as_questions(each) if definition["type"] == "qa" else each
    places = {row[0]: len(each) - i for i, row in enumerate(each[::-1], 1)}
    assert sorted((tuple(row) for part in splits for row in part), key=lambda row: places[row[0]]) == wanted and wanted
    for context, answers in [(row[2], row[4]) for row in wanted] if definition["type"] == "qa" else ():
        assert all(context[start : start + len(text)] == text and start >= 0 and text for start, text in answers)
        assert answers or definition.get("unanswerable", True)
    if len(splits) == 2:
        units = [{unit(definition, records[places[row[0]]], row) for row in part} for part in splits]
        assert splits[0] and splits[1] and not units[0] & units[1]


def unit(definition: dict, record: dict, row) -> str:
    if "group" in definition:
        return str(record[definition["group"]])
    return row.context if definition["type"] == "qa" else repr(row[1:-1])


KINDS = [".csv", ".tsv", "unquoted", ".parquet", ".json", "official", ".jsonl"]


def hostile(kind: str) -> st.SearchStrategy[tuple[dict, tuple[str, bytes]]]:
    """(definition without files, (end of the file's name, content))."""
    if kind == "official":
        bases = st.sampled_from(
            [{"type": "qa", "score": None}, {"type": "qa", "validation_ratio": 0.5}, {"type": "qa", "unanswerable": False, "score": None}]
        )
        return st.tuples(bases, files(".json", OFFICIAL))
    if kind == "unquoted":
        made = {
            name: (row | {"quoted": False}, [{key: bare(value) for key, value in one.items()} for one in records])
            for name, (row, records) in ROWS.items()
        }
        return of(made, ".tsv", lambda records: table(records, "\t", quoted=False))
    return of(ROWS, kind)


def of(made: dict, end: str, write=None) -> st.SearchStrategy[tuple[dict, tuple[str, bytes]]]:
    return st.sampled_from(list(made)).flatmap(lambda name: st.tuples(st.just(made[name][0]), files(end, made[name][1], write)))


def bare(value):
    """A text without the characters that an unquoted table cannot contain."""
    return value.replace("\t", " ").replace("\n", " ") if isinstance(value, str) else value


@cases(36)
@pytest.mark.parametrize("kind", KINDS)
def test_a_file_is_read_exactly_or_refused(tmp_path, kind, cases):
    def check(case):
        row, (end, raw) = case
        file = tmp_path / f"rows{end}"
        file.write_bytes(raw)
        row = row | {"files": {"train": str(file)}}
        splits, message = refused(lambda: loaded(row), file.name)
        if message is None:
            same(row, file, splits)

    each(cases, check, hostile(kind))


@cases(60)
def test_a_definition_is_followed_exactly_or_refused(tmp_path, cases):
    whole = {}
    for name, (row, records) in ROWS.items():
        end = {"list": ".json", "hub": ".parquet"}.get(name, ".csv")
        file = tmp_path / f"rows-{name}{end}"
        file.write_bytes(WRITE[end](records))
        whole[name] = row | {"files": {"train": str(file)}}

    def check(row):
        splits, message = refused(lambda: loaded(row), "define", "rows-", "sample", "tasks", "no such file")
        if message is None:
            (file,) = row["files"].values()
            same(row, tmp_path / file.rpartition("/")[2], splits)

    each(cases, check, st.sampled_from(list(whole)).flatmap(lambda name: value_of(whole[name])))


def flawed(**columns) -> bytes:
    """Parquet of two valid rows with additional columns."""
    table = pa.table({"message": ["a", "b"], "topic": ["BILL", "SHIP"], **columns})
    out = pa.BufferOutputStream()
    pyarrow.parquet.write_table(table, out)
    return out.getvalue().to_pybytes()


def twice() -> bytes:
    out = pa.BufferOutputStream()
    columns = [pa.array(["a"]), pa.array(["BILL"]), pa.array(["SHIP"])]
    pyarrow.parquet.write_table(pa.Table.from_arrays(columns, names=["message", "topic", "topic"]), out)
    return out.getvalue().to_pybytes()


NO_TEXT = pa.Array.from_buffers(pa.string(), 2, pa.array([b"a", b"\xff"], pa.binary()).buffers())
FOUND = [
    ("parquet", twice(), "a column name 'topic' comes twice: give each column a different name"),
    (
        "parquet",
        flawed(x=NO_TEXT),
        r"a value of column 'x', string, in rows 1 to 2 cannot be read .*save the column as text or whole numbers",
    ),
    ("parquet", flawed(x=pa.array([2**62] * 2, pa.timestamp("us"))), "a value of column 'x', timestamp.us., in rows 1 to 2 cannot be read"),
    ("parquet", flawed().replace(b"BILL", b"\xff\xff\xff\xff"), "a value of column 'topic', string, in rows 1 to 2 cannot be read"),
    ("parquet", b"PAR1" + b"\xff" * 80 + b"\x50\0\0\0PAR1", "not Parquet, or damaged .*: copy it again"),
    ("parquet", b"", "not Parquet, or damaged .*: copy it again"),
    ("csv", b"message,topic\ra,BILL\rb,SHIP\r", "row 1 .line 1.: a carriage return in a field without quotation marks: save the file with"),
    ("csv", ",".join(f"c{i}" for i in range(300_000)).encode() + b"\n", "it has no rows"),
    ("csv", b'message,topic\n"a,BILL\n' + b"b,SHIP\n" * 9, r"row 1 .line 2.: unexpected end of data.*set `quoted: false`"),
]


@pytest.mark.parametrize(("end", "raw", "message"), FOUND, ids=range(len(FOUND)))
def test_files_found_by_fuzzing_stay_refused(tmp_path, end, raw, message):
    file = tmp_path / f"rows.{end}"
    file.write_bytes(raw)
    with ends(), pytest.raises(DataError, match=rf"rows\.{end}[,:] {message}") as error:
        loaded(ROWS["text labels"][0] | {"files": {"train": str(file)}})
    assert len(str(error.value)) < 1000


@pytest.mark.parametrize("end", ["json.gz", "json.bz2", "parquet.xz", "json"])
def test_a_file_that_unpacks_to_a_huge_size_is_refused(tmp_path, monkeypatch, end):
    """A few kilobytes can unpack to a gigabyte, and these formats are read as a whole."""
    monkeypatch.setattr(readers, "LARGEST_WHOLE", 3_000_000)
    file = tmp_path / f"rows.{end}"
    file.write_bytes(PACK[suffix_of(file.name)[1]](b" " * 4_000_000))
    with pytest.raises(DataError, match=rf"rows\.{end}: it has more than 3,000,000 bytes, unpacked: save it as JSON lines"):
        loaded(ROWS["text labels"][0] | {"files": {"train": str(file)}})


def test_a_path_that_cannot_be_accessed_is_reported(tmp_path):
    dataset = dataset_from("x", ROWS["text labels"][0] | {"files": {"train": f"{tmp_path}/{'x' * 5000}.csv"}})
    with pytest.raises(DataError, match="cannot be accessed .File name too long.: correct `files`") as error:
        load("x", dataset, "train", "sample")
    assert len(str(error.value)) < 1500
