"""transformers' Trainer as the peer of the kit's training: on question answering in two forms, and with the batches of the mixture.

`example`: every window padded to 384, fp32, shuffled, like the public question-answering example. `tuned`: padded to the longest window of
a batch, grouped by length, bf16 where the hardware has it, fused AdamW. The mixture's peer gets, step by step, the same batches as the
kit's schedule, made during the loop, and one module that passes each to its task's model, since the Trainer does not support several
tasks. Models use only transformers and torch (`plain`). Nothing here knows what is compared with what.
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
    """Windows as the Trainer needs them for grouping by length: `input_ids` only gives the length of each."""

    def __init__(self, lengths: np.ndarray):
        super().__init__({"item": i, "input_ids": range(int(n))} for i, n in enumerate(lengths))


class Drawn:
    """The batches of a schedule, one per step, each as `Mixture` takes it."""

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
    """transformers' models around one encoder: each batch goes to its task's model, which also computes the loss."""

    def __init__(self, model: MultiTask):
        super().__init__()
        self.heads, self.types = model.heads, {task: spec["type"] for task, spec in model.specs.items()}

    def forward(self, task: str, inputs: dict[str, Tensor], targets: Tensor) -> dict[str, Tensor]:
        """targets: [B, 2] (qa: first and last token), else labels [B]."""
        qa = self.types[task] == "qa"
        labels = dict(start_positions=targets[:, 0], end_positions=targets[:, 1]) if qa else dict(labels=targets)
        return {"loss": self.heads[task](**inputs, **labels).loss}


def plain(model: MultiTask) -> MultiTask:
    """The model without the kit's dropout, attention, LayerNorm and hooks; changes it in place."""
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
    """Items → a batch as the Trainer takes it, padded to `widest` or to its longest window."""

    def collate(items: list[dict]) -> dict[str, Tensor]:
        batch = features.collate(np.array([item["item"] for item in items]))
        wider = (widest or batch.inputs["input_ids"].shape[1]) - batch.inputs["input_ids"].shape[1]
        inputs = {name: pad(x, (0, wider)) for name, x in batch.inputs.items()}
        return inputs | dict(start_positions=batch.targets[:, 0], end_positions=batch.targets[:, 1])

    return collate


def answering(model: MultiTask, setup: Setup, side: str, warm: int = 0, **options) -> tuple[float, list[float]]:
    """Seconds and losses of `max_steps` steps of one of SIDES on squad, after `warm` untimed steps that do not change the weights.

    options: further TrainingArguments, e.g. torch_compile.
    """
    features, options = setup.train["squad"], {**SIDES[side], **options}
    collate, data = collator(features, LONGEST if side == "example" else None), Items(features.lengths)
    options["per_device_train_batch_size"] = setup.config.batch_size
    if warm:
        _fit(model.heads["squad"], data, collate, setup.config, **{**options, "max_steps": warm, "learning_rate": 0.0})
    return _fit(model.heads["squad"], data, collate, setup.config, **options)


def mixture(model: MultiTask, setup: Setup) -> tuple[float, list[float]]:
    """Seconds and losses of the kit's schedule with its batches, by the tuned Trainer."""
    options = dict(bf16=True, train_sampling_strategy="sequential", per_device_train_batch_size=1)
    return _fit(Mixture(model), Drawn(setup), lambda ready: ready[0], setup.config, **options)


def _fit(model: nn.Module, data, collate: Callable, config: Config, **options) -> tuple[float, list[float]]:
    """Seconds of the Trainer's whole loop, and its losses. Restores the environment variables that it sets for accelerate."""
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
