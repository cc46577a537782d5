"""One process at a time: a lock on a folder, released when its process ends for any reason (filelock). Knows nothing of runs."""

import errno
import os
import socket
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from mtdnn_kit.errors import KitWarning, LockedError
from mtdnn_kit.files.atomic import write_whole

NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)  # errors of a file system without locks


@contextmanager
def held(file: Path, what: str, wait: float = 0.0) -> Iterator[str | None]:
    """Holds the lock `file` while the block runs; what: the activity, for the message. FILE.holder says who holds the lock.
    Yields a description of the process that had it before and died with it, or None.

    Raises LockedError if another process or thread still has it after `wait` seconds, or if it is a symbolic link; FileNotFoundError if the
    folder is missing. On a file system without locks (some clusters), warns and continues.
    """
    if file.is_symlink():
        raise LockedError(f"{file} is a symbolic link, but locks are never written through a link: remove it.")
    file.parent.stat()  # filelock would create a missing folder
    lock, holder = FileLock(file, timeout=wait), file.with_name(f"{file.name}.holder")
    try:
        lock.acquire(poll_interval=0.2)
    except Timeout:
        raise LockedError(f"{file.parent}: {what} already, by {_holder(holder)}. Wait for that process, or end it.") from None
    except (OSError, NotImplementedError) as error:
        if isinstance(error, OSError) and error.errno not in NO_LOCKS:
            raise
        warnings.warn(
            f"{file.parent}: its file system has no locks; make sure that no other process writes there ({error})", KitWarning, stacklevel=3
        )
    died = _holder(holder) if holder.exists() else None  # on release this file is deleted first
    with suppress(OSError):  # only the message needs it
        write_whole(holder, f"process {os.getpid()} on {socket.gethostname()} since {time.strftime('%Y-%m-%d %H:%M:%S')}")
    try:
        yield died
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def _holder(file: Path) -> str:
    """Who holds the lock, for a message."""
    with suppress(OSError, ValueError):
        return file.read_text(encoding="utf-8").strip()[:200] or "another process"
    return "another process"
