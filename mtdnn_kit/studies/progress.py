"""The progress of the runs of a study, in a terminal, a notebook or a log file. Starts nothing.

A terminal shows bars, a notebook an output that is updated in place, and a log file (CI, a cluster's) gets a line now and then. A run may
have a hundred thousand steps and a study hundreds of runs: only new lines of each log are read, and a thinned curve is kept.
"""

import os
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tqdm import tqdm

from mtdnn_kit.files.json_files import read_json
from mtdnn_kit.files.wording import duration
from mtdnn_kit.runs.run import Run, smoothed

POINTS = 400  # of a curve, at most
ALL_RUNS, FORMAT = "", "{desc} |{bar:20}|"  # the key of the bar of all runs; the format of a bar


@dataclass
class RunState:
    """A run: `status` waiting, running, done or failed; `steps` of `total`, of which `before` were made earlier; why it failed; its curve.

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
    seconds: float = 0.0  # time of the steps since `before`, without the preparation
    place: int = 0  # how far the log was read, in bytes
    last: bytes = b""  # the line before `place`; if another one stands there, it is another log: of a run that was begun again
    loss: float | None = None  # of the main task, smoothed, as the training itself shows it
    said: list[str] = field(default_factory=list)  # lines that are printed once: a warning, that another process took it over

    def look(self, run: Run) -> None:
        """Reads what is new in the run's log."""
        log, manifest = run.path / "log.jsonl", run.path / "manifest.json"
        if not (log.exists() and manifest.exists()):
            return
        if self.total is None:
            draws = run.manifest["draws"]
            self.main, self.total = next(iter(draws)), run.manifest["steps"]
            self.said += [f"warning: {said}" for said in run.manifest.get("warnings", [])]
        with open(log, "rb") as file:
            size, changed = (now := os.fstat(file.fileno())).st_size, now.st_mtime
            took = changed - manifest.stat().st_mtime  # the manifest is written before the first step, and again at the end
            self.seconds = took if took > 0 else self.seconds
            file.seek(self.place - len(self.last))
            anew = size < self.place or file.read(len(self.last)) != self.last  # shorter: cut by a resumed run at its checkpoint
            if anew:
                self.losses, self.loss, self.place, self.last = [], None, 0, b""
            file.seek(self.place)
            lines = file.read(size - self.place).rpartition(b"\n")[0].splitlines(keepends=True)
        if lines:
            self.last = lines[-1].rstrip(b"\n") + b"\n"
            self.place += sum(map(len, lines[:-1])) + len(self.last)
        records = [record for record in map(read_json, lines) if "loss" in record]
        self.steps = records[-1]["step"] if records else 0 if anew else self.steps
        self.before = min(self.before, self.steps) if anew else self.before
        for record in (record for record in records if record["task"] == self.main):
            self.losses.append((record["step"], record["loss"]))
            self.loss = smoothed(self.loss, record["loss"])
        while len(self.losses) > POINTS:
            pairs = zip(self.losses[::2], self.losses[1::2], strict=False)
            self.losses = [((a + b) / 2, (c + d) / 2) for (a, c), (b, d) in pairs]

    def __str__(self) -> str:
        made = self.steps - self.before
        if self.total is None or made <= 0:
            return "preparing"
        loss = f", {self.main} loss {self.loss:.3f}" if self.loss is not None else ""
        left = self.seconds / made * (self.total - self.steps)
        return f"step {self.steps:,} of {self.total:,}{loss}, {f'{duration(left)} left' if self.steps < self.total else 'scoring'}"


class Progress:
    """All runs of a study: `states` in order."""

    def __init__(self, names: list[str]):
        self.states, self.began = [RunState(name) for name in names], time.monotonic()

    @property
    def over(self) -> bool:
        """Whether no run is left."""
        return all(state.status in ("done", "failed") for state in self.states)

    def seconds_left(self) -> float | None:
        """At the pace so far; None while it is unknown. A run that has not begun counts as the mean of those that have."""
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
    """The runs of a study, for `run_study(…, watch=…)`: the position of each active run, and a line for each that has ended.

    In a terminal one bar for all runs, and one for each active run. In a log file a line when a run begins, with its first steps, then
    with each tenth of the way; and one of all runs when one has begun or ended.
    """

    def __init__(self) -> None:
        self.terminal = sys.stderr.isatty()
        self.bars: dict[str, tqdm] = {}  # of all runs, and of each active one
        self.told: dict[str, Any] = {}  # where each was when its last line was written

    def __call__(self, progress: Progress) -> None:
        """Shows where the runs are now."""
        if self.terminal and ALL_RUNS not in self.bars:
            self.bars[ALL_RUNS] = tqdm(total=len(progress.states), bar_format=FORMAT)
        for state in progress.states:
            for line in state.said if state.status == "running" or state.steps > state.before else ():
                if line not in self.told:
                    self.told[line] = tqdm.write(line, file=sys.stderr)
            if state.status == "running":
                tenth = 10 * state.steps // state.total if state.total and state.steps > state.before else -1  # before its first steps
                self._show(state.name, f"{state.name}: {state}", tenth, state.steps, state.total or 1)
            elif state.status in ("done", "failed") and self.told.get(state.name) != state.status:
                self.told[state.name] = state.status
                if state.name in self.bars:
                    self.bars.pop(state.name).close()
                tqdm.write(f"{state.name}: {state.error and 'failed: '}{state.error or f'done, {state.steps} steps'}", file=sys.stderr)
        statuses = [state.status for state in progress.states]
        self._show(ALL_RUNS, str(progress), statuses, statuses.count("done") + statuses.count("failed"), len(statuses))
        if self.terminal and progress.over:
            self.bars.pop(ALL_RUNS).close()

    def _show(self, name: str, line: str, place: Any, done: int, total: int) -> None:
        """Moves a bar; or writes the line, if its position has changed since the last one."""
        if self.terminal:
            bar = self.bars[name] = self.bars.get(name) or tqdm(leave=False, bar_format=FORMAT)
            bar.n, bar.total = done, total
            bar.set_description_str(line)
        elif self.told.get(name) != place:
            self.told[name] = place
            tqdm.write(line, file=sys.stderr)
