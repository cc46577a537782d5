"""How often `mtdnn affinity` ranks planted tasks correctly (tests/planted.py): of three tasks, the main task's own rows must come first.

    .venv/bin/python benchmarks/affinity.py [--seeds 10] [--first 0]

For each seed it trains a one-layer encoder for 160 steps. The other two tasks are the same rows with permuted labels, and other texts with
random labels: neither can help.
"""

import argparse
import sys
import tempfile
import warnings
from pathlib import Path

from machine import heading

from mtdnn_kit import Config, affinity, train


def main() -> None:
    """Prints a line per seed, and how many were ranked correctly."""
    sys.path.append(str(Path(__file__).parents[1] / "tests"))
    import planted

    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seeds", type=int, default=10)
    options.add_argument("--first", type=int, default=0)
    given, right, told = options.parse_args(), 0, 0
    print(heading("auto"), flush=True)
    warnings.simplefilter("ignore")
    for seed in range(given.first, given.first + given.seeds):
        with tempfile.TemporaryDirectory() as folder:
            encoder = planted.encoder(Path(folder, "encoder"))
            found = affinity(train(Config(**planted.settings(Path(folder), encoder, seed))))
        right += found.rows[0]["task"] == "own"
        told += found.rows[0]["task"] == "own" and float(found.rows[0]["95 %"].split()[0]) > 0
        print(f"seed {seed}: " + "; ".join(f"{row['task']} {row['affinity']:+.3f} % ({row['95 %']})" for row in found.rows), flush=True)
    print(f"own rows first in {right} of {given.seeds} seeds, with an interval above 0 in {told}")


if __name__ == "__main__":
    main()
