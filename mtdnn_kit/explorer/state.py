"""What the explorer shows: the filtered questions and which of them is open. No widget, no HTML."""

from collections.abc import Sequence
from dataclasses import dataclass

from mtdnn_kit.compare import Question

FILTERS = {
    "all questions": lambda q: True,
    "answers differ": lambda q: q.differ,
    "all right": lambda q: all(reply.em for reply in q.replies.values()),
    "all wrong": lambda q: not any(reply.em for reply in q.replies.values()),
    "answerable": lambda q: bool(q.row.answers),
    "unanswerable": lambda q: not q.row.answers,
}


@dataclass
class State:
    """Questions, the filter (a key of FILTERS) and the place of the open question among those that pass it."""

    questions: Sequence[Question]
    chosen: str = "answers differ"
    place: int = 0

    def __post_init__(self):
        self.groups = {name: [q for q in self.questions if passes(q)] for name, passes in FILTERS.items()}
        if not self.shown:
            self.chosen = "all questions"

    @property
    def shown(self) -> list[Question]:
        """The questions that pass the filter."""
        return self.groups[self.chosen]

    @property
    def open(self) -> Question | None:
        """The open question; None where none passes."""
        return self.shown[self.place] if self.shown else None

    def choose(self, name: str) -> None:
        """Another filter; the open question stays open where it passes, else the first is."""
        before, self.chosen = self.open, name
        self.place = next((i for i, q in enumerate(self.shown) if q is before), 0)

    def step(self, by: int) -> None:
        """Forward or back, around the ends."""
        self.place = (self.place + by) % len(self.shown) if self.shown else 0
