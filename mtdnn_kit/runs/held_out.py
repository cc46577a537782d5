"""The scores of the held-out questions that tuned a run's threshold, kept to compute the effect of tuning it on other questions.

A line of TASK_held_out.jsonl.gz is a question, without its text:

    {"id": …, "unit": number of its article, or passage, "diff": null − best (null: no span), "em": …, "f1": …, "nothing": 0 or 1}

Shapes: Q questions.
"""

import gzip
import json
import zlib
from collections.abc import Mapping, Sequence
from math import inf, isfinite
from pathlib import Path

import numpy as np

from mtdnn_kit.data.rows import QARow
from mtdnn_kit.data.table import column
from mtdnn_kit.errors import RunError
from mtdnn_kit.files.atomic import write_whole
from mtdnn_kit.files.json_files import read_json
from mtdnn_kit.runs.run import COPY, HELD_OUT_FILE, Run
from mtdnn_kit.runs.schema import is_number

HELD_OUT_COLUMNS = ("unit", "diff", "em", "f1", "nothing")


def write_held_out(folder: Path, task: str, rows: Sequence[QARow], scored: Mapping[str, np.ndarray]) -> None:
    """Writes the scores of the best spans on held-out rows into a folder of predictions.

    scored: diff, em, f1, nothing [Q] (`tasks.answers.scored`). The unit is a question's article if all have titles, else its passage.
    """
    titles = column(rows, "title")
    names = titles if all(titles) else column(rows, "context")
    units = {name: i for i, name in enumerate(dict.fromkeys(names))}
    lines = [
        json.dumps({"id": key, "unit": units[name], "diff": diff if isfinite(diff) else None, "em": em, "f1": f1, "nothing": nothing})
        for key, name, diff, em, f1, nothing in zip(
            column(rows, "id"), names, *(scored[name].tolist() for name in HELD_OUT_COLUMNS[1:]), strict=True
        )
    ]
    write_whole(folder / HELD_OUT_FILE.format(task), gzip.compress("".join(f"{line}\n" for line in lines).encode(), mtime=0))


def read_held_out(run: Run, task: str = "squad") -> dict[str, np.ndarray] | None:
    """{"unit", "diff", "em", "f1", "nothing"}: [Q] each, over the questions that tuned a task's threshold; diff is infinite if there was no
    span. None if the run kept none. Raises RunError for an invalid file."""
    file = run.path / "predictions" / HELD_OUT_FILE.format(task)
    if not file.is_file():
        return None
    try:
        entries = [read_json(line) for line in gzip.decompress(file.read_bytes()).splitlines()]
        found = {key: np.array([_number(entry, key) for entry in entries]) for key in HELD_OUT_COLUMNS}
    except (OSError, EOFError, ValueError, KeyError, TypeError, zlib.error) as error:
        raise RunError(f"{file}: cannot be read ({error}); {COPY}") from None
    return found if entries else None


def _number(entry: dict, key: str) -> float:
    value = entry[key]
    if not is_number(value) and (key, value) != ("diff", None):
        raise ValueError(f"{key} is {value!r:.40}, not a number")
    return inf if value is None else float(value)
