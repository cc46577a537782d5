"""Tokens as chips, as HTML that needs no script and no style sheet; marks.html defines their look."""

from collections.abc import Sequence
from functools import partial

from mtdnn_kit.views.templates import Html, macros

_page = partial(macros, "views/marks.html")


def tokens_html(tokens: Sequence[tuple[str, str]]) -> Html:
    """Tokens as chips: (text, role), the role "special", "first" or "second" text, or "answer"."""
    return Html(_page().tokens(tokens))
