"""Training: the kit against transformers' Trainer, set up like its question-answering example and as a careful user would (`peers`).

    .venv/bin/python benchmarks/trainer.py [--data FOLDER [--swapped]] [--repeats 3] [--seed 0] [--rows 1200] [--quick] [--compile]
        [--sides a,b]

All sides use the same rows, encoder, batch of 16, dropout 0.1 in layers and attention, AdamW without decay, linear schedule, gradients
clipped to 1, mean of start and end loss. Each repeat is a seed, and the order of the sides alternates between repeats. On squad: `kit`;
`tuned`; `example`, whose batches all have the same shape, for four steps, only timed; with --compile `compiled`, tuned with torch_compile
(it needs a C++ compiler), after the same pass untimed. `kit` and `tuned` see each window once (the Trainer's grouping puts long windows
first, so part of a pass would be unfair to it). On the five tasks: `mixture` and `tuned mixture`, on the same batches in the same order.
With --swapped the sides train on the validation rows instead of the training rows: the same comparison on rows of other articles.
Results are windows (or rows) per second of the whole loop, ratios within a repeat, medians; losses are drawn in benchmarks/loss.png.
"""

import argparse
import os
import shutil
import statistics
import tempfile
from pathlib import Path

import numpy as np
import peers
from machine import heading, ratio
from transformers.utils import logging

from mtdnn_kit import DATASETS, Config, prepare, train
from mtdnn_kit.config import DEFAULT_ENCODER
from mtdnn_kit.model.multitask import build_model
from mtdnn_kit.training.setup import Setup

TASKS = ["squad", "swag", "cola", "mrpc", "mnli"]
PAIRS = {"tuned": "kit", "compiled": "kit", "example": "kit", "tuned mixture": "mixture"}  # peer → the kit's side of the same task


def settings(given: argparse.Namespace, seed: int, steps: int, **changes) -> Config:
    """The kit's parameters of a training of this many steps."""
    same = dict(optimizer="adamw", weight_decay=0.0, learning_rate=1e-4, loss="mean", encoder_dropout=0.1, warmup=0.1, device="cpu")
    lengths = dict(max_length=peers.LONGEST, overlap=128, batch_size=16, max_steps=steps, epochs=50.0, encoder=given.encoder)
    rows = dict(data=given.data, train_limit=given.rows, eval_limit=1, tasks=["squad"], qa_weight=1.0, seed=seed)
    return Config(**{**same, **lengths, **rows, **changes})


def ours(setup: Setup) -> tuple[float, list[float]]:
    """Seconds and losses of the kit's training."""
    with tempfile.TemporaryDirectory() as folder:
        config = Config(**{**vars(setup.config), "run_dir": f"{folder}/run"})
        run = train(config, type(setup)(**{**vars(setup), "config": config, "passes": {}}), watch=lambda records: None)
        return run.manifest["train_seconds"], [record["loss"] for record in run.log()]


def theirs(side: str, setup: Setup) -> tuple[float, list[float]]:
    """Seconds and losses of one of the peers."""
    config = setup.config
    model = build_model(setup.encoder.path, setup.specs, config.encoder_dropout, config.head_dropout, config.max_length, config.seed)
    if "mixture" in side:
        return peers.mixture(peers.plain(model), setup)
    more = dict(torch_compile=True, warm=config.max_steps) if side == "compiled" else {}
    return peers.answering(peers.plain(model), setup, "example" if side == "example" else "tuned", **more)


def measured(side: str, given: argparse.Namespace, seed: int, steps: int) -> tuple[float, list[float]]:
    """Windows or rows per second of a side, and its losses."""
    mixed = dict(tasks=TASKS, qa_weight=0.8) if "mixture" in side else {}
    setup = prepare(settings(given, seed, min(steps, 4) if side == "example" else steps, **mixed))
    seconds, losses = ours(setup) if side in PAIRS.values() else theirs(side, setup)
    rows = sum(len(setup.batch(step)[1]) for step in range(setup.config.max_steps)) if side != "example" else 16 * setup.config.max_steps
    return rows / seconds, losses


def swapped(data: str, folder: str) -> str:
    """`folder`, filled with the rows of the data folder, training and scored splits exchanged."""
    for task in TASKS:
        kind = DATASETS[task]
        place, *splits = Path(folder, kind.folder), kind.train, kind.score
        place.mkdir()
        for new, old in zip(splits, splits[::-1], strict=True):
            shutil.copyfile(Path(data, kind.folder, f"{old}.jsonl.gz"), place / f"{new}.jsonl.gz")
    return folder


def last_third(losses: list[float]) -> float:
    """Mean loss of a training's last third."""
    return float(np.mean(losses[-(-len(losses) // 3) :]))


def draw(losses: dict[str, list[list[float]]], path: Path) -> None:
    """Draws the losses of the kit's side and of the tuned Trainer, mean of 20 steps, a line per repeat; squad left, the mixture right."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, places = pyplot.subplots(1, 2, figsize=(10, 3.5), layout="constrained")
    for axes, title, sides in zip(places, ("squad", "five tasks"), (("kit", "tuned"), ("mixture", "tuned mixture")), strict=True):
        for colour, side, name in zip(("C0", "C1"), sides, ("kit", "tuned Trainer"), strict=True):
            for i, run in enumerate(losses.get(side, [])):
                width = min(20, len(run))
                axes.plot(np.convolve(run, np.ones(width) / width, "valid"), colour, alpha=0.8, label=None if i else name)
        axes.set(title=title, xlabel="step", ylabel="loss (mean of 20 steps)")
        if axes.lines:
            axes.legend()
    figure.savefig(path, dpi=110)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default=os.environ.get("MTDNN_DATA", "sample"))
    parser.add_argument("--encoder", default=DEFAULT_ENCODER)
    for name, value in dict(repeats=3, seed=0, rows=1200).items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--quick", action="store_true", help="190 rows, once, no figure")
    parser.add_argument("--compile", action="store_true", help="the tuned Trainer compiled, too (needs a C++ compiler)")
    parser.add_argument("--swapped", action="store_true", help="train on the validation rows of a data folder instead")
    parser.add_argument("--sides", help="only these sides, e.g. kit,compiled")
    parser.add_argument("--figure", type=Path, default=Path(__file__).with_name("loss.png"))
    given = parser.parse_args()
    if given.swapped and not Path(given.data, "squad", "validation.jsonl.gz").is_file():
        parser.error(f"--swapped: {given.data} is no folder of TASK/SPLIT.jsonl.gz, whose rows could change places; name one with --data")
    if given.quick:
        given.rows, given.repeats = min(given.rows, 190), 1
    everything = ["kit", "tuned", *(["compiled"] if given.compile else []), "example", "mixture", "tuned mixture"]
    given.sides = given.sides.split(",") if given.sides else everything
    return given


def main() -> None:
    """Prints a line per repeat, ratios, medians and losses."""
    given = arguments()
    logging.set_verbosity_error()
    with tempfile.TemporaryDirectory() as folder:
        given.data = swapped(given.data, folder) if given.swapped else given.data
        compare(given)


def compare(given: argparse.Namespace) -> None:
    """Compares all sides, repeat by repeat."""
    steps = len(prepare(settings(given, given.seed, 1)).train["squad"].lengths) // -16 * -1
    kind = "sample" if given.data == "sample" else "validation rows" if given.swapped else "real data"
    print(f"{kind}, {steps} steps; {heading()}; seeds from {given.seed}", flush=True)
    speeds: dict[str, list[float]] = {side: [] for side in given.sides}
    losses: dict[str, list[list[float]]] = {side: [] for side in given.sides}
    for repeat in range(given.repeats):
        for side in given.sides[:: -1 if repeat % 2 else 1]:
            speed, loss = measured(side, given, given.seed + repeat, steps)
            speeds[side].append(speed), losses[side].append(loss)
        last = ", ".join(f"{side} {last_third(losses[side][-1]):.3f}" for side in given.sides if side != "example")
        rates = ", ".join(f"{side} {speeds[side][-1]:.1f}" for side in given.sides)
        print(f"repeat {repeat + 1}: windows/s {rates}; loss of the last third: {last}", flush=True)
    for peer, side in PAIRS.items():
        if peer in speeds and side in speeds:
            print(f"{side} / {peer}: {ratio(speeds[side], speeds[peer]):.2f} (median of {given.repeats})")
    print("median windows/s: " + ", ".join(f"{side} {statistics.median(some):.1f}" for side, some in speeds.items()))
    for peer, side in [("tuned", "kit"), ("tuned mixture", "mixture")]:
        if peer in losses and side in losses:
            gaps = [last_third(a) - last_third(b) for a, b in zip(losses[side], losses[peer], strict=True)]
            spread = f" ± {statistics.stdev(gaps) / len(gaps) ** 0.5:.3f}" if len(gaps) > 1 else ""
            print(f"loss of the last third, {side} − {peer}: {statistics.mean(gaps):+.3f}{spread}")
    if not given.quick:
        draw(losses, given.figure)


if __name__ == "__main__":
    main()
