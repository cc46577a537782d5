"""What a click costs in the explorer, and what it holds: six runs' answers, drawn, on real passages or the sample's.

    .venv/bin/python benchmarks/explorer.py [--data FOLDER] [--runs 6] [--repeats 7]

Six run folders are written with 20 n-best entries a question (spans and scores drawn; half the best spans are right) and opened as notebook
04 opens them. A click is all that the kernel does until the new contents of every control are on their way: the median of --repeats, in
milliseconds. Memory is what the process holds more than before, after a garbage collection.
"""

import argparse
import gc
import gzip
import json
import os
import platform
import resource
import statistics
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import yaml

from mtdnn_kit.compare.pairing import named
from mtdnn_kit.data.registry import DATASETS
from mtdnn_kit.data.sources import load
from mtdnn_kit.explorer.state import of_runs
from mtdnn_kit.explorer.widgets import Explorer


def write_run(folder: Path, rows, number: int, data: str) -> None:
    """A run folder as training leaves it, but for the model and the log."""
    rng, lines = np.random.default_rng(number), []
    for row in rows.rows:
        words = [i for i in range(len(row.context)) if i == 0 or row.context[i - 1] == " "]
        spans = {(a, min(a + int(rng.integers(3, 40)), len(row.context))) for a in rng.choice(words, 30).tolist()}
        gold = [(a, a + len(text)) for a, text in row.answers[:1] if rng.random() < 0.5]
        spans = [*gold, *sorted(spans - set(gold))][:20]
        scores = np.sort(rng.normal(0, 3, len(spans)))[::-1]
        null = float(rng.normal(0, 3))
        p = np.exp(np.append(scores, null))
        p /= p.sum()
        best = [[*span, float(score), round(float(q), 6)] for span, score, q in zip(spans, scores, p, strict=False)]
        lines.append(json.dumps({"id": row.id, "null": null, "nothing": round(float(p[-1]), 6), "windows": 1, "nbest": best}))
    (folder / "predictions").mkdir(parents=True)
    (folder / "predictions/squad_nbest.jsonl.gz").write_bytes(gzip.compress("\n".join(lines).encode() + b"\n"))
    (folder / "config.yaml").write_text(yaml.safe_dump({"data": data, "tasks": ["squad"], "qa_weight": 1.0, "run_dir": str(folder)}))
    (folder / "metrics.json").write_text(json.dumps({"squad": {"threshold": 0.0, "span_f1": 0.0, "n": len(rows)}}))
    sources = {"squad/validation": {"origin": rows.origin, "fingerprint": rows.fingerprint}}
    (folder / "manifest.json").write_text(json.dumps({"status": "finished", "data": sources}))


def write_runs(folder: str, count: int, data: str) -> None:
    """Six run folders; in a process of its own, so that ours is as small as a notebook's before it opens them."""
    rows = load("squad", DATASETS["squad"], "validation", data)
    for i in range(count):
        write_run(Path(folder, f"run-{i}"), rows, i, data)
    print(f"{rows.origin}: {len(rows):,} questions, {count} runs; {platform.machine()}, Python {platform.python_version()}")


def held() -> float:
    """MB that this process holds now."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6


def clicks(explorer: Explorer) -> dict:
    """What is clicked, by name."""
    state, fields = explorer.state, explorer.panels["thresholds"].fields
    name, turn = state.names[0], [0]

    def turned() -> int:
        turn[0] += 1
        return turn[0]

    return {
        "next": lambda: explorer.buttons["next ▸"].click(),
        "surprise me": lambda: explorer.buttons["surprise me"].click(),
        "outcome": lambda: setattr(explorer.outcome, "value", ("all", "answers differ")[turned() % 2]),
        "slice": lambda: setattr(explorer.slice, "value", ("all", "answerable: answerable")[turned() % 2]),
        "find": lambda: setattr(explorer.text, "value", ("century", "war", "the", "")[turned() % 4]),
        "order": lambda: setattr(explorer.order, "value", ("most disagreement first", "largest gap first")[turned() % 2]),
        "threshold": lambda: setattr(fields[name], "value", turned() / 7),
    }


def main() -> None:
    """Prints seconds to open, MB held, and milliseconds a click."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default=os.environ.get("MTDNN_DATA", "sample"), help="a folder of squad/validation.jsonl.gz")
    parser.add_argument("--runs", type=int, default=6)
    parser.add_argument("--repeats", type=int, default=7)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        writer = get_context("spawn").Process(target=write_runs, args=(folder, given.runs, given.data))
        writer.start(), writer.join()
        runs, before, began = named([f"{folder}/run-{i}" for i in range(given.runs)]), held(), time.perf_counter()
        explorer = Explorer(of_runs(runs, "squad", given.data), "squad", runs)
        print(f"opened in {time.perf_counter() - began:.1f} s; {held() - before:.0f} MB held")
        explorer.panels["thresholds"].switch.value = True
        for name, click in clicks(explorer).items():
            times = []
            for _ in range(given.repeats):
                began = time.perf_counter()
                click()
                times.append(1000 * (time.perf_counter() - began))
            print(f"{name}: {statistics.median(times):.0f} ms (longest {max(times):.0f})")


if __name__ == "__main__":
    main()
