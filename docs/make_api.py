"""Writes docs/api.md from the sources, without importing them: `make api`.

Signatures and docstrings are read from the syntax trees of `mtdnn_kit`, the parameters of a run from the parameters cell of notebook 02.
A name that begins with `_` is left out. tests/project/test_documents.py fails where the page is not what this writes.
"""

import ast
import inspect
import json
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "mtdnn_kit"
ROOMS = ["compare", "data", "studies", "tasks", "training"]
HEAD = """# The Python interface

Made from the docstrings by `make api`; a test keeps it current. The command line explains itself: `mtdnn --help` and `mtdnn VERB --help`.
Import from `mtdnn_kit` what the first two sections name; `from mtdnn_kit import compare, differences` imports a module of the last two.
`DATASETS` is the dictionary of the datasets that the kit knows by name, each a `Dataset`.
"""


@cache
def tree(module: str) -> ast.Module:
    """The syntax tree of a module of the package, e.g. "compare.pairing", or of a room."""
    path = PACKAGE.joinpath(*module.split("."))
    return ast.parse((path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text(encoding="utf-8"))


@cache
def origins(module: str) -> dict[str, tuple[str, str]]:
    """{name: (module, name there)} of what a module imports from the package."""
    found = {}
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mtdnn_kit"):
            for alias in node.names:
                found[alias.asname or alias.name] = ((node.module or "").removeprefix("mtdnn_kit").lstrip("."), alias.name)
    return found


def listed(module: str, name: str) -> list[str]:
    """A list of names that a module assigns to `name` or adds to it."""
    found: list[str] = []
    for node in tree(module).body:
        if isinstance(node, ast.Assign | ast.AugAssign):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            found += ast.literal_eval(node.value) if ast.unparse(target) == name else []
    return found


def definition(module: str, name: str) -> ast.FunctionDef | ast.ClassDef | None:
    """Where a name is defined: in the module, or where that imports it from. None: no function and no class."""
    for node in tree(module).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
            return node
    found = origins(module).get(name)
    return definition(*found) if found else None


def signature(node: ast.FunctionDef, name: str) -> str:
    """`name(arguments) -> type`, without `self`."""
    arguments = re.sub(r"^(self|cls)(, )?", "", ast.unparse(node.args))
    return f"{name}({arguments})" + (f" -> {ast.unparse(node.returns)}" if node.returns else "")


def sentence(node: ast.AST) -> str:
    """A docstring's first paragraph in one line, for a cell of a table."""
    text = (ast.get_docstring(node) or "").split("\n\n")[0]  # type: ignore[arg-type]
    return " ".join(text.split()).replace("|", "\\|")


def code(text: str) -> str:
    """Text as inline code, also in a cell of a table."""
    return "`" + text.replace("|", "\\|") + "`"


def table(rows: Sequence[tuple[str, ...]], *heads: str) -> str:
    """A table in Markdown."""
    return "\n".join([f"| {' | '.join(heads)} |", "|---" * len(heads) + "|", *(f"| {' | '.join(row)} |" for row in rows)])


def methods(node: ast.ClassDef) -> list[tuple[str, str]]:
    """A row for each public method and property: its call, and its docstring's first paragraph."""
    found = []
    for part in (one for one in node.body if isinstance(one, ast.FunctionDef) and not one.name.startswith("_")):
        plain = any(ast.unparse(one) in ("property", "cached_property") for one in part.decorator_list)
        found.append((code(part.name if plain else signature(part, part.name)), sentence(part)))
    return found


def parameters() -> list[tuple[str, str, str]]:
    """Name, default and comment of each line of notebook 02's parameters cell."""
    cells = json.loads((ROOT / "notebooks" / "02_train.ipynb").read_text(encoding="utf-8"))["cells"]
    (cell,) = [cell for cell in cells if "parameters" in cell["metadata"].get("tags", [])]
    lines = re.findall(r"^(\w+) = (.+?)  # (.+)$", "".join(cell["source"]), re.MULTILINE)
    return [(f"`{name}`", f"`{value}`", said.replace("|", "\\|")) for name, value, said in lines]


def section(name: str) -> str:
    """A verb or a class of `mtdnn_kit` with its whole docstring."""
    module, _, there = dict_of("VERBS").get(name, "").rpartition(".")
    node = definition(module, there) if there else definition("", name)
    assert node, f"{name} is neither a function nor a class"
    parts = [f"### {name}"]
    if isinstance(node, ast.FunctionDef):
        parts.append(f"`{signature(node, name)}`")
    parts.append(inspect.cleandoc(ast.get_docstring(node) or ""))
    if isinstance(node, ast.ClassDef) and methods(node):
        parts.append(table(methods(node), "member", "what it is"))
    if name == "Config":
        parts.append("Parameters, with the defaults of notebook 02:")
        parts.append(table(parameters(), "parameter", "default", "what it is"))
    return "\n\n".join(parts)


def dict_of(name: str) -> dict[str, str]:
    """A dictionary of `mtdnn_kit/__init__.py`, which needs no import to be computed."""
    for node in tree("").body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            return eval(compile(ast.Expression(node.value), "__init__", "eval"), {})
    raise KeyError(name)


def names_of(module: str) -> list[str]:
    """The public functions and classes of a module, in order."""
    here = tree(module)
    kinds = ast.FunctionDef | ast.ClassDef
    return listed(module, "__all__") or [node.name for node in here.body if isinstance(node, kinds) and not node.name.startswith("_")]


def module_section(shown: str, module: str) -> str:
    """A module's public functions and classes, a row each."""
    rows = []
    for name in names_of(module):
        if node := definition(module, name):
            rows.append((code(signature(node, name) if isinstance(node, ast.FunctionDef) else name), sentence(node)))
    return f"### {shown}\n\n{' '.join((ast.get_docstring(tree(module)) or '').split(chr(10) * 2)[0].split())}\n\n" + table(
        rows, "name", "what it does"
    )


def page() -> str:
    """The whole page."""
    public = [name for name in listed("", "__all__") if name != "DATASETS"]
    # functions in the order in which the package's docstring names them
    order = (ast.get_docstring(tree("")) or "").index
    verbs = sorted((name for name in public if name.islower()), key=lambda name: order(f"{name}("))
    parts = [HEAD.rstrip(), "## Functions", *map(section, verbs)]
    parts += ["## Classes", *(section(name) for name in public if not name.islower())]
    parts += ["## Packages", *(module_section(f"mtdnn_kit.{room}", room) for room in ROOMS)]
    parts += [
        "## Modules for notebooks",
        *(module_section(f"mtdnn_kit.{name}", module) for name, module in sorted(dict_of("MODULES").items())),
    ]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    (ROOT / "docs" / "api.md").write_text(page(), encoding="utf-8")
