"""Sequence classification of a sentence or a pair of sentences: CoLA, MRPC, MNLI (paper, "Model")."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from mtdnn_kit.rows import SCRow
from mtdnn_kit.tasks.labels import Reader, loss
from mtdnn_kit.tasks.padding import Batch, pad

HEAD = "AutoModelForSequenceClassification"
__all__ = ["HEAD", "Features", "Reader", "encode", "features", "loss"]


@dataclass(frozen=True)
class Features:
    """One sequence a row."""

    rows: list[SCRow]
    ids: list[np.ndarray]
    type_ids: list[np.ndarray]
    pad_id: int
    types: bool

    @cached_property
    def lengths(self) -> np.ndarray:
        """Tokens of each row [N]."""
        return np.array([len(x) for x in self.ids], np.int64)

    def collate(self, items: np.ndarray) -> Batch:
        """inputs [B, T], targets int64 [B]."""
        ids = [self.ids[i] for i in items]
        inputs = pad(ids, [self.type_ids[i] for i in items] if self.types else None, self.pad_id)
        return Batch(inputs, torch.tensor([self.rows[i].label for i in items]), sum(map(len, ids)))


def features(rows: list[SCRow], dataset, tokenizer, config, types: bool = True) -> Features:
    """Sequences of at most `max_length` tokens; of a pair that is longer, the longer part is cut."""
    pairs = [(row.first, row.second) for row in rows]
    return Features(rows, *encode(tokenizer, pairs, config.max_length), tokenizer.pad_token_id, types)


def encode(tokenizer, pairs: list[tuple[str, str | None]], max_length: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Token ids and token types of sentences (second None) or pairs, all of the one kind, special tokens included."""
    if not pairs:
        return [], []
    firsts, seconds = zip(*pairs, strict=True)
    second = None if seconds[0] is None else list(seconds)
    batch = tokenizer(
        list(firsts), second, truncation="longest_first", max_length=max_length, return_token_type_ids=True, return_attention_mask=False
    )
    return [np.array(x, np.int32) for x in batch["input_ids"]], [np.array(x, np.int32) for x in batch["token_type_ids"]]
