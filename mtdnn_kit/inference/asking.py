"""Asks a run's model a user's questions: its reply, and its start and end probabilities over the passage.

Uses the run's windows, precision and threshold. Knows no gold answer, no widget and no HTML. Shapes: M
tokens of the passage, T positions of a window.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.special import softmax

from mtdnn_kit.compare.pairing import Reply
from mtdnn_kit.data.rows import QARow
from mtdnn_kit.errors import RunError
from mtdnn_kit.inference import loading
from mtdnn_kit.inference.predictor import answered
from mtdnn_kit.model.evaluation import read
from mtdnn_kit.runs.run import Run
from mtdnn_kit.tasks import qa
from mtdnn_kit.tasks.answers import Answer
from mtdnn_kit.tasks.spans import NULL


@dataclass(frozen=True, eq=False, repr=False)
class Model(loading.Loaded):
    """A run's model, and the qa task to ask."""

    task: str

    @property
    def threshold(self) -> float:
        """The tuned threshold of that task."""
        return self.thresholds[self.task]


class Heat(NamedTuple):
    """Start and end probabilities (`heat`): characters [start, end) of the passage's tokens, int32 [M] each, in order, white space
    trimmed; their probabilities, float64 [M] each; and the two of [CLS], no answer."""

    starts: np.ndarray
    ends: np.ndarray
    p_start: np.ndarray
    p_end: np.ndarray
    nothing_start: float
    nothing_end: float


def load(run: Run, task: str | None = None) -> Model:
    """The model of a finished run, on the GPU if there is one; `task`: the qa task to ask, None: the first.

    Raises RunError if there is no such task, or as `loading.load` does.
    """
    model = loading.load(run)
    task = task or next(iter(model.thresholds), "")
    if task not in model.thresholds:
        what = f"task {task!r} does not answer questions" if task else "no task answers questions"
        raise RunError(f"{run.name}: {what}; its tasks are {run.types}")
    return Model(**vars(model), task=task)


def answer(model: Model, question: str, context: str) -> Answer:
    """n-best, null score and probabilities, as for a question of a dataset. Raises ValueError on an unpaired surrogate in a text."""
    return model.predict(model.task, [_row(question, context)])[0]


def ask(model: Model, question: str, context: str, threshold: float | None = None) -> Reply:
    """The model's reply at a threshold, None for the run's tuned one; as in `compare.pair`, but without scores, since there is no gold
    answer."""
    said = answered(answer(model, question, context), context, model.threshold if threshold is None else threshold)
    return Reply(em=None, f1=None, **said._asdict())


def ask_run(run: Run | str | Path, question: str, context: str, task: str | None = None) -> tuple[str, Answer]:
    """A finished run's answer to a user's question: the text at its tuned threshold ("" for no answer), and the n-best.

    run: a run or its folder. task: the qa task that answers; None: the first. Raises as `load` and `answer` do. This is `mtdnn_kit.ask`.
    """
    model = load(run if isinstance(run, Run) else Run(run), task)
    said = answer(model, question, context)
    return said.text(context, model.threshold), said


def heat(model: Model, question: str, context: str) -> Heat:
    """The probability of each token of the passage to be an answer's start, and to be its end.

    The softmax within a window covers all its positions, as in the loss: also [CLS], the question's tokens and the separators, where no
    answer begins. So the passage's tokens and [CLS] of one window sum to 1 less the share of those. A token in several windows gets its
    highest probability, [CLS] its lowest over the windows, as the null score is the minimum. Raises as `answer` does.
    """
    windows = features(model, question, context)
    tokens = windows.contexts[context]
    p, nothing = np.zeros((len(tokens.ids), 2)), np.ones(2)
    for item, logits in enumerate(window_logits(model, windows)):
        shares, (a, b), first = softmax(logits.astype(np.float64), axis=0), windows.table[item, 1:3], windows.first(item)
        p[a:b] = np.maximum(p[a:b], shares[first : first + b - a])
        nothing = np.minimum(nothing, shares[NULL])
    return Heat(tokens.starts, tokens.ends, p[:, 0], p[:, 1], float(nothing[0]), float(nothing[1]))


def features(model: Model, question: str, context: str) -> qa.Features:
    """The windows of one question, as the run reads it. Raises ValueError on an unpaired surrogate in a text."""
    return model.features(model.task, [_row(question, context)])


def _row(question: str, context: str) -> QARow:
    loading.check_readable("the question", question)
    loading.check_readable("the passage", context)
    return QARow("asked", "", context, question, ())


def window_logits(model: Model, windows: qa.Features) -> list[np.ndarray]:
    """Start and end logits, fp32 [T, 2], of each window, without padding."""
    found = [np.zeros((0, 2))] * len(windows.table)

    def add(items: np.ndarray, logits: np.ndarray) -> None:
        for item, values in zip(items, logits, strict=True):
            found[item] = values[: windows.lengths[item]]

    read(model.net, model.task, windows, model.precision, add)
    return found
