"""Training: the kit against transformers' Trainer, as its question-answering example sets it up and as a careful user would.

    .venv/bin/python benchmarks/trainer.py [--data FOLDER] [--repeats 3] [--seed 0] [--rows 1200] [--quick] [--compile]

Same windows (the kit's, of the same rows), encoder, batch of 16, dropout 0.1 in layers and attention, AdamW without decay, linear schedule,
gradients clipped to 1, mean of start and end loss. `example`: every window padded to 384, fp32, shuffled. `tuned`: padded to the longest of
a batch, grouped by length, bf16 where the hardware has it; with --compile `compiled`, tuned with torch_compile, too.
Sides alternate in one process; windows/s over all of a training's loop, ratios within a repeat, medians. Each side sees all windows once
(the Trainer's grouping puts long ones first, so a part of a pass would be unfair to it). The example, whose batches are all alike, takes
four steps: it is only timed. Losses of the kit and of `tuned` go into benchmarks/loss.png.
`mixture` is the kit on the five tasks, in batches of 16 rows, without a peer: the Trainer has no loop over several tasks.
"""

import argparse
import os
import statistics
import tempfile
from pathlib import Path

import numpy as np
import torch
from machine import heading, ratio
from torch.nn.functional import pad
from transformers import Trainer, TrainingArguments
from transformers.utils import logging

from mtdnn_kit import Config, prepare, train
from mtdnn_kit.devices import resolve_precision
from mtdnn_kit.model import build_model

BATCH, LONGEST = 16, 384
SIDES = {"example": dict(), "tuned": dict(bf16=True, train_sampling_strategy="group_by_length")}


def settings(given: argparse.Namespace, steps: int, **changes) -> Config:
    """The kit's parameters of a training of so many steps."""
    same = dict(optimizer="adamw", weight_decay=0.0, learning_rate=1e-4, loss="mean", encoder_dropout=0.1, warmup=0.1)
    lengths = dict(max_length=LONGEST, overlap=128, batch_size=BATCH, max_steps=steps, epochs=50.0)
    rows = dict(data=given.data, train_limit=given.rows, eval_limit=1, tasks=["squad"], qa_weight=1.0, seed=given.seed, device="cpu")
    return Config(**{**same, **lengths, **rows, **changes})


def ours(config: Config, setup) -> tuple[float, list[float]]:
    """Windows or rows a second of a training, and its losses."""
    with tempfile.TemporaryDirectory() as folder:
        config = Config(**{**vars(config), "run_dir": f"{folder}/run"})
        run = train(config, type(setup)(**{**vars(setup), "config": config, "passes": {}}), watch=lambda records: None)
        return config.max_steps * BATCH / run.manifest["train_seconds"], [record["loss"] for record in run.log()]


def collator(features, widest: int | None):
    """Items → a batch as the Trainer takes it, padded to `widest` or to its own longest window."""

    def collate(items: list[dict]) -> dict:
        batch = features.collate(np.array([item["item"] for item in items]))
        wider = (widest or batch.inputs["input_ids"].shape[1]) - batch.inputs["input_ids"].shape[1]
        return {k: pad(x, (0, wider)) for k, x in batch.inputs.items()} | dict(
            start_positions=batch.targets[:, 0], end_positions=batch.targets[:, 1]
        )

    return collate


def theirs(config: Config, setup, side: str, compiled: bool = False) -> tuple[float, list[float]]:
    """The same of transformers' Trainer."""
    features, options = setup.train["squad"], dict(SIDES[side])
    options["bf16"] = options.get("bf16", False) and resolve_precision("auto", torch.device("cpu")) == "bf16"
    model = build_model(setup.encoder.path, setup.specs, 0.1, 0.3, LONGEST, config.seed).heads["squad"]
    plain(model)
    data = [{"item": i, "length": int(n), "input_ids": range(int(n))} for i, n in enumerate(features.lengths)]
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder, per_device_train_batch_size=BATCH, max_steps=config.max_steps, learning_rate=config.learning_rate, weight_decay=0.0,
            warmup_steps=round(config.warmup * config.max_steps), logging_steps=1, save_strategy="no", report_to=[], use_cpu=True,
            disable_tqdm=True, seed=config.seed, remove_unused_columns=False, torch_compile=compiled, **options,
        )  # fmt: skip
        trainer = Trainer(model, arguments, train_dataset=data, data_collator=collator(features, LONGEST if side == "example" else None))
        trainer.log = lambda logs, *a: trainer.state.log_history.append(logs)  # kept, not printed
        seconds = trainer.train().metrics["train_runtime"]
        return config.max_steps * BATCH / seconds, [record["loss"] for record in trainer.state.log_history if "loss" in record]


def plain(model: torch.nn.Module) -> None:
    """Takes the kit's dropout, attention and hooks out of a model again: the peer is transformers and torch alone."""
    model.base_model.set_attn_implementation("sdpa")
    model.base_model._forward_pre_hooks.clear(), model.base_model._forward_pre_hooks_with_kwargs.clear()
    for module in list(model.modules()):
        module._forward_hooks.clear()
        for name, part in module.named_children():
            if isinstance(part, torch.nn.Dropout):
                setattr(module, name, torch.nn.Dropout(part.p))


def draw(losses: dict[str, list[list[float]]], path: Path) -> None:
    """Loss of each side, mean of 20 steps, a line a repeat."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 3.5), layout="constrained")
    for colour, (side, runs) in zip(("C0", "C1"), losses.items(), strict=True):
        for i, run in enumerate(runs):
            width = min(20, len(run))
            axes.plot(np.convolve(run, np.ones(width) / width, "valid"), colour, alpha=0.8, label=None if i else side)
    axes.set(xlabel="step", ylabel="loss (mean of 20 steps)")
    axes.legend()
    figure.savefig(path, dpi=110)


def main() -> None:
    """Prints a line a side."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default=os.environ.get("MTDNN_DATA", "sample"))
    for name, value in dict(repeats=3, seed=0, rows=1200).items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--quick", action="store_true", help="190 rows, once")
    parser.add_argument("--compile", action="store_true", help="the tuned Trainer compiled, too (needs a C++ compiler)")
    given = parser.parse_args()
    logging.set_verbosity_error()
    given.rows, repeats = (190, 1) if given.quick else (given.rows, given.repeats)
    steps = -(-len(prepare(settings(given, 1)).train["squad"].lengths) // BATCH)
    print(f"{'sample' if given.data == 'sample' else 'real data'}, {steps} steps; {heading()}; seeds from {given.seed}", flush=True)
    speeds, losses = {}, {"kit": [], "tuned Trainer": []}
    for repeat in range(repeats):
        given.seed += repeat > 0
        long, short = settings(given, steps), settings(given, 4)
        setup = prepare(long)
        found = {"kit": ours(long, setup), "tuned": theirs(long, setup, "tuned"), "example": theirs(short, setup, "example")}
        if given.compile:
            found["compiled"] = theirs(long, setup, "tuned", compiled=True)
        mixture = settings(given, steps, tasks=["squad", "swag", "cola", "mrpc", "mnli"], qa_weight=0.8)
        found["mixture"] = ours(mixture, prepare(mixture))
        for side, (speed, _) in found.items():
            speeds.setdefault(side, []).append(speed)
        losses["kit"].append(found["kit"][1]), losses["tuned Trainer"].append(found["tuned"][1])
        last = {side: round(float(np.mean(found[side][1][-steps // 3 :])), 3) for side in ("kit", "tuned")}
        rates = ", ".join(f"{side} {speed:.1f}" for side, (speed, _) in found.items())
        print(f"repeat {repeat + 1}: windows/s {rates}; loss of the last third: {last}", flush=True)
    for side in [name for name in speeds if name not in ("kit", "mixture")]:
        print(f"kit / {side}: {ratio(speeds['kit'], speeds[side]):.2f} (median of {repeats})")
    print("median windows/s: " + ", ".join(f"{side} {statistics.median(some):.1f}" for side, some in speeds.items()))
    draw(losses, Path(__file__).with_name("loss.png"))


if __name__ == "__main__":
    main()
