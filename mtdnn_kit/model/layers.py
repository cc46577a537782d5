"""The last layers of an encoder, drawn anew as its family draws those of a new model.

After Zhang et al. 2021, "Revisiting Few-sample BERT Fine-tuning" (section 5): the upper layers hold most of what the encoder was
trained for before. They draw the pooler anew, too; here it stays, since question answering does not read it.
Knows transformers' encoders, no task.
"""

import zlib
from typing import Any

import torch
from torch import nn
from transformers import AutoModel

from mtdnn_kit.errors import EncoderError


def check_layers(config: Any, name: str, count: int) -> None:
    """Raises EncoderError where the encoder `name` has fewer than `count` layers, or one in place of all (ALBERT)."""
    named = f"encoder {name!r} ({config.model_type})"
    if count and getattr(config, "num_hidden_groups", None):
        raise EncoderError(f"reinit_layers: the layers of {named} share their weights: the last cannot be another; set it to 0")
    if count > (there := config.num_hidden_layers):
        raise EncoderError(f"reinit_layers: {count} is more than the {there} layers of {named}; set it to at most {there}")


def reinit(encoder: nn.Module, count: int, seed: str) -> None:
    """Draws the last `count` layers anew, by transformers' own rule. Embeddings, other layers and the pooler stay.

    Of one seed, the last layer is the same whatever the count. Raises EncoderError where the layers cannot be told.
    """
    if not count:
        return
    # numbers of its own: what is drawn here shifts nobody else's
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(zlib.crc32(seed.encode()))
        new = AutoModel.from_config(encoder.config, dtype=torch.float32)
    for old, drawn in list(zip(_layers(encoder), _layers(new), strict=True))[-count:]:
        old.load_state_dict(drawn.state_dict())


def _layers(encoder: nn.Module) -> nn.ModuleList:
    """The encoder's layers, first to last: its outermost list of as many modules as its configuration says."""
    count = encoder.config.num_hidden_layers
    found = next((part for part in encoder.modules() if isinstance(part, nn.ModuleList) and len(part) == count), None)
    if found is None:
        kind = encoder.config.model_type
        raise EncoderError(f"reinit_layers: the layers of an encoder of family {kind} are no list of {count}; set it to 0")
    return found
