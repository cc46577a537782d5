"""Locks: released however the holder ends; naming the holder; file systems without locks."""

import errno
import subprocess
import sys
import threading

import filelock
import pytest

from mtdnn_kit.errors import LockedError
from mtdnn_kit.files.locks import held

HOLD = """
import sys
from pathlib import Path
from mtdnn_kit.files.locks import held
with held(Path(sys.argv[1]), "w"):
    print("held", flush=True)
    input()
"""


def taken(file) -> None:
    with held(file, "work is done"):
        pass


def test_a_lock_is_released_when_its_holder_ends(tmp_path):
    file = tmp_path / "x"
    with held(file, "work is done"), pytest.raises(LockedError, match=r"work is done already, by process \d+ on .* since"):
        taken(file)
    taken(file)
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(file)], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)
    holder.stdout.readline()
    with pytest.raises(LockedError, match=f"by process {holder.pid} on"):
        taken(file)
    holder.kill()
    with held(file, "work is done", wait=10) as died:
        holder.communicate()
    assert died and died.startswith(f"process {holder.pid} on ")
    with held(file, "work is done") as died:
        assert died is None, "the previous holder released it"
    assert not file.with_name("x.holder").exists(), "the holder's record is deleted"


def test_another_thread_is_refused_like_another_process(tmp_path):
    said = []

    def other() -> None:
        try:
            taken(tmp_path / "x")
        except LockedError as error:
            said.append(str(error))

    with held(tmp_path / "x", "work is done"):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert len(said) == 1 and "work is done already" in said[0]


def test_the_holder_may_be_unknown(tmp_path):
    with held(tmp_path / "x", "work is done"):
        (tmp_path / "x.holder").write_bytes(b"\xff\xfe")
        with pytest.raises(LockedError, match="already, by another process. Wait for that process"):
            taken(tmp_path / "x")
        (tmp_path / "x.holder").unlink()
        with pytest.raises(LockedError, match="already, by another process. Wait for that process"):
            taken(tmp_path / "x")


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOLCK, "No locks available"), OSError(errno.ENOTSUP, "Not supported"), NotImplementedError("no flock")]
)
def test_without_locks_in_the_file_system_there_is_a_warning_and_work_proceeds(tmp_path, monkeypatch, error):
    def refused(self, *_, **__):
        raise error

    monkeypatch.setattr(filelock.FileLock, "acquire", refused)
    with pytest.warns(UserWarning, match=f"{tmp_path}: its file system has no locks; make sure that no other process writes there"):
        taken(tmp_path / "x")


def test_a_missing_permission_is_an_error_and_not_a_lack_of_locks(tmp_path, monkeypatch):
    def refused(self, *_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(filelock.FileLock, "acquire", refused)
    with pytest.raises(PermissionError):
        taken(tmp_path / "x")


def test_nothing_is_written_through_a_link(tmp_path):
    (tmp_path / "mine").write_text("mine")
    for name in ("x", "y.holder"):
        (tmp_path / name).symlink_to(tmp_path / "mine")
    with pytest.raises(LockedError, match="is a symbolic link"):
        taken(tmp_path / "x")
    taken(tmp_path / "y")
    assert (tmp_path / "mine").read_text() == "mine"


def test_a_missing_folder_is_not_created(tmp_path):
    with pytest.raises(FileNotFoundError):
        taken(tmp_path / "gone" / "x")
    assert not (tmp_path / "gone").exists()
