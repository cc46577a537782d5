"""help() reads well: every public name has a sentence that explains it, and each of its parameters has a type."""

import importlib
import inspect
import pkgutil
import pydoc
import subprocess
import sys

import pytest
from conftest import ROOT

import mtdnn_kit

MODULES = ["mtdnn_kit", *(module.name for module in pkgutil.walk_packages(mtdnn_kit.__path__, "mtdnn_kit."))]


def public(module) -> dict[str, object]:
    """The public names that a module defines: functions, classes, and the classes' methods and properties."""
    own = {name: value for name, value in vars(module).items() if not name.startswith("_")}
    own = {name: x for name, x in own.items() if getattr(x, "__module__", None) == module.__name__}
    found = {name: x for name, x in own.items() if inspect.isclass(x) or inspect.isfunction(inspect.unwrap(x) if callable(x) else x)}
    for name, kind in [(name, x) for name, x in found.items() if inspect.isclass(x)]:
        for part, value in vars(kind).items():
            value = getattr(value, "__func__", getattr(value, "fget", None) or getattr(value, "func", value))
            ours = inspect.isfunction(value) and value.__module__.startswith("mtdnn_kit")  # matplotlib writes `set` into its subclasses
            if ours and not part.startswith("_"):
                found[f"{name}.{part}"] = value
        if inspect.isfunction(vars(kind).get("__init__")) and "__dataclass_fields__" not in vars(kind):
            found[f"{name}.__init__"] = vars(kind)["__init__"]
    return found


def first_paragraph(text: str) -> str:
    return " ".join(inspect.cleandoc(text).split("\n\n")[0].split())


def wanting(name: str, value) -> list[str]:
    """What a public name lacks for a good help() text."""
    lacks = []
    if not name.endswith("__init__") and not (value.__doc__ and first_paragraph(value.__doc__).endswith((".", ".)"))):
        lacks.append("a docstring that begins with a sentence")
    if inspect.isfunction(value):
        hints = value.__annotations__
        bare = [p.name for p in inspect.signature(value).parameters.values() if p.name not in ("self", "cls", *hints)]
        lacks += [f"a type of {parameter}" for parameter in bare]
        if "return" not in hints and not name.endswith("__init__"):
            lacks.append("the type that it returns")
    return lacks


@pytest.mark.parametrize("name", MODULES)
def test_every_public_name_has_a_docstring_and_types(name):
    module = importlib.import_module(name)
    assert first_paragraph(module.__doc__).endswith((".", ".)", ":")), "the module's docstring begins with a sentence"
    found = {key: wanting(key, value) for key, value in public(module).items()}
    assert {key: lacks for key, lacks in found.items() if lacks} == {}


def test_missing_docstrings_and_types_are_found():
    def bare(x, y: int):
        """no sentence"""

    assert wanting("bare", bare) == ["a docstring that begins with a sentence", "a type of x", "the type that it returns"]
    assert "Schedule.draws" in public(importlib.import_module("mtdnn_kit.sampler")), "methods are included"
    assert "Recorder.__init__" in public(importlib.import_module("mtdnn_kit.training.log"))


def test_the_packages_help_names_every_public_name():
    for name in mtdnn_kit.__all__:
        assert name in mtdnn_kit.__doc__, name
        assert name in dir(mtdnn_kit) and getattr(mtdnn_kit, name) is not None
    assert set(mtdnn_kit.__all__) <= set(dir(mtdnn_kit))
    with pytest.raises(AttributeError, match="mtdnn_kit has no 'tarin'"):
        mtdnn_kit.tarin  # noqa: B018


def test_what_the_packages_help_names_exists():
    """Each `module` and call in the docstring."""
    from mtdnn_kit import Run
    from mtdnn_kit.training import setup

    for module in ("compare", "differences", "studies", "running", "plots", "tables", "explorer", "model"):
        assert module.split(".")[-1] in mtdnn_kit.__doc__ and importlib.import_module(f"mtdnn_kit.{module}")
    assert all(hasattr(Run, name) for name in ("metrics", "log", "answers")) and hasattr(setup.Setup, "table")


@pytest.mark.parametrize("name", mtdnn_kit.__all__)
def test_help_of_a_public_name_begins_with_its_docstring(name):
    value = getattr(mtdnn_kit, name)
    text = pydoc.plain(pydoc.render_doc(value))
    assert name == "DATASETS" or first_paragraph(value.__doc__)[:40] in " ".join(text.split())


def test_the_command_lines_help_lists_the_verbs():
    done = subprocess.run([sys.executable, "-m", "mtdnn_kit", "--help"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert all(f"\n    {verb} " in done.stdout for verb in ("train", "study", "report", "heldout", "export"))
