"""What a run says of each question: written, read back and checked. The home of the n-best format.

TASK.json is the official format, {id: text}. A line of TASK_nbest.jsonl.gz is an entry, which holds no text:

    {"id": …, "null": score of [CLS], "nothing": its probability, "windows": how many, "nbest": [[start, end, score, probability], …]}

The best span stands first. Entries are read one at a time (`NBestFile`), so that memory holds no spans. Shapes: Q questions.
"""

import json
import tempfile
import weakref
import zlib
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from mtdnn_kit.data.rows import QARow
from mtdnn_kit.errors import RunError
from mtdnn_kit.files.atomic import write_json, write_parts
from mtdnn_kit.files.json_files import read_json
from mtdnn_kit.files.wording import short
from mtdnn_kit.runs.run import Run
from mtdnn_kit.runs.schema import is_number
from mtdnn_kit.tasks.null_threshold import no_answer


def entry_of(answer: Any, windows: int) -> dict:
    """The entry of one of `tasks.answers.Answers`; probabilities are rounded, scores are not: order, ties and answers stay the same."""
    *probabilities, nothing = (round(p, 6) for p in answer.probabilities)
    best = [[*span, p] for span, p in zip(answer.spans, probabilities, strict=True)]
    return {"id": answer.id, "null": answer.null, "nothing": nothing, "windows": int(windows), "nbest": best}


def spans_of(entry: dict) -> list[tuple[int, int, float]]:
    """(start, end, probability) of an entry's spans, the best first."""
    return [(start, end, probability) for start, end, _, probability in entry["nbest"]]


def diff_of(entry: dict) -> float:
    """null − best of an entry; infinite where no span is possible."""
    return entry["null"] - entry["nbest"][0][2] if entry["nbest"] else float("inf")


def first_of(entry: dict, most: int) -> dict:
    """The entry with its first spans alone."""
    return {**entry, "nbest": entry["nbest"][:most]}


def wrong_entry(value: Any) -> str | None:
    """What is wrong with an entry, in words: no id, no numbers, spans that are none, in another order or twice. None where nothing is."""
    if not isinstance(value, dict) or not isinstance(value.get("id"), str) or not isinstance(value.get("nbest"), list):
        return "it is no entry with an id and its n-best"
    spans = value["nbest"]
    if not all(isinstance(span, list) and len(span) == 4 and type(span[0]) is type(span[1]) is int for span in spans):
        return "a span of it is not [start, end, score, probability]"
    if not all(map(is_number, [value.get("null"), value.get("nothing"), *(x for span in spans for x in span[2:])])):
        return "a score or probability of it is no number"
    if not all(0 <= start < end < 2**31 for start, end, *_ in spans):
        return "a span of it ends before it begins"
    if not all(0 <= p <= 1 for p in [value["nothing"], *(span[3] for span in spans)]):
        return "a probability of it is not between 0 and 1"
    if any(one[2] < two[2] for one, two in pairwise(spans)) or len({(a, b) for a, b, *_ in spans}) < len(spans):
        return "its spans are not in order, the best first, each once"
    windows = value.get("windows", 1)
    return None if type(windows) is int and 0 < windows < 2**31 else f"windows is {short(windows)}, not a count"


class NBestFile:
    """The n-best of a run's task: `file[id]` is the entry that `Run.nbest` gives for that question; any number of threads may read.

    The file is decompressed once, into one without a name that is gone when this object is (some two or three times as large). In memory
    are ids and offsets, int64 [Q + 1].
    """

    def __init__(self, run: Run, task: str = "squad"):
        """Raises RunError where the file cannot be read, or a line is no entry with an id of its own."""
        self.path = run.path / f"predictions/{task}_nbest.jsonl.gz"
        if not run.has_nbest(task):
            raise RunError(f"{run.path} has no n-best of {task}: {self.path.name} is not there; copy it from where the run was made")
        self._file, self._lock = tempfile.TemporaryFile(), Lock()  # noqa: SIM115 (read as long as this object is)
        weakref.finalize(self, self._file.close)
        self._rows: dict[str, int] = {}
        ends = [0]
        for number, (line, entry) in enumerate(run.nbest_lines(task), 1):  # read whole, so that damage is said now
            key = entry.get("id") if isinstance(entry, dict) else None
            if not isinstance(key, str):
                raise RunError(f"{self.path}, line {number}: no entry with an id: {line!r:.80}")
            if key in self._rows:
                raise RunError(f"{self.path}, line {number}: question {key!r:.80} comes twice")
            self._rows[key] = number - 1
            ends.append(ends[-1] + len(line))
            self._file.write(line)
        self._offsets = np.array(ends, np.int64)

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __contains__(self, key: object) -> bool:
        return key in self._rows

    def __getitem__(self, key: str) -> dict:
        """One entry. Raises KeyError for a question that the file has not."""
        row = self._rows[key]
        start, end = self._offsets[row : row + 2].tolist()
        with self._lock:  # a place and what stands there belong together; Windows has no `os.pread`
            self._file.seek(start)
            line = self._file.read(end - start)
        return read_json(line)

    def close(self) -> None:
        """Gives the disk space back now, not when the object goes."""
        self._file.close()


def write_answers(folder: Path, task: str, rows: Sequence[QARow], answers: Any, threshold: float) -> None:
    """The answers of `tasks.answers.Answers` to the rows, as TASK.json at this threshold and as n-best."""
    said = zip(rows, answers.best.start[:, 0], answers.best.end[:, 0], no_answer(answers.diff, threshold), strict=True)
    write_json(folder / f"{task}.json", {row.id: "" if nothing else row.context[start:end] for row, start, end, nothing in said})
    lines = (json.dumps(entry_of(answer, n)) + "\n" for answer, n in zip(answers, answers.windows, strict=True))
    write_parts(folder / f"{task}_nbest.jsonl.gz", _packed(line.encode() for line in lines))


def _packed(lines: Iterator[bytes]) -> Iterator[bytes]:
    """gzip of `lines`, the same bytes each time: without a date."""
    packer = zlib.compressobj(wbits=31)
    yield from map(packer.compress, lines)
    yield packer.flush()
