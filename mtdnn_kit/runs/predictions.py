"""Writes, reads and checks a run's answers to each question. The home of the n-best format.

TASK.json is the official format, {id: text}. A line of TASK_nbest.jsonl.gz is an entry, which holds no text:

    {"id": …, "null": score of [CLS], "nothing": its probability, "windows": how many, "nbest": [[start, end, score, probability], …]}

The best span comes first. Entries are read one at a time (`Run.nbest`), so memory holds no spans. Shapes: Q questions.
"""

import json
import zlib
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from mtdnn_kit.data.rows import QARow
from mtdnn_kit.files.atomic import write_json, write_parts
from mtdnn_kit.files.wording import short
from mtdnn_kit.runs.schema import is_number
from mtdnn_kit.tasks.null_threshold import no_answer


def entry_of(answer: Any, windows: int) -> dict:
    """The entry of one of `tasks.answers.Answers`; rounds probabilities but not scores, so order, ties and answers stay the same."""
    *probabilities, nothing = (round(p, 6) for p in answer.probabilities)
    best = [[*span, p] for span, p in zip(answer.spans, probabilities, strict=True)]
    return {"id": answer.id, "null": answer.null, "nothing": nothing, "windows": int(windows), "nbest": best}


def spans_of(entry: dict) -> list[tuple[int, int, float]]:
    """(start, end, probability) of an entry's spans, best first."""
    return [(start, end, probability) for start, end, _, probability in entry["nbest"]]


def diff_of(entry: dict) -> float:
    """null − best of an entry; infinite if no span is possible."""
    return entry["null"] - entry["nbest"][0][2] if entry["nbest"] else float("inf")


def first_of(entry: dict, most: int) -> dict:
    """The entry with its first `most` spans only."""
    return {**entry, "nbest": entry["nbest"][:most]}


def wrong_entry(value: Any) -> str | None:
    """What is wrong with an entry, in words: a missing id, wrong numbers, invalid, misordered or repeated spans. None if it is valid."""
    if not isinstance(value, dict) or not isinstance(value.get("id"), str) or not isinstance(value.get("nbest"), list):
        return "it is not an entry with an id and its n-best"
    spans = value["nbest"]
    if not all(isinstance(span, list) and len(span) == 4 and type(span[0]) is type(span[1]) is int for span in spans):
        return "one of its spans is not [start, end, score, probability]"
    if not all(map(is_number, [value.get("null"), value.get("nothing"), *(x for span in spans for x in span[2:])])):
        return "one of its scores or probabilities is not a number"
    if not all(0 <= start < end < 2**31 for start, end, *_ in spans):
        return "one of its spans ends before it begins"
    if not all(0 <= p <= 1 for p in [value["nothing"], *(span[3] for span in spans)]):
        return "one of its probabilities is not between 0 and 1"
    if any(one[2] < two[2] for one, two in pairwise(spans)) or len({(a, b) for a, b, *_ in spans}) < len(spans):
        return "its spans are not unique and ordered, best first"
    windows = value.get("windows", 1)
    return None if type(windows) is int and 0 < windows < 2**31 else f"windows is {short(windows)}, not a count"


def write_answers(folder: Path, task: str, rows: Sequence[QARow], answers: Any, threshold: float) -> None:
    """Writes `tasks.answers.Answers` to the rows as TASK.json, at this threshold, and as n-best."""
    said = zip(rows, answers.best.start[:, 0], answers.best.end[:, 0], no_answer(answers.diff, threshold), strict=True)
    write_json(folder / f"{task}.json", {row.id: "" if nothing else row.context[start:end] for row, start, end, nothing in said})
    lines = (json.dumps(entry_of(answer, n)) + "\n" for answer, n in zip(answers, answers.windows, strict=True))
    write_parts(folder / f"{task}_nbest.jsonl.gz", _packed(line.encode() for line in lines))


def _packed(lines: Iterator[bytes]) -> Iterator[bytes]:
    """`lines` as gzip without a date, so that equal lines give equal bytes."""
    packer = zlib.compressobj(wbits=31)
    yield from map(packer.compress, lines)
    yield packer.flush()
