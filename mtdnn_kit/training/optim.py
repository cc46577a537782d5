"""Optimizers and the learning-rate schedule (paper, "Settings": Adamax with weight decay fix, warm-up over 0.1 of the steps, linear decay).

Decay is decoupled (Loshchilov & Hutter, 2019) and spares biases and LayerNorm. A parameter without a gradient is not touched: neither
decayed nor its moments moved: a step of one task must not change another task's head.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

BETAS = (0.9, 0.999)  # β₁, β₂
PIECE = 2**18  # elements of a parameter per update: they and their moments fit into a processor's cache


class Adamax(torch.optim.Optimizer):
    """Adamax (Kingma & Ba, 2015, section 7.1) with decoupled weight decay; torch's Adamax uses L2 decay, which differs.

    m ← β₁m + (1 − β₁)g;  u ← max(β₂u, |g| + ε);  θ ← θ − lr · (m / u / (1 − β₁ᵗ) + decay · θ), with a separate t for each parameter.
    `bias_correction=False` is the 2019 variant that the paper probably used: m / (u + ε), without 1 − β₁ᵗ.
    """

    def __init__(self, params: Iterable, lr: float, eps: float = 1e-8, weight_decay: float = 0.0, bias_correction: bool = True) -> None:
        super().__init__(params, dict(lr=lr, betas=BETAS, eps=eps, weight_decay=weight_decay, bias_correction=bias_correction))

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """One update of every parameter that has a gradient."""
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            if parameters:
                self._update(parameters, group)

    def _update(self, parameters: list[Tensor], group: dict) -> None:
        """The formula for many tensors at once: on a GPU all of a group, on a processor pieces of each that stay in the cache."""
        moments, rates = [self._moments(p) for p in parameters], [-group["lr"] / self._correction(p, group) for p in parameters]
        for p, grad, m, u, rate in _pieces(parameters, [p.grad for p in parameters], *zip(*moments, strict=True), rates):
            torch._foreach_lerp_(m, grad, 1 - group["betas"][0])
            torch._foreach_mul_(u, group["betas"][1])
            size = torch._foreach_abs(grad)
            torch._foreach_add_(size, group["eps"])
            torch._foreach_maximum_(u, size)
            torch._foreach_mul_(p, 1 - group["lr"] * group["weight_decay"])
            below = u if group["bias_correction"] else torch._foreach_add(u, group["eps"])  # the 2019 variant adds ε twice
            torch._foreach_addcdiv_(p, m, below, rate)

    def _moments(self, p: Tensor) -> tuple[Tensor, Tensor]:
        """m and u of a parameter; increments its step count."""
        state = self.state[p]
        if not state:
            state.update(step=0, exp_avg=torch.zeros_like(p), exp_inf=torch.zeros_like(p))
        state["step"] += 1
        return state["exp_avg"], state["exp_inf"]

    def _correction(self, p: Tensor, group: dict) -> float:
        return 1 - group["betas"][0] ** self.state[p]["step"] if group["bias_correction"] else 1.0


def _pieces(*columns: Sequence) -> Iterator[tuple[Sequence, ...]]:
    """Lists of tensors to update together, with their rates (the last column): on a GPU all, else PIECE elements of one."""
    if columns[0][0].device.type != "cpu":
        yield columns
        return
    for *tensors, rate in zip(*columns, strict=True):
        whole = not all(x.is_contiguous() for x in tensors)
        for piece in zip(*([x] if whole else x.view(-1).split(PIECE) for x in tensors), strict=True):
            yield (*([part] for part in piece), [rate])


def make_optimizer(name: str, model: nn.Module, learning_rate: float, weight_decay: float) -> torch.optim.Optimizer:
    """`adamax`, `adamax_mtdnn` or `adamw`; two groups, the second (biases, LayerNorm: one-dimensional) without decay."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if name == "adamw":
        return torch.optim.AdamW(groups, lr=learning_rate, fused=True)
    if name == "adamax_mtdnn":
        return Adamax(groups, learning_rate, eps=1e-6, bias_correction=False)
    return Adamax(groups, learning_rate)


def clip_gradients(parameters: list[Tensor], max_norm: float, each: bool) -> Tensor:
    """Scales the gradients to norm `max_norm` at most: jointly, or `each` parameter separately (`adamax_mtdnn`).

    Returns the global norm before clipping, a scalar on the device (without waiting for it).
    """
    parameters = [p for p in parameters if p.grad is not None]
    if not each:
        return nn.utils.clip_grad_norm_(parameters, max_norm)
    norms = torch.stack([nn.utils.clip_grad_norm_(p, max_norm) for p in parameters])
    return torch.linalg.vector_norm(norms)


def norm_of(task: str, max_grad_norm: float | Mapping[str, float]) -> float:
    """The norm to which a task's gradient is clipped: one for all, or its own; 1 (the paper's) if a mapping does not name it."""
    return max_grad_norm.get(task, 1.0) if isinstance(max_grad_norm, Mapping) else max_grad_norm


def learning_rate(step: int, total: int, warmup: float, peak: float) -> float:
    """Rate of a step counted from 0: rises over the first `warmup` · total steps to the peak, then falls linearly towards 0.

    Step k of W warm-up steps has (k + 1) / W of the peak and step k of the rest (T − k) / (T − W): no step has rate 0.
    """
    rising = round(warmup * total)
    return peak * ((step + 1) / rising if step < rising else (total - step) / (total - rising))


def state_tensors(optimizer: torch.optim.Optimizer, model: nn.Module) -> dict[str, Tensor]:
    """The optimizer's state as named tensors, `PARAMETER|KEY`, for a checkpoint without pickle."""
    names = {id(p): name for name, p in model.named_parameters()}
    return {f"{names[id(p)]}|{k}": torch.as_tensor(v) for p, state in optimizer.state.items() for k, v in state.items()}


def load_state_tensors(optimizer: torch.optim.Optimizer, model: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Restores the result of `state_tensors`."""
    parameters = dict(model.named_parameters())
    for name, value in tensors.items():
        parameter, _, key = name.rpartition("|")
        p = parameters[parameter]
        counted = value.dtype == torch.int64  # Adamax counts its steps with a Python int, AdamW with a float tensor
        optimizer.state[p][key] = int(value) if counted else value.to(p.device, copy=True)
