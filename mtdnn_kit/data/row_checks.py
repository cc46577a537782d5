"""The value of a record (a dict with a dataset's columns) for a role: a text, a filled template, a label's number, each checked.

Knows one record at a time and no file. Errors say what the column holds and what to do; the caller adds file and row.
"""

from string import ascii_uppercase
from typing import Any

from mtdnn_kit.data.registry import DATASETS, Dataset, template_parts
from mtdnn_kit.errors import DataError
from mtdnn_kit.files.checks import WIDEST
from mtdnn_kit.files.wording import short, some

JSON_WORDS = {str: "text", int: "a whole number", dict: "an object", list: "a list"}
NOTHING = object()
SKIP = "leave such rows out by `skip: [{}]` in the definition; a split without labels, such as a test split, cannot be trained on or scored"
UNANSWERED = (
    "training and scoring need answers, an empty list for an unanswerable question. Let a finished run answer questions without answers: "
    "load(RUN).answer(questions, contexts); SQuAD's submission format is JSON, {id: text, …}"
)
TRUTH = ("yes", "no", "on", "off")  # words that YAML reads as true and false


def lookup(record: dict, column: str) -> Any:
    """The value of a column, NOTHING if it is missing (`check_columns` reports that); `a.b` is b of the object in column a, unless a column
    has that very name."""
    if column in record:
        return record[column]
    found: Any = record
    for key in column.split("."):
        found = found.get(key, NOTHING) if isinstance(found, dict) else NOTHING
    return found


def impossible(record: dict) -> bool | None:
    """SQuAD's `is_impossible`, which tables hold as text; None if it is missing. Raises DataError for another value."""
    said = record.get("is_impossible")
    if said in (None, "") or said != said:  # NaN
        return None
    if (found := {"true": True, "false": False, "1": True, "0": False}.get(str(said).lower().removesuffix(".0"))) is None:
        raise DataError(f"is_impossible is {short.repr(said)}: it must be true or false")
    return found


def check_columns(dataset: Dataset, record: dict) -> None:
    """Raises DataError if a column that the dataset names is missing."""
    missing = [column for column in dataset.required if lookup(record, column) is NOTHING]
    if missing and missing[0] == dataset.columns.get("answers"):
        raise DataError(f"column {missing[0]!r} is missing: {UNANSWERED}")
    if missing:
        like = [name for name, other in DATASETS.items() if all(column in record for column in other.required)]
        hint = f" It looks like a row of {' or '.join(like)}." if like else ""
        found = some(map(short.repr, record)) or "none"
        raise DataError(f"column {missing[0]!r} is missing; the columns are {found}.{hint} Rename the column, or correct `columns`.")


def value(found: Any, kind: type, what: str) -> Any:
    """`found`, if it has that type and, being text, can be encoded. Raises DataError otherwise."""
    if not isinstance(found, kind) or isinstance(found, bool):
        raise DataError(f"{what} is {short.repr(found)}: it must be {JSON_WORDS[kind]}")
    if isinstance(found, str) and not found.isascii():
        try:
            found.encode()
        except UnicodeEncodeError as error:
            raise DataError(f"{what} has an unpaired surrogate at character {error.start}, which no tokenizer reads: remove it") from None
    return found


def text(dataset: Dataset, record: dict, role: str) -> str:
    """The text of a role, from its column or its template; a template may also take numbers. Raises DataError."""
    if role not in dataset.template:
        return value(lookup(record, dataset.columns[role]), str, f"column {dataset.columns[role]!r}")
    filled = ""
    for before, column in template_parts(dataset.template[role]):
        what = f"column {column!r}, used by a template,"
        filled += before + (written(lookup(record, column), what, (int, float)) if column else "")
    return filled


def written(found: Any, what: str, numbers: tuple[type, ...] = (int,)) -> str:
    """A text, or a number of one of those types as text. Raises DataError for anything else, and for a number that is too large."""
    if type(found) not in numbers:
        return value(found, str, what)
    if isinstance(found, int) and abs(found) >= WIDEST:
        raise DataError(f"{what} is {short(found)}: the number is too large; write it as text")
    return str(found)


def label(dataset: Dataset, record: dict, count: int) -> int:
    """A label's number, from 0 to `count` − 1: the column's value, or its position among the dataset's `values` or label names.

    Raises DataError if the value is neither a number in that range nor one of them.
    """
    found = lookup(record, dataset.columns["label"])
    if not dataset.values and type(found) is int and 0 <= found < count:
        return found
    known = dataset.values or (tuple(zip(dataset.labels, range(count))) if isinstance(found, str) else ())
    for value, number in known:
        if type(value) is type(found) and value == found:
            return number
    own = " (To set `labels` or `skip`, define the dataset under a new name with `define`.)" * (dataset in DATASETS.values())
    raise DataError(_no_label(dataset, found, count) + own)


def _no_label(dataset: Dataset, found: Any, count: int) -> str:
    """The message on a wrong label."""
    names = f" ({some(f'{i} {name}' for i, name in enumerate(dataset.labels))})" if dataset.labels else ""
    what = f"column {dataset.columns['label']!r} is {short.repr(found)}"
    if found in (None, "") or (type(found) is int and found < 0):
        return f"{what}: the row has no label; {SKIP.format(short.repr(found) if found is not None else 'null')}"
    if isinstance(found, list):
        return f"{what}: {len(found)} labels, but a row may have only one: keep one of them, or remove the row"
    if dataset.values:
        wanted = some(f"{v!r} ({dataset.labels[n]})" for v, n in dataset.values)
        truth = isinstance(found, str) and found.lower() in TRUTH and any(isinstance(value, bool) for value in dataset.label_values)
        quotes = " (YAML reads yes, no, on and off as true and false: put them in quotes)" * truth
        return f"{what}: it must be one of {wanted}; correct the value, or `labels`{quotes}"
    if not isinstance(found, int) or isinstance(found, bool):
        return f"{what}: it must be a whole number from 0 to {count - 1}{names}{_remedy(dataset, found, count)}"
    first = "; if labels count from 1, map them: `labels: {1: NAME, 2: NAME, …}`" * (found == count)
    return f"{what}: it must be from 0 to {count - 1}{names}; correct the value, or `labels`{first}"


def check_alike(dataset: Dataset, record: dict, first: dict) -> None:
    """Raises DataError if a column mixes label names and numbers: 2 could mean the second or the third label."""
    if dataset.values or not isinstance(column := dataset.columns.get("label"), str):
        return
    one, other = lookup(record, column), lookup(first, column)
    if type(one) is not type(other):
        kinds = ["a number" if isinstance(x, int) else "a name" for x in (one, other)]
        start = int(dataset.type == "mcc" and one != 0)
        both = [(name, name) for name in dataset.labels] + [(f'"{i}"', name) for i, name in enumerate(dataset.labels, start)]
        wanted = some((f"{value}: {name}" for value, name in both), 24)
        raise DataError(
            f"column {column!r} is {short.repr(one)}, {kinds[0]}, but the first row has {short.repr(other)}, {kinds[1]}, so it is not "
            f"clear which label a number means. Map both: `labels: {{{wanted}}}`, where {start} is the first"
        )


def _remedy(dataset: Dataset, found: Any, count: int) -> str:
    """The remedy for a label that is neither a number nor a name."""
    if isinstance(found, bool):
        return "; if the column holds true and false, write `labels: {false: NAME, true: NAME}`"
    if dataset.labels:
        skip = f"; to leave such rows out, write `skip: [{short(found)}]`" * isinstance(found, str)
        return f", or one of these names; if the column holds other values, map them to the names: `labels: {{VALUE: NAME, …}}`{skip}"
    letters = ", ".join(ascii_uppercase[:count])
    return f"; if it holds letters, write `labels: [{letters}]`; if it holds the right choice's text, name it as `answer` in `columns`"


def choices(dataset: Dataset, record: dict) -> tuple[str, ...]:
    """The texts of a row's choices, from several columns or from one that holds a list (or JSON of one). Raises DataError."""
    columns = dataset.columns["choices"]
    if isinstance(columns, str):
        found, what = value(lookup(record, columns), list, f"column {columns!r}"), f"a choice in column {columns!r}"
        pairs = [(what, one) for one in found]
    else:
        pairs = [(f"column {column!r}", lookup(record, column)) for column in columns]
    if len(pairs) < 2:
        raise DataError(
            f"multiple choice needs at least 2 choices, not {short.repr([x for _, x in pairs])}: name their columns as `choices`"
        )
    return tuple(value(one, str, what) for what, one in pairs)


def right_choice(dataset: Dataset, record: dict, texts: tuple[str, ...]) -> int:
    """The number of a row's right choice, by its label or its text. Raises DataError if none matches, or more than one."""
    if "answer" not in dataset.columns:
        if dataset.labels and len(dataset.labels) != len(texts):
            raise DataError(f"there are {len(texts)} choices, but `labels` names {len(dataset.labels)}: their numbers must agree")
        return label(dataset, record, len(texts))
    column = dataset.columns["answer"]
    found = value(lookup(record, column), str, f"column {column!r}")
    if texts.count(found) != 1:
        many = "more than one" if found in texts else "none"
        raise DataError(
            f"column {column!r} is {short.repr(found)}, which is {many} of the choices {short.repr(list(texts))}: it must be exactly one"
        )
    return texts.index(found)


def group(dataset: Dataset, record: dict) -> str:
    """A row's group, as text. Raises DataError if it has none."""
    found = lookup(record, dataset.group or "")
    if isinstance(found, bool) or not isinstance(found, str | int) or found == "":
        raise DataError(f"column {dataset.group!r} is {short.repr(found)}: each row must have a group, text or a whole number")
    return written(found, f"column {dataset.group!r}")
