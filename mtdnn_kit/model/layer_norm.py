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
    """Turns each torch LayerNorm of `model` into ours, around the same weights."""
    for module in list(model.modules()):
        for name, part in module.named_children():
            if type(part) is nn.LayerNorm:
                setattr(module, name, replaced(part, LayerNorm))


def replaced(part: nn.LayerNorm, kind: type[nn.LayerNorm]) -> nn.LayerNorm:
    """`part` as one of `kind`, with its very weights."""
    made = kind(part.normalized_shape, part.eps, elementwise_affine=False)
    made.elementwise_affine = part.elementwise_affine
    made.weight, made.bias = part.weight, part.bias
    return made.train(part.training)
