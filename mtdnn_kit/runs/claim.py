"""Which folder a run may write to, and which run may be gone on with there."""

import os
from contextlib import suppress
from pathlib import Path

from mtdnn_kit.config import Config
from mtdnn_kit.errors import ConfigError, RunError
from mtdnn_kit.files.paths import own, project_root, resolve
from mtdnn_kit.runs.run import Run, checkpoints

RESUME_MAY_CHANGE = {"run_dir", "resume", "log_every", "checkpoint_every", "keep_checkpoints", "log_with"}


def claim(config: Config) -> Run:
    """The folder that a run may write to: a new one (below $MTDNN_RUNS or runs/, if none is named), or the one it goes on in.

    Raises ConfigError where the folder holds another run, one with other parameters, or a symbolic link.
    """
    if config.run_dir is None:
        return _next_run(resolve(os.environ.get("MTDNN_RUNS", "runs")))
    try:
        run = Run(config.run_dir)
    except ConfigError as error:  # a folder that no system can have
        raise ConfigError(f"run_dir: {error}") from None
    if run.path.is_file() or run.path in (project_root(), *project_root().parents):
        raise ConfigError(f"run_dir: {run.path} is a file, or the project or a folder above it; name a folder for the run alone.")
    own(run.path)
    if config.resume and not (run.path / "manifest.json").exists():
        raise ConfigError(f"resume: there is no run in {run.path} to go on with; correct run_dir, or set resume: false to start one there.")
    check_claim(run, config)
    run.path.mkdir(parents=True, exist_ok=True)
    return run


def check_claim(run: Run, config: Config) -> None:
    """Raises ConfigError where the folder holds a run that may not be gone on with. Another training may have begun there since `claim`."""
    if not (run.path / "manifest.json").exists():
        if checkpoints(run):
            raise ConfigError(
                f"run_dir: {run.path} holds checkpoints of a run that has no manifest.json. Name another folder, or delete it."
            )
        return
    if not config.resume:
        state = "a finished run" if run.finished else "an unfinished run"
        raise ConfigError(f"run_dir: {run.path} holds {state}. Name another folder, delete it, or set resume: true to go on with it.")
    for key, value in run.config.items():
        if key not in RESUME_MAY_CHANGE and value != getattr(config, key):
            raise ConfigError(
                f"{key}: the run in {run.path} has {value!r}, not {getattr(config, key)!r}; a resumed run keeps its parameters."
            )


def _next_run(folder: Path) -> Run:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(1, 10_000):
        with suppress(FileExistsError):
            (folder / f"{number:03d}").mkdir()
            return Run(folder / f"{number:03d}")
    raise RunError(f"{folder} is full: delete runs that are no longer needed")
