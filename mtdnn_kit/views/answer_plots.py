"""Rows → figures of answers: where two runs differ, how well a run knows when to answer nothing, and what its probabilities are worth.

Computes nothing that is reported; colours and lines are those of `style`, so that a run looks the same everywhere.
"""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from mtdnn_kit.compare.pairing import Question
from mtdnn_kit.compare.slices import FACETS, ORDER
from mtdnn_kit.metrics import calibration
from mtdnn_kit.tasks.null_threshold import average_precision, no_answer_curve
from mtdnn_kit.views.plots import detached, interval, styled, styled_along_x
from mtdnn_kit.views.style import look


@styled_along_x
def slices_figure(rows: Sequence[dict], a: str, b: str, score: str = "F1") -> Figure:
    """Run b minus run a in each slice, with 95 % intervals, facet by facet. rows: of `differences.slice_table`, in any order."""
    facets = [facet for facet in (*FACETS, "windows") if any(row["facet"] == facet for row in rows)]
    ordered = sorted(rows, key=lambda row: (facets.index(row["facet"]), ORDER.index(row["slice"])))
    figure, axes = plt.subplots(figsize=(9, 1.1 + 0.3 * (len(ordered) + len(facets))), layout="constrained")
    places = [1 + i + facets.index(row["facet"]) for i, row in enumerate(ordered)]  # a line is left free between two facets
    for i, (y, row) in enumerate(zip(places, ordered, strict=True)):
        interval(axes, y, row["difference"], row["low"], row["high"], full=row["low"] is not None)
        if i == 0 or row["facet"] != ordered[i - 1]["facet"]:
            axes.annotate(row["facet"], (1.01, y), xycoords=("axes fraction", "data"), va="center", fontweight="bold", fontsize=9)
    axes.axvline(0, color="0.3", lw=1)
    names = [f"{row['slice']} ({row['questions']:,})" for row in ordered]
    axes.set(yticks=places, yticklabels=names, ylim=(max(places, default=0) + 1, 0))
    axes.set(xlabel=f"{score}: {b} minus {a}, points (95 % intervals over passages)")
    return detached(figure)


@styled
def nothing_figure(questions: Sequence[Question]) -> Figure:
    """Answering nothing, a line a run: precision over recall as the threshold goes down; and how often answers of a probability are right.

    Left the legend has the average precision, and the share of unanswerable questions, which guessing reaches, is dotted; right it has the
    expected calibration error. A run without n-best has neither line.
    """
    figure, (curve, bins) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    empty = np.array([not q.row.answers for q in questions])
    names = list(questions[0].replies) if questions else []
    for i, name in enumerate(names):
        replies, style = [q.replies[name] for q in questions], look(i, lw=2)
        if any(reply.diff is None for reply in replies):
            continue
        diff = np.array([reply.diff for reply in replies], float)
        if empty.any():
            _, precision, recall = no_answer_curve(diff, empty)
            curve.plot(100 * recall, 100 * precision, label=f"{name} (AP {average_precision(diff, empty):.1f})", **style)
        rows, error = calibration([reply.probability or 0.0 for reply in replies], [reply.em or 0.0 for reply in replies])
        at, right = [row["probability"] for row in rows], [row["right"] for row in rows]
        bins.plot(at, right, marker="o", ms=4, label=f"{name} (error {error:.2f})", **style)
    curve.axhline(100 * empty.mean() if len(empty) else 0, color="0.3", ls=":", lw=1)
    curve.set(xlabel="recall of unanswerable questions, percent", ylabel="precision, percent", xlim=(0, 101), ylim=(0, 101))
    curve.set_title("answering nothing, over the threshold")
    bins.plot([0, 1], [0, 1], color="0.3", ls=":", lw=1)
    bins.set(xlabel="probability of the answer given", ylabel="share that is right (EM)", xlim=(0, 1.01), ylim=(0, 1.01))
    bins.set_title("what probabilities are worth")
    for axes in (curve, bins):
        if axes.get_legend_handles_labels()[1]:
            axes.legend(frameon=False, fontsize=9)
    return detached(figure)
