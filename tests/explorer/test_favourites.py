"""Favourites: stored next to the runs, read again, none lost, no foreign file overwritten."""

import json
import os
from multiprocessing import get_context

import pytest

from mtdnn_kit.errors import RunError
from mtdnn_kit.explorer.favourites import FAVOURITES_FILE, beside, keep, read
from mtdnn_kit.runs.run import Run


def test_a_note_is_stored_changed_and_deleted(tmp_path):
    assert read(tmp_path) == {}
    assert keep(tmp_path, "squad", "a", "odd") == {"a": "odd"}
    assert keep(tmp_path, "squad", "b", "") == {"a": "odd", "b": ""}
    keep(tmp_path, "mnli", "7", "<b>")
    assert keep(tmp_path, "squad", "a", "no: right") == {"b": "", "a": "no: right"}
    assert keep(tmp_path, "squad", "b", None) == {"a": "no: right"}
    assert read(tmp_path) == {"squad": {"a": "no: right"}, "mnli": {"7": "<b>"}}


def test_favourites_are_stored_next_to_the_runs(tmp_path):
    runs = [Run(tmp_path / "study" / name) for name in ("a", "b")]
    assert beside(runs) == tmp_path / "study" and beside(runs[:1]) == tmp_path / "study"
    assert beside([*runs, Run(tmp_path / "other" / "c")]) == tmp_path
    assert beside([runs[0], Run("/elsewhere/c")]) == tmp_path / "study", "never in the root of the disk"


@pytest.mark.parametrize("content", ["{", "[]", '{"squad": ["a"]}', '{"squad": {"a": 1}}'])
def test_a_foreign_file_is_left_unchanged(tmp_path, content):
    (tmp_path / FAVOURITES_FILE).write_text(content)
    for call in (lambda: read(tmp_path), lambda: keep(tmp_path, "squad", "a", "x")):
        with pytest.raises(RunError, match="correct it or move it away"):
            call()
    assert (tmp_path / FAVOURITES_FILE).read_text() == content


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="folders without permissions")
def test_a_failure_to_write_is_reported(tmp_path):
    folder = tmp_path / "gone"
    with pytest.raises(RunError, match="cannot be written .No such file or directory.; the note was not saved"):
        keep(folder, "squad", "a", "x")


def note(folder, number: int, begin) -> None:
    begin.wait()  # importing takes longer than writing
    for i in range(20):
        keep(folder, "squad", f"{number}-{i}", "x")


def test_two_notebooks_lose_nothing(tmp_path):
    context = get_context("spawn")
    begin = context.Barrier(2)
    processes = [context.Process(target=note, args=(tmp_path, number, begin)) for number in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert len(json.loads((tmp_path / FAVOURITES_FILE).read_text())["squad"]) == 40
