"""Plants faults one at a time and checks that the tests notice: `make faults` (some twenty minutes; not part of `make test`).

    python tests/faults.py [WORD …]      only faults whose file or name contains one of these words

A fault (tests/faults.yaml) is one change of the source that still runs but gives wrong results, in spans, decoding, thresholds,
scores, slices and statistics: what a careless edit could do. It is made in a copy of the project; the tests listed for its file must then
fail. That every place still occurs exactly once is part of `make test` (tests/project/test_faults.py).
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import yaml

ROOT = Path(__file__).parents[1]
TESTS = {  # file → tests that must notice
    "tasks/spans": "tasks/spans tasks/tasks tasks/pre_tokenizers",
    "tasks/tokens": "tasks/tokens tasks/pre_tokenizers",
    "tasks/decoding": "tasks/decoding",
    "tasks/qa": "tasks/decoding tasks/tasks tasks/spans model/model",
    "tasks/answers": "tasks/tasks tasks/decoding model/evaluation data/my_data training/hold_out",
    "tasks/sc": "tasks/tasks",
    "sampler": "sampler batches training/plugins",
    "files/plugins": "training/plugins",
    "model/own_scores": "training/plugins",
    "studies/status": "studies/status studies/stages",
    "studies/engines": "studies/engines",
    "studies/sharing": "studies/sharing studies/stages",
    "studies/variants": "studies/studies studies/arms",
    "runs/claim": "studies/sharing inference/importing",
    "balance/anchors": "balance/anchors",
    "balance/fisher": "balance/anchors",
    "balance/kept": "balance/anchors",
    "runs/forgetting": "runs/forgetting",
    "runs/environment": "runs/watched_environment",
    "runs/origin": "runs/origin",
    "runs/equal": "inference/rerunning",
    "compare/study_tables": "studies/report compare/differences compare/labels",
    "studies/power": "studies/power",
    "studies/arms": "studies/arms",
    "studies/declaration": "studies/declaration",
    "studies/study": "studies/studies studies/report",
    "studies/report": "studies/report",
    "studies/keep": "studies/report",
    "tasks/classification": "tasks/tasks",
    "runs/predictions": "runs/predictions runs/hostile_runs model/evaluation",
    "training/interference": "training/interference inference/affinity",
    "runs/conflicts": "runs/conflicts",
    "views/balance_plots": "views/balance_plots",
    "compare/baseline": "compare/compare",
    "compare/clusters": "compare/clusters",
    "compare/learnt": "compare/learnt",
    "compare/threshold_choice": "compare/threshold_choice",
    "runs/held_out": "runs/held_out",
    "runs/curves": "runs/curves",
    "views/curve_plots": "views/curve_plots",
    "views/findings": "views/findings",
    "views/style": "views/plots views/curve_plots",
    "views/task_plots": "views/task_plots",
    "inference/heldout": "inference/heldout",
    "tasks/null_threshold": "tasks/null_threshold",
    "metrics": "metrics",
    "model/evaluation": "model/evaluation data/my_data training/watched",
    "compare/pairing": "compare/compare compare/choices compare/differences runs/hostile_runs studies/report",
    "compare/slices": "compare/slices",
    "compare/differences": "compare/differences compare/labels compare/learnt",
    "views/tables": "views/tables project/security studies/report",
    "inference/importing": "inference/importing",
    "inference/task_vectors": "inference/merging",
    "inference/merging": "inference/merging",
    "inference/affinity": "inference/affinity",
    "data/sources": "data/sources data/other_files",
    "data/hub": "data/hub",
    "model/encoders": "model/encoders data/hub project/security",
    "model/devices": "model/devices",
    "files/paths": "project/security",
    "studies/page": "project/security",
    "data/readers": "data/readers data/other_files data/hostile_formats",
    "data/row_checks": "data/my_data data/other_files",
    "data/gold_answers": "data/my_data data/readers data/other_files",
    "data/split": "data/my_data",
    "data/delimited": "data/readers data/other_files",
    "data/read_as": "data/other_files",
    "data/rows": "data/other_files",
    "data/draft": "data/draft",
    "data/cache": "data/cache",
    "training/setup": "sampler training/setup training/training data/cache tasks/new_type",
    "config": "training/hold_out training/scored_also inference/scoring",
    "training/hold_out": "training/hold_out training/training",
    "runs/notes": "training/hold_out inference/scoring training/plugins",
    "data/table": "data/arrays data/sources training/setup",
    "model/multitask": "model/model project/everywhere model/families",
    "inference/exporting": "inference/exporting",
    "inference/model_card": "inference/exporting",
    "inference/predictor": "inference/predictor",
    "model/layers": "model/layers",
    "balance/schedule": "balance/step",
    "balance/step": "balance/step balance/planted",
    "balance/losses": "balance/step balance/methods",
    "balance/gradients": "balance/step balance/methods",
    "model/provenance": "model/provenance",
    "model/dropout": "model/dropout",
    "training/optim": "training/optim",
    "training/trainer": "training/training training/plugins",
    "training/distributed": "training/distributed",
    "training/loop": "training/cuda_graphs training/training training/distributed",
    "training/bookkeeping": "training/training training/distributed training/watched",
    "training/selection": "training/selection",
    "training/cuda_graphs": "training/cuda_graphs",
    "training/checkpoints": "training/checkpoints",
    "files/atomic": "training/checkpoints training/failures runs/pruning",
    "runs/pruning": "runs/pruning",
    "training/interruptions": "training/failures training/survival",
    "training/failures": "training/failures training/survival training/checkpoints",
    "training/log": "training/failures training/trackers studies/progress",
    "compare/significance": "compare/significance compare/labels",
    "compare/seeds": "compare/seeds compare/blocks",
    "compare/blocks": "compare/blocks compare/seeds",
    "compare/family": "compare/blocks",
    "compare/outcomes": "compare/outcomes",
    "explorer/filters": "explorer/explore",
    "explorer/answers_json": "explorer/explore",
    "explorer/html": "explorer/explore",
    "explorer/replies": "explorer/explore",
    "explorer/page": "browser/explorer_page",
    "explorer/front/scores.js": "browser/explorer_page",
    "explorer/front/data.js": "browser/explorer_page",
    "explorer/front/keys.js": "browser/explorer_lab",
    "explorer/front/share.js": "browser/explorer_page",
    "views/templates": "views/marks",
    "explorer/favourites": "explorer/favourites",
    "compare/choices": "compare/choices compare/labels compare/differences",
    "inference/salience": "inference/salience",
    "inference/asking": "inference/asking",
    "inference/scoring": "inference/scoring",
    "inference/loading": "inference/asking data/my_data training/hold_out",
    "training/odd_rows": "data/hostile_rows",
    "files/json_files": "data/hostile_rows",
    "data/definitions": "hostile_parameters training/setup training/scored_also inference/scoring",
    "files/yaml_files": "hostile_parameters",
    "runs/schema": "runs/hostile_runs",
}


class Fault(NamedTuple):
    """`old`, which occurs once in mtdnn_kit/FILE.py (or FILE, a template or script), becomes `new`."""

    file: str
    name: str
    old: str
    new: str

    def place(self, package: Path) -> Path:
        """The file below the package's folder."""
        return package / (self.file if self.file.endswith((".html", ".js")) else f"{self.file}.py")


FAULTS = [Fault(file, *one.values()) for file, some in yaml.safe_load((ROOT / "tests" / "faults.yaml").read_text()).items() for one in some]


def file_of(name: str) -> Path:
    """The test file that TESTS names: tests/tasks/test_spans.py for "tasks/spans"."""
    return ROOT / "tests" / Path(name).with_name(f"test_{Path(name).name}.py")


def left_out(folder: str, names: list[str]) -> set[str]:
    """What a copy of the project leaves out; `runs` and `build` only at the top, since a package folder is called `runs`, too."""
    never = shutil.ignore_patterns(".git", ".venv", "__pycache__", ".hypothesis", "*.egg-info")(folder, names)
    return {*never, *({"runs", "build"} & set(names) if Path(folder) == ROOT else ())}


def noticed(fault: Fault) -> bool:
    """Whether the tests of the fault's file fail once it is planted."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "project")
        shutil.copytree(ROOT, copy, ignore=left_out)
        file = fault.place(copy / "mtdnn_kit")
        planted = file.read_text().replace(fault.old, fault.new) if fault.old else file.read_text()
        file.write_text(planted + "\n# edited\n" * (file.suffix == ".py"))  # another code hash alone must not fail a test
        tests = [str(file_of(name).relative_to(ROOT)) for name in TESTS[fault.file].split()]
        # not from a warm process (`warm`): a fork whose tests start another one waits without end
        command = [sys.executable, "-m", "pytest", "-x", "-q", *tests]
        # the same examples as in CI; processes in other folders import this copy, too
        settled = {**os.environ, "CI": "true", "PYTHONPATH": str(copy)}
        done = subprocess.run(command, cwd=copy, env=settled, capture_output=True, text=True)
        if done.returncode not in (0, 1) or not re.search(r"^\d+ (passed|failed)", done.stdout.rstrip().rpartition("\n")[2]):
            raise RuntimeError(f"{fault.name}: the tests did not run\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        return done.returncode == 1


def main() -> None:
    """Plants each fault; exits with 1 if one went unnoticed, or if tests fail without any."""
    words = sys.argv[1:]
    chosen = [fault for fault in FAULTS if not words or any(word in f"{fault.file} {fault.name}" for word in words)]
    missed = []
    controls = [Fault(file, "none", "", "") for file in sorted({fault.file for fault in chosen})]
    with ThreadPoolExecutor(os.cpu_count()) as workers:
        if broken := [one.file for one, failed in zip(controls, workers.map(noticed, controls), strict=True) if failed]:
            sys.exit(f"these tests fail without a fault: {', '.join(broken)}")
        for fault, seen in zip(chosen, workers.map(noticed, chosen), strict=True):
            missed += [] if seen else [fault]
            print(f"{'noticed' if seen else 'MISSED '}  {fault.file}: {fault.name}", flush=True)
    print(f"{len(chosen) - len(missed)} of {len(chosen)} faults noticed")
    sys.exit(1 if missed or not chosen else 0)


if __name__ == "__main__":
    main()
