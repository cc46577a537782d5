"""What a study of 200 runs costs its driver process: CPU time per run, and memory.

    .venv/bin/python benchmarks/driver.py [RUNS] [WORKERS]

Each run uses a real papermill with a real kernel, but a stub notebook that writes a finished run of 1,000 steps and ends.
"""

import json
import resource
import sys
import tempfile
from pathlib import Path

import nbformat
import yaml
from machine import heading

from mtdnn_kit.studies import running
from mtdnn_kit.studies.study import read_study

STUB = """
import json
from pathlib import Path

folder = Path(run_dir)
(folder / "config.yaml").write_text("tasks: [squad]")
(folder / "log.jsonl").write_text("".join(json.dumps({"step": k + 1, "task": "squad", "loss": 1.0}) + "\\n" for k in range(1000)))
(folder / "m.partial").write_text(json.dumps({"status": "finished", "steps": 1000, "draws": {"squad": 1000}}))
(folder / "m.partial").rename(folder / "manifest.json")
"""


def main(runs: int = 200, workers: int = 2) -> None:
    """Runs the study and prints its cost."""
    with tempfile.TemporaryDirectory() as folder:
        cells = [nbformat.v4.new_code_cell("run_dir = None", metadata={"tags": ["parameters"]}), nbformat.v4.new_code_cell(STUB)]
        python = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=python), Path(folder, "stub.ipynb"))
        Path(folder, "base.yaml").write_text("data: sample")
        study = {"base": f"{folder}/base.yaml", "vary": {"max_steps": list(range(1, runs + 1))}}
        Path(folder, "study.yaml").write_text(yaml.safe_dump(study))
        running.NOTEBOOK = f"{folder}/stub.ipynb"
        running.run_study(read_study(f"{folder}/study.yaml"), f"{folder}/runs", workers=workers)
    own = resource.getrusage(resource.RUSAGE_SELF)
    print(heading())
    seconds, memory = own.ru_utime + own.ru_stime, own.ru_maxrss / 1024
    print(json.dumps({"runs": runs, "own seconds a run": round(seconds / runs, 4), "peak MiB": round(memory, 1)}))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
