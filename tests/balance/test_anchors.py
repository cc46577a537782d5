"""Anchors: formulas, which weights they leave unchanged, Fisher information, resumed runs (docs/protecting.md)."""

import json
import shutil
from dataclasses import asdict
from functools import partial

import numpy as np
import pytest
import torch
from conftest import DIMENSIONS, ROOT, THREADS, changed
from safetensors.torch import load_file, save_file
from sameness import Stopped, assert_same, weights_of

from mtdnn_kit import Config, Run, prepare, train
from mtdnn_kit.balance.anchors import Decoupled, Penalty, starting_weights
from mtdnn_kit.balance.fisher import drawn_rows, squared_gradients
from mtdnn_kit.config import Anchor
from mtdnn_kit.errors import ConfigError, RunError
from mtdnn_kit.model.multitask import build_model, load_weights
from mtdnn_kit.runs.forgetting import forgetting
from mtdnn_kit.runs.run import checkpoints
from mtdnn_kit.studies import status
from mtdnn_kit.studies.study import read_study
from mtdnn_kit.tasks import TYPES
from mtdnn_kit.training.log import Recorder

L2SP, EWC = {"kind": "l2sp", "strength": 50.0}, {"kind": "ewc", "strength": 1e3, "rows": 3}
SUCCESSIVE = {"kind": "successive", "strength": 0.05}
ONE_AFTER_ANOTHER = dict(sampler="sequential", qa_weight=None, sharing=None, exhausted=None, tasks=["squad", "cola", "mrpc"], max_steps=12)
SMALL = dict(tasks=["squad", "cola"], qa_weight=0.5, max_steps=6)


# Validation


@pytest.mark.parametrize(
    ("anchor", "more", "said"),
    [
        (
            {**L2SP, "strenght": 1},
            {},
            "anchor.strenght: no such entry. Did you mean strength? The known ones are: kind, strength, to, rows.",
        ),
        ({"kind": "l2sp"}, {}, "anchor: lacks strength; write e.g. {to: init, kind: l2sp, strength: 0.01}"),
        ({"strength": 1.0}, {}, "anchor: lacks kind; "),
        ({**L2SP, "kind": "l2"}, {}, "anchor.kind: 'l2' is text; it must be one of 'l2sp', 'ewc', 'successive'."),
        ({**L2SP, "strength": -0.1}, {}, "anchor.strength: -0.1 is too small: at least 0"),
        ({**L2SP, "strength": "much"}, {}, "anchor.strength: 'much' is text; it must be a number."),
        (
            {**L2SP, "strength": 2000.0},
            {},
            "anchor.strength: learning_rate · strength is 1.2, and above 1 l2sp moves a weight past its anchor",
        ),
        (
            {**L2SP, "strength": 1000.0},
            {"rate_factors": {"mrpc": 3.0}},
            "anchor.strength: learning_rate · strength · the largest of rate_factors is 1.8, and above 1",
        ),
        ({**L2SP, "rows": 5}, {}, "anchor.rows: kind 'l2sp' does not use it: leave it out"),
        ({"kind": "ewc", "strength": 1}, {}, "anchor.rows: kind 'ewc' needs it: rows of each of the anchor's tasks, e.g. 200"),
        ({**EWC, "rows": 0}, {}, "anchor.rows: must be at least 1"),
        (SUCCESSIVE, {}, "anchor.kind: kind 'successive' keeps the weights before each task's block: it needs sampler 'sequential', not "),
        (
            {**SUCCESSIVE, "to": "runs/one"},
            ONE_AFTER_ANOTHER,
            "anchor.to: kind 'successive' keeps the weights before each task's block",
        ),
        (L2SP, {"reinit_layers": 1}, "anchor: it would hold the layers of reinit_layers near random weights: set reinit_layers to 0"),
        ("init", {}, "anchor: 'init' is text; it must be a mapping or null."),
    ],
)
def test_an_invalid_anchor_is_refused_with_its_entry(anchor, more, said):
    with pytest.raises(ConfigError) as refused:
        Config(**{**more, "anchor": anchor})
    assert str(refused.value).startswith(said)


def test_entries_are_completed_and_numbers_parsed():
    assert Config(anchor={"kind": "l2sp", "strength": "1e-2"}).anchor == {"kind": "l2sp", "strength": 0.01, "to": "init", "rows": None}
    assert Config().anchored is None and Config(anchor={**L2SP, "strength": 0}).anchored is None
    assert Config(anchor=EWC).anchored == Anchor("ewc", 1e3, "init", 3)


# The formulas


def drawn(*shapes, seed: int = 0) -> dict[str, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    return {str(i): torch.randn(*shape, generator=rng, dtype=torch.float64) for i, shape in enumerate(shapes)}


@pytest.mark.parametrize("fisher", [None, {name: x**2 for name, x in drawn((3, 2), (4,), seed=9).items()}])
def test_the_penaltys_gradient_equals_finite_differences(fisher):
    """ewc: Σ λ/2 F (θ − θ₀)², factor λ. successive: δ Σ (θ − θ′)², factor 2 δ."""
    strength, at = 0.7, drawn((3, 2), (4,), seed=1)
    weights = {name: torch.nn.Parameter(x) for name, x in drawn((3, 2), (4,)).items()}

    def penalty(values: dict[str, torch.Tensor]) -> float:
        if fisher is None:
            return strength * sum(((x - at[name]) ** 2).sum().item() for name, x in values.items())
        return sum((strength / 2 * fisher[name] * (x - at[name]) ** 2).sum().item() for name, x in values.items())

    for p in weights.values():
        p.grad = torch.full_like(p, 0.25)
    Penalty(strength if fisher else 2 * strength, weights, at, fisher)(0, 0.1)
    for name, p in weights.items():
        for k in range(p.numel()):
            ends = []
            for move in (1e-5, -1e-5):
                values = {other: x.detach().clone() for other, x in weights.items()}
                values[name].view(-1)[k] += move
                ends.append(penalty(values))
            assert p.grad.view(-1)[k].item() - 0.25 == pytest.approx((ends[0] - ends[1]) / 2e-5, abs=1e-7)


def test_l2sp_moves_weights_by_its_formula_and_skips_weights_without_a_gradient():
    before, at = drawn((3, 2), (4,)), drawn((3, 2), (4,), seed=1)
    weights = {name: torch.nn.Parameter(x.clone()) for name, x in before.items()}
    weights["0"].grad = torch.ones_like(weights["0"])
    Decoupled(0.5, weights, at)(3, 0.1)
    assert torch.allclose(weights["0"], before["0"] - 0.1 * 0.5 * (before["0"] - at["0"]), atol=1e-15)
    assert torch.equal(weights["1"], before["1"]) and torch.equal(weights["0"].grad, torch.ones(3, 2, dtype=torch.float64))
    weights["0"].grad = None
    Penalty(1.0, weights, at)(0, 0.1)
    assert weights["0"].grad is None and weights["1"].grad is None, "a weight without a gradient does not get one"


@pytest.fixture(scope="module")
def finished(tiny, tmp_path_factory) -> Run:
    """A run with a trained encoder, used as an anchor. Tests that change it take the copy `first`."""
    small = dict(encoder=tiny, tasks=["mrpc"], qa_weight=1.0, max_steps=4, batch_size=4, max_length=96, eval_limit=6, log_every=4, seed=3)
    folder = str(tmp_path_factory.mktemp("anchors") / "first")
    return train(Config(run_dir=folder, **small, learning_rate=1e-2, precision="fp32", device="cpu", threads=THREADS))


@pytest.fixture
def first(finished, tmp_path) -> Run:
    shutil.copytree(finished.path, tmp_path / "first")
    return Run(tmp_path / "first")


ONE_STEP = dict(tasks=["squad"], qa_weight=1.0, max_steps=1, weight_decay=0.0, learning_rate=1e-3, warmup=0.0)
STILL = dict(encoder_dropout=0.0, head_dropout=0.0)


def started(config: Config):
    """The model of a run before its first step."""
    setup = prepare(config)
    rates = config.encoder_dropout, config.head_dropout
    return build_model(setup.encoder.path, setup.specs, *rates, config.max_length, config.seed), setup


def loss_of(model, setup, task: str, items: np.ndarray) -> tuple[torch.Tensor, int]:
    batch = setup.train[task].collate(items)
    return TYPES[setup.config.datasets[task].type].loss(model(task, batch.inputs), batch.targets, setup.config), batch.tokens


def test_a_training_step_applies_the_decoupled_move_to_the_encoder_only(config, tmp_path, finished):
    """Without weight decay the update depends only on the gradient, hence both runs differ by lr λ (θ₀ − θ)."""
    made, anchor = config(**ONE_STEP), {**L2SP, "to": str(finished.path)}
    start = started(made)[0].tensors()
    plain, near = (train(changed(made, run_dir=str(tmp_path / name), anchor=a)) for name, a in (("plain", None), ("near", anchor)))
    before, after, at, moved = weights_of(plain), weights_of(near), weights_of(finished), set()
    for name, x in before.items():
        used = name.startswith("encoder.") and "pooler" not in name
        pull = 1e-3 * 50.0 * (at[name] - start[name]) if used else torch.zeros_like(x)
        assert torch.allclose(after[name] - x, pull, atol=1e-6), name
        moved |= {name.split(".")[0]} if pull.abs().max() > 1e-4 else set()
    assert moved == {"encoder"}, "without the pooler, which question answering does not use; the heads are unchanged"


def test_a_training_step_has_the_gradient_of_ewc(config, finished):
    run = train(config(**ONE_STEP, **STILL, anchor={**EWC, "strength": 1e5, "to": str(finished.path)}))
    fisher, at = load_file(run.path / "anchor/fisher/weights.safetensors"), weights_of(finished)
    model, setup = started(run.parameters)
    loss_of(model, setup, *setup.batch(0))[0].backward()
    plain = torch.nn.utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None])
    for name, p in model.encoder.named_parameters():
        if p.grad is not None:
            p.grad += 1e5 * fisher[name] * (p.detach() - at[f"encoder.{name}"])
    norm = torch.nn.utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None])
    assert run.log()[0]["grad_norm"] == pytest.approx(norm.item(), rel=1e-3) and norm > 1.5 * plain


def test_a_training_step_has_the_gradient_of_successive(config, tmp_path):
    """At a block's first step the penalty's gradient is zero; at the second it follows from the first step's move."""
    made = config(**{**ONE_STEP, **ONE_AFTER_ANOTHER, **STILL}, anchor={**SUCCESSIVE, "strength": 30.0})
    one, two = (train(changed(made, max_steps=n, run_dir=str(tmp_path / str(n)))) for n in (1, 2))
    model, setup = started(two.parameters)
    start = {name: p.detach().clone() for name, p in model.named_parameters()}
    for step, weights in enumerate((start, weights_of(one))):
        load_weights(model, weights, one.path)
        model.zero_grad(set_to_none=True)
        loss_of(model, setup, *setup.batch(step))[0].backward()
        for name, p in model.named_parameters():
            if p.grad is not None and name.startswith("encoder."):
                p.grad += 2 * 30.0 * (p.detach() - start[name])
        norm = torch.nn.utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None])
        assert two.log()[step]["grad_norm"] == pytest.approx(norm.item(), rel=1e-3)
    assert two.log()[1]["grad_norm"] > 2 * two.log()[0]["grad_norm"]


def test_a_pooler_missing_from_the_files_counts_as_a_head_and_has_no_anchor(tiny, tmp_path):
    model = build_model(prepare(Config(encoder=tiny, tasks=["squad"], qa_weight=1.0)).encoder.path, {}, 0.0, 0.0, 64, 0)
    there = load_file(f"{tiny}/model.safetensors")
    save_file({name: x for name, x in there.items() if "pooler" not in name}, tmp_path / "model.safetensors")
    names = {name for name, _ in model.encoder.named_parameters()}
    assert set(starting_weights(model.encoder, Run(tiny).path)) == names
    assert names - set(starting_weights(model.encoder, tmp_path)) == {"pooler.dense.weight", "pooler.dense.bias"}


def test_strength_0_gives_the_same_run_as_no_anchor(config, tmp_path):
    runs = [train(config(**SMALL, run_dir=str(tmp_path / str(k)), anchor=a)) for k, a in enumerate((None, {**EWC, "strength": 0.0}))]
    assert_same(*runs)
    assert not (runs[1].path / "anchor").exists()


def stopped_at(stop: int):
    add = Recorder.add

    def until(self, step, *figures):
        add(self, step, *figures)
        if step + 1 == stop:
            raise Stopped

    return until


def killed(config: Config, after: int) -> None:
    with pytest.MonkeyPatch.context() as patched, pytest.raises(Stopped):
        patched.setattr(Recorder, "add", stopped_at(after))
        train(config)


# The Fisher information


def test_fisher_is_the_mean_of_squared_gradients_of_single_rows(config):
    model, setup = started(config(tasks=["squad", "cola"], qa_weight=0.5, train_limit=6, encoder_dropout=0.1))
    loss = partial(loss_of, model, setup)
    rows = drawn_rows(0, {task: len(f.lengths) for task, f in setup.train.items()}, 4)
    assert {task: len(items) for task, items in rows.items()} == {"squad": 4, "cola": 4}
    assert all((rows[task] == drawn_rows(0, {task: len(setup.train[task].lengths)}, 4)[task]).all() for task in rows)
    assert (
        len(drawn_rows(0, {"cola": 3}, 4)["cola"]) == 3
        and (drawn_rows(1, {"cola": 90}, 4)["cola"] != drawn_rows(0, {"cola": 90}, 4)["cola"]).any()
    )
    names = [name for name, _ in model.encoder.named_parameters()]
    found = squared_gradients(model, names, rows, loss)
    # computed independently: one row at a time through backward()
    model.eval()
    total, batch = {name: torch.zeros_like(x) for name, x in found.items()}, {}
    for task, items in rows.items():
        for item in items:
            model.zero_grad(set_to_none=True)
            loss(task, np.array([item]))[0].backward()
            for name, p in model.encoder.named_parameters():
                total[name] += 0 if p.grad is None else p.grad**2
    for name, x in found.items():
        assert torch.allclose(x, total[name] / 8, rtol=1e-4, atol=1e-12), name
    model.zero_grad(set_to_none=True)
    loss("cola", rows["cola"])[0].backward()
    batch = sum((p.grad**2).sum().item() for p in model.encoder.parameters() if p.grad is not None)
    rowwise = sum(x.sum().item() for x in squared_gradients(model, names, {"cola": rows["cola"]}, loss).values())
    assert rowwise > 1.5 * batch, "not the square of the batch's mean gradient"


def test_fisher_is_kept_and_a_changed_or_foreign_one_is_refused(config, tmp_path):
    made = config(**SMALL, anchor=EWC, checkpoint_every=2)
    killed(made, 1)
    file = tmp_path / "run/anchor/fisher/weights.safetensors"
    about, kept = json.loads(file.with_name("about.json").read_text()), load_file(file)
    assert (about["rows"], about["seed"], about["anchor"]) == (3, 0, Run(made.run_dir).manifest["encoder"]["sha256"])
    assert all(name.startswith(("embeddings", "encoder", "pooler")) for name in kept) and sum(x.sum() for x in kept.values()) > 0
    whole = file.read_bytes()
    file.write_bytes(whole[:-4] + b"\0\0\0\1")
    with pytest.raises(RunError, match="anchor/fisher has changed since it was written. Copy it again"):
        train(changed(made, resume=True))
    file.write_bytes(whole)
    file.with_name("about.json").write_text(json.dumps({**about, "rows": 4}))
    with pytest.raises(RunError, match="anchor/fisher belongs to another anchor"):
        train(changed(made, resume=True))


# Resuming


def test_ewc_resumes_bit_for_bit(config, tmp_path):
    """The anchor is the run's starting point, not the checkpoint."""
    made = config(**SMALL, anchor=EWC, checkpoint_every=2, learning_rate=3e-3)
    whole, broken = train(changed(made, run_dir=str(tmp_path / "whole"))), changed(made, run_dir=str(tmp_path / "broken"))
    killed(broken, 5)
    assert_same(whole, train(changed(broken, resume=True)))
    assert [path.name for path in (whole.path / "anchor").iterdir()] == ["fisher"]


def test_successive_resumes_bit_for_bit_within_a_block_and_at_its_start(config, tmp_path):
    """Blocks begin at steps 0, 4 and 8; a checkpoint follows every second step."""
    made = config(**ONE_AFTER_ANOTHER, train_limit=16, anchor=SUCCESSIVE, checkpoint_every=2, learning_rate=3e-3)
    whole, broken = train(changed(made, run_dir=str(tmp_path / "whole"))), changed(made, run_dir=str(tmp_path / "broken"))
    assert [record["task"] for record in whole.log()] == ["cola"] * 4 + ["mrpc"] * 4 + ["squad"] * 4
    killed(broken, 7)
    run, kept = Run(broken.run_dir), tmp_path / "broken/anchor/block-0000004"
    assert [step for step, _ in checkpoints(run)] == [4, 6] and [path.name for path in kept.parent.iterdir()] == [kept.name]
    kept.rename(tmp_path / "aside")
    with pytest.raises(RunError, match="anchor/block-0000004 lacks about.json. Copy it again from where the run was made"):
        train(changed(broken, resume=True))
    (tmp_path / "aside").rename(kept)
    killed(changed(broken, resume=True), 9)
    assert sorted(path.name for path in kept.parent.iterdir()) == ["block-0000004", "block-0000008"], (
        "the checkpoint after step 6 needs the first"
    )
    assert_same(whole, train(changed(broken, resume=True)))
    assert not (whole.path / "anchor").exists(), "a finished run keeps none"


# A run as the anchor


def test_ewc_takes_rows_and_heads_from_the_run_that_it_names(config, tmp_path, first):
    made = config(**SMALL, anchor={**EWC, "to": str(first.path)}, run_dir=str(tmp_path / "second"))
    run = train(made)
    manifest = run.manifest
    assert manifest["anchor"]["name"] == "first" and manifest["anchor"]["trained_on"] == ["not known", "mrpc"]
    assert manifest["encoder"]["trained_on"] == ["not known", "mrpc"], "the encoder's record includes the anchor's training data"
    about = json.loads((run.path / "anchor/fisher/about.json").read_text())
    assert about["anchor"] == manifest["anchor"]["sha256"] != manifest["encoder"]["sha256"]
    (standing,) = status.standings({"second": made}, status.code(ROOT / "notebooks/02_train.ipynb")).values()
    assert not [said for said in standing.changed if said.startswith("anchor")]
    file = first.path / "model/model.safetensors"
    save_file({name: x + 1 for name, x in load_file(file).items()}, file, metadata={"format": "pt"})
    (standing,) = status.standings({"second": made}, status.code(ROOT / "notebooks/02_train.ipynb")).values()
    assert f"anchor: {first.path} (weights)" in standing.changed
    (run.path / "manifest.json").write_text(json.dumps({**manifest, "status": "running"}))
    with pytest.raises(ConfigError, match="^anchor.to: the model of first has changed since the run in .*second began"):
        train(changed(made, resume=True))


def test_ewc_needs_the_rows_that_the_run_was_trained_on(config, first):
    manifest = first.manifest
    manifest["data"]["mrpc/train"]["fingerprint"] = "another"
    (first.path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ConfigError, match="^anchor.to: the rows of mrpc/train are no longer those that .*first was trained on"):
        train(config(**SMALL, anchor={**EWC, "to": str(first.path)}))


def test_a_run_that_cannot_be_an_anchor_is_refused_before_a_folder_is_made(config, tmp_path, first, small_tokenizer):
    import transformers
    from conftest import make_encoder

    wide = make_encoder(
        tmp_path / "wide", transformers.BertConfig(vocab_size=len(small_tokenizer), **{**DIMENSIONS, "hidden_size": 16}), small_tokenizer
    )
    to = partial(config, **SMALL, run_dir=str(tmp_path / "second"))
    for anchor, more, said in (
        ({**L2SP, "to": str(tmp_path / "none")}, {}, r"^anchor.to: .*none is not a finished run"),
        (
            {**L2SP, "to": str(first.path)},
            {"encoder": wide},
            r"^anchor.to: first has another encoder \(embeddings.LayerNorm.bias: \[32\], here \[16\]\); name a run with the same encoder",
        ),
    ):
        with pytest.raises(ConfigError, match=said):
            train(to(anchor=anchor, **more))
    (first.path / "model").rename(first.path / "elsewhere")
    with pytest.raises(ConfigError, match=r"^anchor.to: .*first has no model/: train the run again, or copy model/ back"):
        train(to(anchor={**L2SP, "to": str(first.path)}))
    assert not (tmp_path / "second").exists()


# CUDA graphs


def test_a_replayed_graph_recomputes_its_gradient_each_time(config):
    from mtdnn_kit.training.cuda_graphs import Graphs
    from mtdnn_kit.training.distributed import World
    from mtdnn_kit.training.trainer import _accelerator

    setup = prepare(config(tasks=["cola"], qa_weight=1.0, encoder_dropout=0.0, head_dropout=0.0))
    model = build_model(setup.encoder.path, setup.specs, 0.0, 0.0, setup.config.max_length, 0)
    accelerator = _accelerator(setup, Run(setup.config.run_dir), torch.device("cpu"), World(), "fp32")
    recorded = Graphs(accelerator, accelerator.prepare(model), setup, lambda step: step)
    weights, items = dict(model.encoder.named_parameters()), setup.batch(0)[1]
    pull = Penalty(3.0, weights, {name: torch.zeros_like(p) for name, p in weights.items()})
    seen = []
    for _ in range(2):
        recorded.backward("cola", items)
        before = {name: p.grad.clone() for name, p in weights.items()}
        pull(0, 0.1)
        assert all(torch.allclose(p.grad, before[name] + 3 * p, atol=1e-6) for name, p in weights.items())
        model.zero_grad(set_to_none=True)
        seen.append(before)
    assert all(torch.allclose(seen[0][name], seen[1][name], atol=1e-6) for name in weights)


ARMS = [f"{name} seed 0" for name in ("no anchor", "L2-SP 1", "EWC 1e3", "successive 1e-2")]
SMALLER = ("encoder", "batch_size", "max_steps", "max_length", "overlap", "precision", "device", "threads", "eval_limit", "train_limit")


def test_the_shipped_study_runs_in_small(config, tmp_path):
    """One arm per kind. Every task is scored at the end of its block, to measure forgetting."""
    study = read_study(ROOT / "parameters/ablations/anchors.yaml")
    small = {key: value for key, value in asdict(config(max_steps=6, train_limit=4, batch_size=2)).items() if key in SMALLER}
    small |= {"data": "sample", "tasks": ["squad", "cola", "mrpc"], "threshold_articles": []}
    runs = {name: train(c) for name, c in study.configs(tmp_path / "runs", small).items() if name in ARMS}
    assert [run.config["anchor"] and run.config["anchor"]["kind"] for run in runs.values()] == [None, "l2sp", "ewc", "successive"]
    for run in runs.values():
        assert [row["at"] for row in forgetting(run)] == [f"step {k}, after its block" for k in (6, 2, 4)]
