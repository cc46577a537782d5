"""Which tasks help the main one: tested on planted tasks, and one measurement against a second implementation."""

from functools import partial

import numpy as np
import planted
import pytest
import torch
from conftest import changed

import mtdnn_kit.__main__ as command_line
from mtdnn_kit import Config, Run, affinity, prepare, train
from mtdnn_kit.errors import ConfigError, RunError
from mtdnn_kit.inference.affinity import interval
from mtdnn_kit.model.multitask import build_model
from mtdnn_kit.sampler import generator
from mtdnn_kit.training.interference import LOOKAHEAD, WHOLE, affinities
from mtdnn_kit.training.loop import loss_of_batch


@pytest.fixture(scope="module")
def encoder(tmp_path_factory) -> str:
    return planted.encoder(tmp_path_factory.mktemp("planted"))


@pytest.fixture(scope="module", params=[0])
def found(request, encoder, tmp_path_factory):
    """The affinities of one seed; benchmarks/affinity.py has twenty."""
    return affinity(train(Config(**planted.settings(tmp_path_factory.mktemp("found"), encoder, request.param))))


@pytest.mark.scores
def test_a_task_with_the_main_tasks_rows_ranks_first_and_one_with_permuted_labels_does_not_help(found):
    rows = {row["task"]: row for row in found.rows}
    assert [row["affinity"] for row in found.rows] == sorted((row["affinity"] for row in found.rows), reverse=True)
    assert found.rows[0]["task"] == "own" and float(rows["own"]["95 %"].split()[0]) > 0
    assert rows["permuted"]["affinity"] < rows["own"]["affinity"] / 2 > rows["unrelated"]["affinity"]
    first, apart, population, limits = found.sentences
    assert first.startswith("For main, by 20 measurements along one training: own")
    assert "own, the first of the ranking, is clearly ahead" in apart
    assert f"(seed {found.run.config['seed']}), not for other seeds" in population and "let a study of several seeds decide" in limits


@pytest.mark.scores
def test_a_row_is_the_mean_of_the_runs_measurements(found):
    records = [record for record in found.run.interference() if record["task"] == "own"]
    row = found.rows[0]
    assert row["affinity"] == pytest.approx(100 * np.mean([record["affinity"] for record in records])) and len(records) == 20
    assert row[f"cosine, {WHOLE}"] == f"{np.mean([record['cosine'][WHOLE] for record in records]):+.2f}"
    assert {f"cosine, {group}" for group in ("embeddings", "layer 1", "pooler")} <= row.keys()


@pytest.mark.scores
def test_a_measurement_follows_its_formula_and_leaves_the_weights_unchanged(encoder, tmp_path):
    config = Config(**planted.settings(tmp_path, encoder, seed=0))
    setup = prepare(config)
    model = build_model(setup.encoder.path, setup.specs, 0.0, 0.0, config.max_length, seed=0)
    device = torch.device("cpu")

    def loss(task, items):
        batch = setup.train[task].collate(items)
        return loss_of_batch(model, setup, task, {name: x.to(device) for name, x in batch.inputs.items()}, batch.targets), batch.tokens

    before = {name: x.clone() for name, x in model.named_parameters()}
    state = torch.get_rng_state()
    measured = affinities(model, setup, 8, loss)
    assert all(torch.equal(x, before[name]) and x.grad is None for name, x in model.named_parameters()) and model.training
    assert torch.equal(torch.get_rng_state(), state)

    # with torch's SGD instead of the kit's step
    model.eval()
    orders = {task: generator(0, "affinity", task, 8).permutation(len(setup.train[task].lengths)) for task in planted.TASKS}
    judge = partial(loss, "main", orders["main"][:16])
    for task, items in {**orders, "main": orders["main"][16:]}.items():
        weights = list(model.encoder.parameters())
        length = torch.cat([x.detach().flatten() for x in weights]).norm()
        loss(task, items[:16])[0].backward()
        gradient = torch.cat([torch.zeros_like(x).flatten() if x.grad is None else x.grad.flatten() for x in weights])
        start = judge()[0].item()
        torch.optim.SGD(weights, lr=float(LOOKAHEAD * length / gradient.norm())).step()
        assert measured[task] == pytest.approx(1 - judge()[0].item() / start, abs=2e-6), task
        model.load_state_dict(before, strict=False)
        model.zero_grad()


def test_intervals_cover_the_mean_of_a_drifting_level():
    rng, covered = np.random.default_rng(0), []
    level = np.linspace(1, 0, 50)
    for _ in range(1000):
        low, high = interval(level + rng.normal(size=50))
        covered.append(low <= level.mean() <= high)
    assert 0.93 <= np.mean(covered) <= 0.98 and interval(level[:5]) is None


def test_a_run_without_measurements_is_refused(config, trained):
    with pytest.raises(RunError, match="bert: it did not measure how its tasks affect each other; train it with interference_every"):
        affinity(trained("bert"))
    alone = train(config(tasks=["squad"], qa_weight=1.0, max_steps=1))
    with pytest.raises(RunError, match="it has only one task, so there is none to rank"):
        affinity(alone)
    with pytest.raises(ConfigError, match="every, seed: .* is a run, which is read as it is"):
        affinity(alone, every=2, seed=3)


def test_the_command_trains_a_file_and_prints_the_ranking(config, tmp_path, capsys):
    file = tmp_path / "mine.yaml"
    file.write_text(changed(config(tasks=["squad", "cola"], qa_weight=0.5), precision="auto", run_dir=None).to_yaml())
    before = file.read_bytes()
    words = ["affinity", str(file), "--every", "2", "--set", f"run_dir={tmp_path / 'made'}"]
    command_line.main(words)
    said, run = capsys.readouterr().out, Run(tmp_path / "made")
    assert "| cola |" in said and "For squad, by 3 measurements along one training: cola: a step shows no clear effect." in said
    assert run.config["interference_every"] == 2 and run.config["precision"] == "fp32"
    assert file.read_bytes() == before, "the user's file stays as it was"
    command_line.main(["affinity", str(run.path)])
    assert capsys.readouterr().out.splitlines()[1:] == said.splitlines()[1:]
