"""Repeats a finished run from its parameters, in a new folder, and compares the two (`runs.equal`)."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from mtdnn_kit.config import Config
from mtdnn_kit.errors import ConfigError, DataError, RunError
from mtdnn_kit.files.checks import known_keys
from mtdnn_kit.inference.scoring import score
from mtdnn_kit.runs.claim import own_parameters
from mtdnn_kit.runs.equal import compare_runs
from mtdnn_kit.runs.run import Run
from mtdnn_kit.runs.schema import missing
from mtdnn_kit.training.distributed import launched
from mtdnn_kit.training.trainer import train


def rerun(source: str | Path | Run, run_dir: str | Path | None = None, **given: Any) -> tuple[Run, list[dict[str, str]]]:
    """Trains again with the parameters and the threads of `source`, and repeats its later scorings; returns the new run, and the rows of
    the comparison.

    run_dir: a new folder; None: one in runs/. given: parameters that may differ here, e.g. `data`, because a kept run records only the
    folder's name. Raises RunError for a run that was not finished, was imported, or had another number of processes; else as `train`.
    """
    run = source if isinstance(source, Run) else Run(source)
    if not (run.path / "manifest.json").exists():
        raise RunError(missing(run.path, "manifest.json"))
    if not run.finished or "draws" not in run.manifest or "merged" in run.manifest:
        how = "merged" if "merged" in run.manifest else "imported"
        why = f"it was {how}, not trained" if run.finished else "it is not a finished run"
        raise RunError(f"{run.path}: {why}, so it cannot be repeated")
    made, here = run.manifest.get("processes", 1), launched()[1]
    if made != here:
        start = f"start it with accelerate launch --num_processes {made} -m mtdnn_kit rerun" if made > 1 else "start it without a launcher"
        raise RunError(f"{run.path}: it was trained by {made} processes, but there are {here} now: {start}")
    before = own_parameters(run)
    before = replace(before, threads=before.threads or run.manifest.get("threads"), run_dir=None if run_dir is None else str(run_dir))
    known_keys(given, asdict(before), what="parameter")
    again = train(Config(**{**asdict(before), **given}))
    lacking = _scored_later(run, again) if launched()[0] == 0 else {}
    rows = compare_runs(run, again)
    return again, [{**row, "result": lacking.get(row["what"], row["result"])} for row in rows]


def _scored_later(run: Run, again: Run) -> dict[str, str]:
    """Scores the sets that `run` was scored on later, all of their rows, by its head at its threshold; {"scores: NAME": why not} if their
    rows are missing or have changed."""
    lacking = {}
    for name, one in run.later.items():
        try:
            score(again, define={name: one["set"]}, device=again.config["device"])
        except (ConfigError, DataError) as error:
            lacking[f"scores: {name}"] = f"not scored again: {error}"
    return lacking
