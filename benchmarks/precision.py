"""What bf16 costs in accuracy: the same training in bf16 and in fp32, several seeds; final losses and span F1 on real questions.

.venv/bin/python benchmarks/precision.py [--data FOLDER] [--seeds 3] [--rows 2400] [--eval 800] [--epochs 1] [--rate 3e-4]
        [--device cuda] [--quick]
"""

from machine import heading
from trainings import arguments, compare, training

SIDES = ("bf16", "fp32")


def main() -> None:
    """Prints a line per training, and the differences."""
    given, found = arguments(__doc__), {side: [] for side in SIDES}
    print(heading(given.device), flush=True)
    for seed in range(given.first, given.first + given.seeds):
        for side in SIDES:
            made = training(given, seed, precision=side)
            found[side].append(made)
            scores = f"loss {made['loss']:.3f}, span F1 {made['span_f1']:.1f}, F1 {made['f1']:.1f}"
            print(f"seed {seed} {side}: {made['steps']} steps, {scores}", flush=True)
    print(*compare(SIDES, *found.values()), sep="\n")


if __name__ == "__main__":
    main()
