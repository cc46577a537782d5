"""Intervals and tests for two models, checked by brute force, by hand, and in simulations with known true values."""

import dataclasses
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mtdnn_kit.compare import choices, differences, significance
from mtdnn_kit.compare.significance import difference, holm, interval, mcnemar, p_text, sign_flip


def simulate(rng, g, fractional, shift=0.15):
    """Outcomes of two models on g passages of unequal size, correlated within a passage: 0/1, or like F1 with many zeros."""
    sizes = 1 + rng.poisson(rng.gamma(2.0, 2.0, g))
    groups = np.repeat(np.arange(g), sizes)
    both = rng.normal(0, 1.2, g)[groups] + rng.normal(0, 1, len(groups)) + 0.3
    latent = [both + s + rng.normal(0, 1, g)[groups] + rng.normal(0, 0.7, len(groups)) for s in (0, shift)]
    a, b = (np.where(z > 0, np.minimum(1, np.round(2 * z) / 4) if fractional else 1.0, 0.0) for z in latent)
    return a, b, groups


def mean(outcomes, weights):
    return (outcomes * weights).sum() / weights.sum()


def f1_of_label_1(outcomes, weights):
    """outcomes [N, 2]: gold and predicted label."""
    gold, said = outcomes.T
    either = weights @ (gold + said)
    return 200 * (weights @ (gold * said)) / either if either else 0.0


@pytest.mark.parametrize(("g", "fractional"), [(30, False), (30, True), (120, True), (200, False)])
def test_95_percent_intervals_cover_93_to_97_percent_and_naive_ones_less(g, fractional):
    rng = np.random.default_rng(g)
    a, b, _ = simulate(rng, 500_000, fractional)
    truth, b_alone = (b - a).mean(), b.mean()
    hits, n = np.zeros(3), 1000
    for i in range(n):
        a, b, groups = simulate(rng, g, fractional)
        found, single = difference(a, b, groups, draws=1500, seed=i), interval(b, groups, draws=1500, seed=i)
        naive = abs(found.difference - truth) <= 1.96 * found.se_independent
        hits += found.low <= truth <= found.high, single.low <= b_alone <= single.high, naive
    covered, covered_alone, naive = hits / n
    assert 0.93 <= covered <= 0.97 and 0.93 <= covered_alone <= 0.97, hits / n
    assert naive < 0.85, hits / n


def test_the_interval_of_a_statistic_covers_too():
    rng = np.random.default_rng(2)

    def labels(g):
        a, b, groups = simulate(rng, g, False, shift=0.3)
        return np.stack([a, b], axis=1), groups

    rows, _ = labels(400_000)
    truth, hits, n = f1_of_label_1(rows, np.ones(len(rows))), 0, 700
    for i in range(n):
        rows, groups = labels(40)
        found = interval(rows, groups, f1_of_label_1, draws=250, seed=i)
        hits += found.low <= truth <= found.high
    assert 0.93 <= hits / n <= 0.97, hits / n


def test_p_is_uniform_for_equal_models_if_passages_are_flipped_and_not_if_items_are():
    rng = np.random.default_rng(6)
    passages, items = [], []
    for i in range(500):
        _, _, groups = simulate(rng, 25, False)
        a, b = (rng.normal(0, 1, 25)[groups] + rng.normal(0, 0.7, len(groups)) for _ in range(2))
        passages.append(sign_flip(a, b, groups, draws=400, seed=i))
        items.append(sign_flip(a, b, range(len(groups)), draws=400, seed=i))
    assert stats.kstest(passages, "uniform").pvalue > 0.01
    assert stats.kstest(items, "uniform").pvalue < 1e-6


ROWS_OF_MANY = st.lists(
    st.tuples(*[st.sampled_from([0.0, 0.1, 1 / 3, 0.7, 1.0])] * 2, st.integers(0, 1), st.integers(0, 19)), min_size=8, max_size=60
).filter(lambda rows: len({g for *_, g in rows}) > 6 and any(gold for *_, gold, _ in rows))
TENTHS = st.lists(st.tuples(st.integers(0, 10), st.integers(0, 10), st.integers(0, 5)), min_size=2, max_size=12).filter(
    lambda rows: len({g for *_, g in rows}) > 1
)


@given(TENTHS)
@settings(max_examples=150, deadline=None)
def test_p_of_few_passages_equals_exact_enumeration(rows):
    sums = {}
    for a, b, g in rows:
        sums[g] = sums.get(g, 0) + b - a
    observed = abs(sum(sums.values()))
    swapped = [abs(sum(s * d for s, d in zip(signs, sums.values(), strict=True))) for signs in product((1, -1), repeat=len(sums))]
    expected = Fraction(sum(s >= observed for s in swapped), len(swapped))
    a, b, groups = (np.array(column) for column in zip(*rows, strict=True))
    assert sign_flip(a / 10, b / 10, groups) == float(expected)
    assert sign_flip(a / 10, b / 10, groups, mean) == float(expected)


def test_p_of_random_flips_is_two_sided_and_counts_the_observed_difference():
    """B is better by 1 in each of 20 passages: 2 of 2^20 flips give a difference as large, and none of the random ones does."""
    a, b = np.zeros(20), np.ones(20)
    assert sign_flip(a, b, range(20), draws=199) == sign_flip(b, a, range(20), draws=199) == 1 / 200
    assert sign_flip(a, b, range(20), mean, draws=199) == 1 / 200
    d = np.random.default_rng(1).normal(0.2, 1, 40)
    exact = np.abs((1 - 2 * np.random.default_rng(2).integers(0, 2, (200_000, 40))) @ d) >= abs(d.sum())
    assert sign_flip(np.zeros(40), d, range(40)) == pytest.approx(exact.mean(), abs=0.02)


def test_random_flips_count_differences_within_rounding_as_equal():
    d = np.tile([0.1, 0.2, -0.3, 0.7], 5)  # in tenths: sums that often tie with the observed 3.5
    whole = np.round(10 * d).astype(int)
    flips = np.random.default_rng(0).integers(0, 2, (10_000, 20))
    as_large = np.abs(whole.sum() - 2 * flips @ whole) >= whole.sum()
    assert sign_flip(np.zeros(20), d, [f"{i:02}" for i in range(20)]) == pytest.approx(as_large.mean(), abs=0.01)
    assert sign_flip(np.full(26, 0.3), np.tile([0.1 + 0.2, 0.3], 13), range(26)) > 0.9  # only rounding differs


@pytest.mark.parametrize("statistic", [None, mean])
def test_identical_outcomes_show_no_difference(statistic):
    a = np.tile([0.1, 0.0, 1.0], 20)
    found = difference(a, a, range(60), statistic, draws=100)
    assert (found.difference, found.p, found.se, found.widening) == (0, 1, 0, 1)


def test_a_difference_that_is_the_same_for_all_passages_has_no_interval():
    """It tells nothing about passages where it is another one: two models that both answer 8 of 8 right may differ in the ninth."""
    for gap, p in ((0.1, 2 / 64), (0.0, 1)):
        found = difference(np.zeros(24), np.full(24, gap), np.repeat(range(6), 4))
        assert (found.low, found.high, found.p) == (-np.inf, np.inf, p) and found.widening == 1
        assert (
            not found.varies
            and f"({'+0.1' if gap else '+0'} (no single one of the passages changes it, hence no interval" in f"({found.sentence()[8:]}"
        )
    with pytest.raises(ValueError, match="no single passage changes the difference: that does not tell"):
        significance.passages_needed(found, 1.0)


def test_fewer_than_six_passages_allow_no_interval_and_the_sentence_says_so():
    gains = np.repeat([0.1, 0.1, 0.1, 0.1, 0.12], 4)
    found = difference(np.zeros(20), gains, np.repeat(range(5), 4))
    assert (found.low, found.high, found.p) == (-np.inf, np.inf, 2 / 32) and found.difference == pytest.approx(0.104)
    assert "B − A = +0.104 (too few for an interval, p = 0.062; 20 items in 5 passages), no more than" in found.sentence()
    assert np.isfinite(difference(np.zeros(20), gains, np.repeat(range(5), 4), level=0.9).low)


def test_standard_errors_by_hand():
    """Passages of 1, 2 and 3 items with differences 1 | 0, 1 | 0, 0, −1: mean 1/6, residuals 5/6, 4/6, −9/6."""
    found = difference([0, 0, 0, 0, 0, 1], [1, 0, 1, 0, 0, 0], list("xyyzzz"))
    assert found.difference == pytest.approx(1 / 6)
    assert found.se == pytest.approx(np.sqrt(3 / 2 * (25 + 16 + 81) / 36) / 6)
    assert found.se_independent == pytest.approx(np.std([1, 0, 1, 0, 0, -1], ddof=1) / np.sqrt(6))
    assert (found.n_items, found.n_passages) == (6, 3) and found.widening == pytest.approx(found.se / found.se_independent)


def test_a_mean_given_as_a_statistic_has_the_same_interval_and_nearly_the_same_standard_errors():
    a, b, groups = simulate(np.random.default_rng(4), 80, True)
    plain, general = (difference(a, b, groups, statistic, draws=4000, seed=9) for statistic in (None, mean))
    assert dataclasses.astuple(general) == pytest.approx(dataclasses.astuple(plain), abs=1e-8) and plain.widening > 1.3
    heaps = difference(np.tile(a, 4), np.tile(b, 4), np.tile(groups, 4), mean)
    assert heaps.n_items > significance._ALONE and heaps.se_independent == pytest.approx(plain.se_independent / 2, rel=0.05)
    alone = interval(b - a, groups, draws=4000, seed=9)
    assert (alone.score, alone.low, alone.high, alone.se) == pytest.approx((plain.difference, plain.low, plain.high, plain.se), abs=1e-12)
    single = difference(a, b, range(len(a)), mean, draws=200)
    assert single.widening == 1


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_with_few_equal_passages_the_wider_of_the_t_and_flip_intervals_is_used(level):
    """Student's t has fewer degrees of freedom where few passages cause the variance. Each of 12 passages has its value three times."""
    rng, flips = np.random.default_rng(8), []
    for seed in range(20):
        values = rng.normal(0, 1, 12)
        found = interval(values.repeat(3), np.arange(12).repeat(3), level=level, seed=seed)
        far = stats.t.isf((1 - level) / 2, significance.degrees(values - values.mean(), 11.0)) * stats.sem(values)
        low, high = significance._flipped(values, np.ones(12), 1e-9, level, 0, seed)[1:]
        assert (found.low, found.high) == pytest.approx((min(low, values.mean() - far), max(high, values.mean() + far)))
        flips.append((high - low) / 2 / found.se)
    assert np.mean(flips) == pytest.approx(stats.t.isf((1 - level) / 2, 11), rel=0.03)


def test_skewed_articles_are_not_judged_by_flips_only():
    """One of 16 articles is better by 40, the others by 1 to 3: t is 1.84, although flips give the smallest possible p."""
    d = np.r_[40.0, np.tile([1.0, 2.0, 3.0], 5)]
    found, t = difference(np.zeros(16), d, range(16)), d.mean() / stats.sem(d)
    assert sign_flip(np.zeros(16), d, range(16)) == 2 / 2**16 and found.low < 0 < found.high
    assert found.p == pytest.approx(2 * stats.t.sf(t, 4)) and found.p > 0.1


def test_the_interval_contains_the_differences_that_the_test_does_not_reject():
    """With few passages and with many, p of a shifted model crosses 0.05 at both ends of the interval."""
    rng = np.random.default_rng(12)
    for g in (7, 12, 40):
        a, b, groups = simulate(rng, g, True)
        found = difference(a, b, groups, seed=3)
        for end, out in ((found.low, -1e-6), (found.high, 1e-6)):
            assert difference(a + end + out, b, groups, seed=3).p < 0.05 <= difference(a + end - out, b, groups, seed=3).p


@given(ROWS_OF_MANY, st.sampled_from([None, mean, f1_of_label_1]), st.sampled_from([0.9, 0.95]))
@settings(max_examples=150, deadline=None)
def test_p_and_interval_of_one_difference_agree(rows, statistic, level):
    """Unless an end of the interval equals 0 within rounding."""
    a, b, gold, groups = (np.array(column) for column in zip(*rows, strict=True))
    if statistic is f1_of_label_1:
        a, b = (np.stack([gold, x > 0.4], axis=1) for x in (a, b))
    found = difference(a, b, groups, statistic, level=level, draws=300)
    if min(abs(found.low), abs(found.high)) > 1e-6:
        assert (found.p < 1 - level) == (not found.low <= 0 <= found.high)


def test_a_score_of_0_or_the_maximum_has_an_interval_with_a_width():
    """132 items in 22 equal passages, none right: their correlation is unknown, and they count as 22; t with 21 degrees of freedom."""
    groups, z = np.arange(132) // 6, stats.t.isf(0.025, 21) ** 2 / 22
    none, every = (interval(np.full(132, x), groups, most=100) for x in (0, 100))
    assert (none.low, none.high) == (pytest.approx(0), pytest.approx(100 * z / (1 + z))) and none.se == 0
    assert (every.low, every.high) == (pytest.approx(100 / (1 + z)), pytest.approx(100))


def test_the_interval_of_independent_items_is_wilsons():
    """30 independent items, 9 right: Wilson's formula (the roots of its quadratic) with an effective number of 29 and t with 29 degrees."""
    values, far = np.arange(30) < 9, stats.t.isf(0.025, 29) ** 2 / 29
    found = interval(values, range(30), most=1)
    roots = np.roots([1 + far, -(2 * 0.3 + far), 0.3**2])
    assert (found.low, found.high) == pytest.approx(tuple(sorted(roots)))
    large = interval(np.arange(4000) < 1000, range(4000), most=1)
    wilson = stats.binomtest(1000, 4000).proportion_ci(method="wilson")
    assert (large.low, large.high) == pytest.approx((wilson.low, wilson.high), abs=2e-5)


def test_degrees_of_freedom_equal_those_from_eigenvalues():
    for sizes in ([1, 1, 1, 1], [40, *[1] * 10], [486, 458, 445, 444, 424, 421, 418, 402, 384, 377, 373, 364, 357, 262, 255, 208]):
        share = np.array(sizes) / sum(sizes)
        residuals = np.eye(len(share)) - share  # of clusters' means from the mean
        left = (residuals**2).sum(axis=1)
        roots = np.linalg.eigvalsh((share / np.sqrt(left))[:, None] * (residuals @ residuals.T) * (share / np.sqrt(left)))
        assert left == pytest.approx(1 - 2 * share + share @ share)
        assert significance._satterthwaite(share, left) == pytest.approx(roots.sum() ** 2 / (roots**2).sum())
    assert significance._satterthwaite(np.full(4, 0.25), np.full(4, 0.75)) == pytest.approx(3)


def test_heavy_tails_leave_fewer_degrees_of_freedom():
    """Fisher's G2 is scipy's unbiased kurtosis. If one of 16 clusters causes all variance, 4 degrees are left. They never increase."""
    rng = np.random.default_rng(11)
    for parts in rng.standard_t(3, (20, 16)):
        parts = parts - parts.mean()
        excess = max(0.0, stats.kurtosis(parts, bias=False))
        assert significance.degrees(parts, 13.0) == pytest.approx(max(4.0, 1 / (1 / 13 + excess / 32)))
    assert significance.degrees(np.tile([1.0, -1.0], 8), 13.0) == 13.0
    one = np.r_[15.0, -np.ones(15)]
    assert (significance.degrees(one, 13.0), significance.degrees(one, 3.0)) == (4.0, 3.0)
    assert significance.degrees(np.array([2.0, -1.0, -1.0]), 2.0) == 2.0 and significance.degrees(np.zeros(9), 8.0) == 8.0


@pytest.mark.parametrize("rate", [0.02, 0.5, 0.98])
def test_the_interval_of_a_rate_on_22_passages_keeps_its_level(rate):
    rng, n, hits = np.random.default_rng(5), 1500, 0
    for _ in range(n):
        groups = np.repeat(np.arange(22), rng.integers(4, 9, 22))
        latent = np.sqrt(0.3) * rng.normal(size=22)[groups] + np.sqrt(0.7) * rng.normal(size=len(groups))
        found = interval(100 * (latent < stats.norm.ppf(rate)), groups, most=100)
        hits += found.low <= 100 * rate <= found.high
    assert 0.93 <= hits / n <= 0.98, hits / n


def test_a_statistic_gets_weights_and_all_outcomes():
    """A statistic gets all items with their gold labels. Weights are 1, or 0 for the passage or the item that is left out."""
    rng = np.random.default_rng(3)
    gold = rng.integers(0, 2, 60)
    a, b = (np.stack([gold, np.where(rng.random(60) < right, gold, 1 - gold)], axis=1) for right in (0.6, 0.9))
    seen = []

    def statistic(outcomes, weights):
        seen.append((outcomes, weights))
        return f1_of_label_1(outcomes, weights)

    found = difference(a, b, np.arange(60) // 3, statistic, draws=100)
    assert found.difference == pytest.approx(f1_of_label_1(b, np.ones(60)) - f1_of_label_1(a, np.ones(60)))
    assert found.low < found.difference < found.high and found.p < 0.05
    assert all(sorted(outcomes[:, 0]) == sorted(gold) for outcomes, _ in seen)
    assert len(seen) == 2 + 2 * 20 + 2 + 2 * 60 and all(set(weights) <= {0, 1} for _, weights in seen)
    assert [(weights == 0).sum() for _, weights in seen] == [0] * 2 + [3] * 40 + [0] * 2 + [1] * 120
    with pytest.raises(ValueError, match="is not a number"):
        difference(a, b, np.arange(60) // 3, lambda outcomes, weights: np.nan, draws=100)


ROWS = st.lists(st.tuples(*[st.sampled_from([0.0, 0.1, 1 / 3, 0.7, 1.0])] * 2, st.integers(0, 15)), min_size=2, max_size=30).filter(
    lambda rows: len({g for *_, g in rows}) > 1
)
STATISTICS = st.sampled_from([None, mean])


@given(ROWS, STATISTICS, st.randoms())
@settings(max_examples=60, deadline=None)
def test_the_order_of_items_changes_nothing(rows, statistic, random):
    mixed = random.sample(rows, len(rows))
    before, after = (difference(*zip(*order, strict=True), statistic, draws=100) for order in (rows, mixed))
    assert before == after


@given(ROWS, STATISTICS)
@settings(max_examples=60, deadline=None)
def test_swapping_the_models_mirrors_everything(rows, statistic):
    a, b, groups = zip(*rows, strict=True)
    one, other = difference(a, b, groups, statistic, draws=100), difference(b, a, groups, statistic, draws=100)
    assert (other.difference, other.low, other.high) == pytest.approx((-one.difference, -one.high, -one.low), abs=1e-8)
    assert (other.p, other.se) == pytest.approx((one.p, one.se), abs=1e-8)


@given(ROWS, st.randoms())
@settings(max_examples=60, deadline=None)
def test_only_the_order_of_passage_labels_has_an_effect(rows, random):
    """Passages are drawn in the order of their labels: other labels in the same order give the same result; another order nearly does."""
    a, b, groups = zip(*rows, strict=True)
    labels = sorted(map(str, range(16)))
    names = dict(zip(sorted(range(16), key=repr), labels, strict=True))
    one = difference(a, b, groups, draws=100)
    assert one == difference(a, b, [names[g] + "!" for g in groups], draws=100)
    assert one == difference(a, b, [(names[g],) for g in groups], draws=100) == difference(a, b, np.array(groups), draws=100)
    mixed = dict(zip(range(16), random.sample(labels, 16), strict=True))
    other = difference(a, b, [mixed[g] for g in groups], draws=100)
    assert (one.difference, one.se, one.se_independent) == pytest.approx((other.difference, other.se, other.se_independent), abs=1e-12)
    if len(set(groups)) <= 12:
        assert one.p == pytest.approx(other.p)


@given(ROWS, st.floats(-3, 3))
@settings(max_examples=60, deadline=None)
def test_a_constant_added_to_both_models_cancels_and_added_to_one_shifts_the_difference(rows, constant):
    a, b, groups = (np.array(column) for column in zip(*rows, strict=True))
    one, both = difference(a, b, groups, draws=100), difference(a + constant, b + constant, groups, draws=100)
    assert dataclasses.astuple(both) == pytest.approx(dataclasses.astuple(one), abs=1e-9)
    more = difference(a, b + constant, groups, draws=100)
    assert (more.difference, more.low, more.high, more.se) == pytest.approx(
        (one.difference + constant, one.low + constant, one.high + constant, one.se), abs=1e-9
    )


def test_results_depend_on_the_given_seed_and_not_on_the_global_one():
    a, b, groups = simulate(np.random.default_rng(5), 40, True)
    np.random.seed(1)
    one = difference(a, b, groups)
    np.random.seed(2)
    assert one == difference(a, b, groups, seed=0)
    other = difference(a, b, groups, seed=1)
    assert (one.low, one.p) != (other.low, other.p)
    assert (one.low, one.high) == pytest.approx((other.low, other.high), abs=0.1 * one.se) and one.p == pytest.approx(other.p, abs=0.02)


def test_results_do_not_depend_on_the_block_size(monkeypatch):
    a, b, groups = simulate(np.random.default_rng(5), 40, True)
    one = difference(a, b, groups, draws=500)
    monkeypatch.setattr(significance, "_BLOCK", 40 * 7)
    assert difference(a, b, groups, draws=500) == one


@pytest.mark.parametrize(
    ("a", "b", "groups", "options", "message"),
    [
        ([1, 0], [1, 0, 1], [1, 2], {}, "same items"),
        ([1, 0], [1, 0], [1, 2, 3], {}, "same items"),
        ([], [], [], {}, "0 items in 0 passages"),
        ([1, 0], [1, np.nan], [1, 2], {}, "NaN"),
        ([1, np.inf], [1, 0], [1, 2], {}, "infinite"),
        ([1, 0], [1, 0], ["x", "x"], {}, "two passages"),
        ([[1], [0]], [[1], [0]], [1, 2], {}, "name a statistic"),
        ([1, 0], [1, 0], [1, 2], {"level": 1.0}, "level"),
        ([1, 0], [1, 0], [1, 2], {"level": 95}, "level"),
        ([1, 0], [1, 0], [1, 2], {"draws": 99}, "use at least 100"),
        ([1, 0], [1, 0], [1, 2], {"draws": 400, "level": 0.99}, "use at least 500"),
    ],
)
def test_invalid_input_is_refused_with_a_reason(a, b, groups, options, message):
    with pytest.raises(ValueError, match=message):
        difference(a, b, groups, **options)
    if np.shape(a) == np.shape(b):
        with pytest.raises(ValueError, match=message):
            interval(b if np.isfinite(a).all() else a, groups, **options)


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=60))
@settings(max_examples=200, deadline=None)
def test_mcnemar_is_the_binomial_test_of_the_items_that_differ(pairs):
    a, b = zip(*pairs, strict=True)
    only_a, only_b, p = mcnemar(a, b)
    assert (only_a, only_b) == (pairs.count((1, 0)), pairs.count((0, 1)))
    assert p == pytest.approx(stats.binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1)


def test_mcnemar_keeps_its_level_on_independent_items_and_accepts_only_0_and_1():
    rng, n = np.random.default_rng(7), 4000
    ps = np.array([mcnemar(*(rng.random((2, 80)) < 0.6).astype(int))[2] for _ in range(n)])
    for level in (0.01, 0.05, 0.1, 0.3):
        assert (ps <= level).mean() <= level + 3 * np.sqrt(level * (1 - level) / n)
    assert (ps <= 0.3).mean() > 0.15
    for a, b in (([0.5, 1], [0, 1]), ([1, 0], [1]), ([], [])):
        with pytest.raises(ValueError, match="0 or 1"):
            mcnemar(a, b)


@given(st.lists(st.sampled_from([0.0, 0.001, 0.01, 0.02, 0.04, 0.3, 1.0]), max_size=8))
@settings(max_examples=200, deadline=None)
def test_holm_gives_the_smallest_level_at_which_the_steps_reject(ps):
    adjusted = holm(ps)
    for i, p in enumerate(ps):
        steps = [min(1, (len(ps) - sum(q < other for q in ps)) * other) for other in ps if other <= p]
        assert adjusted[i] == pytest.approx(max(steps))


def test_holm_by_hand():
    assert holm([0.03, 0.005, 0.04, 0.01]) == pytest.approx([0.06, 0.02, 0.06, 0.03]) and holm([]) == [] and holm([0.6, 0.7]) == [1, 1]
    for ps in ([-0.1], [1.1], [np.nan, 2]):
        with pytest.raises(ValueError, match="between 0 and 1"):
            holm(ps)


def test_holm_ignores_missing_p_values():
    assert holm([0.03, np.nan, 0.005, 0.04, np.nan, 0.01]) == pytest.approx([0.06, np.nan, 0.02, 0.06, np.nan, 0.03], nan_ok=True)
    assert np.isnan(holm([np.nan])).all()


@pytest.mark.parametrize(
    "p, text",
    [(0.0496, "0.0496"), (0.04996, "0.04996"), (0.05, "0.05"), (0.0502, "0.05"), (0.0449, "0.045"), (0.2, "0.2"), (3e-6, "3e-06")],
)
def test_a_p_below_5_percent_is_never_shown_as_5_percent(p, text):
    assert p_text(p) == text


def test_the_sentence_states_the_finding_and_its_limits():
    found = significance.Difference(0.0138, -0.0015, 0.029, 0.0789, 0.95, 0.0078, 0.0075, 5935, 1200)
    assert found.sentence("QA", "mix", scale=100) == (
        "mix − QA = +1.38 (95 % interval -0.15 to +2.9, p = 0.079; 5,935 items in 1,200 passages), no more than what the choice "
        "of passages explains; nothing is claimed beyond these two models: a claim about the settings that trained them takes several "
        "seeds of each."
    )
    clear = dataclasses.replace(found, low=0.001, p=0.01)
    assert ", more than what" in clear.sentence() and "+0.0138" in clear.sentence()
    for edge in (dataclasses.replace(found, p=0.04), dataclasses.replace(found, low=0.001)):
        assert "at the edge of what" in edge.sentence()


def test_the_needed_number_of_passages_gives_the_stated_power():
    rng = np.random.default_rng(4)
    groups = np.repeat(np.arange(60), 5)
    a, b = rng.normal(size=(2, 300)) + rng.normal(size=(60, 1)).repeat(5, axis=1).reshape(1, 300)
    found = significance.difference(a, b, groups)
    needed = significance.passages_needed(found, 0.25)
    assert needed == pytest.approx(60 * ((1.959964 + 0.841621) * found.se / 0.25) ** 2, abs=1)
    sigma = found.se * np.sqrt(60)  # of one passage's contribution
    seen = np.abs(rng.normal(0.25, sigma / np.sqrt(needed), 4000)) > 1.959964 * sigma / np.sqrt(needed)
    assert 0.78 < seen.mean() < 0.82
    assert significance.passages_needed(found, -0.25) == needed and significance.passages_needed(found, 1e6) == 6, (
        "fewer allow no p below 0.05"
    )
    for wanted, power in ((0, 0.8), (np.nan, 0.8), (1, 1.0)):
        with pytest.raises(ValueError, match="must not be 0"):
            significance.passages_needed(found, wanted, power=power)


@pytest.mark.parametrize("positives", [2, 3])
def test_a_difference_that_rests_on_few_texts_has_no_small_p(positives):
    """F1 of a label that few rows have: leaving out one of the others changes nothing, so flips of pseudo-values would give 1 / 10,001."""
    gold = np.zeros(200)
    gold[:positives] = 1
    found = significance.difference(
        np.column_stack([gold, np.zeros(200)]), np.column_stack([gold, gold]), range(200), choices.label_statistic("f1", 2)
    )
    assert found.difference == pytest.approx(100) and found.p >= 2 ** (1 - positives)
    assert not np.isfinite(found.low) or found.low <= 0


def test_a_score_of_few_texts_has_a_wide_interval():
    """Neither gold nor predicted label 1: such rows cannot change F1, however many there are."""
    for rows in (20, 2000):
        pairs = np.zeros((rows, 2))
        pairs[:2] = 1
        made = interval(pairs, range(rows), choices.label_statistic("f1", 2), most=100, counts=differences.counting("f1", pairs))
        assert 25 < made.low < 40 and made.high == pytest.approx(100), "as two items that are both right"
    assert differences.counting("matthews", pairs).sum() == 2 and differences.counting("accuracy", pairs) is None
