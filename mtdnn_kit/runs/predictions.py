"""One question's n-best at a time: a run's n-best file opened once, its lines read by their offsets, so that memory holds no spans.

What a line holds is `runs`' business (`Run.nbest`), what it means `compare`'s. Shapes: Q questions.
"""

import gzip
import json
import os
import tempfile
import weakref
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from mtdnn_kit.data.rows import QARow
from mtdnn_kit.errors import RunError
from mtdnn_kit.files.atomic import write_parts
from mtdnn_kit.files.json_files import lines_of, read_json
from mtdnn_kit.runs.run import Run
from mtdnn_kit.tasks.answers import Answers
from mtdnn_kit.tasks.thresholds import no_answer


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
        self._file, self._rows, ends = tempfile.TemporaryFile(), {}, [0]  # noqa: SIM115 (read as long as this object is)
        try:
            with gzip.open(self.path) as lines:
                for number, line in enumerate(lines_of(lines), 1):
                    self._rows[self._id(number, line)] = number - 1
                    ends.append(ends[-1] + len(line))
                    self._file.write(line)
            self._file.flush()
        except (OSError, EOFError, ValueError, zlib.error) as error:
            self._file.close()
            raise error if isinstance(error, RunError) else self._damaged(error) from None
        self._offsets = np.array(ends, np.int64)
        weakref.finalize(self, self._file.close)

    def _id(self, number: int, line: bytes) -> str:
        """The id of a line, which is read whole: what is damaged is said now, not at the question that it belongs to."""
        entry = read_json(line)
        key = entry.get("id") if isinstance(entry, dict) else None
        if not isinstance(key, str):
            raise RunError(f"{self.path}, line {number}: no entry with an id: {line!r:.80}")
        if key in self._rows:
            raise RunError(f"{self.path}, line {number}: question {key!r:.80} comes twice")
        return key

    def _damaged(self, error: Exception) -> RunError:
        return RunError(f"{self.path}: cannot be read ({error}); copy it again from where the run was made")

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __contains__(self, key: object) -> bool:
        return key in self._rows

    def __getitem__(self, key: str) -> dict:
        """One line. Raises KeyError for a question that the file has not, RunError where the line is damaged."""
        row = self._rows[key]
        start, end = self._offsets[row : row + 2].tolist()
        line = os.pread(self._file.fileno(), end - start, start)
        try:
            return read_json(line)
        except ValueError as error:
            raise self._damaged(error) from None

    def close(self) -> None:
        """Gives the disk space back now, not when the object goes."""
        self._file.close()


def write_answers(folder: Path, task: str, rows: Sequence[QARow], answers: Answers, threshold: float) -> None:
    """TASK.json in the official format {id: text}, and TASK_nbest.jsonl.gz: character offsets, scores and probabilities, no text.

    Scores are written unrounded, so that what is read back has the same order, ties and answers.
    """
    write_parts(folder / f"{task}.json", _texts(rows, answers, threshold))
    write_parts(folder / f"{task}_nbest.jsonl.gz", _packed(_lines(answers)))


def _texts(rows: Sequence[QARow], answers: Answers, threshold: float) -> Iterator[bytes]:
    """{id: text} as `files.atomic.write_json` writes it, an answer at a time."""
    before, empty = "{\n ", no_answer(answers.diff, threshold)
    for row, start, end, nothing in zip(rows, answers.best.start[:, 0], answers.best.end[:, 0], empty, strict=True):
        text = "" if nothing else row.context[start:end]
        yield f"{before}{json.dumps(row.id, ensure_ascii=False)}: {json.dumps(text, ensure_ascii=False)}".encode()
        before = ",\n "
    yield b"\n}\n"


def _lines(answers: Answers) -> Iterator[bytes]:
    for answer, windows in zip(answers, answers.windows, strict=True):
        probabilities = [round(p, 6) for p in answer.probabilities]
        best = [[*span, p] for span, p in zip(answer.spans, probabilities, strict=False)]
        entry = {"id": answer.id, "null": answer.null, "nothing": probabilities[-1], "windows": int(windows), "nbest": best}
        yield (json.dumps(entry) + "\n").encode()


def _packed(lines: Iterator[bytes]) -> Iterator[bytes]:
    """gzip of `lines`, the same bytes each time: without a date."""
    packer = zlib.compressobj(wbits=31)
    yield from map(packer.compress, lines)
    yield packer.flush()
