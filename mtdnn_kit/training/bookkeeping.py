"""What follows each training step: log its figures, score held-out questions and some of the scored rows, measure interference, write
checkpoints, obey signals. Only rank 0 writes; the others wait for it. Knows nothing of how a step is made.
"""

import time
from collections.abc import Callable

from mtdnn_kit.balance.step import Joint
from mtdnn_kit.errors import PluginError, TrainingError
from mtdnn_kit.model.evaluation import constant_scores, held_out_scores, slice_scores
from mtdnn_kit.model.multitask import MultiTask
from mtdnn_kit.runs.run import Run
from mtdnn_kit.training.checkpoints import Point, save_checkpoint
from mtdnn_kit.training.distributed import World
from mtdnn_kit.training.failures import memory
from mtdnn_kit.training.interference import affinities, fixed_batches, measure
from mtdnn_kit.training.interruptions import Stop
from mtdnn_kit.training.log import Recorder
from mtdnn_kit.training.loop import Step
from mtdnn_kit.training.selection import Selection
from mtdnn_kit.training.setup import Setup


class Bookkeeper:
    """`after(step)` for `loop.train_steps`. log: None on all ranks except the first; loss(task, items): the mean loss of some items;
    joint: the object that makes joint steps.

    `seconds`: training time so far, of which `point` had some; `done`: steps made; `ended`: by `patience`, on all ranks alike.
    """

    def __init__(
        self, run: Run, setup: Setup, model: MultiTask, optimizer: object, log: Recorder | None, stop: Stop, world: World,
        precision: str, loss: Callable, point: Point, joint: Joint | None = None,
    ) -> None:  # fmt: skip
        self.run, self.setup, self.model, self.optimizer, self.log = run, setup, model, optimizer, log
        self.stop, self.world, self.precision, self.loss, self.joint = stop, world, precision, loss, joint
        self.fixed, self.before, self.started = fixed_batches(setup), point.seconds, time.perf_counter()
        self.selection, self.done = Selection(run, setup.config) if log else None, point.step
        self.scored_at = {record["step"] for record in run.scorings()} if log else set()
        self.watched_at = max((record["step"] for record in run.watched()), default=0) if log else 0
        self.ended = self._waited()
        self.constants = constant_scores(setup.train, setup.slices, setup.config)

    @property
    def seconds(self) -> float:
        """Seconds of training, including those before a resumption."""
        return self.before + time.perf_counter() - self.started

    def after(self, step: Step) -> bool:
        """Writes what is due after a step; returns whether `patience` ends the training here. Raises Interrupted if a signal has come,
        after writing the checkpoint."""
        self.done = step.number + 1
        if self.joint:
            with memory(self.setup, step.number):
                self.joint.after(step.number, self.setup.parts(step.number), self._ends_epoch(step.number))
        loss, (tokens,) = self.world.mean(step.loss), self.world.sums(step.tokens)
        if self.log:
            self.log.add(step.number, step.task, step.rate, loss, step.norm, tokens, *([self.joint.figures] if self.joint else []))
            if self._measures_after(step.number):
                self.log.flush()  # first: it names a step that diverged, and the time of scoring does not count
                try:
                    self._measure(self.log, step.number)
                except (PluginError, TrainingError):  # a custom score, or full memory: the run resumes from here
                    self.log.flush()
                    self.checkpoint(self.seconds)
                    raise
        # the others wait for rank 0 here
        stopping = self.stop.agreed(self.world.sums)
        if stopping or self._due(step.number, self.setup.config.checkpoint_every):
            if self.log:
                self.log.flush()
                self.checkpoint(self.seconds)
                self.log.restart_clock()
            self.world.wait()
        if stopping:
            self.stop.end(self.run, step.number + 1, len(self.setup.schedule))
        self.ended = self._due(step.number, self.setup.config.eval_every) and self._waited()
        return self.ended

    def checkpoint(self, seconds: float) -> None:
        """Writes a checkpoint of the steps so far, whose logs are written; seconds: of training."""
        save_checkpoint(self.run, self.done, self.model, self.optimizer, seconds, self.joint.state if self.joint else {})

    def close(self) -> float:
        """Writes what is pending after the last step; returns the seconds of training."""
        if self.log:
            self.log.flush()
        return self.seconds

    def catch_up(self) -> None:
        """Measures what was due after the last step before a resumption, if a custom score had raised there."""
        if self.log and self.done and self.setup.slices and self._scores_after(self.done - 1) and self.watched_at < self.done:
            self._measure(self.log, self.done - 1)

    def _measure(self, log: Recorder, step: int) -> None:
        """Scores the held-out questions and each task's slice, and compares the tasks' gradients, if due."""
        config, due = self.setup.config, self._due(step, self.setup.config.eval_every)
        if self._scores_after(step):
            with memory(self.setup):
                # those of a step after which a custom score raised were logged before
                thresholds = self.score(step + 1) if due and step + 1 not in self.scored_at else self._thresholds()
                self.watch(thresholds)
        if self._compares_after(step):
            with memory(self.setup, doing="measuring interference"):
                found = measure(self.model, self.fixed, self.loss, config.grad_accumulation)
                tag = affinities(self.model, self.setup, step, self.loss)
                log.interference(step, [{**record, "affinity": tag[record["task"]]} for record in found])

    def _thresholds(self) -> dict[str, float]:
        """The best thresholds for the held-out questions."""
        return held_out_scores(self.model, self.setup.held_out, self.setup.config, self.precision)[1]

    def watch(self, thresholds: dict[str, float]) -> None:
        """Scores each task's slice after `done` steps, unless it was scored already; without slices does nothing. On rank 0 only."""
        slices = self.setup.slices if self.log and self.watched_at != self.done else {}
        if self.log and slices:
            self.log.flush()
            self.log.watched(self.done - 1, slice_scores(self.model, slices, thresholds, self.setup.config, self.precision), self.constants)
            self.watched_at = self.done

    def score(self, done: int) -> dict[str, float]:
        """Scores the held-out questions after `done` steps, for the log and `selection`; returns the best thresholds. On rank 0 only."""
        found, thresholds = held_out_scores(self.model, self.setup.held_out, self.setup.config, self.precision)
        if self.log and self.selection:
            self.log.scores(done - 1, found)
            self.scored_at.add(done)
            if self.selection.task in found:
                self.selection.saw(done, found, self.model)
        return thresholds

    def select(self) -> dict:
        """Scores the last step, loads the best step's weights into the model, and returns the manifest's record of it; {} for `select:
        last`."""
        if self.setup.config.select == "last" or not self.selection:
            return {}
        if self.done not in self.selection.seen:
            self.score(self.done)
        return {"selected": self.selection.take(self.model, self.done)}

    def _waited(self) -> bool:
        return self.setup.config.patience is not None and self.world.alone(lambda: bool(self.selection and self.selection.waited))

    def _scores_after(self, step: int) -> bool:
        return self.setup.config.eval_every is not None and (self._due(step, self.setup.config.eval_every) or self._ends_block(step))

    def _compares_after(self, step: int) -> bool:
        return self.setup.config.interference_every is not None and (step + 1) % self.setup.config.interference_every == 0

    def _measures_after(self, step: int) -> bool:
        return self._scores_after(step) or self._compares_after(step)

    def _ends_block(self, step: int) -> bool:
        """Whether a task's block of `sampler: sequential` ends with a step (from 0): forgetting counts from there."""
        task = self.setup.schedule.task
        return self.setup.config.sampler == "sequential" and step + 1 < len(task) and bool(task[step] != task[step + 1])

    def _ends_epoch(self, step: int) -> bool:
        return bool((self.setup.schedule.epoch[step : step + 2] != self.setup.schedule.epoch[step]).any())

    def _due(self, step: int, every: int | None) -> bool:
        """Whether something is due after a step (from 0); after the last step, the end of the run does it."""
        return every is not None and (step + 1) % every == 0 and step + 1 < len(self.setup.schedule)
