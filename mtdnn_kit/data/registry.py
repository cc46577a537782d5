"""The datasets that the kit knows by name, as plain data, and what each task type's rows have.

A *task* is a dataset with a head; this file says where its rows are, what its columns are called, which split trains and which is
scored. It reads nothing, so that `config` can refuse an unknown task in a notebook's first cell. How a
parameter file adds a dataset is in `definitions`, how rows are read in `sources`, what becomes of them in `tasks/`.
"""

from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from string import Formatter
from typing import Annotated, Any

from mtdnn_kit.files.checks import Name

ALWAYS = 1e300  # the threshold that always answers: nothing is then said only where no span is possible
SAMPLE_ARTICLES = {"squad": ("Glacier", "Cork", "Tea", "Soap", "Owl", "Salt", "Chess", "Nile", "Camel", "Dune")}  # folder → held-out titles
METRICS = ("accuracy", "matthews", "f1", "macro_f1")  # names in `metrics.SCORES`
CUTS = ("cs224n", "cs224n_rest")  # names in `sources.CUT_RULES`
Flag = Annotated[bool, "it must be true or false"]
REST = "_rest"  # ends the name under which the part of a scored split that its cut leaves is scored, untouched by any choice


@dataclass(frozen=True)
class Kind:
    """What rows of a task type have: `roles` are played by columns, those in `optional` perhaps by none; `texts` also by a template.

    `labelled`: the dataset must name labels, whose number is that of the head's outputs. `metrics`: the scores one can ask for.
    """

    roles: tuple[str, ...]
    optional: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    labelled: bool = False
    metrics: tuple[str, ...] = ()


TYPE_WORDS = {"qa": "question answering", "sc": "sequence classification", "mcc": "multiple choice"}
KINDS = {  # question answering, sequence classification, multiple choice (paper, "Model"); `tasks.register` adds others
    "qa": Kind(("id", "title", "context", "question", "answers", "starts"), ("id", "title", "starts"), ("question",)),
    "sc": Kind(("first", "second", "label"), ("second",), ("first", "second"), labelled=True, metrics=METRICS),
    "mcc": Kind(("context", "start", "choices", "label", "answer"), ("start", "label", "answer"), ("context", "start"), metrics=METRICS),
}


@lru_cache
def template_parts(text: str) -> list[tuple[str, str | None]]:
    """A template as (text before a column, the column) pairs, None where the text ends. Raises ValueError: braces that do not match."""
    parts = []
    for before, column, spec, conversion in Formatter().parse(text):
        if column == "" or spec or conversion:
            raise ValueError("braces hold a column's name and nothing else; write {{ and }} for braces that are text")
        parts.append((before, column))
    return parts


@dataclass(frozen=True)
class Dataset:
    """One registry row. `columns` maps the roles of its task type (`KINDS`) to column names as the Hugging Face hub has them.

    `train` and `score` are names of splits; `score` None means trained but not scored. `metrics` are names in `metrics.SCORES`
    (sc and mcc; qa has its own set). `labels` are the label names of an sc dataset, in order of their numbers.
    `cut` names a function of `sources` that cuts the scored split of the hub's dataset down (SQuAD's CS224N split).

    files: split → file, in place of `data`. values: (what the label column holds, the label's number) pairs; (): its number or its name.
    skip: values of the label column whose rows are left out. template: role → text with {column}s, in place of a column. validation_ratio:
    the share of `train` that becomes the `score` split, whole values of the column `group` together, by which intervals go, too (sc, mcc).
    quoted: whether quotation marks in CSV and TSV quote (true) or are letters (false); None: as the file shows. unanswerable: whether a
    question may have no answer.
    permute_labels: the labels of the rows that are trained on (sc, mcc) are permuted among them: a placebo (`table.permuted`).
    """

    type: str
    columns: dict[str, Any]
    folder: Name
    hub: Name | None = None
    hub_config: Name | None = None
    labels: tuple[str, ...] = ()
    metrics: Annotated[tuple[str, ...], "it must be a list of names of scores"] = ("accuracy",)
    train: Name = "train"
    score: Annotated[str | None, "it must be text"] = "validation"
    cut: Annotated[str | None, f"there is {', '.join(CUTS)}, for question answering", lambda cut: cut in (None, *CUTS)] = None
    files: Annotated[dict[Name, Name], "it must map splits (train, validation) to files"] = field(default_factory=dict)
    values: tuple = ()
    skip: Annotated[tuple[str | int | bool | None, ...], "it must be a list of values of the label column"] = ()
    template: dict[str, str] = field(default_factory=dict)
    validation_ratio: Annotated[float | None, "it must be a share above 0 and below 1 (0.1 is a tenth)", lambda r: r and 0 < r < 1] = None
    group: Name | None = None
    quoted: Flag | None = None
    unanswerable: Flag = True
    permute_labels: Flag = False

    @cached_property
    def label_values(self) -> tuple:
        """What the label column may hold beside numbers from 0."""
        return tuple(value for value, _ in self.values) or self.labels

    @cached_property
    def required(self) -> list[str]:
        """Columns that every row must have; an `id` that is not there is made (`rows.made_id`)."""
        free = ("title", "id" if self.columns.get("id") == "id" else "title")
        named = [name for role, name in self.columns.items() if role not in free] + [self.group] * bool(self.group)
        inside = [column for text in self.template.values() for _, column in template_parts(text) if column]
        return [column for name in named for column in ([name] if isinstance(name, str) else name)] + inside

    @cached_property
    def nested(self) -> tuple[str, ...]:
        """The columns that are named as a part of another, `a.b`."""
        return tuple(column for column in self.columns.values() if isinstance(column, str) and "." in column)

    @property
    def given(self) -> set[str]:
        """The roles that rows have, from columns or templates."""
        return {*self.columns, *self.template}


_QA = {"id": "id", "title": "title", "context": "context", "question": "question", "answers": "answers"}
_SWAG = {"context": "sent1", "start": "sent2", "choices": ("ending0", "ending1", "ending2", "ending3"), "label": "label"}


def _glue(name: str, texts: dict[str, str], labels: tuple[str, ...], metrics: tuple[str, ...] = ("accuracy",), **more: Any) -> Dataset:
    """A dataset of GLUE, whose files on the hub are all called alike."""
    return Dataset("sc", {**texts, "label": "label"}, name, "nyu-mll/glue", name, labels, metrics, **more)


DATASETS = {
    "squad": Dataset("qa", _QA, "squad", "rajpurkar/squad_v2", metrics=(), cut="cs224n"),
    "squad1": Dataset("qa", _QA, "squad1", "rajpurkar/squad", metrics=(), score=None),
    "swag": Dataset("mcc", _SWAG, "swag", "allenai/swag", "regular"),
    "codah": Dataset("mcc", _SWAG, "codah", score=None),  # its hub form has other columns: local folder only
    "cola": _glue("cola", {"first": "sentence"}, ("unacceptable", "acceptable"), ("matthews", "accuracy")),
    "mrpc": _glue("mrpc", {"first": "sentence1", "second": "sentence2"}, ("not_equivalent", "equivalent"), ("f1", "accuracy")),
    "mnli": _glue(
        "mnli", {"first": "premise", "second": "hypothesis"}, ("entailment", "neutral", "contradiction"), score="validation_matched"
    ),
}
