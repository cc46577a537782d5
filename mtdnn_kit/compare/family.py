"""Many settings against one: p adjusted for all of a study's tests, which share the first setting's runs and so are correlated.

Holm's step-down (1979); within one group of tests (a score: all its settings against the first) the multivariate t distribution gives the
probability of so small a minimum p (Dunnett 1955; Hothorn, Bretz & Westfall 2008, "Simultaneous inference in general parametric models");
groups are summed, whatever their correlation. With one test per group it equals Holm's procedure; with one group, Dunnett's step-down.
"""

from collections.abc import Sequence

import numpy as np
from scipy.stats import multivariate_t, t

from mtdnn_kit.compare.seeds import SettingDifference

_POINTS = 20_000  # of the integration, with a fixed seed: exact to the third digit at p = 0.01


def correlations(found: Sequence[SettingDifference]) -> np.ndarray:
    """Correlations of differences to the same first setting [n, n], from the runs and passages that they share."""
    runs, passages = np.array([one.by_run for one in found]), np.array([one.by_passage - one.by_passage.mean() for one in found])
    g = passages.shape[1]
    shared = runs @ runs.T + passages @ passages.T / (g - 1) / g
    sd = np.sqrt(np.where(np.diag(shared) > 0, np.diag(shared), 1))
    return shared / np.outer(sd, sd) * (1 - np.eye(len(found))) + np.eye(len(found))


def any_as_small(p: float, found: Sequence[SettingDifference]) -> float:
    """The probability that the smallest p of these tests is at most p if nothing differs; uses their largest degrees of freedom, which is
    conservative."""
    if len(found) == 1 or not 0 < p < 1:
        return p
    df, n = max(one.df for one in found), len(found)
    far, like = np.full(n, t.isf(p / 2, df)), correlations(found)
    inside = multivariate_t.cdf(far, None, like, df, allow_singular=True, lower_limit=-far, maxpts=_POINTS, random_state=0)
    return float(min(max(1 - inside, p), n * p))


def adjusted(found: Sequence[SettingDifference], groups: Sequence[str]) -> list[float]:
    """The p of differences, each adjusted for all of them, in the given order; groups: the score of each."""
    order, least, told = sorted(range(len(found)), key=lambda i: found[i].p or 0.0), 0.0, [0.0] * len(found)
    for place, i in enumerate(order):
        rest = order[place:]
        some = [[found[j] for j in rest if groups[j] == group] for group in dict.fromkeys(groups[j] for j in rest)]
        told[i] = least = max(least, min(1.0, sum(any_as_small(found[i].p or 0.0, own) for own in some)))
    return told
