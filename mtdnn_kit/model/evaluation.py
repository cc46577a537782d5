"""From a model and rows to answers and scores: at the end of a run and during training; `asking` answers a user's questions.

The threshold is tuned on questions held out of training, never on the rows that are reported (docs/threshold.md).
"""

import ctypes
import json
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mtdnn_kit.config import Config
from mtdnn_kit.data.read_as import LABELLED
from mtdnn_kit.data.registry import ALWAYS
from mtdnn_kit.data.rows import gold_texts
from mtdnn_kit.data.table import column
from mtdnn_kit.files.atomic import write_parts
from mtdnn_kit.metrics import qa_scores
from mtdnn_kit.model.multitask import MultiTask
from mtdnn_kit.model.own_scores import own_scores
from mtdnn_kit.runs.held_out import write_held_out
from mtdnn_kit.runs.predictions import write_answers
from mtdnn_kit.tasks import TYPES, qa
from mtdnn_kit.tasks.classification import LabelPrediction

TOKENS = 8192  # of a batch in evaluation, padding included
TRIM = 100  # batches after which unused memory is returned to the system


def predict(model: MultiTask, task: str, features: Any, config: Config, precision: str) -> Any:
    """The predictions of one task's features, in the order of their rows: `Answers` (qa), `classification.LabelPredictions` (sc, mcc)."""
    reader = TYPES[model.specs[task]["type"]].Reader(features, config)
    read(model, task, features, precision, reader.add)
    return reader.predictions()


def read(
    model: MultiTask,
    task: str,
    features: Any,
    precision: str,
    add: Callable[[np.ndarray, np.ndarray], None],
    batch_size: int | None = None,
) -> None:
    """Calls `add` with items and their logits, fp32, batch by batch: each item once, long ones first.

    Batches hold items of similar length, about `TOKENS` tokens and at most `batch_size` items. The model's mode is restored.
    """
    device, training = next(model.parameters()).device, model.training
    model.eval()
    # logits of a batch [B, T, 2], [B, L] or [B, C], as fp32 on the processor: scores are compared and written there
    with torch.inference_mode(), _autocast(device, precision):
        for number, items in enumerate(_by_length(features.lengths, getattr(features, "choices", 1), batch_size), 1):
            inputs = {name: x.to(device) for name, x in features.collate(items).inputs.items()}
            add(items, model(task, inputs).float().cpu().numpy())
            if number % TRIM == 0:
                _trim()
    model.train(training)


def _trim() -> None:
    """Returns unused memory to the system: batches of many shapes leave more and more of it (glibc; does nothing elsewhere)."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _autocast(device: torch.device, precision: str) -> AbstractContextManager:
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext()


def _by_length(lengths: np.ndarray, choices: int, most: int | None) -> list[np.ndarray]:
    """Items, longest first, in batches of at most TOKENS tokens and `most` items."""
    order, groups = np.argsort(-lengths, kind="stable"), []
    while len(order):
        size = min(max(1, TOKENS // int(lengths[order[0]] * choices)), most or len(order))
        groups.append(order[:size])
        order = order[size:]
    return groups


def held_out_scores(model: MultiTask, held_out: dict, config: Config, precision: str) -> tuple[dict[str, dict], dict[str, float]]:
    """Scores of the held-out questions at their best threshold, {task: scores}; and each qa task's threshold, as `tuned`.

    For monitoring a training.
    """
    found, thresholds = {}, untuned(config)
    for task, features in held_out.items():
        answers = predict(model, task, features, config, precision)
        thresholds[task] = qa.tune(features.rows, answers)
        found[task] = qa.scores(features.rows, answers, thresholds[task])
    return found, thresholds


def slice_scores(model: MultiTask, slices: dict, thresholds: dict, config: Config, precision: str) -> dict[str, dict]:
    """Scores of some of each task's scored rows, {task: scores}, at the threshold of each qa task; for monitoring a training."""
    found = {task: predict(model, task, features, config, precision) for task, features in slices.items()}
    return {task: _scores(config, task, slices[task].rows, said, thresholds.get(task)) for task, said in found.items()}


def constant_scores(trained: dict, scored: dict, config: Config) -> dict[str, dict]:
    """Scores of one constant answer on some scored rows, {task: scores}: no answer (qa), or the most frequent label of the training rows
    (sc, mcc; the first of several). Leaves out custom types. trained, scored: task → features."""
    found = {}
    for task, features in scored.items():
        dataset, rows = config.datasets[task], features.rows
        if dataset.type == "qa":
            found[task] = qa_scores([""] * len(rows), [gold_texts(row) for row in rows])
        elif dataset.type in LABELLED:
            said = LabelPrediction(0, int(np.bincount(column(trained[task].rows, "label")).argmax()), [])
            found[task] = TYPES[dataset.type].scores(rows, [said] * len(rows), dataset.metrics)
    return found


def untuned(config: Config) -> dict[str, float]:
    """The threshold of each qa task if no questions are held out: 0, or `ALWAYS` if every question has an answer."""
    return {task: 0.0 if dataset.unanswerable else ALWAYS for task, dataset in config.datasets.items() if dataset.type == "qa"}


def tuned(model: MultiTask, held_out: dict, config: Config, precision: str, folder: Path) -> dict[str, float]:
    """The threshold of each qa task: the best one on its held-out questions, `ALWAYS` if none of them is unanswerable. Writes the scores of
    these questions into `folder` (`runs.held_out`).

    held_out: task → features (`training.setup.Setup`). Also `ALWAYS` if every question has an answer (`unanswerable: false`); 0 if
    none are held out.
    """
    folder.mkdir(exist_ok=True)
    found = untuned(config)
    for task in found:
        if config.datasets[task].unanswerable and task in held_out:
            rows, answers = held_out[task].rows, predict(model, task, held_out[task], config, precision)
            found[task] = qa.tune(rows, answers)
            write_held_out(folder, task, rows, qa.scored(rows, answers))
    return found


def evaluate(model: MultiTask, scored: dict, thresholds: dict, config: Config, precision: str, folder: Path) -> dict[str, dict]:
    """Scores every task that has scored rows and writes its predictions into `folder`; returns {task: scores}.

    scored: task → features (`training.setup.Setup`); thresholds: from `tuned`, 0 for a qa task that has none. The rest of a cut
    split and the sets in `scored_also` are scored by their task (`Config.task_of`), at its threshold.
    """
    folder.mkdir(exist_ok=True)
    metrics = {}
    for name, features in scored.items():
        task = config.task_of(name)
        found = predict(model, task, features, config, precision)
        threshold = thresholds.get(task, 0.0)
        metrics[name] = _scores(config, name, features.rows, found, threshold)
        if model.specs[task]["type"] == "qa":
            write_answers(folder, name, features.rows, found, threshold)
        else:
            write_parts(folder / f"{name}.jsonl", ((json.dumps(vars(choice)) + "\n").encode() for choice in found))
    return metrics


def _scores(config: Config, name: str, rows: Any, found: Any, threshold: Any) -> dict:
    """The scores of a task or of a further set (`scored_also`): those of its type, and custom ones; threshold: a number, for a qa task."""
    dataset = config.dataset_of(name)
    its = qa.scores(rows, found, threshold) if dataset.type == "qa" else TYPES[dataset.type].scores(rows, found, dataset.metrics)
    return {**its, **own_scores(config, config.task_of(name), rows, found, threshold)}
