"""Whether the pinned versions exist elsewhere: each Python on each platform, resolved and not installed (`make platforms`).

    python tests/platforms.py [newest]

uv reads what the registry says of each pin and asks for a wheel of it: a package that would have to be built there counts as missing.
"""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

ROOT = Path(__file__).parents[1]
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
PLATFORMS = {"Linux x86-64": "x86_64-manylinux_2_28", "macOS arm64": "aarch64-apple-darwin", "Windows": "x86_64-pc-windows-msvc"}
MACOS = "14.0"  # the least that torch's wheels ask for


def resolve(python: str, platform: str, *more: str) -> subprocess.CompletedProcess:
    """uv's resolution of the package's and its tests' dependencies, none of which would be built."""
    command = [Path(sys.executable).with_name("uv"), "pip", "compile", "--quiet", "--no-config", "--no-header", "--no-annotate"]
    command += ["--only-binary", ":all:", "--python-version", python, "--python-platform", PLATFORMS[platform]]
    settled = {**os.environ, "MACOSX_DEPLOYMENT_TARGET": MACOS}
    return subprocess.run([*command, "--extra", "test", "pyproject.toml", *more], cwd=ROOT, env=settled, capture_output=True, text=True)


def missing(python: str, platform: str) -> str:
    """What does not resolve, in uv's words; "" where all pins of constraints.txt, the tests' included, have a wheel."""
    done = resolve(python, platform, "--constraints", "constraints.txt")
    return (done.stderr.strip() or f"uv ended with {done.returncode}") if done.returncode else ""


def newest() -> str:
    """The newest versions that the least Python can have, in its first release too: what `make lock` starts from."""
    done = resolve(PYTHONS[0], next(iter(PLATFORMS)))
    return done.stdout if done.returncode == 0 else sys.exit(done.stderr)


def main() -> None:
    """Prints a line for each; ends with 1 where something is missing. With `newest`: prints those pins."""
    if sys.argv[1:] == ["newest"]:
        return print(newest(), end="")
    places = list(product(PYTHONS, PLATFORMS))
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda place: missing(*place), places))
    for (python, platform), lacking in zip(places, found, strict=True):
        print(f"{'MISSING ' if lacking else 'resolved'}  Python {python}, {platform}{f': {lacking}' if lacking else ''}")
    sys.exit(1 if any(found) else 0)


if __name__ == "__main__":
    main()
