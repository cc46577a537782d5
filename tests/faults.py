"""Plants faults one at a time and sees whether the tests notice: `make faults` (some twenty minutes; no part of `make test`).

    python tests/faults.py [WORD …]      only faults whose file or name has one of these words

A fault (tests/faults.yaml) is a change of one place that leaves the code running and makes it wrong, in spans, decoding, thresholds,
scores, slices and statistics: what a careless edit could do. It is made in a copy of the project; the tests named for its file must then
fail. That every place is still there, once, is part of `make test` (tests/test_faults.py).
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path
from typing import NamedTuple

import yaml
from warm import serving

ROOT = Path(__file__).parents[1]
TESTS = {  # file → tests that must notice
    "spans": "spans tasks",
    "decoding": "decoding",
    "tasks/qa": "decoding tasks spans model",
    "tasks/answers": "tasks decoding evaluation",
    "tasks/sc": "tasks",
    "sampler": "sampler",
    "standing": "standing",
    "report_tables": "report",
    "report": "report",
    "keeping": "report",
    "tasks/labels": "tasks",
    "nbest": "nbest",
    "interference": "interference",
    "baseline": "compare",
    "heldout": "heldout",
    "thresholds": "thresholds",
    "metrics": "metrics",
    "evaluation": "evaluation my_data",
    "compare": "compare hostile_runs",
    "slices": "slices",
    "differences": "differences",
    "tables": "tables security",
    "imports": "imports",
    "sources": "sources",
    "hub": "hub",
    "encoders": "encoders hub security",
    "devices": "devices",
    "links": "security",
    "page": "security",
    "readers": "readers hostile_formats",
    "fields": "my_data",
    "golds": "my_data",
    "splitting": "my_data",
    "cache": "cache",
    "preparation": "preparation cache new_type",
    "rowlist": "columns sources",
    "model": "model everywhere families",
    "exports": "exports",
    "cards": "exports",
    "predictor": "predictor",
    "batches": "batches",
    "dropout": "dropout",
    "optim": "optim",
    "training": "training",
    "parallel": "parallel",
    "gradients": "parallel",
    "graphs": "graphs",
    "trackers": "trackers",
    "progress": "progress",
    "checkpoints": "checkpoints",
    "folders": "checkpoints guards",
    "guards": "guards survival",
    "space": "checkpoints",
    "recorder": "guards",
    "significance": "significance",
    "seeds": "seeds",
    "outcomes": "outcomes",
    "explorer/state": "state",
    "lookup": "state",
    "marks": "marks",
    "favourites": "favourites",
    "takeaway": "takeaway",
    "choices": "choices",
    "salience": "salience",
    "asking": "asking",
    "edits": "edits",
    "odd": "hostile_rows",
    "jsons": "hostile_rows",
    "definitions": "hostile_parameters",
    "yamls": "hostile_parameters",
    "runfiles": "hostile_runs",
}


class Fault(NamedTuple):
    """`old`, which stands once in mtdnn_kit/FILE.py, becomes `new`."""

    file: str
    name: str
    old: str
    new: str


FAULTS = [Fault(file, *one.values()) for file, some in yaml.safe_load((ROOT / "tests" / "faults.yaml").read_text()).items() for one in some]


def noticed(fault: Fault, start: list[str]) -> bool:
    """Whether the tests of the fault's file fail once it is planted. start: the beginning of a command line, as [sys.executable]."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "project")
        leave = shutil.ignore_patterns(".git", ".venv", "runs", "build", "__pycache__", ".hypothesis", "*.egg-info")
        shutil.copytree(ROOT, copy, ignore=leave)
        file = copy / "mtdnn_kit" / f"{fault.file}.py"
        file.write_text(file.read_text().replace(fault.old, fault.new))
        tests = [f"tests/test_{name}.py" for name in TESTS[fault.file].split()]
        command = [*start, "-m", "pytest", "-x", "-q", "-W", "ignore:Module already imported", *tests]  # warm: some are
        settled = {**os.environ, "CI": "true"}  # examples as in CI, no luck
        done = subprocess.run(command, cwd=copy, env=settled, capture_output=True, text=True)
        if done.returncode not in (0, 1) or not re.search(r"^\d+ (passed|failed)", done.stdout.rstrip().rpartition("\n")[2]):
            raise RuntimeError(f"{fault.name}: the tests did not run\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        return done.returncode == 1


def main() -> None:
    """Plants each fault; ends with 1 where one went unnoticed."""
    words = sys.argv[1:]
    chosen = [fault for fault in FAULTS if not words or any(word in f"{fault.file} {fault.name}" for word in words)]
    missed = []
    with serving() as start, ThreadPoolExecutor(os.cpu_count()) as workers:
        for fault, seen in zip(chosen, workers.map(noticed, chosen, repeat(start)), strict=True):
            missed += [] if seen else [fault]
            print(f"{'noticed' if seen else 'MISSED '}  {fault.file}: {fault.name}", flush=True)
    print(f"{len(chosen) - len(missed)} of {len(chosen)} faults noticed")
    sys.exit(1 if missed or not chosen else 0)


if __name__ == "__main__":
    main()
