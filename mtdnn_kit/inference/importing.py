"""Imports other people's answers and models as run folders, to be scored, compared and explored like any run.

`import_run` takes a predictions file in the official format of SQuAD, `{id: text}`, or a question-answering model in transformers' format:
a folder, or a name on the Hugging Face hub. Reads weights from safetensors only, and never runs a model's code.
"""

import hashlib
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import yaml
from transformers import AutoModelForQuestionAnswering

from mtdnn_kit.config import Config
from mtdnn_kit.data.registry import ALWAYS
from mtdnn_kit.data.rows import QARow, gold_texts
from mtdnn_kit.errors import EncoderError, RunError
from mtdnn_kit.files.atomic import write_folder, write_json, write_whole
from mtdnn_kit.files.checks import known_keys
from mtdnn_kit.files.json_files import read_json
from mtdnn_kit.files.paths import resolve
from mtdnn_kit.files.wording import short
from mtdnn_kit.inference.exporting import EXPORTED
from mtdnn_kit.metrics import matched, qa_scores
from mtdnn_kit.model.devices import describe, resolve_device, resolve_precision
from mtdnn_kit.model.encoders import Encoder, find_encoder
from mtdnn_kit.model.evaluation import evaluate, tuned
from mtdnn_kit.model.multitask import (
    OURS,
    MultiTask,
    build_model,
    load_encoder_config,
    load_tokenizer,
    quiet,
    save_model,
    takes_token_types,
)
from mtdnn_kit.runs.claim import claim
from mtdnn_kit.runs.code_hash import code_hash
from mtdnn_kit.runs.run import Run, now
from mtdnn_kit.runs.schema import MANIFEST_FORM, is_number, problem
from mtdnn_kit.training.hold_out import record as record_of
from mtdnn_kit.training.setup import make_features, read_rows

TUNED_ON = ("rule", "questions", "unanswerable", "titles", "passages", "always_answers")  # the record of a tuned threshold
ANSWERS = ("eval_limit", "define")  # the settings for a predictions file


def import_run(source: str | Path, run_dir: str | Path, data: str = "sample", task: str = "squad", **settings: Any) -> Run:
    """A finished run folder from `source`: a predictions file (.json), or else a question-answering model.

    data: where the scored rows are ("sample", "hub", a folder); settings: parameters of evaluation (`max_length`, `overlap`,
    `max_answer`, `n_best`, `threshold_articles` or `threshold_ratio`, `device`, `precision`, …); a predictions file takes `eval_limit`
    and `define` only. Unless these settings hold questions out to tune it, the threshold is the one that `export` recorded; without one it
    is tuned on the sample's own articles where `data` is the sample, else 0. Answers from a file have no n-best, hence neither span scores
    nor probabilities.
    Raises RunError, EncoderError, ConfigError or DataError, saying what is wrong and where, before the folder is written.
    """
    given = [one.name for one in fields(Config) if one.name not in ("tasks", "encoder")]
    known_keys(settings, given, what="parameter", hint=" Name the task as `task`, and the model as `source`.")
    config = Config(**{"run_dir": str(run_dir), "data": data, "tasks": [task], "qa_weight": 1.0, **settings})
    if config.datasets[task].type != "qa" or not config.datasets[task].score:
        raise RunError(f"task: {task!r} has no scored questions; name a question answering task that is scored")
    file = resolve(str(source))
    if file.suffix.lower() == ".json":
        return _import_answers(file, config, settings)
    if file.is_file():
        raise RunError(f"source: {file.name}: a predictions file is JSON, {{id: text}}, uncompressed and named .json; a model is a folder")
    return _import_model(str(source), config, bool(settings.get("threshold_articles") or settings.get("threshold_ratio")))


def _import_answers(file: Path, config: Config, settings: dict) -> Run:
    for key in settings:
        if key not in ANSWERS:
            raise RunError(f"{key}: it applies to models only; leave it out for a predictions file")
    (_, _, scored), sources = read_rows(config, training=False)
    task, predictions, start = config.tasks[0], read_predictions(file), now()
    parts = {name: rows for name, rows in scored.items() if name == task or any(row.id in predictions for row in rows)}
    try:
        matched({row.id: gold_texts(row) for rows in parts.values() for row in rows}, predictions)
    except ValueError as error:
        few = f"; of the rows only {config.eval_limit}, spread over the file, are read: leave eval_limit out" if config.eval_limit else ""
        raise RunError(f"{file.name}: {error}{few}") from None
    imported = {"kind": "predictions", "name": file.name, "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}

    def fill(folder: Path) -> None:
        for name, rows in parts.items():
            write_json(folder / f"{name}.json", {row.id: predictions[row.id] for row in rows})

    run, metrics = claim(config), {name: _scores(rows, predictions) for name, rows in parts.items()}
    write_folder(run.path / "predictions", fill)
    given = {key: getattr(config, key) for key in ("run_dir", "data", "tasks", "qa_weight", *ANSWERS)}
    return _finish(run, yaml.safe_dump(given, sort_keys=False), metrics, {"imported": imported, "data": sources, "start": start})


def _scores(rows: list[QARow], predictions: dict[str, str]) -> dict[str, float | None]:
    """Those of a run's scores that need only answers, under the same names."""

    def of(some: list[QARow]) -> dict:
        return qa_scores([predictions[row.id] for row in some], [gold_texts(row) for row in some]) if some else {"em": None, "f1": None}

    able, unable = of([row for row in rows if row.answers]), of([row for row in rows if not row.answers])
    return {**of(rows), "has_answer_em": able["em"], "has_answer_f1": able["f1"], "no_answer_accuracy": unable["em"]}


def read_predictions(file: Path) -> dict[str, str]:
    """{id: text} of a file in the official format. Raises RunError if the file is missing, has another form, or repeats an id."""
    try:
        found = read_json(file.read_bytes().removeprefix(b"\xef\xbb\xbf"))
    except OSError as error:
        raise RunError(f"{file}: cannot be read ({error.strerror}); correct the path") from None
    except ValueError as error:
        raise RunError(f"{file.name}: cannot be read ({error}); it must be JSON, {{id: text}}, each id once") from None
    if not isinstance(found, dict):
        raise RunError(f"{file.name}: it holds a {type(found).__name__}; a predictions file must hold one JSON object, {{id: text}}")
    return found


def _import_model(source: str, given: Config, tune: bool) -> Run:
    """tune: whether to tune the threshold here, even if `export` recorded one."""
    encoder, task = find_encoder(source), given.tasks[0]
    kept = {} if tune or not given.datasets[task].unanswerable else kept_threshold(encoder, task)
    config = Config(**{**asdict(given), "encoder": source, **({"threshold_articles": []} if kept else {})})
    model, tokenizer = load_answering(encoder, task, config.max_length), load_tokenizer(encoder.path)
    (_, held_out, scored), sources = read_rows(config, training=bool(config.threshold_articles or config.threshold_ratio))
    device, segments = resolve_device(config.device), takes_token_types(model.encoder.config)
    precision = resolve_precision(config.precision, device)
    held_out, scored = (make_features(config, rows, tokenizer, segments) for rows in (held_out, scored))
    run, metrics, start = claim(config), dict[str, dict](), now()
    thresholds = dict[str, float]()

    def predictions(folder: Path) -> None:
        """Answers to the held-out rows, and then to the scored ones."""
        thresholds.update(tuned(model.to(device), held_out, config, precision, folder))
        thresholds.update({task: kept["threshold"]} if kept else {})
        metrics.update(evaluate(model, scored, thresholds, config, precision, folder))

    write_folder(run.path / "predictions", predictions)
    write_folder(run.path / "model", lambda folder: save_model(model, tokenizer, folder))
    always = {"always_answers": True} if kept.get("threshold") == ALWAYS else {}
    record = {
        "imported": {"kind": "model", **encoder.record(), **always},
        "data": sources,
        "precision": precision,
        "machine": describe(device),
    }
    told = {task: kept["held_out"]} if kept.get("held_out") else record_of(config, held_out, thresholds)
    return _finish(run, config.to_yaml(), metrics, {**record, "held_out": told, "start": start})


def load_answering(encoder: Encoder, task: str, max_length: int) -> MultiTask:
    """The kit's model around a question-answering model in transformers' format. Raises EncoderError if it has no such head."""
    kind = load_encoder_config(encoder.path, max_length)
    if not any(name.endswith("ForQuestionAnswering") for name in kind.architectures or ()):
        raise EncoderError(f"{encoder.name!r} is not a question-answering model: its config.json names {kind.architectures}; name another")
    model = build_model(encoder.path, {task: {"type": "qa", "labels": 2}}, 0.0, 0.0, max_length, seed=0)
    with quiet():
        own, info = AutoModelForQuestionAnswering.from_pretrained(encoder.path, use_safetensors=True, output_loading_info=True, **OURS)
    lacking, unknown = model.heads[task].load_state_dict(own.state_dict(), strict=False)
    lacking = [name for name in [*info["missing_keys"], *lacking, *unknown] if "pooler" not in name]
    if lacking:
        raise EncoderError(f"{encoder.name!r}: its weights do not match its config.json, e.g. {lacking[0]}; use files of one model")
    return model.eval()


def kept_threshold(encoder: Encoder, task: str) -> dict:
    """The threshold that `export` recorded: {"threshold"} and, if it was tuned, {"held_out"}; {} for other people's models.

    Raises EncoderError for an invalid record.
    """
    kept = read_json((encoder.path / "config.json").read_bytes()).get(EXPORTED, {})
    held = kept.get("held_out", {}) if isinstance(kept, dict) else None
    whole = (
        isinstance(held, dict)
        and (not kept or kept.get("threshold") == ALWAYS or is_number(kept.get("threshold")))
        and (not held or set(held) >= set(TUNED_ON))
    )
    if not whole or problem({"held_out": {task: held}}, MANIFEST_FORM):
        raise EncoderError(f"{encoder.name!r}: {EXPORTED} in its config.json is {short(kept)}, which export did not write; delete it there")
    return kept


def _finish(run: Run, config: str, metrics: dict, record: dict) -> Run:
    """Writes parameters, scores and, last, the manifest, which says "finished"."""
    write_whole(run.path / "config.yaml", config)
    write_json(run.path / "metrics.json", metrics)
    write_json(run.path / "manifest.json", {"status": "finished", "code": code_hash(), **record, "end": now()})
    return run
