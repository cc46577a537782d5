"""Tensors that a run keeps beside its checkpoints: a folder with weights.safetensors and about.json each, whole or absent, and never used
where it is not what was written. Does not know what the tensors are.
"""

import hashlib
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from mtdnn_kit.errors import RunError
from mtdnn_kit.files.atomic import write_folder, write_json
from mtdnn_kit.files.json_files import read_json

ANCHOR = "anchor"  # their folder in the run folder
KEPT_WEIGHTS, ABOUT = "weights.safetensors", "about.json"


def keep(folder: Path, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
    """Writes tensors and, in JSON, what they are. Raises WriteError."""

    def fill(partial: Path) -> None:
        save_file({name: x.cpu().contiguous() for name, x in tensors.items()}, partial / KEPT_WEIGHTS)
        write_json(partial / ABOUT, {**about, "sha256": _sha256(partial / KEPT_WEIGHTS)})

    write_folder(folder, fill)


def kept(folder: Path, about: Mapping[str, Any]) -> dict[str, Tensor]:
    """What `keep` wrote. Raises RunError where it is not there, not what was written, or of something else than `about`."""
    try:
        found = read_json((folder / ABOUT).read_bytes())
        if found == {**about, "sha256": _sha256(folder / KEPT_WEIGHTS)}:
            return load_file(folder / KEPT_WEIGHTS)
        why = "is not what was written" if {**found, **about} == found else "is of another anchor"
    except FileNotFoundError as error:
        why = f"lacks {Path(error.filename).name}"
    except (OSError, ValueError, TypeError, AttributeError) as error:
        why = f"cannot be read ({error})"
    raise RunError(f"{folder} {why}. Copy it again from where the run was made, or begin again: delete the run's folder.")


def keep_only(folder: Path, needed: Iterable[Path]) -> None:
    """Deletes what is in a folder and not needed, and what a kill left of it."""
    for path in set(folder.glob("*")) - set(needed):
        shutil.rmtree(path, ignore_errors=True)


def _sha256(file: Path) -> str:
    with open(file, "rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
