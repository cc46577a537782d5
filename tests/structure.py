"""The package's source files: their syntax trees, and what each imports."""

import ast
from functools import cache

from conftest import ROOT

PACKAGE = ROOT / "mtdnn_kit"


@cache
def modules() -> dict[str, ast.Module]:
    found = {}
    for path in PACKAGE.rglob("*.py"):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        found[name.removesuffix(".__init__") or name] = ast.parse(path.read_text())
    return found


def imports(tree: ast.AST) -> set[str]:
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "use absolute imports"
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names
