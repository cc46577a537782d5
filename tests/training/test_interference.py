"""Gradients of the tasks on the shared encoder: measured correctly, and without any effect on the training."""

import json

import numpy as np
import pytest
import torch
from conftest import changed
from sameness import Stopped, assert_same

from mtdnn_kit import prepare, train
from mtdnn_kit.training.interference import WHOLE, fixed_batches, group_of, measure
from mtdnn_kit.training.log import Recorder

SMALL = dict(tasks=["squad", "swag", "cola"], qa_weight=0.4, max_steps=9, checkpoint_every=4, keep_checkpoints=True)


def test_it_does_not_change_weights_moments_or_random_numbers_of_the_training(config, tmp_path):
    """Bit for bit: two trainings in one process."""
    without = train(config(**SMALL, run_dir=str(tmp_path / "without")))
    with_it = train(config(**SMALL, run_dir=str(tmp_path / "with"), interference_every=2))
    assert_same(without, with_it)
    moments = [(run.path / "checkpoints" / "step-0000008" / "optimizer.safetensors").read_bytes() for run in (without, with_it)]
    assert moments[0] == moments[1]
    assert without.interference() == [] and not (without.path / "interference.jsonl").exists()
    found = with_it.interference()
    assert [(r["step"], r["task"]) for r in found] == [(step, task) for step in (2, 4, 6, 8) for task in SMALL["tasks"]]
    for record in found:
        assert set(record["norm"]) == {"embeddings", "layer 1", "layer 2", "pooler", WHOLE} and record["norm"][WHOLE] > 0
        if record["task"] == "squad":
            assert "cosine" not in record and record["norm"]["pooler"] == 0
        else:
            assert record["cosine"]["pooler"] is None and all(-1 <= record["cosine"][g] <= 1 for g in ("embeddings", "layer 1", WHOLE))
        assert list(record.get("cosine_with", {})) == (["swag"] if record["task"] == "cola" else [])
    assert found[2]["cosine_with"]["swag"].keys() == found[2]["norm"].keys(), "each pair is listed exactly once"


IN_A_PHASE = dict(sampler="curriculum", task_order=["cola", "swag", "squad"], first_tasks=2, phase=0.6)
CAPPED = dict(sampler="unimax", qa_weight=None, sharing=None, exhausted=None, max_passes=0.5)
OWN = dict(rate_factors={"swag": 0.5}, max_grad_norm={"cola": 0.1})


@pytest.mark.parametrize("sampler", [{}, {**IN_A_PHASE, **OWN}, CAPPED], ids=["weighted", "curriculum", "unimax"])
def test_a_resumed_run_measures_what_an_uninterrupted_one_does(config, tmp_path, monkeypatch, sampler):
    """It also has the steps, rates and norms of its sampler: it resumes at step 4, inside the curriculum's phase of 5 steps."""
    whole = config(**{**SMALL, **sampler}, run_dir=str(tmp_path / "whole"), interference_every=2)
    reference = train(whole)
    broken, add = changed(whole, run_dir=str(tmp_path / "broken")), Recorder.add

    def until(self, step, *figures):
        add(self, step, *figures)
        if step == 6:
            raise Stopped

    with monkeypatch.context() as patched, pytest.raises(Stopped):
        patched.setattr(Recorder, "add", until)
        train(broken)
    resumed = train(changed(broken, resume=True))
    assert_same(reference, resumed)
    assert resumed.interference() == reference.interference()


class Two(torch.nn.Module):
    """An "encoder" of two layers, whose gradients are easy to compute by hand."""

    def __init__(self):
        super().__init__()
        self.encoder = torch.nn.ModuleDict({"embeddings": torch.nn.Linear(2, 1, bias=False), "pooler": torch.nn.Linear(1, 1, bias=False)})
        with torch.no_grad():
            self.encoder["embeddings"].weight.copy_(torch.tensor([[1.0, 2.0]]))
            self.encoder["pooler"].weight.fill_(5.0)


def test_cosine_and_norm_are_those_of_the_gradients():
    """The loss is the mean of w · item: the gradient of a task is the mean of its items, whatever the pieces."""
    model = Two()
    rows = {"squad": [[3.0, 0.0]] * 2, "swag": [[0.0, 4.0], [4.0, 0.0]], "cola": [[-1.0, 0.0]] * 2}

    def loss(task, items):
        assert not model.training
        out = model.encoder["embeddings"](torch.tensor(rows[task])[items]).mean()
        return (out, "tokens") if task == "squad" else (out + model.encoder["pooler"].weight.sum(), "tokens")

    for pieces in (1, 2):
        squad, swag, cola = measure(model, {task: np.arange(2) for task in rows}, loss, pieces)
        assert squad["norm"] == {"embeddings": 3.0, "pooler": 0.0, WHOLE: 3.0}
        assert swag["norm"] == pytest.approx({"embeddings": 8**0.5, "pooler": 1.0, WHOLE: 3.0})
        assert swag["cosine"] == {"embeddings": pytest.approx(2**-0.5), "pooler": None, WHOLE: pytest.approx(2 / 3)}
        assert cola["cosine"] == {"embeddings": pytest.approx(-1.0), "pooler": None, WHOLE: pytest.approx(-(2**-0.5))}
        assert cola["cosine_with"] == {"swag": pytest.approx({"embeddings": -(2**-0.5), "pooler": 1.0, WHOLE: -1 / (3 * 2**0.5)})}
        assert "cosine_with" not in swag and "cosine" not in squad
    assert model.training and all(p.grad is None for p in model.parameters())


def test_the_batches_are_the_same_for_every_seed(config):
    one, two = (fixed_batches(prepare(config(seed=seed))) for seed in (0, 1))
    assert json.dumps({t: b.tolist() for t, b in one.items()}) == json.dumps({t: b.tolist() for t, b in two.items()})
    assert {len(b) for b in one.values()} == {4}


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("embeddings.word_embeddings.weight", "embeddings"),
        ("encoder.layer.11.attention.self.query.weight", "layer 12"),
        ("transformer.layer.0.ffn.lin1.bias", "layer 1"),
        ("layers.3.mlp.Wi.weight", "layer 4"),
        ("pooler.dense.bias", "pooler"),
        ("final_norm.weight", "final_norm"),
    ],
)
def test_the_groups_are_the_layers_of_any_family(name, group):
    assert group_of(name) == group
