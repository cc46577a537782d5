"""Training steps on a GPU: bert-base and bert-large shapes, batch 16 and 64; tokens/s beside the tuned Trainer's and the products alone.

    .venv/bin/python benchmarks/gpu.py [--data FOLDER] [--steps 100] [--shapes bert-base,bert-large] [--sizes 16,64] [--quick]

Random weights serve; lengths are those of real windows. `kit`: a step as the kit makes it (bf16 autocast, dropout 0.1, Adamax, clipping,
nothing waited for). `buckets`: the same of a model that is torch's alone, padded to multiples of 64 tokens and compiled once for each of
those shapes (`torch.compile` with CUDA graphs), which the kit does not do by itself. `tuned`: transformers' Trainer (`peers`). Each sees
the same windows after a warm-up.
The limit is what a layer's own products (forward and both of the backward) reach alone at a batch's tokens; beside it the share of the
card's peak. Tables 1 + 2 of the paper (7 different runs, 2 epochs of 130,319 questions) are extrapolated from bert-base at batch 16.
UNMEASURED so far: no GPU was at hand when this was written. Without one it says so and ends; `--device cpu --shapes tiny` walks through it.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import peers
import torch
import transformers
from machine import heading
from products import alone, synchronize, weights
from torch import Tensor, nn
from torch.nn.functional import pad

from mtdnn_kit import Config, dropout, prepare
from mtdnn_kit.config import DEFAULT_ENCODER
from mtdnn_kit.devices import resolve_precision
from mtdnn_kit.model import MultiTask
from mtdnn_kit.optim import clip_gradients, make_optimizer
from mtdnn_kit.preparation import Setup
from mtdnn_kit.tasks import qa

SHAPES = {
    "bert-base": dict(),
    "bert-large": dict(hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, intermediate_size=4096),
    "tiny": dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=48),
}
PEAKS = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "L4": 121e12}  # bf16 operations a second, dense, by the maker
QUESTIONS = 2 * 130_319 * 7 / 0.8  # of tables 1 + 2: seven runs of two epochs, QA with probability 0.8, other tasks' steps taken as long
BUCKET = 64  # tokens
WARM = 5  # steps before the clock runs


def build(shape: str, device: torch.device) -> MultiTask:
    """A question-answering model of random weights."""
    head = transformers.BertForQuestionAnswering(transformers.BertConfig(**SHAPES[shape]))
    model = MultiTask(head.bert, {"squad": head}, {"squad": {"type": "qa", "labels": 2}})
    dropout.install(model, model.encoder)
    return model.to(device).train()


def moved(x: Tensor, device: torch.device) -> Tensor:
    """As `training` moves it: from pinned memory, not waited for."""
    return x.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else x


def bucketed(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Inputs padded to the next multiple of BUCKET tokens; what is added is masked."""
    return {name: pad(x, (0, -x.shape[1] % BUCKET)) for name, x in inputs.items()}


def steps(model: MultiTask, setup: Setup, device: torch.device, compile_: Callable | None) -> float:
    """Seconds of a pass over full batches, after WARM steps (compiled: after one of each bucket, too)."""
    optimizer, parameters = make_optimizer("adamax", model, 3e-5, 0.01), list(model.parameters())
    called, collate = compile_(model) if compile_ else model, setup.train["squad"].collate

    def step(items: np.ndarray) -> None:
        batch = collate(items)
        inputs = {name: moved(x, device) for name, x in (bucketed(batch.inputs) if compile_ else batch.inputs).items()}
        if compile_:
            torch.compiler.cudagraph_mark_step_begin()
        with torch.autocast(device.type, torch.bfloat16, enabled=resolve_precision("auto", device) == "bf16"):
            logits = called("squad", inputs)
        qa.loss(logits.float(), moved(batch.targets, device), setup.config).backward()
        clip_gradients(parameters, 1.0, each=False)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    batches = [setup.batch(i)[1] for i in range(setup.config.max_steps)]
    for items in [*shapes_of(batches, setup.train["squad"].lengths), *batches[:WARM]]:
        step(items)
    synchronize(device)
    began = time.perf_counter()
    for items in batches:
        step(items)
    synchronize(device)
    return time.perf_counter() - began


def shapes_of(batches: list[np.ndarray], lengths: np.ndarray) -> list[np.ndarray]:
    """One batch of each bucket, three times: CUDA graphs are recorded after a run without them."""
    one = {-(-int(lengths[items].max()) // BUCKET): items for items in batches}
    return [items for items in one.values() for _ in range(3)]


def setup_of(given: argparse.Namespace, size: int) -> Setup:
    """A pass of full batches, `--steps` of them where there are as many windows."""
    lengths = dict(max_length=peers.LONGEST, overlap=128, batch_size=size, epochs=1.0)
    rows = dict(data=given.data, encoder=given.encoder, tasks=["squad"], qa_weight=1.0, eval_limit=1, device=given.device)
    whole = len(prepare(Config(train_limit=given.steps * size, max_steps=1, **rows, **lengths)).train["squad"].lengths) // size
    return prepare(Config(train_limit=given.steps * size, max_steps=min(given.steps, whole), **rows, **lengths))


def sides(given: argparse.Namespace, setup: Setup, shape: str, device: torch.device) -> dict[str, float]:
    """Real tokens a second of each side, each on a fresh model, with its peak memory printed."""
    size, tokens, found = setup.config.batch_size, 0, {}
    compiled = None if given.backend == "none" else compiler(given.backend)
    options = dict(dataloader_drop_last=True, logging_steps=10, logging_nan_inf_filter=False, warm=WARM)
    runs = {
        "kit": lambda: steps(build(shape, device), setup, device, None),
        "buckets": lambda: steps(peers.plain(build(shape, device)), setup, device, compiled),
        "tuned": lambda: peers.answering(peers.plain(build(shape, device)), setup, "tuned", **options)[0],
    }
    tokens = sum(int(setup.train["squad"].lengths[setup.batch(i)[1]].sum()) for i in range(setup.config.max_steps))
    for side, run in runs.items():
        if side == "buckets" and compiled is None:
            continue
        if device.type == "cuda":
            torch.cuda.empty_cache(), torch.cuda.reset_peak_memory_stats()
        found[side] = tokens / run()
        peak = f"{torch.cuda.max_memory_allocated() / 2**30:.1f} GiB" if device.type == "cuda" else "no GPU's memory"
        print(f"{shape}, batch {size}, {side}: {found[side]:,.0f} tokens/s, at most {peak}", flush=True)
    return found


def compiler(backend: str) -> Callable[[nn.Module], Callable]:
    """torch.compile for fixed shapes; with inductor in CUDA graphs."""
    options = dict(mode="reduce-overhead") if backend == "inductor" else dict(backend=backend)
    return lambda model: torch.compile(model, dynamic=False, **options)


def report(given: argparse.Namespace, setup: Setup, shape: str, device: torch.device) -> None:
    """Prints the sides, their ratios to the tuned Trainer and to the limit; for bert-base at batch 16 the tables' extrapolation."""
    found, size = sides(given, setup, shape, device), setup.config.batch_size
    best = max(found["kit"], found.get("buckets", 0.0))
    lengths = setup.train["squad"].lengths
    config = transformers.BertConfig(**SHAPES[shape])
    rate, need = alone(config, int(lengths.mean() * size), device, torch.bfloat16), 6 * weights(config)  # operations a second, a token
    peak = next((value for name, value in PEAKS.items() if device.type == "cuda" and name in torch.cuda.get_device_name()), None)
    of_peak = f"{need * best / peak:.0%} of the card's peak (alone {rate / peak:.0%})" if peak else "share of the peak unknown"
    against = ", ".join(f"{side} / tuned {found[side] / found['tuned']:.2f}" for side in found if side != "tuned")
    print(f"{shape}, batch {size}: {against}; {need * best / rate:.0%} of its products alone; {of_peak}", flush=True)
    if size == 16:
        windows = QUESTIONS * len(lengths) / len(setup.train["squad"].rows)
        minutes = windows * lengths.mean() / best / 60
        print(f"tables 1 + 2 at {shape}, batch 16: about {minutes:,.0f} minutes of training", flush=True)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default=os.environ.get("MTDNN_DATA", "sample"))
    parser.add_argument("--encoder", default=DEFAULT_ENCODER, help="whose tokenizer makes the windows")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--shapes", default="bert-base,bert-large")
    parser.add_argument("--sizes", default="16,64")
    parser.add_argument("--backend", default="inductor", help="of torch.compile; none leaves that side out")
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"], help="cpu: only to see that it runs")
    parser.add_argument("--quick", action="store_true", help="10 steps")
    given = parser.parse_args()
    given.steps = min(given.steps, 10) if given.quick else given.steps
    return given


def main() -> None:
    """Prints a few lines a shape and batch size."""
    given = arguments()
    if given.device == "cuda" and not torch.cuda.is_available():
        print(f"benchmarks/{Path(__file__).name}: torch sees no GPU here, so nothing is measured. Run it on a machine that has one.")
        sys.exit(0)
    transformers.utils.logging.set_verbosity_error()
    print(heading() + ("; a walk on the CPU: no figure of it says anything of a GPU" if given.device == "cpu" else ""), flush=True)
    for shape in given.shapes.split(","):
        for size in given.sizes.split(","):
            report(given, setup_of(given, int(size)), shape, torch.device(given.device))


if __name__ == "__main__":
    main()
