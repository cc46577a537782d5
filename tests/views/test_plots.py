"""Figures: their contents. Their appearance is checked by eye, not tested."""

import base64
import io
import itertools
from dataclasses import replace
from types import SimpleNamespace

import matplotlib
import numpy as np
import pytest
from conftest import changed
from IPython.core.formatters import DisplayFormatter
from IPython.core.pylabtools import print_figure
from matplotlib.figure import Figure
from PIL import Image
from tqdm import tqdm

from mtdnn_kit import prepare, train
from mtdnn_kit.compare.pairing import Question, Reply
from mtdnn_kit.data.rows import QARow
from mtdnn_kit.sampler import Schedule
from mtdnn_kit.studies.progress import Progress
from mtdnn_kit.views import answer_plots, data_plots, plots, study_plots, style

matplotlib.use("Agg")


def records(steps: int, task: str = "squad") -> list[dict]:
    return [{"step": k + 1, "task": task, "loss": 9.0 - k, "tokens_per_second": 1234.5} for k in range(steps)]


def test_the_schedule_is_drawn_before_training(config):
    setup = prepare(config(max_steps=None, qa_weight=0.5))
    draws, shares, rate = plots.schedule_figure(setup).axes
    marks = {line.get_ydata()[0]: len(line.get_xdata()) for line in draws.lines if line.get_marker() == "|" and len(line.get_xdata())}
    assert marks == {i: n for i, n in enumerate(setup.schedule.draws().values()) if n}
    assert [label.get_text() for label in draws.get_yticklabels()] == list(setup.train)
    assert max(rate.lines[0].get_ydata()) == pytest.approx(6e-4) and len(rate.lines[0].get_xdata()) == len(setup.schedule)
    assert [text.get_text() for text in shares.texts] == [str(n) for n in setup.schedule.draws().values()]
    own = replace(setup, config=changed(setup.config, rate_factors={"swag": 0.5}))
    rates = {line.get_label(): max(line.get_ydata()) for line in plots.schedule_figure(own).axes[2].lines}
    assert rates == pytest.approx({task: 6e-4 * (0.5 if task == "swag" else 1) for task in setup.train})


def test_losses_are_drawn_task_by_task():
    figure = plots.loss_figure(records(6) + records(3, "cola"), total=20)
    assert [axes.get_title() for axes in figure.axes] == ["squad (6 batches)", "cola (3 batches)"]
    assert {axes.get_xlim() for axes in figure.axes} == {(0, 20)}
    assert figure.alt == "Loss of each task over the steps: squad from 9.00 to 6.00, cola from 9.00 to 8.00."


def test_a_task_keeps_its_colour_when_others_have_no_steps_yet():
    def colour(seen):
        return plots.loss_figure(seen).axes[-1].lines[-1].get_color()

    assert colour(records(3, "cola")) == colour(records(3) + records(3, "swag") + records(3, "cola")) != colour(records(3, "swag"))
    assert style.task_numbers(["mnli", "mine", "squad"]) == {"mnli": 4, "mine": 1, "squad": 0}, "a known task keeps its colour everywhere"
    assert style.task_numbers(["a", "b"]) == {"a": 0, "b": 1}


def test_a_notebook_gets_double_resolution_no_background_and_a_description():
    figure = plots.loss_figure(records(3))
    data, metadata = figure._repr_mimebundle_()
    image = Image.open(io.BytesIO(base64.b64decode(data["image/png"]))).convert("RGBA")
    assert image.width == 2 * metadata["image/png"]["width"] and image.getpixel((0, 0))[3] == 0
    assert data["text/plain"] == metadata["image/png"]["alt"] == figure.alt != ""


def test_a_notebook_with_matplotlibs_backend_shows_that_picture():
    shell = DisplayFormatter()
    shell.formatters["image/png"].for_type(Figure, print_figure)  # as the backend does
    plots.show_as_it_is(shell)
    figure = plots.loss_figure(records(3))
    data, metadata = shell.format(figure)
    assert data["image/png"] == figure._repr_mimebundle_()[0]["image/png"] and metadata["image/png"]["alt"] == figure.alt


@pytest.mark.parametrize("page", ["#ffffff", "#111111"])
def test_every_colour_stands_out_on_a_light_and_on_a_dark_page(page):
    def luminance(colour):
        parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
        return np.dot([x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts], [0.2126, 0.7152, 0.0722])

    def contrast(colour):
        low, high = sorted([luminance(colour), luminance(page)])
        return (high + 0.05) / (low + 0.05)

    assert min(map(contrast, style.COLOURS)) >= 3 and contrast(style.INK) > 4.1


def test_a_running_mean():
    assert plots.running_mean([1.0, 3.0, 5.0]) == [1.0, 2.0, 3.0]
    assert plots.running_mean([1.0] * 5 + [6.0])[-1] == 2.0


def test_live_curves_show_step_task_loss_and_time_left(monkeypatch):
    shown = []

    class Output:
        def update(self, figure):
            shown.append(figure.get_suptitle())

    now = [100.0]
    monkeypatch.setattr(plots, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    monkeypatch.setattr("IPython.display.display", lambda figure, display_id: Output())
    live = plots.LiveLoss(Schedule(("squad",), *[np.zeros(4, int)] * 4))
    for record in records(4):
        live([record])
        now[0] += 1 if record["step"] == 1 else 30
    assert shown == ["step 3 of 4 · squad 8.00 · 1,234 tokens/s · 0:16 left", ""], "at most every two seconds, and at the end"


def test_the_progress_bar_shows_task_and_smoothed_loss(config, capfd, monkeypatch):
    monkeypatch.setattr("mtdnn_kit.training.log.tqdm", lambda **options: tqdm(**options, mininterval=0))  # every step, however fast
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    losses = [record["loss"] for record in train(config(tasks=["squad"], qa_weight=1.0, max_steps=2, log_every=1)).log()]
    assert f"squad {0.9 * losses[0] + 0.1 * losses[1]:.3f}" in capfd.readouterr().err.replace("\r", "\n")


def test_figures_3_and_4_have_the_papers_points_and_ours_with_their_intervals():
    ours = {"b": {"em": 50.0, "em_low": 48.0, "em_high": 53.0, "f1": 60.0, "f1_low": 57.0, "f1_high": 63.0}}
    paper, here = study_plots.points_figure(ours, {"a": (70.0, 75.0), "b": (71.0, 76.0)}, ["a", "b"], "x").axes
    assert [line.get_ydata().tolist() for line in paper.lines] == [[75.0, 76.0], [70.0, 71.0]], "F1, then EM"
    assert not paper.containers, "the paper gives no intervals"
    bars = [container[2][0].get_segments()[0] for container in here.containers]
    assert [bar[:, 1].tolist() for bar in bars] == [[57.0, 63.0], [48.0, 53.0]]
    assert bars[0][0, 0] < 1 < bars[1][0, 0], "side by side"
    assert np.ptp(paper.get_ylim()) == pytest.approx(np.ptp(here.get_ylim())), "one scale"
    assert {line.get_linestyle() for line in paper.lines} == {"None"}, "nothing lies between mixtures"
    assert [(text.get_text(), text.xy[1]) for text in here.texts] == [("60.0", 60.0), ("50.0", 50.0)], "next to its point"
    weights = study_plots.points_figure({}, {"0.5": (70.0, 75.0), "0.8": (71.0, 76.0)}, ["0.5", "0.8"], "weight").axes[0]
    assert [line.get_linestyle() for line in weights.lines] == ["-", "--"]
    none = study_plots.points_figure({}, {"a": (70.0, 75.0)}, ["a"], "x").axes[1]
    assert [text.get_text() for text in none.texts] == ["none of these was run"]


def test_a_running_mean_has_the_standard_error_of_its_values():
    values = [1.0, 3.0, 2.0, 6.0, 8.0, 4.0]
    assert plots.running_mean(values)[-1] == pytest.approx(np.mean(values[1:])), "the last five"
    assert plots.running_error(values)[0] == 0 and plots.running_error(values)[-1] == pytest.approx(
        1.96 * np.std(values[1:], ddof=1) / 5**0.5
    )


def test_slices_are_drawn_facet_by_facet_with_their_intervals():
    rows = [
        {"facet": "question word", "slice": "who", "questions": 9, "difference": 2.0, "low": -1.0, "high": 5.0},
        {"facet": "answerable", "slice": "unanswerable", "questions": 3, "difference": -4.0, "low": -90.0, "high": 82.0},
        {"facet": "answerable", "slice": "answerable", "questions": 1200, "difference": 1.0, "low": 0.5, "high": 1.5},
    ]
    axes = answer_plots.slices_figure(rows, "QA", "QA+SC").axes[0]
    labels = [(label.get_text(), label.get_fontweight()) for label in axes.get_yticklabels()]
    assert [name for name, weight in labels if weight == "bold"] == ["answerable", "question word"]
    assert [name for name, weight in labels if weight == "normal"] == ["answerable (n = 1,200)", "unanswerable (n = 3)", "who (n = 9)"]
    assert [list(line.get_xdata()) for line in axes.lines if len(line.get_xdata()) == 2][:-1] == [[0.5, 1.5], [-1.0, 5.0]]
    discs = [line.get_markerfacecolor() for line in axes.lines if line.get_marker() == "o"]
    assert discs == [style.COLOURS[0], "none", style.COLOURS[0]], "an interval wider than the scale is none"
    assert axes.get_xlabel() == "F1: QA+SC minus QA, points (95 % intervals over passages)"
    assert "over articles" in answer_plots.slices_figure(rows, "QA", "QA+SC", clusters="articles").axes[0].get_xlabel()


def test_the_no_answer_curves_match_the_scores():
    rows = [QARow(str(i), "", "x", "?", ((0, "x"),) if i < 2 else ()) for i in range(4)]
    diffs, right = (-1.0, 2.0, 1.0, 3.0), (1.0, 0.0, 0.0, 1.0)
    replies = [Reply(0, 1, "x", 0.25 + i / 4, right[i], 0, 0.1, [], 0, 0, diff) for i, diff in enumerate(diffs)]
    bare = Reply(None, None, "", None, 0, 0, None, [])
    questions = [Question(row, {"A": reply, "B": bare}) for row, reply in zip(rows, replies, strict=True)]
    (curve,), (bins, none) = answer_plots.nothing_figure(questions).axes, answer_plots.calibration_figure(questions).axes
    assert curve.lines[0].get_xdata().tolist() == [50, 50, 100, 100]
    assert curve.lines[0].get_ydata().tolist() == pytest.approx([100, 50, 200 / 3, 50])
    assert [patch.get_height() for patch in bins.patches] == list(right) and [text.get_text() for text in bins.texts] == ["1"] * 4
    assert [text.get_text() for text in curve.get_legend().get_texts()] == ["A 83.3", "guessing (50.0)"], "B has no n-best"
    assert [bins.get_title(), none.get_title()] == ["A\nerror 0.50", "B"] and not none.patches


def test_answers_of_each_kind_are_counted_in_the_runs_colours():
    counts = {"all": 9, "A: right": 5, "A: missed": 4, "B: right": 7, "B: cut off": 2, "A and B differ": 3}
    figure = answer_plots.counts_figure(counts, ["A", "B"])
    found = {axes.get_title(): [patch.get_width() for patch in axes.patches] for axes in figure.axes}
    assert found == {"right": [5, 7], "missed": [4, 0], "cut off": [0, 2]}
    assert [matplotlib.colors.to_hex(patch.get_facecolor()).upper() for patch in figure.axes[0].patches] == list(style.COLOURS[:2])


def test_a_studys_runs_keep_their_colour_and_the_title_shows_the_progress(monkeypatch):
    losses, shown = [(k, 9.0 - k) for k in range(6)], []
    monkeypatch.setattr(
        "IPython.display.display", lambda figure, display_id: type("Output", (), {"update": lambda _, f: shown.append(f)})()
    )
    now = [100.0]
    monkeypatch.setattr("mtdnn_kit.studies.progress.time", SimpleNamespace(monotonic=lambda: now[0]))
    progress = Progress(["QA", "QA+SC", "QA+MCC"])
    now[0] += 40
    for state, (status, steps, total, curve) in zip(
        progress.states, [("done", 6, 6, losses), ("waiting", 0, None, []), ("running", 3, 9, losses[:3])], strict=True
    ):
        state.status, state.steps, state.total, state.losses = status, steps, total, curve
    live = study_plots.LiveStudy({"one": {0: "QA"}, "both": {0: "QA+SC", 1: "QA+MCC"}}, every=0)
    live(progress)
    axes = shown[0].axes[0]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["QA", "QA+MCC"]
    assert [line.get_color() for line in axes.lines] == [style.COLOURS[0], style.COLOURS[1]], "the setting's colour"
    assert [len(line.get_xdata()) for line in axes.lines] == [6, 3] and axes.get_xlim() == (0, 9)
    assert axes.get_title(loc="left") == "1 of 3 done, 1 running, 1 waiting, 1:00 left"
    live(progress)
    assert len(shown) == 1, "no redraw without progress"


def test_settings_are_drawn_hollow_for_one_seed_and_filled_for_several():
    none = {"Δ": None, "Δ low": None, "Δ high": None}
    rows = [{"setting": f"setting {i}", "seeds": 1 + i % 2, "F1": 70.0 + i, "low": 68.0, "high": 73.0 + i, **none} for i in range(20)]
    rows[1] |= {"Δ": 1.0, "Δ low": -1.0, "Δ high": 3.0}
    scores, gaps = study_plots.settings_figure(rows).axes
    assert [label.get_text() for label in scores.get_yticklabels()][:2] == ["setting 0 (1 seed)", "setting 1 (2 seeds)"]
    assert [line.get_markerfacecolor() for line in scores.lines[1:4:2]] == ["none", style.COLOURS[1]]
    assert [text.get_text() for text in gaps.texts] == ["not compared"] * 18, "all but the first, and the one that is"
    assert list(gaps.lines[0].get_xdata()) == [-1.0, 3.0] and gaps.get_xlabel() == "F1 minus that of setting 0, points"
    figure = study_plots.settings_figure(rows, "F1", {"no-answer baseline": 33.3}, 132)
    assert figure.axes[0].texts[0].get_text() == "no-answer baseline" and figure.axes[0].get_xlabel() == "F1, percent (n = 132)"
    figure.canvas.draw()
    boxes = [label.get_window_extent() for label in figure.axes[0].get_yticklabels()]
    assert not any(one.overlaps(two) for one, two in itertools.pairwise(boxes)), "twenty labels do not overlap"


def test_a_baseline_far_below_the_settings_is_named_and_does_not_push_them_together():
    none = {"Δ": None, "Δ low": None, "Δ high": None}
    rows = [{"setting": name, "seeds": 2, "span F1": at, "low": at - 1, "high": at + 1, **none} for name, at in (("A", 70.0), ("B", 69.0))]
    near, far = (study_plots.settings_figure(rows, "span F1", {"lexical overlap": value}).axes[0] for value in (59.1, 58.9))
    assert near.texts[0].get_text() == "lexical overlap" and near.get_xlim()[0] < 59.1
    assert far.texts[0].get_text() == "lexical overlap: 58.9, to the left" and far.get_xlim()[0] > 67
    both = study_plots.settings_figure(rows, "span F1", {"no-answer baseline": 50.0, "lexical overlap": 19.7}).axes[0]
    assert [text.get_text() for text in both.texts] == ["no-answer baseline: 50.0; lexical overlap: 19.7, to the left"], "one line of text"


def test_lengths_and_shares_show_counts():
    panels = data_plots.lengths_figure({"squad": np.array([5, 9, 9]), "cola": np.array([3])}, max_length=10).axes
    assert [int(sum(patch.get_height() for patch in axes.patches)) for axes in panels] == [3, 1]
    bars = data_plots.shares_figure({"answer": {"yes": 3, "no": 1}}).axes[0]
    assert [patch.get_width() for patch in bars.patches] == [3, 1]
    assert [text.get_text().strip() for text in bars.texts] == ["3 (75%)", "1 (25%)"]
    sizes = data_plots.sizes_figure([{"task": "squad", "train": 4, "held out": 1, "scored": 2}])
    assert [patch.get_width() for patch in sizes.axes[0].patches] == [4, 1, 2]
    assert sizes.alt == "Rows of each task: squad 4 train, 1 held out, 2 scored."
