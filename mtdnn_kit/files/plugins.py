"""Custom functions that a parameter names: `module:function`, or the name of an entry point of an installed package.

Finds them, checks the arguments that they take, hashes their files, and calls them so that an error carries their name. A module is
searched on Python's path and in the project's folder. Knows no sampler and no score.
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

_READ: dict[str, tuple[Any, str]] = {}  # name → module, and the sha256 of its file when it was read


class PluginPoint(NamedTuple):
    """What a parameter's functions must be: the group of their entry points, and their positional arguments, in order."""

    group: str
    arguments: tuple[str, ...]


@dataclass(frozen=True)
class Plugin:
    """A custom function: the parameter that names it, its name there, its file and that file's sha256 as it was read; package: name and
    version, "" for a plain file."""

    key: str
    name: str
    function: Callable
    file: Path
    sha256: str
    package: str = ""

    def __call__(self, *arguments: Any) -> Any:
        """The function's result. Raises PluginError, with its name and line, for any exception of it."""
        try:
            return self.function(*arguments)
        except Exception as error:
            lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(self.file)]
            place = f"{self.file.name}, line {lines[-1]}" if lines else self.file.name
            raise PluginError(f"{self.key}: {self.name} raised {type(error).__name__}: {error} ({place})") from error

    @property
    def score(self) -> str:
        """The function's name, which is also the name of its score."""
        return self.name.rpartition(":")[2]

    def record(self) -> dict[str, str]:
        """The manifest's record of it: its file, that file's sha256 (without its imports), and the package that provides it."""
        made = {"file": self.file.name, "sha256": self.sha256}
        return {**made, **({"package": self.package} if self.package else {})}


def find(key: str, name: str, point: PluginPoint) -> Plugin:
    """The function that a parameter names. Raises ConfigError if it is missing, cannot be imported, or takes other arguments."""
    package, target = "", name
    if ":" not in name:
        entry = next(iter(entry_points(group=point.group, name=name)), None)
        if entry is None:
            raise ConfigError(f"{key}: {short(name)} is not an entry point of {point.group}: {_known(name, point.group)}")
        package, target = _package(entry), entry.value
    module, _, attribute = target.partition(":")
    brought, function, home = _imported(key, name, module, attribute)
    if not callable(function):
        raise ConfigError(f"{key}: {short(name)}: {module} has no function {attribute!r}.{nearest(attribute, list(vars(brought)))}")
    try:
        signature = inspect.signature(function)
        signature.bind(*point.arguments)
    except (TypeError, ValueError):
        takes = f"({', '.join(point.arguments)})"
        raise ConfigError(f"{key}: {name} must take {takes} as positional arguments; it is {attribute}{_signature(function)}") from None
    code = getattr(inspect.unwrap(function), "__code__", None)
    if home.__name__ not in _READ or (code and not Path(code.co_filename).is_file()):
        raise ConfigError(f"{key}: {name} is not in a file, so that a run could not say what it was: put it into one")
    return Plugin(key, name, function, Path(home.__file__ or ""), _READ[home.__name__][1], package)


def _with_home(module: Any, attribute: str) -> tuple[Any, Any]:
    """A module's function and the module that its code is in: another one, if the first imported it; that is read again, too, if its file
    was edited. The home of a partial, or of an object that can be called, is the module itself."""
    function = getattr(module, attribute, None)
    bare = inspect.unwrap(function) if callable(function) else None
    home = sys.modules.get(getattr(bare, "__module__", "")) if hasattr(bare, "__code__") else None
    if home is None or home is module:
        return function, module
    if _is_new(home):
        _read_again(module)
    return getattr(module, attribute, None), home


def installed(group: str) -> Iterator[tuple[str, str]]:
    """Name and package of each entry point of a group."""
    yield from ((point.name, _package(point)) for point in entry_points(group=group))


def _imported(key: str, name: str, module: str, attribute: str) -> tuple[Any, Any, Any]:
    """The module as its file says now, its function (None: it has none), and the module that the function's code is in (`_with_home`)."""
    if not all(part.isidentifier() for part in module.split(".")):
        raise ConfigError(f"{key}: {short(name)} is not module:function, e.g. mine:{key} for the function {key} in mine.py")
    if (root := str(project_root())) not in sys.path:
        sys.path.append(root)  # last, so that no project file shadows a library
    try:
        found = importlib.import_module(module)
        _is_new(found)
        return found, *_with_home(found, attribute)
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
        raise ConfigError(f"{key}: {name}: cannot import {module} ({said}); put it into {root} or on PYTHONPATH, or install it") from error


def _is_new(module: Any) -> bool:
    """Whether a module was read again here, since its file was edited after it was last found: a notebook's kernel then uses what the file
    says. _READ knows which text of it runs."""
    if not (file := Path(getattr(module, "__file__", None) or "")).is_file():
        return False
    digest, before = hashlib.sha256(file.read_bytes()).hexdigest(), _READ.get(module.__name__)
    again = before is not None and before[0] is module and before[1] != digest
    if again:
        _read_again(module)
    _READ[module.__name__] = module, digest
    return again


def _read_again(module: Any) -> None:
    """Runs a module's file without what the old text left behind: a function that is no longer there must not be found. If it raises, the
    module is as before."""
    names, old = vars(module), dict(vars(module))
    code = compile(Path(module.__file__).read_bytes(), module.__file__, "exec")
    for name in [name for name in names if not name.startswith("__")]:
        del names[name]
    try:
        exec(code, names)
    except BaseException:
        names.clear()
        names.update(old)
        raise


def _known(name: str, group: str) -> str:
    names = [found for found, _ in installed(group)]
    there = f"there are {some(names)}" if names else "no installed package has one"
    return f"{there}.{nearest(name, names)} Write module:function to name your own function"


def _package(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else ""


def _signature(function: Callable) -> str:
    try:
        return str(inspect.signature(function))
    except (TypeError, ValueError):
        return "(unknown)"
