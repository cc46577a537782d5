"""Which of the kit's code can change a run or its scores, and its hash. An edit anywhere else asks for no run to be made again."""

import hashlib

from mtdnn_kit.files.paths import PACKAGE

COVERED = ("config.py", "sampler.py", "metrics.py", "data", "tasks", "model", "balance", "training")  # files and rooms


def code_files() -> dict[str, str]:
    """{file below mtdnn_kit: the first 16 hex digits of its sha256} of all that is covered, in order of their names."""
    found = sorted(file for part in COVERED for file in ([PACKAGE / part] if part.endswith(".py") else (PACKAGE / part).rglob("*.py")))
    return {file.relative_to(PACKAGE).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()[:16] for file in found}


def code_hash() -> str:
    """sha256 of `code_files`, as a manifest keeps it."""
    return hashlib.sha256("\n".join(f"{name} {digest}" for name, digest in code_files().items()).encode()).hexdigest()
