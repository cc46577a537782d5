"""One shared encoder in transformers' head classes (paper, "Model").

Each task wraps the same base model in the class that transformers builds for its family (`AutoModelFor…`), so its logits are those of
that class by construction, and an exported model loads without this kit. The model knows task names and head classes; it knows
nothing of rows, losses or batches.
"""

import json
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import transformers
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoTokenizer

from mtdnn_kit.errors import ConfigError, EncoderError
from mtdnn_kit.files.json_files import read_json
from mtdnn_kit.model import dropout, layer_norm
from mtdnn_kit.model.encoders import read_weights
from mtdnn_kit.model.layers import reinit
from mtdnn_kit.tasks import TYPES
from mtdnn_kit.tasks.spans import pair_frame
from mtdnn_kit.tasks.tokens import check_tokenizer

DROPOUTS = (  # the encoder families' names for the dropout of their layers
    "hidden_dropout_prob", "attention_probs_dropout_prob", "dropout", "attention_dropout", "embedding_dropout", "mlp_dropout",
)  # fmt: skip
OURS = {"local_files_only": True, "trust_remote_code": False}  # for all that transformers loads: download nothing, run no code of a model
COUNT_FROM_PAD = (  # families whose positions begin after the pad id
    "camembert", "data2vec-text", "ibert", "layoutlmv3", "lilt", "longformer", "luke", "markuplm", "mpnet", "roberta",
    "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl", "xmod",
)  # fmt: skip


class OwnHead(nn.Module):
    """A head that a task type brings, not transformers: its layers on the encoder's last states."""

    base_model_prefix = "encoder"

    def __init__(self, encoder: nn.Module, layers: nn.Module):
        super().__init__()
        self.encoder, self.layers = encoder, layers

    def forward(self, **inputs: Tensor) -> SimpleNamespace:
        """`logits`, as transformers' outputs have them: what `layers(states [B, T, H], inputs)` gives."""
        return SimpleNamespace(logits=self.layers(self.encoder(**inputs).last_hidden_state, inputs))


class MultiTask(nn.Module):
    """`encoder`: the shared base model. `heads`: task → transformers' model for it, all holding that one encoder.

    `specs`: task → {"type": a task type, "labels": number of outputs, "names": the labels' names (sc)}.
    """

    def __init__(self, encoder: nn.Module, heads: dict[str, nn.Module], specs: dict[str, dict]):
        super().__init__()
        for task in heads:
            if hasattr(nn.ModuleDict(), task):
                raise ConfigError(f"define: {task!r} cannot be a task's name, because torch's modules use it; choose another one")
        # every head holds the same encoder: one module under several names, whose weights count once
        self.encoder, self.heads, self.specs = encoder, nn.ModuleDict(heads), specs
        if takes_whole_masks(encoder.config):
            encoder.register_forward_pre_hook(_whole_mask, with_kwargs=True)
        for module in encoder.modules():
            if isinstance(module, nn.Embedding):
                module.register_forward_hook(_autocast)

    def forward(self, task: str, inputs: dict[str, Tensor]) -> Tensor:
        """Logits: qa [B, T, 2] (start, end; −inf at padding), sc [B, L], mcc [B, C]."""
        # inputs [B, T], mcc [B, C, T] → encoder [B, T, H] → the task's head
        out, kind = self.heads[task](**inputs), TYPES[self.specs[task]["type"]]
        return kind.logits(out, inputs) if hasattr(kind, "logits") else out.logits

    def tensors(self) -> dict[str, Tensor]:
        """Every weight once, `encoder.…` and `heads.TASK.…`, and what else custom heads keep (their buffers, as of batch normalisation)."""
        return {name: x.detach().contiguous() for name, x in {**dict(self.named_parameters()), **self.head_buffers()}.items()}

    def head_buffers(self) -> dict[str, Tensor]:
        """The persistent buffers of custom heads; transformers' heads have none."""
        kept = self.state_dict().keys()
        return {name: x for name, x in self.named_buffers() if name.startswith("heads.") and name in kept}


def load_tokenizer(path: Path) -> Any:
    """The encoder's fast tokenizer. Raises EncoderError if there is none, or if it is slow (no character offsets), lacks special tokens
    that a batch or a pair needs, has more tokens than the encoder, or leaves letters in no token."""
    named = f"encoder {path.name!r}"
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, use_fast=True, **OURS)
    except (OSError, ValueError, KeyError) as error:
        raise EncoderError(f"{named}: its tokenizer does not load ({error}); add a valid tokenizer.json") from None
    except ImportError:  # some slow ones need another package, e.g. MeCab's
        tokenizer = None
    if tokenizer is None or not tokenizer.is_fast:
        raise EncoderError(f"{named} has a slow tokenizer, without character offsets; add tokenizer.json")
    if tokenizer.pad_token_id is None:
        raise EncoderError(f"{named}: its tokenizer has no pad token; name one in tokenizer_config.json (pad_token)")
    try:
        lacks = None if pair_frame(tokenizer).middle else "this tokenizer puts no separator between the two texts of a pair"
    except ValueError as error:
        lacks = str(error)
    if lacks:
        raise EncoderError(f"{named}: {lacks}; tokenizer.json needs a post-processor like BERT's, [CLS] A [SEP] B [SEP]")
    highest, known = max(tokenizer.get_vocab().values()), getattr(_config(path), "vocab_size", None)
    if known is not None and highest >= known:
        raise EncoderError(f"{named}: its tokenizer has ids up to {highest}, but config.json has vocab_size {known}: they do not match")
    try:
        check_tokenizer(tokenizer)
    except EncoderError as error:
        raise EncoderError(f"{named}: {error}; use one with another tokenizer.json") from None
    return tokenizer


def load_encoder_config(path: Path, max_length: int, types: Iterable[str] = ()) -> Any:
    """The encoder's configuration; `types`: the task types of the run. Raises EncoderError if it cannot be used: a decoder, XLNet, fewer
    positions than `max_length`, or no head of such a type for its family in transformers."""
    config = _config(path)
    named, kind = f"encoder {path.name!r} ({config.model_type})", type(config)
    backwards = kind in transformers.MODEL_FOR_CAUSAL_LM_MAPPING and kind not in transformers.MODEL_FOR_MASKED_LM_MAPPING
    if config.model_type == "xlnet":  # its classes would count it as a decoder
        raise EncoderError(f"{named} puts [CLS] last, but the null answer needs it first; use an encoder like BERT")
    if config.is_encoder_decoder:
        raise EncoderError(f"{named} is an encoder-decoder, whose heads read the decoder; use an encoder like BERT")
    if getattr(config, "is_decoder", False) or backwards:
        raise EncoderError(f"{named} is a decoder, in which a token attends only to earlier ones; use an encoder like BERT")
    if kind not in transformers.MODEL_FOR_QUESTION_ANSWERING_MAPPING:
        raise EncoderError(f"{named} has no question-answering head in transformers; use an encoder like BERT")
    for name in dict.fromkeys(name for name in types if isinstance(TYPES[name].HEAD, str)):
        auto = getattr(transformers, TYPES[name].HEAD)
        if kind not in auto._model_mapping:
            remedy = f"leave the {name} tasks out of `tasks`, or use an encoder of another family"
            raise EncoderError(f"{named} cannot serve tasks of type {name}: transformers has no {auto.__name__} for its family; {remedy}")
    positions = _positions(config)
    if positions is not None and max_length > positions:
        raise EncoderError(f"max_length: {max_length} is more than the {positions} positions of encoder {path.name!r}")
    return config


def _config(path: Path) -> Any:
    try:
        return AutoConfig.from_pretrained(path, **OURS)
    except (OSError, ValueError, KeyError) as error:
        why = f"its config.json belongs to no model that transformers knows, and code is not run ({error})"
        raise EncoderError(f"encoder {path.name!r}: {why}") from None


def _positions(config: Any) -> int | None:
    """The number of positions of the encoder; None: unlimited (DeBERTa, whose positions are relative)."""
    if not getattr(config, "position_biased_input", True):
        return None
    positions = getattr(config, "max_position_embeddings", None)
    return positions - config.pad_token_id - 1 if config.model_type in COUNT_FROM_PAD else positions


def takes_token_types(config: Any) -> bool:
    """Whether the encoder uses token types (BERT); DistilBERT, RoBERTa and ModernBERT do not."""
    return getattr(config, "type_vocab_size", 0) > 1


def takes_whole_masks(config: Any) -> bool:
    """Whether the encoder's attention is torch's and attends to every token; it then accepts a mask of four dimensions unchanged."""
    local = any(getattr(config, name, None) for name in ("sliding_window", "local_attention"))
    return getattr(config, "_attn_implementation", None) in ("sdpa", dropout.NAME) and not local


def _whole_mask(encoder: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
    """Passes the mask to the encoder as bool [B, 1, 1, T]. For a mask of two dimensions, transformers checks at every step whether anything
    is masked, for which the processor must wait for the device."""
    mask = kwargs.get("attention_mask")
    # [B, T] → [B, 1, 1, T]: one row for all heads and query positions
    if mask is not None and mask.ndim == 2:
        kwargs = {**kwargs, "attention_mask": mask[:, None, None, :].bool()}
    return args, kwargs


def _autocast(embedding: nn.Embedding, args: tuple, out: Tensor) -> Tensor:
    """Casts an embedding's output to bf16 under autocast: otherwise all sums with it are fp32 and are cast again before each product."""
    kind = out.device.type
    return out.to(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else out


def build_model(
    path: Path, specs: dict[str, dict], encoder_dropout: float, head_dropout: float, max_length: int, seed: int, reinit_layers: int = 0
) -> MultiTask:
    """A pretrained encoder with a fresh head for each of `specs`; a head's weights depend only on seed and task name.

    If `save_model` wrote `path`, takes its encoder, and its heads for tasks of the same name. `head_dropout` precedes the sc and mcc heads
    (paper, "Settings"); qa heads have none (DistilBERT's would). `reinit_layers`: as in `layers.reinit`.
    """
    config = load_encoder_config(path, max_length)
    for name in DROPOUTS:
        if hasattr(config, name):
            setattr(config, name, encoder_dropout)
    # a folder of `save_model` has tasks.json; any other is a model in transformers' format
    of_a_run = (path / "tasks.json").is_file()
    encoder = AutoModel.from_config(config, dtype=torch.float32) if of_a_run else _pretrained(path, config, f"{seed} encoder")
    model = MultiTask(encoder, {task: _head(encoder, spec, head_dropout, f"{seed} {task}") for task, spec in specs.items()}, specs)
    dropout.install(model, encoder)
    layer_norm.install(model)
    if of_a_run:
        load_weights(model, read_weights(path / "model.safetensors"), path, missing_heads=True)
    reinit(encoder, reinit_layers, f"{seed} layers")
    return model


def _pretrained(path: Path, config: Any, seed: str) -> nn.Module:
    """The encoder with its weights; a missing pooler (of a masked language model) is drawn from `seed`."""
    transformers.utils.logging.disable_progress_bar()  # its bar of 0.02 s would clutter a notebook
    options = dict(config=config, dtype=torch.float32, use_safetensors=True, output_loading_info=True, **OURS)
    # a separate generator, so that other draws do not shift
    with torch.random.fork_rng(devices=[]), quiet():
        torch.manual_seed(zlib.crc32(seed.encode()))
        encoder, info = AutoModel.from_pretrained(path, **options)
    lacking = sorted(key for key in info["missing_keys"] if "pooler" not in key) + sorted(map(str, info["mismatched_keys"]))
    if lacking:
        why = f"its weights do not match its config.json: {len(lacking)} are missing, the first {lacking[0]}"
        raise EncoderError(f"encoder {path.name!r}: {why}")
    return encoder


@contextmanager
def quiet() -> Iterator[None]:
    """Silences transformers' report of missing weights, which it prints for every new head: missing weights are checked here."""
    before = transformers.utils.logging.get_verbosity()
    transformers.utils.logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers.utils.logging.set_verbosity(before)


def _head(encoder: nn.Module, spec: dict, dropout: float, seed: str) -> nn.Module:
    """transformers' model of a task type around `encoder`, with its other layers initialised by transformers' rule."""
    shared = {k: v for k, v in encoder.config.to_dict().items() if k not in ("id2label", "label2id", "architectures")}
    config = type(encoder.config)(**shared, num_labels=spec["labels"])
    if "names" in spec:
        config.id2label, config.label2id = dict(enumerate(spec["names"])), {name: i for i, name in enumerate(spec["names"])}
    if not isinstance(head := TYPES[spec["type"]].HEAD, str):
        return _own_head(encoder, head, config, dropout, seed)
    # transformers also creates an encoder, which is replaced below: on "meta" it takes no memory
    with torch.device("meta"):
        model = getattr(transformers, head).from_config(config)
    if type(getattr(model, model.base_model_prefix)) is not type(encoder):
        named = f"{type(model).__name__} has another base model than {type(encoder).__name__}"
        raise EncoderError(f"{named}: it cannot share the encoder; use another encoder")
    # put the shared encoder in its place; the head's layers are drawn from seed and task name only
    setattr(model, model.base_model_prefix, encoder)
    own = [module for name, module in model.named_children() if name != model.base_model_prefix]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(zlib.crc32(seed.encode()))
        for module in own:
            module.to_empty(device="cpu").apply(model._init_weights)
    # the paper's 0.3 precedes the sc and mcc heads; question answering reads the encoder directly
    for dropped in (m for module in own for m in module.modules() if isinstance(m, nn.Dropout)):
        dropped.p = dropout if spec["type"] != "qa" else 0.0
    return model


def _own_head(encoder: nn.Module, head: Callable[[Any], nn.Module], config: Any, dropout: float, seed: str) -> OwnHead:
    """A head of a class that is not transformers', initialised by that class, from seed and task name only."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(zlib.crc32(seed.encode()))
        layers = head(config)
    for dropped in (m for m in layers.modules() if isinstance(m, nn.Dropout)):
        dropped.p = dropout
    return OwnHead(encoder, layers)


def save_model(model: MultiTask, tokenizer: Any, folder: Path) -> None:
    """Writes weights (safetensors), the encoder's configuration, the tasks and the tokenizer into an existing folder."""
    save_file({name: x.cpu() for name, x in model.tensors().items()}, folder / "model.safetensors", metadata={"format": "pt"})
    model.encoder.config.save_pretrained(folder)
    tokenizer.backend_tokenizer.no_truncation()  # its last truncation is not part of the model: with a warm cache there was none
    tokenizer.backend_tokenizer.no_padding()
    try:
        tokenizer.save_pretrained(folder)
    except Exception as error:  # of tokenizers, which has no class for what the system refuses
        if not (number := re.search(r"\(os error (\d+)\)", str(error))):
            raise
        raise OSError(int(number[1]), str(error)) from None
    (folder / "tasks.json").write_text(json.dumps(model.specs, indent=1) + "\n")


def load_model(folder: Path) -> tuple[MultiTask, object]:
    """The model and the tokenizer that `save_model` wrote. Raises EncoderError if weights are missing or have another shape."""
    config, specs = AutoConfig.from_pretrained(folder, **OURS), read_json((folder / "tasks.json").read_bytes())
    encoder = AutoModel.from_config(config, dtype=torch.float32)
    model = MultiTask(encoder, {task: _head(encoder, spec, 0.0, task) for task, spec in specs.items()}, specs)
    layer_norm.install(model)  # as in training: the threshold was tuned with it
    load_weights(model, read_weights(folder / "model.safetensors"), folder)
    return model.eval(), load_tokenizer(folder)


def load_weights(model: MultiTask, tensors: dict[str, Tensor], source: Path, missing_heads: bool = False) -> None:
    """Copies `tensors` into the model; with `missing_heads`, ignores tasks that only one side has."""
    for name, p in {**dict(model.named_parameters()), **model.head_buffers()}.items():
        if name not in tensors and missing_heads and name.startswith("heads."):
            continue
        if name not in tensors or tensors[name].shape != p.shape:
            found = tuple(tensors[name].shape) if name in tensors else "nothing"
            raise EncoderError(f"{source.name}: weight {name} should have shape {tuple(p.shape)}, but has {found}; use files of one model")
        p.data.copy_(tensors[name])
