"""Rows and every run's answers as the JSON that the explorer's page reads (front/data.js): columns, packed with gzip.

Offsets are characters of the passage. Scores are exact, so that EM and F1 at any threshold equal Python's; probabilities have three digits,
and spans of the n-best that would read 0.000 are left out. It holds ids, texts and names; no path of this machine. Shapes: N rows.
"""

import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from mtdnn_kit.compare import ANSWER_KINDS, Columns, CompareError, Item, Question, choices, pair
from mtdnn_kit.compare.clusters import clustered
from mtdnn_kit.data.registry import REST, TYPE_WORDS
from mtdnn_kit.explorer.filters import DIFFER, columns_of, facets
from mtdnn_kit.runs.run import Run

COMPARED, ENDS = ("EM", "F1", "span F1"), ("difference", "low", "high")
NO_INTERVAL = "There is no interval, because there are fewer than two passages or articles."
DEPTH, LEAST_PROBABLE = 20, 0.0005  # of an n-best: the maximum number of spans, and the minimum probability


@dataclass(frozen=True, eq=False)
class RunAnswers:
    """A task's rows with every run's answers, also as columns; `runs` by name, empty if only the answers are known."""

    task: str
    items: Sequence[Any]
    columns: Columns
    runs: dict[str, Run]

    @property
    def qa(self) -> bool:
        """Whether it is a question answering task."""
        return not self.items or isinstance(self.items[0], Question)


def shared_tasks(runs: dict[str, Run]) -> list[str]:
    """Tasks for which every run has answers, question answering first. Raises CompareError if there is none."""
    first = next(iter(runs.values()), None)
    types, config = (first.types, first.parameters) if first else ({}, None)
    further = dict.fromkeys(name for run in runs.values() for name in run.parameters.scored_also)
    named = [*(name for task in types for name in (task, task + REST)), *further]
    kinds = {name: types.get(config.task_of(name)) for name in named} if config else {}
    kept = [name for name, kind in kinds.items() if kind in TYPE_WORDS and all(run.keeps(name) for run in runs.values())]
    if not kept:
        without = [name for name, run in runs.items() if not any(map(run.keeps, named))]
        lack = f"; {', '.join(without)} has none in predictions/: copy that folder, too" if without else "; name other runs"
        raise CompareError(f"runs: there is no task for which all of {', '.join(runs) or 'the runs'} have answers{lack}")
    return sorted(kept, key=lambda name: kinds[name] != "qa")


def read(runs: dict[str, Run], task: str, data: str | None = None, cluster: str = "passage") -> RunAnswers:
    """The answers of runs to a task. Raises CompareError and DataError as `compare.pair` does."""
    first = next(iter(runs.values()))
    if first.types[first.parameters.task_of(task)] != "qa":
        return of_items(choices.pair(runs, data, task), task, runs)
    return of_items(clustered(pair(runs, data, task, nbest=DEPTH), cluster), task, runs)


def of_items(items: Sequence[Question | Item], task: str = "squad", runs: dict[str, Run] | None = None) -> RunAnswers:
    """The answers to rows that are already read."""
    return RunAnswers(task, items, columns_of(items), runs or {})


def as_json(answers: RunAnswers, notes: dict[str, str] | None = None, places: Sequence[int] | None = None, compared: bool = False) -> dict:
    """The input of front/data.js. notes: of favourites, by id; places: indices of the rows, None for all; compared: includes the comparison
    of every two runs over all rows (`comparison`), for a page without Python behind it."""
    whole, columns = answers.items, answers.columns
    some = list(range(len(whole))) if places is None else list(places)
    items = [whole[i] for i in some]
    differ = len(columns.names) > 1 and bool(columns.at().differ.any())
    made: dict[str, Any] = {"task": answers.task, "type": "qa" if answers.qa else "choice", "whole": len(whole), "kinds": ANSWER_KINDS}
    ids = {str(one.row.id) for one in items}
    made |= {"notes": {key: note for key, note in (notes or {}).items() if key in ids}}
    made |= {"start": [DIFFER] if differ and places is None else []}
    made["runs"] = [_run(answers, r) for r in range(len(columns.names))]
    made |= _questions(items) if answers.qa else _choices(items)
    made["rows"] |= {"id": [one.row.id for one in items], "nothing": columns.nothing[some].tolist()}
    made["facets"] = [_facet(name, parts, some) for name, parts in facets(whole).items()]
    made["answers"] = [_answers(answers, r, some, items) for r in range(len(columns.names))]
    if compared:
        for a, b in combinations(range(len(columns.names)), 2):
            made.setdefault("comparisons", {}).update({f"{a},{b}": (one := comparison(answers, a, b)), f"{b},{a}": turned(one)})
    return made


def packed(value: dict) -> bytes:
    """ASCII JSON, packed; equal values give equal bytes."""
    return gzip.compress(json.dumps(value, allow_nan=False, separators=(",", ":")).encode(), 6, mtime=0)


def _run(answers: RunAnswers, r: int) -> dict:
    name, tuned = answers.columns.names[r], answers.columns.tuned[r]
    return {"name": name, "tuned": None if np.isnan(tuned) else float(tuned), "without": _without(name, answers.runs.get(name))}


def _without(name: str, run: Run | None) -> str | None:
    """Why a run cannot be asked; None if it has its model."""
    if run is None:
        return f"{name}: these answers have no run, so there is no model to ask."
    kept = (run.path / "model" / "model.safetensors").is_file()
    return None if kept else f"{name} has no model: a kept run is stored without it. Copy its folder model/ from where it was trained."


def _questions(items: Sequence[Question]) -> dict:
    passages = {text: k for k, text in enumerate(dict.fromkeys(one.row.context for one in items))}
    golds = [[x for start, text in one.row.answers for x in (start, start + len(text))] for one in items]
    rows = {"title": [one.row.title for one in items], "question": [one.row.question for one in items], "golds": golds}
    return {"passages": list(passages), "rows": {**rows, "passage": [passages[one.row.context] for one in items]}}


def _choices(items: Sequence[Item]) -> dict:
    rows: dict[str, Any] = {"texts": [list(one.texts) for one in items], "gold": [one.gold for one in items]}
    labels = list(items[0].names) if items else []
    if all(list(one.names) == labels for one in items):
        return {"labels": labels, "rows": rows}
    return {"rows": {**rows, "labels": [list(one.names) for one in items]}}


def _facet(name: str, parts: dict[str, list[int]], some: Sequence[int]) -> dict:
    of = np.full(max([-1, *some, *(i for places in parts.values() for i in places)]) + 1, -1)
    for k, places in enumerate(parts.values()):
        of[places] = k
    return {"facet": name, "names": list(parts), "of": of[list(some)].tolist()}


def _answers(answers: RunAnswers, r: int, some: list[int], items: Sequence[Any]) -> dict:
    columns, name = answers.columns, answers.columns.names[r]
    made: dict[str, Any] = {key: getattr(columns, key)[r][some].tolist() for key in ("em", "f1", "text", "kind")}
    if not answers.qa:
        return made | {"p": [[round(p, 4) for p in one.replies[name].probabilities] for one in items]}
    replies = [one.replies[name] for one in items]
    if np.isnan(columns.tuned[r]):
        return made | {"said": [[reply.text, reply.start, reply.end] for reply in replies]}
    best, none = [_best(reply.best) for reply in replies], [round(reply.nothing or 0.0, 3) for reply in replies]
    return made | {"diff": [x if np.isfinite(x) else None for x in columns.diff[r][some].tolist()], "none": none, "best": best}


def _best(spans: Sequence[tuple[int, int, float]]) -> list:
    return [x for k, (a, b, p) in enumerate(spans[:DEPTH]) if k == 0 or p >= LEAST_PROBABLE for x in (a, b, round(p, 3))] or [0, 0, 0]


def comparison(answers: RunAnswers, a: int, b: int) -> dict:
    """Run b against run a over all rows, each at its threshold: scores with intervals for the population of the rows, and for the other one
    if titles are known; for question answering, the slices by their contribution (`differences`)."""
    from mtdnn_kit.compare import differences, speaks_for
    from mtdnn_kit.compare.clusters import other_population, population

    items, (one, two) = answers.items, (answers.columns.names[k] for k in (a, b))
    rows = differences.difference_table(items, one, two, COMPARED if answers.qa else ())
    score = "F1" if answers.qa else differences.scores_of(items)[0]
    found = differences.difference(items, one, two, score)
    back = found and replace(found, difference=-found.difference, low=-found.high, high=-found.low)
    pairs = ((found, one, two), (back, two, one))
    said = [f"{score}: {made.sentence(x, y, of=population(items))}" if made else NO_INTERVAL for made, x, y in pairs]
    other = population(beside) if (beside := other_population(items)) else None
    parts = [
        {key: row[key] for key in ("facet", "slice", "questions", *ENDS)} | {"p": row["p (adjusted)"]} for row in _slices(answers, one, two)
    ]
    made = {"sentence": said[0], "turned": said[1], "population": speaks_for(items), "other": other}
    return made | {"scores": _plain([_score(row, one, two, other) for row in rows]), "slices": _plain(parts)}


def _score(row: dict, one: str, two: str, other: str | None) -> dict:
    made = {"score": row["score"], "a": row[one], "b": row[two], "p": row["p"], **{key: row[key] for key in ENDS}}
    name = f"Δ for other {other}"
    return made | ({"other_low": row[f"{name} low"], "other_high": row[f"{name} high"]} if other else {})


def _slices(answers: RunAnswers, one: str, two: str) -> list[dict]:
    from mtdnn_kit.compare import differences

    return differences.slice_table(answers.items, one, two) if answers.qa else []


def turned(found: dict) -> dict:
    """The same `comparison` with the two runs swapped."""
    scores = [{**_negated(row), "a": row["b"], "b": row["a"]} for row in found["scores"]]
    return {
        **found,
        "sentence": found["turned"],
        "turned": found["sentence"],
        "scores": scores,
        "slices": [*map(_negated, found["slices"])],
    }


def _negated(row: dict) -> dict:
    ends = {"low": "high", "high": "low", "other_low": "other_high", "other_high": "other_low"}
    made = {key: row[other] if row[other] is None else -row[other] for key, other in ends.items() if other in row}
    return {**row, **made, "difference": -row["difference"]}


def _plain(rows: list[dict]) -> list[dict]:
    """Rows with Python's numbers, and None for NaN."""
    return [{key: _number(value) for key, value in row.items()} for row in rows]


def _number(value: Any) -> Any:
    if isinstance(value, str) or value is None:
        return value
    return float(value) if np.isfinite(value) else None
