"""Figures of conflicts between tasks, and of the weights of a joint step."""

import numpy as np
import pytest

from mtdnn_kit.views.balance_plots import conflicts_figure, weights_figure
from mtdnn_kit.views.style import colour

GROUPS = ("embeddings", "pooler", "encoder")


def measured(step, swag, cola, between):
    def cosines(value):
        return {"embeddings": value, "pooler": None, "encoder": value}

    of = {"step": step, "norm": dict.fromkeys(GROUPS, 1.0)}
    first, second = {**of, "task": "squad"}, {**of, "task": "swag", "cosine": cosines(swag)}
    return [first, second, {**of, "task": "cola", "cosine": cosines(cola), "cosine_with": {"swag": cosines(between)}}]


def test_conflicts_are_drawn_by_pair_group_and_part_and_marked():
    records = measured(10, 0.2, -0.1, 0.0) + measured(20, -0.2, -0.3, 0.4)
    figure = conflicts_figure(records, "mine")
    often, later, strong, last = figure.axes[:4]
    assert [axes.get_title() for axes in (often, later)] == ["step 10", "step 20"] and figure.get_suptitle() == "mine"
    assert [label.get_text() for label in often.get_yticklabels()] == ["squad – swag", "squad – cola", "swag – cola"]
    assert [label.get_text() for label in strong.get_xticklabels()] == list(GROUPS)
    assert often.images[0].get_array().filled(-1).tolist() == [[0, -1, 0], [100, -1, 100], [0, -1, 0]], "percent; one group has no gradient"
    assert strong.images[0].get_array().filled(9).tolist() == [[0.2, 9, 0.2], [-0.1, 9, -0.1], [0.0, 9, 0.0]]
    assert last.images[0].get_clim() == (-0.4, 0.4) and later.images[0].get_clim() == (0, 100)
    marks = [sorted(map(tuple, axes.lines[0].get_xydata().tolist())) for axes in (often, strong, last)]
    assert marks == [[(0, 1), (2, 1)], [(0, 1), (2, 1)], [(0, 0), (0, 1), (2, 0), (2, 1)]], "marks make conflicts visible without colour"
    rgb = [
        [axes.images[0].cmap(axes.images[0].norm(value))[:3] for value in values]
        for axes, values in ((often, (100, 0)), (last, (-0.4, 0.4)))
    ]
    assert rgb[0] == rgb[1] and rgb[0][0][0] > rgb[0][0][2] and rgb[0][1][2] > rgb[0][1][0], "a conflict is orange in both rows"


def test_small_cosines_are_not_drawn_as_large_ones():
    assert conflicts_figure(measured(10, 0.01, -0.01, 0.02)).axes[1].images[0].get_clim() == (-0.1, 0.1)


def test_without_a_measured_pair_there_is_no_figure():
    assert conflicts_figure(measured(10, 0.1, 0.1, 0.1)[:1]) is None and conflicts_figure([]) is None


def test_the_weights_of_each_task_are_drawn_over_the_steps():
    records = [{"step": step, "task": "squad", "weights": {"squad": 0.5 + 0.1 * step, "cola": 0.5 - 0.1 * step}} for step in (1, 2, 3)]
    axes = weights_figure([*records, {"step": 4, "task": "squad", "loss": 1.0}], ["squad", "swag", "cola"], "famo").axes[0]
    raw = axes.lines[0], axes.lines[2]
    assert [line.get_xydata().tolist() for line in raw] == [
        pytest.approx(np.array([[1, 0.6], [2, 0.7], [3, 0.8]])), pytest.approx(np.array([[1, 0.4], [2, 0.3], [3, 0.2]])),
    ]  # fmt: skip
    assert [line.get_color() for line in raw] == [colour(0), colour(2)], "a task has the colour of its position in the run"
    assert axes.lines[3].get_ydata() == pytest.approx([0.4, 0.35, 0.3]), "the running mean"
    labels = [text.get_text() for text in axes.figure.legends[0].get_texts()]
    assert labels == ["squad (0.70)", "cola (0.30)", "all alike (0.50)"] and axes.get_xlim() == (0, 3) and axes.get_ylim()[0] == 0


def test_each_tasks_loss_is_drawn_next_to_the_weights():
    of = {"step": 1, "task": "squad", "loss": 3.0, "weights": {"squad": 1.0, "swag": 1.0}, "losses": {"squad": 3.0, "swag": 0.7}}
    left, right = weights_figure([of, {**of, "step": 2, "losses": {"squad": 1.0, "swag": 0.6}}], ["squad", "swag"]).axes
    assert [axes.get_ylabel() for axes in (left, right)] == ["weight in a joint step", "loss"] and len(right.lines) == 4
    assert [line.get_ydata().tolist() for line in right.lines[::2]] == [[3.0, 1.0], [0.7, 0.6]]
    assert right.lines[1].get_ydata().tolist() == [3.0, 2.0] and right.lines[2].get_color() == colour(1)


def test_a_weight_below_0_is_visible_and_without_weights_there_is_no_figure():
    assert weights_figure([{"step": 1, "weights": {"squad": 1.5, "cola": -0.5}}]).axes[0].get_ylim()[0] < -0.5
    assert weights_figure([{"step": 1, "loss": 1.0}]) is None
