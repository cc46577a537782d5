"""Least squares for runs laid out as seeds × settings: a difference of two settings, and its variance over seeds.

A seed fixes the head that a run begins with and the rows of its batches, whatever the setting: runs of one seed are alike. So settings that
share seeds are compared within them, with an effect for each seed and each setting; cells may be missing. Residuals are pooled over all
settings, unless the two vary more than the others suggest (F-test at UNLIKE): then only theirs are used. Pooling after a test is an old
compromise (Bancroft 1964, "Analysis and inference for incompletely specified models"); the test's level is high, since three seeds give
little evidence. Settings that share too few seeds are compared as unrelated, each with its own spread (Welch 1947): the seeds that they do
share would only reduce the uncertainty. Knows arrays only; imports nothing from the kit.

Shapes: C runs, G passages; u [C, G] contributions. The residuals' means over passages estimate the variance over seeds, and the rest within
a run the interaction of seed and passage.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import f

UNLIKE = 0.5  # below this p, two settings do not share the others' spread
_ROUNDING = 1e-10  # relative to the largest contribution: less is rounding
Cells = dict[int, np.ndarray]  # seed → contributions [G]


@dataclass(frozen=True)
class Contrast:
    """A weighted sum Σ_c w_c · u_c of runs' contributions u [C, G]: an estimate of a difference.

    by_passage [G]: the sum for each passage. by_run [C]: w_c · s_c, where s_c is the standard deviation of the runs of that setting; the
    squares sum to the variance over seeds, which has df degrees of freedom. shared: Σ w_c² · σ²_e. seed, left: the variance over seeds,
    and within a run over passages, of the difference between one run of each.
    """

    by_passage: np.ndarray
    by_run: np.ndarray
    df: float
    shared: float
    seed: float
    left: float
    n_seeds: tuple[int, int]
    paired: bool


@dataclass(frozen=True)
class _Fit:
    weights: np.ndarray  # [C]
    square: float  # mean square of the residuals' means over passages
    left: float  # and of what is left within a run
    df: int


def contrast(settings: Sequence[Cells], other: int) -> Contrast:
    """Setting `other` minus the first: within shared seeds if these are at least three (or all of a setting with two) and leave 2 degrees
    of freedom; otherwise as unrelated settings."""
    common, fewest = len(settings[0].keys() & settings[other].keys()), min(len(settings[0]), len(settings[other]))
    if common >= min(3, fewest):
        fit, pair = _within(settings, other), _within(settings, other, alone=True)
        if fit.df > 1:
            fit = pair if _unlike(pair, fit) else fit
            u = np.array([u for own in settings for u in own.values()])
            return _contrast(u, [fit], 2, (common, common), paired=True)
    u, sizes = np.array([u for own in settings for u in own.values()]), [len(own) for own in settings]
    at, fits = np.repeat(np.arange(len(sizes)), sizes), []
    for k, sign in ((0, -1), (other, 1)):
        fit = _least_squares(u[at == k], np.ones((sizes[k], 1)), np.array([sign]))
        weights = np.zeros(len(u))
        weights[at == k] = fit.weights
        fits.append(_Fit(weights, fit.square, fit.left, fit.df))
    return _contrast(u, fits, 1, (sizes[0], sizes[other]), paired=False)


def pooled(settings: Sequence[Cells]) -> tuple[float, float, int]:
    """The residual mean squares over seeds, and within a run over passages, after an effect for each setting and each seed, and their
    degrees of freedom; for a difference the squares are twice as large."""
    fit = _within(settings, len(settings) - 1)
    return fit.square, fit.left, fit.df


def alone(setting: Cells) -> Contrast:
    """A setting's mean over its seeds."""
    u = np.array(list(setting.values()))
    return _contrast(u, [_least_squares(u, np.ones((len(u), 1)), np.ones(1))], 1, (len(u), len(u)), paired=False)


def _unlike(pair: _Fit, whole: _Fit) -> bool:
    """Whether a pair of settings, with at least two degrees of freedom, varies more than the other settings of the layout."""
    df = whole.df - pair.df
    rest = whole.square * whole.df - pair.square * pair.df
    return pair.df > 1 and df > 0 and pair.square * df > max(rest, 0.0) * float(f.isf(UNLIKE, pair.df, df))


def _within(settings: Sequence[Cells], other: int, *, alone: bool = False) -> _Fit:
    """Fits an effect for each setting and each seed; alone: to the runs of the first and the other setting only, with weight 0 for the
    others."""
    places = [(k, seed) for k, own in enumerate(settings) for seed in own if not alone or k in (0, other)]
    seeds = sorted({seed for _, seed in places})
    design = np.array([[*(k == j for j in range(len(settings))), *(seed == s for s in seeds)] for k, seed in places], float)
    wanted = np.zeros(design.shape[1])
    wanted[[0, other]] = -1, 1
    fit = _least_squares(np.array([settings[k][seed] for k, seed in places]), design, wanted)
    weights = iter(fit.weights)
    spread = [next(weights) if not alone or k in (0, other) else 0.0 for k, own in enumerate(settings) for _ in own]
    return replace(fit, weights=np.array(spread))


def _least_squares(u: np.ndarray, design: np.ndarray, wanted: np.ndarray) -> _Fit:
    """The weights for a combination of effects, and the mean squares of the residuals of u [C, G]."""
    inverse, df = np.linalg.pinv(design), len(u) - int(np.linalg.matrix_rank(design))
    rest = _snapped(u - design @ (inverse @ u), u)
    means = rest.mean(axis=1)
    within = rest - means[:, None]
    degrees = max(df, 1)
    return _Fit(inverse.T @ wanted, float(means @ means) / degrees, float((within**2).sum()) / degrees / (u.shape[1] - 1), df)


def _contrast(u: np.ndarray, fits: Sequence[_Fit], runs: int, n_seeds: tuple[int, int], *, paired: bool) -> Contrast:
    """runs: the runs of each fit that one difference compares."""
    squares = np.array([fit.weights @ fit.weights for fit in fits])
    parts, left = squares * [fit.square for fit in fits], squares * [fit.left for fit in fits]
    df = parts.sum() ** 2 / (parts**2 / [fit.df for fit in fits]).sum() if parts.any() else sum(fit.df for fit in fits)
    by_run = sum(fit.weights * fit.square**0.5 for fit in fits)
    by_passage = _snapped(sum(fit.weights for fit in fits) @ u, u)
    seed, within = (runs * sum(getattr(fit, name) for fit in fits) for name in ("square", "left"))
    return Contrast(by_passage, by_run, float(df), float(left.sum()), seed, within, n_seeds, paired)


def _snapped(found: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Sets rounding errors to 0."""
    return np.where(np.abs(found) < _ROUNDING * np.abs(u).max(), 0.0, found)
