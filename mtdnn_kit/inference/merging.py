"""Merges the encoders of finished runs into one run, which is scored, compared, exported and explored like any other. Trains nothing.

    mtdnn merge runs/qa runs/mnli --method ties --weight 0.5 --weight 1 --run-dir runs/merged

Heads, tasks, parameters and rows are those of the first run. Of several weights it takes the one with the best span F1 on the first
run's held-out questions; no other run may have trained on these. Formulas: `task_vectors`. Shapes: P weights of an encoder.
"""

import platform
from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from mtdnn_kit.config import Config
from mtdnn_kit.errors import ConfigError, DataError, RunError
from mtdnn_kit.files.atomic import write_folder, write_json, write_whole
from mtdnn_kit.files.checks import require
from mtdnn_kit.files.packages import versions
from mtdnn_kit.files.paths import resolve, within_project
from mtdnn_kit.files.wording import short, some
from mtdnn_kit.inference.loading import Loaded, load
from mtdnn_kit.inference.task_vectors import average, task_arithmetic, ties
from mtdnn_kit.model.devices import describe, resolve_device
from mtdnn_kit.model.encoders import find_encoder
from mtdnn_kit.model.evaluation import evaluate, held_out_scores, tuned
from mtdnn_kit.model.multitask import MultiTask, build_model, load_model, save_model, takes_token_types
from mtdnn_kit.model.provenance import NOT_KNOWN, trained_before
from mtdnn_kit.runs.claim import claim
from mtdnn_kit.runs.code_hash import code_hash
from mtdnn_kit.runs.origin import lock, made_with
from mtdnn_kit.runs.run import REQUIREMENTS, Run, now
from mtdnn_kit.training.hold_out import check_not_trained_on
from mtdnn_kit.training.hold_out import record as record_of
from mtdnn_kit.training.setup import make_features, read_rows, tokenizer_digest
from mtdnn_kit.training.trainer import RUN_PACKAGES

METHODS = ("average", "task_arithmetic", "ties")
USUAL = {"task_arithmetic": 0.4, "ties": 1.0}  # recommended without held-out data to choose by (Yadav et al. 2023, section 6)
DENSITY = 0.2  # of ties, by the same


def merge(
    runs: Sequence[Run | str | Path],
    method: str = "average",
    run_dir: str | Path | None = None,
    base: str | Path | None = None,
    weight: float | Sequence[float] | None = None,
    density: float | None = None,
    data: str | None = None,
) -> Run:
    """A finished run folder whose encoder is merged from those of two or more finished runs; heads, tasks and parameters are the first's.

    method: average, task_arithmetic or ties. run_dir: a new folder; None: one in runs/. base: the weights θ₀ of the last two methods,
    a run's folder or an encoder; None: the encoder that the runs' parameters name. weight: λ, or several to choose from on
    held-out questions; None: the plain mean, 0.4 and 1. density: the share of a run's changes that ties keeps, 0.2 for None. data: the
    rows' folder, if it differs from the first run's.
    Raises RunError for runs that cannot be merged; ConfigError, DataError or EncoderError for invalid settings, rows or weights.
    """
    parts = [one if isinstance(one, Run) else Run(one) for one in runs]
    weights = check_merge(len(parts), method, base, weight, density)
    _check_new(run_dir)
    models = [load(one, "cpu") for one in parts]
    _check_alike(parts, models)
    first = models[0]
    place = {"run_dir": None if run_dir is None else str(run_dir), "init_from": str(within_project(parts[0].path)), "resume": False}
    config = Config(**{**parts[0].config, **place, **({"data": data} if data else {})})
    (_, held_out, scored), sources = read_rows(config)
    _check_rows(parts, sources, config)
    check_not_trained_on(config, sources, [str(run.path) for run in parts])
    kinds = first.tokenizer, takes_token_types(first.net.encoder.config)
    held_out, scored = (make_features(config, rows, *kinds) for rows in (held_out, scored))
    require(len(weights) == 1 or held_out, f"weight: {parts[0].name} held out no question to choose among {some(weights)}: name one")
    start, (put, net, record) = now(), _merger(parts, models, method, base, density)
    net.to(resolve_device(config.device))
    tried = _tried(net, put, weights, held_out, config, first.precision) if len(weights) > 1 else []
    best = max(tried, key=lambda one: one["score"])["weight"] if tried else weights[0]
    put(best)
    record |= {"weight": best, **({"by": f"span F1 of {next(iter(held_out))} on its held-out questions", "tried": tried} if tried else {})}
    run = claim(config)
    scores = _score(run, net, first, config, held_out, scored)
    return _finish(
        run, config, scores, {"merged": record, "encoder": _encoder(parts), "data": sources, "start": start, **_made(first, net)}
    )


def check_merge(runs: int, method: str = "average", base: Any = None, weight: Any = None, density: Any = None) -> list[float]:
    """The weights to choose from, one or more; runs: how many. Raises ConfigError for invalid settings."""
    require(method in METHODS, f"method: {short(method)} is unknown; choose from {some(METHODS)}")
    require(runs > 1, "runs: name at least two runs, first the one whose heads are kept")
    require(method != "average" or base is None, "base: average does not use it: leave it out, or choose task_arithmetic or ties")
    given = (runs - 1) / runs if method == "average" else USUAL[method]
    weights = [given if weight is None else weight] if not isinstance(weight, Sequence) else [*weight]
    most, words = (1.0, "from 0 to 1") if method == "average" else (float("inf"), "0 or more")
    for one in weights or [None]:
        fits = isinstance(one, int | float) and not isinstance(one, bool) and isfinite(one) and 0 <= one <= most
        require(fits, f"weight: {short(weight)} must be a number {words}, or a list of such numbers")
    require(len({*weights}) == len(weights), f"weight: {short(weight)} has a number twice: leave one out")
    require(density is None or method == "ties", f"density: {method} does not use it: leave it out, or choose ties")
    usable = density is None or (isinstance(density, float | int) and 0 < density <= 1)
    require(usable, f"density: {short(density)} must be a share above 0, at most 1")
    return [float(one) for one in weights]


def _check_new(run_dir: str | Path | None) -> None:
    """Raises ConfigError if the folder holds a run: a merge is not resumed."""
    held = run_dir is not None and (resolve(str(run_dir)) / "manifest.json").exists()
    require(not held, f"run_dir: {run_dir} holds a run; name another folder, or delete it")


def _check_alike(runs: Sequence[Run], models: Sequence[Loaded]) -> None:
    """Raises RunError, naming two runs, where they started from different encoders, or their tokenizers differ."""
    said = "only runs that started from the same encoder can be merged; leave one of them out"
    for run, model in zip(runs[1:], models[1:], strict=True):
        pair, names = (models[0], model), (models[0].config.encoder, model.config.encoder)
        shapes = [{name: x.shape for name, x in one.net.encoder.named_parameters()} for one in pair]
        if names[0] != names[1] or shapes[0] != shapes[1]:
            unlike = f"{short(names[0])} and {short(names[1])}" if names[0] != names[1] else f"weights of other shapes, {short(names[0])}"
            raise RunError(f"encoder: {runs[0].name} and {run.name} have {unlike}: {said}")
        if tokenizer_digest(pair[0].tokenizer) != tokenizer_digest(pair[1].tokenizer):
            raise RunError(f"tokenizer: those of {runs[0].name} and {run.name} differ: {said}")


def _check_rows(runs: Sequence[Run], sources: Mapping[str, dict], config: Config) -> None:
    """Raises DataError where the rows differ from those of a run."""
    for run in runs:
        for name, source in sources.items():
            if run.manifest["data"].get(name, {}).get("fingerprint") not in (None, source["fingerprint"]):
                raise DataError(f"{name}: the rows in {config.data} differ from those of {run.name}; set data to the folder with its rows")


def _merger(
    runs: Sequence[Run], models: Sequence[Loaded], method: str, base: str | Path | None, density: float | None
) -> tuple[Callable[[float], None], MultiTask, dict]:
    """A function that puts the merged encoder of a weight into the model; that model, the first run's; and the manifest's entry."""
    kept = density or DENSITY
    net, record = load_model(runs[0].path / "model")[0], dict[str, Any](method=method, density=kept if method == "ties" else None)
    record["runs"] = [{"run": run.name, "sha256": find_encoder(str(run.path / "model")).sha256} for run in runs]
    vectors = [_vector(model.net) for model in models]
    begun = vectors[0]
    if method != "average":
        begun, record["base"] = _base(base, runs[0], models[0])

    def put(weight: float) -> None:
        """θ [P] into the model's encoder."""
        if method == "average":
            merged = average(vectors, weight)
        else:
            merged = task_arithmetic(begun, vectors, weight) if method == "task_arithmetic" else ties(begun, vectors, weight, kept)
        vector_to_parameters(merged.to(next(net.parameters()).device), net.encoder.parameters())

    return put, net, record


def _vector(net: MultiTask) -> Tensor:
    """The weights of a model's encoder [P], fp32, on the processor."""
    return parameters_to_vector(net.encoder.parameters()).detach().float().cpu()


def _base(base: str | Path | None, first: Run, model: Loaded) -> tuple[Tensor, dict]:
    """The weights θ₀ [P], and the manifest's entry on them."""
    config, name = model.config, str(base or model.config.encoder)
    path = resolve(name) / "model" if (resolve(name) / "manifest.json").is_file() else None
    encoder = find_encoder(str(path) if path else name)
    before = first.manifest.get("encoder", {})
    if base is None and before.get("origin") not in (None, "run", "merged") and before.get("sha256") != encoder.sha256:
        raise RunError(f"base: {name} has changed since {first.name} started from it; set base to a folder with the original weights")
    # the first run's seed initialises weights that the encoder's files lack (a pooler) as in that run
    net = build_model(encoder.path, {}, 0.0, 0.0, config.max_length, config.seed, 0 if base else config.reinit_layers)
    found, mine = ([x.shape for x in one.encoder.parameters()] for one in (net, model.net))
    if found != mine:
        raise RunError(f"base: {name} has weights of other shapes than {first.name}; name the encoder that the runs started from")
    return _vector(net), {"name": Path(name).name if Path(name).is_absolute() else name, "sha256": encoder.sha256}


def _tried(net: MultiTask, put: Callable, weights: Sequence[float], held_out: dict, config: Config, precision: str) -> list[dict]:
    """The span F1 of each weight, in percent, on the held-out questions of the first task that has any, in the order of the weights."""
    task, rows = next(iter(held_out.items()))
    found = []
    for weight in weights:
        put(weight)
        score = held_out_scores(net, {task: rows}, config, precision)[0][task]["span_f1"]
        if score is None:
            raise ConfigError(f"weight: no held-out question of {task} has an answer, so there is no span F1 to choose by: name one weight")
        found.append({"weight": weight, "score": score})
    return found


def _score(run: Run, net: MultiTask, first: Loaded, config: Config, held_out: dict, scored: dict) -> dict:
    """Writes the model and its predictions; its scores, at a newly tuned threshold."""
    scores = dict[str, Any]()

    def predictions(folder: Path) -> None:
        """Answers to the held-out rows, and then to the scored ones."""
        thresholds = tuned(net, held_out, config, first.precision, folder)
        scores["held_out"] = record_of(config, held_out, thresholds)
        scores["metrics"] = evaluate(net, scored, thresholds, config, first.precision, folder)

    write_folder(run.path / "predictions", predictions)
    write_folder(run.path / "model", lambda folder: save_model(net, first.tokenizer, folder))
    return scores


def _encoder(runs: Sequence[Run]) -> dict:
    """The manifest's entry on the encoder: its name, and what any of the runs was trained on besides the first one's tasks."""
    met = [name for run in runs for name in (trained_before(run) or [NOT_KNOWN])]
    others = [task for run in runs[1:] for task in run.types if task not in runs[0].types]
    return {"name": runs[0].manifest.get("encoder", {}).get("name", "an encoder"), "origin": "merged"} | {
        "trained_on": list(dict.fromkeys([*met, *others]))
    }


def _made(first: Loaded, net: MultiTask) -> dict:
    """The manifest's entries on the machine and software, and zeros for the training, as there was none."""
    device, none = next(net.parameters()).device, dict.fromkeys(first.config.tasks, 0)
    made = {"python": platform.python_version(), "packages": versions(RUN_PACKAGES), "seed": first.config.seed}
    made |= {"device": device.type, "machine": describe(device), "threads": torch.get_num_threads(), "precision": first.precision}
    made |= {"plugins": first.config.plugin_records} if first.config.plugin_records else {}
    return {**made, "processes": 1, "steps": 0, "draws": none, "passes": none, "train_seconds": 0.0, **made_with()}


def _finish(run: Run, config: Config, scores: dict, record: dict) -> Run:
    """Parameters, scores, a log without steps and, last, the manifest, which says "finished"."""
    write_whole(run.path / REQUIREMENTS, lock(record))
    write_whole(run.path / "config.yaml", config.to_yaml())
    write_whole(run.path / "log.jsonl", "")
    write_json(run.path / "metrics.json", scores["metrics"])
    ended = {"held_out": scores["held_out"], "end": now()}
    write_json(run.path / "manifest.json", {"status": "finished", "code": code_hash(), **record, **ended})
    return run
