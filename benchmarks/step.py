"""Where the time of a training step goes: torch's profiler over steps of real lengths, by kind of work.

    .venv/bin/python benchmarks/step.py [--data FOLDER] [--steps 20] [--precision auto] [--quick]

The kit's own training (MiniLM, batch 16, dropout 0.1, Adamax), one task. Beside it the tokens/s that the matrix products of a step would
allow at the rate that this machine reaches with one product of the encoder's shapes alone. The profiler itself costs some per cent.
"""

import argparse
import os
import tempfile
import time

import torch
from machine import heading
from torch.profiler import profile

from mtdnn_kit import Config, prepare, train
from mtdnn_kit.devices import resolve_precision

KINDS = {  # operators of torch → kind of work; the first that fits
    "matrix products": ("aten::mm", "aten::addmm"),
    "attention: products": ("aten::bmm",),
    "attention: softmax": ("softmax",),
    "dropout: numbers": ("random_",),
    "dropout: masks, scaling": ("bitwise", "aten::mul", "aten::sub_"),
    "casts and copies": ("aten::copy_",),
    "layer norm, gelu": ("layer_norm", "gelu", "aten::sum"),
    "optimizer": ("_foreach", "aten::lerp_", "aten::abs", "aten::maximum", "aten::addcdiv_", "Optimizer", "vector_norm", "aten::mul_"),
    "embedding": ("embedding", "index_select", "fill_"),
}


def kind_of(name: str) -> str:
    """The kind of an operator."""
    if name in ("aten::mul_", "aten::_foreach_mul_"):
        return "optimizer"
    return next((kind for kind, parts in KINDS.items() if any(part in name for part in parts)), "other: Python, autograd, data")


def products() -> float:
    """Floating-point operations a second of the encoder's widest product, bf16 where the device has it, median of 20."""
    dtype = torch.bfloat16 if resolve_precision("auto", torch.device("cpu")) == "bf16" else torch.float32
    a, b, times = torch.randn(2688, 384, dtype=dtype), torch.randn(384, 1536, dtype=dtype), []
    for _ in range(22):
        began = time.perf_counter()
        a @ b
        times.append(time.perf_counter() - began)
    return 2 * 2688 * 384 * 1536 / sorted(times)[11]


def main() -> None:
    """Prints a line a kind: share of a step."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default=os.environ.get("MTDNN_DATA", "sample"))
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--quick", action="store_true", help="4 steps")
    given = parser.parse_args()
    steps = 4 if given.quick else given.steps
    lengths = dict(max_length=384, overlap=128, batch_size=16, max_steps=steps, epochs=50.0, log_every=1000)
    rows = dict(data=given.data, train_limit=1200, eval_limit=1, tasks=["squad"], qa_weight=1.0, device="cpu")
    with tempfile.TemporaryDirectory() as folder:
        config = Config(**lengths, **rows, precision=given.precision, run_dir=f"{folder}/run")
        setup = prepare(config)
        found = {}

        def watch(records: list[dict]) -> None:
            """The log is written after the last step: what follows is evaluation."""
            found["tokens"] = sum(record["tokens"] for record in records)
            profiler.stop()

        profiler = profile()
        profiler.start()
        precision = train(config, setup, watch).manifest["precision"]
    times: dict[str, float] = {}
    for event in profiler.key_averages():
        times[kind_of(event.key)] = times.get(kind_of(event.key), 0) + event.self_cpu_time_total / 1e6
    total, encoder = sum(times.values()), sum(6 * n for n in (4 * 384 * 384, 2 * 384 * 1536)) * 6
    print(f"{heading()}; {precision}, {steps} steps, {found['tokens'] / steps:,.0f} tokens a step")
    for name, seconds in sorted(times.items(), key=lambda item: -item[1]):
        print(f"{name:32} {seconds / total:6.1%} {1000 * seconds / steps:7.0f} ms")
    rate = products()
    limit = f"matrix products alone, at {rate / 1e9:,.0f} GFLOP/s, would allow {rate / encoder:,.0f}"
    print(f"{found['tokens'] / total:,.0f} tokens/s under the profiler; {limit}")


if __name__ == "__main__":
    main()
