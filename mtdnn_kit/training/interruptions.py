"""Signals during a training: notes them, lets the current step finish, then obeys. Knows runs, and no model."""

import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from mtdnn_kit.runs.run import Run

SIGNALS, COPIES = (signal.SIGINT, signal.SIGTERM), 2.0  # seconds within which a launcher forwards a signal that its processes also got


class Interrupted(BaseException):
    """A signal that was obeyed; `Stop` turns it into the signal's usual effect on the process."""

    def __init__(self, number: int, said: str = "stopped"):
        super().__init__(f"{signal.Signals(number).name}: {said}")
        self.number = number


class Stop:
    """SIGTERM (preemption) and SIGINT (a notebook's stop button) during a training, in the main thread, the only one that gets signals.

    Between `defer` and `deliver` it is only noted in `taken`, so that the current step finishes; elsewhere it interrupts the work. The same
    signal a second time ends at once. Ignored signals stay ignored. At the end SIGINT becomes a KeyboardInterrupt, and SIGTERM goes to its
    previous handler: by default the process ends. copies: one signal may come twice, from the terminal and from a launcher of several
    processes.
    """

    def __init__(self, copies: bool = False) -> None:
        self.taken: list[int] = []
        self.before: dict[int, Any] = {}
        self.deferred, self.grace, self.since = False, COPIES if copies else 0.0, 0.0

    def __enter__(self) -> "Stop":
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self.before[number] = signal.signal(number, self._take)
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        self._give_back()
        if isinstance(error, Interrupted):
            if error.number == signal.SIGINT:
                raise KeyboardInterrupt(str(error)) from None
            print(error, file=sys.stderr, flush=True)
            signal.raise_signal(error.number)
            raise SystemExit(str(error)) from None  # the previous handler ignored it
        if error is None and self.taken:  # it came after the last step
            signal.raise_signal(self.number)

    def _take(self, number: int, _: object) -> None:
        if number in self.taken:
            if time.monotonic() - self.since < self.grace:
                return
            self._give_back()
            signal.raise_signal(number)
            return
        self.taken.append(number)
        self.since = time.monotonic()
        if not self.deferred:
            raise Interrupted(self.number)

    def _give_back(self) -> None:
        while self.before:
            signal.signal(*self.before.popitem())

    @property
    def number(self) -> int:
        """The signal that counts: SIGTERM, if both came."""
        return signal.SIGTERM if signal.SIGTERM in self.taken else self.taken[0]

    def agreed(self, sums: Callable[..., Sequence[int]]) -> bool:
        """Whether any process got a signal, which then counts for all. sums: adds numbers over the processes."""
        counts = sums(*(int(number in self.taken) for number in SIGNALS))
        new = [number for number, count in zip(SIGNALS, counts, strict=True) if count and number not in self.taken]
        if new:  # this process's own copy of the signal may still come
            self.taken += new
            self.since = time.monotonic()
        return any(counts)

    def defer(self) -> None:
        """From here on a signal is only noted."""
        self.deferred = True

    def deliver(self) -> None:
        """From here on a signal interrupts the work. Raises Interrupted if one came before."""
        self.deferred = False
        if self.taken:
            raise Interrupted(self.number)

    def end(self, run: Run, done: int, total: int) -> None:
        """Raises Interrupted, which says how to resume from the checkpoint of `done` steps, just written."""
        said = f"the training in {run.path} stopped after step {done} of {total}, and its checkpoint is written."
        raise Interrupted(self.number, f"{said} Set resume: true (run_dir: {run.place}) to continue from there.")
