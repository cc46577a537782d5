"""Tensors that a run keeps besides its checkpoints: each a folder with weights.safetensors and about.json, complete or absent, and refused
where its hash differs. Does not know what the tensors are.
"""

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from mtdnn_kit.data.cache import sha256_of
from mtdnn_kit.errors import RunError
from mtdnn_kit.files.atomic import write_folder, write_json
from mtdnn_kit.files.json_files import read_json

ANCHOR = "anchor"  # their folder in the run folder
KEPT_WEIGHTS, ABOUT = "weights.safetensors", "about.json"


def keep(folder: Path, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
    """Writes tensors and their description, as JSON. Raises WriteError."""

    def fill(partial: Path) -> None:
        save_file({name: x.cpu().contiguous() for name, x in tensors.items()}, partial / KEPT_WEIGHTS)
        write_json(partial / ABOUT, {**about, "sha256": sha256_of(partial / KEPT_WEIGHTS)})

    write_folder(folder, fill)


def kept(folder: Path, about: Mapping[str, Any]) -> dict[str, Tensor]:
    """What `keep` wrote. Raises RunError where it is missing, damaged, or described otherwise than by `about`."""
    try:
        found = read_json((folder / ABOUT).read_bytes())
        if found == {**about, "sha256": sha256_of(folder / KEPT_WEIGHTS)}:
            return load_file(folder / KEPT_WEIGHTS)
        why = "has changed since it was written" if {**found, **about} == found else "belongs to another anchor"
    except FileNotFoundError as error:
        why = f"lacks {Path(error.filename).name}"
    except (OSError, ValueError, TypeError, AttributeError) as error:
        why = f"cannot be read ({error})"
    raise RunError(f"{folder} {why}. Copy it again from where the run was made, or delete the run's folder to start again.")


def keep_only(folder: Path, needed: Iterable[Path]) -> None:
    """Deletes what a folder no longer needs, and partial files of a killed process."""
    for path in set(folder.glob("*")) - set(needed):
        shutil.rmtree(path, ignore_errors=True)
