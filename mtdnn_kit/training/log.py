"""The log of a training and its progress bar. Losses stay on the device until the log is written: that alone waits for it.

Knows what a step was called and what it cost, nothing of how it was made.
"""

import math
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from tqdm import tqdm

from mtdnn_kit.files.wording import duration
from mtdnn_kit.runs.run import LOGS, Log, Run
from mtdnn_kit.training.failures import diverged
from mtdnn_kit.training.setup import Setup
from mtdnn_kit.training.trackers import Trackers


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


class TrainingBar:
    """How far a training is: `move` it along, then `close` it. In a log file there is a line for each tenth of the way."""

    def __init__(self, total: int, done: int):
        self.total, self.done, self.before, self.began = total, done, done, time.monotonic()
        self.output = _notebook_output()
        terminal = not self.output and sys.stderr.isatty()
        self.bar = tqdm(total=total, initial=done, desc="training", unit="step", leave=False) if terminal else None

    def move(self, done: int, said: str) -> None:
        """Shows that `done` steps are made, and what there is to say about the last one."""
        new, old, self.done = done, self.done, done
        if self.bar is not None:
            self.bar.set_postfix_str(said, refresh=False)
            self.bar.update(new - old)
        elif self.output:
            self.output.update({"text/plain": self._line(said)}, raw=True)
        elif 10 * new // self.total > 10 * old // self.total:
            print(self._line(said), file=sys.stderr, flush=True)

    def close(self) -> None:
        """Takes the bar from the terminal; lines stay."""
        if self.bar is not None:
            self.bar.close()

    def _line(self, said: str) -> str:
        made, left = self.done - self.before, self.total - self.done
        time_left = f", {duration((time.monotonic() - self.began) / made * left)} left" if made and left else ""
        return f"training: step {self.done:,} of {self.total:,}, {said}{time_left}"


def _notebook_output() -> Any:
    """An output of the notebook cell that is executed, to be updated in place; None outside a notebook."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if not hasattr(shell, "kernel"):
        return None
    from IPython.display import display

    return display({"text/plain": "training"}, raw=True, display_id=True)
