"""The speed of an encoder's matrix products in isolation: the limit of a training step. Knows no model and no step."""

import statistics
import time

import torch


def synchronize(device: torch.device) -> None:
    """Waits for the device."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def weights(config) -> int:
    """Weights of the products of all layers (the products inside attention have none and are left out)."""
    return config.num_hidden_layers * (4 * config.hidden_size**2 + 2 * config.hidden_size * config.intermediate_size)


def alone(config, tokens: int, device: torch.device, dtype: torch.dtype, repeats: int = 20) -> float:
    """Operations per second of one layer's products, forward and both backward ones, for this many tokens; the median of `repeats`."""
    narrow, wide, times = config.hidden_size, config.intermediate_size, []
    shapes = [(narrow, narrow)] * 4 + [(narrow, wide), (wide, narrow)]
    made = [[torch.randn(size, device=device, dtype=dtype) for size in ((tokens, a), (a, b), (tokens, b))] for a, b in shapes]
    for _ in range(repeats + 3):
        synchronize(device)
        began = time.perf_counter()
        for x, weight, gradient in made:
            x @ weight, gradient @ weight.T, x.T @ gradient
        synchronize(device)
        times.append(time.perf_counter() - began)
    return 6 * tokens * sum(a * b for a, b in shapes) / statistics.median(times[3:])
