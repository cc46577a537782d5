"""What bf16 costs in accuracy: the same training in fp32 and in bf16, several seeds; last losses and span F1 of real questions.

.venv/bin/python benchmarks/precision.py [--data FOLDER] [--seeds 2] [--rows 1200] [--eval 400] [--quick]
"""

import argparse
import os
import tempfile

import numpy as np
from machine import heading

from mtdnn_kit import Config, train


def main() -> None:
    """Prints a line a training."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default=os.environ.get("MTDNN_DATA", "sample"))
    for name, value in dict(seeds=2, rows=1200, eval=400).items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--quick", action="store_true", help="one seed, 100 rows")
    given = parser.parse_args()
    seeds, rows = (1, 100) if given.quick else (given.seeds, given.rows)
    print(heading(), flush=True)
    for seed in range(seeds):
        for precision in ("fp32", "bf16"):
            with tempfile.TemporaryDirectory() as folder:
                data = dict(data=given.data, train_limit=rows, eval_limit=given.eval, tasks=["squad"], qa_weight=1.0, device="cpu")
                same = dict(max_length=384, overlap=128, batch_size=16, epochs=1.0, learning_rate=2e-4, log_every=1000)
                run = train(Config(run_dir=f"{folder}/run", precision=precision, seed=seed, **data, **same), watch=lambda records: None)
                losses, score = [record["loss"] for record in run.log()], run.metrics["squad"]
                last = f"loss of the last third {np.mean(losses[-len(losses) // 3 :]):.3f}"
                print(
                    f"seed {seed} {precision}: {len(losses)} steps, {last}, span F1 {score['span_f1']:.1f}, F1 {score['f1']:.1f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
