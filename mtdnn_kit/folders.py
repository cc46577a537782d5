"""Files and folders that are there whole or not at all: written beside their place, synced, renamed. Knows nothing of what is in them."""

import json
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path


def write_whole(path: Path, data: str | bytes) -> None:
    """Writes a file so that it is there whole or not at all, even if the machine stops."""
    write_parts(path, [data.encode() if isinstance(data, str) else data])


def write_parts(path: Path, parts: Iterable[bytes]) -> None:
    """`write_whole` of what comes in parts."""
    partial = path.with_name(path.name + ".partial")
    partial.unlink(missing_ok=True)
    with open(partial, "xb") as file:  # a new file, never what a link points to
        file.writelines(parts)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def write_json(path: Path, value) -> None:
    """Writes indented JSON, whole or not at all. Raises ValueError on NaN and infinity, which JSON has not."""
    write_whole(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def write_folder(path: Path, fill: Callable[[Path], None]) -> None:
    """Makes a folder that is there whole or not at all: `fill` writes into it under another name."""
    partial = path.with_name(path.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    fill(partial)
    for file in partial.rglob("*"):
        if file.is_file():
            with open(file, "rb") as written:
                os.fsync(written.fileno())
    shutil.rmtree(path, ignore_errors=True)
    os.replace(partial, path)
