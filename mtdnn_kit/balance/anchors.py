"""Anchors: a pull of the shared encoder towards weights θ₀, between a step's gradients and its update.

    l2sp        θ ← θ − lr · λ (θ − θ₀), apart from the optimizer's update, like the decay  Li et al. 2018, L2-SP; decoupled as in AdamW
    ewc         L + Σᵢ λ/2 · Fᵢ (θᵢ − θ₀ᵢ)²: gradient + λ F (θ − θ₀), F of `fisher`         Kirkpatrick et al. 2017, equation 3
    successive  L + δ ‖θ − θ′‖²: gradient + 2 δ (θ − θ′), θ′ before this task's block       Hashimoto et al. 2017

Heads have no anchor. The shared pooler has one, unless the encoder's files lack it: then the seed initialises it like a head. A
weight without a gradient in a step does not move, as in the optimizer. A penalty's gradient is clipped with the loss's. Knows no rows, no
losses and no optimizer; with several processes each does the same to its own copy.
"""

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor, nn

from mtdnn_kit.balance.kept import ANCHOR, keep, keep_only, kept
from mtdnn_kit.config import Anchor
from mtdnn_kit.errors import ConfigError
from mtdnn_kit.model.encoders import Encoder, read_weights
from mtdnn_kit.runs.run import Run, checkpoints

ENCODER_NAMES = "encoder."  # prefix of the encoder's weights in a run's model
Pull = Callable[[int, float], None]  # called with a step (from 0) and its learning rate, after its gradients


def free(step: int, rate: float) -> None:
    """The pull of a run without an anchor: none."""


def starting_weights(encoder: nn.Module, path: Path) -> dict[str, Tensor]:
    """θ₀ of `to: init`: a copy of the encoder's weights, without a pooler that the files in `path` do not hold."""
    pooler = False
    for file in path.glob("*.safetensors"):
        with safe_open(file, "pt") as opened:
            pooler = pooler or any("pooler" in key for key in opened.keys())  # noqa: SIM118 — it is not a dict
    return {name: p.detach().clone() for name, p in encoder.named_parameters() if pooler or "pooler" not in name}


def weights_of_run(folder: Path) -> dict[str, Tensor]:
    """θ₀ of `to: RUN`: the encoder's weights in the model that a run left in `folder`."""
    found = read_weights(folder / "model.safetensors")
    return {key.removeprefix(ENCODER_NAMES): x for key, x in found.items() if key.startswith(ENCODER_NAMES)}


def check_shapes(encoder: nn.Module, run: Encoder) -> None:
    """Raises ConfigError where the weights of a run's encoder differ from these in name or shape. Reads the header only."""
    own = {name: list(p.shape) for name, p in encoder.named_parameters()}
    with safe_open(run.path / "model.safetensors", "pt") as opened:
        keys = [key for key in opened.keys() if key.startswith(ENCODER_NAMES)]  # noqa: SIM118 — it is not a dict
        there = {key.removeprefix(ENCODER_NAMES): opened.get_slice(key).get_shape() for key in keys}
    for key in sorted(own.keys() | there.keys()):
        if own.get(key) != there.get(key):
            found, here = (some.get(key, "no such weight") for some in (there, own))
            raise ConfigError(f"anchor.to: {run.name} has another encoder ({key}: {found}, here {here}); name a run with the same encoder")


def pull_of(
    anchor: Anchor | None,
    encoder: nn.Module,
    at: Mapping[str, Tensor],
    fisher: Mapping[str, Tensor] | None,
    by_block: Callable[["Penalty"], "Successive"],
) -> Pull:
    """The pull of a run: towards θ₀ `at`, by F `fisher` (ewc), or a penalty `by_block` (`Successive`)."""
    weights = dict(encoder.named_parameters())
    if anchor is None:
        return free
    if anchor.kind == "l2sp":
        return Decoupled(anchor.strength, weights, at)
    if anchor.kind == "ewc":
        return Penalty(anchor.strength, weights, at, fisher)
    return by_block(Penalty(2 * anchor.strength, weights, at))


class Penalty:
    """ewc, and successive within a block: adds factor · F (θ − θ₀) to the gradients. weights, at, fisher: by name; fisher None: F is 1."""

    def __init__(self, factor: float, weights: Mapping[str, nn.Parameter], at: Mapping[str, Tensor], fisher: Mapping | None = None):
        self.factor, self.names, self.weights, self.at, self.fisher = factor, list(at), weights, dict(at), fisher

    @torch.no_grad()
    def __call__(self, step: int, rate: float) -> None:
        """The pull of a step."""
        names = moving(self.names, self.weights)
        if names:
            gaps = torch._foreach_sub([self.weights[n] for n in names], [self.at[n] for n in names])
            if self.fisher is not None:
                torch._foreach_mul_(gaps, [self.fisher[n] for n in names])
            torch._foreach_add_([self.weights[n].grad for n in names], gaps, alpha=self.factor)


class Decoupled:
    """l2sp: moves the weights themselves by the fraction lr · λ towards θ₀."""

    def __init__(self, strength: float, weights: Mapping[str, nn.Parameter], at: Mapping[str, Tensor]):
        self.strength, self.weights, self.at = strength, weights, at

    @torch.no_grad()
    def __call__(self, step: int, rate: float) -> None:
        """The pull of a step."""
        names = moving(self.at, self.weights)
        if names:
            # θ + lr λ (θ₀ − θ)
            torch._foreach_lerp_([self.weights[n] for n in names], [self.at[n] for n in names], rate * self.strength)


def moving(names: Sequence[str] | Mapping, weights: Mapping[str, nn.Parameter]) -> list[str]:
    """The names of the weights that a step moves: those with a gradient."""
    return [name for name in names if weights[name].grad is not None]


class Successive:
    """A `Penalty` whose anchor is replaced before each block of steps of one task, and kept in the run's folder while a checkpoint may
    need it.

    tasks [S]: the number of each step's task; writes: whether this process writes it; first: the step at which the run resumes. Raises
    RunError if θ′ of that step's block is missing.
    """

    def __init__(self, penalty: Penalty, tasks: np.ndarray, run: Run, writes: bool, first: int):
        self.penalty, self.run, self.writes = penalty, run, writes
        self.starts = [0, *(np.flatnonzero(np.diff(tasks)) + 1).tolist()]
        if 0 < (start := self._start(first)) < first:
            for name, x in kept(self._place(start), {"step": start}).items():
                penalty.at[name] = x.to(penalty.at[name].device)

    @torch.no_grad()
    def __call__(self, step: int, rate: float) -> None:
        """The pull of a step; none at the first one of a block."""
        if step and step in self.starts:
            self.penalty.at = {name: self.penalty.weights[name].detach().clone() for name in self.penalty.at}
            if self.writes:
                keep(self._place(step), self.penalty.at, {"step": step})
                needed = [step, *(done for done, _ in checkpoints(self.run))]
                keep_only(self.run.path / ANCHOR, [self._place(self._start(one)) for one in needed])
        self.penalty(step, rate)

    def _start(self, step: int) -> int:
        """The first step of the block that a step belongs to; past the end: of the last one."""
        return self.starts[bisect_right(self.starts, step) - 1]

    def _place(self, start: int) -> Path:
        return self.run.path / ANCHOR / f"block-{start:07d}"
