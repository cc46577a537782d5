"""Benchmarks at their smallest size: they run, both sides of a comparison do the same work, results are kept. No test measures time."""

import argparse
import importlib
import json
import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT
from torch import nn

from mtdnn_kit import prepare, sampler
from mtdnn_kit.model.dropout import Dropout
from mtdnn_kit.model.multitask import build_model
from mtdnn_kit.tasks import TYPES

FOLDER = ROOT / "benchmarks"
TASKS = ["squad", "swag", "cola", "mrpc", "mnli"]


@pytest.fixture
def bench(monkeypatch):
    """bench(NAME, *arguments): runs the module's main() if there are arguments; returns the module."""
    monkeypatch.syspath_prepend(FOLDER)

    def load(name: str, *words):
        module = importlib.import_module(name)
        if words:
            monkeypatch.setattr(sys, "argv", [f"{name}.py", *map(str, words)])
            module.main()
        return module

    return load


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.py")))
def test_a_benchmark_is_importable_and_documents_its_command(bench, name):
    module = bench(name)
    called = 'if __name__ == "__main__":' in (FOLDER / f"{name}.py").read_text()
    assert module.__doc__ and callable(getattr(module, "main", None)) == called
    assert not called or f"benchmarks/{name}.py" in module.__doc__ or name == "driver"


def test_make_bench_runs_every_benchmark():
    named = (ROOT / "Makefile").read_text()
    runnable = [path.name for path in FOLDER.glob("*.py") if "__main__" in path.read_text()]
    assert [name for name in runnable if f"benchmarks/{name}" not in named] == []


def test_intervals_and_tests_keep_their_nominal_rates(bench, capsys):
    """16 articles in their real proportions at a tenth of their size, and 22 passages; see docs/intervals.md."""
    intervals = bench("intervals")
    for case in intervals.QUICK:
        *covered, at_5, at_06 = intervals.rates(case, 400, seed=1)
        assert all(0.93 <= one <= 0.97 for one in covered) and at_5 <= 0.06 and at_06 <= 0.012, (case, covered, at_5, at_06)
    bench("intervals", "--quick", "--repeats", 5)
    assert capsys.readouterr().out.count("\n| ") == 3


def test_a_resampled_population_has_its_own_true_values(bench):
    intervals = bench("intervals")
    case = intervals.Case("", 0.5, (3, 4, 9), resampled=True)
    for (a, b, cluster), score, gap in intervals.draws(case, 5, 0):
        assert (
            len(a) == len(b) == len(cluster)
            and set(cluster) == {0, 1, 2}
            and score in [100 * k / 16 for k in range(17)]
            and abs(gap) <= 100
        )


def test_the_trainer_and_its_peers_run(bench, tiny, tmp_path, capsys):
    before = dict(os.environ)
    small = ("--data", "sample", "--encoder", tiny, "--rows", 20, "--repeats", 2, "--figure", tmp_path / "loss.png")
    bench("trainer", *small, "--sides", "kit,tuned,mixture,tuned mixture")
    said = capsys.readouterr().out
    assert "repeat 2: windows/s kit " in said and "kit / tuned: " in said and "mixture / tuned mixture: " in said
    assert "loss of the last third, mixture − tuned mixture: " in said and " ± " in said
    assert (tmp_path / "loss.png").stat().st_size > 5000
    assert dict(os.environ) == before, "variables that the Trainer sets for accelerate would change the kit's next training"


def test_the_order_of_sides_alternates_between_repeats(bench, monkeypatch, tmp_path):
    trainer, order = bench("trainer"), []
    monkeypatch.setattr(trainer, "measured", lambda side, given, seed, steps: order.append((side, seed)) or (1.0, [1.0, 1.0]))
    bench(
        "trainer", "--data", "sample", "--rows", 16, "--repeats", 2, "--sides", "kit,tuned", "--seed", 5, "--figure", tmp_path / "loss.png"
    )
    assert order == [("kit", 5), ("tuned", 5), ("tuned", 6), ("kit", 6)]


def test_sides_alternate_and_a_heading_names_the_measured_device(bench, monkeypatch):
    machine, order = bench("machine"), []
    found = machine.alternately([lambda: order.append("a") or len(order), lambda: order.append("b") or len(order)], 3)
    assert "".join(order) == "abbaab" and found == [[1, 4, 5], [2, 3, 6]]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(machine, "describe", str)
    assert [machine.heading(*kind).partition(";")[0] for kind in ((), ("cpu",), ("cuda",), ("auto",))] == ["cpu", "cpu", "cuda", "cuda"]


def test_both_decoders_find_the_same_answers(bench):
    """Where one window has a question and scores do not tie, the 20 best starts and ends include the best span."""
    decoding = bench("decoding")
    rows = decoding.load("squad", decoding.DATASETS["squad"], "validation", "sample").rows[:40]
    tokenizer = decoding.load_tokenizer(decoding.find_encoder(decoding.DEFAULT_ENCODER).path)
    features = decoding.qa.features(rows, decoding.DATASETS["squad"], tokenizer, decoding.CONFIG)
    logits = decoding.batches(features, True)
    assert decoding.ours(features, logits) == decoding.double_loop(decoding.prepared(features), features, logits)


def test_swapped_data_trains_on_validation_rows_and_scores_on_training_rows(bench, tmp_path):
    trainer, rows = bench("trainer"), tmp_path / "rows"
    for task in TASKS:
        (rows / task).mkdir(parents=True)
        for split in ("train", "validation_matched" if task == "mnli" else "validation"):
            (rows / task / f"{split}.jsonl.gz").write_text(f"{task} {split}")
    (tmp_path / "made").mkdir()
    made = Path(trainer.swapped(str(rows), str(tmp_path / "made")))
    assert (made / "squad" / "train.jsonl.gz").read_text() == "squad validation"
    assert (made / "mnli" / "validation_matched.jsonl.gz").read_text() == "mnli train"
    assert {path.name for path in made.iterdir()} == set(TASKS)
    with pytest.raises(SystemExit, match="2"):  # an invalid argument, reported before training
        bench("trainer", "--data", "sample", "--swapped")


@pytest.fixture
def five(config):
    """The setup of five tasks, and the kit's model without dropout."""
    setup = prepare(config(tasks=TASKS, train_limit=12, encoder_dropout=0.0, head_dropout=0.0, loss="mean", max_steps=40, epochs=50.0))
    return setup, build_model(setup.encoder.path, setup.specs, 0.0, 0.0, setup.config.max_length, 0)


def test_the_mixtures_peer_gets_the_same_batches_and_losses(bench, five):
    peers, (setup, model) = bench("peers"), five
    drawn = peers.Drawn(setup)
    assert [drawn[step]["task"] for step in range(len(drawn))] == [setup.batch(step)[0] for step in range(40)]
    assert torch.equal(drawn[7]["inputs"]["input_ids"], setup.train[setup.batch(7)[0]].collate(setup.batch(7)[1]).inputs["input_ids"])
    with pytest.raises(IndexError):
        drawn[40]
    for task in TASKS:  # one item, without padding: transformers' loss includes padding
        batch = setup.train[task].collate(np.array([3]))
        mine = TYPES[model.specs[task]["type"]].loss(model(task, batch.inputs), batch.targets, setup.config)
        theirs = peers.Mixture(model)(task, batch.inputs, batch.targets)["loss"]
        torch.testing.assert_close(theirs, mine, msg=task)


def test_a_plain_model_uses_only_transformers_and_torch(bench, config, tiny):
    model = build_model(Path(tiny), {"squad": {"type": "qa", "labels": 2}}, 0.1, 0.3, 96, 0).eval()
    inputs = {"input_ids": torch.arange(100, 124).view(2, 12), "attention_mask": torch.tensor([[1] * 12, [1] * 7 + [0] * 5])}
    before, rates = model("squad", inputs), [m.p for m in model.modules() if isinstance(m, nn.Dropout)]
    plain = bench("peers").plain(model)
    torch.testing.assert_close(plain("squad", inputs), before)
    assert [m.p for m in plain.modules() if isinstance(m, nn.Dropout)] == rates and not any(type(m) is Dropout for m in plain.modules())
    assert plain.encoder.config._attn_implementation == "sdpa"
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in plain.encoder.modules())


def test_the_example_pads_to_the_maximum_and_the_tuned_side_to_the_longest_item(bench, five):
    features = five[0].train["squad"]
    items = bench("peers").Items(features.lengths)[:3]
    shapes = [bench("peers").collator(features, widest)(items)["input_ids"].shape for widest in (384, None)]
    assert shapes == [(3, 384), (3, features.lengths[:3].max())] and [len(x["input_ids"]) for x in items] == features.lengths[:3].tolist()


@pytest.fixture
def given(tiny, tmp_path):
    """The parsed arguments of `trainings`."""
    few = dict(data="sample", encoder=tiny, rows=60, eval=6, epochs=0.5, rate=1e-3, at_most=None, device="cpu")
    return argparse.Namespace(kept=tmp_path / "kept" / "trainings.jsonl", **few)


def test_a_training_is_kept_and_not_repeated(bench, given, monkeypatch):
    trainings = bench("trainings")
    made = trainings.training(given, 0, "fp32")
    assert made["steps"] == 2 and np.isfinite(made["loss"]) and 0 <= made["span_f1"] <= 100
    given.at_most = 0
    assert trainings.training(given, 0, "fp32") == made
    for other in (dict(seed=1), dict(precision="bf16"), dict(pool=1)):
        with pytest.raises(SystemExit, match="call again to go on"):
            trainings.training(given, **{"seed": 0, "precision": "fp32", **other})
    assert [json.loads(line) for line in given.kept.read_text().splitlines()] == [made]


def test_a_pool_of_one_batch_pads_more_and_the_pool_size_is_restored(bench, given):
    pooled, shuffled = (bench("trainings").training(given, 0, "fp32", pool) for pool in (50, 1))
    assert pooled["padding"] < shuffled["padding"] < 1 and pooled["loss"] != shuffled["loss"] and sampler.POOL == 50


def test_differences_are_computed_per_seed(bench):
    one = [dict(loss=x, span_f1=10 * x, f1=1.0) for x in (1.0, 2.0, 6.0)]
    other = [dict(loss=x, span_f1=10 * x, f1=1.0) for x in (2.0, 2.0, 3.0)]
    lines = list(bench("trainings").compare(("a", "b"), one, other))
    wanted = "loss of the last third: a 3.000, b 2.333; differences -1.000, +0.000, +3.000; mean +0.667 ± 1.202"
    assert lines[0] == wanted and lines[1].endswith("differences -10.0, +0.0, +30.0; mean +6.667 ± 12.019") and len(lines) == 3


@pytest.mark.parametrize("name, sides", [("pooling", ("pooled", "shuffled")), ("precision", ("bf16", "fp32"))])
def test_pooling_and_precision_compare_their_two_sides(bench, monkeypatch, capsys, name, sides):
    asked = []

    def training(given, seed, precision, pool=50):
        asked.append((seed, precision, pool))
        return dict(steps=1, loss=1.0, span_f1=2.0, f1=3.0, padding=0.5)

    monkeypatch.setattr(bench(name), "training", training)
    bench(name, "--seeds", 2)
    first = [(precision, pool) for seed, precision, pool in asked if seed == 0]
    assert len(asked) == 4 and len(set(first)) == 2 and (name == "pooling") == ({pool for _, pool in first} == {50, 1})
    said = capsys.readouterr().out
    assert all(f"seed 1 {side}: 1 steps" in said for side in sides) and f"{sides[0]} 2.000, {sides[1]} 2.000" in said


def test_a_steps_time_is_reported_by_kind_and_plotted(bench, tiny, tmp_path, capsys):
    step = bench("step", "--data", "sample", "--encoder", tiny, "--steps", 2, "--figure", tmp_path / "step.png")
    said = capsys.readouterr().out
    shares = [float(line[32:39].strip().rstrip("%")) for line in said.splitlines() if line.startswith((*step.KINDS, step.OTHER))]
    assert len(shares) >= 8 and sum(shares) == pytest.approx(100, abs=0.6) and "would allow" in said
    assert (tmp_path / "step.png").stat().st_size > 5000


def test_shared_seeds_are_simulated_and_counted(bench, capsys):
    seeds = bench("seeds", "--draws", 30, "--only", "5 settings")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 * len(seeds.MIXES) and all(line.startswith("5 settings: 4, 3, 3, 3, 3; ") for line in lines)
    found = [seeds.simulated("2 settings: 4, 3", 0.9, mix, 200) for mix in seeds.MIXES]
    assert all(one[name] >= 0.9 for one in found for name in ("other seeds", "other passages", "both"))
    assert all(one["p ≤ 0.05"] == one["family"] == pytest.approx(1 - one["both"]) for one in found), "p and interval agree"


def test_the_gpu_benchmark_runs_on_a_cpu(bench, tiny, capsys):
    shape = ["--device", "cpu", "--shapes", "tiny", "--sizes", 16, "--steps", 2, "--repeats", 2]
    bench("gpu", *shape, "--data", "sample", "--encoder", tiny)
    said = capsys.readouterr().out
    for side in ("kit", "graphs", "tuned"):
        assert said.count(f"repeat 0, {side}: ") == said.count(f"repeat 1, {side}: ") == 1 and f"tiny, batch 16, {side}: " in said
    assert said.index("repeat 0, kit") < said.index("repeat 0, tuned") < said.index("repeat 1, tuned") < said.index("repeat 1, kit")
    assert "no figure of it says anything of a GPU" in said and "tables 1 + 2 at tiny" in said and "nan" not in said
    assert re.search("where the GPU's time goes: .*products [0-9.]+ ms", said)


def test_without_a_gpu_the_benchmark_says_so_and_exits_with_0(bench, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit) as ended:
        bench("gpu", "--quick")
    assert ended.value.code == 0 and "nothing is measured" in capsys.readouterr().out


def test_one_batch_per_recorded_shape_runs_before_timing(bench):
    lengths = np.array([10, 64, 65, 128, 300])
    found = bench("gpu").shapes_of([np.array([i]) for i in range(5)], lengths)
    assert [items.tolist() for items in found] == [[1], [3], [4]]


def test_joint_steps_are_timed_for_each_method(bench, tiny, capsys):
    bench("balance", "--encoder", tiny, "--batch", 20, "--steps", 1, "--repeats", 1, "--methods", "sum,famo,mgda")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["sum", "famo", "mgda"] and lines[0].endswith("5 tasks, 20 rows a step")
