"""What every benchmark prints about machine and versions; the order of sides, medians and ratios. Knows nothing about what is measured."""

import statistics
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import TypeVar

import torch

from mtdnn_kit.model.devices import describe

Result = TypeVar("Result")


def heading(kind: str = "cpu") -> str:
    """The device that is measured, threads, versions; kind: "cpu", "cuda", or "auto", a GPU if there is one."""
    device = torch.device("cuda" if kind == "auto" and torch.cuda.is_available() else "cpu" if kind == "auto" else kind)
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "accelerate"))
    return f"{describe(device)}; {torch.get_num_threads()} threads; {versions}"


def alternately(sides: Sequence[Callable[[], Result]], repeats: int) -> list[list[Result]]:
    """[sides][repeats]: what each side returned; in every second repeat the sides run in reverse order."""
    found: list[list[Result]] = [[] for _ in sides]
    for repeat in range(repeats):
        for place in range(len(sides))[:: -1 if repeat % 2 else 1]:
            found[place].append(sides[place]())
    return found


def ratio(ours: list[float], theirs: list[float]) -> float:
    """Median ratio, ours over theirs, of alternating repeats."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
