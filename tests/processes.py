"""Processes as the tests watch them."""

import subprocess
import time
from pathlib import Path

import pytest

HANGS = 900  # seconds after which nothing is waited for any more; no test that passes waits so long, however slow the machine


def until(holds, study: subprocess.Popen | None = None) -> None:
    """Waits for something to hold, as long as the study is at work that is to bring it about."""
    deadline = time.monotonic() + HANGS
    while not holds():
        ended = study is not None and study.poll() is not None
        if ended or time.monotonic() > deadline:
            said = study.communicate() if ended else ""
            pytest.fail(f"it never came; the study ended with {study.returncode}: {said}" if ended else "it never came")
        time.sleep(0.05)


def below(pid: int) -> list[int]:
    """A process's children, and theirs."""
    children = [int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()]
    return [*children, *(one for child in children for one in below(child))]


def alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
