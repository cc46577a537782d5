"""The coverage of nominal 95 % intervals and the rejection rates of tests, for new articles and new passages, simulated with known truth.

    .venv/bin/python benchmarks/intervals.py [--repeats 2000] [--only NAME] [--quick]

A line per case: how often the interval of a score, and of a difference between two models, contains the truth, and how often the test of
the true difference rejects at 0.05 and at 0.00625 (a family of eight). There are two populations of articles: *drawn* ones have new
effects each time, and the 16 sizes of the 6,078 questions; *resampled* ones are 16 planted articles, of which 16 are drawn with
replacement. The two models are correlated: article, passage and question each add a normal effect to how surely each model is right, of
which they share 70 %. The intra-article correlation is that of null − best in the kept runs. For average precision, articles also
differ in how well unanswerable questions are separated, and in how many they have, as in the kept runs; in one hard case they differ only
in their level. For rows with labels, the right label and the predicted one are drawn from a planted table; rows of a text are correlated
like those of a passage.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from mtdnn_kit.compare import significance
from mtdnn_kit.compare.choices import label_statistic
from mtdnn_kit.compare.differences import LEAST
from mtdnn_kit.metrics import SCORES
from mtdnn_kit.tasks.null_threshold import average_precision

ARTICLES = (486, 458, 445, 444, 424, 421, 418, 402, 384, 377, 373, 364, 357, 262, 255, 208)  # questions of each, of the 6,078
WITHIN_ARTICLE, WITHIN_PASSAGE, SHARED, PASSAGE = 0.35, 0.1, 0.7, 9  # correlations of latent values; questions per passage
APART, ALIKE = (0.31, 0.1, 0.06), (1.0, 0.0, 0.0)  # separation of unanswerable questions, its spread over articles, that of their share
Draw = tuple[np.ndarray, np.ndarray, np.ndarray]  # outcomes of two models [N] or [N, 2], labels of clusters [N]


@dataclass(frozen=True)
class Case:
    """A score (rate right, or None: average precision), sizes of clusters, how data sets are drawn; apart: see APART. labels: the score,
    and how often each pair of right label and predicted label occurs."""

    name: str
    rate: float | None
    sizes: tuple[int, ...]
    resampled: bool = False
    apart: tuple[float, float, float] = APART
    labels: tuple[str, tuple[tuple[float, ...], ...]] | None = None


TWO, THREE = ((0.1, 0.2), (0.07, 0.63)), ((0.22, 0.07, 0.04), (0.08, 0.18, 0.07), (0.06, 0.06, 0.22))  # like CoLA, and like MNLI
PARAPHRASES, SCARCE = ((0.2, 0.13), (0.08, 0.59)), ((0.85, 0.05), (0.05, 0.05))  # like MRPC, and with a tenth of label 1
PASSAGES = (4, 5, 6, 6, 7, 8) * 3 + (4, 6, 6, 8)
FULL = (
    *(Case(f"16 articles, {rate:.0%}", rate, ARTICLES) for rate in (0.5, 0.7, 0.8, 0.9, 0.95)),
    *(Case(f"16 articles resampled, {rate:.0%}", rate, ARTICLES, True) for rate in (0.5, 0.7, 0.8, 0.9)),
    Case("16 articles, average precision", None, ARTICLES),
    Case("16 articles, average precision, alike but in level", None, ARTICLES, apart=ALIKE),
    *(Case(f"22 passages, {rate:.0%}", rate, PASSAGES) for rate in (0.02, 0.5, 0.9, 0.98)),
    Case("22 passages, average precision", None, PASSAGES),
    Case("100 passages, 50%", 0.5, (2, 4, 5, 6, 13) * 20),
    Case("8 passages, 50%", 0.5, (2, 4, 5, 6, 6, 6, 6, 13)),
    *(Case(f"labels, Matthews, {n} sentences", None, (1,) * n, labels=("matthews", TWO)) for n in (60, 300)),
    Case("labels, Matthews of three, 100 texts of 3", None, (3,) * 100, labels=("matthews", THREE)),
    *(Case(f"labels, F1, {n} pairs", None, (1,) * n, labels=("f1", PARAPHRASES)) for n in (160, 400)),
    Case("labels, F1 of a label that is a tenth, 300 rows", None, (1,) * 300, labels=("f1", SCARCE)),
    Case("labels, macro F1, 67 texts of 3", None, (3,) * 67, labels=("macro_f1", THREE)),
)
QUICK = (Case("16 articles of a tenth, 50%", 0.5, tuple(n // 10 for n in ARTICLES)), Case("22 passages, 50%", 0.5, PASSAGES))


def latent(rng: np.random.Generator, sizes: np.ndarray) -> Draw:
    """Latent standard normal values of two models, and labels of the clusters."""
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
    """Outcomes of two equally good models: 0 or 100, or null − best and whether a question is unanswerable (half are)."""
    a, b, cluster = latent(rng, sizes)
    if case.labels:
        table = np.array(case.labels[1])
        gold = np.searchsorted(np.cumsum(table.sum(axis=1))[:-1], norm.cdf(latent(rng, sizes)[0]))
        below = (np.cumsum(table, axis=1) / table.sum(axis=1, keepdims=True))[gold, :-1]
        return *(np.column_stack([gold, (norm.cdf(z)[:, None] > below).sum(axis=1)]).astype(float) for z in (a, b)), cluster
    if case.rate is not None:
        return *(100.0 * (z < norm.ppf(case.rate)) for z in (a, b)), cluster
    far, spread, of_share = case.apart
    empty = rng.random(len(cluster)) < (0.5 + of_share * rng.normal(size=len(sizes)))[cluster]
    shared, *own = rng.normal(size=(3, len(sizes)))
    gaps = (far + spread * (np.sqrt(SHARED) * shared + np.sqrt(1 - SHARED) * one) for one in own)
    return *(np.column_stack([z + gap[cluster] * empty, empty]) for z, gap in zip((a, b), gaps, strict=True)), cluster


def true_precision(apart: tuple[float, float, float]) -> float:
    """The limit of average precision for many articles, in percent: the mean over unanswerable questions of precision at their null −
    best."""
    z = np.linspace(-12, 12, 100_001)
    far = (z - apart[0]) / np.hypot(1, apart[1])
    return float(100 * np.average(norm.sf(far) / (norm.sf(far) + norm.sf(z)), weights=norm.pdf(far)))


def true_score(score: str, table: tuple[tuple[float, ...], ...]) -> float:
    """A score of labels, in percent, on 10,000 rows distributed as in the table."""
    counts = np.rint(1e4 * np.array(table)).astype(int)
    kinds = np.repeat(np.arange(counts.size), counts.ravel())
    return SCORES[score](kinds // len(table), kinds % len(table))


def precision(values: np.ndarray, weights: np.ndarray) -> float:
    """Average precision in percent, as a statistic."""
    return average_precision(values[:, 0], values[:, 1] > 0, weights) or 0.0


def draws(case: Case, repeats: int, seed: int) -> Iterator[tuple[Draw, float, float]]:
    """Data sets, each with the true score of the first model and the true difference."""
    rng, sizes = np.random.default_rng(seed), np.array(case.sizes)
    truth = true_score(*case.labels) if case.labels else 100 * case.rate if case.rate is not None else true_precision(case.apart)
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
    least, found = 0.0, []
    if case.labels:
        statistic, least = label_statistic(case.labels[0], len(case.labels[1])), LEAST.get(case.labels[0], 0.0)
    for (a, b, cluster), score, gap in draws(case, repeats, seed):
        alone = significance.interval(a, cluster, statistic, least=least, most=100)
        left = significance.difference(a if statistic else a + gap, b, cluster, statistic, alone=False)
        found.append((alone.low <= score <= alone.high, left.low <= 0 <= left.high, left.p < 0.05, left.p < 0.00625))
    return tuple(np.mean(found, axis=0).tolist())


def main() -> None:
    """Simulates the cases that the command names, and prints a table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--repeats", type=int, default=2000, help="data sets of each case")
    arguments.add_argument("--quick", action="store_true", help="two small cases, as in the tests")
    arguments.add_argument("--only", default="", help="cases whose name starts with this")
    given = arguments.parse_args()
    print("| case | score covered, % | difference covered, % | rejected at 0.05, % | at 0.00625, % |\n| --- | --- | --- | --- | --- |")
    for case in (case for case in (QUICK if given.quick else FULL) if case.name.startswith(given.only)):
        print(
            f"| {case.name} | "
            + " | ".join(f"{100 * x:.{digits}f}" for x, digits in zip(rates(case, given.repeats), (1, 1, 1, 2), strict=True))
            + " |",
            flush=True,
        )


if __name__ == "__main__":
    main()
