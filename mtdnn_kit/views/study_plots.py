"""Rows → figures of a study: its runs while they train, its settings with their intervals, the paper's figures redrawn.

Computes no reported number; colours, lines and marks come from `style` and can be told apart in grey.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from mtdnn_kit.compare.differences import Settings
from mtdnn_kit.views.plots import BASELINE, Picture, canvas, detached, disc, interval, running_error, running_mean, styled, styled_along_x
from mtdnn_kit.views.style import INK, LINES, MARKERS, colour, look

_OFF_AXIS = 4  # times the range of the settings' intervals: a baseline further below their highest end is off the axis


@styled
def points_figure(ours: dict[str, dict], paper: dict[str, tuple[float, float]], settings: Sequence[str], xlabel: str) -> Picture:
    """Figures 3 and 4 of the paper, redrawn: EM and F1 over the settings, the paper's (left) and those of the runs here (right).

    ours: setting → {"em", "em_low", "em_high", "f1", …}, the ends of the 95 % intervals; a setting that was not run is left out. Both
    panels span the same number of points. The paper gives no intervals.
    """
    figure, panels = canvas(1, 2, figsize=(9.5, 3.6))
    theirs = {name: {"em": em, "f1": f1} for name, (em, f1) in paper.items()}
    for axes, scores, title in zip(panels, (theirs, ours), ("the paper (one run per point)", "run here (95 % intervals)"), strict=True):
        _points(axes, scores, settings)
        axes.set(title=title, xlabel=xlabel, ylabel="percent")
    span = 1.15 * max(np.ptp(axes.get_ylim()) for axes in panels)  # room for the numbers
    for axes in panels:
        middle = np.mean(axes.get_ylim())
        axes.set_ylim(middle - span / 2, middle + span / 2)
    panels[0].legend(loc="lower right")
    said = "; ".join(f"{name} EM {one['em']:.1f}, F1 {one['f1']:.1f}" for name, one in ours.items())
    return detached(figure, f"EM and F1 by {xlabel}: left what the paper reports, right what was run here: {said or 'none of these'}.")


def _points(axes: Axes, scores: dict[str, dict], settings: Sequence[str]) -> None:
    for i, key in enumerate(("f1", "em")):
        at = [k for k, name in enumerate(settings) if name in scores]
        values = [scores[settings[k]][key] for k in at]
        ends = [[scores[settings[k]].get(f"{key}_{end}") for k in at] for end in ("low", "high")]
        # colours are for runs and tasks, not scores; only numbers are joined by a line
        style: dict[str, Any] = {"color": INK, "ls": LINES[i] if _are_numbers(settings) else "none", "marker": MARKERS[i], "ms": 6}
        style["mfc"] = (INK, "none")[i]
        beside = np.array(at) + 0.06 * (2 * i - 1)  # so that the intervals of EM and F1 do not hide each other
        axes.plot(beside, values, label=key.upper(), **style)
        if at and None not in ends[0]:
            axes.errorbar(beside, values, np.abs(np.array(ends) - values), fmt="none", ecolor=INK, capsize=3)
        # next to its point: of F1 to the left, of EM to the right
        place: dict[str, Any] = {"textcoords": "offset points", "ha": ("right", "left")[i], "va": "center", "fontsize": 9}
        for k, value in zip(beside, values, strict=True):
            axes.annotate(f"{value:.1f}", (k, value), ((-7, 7)[i], 0), **place)
    axes.set(xticks=range(len(settings)), xticklabels=settings, xlim=(-0.5, len(settings) - 0.5))
    if not scores:
        axes.text(0.5, 0.5, "none of these was run", transform=axes.transAxes, ha="center")


def _are_numbers(settings: Sequence[str]) -> bool:
    """Whether the settings are values of a parameter, so that there is something between them."""
    return all(name.replace(".", "", 1).isdecimal() for name in settings)


@styled_along_x
def settings_figure(rows: Sequence[dict], score: str = "F1", floors: Mapping[str, float] | None = None, n: int | None = None) -> Picture:
    """One line per setting, for any number of settings: left its score, right its difference to the first, both with 95 % intervals.

    rows: of `differences.setting_table`. A setting with one seed, whose difference holds for two models only, is hollow; one with several
    seeds is filled. floors: baselines without training, a dotted line each, or their number where that is far below; n: questions.
    """
    figure, panels = canvas(1, 2, figsize=(9.5, 1.2 + 0.36 * len(rows)), sharey=True)
    for y, row in enumerate(rows):
        for axes, key, low, high in zip(panels, (score, "Δ"), ("low", "Δ low"), ("high", "Δ high"), strict=True):
            if row[key] is not None:
                interval(axes, y, row[key], row[low], row[high], row["seeds"] > 1, y)
            elif key == "Δ" and y:
                axes.text(0.02, y, "not compared", transform=axes.get_yaxis_transform(), va="center", color=INK, fontsize=9)
    shown = [row[key] for row in rows for key in (score, "low", "high") if row[key] is not None]
    far = []  # baselines whose line would push the settings together
    for name, value in (floors or {}).items():
        if max(shown, default=value) - value > _OFF_AXIS * np.ptp(shown or [value]):
            far.append(f"{name}: {value:.1f}")
            continue
        panels[0].axvline(value, ls=":", **BASELINE)
        panels[0].annotate(name, (value, 0.5), (3, 0), ("data", "axes fraction"), "offset points", rotation=90, va="center", fontsize=8)
    if far:
        label = f"{'; '.join(far)}, to the left"
        panels[0].annotate(label, (0, 1), (0, 4), "axes fraction", "offset points", va="bottom", color=INK, fontsize=8)
    several = {row["seeds"] > 1 for row in rows}
    names = [f"{row['setting']} ({row['seeds']} seed{'s' * (row['seeds'] > 1)})" if any(several) else row["setting"] for row in rows]
    handles = [disc(full, "mean of several seeds" if full else "one run: this model, not its setting") for full in sorted(several)]
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
    of = f"{score}, percent (n = {n:,})" if n else f"{score}, percent"
    panels[0].set(yticks=range(len(rows)), yticklabels=names, ylim=(len(rows) - 0.5, -0.5), xlabel=of)
    panels[1].axvline(0, **BASELINE)
    panels[1].set(xlabel=f"{score} minus that of {rows[0]['setting']}, points" if rows else "")
    return detached(
        figure, f"{score} of each setting, and its difference to the first, with 95 % intervals: {'; '.join(map(_told(score), rows))}."
    )


def _told(score: str) -> Any:
    """The score and the difference of a row of `settings_figure`, in words."""

    def said(row: dict) -> str:
        gap = f" ({row['Δ']:+.1f}, {row['Δ low']:+.1f} to {row['Δ high']:+.1f})" if None not in (row["Δ"], row["Δ low"]) else ""
        return f"{row['setting']} " + ("not scored" if row[score] is None else f"{row[score]:.1f}{gap}")

    return said


@styled
def study_figure(states: Sequence, settings: Settings | None = None) -> Picture:
    """Running mean of the main task's loss with a band of 1.96 standard errors of that mean over the batches, one line per run of a study.

    states: `progress.Progress.states`. settings: name → {seed: run}; runs of one setting have its colour.
    """
    figure, axes = canvas(figsize=(9, 3.6))
    number = {run: i for i, own in enumerate((settings or {}).values()) for run in own.values()}
    for place, state in enumerate(states):
        if state.losses:
            i = number.get(state.name, place)
            steps, losses = (list(column) for column in zip(*state.losses, strict=True))
            middle, spread = running_mean(losses), running_error(losses)
            axes.plot(steps, middle, label=state.name, **look(i), lw=2)
            axes.fill_between(steps, np.subtract(middle, spread), np.add(middle, spread), color=colour(i), alpha=0.12, lw=0)
    longest = max((state.total or 0 for state in states), default=0) or 1
    axes.set(xlabel="step", ylabel="main task: running mean of the loss", ylim=(0, None), xlim=(0, longest))
    named = sum(bool(state.losses) for state in states)
    if named:
        columns = dict(ncols=-(-named // 12), fontsize=10 if named <= 12 else 8)
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), title="run", **columns)
    return detached(
        figure, f"The main task's loss over the steps, one line per run: {', '.join(s.name for s in states if s.losses) or 'none yet'}."
    )


class LiveStudy:
    """Redraws the losses of a study's runs while they train, in one notebook output; give it to `run_study(…, watch=…)`.

    Its title says how many runs are done, running, failed and waiting, and the time left; the final figure has no title.
    """

    def __init__(self, settings: Settings | None = None, every: float = 2.0):
        from IPython.display import display

        self.settings, self.every, self.drawn = settings, every, 0.0
        self.shown: list[tuple[str, int]] | None = None
        self.output = display(study_figure([]), display_id=True)

    def __call__(self, progress: Any) -> None:
        """Redraws the figure where something changed, at most every `every` seconds, and at the end."""
        now = [(state.status, state.steps) for state in progress.states]
        if now != self.shown and (progress.over or time.perf_counter() - self.drawn >= self.every):
            self.shown, self.drawn = now, time.perf_counter()
            figure = study_figure(progress.states, self.settings)
            if not progress.over:
                figure.axes[0].set_title(str(progress), loc="left", fontsize=10)
                figure.pixels = 100  # quickly drawn
            self.output.update(figure)
            self.every = max(self.every, 20 * (time.perf_counter() - self.drawn))  # many runs take long to draw
