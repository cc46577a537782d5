"""A few questions with the answers of two models, for the tests of the views that show them."""

from mtdnn_kit.compare.pairing import Question, Reply
from mtdnn_kit.data.rows import QARow, gold_texts
from mtdnn_kit.metrics import exact, f1

TEXT = "The cat <b>sat</b> & slept."


def reply(row: QARow, span: tuple[int, int] | None, p: float = 0.6, diff: float | None = None, best=((8, 12), (4, 7))) -> Reply:
    """A model's answer at threshold 0: a span, or no answer although `best` lists one."""
    golds = gold_texts(row)
    spans = [span, *(other for other in best if other != span)] if span else list(best)
    a, b = spans[0]
    made = [(*one, p if k == 0 else 0.1) for k, one in enumerate(spans)]
    scores, diff = (exact(row.context[a:b], golds), f1(row.context[a:b], golds)), diff if diff is not None else (-1.0 if span else 1.0)
    given = scores if span else (exact("", golds), f1("", golds))
    return Reply(*(span or (None, None)), row.context[a:b] if span else "", p if span else 0.3, *given, 0.3, made, *scores, diff, 0.0)


def question(number: int | str, *spans: tuple[int, int] | None, answers=((4, "cat"),), title="A_title", context=TEXT, ps=None) -> Question:
    """A question with one reply per span, by "model 0", "model 1" …"""
    row = QARow(str(number), title, context, f"Question <{number}>?", answers)
    ps = ps or [0.6] * len(spans)
    return Question(row, {f"model {i}": reply(row, span, p) for i, (span, p) in enumerate(zip(spans, ps, strict=True))})


CAT, THE_CAT = (4, 7), (0, 7)
QUESTIONS = [
    question(0, CAT, CAT),
    question(1, CAT, None, title="Other"),
    question(2, None, THE_CAT, answers=()),
    question(3, (8, 12), (8, 12), title="Other", ps=(0.9, 0.2)),
    question(4, None, None, answers=()),
]
