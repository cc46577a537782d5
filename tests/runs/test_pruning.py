"""What a finished run keeps on disk, who may read it, and what can be deleted."""

import os
import shutil

import pytest
from conftest import changed

from mtdnn_kit import ConfigError, Run, RunError, ask, train
from mtdnn_kit.__main__ import main
from mtdnn_kit.compare import pairing
from mtdnn_kit.errors import LockedError
from mtdnn_kit.files.atomic import write_folder
from mtdnn_kit.files.locks import held
from mtdnn_kit.runs.pruning import prune
from mtdnn_kit.runs.run import checkpoints


@pytest.fixture
def finished(config):
    """Parameters that keep the checkpoints of steps 2 and 4, and their run of 5 steps."""
    one = config(tasks=["squad"], qa_weight=1.0, max_steps=5, checkpoint_every=2, keep_checkpoints=True)
    return one, train(one)


def test_a_finished_run_keeps_its_checkpoints_if_asked_to(finished, tmp_path):
    config, run = finished
    assert [step for step, _ in checkpoints(run)] == [2, 4]
    other = train(changed(config, keep_checkpoints=False, run_dir=str(tmp_path / "other")))
    assert other.finished and not (other.path / "checkpoints").exists()
    assert (other.path / "model/model.safetensors").read_bytes() == (run.path / "model/model.safetensors").read_bytes()


def test_prune_deletes_checkpoints_and_model_and_says_what_remains(finished, tmp_path, capsys):
    _, run = finished
    copied, kept = shutil.copytree(run.path, tmp_path / "copied"), sorted(p.name for p in run.path.iterdir())
    main(["prune", str(run.path), str(copied), "--checkpoints"])
    one, two = capsys.readouterr().out.splitlines()
    assert one.startswith("run: freed checkpoints ") and one.endswith(" MB. Its model is kept.") and two.startswith("copied: freed")
    assert not (run.path / "checkpoints").exists() and ask(run, "What is it?", "It is a bark.")
    said = prune(run)
    assert said.startswith("run: freed model ") and "comparisons, the explorer" in said and "train the run again" in said
    assert sorted(p.name for p in run.path.iterdir()) == [name for name in kept if name not in ("checkpoints", "model")]
    assert run.finished and len(pairing.pair({"a": run, "b": Run(copied)})) == 6
    with pytest.raises(RunError, match=r"has no model/ to ask: .*pruned"):
        ask(run, "What is it?", "It is a bark.")
    assert prune(run).startswith("run: nothing to delete. Scores")


def test_a_run_in_progress_or_a_folder_without_a_run_is_not_pruned(finished, tmp_path):
    _, run = finished
    with pytest.raises(RunError, match=r"there is no such folder"):
        prune(Run(tmp_path / "none"))
    with held(run.path / ".lock", "a training is at work"), pytest.raises(LockedError, match="a training is running already"):
        prune(run)
    os.symlink(tmp_path, run.path / "model" / "link")
    with pytest.raises(ConfigError, match="is a symbolic link"):
        prune(run)
    (run.path / "manifest.json").write_text('{"status": "running"}')
    with pytest.raises(RunError, match="not finished and needs its checkpoints"):
        prune(run)
    assert len(checkpoints(run)) == 2 and (run.path / "model" / "model.safetensors").is_file()


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o007, 0o660), (0o077, 0o600)])
def test_files_follow_the_umask(tmp_path, mask, mode):
    """safetensors creates files that only their owner can read; in shared folders the umask should decide."""

    def fill(folder):
        (folder / "within").mkdir()
        for name in ("a", "within/b"):
            (folder / name).write_text(name)
            (folder / name).chmod(0o600)

    before = os.umask(mask)
    try:
        write_folder(tmp_path / "all", fill)
    finally:
        os.umask(before)
    assert {file.stat().st_mode & 0o777 for file in (tmp_path / "all").rglob("*") if file.is_file()} == {mode}


def test_every_file_of_a_run_follows_the_umask(finished):
    before = os.umask(0)
    os.umask(before)
    modes = {file.name: file.stat().st_mode & 0o777 for file in finished[1].path.rglob("*") if file.is_file() and file.name != ".lock"}
    assert {name for name, mode in modes.items() if mode != 0o666 & ~before} == set()


def test_a_folder_of_runs_is_not_mistaken_for_an_unfinished_run(tmp_path):
    for name in ("a", "b"):
        (tmp_path / "study" / name).mkdir(parents=True)
        (tmp_path / "study" / name / "manifest.json").write_text('{"status": "finished"}')
    with pytest.raises(RunError, match="study is not a run but a folder of 2 runs; name one of them: study/a and study/b|study/a, study/b"):
        prune(Run(tmp_path / "study"))
