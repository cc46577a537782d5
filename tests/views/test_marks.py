"""Tokens as chips."""

from pages import Nesting

from mtdnn_kit.views.marks import tokens_html


def test_chips_are_escaped():
    html = tokens_html([("<s>", "special"), ("cat", "answer")])
    assert "&lt;s&gt;" in html
    Nesting(html)
