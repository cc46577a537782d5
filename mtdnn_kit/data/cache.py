"""A cache of arrays that are costly to make: one folder of .npy files per key, in $MTDNN_CACHE or ~/.cache/mtdnn-kit.

An entry is complete or absent. Opening an entry checks its files against their hashes; a damaged entry is rebuilt, with a warning. Several
processes may build the same entry at once: the first to finish wins. When all entries together exceed LIMIT, the least recently used are
deleted. The caller decides what a key must hold. Nothing is pickled.
"""

import hashlib
import json
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np

from mtdnn_kit.data.arrays import Parts, gathered, read, write
from mtdnn_kit.errors import DamagedEntryError, KitWarning
from mtdnn_kit.files.json_files import read_json
from mtdnn_kit.files.paths import PACKAGE

LIMIT = 20e9  # bytes of all entries
PRUNED_EVERY = 60.0  # seconds at least between two looks at all entries, in one process
ABANDONED = 86_400  # seconds after which an unfinished entry may be deleted
_pruned = [float("-inf")]  # when this process last looked
SUMS = "sums.json"  # holds the key and the sha256 of each file


def root() -> Path:
    """The folder of all entries."""
    return Path(os.environ.get("MTDNN_CACHE") or "~/.cache/mtdnn-kit").expanduser()


def key_of(kind: str, **what: object) -> str:
    """A key that depends on every value of `what`; kind: its first word, for people who look into the folder."""
    return f"{kind}-{hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:32]}"


@cache
def code_of(*modules: str) -> str:
    """sha256 of the code of some of the kit's packages or modules, e.g. "tasks", "training/odd_rows"; read once per process,
    as Python reads the code."""
    here, digest = PACKAGE, hashlib.sha256()
    for module in sorted(modules):
        for file in sorted((here / module).glob("*.py")) or [here / f"{module}.py"]:
            digest.update(f"{file.relative_to(here).as_posix()}\0".encode() + file.read_bytes() + b"\0")
    return digest.hexdigest()


def sha256_of(file: Path) -> str:
    """The hash of a file's content."""
    with open(file, "rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def kept(key: str | None, make: Callable[[], Parts]) -> dict[str, np.ndarray]:
    """The columns whose parts `make` yields, memory-mapped from the entry `key`, which is made if absent. key None: nothing is cached.

    Warns if an entry is damaged or cannot be written. Exceptions of `make` propagate, and nothing is cached then.
    """
    if key is None:
        return gathered(make())
    entry = root() / key
    try:
        return _opened(entry)
    except (FileNotFoundError, NotADirectoryError):
        pass
    except (OSError, DamagedEntryError) as error:
        warnings.warn(f"cache entry {entry} is damaged ({error}); it is rebuilt", KitWarning, stacklevel=2)
        shutil.rmtree(entry, ignore_errors=True)
    try:
        _written(entry, make())
        if time.monotonic() - _pruned[-1] > PRUNED_EVERY:
            prune(entry)
        return _opened(entry)
    except (OSError, DamagedEntryError) as error:
        warnings.warn(f"cannot write the cache in {root()} ({error}); set MTDNN_CACHE to another folder", KitWarning, stacklevel=2)
    with tempfile.TemporaryDirectory() as folder:  # the files stay readable while they are mapped
        write(Path(folder), make())
        return read(Path(folder))


def _opened(entry: Path) -> dict[str, np.ndarray]:
    """An entry's columns. Raises FileNotFoundError if there is none, DamagedEntryError if its files differ from those written."""
    entry.stat()
    try:
        sums = read_json((entry / SUMS).read_bytes())
        whole = sums["key"] == entry.name and sums["files"] == _sums(entry)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DamagedEntryError(f"{type(error).__name__}: {error}") from None
    if not whole:
        raise DamagedEntryError("its files differ from those that were written")
    if os.access(entry / SUMS, os.W_OK):
        os.utime(entry / SUMS)  # used now
    return read(entry)


def _sums(folder: Path) -> dict[str, str]:
    return {file.name: sha256_of(file) for file in sorted(folder.glob("*.npy"))}


def _written(entry: Path, parts: Parts) -> None:
    """Writes an entry under a temporary name and renames it, unless another process was faster."""
    root().mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f"{entry.name}.", suffix=".partial", dir=root()))
    try:
        write(partial, parts)
        (partial / SUMS).write_text(json.dumps({"key": entry.name, "files": _sums(partial)}))
        partial.chmod(0o755)
        try:
            partial.rename(entry)
        except OSError:
            if not (entry / SUMS).exists():
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def prune(used: Path | None = None) -> None:
    """Deletes the least recently used entries (never `used`) until all fit into LIMIT, and abandoned partial ones."""
    _pruned[-1] = time.monotonic()
    entries, total = [], 0
    for folder in root().iterdir():
        try:
            if folder.name.endswith(".partial") and time.time() - folder.stat().st_mtime > ABANDONED:
                shutil.rmtree(folder, ignore_errors=True)
            elif (folder / SUMS).exists():
                size = sum(file.stat().st_size for file in folder.iterdir())
                entries.append(((folder / SUMS).stat().st_mtime, size, folder))
                total += size
        except FileNotFoundError:  # another process deleted it meanwhile
            continue
    for _, size, folder in sorted(entries):
        if total > LIMIT and folder != used:
            shutil.rmtree(folder, ignore_errors=True)
            total -= size
