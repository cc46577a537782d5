"""Made-up questions with the replies of six runs: the input of a comparison."""

import numpy as np

from mtdnn_kit.compare.pairing import Question, Reply
from mtdnn_kit.data.rows import QARow, gold_texts
from mtdnn_kit.metrics import exact, f1

RUNS = ("A", "B", "C", "D", "E", "F")


def made(passages: int = 12, each: int = 4, skill: tuple = (0.5, 0.7) * 3) -> list[Question]:
    """Questions on passages, two in three answerable; a run is right with probability about its `skill`, which varies by passage."""
    rng, questions = np.random.default_rng(0), []
    for p in range(passages):
        context, luck = f"The cat {p} sat on mat {p} with a hat of felt.", rng.normal(0, 0.2)
        for k in range(each):
            answers = ((4, f"cat {p}"),) if k % 3 else ()
            row = QARow(f"{p}-{k}", "", context, ("What", "Who", "How")[k % 3] + " sat?", answers)
            replies = {name: reply(row, rng.random() < skill[i] + luck, rng) for i, name in enumerate(RUNS)}
            questions.append(Question(row, replies, 1 + (p > 9)))
    return questions


def reply(row: QARow, right: bool, rng) -> Reply:
    span, golds = (4, 9) if right else (4, 13), gold_texts(row)
    nothing = right != bool(row.answers)
    text = "" if nothing else row.context[slice(*span)]
    best = row.context[slice(*span)]
    place = (None, None) if nothing else span
    scores = (exact(text, golds), f1(text, golds), 0.3, [], exact(best, golds), f1(best, golds))
    return Reply(*place, text, 0.6, *scores, float(rng.normal(1.5 * (not row.answers), 1)))


QUESTIONS = made()
