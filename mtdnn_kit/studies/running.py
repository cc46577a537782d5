"""Runs a study: what is done is not run again, what was interrupted goes on, a run that fails stops no other.

Each run is notebook 02 under papermill in a process of its own (`worker`), its executed notebook kept in its folder; or, plain, `train`
alone, which needs no Jupyter. Where they are
executed is `engines`' business, whether one may be skipped is `status`'. What the runs then say is read elsewhere (`compare`, `plots`).

    mtdnn study parameters/ablations/demo.yaml --workers 2
"""

import inspect
import shutil
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

from mtdnn_kit.config import Config
from mtdnn_kit.errors import StudyError
from mtdnn_kit.files.checks import require
from mtdnn_kit.files.locks import held
from mtdnn_kit.files.paths import own, project_root, resolve
from mtdnn_kit.runs.run import Run
from mtdnn_kit.studies.engines import ENGINES, SAID, Job, there
from mtdnn_kit.studies.progress import Progress
from mtdnn_kit.studies.status import Standing, code, run_of, standings
from mtdnn_kit.studies.study import Planned, Study, default_folder, project_notebook

NOTEBOOK = "notebooks/02_train.ipynb"
IfChanged = Literal["refuse", "redo", "keep"]


def run_study(
    study: Study,
    folder: str | Path | None = None,
    changes: dict | None = None,
    watch: Callable[[Progress], None] | None = None,
    engine: str = "local",
    if_changed: IfChanged = "refuse",
    plain: bool = False,
    hours: float | None = None,
    **options: Any,
) -> dict[str, Run]:
    """Runs what is not done yet; {name: finished run}.

    folder: for the run folders; None: `default_folder`. changes: parameters on top of every run's. watch: called about twice a second.
    engine, options: a function of `engines` and its arguments, e.g. workers=2. if_changed: what to do with a finished or interrupted run
    whose parameters, code, encoder, data or environment are others now: "refuse", "redo" (delete it and run it again) or "keep" (take it as
    it is, or go on with it; never where a parameter has changed). plain: call `train` without the notebook. hours: after so many no further
    seed is begun, and the runs of whole seeds are what is given back; the same call goes on with the next ones.

    Raises before anything runs: ConfigError (a parameter that cannot be meant), StudyError (a changed run, or no notebook to
    run), LockedError (the study is at work already). At the end: StudyError with the error and the cell of each run that failed; the
    others are done then.
    """
    folder = resolve(str(folder)) if folder else default_folder(study)
    study.configs(folder, changes)  # raises before anything runs
    if study.tune or study.equal:
        from mtdnn_kit.studies import arms  # with torch, which a driver of other studies does not need

        tuning = arms.tuning_runs(study)
        trials = study.configs(folder, changes, tuning) if study.tune else {}
        arms.check_tunable(trials)
    require(hours is None or (isinstance(hours, int | float) and hours >= 0), f"hours: {hours!r} must be a number, 0 or more, or none")
    began = time.monotonic()
    start, tell = _engine(engine, options), watch or (lambda _: None)
    project_notebook(NOTEBOOK)
    folder.mkdir(parents=True, exist_ok=True)

    elsewhere = engine == "ray" and options.get("address") is not None
    made = partial(_made, study, start=start, tell=tell, if_changed=if_changed, plain=plain, elsewhere=elsewhere)
    with held(folder / ".lock", f"the study {study.name} is at work"):
        if study.tune:
            rows = arms.choose(study, made(tuning, arms.equalized(trials, study.equal)))
            arms.write_chosen(folder, study, rows)
            study = arms.with_chosen(study, rows)
        configs = study.configs(folder, changes)
        configs = arms.equalized(configs, study.equal) if study.equal else configs
        if hours is None:
            return made({name: run for block in study.blocks for name, run in block.items()}, configs)
        _check_changed(study, standings(configs, code(project_notebook(NOTEBOOK)), elsewhere), if_changed)
        return _by_blocks(study, configs, made, hours, began, options.get("workers") or 1)


def _made(
    study: Study,
    planned: dict[str, Planned],
    configs: dict[str, Config],
    *,
    start: Callable,
    tell: Callable[[Progress], None],
    if_changed: str,
    plain: bool,
    elsewhere: bool,
) -> dict[str, Run]:
    """The planned runs, finished, in that order. Raises StudyError where one fails, or may not be taken for one of today."""
    configs = {name: configs[name] for name in planned}
    runs = {name: run_of(config) for name, config in configs.items()}
    jobs, progress = _jobs(study, planned, configs, if_changed, plain, elsewhere), Progress(list(configs))
    _follow(progress, runs, start, jobs, tell)
    failed = [f"{state.name}: {state.error}" for state in progress.states if state.status == "failed"]
    if failed:
        raise StudyError(f"{len(failed)} of {len(configs)} runs failed.\n" + "\n".join(failed))
    return runs


def _by_blocks(
    study: Study, configs: dict[str, Config], made: Callable[[dict, dict], dict[str, Run]], hours: float, began: float, workers: int
) -> dict[str, Run]:
    """The runs of whole seeds: of those that are done, and of as many more as begin within the hours, as many seeds at a time as keep all
    workers at work. Raises StudyError where none is."""
    runs: dict[str, Run] = {}
    failed: list[str] = []
    blocks, at_once = study.blocks, -(-workers // len(study.variants))
    for group in (blocks[i : i + at_once] for i in range(0, len(blocks), at_once)):
        time_left = time.monotonic() - began < 3600 * hours
        some = group if time_left else [block for block in group if all(run_of(configs[name]).finished for name in block)]
        if some:
            try:
                runs |= made({name: run for block in some for name, run in block.items()}, configs)
            except StudyError as error:  # the next seeds are begun all the same
                failed.append(str(error))
    if failed:
        raise StudyError("\n".join(failed))
    if not runs:
        raise StudyError(f"{study.name}: hours: {hours:g} were over before the first seed's runs began; give it more")
    return runs


def _engine(name: str, options: dict) -> Callable:
    """The engine with its options. Raises ConfigError where there is none, or it has no such option."""
    require(name in ENGINES, f"engine: {name!r} is none; there are {', '.join(ENGINES)}")
    known = list(inspect.signature(ENGINES[name]).parameters)[1:]
    for key in options:
        require(key in known, f"{key}: engine {name} has no such option; it has {', '.join(known)}")
    workers = options.get("workers", 1)
    require(type(workers) is int and workers >= 1, f"workers: {workers!r} must be a whole number, at least 1")
    if name == "local" and (gpus := options.get("gpus")):
        options = {**options, "gpus": there(gpus)}
    return lambda jobs: ENGINES[name](jobs, **options)


def _jobs(
    study: Study, planned: dict[str, Planned], configs: dict[str, Config], if_changed: str, plain: bool = False, elsewhere: bool = False
) -> list[Job]:
    """What is to be executed; folders that begin anew are cleared."""
    notebook, jobs = project_notebook(NOTEBOOK), list[Job]()
    now = code(notebook)
    found = standings(configs, now, elsewhere)
    _check_changed(study, found, if_changed)
    for name, config in configs.items():
        stands, path = found[name], run_of(config).path
        if stands.changed and (stands.status == "new" or if_changed == "redo"):
            shutil.rmtree(path)
        elif stands.status == "done":
            continue
        own(path)
        (path / SAID).unlink(missing_ok=True)
        record = {"study": study.name, "run": name, "variant": planned[name].variant, "seed": config.seed, "code": now}
        jobs.append(Job(name, config, str(notebook), str(project_root()), record, plain))
    return jobs


def _check_changed(study: Study, found: dict[str, Standing], if_changed: str) -> None:
    """Raises StudyError where a run of before may not be taken for one of today."""
    require(if_changed in get_args(IfChanged), f"if_changed: {if_changed!r} must be one of {', '.join(get_args(IfChanged))}")
    mixed = {n: s.parameters if if_changed == "keep" else s.changed for n, s in found.items() if s.status != "new" and if_changed != "redo"}
    said = [f"{name} ({found[name].status}): {'; '.join(changed)}" for name, changed in mixed.items() if changed]
    if said:
        raise StudyError(
            f"{study.name}: {len(said)} of {len(found)} runs are not what they would be today, and they are not mixed with new ones:\n"
            + "\n".join(said)
            + "\nName another folder; or say if_changed: redo (they are deleted and run again) or keep (they are taken as they are; "
            "not where a parameter changed). On the command line: --if-changed redo"
        )


def _follow(progress: Progress, runs: dict[str, Run], start: Callable, jobs: list[Job], tell: Callable[[Progress], None]) -> None:
    """Executes the jobs and keeps the states of all runs up to date."""
    waiting = {job.name for job in jobs}
    for state in progress.states:
        state.look(runs[state.name])
        state.before, state.status = state.steps, "waiting" if state.name in waiting else "done"
    if not jobs:
        return tell(progress)
    with closing(start(jobs)) as engine:
        for ended in engine:
            for state in progress.states:
                if state.name in ended:
                    state.error = ended[state.name]
                    state.status = "failed" if state.error else "done"
                elif state.status == "waiting" and (runs[state.name].path / SAID).exists():
                    state.status = "running"
                elif state.status != "running":
                    continue
                state.look(runs[state.name])
            tell(progress)
