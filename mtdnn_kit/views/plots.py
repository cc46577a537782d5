"""Rows → matplotlib figures: the schedule before a training, the losses during and after it. Computes no reported number.

Each task has its own colour and line (`style`). A figure has no background, so that it is legible on a light and on a dark page.
"""

import base64
import io
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image

from mtdnn_kit.files.wording import duration
from mtdnn_kit.views.style import INK, colour, look, task_numbers

# Decorators for functions that draw: the style of axes and letters; and the same with a grid only along x.
_LOOKS = Path(__file__).with_name("kit.mplstyle")
styled, styled_along_x = plt.style.context(_LOOKS), plt.style.context([_LOOKS, {"axes.grid.axis": "x"}])
BASELINE: dict[str, Any] = {"color": INK, "lw": 1.2}  # the line of a baseline without training
_ACROSS = 5  # panels in a row
_COLOURS = 48  # of a picture's palette


class Picture(Figure):
    """A figure that a notebook shows with twice the pixels, without a background, and with `alt` as its alternative text."""

    alt = ""
    pixels = 200  # an inch, of which a page shows 100

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        show_as_it_is()

    def png(self) -> bytes:
        """The picture, with a palette, which takes a quarter of the bytes."""
        whole, small = io.BytesIO(), io.BytesIO()
        self.savefig(whole, dpi=self.pixels)
        Image.open(whole).convert("RGBA").quantize(_COLOURS).save(small, "PNG", optimize=True)
        return small.getvalue()

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict, dict]:
        shown = {"width": round(100 * self.get_figwidth()), "alt": self.alt}
        return {"image/png": base64.b64encode(self.png()).decode(), "text/plain": self.alt}, {"image/png": shown}


def show_as_it_is(formatter: Any = None) -> None:
    """Keeps matplotlib's inline backend from replacing a `Picture`'s PNG in a notebook by one of its own, with half the pixels.

    formatter: IPython's; None: that of the running shell, if there is one.
    """
    if formatter is None and "IPython" in sys.modules:
        formatter = getattr(sys.modules["IPython"].get_ipython(), "display_formatter", None)
    if formatter is not None:
        formatter.formatters["image/png"].for_type(Picture, lambda picture: None)  # None: that of `_repr_mimebundle_` remains


def canvas(down: int = 1, across: int = 1, **options: Any) -> tuple[Picture, Any]:
    """`plt.subplots` for a `Picture`; options: figsize in inches, of which a page shows 100 pixels each, and others of it."""
    return plt.subplots(down, across, FigureClass=Picture, layout="constrained", **options)


def panels(count: int, height: float = 2.5, width: float = 2.4, **options: Any) -> tuple[Picture, list[Axes]]:
    """A figure of this many panels, at most five in a row; height, width: of one, in inches."""
    across, down = min(max(count, 1), _ACROSS), -(-count // _ACROSS) or 1
    figure, places = canvas(down, across, figsize=(max(width * across, 6), height * down + 0.4), squeeze=False, **options)
    for axes in places.flat[count:]:
        axes.remove()
    return figure, list(places.flat[:count])


def detached(figure: Picture, alt: str) -> Picture:
    """The figure, closed in pyplot: a notebook shows it once, and figures do not accumulate. alt: what it shows, in words."""
    plt.close(figure)
    figure.alt = alt
    return figure


def horizontal_bars(axes: Axes, values: dict, texts: Sequence[tuple[float, str]], colours: Any, alpha: float = 0.8, **style: Any) -> None:
    """One bar per name, the first on top, each with a text at a position along it."""
    axes.barh(range(len(values)), list(values.values()), color=colours, alpha=alpha)
    for y, (x, text) in enumerate(texts):
        axes.text(x, y, text, va="center", **style)
    axes.set(yticks=range(len(values)), yticklabels=list(values))
    axes.grid(axis="y", visible=False)
    axes.invert_yaxis()


def interval(axes: Axes, y: float, value: float, low: float | None, high: float | None, full: bool, number: int = 0) -> None:
    """A value as a disc, full or hollow, on the line of its interval where it has one, in the colour of a number."""
    if low is not None and high is not None:
        axes.plot([low, high], [y, y], color=colour(number), lw=2)
    axes.plot(value, y, "o", color=colour(number), ms=7, mew=1.6, mfc=colour(number) if full else "none")


def disc(full: bool, label: str) -> Line2D:
    """A grey disc, full or hollow, for a legend."""
    return Line2D([], [], marker="o", color=INK, ls="none", ms=7, mew=1.6, mfc=INK if full else "none", label=label)


@styled
def schedule_figure(setup: Any) -> Picture:
    """Which task is drawn when, how often against its probability, and the learning rate. setup: what `prepare` returned."""
    from mtdnn_kit.training.optim import learning_rate

    schedule, config = setup.schedule, setup.config
    steps, names = np.arange(1, len(schedule) + 1), schedule.tasks
    figure, (draws, shares, rate) = canvas(1, 3, figsize=(12, 3.2), width_ratios=(3, 1.4, 1.6))
    for i, number in enumerate(task_numbers(names).values()):
        mine = schedule.steps_of(i) + 1
        draws.plot(mine, np.full(len(mine), i), "|", color=colour(number), ms=14, alpha=0.8)
    draws.set(yticks=range(len(names)), yticklabels=names, xlabel="step", title="one mark a batch", ylim=(len(names) - 0.5, -0.5))
    for end in np.flatnonzero(np.diff(schedule.epoch)) + 1.5:
        draws.axvline(end, ls=":", **BASELINE)
    _shares(shares, names, schedule, setup.probabilities)
    rates = np.array([learning_rate(k, len(schedule), config.warmup, config.learning_rate) for k in range(len(schedule))])
    if config.rate_factors:
        for name, number in task_numbers(names).items():
            rate.plot(steps, rates * config.rate_factors.get(name, 1.0), **look(number), label=name)
        rate.legend()
    else:
        rate.plot(steps, rates, color=INK, lw=2)
    rate.set(xlabel="step", title="learning rate", ylim=(0, None))
    rate.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
    drawn = ", ".join(f"{name} {n}" for name, n in schedule.draws().items())
    return detached(figure, f"The schedule of {len(schedule)} steps; batches drawn of each task: {drawn}.")


def _shares(axes: Axes, names: tuple[str, ...], schedule: Any, probabilities: dict[str, float]) -> None:
    """Drawn share of each task as a bar, its probability as a mark."""
    drawn = schedule.draws()
    shares = {name: drawn[name] / len(schedule) for name in names}
    texts = [(max(shares[name], probabilities[name]) + 0.05, f"{drawn[name]}") for name in names]
    horizontal_bars(axes, shares, texts, list(map(colour, task_numbers(names).values())), 0.7)
    axes.plot([probabilities[n] for n in names], range(len(names)), "D", color=INK, mec="white", mew=0.8, ms=7, label="probability")
    axes.set(xlim=(0, 1.2), xticks=(0, 0.5, 1), xlabel="share of steps", title="drawn (steps)")
    axes.legend(loc="lower right")


@styled
def loss_figure(records: list[dict], total: int | None = None, tasks: Sequence[str] = ()) -> Picture:
    """Loss of each task over the steps, one panel per task, since their scales differ: single batches faint, their running mean strong.

    records: `Run.log()`; total: steps in all; tasks: all tasks of the run, in order.
    """
    # a joint step has a loss of each task
    told = [(record["step"], record.get("losses") or {record["task"]: record["loss"]}) for record in records]
    seen = {
        task: [(step, some[task]) for step, some in told if task in some] for task in [*tasks, *(task for _, some in told for task in some)]
    }
    figure, places = panels(len(seen), 2.3)
    last, said = total or max((r["step"] for r in records), default=1), []
    for axes, (task, number) in zip(places, task_numbers(seen).items(), strict=True):
        steps, losses = zip(*seen[task], strict=True) if seen[task] else ((), ())
        axes.set(title=f"{task} ({len(losses)} batches)", xlabel="step", xlim=(0, last))
        if losses:
            axes.plot(steps, losses, ".", color=colour(number), ms=5, alpha=0.5)
            axes.plot(steps, mean := running_mean(losses), **look(number), lw=2)
            said.append(f"{task} from {mean[0]:.2f} to {mean[-1]:.2f}")
        axes.set_ylim(0, 1.1 * max(losses, default=1))
    for axes in places[::_ACROSS]:
        axes.set_ylabel("loss of a batch")
    return detached(figure, f"Loss of each task over the steps: {', '.join(said) or 'none yet'}.")


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


class LiveLoss:
    """Redraws the loss figure while a training runs, in one notebook output; give it to `train(…, watch=…)`.

    Its title is like a progress bar: step, task, its smoothed loss, tokens per second, time left. The final figure has no title.
    """

    def __init__(self, schedule: Any, every: float = 2.0) -> None:
        from IPython.display import display

        self.records: list[dict] = []
        self.total, self.tasks = len(schedule), schedule.tasks
        self.every, self.drawn = every, time.perf_counter()
        self.first: tuple[float, int] | None = None  # when the first records came, and of which step
        self.output = display(loss_figure([], self.total, self.tasks), display_id=True)

    def __call__(self, records: list[dict]) -> None:
        """Adds log records, and redraws the figure at most every `every` seconds, in a twentieth of the time at most, and at the end."""
        self.records += records
        done, now = records[-1]["step"], time.perf_counter()
        self.first = self.first or (now, done)
        if done == self.total or now - self.drawn >= self.every:
            figure = loss_figure(self.records, self.total, self.tasks)
            if done < self.total:
                figure.suptitle(self._progress(records[-1], *self.first), fontsize=11)
                figure.pixels = 100  # quickly drawn
            self.output.update(figure)
            self.drawn = time.perf_counter()
            self.every = max(self.every, 20 * (self.drawn - now))  # long logs take long to draw

    def _progress(self, last: dict, began: float, step: int) -> str:
        mine = [record["loss"] for record in self.records if record["task"] == last["task"]]
        speed = f"{last['tokens_per_second']:,.0f} tokens/s"
        said = f"step {last['step']} of {self.total} · {last['task']} {running_mean(mine)[-1]:.2f} · {speed}"
        if last["step"] == step:
            return said
        left = (time.perf_counter() - began) / (last["step"] - step) * (self.total - last["step"])
        return f"{said} · {duration(left)} left"


def __getattr__(name: str) -> Any:
    """Figures that were here in 0.1.0, imported from their current modules."""
    from importlib import import_module

    now = {"lengths_figure": "data_plots", "shares_figure": "data_plots", "scores_figure": "task_plots"}
    if name not in now:
        raise AttributeError(f"mtdnn_kit.views.plots has no {name!r}")
    return getattr(import_module(f"mtdnn_kit.views.{now[name]}"), name)
