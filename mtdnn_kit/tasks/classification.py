"""What sequence classification and multiple choice share: one right label per item, a probability for each label.

Holds the loss, the reader of logits and the scores; `sc` and `mcc` define the items.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from mtdnn_kit.data.table import column
from mtdnn_kit.errors import ScoreError
from mtdnn_kit.metrics import SCORES


@dataclass(frozen=True)
class LabelPrediction:
    """A model's output for one row: its label, and the probability of every label (softmax, paper "Model")."""

    id: int
    label: int
    probabilities: list[float]


def loss(logits: torch.Tensor, targets: torch.Tensor, config: Any) -> torch.Tensor:
    """Cross entropy over the labels; logits [B, L], targets [B]; a scalar, the mean over the batch."""
    return cross_entropy(logits, targets)


class LabelPredictions(Sequence):
    """The choices of N rows as one array of probabilities [N, L]; item i is row i's `LabelPrediction`."""

    def __init__(self, ids: Sequence[int], probabilities: np.ndarray):
        self.ids, self.probabilities = ids, probabilities

    def __len__(self) -> int:
        return len(self.probabilities)

    def __getitem__(self, i: int) -> LabelPrediction:
        i = range(len(self))[i]
        return LabelPrediction(self.ids[i], int(self.probabilities[i].argmax()), self.probabilities[i].tolist())

    def __iter__(self) -> Iterator[LabelPrediction]:
        return (self[i] for i in range(len(self)))


class Reader:
    """Collects logits [B, L] batch by batch, in any order, into one LabelPrediction per row."""

    def __init__(self, features: Any, config: Any):
        self.rows, self.found = features.rows, np.zeros((len(features.rows), 0))

    def add(self, items: np.ndarray, logits: np.ndarray) -> None:
        """Raises ScoreError, with the row's id, on NaN."""
        # softmax over the labels [B, L], in float64, after subtracting the largest, so that nothing overflows
        weights = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
        shares = weights / weights.sum(axis=1, keepdims=True)
        for item in items[np.isnan(shares).any(axis=1)]:
            raise ScoreError(f"row {self.rows[item].id}: the model's scores are not numbers (NaN)")
        if not self.found.shape[1]:
            self.found = np.full((len(self.rows), shares.shape[1]), np.nan)
        self.found[items] = shares

    def predictions(self) -> LabelPredictions:
        """One LabelPrediction per row, in the order of the rows. Raises ScoreError, with its id, for a row without logits."""
        for item in np.flatnonzero(np.isnan(self.found).any(axis=1)):
            raise ScoreError(f"row {self.rows[item].id}: it was not scored, so it has no label")
        return LabelPredictions(column(self.rows, "id"), self.found)


def scores(rows: Sequence, choices: Sequence[LabelPrediction], metrics: tuple[str, ...]) -> dict:
    """The named scores in percent, and the number of rows."""
    gold, said = (np.fromiter(labels, np.int64, len(rows)) for labels in (column(rows, "label"), (choice.label for choice in choices)))
    return {**{name: SCORES[name](gold, said) for name in metrics}, "n": len(rows)}
