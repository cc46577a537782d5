"""Where the runs of a study are while it is at work, and how that is shown in a terminal. Reads logs as they grow; starts nothing.

A run may have a hundred thousand steps and a study hundreds of runs: of each log only what is new is read, and a thinned curve is kept.
"""

import json
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tqdm import tqdm

from mtdnn_kit.runs import Run
from mtdnn_kit.shown import duration

POINTS = 400  # of a curve, at most


@dataclass
class State:
    """A run: `status` waiting, running, done or failed; `steps` of `total`, `before` of them not now; why it failed; its curve.

    `losses`: (step, loss) of the main task, each the mean of neighbouring batches once there are many.
    """

    name: str
    status: str = "waiting"
    steps: int = 0
    total: int | None = None
    before: int = 0
    error: str = ""
    losses: list[tuple[float, float]] = field(default_factory=list)
    main: str = ""  # the main task
    place: tuple[int, int] = (0, 0)  # the log's file and how far it was read

    def look(self, run: Run) -> None:
        """Takes what is new in the run's log."""
        log, manifest = run.path / "log.jsonl", run.path / "manifest.json"
        if not (log.exists() and manifest.exists()):
            return
        if self.total is None:
            draws = run.manifest["draws"]
            self.main, self.total = next(iter(draws)), run.manifest["steps"]
        with open(log, "rb") as file:
            number, size = log.stat().st_ino, log.stat().st_size
            if self.place[0] != number or size < self.place[1]:  # a run that goes on writes its log anew
                self.losses, self.place = [], (number, 0)
            file.seek(self.place[1])
            whole = file.read(size - self.place[1]).rpartition(b"\n")[0]
        self.place = number, self.place[1] + len(whole) + bool(whole)
        records = [record for record in map(json.loads, whole.splitlines()) if "loss" in record]
        self.steps = records[-1]["step"] if records else self.steps
        self.losses += [(record["step"], record["loss"]) for record in records if record["task"] == self.main]
        while len(self.losses) > POINTS:
            pairs = zip(self.losses[::2], self.losses[1::2], strict=False)
            self.losses = [((a + b) / 2, (c + d) / 2) for (a, c), (b, d) in pairs]


class Progress:
    """All runs of a study at work: `states` in order."""

    def __init__(self, names: list[str]):
        self.states, self.began = [State(name) for name in names], time.monotonic()

    @property
    def over(self) -> bool:
        """Whether no run is left."""
        return all(state.status in ("done", "failed") for state in self.states)

    def seconds_left(self) -> float | None:
        """At the pace so far; None as long as there is none. A run that has not begun counts as long as the mean of those that have."""
        totals = [state.total for state in self.states if state.total]
        made = sum(state.steps - state.before for state in self.states)
        if made <= 0 or not totals:
            return None
        mean = sum(totals) / len(totals)
        left = sum((state.total or mean) - state.steps for state in self.states if state.status in ("waiting", "running"))
        return (time.monotonic() - self.began) / made * left

    def __str__(self) -> str:
        counts = Counter(state.status for state in self.states)
        parts = [f"{counts['done']} of {len(self.states)} done"]
        parts += [f"{counts[status]} {status}" for status in ("running", "failed", "waiting") if counts[status]]
        left = self.seconds_left()
        return ", ".join(parts) + (f", {duration(left)} left" if left is not None and not self.over else "")


class Bars:
    """In a terminal: a bar of all runs, one of each that is at work, a line for each that has ended; for `run_study(…, watch=…)`."""

    def __init__(self) -> None:
        self.all: Any = None  # the bar of all runs, once there is one
        self.bars: dict[str, tqdm] = {}
        self.told: set[str] = set()
        self.shown: list[str] = []

    def __call__(self, progress: Progress) -> None:
        if self.all is None:
            self.all = tqdm(total=len(progress.states), unit="run", bar_format="{desc} |{bar:20}|")
        for state in progress.states:
            if state.status == "running":
                self._move(state)
            elif state.status in ("done", "failed") and state.name not in self.told:
                self.told.add(state.name)
                if state.name in self.bars:
                    self.bars.pop(state.name).close()
                tqdm.write(f"{state.name}: {state.error and 'failed: '}{state.error or f'done, {state.steps} steps'}", file=self.all.fp)
        self._summarize(progress)

    def _summarize(self, progress: Progress) -> None:
        """The bar of all runs; where no terminal is, a line only when a run has begun or ended."""
        terminal, now = self.all.fp.isatty(), [state.status for state in progress.states]
        self.all.n = len(self.told)
        self.all.set_description_str(str(progress), refresh=terminal or now != self.shown)
        self.shown = now
        if progress.over:
            self.all.close()

    def _move(self, state: State) -> None:
        if state.name not in self.bars:
            self.bars[state.name] = tqdm(desc=state.name, unit="step", leave=False)
        bar = self.bars[state.name]
        if (bar.n, bar.total) != (state.steps, state.total):
            bar.n, bar.total = state.steps, state.total
            bar.refresh()
