"""Reinitialises the last layers of an encoder, by the rule of its family.

After Zhang et al. 2021, "Revisiting Few-sample BERT Fine-tuning" (section 5): the upper layers are the most specialised to
pre-training. The authors also reinitialise the pooler; here it stays, because question answering does not read it.
Knows transformers' encoders, no task.
"""

import zlib
from typing import Any

import torch
from torch import nn
from transformers import AutoModel

from mtdnn_kit.errors import EncoderError


def check_layers(config: Any, name: str, count: int) -> None:
    """Raises EncoderError if the encoder `name` has fewer than `count` layers, or shares one layer (ALBERT)."""
    named = f"encoder {name!r} ({config.model_type})"
    if count and getattr(config, "num_hidden_groups", None):
        raise EncoderError(f"reinit_layers: the layers of {named} share their weights, so none can be reinitialised; set it to 0")
    if count > (there := config.num_hidden_layers):
        raise EncoderError(f"reinit_layers: {count} is more than the {there} layers of {named}; set it to at most {there}")


def reinit(encoder: nn.Module, count: int, seed: str) -> None:
    """Reinitialises the last `count` layers by transformers' rule. Embeddings, other layers and the pooler stay.

    For one seed, the last layer is the same for any count. Raises EncoderError if the layers cannot be found.
    """
    if not count:
        return
    # a separate generator, so that other draws do not shift
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(zlib.crc32(seed.encode()))
        new = AutoModel.from_config(encoder.config, dtype=torch.float32)
    for old, drawn in list(zip(_layers(encoder), _layers(new), strict=True))[-count:]:
        old.load_state_dict(drawn.state_dict())


def _layers(encoder: nn.Module) -> nn.ModuleList:
    """The encoder's layers, first to last: its outermost list with as many modules as its configuration says."""
    count = encoder.config.num_hidden_layers
    found = next((part for part in encoder.modules() if isinstance(part, nn.ModuleList) and len(part) == count), None)
    if found is None:
        kind = encoder.config.model_type
        raise EncoderError(f"reinit_layers: an encoder of family {kind} has no list of {count} layers; set it to 0")
    return found
