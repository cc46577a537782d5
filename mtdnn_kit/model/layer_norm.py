"""LayerNorm that returns bf16 for bf16 under a GPU's autocast, as torch's does on a processor.

On a GPU, torch's autocast returns fp32, and each following product casts it back. A GPU is limited by memory in everything but products, so
it then moves several times the bytes (benchmarks/README.md). The kernel sums in fp32 either way. Knows no models.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm


class LayerNorm(nn.LayerNorm):
    """torch's LayerNorm, except that autocast on a GPU does not cast its input."""

    def forward(self, x: Tensor) -> Tensor:
        """x [..., H] → the same shape and, under autocast, the same dtype."""
        if x.device.type != "cuda" or not torch.is_autocast_enabled("cuda"):
            return super().forward(x)
        with torch.autocast("cuda", enabled=False):
            weight, bias = (None if p is None else p.to(x.dtype) for p in (self.weight, self.bias))
            return layer_norm(x, self.normalized_shape, weight, bias, self.eps)


def install(model: nn.Module) -> None:
    """Replaces each torch LayerNorm of `model` by this class: the same object, with its weights."""
    for part in model.modules():
        if type(part) is nn.LayerNorm:
            part.__class__ = LayerNorm
