"""What a joint step costs compared with the single steps of its rows: time of each method over that of K single steps, medians of repeats.

    .venv/bin/python benchmarks/balance.py [--encoder NAME] [--batch 32] [--steps 4] [--repeats 5] [--methods sum,mgda]

The five tasks of the packaged sample. A single step is a backward pass over the rows of one task in the joint step, with clipping and
Adamax. The K single steps make K updates, the joint step only one, so `sum` costs less. The time of FAMO includes its second forward pass.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial

import torch
from accelerate import Accelerator
from machine import alternately, heading, ratio

from mtdnn_kit import Config, prepare
from mtdnn_kit.balance.step import Joint
from mtdnn_kit.config import BALANCES, DEFAULT_ENCODER
from mtdnn_kit.model.multitask import build_model
from mtdnn_kit.training.loop import backward, loss_of
from mtdnn_kit.training.optim import clip_gradients, make_optimizer


def seconds(steps: int, step: Callable[[int], None]) -> float:
    """The time of this many steps."""
    began = time.perf_counter()
    for number in range(steps):
        step(number)
    return time.perf_counter() - began


def main() -> None:
    """Prints a line per method."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--encoder", default=DEFAULT_ENCODER)
    parser.add_argument("--methods", default=",".join(BALANCES))
    for name, default in (("batch", 32), ("steps", 4), ("repeats", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    config = Config(encoder=given.encoder, step="joint", balance="sum", batch_size=given.batch, device="cpu", precision="fp32")
    setup = prepare(config)
    model = build_model(setup.encoder.path, setup.specs, config.encoder_dropout, config.head_dropout, config.max_length, 0)
    accelerator, weights = Accelerator(cpu=True), list(model.parameters())
    optimizer, gradient = make_optimizer("adamax", model, 1e-5, 0.01), partial(backward, accelerator, model, setup)

    def update() -> None:
        clip_gradients(weights, 1.0, each=False)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    def single(number: int) -> None:
        for task, items in setup.parts(number).items():
            gradient(task, items)
            update()

    def joint(step: Joint, number: int) -> None:
        parts = setup.parts(number)
        step.backward(number, parts)
        update()
        step.after(number, parts, epoch_ends=False)

    def loss(task: str, items: object) -> torch.Tensor:
        return loss_of(accelerator, model, setup, task, items)[0]

    print(f"{heading()}; {len(config.tasks)} tasks, {given.batch} rows a step")
    model.train()
    single(0)
    for method in given.methods.split(","):
        step = Joint(model, method, config.tasks, {}, 0, gradient, loss, int)
        joint(step, 0)
        sides = [partial(seconds, given.steps, partial(joint, step)), partial(seconds, given.steps, single)]
        times = alternately(sides, given.repeats)
        mine, theirs = (statistics.median(column) / given.steps * 1e3 for column in times)
        print(f"{method:<12} {mine:7.0f} ms, the single steps {theirs:7.0f} ms: {ratio(*times):.2f}", flush=True)


if __name__ == "__main__":
    main()
