"""Whether two runs are bit-identical, and an exception that ends a run like a kill."""

import torch
from safetensors.torch import load_file

from mtdnn_kit import Run

TIMING = {"tokens_per_second"}
PREDICTIONS = {"squad": ("squad.json", "squad_nbest.jsonl.gz"), "cola": ("cola.jsonl",)}


class Stopped(BaseException):
    """Ends a run like a kill, at a place that the test chooses."""


def weights_of(run: Run) -> dict[str, torch.Tensor]:
    return load_file(run.path / "model" / "model.safetensors")


def log_of(run: Run) -> list[dict]:
    return [{key: value for key, value in record.items() if key not in TIMING} for record in run.log()]


def assert_same(one: Run, two: Run, tasks=("squad", "cola")) -> None:
    """Bit for bit, both trained on this machine with the same number of threads: weights, log, scores and predictions."""
    a, b = weights_of(one), weights_of(two)
    assert a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
    assert log_of(one) == log_of(two)
    for name in ("metrics.json", *(f"predictions/{name}" for task in tasks for name in PREDICTIONS[task])):
        assert (one.path / name).read_bytes() == (two.path / name).read_bytes(), name
