"""Values of parameters against the types of their dataclass fields: `float`, `int | None`, `list[str]`, `Literal[…]` and the like.

A value that does not fit is an error that names the key, what it is and what it must be. Knows no parameter by name.
"""

import types
from math import isfinite
from typing import Any, Literal, Union, get_args, get_origin

from mtdnn_kit.errors import ConfigError
from mtdnn_kit.files.wording import short

WIDEST = 2**63  # no whole number is this large


def typed(key: str, value: Any, hint: Any) -> Any:
    """`value` as `hint` says, or ConfigError. An int serves as a float, a bool never as a number, a tuple as a list."""
    if isinstance(value, tuple):
        value = list(value)
    if not _fits(value, hint):
        raise ConfigError(f"{key}: {short(value)} is {_kind(value)}; it must be {_describe(hint)}.{_remedy(value, hint)}")
    number = float in (hint, *get_args(hint))
    return float(value) if number and isinstance(value, int) else value


def _fits(value: Any, hint: Any) -> bool:
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return any(_fits(value, option) for option in get_args(hint))
    if origin is Literal:
        return isinstance(value, str) and value in get_args(hint)
    if origin is list:
        return isinstance(value, list) and all(_fits(item, get_args(hint)[0]) for item in value)
    if origin is dict:
        name, item = get_args(hint)
        return isinstance(value, dict) and all(_fits(k, name) and _fits(v, item) for k, v in value.items())
    if hint is float:
        whole = isinstance(value, int) and not isinstance(value, bool) and abs(value) < WIDEST
        return whole or (isinstance(value, float) and isfinite(value))
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool) and abs(value) < WIDEST
    if hint is str:
        return isinstance(value, str) and not unfit(value)
    return isinstance(value, hint)


def unfit(text: str) -> bool:
    """Whether a text has NUL or half a surrogate pair: no file can be called so, and nothing prints it."""
    return not text.isprintable() and any(letter == "\0" or "\ud800" <= letter <= "\udfff" for letter in text)


def _kind(value: Any) -> str:
    names = {str: "text", bool: "true/false", int: "a whole number", float: "a number", list: "a list", dict: "a mapping"}
    return names.get(type(value), "nothing (null)" if value is None else type(value).__name__)


def _describe(hint: Any) -> str:
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(_describe(option) for option in get_args(hint))
    if origin is Literal:
        return "one of " + ", ".join(map(repr, get_args(hint)))
    if origin is list:
        return f"a list, each item {_describe(get_args(hint)[0])}"
    if origin is dict:
        return f"a mapping, each value {_describe(get_args(hint)[1])}"
    names = {str: "text", int: "a whole number", float: "a number", bool: "true or false", dict: "a mapping", type(None): "null"}
    return names[hint]


def _remedy(value: Any, hint: Any) -> str:
    numeric = {int, float} & {hint, *get_args(hint)}
    if isinstance(value, str) and numeric:
        return " YAML reads 3e-5 as text: write 3.0e-5, without quotes."
    if isinstance(value, int) and abs(value) >= WIDEST:
        return " It has more than 64 bits."
    if isinstance(value, str) and get_origin(hint) is list:
        return " A list given by papermill's -p arrives as text: put it into a parameter file."
    if (isinstance(value, str) and str in (hint, *get_args(hint))) or (isinstance(value, list) and all(isinstance(x, str) for x in value)):
        return " Remove its NUL or half surrogate pair."
    return ""
