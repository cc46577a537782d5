"""How often and how strongly tasks conflict, in runs that measured all pairs and in older ones."""

import numpy as np
import pytest

from mtdnn_kit.runs.conflicts import conflicts, note, table

GROUPS = ("layer 1", "pooler", "encoder")


def cosines(value, pooler=None):
    return dict(zip(GROUPS, (value / 2, pooler, value), strict=True))


def records(steps=(10, 20, 30, 40), swag=(0.2, 0.1, -0.1, -0.2), cola=(-0.4,) * 4, between=(0.3, 0.0, -0.3, 0.5)):
    """Three tasks: swag and cola against squad, and against each other, over the whole encoder."""
    found = []
    for step, one, two, three in zip(steps, swag, cola, between, strict=True):
        of = {"step": step, "norm": dict.fromkeys(GROUPS, 1.0)}
        found += [{**of, "task": "squad"}, {**of, "task": "swag", "cosine": cosines(one)}]
        found += [{**of, "task": "cola", "cosine": cosines(two), "cosine_with": {"swag": cosines(three, 0.7)}}]
    return found


def test_each_pair_has_its_mean_cosine_and_its_share_below_0_by_group_and_part():
    found = conflicts(records())
    assert found.pairs == [("squad", "swag"), ("squad", "cola"), ("swag", "cola")] and found.groups == list(GROUPS)
    assert found.parts == [(10, 20), (30, 30), (40, 40)], "thirds, the first one longer"
    assert found.mean[:, :, 2] == pytest.approx(np.array([[0.15, -0.4, 0.15], [-0.1, -0.4, -0.3], [-0.2, -0.4, 0.5]]))
    assert found.mean[:, :, 0] == pytest.approx(found.mean[:, :, 2] / 2)
    assert found.often[:, :, 2].tolist() == [[0, 1, 0], [1, 1, 1], [1, 1, 0]], "a cosine of 0 does not count as a conflict"
    assert np.isnan(found.mean[:, :2, 1]).all() and found.mean[:, 2, 1] == pytest.approx(0.7) and np.isnan(found.often[:, 0, 1]).all()
    assert found.whole == pytest.approx(np.array([[0.0, 0.5], [-0.4, 1.0], [0.125, 0.25]]))


def test_the_pair_that_conflicts_most_is_listed_first_and_named_in_the_note():
    found = conflicts(records())
    assert table(found) == [
        {"tasks": "squad – cola", "conflicts, percent": 100.0, "mean cosine": -0.4},
        {"tasks": "squad – swag", "conflicts, percent": 50.0, "mean cosine": 0.0},
        {"tasks": "swag – cola", "conflicts, percent": 25.0, "mean cosine": 0.125},
    ]
    assert note(found) == (
        "squad and cola conflict in 100% of the measurements (mean cosine -0.40, whole encoder); swag and cola in 25% (0.12). "
        "Unrelated tasks would conflict in half of them."
    )


def test_older_runs_have_only_the_pairs_with_the_main_task():
    old = [{k: v for k, v in record.items() if k != "cosine_with"} for record in records()]
    found = conflicts(old)
    assert found.pairs == [("squad", "swag"), ("squad", "cola")] and found.whole[:, 1].tolist() == [0.5, 1.0]


def test_few_measurements_give_few_parts_and_none_give_no_result():
    assert conflicts(records((5,), (0.1,), (0.1,), (0.1,))).parts == [(5, 5)]
    alone = [{"step": 5, "task": "squad", "norm": dict.fromkeys(GROUPS, 1.0)}]
    assert conflicts(alone) is None and conflicts([]) is None
    assert note(conflicts([*alone, {**alone[0], "task": "cola", "cosine": cosines(0.2)}])).startswith(
        "squad and cola conflict in 0% of the measurements (mean cosine 0.20, whole encoder). Unrelated"
    )
