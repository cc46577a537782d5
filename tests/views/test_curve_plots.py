"""Figures of curves: their contents and colours."""

import matplotlib
import numpy as np
from conftest import ROOT
from curved import planted

from mtdnn_kit import Run
from mtdnn_kit.views import curve_plots, style

matplotlib.use("Agg")
FLAT = [50.0, 51.0, 49.0] * 6


def lines(axes) -> list[tuple]:
    """The colour, style and values of each line."""
    return [(line.get_color(), line.get_linestyle(), list(line.get_ydata())) for line in axes.lines]


def test_each_task_has_a_panel_in_its_colour_with_the_constant_answer_and_chance(tmp_path):
    rising = list(np.linspace(40.0, 61.25, 18))
    run = planted(tmp_path / "run", {"squad": FLAT, "swag": [None] * 18, "cola": [0.0] * 18, "mnli": rising})
    figure = curve_plots.curves_figure(run)
    squad, cola, mnli = figure.axes
    assert [axes.get_title() for axes in figure.axes] == ["squad", "cola", "mnli, still rises"]
    assert [axes.get_ylabel() for axes in figure.axes] == ["f1, percent", "matthews, percent", "accuracy, percent"]
    assert lines(squad) == [(style.colour(0), "-", FLAT), (style.INK, "--", [33.0, 33.0])], "spans have no chance level"
    assert lines(cola) == [(style.colour(2), ":", [0.0] * 18), (style.INK, "--", [0.0, 0.0])], "chance is the same value"
    assert lines(mnli) == [
        (style.colour(4), "--", rising),
        (style.INK, "--", [35.5, 35.5]),
        (style.INK, ":", [100 / 3, 100 / 3]),
    ]
    assert [axes.texts[0].get_text() for axes in figure.axes] == ["49.0", "0.0", "61.2"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["one and the same answer", "chance"]
    assert all(np.ptp(axes.get_ylim()) >= 20 for axes in figure.axes), "noise of one point looks small"


def test_a_study_has_one_colour_per_setting_and_one_line_per_seed(tmp_path):
    both = {"squad": FLAT, "swag": FLAT}
    runs = {name: planted(tmp_path / name, own) for name, own in {"q0": {"squad": FLAT}, "b0": both, "b1": both}.items()}
    runs["m0"] = Run(ROOT / "results" / "sample" / "qa-mcc")
    settings = {"Q": {0: "q0", 1: "not there"}, "M": {0: "m0"}, "B": {0: "b0", 1: "b1"}}
    squad, swag = curve_plots.study_curves_figure(runs, settings).axes
    assert [line[0] for line in lines(squad)] == [style.colour(0), style.colour(2), style.colour(2), style.INK]
    assert [line[0] for line in lines(swag)] == [style.colour(2), style.colour(2), style.INK, style.INK]
    named = [text.get_text() for text in squad.figure.legends[0].get_texts()]
    assert named == ["Q", "B", "one and the same answer", "chance"]


def test_many_tasks_continue_in_a_second_row():
    from mtdnn_kit.runs.curves import TaskCurve

    one = TaskCurve("accuracy", [1], [50.0], None, None)
    figure = curve_plots._panels({str(k): {"A": [(one, {})]} for k in range(7)}, [])
    assert len(figure.axes) == 7 and len({round(axes.get_position().y0, 3) for axes in figure.axes}) == 2


def test_without_curves_there_is_no_figure():
    run = Run(ROOT / "results" / "sample" / "qa")
    assert curve_plots.curves_figure(run) is None and curve_plots.study_curves_figure({"a": run}, {"A": {0: "a"}}) is None


def test_forgetting_is_a_line_from_learnt_to_the_end(tmp_path):
    values = {"a0": {"squad": [50.0, 48.0]}, "a1": {"squad": [54.0, 46.0]}, "b0": {"squad": [40.0, 41.0], "cola": [9.0, 8.0]}}
    runs = {name: planted(tmp_path / name, own) for name, own in values.items()}
    squad, cola = curve_plots.forgetting_figure(runs, {"A": {0: "a0", 1: "a1", 2: "not there"}, "B": {0: "b0"}}).axes
    assert lines(squad) == [
        (style.colour(0), "-", [50.0, 48.0]), (style.colour(0), "-", [54.0, 46.0]), (style.colour(1), "--", [41.0, 41.0]),
        (style.INK, "--", [33.0, 33.0]),
    ]  # fmt: skip
    assert lines(cola)[0] == (style.colour(1), "--", [9.0, 8.0])
    assert [label.get_text() for label in squad.get_xticklabels()] == ["learnt", "end"] and squad.get_xlabel() == ""
    assert curve_plots.forgetting_figure({"a": Run(ROOT / "results" / "sample" / "qa")}, {"A": {0: "a"}}) is None
