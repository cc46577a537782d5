"""What a study would do before it does: its runs, how many steps each has, about how long they take, and what is done already.

Steps are exact: the rows are cut into batches and the schedule is drawn, as a run does before its first step. Time is that of earlier runs
of like shape, finished or begun, on this machine if there are any; where there are none it is unknown, and said so. Trains nothing.
"""

import os
from collections.abc import Iterable
from dataclasses import replace
from operator import attrgetter
from pathlib import Path
from statistics import fmean, median

from mtdnn_kit.config import Config
from mtdnn_kit.files.paths import project_root, resolve
from mtdnn_kit.files.wording import duration
from mtdnn_kit.model.devices import describe, resolve_device
from mtdnn_kit.runs.environment import default_threads
from mtdnn_kit.runs.run import Run, checkpoints
from mtdnn_kit.studies.arms import pass_sizes
from mtdnn_kit.studies.status import Standing, run_of
from mtdnn_kit.training.setup import schedule_of

# What decides how long a step takes, and what batches there are.
SHAPE = attrgetter("encoder", "max_length", "batch_size", "grad_accumulation", "device", "precision", "threads")
ANYWHERE = attrgetter("encoder", "max_length", "batch_size", "grad_accumulation")  # on whatever machine
Earlier = tuple[Config, str, float]  # parameters, machine, seconds a step


def plan(configs: dict[str, Config], found: dict[str, Standing], folder: Path) -> list[dict]:
    """A row a run: name, status, steps, training time, where that is from. Seconds: what a finished run took, else what is left, about;
    None where no earlier run tells.
    """
    steps, earlier, kept = _steps(configs), list(_earlier(folder)), list(_earlier(folder, kept=True))
    rows = []
    for name, config in configs.items():
        stands, run = found[name], run_of(config)
        if stands.status == "done":
            count, seconds, origin = run.manifest["steps"], run.manifest["train_seconds"], "it took"
        else:
            pace, origin = _like(config, earlier, kept)
            done = checkpoints(run)[-1][0] if stands.status == "begun" else 0
            count, seconds = steps[name], None if pace is None else pace * (steps[name] - done)
            origin += f", from step {done}" if done else ""
        status = f"{stands.status}, changed" if stands.changed and stands.status != "new" else stands.status
        rows.append({"run": name, "status": status, "steps": count, "seconds": seconds, "from": origin})
    return rows


def as_text(rows: list[dict], workers: int = 1) -> str:
    """The plan as lines of a terminal, the time that is left last."""
    width = max(len(row["run"]) for row in rows)
    lines = [f"{r['run']:<{width}}  {r['status']:<14}{r['steps']:>8,} steps  {_time(r['seconds']):>9}  ({r['from']})" for r in rows]
    left = [row["seconds"] for row in rows if row["status"] != "done"]
    known = [seconds for seconds in left if seconds is not None]
    time = f"about {duration(sum(known) / min(workers, max(len(known), 1)))} of training" if known or not left else "training time unknown"
    some = f" for {len(known)} of them, of the others unknown" if 0 < len(known) < len(left) else ""
    together = f", {workers} at a time" if workers > 1 else ""
    lines.append(f"{len(left)} of {len(rows)} to run{together}: {time}{some}, and the scoring after each")
    return "\n".join(lines)


def on_cards(rows: list[dict], configs: dict[str, Config], folder: Path) -> list[str]:
    """A line a GPU on which earlier runs of like shape were made: about how long the steps that are left would take there, one run at a
    time. Kept runs may have shared their card with others: then it is less."""
    left = {row["run"]: row["steps"] for row in rows if row["status"] != "done"}
    paces: dict[str, list[tuple[Config, float]]] = {}
    for config, machine, pace in _earlier(folder, kept=True):
        if _is_card(machine):
            paces.setdefault(machine, []).append((config, pace))
    lines = []
    for machine, some in paces.items():
        alike = {name: [pace for one, pace in some if ANYWHERE(one) == ANYWHERE(configs[name])] for name in left}
        if left and all(alike.values()):
            seconds = sum(steps * median(alike[name]) for name, steps in left.items())
            lines.append(f"on one {machine}: about {duration(seconds)} of training, one run at a time, at the pace of earlier runs there")
    return lines


def _is_card(machine: str) -> bool:
    """Whether `devices.describe` means a GPU: it counts a processor's cores."""
    return not machine.endswith(" cores")


def _time(seconds: float | None) -> str:
    return "unknown" if seconds is None else duration(seconds)


def _steps(configs: dict[str, Config]) -> dict[str, int]:
    """Steps of each run."""
    sizes = pass_sizes(configs)
    return {name: len(schedule_of(config, sizes[name][0], sizes[name][2])[0]) for name, config in configs.items()}


def _earlier(folder: Path, kept: bool = False) -> Iterable[Earlier]:
    """Finished and begun runs, in the study's folder and wherever runs usually are, or also those that are kept with the project:
    parameters, machine, seconds a step."""
    usual = resolve(os.environ.get("MTDNN_RUNS", "runs"))
    places = {*folder.glob("*/manifest.json"), *usual.glob("*/manifest.json"), *usual.glob("*/*/manifest.json")}
    for file in sorted(places | {*(project_root() / "results").glob("*/runs/*/manifest.json")} if kept else places):
        run = Run(file.parent)
        try:
            made = run.manifest
            # of a begun run by its log, where it has made steps
            pace = made["train_seconds"] / made["steps"] if run.finished else fmean(r["tokens"] / r["tokens_per_second"] for r in run.log())
            config = run.parameters
            yield replace(config, threads=config.threads or made.get("threads")), made["machine"], pace
        except (ValueError, TypeError, KeyError, OSError):  # of another version of the kit, or before its first steps
            continue


def _like(config: Config, earlier: list[Earlier], kept: list[Earlier]) -> tuple[float | None, str]:
    """Median seconds a step of the earlier runs of this shape: of those of this machine if there are any, then of those with the same
    tasks; where there are none, of kept runs on a machine of the same kind. None where there are none either.
    """
    config = replace(config, threads=config.threads or default_threads())
    here = describe(resolve_device("cpu" if config.device == "cpu" else "auto"))
    alike = [one for one in earlier if SHAPE(one[0]) == SHAPE(config)]
    alike = [one for one in alike if one[1] == here] or alike
    alike = alike or [one for one in kept if ANYWHERE(one[0]) == ANYWHERE(config) and _is_card(one[1]) == _is_card(here)]
    same = [one for one in alike if one[0].tasks == config.tasks]
    if not alike:
        return None, "no earlier run of like shape"
    count, machine = len(same or alike), (same or alike)[0][1]
    said = f"{count} earlier run{'s' * (count != 1)} {'like it' if same else 'with other tasks'}"
    return median(pace for *_, pace in same or alike), said + ("" if machine == here else f", on {machine}")
