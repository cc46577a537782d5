"""What a nominal 95 % interval covers and how often tests reject, for other articles and other passages, simulated with planted truths.

    .venv/bin/python benchmarks/intervals.py [--repeats 2000] [--quick]

A line a case: how often the interval of a score, and of a difference between two models, holds the truth, and how often the test of
the true difference rejects at 0.05 and at 0.00625 (a family of eight). Two populations of articles: *drawn*, whose effects are drawn
anew each time, the 16 sizes being those of the 6,078 questions; *resampled*, 16 planted articles of which 16 are drawn with replacement.
Two models are alike: article, passage and question each add a normal effect to whether (how surely) each is right, of which they
share 70 %. The intra-article correlation is that of null − best in the kept runs.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from mtdnn_kit.compare import significance
from mtdnn_kit.tasks.null_threshold import average_precision

ARTICLES = (486, 458, 445, 444, 424, 421, 418, 402, 384, 377, 373, 364, 357, 262, 255, 208)  # questions of each, of the 6,078
WITHIN_ARTICLE, WITHIN_PASSAGE, SHARED, PASSAGE = 0.35, 0.1, 0.7, 9  # correlations of latent values; questions of a passage
Draw = tuple[np.ndarray, np.ndarray, np.ndarray]  # outcomes of two models [N] or [N, 2], labels of clusters [N]


@dataclass(frozen=True)
class Case:
    """A score (rate right, or None: average precision), sizes of clusters, and how data sets come about."""

    name: str
    rate: float | None
    sizes: tuple[int, ...]
    resampled: bool = False


FULL = (
    *(Case(f"16 articles, {rate:.0%}", rate, ARTICLES) for rate in (0.5, 0.7, 0.8, 0.9)),
    *(Case(f"16 articles resampled, {rate:.0%}", rate, ARTICLES, True) for rate in (0.5, 0.7, 0.8)),
    Case("16 articles, average precision", None, ARTICLES),
    *(Case(f"22 passages, {rate:.0%}", rate, (4, 5, 6, 6, 7, 8) * 3 + (4, 6, 6, 8)) for rate in (0.02, 0.5, 0.9, 0.98)),
    Case("100 passages, 50%", 0.5, (2, 4, 5, 6, 13) * 20),
    Case("8 passages, 50%", 0.5, (2, 4, 5, 6, 6, 6, 6, 13)),
)
QUICK = (Case("16 articles of a tenth, 50%", 0.5, tuple(n // 10 for n in ARTICLES)), FULL[9])


def latent(rng: np.random.Generator, sizes: np.ndarray) -> Draw:
    """Latent values of two models, standard normal each, and labels of the clusters."""
    cluster = np.repeat(np.arange(len(sizes)), sizes)
    passage = np.unique(
        cluster * 1000 + (np.arange(len(cluster)) - np.repeat(np.cumsum(sizes) - sizes, sizes)) // PASSAGE, return_inverse=True
    )[1]
    shared, *own = (
        np.sqrt(WITHIN_ARTICLE) * rng.normal(size=len(sizes))[cluster]
        + np.sqrt(WITHIN_PASSAGE) * rng.normal(size=passage.max() + 1)[passage]
        + np.sqrt(1 - WITHIN_ARTICLE - WITHIN_PASSAGE) * rng.normal(size=len(cluster))
        for _ in range(3)
    )
    a, b = (np.sqrt(SHARED) * shared + np.sqrt(1 - SHARED) * one for one in own)
    return a, b, cluster


def outcomes(rng: np.random.Generator, case: Case, sizes: np.ndarray) -> Draw:
    """Outcomes of two models of one truth: 0 or 100, or null − best and whether a question is unanswerable (half are)."""
    a, b, cluster = latent(rng, sizes)
    if case.rate is not None:
        return *(100.0 * (z < norm.ppf(case.rate)) for z in (a, b)), cluster
    empty = rng.random(len(cluster)) < 0.5
    return *(np.column_stack([z + empty, empty]) for z in (a, b)), cluster


def precision(values: np.ndarray, weights: np.ndarray) -> float:
    """Average precision in percent, as a statistic."""
    return average_precision(values[:, 0], values[:, 1] > 0, weights) or 0.0


def draws(case: Case, repeats: int, seed: int) -> Iterator[tuple[Draw, float, float]]:
    """Data sets, each with the true score of the first model and the true difference."""
    rng, sizes = np.random.default_rng(seed), np.array(case.sizes)
    truth = 100 * case.rate if case.rate is not None else precision(outcomes(rng, case, np.tile(sizes, 200))[0], np.ones(200 * sizes.sum()))
    for _ in range(repeats):
        a, b, cluster = outcomes(rng, case, sizes)
        if not case.resampled:
            yield (a, b, cluster), truth, 0.0
            continue
        drawn = rng.integers(0, len(sizes), len(sizes))
        items = np.concatenate([np.flatnonzero(cluster == one) for one in drawn])
        yield (a[items], b[items], np.repeat(np.arange(len(drawn)), sizes[drawn])), a.mean(), (b - a).mean()


def rates(case: Case, repeats: int, seed: int = 0) -> tuple[float, float, float, float]:
    """Shares of data sets: score covered, difference covered, rejected at 0.05, rejected at 0.00625."""
    statistic: Callable | None = None if case.rate is not None else precision
    found = []
    for (a, b, cluster), score, gap in draws(case, repeats, seed):
        alone = significance.interval(a, cluster, statistic, most=100)
        if statistic:
            p = significance.sign_flip(a, b, cluster, statistic)
            found.append((alone.low <= score <= alone.high, p >= 0.05, p < 0.05, p < 0.00625))
            continue
        left = significance.difference(a + gap, b, cluster)
        found.append((alone.low <= score <= alone.high, left.low <= 0 <= left.high, left.p < 0.05, left.p < 0.00625))
    return tuple(np.mean(found, axis=0).tolist())


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--repeats", type=int, default=2000, help="data sets of each case")
    arguments.add_argument("--quick", action="store_true", help="two small cases, as the tests take")
    given = arguments.parse_args()
    print("| case | score covered, % | difference covered, % | rejected at 0.05, % | at 0.00625, % |\n| --- | --- | --- | --- | --- |")
    for case in QUICK if given.quick else FULL:
        print(
            f"| {case.name} | "
            + " | ".join(f"{100 * x:.{digits}f}" for x, digits in zip(rates(case, given.repeats), (1, 1, 1, 2), strict=True))
            + " |",
            flush=True,
        )


if __name__ == "__main__":
    main()
