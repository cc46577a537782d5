"""A run that is killed at any moment, or stopped by a signal, and resumed equals the undisturbed run (statement 10)."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from conftest import ROOT, changed
from killing import same
from processes import below, until

from mtdnn_kit import Config, Run, train
from mtdnn_kit.runs.run import checkpoints
from mtdnn_kit.studies import engines
from mtdnn_kit.studies.status import code
from mtdnn_kit.training import trainer
from mtdnn_kit.training.log import Recorder

SMALL = dict(batch_size=4, max_length=96, overlap=10, precision="fp32", device="cpu", threads=1, eval_limit=20, epochs=20.0, qa_weight=0.5)
WATCHED = dict(checkpoint_every=4, eval_every=12, interference_every=9, threshold_articles=["Glacier", "Cork"])
KILLS = int(os.environ.get("MTDNN_KILLS", "0"))


def carried_out(python: list[str], folder: Path, config: dict, **plan) -> list[dict]:
    """The output of tests/killing.py for a plan."""
    (folder / "plan.json").write_text(json.dumps({"folder": str(folder), "config": config, **plan}))
    command, single = [*python, str(ROOT / "tests" / "killing.py"), str(folder / "plan.json")], {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **single}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def killed_and_resumed(python: list[str], folder: Path, tiny: str, kills: int, seed: int) -> list[dict]:
    tasks = ["squad", "swag", "cola"]
    config = {**SMALL, **WATCHED, "encoder": tiny, "tasks": tasks, "max_steps": 36, "log_every": 5}
    found = carried_out(python, folder, config, kills=kills, seed=seed)
    ends = [life for life in found if "differs" in life]
    assert ends and [life for life in ends if (life["code"], life["differs"]) != (0, [])] == []
    killed = [life for life in found if life.get("code") == -signal.SIGKILL]
    assert len(killed) == kills
    return killed


def test_10_a_run_killed_at_random_moments_and_resumed_is_the_same(tiny, tmp_path, python):
    killed_and_resumed(python, tmp_path, tiny, kills=KILLS or 5, seed=0)


@pytest.mark.soak
def test_10_killed_at_many_moments_of_every_kind(tiny, tmp_path, python):
    """During a checkpoint, between checkpoints, while the model or the predictions are written, after the scores."""
    killed = killed_and_resumed(python, tmp_path, tiny, kills=KILLS or 50, seed=1)
    print(json.dumps(killed, indent=1))
    partial = {name.split("-")[0].split(".")[0] for life in killed for name in life["partial"]}
    assert {"step"} <= partial and any("model" in life["end"] for life in killed) and any(not life["partial"] for life in killed)


def interrupted(config: Config, after: int, *numbers: int, monkeypatch) -> None:
    """Trains; the signals arrive in the step after `after` steps."""
    add = Recorder.add

    def until_then(self, step, *figures):
        if step == after:
            for number in numbers:
                signal.raise_signal(number)
        add(self, step, *figures)

    with monkeypatch.context() as patched:
        patched.setattr(Recorder, "add", until_then)
        train(config)


@pytest.fixture
def whole(config, tmp_path) -> tuple[Config, Run]:
    """Parameters of 8 steps without checkpoints, and their undisturbed run."""
    one = config(run_dir=str(tmp_path / "whole"), tasks=["squad", "cola"], qa_weight=0.5, max_steps=8, log_every=5)
    return one, train(one)


@pytest.mark.parametrize("after", [0, 3, 7])
def test_an_interrupt_finishes_the_current_step_with_a_checkpoint_and_is_still_a_keyboard_interrupt(whole, tmp_path, monkeypatch, after):
    one, reference = whole
    broken = changed(one, run_dir=str(tmp_path / "broken"))
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt, match=rf"^SIGINT: the training in .* stopped after step {after + 1} of 8, .* Set resume: true"):
        interrupted(broken, after, signal.SIGINT, monkeypatch=monkeypatch)
    run = Run(broken.run_dir)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    assert run.manifest["status"] == "stopped: SIGINT" and [step for step, _ in checkpoints(run)] == [after + 1]
    assert [record["step"] for record in run.log()] == list(range(1, after + 2))
    assert same(reference.path, train(changed(broken, resume=True)).path) == []


def test_a_signal_during_scoring_keeps_all_steps(whole, tmp_path, monkeypatch):
    one, reference = whole
    broken = changed(one, run_dir=str(tmp_path / "broken"))
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt, match="stopped after step 8 of 8"):
        patched.setattr("mtdnn_kit.training.trainer.evaluate", lambda *_: signal.raise_signal(signal.SIGINT))
        train(broken)
    run = Run(broken.run_dir)
    assert [step for step, _ in checkpoints(run)] == [8] and not run.finished
    assert same(reference.path, train(changed(broken, resume=True)).path) == []


def test_a_signal_after_everything_is_written_leaves_a_finished_run(whole, tmp_path, monkeypatch):
    one, reference = whole
    write = trainer.write_json

    def last(path: Path, value) -> None:
        if path.name == "manifest.json" and value["status"] == "finished":
            signal.raise_signal(signal.SIGINT)
        write(path, value)

    monkeypatch.setattr(trainer, "write_json", last)
    with pytest.raises(KeyboardInterrupt):
        train(changed(one, run_dir=str(tmp_path / "late")))
    assert same(reference.path, tmp_path / "late") == []


def test_sigterm_reaches_the_previous_handler_and_a_second_signal_ends_at_once(whole, tmp_path, monkeypatch, capsys):
    one, _ = whole
    seen = []
    before = signal.signal(signal.SIGTERM, lambda number, _: seen.append(number))
    try:
        with pytest.raises(SystemExit, match="SIGTERM: the training in .* stopped after step 3 of 8"):
            interrupted(changed(one, run_dir=str(tmp_path / "one")), 2, signal.SIGINT, signal.SIGTERM, monkeypatch=monkeypatch)
    finally:
        signal.signal(signal.SIGTERM, before)
    place = f"its checkpoint is written. Set resume: true (run_dir: {tmp_path / 'one'}) to continue from there."
    assert seen == [signal.SIGTERM] and place in capsys.readouterr().err
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").touch()
    assert Run("one").place == "one", "relative to the project"
    with pytest.raises(KeyboardInterrupt) as second:
        interrupted(changed(one, run_dir=str(tmp_path / "two")), 2, signal.SIGINT, signal.SIGINT, monkeypatch=monkeypatch)
    run = Run(tmp_path / "two")
    assert str(second.value) == "" and run.manifest["status"] == "stopped: KeyboardInterrupt" and not checkpoints(run)


def test_a_training_in_another_thread_or_with_ignored_signals_does_not_handle_them(whole, tmp_path, monkeypatch):
    one, _ = whole
    thread = threading.Thread(target=train, args=(changed(one, run_dir=str(tmp_path / "thread")),))
    thread.start(), thread.join()
    assert Run(tmp_path / "thread").finished
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        interrupted(changed(one, run_dir=str(tmp_path / "ignored")), 2, signal.SIGINT, monkeypatch=monkeypatch)
    finally:
        signal.signal(signal.SIGINT, before)
    assert Run(tmp_path / "ignored").finished


def test_a_preempted_process_writes_its_checkpoint_and_ends_by_sigterm(tiny, tmp_path, python):
    config = {**SMALL, "encoder": tiny, "tasks": ["squad", "cola"], "max_steps": 12, "log_every": 1}
    once, more = ({"name": "run", "signals": [[step, "SIGTERM"]] * n} for step, n in ((4, 1), (9, 2)))
    first, stopped, twice, last = carried_out(python, tmp_path, config, lives=[{"name": "reference"}, once, more, {"name": "run"}])
    assert (first["code"], last["code"]) == (0, 0) and same(tmp_path / "reference", tmp_path / "run") == []
    assert (stopped["code"], stopped["checkpoint"]) == (-signal.SIGTERM, 4)
    assert (twice["code"], twice["checkpoint"]) == (-signal.SIGTERM, 4), "at once: without another checkpoint"
    assert "SIGTERM: the training in" in (tmp_path / "run.said").read_text()


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="looks at processes through /proc")
def test_a_kernel_that_is_killed_or_interrupted_under_papermill_is_named_and_its_run_is_resumed(tiny, tmp_path, monkeypatch, warm_kernels):
    """With a real worker, papermill and kernel: killed, then stopped with the study, then undisturbed."""
    monkeypatch.setattr(engines, "BEAT", 0.02)
    notebook, many = ROOT / "notebooks" / "02_train.ipynb", dict(tasks=["cola"], max_steps=40, log_every=1, eval_limit=6)
    config = Config(**{**SMALL, "qa_weight": 1.0, "encoder": tiny, **many, "checkpoint_every": 5, "run_dir": str(tmp_path / "run")})
    job = engines.Job("mine", config, str(notebook), str(ROOT), {"code": code(notebook)})
    run, children, why = Run(config.run_dir), [], {}

    def steps() -> int:
        return len(run.log()) if (run.path / "log.jsonl").exists() else 0

    for ended in engines.local([job]):
        why |= ended
        if not children and steps() >= 7:
            workers = [pid for pid in below(os.getpid()) if b"mtdnn_kit.studies.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()]
            children = below(workers[0])
            os.kill(children[0], signal.SIGKILL)
    assert "its kernel died" in why["mine"] and "the last checkpoint" in why["mine"]
    assert run.manifest["status"] == "running" and checkpoints(run)
    before, engine = steps(), engines.local([job])
    next(engine)
    until(lambda: steps() >= before + 3)
    engine.close()
    assert run.manifest["status"] == "stopped: SIGINT" and checkpoints(run)[-1][0] == len(run.log()) > before
    assert [end for step in engines.local([job]) for end in step.values()] == [""]
    whole = train(changed(config, run_dir=str(tmp_path / "whole")))
    differs = set(same(whole.path, run.path)) - {"02_train.ipynb", "papermill.txt", ".papermill", "study.json"}
    assert differs == set()


def test_a_worker_that_dies_is_named_in_the_studys_outcome(config, monkeypatch, tmp_path):
    """The worker's process is really killed; it does no work."""
    monkeypatch.setattr(engines, "WORKER", [sys.executable, "-S", "-c", "import os, sys; sys.stdin.readline(); os.kill(os.getpid(), 9)"])
    jobs = [engines.Job("mine", config(run_dir=str(tmp_path / "a")), "x.ipynb", str(ROOT), {})]
    (why,) = [end for step in engines.local(jobs) for end in step.values()]
    assert why.startswith("its process was ended by SIGKILL") and "run the same command to continue" in why
