"""Several processes that train one model: two on CPUs, with gloo, as a launcher starts them (issue 9, "More than one device")."""

import os
import re
import signal
import subprocess
import sys
from contextlib import redirect_stderr
from dataclasses import replace

import numpy as np
import pytest
import torch
from accelerate import notebook_launcher
from conftest import ROOT, changed
from hypothesis import given
from hypothesis import strategies as st
from ranks import free_port, launch
from safetensors.torch import load_file

from mtdnn_kit import Config, Run, prepare, train
from mtdnn_kit.__main__ import main
from mtdnn_kit.errors import ConfigError, OtherRankError
from mtdnn_kit.launch import launch as launch_processes
from mtdnn_kit.model.multitask import build_model
from mtdnn_kit.runs.environment import MOST_THREADS, cores
from mtdnn_kit.runs.run import checkpoints
from mtdnn_kit.training import loop
from mtdnn_kit.training.distributed import World, join, launched
from mtdnn_kit.training.interruptions import SIGNALS, Stop

LAUNCHED = dict(RANK="1", LOCAL_RANK="1", WORLD_SIZE="2", MASTER_ADDR="localhost", MASTER_PORT="29500")


# One process, without communication


def test_without_a_launcher_there_is_one_process(monkeypatch):
    for name in LAUNCHED:
        monkeypatch.delenv(name, raising=False)
    assert launched() == (0, 1) and join(torch.device("cpu")) == World(0, 1)


def test_the_launchers_environment_gives_rank_and_size(monkeypatch):
    for name, value in LAUNCHED.items():
        monkeypatch.setenv(name, value)
    assert launched() == (1, 2)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"RANK": None}, "RANK: WORLD_SIZE says that there are 2 processes, but RANK is not set. Start with `accelerate launch`"),
        ({"LOCAL_RANK": None}, "LOCAL_RANK: WORLD_SIZE says"),
        ({"MASTER_ADDR": ""}, "MASTER_ADDR: WORLD_SIZE says"),
        ({"MASTER_PORT": None}, "MASTER_PORT: WORLD_SIZE says"),
        ({"RANK": "2"}, "RANK: 2 must be below WORLD_SIZE, 2"),
        ({"RANK": "-1"}, "RANK: '-1' in the environment is not a valid number"),
        ({"WORLD_SIZE": "two"}, "WORLD_SIZE: 'two' in the environment is not a valid number"),
        ({"WORLD_SIZE": "0"}, "WORLD_SIZE: '0' in the environment is not a valid number"),
    ],
)
def test_an_inconsistent_environment_is_refused(monkeypatch, changes, said):
    for name, value in {**LAUNCHED, **changes}.items():
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as refused:
        join(torch.device("cpu"))
    assert str(refused.value).startswith(said)


@given(rows=st.integers(1, 40), size=st.integers(1, 9))
def test_every_row_has_one_rank_and_the_weighted_means_give_the_batchs_mean(rows, size):
    items, losses = np.arange(100, 100 + rows), np.random.default_rng(rows).random(200)
    shares = [World(rank, size).share(items) for rank in range(size)]
    counted = [mine for mine, weight in shares if weight]
    assert sorted(np.concatenate(counted)) == list(items) and all(len(mine) for mine, _ in shares)
    for rank, mine in enumerate(counted):
        assert list(mine) == list(items[rank::size])
    assert np.mean([losses[mine].mean() * weight for mine, weight in shares]) == pytest.approx(losses[items].mean())


@given(seed=st.integers(0, 2**31), step=st.integers(0, 10**6))
def test_the_random_state_depends_only_on_seed_step_and_rank(seed, step):
    states = [World(rank, size).seed(seed, step) for rank, size in ((0, 1), (0, 3), (1, 3), (2, 3), (1, 2))]
    assert states[0] == states[1] and states[2] == states[4] and len(set(states)) == 3
    assert World(1, 2).seed(seed, step + 1) != states[2] != World(1, 2).seed(seed + 1, step)


def test_the_random_state_of_a_single_process_is_that_of_the_kept_runs():
    assert [World().seed(0, step) for step in (0, 1, 1000)] == [4703793627856478726, 7860653343262856859, 5376059183847869139]


# What processes do together


def together() -> tuple:
    os.environ.pop("OMP_NUM_THREADS", None)
    with join(torch.device("cpu")) as world:
        pid = os.getpid()
        found = world.alone(lambda: (os.getpid(), "of rank 0"))
        turns = world.in_turn(lambda: world.rank)
        mean, sums = world.mean(torch.tensor(float(world.rank))), world.sums(world.rank + 1, 10)
        return world.rank, found[0] == pid, found[1], turns, mean.item(), sums, os.environ["OMP_NUM_THREADS"]


def test_all_ranks_get_the_result_of_rank_0_and_sums_cover_all_ranks():
    each = str(max(1, min(MOST_THREADS, cores() // 2)))
    assert launch(2, together) == [(0, True, "of rank 0", 0, 0.5, (3, 20), each), (1, False, "of rank 0", 1, 0.5, (3, 20), each)]


def failing(where: str, who: int) -> None:
    def call() -> None:
        if world.rank == who:
            raise ConfigError("tasks: the list is empty.")

    with join(torch.device("cpu")) as world:
        if where == "a step":
            call()
            world.mean(torch.zeros(1))
        getattr(world, where)(call) if where != "a step" else None


@pytest.mark.parametrize(("where", "who"), [("alone", 0), ("in_turn", 0), ("in_turn", 1), ("a step", 1), ("a step", 0)])
def test_an_error_on_one_rank_ends_the_others_with_its_message(where, who):
    found = launch(2, failing, where, who)
    assert type(found[who]) is ConfigError and str(found[who]) == "tasks: the list is empty."
    other = found[1 - who]
    assert type(other) is OtherRankError and f"rank {who}" in str(other) and "tasks: the list is empty." in str(other)


def killed() -> None:
    with join(torch.device("cpu")) as world:
        if world.rank == 1:
            os.kill(os.getpid(), 9)
        world.mean(torch.zeros(1))


def test_a_killed_rank_ends_the_others():
    zero, one = launch(2, killed)
    assert type(one) is EOFError and type(zero) is OtherRankError
    assert str(zero) == "rank 0 of 2 cannot continue: another one has ended; see its message"


# Training

UNFELT = ("key.bias", "squad.qa_outputs.bias", "swag.classifier.bias")  # biases that a softmax cancels: their gradient is rounding error
STILL = dict(encoder_dropout=0.0, head_dropout=0.0)
MIX = dict(tasks=["squad", "swag", "cola"], qa_weight=0.4, max_steps=None, epochs=2.0, train_limit=9, eval_limit=6, max_length=160)


def weights_of(run: Run) -> dict[str, torch.Tensor]:
    return load_file(run.path / "model" / "model.safetensors")


def log_of(run: Run, *without: str) -> list[dict]:
    return [{key: value for key, value in record.items() if key not in ("tokens_per_second", *without)} for record in run.log()]


@pytest.mark.parametrize("pieces", [1, 2])
def test_two_ranks_with_half_a_batch_each_equal_one_rank_with_the_whole(config, tmp_path, pieces):
    """Without dropout, for all task types, whose last batches have only one row; also in pieces. Adamax takes full-size steps even where a
    gradient is only rounding error: with this small learning rate that does not show in the scores, whatever the order of sums."""
    whole = config(**MIX, **STILL, batch_size=4, grad_accumulation=pieces, learning_rate=6e-5)
    setup = prepare(whole)
    sizes = {(task, len(items)) for task, items in map(setup.batch, range(len(setup.schedule)))}
    assert sizes >= {(task, n) for task in MIX["tasks"] for n in (1, 4)}, "some batches have fewer rows than there are ranks"
    one = train(whole, setup)
    two, other = launch(2, train, changed(whole, run_dir=str(tmp_path / "two"), batch_size=2))
    assert two.path == other.path == tmp_path / "two" and two.manifest["processes"] == 2 and one.manifest["processes"] == 1
    for a, b in zip(log_of(one), log_of(two), strict=True):
        assert {**a, "loss": 0, "grad_norm": 0} == {**b, "loss": 0, "grad_norm": 0}, "the same step; tokens are summed over ranks"
        assert b["loss"] == pytest.approx(a["loss"], rel=1e-4) and b["grad_norm"] == pytest.approx(a["grad_norm"], rel=1e-3)
    a, b, began = weights_of(one), weights_of(two), build_model(setup.encoder.path, setup.specs, 0, 0, 160, whole.seed).tensors()
    for name in a:
        if not name.endswith(UNFELT):
            moved, apart = (a[name] - began[name]).abs().mean(), (a[name] - b[name]).abs().mean()
            assert apart <= 0.05 * moved + 1e-7, name  # Adamax amplifies the rounding of small gradients
    for task in ("swag", "cola"):
        for x, y in zip(one.choices(task), two.choices(task), strict=True):
            assert np.allclose(x["probabilities"], y["probabilities"], atol=1e-4)
    for x, y in zip(one.nbest(), two.nbest(), strict=True):
        assert x["id"] == y["id"] and y["null"] == pytest.approx(x["null"], abs=1e-3)


def at_step(step: int, rank: int, do) -> None:
    """Makes a rank call `do` when it reaches a step (from 0)."""
    real = loop.learning_rate

    def learning_rate(number: int, *more) -> float:
        if number == step and int(os.environ["RANK"]) == rank:
            do()
        return real(number, *more)

    loop.learning_rate = learning_rate


def signalled(config: Config) -> Run:
    at_step(3, 1, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with open(f"{config.run_dir}.{os.environ['RANK']}", "w") as said, redirect_stderr(said):
        return train(config)


def test_a_signal_to_one_rank_stops_all_with_a_checkpoint_from_which_they_resume_bit_for_bit(config, tmp_path):
    settings = config(tasks=["squad", "cola"], qa_weight=0.5, max_steps=7, run_dir=str(tmp_path / "broken"), eval_limit=3)
    assert [type(end) for end in launch(2, signalled, settings)] == [EOFError, EOFError], "SIGTERM ends a process"
    broken = Run(tmp_path / "broken")
    assert broken.manifest["status"] == "stopped: SIGTERM" and [step for step, _ in checkpoints(broken)] == [4]
    assert "stopped after step 4 of 7, and its checkpoint is written" in (tmp_path / "broken.0").read_text()
    again = changed(settings, resume=True)
    with pytest.raises(ConfigError, match="^processes: the run in .*broken has 2, which share its batches; resume it with 2, not 1"):
        train(changed(again, batch_size=4))
    resumed, whole = launch(2, train, again)[0], launch(2, train, changed(settings, run_dir=str(tmp_path / "whole")))[0]
    a, b = weights_of(resumed), weights_of(whole)
    assert all(torch.equal(a[name], b[name]) for name in b) and log_of(resumed) == log_of(whole)
    for name in ("metrics.json", "predictions/squad_nbest.jsonl.gz", "predictions/cola.jsonl"):
        assert (resumed.path / name).read_bytes() == (whole.path / name).read_bytes()


def test_a_copy_of_a_signal_that_comes_after_all_have_agreed_is_noted():
    with Stop(copies=True) as stop:
        stop.defer()
        assert stop.agreed(lambda *counts: [int(number == signal.SIGTERM) for number in SIGNALS])
        signal.raise_signal(signal.SIGTERM)  # this process's own copy: another process had the signal first
        assert stop.taken == [signal.SIGTERM]
        stop.taken.clear()  # it would end this process


def test_two_ranks_share_one_anchor(config, tmp_path):
    """Only rank 0 computes the Fisher information, and both get the same penalty: the steps equal those of one rank with the whole
    batch."""
    mix = {**MIX, "epochs": 1.0, "tasks": ["squad", "cola"]}
    near = config(**mix, **STILL, batch_size=4, learning_rate=1e-3, anchor={"kind": "ewc", "strength": 1e5, "rows": 2})
    one = train(near)
    two, _ = launch(2, train, changed(near, run_dir=str(tmp_path / "two"), batch_size=2))
    assert [r["grad_norm"] for r in two.log()] == pytest.approx([r["grad_norm"] for r in one.log()], rel=0.02)
    assert one.log()[-1]["grad_norm"] > 20, "most of it is from the penalty"
    a, b = (load_file(run.path / "anchor/fisher/weights.safetensors") for run in (one, two))
    assert all(torch.equal(a[name], b[name]) for name in a)


def broken(config: Config) -> Run:
    def fail() -> None:
        raise ValueError("row 7 of cola: unheard of")

    at_step(2, 1, fail)
    return train(config)


def test_an_error_on_one_rank_ends_the_training_of_all(config):
    zero, one = launch(2, broken, config(tasks=["squad"], qa_weight=1.0))
    assert type(one) is ValueError and type(zero) is OtherRankError
    assert "rank 1: ValueError: row 7 of cola: unheard of" in str(zero)
    assert Run(config().run_dir).manifest["status"].startswith("failed: OtherRankError")


def audited(config: Config, folder: str) -> tuple[str, list]:
    """The run's path, and the calls of this process that change a folder."""
    os.environ["MTDNN_RUNS"] = folder
    done = []

    def hook(event: str, given: tuple) -> None:
        written = event == "open" and (given[2] or 0) & (os.O_WRONLY | os.O_RDWR)
        changes = written or event in ("os.mkdir", "os.rename", "os.remove", "os.rmdir")
        if changes and str(given[0]).startswith(folder):
            done.append((event, str(given[0])))

    sys.addaudithook(hook)
    return str(train(config).path), done


def test_only_rank_0_writes_and_all_know_the_folder(config, tmp_path):
    """A new folder; logs, checkpoints, scorings, interference, trackers. Weights that no step uses neither move nor decay."""
    watched = dict(eval_every=1, threshold_articles=["Cork"], interference_every=1, log_with="tensorboard")
    watched |= dict(checkpoint_every=1, keep_checkpoints=True)
    settings = config(**watched, tasks=["squad", "swag", "cola"], max_steps=2, weight_decay=0.9, learning_rate=0.1, run_dir=None)
    (path, wrote), (other, nothing) = launch(2, audited, settings, str(tmp_path / "runs"))
    assert path == other == str(tmp_path / "runs" / "001") and nothing == [] and len(wrote) > 10
    run, setup = Run(path), prepare(settings)
    assert run.finished and {record["task"] for record in run.log()} == {"squad"} and len(run.scorings()) == 1
    heads = build_model(setup.encoder.path, setup.specs, 0.1, 0.3, settings.max_length, settings.seed).tensors()
    found, moments = weights_of(run), load_file(checkpoints(run)[-1][1] / "optimizer.safetensors")
    others = [name for name in heads if name.startswith(("heads.swag", "heads.cola"))]
    assert others and all(torch.equal(heads[name], found[name]) for name in others)
    assert not [name for name in moments if name.partition("|")[0] in others] and any("heads.squad" in name for name in moments)


def on_a_notebook(config: Config) -> None:
    notebook_launcher(train, (config,), num_processes=2, use_port=free_port())


def test_notebook_launcher(config):
    assert launch(1, on_a_notebook, config(tasks=["squad"], qa_weight=1.0, max_steps=2)) == [None]
    run = Run(config().run_dir)
    assert run.finished and run.manifest["processes"] == 2


def test_accelerate_launch(config, tmp_path, python):
    """The command of docs/several-gpus.md; without a GPU, the processes use the CPU."""
    (tmp_path / "small.yaml").write_text(config(tasks=["squad"], qa_weight=1.0, max_steps=2).to_yaml())
    start = [*python, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--main_process_port", free_port()]
    command = [*start, "-m", "mtdnn_kit", "train", str(tmp_path / "small.yaml"), "--set", f"run_dir={tmp_path / 'made'}"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    run = Run(tmp_path / "made")
    assert done.returncode == 0, done.stderr[-3000:]
    assert run.finished and run.manifest["processes"] == 2 and run.manifest["device"] == "cpu" and done.stdout.count("finished") == 1


def test_the_kits_launcher_prints_no_traceback_when_its_processes_fail(config, tmp_path, python):
    (tmp_path / "small.yaml").write_text(config(tasks=["squad"], qa_weight=1.0).to_yaml())
    command = [*python, "-m", "mtdnn_kit.launch", str(tmp_path / "small.yaml"), "--processes", "2", "--set", "overlap=90"]
    done = subprocess.run([*command, "--set", f"run_dir={tmp_path / 'made'}"], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 1 and not (tmp_path / "made").exists()
    assert "overlap: 90 must lie between 0 and " in done.stderr and "Traceback" not in done.stderr


def test_the_kits_launcher_starts_the_given_processes_or_joins_another_launchers(monkeypatch):
    begun, alone = [], []
    monkeypatch.setattr(
        "torch.distributed.launcher.api.elastic_launch", lambda config, call: lambda words: begun.append((config, call, words))
    )
    monkeypatch.setattr("mtdnn_kit.launch.main", alone.append)
    launch_processes(["small.yaml", "--processes", "3", "--set", "seed=1"])
    ((options, call, words),) = begun
    assert (options.nproc_per_node, options.max_nodes, options.max_restarts) == (3, 1, 0) and words == [
        "train",
        "small.yaml",
        "--set",
        "seed=1",
    ]
    launch_processes(["small.yaml", "--set", "seed=1"])
    assert alone == [words] and len(begun) == 1 and call == alone.append


@pytest.mark.parametrize("processes", ["0", "-1", "x"])
def test_an_invalid_number_of_processes_is_refused(processes, capsys):
    with pytest.raises(SystemExit, match="^2$"):
        launch_processes(["small.yaml", "--processes", processes])
    assert "--processes" in capsys.readouterr().err


def test_a_command_without_a_launcher_reports_an_error_in_a_line(config, tmp_path, capsys):
    (tmp_path / "small.yaml").write_text(config(tasks=["squad"], qa_weight=1.0, max_steps=1).to_yaml())
    command = ["train", str(tmp_path / "small.yaml"), "--set", f"run_dir={tmp_path / 'made'}"]
    main(command)
    said = capsys.readouterr().out
    assert "made: finished, squad" in said and re.search(r"\nsquad: F1 [0-9.]+ on [0-9]+ rows \(always no answer: [0-9.]+\)\.", said)
    with pytest.raises(SystemExit, match="^1$"):
        main([*command, "--set", "batch_size=0"])
    assert capsys.readouterr().err.startswith("batch_size: 0 is too small: at least 1")


def test_a_setup_for_another_number_of_processes_is_refused(config, monkeypatch):
    setup = replace(prepare(config()), processes=2)
    with pytest.raises(ConfigError, match="^setup: it was prepared for 2 processes, not for 1; let train prepare it"):
        train(config(), setup)
    assert not os.path.exists(config().run_dir)


def differently(config: Config) -> Run:
    return train(changed(config, seed=int(os.environ["RANK"])))


def test_ranks_with_different_parameters_are_refused(config):
    for end in launch(2, differently, config()):
        assert type(end) is ConfigError and str(end).startswith("parameters: it differs among the 2 processes")
    assert not os.path.exists(config().run_dir)


def test_a_study_refuses_to_run_under_a_launcher(monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(SystemExit, match="^2$"):
        main(["study", "parameters/ablations/demo.yaml"])
    assert "WORLD_SIZE: a study starts its own processes" in capsys.readouterr().err
