"""One process at a time: a lock on a folder that ends with the process that holds it, however it ends. Knows nothing of runs or studies."""

import errno
import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from mtdnn_kit.errors import LockedError


@contextmanager
def held(file: Path, what: str, wait: float = 0.0) -> Iterator[None]:
    """Holds the lock `file` (flock) while the block runs; `what` is done there, for the message.

    Raises LockedError where another process, or another thread of this one, has it for more than `wait` seconds. A file system without
    locks (some clusters') lets everybody through.
    """
    until = time.monotonic() + wait
    with _opened(file) as lock:
        while not _taken(lock):
            if time.monotonic() >= until:
                lock.seek(0)
                raise LockedError(f"{file.parent}: {what} already, by {lock.read().strip() or 'another process'}. Wait for it, or end it.")
            time.sleep(0.2)
        lock.truncate(0)
        lock.write(f"process {os.getpid()} on {socket.gethostname()} since {time.strftime('%Y-%m-%d %H:%M:%S')}")
        lock.flush()
        yield


def _opened(file: Path) -> TextIO:
    """The lock's file, made if it is not there; never what a link points to, which would be emptied."""
    try:
        return open(file, "a+", opener=lambda path, flags: os.open(path, flags | os.O_NOFOLLOW, 0o666))
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise LockedError(f"{file} is a symbolic link, and nothing is written through one: remove it.") from None
        raise


def _taken(lock: TextIO) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (errno.EAGAIN, errno.EACCES)
    return True
