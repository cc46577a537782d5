"""What the explorer shows: which rows pass the filters and in what order, which is open, and at which thresholds. No widget, no HTML.

A filter's counts are those that its other values would leave beside the filters that are set. All is kept as columns (`outcomes`), so that
a change of filter, order or threshold costs a few comparisons of arrays.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mtdnn_kit.compare import ANSWER_KINDS, Columns, Item, Outcomes, Question, choices, of_items, of_questions, pair, reply_at
from mtdnn_kit.data.registry import REST, TYPE_WORDS
from mtdnn_kit.errors import CompareError
from mtdnn_kit.explorer.search import WHERE, Lookup
from mtdnn_kit.runs.predictions import NBestFile, spans_of
from mtdnn_kit.runs.run import Run

ALL, FAVOURITES = "all", "favourites"
FIELDS = {"title", "slice", "outcome"}  # of Filter: what is chosen from a list
ORDERS = ("as in the data", "most disagreement first", "least sure first", "surest first", "largest gap first")
Best = Callable[[str, str], list[tuple[int, int, float]]]  # (run, id) → the whole n-best


@dataclass(frozen=True)
class Filter:
    """What a row must have to be shown: a text (in any case), a title, a slice ("facet: name") and an outcome; "" or "all": any."""

    text: str = ""
    where: str = WHERE[0]
    title: str = ALL
    slice: str = ALL
    outcome: str = ALL


class State:
    """Rows with every run's answers (all `compare.Question`, or `choices.Item` of SC and MCC) and what of them is shown.

    best: reads the n-best of the open question, where the replies hold the best alone; seed: of
    `surprise`; notes: id → note of the favourites.
    """

    def __init__(self, rows: Sequence[Any], best: Best | None = None, seed: int = 0):
        self.rows, self.best = rows, best
        self.notes: dict[str, str] = {}
        self.qa = not rows or isinstance(rows[0], Question)
        self.columns: Columns = of_questions(self.rows) if self.qa else of_items(self.rows)
        self.names, self.thresholds = self.columns.names, self.columns.tuned.copy()
        self.pair = (self.names[0], self.names[-1]) if self.names else ("", "")
        self.outcomes: Outcomes = self.columns.at(self.thresholds)
        self.lookup = Lookup(rows)
        self.filter = Filter(outcome="answers differ" if self.outcomes.differ.any() else ALL)
        self.order, self.rng = ORDERS[0], np.random.default_rng(seed)
        self.shown, self.hits, self.at = np.arange(0), np.arange(0), -1
        self.opened: int | None = None
        self.history: list[int] = []
        self.choose()

    def choose(self, **changes: str) -> None:
        """Changes filters (fields of Filter); the open row stays open where it passes, else the first is opened."""
        self.filter = replace(self.filter, **changes)
        gone = [field for field in FIELDS if getattr(self.filter, field) not in (ALL, *self.masks(field))]
        self.filter = replace(self.filter, **dict.fromkeys(gone, ALL))  # (another pair's outcome) filters nothing
        self._update()

    def sort(self, order: str) -> None:
        """Another of ORDERS; the first row in it is opened."""
        self.order, self.opened = order, None
        self._update()

    def set_pair(self, a: str, b: str) -> None:
        """The two runs that outcomes, orders and differences are about."""
        self.pair = (a, b)
        self.choose()

    def move(self, run: str, threshold: float | None) -> None:
        """Another threshold for a run, None for its tuned one. The open row stays open, even where the filter no longer lets it pass."""
        i = self.names.index(run)
        self.thresholds[i] = self.columns.tuned[i] if threshold is None else threshold
        self.outcomes = self.columns.at(self.thresholds)
        self._update(stay=True)

    def open(self, row: int) -> None:
        """Opens a row (its place in `rows`), and puts it into the history, where it is not the present one there."""
        self.opened = int(row)
        if self.at < 0 or self.history[self.at] != self.opened:
            self.history = [*self.history[: self.at + 1], self.opened]
            self.at = len(self.history) - 1

    def step(self, by: int) -> None:
        """The next shown row (or that `by` further), around the ends."""
        if len(self.shown):
            self.open(self.shown[((self.place if self.place is not None else -(by > 0)) + by) % len(self.shown)])

    def travel(self, by: int) -> None:
        """Back (−1) and forward (1) among the rows that were open."""
        if 0 <= self.at + by < len(self.history):
            self.at += by
            self.open(self.history[self.at])

    def surprise(self) -> None:
        """Opens a shown row at random, another than the open one where there is one; the seed decides which."""
        others = self.shown[self.shown != self.opened] if len(self.shown) > 1 else self.shown
        if len(others):
            self.open(int(self.rng.choice(others)))

    @property
    def place(self) -> int | None:
        """The place of the open row among those shown."""
        found = np.flatnonzero(self.shown == self.opened) if self.opened is not None else np.arange(0)
        return int(found[0]) if len(found) else None

    @property
    def item(self) -> Question | Item | None:
        """The open row with the replies at the present thresholds and, where it can be read, the whole n-best; None where none is open."""
        return None if self.opened is None else self.moved(self.opened, self.best)

    def moved(self, row: int, best: Best | None = None) -> Question | Item:
        """A row with the replies at the present thresholds."""
        found = self.rows[row]
        if not self.qa:
            return found
        replies = {}
        for name, threshold in zip(self.names, self.thresholds, strict=True):
            reply = reply_at(found.row, found.replies[name], threshold)
            replies[name] = replace(reply, best=best(name, found.row.id)) if best and reply.diff is not None else reply
        return replace(found, replies=replies)

    def counts(self, field: str) -> dict[str, int]:
        """Value of a filter → how many rows it would leave, the other filters being as they are; "all" first, empty ones left out."""
        others = self._passing(FIELDS - {field})
        found = {name: int((mask & others).sum()) for name, mask in self.masks(field).items()}
        chosen = getattr(self.filter, field)
        return {ALL: int(others.sum()), **{name: n for name, n in found.items() if n or name == chosen}}

    def masks(self, field: str) -> dict[str, np.ndarray]:
        """Value of a filter → which rows pass, bool [N]; outcomes are those at the present thresholds."""
        if field != "outcome":
            return {"title": self.lookup.titles, "slice": self.lookup.slices}[field]
        if not self.names:
            return {}
        now, right = self.outcomes, self.outcomes.em > 0
        masks = {"right": right[0], "wrong": ~right[0]}
        if len(self.names) > 1:
            masks = {"answers differ": now.differ, "all answer the same": ~now.differ}
            masks |= {"all right": right.all(axis=0), "all wrong": ~right.any(axis=0)}
        (a, i), (b, j) = places = [(name, self.names.index(name)) for name in self.pair]
        if i != j:
            masks |= {f"{a} right, {b} wrong": right[i] & ~right[j], f"{b} right, {a} wrong": right[j] & ~right[i]}
        masks |= {f"{name}: {kind}": now.is_kind(k, kind) for name, k in places for kind in ANSWER_KINDS[1:]}
        return masks | {FAVOURITES: np.array([str(item.row.id) in self.notes for item in self.rows], bool)}

    def _update(self, stay: bool = False) -> None:
        """What is shown, anew; without `stay` the first row is opened where the open one does not pass."""
        text, where = self.filter.text, self.filter.where
        self.hits = self.lookup.find(text, where, self.outcomes) if text else np.ones(len(self.rows), bool)
        order = self._order()
        self.shown = order[self._passing(FIELDS)[order]]
        if self.place is None and not (stay and self.opened is not None):
            self.opened = None
            if len(self.shown):
                self.open(int(self.shown[0]))

    def _passing(self, named: set[str]) -> np.ndarray:
        """Rows that pass the text filter and the named ones, bool [N]."""
        chosen = {field: getattr(self.filter, field) for field in named}
        return np.logical_and.reduce([self.hits, *(self.masks(field)[value] for field, value in chosen.items() if value != ALL)])

    def _order(self) -> np.ndarray:
        """All rows in the present order."""
        if not self.names:
            return np.arange(0)
        now, (i, j) = self.outcomes, (self.names.index(name) for name in self.pair)
        texts, sure = np.sort(now.text, axis=0), np.nan_to_num(now.probability[j], nan=0.5)
        keys: dict[str, tuple] = {ORDERS[1]: (np.ptp(now.f1, axis=0), (texts[1:] != texts[:-1]).sum(axis=0))}
        keys |= {ORDERS[2]: (-sure,), ORDERS[3]: (sure,), ORDERS[4]: (abs(now.f1[j] - now.f1[i]),)}
        return np.lexsort([-key for key in keys[self.order]]) if self.order in keys else np.arange(len(self.rows))


def shared_tasks(runs: dict[str, Run]) -> list[str]:
    """Tasks to which every run keeps its answers, question answering first. Raises CompareError where there is none."""
    types = {name: kind for name, kind in next(iter(runs.values())).types.items() if kind in TYPE_WORDS} if runs else {}
    further = dict.fromkeys(name for run in runs.values() for name in run.parameters.scored_also)
    named = [*(name for task in types for name in (task, task + REST)), *further]
    kept = [name for name in named if all(run.keeps(name) for run in runs.values())]
    if not kept:
        raise CompareError(f"runs: there is no task to which {', '.join(runs) or 'a run'} keep their answers")
    return sorted(kept, key=lambda name: types.get(name.removesuffix(REST), "qa") != "qa")


def of_runs(runs: dict[str, Run], task: str, data: str | None = None) -> State:
    """The answers of runs to a task, ready to be shown; of n-best lists the best are held, the others read when a row is opened."""
    first = next(iter(runs.values()))
    if first.types[first.parameters.task_of(task)] != "qa":
        return State(choices.pair(runs, data, task))
    rows = pair(runs, data, task, nbest=1)
    files = {name: NBestFile(run, task) for name, run in runs.items() if run.has_nbest(task)}
    return State(rows, lambda name, key: spans_of(files[name][key]))
