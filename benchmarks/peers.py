"""transformers' Trainer as the peer of the kit's training: on question answering in two forms, and fed the mixture's drawn batches.

`example`: every window padded to 384, fp32, shuffled, as the public question-answering example sets it up. `tuned`: padded to the longest
of a batch, grouped by length, bf16 where the hardware has it, fused AdamW. The mixture's peer gets, step by step, the very batches of the
kit's schedule, made as the loop goes, and one module that hands each to its task's model: no loop of the Trainer's knows several tasks.
Models are transformers' and torch's alone (`plain`). Nothing here knows what is compared with what.
"""

import os
import tempfile
from collections.abc import Callable
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import pad
from transformers import Trainer, TrainingArguments

from mtdnn_kit import Config
from mtdnn_kit.model.devices import resolve_precision
from mtdnn_kit.model.multitask import MultiTask
from mtdnn_kit.training.setup import Setup

LONGEST = 384
SIDES = {"example": dict(), "tuned": dict(bf16=True, train_sampling_strategy="group_by_length")}


class Items(list):
    """Windows as the Trainer's grouping by length wants them: `input_ids` only says how long each is."""

    def __init__(self, lengths: np.ndarray):
        super().__init__({"item": i, "input_ids": range(int(n))} for i, n in enumerate(lengths))


class Drawn:
    """The batches of a schedule, one a step, each as `Mixture` takes it."""

    def __init__(self, setup: Setup):
        self.setup = setup

    def __len__(self) -> int:
        return len(self.setup.schedule)

    def __getitem__(self, step: int) -> dict:
        if step >= len(self):
            raise IndexError(step)
        task, items = self.setup.batch(step)
        batch = self.setup.train[task].collate(items)
        return {"task": task, "inputs": batch.inputs, "targets": batch.targets}


class Mixture(nn.Module):
    """transformers' models around one encoder: a batch goes to its task's, which reckons the loss, too."""

    def __init__(self, model: MultiTask):
        super().__init__()
        self.heads, self.types = model.heads, {task: spec["type"] for task, spec in model.specs.items()}

    def forward(self, task: str, inputs: dict[str, Tensor], targets: Tensor) -> dict[str, Tensor]:
        """targets: [B, 2] (qa: first and last token), else labels [B]."""
        qa = self.types[task] == "qa"
        labels = dict(start_positions=targets[:, 0], end_positions=targets[:, 1]) if qa else dict(labels=targets)
        return {"loss": self.heads[task](**inputs, **labels).loss}


def plain(model: MultiTask) -> MultiTask:
    """The model without the kit's dropout, attention, LayerNorm and hooks, which is changed for it."""
    model.encoder.set_attn_implementation("sdpa")
    model.encoder._forward_pre_hooks.clear(), model.encoder._forward_pre_hooks_with_kwargs.clear()
    for module in list(model.modules()):
        module._forward_hooks.clear()
        for name, part in module.named_children():
            if isinstance(part, nn.Dropout):
                setattr(module, name, nn.Dropout(part.p).train(part.training))
            if isinstance(part, nn.LayerNorm):
                part.__class__ = nn.LayerNorm
    return model


def collator(features, widest: int | None) -> Callable[[list[dict]], dict[str, Tensor]]:
    """Items → a batch as the Trainer takes it, padded to `widest` or to its own longest window."""

    def collate(items: list[dict]) -> dict[str, Tensor]:
        batch = features.collate(np.array([item["item"] for item in items]))
        wider = (widest or batch.inputs["input_ids"].shape[1]) - batch.inputs["input_ids"].shape[1]
        inputs = {name: pad(x, (0, wider)) for name, x in batch.inputs.items()}
        return inputs | dict(start_positions=batch.targets[:, 0], end_positions=batch.targets[:, 1])

    return collate


def answering(model: MultiTask, setup: Setup, side: str, warm: int = 0, **options) -> tuple[float, list[float]]:
    """Seconds and losses of `max_steps` steps of one of SIDES on squad; before them `warm` steps that are not timed and change no weight.

    options: TrainingArguments on top, e.g. torch_compile.
    """
    features, options = setup.train["squad"], {**SIDES[side], **options}
    collate, data = collator(features, LONGEST if side == "example" else None), Items(features.lengths)
    options["per_device_train_batch_size"] = setup.config.batch_size
    if warm:
        _fit(model.heads["squad"], data, collate, setup.config, **{**options, "max_steps": warm, "learning_rate": 0.0})
    return _fit(model.heads["squad"], data, collate, setup.config, **options)


def mixture(model: MultiTask, setup: Setup) -> tuple[float, list[float]]:
    """Seconds and losses of the kit's schedule, its batches, by the tuned Trainer."""
    options = dict(bf16=True, train_sampling_strategy="sequential", per_device_train_batch_size=1)
    return _fit(Mixture(model), Drawn(setup), lambda ready: ready[0], setup.config, **options)


def _fit(model: nn.Module, data, collate: Callable, config: Config, **options) -> tuple[float, list[float]]:
    """Seconds of the Trainer's whole loop, and its losses. What it sets in the environment for accelerate is taken back."""
    cpu = config.device == "cpu"
    options["bf16"] = options.get("bf16", False) and resolve_precision("auto", torch.device("cpu" if cpu else "cuda")) == "bf16"
    same = dict(max_steps=config.max_steps, learning_rate=config.learning_rate, weight_decay=0.0, seed=config.seed, use_cpu=cpu)
    quiet = dict(logging_steps=1, save_strategy="no", report_to=[], disable_tqdm=True, remove_unused_columns=False)
    with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ):
        arguments = TrainingArguments(folder, warmup_steps=round(config.warmup * config.max_steps), **{**same, **quiet, **options})
        trainer = Trainer(model, arguments, train_dataset=data, data_collator=collate)
        trainer.log = lambda logs, *a: trainer.state.log_history.append(logs)  # kept, not printed
        seconds = trainer.train().metrics["train_runtime"]
        return seconds, [record["loss"] for record in trainer.state.log_history if "loss" in record]
