"""What a threshold does, exactly: against every threshold there is, and scikit-learn's curves (design, statements 6 and 7)."""

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

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
def test_7_the_best_threshold_is_exact_and_free_of_order(questions, random):
    span, nothing, diff = map(np.array, zip(*questions, strict=True))
    threshold, best = best_threshold(span, nothing, diff)
    every = [-100.0, *(x for x in diff if np.isfinite(x))]
    assert best == pytest.approx(max(score_at(t, span, nothing, diff) for t in every), abs=1e-7)
    assert score_at(threshold, span, nothing, diff) == best and np.isfinite(threshold)
    order = random.sample(range(len(diff)), len(diff))
    assert best_threshold(span[order], nothing[order], diff[order])[0] == threshold


def test_7_questions_of_equal_diff_change_sides_together():
    span, nothing, diff = np.array([1.0, 0, 0]), np.array([0, 1.0, 1.0]), np.array([0.5, 0.5, 0.5])
    assert best_threshold(span, nothing, diff) == (np.nextafter(0.5, -1), pytest.approx(200 / 3))


def test_7_a_threshold_refuses_what_is_no_number():
    for span, diff in (([], []), ([np.nan], [0.0]), ([1.0], [np.nan])):
        with pytest.raises(ValueError, match="threshold"):
            best_threshold(np.array(span), np.zeros(len(span)), np.array(diff))


def test_6_nothing_is_answered_iff_null_minus_best_is_above_the_threshold():
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


def test_7_of_equally_good_thresholds_the_least_is_taken():
    span, nothing, diff = np.array([1.0, 0, 0]), np.array([0, 0, 1.0]), np.array([-1.0, 0.5, 2.0])
    assert best_threshold(span, nothing, diff) == (-1.0, pytest.approx(200 / 3))


def test_all_scores_of_a_small_set_by_hand():
    """Answerable: right (−2), half right (1), a fifth right (3); unanswerable: answered (−1), left (2)."""
    em, f1 = [1, 0, 0, 0, 0], [1, 0.5, 0.2, 0, 0]
    found = qa_threshold_scores(em, f1, [0, 0, 0, 1, 1], [True] * 3 + [False] * 2, [-2, 1, 3, -1, 2], threshold=1.5)
    assert found == {
        "em": 40, "f1": 50, "threshold": 1.5, "em_at_0": 40, "f1_at_0": 40, "best_em": 60, "best_em_threshold": -2, "best_f1": 60,
        "best_f1_threshold": -2, "has_answer_em": pytest.approx(100 / 3), "has_answer_f1": 50, "span_em": pytest.approx(100 / 3),
        "span_f1": pytest.approx(170 / 3), "no_answer_accuracy": 50, "no_answer_ap": pytest.approx(100 * (1 / 2 + 2 / 4) / 2), "n": 5,
    }  # fmt: skip


def test_a_group_without_questions_has_no_score():
    found = qa_threshold_scores([1], [1], [0], [True], [-1], 0.0)
    assert found["no_answer_accuracy"] is None and found["span_f1"] == 100


DIFFS = st.lists(st.tuples(st.sampled_from([-2.5, -1.0, 0.0, 0.5, 3.0, 7.25]), st.booleans()), min_size=1, max_size=40)


@given(DIFFS, st.randoms())
@settings(max_examples=200, deadline=None)
def test_average_precision_is_scikit_learns_with_ties_and_in_any_order(questions, random):
    diff, empty = map(np.array, zip(*questions, strict=True))
    found = average_precision(diff, empty)
    assert found == (pytest.approx(100 * sklearn.metrics.average_precision_score(empty, diff)) if empty.any() else None)
    order = random.sample(range(len(diff)), len(diff))
    assert average_precision(diff[order], empty[order]) == found
    assert average_precision(np.exp(diff / 3), empty) == found, "only the order of the scores matters"


@given(DIFFS)
@settings(max_examples=100, deadline=None)
def test_the_curve_is_scikit_learns(questions):
    diff, empty = map(np.array, zip(*questions, strict=True))
    if empty.any():
        precision, recall, levels = sklearn.metrics.precision_recall_curve(empty, diff)
        found = no_answer_curve(diff, empty)
        for mine, theirs in zip(found, (levels, precision[:-1], recall[:-1]), strict=True):
            assert mine[::-1].tolist() == pytest.approx(theirs.tolist())


@given(DIFFS, st.data())
@settings(max_examples=60, deadline=None)
def test_a_weight_is_a_repetition(questions, data):
    diff, empty = map(np.array, zip(*questions, strict=True))
    weights = np.array(data.draw(st.lists(st.integers(0, 3), min_size=len(diff), max_size=len(diff))))
    if weights.any():
        repeated = average_precision(np.repeat(diff, weights), np.repeat(empty, weights))
        assert average_precision(diff, empty, weights) == (None if repeated is None else pytest.approx(repeated))


def test_the_curve_says_what_the_threshold_does():
    diff, empty = np.array([3.0, 1.0, 1.0, -2.0, np.inf]), np.array([True, True, False, True, False])
    for level, precision, recall in zip(*no_answer_curve(diff, empty), strict=True):
        nothing = diff > np.nextafter(level, -np.inf)
        assert (precision, recall) == (empty[nothing].mean(), empty[nothing].sum() / empty.sum())


def test_average_precision_refuses_what_is_no_number():
    for diff in ([], [np.nan]):
        with pytest.raises(ValueError, match="average precision"):
            average_precision(np.array(diff), np.ones(len(diff), bool))
