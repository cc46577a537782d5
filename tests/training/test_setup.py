"""Which rows a run takes from its splits: as many as its limits allow, spread over the whole file, the same ones for every seed."""

from collections import Counter
from zlib import crc32

import numpy as np
import pytest
from conftest import changed

from mtdnn_kit import DATASETS, Config, ConfigError, prepare, train
from mtdnn_kit.data.table import column
from mtdnn_kit.errors import KitWarning
from mtdnn_kit.training.setup import _subset, read_rows

LIMITS = dict(train_limit=40, eval_limit=6, threshold_articles=["Cork", "Sugar"])


def spread(rows: list, limit: int) -> list:
    """The rows that a limit keeps, with numpy only: the first of one permutation for all limits, in the order of the file."""
    order = np.random.default_rng([0, crc32(b"subset")]).permutation(len(rows))
    return [row for i, row in enumerate(rows) if i in set(order[:limit].tolist())]


def test_a_limit_takes_rows_of_the_whole_file_in_their_order():
    rows = list(range(1000))
    found = _subset(rows, 100)
    assert found == spread(rows, 100) == sorted(set(found)) and len(found) == 100
    assert [len([row for row in found if row // 250 == part]) for part in range(4)] == [25, 32, 25, 18]
    assert set(_subset(rows, 10)) < set(found), "a smaller limit takes a subset"
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


def test_the_scored_rows_do_not_depend_on_the_training(config):
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


def placebos(**changes) -> dict[str, dict]:
    """The sample's CoLA, MNLI and SWAG under other names, with permuted labels."""
    found = {}
    for task in ("cola", "mnli", "swag"):
        d = DATASETS[task]
        named = {"labels": list(d.labels), "score": d.score} if d.type == "sc" else {}
        found[f"{task}-placebo"] = {
            "type": d.type,
            "folder": d.folder,
            "columns": dict(d.columns),
            **named,
            "permute_labels": True,
            **changes,
        }
    return found


def placebo_rows(config, **changes) -> tuple[dict, dict, dict]:
    """Rows to train on and to score, and the sources, of the three tasks."""
    define = placebos(**changes.pop("each", {}))
    (rows, _, scored), sources = read_rows(config(tasks=["squad", *define], define=define, **{**LIMITS, **changes}))
    return rows, scored, sources


@pytest.mark.parametrize("limit", [None, 40])
def test_permuted_labels_keep_their_shares_and_nothing_else_changes(config, limit):
    (rows, scored, sources), (plain, plain_scored, _) = (
        placebo_rows(config, train_limit=limit, each={"permute_labels": flag}) for flag in (True, False)
    )
    assert list(rows["squad"]) == list(plain["squad"])
    for name in placebos():
        labels, before = (list(column(some[name], "label")) for some in (rows, plain))
        assert Counter(labels) == Counter(before) and len(labels) == len(before) and labels != before
        assert [row._replace(label=0) for row in rows[name]] == [row._replace(label=0) for row in plain[name]]
        assert list(scored[name]) == list(plain_scored[name]), "scored rows keep their labels"
        moved = sum(one != two for one, two in zip(labels, before, strict=True))
        assert sources[f"{name}/train"]["permuted_labels"] == {"seed": 0, "rows": len(labels), "changed": moved}
        assert "permuted_labels" not in sources[f"{name}/{'validation_matched' if 'mnli' in name else 'validation'}"]


def test_labels_are_permuted_by_the_runs_seed_and_differently_for_each_task(config):
    one, again, other = (placebo_rows(config, seed=seed, train_limit=None) for seed in (3, 3, 4))
    for name in placebos():
        labels = [list(column(found[0][name], "label")) for found in (one, again, other)]
        assert labels[0] == labels[1] != labels[2] and Counter(labels[0]) == Counter(labels[2])
        assert one[2][f"{name}/train"]["fingerprint"] == other[2][f"{name}/train"]["fingerprint"], "the file's rows are the same"
    rng = np.random.default_rng([3, crc32(b"permute_labels"), crc32(b"cola-placebo")])
    plain = list(column(placebo_rows(config, train_limit=None, each={"permute_labels": False})[0]["cola-placebo"], "label"))
    assert list(column(one[0]["cola-placebo"], "label")) == [plain[i] for i in rng.permutation(len(plain))]


def test_permuted_rows_have_another_digest_in_the_cache_and_other_columns_are_unchanged(config):
    plain, rows = (placebo_rows(config, each={"permute_labels": flag})[0]["cola-placebo"] for flag in (False, True))
    assert rows.digest != plain.digest and sum(rows.arrays["label"] != plain.arrays["label"]) > 0
    assert list(placebo_rows(config, each={"permute_labels": False})[0]["cola-placebo"]) == list(plain)


def test_a_run_trains_on_the_permuted_labels_and_its_manifest_records_it(config):
    define = {"noise": placebos()["cola-placebo"]}
    made = config(tasks=["squad", "noise"], define=define, max_steps=4, qa_weight=0.4)
    plain = changed(made, define={"noise": {**define["noise"], "permute_labels": False}}, run_dir=f"{made.run_dir}-plain")
    runs = [train(one) for one in (made, plain)]
    assert [record["loss"] for record in runs[0].log()] != [record["loss"] for record in runs[1].log()]
    said = runs[0].manifest["data"]["noise/train"]["permuted_labels"]
    assert (said["seed"], said["rows"]) == (0, len(prepare(made).train["noise"].rows)) and 0 < said["changed"] < said["rows"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"type": "qa"}, "^define.mine.permute_labels: answers cannot be permuted, since a passage does not contain"),
        (
            {"type": "sc", "columns": {"first": "a", "label": "b"}, "labels": ["x", "y"], "permute_labels": 1},
            "^define.mine.permute_labels is 1; it must be true or false",
        ),
    ],
)
def test_a_task_without_labels_to_permute_is_refused(row, message):
    with pytest.raises(ConfigError, match=message):
        Config(define={"mine": {"permute_labels": True, **row}})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sampler": "annealed", "qa_weight": None, "sharing": None, "epochs": 2.0}, "sampler: 'annealed' differs from 'proportional'"),
        ({"step": "joint", "balance": "dwa", "epochs": 3.0}, "balance: 'dwa' differs from 'sum' from epoch 3 on"),
    ],
)
def test_a_run_too_short_for_its_method_warns(config, changes, said):
    """No warning where it has the epochs, whose end `max_steps` does not precede."""
    given = dict(tasks=["squad", "cola"], train_limit=16, batch_size=6, **changes)
    with pytest.warns(KitWarning, match=f"^{said}"):
        setup = prepare(config(**given, max_steps=3))
    assert len(setup.warned) == 2 and "all 3 steps lie before: set max_steps to null" in setup.warned[1]
    assert len(prepare(config(**given, max_steps=None)).warned) == 1, "only that nothing is held out"
