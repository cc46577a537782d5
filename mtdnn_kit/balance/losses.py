"""Methods that weigh whole tasks, by their losses: the encoder's gradient and the head's of task k alike get the weight wₖ = ∂S/∂Lₖ.

S is torchjd's scalarizer of the losses L (`loss_weights` are in them already). A method keeps its memory in `state`, tensors by name; the
library's object is rebuilt from it at each step, so that a resumed run equals an uninterrupted one. Shapes: [K] tasks, main
task first, float64 on the processor.
"""

from collections.abc import Callable
from typing import Any

import torch
from numpy.random import Generator
from torch import Tensor
from torch.optim import Adam

from mtdnn_kit.sampler import generator

State = dict[str, Tensor]
RATE = 0.025  # learning rate of a method's own parameters: FAMO's, by its paper
MU = 1.0  # smoothing of `stch`


def equal(losses: Tensor, state: State, rng: Generator) -> Tensor:
    """S = Σ Lₖ, weighted by `loss_weights` only: unitary or linear scalarization (Kurin et al. 2022, "In Defense of the Unitary
    Scalarization for Deep Multi-Task Learning"; Xin et al. 2022), the baseline of every other method."""
    return torch.ones_like(losses)


def uncertainty(losses: Tensor, state: State, rng: Generator) -> Tensor:
    """S = Σ ½ exp(−sₖ) Lₖ + ½ sₖ, where sₖ = log σₖ² is learned (Kendall et al. 2018, "Multi-Task Learning Using Uncertainty to Weigh
    Losses") and starts at 0. Adam learns it at `RATE`, not the model's optimizer as in the paper: its rates would barely move s."""
    from torchjd.scalarization import UW

    scalarizer = UW(len(losses)).double()
    return _learned(scalarizer, scalarizer.log_var, losses, state)


def imtl_l(losses: Tensor, state: State, rng: Generator) -> Tensor:
    """S = Σ exp(sₖ) Lₖ − sₖ, where sₖ is learned, from 0 on: towards scaled losses of 1 (Liu et al. 2021, "Towards Impartial Multi-Task
    Learning", section 3.2). With Adam, as for `uncertainty`."""
    from torchjd.scalarization import IMTLL

    scalarizer = IMTLL(len(losses)).double()
    return _learned(scalarizer, scalarizer.log_scale, losses, state)


def dwa(losses: Tensor, state: State, rng: Generator) -> Tensor:
    """wₖ = K softmaxₖ(rₖ / T), rₖ = mean loss of the last epoch / that of the one before, T = 2; 1 in the first two epochs (Liu et al.
    2019, "End-to-End Multi-Task Learning with Attention", section 3.2)."""
    scalarizer = _dwa(state)
    weights = _weights(scalarizer, losses)
    state |= {"sum": scalarizer._loss_sum, "batches": torch.tensor(scalarizer._n_batches)}
    return weights


def famo(losses: Tensor, state: State, rng: Generator) -> Tensor:
    """S = c Σ zₖ log Lₖ, z = softmax(ξ), c such that the weights c zₖ / Lₖ sum to 1. After the step ξ moves by Adam, rate `RATE`, decay
    0.001, away from tasks whose log loss on the same rows fell more (Liu et al. 2023, "FAMO: Fast Adaptive Multitask Optimization",
    algorithm 1): one more forward pass per task."""
    scalarizer = _famo(losses, state)
    weights = _weights(scalarizer, losses)
    state["before"] = losses.detach()
    return weights


def random(losses: Tensor, state: State, rng: Generator) -> Tensor:
    """wₖ = softmaxₖ(z), z standard normal, drawn at each step (Lin et al. 2022, "Reasonable Effectiveness of Random Weighting",
    algorithm 2): the placebo among the methods."""
    from torchjd.scalarization import Random

    with seeded(rng):
        return _weights(Random(), losses)


def stch(losses: Tensor, state: State, rng: Generator) -> Tensor:
    """S = μ log Σ exp(Lₖ / (K μ)), μ = `MU`: a smooth maximum of the losses (Lin et al. 2024, "Smooth Tchebycheff Scalarization for
    Multi-Objective Optimization", with equal preferences and ideal losses 0)."""
    from torchjd.scalarization import STCH

    return _weights(STCH(mu=MU), losses)


def famo_after(losses: Tensor | None, state: State) -> None:
    """FAMO's own step. losses: those of the same rows after the model's step."""
    before = state.pop("before")
    scalarizer = _famo(before, state)
    scalarizer._prev_losses, scalarizer._optimizer = before, _adam(scalarizer._w, state, scalarizer.weight_decay)
    scalarizer.update(losses)
    _keep(scalarizer._w, scalarizer._optimizer, state)


def dwa_after_epoch(state: State) -> None:
    """The end of an epoch: its mean losses join the history."""
    scalarizer = _dwa(state)
    scalarizer.step()
    state.clear()
    state.update(zip(("older", "newer")[-len(scalarizer._previous_averages) :], scalarizer._previous_averages, strict=True))


class seeded:
    """Within it, torch's generator of the processor is seeded by `rng`; afterwards it has its earlier state again."""

    def __init__(self, rng: Generator) -> None:
        self.rng, self.fork = rng, torch.random.fork_rng(devices=[])

    def __enter__(self) -> None:
        self.fork.__enter__()
        torch.default_generator.manual_seed(int(self.rng.integers(2**63)))

    def __exit__(self, *error: object) -> None:
        self.fork.__exit__(*error)


def numbers(seed: int, step: int) -> Generator:
    """The random numbers of a method at a step. They depend only on seed and step, so no state is saved."""
    return generator(seed, "balance", step)


def _weights(scalarizer: Callable, losses: Tensor) -> Tensor:
    """∂S/∂L at the losses."""
    values = losses.detach().clone().requires_grad_()
    scalarizer(values).backward()
    return values.grad


def _learned(scalarizer: Callable, parameter: torch.nn.Parameter, losses: Tensor, state: State) -> Tensor:
    """The weights; then a step of the method's own parameter."""
    _put(parameter, state)
    optimizer = _adam(parameter, state)
    weights = _weights(scalarizer, losses)
    optimizer.step()
    _keep(parameter, optimizer, state)
    return weights


def _famo(losses: Tensor, state: State) -> Any:
    from torchjd.scalarization import FAMO

    scalarizer = FAMO(len(losses), lr=RATE).double()
    _put(scalarizer._w, state)
    return scalarizer


def _dwa(state: State) -> Any:
    from torchjd.scalarization import DWA

    scalarizer = DWA()
    scalarizer._loss_sum, scalarizer._n_batches = state.get("sum"), int(state.get("batches", 0))
    scalarizer._previous_averages = [state[name] for name in ("older", "newer") if name in state]
    return scalarizer


def _put(parameter: torch.nn.Parameter, state: State) -> None:
    if "learned" in state:
        parameter.data.copy_(state["learned"])


def _adam(parameter: torch.nn.Parameter, state: State, decay: float = 0.0) -> Adam:
    """The optimizer of a method's own parameter, with its earlier moments."""
    optimizer = Adam([parameter], lr=RATE, weight_decay=decay)
    if "step" in state:
        optimizer.state[parameter] = {name: state[name].clone() for name in ("step", "exp_avg", "exp_avg_sq")}
    return optimizer


def _keep(parameter: torch.nn.Parameter, optimizer: Adam, state: State) -> None:
    state |= {"learned": parameter.detach().clone(), **optimizer.state[parameter]}


LOSSES: dict[str, Callable[[Tensor, State, Generator], Tensor]] = {
    "sum": equal, "uncertainty": uncertainty, "dwa": dwa, "famo": famo, "random": random, "stch": stch, "imtl_l": imtl_l,
}  # fmt: skip
