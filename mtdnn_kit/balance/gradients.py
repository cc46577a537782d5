"""Methods that combine the tasks' gradients on the encoder, Σ wₖ gₖ, by their Gram matrix G = (gᵢ · gⱼ); each head keeps its own gradient.

torchjd computes the weights. A method keeps its memory in `state`, as in `losses`; G [K, K], main task first, is float64 on the processor.
`upgrad`, `cagrad` and `nash_mtl` need solvers (`SOLVERS`): pip install 'mtdnn-kit[balance]'.
"""

import warnings
from collections.abc import Callable, Mapping
from importlib.util import find_spec

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor

from mtdnn_kit.balance.losses import State, seeded
from mtdnn_kit.errors import ConfigError, PluginError

SOLVERS = {"upgrad": ("qpsolvers", "quadprog"), "cagrad": ("cvxpy", "clarabel"), "nash_mtl": ("cvxpy", "ecos")}
BETA = 0.01  # of `gradvac`: decay of the targets' moving average, by its paper
TAU = 0.02  # of `pcd`: least progress of each other task, as a share of that along its own gradient
C = 0.5  # of `cagrad`: greatest distance from the mean gradient, relative to its norm


def pcgrad(gram: Tensor, state: State, rng: Generator) -> Tensor:
    """Removes from each gᵢ, for the others j in random order, its part along gⱼ if gᵢ · gⱼ < 0; then sums (Yu et al. 2020, "Gradient
    Surgery for Multi-Task Learning", algorithm 1). Without conflicts it is the sum."""
    from torchjd.aggregation import PCGradWeighting

    with seeded(rng):
        return PCGradWeighting()(gram)


def gradvac(gram: Tensor, state: State, rng: Generator) -> Tensor:
    """Adds to each gᵢ, for the others j in random order, so much of gⱼ that their cosine reaches its target, a moving average of that
    pair's cosines, β = 0.01 (Wang et al. 2021, "Gradient Vaccine", algorithm 1); then the sum."""
    from torchjd.aggregation import GradVacWeighting

    weighting = GradVacWeighting(beta=BETA)
    if "cosines" in state:
        weighting._phi_t, weighting._state_key = state["cosines"].clone(), (len(gram), gram.dtype)
    with seeded(rng):
        weights = weighting(_normalized(gram))
    state["cosines"] = weighting._phi_t
    return weights


def mgda(gram: Tensor, state: State, rng: Generator) -> Tensor:
    """The shortest vector among the convex combinations of the gradients: min ‖Σ wₖ gₖ‖, w ≥ 0, Σ w = 1, by Frank–Wolfe, at most 100
    steps, until one is shorter than 0.001 (Désidéri 2012; Sener & Koltun 2018, "Multi-Task Learning as Multi-Objective Optimization",
    algorithm 2)."""
    from torchjd.aggregation import MGDAWeighting

    return MGDAWeighting(epsilon=0.001, max_iters=100)(gram)


def imtl_g(gram: Tensor, state: State, rng: Generator) -> Tensor:
    """The combination whose projections on all gradients' directions are equal, Σ w = 1 (Liu et al. 2021, "Towards Impartial Multi-Task
    Learning", section 3.1). Computed on gradients of length 1, of which G⁺ is exact whatever the tasks' scales; one of length 0 has
    weight 0. Weights may be negative."""
    from torchjd.aggregation import IMTLGWeighting

    scale = _inverse(gram.diagonal().sqrt())
    weights = IMTLGWeighting()(gram * torch.outer(scale, scale)) * scale
    total = weights.sum()
    return weights / total if total.abs() > 0 else weights


def aligned_mtl(gram: Tensor, state: State, rng: Generator) -> Tensor:
    """The mean of the gradients after all singular values of their matrix are made the smallest one: w = √λ_min V Λ^(−½) Vᵀ 1/K, G = V Λ Vᵀ
    (Senushkin et al. 2023, "Independent Component Alignment for Multi-Task Learning", algorithm 1)."""
    from torchjd.aggregation import AlignedMTLWeighting

    return AlignedMTLWeighting(scale_mode="min")(gram)


def pcd(gram: Tensor, state: State, rng: Generator) -> Tensor:
    """The direction nearest to the main task's gradient that gives every other task at least τ = 0.02 of the progress of a step along its
    own: min ½‖d − g₁‖², gⱼ · d ≥ τ‖gⱼ‖², gradients scaled by a moving average of their size (β = 0.999), the result as long as the main
    one's ("Not All Objectives Are Born Equal: Priority-Constrained Descent", TMLR 2026). The first of `tasks` is the primary one."""
    from torchjd.aggregation import PCDWeighting

    weighting = PCDWeighting(tau=TAU, beta=0.999, eps=1e-8)
    if "sizes" in state:
        weighting._sq_norm_ema, weighting._n_steps, weighting._state_key = state["sizes"].clone(), state["steps"], len(gram)
    weights = weighting(gram)
    state |= {"sizes": weighting._sq_norm_ema, "steps": weighting._n_steps}
    return weights


def upgrad(gram: Tensor, state: State, rng: Generator) -> Tensor:
    """Each gₖ / K is projected on the cone of the directions that conflict with no gradient; then the sum (Quinton & Rey 2024, "Jacobian
    Descent for Multi-Objective Optimization"). Needs quadprog."""
    from torchjd.aggregation import UPGradWeighting

    return UPGradWeighting()(_normalized(gram))


def cagrad(gram: Tensor, state: State, rng: Generator) -> Tensor:
    """The direction within c‖g₀‖, c = 0.5, of the mean gradient g₀ that serves the worst-off task best (Liu et al. 2021, "Conflict-Averse
    Gradient Descent for Multi-Task Learning", algorithm 1). Needs cvxpy with Clarabel."""
    from torchjd.aggregation import CAGradWeighting

    return CAGradWeighting(c=C)(_normalized(gram))


def nash_mtl(gram: Tensor, state: State, rng: Generator) -> Tensor:
    """The tasks' Nash bargaining solution: G w = 1/w, with at most 20 convex problems per step, started at the last weights; the update
    has length 1 at most (Navon et al. 2022, "Multi-Task Learning as a Bargaining Game", algorithm 1).

    Computed on gradients of length 1, since the solution does not depend on the tasks' scales. Where such a problem has no solution (one
    gradient is 0, or they cancel each other), the last weights stay, at first 1 for each such gradient. Needs cvxpy with ECOS."""
    from torchjd.aggregation import NashMTL

    weighting = NashMTL(n_tasks=len(gram)).weighting
    if "weights" in state:
        weighting.prvs_alpha = state["weights"].numpy().copy()
    scale = _inverse(gram.diagonal().sqrt())
    unit = gram * torch.outer(scale, scale)
    values, vectors = torch.linalg.eigh(_normalized(unit))
    # torchjd needs gradients: [K, K] rows with the same inner products, √Λ per direction
    with warnings.catch_warnings(), np.errstate(all="ignore"):  # at each step: no faster the next time, of low accuracy
        warnings.filterwarnings("ignore", ".*(not DPP|may be inaccurate)", UserWarning)
        weights = weighting(vectors * values.clamp(min=0).sqrt())
    state["weights"] = torch.from_numpy(np.array(weighting.prvs_alpha))
    return weights * scale * _inverse(unit.diagonal().sum().sqrt())


def custom_weights(function: Callable, tasks: tuple[str, ...], losses: Tensor, gram: Tensor, state: State, rng: Generator) -> Tensor:
    """Weights by a custom function: (losses {task: loss}, gram [K, K], memory {}, rng) → {task: weight} (docs/plugins.md).

    `memory` holds numbers and arrays of numbers, and is kept from step to step. Raises PluginError.
    """
    memory = {name: value.numpy() for name, value in state.items()}
    found = function(dict(zip(tasks, losses.tolist(), strict=True)), gram.numpy(), memory, rng)
    said = f"balance: {getattr(function, 'name', 'the function')}"
    if not isinstance(found, Mapping) or set(found) != set(tasks):
        raise PluginError(
            f"{said} must give a weight for each of {', '.join(tasks)}; it gave {list(found) if isinstance(found, Mapping) else found}"
        )
    if odd := [name for name in memory if not isinstance(name, str)]:
        raise PluginError(f"{said}: keys of memory must be text, or they would be others in the next step; {odd[0]!r} is not")
    try:
        weights = torch.tensor([float(found[task]) for task in tasks], dtype=torch.float64)
        kept = {name: torch.from_numpy(np.array(value, np.float64)) for name, value in memory.items()}
    except (TypeError, ValueError) as error:
        raise PluginError(f"{said}: weights and what is in memory must be numbers, or arrays of numbers ({error})") from None
    if not weights.isfinite().all():
        raise PluginError(f"{said} gave the weights {dict(found)}; each must be a finite number")
    state.clear()
    state.update(kept)
    return weights


def check_solver(name: str | None) -> None:
    """Raises ConfigError where a method needs a solver that is not installed."""
    lacking = [package for package in SOLVERS.get(name or "", ()) if find_spec(package) is None]
    if lacking:
        raise ConfigError(f"balance: {name!r} needs {' and '.join(lacking)}: pip install 'mtdnn-kit[balance]', or take another method")


def _inverse(sizes: Tensor) -> Tensor:
    """1/x, 0 for 0."""
    return torch.where(sizes > 0, 1 / sizes.clamp(min=torch.finfo(sizes.dtype).tiny), 0.0)


def _normalized(gram: Tensor) -> Tensor:
    """Divided by its trace: the weights stay the same, and the library's tolerance for zero becomes relative to the gradients' size."""
    return gram * _inverse(gram.diagonal().sum())


GRADIENTS: dict[str, Callable[[Tensor, State, Generator], Tensor]] = {
    "pcgrad": pcgrad, "gradvac": gradvac, "mgda": mgda, "imtl_g": imtl_g, "aligned_mtl": aligned_mtl, "pcd": pcd,
    "upgrad": upgrad, "cagrad": cagrad, "nash_mtl": nash_mtl,
}  # fmt: skip
