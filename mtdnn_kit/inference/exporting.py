"""Saves one task of a run in transformers' format: `AutoModelFor….from_pretrained(folder)` gives the same logits without the kit.

Adds a model card (`model_card`). Uploads nothing: that takes one line of huggingface_hub, which the card shows.
"""

import copy
from pathlib import Path
from typing import Any

import torch
import transformers

from mtdnn_kit.errors import RunError
from mtdnn_kit.files.atomic import write_folder, write_json, write_whole
from mtdnn_kit.files.json_files import read_json
from mtdnn_kit.files.paths import resolve
from mtdnn_kit.inference.loading import load
from mtdnn_kit.inference.model_card import card
from mtdnn_kit.model.multitask import MultiTask, OwnHead, takes_token_types
from mtdnn_kit.runs.run import Run

EXPORTED = "mtdnn_kit"  # the kit's key in config.json; transformers ignores it


def export(run: Run | str | Path, task: str, folder: str | Path | None = None) -> Path:
    """Writes the model of one task of a finished run into a new folder (None: `RUN/export/TASK`), atomically; returns the folder.

    It holds the weights (safetensors), config.json with the labels' names, the tokenizer and README.md, the model card, in the format of
    transformers and the Hugging Face hub. Raises RunError if there is no such task or no model, or if the folder exists.
    """
    run = run if isinstance(run, Run) else Run(run)
    model = load(run, "cpu")
    if task not in model.net.specs:
        raise RunError(f"task: {task!r} is not a task of {run.name}; choose from {', '.join(model.net.specs)}")
    if isinstance(head := model.net.heads[task], OwnHead):
        why = f"its head, {type(head.layers).__name__}, is not a transformers class, so transformers could not load it"
        raise RunError(
            f"task: {task!r} cannot be exported: {why}. Use the run itself (mtdnn_kit.load), or a task type with transformers' head"
        )
    folder = resolve(str(folder)) if folder is not None else run.path / "export" / task
    if folder.exists():
        raise RunError(f"folder: {folder} exists already; delete it, or name another one")

    def fill(partial: Path) -> None:
        write_task(model.net, model.tokenizer, task, partial, model.config.max_length)
        if task in model.thresholds:
            _keep_threshold(partial / "config.json", model.thresholds[task], run.manifest.get("held_out", {}).get(task))
        write_whole(partial / "README.md", card(run, task))

    write_folder(folder, fill)
    return folder


def _keep_threshold(file: Path, threshold: float, held_out: dict | None) -> None:
    """Writes into an exported configuration, under `EXPORTED`, the threshold and what it was tuned on, for `import_run`."""
    kept = {"threshold": threshold, **({"held_out": held_out} if held_out else {})}
    write_json(file, {**read_json(file.read_bytes()), EXPORTED: kept})


def write_task(model: MultiTask, tokenizer: Any, task: str, folder: Path, max_length: int | None = None) -> None:
    """Weights, configuration and tokenizer of one task, into a folder; `max_length`: the tokenizer's truncation length.

    The tokenizer returns token types if and only if the encoder uses them: ALBERT's would omit them, BERT's would pass them to DistilBERT.
    """
    head = model.heads[task]
    with torch.device("meta"):
        expected = set(type(head)(head.config).state_dict())
    transformers.utils.logging.disable_progress_bar()
    state = {name: x.cpu().contiguous() for name, x in head.state_dict().items() if name in expected}
    head.save_pretrained(folder, state_dict=state)
    own = copy.deepcopy(tokenizer)
    own.backend_tokenizer.no_truncation()
    own.backend_tokenizer.no_padding()
    types = ["token_type_ids"] if takes_token_types(model.encoder.config) else []
    own.model_input_names = own.init_kwargs["model_input_names"] = ["input_ids", *types, "attention_mask"]
    if max_length is not None:
        own.model_max_length = own.init_kwargs["model_max_length"] = max_length
    own.save_pretrained(folder)
