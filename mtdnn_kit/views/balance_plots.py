"""Rows → figures of how tasks are balanced: where and when they conflict, and the weights that a joint step gave them.

Computes no reported number: `runs.conflicts` computes the conflicts.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.image import AxesImage

from mtdnn_kit.runs.conflicts import Conflicts, conflicts, note
from mtdnn_kit.runs.run import Run
from mtdnn_kit.views.plots import BASELINE, Picture, canvas, detached, running_mean, styled
from mtdnn_kit.views.style import COLOURS, colour, look, task_numbers

_CELL, _WIDEST, _FULL_AT = 0.24, 3.9, 0.1  # inches of a cell, and of a row of cells; minimum cosine of a full colour
_PULL = LinearSegmentedColormap.from_list("pull", (COLOURS[1], "white", COLOURS[0]))  # against each other, neither, together


def conflict_figures(runs: Mapping[str, Run]) -> Iterator[tuple[str, Picture | None]]:
    """A sentence with its figure for each run that measured conflicts, and for each with joint steps; without any, a sentence that says
    so."""
    none = True
    for name, run in runs.items():
        if found := conflicts(run.interference()):
            none = False
            yield f"{name}: {note(found)}", conflicts_figure(run.interference(), name)
        if weights := weights_figure(run.log(), list(run.types), name):
            none = False
            yield f"{name}: the weight of each task in its joint steps.", weights
    if none:
        yield "No run of this study measured conflicts: set interference_every to see how the tasks pull.", None


@styled
def conflicts_figure(records: Sequence[dict], title: str = "") -> Picture | None:
    """How often tasks conflict (above) and the mean cosine of their gradients (below), by pair, layer group and part of the training.

    records: `Run.interference()`. White is chance: half of the measurements, a mean of 0; a dash marks values beyond it on the side of
    conflict. Grey: a task does not touch that group. None where no pair was measured.
    """
    found = conflicts(records)
    if found is None:
        return None
    across, height, width = len(found.parts), _CELL * len(found.pairs), min(_CELL * len(found.groups), _WIDEST)
    size = (2.6 + across * max(width, 1.8), 1.9 + 2 * max(height, 1.0))
    figure, panels = canvas(2, across, figsize=size, sharex=True, sharey=True, squeeze=False)
    span = max(_FULL_AT, float(np.nanmax(np.abs(found.mean), initial=0)))
    for row, values, (low, high), said in (
        (panels[0], 100 * found.often, (100, 0), "measurements in\nconflict, percent"),
        (panels[1], found.mean, (-span, span), "mean cosine"),
    ):
        drawn = [_cells(axes, part, found, low, high) for axes, part in zip(row, values, strict=True)]
        figure.colorbar(drawn[0], ax=list(row), label=said)
    for axes, (first, last) in zip(panels[0], found.parts, strict=True):
        axes.set_title(f"step {first:,}" if first == last else f"steps {first:,} to {last:,}", fontsize=10)
    figure.suptitle(title)
    return detached(figure, f"How often and how strongly tasks conflict, by pair, layer and part of the training. {title}: {note(found)}")


def _cells(axes: Axes, values: np.ndarray, found: Conflicts, low: float, high: float) -> AxesImage:
    """One cell per pair and group, [pairs, groups]; those nearer to `low` than to `high` conflict."""
    colours = (_PULL if low < high else _PULL.reversed()).with_extremes(bad="0.72")
    image = axes.imshow(np.ma.masked_invalid(values), colours, vmin=min(low, high), vmax=max(low, high), aspect="auto")
    y, x = np.nonzero(np.abs(values - low) < np.abs(values - high))
    axes.plot(x, y, "_", color="black", ms=4, mew=1)
    axes.set(xticks=range(len(found.groups)), yticks=range(len(found.pairs)), yticklabels=[" – ".join(pair) for pair in found.pairs])
    axes.set_xticklabels(found.groups, rotation=90, fontsize=10 if len(found.groups) <= 15 else 7.5)
    axes.grid(False)
    return image


@styled
def weights_figure(records: Sequence[dict], tasks: Sequence[str] = (), title: str = "") -> Picture | None:
    """The weight of each task in a joint step, over the steps, next to its loss: single steps faint, their running mean strong.

    records: `Run.log()`, of which those with `weights` {task: weight} are drawn, and `losses` where they have them; tasks: all of the run,
    so that each keeps its colour. Dotted: the weight of each if all were equal. None where no record has weights.
    """
    told = [record for record in records if "weights" in record]
    if not told:
        return None
    names = list(dict.fromkeys([*tasks, *(task for record in told for task in record["weights"])]))
    shown = {"weights": "weight in a joint step", "losses": "loss"}
    keys = [key for key in shown if any(record.get(key) for record in told)]
    figure, panels = canvas(1, len(keys), figsize=(3 + 4.5 * len(keys), 3.6), squeeze=False)
    for axes, key in zip(panels[0], keys, strict=True):
        _over_the_steps(axes, [(record["step"], record.get(key, {})) for record in told], names)
        axes.set(xlabel="step", ylabel=shown[key], xlim=(0, told[-1]["step"]), ylim=(min(0.0, axes.get_ylim()[0]), None))
    alike = np.mean([np.mean(list(record["weights"].values())) for record in told])
    panels[0, 0].axhline(alike, ls=":", **BASELINE, label=f"all alike ({alike:.2f})")
    figure.suptitle(title)
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside right upper", title="task (mean weight)")
    said = panels[0, 0].get_legend_handles_labels()[1]
    return detached(figure, f"The weight of each task over the steps, and its mean: {', '.join(said)}. {title}".strip())


def _over_the_steps(axes: Axes, values: Sequence[tuple[int, dict[str, float]]], names: Sequence[str]) -> None:
    """One line per task. values: step, {task: value}."""
    for task, i in task_numbers(names).items():
        own = [(step, of[task]) for step, of in values if task in of]
        if own:
            steps, found = map(list, zip(*own, strict=True))
            axes.plot(steps, found, color=colour(i), lw=0.8, alpha=0.25)
            axes.plot(steps, running_mean(found), **look(i), lw=2, label=f"{task} ({np.mean(found):.2f})")
