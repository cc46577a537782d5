"""Slices: each question is in the right one; every facet partitions the questions that it applies to."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtdnn_kit.compare.slices import FACETS, ORDER, gold_agreement, question_word, slices
from mtdnn_kit.data.rows import QARow

TEXTS = st.sampled_from(["the Alps", "alps", "Rhine", "a", "one two three", "one two three four five six"])
QUESTIONS = st.sampled_from(["Who?", "In which year?", "Name it.", "Whose is it, and why?", "HOW many", "somewhat"])
ROWS = st.builds(
    lambda words, question, answers: QARow("q", "", "word " * words, question, tuple((0, text) for text in answers)),
    *(st.integers(1, 200), QUESTIONS, st.lists(TEXTS, max_size=5)),
)


@given(st.lists(ROWS, max_size=20), st.data())
@settings(max_examples=100, deadline=None)
def test_a_facet_has_each_question_that_it_applies_to_once(rows, data):
    windows = data.draw(st.lists(st.integers(1, 9), min_size=len(rows), max_size=len(rows)))
    found = slices(rows, windows)
    assert list(found) == [*FACETS, "windows"] and "windows" not in slices(rows)
    for facet, parts in found.items():
        places = sorted(place for part in parts.values() for place in part)
        able = [i for i, row in enumerate(rows) if row.answers or facet not in ("answer length", "gold agreement")]
        assert places == able and all(parts.values()) and [*parts] == [name for name in ORDER if name in parts]


@pytest.mark.parametrize(
    ("question", "word"),
    [
        ("In which year did Who play?", "which"),
        ("Whose is it?", "who"),
        ("To WHOM?", "who"),
        ("Name it.", "other"),
        ("Somewhat odd?", "other"),
    ],
)
def test_question_words(question, word):
    assert question_word(QARow("q", "", "x", question, ())) == word


@pytest.mark.parametrize(
    ("texts", "agreement"),
    [
        ([], None),
        (["Alps"], "one annotation"),
        (["the Alps", "alps!", "Alps"], "all agree"),
        (["Alps", "Alps", "Swiss Alps"], "a majority agrees"),
        (["Alps", "Swiss Alps"], "no majority"),
    ],
)
def test_gold_agreement(texts, agreement):
    assert gold_agreement(QARow("q", "", "x", "?", tuple((0, text) for text in texts))) == agreement


def test_lengths_and_windows_by_hand():
    rows = [
        QARow(str(i), "", "word " * n, "?", ((0, " ".join(["x"] * k)),)) for i, (n, k) in enumerate([(79, 1), (80, 2), (120, 3), (160, 6)])
    ]
    found = slices(rows, [1, 2, 3, 9])
    assert found["passage length"] == {"under 80 words": [0], "80–119 words": [1], "120–159 words": [2], "160 words or more": [3]}
    assert found["answer length"] == {"1 word": [0], "2 words": [1], "3–5 words": [2], "6 words or more": [3]}
    assert found["windows"] == {"1 window": [0], "2 windows": [1], "3 windows or more": [2, 3]}


def test_slices_of_the_real_questions(real_data):
    from mtdnn_kit.data.registry import DATASETS
    from mtdnn_kit.data.sources import load

    found = slices(load("squad", DATASETS["squad"], "validation", str(real_data)).rows)
    assert {name: len(part) for name, part in found["answerable"].items()} == {"answerable": 2910, "unanswerable": 3168}
    assert {name: len(part) for name, part in found["gold agreement"].items()} == {
        "all agree": 1650,
        "a majority agrees": 939,
        "no majority": 321,
    }
