"""What all that is drawn shares: one colour, line and marker a run or a task. Only here is a colour chosen.

Colours are Okabe and Ito's, which colour-blind people can tell apart; lines and markers differ beside them, so that all is told apart in
grey, too. A run or a task has the number of its place; after the seventh they come again.
"""

from string import ascii_uppercase
from typing import Any

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (3, 1)), (0, (1, 1)))  # matplotlib's
BORDERS = ("3px solid", "3px dashed", "3px dotted", "4px double", "1px solid", "1px dashed", "1px dotted")  # of CSS
DASHES = ("", "8 4", "2 3", "8 3 2 3", "14 4", "4 2", "1 2")  # of SVG
MARKERS = "osD^vPX"
RIGHT_COLOUR, CUT, ADDED = "#ffe28a", "#ffd3cc", "#c9f0d2"  # behind black letters: an accepted answer, what was cut, what was added
BREAK = "overflow-wrap:anywhere"  # of CSS: a very long word is broken, not cut off


def colour(number: int) -> str:
    """The colour of a run or a task, as #RRGGBB."""
    return COLOURS[number % 7]


def rgba(number: int, alpha: str) -> str:
    """The same for CSS, let through so far."""
    return f"rgba({','.join(str(int(colour(number)[k : k + 2], 16)) for k in (1, 3, 5))},{alpha})"


def letter(number: int) -> str:
    """A run's sign where colours are not seen: A, B … Z, A again."""
    return ascii_uppercase[number % 26]


def line(number: int) -> str:
    """The style, for CSS, of the underline of a run's answer."""
    return f"border-bottom:{BORDERS[number % 7]} {colour(number)}"


def dashes(number: int) -> str:
    """The same as the dashes of a line in SVG."""
    return DASHES[number % 7]


def look(number: int, **more: Any) -> dict[str, Any]:
    """Colour and line of a run or a task, and what else a line has, for matplotlib."""
    return {"color": colour(number), "ls": LINES[number % 7], **more}
