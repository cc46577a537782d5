"""Figures: what is on them. How they look is looked at, not tested."""

import matplotlib
import numpy as np
import pytest
from tqdm import tqdm

from mtdnn_kit import plots, prepare, train
from mtdnn_kit.sampler import Schedule

matplotlib.use("Agg")


def records(steps: int, task: str = "squad") -> list[dict]:
    return [{"step": k + 1, "task": task, "loss": 9.0 - k, "tokens_per_second": 1234.5} for k in range(steps)]


def test_the_schedule_is_drawn_before_training(config):
    setup = prepare(config(max_steps=None, qa_weight=0.5))
    draws, shares, rate = plots.schedule_figure(setup).axes
    marks = {line.get_ydata()[0]: len(line.get_xdata()) for line in draws.lines if line.get_marker() == "|" and len(line.get_xdata())}
    assert marks == {i: n for i, n in enumerate(setup.schedule.draws().values()) if n}
    assert [label.get_text() for label in draws.get_yticklabels()] == list(setup.train)
    assert max(rate.lines[0].get_ydata()) == pytest.approx(3e-4) and len(rate.lines[0].get_xdata()) == len(setup.schedule)
    assert [text.get_text() for text in shares.texts] == [str(n) for n in setup.schedule.draws().values()]


def test_losses_are_drawn_task_by_task():
    axes = plots.loss_figure(records(6) + records(3, "cola"), total=20).axes[0]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["squad (6)", "cola (3)"]
    assert axes.get_xlim() == (0, 20)


def test_a_task_keeps_its_colour_when_others_have_not_come_yet():
    def colour(seen):
        return plots.loss_figure(seen, tasks=("squad", "swag", "cola")).axes[0].lines[-1].get_color()

    assert colour(records(3, "cola")) == colour(records(3) + records(3, "swag") + records(3, "cola")) != colour(records(3, "swag"))


def test_a_running_mean():
    assert plots.running_mean([1.0, 3.0, 5.0]) == [1.0, 2.0, 3.0]
    assert plots.running_mean([1.0] * 5 + [6.0])[-1] == 2.0


def test_scores_that_are_none_or_negative_have_a_place():
    figure = plots.scores_figure(
        {
            "squad": {"em": 1.0, "f1": 2.0, "best_em_threshold": -11.0, "span_em": None, "span_f1": 3.0, "n": 3},
            "cola": {"matthews": -12.0, "n": 4},
        }
    )
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "squad em",
        "squad f1",
        "squad span_f1",
        "cola matthews",
    ] and axes.get_xlim()[0] == -12


def test_a_run_that_scores_nothing_has_an_empty_figure():
    assert plots.scores_figure({}).axes[0].get_yticks().tolist() == []


def test_live_curves_say_step_task_loss_and_time_left(monkeypatch):
    shown = []

    class Output:
        def update(self, figure):
            shown.append(figure.axes[0].get_title(loc="left"))

    monkeypatch.setattr("IPython.display.display", lambda figure, display_id: Output())
    live = plots.LiveLoss(Schedule(("squad",), *[np.zeros(4, int)] * 4))
    for record in records(4):
        live([record])
    assert shown[1].startswith("step 2 of 4 · squad 8.50 · 1,234 tokens/s · 0:0") and shown[-1] == ""


def test_the_progress_bar_shows_task_and_smoothed_loss(config, capfd, monkeypatch):
    monkeypatch.setattr("mtdnn_kit.recorder.tqdm", lambda **options: tqdm(**options, mininterval=0))  # each step, however fast
    losses = [record["loss"] for record in train(config(tasks=["squad"], qa_weight=1.0, max_steps=2, log_every=1)).log()]
    assert f"squad {0.9 * losses[0] + 0.1 * losses[1]:.3f}" in capfd.readouterr().err.replace("\r", "\n")


def test_figures_3_and_4_have_the_papers_points_and_ours_with_their_errors():
    ours = {"b": {"em": 50.0, "f1": 60.0, "em_error": 2.0, "f1_error": 3.0}}
    paper, here = plots.points_figure(ours, {"a": (70.0, 75.0), "b": (71.0, 76.0)}, ["a", "b"], "x").axes
    assert [line.get_ydata().tolist() for line in paper.lines] == [[75.0, 76.0], [70.0, 71.0]], "F1, then EM"
    assert [container[0].get_xydata().tolist() for container in here.containers] == [[[1.0, 60.0]], [[1.0, 50.0]]]
    bars = [container[2][0].get_segments()[0][:, 1].tolist() for container in here.containers]
    assert bars == [[57.0, 63.0], [48.0, 52.0]]
    assert np.ptp(paper.get_ylim()) == pytest.approx(np.ptp(here.get_ylim())), "one scale"
    none = plots.points_figure({}, {"a": (70.0, 75.0)}, ["a"], "x").axes[1]
    assert [text.get_text() for text in none.texts] == ["none of these was run"]


def test_a_studys_runs_keep_their_colour_and_say_where_they_are():
    from mtdnn_kit.studies import State

    states = [State("QA", "done", 6, 6, records(6)), State("QA+SC"), State("QA+MCC", "running", 3, 9, records(3) + records(1, "swag"))]
    axes = plots.study_figure(states).axes[0]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["QA", "QA+MCC"]
    assert [line.get_color() for line in axes.lines] == [plots.COLOURS[0], plots.COLOURS[2]]
    assert [len(line.get_xdata()) for line in axes.lines] == [6, 3] and axes.get_xlim() == (0, 9)
    assert [plots.LiveStudy._progress(state) for state in states] == ["QA done", "QA+SC waiting", "QA+MCC 3/9"]


def test_lengths_and_shares_say_how_many():
    panels = plots.lengths_figure({"squad": np.array([5, 9, 9]), "cola": np.array([3])}, max_length=10).axes
    assert [int(sum(patch.get_height() for patch in axes.patches)) for axes in panels] == [3, 1]
    bars = plots.shares_figure({"answer": {"yes": 3, "no": 1}}).axes[0]
    assert [patch.get_width() for patch in bars.patches] == [3, 1]
    assert [text.get_text().strip() for text in bars.texts] == ["3 (75%)", "1 (25%)"]
