"""JSON from anywhere as plain values, as strictly as it can be meant: no key twice (the last one would win), no half of a character.

Python's own parser takes both, and raises a RecursionError for what is nested deeply. NaN and infinity are read as there: what numbers may
be is for those who ask to say. Knows no file.
"""

import json
from collections import Counter
from collections.abc import Iterator
from io import BufferedIOBase
from typing import Any, BinaryIO

LONGEST_LINE = 64_000_000  # bytes of a line: a few kilobytes of gzip unpack to as much as they like


def read_json(text: str | bytes) -> Any:
    """The value of a JSON text, bytes being UTF-8. Raises ValueError that says what is wrong, in few words."""
    try:
        text = text.decode("utf-8") if isinstance(text, bytes) else text
        value = parsed(text)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()  # UTF-8 has no half of a pair
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 at byte {error.start + 1}") from None
    except UnicodeEncodeError as error:
        raise ValueError(f"half a surrogate pair in …{error.object[max(error.start - 30, 0) : error.start + 30]!r}…") from None
    return value


def parsed(text: str) -> Any:
    """As `read_json`, but half a character passes, which is for those who ask to say of the place where it matters."""
    try:
        return DECODER.decode(text)
    except RecursionError:
        raise ValueError("lists or objects too deep inside each other") from None


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
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise ValueError(f"{twice[:60]!r} is there twice")
    return found


DECODER = json.JSONDecoder(object_pairs_hook=_once)
