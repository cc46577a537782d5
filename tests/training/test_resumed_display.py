"""The display of a resumed training: its loss continues, and the time left is computed from the new steps."""

import pytest
from conftest import changed
from sameness import Stopped

from mtdnn_kit import Run, train
from mtdnn_kit.studies.progress import RunState
from mtdnn_kit.training.log import Recorder, TrainingBar


def shown(config, monkeypatch, stop: int | None = None) -> list[tuple[int, str]]:
    """The steps and texts that the bar was set to."""
    said, add = [], Recorder.add

    def until(self, step, *figures):
        add(self, step, *figures)
        if step + 1 == stop:
            raise Stopped

    with monkeypatch.context() as patched:
        patched.setattr(TrainingBar, "move", lambda self, step, words: said.append((step, words.rpartition(", ")[0])))
        patched.setattr(Recorder, "add", until)
        if stop is None:
            train(config)
        else:
            with pytest.raises(Stopped):
                train(config)
    return said


def test_the_shown_loss_continues_after_a_resume(config, tmp_path, monkeypatch):
    one = config(tasks=["squad", "cola"], qa_weight=0.5, max_steps=12, log_every=2, checkpoint_every=4)
    whole = shown(one, monkeypatch)
    broken = changed(one, run_dir=str(tmp_path / "broken"))
    assert shown(broken, monkeypatch, stop=7) == whole[:3]
    assert shown(changed(broken, resume=True), monkeypatch) == whole[2:], "from the checkpoint of step 4"


def test_a_study_shows_the_loss_that_the_training_shows(config, monkeypatch):
    one, state = config(tasks=["squad"], qa_weight=1.0, max_steps=9, log_every=3), RunState("one")
    (*_, (step, words)) = shown(one, monkeypatch)
    state.look(Run(one.run_dir))
    assert (step, words) == (9, f"squad {state.loss:.3f}")
    losses = [record["loss"] for record in Run(one.run_dir).log()]
    assert state.loss == pytest.approx(0.9**8 * losses[0] + sum(0.1 * 0.9 ** (8 - k) * losses[k] for k in range(1, 9)))


def test_a_bar_names_another_activity(capsys):
    bar = TrainingBar(20, 0, "answering", "window")
    bar.move(10, "")
    bar.move(20, "")
    first, last = capsys.readouterr().err.splitlines()
    assert first.startswith("answering: window 10 of 20, 0:0") and first.endswith(" left") and last == "answering: window 20 of 20"
