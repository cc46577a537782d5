"""The explorer: what is marked, what is escaped, what is shown; its widgets driven as a person would."""

import re
from html import unescape
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtdnn_kit.compare import Question, Reply
from mtdnn_kit.explorer.html import examples_html, passage_html, question_html, side_by_side, tokens_html
from mtdnn_kit.explorer.state import FILTERS, State
from mtdnn_kit.explorer.widgets import Explorer, explore
from mtdnn_kit.paper import EXAMPLES
from mtdnn_kit.rows import QARow

TEXT = "The cat <b>sat</b> & slept."


def reply(start, end, right=0.0, best=(), context=TEXT) -> Reply:
    text = context[start:end] if start is not None else ""
    return Reply(start, end, text, 0.6, right, right, 0.3, [(start, end, 0.6), *best] if start is not None else list(best))


def question(number, *replies, answers=((4, "cat"),)) -> Question:
    row = QARow(str(number), "A_title", TEXT, f"Question <{number}>?", answers)
    return Question(row, {f"model {i}": r for i, r in enumerate(replies)})


CAT, THE_CAT, NOTHING = reply(4, 7, 1.0), reply(0, 7), reply(None, None)
QUESTIONS = [
    question(0, CAT, CAT),
    question(1, CAT, NOTHING),
    question(2, NOTHING, THE_CAT, answers=()),
    question(3, THE_CAT, THE_CAT),
    question(4, reply(None, None, 1.0), reply(None, None, 1.0), answers=()),
]


def plain(html: str) -> str:
    """The text of a passage, without marks and letters."""
    return unescape(re.sub(r"<[^>]*>", "", re.sub(r"<sup>.*?</sup>", "", html)))


class Nesting(HTMLParser):
    """Asserts that every tag that is opened is closed, innermost first."""

    def __init__(self, html: str):
        super().__init__()
        self.open = []
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_gold_and_answers_are_marked_where_they_stand():
    html = passage_html(TEXT, [(4, 7)], [(0, 4, 7), (1, 0, 7)])
    assert plain(html) == TEXT
    assert re.findall(r"<mark[^>]*>(.*?)</mark>", html) == ["cat"]
    lines = re.findall(r"border-bottom:3px (\w+) (#\w+);padding-bottom:(\d+)px", html)
    assert set(lines) == {("solid", "#0072B2", "1"), ("dashed", "#D55E00", "5")}, "a colour, a line and a lane of its own"
    assert re.findall(r"<sup><b>(\w+)</b></sup>", html) == ["AB"], "legible without styles, too"


@given(st.text(min_size=1, max_size=60), st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=7), st.integers(0, 60))
def test_any_text_with_any_spans_stays_itself(text, spans, gold):
    spans = [(i, min(a, b, len(text)), min(max(a, b), len(text))) for i, (a, b) in enumerate(spans)]
    spans = [span for span in spans if span[1] < span[2]]
    html = passage_html(text, [(0, min(gold, len(text)))], spans)
    assert plain(html) == text
    Nesting(html)


def test_nothing_of_the_data_becomes_markup():
    html = question_html(question(7, CAT, THE_CAT))
    assert "<b>sat</b>" not in html and "Question &lt;7&gt;?" in html
    Nesting(html)
    Nesting(tokens_html([("<s>", "special"), ("cat", "answer")]))
    assert "&lt;s&gt;" in tokens_html([("<s>", "special")])


def test_the_table_says_what_each_model_answers_and_what_comes_next():
    html = question_html(question(1, reply(4, 7, 1.0, best=[(0, 7, 0.2)]), reply(None, None, best=[(0, 3, 0.35)])))
    rows = [[plain(cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", row)] for row in re.findall(r"<tr>(.*?)</tr>", html)[1:]]
    assert rows[0] == ["", "gold", "cat"]
    assert rows[1] == ["A", "model 0", "cat", "0.60", "1", "1.00", "nothing (0.30)"]
    assert rows[2] == ["B", "model 1", "nothing", "0.60", "0", "0.00", "The (0.35)"]


def test_a_question_without_replies_shows_its_accepted_answers():
    html = question_html(question(1, answers=((4, "cat"), (0, "The cat"))))
    assert "<table" not in html and plain(html).endswith("gold: cat / The cat")
    assert plain(question_html(question(1, answers=()))).endswith("gold: nothing")


def test_filters():
    groups = {name: [q.row.id for q in group] for name, group in State(QUESTIONS).groups.items()}
    assert groups == {
        "all questions": list("01234"),
        "answers differ": list("12"),
        "all right": list("04"),
        "all wrong": list("23"),
        "answerable": list("013"),
        "unanswerable": list("24"),
    }
    assert groups.keys() == FILTERS.keys()


def test_the_open_question_stays_open_where_it_passes():
    state = State(QUESTIONS)
    assert state.chosen == "answers differ" and state.open.row.id == "1"
    state.step(1)
    state.choose("unanswerable")
    assert state.open.row.id == "2"
    state.choose("answerable")
    assert state.open.row.id == "0"
    state.step(-1)
    assert state.open.row.id == "3"
    assert State([question(0, CAT, CAT)]).chosen == "all questions", "where none differ"
    assert State([]).open is None


def test_the_widget_shows_what_is_chosen():
    explorer = Explorer(State(QUESTIONS))
    assert [label for label, _ in explorer.filter.options] == [f"{name} ({len(State(QUESTIONS).groups[name])})" for name in FILTERS]
    assert explorer.question.options == (("1. Question <1>?", 0), ("2. Question <2>?", 1))
    explorer.forward.click()
    assert explorer.view.value == question_html(QUESTIONS[2]) and explorer.question.value == 1
    explorer.forward.click()
    assert explorer.view.value == question_html(QUESTIONS[1]), "around the end"
    explorer.filter.value = "all questions"
    assert explorer.view.value == question_html(QUESTIONS[1]) and explorer.question.value == 1
    explorer.question.value = 3
    assert explorer.view.value == question_html(QUESTIONS[3])
    explorer.back.click()
    assert explorer.view.value == question_html(QUESTIONS[2])


def test_a_filter_that_nothing_passes_says_so():
    explorer = Explorer(State(QUESTIONS[:1]))
    explorer.filter.value = "all wrong"
    assert "no question" in explorer.view.value and explorer.question.options == ()
    explorer.forward.click()
    explorer.filter.value = "all right"
    assert explorer.view.value == question_html(QUESTIONS[0])


@pytest.mark.parametrize("name", ["JPY_SESSION_NAME", "VSCODE_PID"])
def test_without_a_front_end_the_first_disagreements_stay_as_html(monkeypatch, name):
    for front_end in ("JPY_SESSION_NAME", "VSCODE_PID", "COLAB_RELEASE_TAG"):
        monkeypatch.delenv(front_end, raising=False)
    assert explore(QUESTIONS) == side_by_side(QUESTIONS[1:3]) and explore(QUESTIONS)._repr_html_() == explore(QUESTIONS)
    monkeypatch.setenv(name, "x")
    assert len(explore(QUESTIONS).children) == 3
    assert explore(QUESTIONS, live=False) == side_by_side(QUESTIONS[1:3])
    assert "no question" in explore([], live=False)


def test_the_papers_examples_are_shown_where_the_data_have_them():
    row = QARow("n", "Normans", "Alexius Komnenos did.", "Who ruined Roussel?", ((0, "Alexius Komnenos"),))
    html = examples_html([Question(row, {"QA": NOTHING})], EXAMPLES)
    assert "Who ruined Roussel?" in html and html.count("Not in these data") == 2
    Nesting(html)
