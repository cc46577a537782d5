"""The steps of a training: weighted stochastic batch selection (paper, Algorithm 1), and nothing else.

Which batch comes at which step was drawn before (`sampler`), and the random state of a step depends only on seed and step, so a run that is
stopped at any step resumes bit for bit. Knows no files, ranks, signals or devices: the caller passes in how to compute a gradient and what
follows a step. Nothing here waits for the device. Shapes: N items of a batch, rows or windows of one task.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from mtdnn_kit.tasks import TYPES
from mtdnn_kit.training.optim import clip_gradients, learning_rate, norm_of
from mtdnn_kit.training.setup import Setup


class Step(NamedTuple):
    """A step: its number (from 0), task, learning rate; loss and gradient norm, scalars on the device; tokens without padding."""

    number: int
    task: str
    rate: float
    loss: Tensor
    norm: Tensor
    tokens: int


def train_steps(
    setup: Setup,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    first: int,
    seed: Callable[[int], int],
    gradient: Callable[[int, dict[str, np.ndarray]], tuple[Tensor, int]],
    pull: Callable[[int, float], None],
    within: Callable[[int], AbstractContextManager],
    after: Callable[[Step], bool],
) -> None:
    """Algorithm 1 from step `first` to the end of the schedule.

    seed(step): of the step's random numbers. gradient(step, {task: items}) → loss and tokens, the gradients left in the weights
    (`backward`; of several tasks `balance.step`, the loss being the first one's). pull(step, rate): towards the anchor (`balance.anchors`).
    within(step): around a step, to say what failed in it. after(step): writes, scores, stops; returns whether to end.
    """
    config, total, weights = setup.config, len(setup.schedule), list(model.parameters())
    model.train()
    for step in range(first, total):
        # a dataset drawn by its weight, and its next batch popped: both as the schedule has them; {task: items [N]}, of a joint step all
        parts = setup.parts(step)
        task = next(iter(parts))
        # only dropout draws random numbers
        torch.manual_seed(seed(step))
        # warm-up, then linear decay; one rate for all tasks except those with a factor
        rate = learning_rate(step, total, config.warmup, config.learning_rate) * config.rate_factors.get(task, 1.0)
        for group in optimizer.param_groups:
            group["lr"] = rate
        with within(step):
            # this task's loss; gradients of the shared encoder and of this task's head, those of the other heads stay None
            loss, tokens = gradient(step, parts)
            # towards the anchor, if there is one
            pull(step, rate)
            # to the task's norm at most, jointly; in the 2019 variant each weight separately
            norm = clip_gradients(weights, norm_of(task, config.max_grad_norm), each=config.optimizer == "adamax_mtdnn")
            # parameters without a gradient are not touched: no decay, no change of moments
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        if after(Step(step, task, rate, loss, norm, tokens)):
            break


def backward(
    accelerator: Accelerator, model: nn.Module, setup: Setup, task: str, items: np.ndarray, weight: float = 1.0
) -> tuple[Tensor, int]:
    """Gradients of some items [N] of a task, in `grad_accumulation` pieces that together weigh as the whole batch.

    weight: of their mean loss (`distributed.World.share`). Returns the weighted loss, without the task's factor and without waiting for it,
    and the tokens. Several processes exchange their gradients once, with the last piece.
    """
    config, total, tokens = setup.config, 0.0, 0
    pieces = pieces_of(items, config.grad_accumulation)
    for number, piece in enumerate(pieces, 1):
        with accelerator.no_sync(model) if number < len(pieces) else nullcontext():
            loss, n = loss_of(accelerator, model, setup, task, piece)
            # mean over the piece → its share of the mean over the batch
            loss = loss * (weight * len(piece) / len(items))
            accelerator.backward(loss * config.loss_weights.get(task, 1.0))
        total, tokens = total + loss.detach(), tokens + n
    return total, tokens if weight else 0


def pieces_of(items: np.ndarray, most: int) -> list[np.ndarray]:
    """At most `most` pieces of a batch [N]: every n-th item each, so that the pieces of a batch sorted by length are similar."""
    count = min(most, len(items))
    return [items[number::count] for number in range(count)]


def loss_of(accelerator: Accelerator, model: nn.Module, setup: Setup, task: str, items: np.ndarray) -> tuple[Tensor, int]:
    """Mean loss of some items [N], and their tokens."""
    batch = setup.train[task].collate(items)
    inputs = {name: moved(x, accelerator.device) for name, x in batch.inputs.items()}
    return loss_of_batch(model, setup, task, inputs, moved(batch.targets, accelerator.device)), batch.tokens


def loss_of_batch(model: nn.Module, setup: Setup, task: str, inputs: dict[str, Tensor], targets: Tensor) -> Tensor:
    """Mean loss of a batch on the device, from `collate`."""
    return TYPES[setup.config.datasets[task].type].loss(model(task, inputs), targets, setup.config)


def moved(x: Tensor, device: torch.device) -> Tensor:
    """`x` on the device; to a GPU from pinned memory, so that nothing waits."""
    return x.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else x
