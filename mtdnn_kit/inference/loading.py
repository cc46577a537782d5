"""A finished run's model, loaded: with the run's own parameters, precision and thresholds, and shared by all that ask for it.

A model is read when it is first asked for and kept until six others have been. What is done with it is `asking`'s, `predictor`'s and
`exporting`'s business.
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

HELD = 6  # models at a time


@dataclass(frozen=True, eq=False, repr=False)
class Loaded:
    """A run's model and what it reads texts with: its tokenizer and parameters, the precision that it had, and the threshold of each of its
    qa tasks. The net and the tokenizer are shared by all that loaded it: not to be changed."""

    name: str
    net: MultiTask
    tokenizer: Any
    config: Config
    precision: str
    thresholds: dict[str, float]

    def features(self, task: str, rows: Sequence) -> Any:
        """Rows of a task as items that fit into the encoder, as the run read its own."""
        kind, types = TYPES[self.net.specs[task]["type"]], takes_token_types(self.net.encoder.config)
        return kind.features(rows, self.config.datasets[task], self.tokenizer, self.config, types)

    def predict(self, task: str, rows: Sequence) -> Sequence:
        """What the model says of rows of a task, in their order, each as its task type has it: `Answer`, or `LabelPrediction` (sc, mcc)."""
        return predict(self.net, task, self.features(task, rows), self.config, self.precision)


def load(run: Run, device: str = "auto") -> Loaded:
    """The model of a finished run; at once where it was among the last HELD and its file is still the same.

    Raises RunError where the run is not finished, or its model is not there or damaged; EncoderError where weights are not those of its
    config.json; ConfigError for a device that is not there.
    """
    if not (run.path / "manifest.json").exists():
        raise RunError(missing(run.path, "manifest.json"))
    if not run.finished:
        raise RunError(f"{run.path}: the run is not finished, so there is no model to ask")
    weights = run.path / "model" / "model.safetensors"
    if not weights.is_file():
        raise RunError(
            f"{run.name} has no model/ to ask: what is kept of a run has none, nor have pruned runs and imported predictions; "
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
    """The tuned threshold of a qa task; 0 where none was tuned; `ALWAYS` where it always answers, as with `unanswerable: false`."""
    if not run.parameters.datasets[task].unanswerable or run.manifest.get("held_out", {}).get(task, {}).get("always_answers"):
        return ALWAYS
    return float(run.metrics.get(task, {}).get("threshold", 0.0))


def check_readable(where: str, text: str) -> None:
    """Raises DataError where a text has half a surrogate pair, `where` being what it is called."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"{where} has half a surrogate pair at character {error.start}, which no tokenizer reads") from None


@lru_cache(maxsize=HELD)
def _loaded(folder: Path, changed: int, size: int, device: str) -> tuple[MultiTask, object]:
    """`changed` and `size` tell a file from another one of its name."""
    net, tokenizer = load_model(folder)
    return net.to(device), tokenizer
