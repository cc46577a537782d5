"""Reads YAML into plain values: text, numbers, true and false, null, lists, and mappings whose keys are text (at deeper levels, also
numbers).

PyYAML's safe loader accepts repeated keys (the last one wins), keys of any type, dates, aliases that expand beyond any memory ("billion
laughs"), and lists that contain themselves. Here each is an error that names the line. Knows no parameter.
"""

import re
from pathlib import Path
from typing import Any

import yaml

from mtdnn_kit.errors import YamlError

LONGEST_YAML = 100_000  # characters of a file
UNFOLDED = 50_000  # values, with aliases expanded
DEEPEST = 40  # levels of nesting
LABEL_LEVEL = 2  # from this level down a key may be a number or true: a column's value, as in a set's {NAME: {labels: {1: yes}}}
DIGITS = 19  # of a whole number: parameters have at most 64 bits
TAG = "tag:yaml.org,2002:"
PLAIN_TAGS = {"str", "int", "float", "bool", "null", "seq", "map"}
OTHER_TAGS = {"timestamp": "a date", "binary": "bytes"}
OTHER_BASE = re.compile(r"[-+]?0[0-9_]+|.*:.*")  # YAML 1.1 reads 010 as 8 and 1:30 as 90
TOO_LONG = f"it has more than {LONGEST_YAML:,} characters: shorten it"
NO_YAML = (yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError)  # PyYAML's errors for bad values


def read_yaml(text: str) -> Any:
    """The one document of `text`; None if it is empty. Raises YamlError."""
    if len(text) > LONGEST_YAML:
        raise YamlError(TOO_LONG)
    try:
        loader = yaml.SafeLoader(text)  # libyaml's loader words the same errors differently
        node = loader.get_single_node()
        if node is None:
            return None
        _check(node, [], [])
        return loader.construct_document(node)
    except YamlError:
        raise
    except RecursionError:
        raise YamlError(f"line {loader.get_mark().line + 1}: more than {DEEPEST} levels of lists and mappings; flatten them") from None
    except NO_YAML as error:
        raise YamlError(f"{str(error)[:600]}: correct it; put text with special characters in quotes") from None


def text_of(file: Path) -> str:
    """The text of a parameter file. Raises OSError if it cannot be read, YamlError if it is too long or not UTF-8."""
    with open(file, "rb") as opened:
        raw = opened.read(4 * LONGEST_YAML + 1)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        too_long = len(raw) > 4 * LONGEST_YAML
        raise YamlError(TOO_LONG if too_long else f"it is not UTF-8 (byte {error.start + 1}): save it as UTF-8") from None


def _check(node: yaml.Node, outer: list[yaml.Node], seen: list[yaml.Node]) -> None:
    """Checks a node and its content; outer: the nodes around it; seen: all so far, aliases expanded. Raises YamlError with the line."""
    line = f"line {node.start_mark.line + 1}"
    seen.append(node)
    if any(node is one for one in outer):
        raise YamlError(f"{line}: the value contains itself: write it out")
    if len(outer) >= DEEPEST:
        raise YamlError(f"{line}: more than {DEEPEST} levels of lists, mappings or aliases; flatten them")
    if len(seen) > UNFOLDED:
        raise YamlError(f"{line}: its aliases expand to more than {UNFOLDED:,} values: write them out")
    if isinstance(node, yaml.ScalarNode):
        return _check_scalar(node, line)
    if node.tag.removeprefix(TAG) not in PLAIN_TAGS:
        raise YamlError(f"{line}: {node.tag[:40]!r} is not a type that parameters have: leave out the tag")
    if isinstance(node, yaml.MappingNode):
        _check_keys(node, ("str", "merge", "int", "bool") if len(outer) >= LABEL_LEVEL else ("str", "merge"))
    parts = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else node.value
    for part in parts:
        _check(part, [*outer, node], seen)


def _check_scalar(node: yaml.ScalarNode, line: str) -> None:
    kind = node.tag.removeprefix(TAG)
    if kind in OTHER_TAGS:
        raise YamlError(f"{line}: {node.value[:40]!r} is read as {OTHER_TAGS[kind]}; write it in quotes if it is text")
    if kind == "int" and len(node.value) > DIGITS + 1:
        raise YamlError(f"{line}: a whole number of {len(node.value):,} digits is too large: at most {DIGITS}")
    if kind in ("int", "float") and OTHER_BASE.fullmatch(node.value):
        raise YamlError(
            f"{line}: {node.value[:40]!r} is read as {yaml.safe_load(node.value)}: write that, or put it in quotes if it is text"
        )
    if "\0" in node.value or any("\ud800" <= letter <= "\udfff" for letter in node.value):
        raise YamlError(f"{line}: {node.value[:40]!r} has a NUL or an unpaired surrogate, which values must not contain: remove it")


def _check_keys(node: yaml.MappingNode, kinds: tuple[str, ...]) -> None:
    seen = set[Any]()
    for key, _ in node.value:
        line = f"line {key.start_mark.line + 1}"
        if not isinstance(key, yaml.ScalarNode) or key.tag.removeprefix(TAG) not in kinds:
            said = repr(key.value[:40]) if isinstance(key, yaml.ScalarNode) else "a list or mapping"
            raise YamlError(f'{line}: the key {said} is not text; a key must be text (write "0.8" in quotes)')
        read = yaml.safe_load(key.value) if key.tag in (TAG + "int", TAG + "bool") else key.value
        if key.value in seen or read in seen:  # 1, 0x1 and true are one key
            equals = "" if key.value in seen else f" (it equals {read!r})"
            raise YamlError(f"{line}: {key.value[:60]!r} is given twice{equals}: leave out one")
        seen |= {key.value, read}
