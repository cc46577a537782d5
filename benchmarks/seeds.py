"""How often intervals of settings contain the truth, and how often tests reject it, with shared seeds: simulated, without any training.

    .venv/bin/python benchmarks/seeds.py [--draws 4000] [--only NAME] [--wide 2]

Runs of settings that do not differ are drawn from crossed random effects (`mtdnn_kit.compare.seeds`), as contributions of passages; `rho`
is the correlation of runs that share a seed. It counts, for each of the three populations, how often the nominal 95 % interval contains
its true difference; how often p is at most 0.05 and 0.00625; and how often the smallest p of a family, adjusted, is at most 0.05.
With --wide the second setting varies that many times as much as the others over seeds, and only its difference is counted, except for the
family. "unequal: …" are two settings whose passages have these numbers of questions, each passage's questions alike.
"""

import argparse
import itertools
from collections.abc import Sequence

import numpy as np

from mtdnn_kit.compare import family
from mtdnn_kit.compare.seeds import SettingDifference, compare_to_first

PASSAGES = 100
LEVELS = (0.05, 0.00625)
# Variance components of the difference between one run each of two settings that share a seed: the setting's own with this seed,
# the settings' with these passages, and the rest of seed and passage (the last two are per passage: the mean divides them by their number).
MIXES = {
    "seeds alone": (1.0, 0.0, 0.01),
    "seeds and questions": (0.5, 15.0, 35.0),
    "questions, little of seeds": (0.1, 30.0, 60.0),
    "settings' own passages": (0.02, 90.0, 2.0),
}
LAYOUTS: dict[str, Sequence[range]] = {
    "2 settings: 3, 3": [range(3), range(3)],
    "2 settings: 4, 3": [range(4), range(3)],
    "2 settings: 14, 14": [range(14), range(14)],
    "2 settings: 14, 3": [range(14), range(3)],
    "2 settings: 5, 8, two shared": [range(5), range(3, 11)],
    "2 settings: 3, 5, none shared": [range(3), range(3, 8)],
    "5 settings: 4, 3, 3, 3, 3": [range(4), *[range(3)] * 4],
    "9 settings: 3 each": [range(3)] * 9,
    "9 settings: 3 each, none shared": [range(3 * k, 3 * k + 3) for k in range(9)],
    "9 settings: 8, 3 to 6": [range(8), *(range(3 + k % 4) for k in range(8))],
}
UNEQUAL = {  # questions of each passage
    "unequal: 100 × 9": [9] * 100,
    "unequal: 500, 9 × 20": [500, *[20] * 9],
    "unequal: 200, 100, 50, 25, 20, 15, 10, 5 × 5": [200, 100, 50, 25, 20, 15, 10, *[5] * 5],
    "unequal: 400, 40 × 10": [400, *[10] * 40],
    "unequal: 16 articles, 200 to 600": list(range(200, 601, 26)),
}


def drawn(
    rng: np.random.Generator, layout: Sequence[range], rho: float, mix: Sequence[float], wide: float = 1.0
) -> tuple[list[dict], np.ndarray, list]:
    """Contributions of every setting; what these passages add to its mean score; and what its seed adds to each run."""
    (own, passages, left), alike = mix, rho / (1 - rho)
    base, seeds = rng.normal(60, 10, PASSAGES), {seed for some in layout for seed in some}
    common = {seed: (rng.normal(0, (own * alike) ** 0.5), rng.normal(0, (left * alike) ** 0.5, PASSAGES)) for seed in sorted(seeds)}
    cells, here, runs = [], [], []
    for k, some in enumerate(layout):
        times = wide if k == 1 else 1.0
        here.append(rng.normal(0, (passages / 2) ** 0.5, PASSAGES))
        runs.append({seed: common[seed][0] + times * rng.normal(0, (own / 2) ** 0.5) for seed in some})
        within = {seed: common[seed][1] + times * rng.normal(0, (left / 2) ** 0.5, PASSAGES) for seed in some}
        cells.append({seed: base + here[-1] + runs[-1][seed] + within[seed] for seed in some})
    return cells, np.array(here).mean(axis=1), runs


def of_these_runs(found: SettingDifference, runs: list[dict], k: int) -> float:
    """What these runs add to the difference between setting k and the first: their effects, weighted as in the difference."""
    weights = np.split(found.by_run, np.cumsum([len(own) for own in runs])[:-1])
    scale = {j: abs(weights[k if found.paired else j].sum()) for j in range(len(runs))}
    return sum(weights[j] @ list(own.values()) / scale[j] for j, own in enumerate(runs) if weights[j].any())


def family_errs(found: Sequence[SettingDifference]) -> bool:
    """Whether the smallest p of the family, adjusted for all, is at most 0.05; computed only where Bonferroni's bounds do not decide it."""
    least = min(one.p for one in found)
    return least <= LEVELS[0] and (least * len(found) <= LEVELS[0] or family.any_as_small(least, found) <= LEVELS[0])


def simulated(name: str, rho: float, mix: str, draws: int, wide: float = 1.0) -> dict[str, float]:
    """Shares over `draws` studies: coverage and rejections of all comparisons, and families with a rejection."""
    rng, layout = np.random.default_rng(round(10 * rho)), LAYOUTS[name]
    covered, errs, ps = [], [], []
    for _ in range(draws):
        cells, here, runs = drawn(rng, layout, rho, MIXES[mix], wide)
        found = compare_to_first(cells)
        counted = found if wide == 1 else found[:1]
        for k, one in enumerate(counted, 1):
            truths = (here[k] - here[0], of_these_runs(one, runs, k), 0.0)
            covered.append([low <= truth <= high for (low, high), truth in zip(one.intervals.values(), truths, strict=True)])
        ps += [one.p for one in counted]
        errs.append(family_errs(found))
    said = dict(zip(("other seeds", "other passages", "both"), np.mean(covered, axis=0), strict=True))
    said |= {f"p ≤ {level}": float(np.mean(np.array(ps) <= level)) for level in LEVELS}
    return {**said, "family": float(np.mean(errs))}


def of_sizes(sizes: Sequence[int], seeds: int, draws: int, spread: float = 0.05) -> dict[str, float]:
    """Shares over `draws` studies of two settings with as many shared seeds: the true difference is 0 for other passages, which differ by 1
    point between settings, and by `spread` between runs."""
    rng, items, covered, ps = np.random.default_rng(seeds), np.array(sizes, float), [], []
    for _ in range(draws):
        means = rng.normal(0, 1, (2, 1, len(items))) + rng.normal(0, spread, (2, seeds, len(items)))
        score = means @ items / items.sum()
        u = score[..., None] + len(items) / items.sum() * items * (means - score[..., None])  # as `seeds.contributions`
        (found,) = compare_to_first([dict(enumerate(own)) for own in u], sizes=items)
        covered.append([low <= 0 <= high for low, high in (found.for_passages, (found.low, found.high))])
        ps.append(found.p)
    said = dict(zip(("other passages", "both"), np.mean(covered, axis=0), strict=True))
    return said | {f"p ≤ {level}": float(np.mean(np.array(ps) <= level)) for level in LEVELS}


def main() -> None:
    """Simulates the layouts that the command names, and prints a table."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--draws", type=int, default=4000, help="studies of each layout")
    asked.add_argument("--only", default="", help="layouts whose name starts with this")
    asked.add_argument("--wide", type=float, default=1.0, help="factor of the second setting's spread")
    given = asked.parse_args()
    for name in (name for name in LAYOUTS if name.startswith(given.only)):
        for mix, rho in itertools.product(MIXES, (0.0, 0.9)):
            found = simulated(name, rho, mix, given.draws, given.wide)
            print(f"{name}; {mix}; rho {rho}: " + ", ".join(f"{key} {100 * share:.2f}" for key, share in found.items()), flush=True)
    for name, seeds in itertools.product((name for name in UNEQUAL if name.startswith(given.only)), (3, 8)):
        shares = of_sizes(UNEQUAL[name], seeds, given.draws)
        print(f"{name}; {seeds} seeds: " + ", ".join(f"{key} {100 * share:.2f}" for key, share in shares.items()), flush=True)


if __name__ == "__main__":
    main()
