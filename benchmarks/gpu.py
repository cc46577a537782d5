"""Training steps on a GPU: tokens/s of bert-base and bert-large shapes at batch 16 and 64, beside what their matrix products reach alone.

    .venv/bin/python benchmarks/gpu.py [--data FOLDER] [--steps 50] [--quick]

Random weights serve. A step is the kit's: autocast bf16, dropout 0.1, Adamax, clipping, lengths of real windows, nothing waited for.
The tables 1 + 2 of the paper (7 different runs, 2 epochs of 130,319 questions) are extrapolated from bert-base at batch 16. UNMEASURED
so far: no GPU was at hand when this was written; without one it says so and ends.
"""

import argparse
import os
import sys
import time

import torch
import transformers
from machine import heading

from mtdnn_kit import Config, prepare
from mtdnn_kit.model import MultiTask
from mtdnn_kit.optim import clip_gradients, make_optimizer
from mtdnn_kit.tasks import qa

SHAPES = {"bert-base": dict(), "bert-large": dict(hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, intermediate_size=4096)}
QUESTIONS = 2 * 130_319 * 7 / 0.8  # windows of tables 1 + 2, about: seven runs of two epochs, QA with probability 0.8


def measure(shape: str, size: int, setup, steps: int) -> tuple[float, float, float]:
    """Seconds a step, tokens a step, and its floating-point operations a second in matrix products (attention left out)."""
    config = transformers.BertConfig(**SHAPES[shape])
    head = transformers.BertForQuestionAnswering(config)
    model = MultiTask(head.bert, {"squad": head}, {"squad": {"type": "qa", "labels": 2}}).cuda().train()
    optimizer, parameters, tokens = make_optimizer("adamax", model, 3e-5, 0.01), list(model.parameters()), 0
    for step in range(steps + 5):
        if step == 5:
            torch.cuda.synchronize()
            began, tokens = time.perf_counter(), 0
        batch = setup.train["squad"].collate(setup.batch(step)[1][:size])
        inputs = {name: x.pin_memory().cuda(non_blocking=True) for name, x in batch.inputs.items()}
        with torch.autocast("cuda", torch.bfloat16):
            logits = model("squad", inputs)
        qa.loss(logits.float(), batch.targets.pin_memory().cuda(non_blocking=True), setup.config).backward()
        clip_gradients(parameters, 1.0, each=False)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        tokens += batch.tokens
    torch.cuda.synchronize()
    seconds, weights = (time.perf_counter() - began) / steps, sum(p.numel() for p in head.bert.encoder.parameters())
    return seconds, tokens / steps, 6 * weights * tokens / steps / seconds


def alone(shape: str, tokens: int) -> float:
    """Floating-point operations a second of the shape's widest product in isolation, in bf16."""
    config = transformers.BertConfig(**SHAPES[shape])
    a = torch.randn(tokens, config.hidden_size, device="cuda", dtype=torch.bfloat16)
    b = torch.randn(config.hidden_size, config.intermediate_size, device="cuda", dtype=torch.bfloat16)
    for i in range(60):
        if i == 10:
            torch.cuda.synchronize()
            began = time.perf_counter()
        a @ b
    torch.cuda.synchronize()
    return 2 * a.numel() * config.intermediate_size * 50 / (time.perf_counter() - began)


def main() -> None:
    """Prints a line a shape and batch size, and the extrapolation."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default=os.environ.get("MTDNN_DATA", "sample"))
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--quick", action="store_true", help="10 steps")
    given = parser.parse_args()
    if not torch.cuda.is_available():
        print("benchmarks/gpu.py: torch sees no GPU here, so nothing is measured. Run it on a machine that has one.")
        sys.exit(0)
    print(heading())
    steps = 10 if given.quick else given.steps
    for shape in SHAPES:
        for size in (16, 64):
            torch.cuda.reset_peak_memory_stats()
            lengths = dict(max_length=384, overlap=128, batch_size=size, max_steps=steps + 5, epochs=50.0)
            setup = prepare(Config(data=given.data, tasks=["squad"], qa_weight=1.0, eval_limit=1, **lengths))
            seconds, tokens, rate = measure(shape, size, setup, steps)
            share, memory = rate / alone(shape, int(tokens)), torch.cuda.max_memory_allocated() / 2**30
            print(f"{shape}, batch {size}: {tokens / seconds:,.0f} tokens/s, {share:.0%} of a product alone, at most {memory:.1f} GiB")
            if (shape, size) == ("bert-base", 16):
                print(f"tables 1 + 2: about {QUESTIONS / size * seconds / 60:.0f} minutes of training (one window a question)")


if __name__ == "__main__":
    main()
