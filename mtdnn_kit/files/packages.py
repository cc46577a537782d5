"""Versions of installed packages, each read once per process: Python parses a package's whole metadata for it."""

from collections.abc import Iterable
from functools import cache
from importlib.metadata import version


def versions(packages: Iterable[str]) -> dict[str, str]:
    """{package: version}. Raises importlib.metadata.PackageNotFoundError."""
    return {name: _version(name) for name in packages}


_version = cache(version)
