"""A curve over a threshold: read off at its steps; drawn where it should be."""

import re

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mtdnn_kit.views.threshold_svg import HEIGHT, WIDTH, Curve, curves_svg

CURVE = Curve(np.array([-1.0, 0.5, 2.0]), np.array([40.0, 60.0, 50.0]), 30.0, 0.5, 1.0)


def test_a_curve_steps_at_its_levels():
    assert CURVE.at(np.array([-2.0, -1.0, 0.49, 0.5, 1.9, 2.0, 9.0])).tolist() == [30, 40, 40, 60, 60, 50, 50]


def test_rings_discs_letters_and_axes():
    svg = curves_svg({0: CURVE, 2: CURVE._replace(disc=2.0)}, "F1 < 100 %")
    circles = [[float(x) for x in found] for found in re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)"', svg)]
    assert circles[0] == circles[2] and circles[0][1] == circles[1][1] < circles[3][1], "60, 60, 60, 50: higher is better"
    assert circles[0][0] < circles[1][0] < circles[3][0]
    assert [letter for letter in re.findall(r">(\w)</text>", svg) if letter.isalpha()] == ["A", "C"]
    assert {"40", "50", "60"} <= set(re.findall(r">([\d.]+)</text>", svg))
    assert "aria-label" in svg and "&lt; 100 %" in svg


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30, unique=True), st.floats(0, 100), st.floats(-1e6, 1e6))
def test_everything_is_drawn_within_the_frame(levels, before, disc):
    levels = np.sort(levels)
    svg = curves_svg({0: Curve(levels, np.linspace(0, 100, len(levels)), before, float(levels[0]), disc)}, "")
    points = [pair.split(",") for line in re.findall(r'points="(.*?)"', svg) for pair in line.split()]
    assert points and all(0 <= float(x) <= WIDTH and 0 <= float(y) <= HEIGHT for x, y in points)
    assert "nan" not in svg
