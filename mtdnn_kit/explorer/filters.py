"""The explorer's filters on rows, each run at its threshold; the names are those of the page (front/filters.js).

Shapes: N rows, of question answering (`compare.Question`) or of SC and MCC (`choices.Item`).
"""

from collections.abc import Sequence
from itertools import combinations, permutations

import numpy as np

from mtdnn_kit.compare import ANSWER_KINDS, Columns, Item, Question, of_items, of_questions
from mtdnn_kit.compare.slices import slices
from mtdnn_kit.data.rows import MCCRow

DIFFER = "answers differ"
Facets = dict[str, dict[str, list[int]]]  # facet → slice → indices of its rows


def columns_of(items: Sequence[Question | Item]) -> Columns:
    """Scores and kinds of all answers, as columns."""
    return of_questions(items) if not items or isinstance(items[0], Question) else of_items(items)  # type: ignore[arg-type]


def outcomes(columns: Columns) -> dict[str, np.ndarray]:
    """{filter: bool [N]} on the runs' answers: whether they differ, are right (all, pairs, each run), and their kinds."""
    now, names = columns.at(), columns.names
    right, found = now.em > 0, dict[str, np.ndarray]()
    if len(names) > 1:
        found |= {DIFFER: now.differ, "all answer the same": ~now.differ}
        found |= {"all right": np.all(right, axis=0), "all wrong": ~np.any(right, axis=0)}
    if len(names) > 2:
        found |= {f"{names[a]} and {names[b]} differ": now.text[a] != now.text[b] for a, b in combinations(range(len(names)), 2)}
    found |= {f"{names[a]} wrong, {names[b]} right": ~right[a] & right[b] for a, b in permutations(range(len(names)), 2)}
    for r, name in enumerate(names):
        found |= {f"{name}: right": right[r], f"{name}: wrong": ~right[r]}
        found |= {f"{name}: {kind}": now.is_kind(r, kind) for kind in ANSWER_KINDS[1:]}
    return found


def facets(items: Sequence[Question | Item]) -> Facets:
    """Topics and slices of questions; for SC and MCC, the right label (the right ending's number)."""
    if items and isinstance(items[0], Item):
        right = [str(one.gold + 1) if isinstance(one.row, MCCRow) else one.names[one.gold] for one in items if isinstance(one, Item)]
        return {"right ending" if isinstance(items[0].row, MCCRow) else "right label": _places(right)}
    questions = [one for one in items if isinstance(one, Question)]
    windows = [one.windows for one in questions if one.windows is not None]
    found = slices([one.row for one in questions], windows if len(windows) == len(questions) else None)
    titles = _places([one.row.title for one in questions])
    return found | ({"topic": {title: places for title, places in titles.items() if title}} if len(titles) > 1 else {})


def _places(names: Sequence[str]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        found.setdefault(name, []).append(place)
    return found


def all_filters(items: Sequence[Question | Item]) -> dict[str, np.ndarray]:
    """{filter: bool [N]}: `outcomes`, and "facet: slice"."""
    parts = {f"{facet}: {name}": places for facet, some in facets(items).items() for name, places in some.items()}
    return outcomes(columns_of(items)) | {name: np.isin(np.arange(len(items)), places) for name, places in parts.items()}


def counts(items: Sequence[Question | Item]) -> dict[str, int]:
    """The number of rows that pass each filter of `outcomes`, without filters that no row passes."""
    found = {"all": len(items)} | {name: int(mask.sum()) for name, mask in outcomes(columns_of(items)).items()}
    return {name: n for name, n in found.items() if n}


def first(items: Sequence[Question | Item]) -> list[int]:
    """The rows that the explorer shows first, in its order: those with different answers (all rows if there are none), by descending gap
    in F1 between the first and the last run."""
    columns = columns_of(items)
    now, some = columns.at(), np.arange(len(items))
    if len(columns.names) < 2:
        return some.tolist()
    some = np.flatnonzero(now.differ) if now.differ.any() else some
    return some[np.argsort(-abs(now.f1[-1] - now.f1[0])[some], kind="stable")].tolist()
