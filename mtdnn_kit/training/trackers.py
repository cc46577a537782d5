"""Experiment trackers (TensorBoard, Weights & Biases and others), through accelerate: what a run's log says, and its scores at the end.

Those that keep files have them in the run folder, in `trackers/`. Knows nothing of how the figures were made.
"""

from dataclasses import asdict

from accelerate import Accelerator
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers
from accelerate.utils import LoggerType, ProjectConfiguration

from mtdnn_kit.config import Config
from mtdnn_kit.errors import ConfigError
from mtdnn_kit.runs.run import Run

PROJECT, FOLDER = "mtdnn-kit", "trackers"
PACKAGES = {"comet_ml": "comet-ml"}  # what pip calls them, where that is another name
FIGURES = ("lr", "grad_norm", "tokens_per_second")


def names(config: Config) -> list[str]:
    """The trackers that a run asks for."""
    return [config.log_with] if isinstance(config.log_with, str) else list(config.log_with or [])


def check(config: Config) -> None:
    """Raises ConfigError where `log_with` names a tracker that accelerate does not know, or that is not installed."""
    known = [name for name in LOGGER_TYPE_TO_CLASS if name != "all"]
    installed = [str(tracker) for tracker in get_available_trackers()]
    own = [name for name in known if name not in [str(tracker) for tracker in LoggerType]]  # registered with accelerate by the user
    there = f"Installed: {', '.join(installed + own) or 'none'}."
    for name in names(config):
        if name not in known:
            raise ConfigError(f"log_with: {name!r} is no tracker that accelerate knows: {', '.join(known)}. {there}")
        if name not in installed + own:
            raise ConfigError(f"log_with: {name!r} is not installed. {there} Install it (pip install {PACKAGES.get(name, name)}).")


def options(config: Config, run: Run) -> dict:
    """What `Accelerator` is given for them; {} without any."""
    wanted = names(config)
    place = ProjectConfiguration(project_dir=str(run.path), logging_dir=str(run.path / FOLDER))
    return {"log_with": wanted, "project_config": place} if wanted else {}


def flat(config: Config) -> dict:
    """The parameters as trackers take them: numbers, texts, true and false; lists and mappings as text."""
    plain = (bool, int, float, str)
    return {key: value if isinstance(value, plain) else str(value) for key, value in asdict(config).items() if value is not None}


class Trackers:
    """Those of one run at work; without any, nothing happens. done: steps of a run that goes on; what was told after them is void."""

    def __init__(self, accelerator: Accelerator, config: Config, done: int = 0):
        self.accelerator, self.active = accelerator, bool(names(config))
        if self.active:
            since = {"tensorboard": {"purge_step": done + 1}} if done else {}
            accelerator.init_trackers(PROJECT, flat(config), since)

    def steps(self, records: list[dict]) -> None:
        """Takes log records: the loss under its task's name, and the rest."""
        for record in records if self.active else []:
            figures = {name: record[name] for name in FIGURES if name in record}
            self.accelerator.log({f"loss/{record['task']}": record["loss"], **figures}, step=record["step"])

    def scores(self, step: int, found: dict[str, dict], prefix: str = "") -> None:
        """Takes {task: scores} after a step."""
        if self.active:
            flat_scores = {f"{prefix}{task}/{name}": value for task, scores in found.items() for name, value in scores.items()}
            self.accelerator.log({name: value for name, value in flat_scores.items() if value is not None}, step=step)

    def close(self) -> None:
        """Ends them. (accelerate's own `end_training` would end the process group, too, which a second training still needs.)"""
        for tracker in self.accelerator.trackers if self.active else []:
            tracker.finish()
        self.active = False
