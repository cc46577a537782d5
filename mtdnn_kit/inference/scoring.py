"""Scores a finished run on further rows: another test set, another domain, the other half of a split.

    mtdnn score RUN [RUN …] --data FOLDER | --define FILE [--task TASK]

The run's head, precision and threshold score all of them, whatever `eval_limit` was. Predictions are saved next to the run's under the
set's name; scores, with the rows' fingerprint, go into scored/NAME.json, which is written last (`Run.later`). The run's files do not
change, and comparisons, tables and the explorer find the set in `scored_also`.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from mtdnn_kit.config import Config
from mtdnn_kit.data.definitions import TRAINED, label_names
from mtdnn_kit.data.registry import KINDS, Dataset
from mtdnn_kit.data.sources import SAMPLE, Rows, load
from mtdnn_kit.errors import ConfigError, RunError, YamlError
from mtdnn_kit.files.atomic import make_folder, write_json
from mtdnn_kit.files.checks import require
from mtdnn_kit.files.locks import held
from mtdnn_kit.files.paths import resolve
from mtdnn_kit.files.wording import short, some
from mtdnn_kit.files.yaml_files import read_yaml, text_of
from mtdnn_kit.inference.loading import Loaded
from mtdnn_kit.inference.loading import load as load_model
from mtdnn_kit.model.evaluation import evaluate
from mtdnn_kit.model.multitask import takes_token_types
from mtdnn_kit.runs.code_hash import code_hash
from mtdnn_kit.runs.run import LATER_FOLDER, LOCK_FILE, Run, now
from mtdnn_kit.training.setup import make_features

LONGEST = 40  # letters of a set's name (`config`)
Sets = dict[str, dict]  # name → registry row, as in `scored_also`


def score(
    run: Run | str | Path,
    data: str | Path | None = None,
    define: str | Path | Mapping[str, dict] | None = None,
    task: str | None = None,
    name: str | None = None,
    device: str = "auto",
) -> dict[str, dict]:
    """Scores a finished run on further rows and saves predictions and scores with it: {set's name: scores}, as in metrics.json.

    data: "sample", "hub" or a folder in the layout of the run's tasks: each set is called TASK-FOLDER. define: custom rows, a file or
    {NAME: row} as in `scored_also`. task: the task whose head scores them; None: with `data` each task whose rows exist, with `define`
    the task that the row names or that fits. name: of the set, if there is one. Sets that the same code has scored before are not scored
    again. Raises ConfigError, DataError or RunError: no such task, invalid rows, no model, a name already used for other rows.
    """
    run = run if isinstance(run, Run) else Run(run)
    require((data is None) != (define is None), "data, define: give one of them: a folder of rows, or their definition")
    model = load_model(run, device)
    require(task is None or task in model.config.tasks, f"task: {run.name} has no task {short(task)}; it has {some(model.config.tasks)}")
    given = _of_data(model.config, str(data), task) if define is None else _of_definition(model.config, define, task)
    require(name is None or len(given) == 1, f"name: there are several sets, {some(given)}: leave it out, or name the task")
    given = dict(zip([name] if name else given, given.values(), strict=True))
    for one in given:
        taken = one in run.config.get("scored_also", {}) or (one in run.metrics and one not in run.later)
        require(not taken, f"{one}: {run.name} was scored on a set of this name in training: choose another name")
    config = replace(model.config, scored_also={**model.config.scored_also, **given})
    return {one: _scored(run, model, config, one) for one in given}


def _scored(run: Run, model: Loaded, config: Config, name: str) -> dict:
    """The scores of one set: the saved ones if rows and code are the same, or new ones, which are then saved. Raises RunError."""
    dataset, kept = config.dataset_of(name), run.later.get(name)
    rows = load(name, dataset, str(dataset.score), config.data_of(name))
    record = _record(name, config, rows)
    if kept and rows.fingerprint not in {source["fingerprint"] for source in kept["data"].values()}:
        raise RunError(
            f"{name}: {run.name} was scored on other rows under this name before ({LATER_FOLDER}/{name}.json): choose another name"
        )
    if kept and all(kept.get(key) == value for key, value in record.items()):
        return kept["scores"]
    features = make_features(config, {name: rows.rows}, model.tokenizer, takes_token_types(model.net.encoder.config))
    with held(run.path / LOCK_FILE, "the run is scored or trained"):
        scores = evaluate(model.net, features, model.thresholds, config, model.precision, run.path / "predictions")[name]
        make_folder(run.path / LATER_FOLDER)
        device = next(model.net.parameters()).device.type
        write_json(run.path / LATER_FOLDER / f"{name}.json", {**record, "device": device, "end": now(), "scores": scores})
    return run.later[name]["scores"]


def _record(name: str, config: Config, rows: Rows) -> dict[str, Any]:
    """What scores depend on besides the model, as JSON."""
    source = {"origin": rows.origin, "rows": len(rows), "fingerprint": rows.fingerprint, "file": rows.file}
    own = {"plugins": config.plugin_records} if config.plugin_records else {}
    return json.loads(json.dumps({"set": config.scored_also[name], "data": {f"{name}/{rows.split}": source}, "code": code_hash(), **own}))


def _of_data(config: Config, data: str, task: str | None) -> Sets:
    """One set for each task whose rows exist, or for the named one."""
    place = Path(data) if data in ("sample", "hub") else resolve(data)
    tasks = [task] if task else [name for name, dataset in config.datasets.items() if _there(dataset, data, place)]
    remedy = "each task needs a folder there, e.g. squad/validation.jsonl.gz; for other rows give a definition (define)"
    require(tasks, f"data: {place} has no rows for any of the tasks {some(config.tasks)}: {remedy}")
    called = re.sub(r"[^\w-]+", "-", place.name, flags=re.ASCII).strip("-") or "data"
    return {f"{name}-{called}"[:LONGEST]: {"task": name, "data": data} for name in tasks}


def _there(dataset: Dataset, data: str, place: Path) -> bool:
    return bool(dataset.hub) if data == "hub" else ((SAMPLE if data == "sample" else place) / dataset.folder).is_dir()


def _of_definition(config: Config, define: str | Path | Mapping, task: str | None) -> Sets:
    """The sets of a mapping {NAME: row}, or of a file: rows as in `scored_also`, or a parameter file, whose `define` is scored entirely.
    Each with the task that scores it."""
    where = "define" if isinstance(define, Mapping) else str(define)
    given = dict(define) if isinstance(define, Mapping) else _read(where)
    parts = [given[key] for key in ("define", "scored_also") if isinstance(given.get(key), Mapping)]
    sets = {str(name): row for part in parts or [given] for name, row in part.items()}
    form = "it must map a set's name to its definition, as `mtdnn data FILE` prints it"
    require(sets and all(isinstance(row, Mapping) for row in sets.values()), f"{where}: {form}")
    sets = {name: _to_score(row) if name in (given.get("define") or {}) else row for name, row in sets.items()}
    for name, row in sets.items():
        other = task is not None and row.get("task", task) != task
        require(not other, f"{where}: {name}: its definition names task {short(row.get('task'))}, not {short(task)}: leave one of them out")
    return {name: {**row, "task": row.get("task") or task or _fitting(config, f"{where}: {name}", row)} for name, row in sets.items()}


def _to_score(row: Mapping) -> dict:
    """Turns a definition for training into one for scoring only: its scored file, or the only one that it names, entirely."""
    files, kept = row.get("files"), {key: value for key, value in row.items() if key not in (*TRAINED, "files")}
    if not isinstance(files, Mapping) or not files:
        return {**kept, **({"files": files} if "files" in row else {})}
    place = files.get(row.get("score", "validation"), next(iter(files.values())))
    return {**kept, "score": "validation", "files": {"validation": place}}


def _read(file: str) -> dict:
    try:
        found = read_yaml(text_of(resolve(file)))
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read ({error.strerror}); looked for {resolve(file)}") from None
    except YamlError as error:
        raise ConfigError(f"{file}: not YAML ({error}); correct it") from None
    return found if isinstance(found, dict) else {}


def _fitting(config: Config, where: str, row: Mapping) -> str:
    """The task for rows that name none: of the same type and, if the rows name labels, with these labels; the first of several question
    answering tasks. Raises ConfigError if none fits, or several do."""
    kind, labels = row.get("type", "qa"), label_names(row.get("labels") or ())
    same = [task for task, dataset in config.datasets.items() if dataset.type == kind]
    if kind in KINDS and KINDS[kind].labelled and labels:
        same = [task for task in same if set(config.datasets[task].labels) == set(labels)]
    have = ", ".join(f"{task} ({dataset.type})" for task, dataset in config.datasets.items())
    require(same, f"{where}: no task of the run is of type {short(kind)}{' with these labels' * bool(labels)}; there are {have}")
    require(kind == "qa" or len(same) == 1, f"{where}: {some(same)} could score it: name one of them as `task`")
    return same[0]
