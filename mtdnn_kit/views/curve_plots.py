"""Rows → figures of how each scored task's score went during a training (`eval_every`): of one run, or of the settings of a study.

A panel a task; dashed what one and the same answer scores on the same rows, dotted chance where it is another value. Computes nothing that
is reported: what is drawn, and which task still rises, is `runs.curves`'.
"""

from collections.abc import Mapping
from math import ceil
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mtdnn_kit.compare.differences import Settings
from mtdnn_kit.runs.curves import TaskCurve, curves, rises
from mtdnn_kit.runs.run import Run
from mtdnn_kit.views.plots import detached, styled
from mtdnn_kit.views.style import look

_ACROSS = 5  # panels beside each other
_LEAST_SPAN = 20  # points that a panel spans at least
_GREY: dict[str, Any] = {"color": "0.3", "lw": 1.2}


@styled
def curves_figure(run: Run) -> Figure | None:
    """The score of each task over a run's steps, in the task's colour, its last value beside it; None where none was scored on the way."""
    found, names = curves(run), list(run.types)
    rising = rises(found)
    figure = _panels({task: {"": [(curve, look(names.index(task), lw=2, marker=".", ms=5))]} for task, curve in found.items()})
    for axes, (task, curve) in zip(figure.axes if figure else (), found.items(), strict=False):
        axes.annotate(f"{curve.values[-1]:.1f}", (curve.steps[-1], curve.values[-1]), (5, 1), textcoords="offset points", va="bottom")
        axes.set_xlim(0, 1.2 * curve.steps[-1])
        if task in rising:
            axes.set_title(f"{task}, still rises")
    return figure


@styled
def study_curves_figure(runs: Mapping[str, Run], settings: Settings) -> Figure | None:
    """The same of a study's runs: a colour and a line a setting, a thin line a seed; None where no run was scored on the way."""
    panels: dict[str, dict[str, list[tuple[TaskCurve, dict]]]] = {}
    for i, (setting, own) in enumerate(settings.items()):
        for name in own.values():
            for task, curve in curves(runs[name]).items() if name in runs else ():
                panels.setdefault(task, {}).setdefault(setting, []).append((curve, look(i, lw=1.2)))
    return _panels(panels)


def _panels(panels: Mapping[str, Mapping[str, list[tuple[TaskCurve, dict]]]]) -> Figure | None:
    """task → label of its lines → curves, each with its look. A label "" stands in no legend."""
    if not panels:
        return None
    across, down = min(len(panels), _ACROSS), ceil(len(panels) / _ACROSS)
    figure, places = plt.subplots(down, across, figsize=(max(2.4 * across, 6), 2.5 * down + 0.4), layout="constrained", squeeze=False)
    named: dict[str, Line2D] = {}
    for axes, (task, lines) in zip(places.flat, panels.items(), strict=False):
        _panel(axes, task, lines, named)
    for axes in places.flat[len(panels) :]:
        axes.remove()
    figure.legend(named.values(), named, loc="outside lower center", ncols=min(len(named), 5), frameon=False, fontsize=9)
    return detached(figure)


def _panel(axes: Axes, task: str, lines: Mapping[str, list[tuple[TaskCurve, dict]]], named: dict[str, Line2D]) -> None:
    """Draws a task's curves, and enters the first line of each label into `named`."""
    first = next(curve for own in lines.values() for curve, _ in own)
    for label, own in lines.items():
        drawn = [line for curve, style in own for line in axes.plot(curve.steps, curve.values, **style)]
        if label:
            named.setdefault(label, drawn[0])
    if first.constant is not None:
        named["one and the same answer"] = axes.axhline(first.constant, ls="--", **_GREY)
    if first.chance is not None and (first.constant is None or abs(first.chance - first.constant) > 0.05):
        named["chance"] = axes.axhline(first.chance, ls=":", **_GREY)
    low, high = axes.get_ylim()
    # no noise looks like a mountain
    wider = max(0.0, _LEAST_SPAN - (high - low)) / 2
    axes.set(title=task, xlabel="step", ylabel=f"{first.score}, percent", xlim=(0, None), ylim=(low - wider, high + wider))
