"""Plans a study: its runs, their exact steps, their approximate time, and what is done already.

Steps are exact: the plan cuts the rows into batches and draws the schedule, as a run does before its first step. Time is estimated from
earlier runs of similar shape, finished or begun, on this machine if there are any; without any it is unknown. Trains nothing.
"""

import os
from collections.abc import Collection, Iterable, Mapping
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

# The parameters that determine a step's time, and the batches.
SHAPE = attrgetter("encoder", "max_length", "batch_size", "grad_accumulation", "device", "precision", "threads")
ANYWHERE = attrgetter("encoder", "max_length", "batch_size", "grad_accumulation")  # on any machine
Earlier = tuple[Config, str, float]  # parameters, machine, seconds per step


def plan(
    configs: dict[str, Config],
    found: dict[str, Standing],
    folder: Path,
    stages: Mapping[str, list[str]] | None = None,
    merges: Collection[str] = (),
) -> list[dict]:
    """One row per run: name, status, steps, training time, the source of that time, and the runs that come before it (`Study.stages`).
    Seconds: the time of a finished run, otherwise an estimate of the rest; None without an earlier run to estimate from. merges: those that
    are merged, not trained.
    """
    trained = {name: config for name, config in configs.items() if name not in merges}
    steps, earlier, kept = _steps(trained), list(_earlier(folder)), list(_earlier(folder, kept=True))
    rows = []
    for name, config in configs.items():
        stands, run = found[name], run_of(config)
        if stands.status == "done":
            count, seconds, origin = run.manifest["steps"], run.manifest["train_seconds"], "it took"
        elif name in merges:
            count, seconds, origin = 0, 0.0, "merged"
        else:
            pace, origin = _like(config, earlier, kept)
            done = checkpoints(run)[-1][0] if stands.status == "begun" else 0
            count, seconds = steps[name], None if pace is None else pace * (steps[name] - done)
            origin += f", from step {done}" if done else ""
        status = f"{stands.status}, changed" if stands.changed and stands.status != "new" else stands.status
        rows.append({"run": name, "status": status, "steps": count, "seconds": seconds, "from": origin})
        rows[-1] |= {"after": (stages or {})[name]} if name in (stages or {}) else {}
    return rows


def as_text(rows: list[dict], workers: int = 1) -> str:
    """The plan as lines for a terminal, with the time left at the end."""
    width = max(len(row["run"]) for row in rows)
    after = [f"  ← {', '.join(r['after'])}" if "after" in r else "" for r in rows]
    lines = [
        f"{r['run']:<{width}}  {r['status']:<14}{r['steps']:>8,} steps  {_time(r['seconds']):>9}  ({r['from']}){first}"
        for r, first in zip(rows, after, strict=True)
    ]
    left = [row["seconds"] for row in rows if row["status"] != "done"]
    known = [seconds for seconds in left if seconds is not None]
    time = f"about {duration(sum(known) / min(workers, max(len(known), 1)))} of training" if known or not left else "training time unknown"
    some = f" for {len(known)} of them, of the others unknown" if 0 < len(known) < len(left) else ""
    together = f", {workers} at a time" if workers > 1 else ""
    lines.append(f"{len(left)} of {len(rows)} to run{together}: {time}{some}, and the scoring after each")
    return "\n".join(lines)


def gpu_estimates(rows: list[dict], configs: dict[str, Config], folder: Path) -> list[str]:
    """One line per GPU type with earlier runs of similar shape: the estimated time for the remaining steps there, one run at a time. Kept
    runs may have shared their card with others, so it may take less."""
    left = {row["run"]: row["steps"] for row in rows if row["status"] != "done"}
    paces: dict[str, list[tuple[Config, float]]] = {}
    for config, machine, pace in _earlier(folder, kept=True):
        if _is_gpu(machine):
            paces.setdefault(machine, []).append((config, pace))
    lines = []
    for machine, some in paces.items():
        alike = {name: [pace for one, pace in some if ANYWHERE(one) == ANYWHERE(configs[name])] for name in left}
        if left and all(alike.values()):
            seconds = sum(steps * median(alike[name]) for name, steps in left.items())
            lines.append(f"on one {machine}: about {duration(seconds)} of training, one run at a time, at the pace of earlier runs there")
    return lines


def _is_gpu(machine: str) -> bool:
    """Whether `devices.describe` means a GPU: it counts a processor's cores."""
    return not machine.endswith(" cores")


def _time(seconds: float | None) -> str:
    return "unknown" if seconds is None else duration(seconds)


def _steps(configs: dict[str, Config]) -> dict[str, int]:
    """Steps of each run."""
    sizes = pass_sizes(configs)
    return {name: len(schedule_of(config, sizes[name][0], sizes[name][2])[0]) for name, config in configs.items()}


def _earlier(folder: Path, kept: bool = False) -> Iterable[Earlier]:
    """Finished and begun runs, in the study's folder and the usual places, optionally also those kept with the project: parameters,
    machine, seconds per step."""
    usual = resolve(os.environ.get("MTDNN_RUNS", "runs"))
    places = {*folder.glob("*/manifest.json"), *usual.glob("*/manifest.json"), *usual.glob("*/*/manifest.json")}
    for file in sorted(places | {*(project_root() / "results").glob("*/runs/*/manifest.json")} if kept else places):
        run = Run(file.parent)
        try:
            made = run.manifest
            # for a begun run from its log, if it has made steps
            pace = made["train_seconds"] / made["steps"] if run.finished else fmean(r["tokens"] / r["tokens_per_second"] for r in run.log())
            config = run.parameters
            yield replace(config, threads=config.threads or made.get("threads")), made["machine"], pace
        except (
            ValueError,
            TypeError,
            KeyError,
            OSError,
            ZeroDivisionError,
        ):  # of another version of the kit, before its first steps, merged
            continue


def _like(config: Config, earlier: list[Earlier], kept: list[Earlier]) -> tuple[float | None, str]:
    """Median seconds per step of earlier runs of this shape: preferably on this machine, then with the same tasks; without any, of kept
    runs on a machine of the same kind. None without those either.
    """
    config = replace(config, threads=config.threads or default_threads())
    here = describe(resolve_device("cpu" if config.device == "cpu" else "auto"))
    alike = [one for one in earlier if SHAPE(one[0]) == SHAPE(config)]
    alike = [one for one in alike if one[1] == here] or alike
    alike = alike or [one for one in kept if ANYWHERE(one[0]) == ANYWHERE(config) and _is_gpu(one[1]) == _is_gpu(here)]
    same = [one for one in alike if one[0].tasks == config.tasks]
    if not alike:
        return None, "no earlier run of similar shape"
    count, machine = len(same or alike), (same or alike)[0][1]
    said = f"{count} earlier run{'s' * (count != 1)} {'like it' if same else 'with other tasks'}"
    return median(pace for *_, pace in same or alike), said + ("" if machine == here else f", on {machine}")
