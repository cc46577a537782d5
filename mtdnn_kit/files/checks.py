"""Checks values against the types of dataclass fields: `float`, `int | None`, `list[str]`, `Literal[…]`, `Annotated[…]` and so on.

`Annotated` may hold, besides the type: a `Rule` with a message; a function that returns true for valid values; and a text that says what
the value must be, instead of the type. An invalid value raises an error that names the key, the value and what it must be. Knows no
parameter by name.
"""

import re
import types
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from math import isfinite
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

from mtdnn_kit.errors import ConfigError
from mtdnn_kit.files.wording import nearest, short, some

WIDEST = 2**63  # whole numbers must be smaller
EXPONENT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")  # 3e-5, which YAML 1.1 (and so papermill) reads as text
NAMES = {str: "text", int: "a whole number", float: "a number", bool: "true or false", dict: "a mapping", types.NoneType: "null"}
KINDS_OF_VALUE = {**NAMES, bool: "true/false", list: "a list", types.NoneType: "nothing (null)"}


class Rule(NamedTuple):
    """A condition on values of the right type, and the message if it fails; {} in the message is the value."""

    holds: Callable[[Any], bool]
    words: str


def at_least(low: int) -> Rule:
    """A rule: at least `low`."""
    return Rule(lambda value: value >= low, f"{{}} is too small: at least {low}")


def at_most(high: int) -> Rule:
    """A rule: at most `high`."""
    return Rule(lambda value: value <= high, f"{{}} is too large: at most {high:,}")


Positive = Annotated[float, Rule(lambda value: value > 0, "{} must be above 0")]
Share = Annotated[float, Rule(lambda value: 0 <= value < 1, "{} must be at least 0 and below 1")]
Count = Annotated[int, Rule(lambda value: value >= 1, "must be at least 1, or null for none")]
Name = Annotated[str, "it must be text, and not empty", lambda name: name != ""]


def require(holds: object, message: str) -> None:
    """Raises ConfigError with the message, which starts with a key, unless `holds`."""
    if not holds:
        raise ConfigError(message)


def known_keys(given: Iterable[object], known: Iterable[str], at: str = "", what: str = "key", hint: str = "") -> None:
    """Raises ConfigError for the first unknown key, with the nearest known one."""
    for key in given:
        if key not in (names := list(known)):
            near = nearest(str(key), names)
            raise ConfigError(f"{at}{some([key])}: no such {what}.{near}{hint} The known ones are: {', '.join(names)}.")


def checked(given: Mapping[str, Any], form: type, at: str = "") -> dict[str, Any]:
    """The values of `given`, checked against the fields of the dataclass `form`. Raises ConfigError; `at` precedes the key."""
    hints = get_type_hints(form, include_extras=True)
    return {key: typed(f"{at}{key}", value, hints[key]) for key, value in given.items()}


class _Unfit(Exception):
    """A value, or a part of it, has the wrong type."""


def typed(key: str, value: Any, hint: Any) -> Any:
    """`value` as the type `hint`, or ConfigError. A float may be an int or text like 3e-5, a list may be a tuple; a bool is never a
    number."""
    value = list(value) if isinstance(value, tuple) else value
    try:
        return _made(key, value, hint)
    except _Unfit:
        pass
    if words := _words(hint):
        raise ConfigError(f"{key} is {short(value)}; {words}")
    kind = KINDS_OF_VALUE.get(type(value), type(value).__name__)
    raise ConfigError(f"{key}: {short(value)} is {kind}; it must be {_describe(hint)}.{_remedy(value, hint)}")


def _made(key: str, value: Any, hint: Any) -> Any:
    """The value, converted to float where the type says so. Raises _Unfit for a wrong type, ConfigError if a rule fails."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        value = _made(key, value, args[0])
        if not all(fit(value) for fit in args[1:] if callable(fit)):
            raise _Unfit
        for rule in (rule for rule in args[1:] if isinstance(rule, Rule)):
            require(rule.holds(value), f"{key}: {rule.words.format(short(value))}")
        return value
    if origin in (Union, types.UnionType):
        for option in args:
            with suppress(_Unfit):
                return _made(key, value, option)
    elif origin in (list, tuple) and isinstance(value, list | tuple):
        return origin(_made(key, item, args[0]) for item in value)
    elif origin is dict and isinstance(value, dict):
        return {_made(key, name, args[0]): _made(f"{key}: {some([name])}", item, args[1]) for name, item in value.items()}
    elif (origin is Literal and isinstance(value, str) and value in args) or (origin is None and _fits(value, hint)):
        return float(value) if hint is float else value
    raise _Unfit


def _fits(value: Any, kind: Any) -> bool:
    """Whether a value has a plain type or can be converted to it."""
    if kind is float and isinstance(value, str):
        return EXPONENT.fullmatch(value) is not None and isfinite(float(value))
    if kind in (int, float) and isinstance(value, int):
        return not isinstance(value, bool) and abs(value) < WIDEST
    if kind is str:
        return isinstance(value, str) and not unfit(value)
    return isinstance(value, kind) and (kind is not float or isfinite(value))


def unfit(text: str) -> bool:
    """Whether a text has a NUL or an unpaired surrogate, which file names and output cannot hold."""
    return not text.isprintable() and any(letter == "\0" or "\ud800" <= letter <= "\udfff" for letter in text)


def _words(hint: Any) -> str | None:
    """The text that says what a value must be; that of a part if the whole has none."""
    parts = get_args(hint) if get_origin(hint) in (Annotated, Union, types.UnionType) else ()
    return next((part for part in parts if isinstance(part, str)), None) or next(filter(None, map(_words, parts)), None)


def _describe(hint: Any) -> str:
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _describe(args[0])
    if origin in (Union, types.UnionType):
        return " or ".join(map(_describe, args))
    if origin is Literal:
        return "one of " + ", ".join(map(repr, args))
    if origin in (list, tuple):
        return f"a list, each item {_describe(args[0])}"
    return f"a mapping, each value {_describe(args[1])}" if origin is dict else NAMES[hint]


def _remedy(value: Any, hint: Any) -> str:
    if isinstance(value, int) and abs(value) >= WIDEST:
        return " It has more than 64 bits."
    if isinstance(value, str) and (kind := get_origin(hint)) in (list, dict):
        return f" {KINDS_OF_VALUE[kind].capitalize()} given with papermill's -p arrives as text: use -y or a parameter file."
    if isinstance(value, dict) and get_args(hint)[1:] == (dict,):
        return "".join(f" The value of {key!r} is not." for key in [key for key, item in value.items() if not isinstance(item, dict)][:1])
    texts = isinstance(value, list) and get_origin(hint) is list and all(isinstance(x, str) for x in value)
    if texts or (isinstance(value, str) and str in (hint, *get_args(hint))):
        return " Remove its NUL or unpaired surrogate."
    return ""
