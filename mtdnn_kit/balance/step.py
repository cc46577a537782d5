"""The joint step: a backward pass for each task, in the tasks' order, combined into one gradient.

`sum` accumulates the gradients. Every other method holds the encoder's gradient of each task, K at most, computes a weight for
each task (`losses`, `gradients`), and adds the weighted gradients. The caller gives the functions that compute gradient and loss, and
updates the weights. A method waits for the device once per step. Shapes: K tasks, main task first.
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from mtdnn_kit.balance.gradients import GRADIENTS, custom_weights
from mtdnn_kit.balance.losses import LOSSES, dwa_after_epoch, famo_after, numbers
from mtdnn_kit.errors import KitError, TrainingError

_PIECE = 2**18  # elements of each gradient that are multiplied at a time
Parts = dict[str, np.ndarray]  # task → its items of a step


class Joint:
    """Steps of several tasks by a method: its name, or a custom function.

    gradient(task, items) → (mean loss, tokens), the gradients added to the weights'; loss(task, items) → mean loss, without gradients;
    seed_of(step) → the seed of the step's dropout; factors: `loss_weights` by task.
    `state`: the method's memory, for checkpoints. `figures`: the last step's mean losses of the tasks [K], on the device, and
    weights [K].
    """

    def __init__(
        self, model: nn.Module, method: str | Callable, tasks: list[str], factors: dict[str, float], seed: int,
        gradient: Callable, loss: Callable, seed_of: Callable[[int], int],
    ) -> None:  # fmt: skip
        self.method, self.tasks, self.seed, self.gradient, self.loss, self.seed_of = method, tuple(tasks), seed, gradient, loss, seed_of
        self.encoder = list(model.encoder.parameters())
        shared = {id(p) for p in self.encoder}
        self.heads = {task: [p for p in model.heads[task].parameters() if id(p) not in shared] for task in tasks}
        self.factors = torch.tensor([factors.get(task, 1.0) for task in tasks], dtype=torch.float64)
        self.state: dict[str, Tensor] = {}
        self.figures: tuple[Tensor, Tensor] | None = None

    def backward(self, step: int, parts: Parts) -> tuple[Tensor, int]:
        """Computes a step's gradient into the weights' `grad`, None before; step: from 0. → the main task's mean loss, all tasks' tokens.

        Raises TrainingError where the method finds no weights, PluginError where a custom function fails.
        """
        losses, tokens, gradients = [], 0, []
        for task, items in parts.items():
            loss, n = self.gradient(task, items)
            losses.append(loss)
            tokens += n
            if self.method != "sum":
                gradients.append(self._taken())
        weights = self._weights(step, torch.stack(losses), gradients) if gradients else torch.ones(len(losses), dtype=torch.float64)
        if gradients:
            self._combine(gradients, weights.tolist())
        self.figures = torch.stack(losses), weights
        return losses[0], tokens

    def after(self, step: int, parts: Parts, epoch_ends: bool) -> None:
        """What a method does after the optimizer's step: FAMO computes the losses again, on the same rows with the same dropout."""
        if self.method == "famo" and "before" in self.state:  # not where a loss was not finite: the log names that step
            torch.manual_seed(self.seed_of(step))
            with torch.no_grad():
                again = torch.stack([self.loss(task, items) for task, items in parts.items()])
            famo_after(again.double().cpu() * self.factors, self.state)
        if self.method == "dwa" and epoch_ends:
            dwa_after_epoch(self.state)

    def _taken(self) -> list[Tensor | None]:
        """The encoder's gradient, removed from its weights."""
        found = [p.grad for p in self.encoder]
        for p in self.encoder:
            p.grad = None
        return found

    def _weights(self, step: int, losses: Tensor, gradients: list[list[Tensor | None]]) -> Tensor:
        """The method's weights [K]; NaN where a loss or a gradient is not finite, so that the log names the step."""
        rng, told = numbers(self.seed, step), losses.double().cpu() * self.factors
        products = None if self.method in LOSSES else gram(gradients)
        if not (told.isfinite().all() and (products is None or products.isfinite().all())):
            return torch.full_like(told, torch.nan)
        try:
            if products is None:
                return LOSSES[str(self.method)](told, self.state, rng)
            if callable(self.method):
                return custom_weights(self.method, self.tasks, told, products, self.state, rng)
            return GRADIENTS[self.method](products, self.state, rng)
        except (ArithmeticError, RuntimeError, ValueError) as error:
            if isinstance(error, KitError):
                raise
            said = f"balance {self.method!r} found no weights for the gradients of these tasks ({type(error).__name__}: {error})"
            raise TrainingError(f"step {step + 1}: {said}. Set balance to another method, in a new run_dir.") from error

    def _combine(self, gradients: list[list[Tensor | None]], weights: list[float]) -> None:
        """Puts Σ wₖ gₖ into the encoder's weights; a method on losses also multiplies each head's gradient by its task's weight."""
        for p, *column in zip(self.encoder, *gradients, strict=True):
            p.grad = _weighted(column, weights)
        if self.method in LOSSES:
            for task, weight in zip(self.tasks, weights, strict=True):
                for p in self.heads[task]:
                    if p.grad is not None:
                        p.grad.mul_(weight)


def gram(gradients: list[list[Tensor | None]]) -> Tensor:
    """Inner products of the tasks' gradients [K, K], float64 on the processor; a weight that a task does not use counts as 0."""
    total = None
    for column in zip(*gradients, strict=True):
        for pieces in _pieces(column):
            product = pieces @ pieces.T
            total = product if total is None else total.add_(product)
    size = len(gradients)
    return torch.zeros(size, size, dtype=torch.float64) if total is None else total.cpu()


def _pieces(column: tuple[Tensor | None, ...]) -> Iterator[Tensor]:
    """Each task's gradient of one weight, as float64 [K, n], in pieces that fit a processor's cache."""
    some = next((g for g in column if g is not None), None)
    if some is None:
        return
    flat = [torch.zeros((), dtype=some.dtype, device=some.device).expand(some.numel()) if g is None else g.reshape(-1) for g in column]
    for start in range(0, some.numel(), _PIECE):
        yield torch.stack([x[start : start + _PIECE] for x in flat]).double()


def _weighted(column: list[Tensor | None], weights: list[float]) -> Tensor | None:
    """Σ wₖ gₖ, in the memory of the first gradient; None where no task has one."""
    total: Tensor | None = None
    for g, weight in zip(column, weights, strict=True):
        if g is not None:
            total = g.mul_(weight) if total is None else total.add_(g, alpha=weight)
    return total
