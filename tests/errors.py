"""Prints every error that a user can meet: file:line, class and message, as in the source. `python tests/errors.py [WORD …]` prints
only those that contain all words.

A message is an argument of one of the error classes, `require`, `usage_error` or `warnings.warn`. {…} stands for a value; a name
that the same function sets to text is replaced by that text.
"""

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

PACKAGE = Path(__file__).parents[1] / "mtdnn_kit"
CLASSES = {node.name for node in ast.parse((PACKAGE / "errors.py").read_text()).body if isinstance(node, ast.ClassDef)}
OTHERS = {"ValueError", "ArgumentTypeError", "SystemExit", "exit", "warn", "usage_error", "error"}  # shown to users, too
CHECKS = {"require"}  # the message is the second argument
Texts = dict[str, ast.AST]  # name → the text that a function sets it to, or the function of that name


class Said(NamedTuple):
    """A message: where it is, what raises it, and its text."""

    file: str
    line: int
    by: str
    text: str


def messages() -> Iterator[Said]:
    """All messages, file by file."""
    for file in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
        for node in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            by = getattr(node.func, "id", getattr(node.func, "attr", ""))
            told = node.args[1:2] if by in CHECKS else node.args[:1] if by in CLASSES | OTHERS else []
            around = [f for f in functions if f.lineno <= node.lineno <= (f.end_lineno or 0)] if told else []
            known = {f.name: f for f in functions} | (texts_in(max(around, key=lambda f: f.lineno)) if around else {})
            for text in filter(None, (text_of(part, known) for part in told)):
                yield Said(file.relative_to(PACKAGE.parent).as_posix(), node.lineno, by, text)


@cache
def texts_in(function: ast.AST) -> Texts:
    """The text, or the several texts, that a function assigns to each name."""
    found: Texts = {}
    for node in (node for node in ast.walk(function) if isinstance(node, ast.Assign)):
        for target in node.targets:
            pairs = [(target, node.value)]
            if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                pairs = list(zip(target.elts, node.value.elts, strict=True))
            found |= {name.id: value for name, value in pairs if isinstance(name, ast.Name)}
    return found


def text_of(node: ast.AST, known: Texts) -> str:
    """A message as text; "" for an expression that contains none."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(part, known) for part in node.values)
    if isinstance(node, ast.FormattedValue):
        return text_of(node.value, known) or "{…}"
    if isinstance(node, ast.IfExp):
        return " / ".join(filter(None, (text_of(part, known) for part in (node.body, node.orelse))))
    if isinstance(node, ast.BinOp):  # "text" * condition, "text" + more
        return text_of(node.left, known) + text_of(node.right, known) * isinstance(node.op, ast.Add)
    if isinstance(node, ast.Call):  # of a function that makes the message
        made = known.get(getattr(node.func, "id", ""))
        given = [part.value for part in ast.walk(made) if isinstance(part, ast.Return) and part.value] if made else []
        return " / ".join(filter(None, (text_of(part, texts_in(made)) for part in given)))
    if isinstance(node, ast.Name) and node.id in known:
        return text_of(known[node.id], {name: value for name, value in known.items() if name != node.id})
    return ""


if __name__ == "__main__":
    for said in sorted(messages()):
        if all(word.lower() in said.text.lower() for word in sys.argv[1:]):
            print(f"{said.file}:{said.line} {said.by}: {' '.join(said.text.split())}")
