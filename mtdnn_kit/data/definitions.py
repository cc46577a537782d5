"""A custom dataset of a known task type, from a few lines of a parameter file: `define: {NAME: {type: sc, columns: {…}, …}}`.

An invalid definition raises an error that names the key, before any file is read. Whether the columns exist is checked with the rows.
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

LONGEST_NAMED = 1000  # characters of a name in a message
KEYS = [f.name for f in fields(Dataset) if f.name != "values"]  # `values` are the keys of `labels`
SUFFIXES = (".jsonl", ".csv", ".tsv", ".parquet", ".json")  # formats, those of `readers.READERS`
SCORER = ("task", "data")  # further keys of `scored_also`: the task that scores the rows, and where the rows are
TRAINED = ("train", "validation_ratio", "permute_labels")  # keys of a definition that concern training alone
PLUGINS = "mtdnn_kit.tasks"  # the entry points of packages that provide a task type
PACKED = ("", ".gz", ".bz2", ".xz")  # how each of them may be compressed


def scored_from(name: str, row: dict, base: Dataset | None = None) -> Dataset:
    """The registry row of a set that is scored but not trained on (`scored_also: {NAME: {files: {validation: FILE}}}`).

    base: the registry row of the task that `task` names; keys that `row` leaves out are taken from it (`_inherited`). Without a base the
    rows are questions. Raises ConfigError as `dataset_from` does; for a key that only training uses; for a type or labels that differ from
    base.
    """
    at, given = f"scored_also.{name}", {key: value for key, value in row.items() if key not in SCORER}
    kind = given.get("type", base.type if base else "qa")
    require(base or kind == "qa", f"{at}.type is {short(kind)}; without `task` it must be qa: name the task that scores it")
    require(not base or kind == base.type, f"{at}.type is {short(kind)}; the task that scores it is of type {base and base.type}")
    for key in TRAINED:
        require(key not in given, f"{at}.{key}: this set is not trained on: leave the key out")
    given = {"type": "qa", **(_inherited(base, given) if base else {}), **given}
    score = given.get("score", "validation")
    require(score is not None, f"{at}.score: the set must have a scored split: name it, or leave the key out")
    if base and "labels" in given:
        given["labels"] = _in_order(given["labels"], base.labels)
    # the scored split is the only one
    made = dataset_from(name, {**given, "train": score}, at)
    alike = not base or not KINDS[base.type].labelled or made.labels == base.labels
    require(alike, f"{at}.labels are {some(made.labels)}; the task that scores it has {some(base.labels if base else ())}")
    return made


def _in_order(labels: Any, wanted: tuple) -> Any:
    """The labels in the order of the task's labels, so that their numbers agree. The column must then hold names or mapped values, since
    plain numbers would mean other labels. Returns `labels` unchanged if the names differ or are in that order already."""
    named = {name: name for name in labels} if isinstance(labels, list | tuple) and all(isinstance(x, str) for x in labels) else labels
    if not isinstance(named, dict) or {*map(str, named.values())} != {*wanted} or label_names(labels) == wanted:
        return labels
    return dict(sorted(named.items(), key=lambda one: wanted.index(str(one[1]))))


def _inherited(base: Dataset, row: dict) -> dict:
    """The keys that a set takes from the registry row of the task that scores it: the format and, unless `row` says it, the place."""
    place = {} if row.keys() & {"files", "hub"} else {"hub": base.hub, "hub_config": base.hub_config, "cut": base.cut}
    what: dict = {"type": base.type, "folder": base.folder, "score": base.score or "validation", "unanswerable": base.unanswerable}
    if base.metrics and KINDS[base.type].metrics:
        what["metrics"] = list(base.metrics)
    if KINDS[base.type].labelled or "columns" not in row:  # labels of choices belong to a column
        what["labels"] = {value: base.labels[number] for value, number in base.values} or list(base.labels)
    if "columns" not in row:
        what |= {"columns": dict(base.columns), "template": dict(base.template), "quoted": base.quoted, "skip": list(base.skip)}
        what["group"] = base.group
    return {key: value for key, value in {**what, **place}.items() if value not in (None, [], {})}


def dataset_from(name: str, row: dict, at: str = "") -> Dataset:
    """A registry row from a parameter file (`define: {NAME: {type: sc, columns: {...}, ...}}`); at: the place that errors name.

    `labels` is a list of names, or maps the column's values to names; several values may share a name. For question answering, `columns`
    defaults to SQuAD's. Raises ConfigError that names the dataset, the wrong key and the known keys.
    """
    at = at or f"define.{name}"
    for place, text in _texts(at, row):
        require(not unfit(text), f"{place}: {short(text)} has a NUL or an unpaired surrogate, which names must not contain: remove it")
        long = len(repr(text)) > LONGEST_NAMED and place.split(".")[2:3] not in (["template"], ["files"])
        require(not long, f"{place}: {short(text)} has more than {LONGEST_NAMED:,} characters: shorten it")
    known_keys(row, KEYS, f"{at}.")
    given = row.get("type")
    for point in entry_points(group=PLUGINS, name=given) if isinstance(given, str) and given not in KINDS else ():
        point.load()  # registers a type from an installed package
    require(
        isinstance(given, str) and given in KINDS,
        f"{at}.type is {short(given)}; it must be one of {', '.join(KINDS)}. (A custom type exists only after "
        "the file that registers it is imported: import it first.)",
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
    """The label names, in the order of their numbers; a name that several values map to comes once."""
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
    require(qa or not row.get("cut"), f"{at}.cut is {short(row.get('cut'))}; it applies to question answering only: leave it out")
    require(qa or row.get("unanswerable", True), f"{at}.unanswerable: it applies to question answering only: leave it out")
    shuffled, its = row.get("permute_labels"), "a passage does not contain the answers to other questions"
    require(not (shuffled and qa), f"{at}.permute_labels: answers cannot be permuted, since {its}: leave it out")
    require(not shuffled or row["type"] in LABELLED, f"{at}.permute_labels: it is for types {' and '.join(LABELLED)} only: leave it out")
    labelled = isinstance(row.get("columns"), dict) and "label" in row["columns"]
    require(labelled or not row.get("skip"), f"{at}.skip: it lists values of the column `label`, but there is no such column: leave it out")


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
            require(several, f"{at}.columns.choices is {short(column)}; list at least two column names, or name one column of lists")
        else:
            named = isinstance(column, str) and column != ""
            require(named, f"{at}.columns.{role} is {short(column)}; it must be a column name")
    for role in kind.roles:
        there = role in columns or role in kind.optional or role in given
        require(there, f"{at}.columns lacks {short(role)}: name the column that holds it")
    require(
        row["type"] != "mcc" or ("label" in columns) != ("answer" in columns),
        f"{at}.columns lacks 'label': name the column that holds the number of the right choice (`label`), or its text (`answer`)",
    )


def _check_template(at: str, row: dict, kind: Kind) -> None:
    template = row.get("template", {})
    known = isinstance(template, dict) and set(template) <= set(kind.texts)
    require(known, f"{at}.template is {short(template)}; it maps {' or '.join(kind.texts) or 'nothing'} to a text with {{column}} fields")
    for role, text in template.items():
        lone = role not in row["columns"]
        require(lone, f"{at}.template.{role}: `columns` also names a column for {short(role)}; leave one of them out")
        try:
            named = isinstance(text, str) and any(column for _, column in template_parts(text))
        except ValueError as error:
            raise ConfigError(f"{at}.template.{role} is {short(text)}: {error}") from None
        require(named, f"{at}.template.{role} is {short(text)}; it must be text with a column name in braces")


def _check_labels(at: str, row: dict, kind: Kind) -> None:
    labels, choices, mcc = row.get("labels", []), row["columns"].get("choices"), row["type"] == "mcc"
    names = list(labels.values()) if isinstance(labels, dict) else labels
    if not isinstance(names, list | tuple) or not all(isinstance(x, str) and x for x in names):
        quote = " YAML does not read no, yes, on, off and numbers as text: put them in quotes." if isinstance(names, list) else ""
        raise ConfigError(f"{at}.labels is {short(labels)}; it must be a list of names, or map the column's values to names.{quote}")
    names = label_names(labels)
    if len(set(names)) < len(names):
        raise ConfigError(f"{at}.labels names {short(next(x for x in names if names.count(x) > 1))} twice")
    plain = all(isinstance(x, str | int) for x in labels)
    require(plain, f"{at}.labels maps {short(list(labels))}; each value must be text, a whole number, true or false")
    require(len(names) > 1 or not kind.labelled, f"{at}.labels must name at least two labels, in the order of their numbers")
    require(not names or kind.labelled or mcc, f"{at}.labels: rows of type {row['type']} have no labels; leave it out")
    if mcc and names:
        require("answer" not in row["columns"], f"{at}.labels belong to the column `label`; with `answer`, leave them out")
        as_many = not isinstance(choices, list | tuple) or len(names) == len(choices)
        require(as_many, f"{at}.labels names {len(names)} labels, but there are {len(choices or ())} choices")


def _check_metrics(at: str, row: dict, kind: Kind) -> None:
    values = row.get("metrics", ())
    there = f"it must be a list of {', '.join(kind.metrics)}" if kind.metrics else "this type has fixed scores: leave it out"
    require(values or "metrics" not in row or not kind.metrics, f"{at}.metrics is {short(list(values))}; {there}")
    for value in values:
        require(value in kind.metrics, f"{at}.metrics is {short(list(values))}; {there}.{nearest(value, list(kind.metrics))}")
    two = "f1" not in values or len(label_names(row.get("labels", ()))) == 2
    require(two, f"{at}.metrics: f1 is the score of label 1 of exactly two labels; use macro_f1 here")


def _check_files(at: str, row: dict, kind: Kind) -> None:
    if "files" not in row:
        return
    train, score = row.get("train", "train"), None if "validation_ratio" in row else row.get("score", "validation")
    files, wanted = row["files"], [split for split in dict.fromkeys((train, score)) if split]
    require(files, f"{at}.files names no file: leave it out, or name {' and '.join(wanted)}")
    require(not row.get("hub"), f"{at}.files: `hub` names another source of the rows; leave one of them out")
    for split in wanted:
        none = f" Set score: null if there is none, or validation_ratio to split it off {train}." if split != train else ""
        require(split in files, f"{at}.files lacks {short(split)}: name its file.{none}")
    for split, file in files.items():
        used = f"there {'is' if len(wanted) == 1 else 'are'} {', '.join(wanted)}"
        require(split in wanted, f"{at}.files.{split}: this split is not used; {used}")
        require(
            file.lower().endswith(tuple(suffix + packed for suffix in SUFFIXES for packed in PACKED)),
            f"{at}.files.{split} is {short(file)}; its name must end in {', '.join(SUFFIXES)}, optionally plus {', '.join(PACKED[1:])}",
        )


def _check_split(at: str, row: dict, kind: Kind) -> None:
    cuts, score = "validation_ratio" in row, row.get("score", "validation")
    other = score not in (None, row.get("train", "train")) and not row.get("cut")
    require(other or not cuts, f"{at}.validation_ratio splits the scored rows off the training rows: leave `score` and `cut` out")
