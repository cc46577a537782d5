"""A study file → runs of notebook 02 by papermill, one after the other; finished ones are skipped, interrupted ones go on.

A study varies parameters around a base file to answer one question, which the file's first comment asks. Each run is a process of its
own, its executed notebook kept in its folder. What the runs then say is read elsewhere (`compare`, `plots`).

    python -m mtdnn_kit.studies parameters/ablations/demo.yaml
"""

import argparse
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import yaml
from tqdm import tqdm

from mtdnn_kit.config import Config, from_file, project_root, resolve
from mtdnn_kit.paper import TABLES
from mtdnn_kit.runs import Run, claim
from mtdnn_kit.values import ConfigError, nearest

NOTEBOOK = "notebooks/02_train.ipynb"
KEPT = "02_train.ipynb"  # the executed notebook, in the run folder
KEYS = ("base", "fixed", "variants", "paper")


class StudyError(ValueError):
    """A study that cannot be run, or whose runs failed; says which run, where and why."""


@dataclass(frozen=True)
class Study:
    """A family of runs: `variants` maps each one's name to the parameters that it changes, on top of `fixed`, on top of the file `base`."""

    name: str
    question: str
    base: str
    variants: dict[str, dict]
    fixed: dict = field(default_factory=dict)
    paper: str | None = None  # the paper's table with the same variants, a key of `paper.TABLES`

    def configs(self, folder: Path, changes: dict | None = None) -> dict[str, Config]:
        """Full parameters of each run, below `folder`; `changes` (data, device …) go on top of all. Raises ConfigError, naming the run."""
        if not isinstance(changes or {}, dict):
            raise ConfigError(f"changes: {changes!r} must map parameters to values, e.g. {{seed: 1}}; on the command line, --set seed=1")
        made, root = {}, project_root()
        for name, variant in self.variants.items():
            path = folder / slug(name)
            run_dir = path.relative_to(root) if path.is_relative_to(root) else path  # no machine's path in config.yaml
            try:
                made[name] = from_file(self.base, **{**self.fixed, **variant, **(changes or {}), "run_dir": str(run_dir)})
            except ConfigError as error:
                raise ConfigError(f"{self.name}, run {name}: {error}") from None
        return made


@dataclass
class State:
    """Where a run of a study is: `status` waiting, running, done or failed; `steps` of `total`; `records` of its log; why it failed."""

    name: str
    status: str = "waiting"
    steps: int = 0
    total: int | None = None
    records: list[dict] = field(default_factory=list)
    error: str = ""


def slug(name: str) -> str:
    """A run's name as that of a folder: QA+MCC → qa-mcc."""
    return re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-.")


def read_study(path: str | Path) -> Study:
    """The study in a file. Raises StudyError: cannot be read, an unknown key, no variants, or two that would share a folder."""
    try:
        text = resolve(str(path)).read_text(encoding="utf-8")
        content = yaml.safe_load(text)
    except OSError as error:
        raise StudyError(f"{path}: cannot be read ({error.strerror}); looked for {resolve(str(path))}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise StudyError(f"{path}: not a YAML study file ({error})") from None
    if not isinstance(content, dict) or not isinstance(content.get("base"), str) or not isinstance(content.get("variants"), dict):
        raise StudyError(f"{path}: a study file has `base:`, a parameter file, and `variants:`, each with a name and what it changes")
    for key in content:
        if key not in KEYS:
            raise StudyError(f"{path}: {key}: no such key.{nearest(str(key), list(KEYS))} All are: {', '.join(KEYS)}")
    _check(path, content)
    comment = itertools.takewhile(lambda line: line.startswith("#"), text.splitlines())
    return Study(Path(path).stem, " ".join(line.lstrip("# ").strip() for line in comment), **content)


def _check(path: str | Path, content: dict) -> None:
    named = {"fixed": content.get("fixed", {}), **{f"variants: {name}": variant for name, variant in content["variants"].items()}}
    for name, variant in named.items():
        if not isinstance(variant, dict):
            raise StudyError(f"{path}: {name} is {variant!r}; it must map parameters to values, e.g. {{qa_weight: 0.8}}")
    folders: dict[str, str] = {}
    for name in content["variants"]:
        if not isinstance(name, str) or not slug(name):
            raise StudyError(f'{path}: a variant is called {name!r}; its name must be text with a letter or digit (write "0.8" in quotes)')
        if folders.setdefault(slug(name), name) != name:
            raise StudyError(f"{path}: {folders[slug(name)]!r} and {name!r} would share the folder {slug(name)}; rename one")
    if not folders:
        raise StudyError(f"{path}: variants names no run")
    if content.get("paper") not in (None, *TABLES):
        raise StudyError(f"{path}: paper is {content['paper']!r}; the paper has {', '.join(TABLES)}")


def default_folder(study: Study) -> Path:
    """Where a study's runs go if nothing else is said: below $MTDNN_RUNS or runs/, in a folder of the study's name."""
    return resolve(os.environ.get("MTDNN_RUNS", "runs")) / study.name


def run_study(
    study: Study,
    folder: str | Path | None = None,
    changes: dict | None = None,
    watch: Callable[[list[State]], None] | None = None,
) -> dict[str, Run]:
    """Runs what is not done yet, in order; {name: finished run}.

    folder: for the run folders; None: `default_folder`. changes: parameters on top of every run's. watch: called with the states of all
    runs about once a second. A run that fails does not stop the others. Raises ConfigError before anything runs (a parameter that cannot
    be meant, or a folder that holds another run); StudyError, at the end, with the error and the cell of each run that failed.
    """
    folder = resolve(str(folder)) if folder else default_folder(study)
    configs = {name: _going_on(config) for name, config in study.configs(folder, changes).items()}
    states = [State(name) for name in configs]
    for state in states:
        run = Run(configs[state.name].run_dir)
        if run.finished:
            state.status, state.records, state.total = "done", run.log(), run.manifest["steps"]
            state.steps = state.total
    for state in states:
        if state.status != "done":
            _execute(configs[state.name], state, lambda: watch and watch(states))
    if watch:
        watch(states)
    failed = [f"{state.name}: {state.error}" for state in states if state.status == "failed"]
    if failed:
        raise StudyError(f"{len(failed)} of {len(states)} runs failed.\n" + "\n".join(failed))
    return {name: Run(config.run_dir) for name, config in configs.items()}


def _going_on(config: Config) -> Config:
    """The config with `resume` where its folder holds the same run already. Raises ConfigError where it holds another one."""
    if not (Run(config.run_dir).path / "manifest.json").exists():
        return config
    going_on = replace(config, resume=True)
    claim(going_on)
    return going_on


def _execute(config: Config, state: State, tell: Callable[[], None]) -> None:
    """Notebook 02 with these parameters in a process of its own; moves `state` along and tells about it."""
    notebook, run = resolve(NOTEBOOK), Run(config.run_dir)
    if not notebook.is_file():
        raise StudyError(f"{NOTEBOOK} is not in {project_root()}: run studies within the project's folder")
    run.path.mkdir(parents=True, exist_ok=True)
    made, messages = run.path / "partial.ipynb", run.path / "papermill.txt"
    command = [sys.executable, "-m", "papermill", str(notebook), str(made), "-k", "python3", "-y", yaml.safe_dump(asdict(config))]
    state.status, began = "running", time.time()
    with open(messages, "w") as output:
        child = subprocess.Popen(
            [*command, "--no-progress-bar", "--log-level", "ERROR"],
            cwd=project_root(),
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            while child.poll() is None:
                _look(run, state, began)
                tell()
                time.sleep(0.5)
        finally:
            _stop(child)
    state.error = "" if run.finished and child.returncode == 0 else _why(made, messages, child.returncode)
    state.status = "failed" if state.error else "done"
    if made.exists():
        os.replace(made, run.path / KEPT)
    if not state.error:
        messages.unlink()
    _look(run, state, began)
    tell()


def _look(run: Run, state: State, began: float) -> None:
    """Steps and log of a run at work, once it has begun to write this time."""
    manifest = run.path / "manifest.json"
    if manifest.exists() and manifest.stat().st_mtime >= began - 1 and (run.path / "log.jsonl").exists():
        state.total, state.records = run.manifest["steps"], run.log()
        state.steps = state.records[-1]["step"] if state.records else 0


def _stop(child: subprocess.Popen) -> None:
    """Ends a child that is still at work as Ctrl-C would, so that papermill ends its kernel; after ten seconds with its group."""
    if child.poll() is None:
        child.send_signal(signal.SIGINT)
        try:
            child.wait(timeout=10)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()


def _why(made: Path, messages: Path, code: int) -> str:
    """The error of the cell that failed, or papermill's last words; and where to read on."""
    cells = json.loads(made.read_text(encoding="utf-8"))["cells"] if made.exists() else []
    for number, cell in enumerate((cell for cell in cells if cell["cell_type"] == "code"), 1):
        for output in cell.get("outputs", []):
            if output["output_type"] == "error":
                return f"code cell {number}: {output['ename']}: {output['evalue']} (see {made.with_name(KEPT)})"
    last = messages.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
    return f"papermill ended with {code}: {last[0]} (see {messages})"


class Bars:
    """A progress bar a run, in a terminal; give it to `run_study(…, watch=…)`. Drawn anew only when a run has moved."""

    def __init__(self):
        self.bars, self.shown = {}, {}

    def __call__(self, states: list[State]) -> None:
        for state in states:
            now = (state.status, state.steps, state.total)
            if state.status != "waiting" and self.shown.get(state.name) != now:
                self.shown[state.name] = now
                self._draw(state)

    def _draw(self, state: State) -> None:
        if state.name not in self.bars:
            self.bars[state.name] = tqdm(desc=f"{state.name:<10}", unit="step")
        bar = self.bars[state.name]
        bar.total, bar.n = state.total, state.steps
        bar.set_postfix_str("starting" if state.status == "running" and not state.steps else state.status)
        if state.status in ("done", "failed"):
            bar.close()


def main() -> None:
    """Runs a study from the command line and says where its runs lie."""
    parser = argparse.ArgumentParser(prog="python -m mtdnn_kit.studies", description="Runs a study; what is finished is not run again.")
    parser.add_argument("study", help="a study file, e.g. parameters/ablations/demo.yaml")
    parser.add_argument("--folder", help="for the run folders; runs/NAME otherwise")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a parameter on top of every run's (YAML)")
    given = parser.parse_args()
    try:
        changes = yaml.safe_load("\n".join(pair.replace("=", ": ", 1) for pair in given.set)) or {}
        study = read_study(given.study)
        print(f"{study.name}: {study.question}")
        for run in run_study(study, given.folder, changes, watch=Bars()).values():
            print(run)
    except (StudyError, ConfigError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
