"""The datasets that the kit knows by name, as plain data.

A *task* is a dataset with a head; this file says where its rows are, what its columns are called, which split trains and which is
scored. It reads nothing and imports nothing of ours but `values`, so that `config` can refuse an unknown task in a notebook's first cell.
How rows are read is in `sources`, what becomes of them in `tasks/`.
"""

from dataclasses import dataclass, fields

from mtdnn_kit.values import short, some

TYPES = ("qa", "sc", "mcc")  # question answering, sequence classification, multiple choice (paper, "Model")
ROLES = {
    "qa": ("id", "title", "context", "question", "answers"),
    "sc": ("first", "second", "label"),  # `second` may be absent: single sentences
    "mcc": ("context", "start", "choices", "label"),  # `choices` names several columns; `start` may be absent
}
OPTIONAL_ROLES = ("second", "start", "title")
METRICS = ("accuracy", "matthews", "f1")  # names in `metrics.SCORES`
CUTS = ("cs224n",)  # names in `sources.CUTS`
REST = "_rest"  # ends the name under which the part of a scored split that its cut leaves is scored, untouched by any choice


@dataclass(frozen=True)
class Dataset:
    """One registry row. `columns` maps the roles of its task type (`ROLES`) to column names as the Hugging Face hub has them.

    `train` and `score` are names of splits; `score` None means trained but not scored. `metrics` are names in `metrics.SCORES`
    (sc and mcc; qa has its own set). `labels` are the label names of an sc dataset, in order of their numbers.
    `cut` names a function of `sources` that cuts the scored split of the hub's dataset down (SQuAD's CS224N split).
    """

    type: str
    columns: dict
    folder: str
    hub: str | None = None
    hub_config: str | None = None
    labels: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ("accuracy",)
    train: str = "train"
    score: str | None = "validation"
    cut: str | None = None


_QA = {"id": "id", "title": "title", "context": "context", "question": "question", "answers": "answers"}
_SWAG = {"context": "sent1", "start": "sent2", "choices": ("ending0", "ending1", "ending2", "ending3"), "label": "label"}

DATASETS = {
    "squad": Dataset("qa", _QA, "squad", "rajpurkar/squad_v2", metrics=(), cut="cs224n"),
    "squad1": Dataset("qa", _QA, "squad1", "rajpurkar/squad", metrics=(), score=None),
    "swag": Dataset("mcc", _SWAG, "swag", "allenai/swag", "regular"),
    "codah": Dataset("mcc", _SWAG, "codah", score=None),  # its hub form has other columns: local folder only
    "cola": Dataset(
        "sc",
        {"first": "sentence", "label": "label"},
        "cola",
        "nyu-mll/glue",
        "cola",
        labels=("unacceptable", "acceptable"),
        metrics=("matthews", "accuracy"),
    ),
    "mrpc": Dataset(
        "sc",
        {"first": "sentence1", "second": "sentence2", "label": "label"},
        "mrpc",
        "nyu-mll/glue",
        "mrpc",
        labels=("not_equivalent", "equivalent"),
        metrics=("f1", "accuracy"),
    ),
    "mnli": Dataset(
        "sc",
        {"first": "premise", "second": "hypothesis", "label": "label"},
        "mnli",
        "nyu-mll/glue",
        "mnli",
        labels=("entailment", "neutral", "contradiction"),
        score="validation_matched",
    ),
}


def dataset_from(name: str, row: dict) -> Dataset:
    """A registry row from a parameter file (`define: {NAME: {type: sc, columns: {...}, ...}}`).

    Raises ValueError that names the dataset, the key at fault and the keys there are.
    """
    known = [f.name for f in fields(Dataset)]
    unknown = [key for key in row if key not in known]
    if unknown:
        raise ValueError(f"define.{name}.{some(unknown[:1])}: no such key; there are {', '.join(known)}")
    row = {"folder": name, **row}
    if not isinstance(row.get("type"), str) or row["type"] not in TYPES:
        raise ValueError(f"define.{name}.type is {short(row.get('type'))}; it must be one of {', '.join(TYPES)}")
    _check_columns(name, row)
    _check_values(name, row)
    lists = {key: tuple(row[key]) for key in ("labels", "metrics") if key in row}
    return Dataset(**{**row, **lists})


def _check_columns(name: str, row: dict) -> None:
    columns, roles = row.get("columns"), ROLES[row["type"]]
    if not isinstance(columns, dict) or set(columns) - set(roles):
        raise ValueError(f"define.{name}.columns must map {', '.join(roles)} to column names, not {short(columns)}")
    missing = [r for r in roles if r not in columns and r not in OPTIONAL_ROLES]
    if missing:
        raise ValueError(f"define.{name}.columns lacks {missing[0]!r}: name the column that holds it")
    for role, column in columns.items():
        several = role == "choices"
        if several and not (isinstance(column, list | tuple) and len(column) > 1 and all(isinstance(x, str) for x in column)):
            raise ValueError(f"define.{name}.columns.choices is {short(column)}; it must be a list of at least two column names")
        if not several and not isinstance(column, str):
            raise ValueError(f"define.{name}.columns.{role} is {short(column)}; it must be a column's name")


def _check_values(name: str, row: dict) -> None:
    for key in ("folder", "hub", "hub_config", "train", "score"):
        if not isinstance(row.get(key), str | None) or (key in ("folder", "train") and key in row and not row[key]):
            raise ValueError(f"define.{name}.{key} is {short(row[key])}; it must be text")
    for key, allowed in (("labels", None), ("metrics", METRICS)):
        values = row.get(key, [])
        if not isinstance(values, list | tuple) or not all(isinstance(x, str) and (not allowed or x in allowed) for x in values):
            raise ValueError(f"define.{name}.{key} is {short(values)}; it must be a list of {', '.join(allowed) if allowed else 'names'}")
    if row["type"] == "sc" and len(row.get("labels", ())) < 2:
        raise ValueError(f"define.{name}.labels must name at least two labels, in order of their numbers")
    if "f1" in row.get("metrics", ()) and len(row.get("labels", ())) != 2:
        raise ValueError(f"define.{name}.metrics: f1 is that of label 1 of two; this task has other labels")
    if row.get("cut") not in ((None, *CUTS) if row["type"] == "qa" else (None,)):
        raise ValueError(f"define.{name}.cut is {short(row['cut'])}; there is {', '.join(CUTS)}, for question answering")
