"""A run writes into its own folder and nowhere else: not through a symbolic link that somebody planted there. Knows paths, no run."""

import os
from pathlib import Path

from mtdnn_kit.errors import ConfigError
from mtdnn_kit.files.wording import short


def own(folder: Path) -> None:
    """Raises ConfigError for a folder that no system can have, or that holds a symbolic link, at any depth (it may be one itself)."""
    try:
        os.lstat(folder / "manifest.json.partial")
    except (FileNotFoundError, NotADirectoryError):
        pass
    except (OSError, ValueError) as error:  # a name that is too long, a NUL
        raise ConfigError(
            f"run_dir: {str(folder)[:200]!r} cannot be a folder ({getattr(error, 'strerror', error)}); name another"
        ) from None
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            if os.path.islink(os.path.join(parent, name)):
                raise ConfigError(
                    f"run_dir: {os.path.join(parent, name)} is a symbolic link, and a run writes into its own folder only: remove it, "
                    "or name another folder"
                )


PACKAGE = Path(__file__).parents[1]  # where mtdnn_kit lies
LONGEST_NAME, LONGEST_PATH = 200, 2000  # bytes: what every file system takes, with room for .partial and files below


def project_root(start: Path | None = None) -> Path:
    """The folder that relative paths resolve against: the nearest one upwards that holds pyproject.toml, else the current one."""
    start = Path(start or os.getcwd()).resolve()
    return next((folder for folder in (start, *start.parents) if (folder / "pyproject.toml").is_file()), start)


def resolve(path: str) -> Path:
    """A path of a parameter file as an absolute path (see `project_root`). Raises ConfigError for one that cannot exist."""
    try:
        found = Path(os.path.abspath(project_root() / Path(path).expanduser()))
    except RuntimeError:
        raise ConfigError(f"{short(path)}: there is no such user; write the whole path") from None
    if "\0" in path or len(os.fsencode(found)) > LONGEST_PATH or any(len(os.fsencode(part)) > LONGEST_NAME for part in found.parts):
        raise ConfigError(f"{short(path)}: no path can be so: names have up to {LONGEST_NAME} bytes and no NUL; shorten it")
    return found


def within_project(path: Path) -> Path:
    """A path as parameters keep it: relative to the project where it lies in it, so that no machine's path is kept; else as it is."""
    root = project_root()
    return path.relative_to(root) if path.is_relative_to(root) else path
