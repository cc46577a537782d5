"""Loads a finished run's model with the run's parameters, precision and thresholds; all callers share it.

A model is read on first use and cached until six others have been loaded. `asking`, `predictor` and `exporting` use it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from mtdnn_kit.config import Config
from mtdnn_kit.data.registry import ALWAYS
from mtdnn_kit.errors import DamagedWeightsError, DataError, RunError
from mtdnn_kit.model.devices import resolve_device
from mtdnn_kit.model.evaluation import predict
from mtdnn_kit.model.multitask import MultiTask, load_model, takes_token_types
from mtdnn_kit.runs.run import Run
from mtdnn_kit.runs.schema import missing
from mtdnn_kit.tasks import TYPES

HELD = 6  # cached models


@dataclass(frozen=True, eq=False, repr=False)
class Loaded:
    """A run's model with its tokenizer, parameters, precision, and the threshold of each of its qa tasks. All callers share the net and the
    tokenizer: do not change them."""

    name: str
    net: MultiTask
    tokenizer: Any
    config: Config
    precision: str
    thresholds: dict[str, float]

    def features(self, task: str, rows: Sequence) -> Any:
        """Rows of a task as items for the encoder, made as in the run."""
        kind, types = TYPES[self.net.specs[task]["type"]], takes_token_types(self.net.encoder.config)
        return kind.features(rows, self.config.datasets[task], self.tokenizer, self.config, types)

    def predict(self, task: str, rows: Sequence) -> Sequence:
        """The model's predictions for rows of a task, in their order, by task type: `Answer`, or `LabelPrediction` (sc, mcc)."""
        return predict(self.net, task, self.features(task, rows), self.config, self.precision)


def load(run: Run, device: str = "auto") -> Loaded:
    """The model of a finished run, from the cache if it is there and its file has not changed.

    Raises RunError if the run is not finished, or if its model is missing or damaged; EncoderError if the weights do not match its
    config.json; ConfigError for a missing device.
    """
    if not (run.path / "manifest.json").exists():
        raise RunError(missing(run.path, "manifest.json"))
    if not run.finished:
        raise RunError(f"{run.path}: the run is not finished, so it has no model yet; finish it first")
    weights = run.path / "model" / "model.safetensors"
    if not weights.is_file():
        raise RunError(
            f"{run.name} has no model/ to ask: kept runs, pruned runs and imported predictions have none; "
            "copy the folder model/ from where the run was made, or train it again"
        )
    state = weights.stat()
    try:
        net, tokenizer = _loaded(weights.parent, state.st_mtime_ns, state.st_size, resolve_device(device).type)
    except (OSError, SafetensorError, DamagedWeightsError) as error:
        raise RunError(f"{run.name}: its model cannot be loaded ({error}); copy model/ again from where the run was made") from None
    thresholds = {task: threshold_of(run, task) for task, spec in net.specs.items() if spec["type"] == "qa"}
    return Loaded(run.name, net, tokenizer, run.parameters, run.manifest["precision"], thresholds)


def threshold_of(run: Run, task: str) -> float:
    """The tuned threshold of a qa task; 0 if none was tuned; `ALWAYS` if it always answers, as with `unanswerable: false`."""
    manifest = run.manifest
    told = manifest.get("held_out", {}).get(task, {}), manifest.get("imported", {})
    if not run.parameters.datasets[task].unanswerable or any(one.get("always_answers") for one in told):
        return ALWAYS
    return float(run.metrics.get(task, {}).get("threshold", 0.0))


def check_readable(where: str, text: str) -> None:
    """Raises DataError if a text has an unpaired surrogate; where: its name in the message."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"{where} has an unpaired surrogate at character {error.start}, which no tokenizer reads: remove it") from None


@lru_cache(maxsize=HELD)
def _loaded(folder: Path, changed: int, size: int, device: str) -> tuple[MultiTask, object]:
    """`changed` and `size` distinguish files of the same name."""
    net, tokenizer = load_model(folder)
    return net.to(device), tokenizer
