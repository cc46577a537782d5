"""Scores against their definitions, a second implementation and scikit-learn (design, statement 8)."""

import numpy as np
import pytest
import scorer
import sklearn.calibration
import sklearn.metrics
from conftest import TEXTS
from hypothesis import given, settings
from hypothesis import strategies as st

from mtdnn_kit import metrics

WORDS = st.sampled_from(
    ["the", "a", "An", "Norman", "king,", "king", "’tis", "…", "!", "U.S.", "east-west", "  ", "Über", "the\tend", "1,000"]
)
ANSWERS = st.one_of(st.lists(WORDS, max_size=5).map(" ".join), TEXTS)


@given(ANSWERS, st.lists(ANSWERS, max_size=4))
@settings(max_examples=300, deadline=None)
def test_8_em_and_f1_match_a_second_implementation(answer, golds):
    found = scorer.score([{"id": "q", "answers": {"text": golds}}], {"q": answer})
    assert metrics.exact(answer, golds) * 100 == found["em"]
    assert metrics.f1(answer, golds) * 100 == pytest.approx(found["f1"], abs=1e-9)


@given(ANSWERS, st.lists(ANSWERS, max_size=4))
@settings(max_examples=300, deadline=None)
def test_8_vectorised_scores_equal_the_single_ones(answer, golds):
    found = metrics.exact(answer, golds), metrics.f1(answer, golds), metrics.exact("", golds)
    assert metrics.exact_f1_nothing(answer, golds) == found and metrics.f1("", golds) == found[2]


@pytest.mark.parametrize(
    ("answer", "golds", "em", "f1"),
    [
        ("The Normans!", ["normans"], 1, 1),
        ("in the 10th century", ["10th century", "the 11th"], 0, 0.8),
        ("", [""], 1, 1),
        ("", ["Norse"], 0, 0),
        ("Norse", [""], 0, 0),
        ("", ["the", "!"], 1, 1),  # every gold answer normalises to an empty string
        ("", ["the", "Norse"], 0, 0),  # one does: it is ignored
        ("“Norse”", ["Norse"], 0, 0),  # Unicode punctuation stays, as in the official scorer
        ("Norse Norse", ["Norse"], 0, 2 / 3),
    ],
)
def test_8_by_hand(answer, golds, em, f1):
    assert metrics.exact(answer, golds) == em
    assert metrics.f1(answer, golds) == pytest.approx(f1)


@given(st.lists(st.tuples(ANSWERS, st.lists(ANSWERS, max_size=3)), min_size=1, max_size=8), st.randoms())
@settings(max_examples=100, deadline=None)
def test_8_scores_of_a_set_match_a_second_implementation_in_any_order(questions, random):
    records = [{"id": str(i), "answers": {"text": golds}} for i, (_, golds) in enumerate(questions)]
    predictions = {str(i): answer for i, (answer, _) in enumerate(questions)}
    found = metrics.qa_scores([answer for answer, _ in questions], [golds for _, golds in questions])
    assert found == pytest.approx(scorer.score(records, predictions), abs=1e-9)
    random.shuffle(questions)
    assert metrics.qa_scores(*map(list, zip(*questions, strict=True))) == found, "bit for bit"


def test_8_the_denominator_is_the_number_of_questions():
    assert metrics.qa_scores(["x", "", "y"], [["x"], [], ["z", "y w"]]) == {
        "em": pytest.approx(200 / 3),
        "f1": pytest.approx(100 * (2 + 2 / 3) / 3),
        "n": 3,
    }
    with pytest.raises(ValueError, match="no questions"):
        metrics.qa_scores([], [])


LABELS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=50)


@given(LABELS)
@settings(max_examples=200, deadline=None)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_label_scores_match_scikit_learn(pairs):
    gold, said = map(list, zip(*pairs, strict=True))
    assert metrics.accuracy(gold, said) == pytest.approx(100 * sklearn.metrics.accuracy_score(gold, said))
    assert metrics.matthews(gold, said) == pytest.approx(100 * sklearn.metrics.matthews_corrcoef(gold, said), abs=1e-9)
    one = sklearn.metrics.f1_score(gold, said, labels=[1], average="macro", zero_division=0)
    assert metrics.f1_binary(gold, said) == pytest.approx(100 * one)


def test_no_rows_give_no_score():
    for metric in metrics.SCORES.values():
        with pytest.raises(ValueError, match="no rows"):
            metric([], [])


def test_a_prediction_of_minus_1_is_none_of_the_labels():
    gold, said = [1, 0, 1, 0, 1], [1, -1, 0, -1, 1]
    assert metrics.matthews(gold, said) == pytest.approx(100 * sklearn.metrics.matthews_corrcoef(gold, said))
    assert metrics.accuracy(gold, said) == 40 and metrics.f1_macro(gold, said) < metrics.f1_macro(gold, [1, 0, 0, 0, 1])


def test_labels_of_other_rows_or_other_numbers_and_a_text_as_gold_answers_are_refused():
    for metric in metrics.SCORES.values():
        with pytest.raises(ValueError, match="there are 4 gold labels and 1 predicted ones"):
            metric([0, 1, 1, 1], [1])
        with pytest.raises(ValueError, match="labels are whole numbers; these are not: .0.2, 0.9."):
            metric([0.2, 0.9], [0, 0])
        assert metric([0.0, 1.0], [0, 1]) == metric([0, 1], [False, True]) == pytest.approx(100)
    with pytest.raises(ValueError, match="golds: 'abc' is a text; give a list"):
        metrics.f1("b", "abc")


GOLDS = {"a": ["x"], "b": [""], "c": ["y", "z"]}


def test_a_mean_is_the_same_in_any_order():
    assert metrics.percent([0.1, 0.2, 0.3]) == metrics.percent([0.3, 0.2, 0.1]) == 20 and metrics.percent([]) is None


def test_answers_are_matched_to_their_questions():
    assert metrics.matched(GOLDS, {"c": "z", "a": "", "b": "w"}) == (["", "w", "z"], [["x"], [""], ["y", "z"]])


@pytest.mark.parametrize(
    ("predictions", "message"),
    [
        ({"a": "", "b": "", "c": "", "d": "x"}, "id 'd' does not belong to any question"),
        ({"a": "", "c": ""}, "id 'b' has no prediction"),
        ({"a": "", "b": None, "c": ""}, "id 'b': the answer is None; it must be text"),
        ({}, r"id 'a' has no prediction \(3 of 3 ids\)"),
    ],
)
def test_unknown_missing_and_textless_predictions_are_named(predictions, message):
    with pytest.raises(ValueError, match=message):
        metrics.matched(GOLDS, predictions)


@given(st.lists(st.tuples(st.integers(0, 100), st.booleans()), min_size=1, max_size=60), st.integers(1, 12))
@settings(max_examples=100, deadline=None)
def test_calibration_matches_its_definition(answers, bins):
    probability, right = np.array([p / 100 for p, _ in answers]), np.array([r for _, r in answers], float)
    rows, error = metrics.calibration(probability, right, bins)
    assert sum(row["n"] for row in rows) == len(answers)
    for row in rows:
        own = [(p, r) for p, r in zip(probability, right, strict=True) if row["from"] < p <= row["to"] or (p == 0 == row["from"])]
        assert row["n"] == len(own)
        assert (row["probability"], row["right"]) == pytest.approx(tuple(np.mean(own, axis=0)))
    assert error == pytest.approx(sum(row["n"] * abs(row["probability"] - row["right"]) for row in rows) / len(answers))


@pytest.mark.parametrize(("probability", "right"), [([], []), ([0.5], [100.0]), ([0.5, 0.5], [1.0]), ([-0.1], [1.0])])
def test_calibration_refuses_other_values(probability, right):
    with pytest.raises(ValueError, match="calibration needs at least one probability and as many values of `right`, all from 0 to 1"):
        metrics.calibration(probability, right)


def test_calibration_matches_scikit_learn():
    rng = np.random.default_rng(0)
    probability = rng.random(500)
    right = (rng.random(500) < probability**2).astype(float)
    rows, error = metrics.calibration(probability, right)
    shares, means = sklearn.calibration.calibration_curve(right, probability, n_bins=10)
    assert [row["right"] for row in rows] == pytest.approx(shares) and [row["probability"] for row in rows] == pytest.approx(means)
    assert 0.1 < error < 0.2, "p against p²: 1/6 on average"


def test_calibration_refuses_values_that_are_not_probabilities():
    for values in ([], [1.2], [-0.1], [float("nan")]):
        with pytest.raises(ValueError, match="probability"):
            metrics.calibration(values, [1.0] * len(values))
