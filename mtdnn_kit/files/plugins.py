"""Functions of one's own that a parameter names: `module:function`, or the name of an entry point that an installed package has.

Found, held against the arguments that they are to take, hashed, and called so that what they raise is said with their name. A module is
looked for where Python looks, and in the project's folder. Knows no sampler and no score.
"""

import hashlib
import importlib
import inspect
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, NamedTuple

from mtdnn_kit.errors import ConfigError, PluginError
from mtdnn_kit.files.paths import project_root
from mtdnn_kit.files.wording import nearest, short, some


class Door(NamedTuple):
    """What a parameter takes functions for: the group of their entry points, and the arguments that they are called with, in order."""

    group: str
    arguments: tuple[str, ...]


@dataclass(frozen=True)
class Plugin:
    """A function of one's own: the parameter that names it, its name there, where it stands; package: name and version, "" of a file."""

    key: str
    name: str
    function: Callable
    file: Path
    package: str = ""

    def __call__(self, *arguments: Any) -> Any:
        """What the function returns. Raises PluginError for whatever it raises, with its name and line."""
        try:
            return self.function(*arguments)
        except Exception as error:
            lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(self.file)]
            place = f"{self.file.name}, line {lines[-1]}" if lines else self.file.name
            raise PluginError(f"{self.key}: {self.name} raised {type(error).__name__}: {error} ({place})") from error

    @property
    def score(self) -> str:
        """The function's own name, by which its score is called."""
        return self.name.rpartition(":")[2]

    def record(self) -> dict[str, str]:
        """What a manifest says of it: its file, that file's sha256 (without what it imports), and the package that brought it."""
        made = {"file": self.file.name, "sha256": hashlib.sha256(self.file.read_bytes()).hexdigest()}
        return {**made, **({"package": self.package} if self.package else {})}


def find(key: str, name: str, door: Door) -> Plugin:
    """The function that a parameter names. Raises ConfigError: not there, cannot be imported, or takes other arguments."""
    package, target = "", name
    if ":" not in name:
        point = next(iter(entry_points(group=door.group, name=name)), None)
        if point is None:
            raise ConfigError(f"{key}: {short(name)} is no entry point of {door.group}: {_known(name, door.group)}")
        package, target = _package(point), point.value
    module, _, attribute = target.partition(":")
    function = getattr(brought := _imported(key, name, module), attribute, None)
    if not callable(function):
        raise ConfigError(f"{key}: {short(name)}: {module} has no function {attribute!r}.{nearest(attribute, list(vars(brought)))}")
    try:
        signature = inspect.signature(function)
        signature.bind(*door.arguments)
    except (TypeError, ValueError):
        takes = f"({', '.join(door.arguments)})"
        raise ConfigError(f"{key}: {name} must take {takes}, by position; it is {attribute}{_signature(function)}") from None
    return Plugin(key, name, function, Path(inspect.getsourcefile(inspect.unwrap(function)) or sys.modules[module].__file__ or ""), package)


def installed(group: str) -> Iterator[tuple[str, str]]:
    """Name and package of each entry point of a group."""
    yield from ((point.name, _package(point)) for point in entry_points(group=group))


def _imported(key: str, name: str, module: str) -> Any:
    if not all(part.isidentifier() for part in module.split(".")):
        raise ConfigError(f"{key}: {short(name)} is not module:function, e.g. mine:{key} for the function {key} in mine.py")
    if (root := str(project_root())) not in sys.path:
        sys.path.append(root)  # last, so that no file of the project hides a library
    try:
        return importlib.import_module(module)
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
        raise ConfigError(
            f"{key}: {name}: cannot import {module} ({said}); it must lie in {root}, on PYTHONPATH, or be installed"
        ) from error


def _known(name: str, group: str) -> str:
    names = [found for found, _ in installed(group)]
    there = f"there are {some(names)}" if names else "no installed package has one"
    return f"{there}.{nearest(name, names)} Write module:function to name a function of yours"


def _package(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else ""


def _signature(function: Callable) -> str:
    try:
        return str(inspect.signature(function))
    except (TypeError, ValueError):
        return "(unknown)"
