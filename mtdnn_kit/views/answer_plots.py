"""Rows → figures of answers: where two runs differ, how well a run knows when not to answer, and how well its probabilities are calibrated.

Computes no reported number; colours and lines come from `style`, so that a run looks the same everywhere.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from mtdnn_kit.compare.outcomes import ANSWER_KINDS
from mtdnn_kit.compare.pairing import Question
from mtdnn_kit.compare.seeds import cannot_tell
from mtdnn_kit.compare.slices import FACETS, ORDER
from mtdnn_kit.metrics import calibration
from mtdnn_kit.tasks.null_threshold import average_precision, no_answer_curve
from mtdnn_kit.views.plots import BASELINE, Picture, canvas, detached, disc, horizontal_bars, interval, panels, styled, styled_along_x
from mtdnn_kit.views.style import colour, look


@styled_along_x
def slices_figure(rows: Sequence[dict], a: str, b: str, score: str = "F1", number: int = 0, clusters: str = "passages") -> Picture:
    """Run b minus run a in each slice, with 95 % intervals, one heading per facet. rows: of `differences.slice_table`, in any order;
    number: of run b, for its colour; clusters: what the intervals generalise over (`clusters.population`)."""
    facets = [facet for facet in (*FACETS, "windows") if any(row["facet"] == facet for row in rows)]
    lines: list[dict | str] = []
    for facet in facets:
        lines += [facet, *sorted((row for row in rows if row["facet"] == facet), key=lambda row: ORDER.index(row["slice"]))]
    figure, axes = canvas(figsize=(9, 1.1 + 0.3 * len(lines)))
    for y, row in enumerate(lines):
        if not isinstance(row, str):
            told = row["low"] is not None and not cannot_tell(row["low"], row["high"])
            low, high = (row["low"], row["high"]) if told else (None, None)
            interval(axes, y, row["difference"], low, high, told, number)
    axes.axvline(0, **BASELINE)
    figure.legend(handles=[disc(False, "too few for an interval")], loc="outside lower right")
    names = [row if isinstance(row, str) else f"{row['slice']} (n = {row['questions']:,})" for row in lines]
    axes.set(yticks=range(len(lines)), yticklabels=names, ylim=(len(lines) - 0.4, -0.6))
    for label, row in zip(axes.get_yticklabels(), lines, strict=True):
        label.set_fontweight("bold" if isinstance(row, str) else "normal")
    axes.tick_params(axis="y", length=0)
    axes.set(xlabel=f"{score}: {b} minus {a}, points (95 % intervals over {clusters})")
    said = "; ".join(f"{row['slice']} {row['difference']:+.1f}" for row in lines if not isinstance(row, str))
    return detached(figure, f"{score}, {b} minus {a}, in points, by slice: {said}.")


@styled_along_x
def counts_figure(counts: Mapping[str, int], names: Sequence[str]) -> Picture:
    """How many answers each run has of each kind, one panel per kind and one bar per run, in its colour. counts: `filters.counts`; names:
    the runs."""
    kinds = ["right", *(kind for kind in ANSWER_KINDS[1:] if any(f"{name}: {kind}" in counts for name in names))]
    figure, places = panels(len(kinds), 0.9 + 0.3 * len(names), sharey=True)
    said = []
    for axes, kind in zip(places, kinds, strict=True):
        bars = {name: counts.get(f"{name}: {kind}", 0) for name in names}
        horizontal_bars(axes, bars, [(n, f" {n:,}") for n in bars.values()], list(map(colour, range(len(names)))), fontsize=10)
        axes.set(title=kind, xlabel="questions", xlim=(0, 1.25 * max(*bars.values(), 1)))
        axes.locator_params(axis="x", nbins=4, integer=True)
        said.append(f"{kind}: {', '.join(f'{name} {n:,}' for name, n in bars.items())}")
    places[0].set_ylim(len(names) - 0.5, -0.5)
    return detached(figure, f"Answers of each kind, of {counts['all']:,} questions. {'; '.join(said)}.")


@styled
def nothing_figure(questions: Sequence[Question]) -> Picture:
    """How well runs know when not to answer, one line per run: precision over recall as the threshold falls. The legend has the
    average precision; the grey line is the share of unanswerable questions, which guessing reaches. A run without n-best has no line."""
    figure, axes = canvas(figsize=(8, 4))
    empty, said = np.array([not q.row.answers for q in questions]), []
    for i, name in enumerate(_runs(questions)):
        diffs = [q.replies[name].diff for q in questions]
        if empty.any() and None not in diffs:
            diff = np.array(diffs, float)
            _, precision, recall = no_answer_curve(diff, empty)
            said.append(f"{name} {average_precision(diff, empty):.1f}")
            axes.plot(100 * recall, 100 * precision, label=said[-1], **look(i, lw=2))
    guess = 100 * empty.mean() if len(empty) else 0
    axes.axhline(guess, label=f"guessing ({guess:.1f})", **BASELINE)
    axes.set(xlabel=f"recall of unanswerable questions, percent (n = {empty.sum():,})", ylabel="precision, percent")
    axes.set(xlim=(0, 101), ylim=(0, 101))
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), title="average precision")
    return detached(figure, f'Average precision of "no answer": {", ".join(said) or "no run tells"}; guessing {guess:.1f}.')


@styled
def calibration_figure(questions: Sequence[Question]) -> Picture:
    """How well probabilities are calibrated, one panel per run: in ten bins, the share of right answers against the mean probability, each
    bin with its number of answers; on the dotted line probabilities are calibrated. A run without n-best has no bars."""
    names = _runs(questions)
    figure, places = panels(len(names), 2.9, sharey=True)
    said = []
    for i, (axes, name) in enumerate(zip(places, names, strict=False)):
        replies = [q.replies[name] for q in questions]
        axes.plot([0, 1], [0, 1], ls=":", **BASELINE)
        title = name
        if all(reply.diff is not None for reply in replies):
            rows, error = calibration([reply.probability or 0.0 for reply in replies], [reply.em or 0.0 for reply in replies])
            _bins(axes, rows, i)
            title = f"{name}\nerror {error:.2f}"
            said.append(f"{name} {error:.2f}")
        axes.set(title=title, xlabel="probability", xlim=(0, 1), ylim=(0, 1.12), xticks=(0, 0.5, 1))
    for axes in places[:1]:
        axes.set_ylabel(f"share right (EM, n = {len(questions):,})")
    return detached(
        figure,
        f"Expected calibration error, the mean gap between probability and share right (0 is perfect): {', '.join(said)}.",
    )


def _bins(axes: Axes, rows: Sequence[dict[str, Any]], number: int) -> None:
    """One bar per bin, with the number of its answers above."""
    for row in rows:
        axes.bar((row["from"] + row["to"]) / 2, row["right"], 0.09, color=colour(number), alpha=0.75)
        axes.plot(row["probability"], row["right"], "o", ms=4, color=colour(number))
        axes.text((row["from"] + row["to"]) / 2, row["right"] + 0.04, f"{row['n']}", ha="center", fontsize=8)


def _runs(questions: Sequence[Question]) -> list[str]:
    return list(questions[0].replies) if questions else []
