"""Paths: a run writes into its own folder only, never through a symbolic link planted there. Knows paths, no run."""

import os
from pathlib import Path

from mtdnn_kit.errors import ConfigError
from mtdnn_kit.files.wording import short


def check_folder(folder: Path) -> None:
    """Raises ConfigError for an impossible folder name, or for a symbolic link in the folder, at any depth (the folder itself may be
    one)."""
    try:
        os.lstat(folder / "manifest.json.partial")
    except (FileNotFoundError, NotADirectoryError):
        pass
    except (OSError, ValueError) as error:  # the name is too long, or has a NUL
        raise ConfigError(
            f"run_dir: {str(folder)[:200]!r} cannot be a folder ({getattr(error, 'strerror', error)}); name another"
        ) from None
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            if os.path.islink(os.path.join(parent, name)):
                raise ConfigError(
                    f"run_dir: {os.path.join(parent, name)} is a symbolic link, but a run writes into its own folder only: remove it, "
                    "or name another folder"
                )


PACKAGE = Path(__file__).parents[1]  # the folder mtdnn_kit
LONGEST_NAME, LONGEST_PATH = 200, 2000  # bytes: every file system allows these, with room for .partial and files inside


def project_root(start: Path | None = None) -> Path:
    """The folder that relative paths resolve against: the nearest folder upwards with a pyproject.toml, else the current one."""
    start = Path(start or os.getcwd()).resolve()
    return next((folder for folder in (start, *start.parents) if (folder / "pyproject.toml").is_file()), start)


def resolve(path: str) -> Path:
    """A path of a parameter file as an absolute path (see `project_root`). Raises ConfigError for one that cannot exist."""
    try:
        found = Path(os.path.abspath(project_root() / Path(path).expanduser()))
    except RuntimeError:
        raise ConfigError(f"{short(path)}: there is no such user; write the full path") from None
    if "\0" in path or len(os.fsencode(found)) > LONGEST_PATH or any(len(os.fsencode(part)) > LONGEST_NAME for part in found.parts):
        raise ConfigError(f"{short(path)}: not a valid path: each name may have up to {LONGEST_NAME} bytes and no NUL; correct it")
    return found


def within_project(path: Path) -> Path:
    """A path as parameters keep it: relative to the project if it is inside, so that no local path is kept; otherwise unchanged."""
    root = project_root()
    return path.relative_to(root) if path.is_relative_to(root) else path
