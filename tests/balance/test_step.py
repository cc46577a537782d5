"""The joint step: its rows, its gradient, what it refuses, and that it goes on bit for bit under every method."""

import pytest
from conftest import changed
from sameness import Stopped, assert_same

from mtdnn_kit import train
from mtdnn_kit.config import BALANCES
from mtdnn_kit.training.log import Recorder

JOINT = dict(tasks=["squad", "swag", "cola"], qa_weight=0.4, step="joint", balance="sum", batch_size=6)


def stopped(config, monkeypatch, step: int) -> None:
    """Trains until a step (from 0) is in the log."""
    add = Recorder.add

    def until(self, number, *figures):
        add(self, number, *figures)
        if number == step:
            raise Stopped

    with monkeypatch.context() as patched, pytest.raises(Stopped):
        patched.setattr(Recorder, "add", until)
        train(config)


@pytest.mark.parametrize("method", [*BALANCES, "doors:helpful"])
def test_a_run_under_each_method_resumes_bit_for_bit(config, tmp_path, monkeypatch, method):
    more = dict(epochs=3.0, train_limit=8) if method == "dwa" else {}
    one = config(**{**JOINT, "balance": method, **more}, max_steps=9, checkpoint_every=4, log_every=1)
    whole = train(one)
    broken = changed(one, run_dir=str(tmp_path / "broken"))
    stopped(broken, monkeypatch, 6)
    assert_same(whole, train(changed(broken, resume=True)))
