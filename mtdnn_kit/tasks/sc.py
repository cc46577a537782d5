"""Sequence classification of a sentence or a pair of sentences: CoLA, MRPC, MNLI (paper, "Model")."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np
import torch

from mtdnn_kit.data.arrays import Parts, Ragged, gathered, ragged, ragged_parts
from mtdnn_kit.data.rows import SCRow
from mtdnn_kit.data.table import column
from mtdnn_kit.tasks.classification import Reader, loss, scores
from mtdnn_kit.tasks.padding import Batch, pad

HEAD = "AutoModelForSequenceClassification"
SETTINGS = ("max_length",)  # parameters on which the columns depend
TOKENISED_AT_ONCE = 4096  # sequences tokenised in one go
__all__ = ["HEAD", "SETTINGS", "Features", "Reader", "encode", "encode_pairs", "features", "loss", "scores"]


@dataclass(frozen=True)
class Features:
    """One sequence per row."""

    rows: Sequence[SCRow]
    ids: Ragged
    type_ids: Ragged
    pad_id: int
    types: bool

    @cached_property
    def lengths(self) -> np.ndarray:
        """Tokens of each row [N]."""
        return self.ids.sizes

    def collate(self, items: np.ndarray) -> Batch:
        """inputs [B, T], targets int64 [B]."""
        # B sequences of different lengths → [B, T]
        ids = [self.ids[i] for i in items]
        inputs = pad(ids, [self.type_ids[i] for i in items] if self.types else None, self.pad_id)
        return Batch(inputs, torch.tensor([self.rows[i].label for i in items]), sum(map(len, ids)))


def features(rows: Sequence[SCRow], dataset: Any, tokenizer: Any, config: Any, types: bool = True, columns: dict | None = None) -> Features:
    """Sequences of at most `max_length` tokens; of a longer pair, the longer part is truncated. columns: the result of `encode`."""
    made = columns or gathered(encode(rows, tokenizer, config.max_length))
    return Features(rows, ragged("ids", made), ragged("types", made), tokenizer.pad_token_id, types)


def encode(rows: Sequence[SCRow], tokenizer: Any, max_length: int) -> Parts:
    """The columns of `Features`, part by part."""
    return encode_pairs(tokenizer, zip(column(rows, "first"), column(rows, "second"), strict=True), max_length)


def encode_pairs(tokenizer: Any, pairs: Iterable[tuple[str, str | None]], max_length: int) -> Parts:
    """Token ids and token types of sentences (second None) or of pairs, never of both, special tokens included."""
    # a block at a time: the tokenizer's output for all rows at once would not fit into memory
    pairs = iter(pairs)
    while block := list(islice(pairs, TOKENISED_AT_ONCE)):
        firsts, seconds = map(list, zip(*block, strict=True))
        batch = tokenizer(
            firsts,
            None if seconds[0] is None else seconds,
            truncation="longest_first",
            max_length=max_length,
            return_token_type_ids=True,
            return_attention_mask=False,
        )
        yield {**ragged_parts("ids", batch["input_ids"], np.int32), **ragged_parts("types", batch["token_type_ids"], np.int32)}
