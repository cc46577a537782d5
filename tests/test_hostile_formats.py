"""Files of every format and definitions of datasets that were damaged: an error of ours, or what a plain reading gives."""

import pytest
from hostile import cases, each, refused
from hostile_data import value_of
from hostile_formats import OFFICIAL, ROWS, UNPACK, WRITE, files, table
from hostile_readings import records_of, rows_of
from hypothesis import strategies as st

from mtdnn_kit import Config, columns, sources
from mtdnn_kit.readers import suffix_of
from mtdnn_kit.sources import load


@pytest.fixture(autouse=True)
def uncached(monkeypatch):
    """Rows are read each time."""
    monkeypatch.setattr(sources, "kept", lambda key, make: columns.gathered(make()))


def loaded(row: dict) -> list[list]:
    """The splits of a definition's rows: what is trained on, and what is scored where it is cut off."""
    config = Config(tasks=["x"], qa_weight=1.0, define={"x": row})
    dataset = config.datasets["x"]
    return [
        list(load("x", dataset, split, "sample").rows) for split in ("train", "validation") if split == "train" or dataset.validation_ratio
    ]


def same(definition: dict, file, splits: list[list]) -> None:
    """Rows are those of a plain reading; where some were cut off, no group, passage or text is on both sides."""
    end, pack = suffix_of(file.name)
    records = records_of(end, UNPACK[pack](file.read_bytes()), definition.get("quoted", True))
    wanted = rows_of(definition, records, end in (".csv", ".tsv"))
    places = {row[0]: i for i, row in enumerate(wanted)}
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
    ends = {"unquoted": ".tsv"}
    more = {"quoted": False} if kind == "unquoted" else {}
    write = (lambda records: table(records, "\t", quoted=False)) if kind == "unquoted" else None
    return st.sampled_from(list(ROWS)).flatmap(
        lambda name: st.tuples(st.just(ROWS[name][0] | more), files(ends.get(kind, kind), ROWS[name][1], write))
    )


@cases(36)
@pytest.mark.parametrize("kind", KINDS)
def test_a_file_is_read_as_it_stands_or_refused(tmp_path, kind, cases):
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
def test_a_definition_is_followed_as_it_stands_or_refused(tmp_path, cases):
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
