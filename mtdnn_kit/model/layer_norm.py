"""LayerNorm that gives bf16 for bf16 under a GPU's autocast, as torch's own does on a processor.

Torch's autocast makes fp32 of it there, and each product after it casts it back: a GPU, which waits for its memory in all that is no
product, then moves several times the bytes (benchmarks/README.md). Sums are in fp32 within the kernel either way. Knows no models.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm


class LayerNorm(nn.LayerNorm):
    """torch's LayerNorm, but that autocast on a GPU leaves its input as it is."""

    def forward(self, x: Tensor) -> Tensor:
        """x [..., H] → the same shape and, under autocast, the same dtype."""
        if x.device.type != "cuda" or not torch.is_autocast_enabled("cuda"):
            return super().forward(x)
        with torch.autocast("cuda", enabled=False):
            weight, bias = (None if p is None else p.to(x.dtype) for p in (self.weight, self.bias))
            return layer_norm(x, self.normalized_shape, weight, bias, self.eps)


def install(model: nn.Module) -> None:
    """Turns each torch LayerNorm of `model` into ours: the same object, with its weights, under another class."""
    for part in model.modules():
        if type(part) is nn.LayerNorm:
            part.__class__ = LayerNorm
