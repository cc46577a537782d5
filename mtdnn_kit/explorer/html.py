"""How a question, its passage and the models' answers look: HTML that needs no script and no style sheet.

The gold answer has a bright background, each model an underline of its own colour and line in a lane of its own, so that overlaps stay
legible, and a letter at its end, so that they do where styles are stripped. Text colours are the theme's. Every text is escaped.
"""

import itertools
from collections.abc import Sequence
from html import escape
from string import ascii_uppercase

from mtdnn_kit.compare import Question, Reply, find
from mtdnn_kit.paper import Example
from mtdnn_kit.plots import COLOURS

CSS_LINES = ("solid", "dashed", "dotted", "double", "solid", "dashed", "dotted")
GOLD = "background:#ffe28a;color:#000;border-radius:2px"
LINE = "border-bottom:1px solid rgba(128,128,128,.35)"
ROLES = {  # of a token: background, and what the legend says
    "special": ("rgba(128,128,128,.25)", "special"),
    "first": ("rgba(86,180,233,.30)", "first part"),
    "second": ("rgba(0,158,115,.22)", "second part"),
    "answer": ("#ffe28a", "answer"),
}


class Html(str):
    """Text that a notebook shows as HTML."""

    def _repr_html_(self) -> str:
        return str(self)

    def __repr__(self) -> str:
        return f"Html({len(self)} characters)"


def question_html(question: Question) -> Html:
    """A question with its marked passage, and a table of the replies: answer, probability, EM, F1, the next best."""
    row = question.row
    spans = [(i, reply.start, reply.end) for i, reply in enumerate(question.replies.values()) if reply.start is not None]
    golds = [(start, start + len(text)) for start, text in row.answers]
    title = f"<small>{escape(row.title.replace('_', ' '))} · {escape(row.id)}</small><br>" if row.title else ""
    return Html(
        f'<div style="max-width:60em;margin:0 0 1.5em 0">{title}<b dir="auto">{escape(row.question)}</b>'
        f"{passage_html(row.context, golds, spans)}{_replies(question)}</div>"
    )


def passage_html(context: str, golds: Sequence[tuple[int, int]] = (), spans: Sequence[tuple[int, int, int]] = ()) -> Html:
    """A passage with marks: `golds` as (start, end), `spans` as (number of the model, start, end), in characters."""
    cuts = sorted({0, len(context), *(x for gold in golds for x in gold), *(x for span in spans for x in span[1:])})
    parts = []
    for a, b in itertools.pairwise(cuts):
        text = escape(context[a:b])
        if any(start <= a and b <= end for start, end in golds):
            text = f'<mark style="{GOLD}">{text}</mark>'
        for i, start, end in spans:
            if start <= a and b <= end:
                text = f'<u style="text-decoration:none;{_line(i)};padding-bottom:{1 + 4 * i}px">{text}</u>'
        ending = "".join(letter(i) for i, _, end in spans if end == b)
        parts.append(text + (f"<sup><b>{ending}</b></sup>" if ending else ""))
    room = 1.7 + 0.28 * max([i for i, *_ in spans], default=0)
    return Html(f'<div dir="auto" style="white-space:pre-wrap;line-height:{room:.2f};margin:.4em 0 .6em 0">{"".join(parts)}</div>')


def side_by_side(questions: Sequence[Question]) -> Html:
    """Questions one below the other, each as `question_html`."""
    return Html("".join(map(question_html, questions)) or "<i>no question to show</i>")


def examples_html(questions: Sequence[Question], examples: Sequence[Example]) -> Html:
    """The paper's examples as these runs answer them; where the data lack one, a line that says so."""
    parts = []
    for number, example in enumerate(examples, 1):
        question = find(questions, example.title, example.words)
        told = f"The paper’s example {number}, gold <i>{escape(example.gold)}</i>: {escape(example.says)}."
        lacking = f"Not in these data: they have no such question under the title {escape(example.title)}."
        parts.append(f"<p>{told} {'' if question else lacking}</p>{question_html(question) if question else ''}")
    return Html("".join(parts))


def tokens_html(tokens: Sequence[tuple[str, str]]) -> Html:
    """Tokens as chips: (text, role), the role a key of ROLES."""
    chip = "display:inline-block;border-radius:3px;padding:0 3px;margin:1px;font-family:monospace"

    def draw(text: str, role: str) -> str:
        inked = ";color:#000" if role == "answer" else ""
        return f'<span style="{chip};background:{ROLES[role][0]}{inked}">{escape(text)}</span>'

    return Html(f'<div style="max-width:60em;line-height:1.8">{" ".join(draw(*token) for token in tokens)}</div>')


def letter(model: int) -> str:
    """A model's sign where colours are not seen: A, B … Z, A again."""
    return ascii_uppercase[model % 26]


def _line(model: int) -> str:
    return f"border-bottom:3px {CSS_LINES[model % 7]} {COLOURS[model % 7]}"


def _replies(question: Question) -> str:
    gold = " / ".join(f'<mark style="{GOLD}">{escape(text)}</mark>' for text in question.golds)
    gold = gold if question.row.answers else "<i>nothing</i>"
    if not question.replies:
        return f"<div>gold: {gold}</div>"
    cell = f"text-align:left;padding:2px 10px;{LINE}"
    heads = ("", "model", "answer", "probability", "EM", "F1", "next best")
    head = "".join(f'<th style="{cell}">{name}</th>' for name in heads)
    rows = [f'<td style="{cell}"></td><td style="{cell}">gold</td><td style="{cell}" colspan="5">{gold}</td>']
    for i, (name, reply) in enumerate(question.replies.items()):
        key = f'<span style="{_line(i)}"><b>{letter(i)}</b></span>'
        answer = escape(reply.text) or "<i>nothing</i>"
        scores = ("" if reply.probability is None else f"{reply.probability:.2f}", f"{reply.em:.0f}", f"{reply.f1:.2f}")
        cells = (key, escape(name), f'<span dir="auto">{answer}</span>', *scores, _next_best(question, reply))
        rows.append("".join(f'<td style="{cell}">{text}</td>' for text in cells))
    return f'<table style="border-collapse:collapse"><tr>{head}</tr>{"".join(f"<tr>{row}</tr>" for row in rows)}</table>'


def _next_best(question: Question, reply: Reply) -> str:
    """The most probable of what was not answered, nothing included."""
    others = [(p, escape(question.row.context[a:b])) for a, b, p in reply.best if (a, b) != (reply.start, reply.end)]
    others += [(reply.nothing, "<i>nothing</i>")] if reply.start is not None and reply.nothing is not None else []
    return "{1} ({0:.2f})".format(*max(others)) if others else ""
