"""Texts, lists of numbers and rows as flat arrays, in memory and in files: reading returns what was written."""

import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from conftest import TEXTS
from hypothesis import given, settings
from hypothesis import strategies as st

from mtdnn_kit.data import arrays, table
from mtdnn_kit.data.arrays import gathered, ragged, ragged_parts, read, text_parts, texts, write
from mtdnn_kit.data.rows import MCCRow, QARow, SCRow
from mtdnn_kit.data.table import RowList, column, parts, pick, shared

LABELS = st.integers(0, 4)
SOME = st.one_of(st.just(""), TEXTS)
CONTEXTS = st.one_of(st.sampled_from(["Cork is the bark of an oak.", "🌍 the Moon"]), TEXTS)  # many of them equal
ANSWERS = st.lists(st.tuples(st.integers(0, 9_000), TEXTS), max_size=3).map(tuple)
QA = st.lists(st.builds(QARow, SOME, st.sampled_from(["", "Cork", "Norman"]), CONTEXTS, SOME, ANSWERS), min_size=1, max_size=8)
SC = st.booleans().flatmap(
    lambda pairs: st.lists(st.builds(SCRow, LABELS, SOME, SOME if pairs else st.none(), LABELS), min_size=1, max_size=8)
)
MCC = st.integers(2, 4).flatmap(
    lambda n: st.lists(st.builds(MCCRow, LABELS, SOME, SOME, st.tuples(*[SOME] * n), LABELS), min_size=1, max_size=8)
)
ROWS = st.one_of(*(st.tuples(st.just(kind), rows) for kind, rows in (("qa", QA), ("sc", SC), ("mcc", MCC))))


def stored(made) -> dict[str, np.ndarray]:
    """Written to files and memory-mapped; the files are deleted afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), made)
        return read(Path(folder))


@given(st.lists(st.lists(st.lists(st.integers(-5, 2**31 - 1), max_size=4), max_size=4), min_size=1, max_size=4))
@settings(deadline=None)
def test_lists_of_numbers_are_restored_from_any_parts(blocks):
    items = [item for block in blocks for item in block]
    for put in (gathered, stored):
        made = ragged("x", put(ragged_parts("x", block, np.int32) for block in blocks))
        assert [item.tolist() for item in made] == items and made.sizes.tolist() == list(map(len, items)) and len(made) == len(items)
        assert made.values.dtype == np.int32


@given(st.lists(st.lists(SOME, max_size=4), min_size=1, max_size=4))
@settings(deadline=None)
def test_texts_are_restored_from_any_parts(blocks):
    items = [item for block in blocks for item in block]
    for put in (gathered, stored):
        made = texts("x", put(text_parts("x", block) for block in blocks))
        assert list(made) == items and made[1:3] == items[1:3] and len(made) == len(items)
        assert [made[-1 - i] for i in range(len(items))] == items[::-1]


def test_an_index_out_of_range_is_refused():
    made = texts("x", gathered([text_parts("x", ["a", "b"])]))
    for place in (2, -3):
        with pytest.raises(IndexError):
            made[place]


def test_only_one_part_is_in_memory_at_a_time():
    alive = []

    def made():
        for i in range(5):
            part = {"x": np.full(1000, i)}
            alive.append(part["x"].__array_interface__["data"][0])
            yield part

    assert stored(made())["x"].tolist() == np.repeat(np.arange(5), 1000).tolist() and len(alive) == 5


@given(ROWS, st.integers(1, 3), st.data())
@settings(max_examples=150, deadline=None)
def test_rows_are_restored_unchanged(some, block, data):
    kind, rows = some
    before, table.BLOCK = table.BLOCK, block
    try:
        listed = [RowList(kind, gathered(parts(kind, rows))), RowList(kind, stored(parts(kind, rows)))]
    finally:
        table.BLOCK = before
    places = np.array(data.draw(st.lists(st.integers(0, len(rows) - 1), unique=True)), int)
    for made in listed:
        assert made == rows and list(made) == rows and len(made) == len(rows) and made[1:] == rows[1:] and made[-1] == rows[-1]
        assert [type(value) for value in made[0]] == [type(value) for value in rows[0]]
        assert json.dumps(made[0]) == json.dumps(rows[0])
        picked = pick(made, places)
        assert list(picked) == pick(rows, places) == [rows[i] for i in places]
        assert list(pick(picked, np.arange(len(places))[::-1])) == list(picked)[::-1]
        for name in rows[0]._fields:
            assert list(column(made, name)) == column(rows, name) and list(column(picked, name)) == column(list(picked), name)
        if kind == "qa":
            for mine, plain in ((made, rows), (picked, list(picked))):
                (numbers, found), (wanted, distinct) = shared(mine, "context"), shared(plain, "context")
                assert numbers.tolist() == wanted.tolist() and list(found) == distinct == list(dict.fromkeys(column(plain, "context")))
                assert found[1:3] == distinct[1:3]


@given(QA, st.data())
@settings(max_examples=60, deadline=None)
def test_a_digest_depends_on_the_rows_and_on_the_picked_ones(rows, data):
    made, block = RowList("qa", gathered(parts("qa", rows))), table.BLOCK
    table.BLOCK = 1
    assert RowList("qa", gathered(parts("qa", rows))).digest == made.digest
    table.BLOCK = block
    place = data.draw(st.integers(0, len(rows) - 1))
    others = [*rows[:place], rows[place]._replace(question=rows[place].question + "?"), *rows[place + 1 :]]
    digests = {made.digest, RowList("qa", gathered(parts("qa", others))).digest, pick(made, np.array([0])).digest}
    assert len(digests | {pick(made, np.array([0, 0])).digest}) == 4


@pytest.mark.parametrize(
    ("kind", "row", "other"),
    [
        ("qa", QARow("a", "Cork", "Cork is bark.", "What?", ((0, "Cork"),)), QARow("b", "Oak", "Oak is wood.", "Who?", ((8, "bark"),))),
        ("qa", QARow("a", "Cork", "Cork is bark.", "What?", ((0, "Cork"),)), QARow("b", "Oak", "Oak is wood.", "Who?", ())),
        ("sc", SCRow(0, "a", "b", 1), SCRow(7, "x", "y", 0)),
        ("mcc", MCCRow(0, "a", "b", ("c", "d"), 1), MCCRow(7, "x", "y", ("d", "c"), 0)),
    ],
)
def test_a_digest_changes_with_each_field_of_a_row(kind, row, other):
    def digest(changed) -> str:
        return RowList(kind, gathered(parts(kind, [row, changed, row]))).digest

    found = {name: digest(row._replace(**{name: getattr(other, name)})) for name in row._fields}
    assert len({digest(row), *found.values()}) == 1 + len(row._fields)


def test_equal_passages_are_kept_once():
    rows = [QARow(str(i), "Cork", "Cork is the bark of an oak." * 10, "?", ()) for i in range(5_000)]
    made = gathered(parts("qa", rows))
    assert len(made["context"]) == 270 and len(made["title"]) == 4 and made["context_of"].tolist() == [0] * 5_000
    assert sum(array.nbytes for array in made.values()) / 5_000 < 30
    assert len({id(row.context) for row in RowList("qa", made)[:50]}) == 1, "neighbouring rows share one string"


def test_empty_columns_are_read():
    assert stored(iter([{"x": np.zeros((0, 5), np.int32)}]))["x"].shape == (0, 5)
    assert arrays.ends_of(np.zeros(0, int)).tolist() == [0]
