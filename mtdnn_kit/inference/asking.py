"""A run's model asked questions of one's own: its reply, and where in the passage it sees a start and an end.

A model is loaded when it is first asked and kept until six others have been. What is read and how is the run's own: its windows, its
precision, its threshold. Knows no gold answer, no widget and no HTML. Shapes: M tokens of the passage, T positions of a window.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError
from scipy.special import softmax

from mtdnn_kit.compare.pairing import Reply
from mtdnn_kit.config import Config
from mtdnn_kit.data.registry import ALWAYS
from mtdnn_kit.data.rows import QARow
from mtdnn_kit.errors import DamagedWeightsError, RunError
from mtdnn_kit.model.devices import resolve_device
from mtdnn_kit.model.evaluation import read
from mtdnn_kit.model.multitask import MultiTask, load_model, takes_token_types
from mtdnn_kit.runs.run import Run
from mtdnn_kit.tasks import qa
from mtdnn_kit.tasks.answers import Answer
from mtdnn_kit.tasks.spans import NULL

HELD = 6  # models at a time


@dataclass(frozen=True)
class Model:
    """A run's model, ready to be asked: its qa task, the run's settings, the tuned threshold, and the precision that the run had."""

    name: str
    net: MultiTask
    tokenizer: Any
    config: Config
    task: str
    threshold: float
    precision: str


class Heat(NamedTuple):
    """Where a model sees a start and an end (`heat`): characters [start, end) of the passage's tokens, int32 [M] each, in order, white
    space trimmed; their probabilities float64 [M] each; and the two of [CLS], nothing."""

    starts: np.ndarray
    ends: np.ndarray
    p_start: np.ndarray
    p_end: np.ndarray
    nothing_start: float
    nothing_end: float


def load(run: Run, task: str | None = None) -> Model:
    """The model of a finished run, on the GPU if there is one; at once where it was among the last HELD and its file is still the same.

    task: which of its qa tasks answers; None: the first. Raises RunError where there is no such task, or as `opened` does.
    """
    _check_finished(run)
    able = [name for name, kind in run.types.items() if kind == "qa"]
    if not able or (task or able[0]) not in able:
        raise RunError(f"{run.name} cannot be asked: {task or 'no task'} answers questions; its tasks are {run.types}")
    net, tokenizer = opened(run)
    task = task or able[0]
    return Model(run.name, net, tokenizer, settings_of(run), task, threshold_of(run, task), run.manifest["precision"])


def opened(run: Run, device: str = "auto") -> tuple[MultiTask, object]:
    """Net and tokenizer of a finished run, shared by all that open it: not to be changed. Raises RunError where there is no model or a
    damaged one; EncoderError where weights are not those of its config.json; ConfigError for a device that is not there."""
    _check_finished(run)
    weights = run.path / "model" / "model.safetensors"
    if not weights.is_file():
        raise RunError(
            f"{run.name} has no model/ to ask: what is kept of a run has none, nor have imported predictions; "
            "copy the folder model/ from where the run was made, or train it again"
        )
    state = weights.stat()
    try:
        return _loaded(weights.parent, state.st_mtime_ns, state.st_size, resolve_device(device).type)
    except (OSError, SafetensorError, DamagedWeightsError) as error:
        raise RunError(f"{run.name}: its model cannot be loaded ({error}); copy model/ again from where the run was made") from None


def settings_of(run: Run) -> Config:
    """The run's own parameters."""
    return Config(**{**run.config, "resume": False})


def threshold_of(run: Run, task: str) -> float:
    """The tuned threshold of a qa task; 0 where none was tuned, `ALWAYS` where every question has an answer (`unanswerable: false`)."""
    if not run.parameters.datasets[task].unanswerable:
        return ALWAYS
    return run.metrics.get(task, {}).get("threshold", 0.0)


def _check_finished(run: Run) -> None:
    if not run.finished:
        raise RunError(f"{run.path}: the run is not finished, so there is no model to ask")


@lru_cache(maxsize=HELD)
def _loaded(folder: Path, changed: int, size: int, device: str) -> tuple[MultiTask, object]:
    """`changed` and `size` tell a file from another one of its name."""
    net, tokenizer = load_model(folder)
    return net.to(device), tokenizer


def answer(model: Model, question: str, context: str) -> Answer:
    """n-best, null score and probabilities, as for a question of a data set. Raises ValueError on half a surrogate pair in a text."""
    windows = features(model, question, context)
    return decoded(model, windows, window_logits(model, windows))


def decoded(model: Model, windows: qa.Features, logits: list[np.ndarray]) -> Answer:
    """The answer that `window_logits` come to."""
    reader = qa.Reader(windows, model.config)
    for item, values in enumerate(logits):
        reader.add(np.array([item]), values[None])
    return reader.predictions()[0]


def ask(model: Model, question: str, context: str, threshold: float | None = None) -> Reply:
    """The model's reply at a threshold, None for the run's tuned one; as those of `compare.pair`, but without scores: no gold is known."""
    said = answer(model, question, context)
    best = [(span.start, span.end, p) for span, p in zip(said.spans, said.probabilities, strict=False)]
    nothing = said.probabilities[-1]
    threshold = model.threshold if threshold is None else threshold
    if not said.text(context, threshold):
        return Reply(None, None, "", nothing, None, None, nothing, best, diff=said.diff, threshold=threshold)
    start, end, probability = best[0]
    return Reply(start, end, context[start:end], probability, None, None, nothing, best, diff=said.diff, threshold=threshold)


def ask_run(run: Run, question: str, context: str, task: str | None = None) -> tuple[str, Answer]:
    """A finished run's answer to a question of one's own: the text at its tuned threshold ("" for nothing), and the n-best.

    task: which of its qa tasks answers; None: the first. Raises as `load` and `answer` do. This is `mtdnn_kit.ask`.
    """
    model = load(run, task)
    said = answer(model, question, context)
    return said.text(context, model.threshold), said


def heat(model: Model, question: str, context: str) -> Heat:
    """The probability of each token of the passage to be an answer's start, and to be its end.

    Softmax within a window over all its positions, as the loss has it: also [CLS], and the question's tokens and the separators, which no
    answer begins with. Of one window's, therefore, tokens and [CLS] sum to 1 less what lies on those. A token that several windows hold
    takes its highest probability, [CLS] its lowest over the windows, as the null score is the least. Raises as `answer` does.
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
    """The windows of the one question, as the run would read it. Raises ValueError on half a surrogate pair in a text."""
    for what, text in (("question", question), ("passage", context)):
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"the {what} has half a surrogate pair at character {error.start}, which no tokenizer reads") from None
    row = QARow("asked", "", context, question, ())
    return qa.features([row], None, model.tokenizer, model.config, takes_token_types(model.net.encoder.config))


def window_logits(model: Model, windows: qa.Features) -> list[np.ndarray]:
    """Start and end logits, fp32 [T, 2], of each window, without padding."""
    found = [np.zeros((0, 2))] * len(windows.table)

    def add(items: np.ndarray, logits: np.ndarray) -> None:
        for item, values in zip(items, logits, strict=True):
            found[item] = values[: windows.lengths[item]]

    read(model.net, model.task, windows, model.precision, add)
    return found
