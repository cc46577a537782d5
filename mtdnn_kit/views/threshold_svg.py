"""Scores over a threshold as lines, in SVG that a page takes as it is: no script, the theme's colour for text. Knows numbers alone.

matplotlib's figures (`plots`) are for notebooks; this one is drawn anew at every move of a threshold, and follows a dark theme.
"""

from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

import numpy as np

from mtdnn_kit.views.templates import macros

WIDTH, HEIGHT = 620, 240  # in the drawing's own units
LEFT, TOP, RIGHT, BOTTOM = 45, 20, 15, 45  # margins


class Curve(NamedTuple):
    """A step line: `scores` [L] from each of `levels` [L] (rising) on, `before` below them all; a ring and a disc at two thresholds."""

    levels: np.ndarray
    scores: np.ndarray
    before: float
    ring: float
    disc: float

    def at(self, thresholds: np.ndarray) -> np.ndarray:
        """The scores at thresholds."""
        place = np.searchsorted(self.levels, thresholds, side="right") - 1
        return np.where(place >= 0, self.scores[np.maximum(place, 0)], self.before)


def curves_svg(curves: Mapping[int, Curve], names: str) -> str:
    """A line a model (its number decides colour, dashes and letter) over the middle 98 % of levels; `names` says what the axes are."""
    ends = [t for c in curves.values() for t in (*np.quantile(c.levels, (0.01, 0.99)), c.ring, c.disc)]
    grid = np.linspace(min(ends), max(ends), 160)
    found = {number: curve.at(grid) for number, curve in curves.items()}
    ticks = np.arange(10 * np.floor(min(map(np.min, found.values())) / 10), 10 * np.ceil(max(map(np.max, found.values())) / 10) + 1, 10)
    # from values to places; never from a range of no width
    x = partial(np.interp, xp=(grid[0], grid[-1] + 1e-9), fp=(LEFT, WIDTH - RIGHT))
    y = partial(np.interp, xp=(ticks[0], ticks[-1] + 1e-9), fp=(HEIGHT - BOTTOM, TOP))
    lines = []
    for number, curve in curves.items():
        points = " ".join(f"{along:.1f},{up:.1f}" for along, up in np.column_stack((x(grid), y(found[number]))))
        lines.append((number, points, *((x(t), y(curve.at(np.array(t)))) for t in (curve.ring, curve.disc))))
    margins = dict(left=LEFT, right=WIDTH - RIGHT, top=TOP, bottom=HEIGHT - BOTTOM)
    drawing = macros("views/threshold_svg.html").drawing
    return drawing(lines, names, x, np.linspace(grid[0], grid[-1], 7), y, ticks, width=WIDTH, height=HEIGHT, **margins)
