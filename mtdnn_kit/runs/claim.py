"""Which folder a run may write to, and which run may be gone on with there."""

import os
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from mtdnn_kit.config import Config
from mtdnn_kit.errors import ConfigError, RunError
from mtdnn_kit.files.atomic import write_json
from mtdnn_kit.files.json_files import read_json
from mtdnn_kit.files.locks import held
from mtdnn_kit.files.paths import own, project_root, resolve
from mtdnn_kit.runs.run import Run, checkpoints

PLACES = "folders.json"  # beside run folders: {run's name: folder's name} of those that were made under another name
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
        if is_other(key, value, getattr(config, key)):
            raise ConfigError(
                f"{key}: the run in {run.path} has {value!r}, not {getattr(config, key)!r}; a resumed run keeps its parameters."
            )


def is_other(key: str, kept: Any, given: Any) -> bool:
    """Whether a parameter that a run kept is another one than is given: no `threads` stands for those that the machine gives."""
    return kept != given and key not in RESUME_MAY_CHANGE and not (key == "threads" and given is None)


def _next_run(folder: Path) -> Run:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(1, 10_000):
        with suppress(FileExistsError):
            (folder / f"{number:03d}").mkdir()
            return Run(folder / f"{number:03d}")
    raise RunError(f"{folder} is full: delete runs that are no longer needed")


def earlier(configs: dict[str, Config], folder: Path) -> dict[str, Config]:
    """Of planned runs below `folder`, by name, those that have no folder, but whose parameters a run there has that goes by no name of
    today: in its folder. So runs are found after seeds or values, which names have, were added or written otherwise."""
    lacking = {name: config for name, config in configs.items() if not Run(str(config.run_dir)).path.exists()}
    known, found = {Run(str(config.run_dir)).path for config in configs.values()}, dict[str, Config]()
    for path in sorted({file.parent for file in folder.glob("*/manifest.json")} - known) if lacking else ():
        with suppress(RunError):  # of another version of the kit
            if "merged" in Run(path).manifest:  # its parameters are another run's
                continue
            kept = asdict(Run(path).parameters)
            name = next((n for n, c in lacking.items() if not any(is_other(key, kept[key], x) for key, x in vars(c).items())), None)
            if name is not None:
                found[name] = replace(lacking.pop(name), run_dir=str(Path(str(configs[name].run_dir)).with_name(path.name)))
    return found


def note_places(configs: dict[str, Config], folder: Path) -> None:
    """Notes the folders of runs, by name, for `read_places`, beside those noted before."""
    with held(folder / ".lock", "where runs are is written", 60.0):
        write_json(folder / PLACES, {**read_places(folder), **{name: Path(str(config.run_dir)).name for name, config in configs.items()}})


def read_places(folder: Path) -> dict[str, str]:
    """{run's name: folder's name} of the runs that were made under another name; {} where none was. Raises RunError: unreadable."""
    try:
        found = read_json((folder / PLACES).read_bytes())
        if not all(isinstance(place, str) and place == Path(place).name and place not in ("", "..") for place in found.values()):
            raise ValueError("a folder's name is no name alone")
        return found
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError) as error:
        raise RunError(f"{folder / PLACES}: cannot be read ({error}); delete it, and runs are found by their own names") from None
