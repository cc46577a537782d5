"""Signals while a training is at work: noted, the step under way finished, and then obeyed. Knows runs, and no model."""

import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from mtdnn_kit.runs.run import Run

SIGNALS, COPIES = (signal.SIGINT, signal.SIGTERM), 2.0  # seconds within which a launcher passes on what came to its processes, too


class Interrupted(BaseException):
    """A signal that was obeyed; `Stop` makes of it what the signal means to the process."""

    def __init__(self, number: int, said: str = "stopped"):
        super().__init__(f"{signal.Signals(number).name}: {said}")
        self.number = number


class Stop:
    """SIGTERM (preemption) and SIGINT (a notebook's stop button) while a training is at work, in the main thread, which alone gets signals.

    Between `wait` and `hurry` it is only noted in `taken`, so that the step under way is finished; elsewhere it interrupts what is done.
    The same signal a second time ends at once. Signals that are ignored stay so. At the end SIGINT is a KeyboardInterrupt, and SIGTERM
    goes to whom it would have gone to: the process ends by it, where nobody has another plan. copies: one signal may come twice, from the
    terminal and from a launcher of several processes.
    """

    def __init__(self, copies: bool = False) -> None:
        self.taken: list[int] = []
        self.before: dict[int, Any] = {}
        self.waits, self.grace, self.since = False, COPIES if copies else 0.0, 0.0

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
            raise SystemExit(str(error)) from None  # it went to somebody who let it pass
        if error is None and self.taken:  # it came when all was done
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
        if not self.waits:
            raise Interrupted(self.number)

    def _give_back(self) -> None:
        while self.before:
            signal.signal(*self.before.popitem())

    @property
    def number(self) -> int:
        """The signal that counts: SIGTERM, if both came."""
        return signal.SIGTERM if signal.SIGTERM in self.taken else self.taken[0]

    def agreed(self, sums: Callable[..., Sequence[int]]) -> bool:
        """Whether a signal came to any process: what came to one counts for all. sums: of numbers over the processes."""
        counts = sums(*(int(number in self.taken) for number in SIGNALS))
        self.taken += [number for number, count in zip(SIGNALS, counts, strict=True) if count and number not in self.taken]
        return any(counts)

    def wait(self) -> None:
        """From here on a signal is only noted."""
        self.waits = True

    def hurry(self) -> None:
        """From here on a signal interrupts what is done. Raises Interrupted where one came before."""
        self.waits = False
        if self.taken:
            raise Interrupted(self.number)

    def end(self, run: Run, done: int, total: int) -> None:
        """Raises Interrupted, which says how to go on from the checkpoint of `done` steps, written just now."""
        said = f"the training in {run.path} stopped after step {done} of {total}, and its checkpoint is written."
        raise Interrupted(self.number, f"{said} Set resume: true (run_dir: {run.place}) to go on from there.")
