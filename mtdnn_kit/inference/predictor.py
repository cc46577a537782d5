"""A run's whole model, loaded with one call: answers questions, classifies texts, chooses endings, one at a time or many.

Uses the run's windows, precision and threshold, as `asking` does, so its replies to a dataset's rows are those that the run recorded. Knows
no gold answer and no file of rows.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mtdnn_kit.data.registry import TYPE_WORDS
from mtdnn_kit.data.rows import MCCRow, QARow, SCRow
from mtdnn_kit.errors import DataError, RunError
from mtdnn_kit.files.checks import require
from mtdnn_kit.files.wording import short
from mtdnn_kit.inference import loading
from mtdnn_kit.model.evaluation import read
from mtdnn_kit.runs.run import Run
from mtdnn_kit.tasks import TYPES
from mtdnn_kit.tasks.answers import Answer
from mtdnn_kit.training.log import TrainingBar

LONG = 500  # windows from which on a progress bar appears
DEVICES = ("auto", "cpu", "cuda")
Texts = str | Sequence[str]  # a single item's, or a list of many


class Answered(NamedTuple):
    """An answer: `text`, the characters [start, end) of the context ("", None and None for no answer), and its probability.

    nothing: the probability of no answer; diff: null − best; threshold: no answer is given above it; best: the n-best as (start, end,
    probability). Probabilities are a softmax over the n-best and no answer.
    """

    text: str
    start: int | None
    end: int | None
    probability: float
    nothing: float
    diff: float
    threshold: float
    best: list[tuple[int, int, float]]


class Classified(NamedTuple):
    """The label of a text or a pair, its probability, and that of every label."""

    label: str
    probability: float
    probabilities: dict[str, float]


class Chosen(NamedTuple):
    """The chosen ending, its index among the choices (from 0), its probability, and that of every choice."""

    choice: str
    index: int  # type: ignore[assignment] # a tuple's method has that name
    probability: float
    probabilities: list[float]


def load(run: Run | str | Path, device: str = "auto", batch_size: int | None = None) -> "Predictor":
    """The model of a finished run with all its tasks: `load("runs/demo/qa-mcc-sc").answer("What gives cork?", "Cork is …")`.

    device: "auto" (the GPU if there is one), "cpu" or "cuda". batch_size: the maximum of windows or texts at a time, if memory is short;
    None: as in scoring, about 8,192 tokens. Raises RunError if the run has no model, ConfigError for another device or size.
    """
    require(device in DEVICES, f"device: {device!r} must be one of {', '.join(DEVICES)}")
    whole = batch_size is None or (isinstance(batch_size, int) and batch_size > 0)
    require(whole, f"batch_size: {short(batch_size)} must be a whole number above 0, or None")
    return Predictor(**vars(loading.load(run if isinstance(run, Run) else Run(run), device)), batch_size=batch_size)


@dataclass(frozen=True, eq=False, repr=False)
class Predictor(loading.Loaded):
    """A run's model, to `answer`, `classify` and `choose`. Each takes one item and returns one result, or takes lists and returns a list.

    Next to a list, a single text applies to every item (several questions on one context). `task` may be left out if the run has one task
    of that type. All raise DataError, naming the argument and the item, for values that are not text or do not match in number, and
    RunError for an unknown or ambiguous task. Texts are read as they are: for a task with a `template`, give the filled one. Lists are
    read in batches of similar length, in any order; long ones show a progress bar.
    """

    batch_size: int | None = None

    def __repr__(self) -> str:
        return f"Predictor({self.name}: {self._tasks()})"

    def answer(self, question: Texts, context: Texts, task: str | None = None, threshold: float | None = None) -> Answered | list[Answered]:
        """The answer to a question about a context of any length, or no answer; `threshold` None: the run's tuned one."""
        task = self._task("qa", task)
        items, shaped = _items(question=question, context=context)
        found = self.predict(task, [QARow(str(i), "", text, asked, ()) for i, (asked, text) in enumerate(items)])
        threshold = self.thresholds[task] if threshold is None else threshold
        return shaped([answered(answer, text, threshold) for answer, (_, text) in zip(found, items, strict=True)])

    def classify(self, first: Texts, second: Texts | None = None, task: str | None = None) -> Classified | list[Classified]:
        """The label of a text, or of a pair for a task of pairs."""
        task = self._task("sc", task)
        if ("second" in self.config.datasets[task].given) != (second is not None):
            remedy = "is a task of single texts; leave it out" if second is not None else "is a task of pairs; give the second text as well"
            raise DataError(f"second: {task} {remedy}")
        items, shaped = _items(first=first) if second is None else _items(first=first, second=second)
        found = self.predict(task, [SCRow(i, texts[0], None if second is None else texts[1], 0) for i, texts in enumerate(items)])
        names = self.net.specs[task]["names"]
        return shaped([Classified(names[x.label], max(x.probabilities), dict(zip(names, x.probabilities, strict=True))) for x in found])

    def choose(self, context: Texts, start: Texts, choices: Sequence[Texts], task: str | None = None) -> Chosen | list[Chosen]:
        """The one of `choices` that continues a context; `start` begins each of them ("" for none). For many items: a list of lists of
        choices (their number may differ), or one list for all."""
        task = self._task("mcc", task)
        items, shaped = _items(context=context, start=start, choices=choices)
        rows = [MCCRow(i, before, begun, tuple(some), 0) for i, (before, begun, some) in enumerate(items)]
        found: dict = {}
        for count in {len(row.choices) for row in rows}:
            found |= {choice.id: choice for choice in self.predict(task, [row for row in rows if len(row.choices) == count])}
        chosen = [(found[row.id], row.choices) for row in rows]
        return shaped([Chosen(some[x.label], x.label, max(x.probabilities), x.probabilities) for x, some in chosen])

    def predict(self, task: str, rows: Sequence) -> Sequence:
        """The model's predictions for rows of a task, in their order (`Loaded.predict`)."""
        features = self.features(task, rows)
        reader = TYPES[self.net.specs[task]["type"]].Reader(features, self.config)
        total = len(features.lengths)
        bar = TrainingBar(total, 0, "reading", "window") if total >= LONG else None

        def add(items: np.ndarray, logits: np.ndarray) -> None:
            reader.add(items, logits)
            if bar:
                bar.move(bar.done + len(items), "")

        read(self.net, task, features, self.precision, add, self.batch_size)
        if bar:
            bar.close()
        return reader.predictions()

    def _task(self, kind: str, task: str | None) -> str:
        able = [name for name, spec in self.net.specs.items() if spec["type"] == kind]
        if task in able or (task is None and len(able) == 1):
            return task or able[0]
        if task is None and able:
            raise RunError(f"task: {self.name} has several tasks for {TYPE_WORDS[kind]}; name one of {', '.join(able)}")
        what = f"no task for {TYPE_WORDS[kind]}" if task is None else f"no task {task!r} for {TYPE_WORDS[kind]}"
        raise RunError(f"task: {self.name} has {what}; there are {self._tasks()}")

    def _tasks(self) -> str:
        return ", ".join(f"{task} ({spec['type']})" for task, spec in self.net.specs.items())


def answered(said: Answer, context: str, threshold: float) -> Answered:
    """The answer from a model's n-best at a threshold, and its probability."""
    best = [(span.start, span.end, p) for span, p in zip(said.spans, said.probabilities, strict=False)]
    nothing, text = said.probabilities[-1], said.text(context, threshold)
    start, end, probability = best[0] if text else (None, None, nothing)
    return Answered(text, start, end, probability, nothing, said.diff, threshold, best)


def _items(**given: Any) -> tuple[list[tuple], Callable[[list], Any]]:
    """The arguments item by item: texts, or lists of them, all of one length; `choices` are lists. And a function that turns the results
    into the reply: all of them, or the only one if a single item was given."""
    columns = {name: (_endings if name == "choices" else _column)(name, value) for name, value in given.items()}
    sizes = {name: len(values) for name, (values, single) in columns.items() if not single}
    if len(set(sizes.values())) > 1:
        told = " and ".join(f"{size} of {name}" for name, size in sizes.items())
        raise DataError(f"there are {told}: give the same number of each, or one text for all")
    count = max(sizes.values(), default=1)
    items = zip(*[values * count if single else values for values, single in columns.values()], strict=True)
    return list(items), list if sizes else itemgetter(0)


def _column(name: str, value: Any) -> tuple[list[str], bool]:
    """The text of each item, and whether one text serves all of them."""
    return _texts(name, [value] if isinstance(value, str) else value), isinstance(value, str)


def _endings(name: str, value: Any) -> tuple[list[list[str]], bool]:
    """The choices of each item, and whether one list serves all of them."""
    single = not isinstance(value, Sequence) or all(isinstance(x, str) for x in value)
    found = {name: _texts(name, value)} if single else {f"{name}: item {i}": _texts(f"{name}: item {i}", x) for i, x in enumerate(value)}
    for where, some in found.items():
        if len(some) < 2:
            raise DataError(f"{where} has only one choice; give at least two")
    return list(found.values()), single


def _texts(name: str, value: Any) -> list[str]:
    if isinstance(value, str | bytes | dict) or not isinstance(value, Sequence):
        raise DataError(f"{name} is {short.repr(value)}: it must be text or a list of texts")
    if not value:
        raise DataError(f"{name} is an empty list; give at least one text")
    for i, text in enumerate(value):
        if not isinstance(text, str):
            raise DataError(f"{name}: item {i} is {short.repr(text)}: it must be text")
        loading.check_readable(f"{name}: item {i}", text)
    return list(value)
