"""Settings with several seeds: by hand, limits against scipy's t-tests, coverage and power by simulation; see also test_blocks.py."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mtdnn_kit.compare import significance
from mtdnn_kit.compare.seeds import (
    NO_P,
    POPULATIONS,
    Needed,
    SettingDifference,
    compare_to_first,
    contributions,
    mean_score,
    needed,
    sizes_of,
)
from mtdnn_kit.errors import NoClaim


def mean(outcomes, weights):
    return (outcomes * weights).sum() / weights.sum()


def crossed(rng, n, g, seed, passage, interaction):
    """Contributions [n, g] of n seeds to a setting; standard deviations: seed, passage (specific to the setting), seed × passage."""
    return rng.normal(0, seed, (n, 1)) + rng.normal(0, passage, g) + rng.normal(0, interaction, (n, g))


def compare(a, b, *, paired, level=0.95):
    """b − a; paired: the rows have the same seeds."""
    return compare_to_first([dict(enumerate(a)), {s if paired else 100 + s: row for s, row in enumerate(b)}], level)[0]


OUTCOMES = st.lists(st.tuples(st.sampled_from([0.0, 0.2, 1.0]), st.integers(0, 8)), min_size=2, max_size=30).filter(
    lambda rows: len({g for _, g in rows}) > 1
)


@given(OUTCOMES, st.sampled_from([None, mean, lambda x, w: 100 * np.sqrt(mean(x, w))]))
@settings(max_examples=100, deadline=None)
def test_contributions_average_to_the_score_in_the_order_of_labels(rows, statistic):
    outcomes, groups = map(np.array, zip(*rows, strict=True))
    found = contributions(outcomes, groups, statistic)
    assert found.shape == (len(set(groups)),)
    assert found.mean() == pytest.approx((statistic or mean)(outcomes, np.ones(len(rows))))
    order = np.random.default_rng(len(rows)).permutation(len(rows))
    assert contributions(outcomes[order], groups[order], statistic) == pytest.approx(found)
    turned = contributions(outcomes, [str(9 - g) for g in groups], statistic)
    assert turned[::-1] == pytest.approx(found)


def test_contributions_by_hand():
    """Passages of 1, 2 and 3 items; mean 1/3; the passages' sums deviate from it by 2/3, 1/3, −1."""
    outcomes, groups = [1, 1, 0, 0, 0, 0], list("xyyzzz")
    assert contributions(outcomes, groups) == pytest.approx(1 / 3 + np.array([2 / 3, 1 / 3, -1]) * 3 / 6)
    assert contributions(outcomes, groups, mean) == pytest.approx(contributions(outcomes, groups)), "left out, each moves the mean as much"
    moved = 3 / 6 * np.array([5, 4, 3]) * (1 / 9 - np.array([1 / 5, 1 / 4, 2 / 3]) ** 2)  # a score that is not linear: the mean squared
    squared = contributions(outcomes, groups, lambda x, w: mean(x, w) ** 2)
    assert squared == pytest.approx(1 / 9 + moved - moved.mean())


def test_contributions_of_a_statistic_that_is_a_mean_are_those_of_the_mean():
    rng = np.random.default_rng(0)
    uneven = rng.integers(0, 300, 1500)
    values = (rng.normal(0, 1, 300)[uneven] + rng.normal(0, 1, 1500) > 0) * 1.0
    assert contributions(values, uneven, mean) == pytest.approx(contributions(values, uneven))


def test_contributions_refuse_invalid_outcomes():
    for outcomes, groups, message in (
        ([1, 0], [1], "same items"),
        ([[1], [0]], [1, 2], "statistic"),
        ([1, np.nan], [1, 2], "finite"),
        ([1, 0], [1, 1], "1 passages"),
        ([], [], "0 passages"),
    ):
        with pytest.raises(ValueError, match=message):
            contributions(outcomes, groups)
    with pytest.raises(ValueError, match="is not a number without some passage"):
        contributions([1, 0], [1, 2], lambda outcomes, weights: np.nan if weights[0] == 0 else 0.0)


def test_paired_by_hand():
    """Differences [[1, 2, 6], [3, 6, 6], [2, 4, 6]]: seed means 3, 5, 4; passage means 2, 4, 6; residuals: 0 −1 1, 0 1 −1, 0 0 0.

    Variance of seed means 1, of passage means 4, of residuals 4 / 4 = 1. V of the mean: from seeds 1/3, passages 4/3, shared 1/9.
    """
    u, base = np.array([[1.0, 2, 6], [3, 6, 6], [2, 4, 6]]), np.array([[5.0, 1, 2], [7, 0, 1], [0, 0, 9]])
    found = compare(base, base + u, paired=True, level=0.9)
    assert (found.difference, found.se) == pytest.approx((4, np.sqrt(1 / 3 + 4 / 3 - 1 / 9)))
    assert (found.seed, found.passage, found.seed_passage) == pytest.approx((1 - 1 / 3, 4 - 1 / 3, 1))
    far = stats.t.isf(0.05, 2) * np.sqrt(1 / 3 + 4 / 3 - 1 / 9)  # both have 2 degrees of freedom
    assert found.df == pytest.approx(2) and (found.low, found.high) == pytest.approx((4 - far, 4 + far))
    assert found.p == pytest.approx(2 * stats.t.sf(4 / found.se, 2))
    assert found.for_seeds == pytest.approx(stats.t.interval(0.9, 2, 4, np.sqrt(1 / 3)))
    assert found.for_passages == pytest.approx(stats.t.interval(0.9, 2, 4, np.sqrt(4 / 3)))
    assert (found.n_seeds, found.n_passages, found.paired, found.level) == ((3, 3), 3, True, 0.9)
    assert list(found.intervals) == list(POPULATIONS) and found.intervals["other seeds and passages"] == (found.low, found.high)


def test_seeds_that_agree_by_chance_do_not_remove_the_noise_of_questions():
    """Seed means 3, 3, 3; passage means 1, 5, 3; residual variance 1, hence 1/9 shared; variance from passages only: 4/3."""
    u = np.array([[0.0, 6, 3], [2, 4, 3], [1, 5, 3]])
    found = compare(np.zeros((3, 3)), u, paired=True)
    assert found.seed == pytest.approx(-1 / 3) and found.se == pytest.approx(np.sqrt(4 / 3))
    assert (found.low, found.high) == pytest.approx(stats.t.interval(0.95, 2, 3, np.sqrt(4 / 3)))
    assert found.for_passages == pytest.approx((found.low, found.high))
    assert found.p == pytest.approx(2 * stats.t.sf(3 / np.sqrt(4 / 3), 2)) and found.for_seeds == (-np.inf, np.inf)


def test_unpaired_against_the_formula():
    rng = np.random.default_rng(3)
    a, b = crossed(rng, 3, 40, 1, 3, 2), crossed(rng, 5, 40, 2, 3, 3)
    found, left = compare(a, b, paired=False), []
    for u in (a, b):
        rest = u - u.mean(axis=1, keepdims=True) - u.mean(axis=0) + u.mean()
        left.append((rest**2).sum() / (len(u) - 1) / 39)
    seeds_a, seeds_b = a.mean(axis=1).var(ddof=1) / 3, b.mean(axis=1).var(ddof=1) / 5
    all_passages = (b.mean(axis=0) - a.mean(axis=0)).var(ddof=1) / 40
    passage = all_passages - left[0] / 3 / 40 - left[1] / 5 / 40
    assert passage > 0 and found.se**2 == pytest.approx(seeds_a + seeds_b + passage)
    welch = (seeds_a + seeds_b) ** 2 / (seeds_a**2 / 2 + seeds_b**2 / 4)
    few = significance.degrees(found.by_passage - found.difference, 39)
    assert 20 < few < 39
    far = np.sqrt((seeds_a + seeds_b) * stats.t.isf(0.025, welch) ** 2 + passage * stats.t.isf(0.025, few) ** 2)
    assert (found.high - found.difference, found.difference - found.low) == pytest.approx((far, far))
    assert found.for_seeds[1] - found.difference == pytest.approx(stats.t.isf(0.025, welch) * np.sqrt(seeds_a + seeds_b))
    assert found.for_passages[1] - found.difference == pytest.approx(stats.t.isf(0.025, few) * np.sqrt(all_passages))
    assert found.passage == pytest.approx(40 * passage) and found.seed_passage == pytest.approx(sum(left))
    assert found.seed == pytest.approx(3 * seeds_a - left[0] / 40 + 5 * seeds_b - left[1] / 40)
    assert found.difference == pytest.approx(b.mean() - a.mean()) and found.n_seeds == (3, 5) and not found.paired


def test_a_settings_score_has_an_interval_for_other_seeds():
    rng = np.random.default_rng(4)
    x = rng.normal(0, 1, 5)
    found = mean_score(dict(enumerate(np.repeat(x[:, None], 8, axis=1))))
    assert (found.low, found.high) == pytest.approx(stats.t.interval(0.95, 4, x.mean(), stats.sem(x)))


def test_without_variance_of_passages_it_is_the_t_test_of_seeds():
    rng = np.random.default_rng(1)
    x, y = rng.normal(0, 1, 4), rng.normal(0, 3, 6)
    a, b = np.repeat(x[:, None], 7, axis=1), np.repeat(y[:, None], 7, axis=1)
    for found, test in (
        (compare(a, b, paired=False), stats.ttest_ind(y, x, equal_var=False)),
        (compare(a, b[:4], paired=True), stats.ttest_rel(y[:4], x)),
    ):
        assert (found.p, found.df) == pytest.approx((test.pvalue, test.df))
        assert (found.low, found.high) == pytest.approx(tuple(test.confidence_interval()))
        assert (found.passage, found.seed_passage) == pytest.approx((0, 0), abs=1e-9)


@pytest.mark.parametrize("paired", [True, False])
def test_without_variance_of_seeds_it_is_the_t_test_of_passages(paired):
    rng = np.random.default_rng(2)
    x, y = rng.normal(0, 1, 30), rng.normal(0.5, 1, 30)
    found = compare(np.tile(x, (3, 1)), np.tile(y, (3, 1)), paired=paired)
    test = stats.ttest_rel(y, x)
    assert (found.p, found.df, found.seed) == pytest.approx((test.pvalue, 29, 0), abs=1e-9)
    assert (found.low, found.high) == pytest.approx(tuple(test.confidence_interval()))


def test_equal_settings_have_difference_0():
    a = crossed(np.random.default_rng(0), 3, 10, 1, 1, 1)
    found = compare(a, a, paired=True)
    assert (found.difference, found.p, found.se) == (0, 1, 0)


def test_a_difference_that_is_the_same_for_all_seeds_and_passages_has_no_interval():
    a = crossed(np.random.default_rng(0), 3, 10, 1, 1, 1)
    for gap, p in ((1, 2**-2), (0, 1)):  # three seeds: 2^(1 − 3)
        found = compare(a, a + gap, paired=True)
        assert not found.varies and {*found.intervals.values(), found.ends(0.99)} == {(-np.inf, np.inf)}
        assert found.difference == pytest.approx(gap) and found.p == p and needed(found, 1.0) == Needed(None, None)
        assert "(the same for all, hence no interval; p = " in found.sentence() and "cannot tell" not in found.sentence()


# Per setting: number of passages; standard deviations in points of seed, passage (specific to the setting), seed × passage. For EM on
# 6,078 questions in 300 passages, a passage's contribution has a standard deviation of 13 points; 10 are shared by the settings here.
MIXES = {
    "as on SQuAD": (300, 0.4, 3, 7),
    "seeds alone": (60, 1, 0, 0),
    "interaction alone": (60, 0, 0, 3),
    "seeds, some passages": (200, 1, 6, 1),
}


def coverage(sizes, paired, g, parts, n=300):
    """Share of 300 intervals that contain the true difference of 0.7; the settings share a passage effect, which must cancel."""
    rng, hits = np.random.default_rng(12), 0
    for _ in range(n):
        shared = rng.normal(60, 10, g)
        a, b = (shared + crossed(rng, size, g, *parts) + add for size, add in zip(sizes, (0, 0.7), strict=True))
        found = compare(a, b, paired=paired)
        hits += found.low <= 0.7 <= found.high
    return hits / n


@pytest.mark.parametrize("mix", MIXES)
@pytest.mark.parametrize(("sizes", "paired"), [((3, 3), True), ((3, 5), False)])
def test_95_percent_intervals_cover_at_least_about_95_percent(mix, sizes, paired):
    """With three similar seeds intervals are conservative: up to 98.8 %. Longer simulation: benchmarks/seeds.py."""
    g, *parts = MIXES[mix]
    assert 0.93 <= coverage(sizes, paired, g, parts) <= (0.995 if sizes == (3, 3) else 0.99)


@pytest.mark.parametrize(("sizes", "paired"), [((3, 3), True), ((3, 4), False)])
def test_intervals_cover_for_binary_outcomes_on_passages_of_unequal_size(sizes, paired):
    """Equal settings: the true difference is 0. Treating questions as independent would fail."""
    rng, hits, n = np.random.default_rng(5), 0, 200
    for _ in range(n):
        groups = np.repeat(np.arange(80), 1 + rng.poisson(rng.gamma(2.0, 2.0, 80)))
        both = rng.normal(0.3, 1.2, 80)[groups] + rng.normal(0, 1, len(groups))
        rows = []
        for size in sizes:
            own = both + rng.normal(0, 1, 80)[groups] + rng.normal(0, 0.05, (size, 1)) + rng.normal(0, 0.4, (size, 80))[:, groups]
            right = own + rng.normal(0, 0.7, own.shape) > 0
            rows.append([contributions(outcome, groups) for outcome in right])
        found = compare(*rows, paired=paired)
        hits += found.low <= 0 <= found.high
    assert 0.94 <= hits / n <= 0.985


def test_components_are_unbiased():
    rng = np.random.default_rng(9)
    found = [compare(crossed(rng, 4, 50, 2, 3, 5), crossed(rng, 6, 50, 1, 4, 2), paired=False) for _ in range(400)]
    seed, passage, left = np.mean([(f.seed, f.passage, f.seed_passage) for f in found], axis=0)
    assert (seed, passage, left) == pytest.approx((4 + 1, 9 + 16, 25 + 4), rel=0.08)


ESTIMATED = SettingDifference(
    0.5, 0.0, 1.0, 0.06, 0.95, 0.2, 9.0, 0.5, 20.0, 60.0, (6, 6), 300, True, for_seeds=(0.1, 0.9), for_passages=(0.2, 0.8)
)


@pytest.mark.parametrize("paired", [True, False])
def test_the_needed_numbers_give_the_power_and_half_of_them_do_not(paired):
    """Components 0.5, 20 and 60; each setting contributes half. Simulated with the numbers of seeds and passages from `needed`."""
    found = dataclasses.replace(ESTIMATED, paired=paired)
    told = needed(found, 1.4)
    rng, sd = np.random.default_rng(4), np.sqrt([0.25, 10, 30])

    def seen(s, g, n=250):
        return np.mean([compare(crossed(rng, s, g, *sd), crossed(rng, s, g, *sd) + 1.4, paired=paired).low > 0 for _ in range(n)])

    assert seen(told.seeds, 300) == pytest.approx(0.8, abs=0.07)
    assert seen(6, told.passages) == pytest.approx(0.8, abs=0.07)
    assert seen(told.seeds // 2, 300) < 0.7 and seen(6, told.passages // 2) < 0.7


def test_the_needed_numbers_equal_cohens_tables():
    """Only seeds vary, paired, d = 0.5, 80 %: 34 (Cohen 1988); two samples, d = 0.5: 64 each. If only passages vary: the same test."""
    nothing = dataclasses.replace(ESTIMATED, seed=0.0, passage=0.0, seed_passage=0.0)
    assert needed(dataclasses.replace(nothing, seed=4.0), 1.0).seeds == 34
    assert needed(dataclasses.replace(nothing, seed=8.0, paired=False), -1.0).seeds == 64
    assert needed(dataclasses.replace(nothing, passage=4.0), 1.0).passages == 34
    assert needed(dataclasses.replace(nothing, passage=4.0), 1.0, power=0.9).passages == 44
    assert needed(dataclasses.replace(nothing, passage=4.0), 1.0, level=0.99).passages == 51
    assert needed(nothing, 0.1) == Needed(3, 2), "two seeds have no p"
    assert needed(dataclasses.replace(nothing, passage=4.0, n_seeds=(2, 2)), 1.0).passages is None, "nor by any number of passages"


@pytest.mark.parametrize("n_seeds", [(3, 9), (9, 3)])
def test_needed_passages_are_computed_with_the_smaller_number_of_seeds(n_seeds):
    """More seeds of one setting cannot replace missing seeds of the other."""
    uneven = dataclasses.replace(ESTIMATED, paired=False, n_seeds=n_seeds)
    few, many = (needed(dataclasses.replace(uneven, n_seeds=(n, n)), 2.0) for n in (3, 9))
    assert needed(uneven, 2.0) == few and few.seeds == many.seeds and few.passages > many.passages


def test_no_number_is_enough_if_the_other_source_of_noise_is_too_large():
    """0.3 points: 300 passages leave a standard error of √(20 / 300) = 0.26, 6 seeds one of √(0.5 / 6) = 0.29."""
    assert needed(ESTIMATED, 0.3) == type(needed(ESTIMATED, 0.3))(None, None)
    assert needed(dataclasses.replace(ESTIMATED, n_passages=30_000), 0.3).seeds is not None
    assert needed(dataclasses.replace(ESTIMATED, n_seeds=(400, 300)), 0.3).passages is not None
    for difference, power, level in ((0.0, 0.8, 0.95), (np.nan, 0.8, 0.95), (1.0, 1.0, 0.95), (1.0, 0.8, 95)):
        with pytest.raises(ValueError, match="difference"):
            needed(ESTIMATED, difference, power=power, level=level)


SHAPES = st.tuples(st.integers(2, 4), st.integers(2, 8), st.integers(0, 10_000), st.booleans())


@given(SHAPES)
@settings(max_examples=80, deadline=None)
def test_order_swap_shift_and_scale(shape):
    s, g, seed, paired = shape
    rng = np.random.default_rng(seed)
    a, b = crossed(rng, s, g, 1, 1, 1), crossed(rng, s, g, 1, 2, 1)
    one = compare(a, b, paired=paired)
    seeds, passages = rng.permutation(s), rng.permutation(g)
    same = compare(a[seeds][:, passages] + 5, b[seeds][:, passages] + 5, paired=paired)
    assert _values(same) == pytest.approx(_values(one), abs=1e-9)
    mirrored = compare(b, a, paired=paired)
    assert _values(mirrored) == pytest.approx(_values(dataclasses.replace(one, difference=-one.difference, low=-one.high, high=-one.low)))
    ten = compare(10 * a, 10 * b + 3, paired=paired)
    assert (ten.difference, ten.se, ten.df) == pytest.approx((10 * one.difference + 3, 10 * one.se, one.df))
    if not paired:
        assert _values(compare(a[::-1], b, paired=False)) == pytest.approx(_values(one))


def _values(found):
    return [v for v in dataclasses.astuple(found) if isinstance(v, float)]


def test_one_seed_gives_no_claim_and_bad_shapes_are_refused():
    a = np.ones((3, 5))
    for one, other in ((a, a[:1]), (a[:1], a), (a[:1], a[:1])):
        with pytest.raises(NoClaim, match="no claim beyond these models; train further seeds"):
            compare(one, other, paired=False)
    for one, other, options, message in (
        (a, a[:, :4], {"paired": False}, "same passages"),
        (a[:, :1], a[:, :1], {"paired": False}, "at least two"),
        (a[0], a, {"paired": False}, "same passages"),
        (a, a * np.nan, {"paired": True}, "NaN"),
        (a, a, {"paired": True, "level": 95}, "level"),
    ):
        with pytest.raises(ValueError, match=message):
            compare(one, other, **options)


def test_the_sentence_states_its_population():
    assert ESTIMATED.sentence("QA", "mix") == (
        "mix − QA = +0.5 (95 % interval +0 to +1 for other seeds and passages; +0.1 to +0.9 for other seeds, these passages; +0.2 to +0.8 "
        "for other passages, these runs; p = 0.06; the same 6 seeds, 300 passages), no more than what the choice of seeds and passages "
        "explains; it speaks for further seeds of these two settings on passages like these, with nothing else changed."
    )
    other = dataclasses.replace(ESTIMATED, low=0.1, p=0.01, paired=False, n_seeds=(3, 5)).sentence(scale=100)
    assert "3 and 5 seeds" in other and "+50" in other and ", more than what" in other and "+10 to +90 for other seeds" in other
    assert NO_P in dataclasses.replace(ESTIMATED, p=None).sentence()


def test_with_two_seeds_there_is_an_interval_and_no_p():
    rng = np.random.default_rng(6)
    a, b, c = crossed(rng, 3, 9, 1, 1, 1), crossed(rng, 2, 9, 1, 1, 1), crossed(rng, 3, 9, 1, 1, 1)
    two, three = compare_to_first([dict(enumerate(u)) for u in (a, b, c)])
    assert (two.p, two.n_seeds, two.paired) == (None, (2, 2), True) and two.low < two.difference < two.high and three.p is not None
    assert compare(a, b, paired=False).p is None and compare(a, b, paired=False).n_seeds == (3, 2)


# Items of each passage, the largest first; the last is as in the 16 articles of the CS224N split, an eighth of their questions.
SIZES = {"one is most": [500, *[20] * 9], "halved": [200, 100, 50, 25, 20, 15, 10, *[5] * 5], "one is large": [400, *[10] * 40]}


@pytest.mark.parametrize("name", SIZES)
def test_passages_of_unequal_sizes_reject_at_most_as_often_as_stated(name):
    """Eight seeds of two settings that do not differ, whose differences vary over passages. With the plain variance of the contributions
    far more were rejected."""
    rng, sizes, rejected = np.random.default_rng(5), np.array(SIZES[name], float), []
    g, n = len(sizes), sizes.sum()
    for _ in range(300):
        means = rng.normal(0, 1, (2, g))  # of each setting's items in a passage, as differences from what the passage gives both
        runs = means[:, None] + rng.normal(0, 0.05, (2, 8, g))
        scores = runs @ sizes / n
        u = scores[..., None] + g / n * sizes * (runs - scores[..., None])  # as `contributions`
        (found,) = compare_to_first([dict(enumerate(own)) for own in u], sizes=sizes)
        rejected.append(found.p < 0.05)
        assert found.difference == pytest.approx(scores[1].mean() - scores[0].mean())
    assert np.mean(rejected) < 0.075


def test_sizes_are_in_the_order_of_contributions():
    groups = np.repeat([10, 9, 2], [3, 1, 2])  # by repr: 10, 2, 9
    values = np.array([1.0, 1, 1, 5, 0, 0])
    assert sizes_of(groups).tolist() == [3, 2, 1]
    assert contributions(values, groups).argmax() == 2
