"""`eval_every` scores part of each task's scored rows during the training, with the score of a constant answer; the run is unchanged."""

from collections import Counter

import numpy as np
import pytest
from conftest import changed
from safetensors.torch import load_file
from sameness import Stopped

from mtdnn_kit import prepare, train
from mtdnn_kit.metrics import SCORES
from mtdnn_kit.model.evaluation import constant_scores
from mtdnn_kit.training import setup as setup_file
from mtdnn_kit.training import trainer

SETTINGS = dict(qa_weight=0.4, max_steps=6, log_every=2, eval_limit=30)


@pytest.fixture
def small_slices(monkeypatch):
    monkeypatch.setattr(setup_file, "SLICE", 20)


def settings(config, **changes):
    again = {"type": "qa", "folder": "squad", "score": None}
    return config(**{**SETTINGS, "tasks": ["squad", "swag", "cola", "again"], "define": {"again": again}, **changes})


def test_each_scored_task_has_its_curve(config, small_slices, tmp_path):
    made = settings(config, threshold_articles=["Cork", "Tea"], eval_every=2)
    run = train(made)
    records = run.watched()
    assert [(record["step"], record["task"]) for record in records] == [(s, t) for s in (2, 4, 6) for t in ("squad", "swag", "cola")]
    assert {record["scores"]["n"] for record in records} == {20}
    assert [(record["step"], record["task"]) for record in run.scorings()] == [(2, "squad"), (4, "squad")]
    assert len(run.log()) == 6, "a scoring does not count as a step"
    thresholds = {record["step"]: record["scores"]["threshold"] for record in run.scorings()}
    thresholds[6] = run.metrics["squad"]["threshold"]
    assert all(record["scores"]["threshold"] == thresholds[record["step"]] for record in records if record["task"] == "squad")
    plain = train(changed(made, eval_every=None, run_dir=str(tmp_path / "plain")))
    weights = [load_file(one.path / "model/model.safetensors") for one in (run, plain)]
    assert all((weights[0][name] == weights[1][name]).all() for name in weights[0]) and plain.watched() == []


def test_a_slice_is_spread_over_the_scored_rows_and_the_same_for_every_seed(config, small_slices):
    setups = [prepare(settings(config, eval_every=2, seed=seed, eval_limit=None)) for seed in (0, 1)]
    for task, features in setups[0].slices.items():
        rows, whole = list(features.rows), list(setups[0].scored[task].rows)
        places = [whole.index(row) for row in rows]
        assert rows == list(setups[1].slices[task].rows) and places == sorted(set(places)) and len(places) == 20
        assert places[-1] > len(whole) / 2
    assert list(setups[0].slices) == ["squad", "swag", "cola"] and prepare(settings(config)).slices == {}


def test_the_last_scores_of_a_slice_equal_those_of_its_model(config, small_slices):
    """The scored rows are the slice, and the last step has a negligible learning rate."""
    run = train(settings(config, eval_every=4, max_steps=5, eval_limit=20, learning_rate=1e-30, weight_decay=0.0))
    curve = {record["task"]: record["scores"] for record in run.watched()}
    for task, scores in run.metrics.items():
        assert curve[task].keys() == scores.keys()
        assert {k: v for k, v in curve[task].items() if v is not None} == pytest.approx({k: v for k, v in scores.items() if v is not None})


def test_the_constant_answers_score_is_recorded_with_it(config, small_slices):
    made = settings(config, eval_every=2)
    setup = prepare(made)
    found = constant_scores(setup.train, setup.slices, made)
    empty = 100 * sum(not row.answers for row in setup.slices["squad"].rows) / 20
    assert found["squad"] == {"em": empty, "f1": empty, "n": 20} and 0 < empty < 100
    for task in ("swag", "cola"):
        said = Counter(row.label for row in setup.train[task].rows).most_common(1)[0][0]
        gold = np.array([row.label for row in setup.slices[task].rows])
        metrics = made.datasets[task].metrics
        assert found[task] == {**{name: SCORES[name](gold, np.full(20, said)) for name in metrics}, "n": 20}
    run = train(made)
    assert {record["task"]: record["constant"] for record in run.watched()} == found


def test_without_held_out_questions_the_threshold_is_0(config, small_slices):
    run = train(settings(config, eval_every=3))
    assert run.scorings() == [] and {r["scores"]["threshold"] for r in run.watched() if r["task"] == "squad"} == {0.0}


def test_with_sequential_each_block_ends_with_one_scoring_and_so_does_the_run(config, small_slices, tmp_path):
    """Blocks end after steps 4 and 8; a run that is stopped and resumed has the same log."""
    more = dict(sampler="sequential", qa_weight=None, sharing=None, exhausted=None, max_steps=11, train_limit=16, eval_every=3)
    made = config(**more, tasks=["squad", "cola", "mrpc"], checkpoint_every=4, threshold_articles=["Cork"])
    whole = train(changed(made, run_dir=str(tmp_path / "whole")))
    assert [record["step"] for record in whole.watched() if record["task"] == "cola"] == [3, 4, 6, 8, 9, 11]
    assert [record["step"] for record in whole.scorings()] == [3, 6, 9], "the scorings for select and patience do not change"
    broken = changed(made, run_dir=str(tmp_path / "broken"))
    with pytest.MonkeyPatch.context() as patched, pytest.raises(Stopped):
        patched.setattr(trainer, "_finish", stopping)
        train(broken)
    again = train(changed(broken, resume=True))
    assert again.watched() == whole.watched() and (again.path / "metrics.json").read_bytes() == (whole.path / "metrics.json").read_bytes()


def stopping(*_):
    raise Stopped


def test_weights_of_a_better_step_are_not_reported_as_the_last_ones(config, small_slices):
    run = train(settings(config, threshold_articles=["Cork"], eval_every=2, select="best"))
    assert {record["step"] for record in run.watched()} == {2, 4}
