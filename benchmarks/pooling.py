"""What batches of similar length cost in scores: the same training with the kit's batches and with fully shuffled ones, several seeds.

    .venv/bin/python benchmarks/pooling.py [--data FOLDER] [--seeds 3] [--rows 2400] [--eval 800] [--epochs 1] [--rate 3e-4]
        [--device cuda] [--quick]

The kit sorts pools of 50 batches by length (`sampler.POOL`); a pool of one batch is a plain shuffle. Only this benchmark changes POOL.
"""

import torch
from machine import heading
from trainings import arguments, compare, training

from mtdnn_kit.model.devices import resolve_precision
from mtdnn_kit.sampler import POOL

SIDES = {"pooled": POOL, "shuffled": 1}


def main() -> None:
    """Prints a line per training, and the differences."""
    given, found = arguments(__doc__), {side: [] for side in SIDES}
    precision = resolve_precision(given.precision, torch.device(given.device))
    print(f"{heading(given.device)}; {precision}", flush=True)
    for seed in range(given.first, given.first + given.seeds):
        for side, pool in SIDES.items():
            made = training(given, seed, precision, pool)
            found[side].append(made)
            scores = f"loss {made['loss']:.3f}, span F1 {made['span_f1']:.1f}, F1 {made['f1']:.1f}, padding {made['padding']:.1%}"
            print(f"seed {seed} {side}: {made['steps']} steps, {scores}", flush=True)
    print(*compare(tuple(SIDES), *found.values()), sep="\n")


if __name__ == "__main__":
    main()
