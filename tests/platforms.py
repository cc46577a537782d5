"""Whether the pinned versions exist on other platforms: resolves, without installing, for each Python on each platform (`make platforms`).

    python tests/platforms.py [newest]

uv reads the registry's metadata of each pin and requires a wheel: a package that would have to be built there counts as missing.
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
MACOS = "14.0"  # the oldest that torch's wheels support


def resolve(python: str, platform: str, *more: str) -> subprocess.CompletedProcess:
    """uv's resolution of the dependencies of the package and its tests, with no source builds."""
    command = [Path(sys.executable).with_name("uv"), "pip", "compile", "--quiet", "--no-config", "--no-header", "--no-annotate"]
    command += ["--only-binary", ":all:", "--python-version", python, "--python-platform", PLATFORMS[platform]]
    settled = {**os.environ, "MACOSX_DEPLOYMENT_TARGET": MACOS}
    return subprocess.run([*command, "--extra", "test", "pyproject.toml", *more], cwd=ROOT, env=settled, capture_output=True, text=True)


def missing(python: str, platform: str) -> str:
    """uv's message on what does not resolve; "" where all pins of constraints.txt, including those of the tests, have a wheel."""
    done = resolve(python, platform, "--constraints", "constraints.txt")
    return (done.stderr.strip() or f"uv ended with {done.returncode}") if done.returncode else ""


def newest() -> str:
    """The newest versions that run on the oldest supported Python, including its first release: what `make lock` starts from."""
    done = resolve(PYTHONS[0], next(iter(PLATFORMS)))
    return done.stdout if done.returncode == 0 else sys.exit(done.stderr)


def main() -> None:
    """Prints a line for each; exits with 1 if a pin is missing. With `newest`: prints those pins."""
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
