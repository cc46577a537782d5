"""How many questions per second a loaded run answers (`load(run).answer(lists)`), by batch size; ratios within one run.

    .venv/bin/python benchmarks/asking.py [--run RUN] [--data FOLDER] [--questions 1000] [--repeats 5]

Sides: windows grouped by length, 8,192 tokens at a time, as in the kit; 2,048 at a time; and in their given order, 32 windows at a time.
The sides alternate in each repeat, in reverse order in every second one. Times are CPU time, which other load affects less. Without --run
it asks the demo's model after two steps; questions are the run's scored ones, or those of MTDNN_DATA, repeated if there are too few.
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
    """32 items at a time, in their given order: the loop that a user would write."""
    return np.split(np.arange(len(lengths)), range(32, len(lengths), 32))


SIDES = {"by length, 8192 tokens": (8192, evaluation._by_length), "by length, 2048 tokens": (2048, evaluation._by_length)}
SIDES |= {"as they came, 32 windows": (8192, as_they_came)}


def main() -> None:
    """Prints a line per side: questions per CPU second, and its median ratio to the first side."""
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
    print(f"{heading('auto')}; {model.precision}; {len(rows)} questions, {given.repeats} repeats")
    for side, seconds in took.items():
        print(f"{side}: {len(rows) / np.median(seconds):.1f} questions/s, {np.median(first / np.array(seconds)):.2f} times the first")


if __name__ == "__main__":
    main()
