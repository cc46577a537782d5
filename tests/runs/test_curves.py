"""Curves equal the log; which tasks still rise, from planted and simulated curves; the notes on them."""

import numpy as np
import pytest
from conftest import ROOT
from curved import planted

from mtdnn_kit import Run
from mtdnn_kit.runs import curves

FLAT = [50.0, 51.0, 49.0] * 6
RISING = list(np.linspace(35.0, 60.0, 18))


def test_a_task_that_rises_alone_but_not_after_correction_is_named_as_one_that_may_rise(monkeypatch):
    """Five values with one inversion: 2 of 120 orders rise at least as much, p = 0.0167 for one task and 0.083 for five."""
    level = [33.0, 34.0, 33.0, 34.0, 33.0]
    values = {"squad": [30.0] * 9 + [30.2, 40.1, 39.6, 44.2, 46.5]} | {name: [33.0] * 9 + level for name in ("a", "b", "c", "d")}
    found = {task: curves.TaskCurve("f1", list(range(14)), some, None, None) for task, some in values.items()}
    monkeypatch.setattr(curves, "curves", lambda run: found)
    assert curves.rises(found) == {} and list(curves.may_rise(found)) == ["squad"]
    assert curves.may_rise(found)["squad"][1] == pytest.approx(2 / 120)
    (said,) = curves.notes({"run": object()})
    assert said.startswith("May still rise, without correction for testing 5 tasks: squad (f1 +") and "p = 0.017" in said
    one = {"squad": found["squad"]}
    assert curves.may_rise(one) == {} and list(curves.rises(one)) == ["squad"], "tested alone it rises"


def test_a_curve_has_the_headline_score_with_the_constant_answers_and_chance(tmp_path):
    run = planted(tmp_path / "run", {task: [40.0, None, 42.5] for task in ("squad", "swag", "cola", "mrpc", "mnli")})
    found = curves.curves(run)
    assert {task: (curve.score, curve.constant, curve.chance) for task, curve in found.items()} == {
        "squad": ("f1", 33.0, None), "swag": ("accuracy", 26.0, 25.0), "cola": ("matthews", 0.0, 0.0), "mrpc": ("f1", 81.2, None),
        "mnli": ("accuracy", 35.5, pytest.approx(100 / 3)),
    }  # fmt: skip
    assert all((curve.steps, curve.values) == ([10, 30], [40.0, 42.5]) for curve in found.values()), "a missing score gives no point"


def test_p_is_the_share_of_orders_that_rise_at_least_as_much():
    assert curves.rise([0.0] * 8 + [1.0, 2.0, 3.0, 4.0]) == (pytest.approx(3.0), 1 / 24), "one order of four"
    assert curves.rise([0.0] * 8 + [1.0, 2.0, 4.0, 3.0])[1] == 4 / 24, "the sorted order, and each with one swap of neighbours"
    assert curves.rise([0.0] * 8 + [5.0] * 4)[1] == curves.rise([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0])[1] == 1.0
    assert curves.rise([*range(8), 4.0, 3.0, 2.0, 1.0]) == (pytest.approx(-3.0), 1.0)
    # 12 points are 6 blocks of 2, whose means rise although neighbours alternate
    assert curves.rise([0.0] * 24 + [k + 3 * (-1) ** k for k in range(12)])[1] == 1 / 720


def test_few_flat_runs_count_as_rising_and_most_rising_ones_do():
    """300 runs of 5 tasks, scored 18 times; noise with a standard deviation of one point, or falling to a tenth of it. Rising ones gain
    7.5 points in their last third."""
    rng, flat, falling, found = np.random.default_rng(0), 0, 0, 0
    for _ in range(300):
        noise = rng.standard_normal((5, 18))
        flat += any(5 * curves.rise(one)[1] < 0.05 for one in noise)
        falling += any(5 * curves.rise(one)[1] < 0.05 for one in noise * np.linspace(1, 0.1, 18))
        found += 5 * curves.rise(noise[0] + 1.5 * np.arange(18))[1] < 0.05
    assert (flat, falling, found) == (8, 14, 273), "at most 15, 5 % of the flat ones"


def test_p_is_corrected_for_the_number_of_tasks(tmp_path):
    values = {"squad": FLAT, "mnli": [*FLAT[:12], 50.0, 51.0, 52.0, 53.0, 55.0, 54.0]}
    run = planted(tmp_path / "two", values)
    ((task, (gain, p)),) = curves.rises(curves.curves(run)).items()
    assert (task, p) == ("mnli", pytest.approx(2 * curves.rise(values["mnli"])[1])) and curves.still_rising(run) == ["mnli"]
    assert gain == pytest.approx(np.polyfit(range(6), values["mnli"][12:], 1)[0] * 5)
    swapped = [*FLAT[:12], 50.0, 51.0, 53.0, 52.0, 54.0, 53.5]
    assert curves.rise(swapped)[1] == pytest.approx(13 / 720), "significant for one task, not for five"
    assert curves.still_rising(planted(tmp_path / "one", {"squad": swapped})) == ["squad"]
    assert curves.still_rising(planted(tmp_path / "five", {"squad": swapped, "swag": FLAT, "cola": FLAT, "mrpc": FLAT, "mnli": FLAT})) == []


def test_notes_on_curves(tmp_path):
    rising = planted(tmp_path / "rising", {"squad": FLAT, "mnli": RISING})
    gain, end = 25 * 5 / 17, "train longer before you conclude that it does not help."
    said = f"accuracy {gain:+.1f} in the last third, p = {2 / 720:.2g}"
    assert curves.notes({"a": rising}) == [f"mnli still rises at the end ({said}): {end}"]
    flat, few = planted(tmp_path / "flat", {"squad": FLAT}), planted(tmp_path / "few", {"squad": FLAT[:9]})
    unwatched = Run(ROOT / "results" / "sample" / "qa")
    (told,) = curves.notes({"a": rising, "b": flat, "c": unwatched})
    assert told == f"mnli still rises at the end of 1 of 2 runs (a: {said}): {end}", "only runs with curves are counted"
    (none,) = curves.notes({"b": flat})
    assert none.startswith("No task's score was seen to rise") and "does not prove" in none
    assert curves.notes({"c": few}) == ["Too few scorings to tell whether a task still rises (9, 10 needed): set a lower eval_every."]
    assert curves.notes({"b": flat, "c": few})[1].startswith("Too few scorings of c to tell")
    assert curves.notes({"d": unwatched}) == curves.notes({}) == [curves.UNWATCHED]


def test_a_run_without_a_log_has_no_curves(tmp_path):
    run = planted(tmp_path / "run", {"squad": FLAT})
    (run.path / "log.jsonl").unlink()
    assert curves.curves(run) == {}


@pytest.mark.parametrize(("tasks", "needed"), [(1, 10), (2, 13), (5, 13), (6, 16), (35, 16)])
def test_too_few_scorings_cannot_be_significant(tasks, needed):
    """The steepest possible end, with one scoring too few and with as many as needed."""
    assert curves._needed(tasks) == needed
    assert [tasks * curves.rise(list(range(n)))[1] < 0.05 for n in (needed - 1, needed)] == [False, True]
