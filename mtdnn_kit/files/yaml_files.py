"""YAML from anywhere as plain values: text, numbers, true and false, null, lists, and mappings whose keys are text (deeper inside, numbers
too).

PyYAML's safe loader still takes a key that is there twice (the last one wins), keys of any kind, dates, aliases that unfold to more than a
machine holds ("billion laughs"), and lists that hold themselves. Here each of them is an error that says in which line. Knows no parameter.
"""

from pathlib import Path
from typing import Any

import yaml

from mtdnn_kit.errors import YamlError

MOST = 100_000  # characters of a file
SIZE = 50_000  # values in it, aliases unfolded
DEPTH = 40  # lists and mappings inside each other
LABELS = 3  # levels above which a key may be a number or true: what a column holds, as in define: {NAME: {labels: {1: yes}}}
DIGITS = 19  # of a whole number: no parameter takes one beyond 64 bits
TAG = "tag:yaml.org,2002:"
KINDS = {"str", "int", "float", "bool", "null", "seq", "map"}
OTHERS = {"timestamp": "a date", "binary": "bytes"}
BROKEN = (yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError, RecursionError)  # what PyYAML raises for bad values


def read_yaml(text: str) -> Any:
    """The one document of `text`; None where it is empty. Raises YamlError."""
    if len(text) > MOST:
        raise YamlError(f"it has more than {MOST:,} characters: no file of parameters is that long")
    try:
        loader = _Loader(text)
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except YamlError:
        raise
    except BROKEN as error:
        raise YamlError(f"{str(error)[:600]}: correct it; text with special characters stands in quotes") from None


def text_of(file: Path) -> str:
    """The text of a file of parameters. Raises OSError where it cannot be read, YamlError where it is too long or not UTF-8."""
    with open(file, "rb") as opened:
        raw = opened.read(4 * MOST + 1)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if len(raw) > 4 * MOST:
            raise YamlError(f"it has more than {MOST:,} characters: no file of parameters is that long") from None
        raise YamlError(f"it is not UTF-8 (byte {error.start + 1}): save it as UTF-8") from None


class _Loader(yaml.SafeLoader):
    """Looks at each node once its parts are composed; `sizes`: values in a node and depth, aliases unfolded, by the node's identity."""

    def __init__(self, text: str):
        super().__init__(text)
        self.depth = 0
        self.sizes: dict[int, tuple[int, int]] = {}

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """A node that is neither too deep nor too large, with keys and values that can be meant."""
        self.depth += 1
        if self.depth > DEPTH:
            raise YamlError(f"line {self.peek_event().start_mark.line + 1}: more than {DEPTH} lists and mappings inside each other")
        alias, line = self.check_event(yaml.AliasEvent), self.peek_event().start_mark.line + 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        if not alias:
            self.sizes[id(node)] = self._size(node, line)
            _check_scalar(node, line) if isinstance(node, yaml.ScalarNode) else _check_collection(node, line, self.depth)
        elif id(node) not in self.sizes:
            raise YamlError(f"line {line}: what holds itself cannot be meant: write it out")
        return node

    def _size(self, node: yaml.Node, line: int) -> tuple[int, int]:
        parts = node.value if isinstance(node, yaml.SequenceNode) else []
        parts = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else parts
        sizes = [self.sizes[id(part)] for part in parts]
        size, depth = 1 + sum(size for size, _ in sizes), 1 + max((depth for _, depth in sizes), default=0)
        if size > SIZE or depth > DEPTH:
            raise YamlError(f"line {line}: its aliases unfold to more than {SIZE:,} values or {DEPTH} levels: write out what is meant")
        return size, depth


def _check_scalar(node: yaml.ScalarNode, line: int) -> None:
    kind = node.tag.removeprefix(TAG)
    if kind in OTHERS:
        raise YamlError(f"line {line}: {node.value[:40]!r} is read as {OTHERS[kind]}; write it in quotes if it is text")
    if kind == "int" and len(node.value) > DIGITS + 1:
        raise YamlError(f"line {line}: a whole number of {len(node.value):,} digits cannot be meant")
    if "\0" in node.value or any("\ud800" <= letter <= "\udfff" for letter in node.value):
        raise YamlError(f"line {line}: {node.value[:40]!r} has a NUL or half a surrogate pair, which nothing here can be called: remove it")


def _check_collection(node: yaml.CollectionNode, line: int, depth: int) -> None:
    if node.tag.removeprefix(TAG) not in KINDS:
        raise YamlError(f"line {line}: {node.tag[:40]!r} is no kind of value that a parameter has: leave out the tag")
    if not isinstance(node, yaml.MappingNode):
        return
    seen, kinds = set[Any](), ("str", "merge", *(("int", "bool") if depth >= LABELS else ()))
    for key, _ in node.value:
        where = f"line {key.start_mark.line + 1}"
        if not isinstance(key, yaml.ScalarNode) or key.tag.removeprefix(TAG) not in kinds:
            said = repr(key.value[:40]) if isinstance(key, yaml.ScalarNode) else "a list or mapping"
            raise YamlError(f'{where}: the key {said} is no text; a key must be text (write "0.8" in quotes)')
        read = yaml.safe_load(key.value) if key.tag in (TAG + "int", TAG + "bool") else key.value
        if key.value in seen or read in seen:  # 1, 0x1 and true are one key
            raise YamlError(
                f"{where}: {key.value[:60]!r} is there twice{'' if key.value in seen else f' (it equals {read!r})'}: leave out one"
            )
        seen |= {key.value, read}
