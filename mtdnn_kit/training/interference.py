"""How the tasks pull on the shared encoder: the size of each task's gradient, and its cosine against every other task's, by layer group.

A negative cosine is what Yu et al. (2020, "Gradient Surgery for Multi-Task Learning") call a conflict: a step of one task undoes a bit of
the other's. Measured between two steps on one fixed batch per task, without dropout and without the tasks' loss weights: no random number
is drawn, and no weight, gradient or moment of the training is touched. Per task, a measurement costs a forward and a backward pass, and
memory for a gradient of the encoder: with five tasks, 0.9 s compared with 0.22 s for a step (parameters/demo.yaml, AMD EPYC, 2 cores), 4 %
more if made every 100 steps; `affinities` of the same tasks cost as much again. This file knows no rows, devices or optimizers.
"""

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mtdnn_kit.sampler import generator
from mtdnn_kit.training.loop import pieces_of
from mtdnn_kit.training.setup import Setup

LAYER = re.compile(r"\blayers?\.(\d+)\.")  # how the encoder families name their layers' weights
WHOLE = "encoder"  # the group of all
LOOKAHEAD = 1e-3  # length of the step that `affinities` tries, as a share of the length of the encoder's weights


def group_of(name: str) -> str:
    """The layer group of an encoder's weight: embeddings, layer 1, layer 2 …, pooler, or what its family calls it."""
    layer = LAYER.search(name)
    return f"layer {int(layer[1]) + 1}" if layer else name.split(".")[0]


def fixed_batches(setup: Setup) -> dict[str, np.ndarray]:
    """Item numbers of a batch of each task's training items, main task first: the same whatever the seed."""
    size = setup.config.batch_size
    return {task: generator(0, "interference", task).permutation(len(f.lengths))[:size] for task, f in setup.train.items()}


def measure(model: nn.Module, batches: dict[str, np.ndarray], loss: Callable, pieces: int = 1) -> list[dict]:
    """One record per task: `norm` {group: size of its gradient}; except for the main task, `cosine` {group: against the main task's}; and
    from the third task on `cosine_with` {task: {group: against its}} of the other tasks before it. Each pair of tasks thus occurs once.

    batches: `fixed_batches`; loss(task, items) → (mean loss of the items, …); pieces: that a batch is cut into to save memory. A group
    that a task does not touch (question answering and the pooler) has norm 0 and cosine None.
    """
    names, weights = zip(*model.encoder.named_parameters(), strict=True)
    groups, gradients = [group_of(name) for name in names], dict[str, list[Tensor]]()
    records: list[dict] = []
    model.eval()
    for task, items in batches.items():
        mine = _gradient(weights, items, pieces, partial(loss, task))
        record: dict[str, Any] = {"task": task, "norm": {group: square**0.5 for group, square in _products(groups, mine, mine).items()}}
        found = {r["task"]: _cosines(_products(groups, mine, gradients[r["task"]]), record["norm"], r["norm"]) for r in records}
        if records:
            record["cosine"] = found.pop(records[0]["task"])
        if found:
            record["cosine_with"] = found
        gradients[task] = mine
        records.append(record)
    model.train()
    return records


def _cosines(dots: dict[str, float], one: dict[str, float], two: dict[str, float]) -> dict[str, float | None]:
    """By group, from the inner products and both sizes; None where one of the gradients is 0."""
    return {g: dots[g] / (one[g] * two[g]) if one[g] * two[g] > 0 else None for g in dots}


def _gradient(weights: tuple, items: np.ndarray, pieces: int, loss: Callable) -> list[Tensor]:
    """The gradient of a batch's mean loss by each weight, 0 where it does not depend on it."""
    total = [torch.zeros(()).to(w) for w in weights]
    for piece in pieces_of(items, pieces):
        found = torch.autograd.grad(loss(piece)[0] * (len(piece) / len(items)), weights, allow_unused=True)
        total = [a if b is None else a + b for a, b in zip(total, found, strict=True)]
    return total


def _products(groups: list[str], one: list[Tensor], two: list[Tensor]) -> dict[str, float]:
    """Inner product of two gradients within each group, and within the whole encoder."""
    products = torch.stack([(a * b).sum().float() for a, b in zip(one, two, strict=True)]).tolist()
    return {g: sum(p for p, mine in zip(products, groups, strict=True) if g in (mine, WHOLE)) for g in dict.fromkeys([*groups, WHOLE])}


def affinities(model: nn.Module, setup: Setup, step: int, loss: Callable) -> dict[str, float]:
    """{task: 1 − L₁/L₀}, L₀ the main task's loss on a batch, L₁ after a step of the shared encoder along the task's gradient.

    The lookahead of Fifty et al. (2021, "Efficiently Identifying Task Groupings", TAG), above 0 where a step of the task helps the main
    one. Their step is the training's own; at 3e-5 it would drown in fp32's rounding. Here the steps of all tasks have the length LOOKAHEAD,
    as Adam's do, whatever the size of the gradient. New batches are drawn at each `step`; the main task's own step uses another batch than
    its loss; weights are put back bit for bit. loss: as `measure` takes it.
    """
    weights, (main, *_) = list(model.encoder.parameters()), setup.train
    size, pieces = setup.config.batch_size, setup.config.grad_accumulation
    drawn = {task: generator(setup.config.seed, "affinity", task, step).permutation(len(f.lengths)) for task, f in setup.train.items()}
    judged, own = drawn[main][:size], drawn[main][size : 2 * size]
    batches = {task: items[:size] for task, items in drawn.items()} | {main: own if len(own) else judged}
    kept, found = [w.detach().clone() for w in weights], dict[str, float]()
    length = LOOKAHEAD * _length(kept)
    model.eval()
    with torch.no_grad():
        before = float(loss(main, judged)[0])
    for task, items in batches.items():
        gradient = _gradient(tuple(weights), items, pieces, partial(loss, task))
        rate = length / max(_length(gradient), 1e-30)
        with torch.no_grad():
            try:
                for weight, old, g in zip(weights, kept, gradient, strict=True):
                    weight.copy_(old - rate * g)
                found[task] = 1 - float(loss(main, judged)[0]) / max(before, 1e-30)
            finally:
                for weight, old in zip(weights, kept, strict=True):
                    weight.copy_(old)
    model.train()
    return found


def _length(tensors: list[Tensor]) -> float:
    """The Euclidean length of all weights together."""
    return float(torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(one.float()) for one in tensors])))
