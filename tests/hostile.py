"""Shared by the tests of hostile input: runs many cases of a strategy, checks error messages. `hostile_data` makes the mutations."""

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
HANGS = 60  # seconds after which a case counts as hanging
SOAK = int(os.environ.get("MTDNN_CASES", "10000"))


def cases(few: int):
    """Parametrises a test with `cases`: `few` in `make test`, 10,000 (or MTDNN_CASES) in `make soak`."""
    return pytest.mark.parametrize("cases", [few, pytest.param(SOAK, marks=pytest.mark.soak, id="soak")])


def each(cases: int, check: Callable, strategy: SearchStrategy) -> None:
    """Runs `check` on that many cases; a case that hangs is a failure."""

    @settings(max_examples=cases, deadline=None, suppress_health_check=list(HealthCheck))
    @given(strategy)
    def one(case):
        with ends():
            check(case)

    one()


@contextmanager
def ends():
    """Fails the code inside if it hangs."""

    def stop(*_):
        raise AssertionError(f"still running after {HANGS} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(HANGS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def refused(make: Callable, *names: str):
    """(What `make` returns, None), or (None, message) if it raises one of the kit's errors: short, printable and with one of `names` in it.

    Any other error propagates and fails the test.
    """
    try:
        return make(), None
    except OURS as error:
        message = str(error)
        assert 10 < len(message) <= LONGEST, message[:500]
        assert message.encode() and "Traceback" not in message
        assert any(name in message for name in names), message
        return None, message
