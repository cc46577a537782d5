"""n-best by offset: the time to open a run's n-best file and to read one question's entry, and the memory held meanwhile.

    .venv/bin/python benchmarks/nbest.py [--questions 6078] [--spans 20]

The file is synthetic: as many questions as the paper's validation set, as many spans each as the kit keeps, random scores. It is compared
with the same file with every entry in memory. Reads are in random order; memory is what Python and numpy hold after opening (tracemalloc).
"""

import argparse
import gzip
import json
import os
import platform
import random
import statistics
import tempfile
import time
import tracemalloc
from pathlib import Path

from mtdnn_kit.runs.predictions import NBestFile
from mtdnn_kit.runs.run import Run


def write(folder: Path, questions: int, spans: int) -> tuple[Run, int]:
    """A run folder with an n-best file, and the number of bytes of its lines."""
    draw, lines = random.Random(0), []
    for i in range(questions):
        best = sorted((draw.gauss(0, 5) for _ in range(spans)), reverse=True)
        spans_of = [[draw.randrange(900), draw.randrange(900, 999), score, round(draw.random(), 6)] for score in best]
        lines.append({"id": f"56ddde6b9a695914005b{i:04x}", "null": draw.gauss(0, 5), "nothing": 0.123456, "windows": 1, "nbest": spans_of})
    raw = "".join(json.dumps(line) + "\n" for line in lines).encode()
    (folder / "predictions").mkdir()
    (folder / "predictions" / "squad_nbest.jsonl.gz").write_bytes(gzip.compress(raw, mtime=0))
    return Run(folder), len(raw)


def held(make) -> tuple[object, float]:
    """The result of `make`, and the MB that it holds."""
    tracemalloc.start()
    made = make()
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return made, size / 1e6


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--questions", type=int, default=6078)
    parser.add_argument("--spans", type=int, default=20)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run, size = write(Path(folder), args.questions, args.spans)
        opened = []
        for _ in range(5):
            began = time.perf_counter()
            file = NBestFile(run)
            opened.append(time.perf_counter() - began)
        keys = random.Random(1).choices(list(file), k=20_000)
        began = time.perf_counter()
        for key in keys:
            file[key]
        read = (time.perf_counter() - began) / len(keys)
        by_offset, all_of_it = held(lambda: NBestFile(run))[1], held(lambda: list(run.nbest()))[1]
        packed = (run.path / "predictions" / "squad_nbest.jsonl.gz").stat().st_size
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}; {args.questions:,} questions × {args.spans}")
    print(f"file {packed / 1e6:.1f} MB, its lines {size / 1e6:.1f} MB; opening {statistics.median(opened):.2f} s (median of 5)")
    print(f"a question {read * 1e6:.0f} µs (mean of {len(keys):,}); in memory {by_offset:.1f} MB, with every entry {all_of_it:.1f} MB")


if __name__ == "__main__":
    main()
