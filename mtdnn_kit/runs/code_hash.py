"""The hash of the code that can change a run or its scores. An edit anywhere else requires no run to be repeated."""

import hashlib

from mtdnn_kit.files.paths import PACKAGE

COVERED = ("config.py", "sampler.py", "metrics.py", "data", "tasks", "model", "balance", "training")  # files and packages


def code_files() -> dict[str, str]:
    """{file below mtdnn_kit: the first 16 hex digits of its sha256} of all covered files, sorted by name."""
    found = sorted(file for part in COVERED for file in ([PACKAGE / part] if part.endswith(".py") else (PACKAGE / part).rglob("*.py")))
    return {file.relative_to(PACKAGE).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()[:16] for file in found}


def code_hash() -> str:
    """sha256 of `code_files`, as in a manifest."""
    return hashlib.sha256("\n".join(f"{name} {digest}" for name, digest in code_files().items()).encode()).hexdigest()
