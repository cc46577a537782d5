"""Drafts the definition that fits a file: its type, columns and labels, as lines for a parameter file, and what is doubtful about them.

A column's role is guessed from its content (text found in another column at the offset that a third one gives is an answer), then from its
name. Before the draft is shown, the file is read with it as training would read it. Every guess is listed as doubtful. Nothing is trained.
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from string import ascii_uppercase
from typing import Any, NamedTuple

import yaml

from mtdnn_kit.data import read_as, readers
from mtdnn_kit.data.definitions import dataset_from, label_names
from mtdnn_kit.data.registry import DATASETS
from mtdnn_kit.data.row_checks import UNANSWERED
from mtdnn_kit.data.sources import load
from mtdnn_kit.errors import ConfigError, DataError
from mtdnn_kit.files.paths import project_root
from mtdnn_kit.files.wording import short, some

LOOKED_AT = 20_000  # records that a draft is based on
MOST_LABELS = 200
SURE = 0.8  # share of rows whose answer must stand at the offset in a column for that column to count as offsets
SHOWN = 3  # rows
CALLED = {  # role → usual column names for it, in lower case; the first one found is taken
    "id": ("id", "qid", "question_id", "qas_id", "_id", "uid"),
    "title": ("title", "article", "article_title", "document_title"),
    "question": ("question", "query", "question_text", "ask"),
    "context": (
        "context", "passage", "paragraph", "document", "ctx", "article", "premise", "sent1", "startphrase", "goal", "sentence", "text",
        "question", "question_stem", "query", "stem",
    ),
    "choices": ("choices", "options", "endings", "candidates", "answers", "alternatives"),
    "answers": ("answers", "answer", "answer_text", "answer_texts", "text"),
    "start": ("sent2",),
    "label": (
        "label", "labels", "gold_label", "class", "target", "category", "answerkey", "answer_key", "answer", "is_duplicate", "sentiment",
        "topic", "y", "key", "score",
    ),
}  # fmt: skip
PAIRS = (("premise", "hypothesis"), ("question", "sentence"), ("first", "second"), ("text_a", "text_b"), ("query", "document"))
NO_LABEL = (None, "", "-", -1, "-1")  # values that stand for a missing label
YAML_FORM: Any = dict(sort_keys=False, allow_unicode=True, width=120, default_flow_style=None)
Columns = dict[str, list]  # name → value of each record
Found = tuple[dict[str, Any], list[str]] | None  # a definition without files, and its doubts
SPLIT_NAMES = ("train", "training", "dev", "eval", "valid", "validation", "test", "data")
CHECKED = 200  # records inspected to find which columns belong together


class Draft(NamedTuple):
    """What `guess` found. definition: as in a parameter file; file: how its lines were read; rows: the first ones, as the kit reads
    them."""

    name: str
    definition: dict[str, Any]
    doubts: list[str]
    file: dict[str, Any]
    rows: list

    def __str__(self) -> str:
        """Lines for a parameter file; everything else as comments."""
        doubts = [f"# doubtful: {doubt}" for doubt in self.doubts]
        if not self.definition:
            return "\n".join(doubts)
        define = yaml.safe_dump({"define": {self.name: self.definition}}, **YAML_FORM)
        shown = [f"# row {i}: {_said(row)}" for i, row in enumerate(self.rows, 1)]
        counts = [f"# {_counts(self.file)}"] if self.file else []
        return "\n".join([*counts, f"tasks: [{self.name}]", "qa_weight: 1.0", define.rstrip(), *doubts, *shown])


def _counts(file: dict[str, Any]) -> str:
    """One line on how the file's lines were read."""
    unit = next(iter(file))
    parts = [f"{file[unit]:,} {unit}", f"{file['rows']:,} rows"]
    for key in ("left_out", "read_as"):
        if file.get(key):
            parts.append(f"{key.replace('_', ' ')}: {some(f'{what} ({n:,})' for what, n in file[key].items())}")
    return "; ".join(parts)


def _said(row: Any) -> str:
    return ", ".join(f"{name} {short.repr(value)}" for name, value in row._asdict().items() if value not in (None, ""))


def guess(file: str | Path) -> Draft:
    """A draft for one file of rows, in any format that the kit reads; if none can be drafted, its only doubt is the reason.

    file: a relative path starts at the current folder.
    """
    path = Path(file).resolve()
    where, reading = str(file), read_as.Reading()
    try:
        if not readers.suffix_of(path.name)[0]:
            raise DataError(f"{where}: its name must end in .jsonl, .csv, .tsv, .parquet or .json, optionally followed by .gz, .bz2 or .xz")
        records = [record for record, _ in islice(readers.read(path, where, None, reading), LOOKED_AT)]
        if not records:
            raise DataError(f"{where}: the file has no rows")
        columns = {
            name: [read_as.listed(record.get(name), Counter()) for record in records]
            for name in dict.fromkeys(k for r in records for k in r if k)
        }
        asked = _named(columns, "question") and {"context", "passage", "paragraph"} & {name.casefold() for name in columns}
        for kind in (_qa, _mcc) if asked and not _named(columns, "label") else (_qa, _mcc, _sc):
            if found := kind(columns):
                return _tried(path, *found, _head(columns), len(records))
        if asked:
            raise DataError(f"{where}: it has questions and passages, but no answer that occurs in its passage: {UNANSWERED}")
        raise DataError(f"{where}: none of the columns {some(columns)} looks like answers, choices or labels: write the definition by hand")
    except (ConfigError, DataError) as error:  # an invalid draft, e.g. column names without a letter
        return Draft("", {}, [str(error)], {}, [])


def _tried(path: Path, definition: dict[str, Any], doubts: list[str], head: list[str], count: int) -> Draft:
    """The draft with its file, read as training would read it; an error then becomes a doubt."""
    root = project_root()
    shown = path.relative_to(root) if path.is_relative_to(root) else path
    definition = {"type": definition.pop("type"), "files": {"train": shown.as_posix()}, **definition, "validation_ratio": 0.1}
    doubts.append("validation_ratio: a tenth of the rows is split off and scored; if you have a second file, name it under `files`")
    doubts += head
    if count == LOOKED_AT:
        doubts.append(f"the draft is based on the first {LOOKED_AT:,} rows only")
    name = _name(path)
    dataset = replace(dataset_from(name, definition), files={"train": str(path)}, score=None, validation_ratio=None)
    try:
        found = load(name, dataset, "train", "sample")
    except DataError as error:
        return Draft(name, definition, [f"the file cannot be read with this draft yet: {error}", *doubts], {}, [])
    if definition["type"] == "qa" and all(row.answers for row in found.rows):
        definition["unanswerable"] = False
        doubts.append("unanswerable: false, because every question of this file has an answer")
    return Draft(name, definition, doubts, found.file, list(islice(found.rows, SHOWN)))


def _head(columns: Columns) -> list[str]:
    """A doubt if a column name is a number or one of the column's values: the file may have no header."""
    strange = [
        name for name, values in columns.items() if isinstance(_whole(name), int) or name in [v for v in values if isinstance(v, str)]
    ]
    return [f"the file may have no header; its first row names the columns {some(map(short.repr, strange))}"] * bool(strange)


def _name(path: Path) -> str:
    """A name for the dataset: the file's name, or the folder's if the file is named after a split."""
    stem = path.name.split(".")[0]
    stem = path.parent.name if stem.casefold() in SPLIT_NAMES else stem
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", stem).strip("-")[:36] or "mine"
    from torch.nn import ModuleDict  # its attributes cannot be names of tasks (`model.multitask`); takes seconds to import

    taken = name.casefold() in (*DATASETS, *SPLIT_NAMES) or name.casefold().endswith("_rest") or hasattr(ModuleDict(), name)
    return f"my-{name}" if taken else name


def _named(columns: Iterable[str], role: str) -> str | None:
    """The first column with one of the usual names for a role."""
    known = {name.casefold(): name for name in columns}
    return next((known[name] for name in CALLED[role] if name in known), None)


def _texts(columns: Columns) -> dict[str, float]:
    """{column: mean length in words} of the text columns; numbers written as text do not count as text."""
    found = {}
    for name, values in columns.items():
        texts = [value for value in values if isinstance(value, str) and value]
        plain = [text for text in texts if not isinstance(read_as.whole_number(text, Counter(), True), int)]
        if len(plain) > len(values) / 2 and all(isinstance(value, str | None) for value in values):
            found[name] = sum(len(text.split()) for text in texts) / len(texts)
    return found


def _qa(columns: Columns) -> Found:
    """Question answering: one column of answers with offsets, or a column of texts and one of offsets; and the passage's column."""
    texts, doubts, starts = _texts(columns), list[str](), None
    placed = [name for name, values in columns.items() if any(map(_placed, values))]
    answers = _named(placed, "answers") or next(iter(placed), None)
    tries = [(answers, None, context) for context in texts] if answers else _two_columns(columns, texts)
    share, (answers, starts, context) = max(((_stand(columns, *one), one) for one in tries), default=(0, ("", "", "")), key=lambda x: x[0])
    left = [name for name in texts if name not in (answers, context)]
    if share < (SURE if starts else 1e-9) or not left:
        return None
    question = _named(left, "question") or max(left, key=lambda name: sum(str(v).rstrip().endswith("?") for v in columns[name]))
    if question.casefold() not in CALLED["question"]:
        doubts.append(f"question: {question!r}, the column in which most texts end in a question mark")
    found = {"context": context, "question": question, "answers": answers, **({"starts": starts} if starts else {})}
    more = {role: name for role in ("id", "title") if (name := _named(set(columns) - {*found.values()}, role)) and any(columns[name])}
    if "id" not in more:
        doubts.append("id: there is no such column; ids are made from passage and question")
    if "title" not in more:
        doubts.append("title: there is no such column; tune the threshold with `threshold_ratio`: `threshold_articles` needs titles")
    return {"type": "qa", "columns": {**more, **found}}, doubts


def _two_columns(columns: Columns, texts: dict[str, float]) -> list[tuple[str, str, str]]:
    """Triples of columns that may hold the answer's text, its offset and the passage."""
    starts = [name for name, values in columns.items() if any(isinstance(_whole(v), int) and _whole(v) > 0 for v in values[:CHECKED])]
    return [(a, s, c) for s in starts for a in texts if a != s for c in texts if c != a and texts[c] > texts[a]]


def _stand(columns: Columns, answers: str, starts: str | None, context: str) -> float:
    """Share of the first rows with an answer whose answer occurs in that context, at its offset."""

    def stands(text: Any, start: Any, passage: Any) -> bool:
        return isinstance(text, str) and text != "" and isinstance(start, int) and start >= 0 and str(passage).startswith(text, start)

    found, asked = 0, 0
    for i, passage in enumerate(columns[context][:CHECKED]):
        pairs = [(columns[answers][i], _whole(columns[starts][i]))] if starts else _placed(columns[answers][i])
        asked += any(text not in (None, "") for text, _ in pairs)
        found += any(stands(text, start, passage) for text, start in pairs)
    return found / max(asked, 1)


def _placed(value: Any) -> list[tuple[Any, Any]]:
    """(text, offset) of each answer in a value that holds both, or []."""
    if isinstance(value, dict) and isinstance(value.get("text"), list) and isinstance(value.get("answer_start"), list):
        return [(text, _whole(start)) for text, start in zip(value["text"], value["answer_start"], strict=False)]
    several = value if isinstance(value, list) else [value]
    return [(one.get("text"), _whole(one["answer_start"])) for one in several if isinstance(one, dict) and "answer_start" in one]


def _whole(value: Any) -> Any:
    return read_as.whole_number(value, Counter(), True)


def _mcc(columns: Columns) -> Found:
    """Multiple choice: one column of lists of texts, or several columns with similar names; and the column of the right choice."""
    raw, columns = columns, dict(columns)
    for name, values in list(columns.items()):  # {"text": […], "label": […]}, as ARC has it
        if all(isinstance(value, dict) and isinstance(value.get("text"), list) for value in values):
            columns[f"{name}.text"] = [value["text"] for value in values]
        elif all(isinstance(value, list) and all(isinstance(one, dict) and "text" in one for one in value) for value in values):
            columns[name] = [[one["text"] for one in value] for value in values]
    lists = [name for name, values in columns.items() if _may_be_choices(name) and all(map(_is_list_of_texts, values))]
    several = [] if lists else _choice_columns(columns)
    if not lists and not several:
        return None
    # the choices of each row, and the columns left for the question
    given = columns[lists[0]] if lists else list(zip(*(columns[name] for name in several), strict=True))
    left = {name: values for name, values in columns.items() if name not in (lists[:1] or several)}
    answer = next((name for name, values in left.items() if all(v in some for v, some in zip(values, given, strict=True))), None)
    context = _named(set(_texts(left)) - {answer}, "context")
    label = None if answer else _named(set(left) - {context}, "label")
    if not context or not (answer or label):
        return None
    found = {"context": context, "choices": lists[0] if lists else several, **({"answer": answer} if answer else {"label": label})}
    if start := _named(set(_texts(left)) - {context, answer, label}, "start"):
        found["start"] = start
    own = lists and (lists[0].endswith(".text") or any(isinstance(one, dict) for one in raw[lists[0]][0]))
    labels, doubts = ({}, []) if label is None or own else _choice_labels(columns[label], len(given[0]))
    unused = [name for name in _texts(left) if name not in (context, answer, label, found.get("start")) and _named([name], "id") is None]
    doubts += [f"not used: {some(unused)}; use a `template` to join columns"] * bool(unused)
    return {"type": "mcc", "columns": found, **labels}, [f"context: {context!r}, choices: {found['choices']}, by their names", *doubts]


def _may_be_choices(name: str) -> bool:
    return name.endswith(".text") or name.casefold() in CALLED["choices"]


def _is_list_of_texts(value: Any) -> bool:
    return isinstance(value, list) and len(value) > 1 and all(isinstance(item, str) for item in value)


def _choice_columns(columns: Columns) -> list[str]:
    """Text columns whose names differ only in a number or letter at the end: ending0 …, or a, b, c …"""
    groups: dict[str, list[str]] = {}
    for name in columns:
        if (found := re.fullmatch(r"(.*?)[ _]?(\d|[a-eA-E])", name)) and "label" not in name.casefold():
            groups.setdefault(found[1].casefold(), []).append(name)
    words = ("choice", "option", "opt", "sol", "solution", "ending", "answer", "alternative", "answer_", "")
    return next((names for stem, names in groups.items() if len(names) > 2 or (len(names) == 2 and stem in words)), [])


def _choice_labels(values: list, count: int) -> tuple[dict, list[str]]:
    """`labels` of a column that names the right choice by letters, numbers from 1, or both; numbers from 0 need none."""
    seen = {str(_whole(value)) for value in values if value not in NO_LABEL}
    letters, numbers = ascii_uppercase[:count], {str(i) for i in range(1, count + 1)}
    if seen <= {str(i) for i in range(count)}:
        sure = "0" in seen
        return {}, [] if sure else [f"label: numbers count from 0; if 1 is the first choice, write `labels: {{1: A, …, {count}: …}}`"]
    if seen <= set(letters):
        return {"labels": list(letters)}, []
    both = f"labels: 1 is taken for the first choice{', and so is A' if seen & set(letters) else ''}, because no 0 occurs"
    if seen <= {*letters, *numbers}:
        first = {letter: letter for letter in letters} if seen & set(letters) else {}
        return {"labels": {**first, **{str(i): letter for i, letter in enumerate(letters, 1)}}}, [both]
    return {}, [f"labels: the values {some(sorted(seen))} are neither numbers nor letters for {count} choices"]


def _sc(columns: Columns) -> Found:
    """Classification: a column of a few values that repeat, and one or two text columns."""
    texts = _texts(columns)
    single = {n: [v[0] if isinstance(v, list) and len(v) == 1 else v for v in values] for n, values in columns.items()}
    kinds = {n: Counter(map(repr, values)) for n, values in single.items() if all(isinstance(v, str | int | float | None) for v in values)}
    few = {
        name: kinds[name]
        for name in kinds
        if _named([name], "id") is None
        and 2 <= len(kinds[name]) <= min(MOST_LABELS, max(2, len(single[name]) // 2))
        and not any(map(_is_measure, single[name]))
    }
    label = _named(few, "label") or min(few, key=lambda name: len(few[name]), default=None)
    left = {name: words for name, words in texts.items() if name != label}
    if label is None or not left:
        return None
    pairs = [[a, b] for a in left for b in left if (a, b) in PAIRS or (a < b and _pair(a, b))]
    used = pairs[0] if pairs else [max(left, key=lambda name: left[name])]
    doubts = [f"label: {label!r}, the column with the fewest distinct values"] * (label.casefold() not in CALLED["label"])
    others = [name for name in left if name not in used and left[name] > 2]
    doubts += [f"first: {used[0]!r}, the longest texts; {some(others)} also holds texts (name it as `second` for pairs)"] * bool(others)
    labels, more = _labels(single[label])
    if len(label_names(labels["labels"])) < 2:
        return None
    return {"type": "sc", "columns": dict(zip(("first", "second"), used, strict=False)) | {"label": label}, **labels}, [*doubts, *more]


def _is_measure(value: Any) -> bool:
    """Whether a value is a number with a fraction: a grade, not a label."""
    return re.fullmatch(r"-?\d+\.\d+", str(value)) is not None and isinstance(_whole(value), float | str)


def _pair(one: str, other: str) -> bool:
    """Whether two column names differ only at their ends: sentence1 and sentence2, text_a and text_b."""
    return one[:-1].casefold() == other[:-1].casefold() and (one[-1] + other[-1]).casefold() in ("12", "ab", "01")


def _labels(values: list) -> tuple[dict, list[str]]:
    """`labels`, and `skip` if some rows have no label."""
    known = {repr(value): value for value in (_whole(value) for value in values)}
    kept = [value for value in known.values() if value not in NO_LABEL]
    skip = [value for value in known.values() if value in NO_LABEL]
    found: dict[str, Any] = {"skip": skip} if skip else {}
    doubts = [f"skip: rows whose label is {some(map(short, skip))} are left out"] if skip else []
    if all(isinstance(value, int) for value in kept):
        names = {value: str(value).lower() for value in sorted(kept)}
        plain = not any(isinstance(value, bool) for value in kept) and list(names) == list(range(len(names)))
        doubts.append(f"labels: the file does not say what {some(names.values())} mean: replace them with real names")
        return {"labels": list(names.values()) if plain else names, **found}, doubts
    texts = sorted({str(value) for value in kept}, key=str.casefold)
    truth = {"true", "false"} == {text.lower() for text in texts}
    return {"labels": {False: "false", True: "true"} if truth else texts, **found}, doubts
