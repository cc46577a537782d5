"""`select: best` and `patience`: the best step by the held-out questions is chosen, and a resumed run chooses the same."""

import math
import os
import shutil
import signal

import pytest
import torch
from conftest import changed
from ranks import launch
from safetensors.torch import load_file
from sameness import Stopped, assert_same, weights_of

from mtdnn_kit import ConfigError, Run, RunError, prepare, train
from mtdnn_kit.model import evaluation
from mtdnn_kit.runs.run import checkpoints
from mtdnn_kit.training import bookkeeping, setup, trainer
from mtdnn_kit.training import checkpoints as kept
from mtdnn_kit.training.checkpoints import CheckpointWarning
from mtdnn_kit.training.log import Recorder
from mtdnn_kit.training.optim import learning_rate
from mtdnn_kit.training.selection import Selection

SMALL = dict(tasks=["squad", "cola"], qa_weight=0.5, threshold_articles=["Cork"], eval_every=2, log_every=1, max_steps=12)


def score_of(model) -> float:
    """A score that depends only on the weights; as training goes on it rises, then falls: 73, 95 at step 4, 34, 10, 14, 20."""
    return 50 + 50 * math.sin(8 * sum(x.double().abs().sum().item() for x in model.parameters()) - 1)


@pytest.fixture
def scripted(monkeypatch):
    """Held-out scores by `score_of` instead of F1; scripted(scores): these scores instead, one scoring after another."""

    def told(script=None):
        left = None if script is None else iter(script)

        def scores(model, held_out, config, precision):
            return {"squad": {"f1": score_of(model) if left is None else next(left), "n": 1}}, evaluation.untuned(config)

        monkeypatch.setattr(bookkeeping, "held_out_scores", scores)

    monkeypatch.setattr(setup, "SLICE", 4)
    told()
    return told


def seen(run: Run) -> dict[int, float]:
    return {record["step"]: record["scores"]["f1"] for record in run.scorings()}


def stopped(config, after: int, monkeypatch) -> Run:
    """A run that is killed once `after` steps are logged."""
    add = Recorder.add

    def until(self, step, *figures):
        add(self, step, *figures)
        if step + 1 == after:
            raise Stopped

    with monkeypatch.context() as patched, pytest.raises(Stopped):
        patched.setattr(Recorder, "add", until)
        train(config)
    return Run(config.run_dir)


def test_the_models_weights_are_those_of_the_best_scoring_bit_for_bit(scripted, config, tmp_path, monkeypatch):
    monkeypatch.setattr(kept, "KEEP", 100)
    one = config(**SMALL, select="best", checkpoint_every=2, keep_checkpoints=True)
    run, last = train(one), train(changed(one, select="last", run_dir=str(tmp_path / "last")))
    scores = seen(run)
    assert list(scores) == [2, 4, 6, 8, 10, 12] and seen(last) == {step: scores[step] for step in (2, 4, 6, 8, 10)}
    best = max(scores, key=scores.get)
    assert best < 12, "otherwise the test shows nothing"
    by = "F1 of squad on its held-out questions"
    assert run.manifest["selected"] == {"step": best, "by": by, "score": scores[best], "scorings": 6}
    then = load_file(dict(checkpoints(run))[best] / "model.safetensors")
    assert all(torch.equal(x, then[name]) for name, x in weights_of(run).items())
    assert (run.log(), "selected" in last.manifest) == (run.log(), False)
    assert not (run.path / "best").exists() and any(not torch.equal(x, then[name]) for name, x in weights_of(last).items())


def test_with_real_scores_the_threshold_is_that_of_the_chosen_weights(config):
    run = train(config(**{**SMALL, "learning_rate": 3e-3}, select="best"))
    step, score = run.manifest["selected"]["step"], run.manifest["selected"]["score"]
    record = next(record for record in run.scorings() if record["step"] == step)
    assert score == record["scores"]["f1"] == max(seen(run).values())
    assert not run.manifest["held_out"]["squad"]["always_answers"], "otherwise the test shows nothing"
    assert run.metrics["squad"]["threshold"] == record["scores"]["threshold"]


@pytest.mark.parametrize("script", [[50, 60, 60, 40, 60, 60], [50, 50, 50, 50, 50, 50], [1, 2, 3, 4, 5, 6]])
def test_among_equal_scores_the_first_is_taken_and_the_last_step_counts(scripted, config, script):
    scripted(script)
    run = train(config(**SMALL, select="best"))
    assert run.manifest["selected"]["step"] == 2 * (script.index(max(script)) + 1)


@pytest.mark.parametrize("after", [1, 7, 12])
def test_10_a_killed_run_selects_the_same_when_it_is_resumed(scripted, config, tmp_path, monkeypatch, after):
    one = config(**SMALL, select="best", checkpoint_every=3)
    whole = train(one)
    broken = stopped(changed(one, run_dir=str(tmp_path / "broken")), after, monkeypatch)
    resumed = train(changed(one, run_dir=str(broken.path), resume=True))
    assert_same(whole, resumed)
    assert resumed.manifest["selected"] == whole.manifest["selected"] and seen(resumed) == seen(whole)


def test_10_an_older_checkpoint_still_has_its_best_weights(scripted, config, tmp_path, monkeypatch):
    """The best, of step 2, is beaten at step 8; there are checkpoints of steps 6 and 9, the latter damaged; after step 6 nothing is
    better."""
    scripted([70, 60, 60, 90])
    one = config(**SMALL, select="best", checkpoint_every=3)
    broken = stopped(one, 10, monkeypatch)
    assert sorted(folder.name for folder in (broken.path / "best").iterdir()) == ["step-0000002", "step-0000008"]
    then = load_file(broken.path / "best" / "step-0000002" / "model.safetensors")
    (broken.path / "checkpoints" / "step-0000009" / "state.json").write_text("{}")
    scripted([60, 60, 60])
    with pytest.warns(CheckpointWarning, match="continues from step 6"):
        resumed = train(changed(one, resume=True))
    assert resumed.manifest["selected"]["step"] == 2
    assert all(torch.equal(x, then[name]) for name, x in weights_of(resumed).items())


@pytest.mark.parametrize("where", ["tuned", "evaluate", "save_model"])
def test_10_a_signal_while_the_chosen_model_is_written_changes_nothing(scripted, config, tmp_path, monkeypatch, where):
    one = config(**SMALL, select="best")
    whole = train(one)
    assert whole.manifest["selected"]["step"] < 12

    def interrupted(*_):
        os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError("the signal comes first")

    broken = changed(one, run_dir=str(tmp_path / "broken"))
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(trainer, where, interrupted)
        train(broken)
    resumed = train(changed(broken, resume=True))
    assert_same(whole, resumed)
    assert resumed.manifest["selected"] == whole.manifest["selected"] and seen(resumed) == seen(whole)


@pytest.mark.parametrize("select", ["last", "best"])
@pytest.mark.parametrize(
    ("patience", "script", "made", "best"), [(1, [50, 60, 60], 6, 4), (2, [50, 40, 50], 6, 2), (3, [1, 2, 3, 3, 3, 3], 12, 6)]
)
def test_patience_ends_the_training_that_many_scorings_after_the_best(scripted, config, select, patience, script, made, best):
    scripted(script)
    one = config(**SMALL, select=select, patience=patience)
    run, planned = train(one), prepare(one).schedule
    assert len(run.log()) == run.manifest["steps"] == made == sum(run.manifest["draws"].values())
    assert run.manifest.get("planned_steps") == (12 if made < 12 else None)
    rates = [learning_rate(step, 12, one.warmup, one.learning_rate) for step in range(made)]
    assert [record["lr"] for record in run.log()] == rates, "the rates of the whole schedule"
    assert {record["task"] for record in run.log()} == {planned.at(k)[0] for k in range(made)}
    assert run.manifest.get("selected", {}).get("step") == (best if select == "best" else None)


@pytest.mark.parametrize("after", [5, 6])
def test_10_a_run_whose_patience_had_ended_makes_no_more_steps(scripted, config, tmp_path, monkeypatch, after):
    scripted([50, 40, 30])
    one = config(**SMALL, select="best", patience=2, checkpoint_every=3)
    whole = train(one)
    scripted([50, 40, 30])
    if after == 5:
        broken = stopped(changed(one, run_dir=str(tmp_path / "broken")), after, monkeypatch)
        scripted([40, 30])  # from the checkpoint of step 3
    else:
        broken = Run(tmp_path / "broken")
        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(trainer, "tuned", lambda *_: os.kill(os.getpid(), signal.SIGINT))
            train(changed(one, run_dir=str(broken.path)))
        assert checkpoints(broken)[-1][0] == 6
    resumed = train(changed(one, run_dir=str(broken.path), resume=True))
    assert_same(whole, resumed)
    assert all(resumed.manifest[key] == whole.manifest[key] for key in ("steps", "planned_steps", "selected", "draws", "passes"))


def test_missing_best_weights_are_reported(scripted, config, monkeypatch):
    scripted([70, 60])
    one = config(**SMALL, select="best", checkpoint_every=3)
    broken = stopped(one, 5, monkeypatch)
    shutil.rmtree(broken.path / "best")
    scripted([60] * 9)
    with pytest.raises(
        RunError, match=r"best/step-0000002/model.safetensors: the weights of the best step cannot be read .* delete the folders"
    ):
        train(changed(one, resume=True))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"select": "best"}, "^select: it uses the scorings of eval_every: set eval_every"),
        ({"patience": 2}, "^patience: it uses the scorings of eval_every"),
        ({"select": "best", "eval_every": 5, "threshold_articles": []}, "^select: it uses the first task's held-out questions"),
        (
            {"patience": 2, "eval_every": 5, "tasks": ["cola", "squad"]},
            "^patience: it uses the first task's held-out questions: that task must be q",
        ),
        ({"select": "first"}, "^select: 'first' is text; it must be one of 'last', 'best'"),
        ({"patience": 0, "eval_every": 5}, "^patience: must be at least 1"),
    ],
)
def test_an_invalid_selection_is_refused(config, changes, said):
    with pytest.raises(ConfigError, match=said):
        config(**{"tasks": ["squad", "cola"], "threshold_articles": ["Cork"], **changes})


def test_held_out_questions_of_only_another_task_are_refused(config):
    other = {"type": "qa", "folder": "squad"}
    one = config(**{**SMALL, "tasks": ["squad", "other"], "define": {"other": other}}, select="best")
    with pytest.MonkeyPatch.context() as patched, pytest.raises(ConfigError, match="^select: it needs held-out questions of squad: add"):
        whole = setup.hold_out
        patched.setattr(setup, "hold_out", lambda *a: ({"other": whole(*a)[0]["other"]}, whole(*a)[1]))
        prepare(one)


def two(config) -> tuple[int, list]:
    """A rank's run, whose scores never improve."""
    patched = pytest.MonkeyPatch()
    patched.setattr(bookkeeping, "held_out_scores", lambda model, *_: ({"squad": {"f1": 5.0, "n": 1}}, {"squad": 0.0}))
    run = train(config)
    return run.manifest["steps"], [record["step"] for record in run.log()]


def test_all_ranks_stop_together(config):
    found = launch(2, two, config(**SMALL, select="best", patience=1))
    assert found == [(4, [1, 2, 3, 4])] * 2


def test_selection_is_restored_from_the_log(tmp_path, config):
    (tmp_path / "config.yaml").write_text("tasks: [squad]\n")
    lines = [
        '{"step": 2, "task": "squad", "scores": {"f1": 40.1, "n": 3}}',
        '{"step": 2, "of": "scored", "task": "squad", "scores": {"f1": 99}}',
    ]
    (tmp_path / "log.jsonl").write_text("".join(f"{line}\n" for line in [*lines, lines[0].replace("2", "4", 1)]))
    found = Selection(Run(tmp_path), config(**SMALL, patience=1))
    assert (found.best, found.waited, found.seen) == (2, True, {2: 40.1, 4: 40.1})
