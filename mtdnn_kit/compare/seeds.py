"""What a difference between two settings is worth, from several seeds of each: it is to hold for further seeds and further passages.

A setting is a recipe (a mixture, a weight); a seed is one run of it. Knows contributions of passages to the scores of runs, no run, row or
name of a score; imports nothing of ours. Shapes: N items in G passages, S seeds. Model: crossed random effects, seed × passage; passage p
contributes μ + S_s + P_p + (SP)_sp to the score of seed s, all independent (Searle, Casella & McCulloch 1992, "Variance Components"), so
that a difference of means has variance σ²_S/S + σ²_P/G + σ²_SP/(S·G).

Degrees of freedom: Satterthwaite's (1946) formula weights 1/df of each part of the variance by its squared share. That is too bold with few
seeds, whose part looks unimportant just when it is small by chance: simulated, a nominal 95 % then covers 88 % with two paired seeds, 92 %
with three. So seeds' part and passages' part are weighted by their plain shares, and the seeds' part is never taken as less than what the
spread of their means shows. This covers 94.5 to 97 % from three seeds up, whatever the mix of components. Two seeds of each are too few to
pair: 91 % are covered with components like those of EM on SQuAD; unpaired 95 to 97.5 %.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import nct, t

from mtdnn_kit.errors import NoClaim

Statistic = Callable[[np.ndarray, np.ndarray], float]
Groups = Sequence | np.ndarray  # labels of the items' passages
_DOUBLINGS = 20  # to more seeds or passages than anyone has


@dataclass(frozen=True)
class SettingDifference:
    """Score of setting B minus that of setting A, for other seeds and other passages like these; p of the t-test.

    seed, passage, seed_passage: σ²_S, σ²_P, σ²_SP of the difference between one seed of each on one passage (unpaired: the settings' own
    summed) as ANOVA estimates them; 0 where the estimate is negative. n_seeds: of A and of B.
    """

    difference: float
    low: float
    high: float
    p: float
    level: float
    se: float
    df: float
    seed: float
    passage: float
    seed_passage: float
    n_seeds: tuple[int, int]
    n_passages: int
    paired: bool

    def sentence(self, a: str = "A", b: str = "B", scale: float = 1.0) -> str:
        """What was found and what it speaks for, in one sentence; numbers are shown times `scale` (100: scores of 0 to 1 in points)."""
        middle, low, high = (f"{scale * x:+.3g}" for x in (self.difference, self.low, self.high))
        within = "more than" if self.p < 1 - self.level else "no more than"
        seeds = f"the same {self.n_seeds[0]} seeds" if self.paired else f"{self.n_seeds[0]} and {self.n_seeds[1]} seeds"
        return (
            f"{b} − {a} = {middle} ({100 * self.level:g} % interval {low} to {high}, p = {self.p:.2g}; {seeds}, {self.n_passages:,} "
            f"passages), {within} what the choice of seeds and passages explains; it speaks for further seeds of these two settings "
            "on passages like these, with nothing else changed."
        )


@dataclass(frozen=True)
class Needed:
    """Seeds of each setting needed at the present passages, and passages at the present seeds; None where no number would do."""

    seeds: int | None
    passages: int | None


def contributions(outcomes: ArrayLike, groups: Groups, statistic: Statistic | None = None) -> np.ndarray:
    """Each passage's contribution [G] to one run's score, which is their mean; passages in the order of their labels' repr.

    outcomes [N] or [N, …], groups [N], statistic: as in significance.py. For a mean m: m + (G/N) · size_p · (mean_p − m), as of a ratio;
    for a statistic: jackknife pseudo-values over passages (Tukey 1958), shifted to have the score as their mean. Raises ValueError.
    """
    outcomes, labels = np.asarray(outcomes, np.float64), groups.tolist() if hasattr(groups, "tolist") else list(groups)
    number = {label: i for i, label in enumerate(sorted(dict.fromkeys(labels), key=repr))}
    passage, g = np.array([number[label] for label in labels]), len(number)
    if outcomes.shape[:1] != (len(labels),) or (statistic is None and outcomes.ndim > 1):
        raise ValueError(f"outcomes {outcomes.shape} and labels ({len(labels)},) must be of the same items (or name a statistic)")
    if g < 2 or not np.isfinite(outcomes).all():
        raise ValueError(f"{g} passages: two at least are needed, and finite outcomes")
    if statistic is None:
        m, sizes = outcomes.mean(), np.bincount(passage)
        return m + g / len(labels) * (np.bincount(passage, outcomes) - m * sizes)
    without = np.array([statistic(outcomes, (passage != p).astype(int)) for p in range(g)], np.float64)
    if not np.isfinite(without).all():
        raise ValueError("the statistic without some passage is no number; it must have a value (0, say) also where its parts are empty")
    return statistic(outcomes, np.ones(len(labels), int)) + (g - 1) * (without.mean() - without)


def mean_squares(u: np.ndarray) -> tuple[float, float, float]:
    """ANOVA mean squares of u [S, G], one value a cell: of seeds, of passages, of what is left (seed × passage)."""
    (s, g), seeds, passages = u.shape, u.mean(axis=1), u.mean(axis=0)
    rest = u - seeds[:, None] - passages + u.mean()
    return float(g * seeds.var(ddof=1)), float(s * passages.var(ddof=1)), float((rest**2).sum() / ((s - 1) * (g - 1)))


def compare_settings(a: ArrayLike, b: ArrayLike, *, paired: bool, level: float = 0.95) -> SettingDifference:
    """Setting B minus setting A. a [S_a, G], b [S_b, G]: contributions of the same passages, a row a seed.

    paired: row s of both is the same seed, and what is analysed is b − a. Otherwise each setting has its own seeds, in any number, and the
    passages' part is the variance of the difference of mean contributions, less what the interaction leaves in it. Raises NoClaim where a
    setting has a single seed; ValueError.
    """
    a, b = _checked(a, b, paired, level)
    blocks, g = ([b - a] if paired else [a, b]), a.shape[1]
    s, of_seeds, left = np.array([(len(u), squares[0], squares[2]) for u in blocks for squares in [mean_squares(u)]]).T
    passage = max(0.0, float((b.mean(axis=0) - a.mean(axis=0)).var(ddof=1) - (left / s).sum()))
    se, df = _error(of_seeds / (s * g), s - 1, passage / g, g)
    found, far = float(b.mean() - a.mean()), float(t.isf((1 - level) / 2, df))
    p = 2 * float(t.sf(abs(found) / se, df)) if se else float(found == 0)
    seed = float(np.maximum(0, (of_seeds - left) / g).sum())
    low, high = found - far * se, found + far * se
    return SettingDifference(found, low, high, p, level, se, df, seed, passage, float(left.sum()), (len(a), len(b)), g, paired)


def needed(found: SettingDifference, difference: float, *, power: float = 0.8, level: float = 0.95) -> Needed:
    """Seeds of each setting, and passages, with which a true `difference` is seen (p < 1 − level) with probability `power`.

    Each with the other as it is in `found` (the smaller number of seeds); questions grow with passages. By the noncentral t distribution
    (Cohen 1988, "Statistical Power Analysis", chapter 2) and found's components, which are rough with few seeds: so is this. Where it asks
    for more than a million it says None: the other source of variance alone is too much.
    """
    if not (difference and np.isfinite(difference) and 0 < power < 1 and 0 < level < 1):
        raise ValueError(f"difference: {difference} must not be 0; power: {power} and level: {level} must lie between 0 and 1")
    seeds, passages = min(found.n_seeds), found.n_passages
    return Needed(
        _least(lambda s: _power(found, difference, s, passages, level) >= power),
        _least(lambda g: _power(found, difference, seeds, g, level) >= power),
    )


def _power(found: SettingDifference, difference: float, seeds: int, passages: int, level: float) -> float:
    """Probability that so many seeds of each setting and so many passages show the difference; both settings take equal parts."""
    blocks = 1 if found.paired else 2
    part = (found.seed + found.seed_passage / passages) / seeds / blocks
    se, df = _error(np.full(blocks, part), np.full(blocks, seeds - 1), found.passage / passages, passages)
    far, shift = t.isf((1 - level) / 2, df), abs(difference) / se if se else np.inf
    return float(nct.sf(far, df, shift)) if shift < 100 else float(shift > far)


def _error(parts: np.ndarray, dfs: np.ndarray, of_passages: float, passages: int) -> tuple[float, float]:
    """Standard error and its degrees of freedom, from the seeds' parts of the variance [settings], their df, and the passages' part."""
    of_seeds = float(parts.sum())
    if not of_seeds:
        return float(np.sqrt(of_passages)), float(passages - 1)
    own, share = of_seeds**2 / float((parts**2 / dfs).sum()), of_seeds / (of_seeds + of_passages)
    return float(np.sqrt(of_seeds + of_passages)), 1 / (share / own + (1 - share) / (passages - 1))


def _least(enough: Callable[[int], bool]) -> int | None:
    """The least number from 2 up that is enough, by doubling and halving; None where even a million is not."""
    high = next((2**k for k in range(1, _DOUBLINGS + 1) if enough(2**k)), None)
    return high and high // 2 + 1 + bisect_left(range(high // 2 + 1, high), True, key=enough)


def _checked(a: ArrayLike, b: ArrayLike, paired: bool, level: float) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or a.shape[1] < 2:
        raise ValueError(f"contributions must be [seeds, passages] of the same passages, at least two: {a.shape} and {b.shape}")
    if min(len(a), len(b)) < 2:
        raise NoClaim(f"{len(a)} and {len(b)} seeds: no claim beyond these two models; train further seeds of each setting")
    if paired and len(a) != len(b):
        raise ValueError(f"paired settings have the same seeds: {len(a)} and {len(b)}")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("a contribution is NaN or infinite")
    if not 0 < level < 1:
        raise ValueError(f"level: {level} must lie between 0 and 1 (0.95 for 95 %)")
    return a, b
