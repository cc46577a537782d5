"""The controls of the explorer: what is shown is `state`'s business, how it looks `html`'s. Every control has its name beside it or on it.

Where no front end with live widgets is at the other end (papermill, nbval, nbconvert), the same call leaves the first disagreements as
plain HTML: a widget in a saved notebook would be an error message.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import ipywidgets as w

from mtdnn_kit.compare.pairing import named
from mtdnn_kit.errors import CompareError
from mtdnn_kit.explorer import favourites
from mtdnn_kit.explorer.html import answers_page, item_html, side_by_side
from mtdnn_kit.explorer.panels import WIDE, WRAPPED_LINE, Ask, Inside, TakeAlong, Thresholds, Why, attempt, button, dropdown
from mtdnn_kit.explorer.search import WHERE
from mtdnn_kit.explorer.state import ALL, ORDERS, State, of_runs, shared_tasks
from mtdnn_kit.runs.run import Run
from mtdnn_kit.views.style import letter
from mtdnn_kit.views.templates import Html

FRONT_ENDS = ("JPY_SESSION_NAME", "VSCODE_PID", "COLAB_RELEASE_TAG")  # set by Jupyter's server, VS Code and Colab for their kernels
MOST_SIDE_BY_SIDE, ROWS_A_PAGE = 6, 100  # runs; rows of the list at a time
NONE = "<i>no row passes these filters</i>"


def explore(
    runs: Sequence[str | Run], task: str | None = None, data: str | None = None, show: int = 3, live: bool | None = None
) -> w.VBox | Html:
    """One to six runs' answers to read, row by row: a widget, or the first `show` disagreements as HTML where none can live.

    runs: run folders; task: which is opened first (None: the first that all were scored on); data: where the scored rows are now (None:
    where the first run had them); live: None finds out from the kernel's environment. Raises CompareError as `compare.pair` does.
    """
    by_name = named(runs)
    if not 1 <= len(by_name) <= MOST_SIDE_BY_SIDE:
        raise CompareError(f"runs: {len(by_name)} runs; the explorer shows 1 to {MOST_SIDE_BY_SIDE}")
    if type(show) is not int or show < 0:
        raise CompareError(f"show: {show!r} must be a whole number, 0 or more: how many rows the static view shows")
    tasks = shared_tasks(by_name)
    if (task or tasks[0]) not in tasks:
        raise CompareError(f"task: not every run keeps answers to {task!r}; all do to {', '.join(tasks)}")
    first = of_runs(by_name, task or tasks[0], data)
    if not (any(name in os.environ for name in FRONT_ENDS) if live is None else live):
        return side_by_side([first.moved(i) for i in first.shown[:show]])
    return Explorer(first, task or tasks[0], by_name, tasks, lambda name: of_runs(by_name, name, data)).box


class Explorer:
    """Filters, a list of the rows that pass, the open row, and panels below it; `box` holds all.

    runs: name → run, for what needs a run's folder (models, favourites); {} shows answers alone. tasks: what else can be opened, and read:
    what gives the state of one of them.
    """

    def __init__(
        self, state: State, task: str = "squad", runs: dict[str, Run] | None = None, tasks: Sequence[str] = (), read: Callable | None = None
    ):
        self.state, self.name, self.runs, self.read, self.quiet = state, task, runs or {}, read, False
        self.folder = favourites.beside(list(self.runs.values())) if self.runs else None
        self.task = dropdown("task", tasks or [task], value=task)
        self.text, self.where = w.Text(description="find", style=WIDE), dropdown("in", WHERE)
        self.title, self.slice, self.outcome = (dropdown(name, [ALL]) for name in ("title", "slice", "outcome"))
        self.order, self.a, self.b = dropdown("order", ORDERS), dropdown("first run"), dropdown("second run")
        self.rows = w.Select(description="rows", rows=7, layout=w.Layout(width="62em", max_width="100%"))
        self.number = w.BoundedIntText(description="row number", min=1, max=1, layout=w.Layout(width="12em"), style=WIDE)
        moves = (
            ("◂ previous", lambda: self.state.step(-1)),
            ("next ▸", lambda: self.state.step(1)),
            ("back", lambda: self.state.travel(-1)),
            ("forward", lambda: self.state.travel(1)),
            ("surprise me", lambda: self.state.surprise()),
            ("clear filters", lambda: self.state.choose(text="", title=ALL, slice=ALL, outcome=ALL)),
        )
        self.buttons = {name: button(name, partial(self.do, call)) for name, call in moves}
        self.status, self.view = w.HTML(), w.HTML()
        self.panels = {p.title: p for p in (Thresholds(self), Inside(self), Ask(self), Why(self), TakeAlong(self))}
        self.box = self._laid_out()
        self._observe()
        self._opened()

    def _laid_out(self) -> w.VBox:
        (*moves, clear), panels = self.buttons.values(), self.panels.values()
        top = [self.task, self.text, self.where, self.order], [self.title, self.slice, self.outcome, clear], [self.a, self.b]
        lines = [w.HBox(line, layout=WRAPPED_LINE) for line in (*top, [*moves, self.number], [panel.switch for panel in panels])]
        return w.VBox([*lines[:3], self.status, self.rows, lines[3], self.view, lines[4], *(panel.box for panel in panels)])

    def _observe(self) -> None:
        for field in ("text", "where", "title", "slice", "outcome"):
            self.on(getattr(self, field), lambda value, field=field: self.state.choose(**{field: value}))
        self.on(self.order, lambda value: self.state.sort(value))
        self.on(self.rows, lambda place: self.state.open(int(self.state.shown[place])))
        self.on(self.number, lambda number: self.state.open(int(self.state.shown[number - 1])))
        for control in (self.a, self.b):
            self.on(control, lambda _: self.state.set_pair(self.a.value, self.b.value))
        self.on(self.task, self._switch)

    def on(self, control: w.Widget, call: Callable) -> None:
        """Has a person's choice, not our own refreshing, call something with the new value."""
        control.observe(lambda change: None if self.quiet or change["new"] is None else self.do(lambda: call(change["new"])), "value")

    def do(self, call: Callable[[], None]) -> None:
        """Changes the state and shows what it then is; what cannot be done is said in the status line."""
        said = attempt(call)
        self.refresh()
        self.status.value = said or self.status.value

    def _switch(self, task: str) -> None:
        if self.read:
            self.state, self.name = self.read(task), task
            self._opened()

    def _opened(self) -> None:
        """Another task's rows: its favourites, its runs, its panels."""
        for panel in self.panels.values():
            panel.opened()
        self.do(self._read_notes)

    def _read_notes(self) -> None:
        self.state.notes = favourites.read(self.folder).get(self.name, {}) if self.folder else {}

    def refresh(self) -> None:
        """Shows the state."""
        state, n = self.state, len(self.state.shown)
        with self.quietly():
            for control, name in zip((self.a, self.b), state.pair, strict=True):
                _set(control, state.names, name)
            for field in ("title", "slice", "outcome"):
                counts = state.counts(field)
                _set(getattr(self, field), [(f"{name} ({count:,})", name) for name, count in counts.items()], getattr(state.filter, field))
            place = state.place
            start = (place or 0) // ROWS_A_PAGE * ROWS_A_PAGE
            _set(self.rows, [(_label(state, i), i) for i in range(start, min(start + ROWS_A_PAGE, n))], place)
            self.number.max, self.number.value = max(n, 1), (place or 0) + 1
            self.text.value, self.where.value, self.order.value = state.filter.text, state.filter.where, state.order
            self.task.value = self.name  # of a task that could not be opened, the one that is
        where = f"list: {start + 1:,} to {min(start + ROWS_A_PAGE, n):,}" if n else "nothing to list"
        lost = "" if place is not None or state.opened is None else "; the open row is not among them"
        self.status.value = answers_page().status(f"{n:,} of {len(state.rows):,} rows pass ({where}){lost}")
        self.view.value = attempt(lambda: item_html(item) if (item := state.item) else NONE)
        for panel in self.panels.values():
            panel.refresh()

    @contextmanager
    def quietly(self) -> Iterator[None]:
        """While it lasts, changes of values are ours, not a person's."""
        self.quiet = True
        try:
            yield
        finally:
            self.quiet = False


def _label(state: State, place: int) -> str:
    """A row in the list: its number, who is right, and how it begins."""
    i = int(state.shown[place])
    right = " ".join(f"{letter(r)}{'✓' if state.outcomes.em[r, i] else '✗'}" for r in range(len(state.names)))
    text = " ".join(state.lookup.read(state.rows[i])[0].split())
    return f"{place + 1}. {right}  {text[:110]}{'…' if len(text) > 110 else ''}"


def _set(control: w.Widget, options: Sequence, value: object) -> None:
    """Options and value of a control, options only where they changed: a browser keeps its place in a list that stays."""
    if tuple(control.options) != tuple(options):
        control.options = options
    control.value = value
