"""Weights of several models made one: their average, and what they added to the weights that they began from. Knows no model, no file.

With θ₁ … θₙ the encoders' weights, θ₀ those that they began from, τᵢ = θᵢ − θ₀ and λ the weight:

    average           (1 − λ) θ₁ + λ mean(θ₂ … θₙ)     Wortsman et al. 2022, "Model soups"; λ = (n − 1)/n is the plain mean
    task_arithmetic   θ₀ + λ Σ τᵢ                      Ilharco et al. 2023, "Editing models with task arithmetic"
    ties              θ₀ + λ mean of the agreeing τᵢ   Yadav et al. 2023, "TIES-Merging": of each τᵢ the largest `density`, the sign of
                                                       their sum elected weight by weight, the mean of those that have it

Shapes: P weights.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def average(vectors: Sequence[Tensor], weight: float) -> Tensor:
    """(1 − weight) of the first of some [P], and `weight` of the mean of the others; bit for bit the first where all are equal."""
    first, *others = vectors
    shift = sum((one - first for one in others), torch.zeros(())) / len(others)
    return torch.where(shift == 0, first, first + weight * shift)


def task_arithmetic(base: Tensor, vectors: Sequence[Tensor], weight: float) -> Tensor:
    """The base [P] and `weight` times the sum of what each of some [P] added to it."""
    return base + weight * sum((one - base for one in vectors), torch.zeros(()))


def ties(base: Tensor, vectors: Sequence[Tensor], weight: float, density: float) -> Tensor:
    """The base [P] and `weight` times the mean of what was added to it by those of some [P] that agree on the sign, each trimmed to the
    largest `density` of its changes."""
    trimmed = [_trimmed(one - base, density) for one in vectors]
    elected = torch.where(sum(trimmed, torch.zeros(())) >= 0, 1.0, -1.0)
    agreeing = [one.sign() == elected for one in trimmed]
    total = sum((one * agrees for one, agrees in zip(trimmed, agreeing, strict=True)), torch.zeros(()))
    count = sum((agrees.float() for agrees in agreeing), torch.zeros(()))
    return base + weight * total / count.clamp(min=1)


def _trimmed(change: Tensor, density: float) -> Tensor:
    """A change [P] with 0 in place of all but its largest `density`."""
    kept = torch.topk(change.abs(), int(density * len(change))).indices
    return torch.zeros_like(change).index_copy(0, kept, change[kept])
