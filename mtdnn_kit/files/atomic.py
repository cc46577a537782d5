"""Writes files and folders atomically, complete or not at all: under a temporary name, synced, then renamed. Knows nothing of the content.

After the rename the folder is synced too, so that the file survives a crash of the machine.
"""

import csv
import errno
import gzip
import io
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mtdnn_kit.errors import WriteError

# errors of systems that cannot sync folders or, like Windows, not open them
NO_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES, errno.EPERM)


def write_whole(path: Path, data: str | bytes) -> None:
    """Writes a file atomically: it is complete or absent, even if the machine stops. Raises WriteError."""
    write_parts(path, [data.encode() if isinstance(data, str) else data])


def write_parts(path: Path, parts: Iterable[bytes]) -> None:
    """`write_whole`, for content in parts."""
    partial = path.with_name(path.name + ".partial")
    with _or_nothing(path, partial):
        partial.unlink(missing_ok=True)
        with open(partial, "xb") as file:  # a new file: never follows a link
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
        sync(path.parent)


def make_folder(path: Path) -> None:
    """Makes a folder, with those above it, unless it is there. Raises WriteError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WriteError(path, error) from None


def write_json(path: Path, value: Any) -> None:
    """Writes `json_text` atomically."""
    write_whole(path, json_text(value))


def json_text(value: Any) -> str:
    """Indented JSON. Raises ValueError on NaN and infinity, which JSON lacks."""
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def packed(lines: Iterable[Iterable]) -> bytes:
    """Lines as gzipped CSV without a date, so that equal lines give equal bytes."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return gzip.compress(text.getvalue().encode(), mtime=0)


def write_folder(path: Path, fill: Callable[[Path], None]) -> None:
    """Makes a folder atomically: `fill` writes into it under a temporary name. Raises WriteError.

    An earlier folder is renamed before it is replaced, and deleted afterwards: at every moment one of the two is complete.
    """
    partial, old = path.with_name(path.name + ".partial"), path.with_name(path.name + ".old.partial")
    with _or_nothing(path, partial):
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        fill(partial)
        _open_to(partial)
        for written in (*partial.rglob("*"), partial):
            sync(written)
        _replace_folder(path, partial, old)
        sync(path.parent)
        sync(path.parent.parent)  # the first checkpoint also creates the folder of all


def _replace_folder(path: Path, new: Path, old: Path) -> None:
    """Puts `new` in the place of `path`, which is `old` meanwhile, and again `path` where that fails."""
    shutil.rmtree(old, ignore_errors=True)
    if path.exists():
        os.replace(path, old)
    try:
        os.replace(new, path)
    except BaseException:  # a signal, too
        if old.exists() and not path.exists():
            os.replace(old, path)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _open_to(folder: Path) -> None:
    """Gives the files in a folder the read permissions that the umask allows: safetensors makes its files readable by the owner only."""
    allowed = folder.stat().st_mode & 0o666  # a folder's mode is 0777 less the umask
    for file in folder.rglob("*"):
        if file.is_file() and file.stat().st_mode & 0o777 != allowed:
            with suppress(OSError):  # a file system without modes
                file.chmod(allowed)


def sync(path: Path) -> None:
    """Flushes a file, or the entries of a folder, to disk. Windows cannot open folders, and needs no sync there."""
    folder = path.is_dir()
    try:
        handle = os.open(path, os.O_RDONLY if folder else os.O_RDWR)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        if not folder or error.errno not in NO_SYNC:
            raise


@contextmanager
def _or_nothing(path: Path, partial: Path) -> Iterator[None]:
    """Removes `partial` if the block fails, since the disk may be full. Turns an OSError into a WriteError."""
    try:
        yield
    except BaseException as error:
        with suppress(OSError):
            shutil.rmtree(partial) if partial.is_dir() else partial.unlink(missing_ok=True)
        if isinstance(error, OSError) and not isinstance(error, WriteError):
            raise WriteError(path, error) from None
        raise
