"""Rows → figures of each scored task's score during a training (`eval_every`): of one run, or of the settings of a study.

One panel per task; dashed: the score of a constant answer on the same rows, dotted: chance, if it differs. Computes no reported number:
`runs.curves` computes the curves, and which task still rises.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from mtdnn_kit.compare.differences import Settings
from mtdnn_kit.runs.curves import TaskCurve, curves, notes, rises
from mtdnn_kit.runs.forgetting import forgetting, forgetting_table
from mtdnn_kit.runs.run import Run
from mtdnn_kit.views.plots import BASELINE, Picture, detached, panels, styled
from mtdnn_kit.views.style import look, task_numbers

_LEAST_SPAN = 20  # minimum span of a panel, in points


@styled
def curves_figure(run: Run) -> Picture | None:
    """The score of each task over a run's steps, in the task's colour, its last value next to it; None without scorings during training."""
    found, numbers = curves(run), task_numbers(run.types)
    rising = rises(found)
    figure = _panels(
        {task: {"": [(curve, look(numbers[task], lw=2, marker=".", ms=5))]} for task, curve in found.items()}, notes({run.name: run})
    )
    for axes, (task, curve) in zip(figure.axes if figure else (), found.items(), strict=False):
        axes.annotate(f"{curve.values[-1]:.1f}", (curve.steps[-1], curve.values[-1]), (5, 1), textcoords="offset points", va="bottom")
        axes.set_xlim(0, 1.2 * curve.steps[-1])
        if task in rising:
            axes.set_title(f"{task}, still rises")
    return figure


@styled
def study_curves_figure(runs: Mapping[str, Run], settings: Settings) -> Picture | None:
    """The same of a study's runs: one colour and line per setting, one thin line per seed; None if no run was scored during training."""
    found: dict[str, dict[str, list[tuple[TaskCurve, dict]]]] = {}
    for i, (setting, own) in enumerate(settings.items()):
        for name in own.values():
            for task, curve in curves(runs[name]).items() if name in runs else ():
                found.setdefault(task, {}).setdefault(setting, []).append((curve, look(i, lw=1.2)))
    return _panels(found, notes(runs))


@styled
def forgetting_figure(runs: Mapping[str, Run], settings: Settings) -> Picture | None:
    """What each task lost since it was learnt (`runs.forgetting`): one colour per setting, one line per seed, from its score when learnt to
    that at the end; None where no run was scored during training."""
    found: dict[str, dict[str, list[tuple[TaskCurve, dict]]]] = {}
    for i, (setting, own) in enumerate(settings.items()):
        for run in (runs[name] for name in own.values() if name in runs):
            known = curves(run)
            for row in forgetting(run):
                line = replace(known[row["task"]], steps=[0, 1], values=[row["learnt"], row["end"]])
                found.setdefault(row["task"], {}).setdefault(setting, []).append((line, look(i, lw=1.4, marker="o", ms=4)))
    said = [f"{row['setting']} forgot {row['forgotten']:.1f} points of {row['task']}." for row in forgetting_table(runs, settings)]
    figure = _panels(found, said)
    for axes in figure.axes if figure else ():
        axes.set(xlim=(-0.25, 1.25), xticks=[0, 1], xticklabels=["learnt", "end"], xlabel="")
    return figure


def _panels(found: Mapping[str, Mapping[str, list[tuple[TaskCurve, dict]]]], said: Sequence[str]) -> Picture | None:
    """found: task → label of its lines → curves, each with its look; a label "" is in no legend. said: the curves in words."""
    if not found:
        return None
    figure, places = panels(len(found))
    named: dict[str, Line2D] = {}
    for axes, (task, lines) in zip(places, found.items(), strict=True):
        _panel(axes, task, lines, named)
    figure.legend(named.values(), named, loc="outside lower center", ncols=min(len(named), 5))
    return detached(figure, f"Scores over the steps, one panel per task. {' '.join(said)}")


def _panel(axes: Axes, task: str, lines: Mapping[str, list[tuple[TaskCurve, dict]]], named: dict[str, Line2D]) -> None:
    """Draws a task's curves, and enters the first line of each label into `named`."""
    first = next(curve for own in lines.values() for curve, _ in own)
    for label, own in lines.items():
        drawn = [line for curve, style in own for line in axes.plot(curve.steps, curve.values, **style)]
        if label:
            named.setdefault(label, drawn[0])
    if first.constant is not None:
        named["one and the same answer"] = axes.axhline(first.constant, ls="--", **BASELINE)
    if first.chance is not None and (first.constant is None or abs(first.chance - first.constant) > 0.05):
        named["chance"] = axes.axhline(first.chance, ls=":", **BASELINE)
    low, high = axes.get_ylim()
    # noise must not look large
    wider = max(0.0, _LEAST_SPAN - (high - low)) / 2
    axes.set(title=task, xlabel="step", ylabel=f"{first.score}, percent", xlim=(0, None), ylim=(low - wider, high + wider))
