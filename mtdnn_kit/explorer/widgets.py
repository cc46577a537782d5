"""The explorer's entry point: in Jupyter a live widget, and cards that a saved notebook keeps; elsewhere only the cards.

The page itself is front/, the same in a notebook and in a saved file; `replies` answers its requests.
"""

import os
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anywidget
import traitlets
from IPython.display import display

from mtdnn_kit.errors import CompareError
from mtdnn_kit.explorer import filters, front
from mtdnn_kit.explorer.html import side_by_side
from mtdnn_kit.explorer.replies import Backend, backend_of
from mtdnn_kit.runs.run import Run
from mtdnn_kit.views.templates import Html

FRONT_ENDS = ("JPY_SESSION_NAME", "VSCODE_PID", "COLAB_RELEASE_TAG")  # Jupyter's server, VS Code and Colab set these for their kernels
CARDS = 20  # static cards


def explore(
    runs: Sequence[str | Run],
    task: str | None = None,
    data: str | None = None,
    show: int = CARDS,
    live: bool | None = None,
    cluster: str = "passage",
) -> "Explorer | Cards":
    """One to six runs' answers to read, row by row: displayed as a widget in Jupyter, as cards of the first `show` rows elsewhere.

    runs: run folders; task: the one to open first (None: the first that all were scored on); data: where the scored rows are now (None:
    where the first run had them); live: None reads the kernel's environment; cluster: the population of the intervals. `.save(file)`
    writes the page as a file. Raises CompareError as `compare.pair` does.
    """
    if type(show) is not int or show < 0:
        raise CompareError(f"show: {show!r} must be a whole number, 0 or more: how many rows the static view shows")
    backend = backend_of(runs, task, data, cluster)
    alive = any(name in os.environ for name in FRONT_ENDS) if live is None else live
    return Explorer(backend, show) if alive else Cards(backend, show)


class Cards:
    """The first rows of a `Backend` as cards: HTML without script, for a notebook or page without a live front end."""

    def __init__(self, backend: Backend, show: int = CARDS):
        self.backend, self.show = backend, show

    def html(self, widget: str = "") -> Html:
        """The cards; widget: the id of a widget that hides them while it runs."""
        answers = self.backend.answers(self.backend.tasks[0])
        return side_by_side([answers.items[i] for i in filters.first(answers.items)[: self.show]], widget)

    def _repr_html_(self) -> str:
        return str(self.html())

    def __repr__(self) -> str:
        return f"Cards({', '.join(self.backend.runs)}: {self.backend.tasks[0]})"

    def save(self, file: str | Path, only: str | None = None, tasks: Sequence[str] | None = None) -> Path:
        """Writes the explorer as one HTML file to open from disk; returns it.

        only: "favourites", "filter" (the rows shown first) or a filter's name as in the page ("topic: Compass"); None: all. tasks: which
        ones, None for all. Raises CompareError for unknown names.
        """
        return self.backend.save(file, only, tasks)


class Explorer(anywidget.AnyWidget):
    """The widget of a `Backend`. Its synced traits are its code, the tasks' names and an id: rows go to the page only as messages."""

    _esm = front.module()
    _css = front.style()
    tasks: Any = traitlets.List(traitlets.Unicode()).tag(sync=True)
    static_id: Any = traitlets.Unicode().tag(sync=True)

    def __init__(self, backend: Backend, show: int = CARDS):
        super().__init__(tasks=backend.tasks, static_id=uuid.uuid4().hex)
        self.backend, self.cards = backend, Cards(backend, show)
        self.save = self.cards.save
        self.on_msg(self._heard)

    def _heard(self, _: Any, asked: dict, buffers: Any) -> None:
        reply = self.backend.reply(asked)
        if isinstance(reply, bytes):
            self.send({"turn": asked.get("turn")}, [reply])
        else:
            self.send({"turn": asked.get("turn"), **reply})

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        display(self.cards.html(self.static_id))  # a separate output: JupyterLab shows nothing else of an output whose widget it has lost
        return super()._repr_mimebundle_(**kwargs)
