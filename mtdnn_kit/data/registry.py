"""The datasets that the kit knows by name, as plain data, and the roles of each task type's columns.

A *task* is a dataset with a head; this file says where its rows are, what its columns are called, which split trains and which is scored.
It reads no file, so that `config` can refuse an unknown task in a notebook's first cell. `definitions` lets a parameter file add a dataset,
`sources` reads the rows, `tasks/` turns them into features.
"""

from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from string import Formatter
from typing import Annotated, Any

from mtdnn_kit.files.checks import Name

ALWAYS = 1e300  # the threshold that always answers, unless no span is possible
SAMPLE_ARTICLES = {"squad": ("Glacier", "Cork", "Tea", "Soap", "Owl", "Salt", "Chess", "Nile", "Camel", "Dune")}  # folder → held-out titles
METRICS = ("accuracy", "matthews", "f1", "macro_f1")  # names in `metrics.SCORES`
CUTS = ("cs224n", "cs224n_rest")  # names in `sources.CUT_RULES`
Flag = Annotated[bool, "it must be true or false"]
REST = "_rest"  # suffix of the set that `cut` leaves of a scored split: scored, but never used for a choice


@dataclass(frozen=True)
class Kind:
    """The roles of a task type: each of `roles` needs a column, except those in `optional`; for `texts` a template may replace the column.

    `labelled`: the dataset must name labels; their number is that of the head's outputs. `metrics`: the scores that a dataset may name.
    """

    roles: tuple[str, ...]
    optional: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    labelled: bool = False
    metrics: tuple[str, ...] = ()


TYPE_WORDS = {"qa": "question answering", "sc": "sequence classification", "mcc": "multiple choice"}
KINDS = {  # question answering, sequence classification, multiple choice (paper, "Model"); `tasks.register` adds more
    "qa": Kind(("id", "title", "context", "question", "answers", "starts"), ("id", "title", "starts"), ("question",)),
    "sc": Kind(("first", "second", "label"), ("second",), ("first", "second"), labelled=True, metrics=METRICS),
    "mcc": Kind(("context", "start", "choices", "label", "answer"), ("start", "label", "answer"), ("context", "start"), metrics=METRICS),
}
REGISTERED: dict[str, dict[str, str]] = {}  # custom task types: their file, and its sha256 when it was registered


@lru_cache
def template_parts(text: str) -> list[tuple[str, str | None]]:
    """A template as (text, following column) pairs; the last column may be None. Raises ValueError if braces do not match."""
    parts = []
    for before, column, spec, conversion in Formatter().parse(text):
        if column == "" or spec or conversion:
            raise ValueError("put only a column name in braces; write {{ and }} for literal braces")
        parts.append((before, column))
    return parts


@dataclass(frozen=True)
class Dataset:
    """One registry row. `columns` maps the roles of its task type (`KINDS`) to column names as on the Hugging Face hub.

    `train` and `score` are names of splits; `score` None means trained but not scored. `metrics` are names in `metrics.SCORES`
    (sc and mcc; qa has its own set). `labels` are the label names of an sc dataset, in order of their numbers.
    `cut` names a rule of `split` that selects part of the hub's scored split (SQuAD's CS224N split).

    files: split → file, instead of `data`. values: (value of the label column, label number) pairs; (): the column holds numbers or names.
    skip: values of the label column whose rows are left out. template: role → text with {column} fields, instead of a column.
    validation_ratio: the share of `train` that becomes the `score` split. Rows with the same value in the column `group` stay together, and
    are the clusters of intervals (sc, mcc).
    quoted: whether quotation marks in CSV and TSV quote fields (true) or are plain characters (false); None: judged by the file.
    unanswerable: whether a question may have no answer.
    permute_labels: permutes the labels of the training rows (sc, mcc) among them: a placebo (`table.permuted`).
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
        """What the label column may hold besides numbers from 0."""
        return tuple(value for value, _ in self.values) or self.labels

    @cached_property
    def required(self) -> list[str]:
        """Columns that every row must have; a missing `id` is made from the row (`rows.made_id`)."""
        free = {"title", "id"} if self.columns.get("id") == "id" else {"title"}
        named = [name for role, name in self.columns.items() if role not in free] + [self.group] * bool(self.group)
        inside = [column for text in self.template.values() for _, column in template_parts(text) if column]
        return [column for name in named for column in ([name] if isinstance(name, str) else name)] + inside

    @cached_property
    def nested(self) -> tuple[str, ...]:
        """The column names that mean a part of another column, `a.b`."""
        return tuple(column for column in self.columns.values() if isinstance(column, str) and "." in column)

    @property
    def given(self) -> set[str]:
        """The roles that columns or templates fill."""
        return {*self.columns, *self.template}


_QA = {"id": "id", "title": "title", "context": "context", "question": "question", "answers": "answers"}
_SWAG = {"context": "sent1", "start": "sent2", "choices": ("ending0", "ending1", "ending2", "ending3"), "label": "label"}


def _glue(name: str, texts: dict[str, str], labels: tuple[str, ...], metrics: tuple[str, ...] = ("accuracy",), **more: Any) -> Dataset:
    """A dataset of GLUE; on the hub, the files of all of them have the same names."""
    return Dataset("sc", {**texts, "label": "label"}, name, "nyu-mll/glue", name, labels, metrics, **more)


DATASETS = {
    "squad": Dataset("qa", _QA, "squad", "rajpurkar/squad_v2", metrics=(), cut="cs224n"),
    "squad1": Dataset("qa", _QA, "squad1", "rajpurkar/squad", metrics=(), score=None),
    "swag": Dataset("mcc", _SWAG, "swag", "allenai/swag", "regular"),
    "codah": Dataset("mcc", _SWAG, "codah", score=None),  # the hub's version has other columns: local folder only
    "cola": _glue("cola", {"first": "sentence"}, ("unacceptable", "acceptable"), ("matthews", "accuracy")),
    "mrpc": _glue("mrpc", {"first": "sentence1", "second": "sentence2"}, ("not_equivalent", "equivalent"), ("f1", "accuracy")),
    "mnli": _glue(
        "mnli", {"first": "premise", "second": "hypothesis"}, ("entailment", "neutral", "contradiction"), score="validation_matched"
    ),
}
