"""The model card of an exported model: what it was trained on and with, what it scores, whose licence it stands under, how it is called.

Everything comes from the run's folder and the encoder's own card; no text of a dataset is in it. Text only: knows no model and no folder.
"""

import re
from typing import Any

import yaml

from mtdnn_kit.config import Config
from mtdnn_kit.data.registry import ALWAYS, DATASETS, REST, TYPE_WORDS, Dataset
from mtdnn_kit.files.paths import resolve
from mtdnn_kit.inference.card_code import use
from mtdnn_kit.model.encoders import licence
from mtdnn_kit.runs.run import Run

TAGS = {"qa": "question-answering", "sc": "text-classification", "mcc": "multiple-choice"}
RESEARCH = "its authors' terms, for research"
LICENCES = {
    "squad": "CC BY-SA 4.0",
    "squad1": "CC BY-SA 4.0",
    "codah": "ODC-By",
    **dict.fromkeys(("swag", "cola", "mrpc", "mnli"), RESEARCH),
}
METRICS = {"em": "exact_match", "f1": "f1", "accuracy": "accuracy", "matthews": "matthews_correlation"}  # our name → the hub's
UNNAMED = (  # parameters that a card leaves out: paths, titles of articles, and what changes no model
    "run_dir", "encoder", "data", "define", "threshold_articles", "init_from", "resume", "device", "threads", "log_every",
    "checkpoint_every", "eval_every", "interference_every",
)  # fmt: skip


def card(run: Run, task: str) -> str:
    """The README.md of `task`'s model: a YAML header as the Hugging Face hub reads it, and Markdown."""
    parts = [_intro(run, task), _call(run, task), _scores(run, task), _data(run), _made(run), _limits(run, task)]
    return f"---\n{_header(run, task)}\n---\n\n" + "\n\n".join(parts) + "\n"


def _header(run: Run, task: str) -> str:
    from huggingface_hub import ModelCardData

    kind, config, encoder = run.types[task], run.config, _encoder(run)
    known = all(name in DATASETS for name in config["tasks"]) and not config.get("define") and "imported" not in run.manifest
    tags = ["mtdnn-kit", "multi-task"] + ([TAGS[kind]] if kind == "mcc" else [])  # multiple choice is no pipeline of the hub's
    data = ModelCardData(
        language="en" if known else None,
        license=licence(config["encoder"]),
        library_name="transformers",
        tags=tags,
        base_model=encoder if _on_hub(run) else None,
        datasets=_hub_datasets(run) or None,
        pipeline_tag=None if kind == "mcc" else TAGS[kind],
        model_name=f"{run.path.name} {task}",
        eval_results=_results(run, task) or None,
    )
    if data.eval_results is None:
        data.model_name = None
    return data.to_yaml().strip()


def _encoder(run: Run) -> str:
    """The encoder's name without anybody's path."""
    return (run.manifest.get("encoder") or run.manifest.get("imported") or {}).get("name") or "an encoder"


def _on_hub(run: Run) -> bool:
    """Whether the encoder's name is one of the hub, not a folder's."""
    return bool(re.fullmatch(r"[\w.-]+/[\w.-]+", _encoder(run))) and not resolve(_encoder(run)).is_dir()


def _hub_datasets(run: Run) -> list[str]:
    """What it was trained on, of the hub's."""
    data = {} if "imported" in run.manifest else run.manifest["data"]
    origins = (record["origin"].split() for record in data.values())
    return list(dict.fromkeys(words[1] for words in origins if words[0] == "hub" and len(words) > 1))


def _results(run: Run, task: str) -> list:
    """The scores as the hub lists them; only those on a dataset of the hub, since others would pass for them."""
    from huggingface_hub import EvalResult

    dataset, source = _dataset(run, task), run.manifest.get("data", {}).get(f"{task}/{_dataset(run, task).score}", {})
    if not source.get("origin", "").startswith("hub "):
        return []
    shared: dict[str, Any] = dict(
        task_type=TAGS[dataset.type], dataset_type=dataset.hub, dataset_name=task, dataset_config=dataset.hub_config
    )
    scores = run.metrics.get(task, {})
    return [
        EvalResult(**shared, dataset_split=dataset.score, dataset_args={"n": scores["n"]}, metric_type=theirs, metric_value=scores[ours])
        for ours, theirs in METRICS.items()
        if scores.get(ours) is not None
    ]


def _dataset(run: Run, task: str) -> Dataset:
    return Config(**{**run.config, "resume": False}).datasets[task]


def _intro(run: Run, task: str) -> str:
    kind, others = TYPE_WORDS[run.types[task]], [name for name in run.config["tasks"] if name != task]
    beside = f", trained together with {', '.join(others)} around one encoder (multi-task fine-tuning)" if others else ""
    base = f"`{_encoder(run)}`"
    if "imported" in run.manifest:
        return f"# {run.path.name}: {task}\n\nThe {kind} model {base}, imported into mtdnn-kit and not trained by it."
    return f"# {run.path.name}: {task}\n\nThe {kind} head of {task} on {base}{beside}. Made with mtdnn-kit; transformers alone loads it."


def _call(run: Run, task: str) -> str:
    dataset = _dataset(run, task)
    threshold, pairs = run.metrics.get(task, {}).get("threshold", 0.0) if dataset.unanswerable else ALWAYS, "second" in dataset.given
    return f"## Use\n\n{use(run.types[task], pairs, threshold, run.config.get('max_answer', 30))}"


def _scores(run: Run, task: str) -> str:
    if task not in run.metrics:
        return "## Scores\n\nNone: the task was trained, not scored."
    best = "; best_* at thresholds chosen on these very rows" if run.types[task] == "qa" else ""
    lines = ["## Scores", "", f"In percent; thresholds are differences of logits, n is the number of rows{best}.", ""]
    for name in (task, task + REST):  # of a cut split, the rest is scored, too
        shown = {key: value for key, value in run.metrics.get(name, {}).items() if value is not None}
        lines += [f"| {name} | |", "|---|---|", *(f"| {key} | {_number(value)} |" for key, value in shown.items()), ""] if shown else []
    return "\n".join(lines).strip()


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.2f}"


def _data(run: Run) -> str:
    title = "## Data that it was scored on" if "imported" in run.manifest else "## Data"
    lines = [title, "", "| task/split | rows | from | fingerprint | licence, as far as known |", "|---|---|---|---|---|"]
    for name, record in run.manifest.get("data", {}).items():
        cells = [name, f"{record['rows']:,}", record["origin"], f"`{record['fingerprint']}`", _terms(run, name.split("/")[0], record)]
        lines.append(f"| {' | '.join(cells)} |".replace("\n", " "))
    return "\n".join(
        [
            *lines,
            "",
            "Fingerprints are of the rows' content: equal rows in equal order have equal ones. The licence in the header is the encoder's.",
        ]
    )


def _terms(run: Run, name: str, record: dict) -> str:
    task = name.removesuffix(REST)
    if record["origin"] == "sample":
        return "Apache-2.0, written for mtdnn-kit"
    return "not known to mtdnn-kit" if task in (run.config.get("define") or {}) else LICENCES.get(task, "not known to mtdnn-kit")


def _made(run: Run) -> str:
    manifest, shown = run.manifest, {key: value for key, value in run.config.items() if key not in UNNAMED}
    packages = ", ".join(f"{name} {number}" for name, number in manifest.get("packages", {}).items())
    facts = {
        "encoder": f"{_encoder(run)}, sha256 `{(manifest.get('encoder') or manifest.get('imported') or {}).get('sha256')}`",
        "encoder's licence": licence(run.config["encoder"]) or "not known to mtdnn-kit: see its own card",
        "mtdnn-kit's code": f"sha256 `{manifest['code']}`",
        "packages": packages,
        "precision": manifest.get("precision"),
        "machine": manifest.get("machine"),
        "steps": manifest.get("steps"),
        "batches drawn": ", ".join(f"{name} {count}" for name, count in manifest.get("draws", {}).items()),
        "articles held out to tune the threshold": len(run.config.get("threshold_articles") or []),
    }
    lines = [f"- {name}: {value}" for name, value in facts.items() if value not in ("", None)]
    return "\n".join(
        ["## How it was made", "", *lines, "", "```yaml", yaml.safe_dump(shown, sort_keys=False, allow_unicode=True).strip(), "```"]
    )


def _limits(run: Run, task: str) -> str:
    kind, length = run.types[task], run.config.get("max_length")
    small = "imported" not in run.manifest and any(record["origin"] == "sample" for record in run.manifest.get("data", {}).values())
    lines = [f"- It was made with sequences of at most {length} tokens; the tokenizer cuts there when told to cut."] if length else []
    lines += [
        "- It was trained on mtdnn-kit's packaged sample, a few hundred rows: it shows how things work and is of no further use."
    ] * small
    lines += {
        "qa": ["- It copies a span of the text or says nothing; its threshold fits texts like those it was tuned on."],
        "sc": ["- Its probabilities are not calibrated, and texts of another kind than the training data are outside what was scored."],
        "mcc": ["- It ranks the choices it is given, also where none of them fits."],
    }[kind]
    return "\n".join(
        ["## Limits", "", *lines, "- The biases of the encoder and of the training data are in it; nobody has looked for them."]
    )
