"""Rows → matplotlib figures: the schedule before a training, the losses during and after it. Computes nothing that is reported.

Each task has a colour and a line of its own (`style`).
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mtdnn_kit.files.wording import duration
from mtdnn_kit.views.style import colour, look

# Of a function that draws: how axes and letters look; and the same with a grid along x alone.
_LOOKS = Path(__file__).with_name("kit.mplstyle")
styled, styled_along_x = plt.style.context(_LOOKS), plt.style.context([_LOOKS, {"axes.grid.axis": "x"}])


def detached(figure: Figure) -> Figure:
    """The figure, closed to pyplot: a notebook shows it once, and nothing piles up."""
    plt.close(figure)
    return figure


def horizontal_bars(axes: Axes, values: dict, texts: Sequence[tuple[float, str]], colours: Any, alpha: float = 0.8, **style: Any) -> None:
    """A bar a name, the first on top, each with a text at a place along it."""
    axes.barh(range(len(values)), list(values.values()), color=colours, alpha=alpha)
    for y, (x, text) in enumerate(texts):
        axes.text(x, y, text, va="center", **style)
    axes.set(yticks=range(len(values)), yticklabels=list(values))
    axes.invert_yaxis()


def interval(axes: Axes, y: float, value: float, low: float | None, high: float | None, full: bool) -> None:
    """A value as a disc, full or hollow, on the line of its interval where it has one."""
    if low is not None and high is not None:
        axes.plot([low, high], [y, y], color=colour(0), lw=2)
    axes.plot(value, y, "o", color=colour(0), ms=6, mfc=colour(0) if full else "white")


@styled
def schedule_figure(setup: Any) -> Figure:
    """Which task is drawn when, how often against its probability, and the learning rate. setup: what `prepare` returned."""
    from mtdnn_kit.training.optim import learning_rate

    schedule, config = setup.schedule, setup.config
    steps, names = np.arange(1, len(schedule) + 1), schedule.tasks
    figure, (draws, shares, rate) = plt.subplots(1, 3, figsize=(12, 3.2), width_ratios=(3, 1.4, 1.6), layout="constrained")
    for i in range(len(names)):
        draws.plot(steps[schedule.task == i], np.full((schedule.task == i).sum(), i), "|", color=colour(i), ms=14, alpha=0.7)
    draws.set(yticks=range(len(names)), yticklabels=names, xlabel="step", title="one mark a batch", ylim=(len(names) - 0.5, -0.5))
    for end in np.flatnonzero(np.diff(schedule.epoch)) + 1.5:
        draws.axvline(end, color="0.3", lw=1, ls=":")
    _shares(shares, names, schedule, setup.probabilities)
    rates = [learning_rate(k, len(schedule), config.warmup, config.learning_rate) for k in range(len(schedule))]
    rate.plot(steps, rates, color=colour(0))
    rate.set(xlabel="step", title="learning rate", ylim=(0, None))
    rate.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
    return detached(figure)


def _shares(axes: Axes, names: tuple[str, ...], schedule: Any, probabilities: dict[str, float]) -> None:
    """Drawn share of each task as a bar, its probability as a mark."""
    drawn = schedule.draws()
    shares = {name: drawn[name] / len(schedule) for name in names}
    texts = [(max(shares[name], probabilities[name]) + 0.05, f"{drawn[name]}") for name in names]
    horizontal_bars(axes, shares, texts, [colour(i) for i in range(len(names))], 0.7)
    axes.plot([probabilities[n] for n in names], range(len(names)), "D", color="black", ms=5, label="probability")
    axes.set(xlim=(0, 1.2), xticks=(0, 0.5, 1), title="share (and number) of steps")
    axes.legend(loc="lower right", frameon=False, fontsize=8)


@styled
def loss_figure(records: list[dict], total: int | None = None, tasks: Sequence[str] = ()) -> Figure:
    """Loss of each task over the steps: single batches faint, their running mean strong.

    records: `Run.log()`; total: steps in all; tasks: all tasks of the run, in order, so that each keeps its colour.
    """
    figure, axes = plt.subplots(figsize=(9, 3.6), layout="constrained")
    for i, task in enumerate(dict.fromkeys([*tasks, *(record["task"] for record in records)])):
        steps, losses = ([record[key] for record in records if record["task"] == task] for key in ("step", "loss"))
        if losses:
            axes.plot(steps, losses, ".", color=colour(i), ms=5, alpha=0.4)
            axes.plot(steps, running_mean(losses), **look(i), lw=2, label=f"{task} ({len(losses)})")
    axes.set(xlabel="step", ylabel="loss of a batch", ylim=(0, None), xlim=(0, total or max((r["step"] for r in records), default=1)))
    if records:
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False, title="task (batches)")
    return detached(figure)


def running_mean(values: Sequence[float], share: float = 0.05) -> list[float]:
    """Mean over the last `share` of all values (at least 5)."""
    return _last(values, share).mean().tolist()


def running_error(values: Sequence[float], share: float = 0.05) -> list[float]:
    """1.96 standard errors of `running_mean`, the values being taken as independent; 0 for a single value."""
    last = _last(values, share)
    return (1.96 * last.std() / last.count() ** 0.5).fillna(0.0).tolist()


def _last(values: Sequence[float], share: float) -> Any:
    """For each value: the window that ends with it."""
    return pd.Series(values, dtype=float).rolling(max(5, int(len(values) * share)), min_periods=1)


@styled
def scores_figure(metrics: dict[str, dict]) -> Figure:
    """What a run scores, task by task, in percent; for question answering the tuned threshold's EM and F1 and the spans alone."""
    honest = ("em", "f1", "span_em", "span_f1", "no_answer_accuracy", "no_answer_ap")
    bars, colours = dict[str, float](), []
    for i, scores in enumerate(metrics.values()):
        shown = [name for name in scores if scores[name] is not None and name != "n" and ("span_f1" not in scores or name in honest)]
        bars |= {f"{list(metrics)[i]} {name}": scores[name] for name in shown}
        colours += [colour(i)] * len(shown)
    figure, axes = plt.subplots(figsize=(7, 0.6 + 0.32 * len(bars)), layout="constrained")
    horizontal_bars(axes, bars, [(max(value, 0) + 1, f"{value:.1f}") for value in bars.values()], colours)
    axes.set(xlim=(min([0, *bars.values()]), 108), xlabel="percent")
    return detached(figure)


class LiveLoss:
    """Redraws the loss figure while a training runs, in one notebook output; give it to `train(…, watch=…)`.

    Its title says what a progress bar would: step, task, its smoothed loss, tokens a second, time left. The last drawing has none.
    """

    def __init__(self, schedule: Any, drawings: int = 60) -> None:
        from IPython.display import display

        self.records: list[dict] = []
        self.total, self.tasks = len(schedule), schedule.tasks
        self.every, self.drawn = max(self.total // drawings, 1), 0
        self.first: tuple[float, int] | None = None  # when the first records came, and of which step
        self.output = display(loss_figure([], self.total), display_id=True)

    def __call__(self, records: list[dict]) -> None:
        self.records += records
        done = records[-1]["step"]
        self.first = self.first or (time.perf_counter(), done)
        if done == self.total or len(self.records) - self.drawn >= self.every:
            self.drawn = len(self.records)
            figure = loss_figure(self.records, self.total, self.tasks)
            if done < self.total:
                figure.axes[0].set_title(self._progress(records[-1], *self.first), loc="left", fontsize=10)
            self.output.update(figure)

    def _progress(self, last: dict, began: float, step: int) -> str:
        mine = [record["loss"] for record in self.records if record["task"] == last["task"]]
        speed = f"{last['tokens_per_second']:,.0f} tokens/s"
        said = f"step {last['step']} of {self.total} · {last['task']} {running_mean(mine)[-1]:.2f} · {speed}"
        if last["step"] == step:
            return said
        left = (time.perf_counter() - began) / (last["step"] - step) * (self.total - last["step"])
        return f"{said} · {duration(left)} left"


@styled
def lengths_figure(lengths: dict[str, np.ndarray], max_length: int) -> Figure:
    """How many tokens the items of each task have. lengths: task → tokens of each window or sequence."""
    figure, panels = plt.subplots(1, len(lengths), figsize=(12, 2.6), layout="constrained", squeeze=False)
    for i, (axes, (task, tokens)) in enumerate(zip(panels[0], lengths.items(), strict=True)):
        axes.hist(tokens, bins=np.linspace(0, max(max_length, tokens.max()), 25), color=colour(i), alpha=0.8)
        axes.axvline(max_length, color="0.3", ls=":", lw=1)
        axes.set(title=task, xlabel="tokens", xlim=(0, None))
    panels[0, 0].set_ylabel("items")
    return detached(figure)


@styled
def shares_figure(shares: dict[str, dict[str, int]]) -> Figure:
    """One panel of bars each: title → {name: number}."""
    rows = max(map(len, shares.values()))
    figure, panels = plt.subplots(1, len(shares), figsize=(12, 0.9 + 0.28 * rows), layout="constrained", squeeze=False)
    for i, (axes, (title, counts)) in enumerate(zip(panels[0], shares.items(), strict=True)):
        total = sum(counts.values()) or 1
        horizontal_bars(axes, counts, [(n, f" {n} ({n / total:.0%})") for n in counts.values()], colour(i), fontsize=8)
        axes.set(title=title, xlim=(0, 1.5 * max(counts.values(), default=1)))
    return detached(figure)
