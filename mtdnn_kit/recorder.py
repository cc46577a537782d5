"""The log of a training and its progress bar. Losses stay on the device until the log is written: that alone waits for it.

Knows what a step was called and what it cost, nothing of how it was made.
"""

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

from mtdnn_kit.guards import diverged
from mtdnn_kit.preparation import Setup
from mtdnn_kit.progress import TrainingBar
from mtdnn_kit.runs import LOGS, Log, Run
from mtdnn_kit.trackers import Trackers


class Recorder:
    """Takes the figures of each step; writes them, and moves the bar, when `log_every` steps are together.

    done, sizes: where a run goes on, its steps and the bytes of each log that belong to them. watch: called with those records then, in
    place of the bar; of a run that goes on, first with all that were written before.
    """

    def __init__(self, run: Run, setup: Setup, done: int, sizes: Mapping[str, int], watch: Callable | None, trackers: Trackers):
        self.run, self.setup, self.watch, self.trackers = run, setup, watch, trackers
        self.log: Any  # a `Log`: steps are always written
        self.log, self.pull = (Log(run.path / name, sizes.get(name, 0)) if self._writes(name) else None for name in LOGS)
        self.pending: list[tuple[dict, torch.Tensor]] = []
        self.smooth: dict[str, float] = {}
        self.since = time.perf_counter()
        if watch and done:
            watch(run.log())
        self.bar = None if watch else TrainingBar(len(setup.schedule), done)

    def _writes(self, name: str) -> bool:
        return name == LOGS[0] or self.setup.config.interference_every is not None

    def add(self, step: int, task: str, rate: float, loss: torch.Tensor, norm: torch.Tensor, tokens: int) -> None:
        """Takes the figures of a step (from 0)."""
        record = {"step": step + 1, "epoch": int(self.setup.schedule.epoch[step]), "task": task, "lr": rate, "tokens": tokens}
        self.pending.append((record, torch.stack([loss.float(), norm.float()])))
        if (step + 1) % self.setup.config.log_every == 0:
            self.flush()

    def flush(self) -> None:
        """Waits for the device and writes what is pending. Raises TrainingError where a loss is no finite number."""
        if not self.pending:
            return
        values = torch.stack([figures for _, figures in self.pending]).tolist()
        now, tokens = time.perf_counter(), sum(record["tokens"] for record, _ in self.pending)
        speed = round(tokens / (now - self.since), 1)
        records: list[dict] = []
        for (record, _), (loss, norm) in zip(self.pending, values, strict=True):
            if not (math.isfinite(loss) and math.isfinite(norm)):
                self.log.append(records)  # the good ones before it
                raise diverged(self.run, self.setup, record, loss, norm)
            records.append({**record, "loss": loss, "grad_norm": norm, "tokens_per_second": speed})
        self.log.append(records)
        self.pending, self.since = [], now
        self._show(records)

    def restart_clock(self) -> None:
        """Leaves the time since the last flush out of tokens a second: it went into something else."""
        self.since = time.perf_counter()

    def scores(self, step: int, found: dict[str, dict]) -> None:
        """Writes the threshold articles' scores after a step."""
        self.flush()
        self.log.append([{"step": step + 1, "task": task, "scores": scores} for task, scores in found.items()])
        self.trackers.scores(step + 1, found, "held_out/")
        self.restart_clock()

    def pulls(self, step: int, found: list[dict]) -> None:
        """Writes what `interference.measure` found after a step."""
        self.flush()
        if self.pull:
            self.pull.append([{"step": step + 1, **record} for record in found])
        self.restart_clock()

    def close(self, found: dict[str, dict]) -> None:
        """Ends the bar and, with the run's scores, its trackers."""
        if self.bar:
            self.bar.close()
        self.trackers.scores(len(self.setup.schedule), found)
        self.trackers.close()

    def _show(self, records: list[dict]) -> None:
        for record in records:
            before = self.smooth.get(record["task"], record["loss"])
            self.smooth[record["task"]] = 0.9 * before + 0.1 * record["loss"]
        last = records[-1]
        self.trackers.steps(records)
        if self.watch:
            self.watch(records)
        elif self.bar:
            said = f"{last['task']} {self.smooth[last['task']]:.3f}, {last['tokens_per_second']:,.0f} tokens/s"
            self.bar.move(last["step"], said)
