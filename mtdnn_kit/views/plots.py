"""Rows → matplotlib figures: the schedule before a training, the losses during and after it. Computes nothing that is reported.

Colours are Okabe and Ito's, which colour-blind people can tell apart; each task has a line style of its own beside them.
"""

import time
from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mtdnn_kit.views.style import COLOURS, LINES, STYLE


def schedule_figure(setup: Any) -> Figure:
    """Which task is drawn when, how often against its probability, and the learning rate. setup: what `prepare` returned."""
    from mtdnn_kit.training.optim import learning_rate

    schedule, config = setup.schedule, setup.config
    steps, names = np.arange(1, len(schedule) + 1), schedule.tasks
    with plt.rc_context(STYLE):
        figure, (draws, shares, rate) = plt.subplots(
            1, 3, figsize=(12, 3.2), width_ratios=(3, 1.4, 1.6), layout="constrained"
        )  # fmt: skip
        for i in range(len(names)):
            draws.plot(steps[schedule.task == i], np.full((schedule.task == i).sum(), i), "|", color=COLOURS[i % 7], ms=14, alpha=0.7)
        draws.set(yticks=range(len(names)), yticklabels=names, xlabel="step", title="one mark a batch", ylim=(len(names) - 0.5, -0.5))
        for end in np.flatnonzero(np.diff(schedule.epoch)) + 1.5:
            draws.axvline(end, color="0.3", lw=1, ls=":")
        _bars(shares, names, schedule, setup.probabilities)
        rates = [learning_rate(k, len(schedule), config.warmup, config.learning_rate) for k in range(len(schedule))]
        rate.plot(steps, rates, color=COLOURS[0])
        rate.set(xlabel="step", title="learning rate", ylim=(0, None))
        rate.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
    return detached(figure)


def _bars(axes: Axes, names: tuple[str, ...], schedule: Any, probabilities: dict[str, float]) -> None:
    """Drawn share of each task as a bar, its probability as a mark."""
    drawn = schedule.draws()
    axes.barh(range(len(names)), [drawn[n] / len(schedule) for n in names], color=[COLOURS[i % 7] for i in range(len(names))], alpha=0.7)
    axes.plot([probabilities[n] for n in names], range(len(names)), "D", color="black", ms=5, label="probability")
    for i, name in enumerate(names):
        axes.text(max(drawn[name] / len(schedule), probabilities[name]) + 0.05, i, f"{drawn[name]}", va="center")
    axes.set(yticks=range(len(names)), yticklabels=names, xlim=(0, 1.2), xticks=(0, 0.5, 1), title="share (and number) of steps")
    axes.invert_yaxis()
    axes.legend(loc="lower right", frameon=False, fontsize=8)


def loss_figure(records: list[dict], total: int | None = None, tasks: Sequence[str] = ()) -> Figure:
    """Loss of each task over the steps: single batches faint, their running mean strong.

    records: `Run.log()`; total: steps in all; tasks: all tasks of the run, in order, so that each keeps its colour.
    """
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(9, 3.6), layout="constrained")
        for i, task in enumerate(dict.fromkeys([*tasks, *(record["task"] for record in records)])):
            mine = [record for record in records if record["task"] == task]
            if not mine:
                continue
            steps, losses = [r["step"] for r in mine], [r["loss"] for r in mine]
            axes.plot(steps, losses, ".", color=COLOURS[i % 7], ms=5, alpha=0.4)
            axes.plot(steps, running_mean(losses), color=COLOURS[i % 7], ls=LINES[i % 7], lw=2, label=f"{task} ({len(mine)})")
        axes.set(xlabel="step", ylabel="loss of a batch", ylim=(0, None), xlim=(0, total or max((r["step"] for r in records), default=1)))
        if records:
            axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False, title="task (batches)")
    return detached(figure)


def running_mean(values: Sequence[float], share: float = 0.05) -> list[float]:
    """Mean over the last `share` of all values (at least 5)."""
    count, sums, _ = _running(values, share)
    return (sums / count).tolist()


def running_error(values: Sequence[float], share: float = 0.05) -> list[float]:
    """1.96 standard errors of `running_mean`, the values being taken as independent; 0 for a single value."""
    count, sums, squares = _running(values, share)
    variance = np.maximum(squares - sums**2 / count, 0) / np.maximum(count - 1, 1)
    return (1.96 * np.sqrt(variance / count)).tolist()


def _running(values: Sequence[float], share: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each value: how many are in its window, their sum, and the sum of their squares."""
    given, width = np.asarray(values, np.float64), max(5, int(len(values) * share))
    high = np.arange(1, len(given) + 1)
    low = np.maximum(high - width, 0)
    sums = (np.concatenate([[0.0], np.cumsum(given**power)]) for power in (1, 2))
    return high - low, *(total[high] - total[low] for total in sums)


def scores_figure(metrics: dict[str, dict]) -> Figure:
    """What a run scores, task by task, in percent; for question answering the tuned threshold's EM and F1 and the spans alone."""
    honest = ("em", "f1", "span_em", "span_f1", "no_answer_accuracy", "no_answer_ap")
    bars = [
        (f"{task} {name}", value, i)
        for i, (task, scores) in enumerate(metrics.items())
        for name, value in scores.items()
        if value is not None and name != "n" and ("span_f1" not in scores or name in honest)
    ]
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(7, 0.6 + 0.32 * len(bars)), layout="constrained")
        axes.barh(range(len(bars)), [v for _, v, _ in bars], color=[COLOURS[i % 7] for _, _, i in bars], alpha=0.8)
        for y, (_, value, _) in enumerate(bars):
            axes.text(max(value, 0) + 1, y, f"{value:.1f}", va="center")
        axes.set(
            yticks=range(len(bars)), yticklabels=[b[0] for b in bars], xlim=(min([0, *(v for _, v, _ in bars)]), 108), xlabel="percent"
        )
        axes.invert_yaxis()
    return detached(figure)


class LiveLoss:
    """Draws the loss figure anew while a training runs, in one notebook output; give it to `train(…, watch=…)`.

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
        parts = [
            f"step {last['step']} of {self.total}",
            f"{last['task']} {running_mean(mine)[-1]:.2f}",
            f"{last['tokens_per_second']:,.0f} tokens/s",
        ]
        if last["step"] > step:
            left = int((time.perf_counter() - began) / (last["step"] - step) * (self.total - last["step"]))
            parts.append(f"{left // 60}:{left % 60:02} left")
        return " · ".join(parts)


def detached(figure: Figure) -> Figure:
    """The figure, closed to pyplot: a notebook shows it once, and nothing piles up."""
    plt.close(figure)
    return figure


def lengths_figure(lengths: dict[str, np.ndarray], max_length: int) -> Figure:
    """How many tokens the items of each task have. lengths: task → tokens of each window or sequence."""
    with plt.rc_context(STYLE):
        figure, panels = plt.subplots(1, len(lengths), figsize=(12, 2.6), layout="constrained", squeeze=False)
        for i, (axes, (task, tokens)) in enumerate(zip(panels[0], lengths.items(), strict=True)):
            axes.hist(tokens, bins=np.linspace(0, max(max_length, tokens.max()), 25), color=COLOURS[i % 7], alpha=0.8)
            axes.axvline(max_length, color="0.3", ls=":", lw=1)
            axes.set(title=task, xlabel="tokens", xlim=(0, None))
        panels[0, 0].set_ylabel("items")
    return detached(figure)


def shares_figure(shares: dict[str, dict[str, int]]) -> Figure:
    """One panel of bars each: title → {name: number}."""
    with plt.rc_context(STYLE):
        rows = max(map(len, shares.values()))
        figure, panels = plt.subplots(1, len(shares), figsize=(12, 0.9 + 0.28 * rows), layout="constrained", squeeze=False)
        for i, (axes, (title, counts)) in enumerate(zip(panels[0], shares.items(), strict=True)):
            total, names = sum(counts.values()) or 1, list(counts)
            axes.barh(range(len(names)), [counts[name] for name in names], color=COLOURS[i % 7], alpha=0.8)
            for y, name in enumerate(names):
                axes.text(counts[name], y, f" {counts[name]} ({counts[name] / total:.0%})", va="center", fontsize=8)
            axes.set(yticks=range(len(names)), yticklabels=names, title=title, xlim=(0, 1.5 * max(counts.values(), default=1)))
            axes.invert_yaxis()
    return detached(figure)
