"""One row with every run's answer, to take along as text: Markdown to paste, CSV to count with. (As a page: `explorer.html`.)"""

import re

import pandas as pd

from mtdnn_kit.compare import Item, Question

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#+\-.!|~&$:])")


def plain(text: str) -> str:
    """`text` on one line of Markdown, where it reads as it is: nothing of it is markup."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def as_markdown(item: Question | Item) -> str:
    """Question, passage, accepted answers and a table of the replies; of SC and MCC the texts and a table of probabilities."""
    if isinstance(item, Question):
        gold = " / ".join(plain(text) for text in item.golds if text) or "*nothing*"
        texts = [f"**{plain(item.row.question)}**", f"> {plain(item.row.context)}", f"Accepted: {gold}"]
    else:
        texts = [f"> {plain(text)}" for text in item.texts]
    rows = records(item)
    lines = [list(rows[0]), ["---"] * len(rows[0]), *([_cell(value) for value in row.values()] for row in rows)] if rows else []
    table = "".join("| " + " | ".join(line) + " |\n" for line in lines)
    return "\n\n".join([*texts, table])


def _cell(value: object) -> str:
    return "" if value is None else plain(value) if isinstance(value, str) else f"{value:.3g}" if isinstance(value, float) else str(value)


def as_csv(item: Question | Item) -> str:
    """A line a run, all that `records` has, figures unrounded; text stands as it is, so let a spreadsheet read its columns as text."""
    rows = pd.DataFrame(records(item), dtype=object)  # lines end in \r\n (RFC 4180), so that either within a text is quoted
    return rows.to_csv(index=False, lineterminator="\r\n") if len(rows) else ""


def records(item: Question | Item) -> list[dict]:
    """A record a run: its answer with offsets, probabilities and scores; of SC and MCC its label and the probability of each."""
    if isinstance(item, Question):
        keys = ("text", "start", "end", "probability", "nothing", "diff", "em", "f1", "span_em", "span_f1")
        return [{"id": item.row.id, "run": name, **{key: vars(reply)[key] for key in keys}} for name, reply in item.replies.items()]
    return [
        {"id": item.row.id, "run": name, "right": item.names[item.gold], "said": item.names[reply.label]}
        | {f"p({label})": p for label, p in zip(item.names, reply.probabilities, strict=True)}
        for name, reply in item.replies.items()
    ]
