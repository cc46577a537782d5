"""What opens below the row in the explorer: thresholds, a look inside the models, questions of one's own, why two runs differ, files.

Each panel is a switch and a box with controls and what they show; none knows how rows are found. What a control cannot
do it says. `explorer` is always the `widgets.Explorer` that holds the panel.
"""

import re
from collections.abc import Callable, Sequence
from functools import partial
from math import isfinite, isnan
from pathlib import Path
from typing import Any

import ipywidgets as w

from mtdnn_kit.compare import Item, Question, differences
from mtdnn_kit.data.rows import QARow
from mtdnn_kit.errors import LockedError
from mtdnn_kit.explorer import edits, export_row, favourites
from mtdnn_kit.explorer.html import answers_page, asked_html, differences_html, page_html, threshold_html
from mtdnn_kit.explorer.state import ALL
from mtdnn_kit.files.atomic import write_whole
from mtdnn_kit.inference import asking, salience
from mtdnn_kit.views import tables
from mtdnn_kit.views.marks import changes_html, heat_html, salience_html
from mtdnn_kit.views.style import letter

TROUBLE = (ValueError, OSError, LockedError)  # what a control says instead of failing
PANEL_SCORES = ("EM", "F1", "span F1")
OF = ("the open row", "what is asked")
WIDE = {"description_width": "initial"}
# Of a layout: a widget made here would be in every notebook that imports this.
WRAPPED_LINE = {"flex_flow": "row wrap", "align_items": "center"}


class Panel:
    """What can be opened below the row: a switch with its title, and a box that is shown while it is on."""

    title, qa_only = "", True

    def __init__(self, explorer: Any, controls: Sequence[w.Widget]):
        self.explorer, self.out = explorer, w.HTML()
        self.switch = w.ToggleButton(description=self.title, layout=w.Layout(width="auto"))
        self.box = w.VBox([w.HBox(list(controls), layout=WRAPPED_LINE), self.out])
        self.box.layout = w.Layout(display="none", border_top="1px solid rgba(128,128,128,.5)", padding="6px 0 10px 0", margin="6px 0 0 0")
        self.switch.observe(lambda change: self._show(), "value")

    def _show(self) -> None:
        self.box.layout.display = None if self.switch.value else "none"
        self.refresh()

    def opened(self) -> None:
        """Another task was opened."""
        self.switch.layout.display = "none" if self.qa_only and not self.explorer.state.qa else None
        self.switch.value = self.switch.value and not (self.qa_only and not self.explorer.state.qa)
        self.out.value = ""

    def refresh(self) -> None:
        """Another row, filter or threshold."""

    def open_item(self) -> Any:
        """The open row with its replies. Raises ValueError where none is open."""
        if self.explorer.state.item is None:
            raise ValueError("no row is open")
        return self.explorer.state.item

    def say(self, call: Callable[[], str], first: Callable[[], str] = lambda: "working …") -> None:
        """Shows what a call makes, or why it could not; before, what `first` makes at once."""

        def made() -> str:
            self.out.value = answers_page().status(first())
            return call()

        self.out.value = attempt(made)


class Thresholds(Panel):
    """A threshold a run, to move; what it makes of all questions and of the open one; the curve."""

    title = "thresholds"

    def __init__(self, explorer: Any):
        self.fields: dict[str, w.FloatText] = {}
        self.tuned = button("all tuned", lambda: explorer.do(self._reset))
        super().__init__(explorer, [])

    def opened(self) -> None:
        """Another task's runs."""
        super().opened()
        self.fields = {name: self._field(i, name) for i, name in enumerate(self.explorer.state.names)}
        self.box.children[0].children = [*self.fields.values(), self.tuned]

    def _field(self, i: int, name: str) -> w.FloatText:
        state, tuned = self.explorer.state, float(self.explorer.state.columns.tuned[i])
        value = 0.0 if isnan(tuned) else round(tuned, 3)
        looks = dict(description=f"{letter(i)} {name}", style=WIDE, layout=w.Layout(width="16em"))
        field = w.FloatText(value, step=0.25, disabled=isnan(tuned), **looks)
        self.explorer.on(field, lambda value: state.move(name, value if isfinite(value) else None))
        return field

    def _reset(self) -> None:
        state = self.explorer.state
        with self.explorer.quietly():
            for i, (name, field) in enumerate(self.fields.items()):
                if not field.disabled:
                    state.move(name, None)
                    field.value = round(state.thresholds[i], 3)

    def refresh(self) -> None:
        """Scores and curve at the present thresholds."""
        if self.switch.value and self.explorer.state.qa:
            self.out.value = threshold_html(self.explorer.state)


class Inside(Panel):
    """Token by token: how likely each begins or ends the answer, for every run; and what counts for one run's answer."""

    title = "look inside"

    def __init__(self, explorer: Any):
        self.run, self.of = dropdown("of run"), dropdown("on", OF)
        self.heat = button("heat strips", lambda: self.say(lambda: strips(explorer, self._asked())))
        self.salience = button("salience", lambda: self.say(lambda: weighed(explorer, self._asked(), self.run.value)))
        super().__init__(explorer, [self.of, self.heat, self.run, self.salience])

    def opened(self) -> None:
        """Another task's runs."""
        super().opened()
        self.run.options, self.run.index = self.explorer.state.names, 0

    def refresh(self) -> None:
        """What was said of another row goes."""
        self.out.value = ""

    def _asked(self) -> tuple[str, str]:
        """Question and passage that are looked into."""
        if self.of.value == OF[1]:
            return self.explorer.panels["ask"].question.value, self.explorer.panels["ask"].passage.value
        row = self.open_item().row
        return row.question, row.context


class Ask(Panel):
    """A passage and a question of one's own, or the open ones edited, answered by every run that has a model."""

    title = "ask"

    def __init__(self, explorer: Any):
        self.passage = w.Textarea(description="passage", layout=w.Layout(width="62em", max_width="100%", height="9em"))
        self.question = w.Text(description="question", layout=w.Layout(width="62em", max_width="100%"))
        self.old, self.new = (w.Combobox(description=name, style=WIDE) for name in ("swap", "with"))
        moves = ("take the open row", self._take), ("swap the names", self._swap), ("ask all runs", self._ask)
        self.buttons = {name: button(name, partial(self.say, call)) for name, call in moves}
        self.before: Question | None = None
        take, swap, ask = self.buttons.values()
        super().__init__(explorer, [self.passage, self.question, take, self.old, self.new, swap, ask])

    def opened(self) -> None:
        """Another task's runs."""
        super().opened()
        self.before = None

    def _take(self) -> str:
        self.before = self.open_item()
        self.passage.value, self.question.value = self.before.row.context, self.before.row.question
        names = edits.names(self.before.row.context)
        for field, name in zip((self.old, self.new), (*names[:2], "", ""), strict=False):
            field.options, field.value = names, name
        return asked_html(self.before, None)

    def _swap(self) -> str:
        old, new, texts = self.old.value, self.new.value, (self.passage.value, self.question.value)
        swapped = tuple(edits.swap(text, old, new) for text in texts)
        if swapped == texts:
            raise ValueError(f"neither {old!r} nor {new!r} stands in passage or question")
        self.passage.value, self.question.value = swapped
        return self._changes()

    def _changes(self) -> str:
        """The edited texts with what was changed marked; "" where nothing was taken or changed."""
        if self.before is None:
            return ""
        pairs = (self.before.row.question, self.question.value), (self.before.row.context, self.passage.value)
        return "".join(changes_html(edits.word_changes(*pair)) for pair in pairs if pair[0] != pair[1])

    def _ask(self) -> str:
        passage, question = self.passage.value, self.question.value
        if not passage.strip() or not question.strip():
            raise ValueError("ask: a passage and a question are needed")
        replies, without, state = {}, list[str](), self.explorer.state
        for name, model in models(self.explorer, without).items():
            i = state.names.index(name)
            moved = state.thresholds[i] != state.columns.tuned[i]  # the tuned one may be that the run always answers
            replies[name] = asking.ask(model, question, passage, float(state.thresholds[i]) if moved else None)
        if not replies:
            raise ValueError("; ".join(without))
        asked = Question(QARow("asked", "", passage, question, ()), replies)
        return f"{self._changes()}{asked_html(asked, self.before)}{answers_page().notes(without)}"


class Why(Panel):
    """The difference of the two chosen runs, with its interval; then slice by slice, each a button that shows its questions."""

    title = "why they differ"

    def __init__(self, explorer: Any):
        self.compute, self.slices = button("compute", lambda: self.say(self._made, self._so_far)), w.VBox()
        super().__init__(explorer, [self.compute])
        self.box.children = [*self.box.children, self.slices]

    def opened(self) -> None:
        """Another task's runs."""
        super().opened()
        self.slices.children = ()

    def _so_far(self) -> str:
        """What is known before any interval is."""
        self.slices.children = ()
        state, (a, b) = self.explorer.state, self.explorer.state.pair
        if a == b:
            raise ValueError("choose two different runs above: first run, second run")
        before, after = (state.outcomes.table(state.names.index(name)) for name in (a, b))
        gaps = ", ".join(f"{score} {after[score] - before[score]:+.1f}" for score in ("EM", "F1"))
        return f"{b} − {a}: {gaps}; intervals and slices are being computed …"

    def _made(self) -> str:
        state, (a, b) = self.explorer.state, self.explorer.state.pair
        questions = [state.moved(i) for i in range(len(state.rows))]
        rows = differences.difference_table(questions, a, b, PANEL_SCORES)
        found, parts = differences.difference(questions, a, b, "F1"), differences.slice_table(questions, a, b)
        self.slices.children = [self._slice(row, shown) for row, shown in zip(parts, tables.shown(parts), strict=True)]
        said = found.sentence(a, b) if found else "There are fewer than two passages: no interval."
        return differences_html(tables.shown(rows), f"{said} Slices by what they add, each with its questions behind it:")

    def _slice(self, row: dict, shown: dict) -> w.Button:
        name = f"{row['facet']}: {row['slice']}"
        said = f"{name} ({shown['questions']}): F1 {shown['difference']}" + (f", p (Holm) {shown['p (Holm)']}" if shown["p (Holm)"] else "")
        show = dict(text="", title=ALL, slice=name, outcome="answers differ")
        return button(said, lambda: self.explorer.do(lambda: self.explorer.state.choose(**show)), width="46em")


class TakeAlong(Panel):
    """The open row as a file, and favourites with a note; both beside the runs."""

    title, qa_only = "take along", False

    def __init__(self, explorer: Any):
        self.note = w.Text(description="note", layout=w.Layout(width="36em"))
        self.keep = button("keep as a favourite", lambda: self.say(lambda: self._keep(self.note.value)))
        self.forget = button("no favourite", lambda: self.say(lambda: self._keep(None)))
        makers = ("Markdown", "md", export_row.as_markdown), ("HTML", "html", page_html), ("CSV", "csv", export_row.as_csv)
        files = [button(f"as {name}", partial(self.say, partial(self._write, end, make))) for name, end, make in makers]
        super().__init__(explorer, [*files, self.note, self.keep, self.forget])

    def refresh(self) -> None:
        """The row's own note."""
        state = self.explorer.state
        self.note.value = "" if state.opened is None else state.notes.get(str(state.rows[state.opened].row.id), "")
        self.out.value = ""

    def _place(self, what: str) -> tuple[Question | Item, Path]:
        """The open row, and the folder beside the runs."""
        item = self.open_item()
        if self.explorer.folder is None:
            raise ValueError(f"there is no run folder {what}")
        return item, self.explorer.folder

    def _write(self, ending: str, make: Callable) -> str:
        item, beside = self._place("to write beside")
        file = beside / "exports" / f"{self.explorer.name}-{safe_name(str(item.row.id))}.{ending}"
        file.parent.mkdir(exist_ok=True)
        write_whole(file, make(item))
        return answers_page().status(f"Written: {file}")

    def _keep(self, note: str | None) -> str:
        explorer, (item, folder) = self.explorer, self._place("to keep favourites beside")
        explorer.state.notes = favourites.keep(folder, explorer.name, str(item.row.id), note)
        explorer.refresh()
        return answers_page().status(f"{'Kept' if note is not None else 'No favourite now'}; {len(explorer.state.notes)} in all.")


def models(explorer: Any, without: list[str]) -> dict[str, asking.Model]:
    """The loaded models of the runs, by name; `without` takes what is said of those that have none."""
    found = {}
    for name, run in explorer.runs.items():
        try:
            found[name] = asking.load(run, run.parameters.task_of(explorer.name))
        except TROUBLE as error:
            without.append(f"{name}: {error}")
    if not explorer.runs:
        without.append("these answers come without runs, so there is no model to ask")
    return found


def strips(explorer: Any, asked: tuple[str, str]) -> str:
    """A heat strip a run: where in the passage it would begin and end the answer."""
    parts, without = [], list[str]()
    for name, model in models(explorer, without).items():
        number, heat = explorer.state.names.index(name), asking.heat(model, *asked)
        tokens = list(zip(*(part.tolist() for part in heat[:4]), strict=True))
        parts.append((number, name, heat, heat_html(number, asked[1], tokens)))
    return answers_page().strips(parts, without)


def weighed(explorer: Any, asked: tuple[str, str], name: str) -> str:
    """Gradient × input of a run's answer, token by token."""
    if name not in explorer.runs:
        raise ValueError("these answers come without runs, so there is no model to look into")
    run = explorer.runs[name]
    tokens = salience.salience(asking.load(run, run.parameters.task_of(explorer.name)), *asked)
    return answers_page().weighed(name, salience_html([(token.text, token.value) for token in tokens]))


def attempt(call: Callable[[], str | None]) -> str:
    """Calls something; what that shows ("" for None) or, where it cannot be done, why, as HTML."""
    try:
        return call() or ""
    except TROUBLE as error:
        return answers_page().alert(error)


def safe_name(text: str) -> str:
    """`text` as part of a file's name: letters and digits of ASCII, - and _; others become -; at most 60."""
    return re.sub(r"[^A-Za-z0-9_-]", "-", text)[:60] or "row"


def dropdown(name: str, options: Sequence = (), **more: Any) -> w.Dropdown:
    """A choice with its name before it."""
    return w.Dropdown(description=name, options=options, style=WIDE, layout=w.Layout(width="auto", max_width="26em"), **more)


def button(name: str, call: Callable[[], None], width: str = "auto") -> w.Button:
    """A button that calls something."""
    made = w.Button(description=name, layout=w.Layout(width=width))
    made.on_click(lambda _: call())
    return made
