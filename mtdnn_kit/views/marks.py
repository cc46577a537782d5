"""Text with marks on it, as HTML that needs no script and no style sheet: answers in a passage, tokens, heat strips, salience, changes.

A gold answer has a bright background, each model an underline of its own colour and line in a lane of its own, so that overlaps stay
legible, and a letter at its end, so that they do where styles are stripped. Text colours are the theme's, or stand on a background of ours.
Every text is escaped. Knows characters and numbers; no run and no question.
"""

import itertools
from collections.abc import Sequence
from html import escape
from string import ascii_uppercase

from mtdnn_kit.views.reprs import BREAK
from mtdnn_kit.views.style import ADDED, BORDERS, CUT, RIGHT_COLOUR, colour, rgba

GOLD = f"background:{RIGHT_COLOUR};color:#000;border-radius:2px"
FOLD, EDGE = 1200, 300  # a stretch without marks of more characters is folded, but for so many at its ends
GREY = "rgba(128,128,128,.25)"
# Of a token: what is behind it.
ROLES = {"special": GREY, "first": rgba(5, ".30"), "second": rgba(2, ".22"), "answer": f"{RIGHT_COLOUR};color:#000"}
INS = f"background:{ADDED};color:#000;text-decoration:underline"
CHANGES = {"cut": ("del", f"background:{CUT};color:#000"), "added": ("ins", INS)}  # of words: tag, and how it looks


class Html(str):
    """Text that a notebook shows as HTML."""

    def _repr_html_(self) -> str:
        return str(self)

    def __repr__(self) -> str:
        return f"Html({len(self)} characters)"


def letter(model: int) -> str:
    """A model's sign where colours are not seen: A, B … Z, A again."""
    return ascii_uppercase[model % 26]


def line(model: int) -> str:
    """The style of a model's underline."""
    return f"border-bottom:{BORDERS[model % 7]} {colour(model)}"


def key_html(model: int) -> str:
    """A model's letter on its line."""
    return f'<span style="{line(model)}"><b>{letter(model)}</b></span>'


def passage_html(
    context: str, golds: Sequence[tuple[int, int]] = (), spans: Sequence[tuple[int, int, int]] = (), fold: bool = False
) -> Html:
    """A passage with marks: `golds` as (start, end), `spans` as (number of the model, start, end), in characters.

    fold: a long stretch without a mark is folded into a line that opens it.
    """
    cuts = sorted({0, len(context), *(x for gold in golds for x in gold), *(x for span in spans for x in span[1:])})
    parts = []
    for a, b in itertools.pairwise(cuts):
        marked = any(start <= a and b <= end for start, end in golds)
        over = [i for i, start, end in spans if start <= a and b <= end]
        text = _folded(context[a:b]) if fold and not marked and not over else escape(context[a:b])
        text = f'<mark style="{GOLD}">{text}</mark>' if marked else text
        for i in over:
            text = f'<u style="text-decoration:none;{line(i)};padding-bottom:{1 + 4 * i}px">{text}</u>'
        ending = "".join(letter(i) for i, _, end in spans if end == b)
        parts.append(text + (f"<sup><b>{ending}</b></sup>" if ending else ""))
    room = 1.7 + 0.28 * max([i for i, *_ in spans], default=0)
    style = f"white-space:pre-wrap;{BREAK};line-height:{room:.2f};margin:.4em 0 .6em 0"
    return Html(f'<div dir="auto" style="{style}">{"".join(parts)}</div>')


def _folded(text: str) -> str:
    """A stretch of passage, its middle behind a line that opens it where it is long."""
    if len(text) <= FOLD:
        return escape(text)
    a = text.rfind(" ", EDGE // 2, EDGE) + 1 or EDGE
    b = text.find(" ", len(text) - EDGE, len(text) - EDGE // 2)
    b = b if b > 0 else len(text) - EDGE
    summary = f'<summary style="display:inline;cursor:pointer"><b>[… {b - a:,} characters …]</b></summary>'
    return f'{escape(text[:a])}<details style="display:inline">{summary}{escape(text[a:b])}</details>{escape(text[b:])}'


def tokens_html(tokens: Sequence[tuple[str, str]]) -> Html:
    """Tokens as chips: (text, role), the role a key of ROLES."""
    chip = "display:inline-block;border-radius:3px;padding:0 3px;margin:1px;font-family:monospace"
    chips = [f'<span style="{chip};background:{ROLES[role]}">{escape(text)}</span>' for text, role in tokens]
    return Html(f'<div style="max-width:60em;line-height:1.8">{" ".join(chips)}</div>')


def salience_html(tokens: Sequence[tuple[str, float]]) -> Html:
    """Tokens as chips, the more coloured the more they count; a full line below what pulls the score up, a dotted one below the rest."""
    most = max((abs(value) for _, value in tokens), default=0) or 1.0
    chip, chips = f"display:inline-block;padding:0 2px;margin:1px;font-family:monospace;{BREAK}", []
    for text, value in tokens:
        share = abs(value) / most
        number, kind = (4, "solid") if value > 0 else (5, "dotted")  # warm, cold
        style = f"background:{rgba(number, f'{0.5 * share:.2f}')};border-bottom:2px {kind} {rgba(number, f'{share:.2f}')}"
        chips.append(f'<span style="{chip};{style}" title="{value:+.3g}">{escape(text)}</span>')
    return Html(f'<div style="max-width:60em;line-height:1.8">{" ".join(chips)}</div>')


def heat_html(model: int, context: str, tokens: Sequence[tuple[int, int, float, float]], least: float = 0.02, around: int = 6) -> Html:
    """A model's heat strip: tokens (start, end, probability to begin the answer, probability to end it), two bars below each.

    Shown are the tokens either of whose probabilities is `least` or more, with `around` tokens on both sides.
    """
    near = [i for i, (*_, p, q) in enumerate(tokens) if max(p, q) >= least]
    shown = sorted({k for i in near for k in range(max(i - around, 0), min(i + around + 1, len(tokens)))})
    parts = []
    for before, i in itertools.pairwise([-1, *shown]):
        a, b, p, q = tokens[i]
        gap = (escape(context[tokens[before][1] : a]) if before >= 0 else "") if i == before + 1 else " ⋯ "
        parts.append(f'{gap}<span style="{_bars(model, p, q)}" title="start {p:.2f}, end {q:.2f}">{escape(context[a:b])}</span>')
    strip = "".join(parts) + (" ⋯" if shown and shown[-1] + 1 < len(tokens) else "") or "<i>no token is likely</i>"
    return Html(f'<div dir="auto" style="max-width:60em;line-height:2.2;{BREAK}">{strip}</div>')


def _bars(model: int, start: float, end: float) -> str:
    """The two bars below a token, the upper for the start, the more opaque the likelier."""
    upper, lower = (f"linear-gradient({rgba(model, f'{p:.2f}')} 0 0)" for p in (start, end))
    bars = f"{upper} 0 calc(100% - 6px)/100% 5px no-repeat,{lower} 0 100%/100% 5px no-repeat"
    return f"padding-bottom:13px;background:{bars};outline-offset:-1px"


def changes_html(changes: Sequence[tuple[str, str]]) -> Html:
    """Words (kind, text), the kind "same", "cut" or "added": what was cut is struck through, what was added underlined."""
    parts = []
    for kind, text in changes:
        tag, style = CHANGES.get(kind, (None, None))
        parts.append(f'<{tag} style="{style}">{escape(text)}</{tag}>' if tag else _folded(text))
    return Html(f'<div dir="auto" style="white-space:pre-wrap;{BREAK}">{"".join(parts)}</div>')
