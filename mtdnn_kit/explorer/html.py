"""How rows and the models' answers to them look: HTML without script or style sheet. What is marked in a text is `marks`' business.

How it looks is said in answers.html, what is shown here (`state`); no widget. Every text is escaped.
"""

from collections.abc import Sequence
from functools import partial
from itertools import zip_longest

import numpy as np

from mtdnn_kit.compare import Item, Question, Reply, find, span_kind
from mtdnn_kit.compare.paper import Example
from mtdnn_kit.explorer.state import State
from mtdnn_kit.metrics import exact
from mtdnn_kit.views.marks import passage_html
from mtdnn_kit.views.templates import Html, macros
from mtdnn_kit.views.threshold_svg import Curve, curves_svg

DEPTH = 21  # of the n-best, nothing among them
answers_page = partial(macros, "explorer/answers.html")


def item_html(item: Question | Item, depth: int = DEPTH) -> Html:
    """A row of any task with every run's answer to it; depth: how many of the n-best are behind the line that opens them.

    Of SC and MCC a table of the labels (endings) with every run's probability of each.
    """
    return question_html(item, depth=depth) if isinstance(item, Question) else Html(answers_page().choice(item))


def question_html(question: Question, fold: bool = True, depth: int = DEPTH) -> Html:
    """A question with its marked passage, and a table of the replies: answer, its kind, probabilities, null − best, EM, F1, n-best."""
    row, replies = question.row, question.replies
    spans = [(i, r.start, r.end) for i, r in enumerate(replies.values()) if r.start is not None and r.end is not None]
    golds = [(start, start + len(text)) for start, text in row.answers]
    passage, kinds = passage_html(row.context, golds, spans, fold), {name: kind(question, reply) for name, reply in replies.items()}
    known = any(reply.em is not None for reply in replies.values())  # who asks knows no answer
    return Html(answers_page().question(question, passage, known, kinds, _nbest(question, depth)))


def side_by_side(items: Sequence[Question | Item]) -> Html:
    """Rows one below the other, each as `item_html`, with the five best."""
    return Html("".join(item_html(item, depth=5) for item in items) or "<i>no question to show</i>")


def examples_html(questions: Sequence[Question], examples: Sequence[Example]) -> Html:
    """The paper's examples as these runs answer them; where the data lack one, a line that says so."""
    found = [(example, find(questions, example.title, example.words)) for example in examples]
    return Html(answers_page().examples([(example, question and question_html(question)) for example, question in found]))


def page_html(item: Question | Item) -> str:
    """A row as a page of its own, to keep or to send; it loads nothing and runs nothing."""
    return answers_page().page(item.row.id, item_html(item))


def kind(question: Question, reply: Reply) -> str:
    """What kind of answer a reply is (`outcomes.ANSWER_KINDS`); "" where nobody knows the right one."""
    if reply.em is None:
        return ""
    return span_kind(question.row, (reply.start, reply.end), reply.em) if reply.em or reply.text else "false nothing"


def _nbest(question: Question, depth: int) -> tuple[list, list] | None:
    """Number and name of the runs with n-best, and the lines of these: of each run (probability, text; "" of nothing), or two blanks."""
    runs, columns = [], []
    for i, (name, reply) in enumerate(question.replies.items()):
        if reply.best:
            found = [*((p, question.row.context[a:b]) for a, b, p in reply.best), (reply.nothing or 0.0, "")]
            runs.append((i, name))
            columns.append([(f"{p:.3f} ", text) for p, text in sorted(found, key=lambda pair: -pair[0])[:depth]])
    return (runs, list(zip_longest(*columns, fillvalue=("", "")))) if runs else None


def threshold_html(state: State) -> Html:
    """What the present thresholds make of all questions and of the open one, run by run, beside what the tuned ones make of them."""
    before, tuned = state.columns.at(), [None if np.isnan(one) else one for one in state.columns.tuned]
    runs = [(name, state.outcomes.table(i), before.table(i), state.thresholds[i], tuned[i]) for i, name in enumerate(state.names)]
    replies = item.replies if isinstance(item := state.item, Question) else {}
    return Html(answers_page().thresholds(runs, replies, _curves(state)))


def _curves(state: State) -> str | None:
    """F1 over the threshold, a line a run; a ring at the tuned threshold, a disc with the run's letter at the present one."""
    columns, before = state.columns, 100 * state.columns.nothing.mean()
    movable = np.flatnonzero(~np.isnan(columns.tuned)).tolist()
    curves = {i: Curve(*columns.curve(i, columns.f1), before, columns.tuned[i], state.thresholds[i]) for i in movable}
    names = "F1 of all questions, percent, over the threshold on null − best (ring: tuned; disc: now)"
    return curves_svg(curves, names) if curves else None


def asked_html(asked: Question, before: Question | None) -> Html:
    """A question that was asked, with every run's answer; `before`: the row it was made of, whose answers stand beside."""
    if before is None or not asked.replies:
        return question_html(asked)
    pairs = [(name, before.replies[name].text, reply.text) for name, reply in asked.replies.items()]
    rows = [(list(before.replies).index(name), name, old, new, exact(new, [old]) > 0) for name, old, new in pairs]
    return Html(question_html(asked) + answers_page().changed_answers(rows))


def differences_html(rows: Sequence[dict], sentence: str) -> Html:
    """Rows of `tables.shown` as a table, below a sentence."""
    head = list(dict.fromkeys(key for row in rows for key in row))
    return Html(answers_page().differences(sentence, head, [[row.get(key, "") for key in head] for row in rows]))
