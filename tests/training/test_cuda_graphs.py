"""Recorded steps. Their logic, with a recorder that repeats the step at each replay; CUDA graphs themselves where there is a GPU."""

from contextlib import nullcontext
from functools import partial

import numpy as np
import pytest
import torch
from conftest import changed
from safetensors.torch import load_file
from sameness import Stopped, assert_same

from mtdnn_kit import Run, prepare, train
from mtdnn_kit.errors import ConfigError
from mtdnn_kit.model.layer_norm import LayerNorm
from mtdnn_kit.model.multitask import build_model
from mtdnn_kit.runs.run import checkpoints
from mtdnn_kit.training import cuda_graphs, trainer
from mtdnn_kit.training.cuda_graphs import BUCKET, Graphs, widened
from mtdnn_kit.training.distributed import World
from mtdnn_kit.training.loop import Step, backward, train_steps
from mtdnn_kit.training.trainer import _accelerator

MIXED = dict(tasks=["squad", "swag", "cola"], sampler="round_robin", qa_weight=None, sharing=None)
ON_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")


def repeat(step):
    """Records nothing: a replay runs the step again."""
    return step


@pytest.fixture
def plain_and_graphs(config):
    """The model, `loop.backward` and `Graphs.backward` for a prepared run on the CPU, without dropout."""

    def make(**changes):
        setup = prepare(config(encoder_dropout=0.0, head_dropout=0.0, **{**MIXED, **changes}))
        model = build_model(setup.encoder.path, setup.specs, 0.0, 0.0, setup.config.max_length, 0)
        accelerator = _accelerator(setup, Run(setup.config.run_dir), torch.device("cpu"), World(), "fp32")
        recorded = Graphs(accelerator, accelerator.prepare(model), setup, repeat)
        return setup, model, partial(backward, accelerator, model, setup), recorded

    return make


def gradients_of(model) -> dict:
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad(set_to_none=True)
    return found


def test_recorded_steps_give_the_gradients_of_normal_ones(plain_and_graphs):
    setup, model, plain, recorded = plain_and_graphs(max_steps=9, loss_weights={"cola": 3.0})
    for step in range(9):
        task, items = setup.batch(step)
        (loss, tokens), wanted = plain(task, items), gradients_of(model)
        (again, counted), found = recorded.backward(task, items), gradients_of(model)
        assert tokens == counted and float(loss) == pytest.approx(float(again), abs=1e-5)
        assert wanted.keys() == found.keys(), "a head that is not part of the step has no gradient"
        assert all(torch.allclose(wanted[name], found[name], atol=1e-5) for name in wanted)
    assert {key[0] for key in recorded.recordings} == {"squad", "swag", "cola"}


def test_a_tasks_rate_and_norm_apply_to_recorded_steps_as_to_normal_ones(plain_and_graphs):
    """Both are outside the recording: the optimizer's rate, and the norm of the gradients after a replay."""

    def trained(recorded, **own):
        setup, model, plain, graphs = plain_and_graphs(max_steps=9, learning_rate=0.5, warmup=0.0, **own)
        steps, gradient = list[Step](), graphs.backward if recorded else plain
        drawn, pull = (lambda _, parts: gradient(*next(iter(parts.items())))), (lambda step, rate: None)
        within, after = (lambda _: nullcontext()), (lambda step: bool(steps.append(step)))
        train_steps(setup, model, torch.optim.SGD(model.parameters()), 0, int, drawn, pull, within, after)
        return [(step.task, step.rate) for step in steps], dict(model.named_parameters())

    own = dict(rate_factors={"swag": 0.25}, max_grad_norm={"cola": 0.1})
    (steps, plain), (again, recorded), (_, without) = trained(False, **own), trained(True, **own), trained(True)
    assert steps == again and steps[:2] == [("swag", 0.125), ("cola", 0.5 * 8 / 9)]
    assert all(torch.allclose(plain[name], recorded[name], atol=1e-5) for name in plain)
    assert not all(torch.allclose(without[name], recorded[name], atol=1e-3) for name in plain)


def test_one_recording_serves_all_batches_of_a_shape(plain_and_graphs):
    setup, _, _, recorded = plain_and_graphs(tasks=["cola"], max_steps=8)
    losses = [recorded.backward("cola", setup.batch(step)[1])[0] for step in range(8)]
    assert len(recorded.recordings) == 1, "cola's sentences are shorter than a bucket"
    assert len({round(float(loss), 6) for loss in losses}) > 1, "each loss stays that of its step after the next replay"


def test_a_partial_batch_is_not_recorded(plain_and_graphs):
    setup, model, plain, recorded = plain_and_graphs()
    items = setup.batch(0)[1][:3]
    plain("squad", items)
    wanted = gradients_of(model)
    recorded.backward("squad", items)
    found = gradients_of(model)
    assert not recorded.recordings and all(torch.equal(wanted[name], found[name]) for name in wanted)


def test_lengths_are_rounded_up_and_the_padding_is_masked(config, families):
    setup = prepare(config(encoder=families["roberta"], tasks=["squad"], qa_weight=1.0, max_length=160))
    for items in (np.arange(4), np.arange(40, 44)):
        before = setup.train["squad"].collate(items).inputs
        after, length = widened(before, setup), before["input_ids"].shape[1]
        width = after["input_ids"].shape[1]
        assert width == min(-(-length // BUCKET) * BUCKET, 160)
        assert all(torch.equal(after[name][:, :length], before[name]) for name in before)
        assert not after["attention_mask"][:, length:].any()
        assert (after["input_ids"][:, length:] == setup.tokenizer.pad_token_id).all() and setup.tokenizer.pad_token_id != 0


def test_it_is_refused_where_nothing_can_be_recorded(config):
    with pytest.raises(ConfigError, match="^cuda_graphs: it works on a single GPU only"):
        train(config(cuda_graphs=True))
    with pytest.raises(ConfigError, match="^cuda_graphs: .*grad_accumulation"):
        config(cuda_graphs=True, grad_accumulation=2)


def test_a_model_has_the_kits_norms_and_they_equal_torchs_on_a_cpu(plain_and_graphs):
    _, model, _, _ = plain_and_graphs()
    norms = [module for module in model.modules() if isinstance(module, torch.nn.LayerNorm)]
    assert norms and all(type(module) is LayerNorm for module in norms)
    mine, theirs, x = norms[0], torch.nn.LayerNorm(32, norms[0].eps), torch.randn(3, 32)
    theirs.load_state_dict(mine.state_dict())
    assert torch.equal(mine(x), theirs(x)) and mine.weight is model.encoder.embeddings.LayerNorm.weight


# On a GPU


@pytest.fixture
def on_gpu(config):
    return partial(config, device="cuda", precision="auto", **MIXED)


@ON_GPU
@pytest.mark.parametrize("recorded", [False, True])
def test_on_a_gpu_the_same_seed_gives_the_same_run(on_gpu, tmp_path, recorded):
    one, two = (train(on_gpu(run_dir=str(tmp_path / name), cuda_graphs=recorded, max_steps=24)) for name in ("one", "two"))
    assert_same(one, two)


@ON_GPU
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_on_a_gpu_recorded_steps_have_losses_within_20_percent_of_normal_ones(on_gpu, tmp_path, precision):
    """Padding to a bucket shifts dropout's random numbers."""
    small = dict(max_steps=24, precision=precision, max_length=128, log_every=24)
    plain, recorded = (train(on_gpu(run_dir=str(tmp_path / str(on)), cuda_graphs=on, **small)) for on in (False, True))
    assert [r["task"] for r in plain.log()] == [r["task"] for r in recorded.log()]
    for a, b in zip(plain.log(), recorded.log(), strict=True):
        assert a["loss"] == pytest.approx(b["loss"], rel=0.2), a["step"]


@ON_GPU
def test_on_a_gpu_without_padding_recorded_losses_equal_normal_ones_with_dropout_too(on_gpu, tmp_path, monkeypatch):
    monkeypatch.setattr(cuda_graphs, "BUCKET", 1)
    small = dict(max_steps=24, precision="fp32", encoder_dropout=0.1, head_dropout=0.3)
    plain, recorded = (train(on_gpu(run_dir=str(tmp_path / str(on)), cuda_graphs=on, **small)) for on in (False, True))
    for a, b in zip(plain.log(), recorded.log(), strict=True):
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-4) and a["grad_norm"] == pytest.approx(b["grad_norm"], rel=1e-3), a["step"]
    one, two = (load_file(run.path / "model" / "model.safetensors") for run in (plain, recorded))
    assert all(torch.allclose(one[name], two[name], atol=1e-5) for name in one)


@ON_GPU
def test_on_a_gpu_a_recorded_run_that_was_stopped_resumes_bit_for_bit(on_gpu, monkeypatch):
    settings = dict(cuda_graphs=True, max_steps=20, checkpoint_every=4)
    whole = train(on_gpu(**settings, run_dir=on_gpu().run_dir + "-whole"))
    cut = on_gpu(**settings)
    batch = trainer.Setup.batch

    def stop(setup, step):
        if step == 11:
            raise Stopped
        return batch(setup, step)

    monkeypatch.setattr(trainer.Setup, "batch", stop)
    with pytest.raises(Stopped):
        train(cut)
    monkeypatch.undo()
    assert checkpoints(Run(cut.run_dir))[-1][0] == 8
    assert_same(train(changed(cut, resume=True)), whole)


@ON_GPU
def test_on_a_gpu_norms_keep_bf16_and_are_correct():
    mine, x = LayerNorm(768).cuda(), torch.randn(64, 768, device="cuda")
    with torch.no_grad():
        mine.weight.uniform_(0.5, 1.5), mine.bias.normal_()
    wanted = torch.nn.functional.layer_norm(x.double(), (768,), mine.weight.double(), mine.bias.double(), mine.eps)
    with torch.autocast("cuda", torch.bfloat16):
        found = mine(x.bfloat16())
        assert found.dtype == torch.bfloat16 and mine(x).dtype == torch.float32
    assert (found.double() - wanted).norm() / wanted.norm() < 1e-2
    assert torch.allclose(mine(x).double(), wanted, atol=1e-5)
