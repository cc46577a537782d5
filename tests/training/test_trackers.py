"""Experiment trackers: TensorBoard's values equal those in the run folder (issue 9, "Trackers and logs")."""

from pathlib import Path

import numpy as np
import pytest
from conftest import changed
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mtdnn_kit import Run, train
from mtdnn_kit.errors import ConfigError
from mtdnn_kit.training.log import FIGURES, Recorder

WATCHED = dict(tasks=["squad", "cola"], qa_weight=0.5, max_steps=6, log_every=2, eval_every=4, threshold_articles=["Cork"])


class Stopped(BaseException):
    """Ends a run like a kill, at a place that the test chooses."""


def scalars(run: Run) -> dict[str, dict[int, float]]:
    """{name: {step: value}} of the event files in a run folder."""
    read = EventAccumulator(str(run.path / "trackers" / "mtdnn-kit")).Reload()
    return {name: {event.step: event.value for event in read.Scalars(name)} for name in read.Tags()["scalars"]}


def assert_told_all(run: Run) -> None:
    """Losses, rates, norms and speeds of every step, the scorings in between and the final scores, each as a 32-bit number."""
    wanted: dict[str, dict[int, float]] = {}
    for record in run.log():
        for key, name in {"loss": f"loss/{record['task']}", **{name: name for name in FIGURES}}.items():
            wanted.setdefault(name, {})[record["step"]] = record[key]
    for prefix, records in (("held_out", run.scorings()), ("slice", run.watched())):
        for record in records:
            for k, v in ((k, v) for k, v in record["scores"].items() if v is not None):
                wanted.setdefault(f"{prefix}/{record['task']}/{k}", {})[record["step"]] = v
    for task, scores in run.metrics.items():
        wanted |= {f"{task}/{name}": {run.manifest["steps"]: value} for name, value in scores.items() if value is not None}
    found = scalars(run)
    assert found.keys() == wanted.keys()
    for name, values in wanted.items():
        assert found[name] == {step: np.float32(value) for step, value in values.items()}, name


def test_tensorboard_has_the_values_of_the_run_folder(config):
    run = train(config(**WATCHED, log_with=["tensorboard"]))
    assert_told_all(run)
    (parameters,) = (run.path / "trackers").rglob("hparams.yml")
    assert "learning_rate: 0.0006" in parameters.read_text() and "tasks: '[''squad'', ''cola'']'" in parameters.read_text()


def test_a_run_that_patience_ended_logs_its_scores_at_its_last_step(config):
    still = {**WATCHED, "eval_every": 1, "learning_rate": 1e-30, "weight_decay": 0.0}  # nothing moves, so no scoring is better
    run = train(config(**still, patience=2, log_with=["tensorboard"]))
    assert run.manifest["steps"] < run.manifest["planned_steps"] == 6
    assert_told_all(run)


def test_a_resumed_run_logs_no_step_twice(config, monkeypatch):
    """Stopped after step 5, resumed from step 2: the values logged for steps 3 and 4 are dropped."""
    add = Recorder.add

    def until(self, step, *figures):
        add(self, step, *figures)
        if step == 4:
            raise Stopped

    settings = config(**{**WATCHED, "eval_every": None, "learning_rate": 1e-2}, checkpoint_every=2, log_with="tensorboard")
    with monkeypatch.context() as patched, pytest.raises(Stopped):
        patched.setattr(Recorder, "add", until)
        train(settings)
    assert_told_all(train(changed(settings, resume=True, log_with=["tensorboard"])))


def test_without_trackers_nothing_is_written(config):
    assert not (train(config(max_steps=1)).path / "trackers").exists()


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("wandb", r"log_with: 'wandb' is not installed. Installed: tensorboard.*\. Install it \(pip install wandb\)"),
        (["tensorboard", "comet_ml"], r"log_with: 'comet_ml' is not installed.* \(pip install comet-ml\)"),
        ("tensorbord", r"log_with: 'tensorbord' is not a tracker that accelerate knows: aim, comet_ml, .*Installed: tensorboard"),
    ],
)
def test_a_missing_tracker_is_named_before_the_first_step(config, named, said):
    with pytest.raises(ConfigError, match=said):
        train(config(log_with=named))
    assert not Path(config().run_dir).exists()
