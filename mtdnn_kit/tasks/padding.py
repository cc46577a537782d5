"""Sequences of different lengths as one rectangular batch. Knows nothing of tasks."""

from typing import NamedTuple

import numpy as np
import torch


class Batch(NamedTuple):
    """`inputs`: the encoder's arguments, tensors [B, T] (mcc: [B, C, T]); `targets`: the loss's; `tokens`: their number without padding."""

    inputs: dict[str, torch.Tensor]
    targets: torch.Tensor
    tokens: int


def pad(ids: list[np.ndarray], types: list[np.ndarray] | None, pad_id: int) -> dict[str, torch.Tensor]:
    """input_ids, attention_mask and, if `types` is given, token_type_ids, each int64 [B, T], T the longest sequence."""
    # real [B, T]: whether a position holds a token
    lengths = np.array([len(x) for x in ids])
    width = int(lengths.max())
    real = np.arange(width) < lengths[:, None]
    batch = {"input_ids": _filled(ids, real, pad_id), "attention_mask": torch.from_numpy(real.astype(np.int64))}
    if types is not None:
        batch["token_type_ids"] = _filled(types, real, 0)
    return batch


def _filled(rows: list[np.ndarray], real: np.ndarray, value: int) -> torch.Tensor:
    out = np.full(real.shape, value, np.int64)
    out[real] = np.concatenate(rows)
    return torch.from_numpy(out)
