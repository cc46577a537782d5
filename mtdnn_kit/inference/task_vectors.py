"""Combines the weights of several models: their average, or their changes to the weights that they started from. Knows no model, no file.

With θ₁ … θₙ the encoders' weights, θ₀ those that they started from, τᵢ = θᵢ − θ₀ and λ the weight:

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
    """(1 − weight) times the first weights [P] plus `weight` times the mean of the others; bit for bit the first if all are equal."""
    first, *others = vectors
    shift = sum((one - first for one in others), torch.zeros(())) / len(others)
    return torch.where(shift == 0, first, first + weight * shift)


def task_arithmetic(base: Tensor, vectors: Sequence[Tensor], weight: float) -> Tensor:
    """The base [P] plus `weight` times the sum of the changes that some models' weights [P] make to it."""
    return base + weight * sum((one - base for one in vectors), torch.zeros(()))


def ties(base: Tensor, vectors: Sequence[Tensor], weight: float, density: float) -> Tensor:
    """The base [P] plus `weight` times the mean of those changes that agree on the sign, each model's trimmed to their largest
    `density`."""
    trimmed = [_trimmed(one - base, density) for one in vectors]
    elected = torch.where(sum(trimmed, torch.zeros(())) >= 0, 1.0, -1.0)
    agreeing = [one.sign() == elected for one in trimmed]
    total = sum((one * agrees for one, agrees in zip(trimmed, agreeing, strict=True)), torch.zeros(()))
    count = sum((agrees.float() for agrees in agreeing), torch.zeros(()))
    return base + weight * total / count.clamp(min=1)


def _trimmed(change: Tensor, density: float) -> Tensor:
    """A change [P] with all but its largest `density` set to 0."""
    kept = torch.topk(change.abs(), int(density * len(change))).indices
    return torch.zeros_like(change).index_copy(0, kept, change[kept])
