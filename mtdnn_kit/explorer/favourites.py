"""Favourite rows, each with a note: one small file next to the runs, `favourites.json`.

It holds ids and the user's notes, {task: {id: note}}; no dataset text. Several notebooks may write it: each change rereads the file first.
"""

import os
from collections.abc import Sequence
from os.path import commonpath
from pathlib import Path

from mtdnn_kit.errors import RunError
from mtdnn_kit.files.atomic import write_json
from mtdnn_kit.files.json_files import read_json
from mtdnn_kit.files.locks import held
from mtdnn_kit.runs.run import Run

FAVOURITES_FILE = "favourites.json"


def beside(runs: Sequence[Run]) -> Path:
    """The folder that holds the runs: the parent of a single one, or the nearest folder above them all; the first one's parent if they have
    nothing in common but the disk."""
    first = runs[0].path.parent
    try:
        found = Path(commonpath([run.path.parent for run in runs]))
    except ValueError:  # two drives
        return first
    return first if found == found.parent else found


def read(folder: Path) -> dict[str, dict[str, str]]:
    """{task: {id: note}}; {} without a file. Raises RunError for a file of another form."""
    file = folder / FAVOURITES_FILE
    try:
        found = read_json(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise RunError(f"{file} cannot be read ({error}): correct it or move it away") from None
    if not isinstance(found, dict) or not all(_notes(notes) for notes in found.values()):
        raise RunError(f'{file} is not a list of favourites, {{"task": {{"id": "note"}}}}: correct it or move it away')
    return found


def _notes(notes: object) -> bool:
    return isinstance(notes, dict) and all(isinstance(note, str) for note in notes.values())


def keep(folder: Path, task: str, row_id: str, note: str | None) -> dict[str, str]:
    """Saves a row of a task as a favourite (note None: removes it); returns the task's favourites. Raises RunError if it cannot be
    written."""
    try:
        with held(folder / ".favourites.lock", "a note is being written", 5.0):
            found = read(folder)
            notes = {key: value for key, value in found.get(task, {}).items() if key != row_id}
            notes |= {} if note is None else {row_id: note}
            write_json(folder / FAVOURITES_FILE, {**found, task: notes})
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else error
        raise RunError(f"{folder / FAVOURITES_FILE} cannot be written ({why}); the note was not saved") from None
    return notes
