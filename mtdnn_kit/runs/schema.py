"""What the files of a run folder must hold so that what is read is what was written: plain values in, what is wrong with them out.

A number that is NaN, a count below 0 or a text where a number stands would otherwise end up in a table, or in an error far from its file.
More keys than are known here are left alone. Knows no path.
"""

from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

from mtdnn_kit.files.wording import short

TEXT, WHOLE, NUMBER = "text", "a whole number", "a number"
MANIFEST = {"status": TEXT, "code": TEXT, "precision": TEXT, "start": TEXT, "end": TEXT, "steps": WHOLE, "threads": WHOLE} | {
    "train_seconds": NUMBER,
    "seed": WHOLE,
}
SOURCE = {"fingerprint": TEXT, "origin": TEXT, "rows": WHOLE}
FIGURES = ("loss", "lr", "grad_norm", "tokens_per_second", "epoch", "tokens")  # of a step, in the log
Problem = str | None  # in words, None where nothing is wrong


def is_number(value: Any) -> bool:
    """Whether a value is a finite number that a float can be; Python reads NaN, infinity and whole numbers of any size from JSON."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def _of(value: Any, kind: str) -> bool:
    if kind == TEXT:
        return isinstance(value, str)
    return is_number(value) if kind == NUMBER else type(value) is int and 0 <= value < 2**63


def _first(problems: Iterable[Problem]) -> Problem:
    return next((problem for problem in problems if problem), None)


def _keys(where: str, value: dict, kinds: dict[str, str]) -> Problem:
    wrong = [key for key, kind in kinds.items() if key in value and not _of(value[key], kind)]
    return f"{where}{wrong[0]} is {short(value[wrong[0]])}, not {kinds[wrong[0]]}" if wrong else None


def _mapping(where: str, value: Any, check: Callable[[str, Any], Problem]) -> Problem:
    """What is wrong with an object, or with the first of its values at fault."""
    if not isinstance(value, dict):
        return f"{where} is {short(value)}, not an object"
    return _first(check(f"{where}, {short(key)}", item) for key, item in value.items())


def of_config(value: Any) -> Problem:
    """Of config.yaml: what there is beside `tasks` is `config`'s business."""
    if not isinstance(value, dict):
        return f"it holds {short(value)}, not `key: value`"
    tasks = value.get("tasks")
    named = isinstance(tasks, list) and tasks and all(isinstance(task, str) for task in tasks)
    return None if named else f"tasks is {short(tasks)}, not a list of names"


def of_manifest(value: Any) -> Problem:
    """Of manifest.json."""
    if not isinstance(value, dict):
        return f"it is {short(value)}, not an object"

    def source(where: str, item: Any) -> Problem:
        return _keys(f"{where}: ", item, SOURCE) if isinstance(item, dict) else f"{where} is {short(item)}, not an object"

    def count(where: str, item: Any) -> Problem:
        return None if _of(item, WHOLE) else f"{where} is {short(item)}, not a count"

    parts = (("data", source), ("draws", count))
    return _keys("", value, MANIFEST) or _first(_mapping(key, value[key], check) for key, check in parts if key in value)


def of_metrics(value: Any) -> Problem:
    """Of metrics.json: {task: {score: number or null, "n": rows}}; scores are percentages, thresholds are not."""

    def score(where: str, item: Any) -> Problem:
        limit = 1e300 if "threshold" in where else 100.000001
        return None if item is None or (is_number(item) and abs(item) <= limit) else f"{where} is {short(item)}, not a score"

    def task(where: str, item: Any) -> Problem:
        if not isinstance(item, dict) or not _of(item.get("n"), WHOLE):
            return f"{where} is {short(item)}, not scores with `n`, the number of rows"
        wrong = _keys(f"{where}: ", item, {"threshold": NUMBER})
        return wrong or _mapping(where, {key: found for key, found in item.items() if key != "n"}, score)

    return _mapping("it", value, task)


def of_answers(value: Any) -> Problem:
    """Of predictions in the official format, {id: text}."""
    return _mapping("it", value, lambda where, item: None if isinstance(item, str) else f"{where} is {short(item)}, not text")


def of_record(value: Any) -> Problem:
    """Of a line of log.jsonl or interference.jsonl: a step, and its figures, scores or measurements."""
    if not isinstance(value, dict) or not _of(value.get("step"), WHOLE) or not isinstance(value.get("task"), str):
        return f"it is {short(value)}, not a step of a task"
    wrong = _first(f"{key} is {short(value[key])}, not a number" for key in FIGURES if key in value and not is_number(value[key]))

    def number(where: str, item: Any) -> Problem:
        return None if item is None or is_number(item) else f"{where} is {short(item)}, not a number"

    return wrong or _first(_mapping(key, value[key], number) for key in ("scores", "norm", "cosine") if key in value)


def of_nbest(value: Any) -> Problem:
    """Of a line of n-best: an id, the null score, and [start, end, score, probability] of each span, the best first, no span twice."""
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
