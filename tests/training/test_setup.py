"""Which rows a run takes of its splits: as many as its limits say, from the whole file, the same ones whatever the seed."""

from zlib import crc32

import numpy as np
import pytest
from conftest import changed

from mtdnn_kit import prepare
from mtdnn_kit.training.setup import _subset, read_rows

LIMITS = dict(train_limit=40, eval_limit=6, threshold_articles=["Cork", "Sugar"])


def spread(rows: list, limit: int) -> list:
    """The rows that a limit leaves, by numpy alone: the first of one shuffling for all, in the order of the file."""
    order = np.random.default_rng([0, crc32(b"subset")]).permutation(len(rows))
    return [row for i, row in enumerate(rows) if i in set(order[:limit].tolist())]


def test_a_limit_takes_rows_of_the_whole_file_in_their_order():
    rows = list(range(1000))
    found = _subset(rows, 100)
    assert found == spread(rows, 100) == sorted(set(found)) and len(found) == 100
    assert [len([row for row in found if row // 250 == part]) for part in range(4)] == [25, 32, 25, 18]
    assert set(_subset(rows, 10)) < set(found), "fewer are some of these"
    assert _subset(rows, 1000) is rows and _subset(rows, 2000) is rows and _subset(rows, None) is rows


def test_each_part_has_its_own_limit_and_rows_of_the_whole_split(config):
    tasks = ["squad", "cola", "swag"]
    whole = read_rows(config(tasks=tasks, **{**LIMITS, "train_limit": None, "eval_limit": None}))[0]
    for seed in (0, 5):
        parts = read_rows(config(tasks=tasks, **LIMITS, seed=seed))[0]
        for part, all_, limit in zip(parts, whole, (40, 6, 6), strict=True):
            assert {task: list(rows) for task, rows in part.items()} == {task: spread(list(rows), limit) for task, rows in all_.items()}
    assert [list(part) for part in parts] == [tasks, ["squad"], tasks]
    assert [len(part["squad"]) for part in whole] == [522, 12, 132]


def test_what_is_scored_is_the_same_whatever_is_trained(config):
    base = config(tasks=["squad", "cola"], **LIMITS)
    known = prepare(base)
    for change in (dict(train_limit=7), dict(seed=3), dict(tasks=["squad", "mrpc", "cola"]), dict(batch_size=2)):
        found = prepare(changed(base, **change))
        assert all(list(found.scored[task].rows) == list(known.scored[task].rows) for task in known.scored)
        assert [row.id for row in found.held_out["squad"].rows] == [row.id for row in known.held_out["squad"].rows]


@pytest.mark.parametrize("limit", ["train_limit", "eval_limit"])
def test_a_limit_changes_no_other_part(config, limit):
    parts = [read_rows(config(**{**LIMITS, limit: n}))[0] for n in (5, 11)]
    same = [list(one["squad"]) == list(two["squad"]) for one, two in zip(*parts, strict=True)]
    assert same == ([False, True, True] if limit == "train_limit" else [True, False, False])
