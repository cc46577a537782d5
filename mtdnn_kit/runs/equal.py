"""Compares two runs of the same parameters file by file: what is equal bit for bit, and where they diverge.

Ignores times and speeds. Knows no model: weights are compared as bytes.
"""

from pathlib import Path

from mtdnn_kit.data.cache import sha256_of
from mtdnn_kit.runs.environment import UNTOLD, changes, environment
from mtdnn_kit.runs.run import LOGS, Run

SAME, DIFFERENT = "equal", "different"
_SPEED = "tokens_per_second"


def compare_runs(before: Run, again: Run) -> list[dict[str, str]]:
    """A row for each of: code, custom functions, data, environment, losses and rates step by step, weights, scores task by task,
    answers file by file."""
    rows = [("code", _verdict(before.manifest.get("code"), again.manifest.get("code"), "other code made it"))]
    own, now = (run.manifest.get("plugins", {}) for run in (before, again))
    other = [name for name in dict.fromkeys([*own, *now]) if own.get(name) != now.get(name)]
    rows += [("custom functions", f"{DIFFERENT}: {', '.join(other)}" if other else SAME)] if own or now else []
    rows += [(f"data: {name}", said) for name, said in _data(before, again).items()]
    other = changes(environment(before.manifest), environment(again.manifest))
    rows += [("environment", f"{DIFFERENT}: {', '.join(other)}" if other else SAME), ("every step", _steps(before, again))]
    rows += [("weights", _files(before, again, "model/model.safetensors"))]
    rows += [(f"scores: {task}", _scores(before, again, task)) for task in before.metrics]
    names = {path.name for run in (before, again) for path in (run.path / "predictions").glob("*") if path.is_file()}
    rows += [(name, _files(before, again, f"predictions/{name}")) for name in sorted(names)]
    return [{"what": what, "result": said} for what, said in rows]


def _verdict(one: object, two: object, different: str = "") -> str:
    if one is None or two is None:
        return UNTOLD
    return SAME if one == two else DIFFERENT + (f": {different}" if different else "")


def _data(before: Run, again: Run) -> dict[str, str]:
    one, two = ({name: split.get("fingerprint") for name, split in run.manifest.get("data", {}).items()} for run in (before, again))
    return {name: _verdict(one.get(name), two.get(name), "other rows") for name in dict.fromkeys([*one, *two])}


def _steps(before: Run, again: Run) -> str:
    """The verdict on the logs: the first step at which loss, rate, gradient or tokens differ."""
    if not all((run.path / LOGS[0]).is_file() for run in (before, again)):
        return UNTOLD
    one, two = ([{key: value for key, value in record.items() if key != _SPEED} for record in run.log()] for run in (before, again))
    parted = next((a["step"] for a, b in zip(one, two, strict=False) if a != b), None)
    if parted is None and len(one) != len(two):
        return f"{DIFFERENT}: {len(one)} steps, then {len(two)}"
    return f"{SAME}, {len(one)} of them" if parted is None else f"{DIFFERENT} from step {parted} on"


def _scores(before: Run, again: Run, task: str) -> str:
    one, two = before.metrics[task], again.metrics.get(task)
    if two is None:
        return UNTOLD
    parted = {name: (value, two.get(name)) for name, value in one.items() if value != two.get(name)}
    said = ", ".join(f"{name} {_number(a)}, then {_number(b)}" for name, (a, b) in parted.items())
    return f"{DIFFERENT}: {said}" if parted else SAME


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.6g}"


def _files(before: Run, again: Run, name: str) -> str:
    return _verdict(_hash(before.path / name), _hash(again.path / name))


def _hash(file: Path) -> str | None:
    return sha256_of(file) if file.is_file() else None
