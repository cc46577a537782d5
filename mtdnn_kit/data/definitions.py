"""A further dataset of a known task type, from a few lines of a parameter file: `define: {NAME: {type: sc, columns: {…}, …}}`.

What cannot be meant stops with the key, before anything is read; whether the columns are there is found out with the rows.
"""

from collections.abc import Callable
from dataclasses import fields
from importlib.metadata import entry_points
from string import Formatter

from mtdnn_kit.data.registry import CUTS, DATASETS, KINDS, Dataset, Kind
from mtdnn_kit.files.checks import unfit
from mtdnn_kit.files.wording import nearest, short, some

LONGEST = 1000  # characters of a name, as a message writes it
KEYS = [f.name for f in fields(Dataset) if f.name != "values"]  # `values` are the keys of `labels`
SUFFIXES = (".jsonl", ".csv", ".tsv", ".parquet", ".json")  # formats, those of `readers.READERS`
PLUGINS = "mtdnn_kit.tasks"  # the entry points of packages that bring a task type
PACKED = ("", ".gz", ".bz2", ".xz")  # how any of them may be compressed


def dataset_from(name: str, row: dict) -> Dataset:
    """A registry row from a parameter file (`define: {NAME: {type: sc, columns: {...}, ...}}`).

    `labels` is a list of names, or a mapping of what the column holds to names. Question answering may leave `columns` out: they are
    SQuAD's then. Raises ValueError that names the dataset, the key at fault and the keys there are.
    """
    _check_letters(f"define.{name}", row)
    for key in row:
        if key not in KEYS:
            raise ValueError(f"define.{name}.{some([key])}: no such key.{nearest(str(key), KEYS)} There are {', '.join(KEYS)}")
    if not isinstance(row.get("type"), str) or not _known(row["type"]):
        raise ValueError(
            f"define.{name}.type is {short(row.get('type'))}; it must be one of {', '.join(KINDS)}. (A type of your own is there once "
            "the file that registers it is imported.)"
        )
    row = {"folder": name, **({"columns": dict(DATASETS["squad"].columns)} if row["type"] == "qa" else {}), **row}
    checks: tuple[Callable, ...] = (
        _check_texts,
        _check_columns,
        _check_template,
        _check_labels,
        _check_metrics,
        _check_files,
        _check_split,
    )
    for check in checks:
        check(f"define.{name}", row, KINDS[row["type"]])
    labels = row.get("labels", ())
    if isinstance(labels, dict):
        row |= {"labels": list(labels.values()), "values": tuple(labels)}
    lists = {key: tuple(row[key]) for key in ("labels", "metrics") if key in row}
    return Dataset(**{**row, **lists})


def _known(kind: str) -> bool:
    """Whether there is a task type of that name; an installed package's is imported, which registers it."""
    for point in entry_points(group=PLUGINS, name=kind) if kind not in KINDS else ():
        point.load()
    return kind in KINDS


def template_parts(text: str) -> list[tuple[str, str | None]]:
    """A template as (text before a column, the column) pairs, None where the text ends. Raises ValueError: braces that do not match."""
    parts = []
    for before, column, spec, conversion in Formatter().parse(text):
        if column == "" or spec or conversion:
            raise ValueError("braces hold a column's name and nothing else; write {{ and }} for braces that are text")
        parts.append((before, column))
    return parts


def _check_letters(at: str, value: object) -> None:
    """Texts that can be printed, names that are not long (a template and a file's path may be)."""
    if isinstance(value, dict):
        for key, inner in value.items():
            _check_letters(at, key)
            _check_letters(f"{at}.{some([key])}", inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            if isinstance(inner, str):
                _check_letters(at, inner)
    elif isinstance(value, str):
        if unfit(value):
            raise ValueError(f"{at}: {short(value)} has a NUL or half a surrogate pair, which nothing here can be called: remove it")
        if len(repr(value)) > LONGEST and at.split(".")[2:3] not in (["template"], ["files"]):
            raise ValueError(f"{at}: {short(value)} has more than {LONGEST:,} characters: no name is that long")


def _check_texts(at: str, row: dict, kind: Kind) -> None:
    for key in ("folder", "hub", "hub_config", "train", "score", "group"):
        if not isinstance(row.get(key), str | None) or (key in row and key != "score" and row[key] in ("", None)):
            raise ValueError(f"{at}.{key} is {short(row[key])}; it must be text")
    for key in ("quoted", "unanswerable"):
        if not isinstance(row.get(key, True), bool):
            raise ValueError(f"{at}.{key} is {short(row[key])}; it must be true or false")
    if row.get("cut") not in ((None, *CUTS) if row["type"] == "qa" else (None,)):
        raise ValueError(f"{at}.cut is {short(row['cut'])}; there is {', '.join(CUTS)}, for question answering")
    if not row.get("unanswerable", True) and row["type"] != "qa":
        raise ValueError(f"{at}.unanswerable: only questions can be unanswerable; leave it out")


def _check_columns(at: str, row: dict, kind: Kind) -> None:
    columns, template = row.get("columns"), row.get("template")
    given = template if isinstance(template, dict) else {}
    if not isinstance(columns, dict):
        raise ValueError(f"{at}.columns must map {', '.join(kind.roles)} to column names, not {short(columns)}")
    for role, column in columns.items():
        if role not in kind.roles:
            hint = nearest(str(role), list(kind.roles))
            raise ValueError(f"{at}.columns must map {', '.join(kind.roles)} to column names, not {short(columns)}.{hint}")
        several = role == "choices" and isinstance(column, list | tuple)
        if several and not (len(column) > 1 and all(isinstance(x, str) and x for x in column)):
            raise ValueError(f"{at}.columns.choices is {short(column)}; it must list at least two column names, or be one column of lists")
        if not several and not (isinstance(column, str) and column):
            raise ValueError(f"{at}.columns.{role} is {short(column)}; it must be a column's name")
    missing = [role for role in kind.roles if role not in columns and role not in kind.optional and role not in given]
    if missing:
        raise ValueError(f"{at}.columns lacks {short(missing[0])}: name the column that holds it")
    if row["type"] == "mcc" and ("label" in columns) == ("answer" in columns):
        raise ValueError(
            f"{at}.columns lacks 'label': name either the column that says which choice is right (`label`), or that of its text (`answer`)"
        )


def _check_template(at: str, row: dict, kind: Kind) -> None:
    template = row.get("template", {})
    if not isinstance(template, dict) or not set(template) <= set(kind.texts):
        raise ValueError(f"{at}.template is {short(template)}; it maps {' or '.join(kind.texts) or 'nothing'} to a text with {{column}}s")
    for role, text in template.items():
        if role in (row.get("columns") or {}):
            raise ValueError(f"{at}.template.{role}: `columns` names a column for {short(role)}, too; leave one of them out")
        try:
            named = isinstance(text, str) and any(column for _, column in template_parts(text))
        except ValueError as error:
            raise ValueError(f"{at}.template.{role} is {short(text)}: {error}") from None
        if not named:
            raise ValueError(f"{at}.template.{role} is {short(text)}; it must be a text with the name of a column in braces")


def _check_labels(at: str, row: dict, kind: Kind) -> None:
    labels, choices = row.get("labels", []), (row.get("columns") or {}).get("choices")
    names = list(labels.values()) if isinstance(labels, dict) else labels
    if not isinstance(names, list | tuple) or not all(isinstance(x, str) and x for x in names):
        quote = " YAML reads no, yes, on, off and numbers as something else: put them in quotes." if isinstance(names, list) else ""
        raise ValueError(f"{at}.labels is {short(labels)}; it must be a list of names, or map what the column holds to names.{quote}")
    if len(set(names)) < len(names):
        raise ValueError(f"{at}.labels names {short(next(x for x in names if names.count(x) > 1))} twice")
    if isinstance(labels, dict) and not all(isinstance(x, str | int) for x in labels):
        raise ValueError(f"{at}.labels maps {short(list(labels))}; a column's value is text, a whole number, true or false")
    if kind.labelled and len(names) < 2:
        raise ValueError(f"{at}.labels must name at least two labels, in order of their numbers")
    if names and not (kind.labelled or row["type"] == "mcc"):
        raise ValueError(f"{at}.labels: rows of type {row['type']} have no labels; leave it out")
    if row["type"] == "mcc" and names and "answer" in row["columns"]:
        raise ValueError(f"{at}.labels are those of the column `label`; with `answer`, leave them out")
    if row["type"] == "mcc" and names and isinstance(choices, list | tuple) and len(names) != len(choices):
        raise ValueError(f"{at}.labels names {len(names)} labels, but there are {len(choices)} choices")


def _check_metrics(at: str, row: dict, kind: Kind) -> None:
    values = row.get("metrics", [])
    if (
        not isinstance(values, list | tuple)
        or not all(isinstance(x, str) for x in values)
        or ("metrics" in row and not values and kind.metrics)
    ):
        raise ValueError(f"{at}.metrics is {short(values)}; it must be a list of {', '.join(kind.metrics)}")
    for value in values:
        if value not in kind.metrics:
            there = f"it must be a list of {', '.join(kind.metrics)}" if kind.metrics else "this type has its own scores: leave it out"
            raise ValueError(f"{at}.metrics is {short(values)}; {there}.{nearest(value, list(kind.metrics))}")
    if "f1" in values and len(row.get("labels", ())) != 2:
        raise ValueError(f"{at}.metrics: f1 is that of label 1 of two; this task has other labels. There is macro_f1, too")


def _check_files(at: str, row: dict, kind: Kind) -> None:
    files = row.get("files", {})
    wanted = [split for split in dict.fromkeys((row.get("train", "train"), _scored(row))) if split]
    if not isinstance(files, dict) or not all(isinstance(x, str) and x for x in (*files, *files.values())):
        raise ValueError(f"{at}.files is {short(files)}; it must map splits ({', '.join(wanted)}) to files")
    if not files:
        if "files" in row:
            raise ValueError(f"{at}.files names no file: leave it out, or name {' and '.join(wanted)}")
        return
    if "hub" in row:
        raise ValueError(f"{at}.files: `hub` says that the rows are there; leave one of them out")
    for split in wanted:
        if split not in files:
            none = f" Set score: null where there is none, or validation_ratio to cut it from {wanted[0]}." if split != wanted[0] else ""
            raise ValueError(f"{at}.files lacks {short(split)}: name its file.{none}")
    for split, file in files.items():
        if split not in wanted:
            raise ValueError(f"{at}.files.{split}: no such split is used; there {'is' if len(wanted) == 1 else 'are'} {', '.join(wanted)}")
        if not file.lower().endswith(tuple(suffix + packed for suffix in SUFFIXES for packed in PACKED)):
            raise ValueError(
                f"{at}.files.{split} is {short(file)}; its name must end in {', '.join(SUFFIXES)}, or that and {', '.join(PACKED[1:])}"
            )


def _scored(row: dict) -> str | None:
    """The split whose rows are read to be scored; None where it is cut from the training rows, or not scored."""
    return None if "validation_ratio" in row else row.get("score", "validation")


def _check_split(at: str, row: dict, kind: Kind) -> None:
    ratio, score = row.get("validation_ratio"), row.get("score", "validation")
    if "validation_ratio" not in row:
        if "group" in row:
            raise ValueError(f"{at}.group keeps rows together where validation_ratio cuts; set that, too (0.1 is a tenth)")
        return
    if isinstance(ratio, bool) or not isinstance(ratio, int | float) or not 0 < ratio < 1:
        raise ValueError(f"{at}.validation_ratio is {short(ratio)}; it must be a share above 0 and below 1 (0.1 is a tenth)")
    if score is None or score == row.get("train", "train") or "cut" in row:
        raise ValueError(f"{at}.validation_ratio cuts the scored split from the training rows: leave `score` and `cut` out")
