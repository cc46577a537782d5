"""Inference on the difference between two settings from several seeds of each: for other seeds, for other passages, and for both.

A setting is a recipe (a mixture, a weight); a seed is one run of it. Knows contributions of passages to the scores of runs, no run, row or
name of a score; from the kit it imports the least squares (`blocks`) and the degrees of freedom of few passages (`significance`). Shapes: G
passages, C runs. Model: crossed random effects (Searle, Casella & McCulloch 1992, "Variance Components"); passage p contributes to the run
of setting k with seed s μ_k + S_s + (KS)_ks + P_p + (KP)_kp + (SP)_sp + e_ksp. Settings that share seeds are compared within them, which
cancels S and SP.

Three variances of a difference Σ w·u: of seeds, on these passages, Σw²·σ²_KS + Σw²·σ²_e/G; of passages, with these runs, σ²_KP/G +
Σw²·σ²_e/G; of both, which counts their shared part once. Of seeds it is one mean square, so its t-interval is exact; of passages it is
CR2's, which knows their sizes, with Satterthwaite's degrees of freedom, fewer where a few of them make most of the variance, as in
`significance` (G − 1 for passages of equal size). For both, the squared half-width is t²·V of seeds and t²·V of passages beyond what is
shared, each with its own degrees of freedom (Banerjee 1960, "Approximate confidence interval for linear functions of means"), and never
less than that of passages only. Weighted degrees of freedom (Satterthwaite 1946) would reject too often in the tails: with 2 degrees, up to
0.03 at a level of 0.00625. The interval is conservative where seeds hardly differ: three seeds of two settings cover up to 98.8 %.
benchmarks/seeds.py simulates all this. Where a difference does not vary over seeds (or passages), nothing tells how it would over others:
there is no interval for these, and if it varies over neither, p is that of sign flips.
"""

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.special import stdtrit
from scipy.stats import nct

from mtdnn_kit.compare import blocks, significance
from mtdnn_kit.errors import NoClaim

Statistic = Callable[[np.ndarray, np.ndarray], float]
Groups = Sequence | np.ndarray  # labels of the items' passages
Cells = Mapping[int, ArrayLike]  # of a setting: seed → contributions [G] of its run
_DOUBLINGS = 20  # the maximum number of seeds or passages
_TAILS = (np.log(0.5 - 1e-5), -100.0)  # logarithms of the largest and the smallest distinguishable tail
_TINY = 1e-10  # differences and standard errors, in points or as fractions, that are rounding
_LEAST = 3  # seeds of a setting, from which a p is shown
NO_P = "no p: two seeds tell too little of how this setting's seeds vary"
SCALE = 100  # points, between the lowest and the highest score of most kinds
POPULATIONS = ("other seeds, these passages", "other passages, these runs", "other seeds and passages")


@dataclass(frozen=True)
class SettingDifference:
    """Score of setting B minus that of setting A. low, high, p, se, df: for other seeds and other passages like these; p is None where a
    setting has two seeds, and the ends are infinite where nothing varies. df: the parts' degrees, weighted by their shares of the variance.

    for_seeds, for_passages: ends of the intervals for other seeds on these passages, and for other passages with these runs. seed, passage,
    seed_passage: σ²_KS, σ²_KP, σ²_e of the difference between one seed of each on one passage (not paired: the settings' own summed);
    estimates of small variances may be negative. n_seeds: of A and of B that are compared; paired: they are the same ones. by_run [C],
    by_passage [G]: the data for correlations of differences (`family`). parts [2, 3]: the variances behind the intervals (of seeds, of
    passages beyond what is shared, of passages), each with its degrees of freedom.
    """

    difference: float
    low: float
    high: float
    p: float | None
    level: float
    se: float
    df: float
    seed: float
    passage: float
    seed_passage: float
    n_seeds: tuple[int, int]
    n_passages: int
    paired: bool
    for_seeds: tuple[float, float] = (float("nan"), float("nan"))
    for_passages: tuple[float, float] = (float("nan"), float("nan"))
    by_run: np.ndarray = field(default_factory=lambda: np.zeros(0), repr=False, compare=False)
    by_passage: np.ndarray = field(default_factory=lambda: np.zeros(0), repr=False, compare=False)
    parts: np.ndarray = field(default_factory=lambda: np.zeros((2, 3)), repr=False, compare=False)
    of: str = field(default="passages", compare=False)  # what `sentence` calls clusters

    @property
    def varies(self) -> bool:
        """Whether the difference varies over seeds or passages: without that, nothing is known about others."""
        return self.se > _TINY

    def ends(self, level: float) -> tuple[float, float]:
        """The ends of the interval for other seeds and other passages, at another level."""
        far = _far(self.parts, (1 - level) / 2) if self.varies else np.inf
        return self.difference - far, self.difference + far

    @property
    def intervals(self) -> dict[str, tuple[float, float]]:
        """The ends of the interval for each of POPULATIONS."""
        return dict(zip(POPULATIONS, (self.for_seeds, self.for_passages, (self.low, self.high)), strict=True))

    def sentence(self, a: str = "A", b: str = "B", scale: float = 1.0, of: str | None = None) -> str:
        """The result and its population, in one sentence; numbers are shown times `scale` (100: scores of 0 to 1 in points); `of`: another
        name for the clusters."""
        low, high = (f"{scale * x:+.3g}" for x in (self.low, self.high))
        outside = not self.low <= 0 <= self.high if self.varies else self.p is not None and self.p < 1 - self.level
        within = f", {'more' if outside else 'no more'} than what the choice of seeds and passages explains" if self.p is not None else ""
        seeds = f"the same {self.n_seeds[0]} seeds" if self.paired else f"{self.n_seeds[0]} and {self.n_seeds[1]} seeds"
        p = NO_P if self.p is None else f"p = {significance.p_text(self.p)}"
        apart = [(name, ends) for name, ends in list(self.intervals.items())[:2] if np.isfinite(ends[0])]
        others = "; ".join(f"{scale * x:+.3g} to {scale * y:+.3g} for {name}" for name, (x, y) in apart)
        ends = f"{100 * self.level:g} % interval {low} to {high} for {POPULATIONS[2]}{'; ' * bool(others)}{others}"
        said = (
            f" = {scale * self.difference:+.3g} ({ends if self.varies else 'the same for all, hence no interval'}; "
            f"{p}; {seeds}, {self.n_passages:,} passages){within}; "
            "it speaks for further seeds of these two settings on passages like these, with nothing else changed."
            f"{_sentence(cannot_tell(scale * self.low, scale * self.high, min(self.n_seeds))) if self.varies else ''}"
        )
        return f"{b} − {a}{said.replace('passages', of or self.of)}"


def cannot_tell(low: float, high: float, seeds: int | None = None) -> str:
    """The note on an interval in points that is wider than the scale of scores and contains 0: "two seeds cannot tell"; "" for others."""
    words = {2: "two seeds", 3: "three seeds"}.get(seeds or 0, f"{seeds} seeds" if (seeds or 0) > 1 else "these models")
    return f"{words} cannot tell" if high - low > SCALE and low <= 0 <= high else ""


def _sentence(said: str) -> str:
    return f" {said[0].upper()}{said[1:]}: the interval is wider than the scale." if said else ""


@dataclass(frozen=True)
class Needed:
    """Seeds of each setting needed at the present passages, and passages at the present seeds; None if no number is enough, or nothing
    varies, so that the number is unknown."""

    seeds: int | None
    passages: int | None


def contributions(outcomes: ArrayLike, groups: Groups, statistic: Statistic | None = None) -> np.ndarray:
    """Each passage's contribution [G] to one run's score, which is their mean; passages in the order of their labels' repr.

    outcomes [N] or [N, …], groups [N], statistic: as in significance.py. For a mean m: m + (G/N) · size_p · (mean_p − m), as of a ratio;
    for a statistic θ: θ + (G/N) · (N − size_p) · (θ − θ without p), the jackknife of unequal groups (Busing, Meijer & van der Leeden 1999),
    which is the same for a mean, shifted to have the score as their mean. Raises ValueError.
    """
    outcomes, passage = np.asarray(outcomes, np.float64), _numbered(groups)
    g, labels = int(passage.max(initial=-1)) + 1, passage
    if outcomes.shape[:1] != (len(labels),) or (statistic is None and outcomes.ndim > 1):
        raise ValueError(f"outcomes {outcomes.shape} and labels ({len(labels)},) must be of the same items (or name a statistic)")
    if g < 2 or not np.isfinite(outcomes).all():
        raise ValueError(f"{g} passages: give at least two passages, and finite outcomes")
    n, sizes = len(labels), np.bincount(passage)
    if statistic is None:
        m = outcomes.mean()
        return m + g / n * (np.bincount(passage, outcomes) - m * sizes)
    without = np.array([statistic(outcomes, (passage != p).astype(int)) for p in range(g)], np.float64)
    if not np.isfinite(without).all():
        raise ValueError("the statistic is not a number without some passage; make it return a value (e.g. 0) for empty parts")
    score = statistic(outcomes, np.ones(n, int))
    moved = g / n * (n - sizes) * (score - without)
    return score + moved - moved.mean()


def sizes_of(groups: Groups) -> np.ndarray:
    """The number of items of each passage [G], in the order of `contributions`."""
    return np.bincount(_numbered(groups))


def _numbered(groups: Groups) -> np.ndarray:
    """Passages' numbers [N], in the order of their labels' repr."""
    labels = groups.tolist() if hasattr(groups, "tolist") else list(groups)
    number = {label: i for i, label in enumerate(sorted(dict.fromkeys(labels), key=repr))}
    return np.array([number[label] for label in labels], int)


def compare_to_first(settings: Sequence[Cells], level: float = 0.95, sizes: np.ndarray | None = None) -> list[SettingDifference]:
    """Each other setting minus the first, with the spread of seeds pooled over all of them (`blocks.contrast`); contributions are of the
    same passages, of `sizes` [G] items (None: equally many). Raises NoClaim where a setting has a single seed; ValueError."""
    cells = _checked(settings, level)
    return [_worth(blocks.contrast(cells, k), level, sizes) for k in range(1, len(cells))]


def mean_score(setting: Cells, level: float = 0.95, sizes: np.ndarray | None = None) -> SettingDifference:
    """A setting's score with its interval for other seeds and passages, as a difference to 0. Raises as `compare_to_first`."""
    return _worth(blocks.alone(_checked([setting], level)[0]), level, sizes)


def _worth(found: blocks.Contrast, level: float, sizes: np.ndarray | None) -> SettingDifference:
    d, g = float(found.by_passage.mean()), len(found.by_passage)
    of_seeds, shared, tail = float((found.by_run**2).sum()), found.shared / g, (1 - level) / 2
    items = np.ones(g) if sizes is None else np.asarray(sizes, float)
    # contributions are m + G/N · (sum − m · size), so these are what a passage adds to N times the difference
    of_passages, by_g = significance.spread((found.by_passage - d) * items.sum() / g, items)
    parts = np.array([[of_seeds, max(0.0, of_passages - shared)], [found.df, by_g]])
    alone = np.array([[of_passages], [by_g]])
    all_parts = np.hstack([parts, alone])
    se = max(parts[0].sum(), of_passages) ** 0.5
    varies = se > _TINY
    widths = [half_width(one, tail) if one[0].sum() > _TINY**2 else np.inf for one in (parts[:, :1], alone)]
    for_seeds, for_passages = ((d - far, d + far) for far in widths)
    far = _far(all_parts, tail) if varies else np.inf
    flipped = 2.0 ** (1 - min(g, *found.n_seeds)) if abs(d) > _TINY else 1.0
    p = (max(_p(d, parts), _p(d, alone)) if varies else flipped) if min(found.n_seeds) >= _LEAST else None
    df, passage, seed = _df(*parts), g * (of_passages - shared), found.seed - found.left / g
    of_both = (d, d - far, d + far, p, level, se, df, seed, passage, found.left, found.n_seeds, g, found.paired)
    return SettingDifference(*of_both, for_seeds, for_passages, found.by_run, found.by_passage, all_parts)


def half_width(parts: np.ndarray, tail: float) -> float:
    """Half the width of an interval that leaves `tail` on either side, from the variance's parts [2, n], each with its degrees of
    freedom."""
    return float(np.sqrt((parts[0] * stdtrit(parts[1], tail) ** 2).sum()))


def _far(parts: np.ndarray, tail: float) -> float:
    """Half the width of the interval for both, from the variances and degrees of freedom [2, 3] of `SettingDifference.parts`."""
    return max(half_width(parts[:, :2], tail), half_width(parts[:, 2:], tail))


def _p(found: float, parts: np.ndarray) -> float:
    """Two-sided: twice the tail at which the interval just reaches 0."""
    if not parts[0].any() or not found:
        return float(not found)
    ends = [half_width(parts, np.exp(tail)) for tail in _TAILS]
    if not ends[0] < abs(found) < ends[1]:
        return 2 * float(np.exp(_TAILS[int(abs(found) > ends[0])]))
    return 2 * float(np.exp(brentq(lambda tail: np.log(half_width(parts, np.exp(tail)) / abs(found)), *_TAILS)))


def _df(parts: np.ndarray, dfs: np.ndarray) -> float:
    """Degrees of freedom weighted by the parts' shares; those of the last part where nothing varies."""
    return float(parts.sum() / (parts / dfs).sum()) if parts.any() else float(dfs[-1])


def needed(found: SettingDifference, difference: float, *, power: float = 0.8, level: float = 0.95) -> Needed:
    """Seeds of each setting, and passages, with which a true `difference` is seen (p < 1 − level) with probability `power`.

    Each is computed with the other as in `found` (the smaller number of seeds); questions grow with passages. By the noncentral t
    distribution (Cohen 1988, "Statistical Power Analysis", chapter 2) and found's components, which are rough with few seeds: so is this.
    None above a million: the other source of variance alone is too large; and no number of passages gives two seeds a p.
    """
    if not (difference and np.isfinite(difference) and 0 < power < 1 and 0 < level < 1):
        raise ValueError(f"difference: {difference} must not be 0; power: {power} and level: {level} must lie between 0 and 1")
    seeds, passages = min(found.n_seeds), found.n_passages
    if not found.varies:
        return Needed(None, None)
    return Needed(
        _least(lambda s: s >= _LEAST and _power(found, difference, s, passages, level) >= power),
        _least(lambda g: _power(found, difference, seeds, g, level) >= power) if seeds >= _LEAST else None,
    )


def _power(found: SettingDifference, difference: float, seeds: int, passages: int, level: float) -> float:
    """Probability that this many seeds of each setting and this many passages detect the difference; both settings take equal parts."""
    blocks_, of_passages = 1 if found.paired else 2, max(0.0, found.passage) / passages
    of_seeds = (max(0.0, found.seed) + found.seed_passage / passages) / seeds
    parts = np.array([[of_seeds, of_passages], [blocks_ * (seeds - 1), passages - 1]])
    se = np.sqrt(of_seeds + of_passages)
    if abs(difference) >= 100 * se:
        return float(se == 0 or abs(difference) > half_width(parts, (1 - level) / 2))
    return float(nct.sf(half_width(parts, (1 - level) / 2) / se, _df(*parts), abs(difference) / se))


def _least(enough: Callable[[int], bool]) -> int | None:
    """The smallest number from 2 on that is enough, by doubling and bisection; None if a million is not."""
    high = next((2**k for k in range(1, _DOUBLINGS + 1) if enough(2**k)), None)
    return high and high // 2 + 1 + bisect_left(range(high // 2 + 1, high), True, key=enough)


def _checked(settings: Sequence[Cells], level: float) -> list[dict[int, np.ndarray]]:
    cells = [{seed: np.asarray(own[seed], np.float64) for seed in sorted(own)} for own in settings]
    shapes = {u.shape for own in cells for u in own.values()}
    if min(map(len, cells)) < 2:
        counts = " and ".join(str(len(own)) for own in cells)
        raise NoClaim(f"{counts} seeds: no claim beyond these models; train further seeds of each setting")
    if len(shapes) > 1 or any(len(shape) != 1 or shape[0] < 2 for shape in shapes):
        raise ValueError(f"contributions must be [passages] of the same passages, at least two: {sorted(shapes)}")
    if not all(np.isfinite(u).all() for own in cells for u in own.values()):
        raise ValueError("a contribution is NaN or infinite")
    if not 0 < level < 1:
        raise ValueError(f"level: {level} must lie between 0 and 1 (0.95 for 95 %)")
    return cells
