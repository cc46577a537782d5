"""What all figures share: one colour, line and marker per run or task. Only this module chooses colours.

Figures have no background, so each colour has a contrast of at least 3 to 1 on white and on near black; the hues, and their order, are the
explorer's. Lines and markers differ as well, so that figures can be read in grey. A run has the number of its position; a task the same
number everywhere (`task_numbers`). After the seventh they repeat.
"""

from collections.abc import Iterable
from itertools import count
from string import ascii_uppercase
from typing import Any

from mtdnn_kit.data.registry import DATASETS

COLOURS = ("#1F7EC2", "#D55E00", "#00946B", "#C2689A", "#8A6FD0", "#A07A00", "#7D7D7D")
INK = "#767676"  # letters and baselines: legible on white and on near black
LINES = ("-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (3, 1)), (0, (1, 1)))  # matplotlib's
BORDERS = ("3px solid", "3px dashed", "3px dotted", "4px double", "1px solid", "1px dashed", "1px dotted")  # of CSS
DASHES = ("", "8 4", "2 3", "8 3 2 3", "14 4", "4 2", "1 2")  # of SVG
MARKERS = "osD^vPX"
RIGHT_COLOUR = "#ffe28a"  # behind black letters: an accepted answer
BREAK = "overflow-wrap:anywhere"  # of CSS: a very long word is broken, not cut off


def colour(number: int) -> str:
    """The colour of a run or a task, as #RRGGBB."""
    return COLOURS[number % 7]


def task_numbers(tasks: Iterable[str]) -> dict[str, int]:
    """The number of each task: a known one has its place among the known, whatever a run trains; others take the first that are free."""
    known = dict(zip((name for name, dataset in DATASETS.items() if dataset.score), count()))
    tasks = list(dict.fromkeys(tasks))
    free = (number for number in count() if number not in {known[task] for task in tasks if task in known})
    return {task: known[task] if task in known else next(free) for task in tasks}


def rgba(number: int, alpha: str) -> str:
    """The same for CSS, with this opacity."""
    return f"rgba({','.join(str(int(colour(number)[k : k + 2], 16)) for k in (1, 3, 5))},{alpha})"


def letter(number: int) -> str:
    """A run's letter, for readers who cannot see colours: A, B … Z, A again."""
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
