"""How rows and the models' answers to them look: HTML without script or style sheet. What is marked in a text is `marks`' business.

Knows what is shown (`state`), no widget. Every text is escaped.
"""

from collections.abc import Sequence
from html import escape
from itertools import zip_longest

import numpy as np

from mtdnn_kit.compare.choices import Choice, Item
from mtdnn_kit.compare.outcomes import span_kind
from mtdnn_kit.compare.pairing import Question, Reply, find
from mtdnn_kit.compare.paper import Example
from mtdnn_kit.explorer.state import State
from mtdnn_kit.metrics import exact
from mtdnn_kit.views.marks import BREAK, GOLD, Html, key_html, passage_html
from mtdnn_kit.views.reprs import bar_html, table_html
from mtdnn_kit.views.threshold_svg import Curve, curves_svg

LONG = f"display:inline-block;min-width:7em;{BREAK}"  # a cell of any text
NOTHING_HTML = "<i>nothing</i>"
DEPTH = 21  # of the n-best, nothing among them


def item_html(item: Question | Item, depth: int = DEPTH) -> Html:
    """A row of any task with every run's answer to it; depth: how many of the n-best are behind the line that opens them."""
    return question_html(item, depth=depth) if isinstance(item, Question) else choice_html(item)


def question_html(question: Question, fold: bool = True, depth: int = DEPTH) -> Html:
    """A question with its marked passage, and a table of the replies: answer, its kind, probabilities, null − best, EM, F1, n-best."""
    row = question.row
    places = [(i, reply.start, reply.end) for i, reply in enumerate(question.replies.values())]
    spans = [(i, start, end) for i, start, end in places if start is not None and end is not None]
    golds = [(start, start + len(text)) for start, text in row.answers]
    return Html(
        f'<div style="max-width:62em;margin:0 0 1.5em 0">{_head(row.title, row.id)}<b dir="auto" style="{BREAK}">{escape(row.question)}</b>'
        f"{passage_html(row.context, golds, spans, fold)}{_replies(question)}{_nbest(question, depth)}</div>"
    )


def choice_html(item: Item) -> Html:
    """A sentence, a pair or a text with its endings; a table of the labels (endings) with every run's probability of each."""
    texts = "".join(f'<p dir="auto" style="margin:.3em 0;{BREAK};white-space:pre-wrap">{escape(text)}</p>' for text in item.texts)
    names = list(item.replies)
    head = ["", *(f"{key_html(i)} {name_html(name)}" for i, name in enumerate(names))]
    rows = []
    for label, name in enumerate(item.names):
        gold = label == item.gold
        first = f'<mark style="{GOLD}">{escape(name)}</mark>' if gold else escape(name)
        rows.append([f'<span dir="auto" style="{LONG}">{first}</span>', *(_share(reply, label) for reply in item.replies.values())])
    return Html(f'<div style="max-width:62em;margin:0 0 1.5em 0">{_head("", item.row.id)}{texts}{table_html(head, rows)}</div>')


def _share(reply: Choice, label: int) -> str:
    """A probability as a bar and a figure; the chosen label's is bold and has an arrow."""
    p = reply.probabilities[label]
    return bar_html(5 * p) + (f"<b>{p:.2f} ◂</b>" if reply.label == label else f"{p:.2f}")


def _head(title: str, row_id: str | int) -> str:
    return f'<div style="font-size:.85em">{f"{escape(title.replace(chr(95), chr(32)))} · " if title else ""}{escape(str(row_id))}</div>'


def side_by_side(items: Sequence[Question | Item]) -> Html:
    """Rows one below the other, each as `item_html`, with the five best."""
    return Html("".join(item_html(item, depth=5) for item in items) or "<i>no question to show</i>")


def examples_html(questions: Sequence[Question], examples: Sequence[Example]) -> Html:
    """The paper's examples as these runs answer them; where the data lack one, a line that says so."""
    parts = []
    for number, example in enumerate(examples, 1):
        question = find(questions, example.title, example.words)
        told = f"The paper’s example {number}, gold <i>{escape(example.gold)}</i>: {escape(example.says)}."
        lacking = f"Not in these data: they have no such question under the title {escape(example.title)}."
        parts.append(f"<p>{told} {'' if question else lacking}</p>{question_html(question) if question else ''}")
    return Html("".join(parts))


def page_html(item: Question | Item) -> str:
    """A row as a page of its own, to keep or to send; it loads nothing and runs nothing."""
    policy = "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
    style = "<style>body{font:16px/1.5 sans-serif;margin:2em;color-scheme:light dark}</style>"
    title = f"<title>{escape(str(item.row.id))}</title>"
    head = f'<head><meta charset="utf-8">{policy}{title}{style}</head>'
    return f'<!doctype html><html lang="en">{head}<body>{item_html(item)}</body></html>\n'


def _replies(question: Question) -> str:
    known = not question.replies or any(reply.em is not None for reply in question.replies.values())  # who asks knows no answer
    gold = " / ".join(f'<mark style="{GOLD}">{escape(text)}</mark>' for text in question.golds)
    gold = f'<span dir="auto" style="{LONG}">{gold}</span>' if question.row.answers else NOTHING_HTML
    if not question.replies:
        return f"<div>gold: {gold}</div>"
    head = ("", "model", "answer", "which is", "probability", "of nothing", "null − best", "EM", "F1")
    rows = [["", "gold", gold, *[""] * 6]] if known else []
    for i, (name, reply) in enumerate(question.replies.items()):
        figures = [_two(reply.probability), _two(reply.nothing), _two(reply.diff, "+"), _two(reply.em, "", 0), _two(reply.f1)]
        rows.append([key_html(i), name_html(name), answer_html(reply), kind(question, reply), *figures])
    return table_html(head if known else head[:3] + head[4:7], rows if known else [row[:3] + row[4:7] for row in rows])


def name_html(name: str) -> str:
    """A run's name."""
    return f'<span style="{LONG}">{escape(name)}</span>'


def answer_html(reply: Reply) -> str:
    """What a run answers, nothing included."""
    return f'<span dir="auto" style="{LONG}">{escape(reply.text)}</span>' if reply.text else NOTHING_HTML


def kind(question: Question, reply: Reply) -> str:
    """What kind of answer a reply is (`outcomes.ANSWER_KINDS`); "" where nobody knows the right one."""
    if reply.em is None:
        return ""
    return span_kind(question.row, (reply.start, reply.end), reply.em) if reply.em or reply.text else "false nothing"


def _two(value: float | None, sign: str = "", digits: int = 2) -> str:
    return "" if value is None or not np.isfinite(value) else f"{value:{sign}.{digits}f}"


def _nbest(question: Question, depth: int) -> str:
    """Every run's n-best with probabilities, nothing among them, behind a line that opens it."""
    columns = []
    for i, (name, reply) in enumerate(question.replies.items()):
        if reply.best:
            found = [(p, f'<span dir="auto" style="{BREAK}">{escape(question.row.context[a:b])}</span>') for a, b, p in reply.best]
            found = sorted([*found, (reply.nothing or 0.0, NOTHING_HTML)], key=lambda pair: -pair[0])[:depth]
            columns.append((f"{key_html(i)} {name_html(name)}", [f"{p:.3f} {text}" for p, text in found]))
    if not columns:
        return ""
    rows = zip_longest(*(column for _, column in columns), fillvalue="")
    table = table_html([name for name, _ in columns], list(rows))
    return f'<details><summary style="cursor:pointer">n-best</summary>{table}</details>'


def threshold_html(state: State) -> Html:
    """What the present thresholds make of all questions and of the open one, run by run, beside what the tuned ones make of them."""
    tuned = state.columns.at()
    head = ("", "model", "threshold", "tuned", "EM", "F1", "false answers", "false nothings", "this question")
    rows = []
    for i, name in enumerate(state.names):
        now, before = state.outcomes.table(i), tuned.table(i)
        cells = [f"{now[key]:{'.1f' if key in ('EM', 'F1') else ',d'}}{_change(now[key] - before[key])}" for key in now]
        places = ["fixed", ""] if np.isnan(state.columns.tuned[i]) else [f"{state.thresholds[i]:+.2f}", f"{state.columns.tuned[i]:+.2f}"]
        answer = answer_html(state.item.replies[name]) if isinstance(state.item, Question) else ""
        rows.append([key_html(i), name_html(name), *places, *cells, answer])
    return Html(f'<div style="max-width:70em">{table_html(head, rows)}{_curves(state)}</div>')


def _change(by: float) -> str:
    """A change in brackets; "" where it is none."""
    return "" if abs(by) < 0.05 else f" ({by:+.1f})" if isinstance(by, float) else f" ({by:+,d})"


def _curves(state: State) -> str:
    """F1 over the threshold, a line a run; a ring at the tuned threshold, a disc with the run's letter at the present one."""
    columns = state.columns
    curves = {
        i: Curve(*columns.curve(i, columns.f1), 100 * columns.nothing.mean(), columns.tuned[i], state.thresholds[i])
        for i in range(len(state.names))
        if not np.isnan(columns.tuned[i])
    }
    names = "F1 of all questions, percent, over the threshold on null − best (ring: tuned; disc: now)"
    return curves_svg(curves, names) if curves else "<p>These runs keep no n-best: no threshold can be moved.</p>"


def asked_html(asked: Question, before: Question | None) -> Html:
    """A question that was asked, with every run's answer; `before`: the row it was made of, whose answers stand beside."""
    if before is None or not asked.replies:
        return question_html(asked)
    rows = []
    for name, reply in asked.replies.items():
        old = before.replies[name]
        same = exact(reply.text, [old.text]) > 0
        change = "the same" if same else f'<b dir="auto">{escape(old.text) or NOTHING_HTML} → {escape(reply.text) or NOTHING_HTML}</b>'
        rows.append([key_html(list(before.replies).index(name)), name_html(name), answer_html(old), answer_html(reply), change])
    return Html(f"{question_html(asked)}{table_html(('', 'model', 'before', 'now', 'change'), rows)}")


def differences_html(rows: Sequence[dict], sentence: str) -> Html:
    """Rows of `tables.shown` as a table, below a sentence."""
    head = list(dict.fromkeys(key for row in rows for key in row))
    cells = [[escape(row.get(key, "")) for key in head] for row in rows]
    return Html(f'<p style="max-width:62em">{escape(sentence)}</p>{table_html([escape(name) for name in head], cells)}')
