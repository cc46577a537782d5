"""Multiple choice: which ending goes on from a text? One sequence a choice (SWAG; paper, "Model": H → 1, softmax over the choices)."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from mtdnn_kit.rows import MCCRow
from mtdnn_kit.tasks.labels import Reader, loss
from mtdnn_kit.tasks.padding import Batch, pad
from mtdnn_kit.tasks.sc import encode

HEAD = "AutoModelForMultipleChoice"
__all__ = ["HEAD", "Features", "Reader", "features", "loss"]


@dataclass(frozen=True)
class Features:
    """C sequences a row, kept flat: choice c of row i is sequence i · C + c."""

    rows: list[MCCRow]
    ids: list[np.ndarray]
    type_ids: list[np.ndarray]
    pad_id: int
    types: bool

    @property
    def choices(self) -> int:
        """C."""
        return len(self.rows[0].choices)

    @cached_property
    def lengths(self) -> np.ndarray:
        """Tokens of each row's longest choice [N]."""
        return np.array([len(x) for x in self.ids], np.int64).reshape(len(self.rows), -1).max(axis=1)

    def collate(self, items: np.ndarray) -> Batch:
        """inputs [B, C, T], targets int64 [B]; a batch of 16 is 16 questions, 16 · C sequences (paper.md)."""
        flat = [i * self.choices + c for i in items for c in range(self.choices)]
        ids = [self.ids[i] for i in flat]
        inputs = pad(ids, [self.type_ids[i] for i in flat] if self.types else None, self.pad_id)
        shaped = {name: x.view(len(items), self.choices, -1) for name, x in inputs.items()}
        return Batch(shaped, torch.tensor([self.rows[i].label for i in items]), sum(map(len, ids)))


def features(rows: list[MCCRow], dataset, tokenizer, config, types: bool = True) -> Features:
    """`[CLS] context [SEP] start ending [SEP]` for each choice, at most `max_length` tokens."""
    pairs = [(row.context, f"{row.start} {choice}".strip()) for row in rows for choice in row.choices]
    return Features(rows, *encode(tokenizer, pairs, config.max_length), tokenizer.pad_token_id, types)
