"""A row to take along: every figure there, every text itself, nothing of it markup."""

import csv
import io
import re

import pytest
from answers import CAT, QUESTIONS, question
from conftest import TEXTS
from hypothesis import given

from mtdnn_kit.explorer.export_row import as_csv, as_markdown, plain
from mtdnn_kit.explorer.html import page_html


def test_csv_holds_every_figure_of_every_run():
    rows = list(csv.DictReader(io.StringIO(as_csv(QUESTIONS[1]))))
    assert [row["run"] for row in rows] == ["model 0", "model 1"]
    assert rows[0] == {
        "id": "1", "run": "model 0", "text": "cat", "start": "4", "end": "7", "probability": "0.6", "nothing": "0.3", "diff": "-1.0",
        "em": "1.0", "f1": "1.0", "span_em": "1.0", "span_f1": "1.0",
    }  # fmt: skip
    assert (rows[1]["text"], rows[1]["start"], rows[1]["em"]) == ("", "", "0.0")


def test_markdown_has_question_passage_gold_and_a_line_a_run():
    text = as_markdown(QUESTIONS[1])
    assert text.startswith(r"**Question \<1\>?**")
    assert r"> The cat \<b\>sat\</b\> \& slept\." in text and "Accepted: cat" in text
    assert [line.count("|") for line in text.splitlines() if line.startswith("|")] == [13] * 4
    assert "Accepted: *nothing*" in as_markdown(QUESTIONS[2])


@given(TEXTS, TEXTS)
def test_any_text_stays_itself(passage, asked):
    passage = passage + " cat"
    q = question("<x>", CAT, None, answers=(), context=passage.ljust(12, "."))
    q = q.__class__(q.row._replace(question=asked), q.replies)
    rows = list(csv.DictReader(io.StringIO(as_csv(q), newline="")))
    assert rows[0]["text"] == q.row.context[4:7] and len(rows) == 2
    text = as_markdown(q)
    assert re.sub(r"\\(.)", r"\1", text.split("\n\n")[1]) == "> " + " ".join(q.row.context.split())
    assert not re.search(r"(?<!\\)[<\[`|]", re.sub(r"^\|.*\|$", "", text, flags=re.M))
    html = page_html(q)
    assert "default-src 'none'" in html and "<script" not in html.lower()


@pytest.mark.parametrize("text", ["a|b", "**bold**", "<script>", "[x](javascript:1)", "`code`", "# head", "- item", "1. one", "a\nb"])
def test_markup_in_a_text_is_none(text):
    assert re.sub(r"\\(.)", r"\1", plain(text)) == " ".join(text.split())
    assert not re.search(r"(?<!\\)[*_`<>\[\]()#|.-]", plain(text))
