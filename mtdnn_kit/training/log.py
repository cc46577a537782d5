"""The outputs of a training: its log, its progress bar, and experiment trackers (TensorBoard, Weights & Biases and others).

Losses stay on the device until the log is written, which is the only wait for it. Trackers are accelerate's; their files go into
`trackers/` in the run folder. Knows a step's name and figures, nothing of how it was made.
"""

import math
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers
from accelerate.utils import LoggerType
from tqdm import tqdm

from mtdnn_kit.config import Config
from mtdnn_kit.files.checks import require
from mtdnn_kit.files.wording import duration
from mtdnn_kit.runs.run import LOGS, OF_SCORED_ROWS, Log, Run, smoothed
from mtdnn_kit.training.failures import diverged
from mtdnn_kit.training.setup import Setup

PROJECT, FOLDER = "mtdnn-kit", "trackers"  # the trackers' project name; their folder in the run folder
FIGURES = ("lr", "grad_norm", "tokens_per_second")  # figures of a log record that trackers get besides the loss


def trackers_of(config: Config) -> list[str]:
    """The trackers that a run asks for, by accelerate's names."""
    return [config.log_with] if isinstance(config.log_with, str) else list(config.log_with or [])


def check_trackers(config: Config) -> None:
    """Raises ConfigError if `log_with` names a tracker that accelerate does not know, or that is not installed."""
    known = list(LOGGER_TYPE_TO_CLASS)
    # trackers that the user has registered with accelerate are not among its types
    installed = [name for name in known if name not in LoggerType or LoggerType(name) in get_available_trackers()]
    there = f"Installed: {', '.join(installed) or 'none'}."
    for name in trackers_of(config):
        require(name in known, f"log_with: {name!r} is not a tracker that accelerate knows: {', '.join(known)}. {there}")
        require(name in installed, f"log_with: {name!r} is not installed. {there} Install it (pip install {name.replace('_', '-')}).")


class Recorder:
    """Collects the figures of each step; every `log_every` steps writes them, passes them to the trackers, and moves the bar.

    done, sizes: of a resumed run, its steps and the bytes of each log that belong to them; figures that trackers got after them are void.
    watch: called with those records instead of the bar; for a resumed run, first with all earlier records.
    """

    def __init__(self, run: Run, setup: Setup, done: int, sizes: Mapping[str, int], watch: Callable | None, accelerator: Accelerator):
        self.run, self.setup, self.watch, self.accelerator = run, setup, watch, accelerator
        wanted = LOGS if setup.config.interference_every else LOGS[:1]
        logs = {name: Log(run.path / name, sizes.get(name, 0)) for name in wanted}
        self.log, self.interference_log = logs[LOGS[0]], logs.get(LOGS[1])
        # trackers take numbers and texts
        plain = {k: v if isinstance(v, int | float | str) else str(v) for k, v in asdict(setup.config).items() if v is not None}
        accelerator.init_trackers(PROJECT, plain, {"tensorboard": {"purge_step": done + 1}} if done else {})
        self.pending: list[tuple[dict, torch.Tensor]] = []
        self.smooth: dict[str, float] = {}
        self.since = time.perf_counter()
        before = run.log() if done else []
        for record in before:  # the shown loss continues from before
            self._smoothed(record)
        if watch and done:
            watch(before)
        self.bar = None if watch else TrainingBar(len(setup.schedule), done)

    def add(
        self, step: int, task: str, rate: float, loss: torch.Tensor, norm: torch.Tensor, tokens: int,
        joint: tuple[torch.Tensor, torch.Tensor] | None = None,
    ) -> None:  # fmt: skip
        """Takes the figures of a step (from 0); joint: for a joint step the tasks' losses [K] and weights [K]."""
        record = {"step": step + 1, "epoch": int(self.setup.schedule.epoch[step]), "task": task, "lr": rate, "tokens": tokens}
        more = [x.to(loss.device).float() for x in joint or ()]
        self.pending.append((record, torch.cat([torch.stack([loss.float(), norm.float()]), *more])))
        if (step + 1) % self.setup.config.log_every == 0:
            self.flush()

    def flush(self) -> None:
        """Waits for the device and writes what is pending. Raises TrainingError if a loss is NaN or infinite."""
        if not self.pending:
            return
        values = torch.stack([figures for _, figures in self.pending]).tolist()
        now, tokens = time.perf_counter(), sum(record["tokens"] for record, _ in self.pending)
        speed = round(tokens / (now - self.since), 1)
        records: list[dict] = []
        for (record, _), (loss, norm, *more) in zip(self.pending, values, strict=True):
            if not all(map(math.isfinite, (loss, norm, *more))):
                self.log.append(records)  # the valid ones before it
                raise diverged(self.run, self.setup, record, loss, norm)
            records.append({**record, "loss": loss, "grad_norm": norm, "tokens_per_second": speed, **self._by_task(more)})
        self.log.append(records)
        self.pending, self.since = [], now
        self._show(records)

    def _by_task(self, figures: list[float]) -> dict[str, dict[str, float]]:
        """Losses and weights [2K] of a joint step, by task; {} for a drawn one."""
        names = self.setup.schedule.tasks
        pairs = (("losses", figures[: len(names)]), ("weights", figures[len(names) :]))
        return {key: dict(zip(names, some, strict=True)) for key, some in pairs} if figures else {}

    def restart_clock(self) -> None:
        """Excludes the time since the last flush from tokens per second: it went into something else."""
        self.since = time.perf_counter()

    def scores(self, step: int, found: dict[str, dict]) -> None:
        """Writes the held-out questions' scores after a step."""
        self.flush()
        self.log.append([{"step": step + 1, "task": task, "scores": scores} for task, scores in found.items()])
        self._tell_scores(step + 1, found, "held_out/")
        self.restart_clock()

    def watched(self, step: int, found: dict[str, dict], constants: dict[str, dict]) -> None:
        """Writes the scores of each task's slice after a step, with those of a constant answer (`evaluation.constant_scores`)."""
        of = {"step": step + 1, "of": OF_SCORED_ROWS}
        self.log.append([{**of, "task": task, "scores": scores, "constant": constants.get(task, {})} for task, scores in found.items()])
        self._tell_scores(step + 1, found, "slice/")
        self.restart_clock()

    def interference(self, step: int, found: list[dict]) -> None:
        """Writes what `interference.measure` found after a step."""
        self.flush()
        if self.interference_log:
            self.interference_log.append([{"step": step + 1, **record} for record in found])
        self.restart_clock()

    def close(self, done: int, found: dict[str, dict]) -> None:
        """Ends the bar and, with the run's scores after `done` steps, its trackers."""
        if self.bar:
            self.bar.close()
        self._tell_scores(done, found)
        for tracker in self.accelerator.trackers:  # `end_training` would also end the process group, which a second training needs
            tracker.finish()

    def _tell_scores(self, step: int, found: dict[str, dict], prefix: str = "") -> None:
        scores = {f"{prefix}{task}/{name}": value for task, some in found.items() for name, value in some.items() if value is not None}
        self.accelerator.log(scores, step=step)

    def _show(self, records: list[dict]) -> None:
        for record in records:
            shown = {f"loss/{task}": loss for task, loss in self._smoothed(record).items()}
            self.accelerator.log({**shown, **{name: record[name] for name in FIGURES}}, step=record["step"])
        if self.watch:
            self.watch(records)
        elif self.bar:
            last = records[-1]
            self.bar.move(last["step"], f"{last['task']} {self.smooth[last['task']]:.3f}, {last['tokens_per_second']:,.0f} tokens/s")

    def _smoothed(self, record: dict) -> dict[str, float]:
        """Updates the displayed losses with those of a step; {task: loss}."""
        losses = record.get("losses") or {record["task"]: record["loss"]}
        self.smooth |= {task: smoothed(self.smooth.get(task), loss) for task, loss in losses.items()}
        return losses


class TrainingBar:
    """The progress of a training: `move` it, then `close` it. In a log file it writes one line per tenth of the way.

    what, unit: its name and unit, for progress of something else.
    """

    def __init__(self, total: int, done: int, what: str = "training", unit: str = "step"):
        self.total, self.done, self.before, self.began = total, done, done, time.monotonic()
        self.what, self.unit = what, unit
        self.output = _notebook_output()
        terminal = not self.output and sys.stderr.isatty()
        self.bar = tqdm(total=total, initial=done, desc=what, unit=unit, leave=False, disable=not terminal)

    def move(self, done: int, said: str) -> None:
        """Shows that `done` steps are made, and a text about the last one."""
        new, old, self.done = done, self.done, done
        self.bar.set_postfix_str(said, refresh=False)
        self.bar.update(new - old)
        if self.output:
            self.output.update({"text/plain": self._line(said)}, raw=True)
        elif self.bar.disable and 10 * new // self.total > 10 * old // self.total:
            print(self._line(said), file=sys.stderr, flush=True)

    def close(self) -> None:
        """Removes the bar from the terminal; lines stay."""
        self.bar.close()

    def _line(self, said: str) -> str:
        made, left = self.done - self.before, self.total - self.done
        time_left = f", {duration((time.monotonic() - self.began) / made * left)} left" if made and left else ""
        return f"{self.what}: {self.unit} {self.done:,} of {self.total:,}{said and ', '}{said}{time_left}"


def _notebook_output() -> Any:
    """An output of the running notebook cell, to update in place; None outside a notebook."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if not hasattr(shell, "kernel"):
        return None
    from IPython.display import display

    return display({"text/plain": "training"}, raw=True, display_id=True)
