"""Rows and the models' answers as cards: HTML without script, for saved notebooks and pages. answers.html and front/explorer.css define
their look; every text is escaped. The live page (front/) draws the same cards.
"""

import itertools
from collections.abc import Sequence
from functools import partial

import numpy as np

from mtdnn_kit.compare import Item, Question, Reply, find, span_kind
from mtdnn_kit.compare.paper import Example
from mtdnn_kit.explorer import front
from mtdnn_kit.views.templates import Html, macros

SOFTNESS = 4.0  # of `surety`, in units of null − best: with 1, nearly all bars would be full or empty
answers_page = partial(macros, "explorer/answers.html")


def side_by_side(items: Sequence[Question | Item], widget: str = "") -> Html:
    """Rows as cards, one below the other; widget: the id of a live explorer, which hides them while it runs."""
    return Html(answers_page().cards([_row(item) for item in items], Html(front.style()), widget))


def examples_html(questions: Sequence[Question], examples: Sequence[Example]) -> Html:
    """The paper's examples with these runs' answers; a line that says so for an example that the data lack."""
    found = [(example, find(questions, example.title, example.words)) for example in examples]
    return Html(answers_page().examples([(example, question and side_by_side([question])) for example, question in found]))


def surety(diff: float) -> float:
    """A model's confidence to answer, 0 to 1, from null − best: 1 / (1 + exp(diff / 4)). It answers iff this is at least the value for its
    threshold."""
    return float(1 / (1 + np.exp(np.clip(diff / SOFTNESS, -500, 500))))


def kind(question: Question, reply: Reply) -> str:
    """The kind of a reply (`outcomes.ANSWER_KINDS`); "" if the right answer is unknown."""
    if reply.em is None:
        return ""
    return span_kind(question.row, (reply.start, reply.end), reply.em) if reply.em or reply.text else "missed"


def _row(item: Question | Item) -> Html:
    return _choice(item) if isinstance(item, Item) else _question(item)


def _question(question: Question) -> Html:
    replies = list(question.replies.items())
    spans = [(i, r.start, r.end) for i, (_, r) in enumerate(replies) if r.start is not None and r.end is not None]
    golds = [(start, start + len(text)) for start, text in question.row.answers]
    known = not replies or any(reply.em is not None for _, reply in replies)  # a user's question has no gold answer
    accepted = [text for text in question.golds if text]
    cards = [_card(question, name, reply) for name, reply in replies]
    height = 1.75 + 0.28 * max(len({span[1:] for span in spans}) - 1, 0)  # room for one underline per answer, as in front/question.js
    return Html(answers_page().question(question.row, pieces(question.row.context, golds, spans), height, accepted, cards, known))


def _card(question: Question, name: str, reply: Reply) -> tuple:
    part = f"F1 {reply.f1:.2f}" if reply.f1 and reply.f1 < 1 else ""
    sure, mark, hint = None, None, ""
    if reply.diff is not None and reply.threshold is not None:
        sure, mark = surety(reply.diff), surety(reply.threshold)
        answers = f"answers if at most {reply.threshold:+.2f}" if abs(reply.threshold) < 1e6 else "always answers"
        hint = f"null − best {reply.diff:+.2f}, {answers}"
    return name, reply.text, bool(reply.em), kind(question, reply), part, sure, mark, hint


def _choice(item: Item) -> Html:
    replies = list(item.replies.items())
    chosen = [[i for i, (_, reply) in enumerate(replies) if reply.label == k] for k in range(len(item.names))]
    cards = []
    for name, reply in replies:
        right, p = reply.label == item.gold, reply.probability
        cards.append((name, item.names[reply.label], right, "right" if right else "wrong label", "", p, None, f"probability {p:.2f}"))
    return Html(answers_page().choice(item, chosen, cards))


def pieces(
    context: str, golds: Sequence[tuple[int, int]], spans: Sequence[tuple[int, int, int]]
) -> list[tuple[str, bool, list[tuple[int, int]], list[int]]]:
    """A passage cut where marks begin and end: (text, whether gold, (lane, model) of each answer over it, models whose answer ends).

    golds: (start, end), spans: (model number, start, end), in characters. Models with the same answer share a lane.
    """
    cuts = sorted({0, len(context), *(x for gold in golds for x in gold), *(x for span in spans for x in span[1:])})
    lanes: dict[tuple[int, int], list[int]] = {}
    for model, start, end in spans:
        lanes.setdefault((start, end), []).append(model)
    found = []
    for a, b in itertools.pairwise(cuts):
        over = [(lane, models[0]) for lane, ((start, end), models) in enumerate(lanes.items()) if start <= a and b <= end]
        ending = [model for (_, end), models in lanes.items() if end == b for model in models]
        found.append((context[a:b], any(start <= a and b <= end for start, end in golds), over, ending))
    return found
