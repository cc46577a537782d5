"""Scores against their definitions, a second implementation and scikit-learn (design, statements 6 to 8)."""

import numpy as np
import pytest
import scorer
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from mtdnn_kit import metrics

WORDS = st.sampled_from(
    ["the", "a", "An", "Norman", "king,", "king", "’tis", "…", "!", "U.S.", "east-west", "  ", "Über", "the\tend", "1,000"]
)
ANSWERS = st.lists(WORDS, max_size=5).map(" ".join)


@given(ANSWERS, st.lists(ANSWERS, max_size=4))
@settings(max_examples=300, deadline=None)
def test_8_em_and_f1_are_those_of_a_second_implementation(answer, golds):
    found = scorer.score([{"id": "q", "answers": {"text": golds}}], {"q": answer})
    assert metrics.exact(answer, golds) * 100 == found["em"]
    assert metrics.f1(answer, golds) * 100 == pytest.approx(found["f1"], abs=1e-9)


@pytest.mark.parametrize(
    ("answer", "golds", "em", "f1"),
    [
        ("The Normans!", ["normans"], 1, 1),
        ("in the 10th century", ["10th century", "the 11th"], 0, 0.8),
        ("", [""], 1, 1),
        ("", ["Norse"], 0, 0),
        ("Norse", [""], 0, 0),
        ("", ["the", "!"], 1, 1),  # every gold answer normalises to nothing
        ("", ["the", "Norse"], 0, 0),  # one does: it does not count
        ("“Norse”", ["Norse"], 0, 0),  # Unicode punctuation stays, as in the official scorer
        ("Norse Norse", ["Norse"], 0, 2 / 3),
    ],
)
def test_8_by_hand(answer, golds, em, f1):
    assert metrics.exact(answer, golds) == em
    assert metrics.f1(answer, golds) == pytest.approx(f1)


def test_8_the_denominator_is_questions():
    assert metrics.qa_scores(["x", "", "y"], [["x"], [], ["z", "y w"]]) == {
        "em": pytest.approx(200 / 3),
        "f1": pytest.approx(100 * (2 + 2 / 3) / 3),
        "n": 3,
    }
    with pytest.raises(ValueError, match="no questions"):
        metrics.qa_scores([], [])


QUESTIONS = st.lists(
    st.tuples(st.sampled_from([0, 0.25, 1.0]), st.sampled_from([0, 1.0]), st.sampled_from([-2.5, -1.0, 0.0, 0.5, 3.0, np.inf])),
    min_size=1,
    max_size=14,
)


@given(QUESTIONS, st.randoms())
@settings(max_examples=200, deadline=None)
def test_7_the_best_threshold_is_exact_and_free_of_order(questions, random):
    span, nothing, diff = map(np.array, zip(*questions, strict=True))
    threshold, best = metrics.best_threshold(span, nothing, diff)
    every = [-100.0, *(x for x in diff if np.isfinite(x))]
    assert best == max(metrics.score_at(t, span, nothing, diff) for t in every)
    assert metrics.score_at(threshold, span, nothing, diff) == best and np.isfinite(threshold)
    order = random.sample(range(len(diff)), len(diff))
    assert metrics.best_threshold(span[order], nothing[order], diff[order])[0] == threshold


def test_7_questions_of_equal_diff_change_sides_together():
    span, nothing, diff = np.array([1.0, 0, 0]), np.array([0, 1.0, 1.0]), np.array([0.5, 0.5, 0.5])
    assert metrics.best_threshold(span, nothing, diff) == (np.nextafter(0.5, -1), pytest.approx(200 / 3))


def test_7_a_threshold_refuses_what_is_no_number():
    for span, diff in (([], []), ([np.nan], [0.0]), ([1.0], [np.nan])):
        with pytest.raises(ValueError, match="threshold"):
            metrics.best_threshold(np.array(span), np.zeros(len(span)), np.array(diff))


@given(QUESTIONS, st.floats(-4, 4), st.floats(0, 3))
@settings(deadline=None)
def test_6_raising_the_threshold_never_adds_empty_answers(questions, threshold, more):
    diff = np.array(questions)[:, 2]
    assert not ((diff > threshold + more) & ~(diff > threshold)).any()


def test_all_scores_of_a_small_set_by_hand():
    """Answerable: right (−2), half right (1), wrong (3); unanswerable: answered (−1), left (2)."""
    em, f1 = [1, 0, 0, 0, 0], [1, 0.5, 0, 0, 0]
    found = metrics.qa_threshold_scores(em, f1, [0, 0, 0, 1, 1], [True] * 3 + [False] * 2, [-2, 1, 3, -1, 2], threshold=1.5)
    assert found == {
        "em": 40, "f1": 50, "threshold": 1.5, "em_at_0": 40, "f1_at_0": 40, "best_em": 60, "best_em_threshold": -2, "best_f1": 60,
        "best_f1_threshold": -2, "has_answer_em": pytest.approx(100 / 3), "has_answer_f1": 50, "span_em": pytest.approx(100 / 3),
        "span_f1": 50, "no_answer_accuracy": 50, "n": 5,
    }  # fmt: skip


def test_a_group_without_questions_has_no_score():
    found = metrics.qa_threshold_scores([1], [1], [0], [True], [-1], 0.0)
    assert found["no_answer_accuracy"] is None and found["span_f1"] == 100


LABELS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=50)


@given(LABELS)
@settings(max_examples=200, deadline=None)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_label_scores_are_scikit_learns(pairs):
    gold, said = map(list, zip(*pairs, strict=True))
    assert metrics.accuracy(gold, said) == pytest.approx(100 * sklearn.metrics.accuracy_score(gold, said))
    assert metrics.matthews(gold, said) == pytest.approx(100 * sklearn.metrics.matthews_corrcoef(gold, said), abs=1e-9)
    one = sklearn.metrics.f1_score(gold, said, labels=[1], average="macro", zero_division=0)
    assert metrics.f1_binary(gold, said) == pytest.approx(100 * one)


def test_no_rows_are_no_score():
    for metric in metrics.SCORES.values():
        with pytest.raises(ValueError, match="no rows"):
            metric([], [])
