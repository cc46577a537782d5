"""Runs a study: finished runs are not repeated, interrupted runs resume, a failed run stops no other.

Each run is notebook 02 under papermill in a separate process (`worker`), with its executed notebook kept in its folder; or, plain, only
`train`, which needs no Jupyter. `engines` executes them, `status` decides which to skip, `sharing` which of them this process takes if
others work on the same folder. `compare` and `plots` read the results.

    mtdnn study parameters/ablations/demo.yaml --workers 2
"""

import inspect
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from mtdnn_kit.config import Config
from mtdnn_kit.errors import StudyError
from mtdnn_kit.files.atomic import make_folder
from mtdnn_kit.files.checks import require
from mtdnn_kit.files.locks import held
from mtdnn_kit.files.paths import resolve
from mtdnn_kit.files.wording import some
from mtdnn_kit.runs.claim import earlier, note_places
from mtdnn_kit.runs.run import Run
from mtdnn_kit.studies.engines import ENGINES, visible_gpus
from mtdnn_kit.studies.progress import Progress
from mtdnn_kit.studies.sharing import NOTEBOOK, IfChanged, Todo, check_changed, shard_of
from mtdnn_kit.studies.status import code, run_of, standings
from mtdnn_kit.studies.study import Planned, Study, default_folder, project_notebook


def run_study(
    study: Study,
    folder: str | Path | None = None,
    changes: dict | None = None,
    watch: Callable[[Progress], None] | None = None,
    engine: str = "local",
    if_changed: IfChanged = "refuse",
    plain: bool = False,
    hours: float | None = None,
    shard: str | None = None,
    wait: bool = True,
    **options: Any,
) -> dict[str, Run]:
    """Runs everything that is not done and that no other process is working on; returns {name: finished run} for all of
    `Study.reported` once they are finished.

    folder: for the run folders; None: `default_folder`. changes: parameters on top of every run's. watch: called about twice a second.
    engine, options: a function of `engines` and its arguments, e.g. workers=2. if_changed: what to do with a finished or interrupted run
    whose parameters, code, encoder, data or environment have changed: "refuse", "redo" (delete it and run it again) or "keep" (use or
    resume it unchanged; not if a parameter has changed). plain: call `train` without the notebook. hours: starts no further seed after that
    time and returns the runs of whole seeds; the same call continues with the next ones. shard: "2/4" runs only the second of four parts,
    for file systems without locks. wait: for runs that other processes have taken, and take them over if such a process dies; otherwise, or
    with `shard`, returns those that are done by then (runs that tune are waited for unless there are shards).

    Raises before anything runs: ConfigError (an invalid parameter), StudyError (a changed run, or no notebook to run). At the end:
    StudyError with the error and the cell of each failed run, here or elsewhere; the others are done then.
    """
    folder = resolve(str(folder)) if folder else default_folder(study)
    _check_merges(study, folder, changes)  # raises before anything runs
    trials = _trials(study, folder, changes)
    require(hours is None or (isinstance(hours, int | float) and hours >= 0), f"hours: {hours!r} must be a number, 0 or more, or null")
    require(shard is None or hours is None, "shard: a part has only some runs of a seed, and hours makes whole seeds; leave one out")
    planned, began = {name: run for block in study.blocks for name, run in block.items()}, time.monotonic()
    start, tell, mine = _engine(engine, options), watch or (lambda _: None), shard_of(list(planned), shard)
    project_notebook(NOTEBOOK)
    make_folder(folder)

    elsewhere = engine == "ray" and options.get("address") is not None
    todo = partial(Todo, study, folder, if_changed=if_changed, plain=plain, mine=mine, wait=wait and shard is None, elsewhere=elsewhere)
    made = partial(_made, todo, start, tell)
    if study.tune:
        if (chosen := _tuned(study, folder, trials, made, shard)) is None:
            return {}
        study = chosen
    while study.stages and (moved := earlier(study.configs(folder, changes), folder)):
        note_places(moved, folder)  # the run that another starts from is in a folder of an earlier name: then look for that other one
    configs = _equalized(study, folder, study.configs(folder, changes))
    if hours is None:
        runs = made(planned, configs)
        return {name: run for name, run in runs.items() if name in study.reported}
    found = standings(configs, code(project_notebook(NOTEBOOK)), elsewhere, study.merges(configs))
    check_changed(study, found, if_changed)
    stale = {name for name, stands in found.items() if stands.changed} if if_changed == "redo" else set()
    runs = _by_blocks(study, configs, made, hours, began, options.get("workers") or 1, stale)
    return {name: run for name, run in runs.items() if name in study.reported}


def _check_merges(study: Study, folder: Path, changes: dict | None) -> None:
    """Raises if a run of the study, or its merge, is invalid."""
    for asked in study.merges(study.configs(folder, changes)).values():
        from mtdnn_kit.inference.merging import check_merge  # imports torch, which other studies' drivers do not need

        check_merge(**{**asked, "runs": len(asked["runs"])})


def _trials(study: Study, folder: Path, changes: dict | None) -> dict[str, Config]:
    """The runs that tune a study's variants, by name; {} where nothing is tuned. Raises ConfigError if one cannot be used for the
    choice."""
    if not study.tune:
        return {}
    from mtdnn_kit.studies import arms  # imports torch, which other studies' drivers do not need

    trials = study.configs(folder, changes, arms.tuning_runs(study))
    arms.check_tunable(trials)
    return trials


def _tuned(study: Study, folder: Path, trials: dict[str, Config], made: Callable[..., dict[str, Run]], shard: str | None) -> Study | None:
    """Runs the trials and saves the results; returns the study with the chosen parameters, or None while other processes have some of the
    trials."""
    from mtdnn_kit.studies import arms

    tried = made(arms.tuning_runs(study), _equalized(study, folder, trials), mine=shard_of(list(trials), shard), wait=shard is None)
    if len(tried) < len(trials):
        return None
    rows = arms.choose(study, tried)
    with held(folder / ".lock", "the tuning result is being written", 60.0):
        arms.write_chosen(folder, study, rows)
    return arms.with_chosen(study, rows)


def _equalized(study: Study, folder: Path, configs: dict[str, Config]) -> dict[str, Config]:
    """The same runs with as many steps or tokens each as the study says, in their folders (`_placed`)."""
    if study.equal:
        from mtdnn_kit.studies import arms

        configs = arms.equalized(configs, study.equal)
    return _placed(folder, configs)


def _placed(folder: Path, configs: dict[str, Config]) -> dict[str, Config]:
    """The same runs, each in the folder where it was made before, under any name; records these folders for later readers."""
    found = earlier(configs, folder)
    if found:
        note_places(found, folder)
    return configs | found


def _made(
    todo: Callable[..., Todo],
    start: Callable,
    tell: Callable[[Progress], None],
    planned: dict[str, Planned],
    configs: dict[str, Config],
    **more: Any,
) -> dict[str, Run]:
    """The planned runs, in that order, that are finished when this process is done.

    Raises StudyError if one fails, or has changed."""
    configs = {name: configs[name] for name in planned}
    runs = {name: run_of(config) for name, config in configs.items()}
    taken, progress = todo(planned, configs, **more), Progress(list(configs))
    _follow(progress, runs, start, taken, tell)
    failed = [f"{state.name}: {state.error}{_waiting(taken, state.name)}" for state in progress.states if state.status == "failed"]
    if failed:
        raise StudyError(f"{len(failed)} of {len(configs)} runs failed.\n" + "\n".join(failed))
    late = taken.finished_late(state.name for state in progress.states if state.status != "done")
    return {state.name: runs[state.name] for state in progress.states if state.status == "done" or state.name in late}


def _waiting(todo: Todo, name: str) -> str:
    """Which runs wait for one that failed."""
    return f" (waiting for it: {some(waiting)})" if (waiting := todo.waiting(name)) else ""


def _by_blocks(
    study: Study,
    configs: dict[str, Config],
    made: Callable[[dict, dict], dict[str, Run]],
    hours: float,
    began: float,
    workers: int,
    stale: set[str],
) -> dict[str, Run]:
    """The runs of whole seeds: the finished ones, and as many more as start within the hours, with enough seeds at a time to keep all
    workers busy. stale: finished runs that would be deleted and run again. Raises StudyError if there are none."""
    runs: dict[str, Run] = {}
    failed: list[str] = []
    blocks, at_once = study.blocks, -(-workers // len(study.variants))
    for group in (blocks[i : i + at_once] for i in range(0, len(blocks), at_once)):
        time_left = time.monotonic() - began < 3600 * hours
        done = [block for block in group if not block.keys() & stale and all(run_of(configs[name]).finished for name in block)]
        some = group if time_left else done
        if some:
            try:
                runs |= made({name: run for block in some for name, run in block.items()}, configs)
            except StudyError as error:  # the next seeds start anyway
                failed.append(str(error))
    if failed:
        raise StudyError("\n".join(failed))
    runs = {name: runs[name] for block in blocks if block.keys() <= runs.keys() for name in block}
    if not runs:
        raise StudyError(f"{study.name}: hours: no seed has all its runs after {hours:g}; allow more hours, or wait for other processes")
    return runs


def check_engine(name: str, options: dict) -> None:
    """Raises ConfigError if the engine, option, GPU or cluster does not exist. Executes nothing, but looks for a named cluster."""
    start = _engine(name, options)
    if options.get("address") is not None:
        with closing(start([])) as engine:
            next(engine)


def _engine(name: str, options: dict) -> Callable:
    """The engine with its options. Raises ConfigError for an unknown engine or option."""
    require(name in ENGINES, f"engine: {name!r} is unknown; choose from {', '.join(ENGINES)}")
    known = list(inspect.signature(ENGINES[name]).parameters)[1:]
    for key in options:
        having = [f"; engine {one} has it (--engine {one})" for one in ENGINES if key in inspect.signature(ENGINES[one]).parameters]
        require(key in known, f"{key}: engine {name} has no such option; it has {', '.join(known)}{''.join(having)}")
    workers = options.get("workers", 1)
    require(type(workers) is int and workers >= 1, f"workers: {workers!r} must be a whole number, at least 1")
    if name == "local" and (gpus := options.get("gpus")):
        options = {**options, "gpus": visible_gpus(gpus)}
    return lambda jobs: ENGINES[name](jobs, **options)


def _follow(progress: Progress, runs: dict[str, Run], start: Callable, todo: Todo, tell: Callable[[Progress], None]) -> None:
    """Executes the jobs and keeps the states of all runs up to date, including those that other processes have."""
    for state in progress.states:
        state.look(runs[state.name])
        state.before, state.status = state.steps, "waiting" if state.name in todo.names else "done"
    if not todo.names:
        return tell(progress)
    with closing(todo), closing(start(todo.jobs())) as engine:
        for ended in engine:
            for name, error in ended.items():
                todo.give_back(name, error)
            ended = {**ended, **todo.news()}
            for state in progress.states:
                if died := todo.died.pop(state.name, None):
                    state.said.append(f"{state.name}: {died} died with it; this process takes it over")
                if state.name in ended:
                    state.error = ended[state.name]
                    state.status = "failed" if state.error else "done"
                elif state.status == "waiting" and todo.at_work(state.name):
                    state.status = "running"
                elif state.status != "running":
                    continue
                state.look(runs[state.name])
            tell(progress)
