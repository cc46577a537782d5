"""The controls of the explorer: a filter, a question, back and forward. What they show is made in `html`.

Where no front end with live widgets is at the other end (papermill, nbval, nbconvert), the same call leaves the first disagreements as
plain HTML: a widget in a saved notebook would be an error message.
"""

import os
from collections.abc import Sequence

import ipywidgets

from mtdnn_kit.compare import Question
from mtdnn_kit.explorer.html import Html, question_html, side_by_side
from mtdnn_kit.explorer.state import State

FRONT_ENDS = ("JPY_SESSION_NAME", "VSCODE_PID", "COLAB_RELEASE_TAG")  # set by Jupyter's server, VS Code and Colab for their kernels


def explore(questions: Sequence[Question], live: bool | None = None) -> ipywidgets.VBox | Html:
    """A widget to read `questions` (of `compare.pair`) with, or the first three that differ as HTML where none can live.

    live: None finds out from the kernel's environment.
    """
    state = State(questions)
    if not (any(name in os.environ for name in FRONT_ENDS) if live is None else live):
        return side_by_side(state.shown[:3])
    return Explorer(state).box


class Explorer:
    """A filter, a list of its questions, two buttons, and the open question below; `box` holds them."""

    def __init__(self, state: State):
        self.state, wide = state, ipywidgets.Layout(width="42em")
        filters = [(f"{name} ({len(group)})", name) for name, group in state.groups.items()]
        self.filter = ipywidgets.Dropdown(options=filters, value=state.chosen, description="show")
        self.question = ipywidgets.Dropdown(description="question", layout=wide)
        self.back, self.forward = ipywidgets.Button(description="back"), ipywidgets.Button(description="forward")
        self.view = ipywidgets.HTML()
        self.filter.observe(lambda change: self._filter(change["new"]), "value")
        self.question.observe(lambda change: self._open(change["new"]), "value")
        self.back.on_click(lambda _: self._step(-1))
        self.forward.on_click(lambda _: self._step(1))
        rows = [ipywidgets.HBox([self.filter, self.back, self.forward]), self.question, self.view]
        self.box = ipywidgets.VBox(rows)
        self._list()

    def _list(self) -> None:
        place = self.state.place
        self.question.options = [(f"{i + 1}. {q.row.question}", i) for i, q in enumerate(self.state.shown)]
        self.question.value = place if self.state.shown else None
        self._open(self.question.value)

    def _filter(self, name: str) -> None:
        self.state.choose(name)
        self._list()

    def _step(self, by: int) -> None:
        self.state.step(by)
        self.question.value = self.state.place if self.state.shown else None

    def _open(self, place: int | None) -> None:
        self.state.place = place or 0
        self.view.value = question_html(self.state.open) if self.state.open else "<i>no question passes this filter</i>"
