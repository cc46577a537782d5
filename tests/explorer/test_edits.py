"""Edits of questions and passages: what each rule makes of a sentence, and that changes put both texts together again."""

from conftest import TEXTS
from hypothesis import given
from hypothesis import strategies as st

from mtdnn_kit.explorer.edits import names, swap, word_changes


@given(TEXTS)
def test_any_text_can_be_edited(text):
    assert all(name in text for name in names(text))
    assert swap(text, "Rhine", "") == text


def test_names_are_the_capitals_that_a_sentence_does_not_give():
    text = (
        "The Rhine rises in the Alps. Farmers like the Rhine; farmers would. Ludwig van Beethoven's house is in Bonn. In Portugal, "
        "Jean-Paul O'Brien met the U.S. envoy. Portugal and Beethoven are the Bank of England's. Cork floats."
    )
    assert names(text) == [
        "Rhine",
        "Portugal",
        "Alps",
        "Ludwig van Beethoven",
        "Bonn",
        "Jean-Paul O'Brien",
        "U.S.",
        "Beethoven",
        "Bank of England",
    ]
    assert names("") == names("no capital, 3 of them, 京都") == []
    assert names("Troops of the U.S. left. Then, at last, Troops of troops.") == ["U.S."]


def test_a_name_is_swapped_in_both_directions_as_a_whole_word():
    text = "Paris, Parisian; Rome's Paris. rome"
    assert swap(text, "Paris", "Rome") == "Rome, Parisian; Paris's Rome. rome"
    assert swap("New York is not York.", "York", "New York") == "York is not New York."
    assert swap("the U.S. and C++", "U.S.", "C++") == "the C++ and U.S."
    assert swap(text, "", "Rome") == swap(text, "Rome", "Rome") == text


@given(st.lists(st.sampled_from(["Paris", "Rome", "Parisian", " ", ".", "x"])).map("".join))
def test_swapping_twice_changes_nothing(text):
    assert swap(swap(text, "Paris", "Rome"), "Paris", "Rome") == text


def whole(changes) -> tuple[str, str]:
    return tuple("".join(text for kind, text in changes if kind != other) for other in ("added", "cut"))


@given(TEXTS, TEXTS, TEXTS, TEXTS)
def test_changes_put_both_texts_together_again(a, b, c, d):
    for before, after in ((a, b), (a + b + c, a + d + c), (a + b + c, a + c), (f"{a}. {b}. {c}", f"{a}. {d}. {b} {c}")):
        changes = word_changes(before, after)
        assert whole(changes) == (before, after) and all(text for _, text in changes)
        assert all(x[0] != y[0] for x, y in zip(changes, changes[1:]))
        assert before != after or {kind for kind, _ in changes} <= {"same"}


def test_changes_are_by_words():
    assert word_changes("The Rhine rises. It is long.", "The Rhone rises. It is so long.") == [
        ("same", "The "),
        ("cut", "Rhine"),
        ("added", "Rhone"),
        ("same", " rises. It is "),
        ("added", "so "),
        ("same", "long."),
    ]
    assert word_changes("One here. Two. Three.", "One here. Three.") == [("same", "One here. "), ("cut", "Two. "), ("same", "Three.")]
    assert word_changes("", "") == [] and word_changes("", "a") == [("added", "a")]


def test_changes_of_a_long_passage_are_still_by_words_and_of_one_without_sentences_still_true():
    """Sentences that come again and again would take minutes word by word."""
    passage = ("Cork is the bark of an oak. In Portugal farmers strip it every nine years, with axes. " * 300)[:25_000]
    changes = word_changes(passage, swap(passage, "Portugal", "Cork"))
    swapped = passage.count("Portugal") + passage.count("Cork")
    assert {text for kind, text in changes if kind != "same"} == {"Portugal", "Cork"} and whole(changes)[0] == passage
    assert sum(kind == "cut" for kind, _ in changes) == swapped > 500
    before, after = "b a " * 6000 + "x", "a " * 6000 + "b"
    assert whole(word_changes(before, after)) == (before, after)


def test_a_sentence_that_stays_is_the_same_whatever_goes_around_it():
    before = "A compass points along the lines of the field. Sailors used a needle by the twelfth century. The needle errs."
    kept = "Sailors used a needle by the twelfth century."
    assert word_changes(before, kept) == [
        ("cut", "A compass points along the lines of the field. "), ("same", kept), ("cut", " The needle errs."),
    ]  # fmt: skip
