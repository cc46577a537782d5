"""What rows can be found by: their titles, their slices, and a text in question, passage or answers. Columns, made once; knows no filter.

Shapes: N rows, of question answering (`compare.Question`) or of SC and MCC (`choices.Item`).
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mtdnn_kit.compare import Item, Outcomes, Question
from mtdnn_kit.compare.slices import slices
from mtdnn_kit.data.rows import MCCRow

WHERE = ("anywhere", "question", "passage", "answers")


class Lookup:
    """titles, slices: name → which rows have it, bool [N]; a slice's name is "facet: slice", of SC and MCC "right: label" (or number)."""

    def __init__(self, rows: Sequence[Question | Item]):
        self.rows: Sequence[Any] = rows
        self.qa = not rows or isinstance(rows[0], Question)
        titles = np.array([getattr(item.row, "title", "") for item in rows], object)
        self.titles = {name: titles == name for name in dict.fromkeys(titles) if name}
        self.slices = dict(self._slices())
        texts = {part: [self.read(item)[k].casefold() for item in rows] for k, part in enumerate(WHERE[1:3])}
        self._texts = {part: pd.factorize(np.array(some, object)) for part, some in texts.items()}  # each once, and which a row has

    def find(self, text: str, where: str, now: Outcomes) -> np.ndarray:
        """Rows that hold a text in any case, bool [N]; where: one of WHERE; now: decides which answers are given."""
        text, found = text.casefold(), np.zeros(len(self.rows), bool)
        for part, (of, texts) in self._texts.items():
            if where in ("anywhere", part):
                found |= np.array([text in one for one in texts], bool)[of]
        if where in ("anywhere", "answers"):
            found |= np.array([any(text in said.casefold() for said in self._said(i, now)) for i in range(len(self.rows))], bool)
        return found

    def _slices(self) -> Iterator[tuple[str, np.ndarray]]:
        if self.qa:
            windows = [q.windows for q in self.rows]
            for facet, parts in slices([q.row for q in self.rows], None if None in windows else windows).items():
                yield from ((f"{facet}: {name}", np.isin(np.arange(len(self.rows)), some)) for name, some in parts.items())
        else:
            right = [str(item.gold + 1) if isinstance(item.row, MCCRow) else item.names[item.gold] for item in self.rows]
            yield from ((f"right: {name}", np.array(right, object) == name) for name in sorted(set(right)))

    def read(self, item: Any) -> tuple[str, str]:
        """What counts as question and as passage of a row; of SC and MCC: its first text, and the others."""
        return (item.row.question, item.row.context) if self.qa else (" ".join(item.texts[:1]), "\n".join(item.texts[1:]))

    def _said(self, i: int, now: Outcomes) -> list[str]:
        """The accepted answers to a row, and what the runs say."""
        item = self.rows[i]
        if not self.qa:
            return [item.names[k] for k in (item.gold, *(reply.label for reply in item.replies.values()))]
        said = [text for _, text in item.row.answers]
        for given, reply in zip(now.given[:, i], item.replies.values(), strict=True):
            if given:
                said.append(item.row.context[slice(*reply.best[0][:2])] if reply.best else reply.text)
        return said
