"""Text with marks on it, as HTML that needs no script and no style sheet: answers in a passage, tokens, heat strips, salience, changes.

A gold answer has a bright background, each model an underline of its own colour and line in a lane of its own, so that overlaps stay
legible, and a letter at its end, so that they do where styles are stripped. Text colours are the theme's, or stand on a background of ours.
How marks look is marks.html's business. Knows characters and numbers; no run and no question.
"""

import itertools
from collections.abc import Sequence
from functools import partial

from mtdnn_kit.views.templates import Html, macros

FOLD, EDGE = 1200, 300  # a stretch without marks of more characters is folded, but for so many at its ends
_page = partial(macros, "views/marks.html")


def key_html(model: int) -> Html:
    """A model's letter on its line."""
    return Html(_page().key(model))


def passage_html(
    context: str, golds: Sequence[tuple[int, int]] = (), spans: Sequence[tuple[int, int, int]] = (), fold: bool = False
) -> Html:
    """A passage with marks: `golds` as (start, end), `spans` as (number of the model, start, end), in characters.

    fold: a long stretch without a mark is folded into a line that opens it.
    """
    cuts = sorted({0, len(context), *(x for gold in golds for x in gold), *(x for span in spans for x in span[1:])})
    pieces = []
    for a, b in itertools.pairwise(cuts):
        marked = any(start <= a and b <= end for start, end in golds)
        over = [i for i, start, end in spans if start <= a and b <= end]
        text = _folded(context[a:b]) if fold and not marked and not over else (context[a:b],)
        pieces.append((text, marked, over, [i for i, _, end in spans if end == b]))
    return Html(_page().passage(pieces, room=1.7 + 0.28 * max([i for i, *_ in spans], default=0)))


def _folded(text: str) -> tuple[str, ...]:
    """A stretch of passage; where it is long, its beginning, middle and end."""
    if len(text) <= FOLD:
        return (text,)
    a = text.rfind(" ", EDGE // 2, EDGE) + 1 or EDGE
    b = text.find(" ", len(text) - EDGE, len(text) - EDGE // 2)
    b = b if b > 0 else len(text) - EDGE
    return text[:a], text[a:b], text[b:]


def tokens_html(tokens: Sequence[tuple[str, str]]) -> Html:
    """Tokens as chips: (text, role), the role "special", "first" or "second" text, or "answer"."""
    return Html(_page().tokens(tokens))


def salience_html(tokens: Sequence[tuple[str, float]]) -> Html:
    """Tokens as chips, the more coloured the more they count; a full line below what pulls the score up, a dotted one below the rest."""
    return Html(_page().salience(tokens, most=max((abs(value) for _, value in tokens), default=0) or 1.0))


def heat_html(model: int, context: str, tokens: Sequence[tuple[int, int, float, float]], least: float = 0.02, around: int = 6) -> Html:
    """A model's heat strip: tokens (start, end, probability to begin the answer, probability to end it), two bars below each.

    Shown are the tokens either of whose probabilities is `least` or more, with `around` tokens on both sides.
    """
    near = [i for i, (*_, p, q) in enumerate(tokens) if max(p, q) >= least]
    shown = sorted({k for i in near for k in range(max(i - around, 0), min(i + around + 1, len(tokens)))})
    parts = []
    for before, i in itertools.pairwise([-1, *shown]):
        a, b, p, q = tokens[i]
        gap = (context[tokens[before][1] : a] if before >= 0 else "") if i == before + 1 else " ⋯ "
        parts.append((gap, context[a:b], p, q))
    return Html(_page().heat(model, parts, goes_on=bool(shown) and shown[-1] + 1 < len(tokens)))


def changes_html(changes: Sequence[tuple[str, str]]) -> Html:
    """Words (kind, text), the kind "same", "cut" or "added": what was cut is struck through, what was added underlined."""
    return Html(_page().changes([(kind, _folded(text) if kind == "same" else (text,)) for kind, text in changes]))
