"""The model card of an exported model: its training data and settings, its scores, its licence, and how to use it.

The text is in model_card.md; the values come from the run's folder and the encoder's card, never from dataset text.
"""

import re
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import EvalResult, ModelCard, ModelCardData

from mtdnn_kit.data.registry import DATASETS, REST, TYPE_WORDS
from mtdnn_kit.files.paths import resolve
from mtdnn_kit.inference.loading import threshold_of
from mtdnn_kit.model.encoders import licence
from mtdnn_kit.runs.run import Run

TEMPLATE = Path(__file__).with_suffix(".md")
TAGS = {"qa": "question-answering", "sc": "text-classification", "mcc": "multiple-choice"}
HUB_METRICS = {"em": "exact_match", "f1": "f1", "accuracy": "accuracy", "matthews": "matthews_correlation"}  # our name → the hub's
UNNAMED = (  # parameters that a card leaves out: paths, titles of articles, and settings that do not change the model
    "run_dir", "encoder", "data", "define", "scored_also", "threshold_articles", "init_from", "resume", "device", "threads", "log_every",
    "checkpoint_every", "keep_checkpoints", "interference_every", "log_with",
)  # fmt: skip


def card(run: Run, task: str) -> str:
    """The README.md of `task`'s model: a YAML header in the Hugging Face hub's format, and Markdown."""
    told = ModelCard.from_template(
        _metadata(run, task),
        template_path=str(TEMPLATE),
        run=run,
        task=task,
        kind=TYPE_WORDS.get(run.types[task], run.types[task]),
        encoder=_encoder(run),
        threshold=threshold_of(run, task),
        scores={name: some for name, some in run.metrics.items() if run.parameters.task_of(name) == task},
        rest=REST,
        parameters=yaml.safe_dump(_parameters(run.config), sort_keys=False, allow_unicode=True).strip(),
    )
    return f"{told}\n"


def _parameters(config: dict) -> dict:
    """The parameters that a card names; of an anchor's run only the folder's name."""
    named = {k: v for k, v in config.items() if k not in UNNAMED}
    return {**named, "anchor": {**named["anchor"], "to": Path(named["anchor"]["to"]).name}} if named.get("anchor") else named


def _metadata(run: Run, task: str) -> ModelCardData:
    """The YAML header. It names no base model that is not public; the hub has no multiple choice pipeline, so that is a tag."""
    type_, config, encoder = run.types[task], run.config, _encoder(run)["name"]
    known = all(name in DATASETS for name in config["tasks"]) and not config.get("define") and "imported" not in run.manifest
    on_hub = re.fullmatch(r"[\w.-]+/[\w.-]+", encoder) and not resolve(encoder).is_dir()
    further = config.get("scored_also", {})
    origins = (
        []
        if "imported" in run.manifest
        else [record["origin"].split() for name, record in run.manifest["data"].items() if name.split("/")[0] not in further]
    )
    results = _results(run, task)
    return ModelCardData(
        language="en" if known else None,
        license=licence(config["encoder"]),
        library_name="transformers",
        tags=["mtdnn-kit", "multi-task", *([TAGS[type_]] if type_ == "mcc" else [])],
        base_model=encoder if on_hub else None,
        datasets=list(dict.fromkeys(words[1] for words in origins if words[0] == "hub" and len(words) > 1)) or None,
        pipeline_tag=None if type_ == "mcc" else TAGS.get(type_),
        model_name=f"{run.path.name} {task}" if results else None,
        eval_results=results or None,
    )


def _encoder(run: Run) -> dict:
    """Name (without a path) and sha256 of the encoder, or of the imported model."""
    return {"name": "an encoder", "sha256": None, **(run.manifest.get("encoder") or run.manifest.get("imported") or {})}


def _results(run: Run, task: str) -> list[EvalResult]:
    """The scores in the hub's format; only those on datasets of the hub, because others could be mistaken for them."""
    dataset, scores = run.parameters.datasets[task], run.metrics.get(task, {})
    source = run.manifest.get("data", {}).get(f"{task}/{dataset.score}", {})
    if not source.get("origin", "").startswith("hub "):
        return []
    of: dict[str, Any] = dict(dataset_type=dataset.hub, dataset_name=task, dataset_config=dataset.hub_config, dataset_split=dataset.score)
    tag = TAGS.get(dataset.type, dataset.type)
    return [
        EvalResult(tag, **of, dataset_args={"n": scores["n"]}, metric_type=theirs, metric_value=scores[ours])
        for ours, theirs in HUB_METRICS.items()
        if scores.get(ours) is not None
    ]
