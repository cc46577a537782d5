"""Each task next to baselines that need no training: the kept runs' numbers, one line or one heading per task."""

from types import SimpleNamespace

import matplotlib
import pytest
from conftest import ROOT

from mtdnn_kit import Run
from mtdnn_kit.compare.learnt import learnt_table
from mtdnn_kit.views import style, tables, task_plots

matplotlib.use("Agg")


@pytest.fixture(scope="module")
def kept():
    return {name: Run(ROOT / "results" / "sample" / name) for name in ("qa", "qa-mcc-sc")}


def test_a_run_has_one_line_per_task_in_its_colour_with_chance_and_constant_answer(kept):
    runs = {"all": kept["qa-mcc-sc"]}
    settings = tables.alone(runs)
    learnt = learnt_table(runs, settings)
    rows = task_plots.task_rows(runs, settings, learnt)
    assert [(row["task"], row["score"]) for row in rows] == [
        ("squad", "F1"), ("swag", "accuracy"), ("cola", "matthews"), ("mrpc", "f1"), ("mnli", "accuracy"),
    ]  # fmt: skip
    assert rows[0]["value"] == pytest.approx(runs["all"].metrics["squad"]["f1"]) and rows[0]["constant answer"] == pytest.approx(100 / 3)
    assert [row["n"] for row in rows] == [runs["all"].metrics[row["task"]]["n"] for row in rows]
    found = {row["task"]: row["learnt"] for row in learnt}
    assert {row["task"]: row["learnt"] for row in rows[1:]} == found and rows[0]["learnt"] == "yes"
    axes = task_plots.tasks_figure(rows).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()][:2] == ["squad F1 (n = 132)", "swag accuracy (n = 34)"]
    discs = [line for line in axes.lines if line.get_marker() == "o"]
    assert [disc.get_color() for disc in discs] == [style.colour(i) for i in range(5)]
    assert [disc.get_markerfacecolor() != "none" for disc in discs] == [row["learnt"] == "yes" for row in rows]
    chance = [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "|"]
    assert chance == [row["chance"] for row in rows if row["chance"] is not None]


def test_questions_that_only_one_setting_was_scored_on_are_shown(kept):
    """As with a second question answering task of a mixture."""
    settings = tables.alone(kept)
    without = {**kept["qa"].metrics}
    without.pop("squad")
    runs = {
        **kept,
        "qa": SimpleNamespace(types=kept["qa"].types, metrics=without, keeps=kept["qa"].keeps, parameters=kept["qa"].parameters),
    }
    assert task_plots._answered(runs, settings) == {"squad": {"qa-mcc-sc": settings["qa-mcc-sc"]}}
    assert [row["setting"] for row in task_plots._answers(runs, {"qa-mcc-sc": settings["qa-mcc-sc"]}, "squad", None)] == ["qa-mcc-sc"]


def test_several_settings_have_one_heading_per_task(kept):
    settings = tables.alone(kept)
    axes = task_plots.tasks_figure(task_plots.task_rows(kept, settings, learnt_table(kept, settings))).axes[0]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels[:5] == ["squad F1 (n = 132)", "qa", "qa-mcc-sc", "swag accuracy (n = 34)", "qa-mcc-sc"]
    discs = [line.get_color() for line in axes.lines if line.get_marker() == "o"]
    assert discs[:3] == [style.colour(0), style.colour(1), style.colour(1)], "one colour per setting"
