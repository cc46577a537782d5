"""What a difference between two trained models is worth, from their outcomes on the same items: intervals and tests by whole passages.

Questions of one passage are not independent, so whole passages are resampled, and swapped. Knows outcomes and labels of passages, no run,
row or name of a score; imports nothing of ours. One run of each model says nothing about the settings that trained it: see seeds.py.

Shapes: N items in G passages. `outcomes` [N] or [N, …] are what a score is made of, item by item (0 or 1; an F1; gold and given
label), read as floats. `statistic(outcomes, weights [N]) -> float` is the score when item i counts weights[i] = 0, 1, 2 … times, a number
for any weights; None: the mean, of outcomes [N]. Results are in the score's units. Items are first put in an order that the labels of
their passages and their values decide, so the order in which they come changes nothing.

Intervals: percentile bootstrap with expanded percentiles (Hesterberg 2015, "What Teachers Should Know about the Bootstrap") of ratios, as
passages differ in size; for n stands Kish's effective number of passages, (Σ size)² / Σ size².
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import binom, norm, t

Statistic = Callable[[np.ndarray, np.ndarray], float]
Groups = Sequence | np.ndarray  # labels of the items' passages
_BLOCK = 2**20  # entries of a block of resamples
_EXACT = 12  # with at most so many passages that differ, every way to swap them is tried


@dataclass(frozen=True)
class Interval:
    """One model's score, the interval where it would lie for all passages like these, and its standard error over passages."""

    score: float
    low: float
    high: float
    level: float
    se: float
    n_items: int
    n_passages: int


@dataclass(frozen=True)
class Difference:
    """Score of B minus score of A, its interval, the sign-flip p, and standard errors: over passages, and over items as if independent."""

    difference: float
    low: float
    high: float
    p: float
    level: float
    se: float
    se_independent: float
    n_items: int
    n_passages: int

    @property
    def widening(self) -> float:
        """How many times wider the passages make the interval: se / se_independent; 1 where nothing varies."""
        return self.se / self.se_independent if self.se_independent else 1.0

    def sentence(self, a: str = "A", b: str = "B", scale: float = 1.0) -> str:
        """What was found and what it does not say, in one sentence; numbers times `scale` (100: outcomes of 0 to 1, in points)."""
        small, outside = self.p < 1 - self.level, not self.low <= 0 <= self.high
        within = "more than" if small and outside else "at the edge of" if small or outside else "no more than"
        middle, low, high = (f"{scale * x:+.3g}" for x in (self.difference, self.low, self.high))
        return (
            f"{b} − {a} = {middle} ({100 * self.level:g} % interval {low} to {high}, p = {self.p:.2g}; {self.n_items:,} items in "
            f"{self.n_passages:,} passages), {within} what the choice of passages explains; nothing is claimed beyond these two "
            "models: a claim about the settings that trained them takes several seeds of each."
        )


def difference(
    a: ArrayLike, b: ArrayLike, groups: Groups, statistic: Statistic | None = None, *, level: float = 0.95, draws: int = 0, seed: int = 0
) -> Difference:
    """Score of b minus score of a, outcomes [N] or [N, …] of the same items; groups [N]: labels of their passages.

    draws: resamples, and random swaps; 0 for 10,000, or 2,000 of a statistic (which is called six times a draw). At a nominal 95 % the
    interval covers 94 to 95.5 %, simulated for 30 to 500 passages of sizes like SQuAD's; 92 % where few long passages decide (sizes
    lognormal, σ 0.9, and a difference that grows with them). Raises ValueError on other lengths, NaN, a single passage.
    """
    passage, x, y = _items(groups, a, b, mean=statistic is None)
    draws = _draws(draws, statistic, level)
    score = None if statistic is None else lambda weights: statistic(y, weights) - statistic(x, weights)
    found, low, high, se = _spread(y - x, score, passage, level, draws, seed)
    items = np.arange(len(x))  # each item a passage of its own
    alone = _standard_error(y - x, items) if score is None else _spread(y - x, score, items, level, draws, seed)[3]
    p = sign_flip(a, b, groups, statistic, draws=draws, seed=seed)
    return Difference(found, low, high, p, level, se, alone, len(x), int(passage[-1]) + 1)


def interval(
    outcomes: ArrayLike, groups: Groups, statistic: Statistic | None = None, *, level: float = 0.95, draws: int = 0, seed: int = 0
) -> Interval:
    """One model's score with its interval over passages, as for error bars. Arguments, coverage and errors as for `difference`."""
    passage, x = _items(groups, outcomes, mean=statistic is None)
    score = None if statistic is None else lambda weights: statistic(x, weights)
    found, low, high, se = _spread(x, score, passage, level, _draws(draws, statistic, level), seed)
    return Interval(found, low, high, level, se, len(x), int(passage[-1]) + 1)


def sign_flip(a: ArrayLike, b: ArrayLike, groups: Groups, statistic: Statistic | None = None, *, draws: int = 0, seed: int = 0) -> float:
    """Two-sided p of the paired randomisation test: how often swapping the models' outcomes in whole passages gives as large a difference.

    With at most 12 passages that differ all 2^k swaps are tried; else `draws` random ones, and p = (1 + as large) / (1 + draws) (Phipson &
    Smyth 2010). Differences equal but for rounding are equal. Arguments and errors as for `difference`.
    """
    passage, x, y = _items(groups, a, b, mean=statistic is None)
    k, swapped, tiny = _mean_swapped(x, y, passage) if statistic is None else _statistic_swapped(x, y, passage, statistic)
    least, draws = abs(swapped(np.zeros((1, k), int))[0]) - tiny, _draws(draws, statistic)
    if k <= _EXACT:
        return float(np.mean(np.abs(swapped((np.arange(2**k)[:, None] >> np.arange(k)) % 2)) >= least))
    as_large = sum(int((np.abs(swapped(swaps)) >= least).sum()) for swaps in _blocks(2, k, draws, seed))
    return (1 + as_large) / (1 + draws)


def passages_needed(found: Difference, difference: float, *, power: float = 0.8) -> int:
    """Passages like these on which the same two models' true `difference` is seen (p < 1 − level) with probability `power`.

    At least two, and G · ((z_(1 − α/2) + z_power) · se / difference)², the normal approximation (Cohen 1988, "Statistical Power Analysis",
    chapter 2). Raises ValueError for a difference of 0.
    """
    if not (difference and np.isfinite(difference) and 0 < power < 1):
        raise ValueError(f"difference: {difference} must not be 0, and power: {power} must lie between 0 and 1")
    sigmas = norm.isf((1 - found.level) / 2) + norm.ppf(power)
    return max(2, int(np.ceil(found.n_passages * (sigmas * found.se / difference) ** 2)))


def mcnemar(a: ArrayLike, b: ArrayLike) -> tuple[int, int, float]:
    """McNemar's exact test of outcomes 0 or 1 [N]: items that only A has right, that only B has, two-sided p; for independent items."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.ndim != 1 or a.shape != b.shape or not a.size or not np.isin([a, b], (0, 1)).all():
        raise ValueError(f"McNemar's test takes two lists of outcomes 0 or 1, of the same items; these are {a.shape} and {b.shape}")
    only_a, only_b = int((a > b).sum()), int((b > a).sum())
    return only_a, only_b, min(1.0, 2 * float(binom.cdf(min(only_a, only_b), only_a + only_b, 0.5)))


def holm(ps: Sequence[float]) -> list[float]:
    """The p-values of a study, each adjusted for all of them, in the given order (Holm 1979, step-down)."""
    given = np.asarray(ps, np.float64)
    if given.ndim != 1 or not ((given >= 0) & (given <= 1)).all():
        raise ValueError(f"p-values must lie between 0 and 1: {given.tolist()}")
    order = np.argsort(given, kind="stable")
    adjusted = np.empty(len(given))
    adjusted[order] = np.minimum(1, np.maximum.accumulate(given[order] * np.arange(len(given), 0, -1)))
    return adjusted.tolist()


def _items(groups: Groups, *outcomes: ArrayLike, mean: bool) -> tuple[np.ndarray, ...]:
    """Passages' numbers [N], in the order of their labels' repr, and the outcomes; items sorted by passage, then by outcomes."""
    arrays = [np.asarray(x, np.float64) for x in outcomes]
    labels = groups.tolist() if hasattr(groups, "tolist") else list(groups)
    if len({x.shape for x in arrays}) > 1 or arrays[0].shape[:1] != (len(labels),):
        raise ValueError(f"outcomes {[x.shape for x in arrays]} and labels of passages ({len(labels)},) must be of the same items")
    if not all(np.isfinite(x).all() for x in arrays):
        raise ValueError("an outcome is NaN or infinite")
    if mean and arrays[0].ndim > 1:
        raise ValueError(f"outcomes of shape {arrays[0].shape} have no mean score: name a statistic")
    number = {label: i for i, label in enumerate(sorted(dict.fromkeys(labels), key=repr))}
    if len(number) < 2:
        raise ValueError(f"{len(labels)} items in {len(number)} passages: an interval or a test takes two passages at least")
    passage = np.array([number[label] for label in labels])
    order = np.lexsort([*np.hstack([x.reshape(len(x), -1) for x in arrays]).T, passage])
    return passage[order], *(x[order] for x in arrays)


def _draws(draws: int, statistic: Statistic | None, level: float = 0.95) -> int:
    if not 0 < level < 1:
        raise ValueError(f"level: {level} must lie between 0 and 1 (0.95 for 95 %)")
    draws = draws or (10_000 if statistic is None else 2_000)
    if draws < (least := round(5 / (1 - level))):
        raise ValueError(f"draws: {draws} are too few for level {level}, which takes {least} at least")
    return draws


def _spread(values: np.ndarray, score: Callable | None, passage: np.ndarray, level: float, draws: int, seed: int) -> tuple[float, ...]:
    """Score (None: the mean of `values`), low, high, standard error: the last linearised for a mean, else that of the resamples."""
    sizes = np.bincount(passage)
    blocks, g = _blocks(len(sizes), len(sizes), draws, seed), len(sizes)
    if score is None:
        sums = np.bincount(passage, values)
        found, se = sums.sum() / sizes.sum(), _standard_error(values, passage)
        samples = np.concatenate([sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1) for drawn in blocks])
    else:
        found = score(np.ones(len(passage), int))
        samples = np.array([score(np.bincount(row, minlength=g)[passage]) for drawn in blocks for row in drawn], np.float64)
        if not np.isfinite(samples).all():
            raise ValueError("the statistic of a resample is no number; it must have a value (0, say) also where its parts are empty")
        se = np.sqrt(g / (g - 1)) * samples.std()
    low, high = np.quantile(samples, _percentiles(sizes, level))
    return float(found), float(low), float(high), float(se)


def _percentiles(sizes: np.ndarray, level: float) -> tuple[float, float]:
    """Hesterberg's expanded percentiles: Φ(√(n / (n − 1)) · t), t of n − 1 degrees of freedom."""
    n = sizes.sum() ** 2 / (sizes @ sizes)
    tail = norm.cdf(np.sqrt(n / (n - 1)) * t.ppf((1 - level) / 2, n - 1))
    return tail, 1 - tail


def _standard_error(values: np.ndarray, passage: np.ndarray) -> float:
    """Of the mean as a ratio, linearised: √(G / (G − 1) · Σ (sum_p − mean · size_p)²) / N (Cochran 1977, "Sampling Techniques")."""
    if not np.ptp(values):
        return 0.0
    sizes = np.bincount(passage)
    residuals = np.bincount(passage, values) - values.mean() * sizes
    return float(np.sqrt(len(sizes) / (len(sizes) - 1) * (residuals @ residuals)) / len(values))


def _blocks(choices: int, n: int, draws: int, seed: int) -> Iterator[np.ndarray]:
    """`draws` rows of n random numbers from 0 to choices − 1, in blocks of bounded memory [some, n]."""
    rng, rows = np.random.default_rng(seed), max(1, _BLOCK // n)
    for start in range(0, draws, rows):
        yield rng.integers(0, choices, (min(rows, draws - start), n))


def _mean_swapped(x: np.ndarray, y: np.ndarray, passage: np.ndarray) -> tuple[int, Callable, float]:
    """Number k of passages that differ; the difference (times N) of swaps [some, k] of them → [some]; and what is rounding."""
    sums, tiny = np.bincount(passage, y - x), 1e-10 * (np.abs(x) + np.abs(y)).sum()
    sums = sums[np.abs(sums) > tiny]
    return len(sums), lambda swaps: sums.sum() - 2 * (swaps @ sums), tiny


def _statistic_swapped(x: np.ndarray, y: np.ndarray, passage: np.ndarray, statistic: Statistic) -> tuple[int, Callable, float]:
    """The same for a statistic: outcomes change sides, and it is computed anew."""
    ones, column = np.ones(len(passage), int), (-1, *[1] * (x.ndim - 1))
    differ = np.unique(passage[(x != y).reshape(len(x), -1).any(axis=1)])

    def swapped(swap: np.ndarray) -> float:
        mask = np.isin(passage, differ[swap > 0]).reshape(column)
        return statistic(np.where(mask, x, y), ones) - statistic(np.where(mask, y, x), ones)

    tiny = 1e-10 * (abs(statistic(x, ones)) + abs(statistic(y, ones)))
    return len(differ), lambda swaps: np.array([swapped(swap) for swap in swaps]), tiny
