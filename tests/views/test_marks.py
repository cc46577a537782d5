"""Marked text: what is marked, what is escaped, what is folded; any text with any marks stays itself."""

import re

from answers import TEXT
from conftest import TEXTS
from hypothesis import given
from hypothesis import strategies as st
from pages import Nesting, plain

from mtdnn_kit.views.marks import EDGE, FOLD, changes_html, heat_html, passage_html, salience_html, tokens_html
from mtdnn_kit.views.style import letter, line


def test_gold_and_answers_are_marked_where_they_stand():
    html = passage_html(TEXT, [(4, 7)], [(0, 4, 7), (1, 0, 7)])
    assert plain(html) == TEXT
    assert re.findall(r"<mark[^>]*>(.*?)</mark>", html) == ["cat"]
    lines = re.findall(r"border-bottom:(\w+ \w+) (#\w+);padding-bottom:(\d+)px", html)
    assert set(lines) == {("3px solid", "#0072B2", "1"), ("3px dashed", "#D55E00", "5")}, "a colour, a line and a lane of its own"
    assert re.findall(r"<sup><b>(\w+)</b></sup>", html) == ["AB"], "legible without styles, too"


def test_every_one_of_seven_models_has_a_line_and_a_colour_of_its_own():
    styles = [line(i).removeprefix("border-bottom:").rsplit(" ", 1) for i in range(7)]
    assert len({style for style, _ in styles}) == len({colour for _, colour in styles}) == 7
    assert [letter(i) for i in (0, 6, 26)] == ["A", "G", "A"]


@given(TEXTS, st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=7), st.integers(0, 60), st.booleans())
def test_any_text_with_any_spans_stays_itself(text, spans, gold, fold):
    spans = [(i, min(a, b, len(text)), min(max(a, b), len(text))) for i, (a, b) in enumerate(spans)]
    spans = [span for span in spans if span[1] < span[2]]
    html = passage_html(text, [(0, min(gold, len(text)))], spans, fold)
    assert plain(html) == text
    assert Nesting(html).tags <= {"div", "mark", "u", "sup", "b"}


@given(st.integers(1, 30_000), st.integers(0, 29_999), st.sampled_from(["ab ", "x", "שלום ", "🌍"]))
def test_a_long_passage_is_folded_around_its_marks_and_loses_nothing(length, start, unit):
    text = (unit * length)[:length]
    marks = [(0, start, min(start + 5, length))] if start < length else []
    html = passage_html(text, [], marks, fold=True)
    assert plain(html) == text
    Nesting(html)
    shown = re.sub(r"<details.*?</details>", "", html)
    stretches = 2 if marks else 1
    assert len(plain(shown)) <= stretches * FOLD + 5
    folded = html.count("<details")
    assert folded == sum(n > FOLD for n in ((start, length - start - 5) if marks else (length,)))
    assert all(f"{n:,} characters" in html for n in [len(x) for x in re.findall(r"</summary>(.*?)</details>", html)] if unit != "🌍")
    assert not folded or all(len(plain(part)) >= EDGE // 2 for part in re.split(r"<details.*?</details>", html))


def test_chips_are_escaped():
    html = tokens_html([("<s>", "special"), ("cat", "answer")])
    assert "&lt;s&gt;" in html
    Nesting(html)


def test_salience_is_relative_to_what_counts_most_and_has_a_line_for_its_sign():
    html = salience_html([("<b>", 2.0), ("cat", -1.0), ("sat", 0.0)])
    assert "&lt;b&gt;" in html and Nesting(html).tags == {"div", "span"}
    assert re.findall(r"background:rgba\([\d,]+,([\d.]+)\);border-bottom:2px (\w+)", html) == [
        ("0.50", "solid"), ("0.25", "dotted"), ("0.00", "dotted"),
    ]  # fmt: skip
    assert re.findall(r'title="(.*?)"', html) == ["+2", "-1", "+0"]
    assert "<span" not in salience_html([]) and "0.00" in salience_html([("a", 0.0)])


def test_a_heat_strip_shows_what_is_likely_with_what_stands_around_it():
    context = " ".join(f"w{i:02d}" for i in range(60))
    tokens = [(4 * i, 4 * i + 3, 0.0, 0.0) for i in range(60)]
    tokens[20], tokens[40] = (80, 83, 0.75, 0.01), (160, 163, 0.01, 0.5)
    html = heat_html(0, context, tokens, least=0.02, around=2)
    Nesting(html)
    assert plain(html) == " ⋯ w18 w19 w20 w21 w22 ⋯ w38 w39 w40 w41 w42 ⋯"
    titled = re.findall(r'title="(.*?)">(\w+)<', html)
    assert ("start 0.75, end 0.01", "w20") in titled and ("start 0.01, end 0.50", "w40") in titled
    start, end = (rf"rgba\(0,114,178,0\.{p}\)" for p in ("75", "01"))
    assert re.search(rf"{start}[^,]*calc\(100% - 6px\)[^>]*?,linear-gradient\({end}", html), "start above, end below"
    assert "no token is likely" in heat_html(0, context, tokens, least=0.9)
    assert plain(heat_html(1, "<i>", [(0, 3, 0.9, 0.9)])) == "<i>"


def test_changes_of_words():
    html = changes_html([("same", "Who "), ("cut", "did "), ("added", "did <not> "), ("same", "go?")])
    assert re.search(r"<del[^>]*>did </del><ins[^>]*>did &lt;not&gt; </ins>", html)
    assert plain(html) == "Who did did <not> go?"
