"""JSON from anywhere as plain values, as strictly as it can be meant: no key twice (the last one would win), no half of a character.

Python's own parser takes both, and raises a RecursionError for what is nested deeply. NaN and infinity are read as there: what numbers may
be is for those who ask to say. Knows no file.
"""

import json
from collections.abc import Iterator
from io import BufferedIOBase
from typing import Any, BinaryIO

LONGEST_LINE = 64_000_000  # bytes of a line: a few kilobytes unpack to as much as they like, and what is longer is no row


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text, bytes being UTF-8. Raises ValueError, in few words (UnicodeDecodeError: no UTF-8)."""
    try:
        return json.loads(text.decode("utf-8-sig") if isinstance(text, bytes) else text, object_pairs_hook=_once)
    except RecursionError:
        raise ValueError("lists or objects too deep inside each other") from None


def read_json(text: str | bytes) -> Any:
    """`parse_json` of what is to be shown or written again: without half a surrogate pair. Raises ValueError."""
    try:
        value = parse_json(text)
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 at byte {error.start + 1}") from None
    escaped = "\\u" if isinstance(text, str) else b"\\u"
    if escaped in text and (half := _half(value)):  # type: ignore[operator]
        raise ValueError(f"half a surrogate pair in {half[:60]!r}")
    return value


def lines_of(opened: BinaryIO | BufferedIOBase) -> Iterator[bytes]:
    """The lines of an open file. Raises ValueError for one that no machine should hold."""
    while line := opened.readline(LONGEST_LINE + 1):
        if len(line) > LONGEST_LINE:
            raise ValueError(f"a line of more than {LONGEST_LINE:,} bytes")
        yield line


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of its keys and values. Raises ValueError for a key that is there twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ValueError(f"{key[:60]!r} is there twice")
            seen.add(key)
    return found


def _half(value: Any) -> str | None:
    """A text with half a surrogate pair, which nothing can print or write, if there is one."""
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one, str) and any("\ud800" <= letter <= "\udfff" for letter in one):
            return one
        left += [*one, *one.values()] if isinstance(one, dict) else one if isinstance(one, list) else []
    return None
