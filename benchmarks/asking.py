"""How many questions a second a loaded run answers (`load(run).answer(lists)`), by what is read at a time; ratios within one run.

    .venv/bin/python benchmarks/asking.py [--run RUN] [--data FOLDER] [--questions 1000] [--repeats 5]

Sides: windows of like length by 8,192 tokens, as the kit scores; by 2,048; and in the order in which they came, 32 at a time. They take
turns in each repeat, in the other order in every second one. Seconds of the processor, so that other work beside counts less. Without --run
the demo's model after two steps is asked; questions are the run's scored ones, or those of MTDNN_DATA, over again where they are too few.
"""

import argparse
import os
import tempfile
import time
from dataclasses import replace
from itertools import cycle, islice

import numpy as np
from machine import heading

from mtdnn_kit import from_file, load, train
from mtdnn_kit.model import evaluation
from mtdnn_kit.training.setup import read_rows


def as_they_came(lengths: np.ndarray, choices: int, most: int | None) -> list[np.ndarray]:
    """32 items at a time, in their order: what somebody's own loop would do."""
    return np.split(np.arange(len(lengths)), range(32, len(lengths), 32))


SIDES = {"by length, 8192 tokens": (8192, evaluation._by_length), "by length, 2048 tokens": (2048, evaluation._by_length)}
SIDES |= {"as they came, 32 windows": (8192, as_they_came)}


def main() -> None:
    """Prints a line a side: questions a second of the processor, and its median ratio to the first side."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", help="the folder of a finished run with its model")
    parser.add_argument("--data", default=os.environ.get("MTDNN_DATA"), help="a folder of data")
    parser.add_argument("--questions", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = load(given.run or train(from_file("parameters/demo.yaml", run_dir=f"{folder}/run", max_steps=2, eval_limit=4)))
    task, config = next(iter(model.thresholds)), replace(model.config, eval_limit=None, data=given.data or model.config.data)
    rows = list(islice(cycle(read_rows(config, training=False)[0][2][task]), given.questions))
    took: dict[str, list[float]] = {side: [] for side in SIDES}
    for repeat in range(given.repeats):
        for side in list(SIDES)[:: 1 if repeat % 2 else -1]:
            evaluation.TOKENS, evaluation._by_length = SIDES[side]
            began = time.process_time()
            model.answer([row.question for row in rows], [row.context for row in rows], task=task)
            took[side].append(time.process_time() - began)
    first = np.array(took[next(iter(SIDES))])
    print(f"{heading()}; {model.precision}; {len(rows)} questions, {given.repeats} repeats")
    for side, seconds in took.items():
        print(f"{side}: {len(rows) / np.median(seconds):.1f} questions/s, {np.median(first / np.array(seconds)):.2f} times the first")


if __name__ == "__main__":
    main()
