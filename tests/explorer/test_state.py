"""What the explorer shows: filters with their counts, orders, the open row, history, thresholds; on five questions, by hand."""

import numpy as np
import pytest
from answers import CAT, QUESTIONS, THE_CAT, question

from mtdnn_kit.compare.outcomes import reply_at
from mtdnn_kit.compare.pairing import Question
from mtdnn_kit.explorer.state import ALL, FAVOURITES, ORDERS, State


def ids(state: State) -> str:
    return "".join(state.rows[i].row.id for i in state.shown)


def test_it_opens_on_the_first_disagreement():
    state = State(QUESTIONS)
    assert (state.filter.outcome, ids(state), state.item.row.id) == ("answers differ", "12", "1")
    assert State(QUESTIONS[:1]).filter.outcome == ALL, "where none differ"
    assert State([question(0, CAT)]).filter.outcome == ALL, "of a single run"
    empty = State([])
    assert (empty.item, empty.place, ids(empty)) == (None, None, "")
    empty.step(1), empty.surprise(), empty.travel(-1), empty.choose(text="x"), empty.sort(ORDERS[1])
    assert empty.item is None


@pytest.mark.parametrize(
    ("outcome", "shown"),
    [
        (ALL, "01234"),
        ("answers differ", "12"),
        ("all answer the same", "034"),
        ("all right", "04"),
        ("all wrong", "3"),
        ("model 0 right, model 1 wrong", "12"),
        ("model 1 right, model 0 wrong", ""),
        ("model 1: false nothing", "1"),
        ("model 1: false answer", "2"),
        ("model 0: elsewhere", "3"),
    ],
)
def test_outcomes(outcome, shown):
    state = State(QUESTIONS)
    state.choose(outcome=outcome)
    assert ids(state) == shown
    assert state.counts("outcome")[outcome] == len(shown), "an empty one is listed while it is chosen"


def test_spans_that_are_too_long_or_cut_off():
    state = State([question(0, (0, 12), (4, 6)), question(1, CAT, CAT)])
    for outcome in ("model 0: too long", "model 1: cut off"):
        state.choose(outcome=outcome)
        assert ids(state) == "0"


def test_counts_are_those_beside_the_other_filters():
    state = State(QUESTIONS)
    state.choose(outcome=ALL)
    assert state.counts("title") == {ALL: 5, "A_title": 3, "Other": 2}
    assert state.counts("slice")["answerable: unanswerable"] == 2
    state.choose(title="Other")
    assert ids(state) == "13"
    assert state.counts("title") == {ALL: 5, "A_title": 3, "Other": 2}, "its own choice does not count"
    assert state.counts("outcome") == {
        ALL: 2,
        "answers differ": 1,
        "all answer the same": 1,
        "all wrong": 1,
        "model 0 right, model 1 wrong": 1,
        "model 0: elsewhere": 1,
        "model 1: false nothing": 1,
        "model 1: elsewhere": 1,
    }
    state.choose(slice="answerable: answerable", outcome="all wrong")
    assert ids(state) == "3" and state.counts("slice")[ALL] == 1


@pytest.mark.parametrize(
    ("text", "where", "shown"),
    [
        ("QUESTION <3", "anywhere", "3"),
        ("question <3", "passage", ""),
        ("SLEPT", "passage", "01234"),
        ("the cat", "answers", "2"),
        ("cat", "answers", "0123"),
        ("<b>sat", "question", ""),
        ("no such", "anywhere", ""),
    ],
)
def test_text_is_found_in_any_case(text, where, shown):
    state = State(QUESTIONS)
    state.choose(outcome=ALL, text=text, where=where)
    assert ids(state) == shown


def test_an_answer_is_found_only_where_it_is_given():
    state = State(QUESTIONS)
    state.choose(outcome=ALL, text="<b>s", where="answers")
    assert ids(state) == "3"
    state.move("model 1", 5.0)  # now its best span is given to questions 1 and 4 as well
    assert ids(state) == "134"


def test_the_open_row_stays_open_where_it_passes():
    state = State(QUESTIONS)
    state.step(1)
    assert state.item.row.id == "2"
    state.choose(slice="answerable: unanswerable", outcome=ALL)
    assert state.item.row.id == "2" and state.place == 0
    state.choose(slice="answerable: answerable")
    assert state.item.row.id == "0"
    state.step(-1)
    assert state.item.row.id == "3", "around the end"


def test_back_and_forward_go_where_one_was():
    state = State(QUESTIONS)
    state.choose(outcome=ALL)
    for place in (3, 0, 4):
        state.open(place)
    state.travel(-1), state.travel(-1)
    assert state.item.row.id == "3"
    state.travel(1)
    assert state.item.row.id == "0"
    state.open(2)
    state.travel(1)
    assert state.item.row.id == "2", "what lay ahead is forgotten"
    state.travel(-1), state.travel(1), state.travel(-1)
    assert state.item.row.id == "0"
    for _ in range(9):
        state.travel(-1)
    assert state.item.row.id == "1", "the first that was open"


def test_a_surprise_is_another_row_and_the_seed_decides():
    def surprises(seed: int) -> list[str]:
        state = State(QUESTIONS, seed=seed)
        state.choose(outcome=ALL)
        found = []
        for _ in range(20):
            before = state.opened
            state.surprise()
            assert state.opened != before
            found.append(state.item.row.id)
        return found

    assert surprises(1) == surprises(1) != surprises(2)
    assert set(surprises(1)) == set("01234")
    lone = State(QUESTIONS[:1])
    lone.surprise()
    assert lone.item.row.id == "0"


def test_orders():
    state = State(QUESTIONS)
    state.choose(outcome=ALL)
    found = {}
    for order in ORDERS:
        state.sort(order)
        found[order] = ids(state)
        assert state.place == 0
    # sureness is that of the second run: 0.6, 0.3 (nothing), 0.6, 0.2, 0.3
    assert found == {
        "as in the data": "01234",
        "most disagreement first": "12034",
        "least sure first": "31402",
        "surest first": "02143",
        "largest gap first": "12034",
    }
    state.set_pair("model 1", "model 0")
    state.sort("surest first")
    assert ids(state)[0] == "3"


def test_a_threshold_changes_answers_scores_and_filters_but_not_what_is_open():
    state = State(QUESTIONS)
    state.choose(outcome="model 1: false nothing")
    assert ids(state) == "1" and state.item.replies["model 1"].text == ""
    assert state.outcomes.table(1) == {"EM": 40.0, "F1": 40.0, "false answers": 1, "false nothings": 1}
    state.move("model 1", 2.0)
    assert state.item.row.id == "1" and state.item.replies["model 1"].text == "<b>s", "open, although it no longer passes"
    assert (ids(state), state.place) == ("", None)
    assert state.outcomes.table(1)["false answers"] == 2 and state.outcomes.table(0) == State(QUESTIONS).outcomes.table(0)
    state.move("model 1", None)
    assert ids(state) == "1" and state.place == 0 and len(state.history) == 1


def test_thresholds_begin_where_they_were_tuned():
    row = QUESTIONS[1].row
    tuned = {name: reply_at(row, reply, t) for (name, reply), t in zip(QUESTIONS[1].replies.items(), (0.0, 1.5), strict=True)}
    state = State([Question(row, tuned)])
    assert state.thresholds.tolist() == [0.0, 1.5] and tuned["model 1"].threshold == 1.5
    assert state.item.replies["model 1"].text == "<b>s"
    state.move("model 1", 0.5), state.move("model 1", None)
    assert state.item == Question(row, tuned)


def test_the_nbest_of_the_open_row_is_read_when_it_is_opened():
    asked = []

    def best(name: str, key: str):
        asked.append((name, key))
        return [(4, 7, 0.5), (0, 3, 0.2), (8, 11, 0.1)]

    state = State(QUESTIONS, best=best)
    assert asked == []
    assert len(state.item.replies["model 0"].best) == 3
    assert asked == [("model 0", "1"), ("model 1", "1")]


def test_favourites_are_an_outcome():
    state = State(QUESTIONS)
    state.notes = {"3": "odd"}
    state.choose(outcome=FAVOURITES)
    assert ids(state) == "3"
    state.notes = {}
    state.choose()
    assert ids(state) == "" and state.item is None


def test_an_outcome_of_another_pair_filters_nothing():
    state = State([question(0, CAT, None, THE_CAT), question(1, CAT, CAT, CAT)])
    state.choose(outcome="model 2: too long")
    state.set_pair("model 0", "model 1")
    assert state.filter.outcome == ALL and ids(state) == "01"


def test_masks_have_an_entry_a_row():
    state = State(QUESTIONS)
    for field in ("title", "slice", "outcome"):
        assert all(mask.shape == (5,) and mask.dtype == np.bool_ for mask in state.masks(field).values())
