"""Multiple choice: which ending continues a text? One sequence per choice (SWAG; paper, "Model": H → 1, softmax over the choices)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from mtdnn_kit.data.arrays import Parts, Ragged, gathered, ragged
from mtdnn_kit.data.rows import MCCRow
from mtdnn_kit.data.table import column
from mtdnn_kit.tasks.classification import Reader, loss, scores
from mtdnn_kit.tasks.padding import Batch, pad
from mtdnn_kit.tasks.sc import SETTINGS, encode_pairs

HEAD = "AutoModelForMultipleChoice"
OUTPUTS = 1  # per choice
__all__ = ["HEAD", "OUTPUTS", "SETTINGS", "Features", "Reader", "encode", "features", "loss", "scores"]


@dataclass(frozen=True)
class Features:
    """C sequences per row, stored flat: choice c of row i is sequence i · C + c."""

    rows: Sequence[MCCRow]
    ids: Ragged
    type_ids: Ragged
    pad_id: int
    types: bool

    @property
    def choices(self) -> int:
        """C."""
        return len(self.rows[0].choices)

    @cached_property
    def lengths(self) -> np.ndarray:
        """Tokens of each row's longest choice [N]."""
        return self.ids.sizes.reshape(len(self.rows), -1).max(axis=1)

    def collate(self, items: np.ndarray) -> Batch:
        """inputs [B, C, T], targets int64 [B]; `batch_size` counts rows: 16 rows are 16 · C sequences."""
        # B · C sequences → [B · C, T] → [B, C, T]
        flat = [i * self.choices + c for i in items for c in range(self.choices)]
        ids = [self.ids[i] for i in flat]
        inputs = pad(ids, [self.type_ids[i] for i in flat] if self.types else None, self.pad_id)
        shaped = {name: x.view(len(items), self.choices, -1) for name, x in inputs.items()}
        return Batch(shaped, torch.tensor([self.rows[i].label for i in items]), sum(map(len, ids)))


def features(
    rows: Sequence[MCCRow], dataset: Any, tokenizer: Any, config: Any, types: bool = True, columns: dict | None = None
) -> Features:
    """`[CLS] context [SEP] start ending [SEP]` for each choice, at most `max_length` tokens. columns: the result of `encode`."""
    made = columns or gathered(encode(rows, tokenizer, config.max_length))
    return Features(rows, ragged("ids", made), ragged("types", made), tokenizer.pad_token_id, types)


def encode(rows: Sequence[MCCRow], tokenizer: Any, max_length: int) -> Parts:
    """The columns of `Features`, part by part."""
    told = zip(*(column(rows, name) for name in ("context", "start", "choices")), strict=True)
    pairs = ((context, f"{start} {choice}".strip()) for context, start, choices in told for choice in choices)
    return encode_pairs(tokenizer, pairs, max_length)
