"""Formats values, names and times for messages: short, and in full if they fit."""

import difflib
import reprlib
from collections.abc import Iterable
from typing import Any

LONGEST_SHOWN = 160  # characters of a value in a message


class _Short(reprlib.Repr):
    """`repr` of any value, never long, and of any whole number (Python refuses to print more than 4,300 digits)."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxstring, self.maxother = 3, 60, 60

    def repr(self, x: Any) -> str:
        """`x` in at most LONGEST_SHOWN characters."""
        found = super().repr(x)
        return found if len(found) <= LONGEST_SHOWN else f"{found[: LONGEST_SHOWN - 20]} … {found[-17:]}"

    def __call__(self, x: Any) -> str:
        return self.repr(x)

    def repr_int(self, x: int, level: int) -> str:
        """A whole number, or its order of magnitude."""
        return repr(x) if abs(x) < 10**40 else f"{'-' * (x < 0)}10^{x.bit_length() * 3 // 10} or more"


short = _Short()


def some(names: Iterable[object], most: int = 12) -> str:
    """The first of `names`, separated by commas, and how many more there are."""
    found = [text if len(text := str(name)) <= 60 else f"{text[:40]} … {text[-16:]}" for name in names]
    return ", ".join(found[:most]) + (f" and {len(found) - most:,} more" if len(found) > most else "")


def nearest(key: str, known: list[str]) -> str:
    """ " Did you mean …?", or ""."""
    folded = {name.casefold(): name for name in known}
    near = difflib.get_close_matches(key[:60].casefold(), folded, n=1)
    return f" Did you mean {folded[near[0]]}?" if near else ""


def duration(seconds: float) -> str:
    """1:05:09, or 5:09 below an hour."""
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"


def disk_size(size: int) -> str:
    """Bytes as 1.2 MB, or 3.4 GB."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
