"""What every benchmark prints about machine and versions; medians and ratios. Knows nothing about what is measured."""

import statistics
from importlib.metadata import version

import torch

from mtdnn_kit.model.devices import describe


def heading() -> str:
    """CPU or GPU, threads, versions."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "accelerate"))
    return f"{describe(device)}; {torch.get_num_threads()} threads; {versions}"


def ratio(ours: list[float], theirs: list[float]) -> float:
    """Median ratio, ours over theirs, of alternating repeats."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
