"""The gradient of a batch, or of one process's share of it, in pieces that save memory. Knows no optimizer and no run folder."""

from contextlib import nullcontext

import numpy as np
import torch
from accelerate import Accelerator
from torch import nn

from mtdnn_kit.tasks import TYPES
from mtdnn_kit.training.setup import Setup


def backward(
    accelerator: Accelerator, model: nn.Module, setup: Setup, task: str, items: np.ndarray, weight: float = 1.0
) -> tuple[torch.Tensor, int]:
    """Gradients of some items [N] of a task, in `grad_accumulation` pieces that together weigh as the whole.

    weight: of their mean loss (`distributed.World.share`). Returns the weighted loss, without the task's own factor and not waited for, and
    the tokens. Several processes exchange their gradients once, with the last piece.
    """
    config, total, tokens = setup.config, 0.0, 0
    count = min(config.grad_accumulation, len(items))
    for number in range(count):
        piece = items[number::count]
        with accelerator.no_sync(model) if number + 1 < count else nullcontext():
            loss, n = loss_of(accelerator, model, setup, task, piece)
            loss = loss * (weight * len(piece) / len(items))
            accelerator.backward(loss * config.loss_weights.get(task, 1.0))
        total, tokens = total + loss.detach(), tokens + n
    return total, tokens if weight else 0


def loss_of(accelerator: Accelerator, model: nn.Module, setup: Setup, task: str, items: np.ndarray) -> tuple[torch.Tensor, int]:
    """Mean loss of some items, and their tokens."""
    batch = setup.train[task].collate(items)
    inputs = {name: moved(x, accelerator.device) for name, x in batch.inputs.items()}
    return loss_of_batch(model, setup, task, inputs, moved(batch.targets, accelerator.device)), batch.tokens


def loss_of_batch(model: nn.Module, setup: Setup, task: str, inputs: dict[str, torch.Tensor], targets: torch.Tensor) -> torch.Tensor:
    """Mean loss of a batch that is on the device, as `collate` made it."""
    return TYPES[setup.config.datasets[task].type].loss(model(task, inputs), targets, setup.config)


def moved(x: torch.Tensor, device: torch.device) -> torch.Tensor:
    """`x` on the device; to a GPU from pinned memory, so that nothing is waited for."""
    return x.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else x
