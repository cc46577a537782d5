"""Custom scores, in addition to those of a task type: `metrics: [module:function]` (docs/plugins.md).

A function gets the task's name, the gold values and the predictions, row by row, and returns a percentage, or None if it does not apply to
the task. Before training it is tried on correct predictions, so that its errors show early.
"""

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

import numpy as np

from mtdnn_kit.config import Config
from mtdnn_kit.data.read_as import LABELLED
from mtdnn_kit.data.rows import gold_texts
from mtdnn_kit.data.table import column, pick
from mtdnn_kit.errors import PluginError
from mtdnn_kit.files.checks import require
from mtdnn_kit.files.plugins import Plugin
from mtdnn_kit.files.wording import short
from mtdnn_kit.metrics import SCORES

KIT_SCORES = {"n", *SCORES, "em", "f1", "threshold", "em_at_0", "f1_at_0", "best_em", "best_em_threshold", "best_f1", "best_f1_threshold"}
KIT_SCORES |= {"has_answer_em", "has_answer_f1", "span_em", "span_f1", "no_answer_accuracy", "no_answer_ap"}  # the kit's score names
TAKEN_COLUMNS = {"run", "set", "setting", "seeds", "task", "score", "value", "rows", "p"}  # of the tables that show scores
TRIED = 50  # maximum number of rows to try a score on


def own_scores(config: Config, task: str, rows: Sequence, found: Sequence, threshold: float | None) -> dict[str, float]:
    """{name: percent} of predictions (for a qa task at its threshold), by the functions in `metrics`. Raises PluginError."""
    if not config.metrics:
        return {}
    kind = config.datasets[task].type
    if kind == "qa":
        said = [answer.text(row.context, threshold) for row, answer in zip(rows, found, strict=True)]
    else:
        said = [one.label for one in found] if kind in LABELLED else list(found)
    return _scored(config.own_metrics, task, _gold(kind, rows), said)


def try_own_scores(config: Config, scored: Mapping[str, Any]) -> None:
    """Calls each function once per task, with the gold values as predictions. scored: task → features. Raises PluginError, ConfigError."""
    names = [one.score for one in config.own_metrics]
    for one in config.own_metrics:
        twice = one.score.lower() in KIT_SCORES | TAKEN_COLUMNS or names.count(one.score) > 1
        require(not twice, f"metrics: {one.name}: there is a score or column {one.score} already; give the function another name")
    for name, features in scored.items() if config.metrics else ():
        kind, rows = config.dataset_of(name).type, pick(features.rows, np.arange(min(TRIED, len(features.rows))))
        gold = _gold(kind, rows)
        if kind == "qa" or kind in LABELLED:
            _scored(config.own_metrics, config.task_of(name), gold, [next(iter(x), "") for x in gold] if kind == "qa" else gold)


def _gold(kind: str, rows: Sequence) -> list:
    """The gold value of each row: its gold answers (qa; possibly none), its label, or the row itself (custom types)."""
    if kind == "qa":
        return [[text for text in gold_texts(row) if text] for row in rows]
    return [int(label) for label in column(rows, "label")] if kind in LABELLED else list(rows)


def _scored(functions: list[Plugin], task: str, gold: list, said: list) -> dict[str, float]:
    found = {}
    for one in functions:
        value = one(task, list(gold), list(said))
        if value is None:
            continue
        try:
            score = float(value)
        except (TypeError, ValueError):
            score = float("nan")
        if not (isfinite(score) and abs(score) <= 100):
            raise PluginError(f"metrics: {one.name} returned {short(value)} for {task}; it must return a percentage, −100 to 100, or None")
        found[one.score] = score
    return found
