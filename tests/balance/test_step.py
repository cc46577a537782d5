"""The joint step: its rows, its gradient, what it refuses; a run with any method resumes bit for bit."""

import json
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from conftest import THREADS, changed
from safetensors.torch import load_file
from sameness import assert_same

from mtdnn_kit import Config, ConfigError, Run, prepare, train
from mtdnn_kit.balance.schedule import draw_joint
from mtdnn_kit.balance.step import Joint
from mtdnn_kit.config import BALANCES
from mtdnn_kit.errors import PluginError, TrainingError
from mtdnn_kit.model.multitask import build_model
from mtdnn_kit.runs.run import checkpoints
from mtdnn_kit.training import trainer
from mtdnn_kit.training.loop import backward

JOINT = dict(tasks=["cola", "swag", "mrpc"], qa_weight=0.4, step="joint", balance="sum", batch_size=6)
REMEMBER = ("uncertainty", "dwa", "famo", "imtl_l", "gradvac", "pcd", "nash_mtl", "doors:helpful")


@pytest.fixture(scope="module")
def ready(tiny, tmp_path_factory):
    """Setup of a run of three small epochs, each of four steps."""
    small = dict(encoder=tiny, max_length=64, precision="fp32", device="cpu", threads=THREADS, eval_limit=2, train_limit=9, epochs=3.0)
    folder = tmp_path_factory.mktemp("joint")
    return prepare(Config(run_dir=str(folder / "base"), **JOINT, **small, log_every=2, checkpoint_every=7, keep_checkpoints=True))


@pytest.mark.parametrize("method", [*BALANCES, "doors:helpful"])
def test_a_run_under_each_method_trains_scores_and_resumes_bit_for_bit(ready, tmp_path, method):
    setup = replace(ready, config=changed(ready.config, balance=method, run_dir=str(tmp_path / "whole")))
    whole = train(setup.config, setup)
    steps = len(setup.schedule)
    assert steps == 12 and [step for step, _ in checkpoints(whole)] == [7] and set(whole.metrics) == set(JOINT["tasks"])
    kept = (checkpoints(whole)[0][1] / "balance.safetensors").exists()
    assert kept == (method in REMEMBER)
    shutil.copytree(whole.path, tmp_path / "again")
    again = changed(setup.config, run_dir=str(tmp_path / "again"), resume=True)
    manifest = json.loads((tmp_path / "again" / "manifest.json").read_text())
    (tmp_path / "again" / "manifest.json").write_text(json.dumps({**manifest, "status": "stopped: SIGTERM"}))
    assert_same(whole, train(again, replace(setup, config=again)), tasks=("cola",))
    records = whole.log()
    assert len(records) == steps and all(list(r["losses"]) == list(r["weights"]) == JOINT["tasks"] for r in records)
    assert all(r["task"] == "cola" and r["loss"] == r["losses"]["cola"] for r in records)
    if method not in ("sum", "dwa"):  # the next test checks dwa; weights of steps without conflicts may all be 1
        assert any(set(r["weights"].values()) != {1.0} for r in records)


def test_dwa_weighs_the_third_epoch_by_the_losses_of_the_first_two(ready, tmp_path):
    one = changed(ready.config, balance="dwa", run_dir=str(tmp_path / "dwa"))
    records = train(one, replace(ready, config=one)).log()
    means = [np.mean([list(r["losses"].values()) for r in records if r["epoch"] == e], axis=0) for e in (1, 2)]
    rates = np.exp(means[1] / means[0] / 2)
    assert all(set(r["weights"].values()) == {1.0} for r in records[:8])
    assert all(np.allclose(list(r["weights"].values()), 3 * rates / rates.sum(), rtol=1e-5) for r in records[8:])


def joint(setup, method="sum", seed=0, model=None, **factors):
    """A joint step of a model without dropout, and the model."""
    model = model or build_model(setup.encoder.path, setup.specs, 0.0, 0.0, setup.config.max_length, 0)
    accelerator = Accelerator(cpu=True)
    gradient = partial(backward, accelerator, model, setup)
    return Joint(model, method, setup.config.tasks, factors, seed, gradient, None, int), model, gradient


def gradients(model) -> dict[str, torch.Tensor]:
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad(set_to_none=True)
    return found


def test_sum_is_the_accumulated_gradient_bit_for_bit(ready):
    setup = replace(ready, config=changed(ready.config, loss_weights={"swag": 0.3}, grad_accumulation=2))
    step, model, gradient = joint(setup, swag=0.3)
    for number in (0, 3):
        loss, tokens = step.backward(number, setup.parts(number))
        found = gradients(model)
        told = [gradient(task, items) for task, items in setup.parts(number).items()]
        wanted = gradients(model)
        assert found.keys() == wanted.keys() and all(torch.equal(found[name], wanted[name]) for name in wanted)
        assert (loss, tokens) == (told[0][0], sum(n for _, n in told)) and torch.equal(
            step.figures[0], torch.stack([one for one, _ in told])
        )


@pytest.mark.parametrize("method", ["stch", "mgda"])
def test_the_encoder_gets_weighted_gradients_and_each_head_its_own(ready, method):
    setup = replace(ready, config=changed(ready.config, loss_weights={"swag": 0.3}))
    step, model, gradient = joint(setup, method, swag=0.3)
    alone, parts = [], ready.parts(1)
    for task, items in parts.items():
        gradient(task, items)
        alone.append(gradients(model))
    step.backward(1, parts)
    found, weights = gradients(model), step.figures[1].tolist()
    if method == "stch":  # computed from the losses times their loss_weights
        told = np.exp(step.figures[0].double().numpy() * [1.0, 0.3, 1.0] / 3)
        assert np.allclose(weights, told / told.sum() / 3)
    for name, grad in found.items():
        scale = {t: w if name.startswith("encoder") or method == "stch" else 1.0 for t, w in zip(parts, weights, strict=True)}
        wanted = sum(scale[task] * own[name].double() for task, own in zip(parts, alone, strict=True) if name in own)
        torch.testing.assert_close(grad.double(), wanted, rtol=1e-4, atol=1e-9)


def test_k_tasks_need_at_most_k_gradients_of_the_encoder(ready, monkeypatch):
    """Counts the elements of gradients that are in memory when the weights are computed."""
    step, model, _ = joint(ready, "mgda")
    sizes, weigh = [], Joint._weights

    def counted(self, number, losses, gradients):
        sizes.append([sum(g.numel() for g in some if g is not None) for some in gradients])
        assert all(p.grad is None for p in self.encoder)
        return weigh(self, number, losses, gradients)

    monkeypatch.setattr(Joint, "_weights", counted)
    step.backward(0, ready.parts(0))
    whole = sum(p.numel() for p in model.encoder.parameters())
    assert len(sizes[0]) == 3 and all(size <= whole for size in sizes[0])


def test_each_step_has_rows_of_every_task_and_an_epoch_matches_the_drawn_schedule():
    items, p = {"a": 1000, "b": 70, "c": 33}, np.array([0.62, 0.27, 0.11])
    found = draw_joint(items, lambda epoch: p, 16, 2.5)
    assert len(found) == 101 + 101 + 51 and found.epoch.tolist() == [1] * 101 + [2] * 101 + [3] * 51
    ends = [100, 201, 252]
    whole = np.delete(np.arange(253), ends)
    assert (found.rows[whole].sum(1) == 16).all() and (found.rows >= 1).all()
    assert [int(found.rows[found.epoch == e, 0].sum()) for e in (1, 2, 3)] == [1000, 1000, 500]
    for e in (1, 2, 3):
        owed = np.cumsum(found.rows[found.epoch == e], axis=0)[:-1]
        due = np.arange(1, len(owed) + 1)[:, None] * p * 16
        assert np.abs(owed - due).max() < 1 + 1e-9
    assert found.start[101].tolist() == [1000, 70 * 7, 33 * 6], "an epoch begins new passes"
    assert found.passes() == {"a": 3, "b": 7 + 7 + 4, "c": 6 + 6 + 3} and found.draws() == {"a": 156, "b": 68, "c": 28}
    assert found.first(7).rows.tolist() == found.rows[:7].tolist() and len(found.first(7)) == 7
    for task, number, n in zip(items, range(len(items)), items.values(), strict=True):
        rows = zip(found.start[:, number].tolist(), found.rows[:, number].tolist(), strict=True)
        assert found.passes()[task] == len({row // n for start, count in rows for row in range(start, start + count)})
    few = draw_joint({"a": 100, "b": 3}, lambda epoch: np.array([0.5, 0.5]), 20, 1.0)
    assert few.passes() == {"a": 1, "b": 34}, "several passes within a step"
    assert len(draw_joint({"a": 100, "b": 100}, lambda epoch: np.array([0.5, 0.5]), 2, 1e9, 7)) == 7
    assert draw_joint(items, lambda epoch: p, 16, 2.5, 110).rows.tolist() == found.rows[:110].tolist()


def test_a_pass_has_each_row_once_and_a_step_is_a_pure_function(ready):
    seen: dict[tuple, list] = {}
    for step in range(len(ready.schedule)):
        for task, (start, count) in ready.schedule.at(step).items():
            for k, item in enumerate(ready.parts(step)[task].tolist(), start):
                seen.setdefault((task, k // 9), []).append(item)
            assert len(ready.parts(step)[task]) == count
    assert all(len(set(items)) == len(items) for items in seen.values()) and {len(f.lengths) for f in ready.train.values()} == {9}
    assert sorted(seen["cola", 0]) == sorted(seen["cola", 2]) == list(range(9)) and seen["cola", 0] != seen["cola", 2]
    assert [x.tolist() for x in ready.parts(5).values()] == [x.tolist() for x in replace(ready, passes={}).parts(5).values()]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"balance": None}, "^balance: a joint step needs it, e.g. sum"),
        ({"balance": "mdga"}, "^balance: 'mdga' is neither one of sum, .*Did you mean mgda"),
        ({"step": "drawn"}, "^balance: combines the tasks of a joint step: set it to null"),
        ({"tasks": ["cola"], "qa_weight": 1.0}, "^step: a joint step combines several tasks"),
        ({"exhausted": "drop"}, "^exhausted: a joint step has rows of every task: set it to cycle"),
        ({"sampler": "sequential", "qa_weight": None, "sharing": None, "exhausted": None}, "^sampler: 'sequential' has no joint step"),
        (
            {"sampler": "unimax", "qa_weight": None, "sharing": None, "exhausted": None, "max_passes": 2.0},
            "^sampler: 'unimax' has no joint step, which has rows of every task: choose another, or set step to drawn",
        ),
        ({"cuda_graphs": True}, "^cuda_graphs: records steps of one task"),
        ({"balance": "dwa", "epochs": 2.0}, "^epochs: balance 'dwa' weighs the tasks by their losses of the two epochs before"),
        ({"balance": "nowhere:f"}, "^balance: nowhere:f: cannot import nowhere"),
        ({"qa_weight": 0.8, "batch_size": 9}, "^batch_size: .*swag gets 0.9 of 9 rows by its weight: set batch_size to 10 or more"),
        ({"sampler": "doors:main_last", "qa_weight": None, "sharing": None}, "^sampler: it gives an order"),
    ],
)
def test_invalid_parameters_of_a_joint_step_are_refused_by_name(config, changes, said):
    with pytest.raises(ConfigError, match=said):
        prepare(config(**{**JOINT, **changes}))


def test_several_processes_and_missing_solvers_are_refused_before_the_first_step(config, monkeypatch):
    with monkeypatch.context() as patched, pytest.raises(ConfigError, match="^step: a joint step is made by one process, and there are 2"):
        patched.setattr("mtdnn_kit.training.setup.launched", lambda: (0, 2))
        prepare(config(**JOINT))
    for method, package in {"upgrad": "quadprog", "cagrad": "cvxpy", "nash_mtl": "ecos"}.items():
        with monkeypatch.context() as patched, pytest.raises(ConfigError, match=rf"^balance: '{method}' needs {package}: pip install"):
            patched.setattr("mtdnn_kit.balance.gradients.find_spec", lambda name, package=package: None if name == package else 1)
            prepare(config(**{**JOINT, "balance": method}))


@pytest.mark.parametrize("balance", ["aligned_mtl", "famo"])
def test_a_nan_loss_is_reported_with_the_rows_of_all_tasks(ready, tmp_path, monkeypatch, balance):
    one = changed(ready.config, balance=balance, run_dir=str(tmp_path / "odd"))
    plain = trainer.backward

    def odd(accelerator, model, setup, task, items):
        loss, n = plain(accelerator, model, setup, task, items)
        return (loss * torch.nan if task == "swag" else loss), n

    monkeypatch.setattr(trainer, "backward", odd)
    with pytest.raises(TrainingError, match=r"^step 1, task cola, swag, mrpc: loss .*in the batch of rows .*; .*; "):
        train(one, replace(ready, config=one))


@pytest.mark.parametrize(
    ("gives", "said"),
    [
        ("{'cola': 1.0}", "balance: the function must give a weight for each of cola, swag, mrpc; it gave .'cola'."),
        ("3", "it gave 3"),
        ("dict.fromkeys(losses, float('nan'))", "gave the weights .*; each must be a finite number"),
        ("dict.fromkeys(losses, 'much')", "weights and what is in memory must be numbers"),
        ("memory.update(a='b') or dict.fromkeys(losses, 1)", "weights and what is in memory must be numbers"),
        ("memory.update({0: 1.0}) or dict.fromkeys(losses, 1)", "keys of memory must be text"),
    ],
)
def test_invalid_results_of_a_custom_balance_are_reported(ready, gives, said):
    step = joint(ready, lambda losses, gram, memory, rng: eval(gives, {**locals()}))[0]
    with pytest.raises(PluginError, match=said):
        step.backward(0, ready.parts(0))


def test_a_run_does_not_resume_with_an_edited_balance(ready, tmp_path):
    one = changed(ready.config, balance="doors:helpful", run_dir=str(tmp_path / "mine"))
    run = train(one, replace(ready, config=one))
    manifest = run.manifest
    manifest["plugins"]["doors:helpful"]["sha256"] = "0" * 64
    (run.path / "manifest.json").write_text(json.dumps({**manifest, "status": "stopped: SIGTERM"}))
    again = changed(one, resume=True)
    with pytest.raises(ConfigError, match="^balance: doors:helpful has changed since the run in .*mine began"):
        train(again, replace(ready, config=again))
    assert load_file(Path(checkpoints(run)[0][1]) / "balance.safetensors")["agreed"].shape == (3,) and Run(run.path).parameters
