"""How the tasks pull on the shared encoder: the size of each task's gradient, and its cosine against the main task's, by layer group.

A negative cosine is what Yu et al. (2020, "Gradient Surgery for Multi-Task Learning") call a conflict: a step of that task undoes a bit of
the main task's. Measured between two steps on one fixed batch a task, without dropout and without the tasks' loss weights: no random number
is drawn, and no weight, gradient or moment of the training is touched. A measurement costs a forward and a backward pass a task, and memory
for two more gradients: of five tasks, 0.9 s where a step takes 0.22 s (parameters/demo.yaml, AMD EPYC, 2 cores), so 4 % more if made every
100 steps. This file knows no rows, devices or optimizers.
"""

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mtdnn_kit.sampler import generator
from mtdnn_kit.training.setup import Setup

LAYER = re.compile(r"\blayers?\.(\d+)\.")  # how the encoder families name their layers' weights
WHOLE = "encoder"  # the group of all


def group_of(name: str) -> str:
    """The layer group of an encoder's weight: embeddings, layer 1, layer 2 …, pooler, or what its family calls it."""
    layer = LAYER.search(name)
    return f"layer {int(layer[1]) + 1}" if layer else name.split(".")[0]


def fixed_batches(setup: Setup) -> dict[str, np.ndarray]:
    """Item numbers of a batch of each task's training items, main task first: the same whatever the seed."""
    size = setup.config.batch_size
    return {task: generator(0, "interference", task).permutation(len(f.lengths))[:size] for task, f in setup.train.items()}


def measure(model: nn.Module, batches: dict[str, np.ndarray], loss: Callable, pieces: int = 1) -> list[dict]:
    """A record a task: `norm` {group: size of its gradient} and, but for the main task, `cosine` {group: against the main task's}.

    batches: `fixed_batches`; loss(task, items) → (mean loss of the items, …); pieces: that a batch is cut into to save memory. A group
    that a task does not touch (question answering and the pooler) has norm 0 and cosine None.
    """
    names, weights = zip(*model.encoder.named_parameters(), strict=True)
    groups, main = [group_of(name) for name in names], None
    records: list[dict] = []
    model.eval()
    for task, items in batches.items():
        mine = _gradient(weights, items, pieces, partial(loss, task))
        record: dict[str, Any] = {"task": task, "norm": {group: square**0.5 for group, square in _products(groups, mine, mine).items()}}
        if main:
            dots, one, two = _products(groups, mine, main), record["norm"], records[0]["norm"]
            record["cosine"] = {g: dots[g] / (one[g] * two[g]) if one[g] * two[g] > 0 else None for g in dots}
        main = main or mine
        records.append(record)
    model.train()
    return records


def _gradient(weights: tuple, items: np.ndarray, pieces: int, loss: Callable) -> list[Tensor]:
    """The gradient of a batch's mean loss by each weight, 0 where it does not depend on it."""
    total, pieces = [torch.zeros(()).to(w) for w in weights], min(pieces, len(items))
    for piece in (items[i::pieces] for i in range(pieces)):
        found = torch.autograd.grad(loss(piece)[0] * (len(piece) / len(items)), weights, allow_unused=True)
        total = [a if b is None else a + b for a, b in zip(total, found, strict=True)]
    return total


def _products(groups: list[str], one: list[Tensor], two: list[Tensor]) -> dict[str, float]:
    """Inner product of two gradients within each group, and within the whole encoder."""
    products = torch.stack([(a * b).sum().float() for a, b in zip(one, two, strict=True)]).tolist()
    return {g: sum(p for p, mine in zip(products, groups, strict=True) if g in (mine, WHOLE)) for g in dict.fromkeys([*groups, WHOLE])}
