"""What the tests of hostile input share: many cases of one strategy, and what an error must be like. Mutations are in `hostile_data`."""

import os
import signal
from collections.abc import Callable
from contextlib import contextmanager

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import SearchStrategy

from mtdnn_kit.errors import CompareError, ConfigError, DataError, RunError, StudyError

OURS = (ConfigError, DataError, RunError, StudyError, CompareError)
LONGEST = 3000  # characters of a message: a person reads it
HANGS = 60  # seconds after which a case counts as one that never ends
SOAK = int(os.environ.get("MTDNN_CASES", "10000"))


def cases(few: int):
    """A test with `cases`: a few of them in `make test`, 10,000 (or MTDNN_CASES) in `make soak`."""
    return pytest.mark.parametrize("cases", [few, pytest.param(SOAK, marks=pytest.mark.soak, id="soak")])


def each(cases: int, check: Callable, strategy: SearchStrategy) -> None:
    """`check` on so many cases; one that does not end is a failure."""

    @settings(max_examples=cases, deadline=None, suppress_health_check=list(HealthCheck))
    @given(strategy)
    def one(case):
        with ends():
            check(case)

    one()


@contextmanager
def ends():
    """Fails what does not end."""

    def stop(*_):
        raise AssertionError(f"still at work after {HANGS} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(HANGS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def refused(make: Callable, *names: str):
    """(What `make` returns, None), or (None, the message) of an error of ours that is short, can be printed and has one of `names`.

    Any other error comes through, and fails the test.
    """
    try:
        return make(), None
    except OURS as error:
        message = str(error)
        assert 10 < len(message) <= LONGEST, message[:500]
        assert message.encode() and "Traceback" not in message
        assert any(name in message for name in names), message
        return None, message
