"""Scores over a threshold as lines, in SVG that a page takes as it is: no script, the theme's colour for text. Knows numbers alone.

matplotlib's figures (`plots`) are for notebooks; this one is drawn anew at every move of a threshold, and follows a dark theme.
"""

from collections.abc import Callable, Mapping
from html import escape
from typing import Any, NamedTuple

import numpy as np

from mtdnn_kit.views.marks import letter
from mtdnn_kit.views.style import DASHES, colour

Scale = Callable[[Any], Any]  # a value, or an array of them, to places

WIDTH, HEIGHT = 620, 240  # in the drawing's own units
LEFT, TOP, RIGHT, BOTTOM = 45, 20, 15, 45  # margins
INK = 'fill="currentColor"'


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
    found = [curve.at(grid) for curve in curves.values()]
    ticks = np.arange(10 * np.floor(min(map(np.min, found)) / 10), 10 * np.ceil(max(map(np.max, found)) / 10) + 1, 10)
    scale = _scale(grid, LEFT, WIDTH - RIGHT), _scale(ticks, HEIGHT - BOTTOM, TOP)
    lines = "".join(_line(number, curve, grid, *scale) for number, curve in curves.items())
    names = escape(names)
    said = f'role="img" aria-label="{names}" viewBox="0 0 {WIDTH} {HEIGHT}" style="max-width:{WIDTH}px"'
    return f"<svg {said}>{_axes(*scale, np.linspace(grid[0], grid[-1], 7), ticks, names)}{lines}</svg>"


def _scale(values: np.ndarray, first: float, last: float) -> Scale:
    """A function from values, lowest to highest, to places from `first` to `last`."""
    low, width = values[0], max(values[-1] - values[0], 1e-9)
    return lambda value: first + (last - first) * (value - low) / width


def _line(number: int, curve: Curve, grid: np.ndarray, x: Scale, y: Scale) -> str:
    points = " ".join(f"{x(t):.1f},{y(v):.1f}" for t, v in zip(grid, curve.at(grid), strict=True))
    style = f'stroke="{colour(number)}" stroke-width="2"'
    parts = [f'<polyline points="{points}" {style} stroke-dasharray="{DASHES[number % 7]}" fill="none"/>']
    for t, fill in ((curve.ring, "none"), (curve.disc, colour(number))):
        parts.append(f'<circle cx="{x(t):.1f}" cy="{y(curve.at(np.array(t))):.1f}" r="5" {style} fill="{fill}"/>')
    above = y(curve.at(np.array(curve.disc))) - 9
    parts.append(f'<text x="{x(curve.disc):.1f}" y="{above:.1f}" text-anchor="middle" font-size="12" {INK}>{letter(number)}</text>')
    return "".join(parts)


def _axes(x: Scale, y: Scale, along: np.ndarray, up: np.ndarray, names: str) -> str:
    """Axes with their figures and names."""
    text, floor = f'font-size="11" {INK}', HEIGHT - BOTTOM
    parts = [f'<path d="M{LEFT} {TOP}V{floor}H{WIDTH - RIGHT}" stroke="currentColor" fill="none"/>']
    parts += [f'<text x="{LEFT - 5}" y="{y(v) + 4:.0f}" text-anchor="end" {text}>{v:g}</text>' for v in up]
    parts += [f'<text x="{x(t):.0f}" y="{floor + 15}" text-anchor="middle" {text}>{t:.1f}</text>' for t in along]
    return "".join([*parts, f'<text x="{(LEFT + WIDTH) / 2:.0f}" y="{HEIGHT - 10}" text-anchor="middle" {text}>{names}</text>'])
