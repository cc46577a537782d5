"""What a study would do before it does: its runs, how many steps each has, about how long they take, and what is done already.

Steps are exact: the rows are cut into batches and the schedule is drawn, as a run does before its first step. Time is that of an earlier
finished run of like shape; where there is none, the first steps of a run are tried, in a folder that is thrown away.
"""

import os
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mtdnn_kit.config import Config
from mtdnn_kit.files.paths import resolve
from mtdnn_kit.files.wording import duration
from mtdnn_kit.runs.run import Run, checkpoints
from mtdnn_kit.sampler import batch_count
from mtdnn_kit.studies.status import Standing, run_of
from mtdnn_kit.training.setup import prepare, schedule_of
from mtdnn_kit.training.trainer import train

PROBE = 6  # steps that are tried; the first does not count: it warms up
SHAPE = ("encoder", "max_length", "batch_size", "grad_accumulation", "device", "precision", "threads")  # what decides how long a step takes
CUT = ("encoder", "data", "define", "batch_size", "max_length", "max_question", "overlap", "threshold_articles", "train_limit")  # …batches


def plan(configs: dict[str, Config], found: dict[str, Standing], folder: Path) -> list[dict]:
    """A row a run: name, status, steps, training time, where that is from. Seconds: what a finished run took, else what is left, about."""
    steps, earlier = _steps(configs), list(_earlier(folder))
    tried: dict[tuple, float] = {}
    rows = []
    for name, config in configs.items():
        stands, run = found[name], run_of(config)
        if stands.status == "done":
            rows.append(_row(name, stands, run.manifest["steps"], run.manifest["train_seconds"], "it took"))
            continue
        pace, origin = _like(config, earlier)
        if pace is None:
            pace = tried[_shape(config)] = tried.get(_shape(config)) or probe(config)
            origin = f"{PROBE} steps tried"
        done = checkpoints(run)[-1][0] if stands.status == "begun" else 0
        rows.append(_row(name, stands, steps[name], pace * (steps[name] - done), origin + (f", from step {done}" if done else "")))
    return rows


def _row(name: str, stands: Standing, steps: int, seconds: float, origin: str) -> dict:
    status = f"{stands.status}, changed" if stands.changed and stands.status != "new" else stands.status
    return {"run": name, "status": status, "steps": steps, "seconds": seconds, "from": origin}


def as_text(rows: list[dict], workers: int = 1) -> str:
    """The plan as lines of a terminal, the time that is left last."""
    width = max(len(row["run"]) for row in rows)
    lines = [f"{r['run']:<{width}}  {r['status']:<14}{r['steps']:>8,} steps  {duration(r['seconds']):>9}  ({r['from']})" for r in rows]
    left = [row for row in rows if row["status"] != "done"]
    seconds = sum(row["seconds"] for row in left) / min(workers, max(len(left), 1))
    together = f", {workers} at a time" if workers > 1 else ""
    lines.append(f"{len(left)} of {len(rows)} to run{together}: about {duration(seconds)} of training, and the scoring after each")
    return "\n".join(lines)


def _steps(configs: dict[str, Config]) -> dict[str, int]:
    """Steps of each run. Rows that several runs share are cut once."""
    sizes: dict[tuple, dict[str, int]] = {}
    for config in configs.values():
        sizes.setdefault(_key(config, CUT), {}).update(dict.fromkeys(config.tasks, 0))
    for key, tasks in sizes.items():
        first = next(config for config in configs.values() if _key(config, CUT) == key)
        alone: dict[str, Any] = dict(
            sampler="proportional", qa_weight=None, sharing=None, temperature=None, exhausted="cycle", loss_weights={}, epochs=1.0
        )
        setup = prepare(replace(first, tasks=list(tasks), eval_limit=1, **alone))
        tasks.update({task: batch_count(len(features.lengths), first.batch_size) for task, features in setup.train.items()})
    found = {}
    for name, config in configs.items():
        known = sizes[_key(config, CUT)]
        found[name] = len(schedule_of(config, {task: known[task] for task in config.tasks})[0])
    return found


def _key(config: Config, names: Iterable[str]) -> tuple:
    return tuple(str(getattr(config, name)) for name in names)


def _shape(config: Config) -> tuple:
    return _key(config, [*SHAPE, "tasks"])


def _earlier(folder: Path) -> Iterable[tuple[Config, float]]:
    """Parameters and seconds a step of finished runs: in the study's folder, and wherever runs usually are."""
    usual = resolve(os.environ.get("MTDNN_RUNS", "runs"))
    for file in sorted({*folder.glob("*/manifest.json"), *usual.glob("*/manifest.json"), *usual.glob("*/*/manifest.json")}):
        run = Run(file.parent)
        try:
            if run.finished:
                yield Config(**{**run.config, "resume": False}), run.manifest["train_seconds"] / run.manifest["steps"]
        except (ValueError, TypeError, KeyError):  # of another version of the kit
            continue


def _like(config: Config, earlier: list[tuple[Config, float]]) -> tuple[float | None, str]:
    """Median seconds a step of the earlier runs of this shape, of those with the same tasks if there are any."""
    alike = [(one, pace) for one, pace in earlier if _key(one, SHAPE) == _key(config, SHAPE)]
    same = [pace for one, pace in alike if one.tasks == config.tasks]
    paces = same or [pace for _, pace in alike]
    kind = "like it" if same else "with other tasks"
    return (float(np.median(paces)), f"{len(paces)} finished {'run' if len(paces) == 1 else 'runs'} {kind}") if paces else (None, "")


def probe(config: Config) -> float:
    """Seconds a step of the first few steps of a run."""
    short: dict[str, Any] = dict(
        max_steps=PROBE, eval_limit=1, log_every=1, checkpoint_every=None, eval_every=None, interference_every=None, log_with=None
    )
    with tempfile.TemporaryDirectory() as folder:
        log = train(replace(config, run_dir=folder, **short), watch=lambda _: None).log()
    return float(np.mean([record["tokens"] / record["tokens_per_second"] for record in log[1:]]))
