"""Training steps on a GPU: bert-base and bert-large shapes, batch 16 and 64; tokens/s next to the tuned Trainer's and the products' limit.

    .venv/bin/python benchmarks/gpu.py [--data FOLDER] [--steps 100] [--repeats 3] [--shapes bert-base,bert-large] [--sizes 16,64] [--quick]

Weights are random; lengths are those of real windows. `kit`: the kit's step (bf16 autocast, dropout 0.1, Adamax, clipping, no
synchronisation). `graphs`: the same with `cuda_graphs: true`. `tuned`: transformers' Trainer (`peers`) on the same windows. Each repeat
runs the sides one after another on fresh models, in reverse order in every second repeat; results are medians. Warm-up and recording are
not timed. The limit is the speed of a layer's matrix products alone (forward and both backward ones) at a batch's tokens; printed with it
are the share of the card's peak, and the kinds of kernel on which the kit's step spends the GPU's time. Tables 1 + 2 of the paper (7
different runs, 2 epochs of 130,319 questions) are extrapolated from batch 16. `--device cpu --shapes tiny` only checks that it runs.
"""

import argparse
import gc
import os
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import peers
import torch
import transformers
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from machine import heading
from products import alone, synchronize, weights
from torch import Tensor

from mtdnn_kit import Config, prepare
from mtdnn_kit.config import DEFAULT_ENCODER
from mtdnn_kit.model import dropout, layer_norm
from mtdnn_kit.model.devices import resolve_precision
from mtdnn_kit.model.multitask import MultiTask
from mtdnn_kit.training.cuda_graphs import BUCKET, Graphs
from mtdnn_kit.training.loop import backward
from mtdnn_kit.training.optim import clip_gradients, make_optimizer
from mtdnn_kit.training.setup import Setup

SHAPES = {
    "bert-base": dict(),
    "bert-large": dict(hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, intermediate_size=4096),
    "tiny": dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=48),
}
PEAKS = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "L4": 121e12}  # bf16 operations per second, dense, by the maker
QUESTIONS = 2 * 130_319 * 7 / 0.8  # of tables 1 + 2: seven runs of two epochs, QA with probability 0.8, if other tasks' steps take as long
WARM = 5  # untimed steps
KERNELS = {  # kinds of kernel, by words in their names; the first match counts
    "products": ("gemm", "nvjet", "cutlass_80_tensorop", "cutlass_tensorop", "splitk", "addmm", "::mm", "::bmm"),
    "attention": ("fmha", "flash", "attention", "softmax"),
    "optimizer and clipping": ("multi_tensor", "foreach"),
    "dropout": ("dropout",),
    "layer norm": ("layer_norm", "layernorm", "gammabeta"),
    "gelu": ("gelu",),
    "embedding": ("embedding", "index"),
    "copies and casts": ("copy", "memcpy", "memset"),
    "sums": ("reduce",),
    "other elementwise": ("elementwise",),
}


def build(shape: str) -> MultiTask:
    """A question-answering model with random weights, set up like the kit's."""
    head = transformers.BertForQuestionAnswering(transformers.BertConfig(**SHAPES[shape]))
    model = MultiTask(head.bert, {"squad": head}, {"squad": {"type": "qa", "labels": 2}})
    dropout.install(model, model.encoder)
    layer_norm.install(model)
    return model.train()


def stepper(model: MultiTask, setup: Setup, device: torch.device, recorded: bool) -> Callable[[np.ndarray], Tensor]:
    """A function that makes one step like `training.trainer` and returns its loss without waiting for it."""
    AcceleratorState._reset_state(reset_partial_state=True)
    bf16 = resolve_precision("auto", device) == "bf16"
    accelerator = Accelerator(mixed_precision="bf16" if bf16 else "no", cpu=device.type == "cpu")
    joined, optimizer = accelerator.prepare(model, make_optimizer("adamax", model, 3e-5, 0.01))
    record = None if device.type == "cuda" else (lambda step: step)  # on a CPU nothing is recorded
    gradients = Graphs(accelerator, joined, setup, record).backward if recorded else partial(backward, accelerator, joined, setup)
    parameters = list(model.parameters())

    def step(items: np.ndarray) -> Tensor:
        loss, _ = gradients("squad", items)
        clip_gradients(parameters, 1.0, each=False)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss

    return step


def ours(model: MultiTask, setup: Setup, device: torch.device, recorded: bool) -> tuple[float, list[float]]:
    """Seconds and losses of a pass over full batches, after one untimed step of each shape and WARM more."""
    step, batches = stepper(model, setup, device, recorded), [setup.batch(i)[1] for i in range(setup.config.max_steps)]
    for items in [*shapes_of(batches, setup.train["squad"].lengths), *batches[:WARM]]:
        step(items)
    synchronize(device)
    began = time.perf_counter()
    losses = [step(items) for items in batches]
    synchronize(device)
    return time.perf_counter() - began, torch.stack(losses).tolist()


def shapes_of(batches: list[np.ndarray], lengths: np.ndarray) -> list[np.ndarray]:
    """One batch for each length that needs a separate graph."""
    return list({-(-int(lengths[items].max()) // BUCKET): items for items in batches}.values())


def setup_of(given: argparse.Namespace, size: int) -> Setup:
    """A pass of full batches, at most `--steps` of them."""
    lengths = dict(max_length=peers.LONGEST, overlap=128, batch_size=size, epochs=1.0)
    rows = dict(data=given.data, encoder=given.encoder, tasks=["squad"], qa_weight=1.0, eval_limit=1, loss="mean", device=given.device)
    whole = len(prepare(Config(train_limit=given.steps * size, max_steps=1, **rows, **lengths)).train["squad"].lengths) // size
    return prepare(Config(train_limit=given.steps * size, max_steps=min(given.steps, whole), **rows, **lengths))


def sides(given: argparse.Namespace, setup: Setup, shape: str, device: torch.device) -> dict[str, float]:
    """Real tokens per second of each side, median over the repeats; prints each, with its peak memory."""
    size, found = setup.config.batch_size, {side: [] for side in ("kit", "graphs", "tuned")}
    options = dict(dataloader_drop_last=True, logging_steps=min(10, setup.config.max_steps), logging_nan_inf_filter=False, warm=WARM)
    tokens = sum(int(setup.train["squad"].lengths[setup.batch(i)[1]].sum()) for i in range(setup.config.max_steps))
    for number in range(given.repeats):
        for side in list(found)[:: -1 if number % 2 else 1]:
            gc.collect()
            if device.type == "cuda":
                torch.cuda.empty_cache(), torch.cuda.reset_peak_memory_stats()
            torch.manual_seed(number)
            model = build(shape)
            if side == "tuned":
                seconds, losses = peers.answering(peers.plain(model), setup, "tuned", **options)
            else:
                seconds, losses = ours(model.to(device), setup, device, side == "graphs")
            found[side].append(tokens / seconds)
            peak = f"{torch.cuda.max_memory_allocated() / 2**30:.1f} GiB" if device.type == "cuda" else "no GPU's memory"
            last = np.mean(losses[2 * len(losses) // 3 :])
            said = f"{tokens / seconds:,.0f} tokens/s, at most {peak}, loss of the last third {last:.3f}"
            print(f"{shape}, batch {size}, repeat {number}, {side}: {said}", flush=True)
    return {side: statistics.median(values) for side, values in found.items()}


def report(given: argparse.Namespace, setup: Setup, shape: str, device: torch.device) -> None:
    """Prints the sides, their ratios to the tuned Trainer and to the limit; at batch 16 also the extrapolation to the tables."""
    found, size = sides(given, setup, shape, device), setup.config.batch_size
    lengths = setup.train["squad"].lengths
    config = transformers.BertConfig(**SHAPES[shape])
    rate, need = alone(config, int(lengths.mean() * size), device, torch.bfloat16), 6 * weights(config)  # operations/s and per token
    peak = next((value for name, value in PEAKS.items() if device.type == "cuda" and name in torch.cuda.get_device_name()), None)
    for side, speed in found.items():
        of_peak = f"{need * speed / peak:.0%} of the card's peak (alone {rate / peak:.0%})" if peak else "share of the peak unknown"
        ratio = f"{speed:,.0f} tokens/s, {speed / found['tuned']:.2f} × tuned"
        print(f"{shape}, batch {size}, {side}: {ratio}; {need * speed / rate:.0%} of its products alone; {of_peak}", flush=True)
        if size == 16:
            minutes = QUESTIONS * len(lengths) / len(setup.train["squad"].rows) * lengths.mean() / speed / 60
            print(f"  tables 1 + 2 at {shape}, batch 16, by {side}: about {minutes:,.0f} minutes of training", flush=True)
    print(f"{shape}, batch {size}, where the GPU's time goes: {where(setup, shape, device)}", flush=True)


def where(setup: Setup, shape: str, device: torch.device, steps: int = 10) -> str:
    """Milliseconds per step of each kind of kernel, in the kit's steps without graphs."""
    batches = [setup.batch(i)[1] for i in range(min(steps, setup.config.max_steps))]
    step = stepper(build(shape).to(device), setup, device, False)
    for items in batches[:WARM]:
        step(items)
    synchronize(device)
    kind = torch.profiler.ProfilerActivity.CUDA if device.type == "cuda" else torch.profiler.ProfilerActivity.CPU
    with torch.profiler.profile(activities=[kind]) as profile:
        for items in batches:
            step(items)
        synchronize(device)
    shares: dict[str, float] = {}
    for event in profile.key_averages():
        name = next((name for name, words in KERNELS.items() if any(word in event.key.lower() for word in words)), "other")
        shares[name] = shares.get(name, 0.0) + (event.self_device_time_total if device.type == "cuda" else event.self_cpu_time_total)
    return ", ".join(f"{name} {us / 1000 / len(batches):.2f} ms" for name, us in sorted(shares.items(), key=lambda item: -item[1]))


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default=os.environ.get("MTDNN_DATA", "sample"))
    parser.add_argument("--encoder", default=DEFAULT_ENCODER, help="the encoder whose tokenizer makes the windows")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--shapes", default="bert-base,bert-large")
    parser.add_argument("--sizes", default="16,64")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"], help="cpu: only checks that it runs")
    parser.add_argument("--quick", action="store_true", help="10 steps, once")
    given = parser.parse_args()
    if given.quick:
        given.steps, given.repeats = min(given.steps, 10), 1
    return given


def main() -> None:
    """Prints a few lines per shape and batch size."""
    given = arguments()
    if given.device == "cuda" and not torch.cuda.is_available():
        print(f"benchmarks/{Path(__file__).name}: torch sees no GPU here, so nothing is measured. Run it on a machine that has one.")
        sys.exit(0)
    transformers.utils.logging.set_verbosity_error()
    print(
        heading(given.device) + ("; a walk on the CPU: no figure of it says anything of a GPU" if given.device == "cpu" else ""), flush=True
    )
    for shape in given.shapes.split(","):
        for size in given.sizes.split(","):
            report(given, setup_of(given, int(size)), shape, torch.device(given.device))


if __name__ == "__main__":
    main()
