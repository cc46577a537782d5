"""Checkpoints: only an intact checkpoint is loaded; and a disk that is large enough for them.

Runs are compared bit for bit, both trained in this process.
"""

import os
import shutil
from pathlib import Path

import pytest
from conftest import THREADS, changed
from hypothesis import given
from hypothesis import strategies as st
from killing import same
from sameness import Stopped

from mtdnn_kit import Config, ConfigError, Run, RunError, train
from mtdnn_kit.errors import WriteError
from mtdnn_kit.files.atomic import write_folder, write_whole
from mtdnn_kit.runs.run import checkpoints
from mtdnn_kit.training.checkpoints import FILES, KEEP, STATE, CheckpointWarning, damage
from mtdnn_kit.training.failures import check_space
from mtdnn_kit.training.log import Recorder


@pytest.fixture(scope="module")
def runs(tiny, tmp_path_factory):
    """A finished run of 12 steps, and the same run stopped after step 10, with checkpoints of steps 4 and 8."""
    folder = tmp_path_factory.mktemp("runs")
    small = dict(tasks=["squad", "cola"], qa_weight=0.5, batch_size=4, max_steps=12, max_length=96, overlap=10, eval_limit=6, log_every=3)
    settled = dict(precision="fp32", device="cpu", threads=THREADS, encoder=tiny)
    settled |= dict(checkpoint_every=4, keep_checkpoints=True, interference_every=3)
    whole = train(Config(run_dir=str(folder / "whole"), **small, **settled))
    broken = Config(run_dir=str(folder / "broken"), **small, **settled)
    add = Recorder.add

    def until(self, step, *figures):
        add(self, step, *figures)
        if step == 9:
            raise Stopped

    with pytest.MonkeyPatch.context() as patched, pytest.raises(Stopped):
        patched.setattr(Recorder, "add", until)
        train(broken)
    return whole, Run(broken.run_dir), broken


@pytest.fixture
def broken(runs, tmp_path):
    """A copy of the stopped run to damage: its folder, its parameters for resuming, the finished run."""
    whole, run, config = runs
    shutil.copytree(run.path, tmp_path / "broken")
    return Run(tmp_path / "broken"), changed(config, run_dir=str(tmp_path / "broken"), resume=True), whole


def flip(file: Path, bit: int) -> None:
    with open(file, "r+b") as opened:
        opened.seek(bit // 8)
        byte = opened.read(1)[0]
        opened.seek(bit // 8)
        opened.write(bytes([byte ^ 1 << bit % 8]))


def cut(file: Path) -> None:
    os.truncate(file, file.stat().st_size - 1)


@given(name=st.sampled_from(FILES), part=st.floats(0, 1, exclude_max=True))
def test_a_flipped_bit_anywhere_in_a_checkpoint_is_detected(runs, name, part):
    _, run, _ = runs
    step, folder = checkpoints(run)[-1]
    bit = int(part * 8 * (folder / name).stat().st_size)
    flip(folder / name, bit)
    seen = damage(run, step, folder)
    flip(folder / name, bit)
    assert seen == f"{name} has changed since it was written: its sha256 differs"


def test_every_flipped_bit_of_a_checkpoints_state_is_detected(runs):
    _, run, _ = runs
    step, folder = checkpoints(run)[-1]
    assert damage(run, step, folder) == ""
    for bit in range(8 * (folder / STATE).stat().st_size):
        flip(folder / STATE, bit)
        seen = damage(run, step, folder)
        flip(folder / STATE, bit)
        assert seen == f"{STATE} has changed since it was written", bit
    assert damage(run, step, folder) == "" and damage(run, step + 1, folder) == f"{STATE} has changed since it was written", (
        "the folder is named after another step"
    )


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda folder: cut(folder / FILES[0]), r"model.safetensors has \d+ bytes instead of \d+"),
        (lambda folder: flip(folder / FILES[1], 80_000), "optimizer.safetensors has changed since it was written"),
        (lambda folder: (folder / FILES[1]).unlink(), "optimizer.safetensors is missing"),
        (lambda folder: (folder / STATE).write_text("{}"), "state.json has changed since it was written"),
        (lambda folder: (folder / STATE).unlink(), "state.json is missing"),
    ],
)
def test_a_damaged_checkpoint_is_set_aside_and_the_previous_one_gives_the_same_run(broken, spoil, said):
    run, config, whole = broken
    spoil(run.path / "checkpoints" / "step-0000008")
    with pytest.warns(CheckpointWarning, match=f"step-0000008: {said}.* continues from step 4 instead; .* kept as step-0000008.damaged"):
        resumed = train(config)
    assert same(whole.path, resumed.path) == []
    assert (run.path / "checkpoints" / "step-0000008.damaged").is_dir(), "nothing is deleted"
    (run.path / "checkpoints" / "step-0000008.damaged-2").mkdir()
    assert [step for step, _ in checkpoints(run)] == [4, 8], "the run wrote the checkpoint again"


def test_without_an_intact_checkpoint_a_run_fails_until_the_checkpoints_are_deleted(broken):
    run, config, whole = broken
    for step, folder in checkpoints(run):
        flip(folder / FILES[0], 1000 + step)
    for _ in range(2):
        with pytest.raises(RunError, match=r"no checkpoint of this run can be used. step-0000008: model.*; step-0000004: .* delete its"):
            train(config)
        assert [step for step, _ in checkpoints(run)] == [4, 8] and run.manifest["status"].startswith("failed: RunError: ")
    shutil.rmtree(run.path / "checkpoints")
    assert same(whole.path, train(config).path) == []


def test_a_checkpoint_is_skipped_if_the_log_lost_lines(broken):
    run, config, _ = broken
    lines = (run.path / "log.jsonl").read_text().splitlines(keepends=True)
    (run.path / "log.jsonl").write_text("".join(lines[:5]))
    with pytest.warns(CheckpointWarning, match=r"log.jsonl has \d+ bytes instead of \d+"):
        assert [record["step"] for record in train(config).log()] == list(range(1, 13))


def test_a_changed_log_is_detected(broken):
    run, config, _ = broken
    flip(run.path / "log.jsonl", 100)
    with pytest.raises(RunError, match=r"step-0000008: log.jsonl has changed since it was written: its sha256 differs"):
        train(config)


def test_checkpoints_without_a_manifest_are_not_taken_over_by_another_run(broken):
    run, config, _ = broken
    (run.path / "manifest.json").unlink()
    with pytest.raises(ConfigError, match="^run_dir: .* holds checkpoints of a run that has no manifest.json"):
        train(changed(config, resume=False))


def test_files_are_synced_before_the_rename_and_the_folder_after_it(tmp_path, monkeypatch):
    calls, sync, replace = [], os.fsync, os.replace
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", lambda handle: (calls.append(("sync", os.readlink(f"/proc/self/fd/{handle}"))), sync(handle)))
        patched.setattr(os, "replace", lambda a, b: (calls.append(("name", str(b))), replace(a, b)))
        write_folder(tmp_path / "all" / "x", lambda folder: [(folder / name).write_text(name) for name in "ab"])
        write_whole(tmp_path / "file", "text")
    partial = str(tmp_path / "all" / "x.partial")
    first = calls.index(("name", str(tmp_path / "all" / "x")))
    assert {path for _, path in calls[:first]} == {f"{partial}/a", f"{partial}/b", partial}
    assert calls[first + 1 : first + 3] == [("sync", str(tmp_path / "all")), ("sync", str(tmp_path))]
    assert calls[-3:] == [("sync", f"{tmp_path}/file.partial"), ("name", f"{tmp_path}/file"), ("sync", str(tmp_path))]


def test_a_folder_is_replaced_by_a_complete_one_or_stays(tmp_path, monkeypatch):
    def fill(text: str):
        return lambda folder: [(folder / name).write_text(text) for name in "ab"]

    write_folder(tmp_path / "x", fill("1"))
    write_folder(tmp_path / "x", fill("2"))
    assert [(tmp_path / "x" / name).read_text() for name in "ab"] == ["2", "2"] and len(list(tmp_path.iterdir())) == 1
    replace_ = os.replace

    def refusing(source, target):
        if Path(target) == tmp_path / "x" and Path(source).name == "x.partial":
            raise OSError(28, "No space left on device")
        replace_(source, target)

    monkeypatch.setattr(os, "replace", refusing)
    with pytest.raises(WriteError, match="x cannot be written: No space left"):
        write_folder(tmp_path / "x", fill("3"))
    assert [(tmp_path / "x" / name).read_text() for name in "ab"] == ["2", "2"] and len(list(tmp_path.iterdir())) == 1

    def interrupted(source, target):
        replace_(source, target)
        if Path(target).name == "x.old.partial":
            monkeypatch.setattr(os, "replace", refusing_once)

    def refusing_once(source, target):
        monkeypatch.setattr(os, "replace", replace_)
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_folder(tmp_path / "x", fill("3"))
    assert [(tmp_path / "x" / name).read_text() for name in "ab"] == ["2", "2"]


def test_the_disk_space_of_a_run_is_known_before_it_starts(runs):
    whole, _, _ = runs
    need = whole.manifest["disk_bytes"]

    def size(*names: str) -> int:
        return sum(file.stat().st_size for name in names for file in [whole.path / name, *(whole.path / name).rglob("*")] if file.is_file())

    kept = size("checkpoints") / KEEP * (KEEP + 1)
    assert kept <= need["checkpoints"] < 1.1 * kept
    for name, files in {"model": ["model"], "answers": ["predictions"], "log": ["log.jsonl", "interference.jsonl"]}.items():
        assert 0 < size(*files) <= need[name], name
    assert size("") < sum(need.values())


def test_a_disk_that_is_too_small_is_reported_before_the_first_step(runs, tmp_path):
    whole, _, _ = runs
    free = shutil.disk_usage(tmp_path).free
    with pytest.raises(RunError, match=r"^run_dir: a training in .* takes up to .* GB \(checkpoints .*\), and .* are free there"):
        check_space(Run(tmp_path), {"checkpoints": free + 10**10})
    check_space(Run(whole.path), {"checkpoints": 10})
