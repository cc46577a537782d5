"""Decides which folder a run may write to, and which run it may resume there."""

import os
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from mtdnn_kit.config import Config
from mtdnn_kit.errors import ConfigError, RunError, WriteError
from mtdnn_kit.files.atomic import make_folder, write_json
from mtdnn_kit.files.json_files import read_json
from mtdnn_kit.files.locks import held
from mtdnn_kit.files.paths import check_folder, project_root, resolve
from mtdnn_kit.files.wording import some
from mtdnn_kit.runs.run import LOCK_FILE, Run, checkpoints

PLACES = "folders.json"  # next to the run folders: {run's name: folder's name} of runs made under another name
WRITTEN = ("model", "predictions", "config.yaml", "metrics.json", "requirements.txt", "log.jsonl")  # a run replaces these in its folder
RESUME_MAY_CHANGE = {"run_dir", "resume", "log_every", "checkpoint_every", "keep_checkpoints", "log_with"}


def claim(config: Config) -> Run:
    """The folder that a run may write to: a new one (in $MTDNN_RUNS or runs/, unless one is named), or the one that it resumes in.

    Raises ConfigError if the folder holds another run, a run with other parameters, files that are not a run's, or a symbolic link;
    WriteError if it cannot be written.
    """
    if config.run_dir is None:
        return _next_run(resolve(os.environ.get("MTDNN_RUNS", "runs")))
    try:
        run = Run(config.run_dir)
    except ConfigError as error:  # an impossible folder name
        raise ConfigError(f"run_dir: {error}") from None
    if run.path.is_file() or run.path in (project_root(), *project_root().parents):
        raise ConfigError(f"run_dir: {run.path} is a file, or the project or a folder above it; name a folder for this run only.")
    check_folder(run.path)
    if config.resume and not (run.path / "manifest.json").exists():
        raise ConfigError(f"resume: {run.path} holds no run to resume; correct run_dir, or set resume: false to start one there.")
    check_claim(run, config)
    try:
        run.path.mkdir(parents=True, exist_ok=True)
        (run.path / LOCK_FILE).touch()
    except (NotADirectoryError, FileNotFoundError) as error:
        raise ConfigError(f"run_dir: {run.path} cannot be made ({error.strerror}); name another folder.") from None
    except OSError as error:
        raise WriteError(run.path, error) from None
    return run


def check_claim(run: Run, config: Config) -> None:
    """Raises ConfigError if the folder holds a run that must not be resumed: another training may have begun there since `claim`."""
    if not (run.path / "manifest.json").exists():
        if checkpoints(run):
            raise ConfigError(
                f"run_dir: {run.path} holds checkpoints of a run that has no manifest.json. Name another folder, or delete it."
            )
        theirs = [name for name in WRITTEN if (run.path / name).exists()]
        if theirs and not (run.path / LOCK_FILE).exists():
            raise ConfigError(f"run_dir: {run.path} holds {some(theirs)}, which a run would replace. Name a folder for this run only.")
        return
    if not config.resume:
        state = "a finished run" if run.finished else "an unfinished run"
        raise ConfigError(f"run_dir: {run.path} holds {state}. Name another folder, delete it, or set resume: true to continue it.")
    kept = asdict(own_parameters(run))
    for key, given in asdict(config).items():
        if differs(key, kept[key], given):
            raise ConfigError(f"{key}: the run in {run.path} has {kept[key]!r}, not {given!r}; a resumed run keeps its parameters.")


def own_parameters(run: Run) -> Config:
    """The parameters that a run was started with: without sets that were scored later, and with defaults for keys that its kit lacked."""
    return replace(run.parameters, scored_also=run.config.get("scored_also", {}))


def differs(key: str, kept: Any, given: Any) -> bool:
    """Whether a run's parameter differs from the given one; `threads: null` stands for the machine's default."""
    return kept != given and key not in RESUME_MAY_CHANGE and not (key == "threads" and given is None)


def _next_run(folder: Path) -> Run:
    make_folder(folder)
    for number in range(1, 10_000):
        try:
            (folder / f"{number:03d}").mkdir()
            return Run(folder / f"{number:03d}")
        except FileExistsError:
            continue
        except OSError as error:
            raise WriteError(folder, error) from None
    raise RunError(f"{folder} is full: delete runs that you no longer need")


def earlier(configs: dict[str, Config], folder: Path) -> dict[str, Config]:
    """Planned runs without a folder whose parameters match a run in `folder` that has none of today's names: {name: its config, in that
    folder}. This finds runs whose names changed because seeds or values were added or written differently."""
    lacking = {name: config for name, config in configs.items() if not Run(str(config.run_dir)).path.exists()}
    known, found = {Run(str(config.run_dir)).path for config in configs.values()}, dict[str, Config]()
    for path in sorted({file.parent for file in folder.glob("*/manifest.json")} - known) if lacking else ():
        with suppress(RunError):  # of another version of the kit
            if "merged" in Run(path).manifest:  # its parameters are another run's
                continue
            kept = asdict(own_parameters(Run(path)))
            name = next((n for n, c in lacking.items() if not any(differs(key, kept[key], x) for key, x in vars(c).items())), None)
            if name is not None:
                found[name] = replace(lacking.pop(name), run_dir=str(Path(str(configs[name].run_dir)).with_name(path.name)))
    return found


def note_places(configs: dict[str, Config], folder: Path) -> None:
    """Adds the folders of runs, by name, to the file that `read_places` reads."""
    with held(folder / ".lock", "the list of run folders is being written", 60.0):
        write_json(folder / PLACES, {**read_places(folder), **{name: Path(str(config.run_dir)).name for name, config in configs.items()}})


def read_places(folder: Path) -> dict[str, str]:
    """{run's name: folder's name} of the runs that were made under another name; {} if there are none. Raises RunError if unreadable."""
    try:
        found = read_json((folder / PLACES).read_bytes())
        if not all(isinstance(place, str) and place == Path(place).name and place not in ("", "..") for place in found.values()):
            raise ValueError("a folder's name has a path in it")
        return found
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError, AttributeError) as error:
        raise RunError(f"{folder / PLACES}: cannot be read ({error}); delete it, so that runs are found by their names") from None
