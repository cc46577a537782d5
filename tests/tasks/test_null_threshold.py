"""Thresholds, exactly: against every possible threshold, and against scikit-learn's curves (design, statements 6 and 7)."""

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from mtdnn_kit.data.registry import ALWAYS
from mtdnn_kit.tasks.null_threshold import average_precision, best_threshold, no_answer, no_answer_curve, qa_threshold_scores, score_at

QUESTIONS = st.lists(
    st.tuples(
        st.sampled_from([0, 0.1, 1 / 3, 2 / 3, 1.0]), st.sampled_from([0, 1.0]), st.sampled_from([-2.5, -1.0, 0.0, 0.5, 3.0, np.inf])
    ),
    min_size=1,
    max_size=14,
)


@given(QUESTIONS, st.randoms())
@settings(max_examples=200, deadline=None)
def test_7_the_best_threshold_is_exact_and_independent_of_order(questions, random):
    span, nothing, diff = map(np.array, zip(*questions, strict=True))
    threshold, best = best_threshold(span, nothing, diff)
    every = [-100.0, *(x for x in diff if np.isfinite(x))]
    assert best == pytest.approx(max(score_at(t, span, nothing, diff) for t in every), abs=1e-7)
    assert score_at(threshold, span, nothing, diff) == best and np.isfinite(threshold)
    assert threshold == plain_best_threshold(list(zip(span, nothing, diff, strict=True)))
    order = random.sample(range(len(diff)), len(diff))
    assert best_threshold(span[order], nothing[order], diff[order])[0] == threshold


def plain_best_threshold(questions: list[tuple[float, float, float]]) -> float:
    """The rule as stated, level by level: the best score with the most levels answered, and the middle of the gap above them."""
    levels = sorted({diff for *_, diff in questions if diff < np.inf})
    scores = [sum(nothing if diff > top else span for span, nothing, diff in questions) for top in [-np.inf, *levels]]
    answered = max(n for n, score in enumerate(scores) if score > max(scores) - 1e-7)
    if answered == len(levels):
        return ALWAYS
    return (levels[answered - 1] + levels[answered]) / 2 if answered else np.nextafter(levels[0], -np.inf)


def test_7_questions_of_equal_diff_change_their_answer_together():
    span, nothing, diff = np.array([1.0, 0, 0]), np.array([0, 1.0, 1.0]), np.array([0.5, 0.5, 0.5])
    assert best_threshold(span, nothing, diff) == (np.nextafter(0.5, -1), pytest.approx(200 / 3))


def test_7_a_threshold_refuses_values_that_are_not_numbers():
    for span, diff in (([], []), ([np.nan], [0.0]), ([1.0], [np.nan])):
        with pytest.raises(ValueError, match="threshold"):
            best_threshold(np.array(span), np.zeros(len(span)), np.array(diff))


def test_6_there_is_no_answer_iff_null_minus_best_is_above_the_threshold():
    said = no_answer(np.array([-np.inf, 0.9, 1.0, 1.1, np.inf, np.nan]), 1.0)
    assert said.dtype == bool and said.tolist() == [False, False, False, True, True, True]
    assert not no_answer(1.0, 1.0) and no_answer(1.0, np.nextafter(1.0, 0))
    assert no_answer(np.zeros((2, 1)), np.array([-1.0, 1.0])).tolist() == [[True, False]] * 2


@given(QUESTIONS, st.floats(-4, 4), st.floats(0, 3))
@settings(deadline=None)
def test_6_raising_the_threshold_never_adds_empty_answers(questions, threshold, more):
    diff, none, all_ = np.array(questions)[:, 2], np.zeros(len(questions)), np.ones(len(questions))
    empty = [score_at(t, none, all_, diff) for t in (threshold, threshold + more)]
    assert empty[1] <= empty[0] == pytest.approx(100 * np.mean([d > threshold for d in diff]))


@pytest.mark.parametrize(
    ("span", "nothing", "diff", "wanted"),
    [
        ([1, 0, 0], [0, 0, 1], [-1.0, 0.5, 2.0], 1.25),  # the wrong answer in the middle costs nothing: it is given
        ([1, 0, 1, 0], [0, 1, 0, 1], [-1.0, 0.5, 2.0, 3.0], 2.5),  # a threshold with one answer scores the same as one with three
        ([1, 0], [0, 1], [0.0, np.nextafter(0, 1)], 0.0),  # no number between the two
        ([1, 0, 1], [0, 1, 0], [-1.0, 0.5, 2.0], ALWAYS),  # one more right answer makes up for the unanswerable one
        ([0, 0, 0], [0, 0, 0], [-1.0, 0.5, np.inf], ALWAYS),  # without unanswerable questions, giving no answer never gains
        ([0, 0], [0, 0], [np.inf, np.inf], ALWAYS),
        ([0, 0], [1, 1], [-1.0, 0.5], np.nextafter(-1.0, -2)),  # without answerable ones, an answer never gains
    ],
)
def test_7_of_equal_thresholds_the_one_with_most_answers_is_taken_in_the_middle_of_its_gap(span, nothing, diff, wanted):
    assert best_threshold(np.array(span), np.array(nothing), np.array(diff))[0] == wanted


@given(QUESTIONS, st.floats(0.01, 0.4))
@settings(max_examples=100, deadline=None)
def test_7_small_changes_of_null_minus_best_change_no_answer(questions, shift):
    """Such changes occur when a question is read in another batch; the levels of these questions are at least half a point apart."""
    span, nothing, diff = map(np.array, zip(*questions, strict=True))
    threshold, best = best_threshold(span, nothing, diff)
    if not no_answer(diff, threshold)[np.isfinite(diff)].all():
        assert all(score_at(threshold, span, nothing, diff + sign * shift / 2) == best for sign in (-1, 1))


def test_a_threshold_that_always_answers_is_reported_as_a_finite_number():
    found = qa_threshold_scores([1, 0, 0], [1, 0.5, 0], [0, 0, 0], [True] * 3, [-2, 3, np.inf], threshold=ALWAYS)
    assert {found[key] for key in ("threshold", "best_em_threshold", "best_f1_threshold")} == {3.0} and found["f1"] == 50
    assert qa_threshold_scores([0], [0], [0], [True], [np.inf], threshold=ALWAYS)["threshold"] == 0
    assert qa_threshold_scores([0], [0], [0], [True], [1], threshold=7.5)["threshold"] == 7.5, "a tuned threshold is reported unchanged"


def test_all_scores_of_a_small_set_by_hand():
    """Answerable: right (−2), half right (1), a fifth right (3); unanswerable: answered (−1), not answered (2)."""
    em, f1 = [1, 0, 0, 0, 0], [1, 0.5, 0.2, 0, 0]
    found = qa_threshold_scores(em, f1, [0, 0, 0, 1, 1], [True] * 3 + [False] * 2, [-2, 1, 3, -1, 2], threshold=1.5)
    assert found == {
        "em": 40, "f1": 50, "threshold": 1.5, "em_at_0": 40, "f1_at_0": 40, "best_em": 60, "best_em_threshold": -1.5, "best_f1": 60,
        "best_f1_threshold": -1.5, "has_answer_em": pytest.approx(100 / 3), "has_answer_f1": 50, "span_em": pytest.approx(100 / 3),
        "span_f1": pytest.approx(170 / 3), "no_answer_accuracy": 50, "no_answer_ap": pytest.approx(100 * (1 / 2 + 2 / 4) / 2), "n": 5,
    }  # fmt: skip


def test_a_group_without_questions_has_no_score():
    found = qa_threshold_scores([1], [1], [0], [True], [-1], 0.0)
    assert found["no_answer_accuracy"] is None and found["span_f1"] == 100


DIFFS = st.lists(st.tuples(st.sampled_from([-2.5, -1.0, 0.0, 0.5, 3.0, 7.25]), st.booleans()), min_size=1, max_size=40)


@given(DIFFS, st.randoms())
@settings(max_examples=200, deadline=None)
def test_average_precision_matches_scikit_learn_with_ties_and_in_any_order(questions, random):
    diff, empty = map(np.array, zip(*questions, strict=True))
    found = average_precision(diff, empty)
    assert found == (pytest.approx(100 * sklearn.metrics.average_precision_score(empty, diff)) if empty.any() else None)
    order = random.sample(range(len(diff)), len(diff))
    assert average_precision(diff[order], empty[order]) == found
    assert average_precision(np.exp(diff / 3), empty) == found, "only the order of the scores matters"


@given(DIFFS)
@settings(max_examples=100, deadline=None)
def test_the_curve_matches_scikit_learn(questions):
    diff, empty = map(np.array, zip(*questions, strict=True))
    if empty.any():
        precision, recall, levels = sklearn.metrics.precision_recall_curve(empty, diff)
        found = no_answer_curve(diff, empty)
        for mine, theirs in zip(found, (levels, precision[:-1], recall[:-1]), strict=True):
            assert mine[::-1].tolist() == pytest.approx(theirs.tolist())


@given(DIFFS, st.data())
@settings(max_examples=60, deadline=None)
def test_a_weight_equals_a_repetition(questions, data):
    diff, empty = map(np.array, zip(*questions, strict=True))
    weights = np.array(data.draw(st.lists(st.integers(0, 3), min_size=len(diff), max_size=len(diff))))
    if weights.any():
        repeated = average_precision(np.repeat(diff, weights), np.repeat(empty, weights))
        assert average_precision(diff, empty, weights) == (None if repeated is None else pytest.approx(repeated))


def test_the_curve_matches_thresholding():
    diff, empty = np.array([3.0, 1.0, 1.0, -2.0, np.inf]), np.array([True, True, False, True, False])
    for level, precision, recall in zip(*no_answer_curve(diff, empty), strict=True):
        nothing = diff > np.nextafter(level, -np.inf)
        assert (precision, recall) == (empty[nothing].mean(), empty[nothing].sum() / empty.sum())


def test_average_precision_refuses_values_that_are_not_numbers():
    for diff in ([], [np.nan]):
        with pytest.raises(ValueError, match="average precision"):
            average_precision(np.array(diff), np.ones(len(diff), bool))
