"""What sequence classification and multiple choice share: one right label an item, a probability for each.

The loss, the reading of logits and the scores; what an item looks like is in `sc` and `mcc`.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from mtdnn_kit.metrics import SCORES


@dataclass(frozen=True)
class Choice:
    """What a model says of one row: its label, and the probability of every label (softmax, paper "Model")."""

    id: int
    label: int
    probabilities: list[float]


def loss(logits: torch.Tensor, targets: torch.Tensor, config) -> torch.Tensor:
    """Cross entropy over the labels; logits [B, L], targets [B]; a scalar, the mean over the batch."""
    return cross_entropy(logits, targets)


class Reader:
    """Collects logits [B, L] batch by batch, in any order, into one Choice a row."""

    def __init__(self, features, config):
        self.rows = features.rows
        self.found: list[Choice | None] = [None] * len(self.rows)

    def add(self, items: np.ndarray, logits: np.ndarray) -> None:
        """Raises ValueError, with the row's id, on NaN."""
        weights = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
        for item, row in zip(items, weights / weights.sum(axis=1, keepdims=True), strict=True):
            if np.isnan(row).any():
                raise ValueError(f"row {self.rows[item].id}: the model's scores are not numbers (NaN)")
            self.found[item] = Choice(self.rows[item].id, int(row.argmax()), row.tolist())

    def predictions(self) -> list[Choice]:
        """One Choice a row, in the order of the rows."""
        return list(self.found)


def scores(rows: list, choices: list[Choice], metrics: tuple[str, ...]) -> dict:
    """The named scores in percent, and the number of rows."""
    gold, said = [row.label for row in rows], [choice.label for choice in choices]
    return {**{name: SCORES[name](gold, said) for name in metrics}, "n": len(rows)}
