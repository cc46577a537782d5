"""Real faults: a full disk, a folder that cannot be written, no memory left, a loss that is not a number, a second run.

A resumed run equals the undisturbed one bit for bit, both trained in this process.
"""

import resource
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from conftest import ROOT, changed
from killing import same
from sameness import assert_same
from test_survival import SMALL, carried_out

from mtdnn_kit import ConfigError, Run, RunError, prepare, train
from mtdnn_kit.errors import LockedError, TrainingError, WriteError
from mtdnn_kit.files.atomic import write_folder, write_whole
from mtdnn_kit.model.multitask import build_model
from mtdnn_kit.runs.run import Log, checkpoints
from mtdnn_kit.training import bookkeeping, trainer
from mtdnn_kit.training.checkpoints import damage
from mtdnn_kit.training.failures import memory
from mtdnn_kit.training.interference import affinities
from mtdnn_kit.training.log import Recorder


@pytest.fixture
def disk(tmp_path):
    """disk(megabytes, *options): a separate file system in memory; skips the test where none can be mounted."""
    place = tmp_path / "disk"
    place.mkdir()

    def mount(megabytes: int, *options: str) -> Path:
        told = ",".join([f"size={megabytes}m", *options])
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", told, "tmpfs", str(place)], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"a tmpfs cannot be mounted: {done.stderr.strip()}")
        return place

    yield mount
    subprocess.run(["umount", "-l", str(place)], capture_output=True)


def fill(folder: Path, leaving: int) -> None:
    """Fills the disk of a folder with a file, except for `leaving` bytes."""
    with open(folder / "filler", "wb") as filler:
        while (room := shutil.disk_usage(folder).free - leaving) > 0:
            filler.write(bytes(min(room, 2**20)))
            filler.flush()


@pytest.fixture
def eight(config, tmp_path):
    """Parameters of 8 steps with checkpoints of steps 3 and 6, and their undisturbed run."""
    one = config(run_dir=str(tmp_path / "whole"), tasks=["squad", "cola"], qa_weight=0.5, max_steps=8, log_every=1, checkpoint_every=3)
    return one, train(one)


@pytest.mark.parametrize("where", ["first checkpoint", "second checkpoint", "model", "tokenizer", "predictions"])
def test_a_full_disk_is_reported_and_with_free_space_the_resumed_run_is_the_same(eight, disk, where):
    one, whole = eight
    pages = {file.name: -(-file.stat().st_size // 4096) for file in (whole.path / "model").iterdir()}
    need = whole.manifest["disk_bytes"]
    step, leaving = {
        "first checkpoint": (1, 0),
        "second checkpoint": (5, need["checkpoints"] // 6),
        "model": (8, need["model"] // 4),
        "tokenizer": (8, (pages["model.safetensors"] + 2) * 4096),
        "predictions": (8, sum(pages.values()) * 4096),
    }[where]
    place = disk(60)
    config = changed(one, run_dir=str(place / "run"))

    def watch(records: list[dict]) -> None:
        if records[-1]["step"] == step:
            fill(place, leaving)

    with pytest.raises(RunError, match=r"^run_dir: .*No space left on device.* Free some space there.* set resume: true to continue"):
        train(config, watch=watch)
    assert (Path(config.run_dir) / "model").exists() == (where == "predictions")
    run = Run(config.run_dir)
    assert run.manifest["status"] == "running" or run.manifest["status"].startswith("failed: "), "never finished"
    assert not list(run.path.rglob("*.partial")) and not (run.path / "metrics.json").exists()
    assert all(damage(run, done, folder) == "" for done, folder in checkpoints(run))
    (place / "filler").unlink()
    assert same(whole.path, train(changed(config, resume=True)).path) == []


def test_a_disk_too_small_for_the_run_is_reported_before_the_first_step(eight, disk):
    one, whole = eight
    need = sum(whole.manifest["disk_bytes"].values())
    config = changed(one, run_dir=str(disk(need // 2**20) / "run"))
    with pytest.raises(RunError, match=r"^run_dir: a training in .*run takes up to 10.\d MB \(checkpoints 8.*MB are free there. Free some"):
        train(config)
    assert not (Path(config.run_dir) / "manifest.json").exists()
    disk(need // 2**20 + 2, "remount")
    assert train(config).finished, "the reported size is enough"


def test_a_failed_write_does_not_change_a_finished_file(tmp_path):
    """RLIMIT_FSIZE: the system limits every file to this size."""
    write_whole(tmp_path / "file", "finished")
    write_folder(tmp_path / "folder", lambda folder: (folder / "a").write_text("finished"))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(WriteError, match="file cannot be written: File too large"):
            write_whole(tmp_path / "file", bytes(2000))
        with pytest.raises(WriteError, match="folder cannot be written: File too large"):
            write_folder(tmp_path / "folder", lambda folder: (folder / "a").write_bytes(bytes(2000)))
        with pytest.raises(WriteError, match="log.jsonl cannot be written: File too large"):
            Log(tmp_path / "log.jsonl", 0).append([{"step": number} for number in range(200)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (tmp_path / "file").read_text() == (tmp_path / "folder" / "a").read_text() == "finished"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder", "log.jsonl"], "no partial file is left"


def test_a_folder_that_cannot_be_written_is_reported(eight, disk):
    one, whole = eight
    place = disk(60)
    shutil.copytree(whole.path, place / "run")
    manifest = place / "run" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"finished"', '"running"'))
    disk(60, "remount", "ro")
    for config in (changed(one, run_dir=str(place / "new")), changed(one, run_dir=str(place / "run"), resume=True)):
        with pytest.raises(RunError, match=r"^run_dir: .*Read-only file system.* Make it writable, or name another run_dir"):
            train(config)
    assert not (place / "new").exists() and same(place / "run", whole.path) == ["manifest.json"], "its status was set to running above"


def test_memory_that_runs_out_is_reported_with_its_batch_and_the_remedy(tiny, tmp_path, python):
    """Limits the address space of a process to 64 MB more than it uses at its first step, where one tensor is larger than that."""
    large = dict(
        tasks=["squad"],
        qa_weight=1.0,
        threshold_articles=[],
        batch_size=500,
        max_steps=3,
        log_every=1,
        max_length=256,
        overlap=40,
        grad_accumulation=1,
    )
    (life,) = carried_out(python, tmp_path, {**SMALL, **large, "encoder": tiny}, lives=[{"name": "run", "starve": 0}])
    said = (tmp_path / "run.said").read_text().strip().splitlines()[-1]
    assert life["code"] == 1 and "TrainingError: step 1, task squad, 500 rows, padded to " in said and "out of memory" in said, said
    assert "Raise grad_accumulation to 2" in said and "batch_size (500) or max_length (256)" in said
    assert Run(tmp_path / "run").manifest["status"].startswith("failed: TrainingError: step 1")


@pytest.mark.parametrize(("module", "name", "step"), [(trainer, "evaluate", 6), (bookkeeping, "slice_scores", 2)])
def test_memory_that_runs_out_while_scoring_loses_no_step(config, tmp_path, monkeypatch, module, name, step):
    """Without `checkpoint_every`: at the end of the training, and at a scoring on the way."""

    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    settings = config(tasks=["squad", "cola"], qa_weight=0.5, max_steps=6, eval_every=2, threshold_articles=["Cork"])
    with monkeypatch.context() as patched, pytest.raises(TrainingError, match="^scoring: out of memory .* set resume: true to continue"):
        patched.setattr(module, name, full)
        train(settings)
    run = Run(settings.run_dir)
    assert [done for done, _ in checkpoints(run)] == [step] and len(run.log()) == step
    assert_same(train(changed(settings, run_dir=str(tmp_path / "whole"))), train(changed(settings, resume=True)))


def test_a_lookahead_that_fails_leaves_the_weights_as_they_were(config):
    setup = prepare(config(tasks=["squad", "cola"], qa_weight=0.5))
    model = build_model(setup.encoder.path, setup.specs, 0.0, 0.0, 96, 0)
    before, calls = [w.detach().clone() for w in model.encoder.parameters()], []

    def loss(task, items):
        calls.append(task)
        if len(calls) == 3:  # the loss before, the gradient, and then the loss after the step
            raise MemoryError
        return sum((w**2).sum() for w in model.encoder.parameters()), len(items)

    with pytest.raises(MemoryError):
        affinities(model, setup, 0, loss)
    assert len(calls) == 3 and all(torch.equal(a, b) for a, b in zip(before, model.encoder.parameters(), strict=True))


def test_only_memory_errors_are_reported_as_out_of_memory(config):
    setup = prepare(config(tasks=["swag", "squad"], qa_weight=0.5, grad_accumulation=4))
    task = setup.batch(0)[0]
    sequences = " of 4 sequences" if task == "swag" else ""
    said = rf"^step 1, task {task}, 4 rows{sequences} in 4 pieces, padded to \d+ tokens .* Lower batch_size \(4\)"
    with pytest.raises(TrainingError, match=said), memory(setup, 0):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nmore")
    with pytest.raises(TrainingError, match=r"^scoring: out of memory \(MemoryError\). Lower max_length"), memory(setup):
        raise MemoryError
    with pytest.raises(RuntimeError, match="^shapes do not match$"), memory(setup, 0):
        raise RuntimeError("shapes do not match")


def test_a_loss_that_is_not_a_number_is_reported_with_its_rows_and_no_later_checkpoint_is_written(config, monkeypatch):
    """The loss of the second step; found when the log is written, when a checkpoint is due, or when a signal asks for one."""
    diverging = dict(tasks=["squad", "cola"], qa_weight=0.5, learning_rate=1e30, max_steps=8, warmup=0.0)
    add = Recorder.add

    def signalled(self, step, *figures):
        if step == 3:
            signal.raise_signal(signal.SIGINT)
        add(self, step, *figures)

    for name, more in {
        "log": dict(log_every=4),
        "turn": dict(log_every=100, checkpoint_every=4),
        "signal": dict(log_every=100),
        "scoring": dict(log_every=100, eval_every=4),
    }.items():
        one = config(**diverging, **more)
        one = changed(one, run_dir=f"{one.run_dir}-{name}")
        setup = prepare(one)
        with monkeypatch.context() as patched, pytest.raises(TrainingError) as error:
            if name == "signal":
                patched.setattr(Recorder, "add", signalled)
            train(one, setup)
        run = Run(one.run_dir)
        bad = len(run.log()) + 1
        task, items = setup.batch(bad - 1)
        rows = setup.train[task].table[items, 0] if task == "squad" else items
        ids = {str(setup.train[task].rows[int(row)].id) for row in rows}
        told = str(error.value)
        assert told.startswith(f"step {bad}, task {task}: loss ") and 2 <= bad <= 4 and "No checkpoint was written since" in told
        assert set(told.split("batch of rows ")[1].split(". The training")[0].split(", ")) == ids
        assert not checkpoints(run) and run.manifest["status"].startswith(f"failed: TrainingError: step {bad}")


@pytest.mark.parametrize(("loss", "norm"), [("nan", "1"), ("inf", "1"), ("-inf", "1"), ("1", "nan"), ("1", "inf")])
def test_a_loss_or_a_norm_that_is_not_a_number_ends_the_run_even_if_the_other_is_one(config, monkeypatch, loss, norm):
    """In the third step; the two steps before it are in the log."""
    add = Recorder.add

    def odd(self, step, task, rate, *figures):
        found = (torch.tensor(float(loss)), torch.tensor(float(norm)), figures[2]) if step == 2 else figures
        add(self, step, task, rate, *found)

    monkeypatch.setattr(Recorder, "add", odd)
    one = config(tasks=["squad"], qa_weight=1.0, max_steps=4, log_every=4)
    with pytest.raises(TrainingError, match="^step 3, task squad: loss "):
        train(one)
    assert [record["step"] for record in Run(one.run_dir).log()] == [1, 2]


def test_a_second_process_in_the_same_folder_is_refused(eight, monkeypatch):
    one, whole = eight
    monkeypatch.setattr("mtdnn_kit.training.trainer.GONE", 0.0)
    program = (
        "from mtdnn_kit.files.locks import *; c = held(Path(input()), 'a training is at work'); c.__enter__(); "
        "print('held', flush=True); input()"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True, cwd=ROOT) as first:
        first.stdin.write(f"{whole.path / '.lock'}\n")
        first.stdin.flush()
        assert first.stdout.readline() == "held\n"
        with pytest.raises(
            LockedError, match=rf"a training is running already, by process {first.pid} on .* Wait for that process, or end it"
        ):
            train(changed(one, resume=True))
        first.kill()
    assert whole.finished


def test_a_run_that_another_process_made_meanwhile_is_not_taken_over(eight, tmp_path, monkeypatch):
    """Both start in a new folder at once; the second waits for the lock, and then finds another run there."""
    one, whole = eight
    other = changed(one, run_dir=str(tmp_path / "other"), seed=5)

    @contextmanager
    def waited(*_):
        shutil.copytree(whole.path, other.run_dir, dirs_exist_ok=True)
        yield

    monkeypatch.setattr("mtdnn_kit.training.trainer.held", waited)
    with pytest.raises(ConfigError, match="^run_dir: .*other holds a finished run"):
        train(other)
    assert (Path(other.run_dir) / "manifest.json").read_bytes() == (whole.path / "manifest.json").read_bytes()
