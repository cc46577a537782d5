"""Dropout on a processor, in layers and attention, and bf16 attention for training, cheaper than torch's.

Torch draws a number for every element, one by one, and turns it into a mask in several slow passes; with attention dropout (12 heads × T ×
T numbers per window) this took most of a training step (benchmarks/README.md). Here one random 64-bit word serves four elements, integer
operations turn it into the mask, and attention runs on a few windows at a time, so that their scores stay in the cache. The same attention
serves bf16 training without dropout, where the backward pass of torch's takes five times as long as the forward pass; in fp32 torch's is
faster. On a GPU everything is torch's. Knows no model, task or step: numbers come from torch's generator, which the caller has seeded.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

NAME = "processor_dropout"  # of `attention` among transformers' implementations
LEVELS = 2**15  # a probability is rounded to a multiple of 1 / LEVELS
ONE = 0x3F80  # the bits of 1.0 in bf16
CACHE = 8 * 2**20  # bytes of attention scores per block


def keep(shape: tuple[int, ...], p: float, dtype: torch.dtype) -> tuple[Tensor, float]:
    """A mask of `shape` on the processor, 0 with probability p and 1 otherwise, and its factor 1 / (1 − p).

    p is rounded to a multiple of 1 / 2¹⁵, for mask and factor alike. Numbers come from torch's generator, one of 64 bits per four elements.
    """
    dropped, count = min(round(p * LEVELS), LEVELS - 1), math.prod(shape)
    # four 16-bit integers, with the sign bit cleared, from each 64-bit word
    drawn = torch.empty(-(-count // 4), dtype=torch.int64).random_().view(torch.int16)[:count].view(shape)
    drawn.bitwise_and_(LEVELS - 1).sub_(dropped)
    # below 0 means dropped: spread over all bits, that sign becomes 0, and the sign of the others the bits of 1.0 in bf16
    drawn.bitwise_right_shift_(15).bitwise_not_().bitwise_and_(ONE)
    return drawn.view(torch.bfloat16).to(dtype), LEVELS / (LEVELS - dropped)


class Dropout(nn.Dropout):
    """torch's Dropout, but with `keep` when it trains on a processor."""

    def forward(self, x: Tensor) -> Tensor:
        """x of any shape → each element 0 with probability p, else x / (1 − p)."""
        if not self.training or self.p == 0 or x.device.type != "cpu":
            return super().forward(x)
        mask, factor = keep(x.shape, self.p, x.dtype)
        return x * mask * factor


def attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, dropout: float = 0.0, **options: Any
) -> tuple[Tensor, None]:
    """transformers' interface: query, key, value [B, heads, T, D], mask bool or added, [B or 1, 1, 1 or T, T] → [B, T, heads, D], None.

    On a processor, with dropout or when training in bf16: softmax(QKᵀ · scaling) V with `keep`; everything else goes to torch (`sdpa`).
    """
    # an additive mask lets every position attend everywhere: causal and relative attention stay with torch
    ours = dropout or (query.requires_grad and query.dtype == torch.bfloat16)
    causal = options.get("is_causal")
    causal = attention_mask is None and (getattr(module, "is_causal", True) if causal is None else causal)  # transformers' rule
    plain = key.shape[1] == query.shape[1] and options.get("position_bias") is None and not causal
    if not ours or query.device.type != "cpu" or not plain:
        return sdpa_attention_forward(module, query, key, value, attention_mask, dropout=dropout, **options)
    # a few windows at a time, so that their scores [windows, heads, T, T] stay in the cache
    scaling = options.get("scaling") or query.shape[-1] ** -0.5
    windows = max(1, CACHE // (query[0, ..., 0].numel() * key.shape[2] * query.element_size()))
    masks = [None] * len(query) if attention_mask is None else _added(attention_mask, query).split(windows)
    parts = zip((query * scaling).split(windows), key.split(windows), value.split(windows), masks, strict=False)
    return torch.cat([_attend(*part, dropout) for part in parts]).transpose(1, 2).contiguous(), None


def _added(mask: Tensor, query: Tensor) -> Tensor:
    """The mask as numbers to add to the scores, [B, 1, 1 or T, T]; in a fully masked row (padding) all are equal, and none is NaN."""
    if mask.dtype == torch.bool:
        mask = torch.zeros(mask.shape, dtype=query.dtype).masked_fill_(~mask, torch.finfo(query.dtype).min)
    return mask.to(query.dtype).expand(len(query), *mask.shape[1:])


def _attend(query: Tensor, key: Tensor, value: Tensor, added: Tensor | None, dropout: float) -> Tensor:
    """Attention of some windows, for a query that is already scaled: [B, heads, T, D]."""
    # [B, heads, T, T]
    scores = query @ key.transpose(2, 3)
    weights = torch.softmax(scores if added is None else scores.add_(added), dim=-1)
    if not dropout:
        return weights @ value
    mask, factor = keep(weights.shape, dropout, weights.dtype)
    return (weights * mask) @ (value * factor)


def install(model: nn.Module, encoder: nn.Module) -> None:
    """Replaces each torch Dropout of `model` by `Dropout`, at its rate; and the encoder's attention by `attention` if it is torch's
    (`sdpa`)."""
    for part in model.modules():
        if type(part) is nn.Dropout:
            part.__class__ = Dropout  # the same object, with its rate
    if getattr(encoder.config, "_attn_implementation", None) == "sdpa":
        encoder.set_attn_implementation(NAME)


AttentionInterface.register(NAME, attention)
AttentionMaskInterface.register(NAME, sdpa_mask)
