"""Helpers of the tests that watch processes."""

import subprocess
import time
from pathlib import Path

import pytest

HANGS = 900  # seconds until a wait gives up; a passing test never waits so long, however slow the machine


def until(holds, study: subprocess.Popen | None = None) -> None:
    """Waits until a condition is met, for as long as the study that should meet it is running."""
    deadline = time.monotonic() + HANGS
    while not holds():
        ended = study is not None and study.poll() is not None
        if ended or time.monotonic() > deadline:
            said = study.communicate() if ended else ""
            pytest.fail(f"it never came; the study ended with {study.returncode}: {said}" if ended else "it never came")
        time.sleep(0.05)


def below(pid: int) -> list[int]:
    """A process's children and their descendants."""
    children = [int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()]
    return [*children, *(one for child in children for one in below(child))]


def alive(pid: int) -> bool:
    """Whether a process exists and is not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
