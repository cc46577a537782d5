"""A further dataset of a known task type, from a few lines of a parameter file: `define: {NAME: {type: sc, columns: {…}, …}}`.

What cannot be meant stops with the key, before anything is read; whether the columns are there is found out with the rows.
"""

from collections.abc import Iterator
from dataclasses import fields
from importlib.metadata import entry_points
from typing import Any

from mtdnn_kit.data.read_as import LABELLED
from mtdnn_kit.data.registry import DATASETS, KINDS, Dataset, Kind, template_parts
from mtdnn_kit.errors import ConfigError
from mtdnn_kit.files.checks import checked, known_keys, require, unfit
from mtdnn_kit.files.wording import nearest, short, some

LONGEST_NAMED = 1000  # characters of a name, as a message writes it
KEYS = [f.name for f in fields(Dataset) if f.name != "values"]  # `values` are the keys of `labels`
SUFFIXES = (".jsonl", ".csv", ".tsv", ".parquet", ".json")  # formats, those of `readers.READERS`
SCORER = ("task", "data")  # keys of `scored_also` beside a definition's: the task that scores the rows, and where these are
TRAINED = ("train", "validation_ratio", "permute_labels")  # keys of a definition that say how a split is trained on
PLUGINS = "mtdnn_kit.tasks"  # the entry points of packages that bring a task type
PACKED = ("", ".gz", ".bz2", ".xz")  # how any of them may be compressed


def scored_from(name: str, row: dict, base: Dataset | None = None) -> Dataset:
    """A registry row of rows that are scored and not trained on (`scored_also: {NAME: {files: {validation: FILE}}}`).

    base: that of the task that scores them, where `task` names one: what the row leaves out is as there (`_inherited`). Without it they are
    questions. Raises ConfigError as `dataset_from`; for a key that is of use in training alone; for another type or other labels than base.
    """
    at, given = f"scored_also.{name}", {key: value for key, value in row.items() if key not in SCORER}
    kind = given.get("type", base.type if base else "qa")
    require(base or kind == "qa", f"{at}.type is {short(kind)}; without `task` only question answering (qa): name the task that scores it")
    require(not base or kind == base.type, f"{at}.type is {short(kind)}; the task that scores it is of type {base and base.type}")
    for key in TRAINED:
        require(key not in given, f"{at}.{key}: nothing of it is trained on: leave it out")
    given = {"type": "qa", **(_inherited(base, given) if base else {}), **given}
    score = given.get("score", "validation")
    require(score is not None, f"{at}.score: it is there to be scored: leave it out, or name its split")
    if base and "labels" in given:
        given["labels"] = _in_order(given["labels"], base.labels)
    # its scored split is the only one
    made = dataset_from(name, {**given, "train": score}, at)
    alike = not base or not KINDS[base.type].labelled or made.labels == base.labels
    require(alike, f"{at}.labels are {some(made.labels)}; the task that scores it has {some(base.labels if base else ())}")
    return made


def _in_order(labels: Any, wanted: tuple) -> Any:
    """Labels of the same names in the order of a task's own, so that they have its numbers; a column then holds names, or what maps to
    them, and no numbers, which would mean others. As they are where the names are others, or in that order."""
    named = {name: name for name in labels} if isinstance(labels, list | tuple) and all(isinstance(x, str) for x in labels) else labels
    if not isinstance(named, dict) or {*map(str, named.values())} != {*wanted} or label_names(labels) == wanted:
        return labels
    return dict(sorted(named.items(), key=lambda one: wanted.index(one[1])))


def _inherited(base: Dataset, row: dict) -> dict:
    """What rows that a task scores have of the task's registry row: what they are and, where the row does not say, where they are."""
    place = {} if row.keys() & {"files", "hub"} else {"hub": base.hub, "hub_config": base.hub_config, "cut": base.cut}
    what: dict = {"type": base.type, "folder": base.folder, "score": base.score or "validation", "unanswerable": base.unanswerable}
    if base.metrics:
        what["metrics"] = list(base.metrics)
    if KINDS[base.type].labelled or "columns" not in row:  # the labels of choices are those of a column
        what["labels"] = {value: base.labels[number] for value, number in base.values} or list(base.labels)
    if "columns" not in row:
        what |= {"columns": dict(base.columns), "template": dict(base.template), "quoted": base.quoted, "skip": list(base.skip)}
        what["group"] = base.group
    return {key: value for key, value in {**what, **place}.items() if value not in (None, [], {})}


def dataset_from(name: str, row: dict, at: str = "") -> Dataset:
    """A registry row from a parameter file (`define: {NAME: {type: sc, columns: {...}, ...}}`); at: the place that errors name.

    `labels` is a list of names, or a mapping of what the column holds to names, several to one perhaps. Question answering may leave
    `columns` out: they are SQuAD's then. Raises ConfigError that names the dataset, the key at fault and the keys there are.
    """
    at = at or f"define.{name}"
    for place, text in _texts(at, row):
        require(not unfit(text), f"{place}: {short(text)} has a NUL or half a surrogate pair, which nothing here can be called: remove it")
        long = len(repr(text)) > LONGEST_NAMED and place.split(".")[2:3] not in (["template"], ["files"])
        require(not long, f"{place}: {short(text)} has more than {LONGEST_NAMED:,} characters: no name is that long")
    known_keys(row, KEYS, f"{at}.")
    given = row.get("type")
    for point in entry_points(group=PLUGINS, name=given) if isinstance(given, str) and given not in KINDS else ():
        point.load()  # registers a type that an installed package brings
    require(
        isinstance(given, str) and given in KINDS,
        f"{at}.type is {short(given)}; it must be one of {', '.join(KINDS)}. (A type of your own is there once "
        "the file that registers it is imported.)",
    )
    row = {"folder": name, **({"columns": dict(DATASETS["squad"].columns)} if row["type"] == "qa" else {}), **row}
    kind, own = KINDS[row["type"]], ("columns", "template", "labels")
    row |= checked({key: value for key, value in row.items() if key not in own}, Dataset, f"{at}.")
    for check in (_check_type, _check_columns, _check_template, _check_labels, _check_metrics, _check_files, _check_split):
        check(at, row, kind)
    labels = row.get("labels", ())
    names = label_names(labels)
    values = {"values": tuple((value, names.index(name)) for value, name in labels.items())} if isinstance(labels, dict) else {}
    return Dataset(**{**row, **values, "labels": names})


def label_names(labels: list | tuple | dict) -> tuple:
    """The labels' names, in the order of their numbers; of a mapping each once, though several values may have it."""
    return tuple(dict.fromkeys(labels.values()) if isinstance(labels, dict) else labels)


def _texts(at: str, value: object) -> Iterator[tuple[str, str]]:
    """The texts within a value, keys included, each with its place."""
    if isinstance(value, str):
        yield at, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _texts(at, key)
            yield from _texts(f"{at}.{some([key])}", inner)
    elif isinstance(value, list | tuple):
        yield from ((at, inner) for inner in value if isinstance(inner, str))


def _check_type(at: str, row: dict, kind: Kind) -> None:
    qa = row["type"] == "qa"
    require(qa or not row.get("cut"), f"{at}.cut is {short(row.get('cut'))}; it is for question answering: leave it out")
    require(qa or row.get("unanswerable", True), f"{at}.unanswerable: only questions can be unanswerable; leave it out")
    shuffled, its = row.get("permute_labels"), "the answer to another question does not stand in its passage"
    require(not (shuffled and qa), f"{at}.permute_labels: questions cannot be permuted, since {its}: leave it out")
    require(not shuffled or row["type"] in LABELLED, f"{at}.permute_labels: it is for types {' and '.join(LABELLED)}: leave it out")
    labelled = isinstance(row.get("columns"), dict) and "label" in row["columns"]
    require(labelled or not row.get("skip"), f"{at}.skip: its values are those of the column `label`, and there is none: leave it out")


def _check_columns(at: str, row: dict, kind: Kind) -> None:
    columns, template = row.get("columns"), row.get("template")
    given = template if isinstance(template, dict) else {}
    form = f"{at}.columns must map {', '.join(kind.roles)} to column names, not {short(columns)}"
    if not isinstance(columns, dict):
        raise ConfigError(form)
    for role, column in columns.items():
        require(role in kind.roles, f"{form}.{nearest(str(role), list(kind.roles))}")
        if role == "choices" and isinstance(column, list | tuple):
            several = len(column) > 1 and all(isinstance(x, str) and x for x in column)
            require(several, f"{at}.columns.choices is {short(column)}; it must list at least two column names, or be one column of lists")
        else:
            named = isinstance(column, str) and column != ""
            require(named, f"{at}.columns.{role} is {short(column)}; it must be a column's name")
    for role in kind.roles:
        there = role in columns or role in kind.optional or role in given
        require(there, f"{at}.columns lacks {short(role)}: name the column that holds it")
    require(
        row["type"] != "mcc" or ("label" in columns) != ("answer" in columns),
        f"{at}.columns lacks 'label': name either the column that says which choice is right (`label`), or that of its text (`answer`)",
    )


def _check_template(at: str, row: dict, kind: Kind) -> None:
    template = row.get("template", {})
    known = isinstance(template, dict) and set(template) <= set(kind.texts)
    require(known, f"{at}.template is {short(template)}; it maps {' or '.join(kind.texts) or 'nothing'} to a text with {{column}}s")
    for role, text in template.items():
        lone = role not in row["columns"]
        require(lone, f"{at}.template.{role}: `columns` names a column for {short(role)}, too; leave one of them out")
        try:
            named = isinstance(text, str) and any(column for _, column in template_parts(text))
        except ValueError as error:
            raise ConfigError(f"{at}.template.{role} is {short(text)}: {error}") from None
        require(named, f"{at}.template.{role} is {short(text)}; it must be a text with the name of a column in braces")


def _check_labels(at: str, row: dict, kind: Kind) -> None:
    labels, choices, mcc = row.get("labels", []), row["columns"].get("choices"), row["type"] == "mcc"
    names = list(labels.values()) if isinstance(labels, dict) else labels
    if not isinstance(names, list | tuple) or not all(isinstance(x, str) and x for x in names):
        quote = " YAML reads no, yes, on, off and numbers as something else: put them in quotes." if isinstance(names, list) else ""
        raise ConfigError(f"{at}.labels is {short(labels)}; it must be a list of names, or map what the column holds to names.{quote}")
    names = label_names(labels)
    if len(set(names)) < len(names):
        raise ConfigError(f"{at}.labels names {short(next(x for x in names if names.count(x) > 1))} twice")
    plain = all(isinstance(x, str | int) for x in labels)
    require(plain, f"{at}.labels maps {short(list(labels))}; a column's value is text, a whole number, true or false")
    require(len(names) > 1 or not kind.labelled, f"{at}.labels must name at least two labels, in order of their numbers")
    require(not names or kind.labelled or mcc, f"{at}.labels: rows of type {row['type']} have no labels; leave it out")
    if mcc and names:
        require("answer" not in row["columns"], f"{at}.labels are those of the column `label`; with `answer`, leave them out")
        as_many = not isinstance(choices, list | tuple) or len(names) == len(choices)
        require(as_many, f"{at}.labels names {len(names)} labels, but there are {len(choices or ())} choices")


def _check_metrics(at: str, row: dict, kind: Kind) -> None:
    values = row.get("metrics", ())
    there = f"it must be a list of {', '.join(kind.metrics)}" if kind.metrics else "this type has its own scores: leave it out"
    require(values or "metrics" not in row or not kind.metrics, f"{at}.metrics is {short(list(values))}; {there}")
    for value in values:
        require(value in kind.metrics, f"{at}.metrics is {short(list(values))}; {there}.{nearest(value, list(kind.metrics))}")
    two = "f1" not in values or len(label_names(row.get("labels", ()))) == 2
    require(two, f"{at}.metrics: f1 is that of label 1 of two; this task has other labels. There is macro_f1, too")


def _check_files(at: str, row: dict, kind: Kind) -> None:
    if "files" not in row:
        return
    train, score = row.get("train", "train"), None if "validation_ratio" in row else row.get("score", "validation")
    files, wanted = row["files"], [split for split in dict.fromkeys((train, score)) if split]
    require(files, f"{at}.files names no file: leave it out, or name {' and '.join(wanted)}")
    require(not row.get("hub"), f"{at}.files: `hub` says that the rows are there; leave one of them out")
    for split in wanted:
        none = f" Set score: null where there is none, or validation_ratio to cut it from {train}." if split != train else ""
        require(split in files, f"{at}.files lacks {short(split)}: name its file.{none}")
    for split, file in files.items():
        used = f"there {'is' if len(wanted) == 1 else 'are'} {', '.join(wanted)}"
        require(split in wanted, f"{at}.files.{split}: no such split is used; {used}")
        require(
            file.lower().endswith(tuple(suffix + packed for suffix in SUFFIXES for packed in PACKED)),
            f"{at}.files.{split} is {short(file)}; its name must end in {', '.join(SUFFIXES)}, or that and {', '.join(PACKED[1:])}",
        )


def _check_split(at: str, row: dict, kind: Kind) -> None:
    cuts, score = "validation_ratio" in row, row.get("score", "validation")
    other = score not in (None, row.get("train", "train")) and not row.get("cut")
    require(other or not cuts, f"{at}.validation_ratio cuts the scored split from the training rows: leave `score` and `cut` out")
