"""A run writes into its own folder and nowhere else: not through a symbolic link that somebody planted there. Knows paths, no run."""

import os
from pathlib import Path

from mtdnn_kit.values import ConfigError


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
