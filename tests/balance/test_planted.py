"""Planted tasks: how each balancing method copes with a task that helps and with one that only disturbs.

The encoder is a small perceptron. The main task has two classes of 12 numbers, labelled by a teacher, and few rows. The second task is a
twin (the same task on the same rows with the same head) or noise (permuted labels, at ten times the loss). A method is judged by the main
task's loss on new rows.
"""

from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from mtdnn_kit.balance.step import Joint
from mtdnn_kit.config import BALANCES
from mtdnn_kit.training.optim import clip_gradients, learning_rate, make_optimizer

STEPS, BATCH, RATE, SEEDS = 50, 8, 0.02, range(5)


class Small(nn.Module):
    """Stands in for `MultiTask` in `Joint`: an encoder, and one head per task."""

    def __init__(self, tasks: list[str]) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(12, 24), nn.Tanh(), nn.Linear(24, 8), nn.Tanh())
        self.heads = nn.ModuleDict({task: nn.Linear(8, 2) for task in tasks})


def rows(seed: int, n: int) -> tuple[Tensor, Tensor]:
    """Numbers [n, 12] and labels [n]; the teacher is the same for all seeds."""
    teacher = torch.from_numpy(np.random.default_rng(0).standard_normal((12, 2))).float()
    x = torch.from_numpy(np.random.default_rng([1, seed]).standard_normal((n, 12))).float()
    return x, (x @ teacher[:, 0] > 0).long()


@cache
def loss_of_main(method: str | None, other: str, seed: int) -> float:
    """The main task's loss on a thousand new rows; method None: trained without the second task, on the same batches."""
    tasks = ["main", other]
    x, y = rows(seed, 160)
    labels = {"main": y, "twin": y, "noise": y[torch.from_numpy(np.random.default_rng([2, seed]).permutation(len(y)))]}
    torch.manual_seed(seed)
    model = Small(tasks)
    model.heads[other].load_state_dict(model.heads["main"].state_dict())

    def loss(task: str, items: np.ndarray) -> Tensor:
        return cross_entropy(model.heads[task](model.encoder(x[items])), labels[task][items])

    def gradient(task: str, items: np.ndarray) -> tuple[Tensor, int]:
        found = loss(task, items)
        (found * (10.0 if task == "noise" else 1.0)).backward()
        return found.detach(), len(items)

    step = Joint(model, method or "sum", tasks, {"noise": 10.0}, seed, gradient, loss, int)
    optimizer, batches = make_optimizer("adamax", model, RATE, 0.0), np.random.default_rng([3, seed])
    for number in range(STEPS):
        parts = {"main": batches.integers(160, size=BATCH), other: batches.integers(160, size=BATCH)}
        if other == "twin":
            parts[other] = parts["main"]
        optimizer.param_groups[0]["lr"] = optimizer.param_groups[1]["lr"] = learning_rate(number, STEPS, 0.1, RATE)
        if method:
            step.backward(number, parts)
        else:
            gradient("main", parts["main"])
        clip_gradients(list(model.parameters()), 1.0, each=False)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        step.after(number, parts, number % 30 == 29) if method else None
    x, y = rows(100, 1000)
    with torch.no_grad():
        return cross_entropy(model.heads["main"](model.encoder(x)), y).item()


@pytest.mark.parametrize("method", ["mgda", "imtl_g", "aligned_mtl", "pcd"])
def test_noise_at_ten_times_the_loss_costs_less_than_under_sum_for_five_seeds(method):
    alone, plain, mine = ([loss_of_main(m, "noise", seed) for seed in SEEDS] for m in (None, "sum", method))
    assert all(a < p - 0.2 for a, p in zip(alone, plain, strict=True)), "under sum, noise does raise the loss"
    assert all(m < p - 0.05 for m, p in zip(mine, plain, strict=True)), (mine, plain)


@pytest.mark.parametrize("method", BALANCES)
def test_a_twin_of_the_main_task_costs_nothing(method):
    for seed in range(2):
        assert loss_of_main(method, "twin", seed) < loss_of_main(None, "twin", seed) + 0.03
