"""Labels and choices of several runs for the same sentences, pairs and endings, side by side: what `compare` does for answers.

Read from each run's labels and probabilities, as strictly: the same rows, each once, or an error that says which file and line.
"""

from dataclasses import dataclass
from typing import Any

from mtdnn_kit.compare.pairing import by_row, scored_rows
from mtdnn_kit.data.rows import MCCRow, SCRow
from mtdnn_kit.errors import CompareError
from mtdnn_kit.runs.run import Run
from mtdnn_kit.runs.schema import is_number


@dataclass(frozen=True)
class Choice:
    """What one run says of a row: the number of its label (sc) or choice (mcc), and the probability of each; they sum to 1."""

    label: int
    probabilities: tuple[float, ...]

    @property
    def probability(self) -> float:
        """That of what was chosen."""
        return self.probabilities[self.label]


@dataclass(frozen=True)
class Item:
    """A scored row and what each run says of it, by the run's name; `names` of the labels (sc), or the texts of the choices (mcc)."""

    row: SCRow | MCCRow
    replies: dict[str, Choice]
    names: tuple[str, ...]

    @property
    def gold(self) -> int:
        """The number of the right label or choice."""
        return self.row.label

    @property
    def texts(self) -> tuple[str, ...]:
        """What is read: a sentence, a pair, or a text and how its endings begin."""
        parts = (self.row.first, self.row.second) if isinstance(self.row, SCRow) else (self.row.context, self.row.start)
        return tuple(part for part in parts if part)


def pair(runs: dict[str, Run], data: str | None = None, task: str = "mnli") -> list[Item]:
    """The rows of an sc or mcc task that all runs were scored on, with every run's choice, in the order of the rows.

    data: where the rows are now ("sample", "hub", a folder); None: where the first run had them. Raises CompareError as `compare.pair`
    does, or naming file and line: no id with finite probabilities, one for each label, that sum to 1 and whose largest is the label's;
    RunError where a file cannot be read; DataError where the rows cannot.
    """
    rows = scored_rows(runs, data, task, "sc", "mcc")
    dataset = next(iter(runs.values())).parameters.dataset_of(task)
    names = {row.id: tuple(dataset.labels) if isinstance(row, SCRow) else row.choices for row in rows}
    replies = {name: _replies(name, run, task, names) for name, run in runs.items()}
    return [Item(row, said, names[row.id]) for row, said in by_row(rows, replies, "row")]


def _replies(name: str, run: Run, task: str, names: dict[int, tuple[str, ...]]) -> dict[int, Choice]:
    """Choices by the row's id. Raises CompareError, naming file and line, where one is not whole, twice or of no row; or some lack."""
    found: dict[int, Choice] = {}
    for number, entry in enumerate(run.choices(task), 1):
        where = f"{name}: {run.name}, predictions/{task}.jsonl, line {number}"
        key = entry.get("id") if isinstance(entry, dict) else None
        if type(key) is not int:
            raise CompareError(f"{where}: not an id with a label and probabilities: {entry!r:.80}")
        if key not in names or key in found:
            raise CompareError(f"{where}: row {key} {'comes twice' if key in found else 'is none of the rows'}")
        wrong = _wrong(entry.get("label"), entry.get("probabilities"), len(names[key]))
        if wrong:
            raise CompareError(f"{where}: row {key}: {wrong}")
        found[key] = Choice(entry["label"], tuple(entry["probabilities"]))
    if len(found) != run.metrics[task]["n"]:
        raise CompareError(f"{name}: {run.name} has {len(found):,} labels of {task}, but metrics.json scores {run.metrics[task]['n']:,}")
    return found


def _wrong(label: Any, probabilities: Any, count: int) -> str | None:
    """What is wrong with a label and its probabilities, if anything."""
    if not isinstance(probabilities, list) or len(probabilities) != count:
        return f"{probabilities!r:.60} should be {count} probabilities"
    if not all(is_number(p) and p >= 0 for p in probabilities) or abs(sum(probabilities) - 1) > 1e-6:
        return f"{probabilities!r:.60} are no probabilities, which sum to 1"
    if type(label) is not int or not 0 <= label < count or probabilities[label] < max(probabilities):
        return f"label {label!r} is not the most probable of {count}"
    return None
