"""Reads JSON strictly into plain values: no repeated keys (the last one would win), no unpaired surrogates.

Python's parser accepts both, and raises a RecursionError for deep nesting. NaN and infinity pass, as in Python's parser: callers check
numbers. Knows no file.
"""

import json
from collections import Counter
from collections.abc import Iterator
from io import BufferedIOBase
from typing import Any, BinaryIO

LONGEST_LINE = 64_000_000  # bytes of a line: a few kilobytes of gzip can unpack to any size


def read_json(text: str | bytes) -> Any:
    """The value of a JSON text (bytes are read as UTF-8). Raises ValueError with a short reason."""
    try:
        text = text.decode("utf-8") if isinstance(text, bytes) else text
        value = parsed(text)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()  # UTF-8 cannot encode an unpaired surrogate
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 at byte {error.start + 1}") from None
    except UnicodeEncodeError as error:
        raise ValueError(f"unpaired surrogate in …{error.object[max(error.start - 30, 0) : error.start + 30]!r}…") from None
    return value


def parsed(text: str) -> Any:
    """As `read_json`, but lets unpaired surrogates pass, so that the caller can report where they are."""
    try:
        return DECODER.decode(text)
    except RecursionError:
        raise ValueError("lists or objects are nested too deeply") from None


def lines_of(opened: BinaryIO | BufferedIOBase) -> Iterator[bytes]:
    """The lines of an open file. Raises ValueError for a line of more than LONGEST_LINE bytes."""
    while line := opened.readline(LONGEST_LINE + 1):
        if len(line) > LONGEST_LINE:
            raise ValueError(f"a line of more than {LONGEST_LINE:,} bytes")
        yield line


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of these keys and values. Raises ValueError for a repeated key."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise ValueError(f"{twice[:60]!r} is given twice")
    return found


DECODER = json.JSONDecoder(object_pairs_hook=_once)
