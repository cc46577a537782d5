"""Every parameter has an observable effect (design, statement 16): one row for each, and no parameter without a row."""

from dataclasses import fields

import numpy as np
import pytest
import torch
from conftest import THREADS, changed
from safetensors.torch import load_file
from sameness import assert_same

from mtdnn_kit import Config, ConfigError, prepare, train
from mtdnn_kit.runs.run import checkpoints
from mtdnn_kit.training import loop
from mtdnn_kit.training.optim import clip_gradients

WATCHED = dict(eval_every=1, threshold_articles=["Cork"], max_steps=8, learning_rate=1e-30, weight_decay=0.0)  # all scorings tie

BASE = dict(tasks=["squad", "swag", "cola"], qa_weight=0.4, max_steps=5)


def schedule(config: Config):
    found = prepare(config).schedule
    return [found.at(k) for k in range(len(found))]


def first_losses(config: Config):
    return [record["loss"] for record in train(config).log()]


def weights(config: Config):
    return {name: x.double().sum().item() for name, x in load_file(train(config).path / "model" / "model.safetensors").items()}


def lengths(config: Config):
    return [features.lengths.tolist() for features in prepare(config).train.values()]


def counts(config: Config):
    setup = prepare(config)
    return [[len(features.rows) for features in part.values()] for part in (setup.train, setup.held_out, setup.scored)]


def nbest(config: Config):
    return [len(entry["nbest"]) for entry in train(config).nbest()]


def longest_answer(config: Config):
    return max(end - start for entry in train(config).nbest() for start, end, *_ in entry["nbest"])


def log_times(config: Config):
    """The number of different speeds in the log: steps between two readings of the clock share one."""
    speeds = [record["tokens_per_second"] for record in train(config).log()]
    return len(set(speeds))


def batch_items(config: Config):
    setup = prepare(config)
    return [setup.batch(k)[1].tolist() for k in range(len(setup.schedule))]


def outcome(config: Config) -> str:
    """The device of a run, or the error that stopped it."""
    try:
        return train(config).manifest["device"]
    except ConfigError as error:
        return str(error)


def defined(config: Config) -> str | list:
    """The tasks of a run that asks for `mine`, or the error that stopped it."""
    try:
        return list(prepare(changed(config, tasks=["squad", "mine"])).train)
    except ConfigError as error:
        return str(error)


def second_time(config: Config) -> str:
    """How a second run in the same folder ends."""
    train(changed(config, resume=False))
    return outcome(config)


COLUMNS = {"first": "sentence", "label": "label"}
MINE = {"mine": {"type": "sc", "folder": "cola", "columns": COLUMNS, "labels": ["a", "b"]}}
EFFECTS = {
    "run_dir": ("elsewhere", lambda c: train(c).path.name),
    "encoder": ("other", lambda c: prepare(c).encoder.sha256),
    "reinit_layers": (1, first_losses),
    "data": ("local", lambda c: [source["fingerprint"] for source in prepare(c).sources.values()]),
    "tasks": (["squad", "cola"], lambda c: list(prepare(c).train)),
    "define": (MINE, defined),
    "scored_also": ({"further": {"folder": "squad", "score": "train"}}, lambda c: list(train(c).metrics)),
    "qa_weight": (0.9, schedule),
    "sharing": ("group", lambda c: prepare(changed(c, tasks=["squad", "swag", "cola", "mrpc"])).probabilities),
    "sampler": ("proportional", lambda c: prepare(c).probabilities),
    "temperature": (5.0, lambda c: prepare(c).probabilities),
    "task_order": (["cola", "squad", "swag"], schedule),
    "first_tasks": (2, schedule),
    "phase": (0.2, schedule),
    "max_passes": (0.2, lambda c: prepare(c).probabilities),
    "exhausted": ("drop", lambda c: schedule(changed(c, max_steps=None, qa_weight=0.1))),
    "step": ("joint", first_losses),
    "balance": ("mgda", weights),
    "epochs": (1.5, lambda c: schedule(changed(c, max_steps=None))),
    "max_steps": (7, schedule),
    "batch_size": (3, batch_items),
    "grad_accumulation": (4, first_losses),
    "learning_rate": (1e-2, weights),
    "warmup": (0.6, lambda c: [record["lr"] for record in train(c).log()]),
    "weight_decay": (0.9, weights),
    "optimizer": ("adamw", weights),
    "max_grad_norm": (1e-3, weights),
    "head_dropout": (0.9, first_losses),
    "encoder_dropout": (0.5, first_losses),
    "loss": ("mean", first_losses),
    "loss_weights": ({"squad": 3.0}, weights),
    "rate_factors": ({"squad": 3.0}, weights),
    "max_length": (128, lengths),
    "max_question": (5, lengths),
    "overlap": (20, lambda c: lengths(changed(c, max_length=64, max_question=12))),
    "max_answer": (2, longest_answer),
    "n_best": (3, nbest),
    "threshold_articles": (["Cork"], counts),
    "threshold_ratio": (0.1, counts),
    "train_limit": (9, counts),
    "eval_limit": (3, counts),
    "metrics": (["doors:kappa"], lambda c: list(train(c).metrics["cola"])),
    "eval_every": (2, lambda c: len(train(c).scorings())),
    "select": ("best", lambda c: "selected" in train(c).manifest),
    "patience": (1, lambda c: train(c).manifest["steps"]),
    "interference_every": (2, lambda c: len(train(c).interference())),
    "log_every": (1, log_times),
    "checkpoint_every": (2, lambda c: len(checkpoints(train(changed(c, keep_checkpoints=True))))),
    "keep_checkpoints": (True, lambda c: len(checkpoints(train(changed(c, checkpoint_every=2))))),
    "log_with": ("tensorboard", lambda c: (train(c).path / "trackers").exists()),
    "precision": ("bf16", first_losses),
    "device": ("cuda", outcome),
    "cuda_graphs": (True, outcome),
    "threads": (THREADS + 1, lambda c: train(c).manifest["threads"]),
    "seed": (1, first_losses),
    "init_from": ("a run", weights),
    "anchor": ({"kind": "l2sp", "strength": 100.0}, weights),
    "resume": (True, second_time),
}


def test_16_every_parameter_has_a_row():
    assert set(EFFECTS) == {field.name for field in fields(Config)}


@pytest.mark.parametrize("key", EFFECTS)
def test_16_it_has_an_effect(key, config, tmp_path, tmp_path_factory, tokenizer, request):
    value, look = EFFECTS[key]
    base = config(**BASE)
    more = {}
    if key == "run_dir":
        value = str(tmp_path / value)
    elif key == "encoder":
        value = other_encoder(tmp_path_factory.mktemp("other"), tokenizer)
    elif key == "data":
        value = own_data(tmp_path)
    elif key == "sampler":
        more = {"qa_weight": None, "sharing": None}
    elif key == "temperature":
        base = changed(base, qa_weight=None, sharing=None, sampler="temperature", temperature=1.0)
    elif key in ("task_order", "first_tasks", "phase"):
        base = changed(base, sampler="curriculum", task_order=["swag", "cola", "squad"], first_tasks=1, phase=0.6)
    elif key == "max_passes":
        base = changed(base, qa_weight=None, sharing=None, sampler="unimax", max_passes=9.0, exhausted=None, max_steps=None)
    elif key == "step":
        more = {"balance": "sum"}
    elif key == "balance":
        base = changed(base, step="joint", balance="sum")
    elif key == "eval_every":
        base = changed(base, threshold_articles=["Cork"])
    elif key in ("select", "patience"):
        base = changed(base, **WATCHED)
    elif key == "init_from":
        value = str(train(changed(base, run_dir=str(tmp_path / "first"), seed=5)).path)
    before = look(base)
    after = look(changed(base, **{"run_dir": str(tmp_path / "changed"), key: value}, **more))
    torch.set_num_threads(THREADS)
    if key == "grad_accumulation":  # the same batch in pieces: other dropout masks, almost the same loss
        assert before != after and np.allclose(before, after, rtol=0.3)
    else:
        assert before != after


def other_encoder(folder, tokenizer) -> str:
    import transformers
    from conftest import DIMENSIONS, make_encoder

    return make_encoder(folder, transformers.BertConfig(vocab_size=len(tokenizer), **{**DIMENSIONS, "num_hidden_layers": 1}), tokenizer)


def own_data(folder) -> str:
    """The sample's files, each without its first row."""
    from conftest import ROOT

    for file in (ROOT / "mtdnn_kit" / "data" / "sample").rglob("*.jsonl"):
        copy = folder / "data" / file.parent.name / file.name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text("".join(file.read_text().splitlines(keepends=True)[1:]))
    return str(folder / "data")


def test_grad_accumulation_changes_memory_not_the_gradient(config, tmp_path):
    """Without dropout, a batch in one piece and in pieces of unequal size give the same run up to rounding."""
    still = dict(**BASE, encoder_dropout=0.0, head_dropout=0.0)
    one, two = (train(config(**still, run_dir=str(tmp_path / str(n)), grad_accumulation=n)) for n in (1, 3))
    assert np.allclose([r["loss"] for r in one.log()], [r["loss"] for r in two.log()], rtol=1e-4)
    assert np.allclose([r["grad_norm"] for r in one.log()], [r["grad_norm"] for r in two.log()], rtol=1e-3)


def test_a_loss_weight_scales_only_the_gradient_of_its_task(config, tmp_path):
    runs = [train(config(**BASE, run_dir=str(tmp_path / str(w)), loss_weights={"swag": w}, learning_rate=1e-30)) for w in (1.0, 3.0)]
    for a, b in zip(*(run.log() for run in runs), strict=True):
        assert a["loss"] == b["loss"], "the log has the unweighted loss"
        assert b["grad_norm"] == pytest.approx(a["grad_norm"] * (3 if a["task"] == "swag" else 1), rel=1e-4)


def test_a_rate_factor_applies_to_the_steps_of_its_task(config, tmp_path):
    """With one factor for all tasks, a power of two, the run equals that with the scaled learning rate, bit for bit."""
    tasks, rate = BASE["tasks"], 1e-3
    plain, swag, all_half = (
        train(config(**BASE, run_dir=str(tmp_path / name), learning_rate=rate, rate_factors=factors))
        for name, factors in (("plain", {}), ("swag", {"swag": 0.3}), ("half", dict.fromkeys(tasks, 0.5)))
    )
    assert {r["task"] for r in swag.log()} >= {"squad", "swag"}
    for a, b in zip(plain.log(), swag.log(), strict=True):
        assert b["lr"] == a["lr"] * (0.3 if a["task"] == "swag" else 1.0)
    half = train(config(**BASE, run_dir=str(tmp_path / "lower"), learning_rate=rate / 2))
    assert_same(half, all_half)
    assert [r["lr"] for r in half.log()] == [r["lr"] for r in all_half.log()] == [r["lr"] / 2 for r in plain.log()]


def test_a_separate_norm_bounds_one_tasks_gradient_and_the_others_keep_1(config, tmp_path, monkeypatch):
    clipped = []

    def clip(parameters, norm, each):
        found = clip_gradients(parameters, norm, each)
        clipped.append((norm, torch.linalg.vector_norm(torch.stack([p.grad.norm() for p in parameters if p.grad is not None])).item()))
        return found

    monkeypatch.setattr(loop, "clip_gradients", clip)
    norms = {"swag": 0.02, "squad": 0.5}
    run = train(config(**{**BASE, "tasks": ["squad", "swag", "cola"], "max_steps": 12}, run_dir=str(tmp_path / "own"), max_grad_norm=norms))
    assert {r["task"] for r in run.log()} == {"squad", "swag", "cola"}
    for record, (norm, after) in zip(run.log(), clipped, strict=True):
        assert norm == norms.get(record["task"], 1.0)
        assert after == pytest.approx(min(norm, record["grad_norm"]), rel=1e-4), "the log has the norm before clipping"


def test_one_norm_for_all_equals_a_mapping_with_every_task(config, tmp_path):
    one, named = (
        train(config(**BASE, run_dir=str(tmp_path / name), max_grad_norm=norm))
        for name, norm in (("one", 0.3), ("named", dict.fromkeys(BASE["tasks"], 0.3)))
    )
    assert_same(one, named)


def test_encoder_dropout_0_does_not_depend_on_the_random_state(config, tmp_path):
    still = dict(tasks=["squad"], qa_weight=1.0, max_steps=3, encoder_dropout=0.0, head_dropout=0.0)
    a, b = (first_losses(config(**still, run_dir=str(tmp_path / str(g)), grad_accumulation=g)) for g in (1, 2))
    assert np.allclose(a, b, rtol=1e-5)
