"""Inference on the difference between two trained models from their outcomes on the same items: intervals and tests by whole clusters.

Questions of one passage, or of one article, are not independent: whole clusters are flipped, and results generalise to other clusters like
these. Knows outcomes and labels of clusters, no run, row or name of a score; imports nothing from the kit. One run of each model says
nothing about the settings that trained it: see seeds.py.

Shapes: N items in G clusters. `outcomes` [N] or [N, …] are the data of a score, item by item (0 or 1; an F1; gold and given label), read as
floats. `statistic(outcomes, weights [N]) -> float` is the score when item i counts weights[i] times, 0 or 1; None: the mean, of outcomes
[N]. Results are in the score's units. Items are first sorted by cluster label and value, so their given order has no effect.

Differences: sign flips of clusters. With d_c the sum of a cluster's differences and n_c its items, θ is in the interval iff the test of d_c
− θ n_c does not reject, so that p and interval agree. A flip is as large as the observed difference iff θ lies between the mean over the
flipped clusters and that over the others: the interval's ends are order statistics of these. All 2^G flips are tried with at most 16
clusters, where the test is exact for symmetric differences; fewer than 6 allow no p below 0.05, and no interval. If a few clusters are
skewed, flips reject too often in the tails: a difference must also pass the t-test with the score's standard error, so p is the larger of
the two and the interval the wider. For rare outcomes flips are conservative: k clusters that differ allow no p below 2^(1 − k). Where no
single cluster changes the difference, nothing tells how others would, and there is no interval.

A statistic is first turned into a mean of pseudo-values: d_c = N · score − (N − n_c) · score without c (Busing, Meijer & van der Leeden
1999, "Delete-m Jackknife for Unequal m"), shifted so that their sum is N · score. A linear form would not suffice: average precision is not
linear in the differences between articles. Flips of pseudo-values move no outcome where the models agree, so p is at least 2^(1 − k) here,
too.

Scores between 0 and `most`: Wilson's interval (1927) with an effective number of items, m (1 − m) / se², where se is CR2's and t has
Satterthwaite's degrees (Bell & McCaffrey 2002, "Bias Reduction in Standard Errors for Linear Regression with Multi-Stage Samples", the
clusters' means taken as equally variable), fewer where a few clusters make most of the variance (`degrees`). If nothing varies over
clusters (all 0, all `most`, or one label predicted everywhere), the similarity of the items in a cluster is unknown, and a cluster counts
as one item: the effective number is that of clusters, Kish's (Σ size)² / Σ size².
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import binom, norm, t

Statistic = Callable[[np.ndarray, np.ndarray], float]
Groups = Sequence | np.ndarray  # labels of the items' clusters
_BLOCK = 2**20  # entries of a block of flips
EXACT = 16  # with at most so many clusters every way to flip them is tried
_LEAST_DEGREES = 4  # minimum degrees of freedom with heavy tails: chosen by simulation
_ALONE = 1000  # with more items, the independent standard error of a statistic uses this many random groups


@dataclass(frozen=True)
class Interval:
    """One model's score, its interval for all clusters like these, and its standard error over clusters."""

    score: float
    low: float
    high: float
    level: float
    se: float
    n_items: int
    n_passages: int


@dataclass(frozen=True)
class Difference:
    """Score of B minus score of A, its interval, its p, and standard errors: over clusters, and over items as if independent.

    low, high: infinite where so few clusters allow no interval, or nothing varies over them. n_passages: the number of clusters, whatever
    they are. of, items: the names of clusters and of items in `sentence`.
    """

    difference: float
    low: float
    high: float
    p: float
    level: float
    se: float
    se_independent: float
    n_items: int
    n_passages: int
    of: str = field(default="passages", compare=False)
    items: str = field(default="items", compare=False)

    @property
    def varies(self) -> bool:
        """Whether the difference varies over clusters: without that, nothing is known about others."""
        return self.se > 0

    @property
    def widening(self) -> float:
        """How many times wider the clusters make the interval: se / se_independent; 1 where nothing varies."""
        return self.se / self.se_independent if self.se_independent else 1.0

    def sentence(self, a: str = "A", b: str = "B", scale: float = 1.0, of: str | None = None) -> str:
        """The result and its limits, in one sentence; numbers times `scale` (100: outcomes of 0 to 1, in points); `of`: another name for
        the clusters."""
        of = of or self.of
        small, finite = self.p < 1 - self.level, bool(np.isfinite(self.low + self.high))
        outside = not self.low <= 0 <= self.high if finite else small
        within = "more than" if small and outside else "at the edge of" if small or outside else "no more than"
        middle, low, high = (f"{scale * x:+.3g}" for x in (self.difference, self.low, self.high))
        none = "too few for an interval" if self.varies else f"no single one of the {of} changes it, hence no interval"
        ends = f"{100 * self.level:g} % interval {low} to {high}" if finite else none
        return (
            f"{b} − {a} = {middle} ({ends}, p = {p_text(self.p)}; {self.n_items:,} {self.items} in "
            f"{self.n_passages:,} {of}), {within} what the choice of {of} explains; nothing is claimed beyond these two "
            "models: a claim about the settings that trained them takes several seeds of each."
        )


def difference(
    a: ArrayLike,
    b: ArrayLike,
    groups: Groups,
    statistic: Statistic | None = None,
    *,
    level: float = 0.95,
    draws: int = 0,
    seed: int = 0,
    alone: bool = True,
) -> Difference:
    """Score of b minus score of a, outcomes [N] or [N, …] of the same items; groups [N]: labels of their clusters.

    draws: random flips, 0 for 10,000. alone: compute se_independent, too (else NaN). A statistic is called 2 G times for G clusters, and
    2 min(N, 1,000) times more for se_independent. benchmarks/intervals.py measures the coverage of a nominal 95 %. Raises ValueError for
    outcomes of different lengths, NaN, or a single cluster.
    """
    cluster, x, y = _items(groups, a, b, mean=statistic is None)
    sums, sizes, tiny = _sums(x, y, cluster, statistic)
    p, low, high = _judged(sums, sizes, tiny, level, draws, seed)
    if statistic is not None:
        apart = len(np.unique(cluster[(x != y).reshape(len(x), -1).any(axis=1)]))
        p = max(p, min(1.0, 2.0 ** (1 - apart)))
        low, high = (low, high) if p < 1 - level else (min(low, 0.0), max(high, 0.0))
    se, se_alone = _standard_error(sums, sizes), _independent(x, y, statistic, seed) if alone else float("nan")
    return Difference(float(sums.sum() / len(x)), low, high, p, level, se, se_alone, len(x), len(sizes))


def _independent(x: np.ndarray, y: np.ndarray, statistic: Statistic | None, seed: int) -> float:
    """Standard error of the difference if the items were independent."""
    if statistic is None:
        return _standard_error(y - x, np.ones(len(x)))
    return _standard_error(*_sums(x, y, np.random.default_rng(seed).permutation(len(x)) % _ALONE, statistic)[:2])


def interval(
    outcomes: ArrayLike,
    groups: Groups,
    statistic: Statistic | None = None,
    *,
    most: float | None = None,
    least: float = 0.0,
    level: float = 0.95,
    draws: int = 0,
    seed: int = 0,
    counts: ArrayLike | None = None,
) -> Interval:
    """One model's score with its interval over clusters, as for error bars; least, most: the score's bounds; without `most` it is treated
    as a difference. counts: whether each item [N] can change the score (None: each does): F1 of label 1 does not depend on how many rows
    have neither gold nor predicted label 1, and where nothing varies only the clusters of the others count. Other arguments and errors as
    for `difference`."""
    some = np.ones(len(groups)) if counts is None else np.asarray(counts, float)
    cluster, x, some = _items(groups, outcomes, some, mean=statistic is None, same=False)
    sums, sizes, tiny = _sums(None, x, cluster, statistic)
    if most is None:
        low, high = _judged(sums, sizes, tiny, level, draws, seed)[1:]
    else:
        within = np.bincount(cluster, some)  # [G]: items that can change the score
        low, high = (least + end for end in _wilson((sums - least * sizes) / (most - least), sizes, within, level, most - least))
    return Interval(float(sums.sum() / len(x)), low, high, level, _standard_error(sums, sizes), len(x), len(sizes))


def sign_flip(a: ArrayLike, b: ArrayLike, groups: Groups, statistic: Statistic | None = None, *, draws: int = 0, seed: int = 0) -> float:
    """Two-sided p of the paired randomisation test alone: how often swapping outcomes in whole clusters gives as large a difference.

    With at most 16 clusters all 2^G swaps are tried; else `draws` random ones, and p = (1 + as large) / (1 + draws) (Phipson &
    Smyth 2010). Differences that are equal up to rounding count as equal. Arguments and errors as for `difference`.
    """
    cluster, x, y = _items(groups, a, b, mean=statistic is None)
    return _flipped(*_sums(x, y, cluster, statistic), 0.95, draws, seed)[0]


def p_text(p: float) -> str:
    """A p-value in two digits, in more where two would show a p below 0.05 as 0.05."""
    return next((text for digits in range(2, 17) if (float(text := f"{p:.{digits}g}") < 0.05) == (p < 0.05)), str(p))


def passages_needed(found: Difference, difference: float, *, power: float = 0.8, level: float = 0.95) -> int:
    """Passages like these on which the same two models' true `difference` is seen (p < 1 − level) with probability `power`.

    At least as many as allow such a p (six at 0.05), and G · ((z_(1 − α/2) + z_power) · se / difference)², the normal approximation (Cohen
    1988, "Statistical Power Analysis", chapter 2). Raises ValueError for a difference of 0, and if nothing varies over passages.
    """
    if not (difference and np.isfinite(difference) and 0 < power < 1):
        raise ValueError(f"difference: {difference} must not be 0, and power: {power} must lie between 0 and 1")
    if not found.varies:
        raise ValueError("no single passage changes the difference: that does not tell how many would be needed")
    sigmas = norm.isf((1 - level) / 2) + norm.ppf(power)
    least = int(np.ceil(1 - np.log2(1 - level)))  # 2^(1 − G) < 1 − level
    return max(least, int(np.ceil(found.n_passages * (sigmas * found.se / difference) ** 2)))


def mcnemar(a: ArrayLike, b: ArrayLike) -> tuple[int, int, float]:
    """McNemar's exact test of outcomes 0 or 1 [N]: items that only A has right, that only B has, two-sided p; for independent items."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.ndim != 1 or a.shape != b.shape or not a.size or not np.isin([a, b], (0, 1)).all():
        raise ValueError(f"McNemar's test takes two lists of outcomes 0 or 1, of the same items; these are {a.shape} and {b.shape}")
    only_a, only_b = int((a > b).sum()), int((b > a).sum())
    return only_a, only_b, min(1.0, 2 * float(binom.cdf(min(only_a, only_b), only_a + only_b, 0.5)))


def holm(ps: Sequence[float]) -> list[float]:
    """The p-values of a study, each adjusted for all of them, in the given order (Holm 1979, step-down); NaN means no test, and stays."""
    given = np.asarray(ps, np.float64)
    if given.ndim != 1 or not (np.isnan(given) | ((given >= 0) & (given <= 1))).all():
        raise ValueError(f"p-values must lie between 0 and 1, or be NaN: {given.tolist()}")
    tested = int((~np.isnan(given)).sum())
    order = np.argsort(given, kind="stable")[:tested]  # NaN comes last
    adjusted = np.full(len(given), np.nan)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(given[order] * np.arange(tested, 0, -1)))
    return adjusted.tolist()


def _items(groups: Groups, *outcomes: ArrayLike, mean: bool, same: bool = True) -> tuple[np.ndarray, ...]:
    """Passages' numbers [N], in the order of their labels' repr, and the outcomes; items sorted by passage, then by outcomes. same: whether
    all outcomes must have one shape."""
    arrays = [np.asarray(x, np.float64) for x in outcomes]
    labels = groups.tolist() if hasattr(groups, "tolist") else list(groups)
    if (same and len({x.shape for x in arrays}) > 1) or any(x.shape[:1] != (len(labels),) for x in arrays):
        raise ValueError(f"outcomes {[x.shape for x in arrays]} and labels of passages ({len(labels)},) must be of the same items")
    if not all(np.isfinite(x).all() for x in arrays):
        raise ValueError("an outcome is NaN or infinite")
    if mean and arrays[0].ndim > 1:
        raise ValueError(f"outcomes of shape {arrays[0].shape} have no mean score: name a statistic")
    number = {label: i for i, label in enumerate(sorted(dict.fromkeys(labels), key=repr))}
    if len(number) < 2:
        raise ValueError(f"{len(labels)} items in {len(number)} passages: an interval or a test needs at least two passages")
    passage = np.array([number[label] for label in labels])
    order = np.lexsort([*np.hstack([x.reshape(len(x), -1) for x in arrays]).T, passage])
    return passage[order], *(x[order] for x in arrays)


def _sums(x: np.ndarray | None, y: np.ndarray, cluster: np.ndarray, statistic: Statistic | None) -> tuple[np.ndarray, np.ndarray, float]:
    """Each cluster's contribution to N times the difference of the scores y − x [G], its number of items [G], and the rounding error of a
    sum of these; x None: contributions to N times the score y."""
    sizes, n = np.bincount(cluster).astype(float), len(cluster)
    if statistic is None:
        x = np.zeros_like(y) if x is None else x
        return np.bincount(cluster, y - x), sizes, 1e-10 * float((np.abs(x) + np.abs(y)).sum())
    scores = [0.0 if x is None else statistic(x, np.ones(n)), statistic(y, np.ones(n))]
    left = ((cluster != c).astype(float) for c in range(len(sizes)))
    without = np.array([statistic(y, weights) - (0.0 if x is None else statistic(x, weights)) for weights in left])
    sums = n * (scores[1] - scores[0]) - (n - sizes) * without
    sums += sizes * ((scores[1] - scores[0]) - sums.sum() / n)
    if not np.isfinite(sums).all():
        raise ValueError("the statistic is not a number; make it return a value without any single cluster")
    # differences are small relative to the scores' sizes
    return sums, sizes, 1e-9 * n * float(np.abs(scores).sum())


def _judged(sums: np.ndarray, sizes: np.ndarray, tiny: float, level: float, draws: int, seed: int) -> tuple[float, float, float]:
    """p of a difference of 0, and the ends of the interval of those that neither sign flips nor the t-test reject at 1 − level."""
    p, low, high = _flipped(sums, sizes, tiny, level, draws, seed)
    middle, (variance, df) = float(sums.sum() / sizes.sum()), spread(sums, sizes)
    if not variance:
        return p, -np.inf, np.inf
    se = variance**0.5
    by_t, far = 2 * float(t.sf(abs(middle) / se, df)), float(t.isf((1 - level) / 2, df)) * se
    return max(p, by_t), min(low, middle - far), max(high, middle + far)


def _flipped(sums: np.ndarray, sizes: np.ndarray, tiny: float, level: float, draws: int, seed: int) -> tuple[float, float, float]:
    """p of a difference of 0, and the ends of the interval of those that a sign-flip test at 1 − level does not reject."""
    if not 0 < level < 1:
        raise ValueError(f"level: {level} must lie between 0 and 1 (0.95 for 95 %)")
    if (draws := draws or 10_000) < (least := round(5 / (1 - level))):
        raise ValueError(f"draws: {draws} are too few for level {level}; use at least {least}")
    whole, n = sums.sum(), sizes.sum()
    # [flips]: sums and items of the clusters that are flipped
    part, items = np.concatenate([flips @ np.stack([sums, sizes], axis=1) for flips in _flips(len(sums), draws, seed)]).T
    p = float(np.mean(np.abs(whole - 2 * part) >= abs(whole) - tiny))
    with np.errstate(divide="ignore", invalid="ignore"):
        means = np.stack([part / items, (whole - part) / (n - items)])
    none = (items == 0) | (items == n)  # where none is flipped, or all are, any difference is as large
    lows, highs = np.where(none, -np.inf, means.min(axis=0)), np.where(none, np.inf, means.max(axis=0))
    at = max(0, int(np.ceil((1 - level) * len(part) - 1e-9)) - 1)
    return p, float(np.partition(lows, at)[at]), float(-np.partition(-highs, at)[at])


def _flips(g: int, draws: int, seed: int) -> Iterator[np.ndarray]:
    """Rows of g zeros and ones, 1 where a cluster is flipped, in blocks of bounded memory [some, g]: all of them with few clusters (half:
    the others flip the rest, which is the same), else the one that flips none and `draws` random ones."""
    if g <= EXACT:
        yield ((np.arange(2 ** (g - 1))[:, None] >> np.arange(g)) & 1).astype(float)
        return
    yield np.zeros((1, g))
    rng, rows = np.random.default_rng(seed), max(1, _BLOCK // g)
    for start in range(0, draws, rows):
        yield rng.integers(0, 2, (min(rows, draws - start), g)).astype(float)


def _standard_error(sums: np.ndarray, sizes: np.ndarray) -> float:
    """The standard error of the mean as a ratio, linearised: √(G / (G − 1) · Σ (sum_c − mean · size_c)²) / N (Cochran 1977, "Sampling
    Techniques")."""
    residuals = _residuals(sums, sizes)
    return float(np.sqrt(len(sizes) / (len(sizes) - 1) * (residuals @ residuals)) / sizes.sum())


def _residuals(sums: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """sum_c − mean · size_c [G]; 0 where that is rounding."""
    residuals = sums - sums.sum() / sizes.sum() * sizes
    return np.where(np.abs(residuals) > 1e-10 * np.abs(sums).max(), residuals, 0.0)


def spread(sums: np.ndarray, sizes: np.ndarray) -> tuple[float, float]:
    """CR2's variance of the mean as a ratio, Σ sums / Σ sizes, and its degrees of freedom; sums, sizes [G] of clusters."""
    share = sizes / sizes.sum()
    # a residual's expected square is (1 − 2 share + Σ share²) times the variance of a cluster's mean
    left = 1 - 2 * share + share @ share
    parts = _residuals(sums, sizes) / np.sqrt(left) / sizes.sum()
    # Satterthwaite's degrees already account for uneven sizes
    return float(parts @ parts), degrees(parts / np.sqrt(share), _satterthwaite(share, left))


def degrees(parts: np.ndarray, df: float) -> float:
    """Degrees of freedom of a variance Σ parts² [G], which has df where the parts are normal; parts in any unit.

    1 / df + excess kurtosis / (2 G) is half of such a variance's own relative variance (Cramér 1946, "Mathematical Methods of Statistics",
    27.4); the kurtosis by Fisher's G2.
    """
    g, square = len(parts), float(parts @ parts)
    if g < 4 or not square:
        return df
    kurtosis = g * float((parts**4).sum()) / square**2
    excess = (g - 1) / ((g - 2) * (g - 3)) * ((g + 1) * (kurtosis - 3) + 6)
    return min(df, max(_LEAST_DEGREES, 1 / (1 / df + max(excess, 0.0) / (2 * g))))


def _wilson(sums: np.ndarray, sizes: np.ndarray, within: np.ndarray, level: float, most: float) -> tuple[float, float]:
    """Ends of the interval of a score between 0 and 1 whose clusters add `sums` to it; times `most`. within [G]: each cluster's items that
    can change the score, for where nothing varies."""
    mean, (variance, df) = float(sums.sum() / sizes.sum()), spread(sums, sizes)
    mean = min(max(mean, 0.0), 1.0)
    if variance and 0 < mean < 1:
        few = variance / (mean * (1 - mean))  # 1 / effective number of items
    elif not within.any():
        return 0.0, most
    else:
        few = float(within @ within) / within.sum() ** 2
    z = float(t.isf((1 - level) / 2, df)) ** 2 * few
    half = np.sqrt(z * mean * (1 - mean) + z * z / 4)
    return float(most * (mean + z / 2 - half) / (1 + z)), float(most * (mean + z / 2 + half) / (1 + z))


def _satterthwaite(share: np.ndarray, left: np.ndarray) -> float:
    """Satterthwaite's degrees of freedom of CR2's variance: (Σ λ)² / Σ λ², λ the eigenvalues of the residuals' covariance, without them."""
    squares, u = float(share @ share), share**2 / left
    s0, s1, s2 = (float(u @ share**k) for k in range(3))
    pairs = squares**2 * s0**2 + 2 * s2 * s0 + 2 * s1**2 - 4 * squares * s1 * s0
    return squares**2 / (pairs - float((u**2) @ (squares - 2 * share) ** 2) + float((u**2) @ left**2))
