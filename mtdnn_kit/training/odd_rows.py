"""Finds and counts rows that are valid but odd. It does not change them: training uses them as they are.

One definition for the run's manifest and for notebook 01. `rows` and `sources` refuse invalid rows (a repeated id, an unknown label).
Nothing here changes a row, a fingerprint or a feature.
"""

from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from mtdnn_kit.config import Config
from mtdnn_kit.data.arrays import Parts
from mtdnn_kit.data.cache import code_of, kept, key_of
from mtdnn_kit.data.registry import Dataset
from mtdnn_kit.data.rows import MCCRow, QARow, SCRow, made_id
from mtdnn_kit.data.table import RowList, column
from mtdnn_kit.metrics import normalize
from mtdnn_kit.tasks.qa import Features, answer_characters
from mtdnn_kit.tasks.spans import context_room, token_spans
from mtdnn_kit.training.setup import Setup, tokenizer_digest

ODDITIES = (
    "an empty text",  # e.g. an empty question; an empty passage is an error
    "white space at an end",
    "texts of another row",  # the same question on the same passage, the same pair …
    "scored and trained",
    "reaches max_length",  # never for questions: their passages are cut into windows
    "several different answers",
    "an answer given twice",  # at the same place
    "question reaches max_question",
    "answer over max_answer",
    "answer longer than a window",
    "answer not on token boundaries",
    "answer that normalises to nothing",
    "id made from passage and question",
    "id in another split",
    "passage scored and trained",
)
ODD_CODE = ("training/odd_rows", "metrics", "tasks", "data", "files")  # the code that decides which rows are odd
LENGTHS = ("max_length", "max_question", "max_answer")  # the parameters that it depends on
Found = dict[str, Sequence[int] | np.ndarray]  # oddity → numbers of such rows


def splits(setup: Setup, task: str) -> dict[str, Any]:
    """{"train" | "held out" | "scored": features} of a task, without missing parts."""
    parts = {"train": setup.train, "held out": setup.held_out, "scored": setup.scored}
    return {name: part[task] for name, part in parts.items() if task in part}


def texts_of(row: QARow | SCRow | MCCRow, dataset: Dataset) -> list[str]:
    """All texts of a row that a model reads; for a question the passage, then the question. Leaves out a `start` without a column."""
    parts: tuple = row[2:4] if isinstance(row, QARow) else row[1:-1]
    if isinstance(row, MCCRow) and "start" not in dataset.given:
        parts = row.context, row.choices
    several = ([part] if isinstance(part, str) else part if isinstance(part, tuple | list) else [] for part in parts)
    return [text for part in several for text in part if isinstance(text, str)]


def odd_rows(parts: dict[str, Any], dataset: Dataset, config: Config) -> dict[str, dict[str, list]]:
    """{part of a task: {oddity: ids of such rows}}, only oddities that occur; parts: from `splits`."""
    texts = {name: [tuple(texts_of(row, dataset)) for row in features.rows] for name, features in parts.items()}
    seen, found = Counter(one for some in texts.values() for one in some), {}
    for name, features in parts.items():
        places = {**_odd_texts(texts[name], seen), "reaches max_length": np.flatnonzero(features.lengths >= config.max_length)}
        if isinstance(features, Features):
            places |= {"reaches max_length": (), **_odd_questions(features, config)}
        if name == "scored":
            places |= _shared(features, texts[name], parts, texts["train"])
        found[name] = {oddity: [features.rows[i].id for i in places[oddity]] for oddity in ODDITIES if len(places.get(oddity, ()))}
    return found


def _odd_texts(texts: Sequence[tuple[str, ...]], seen: Counter) -> Found:
    return {
        "an empty text": [i for i, some in enumerate(texts) if not all(text.strip() for text in some)],
        "white space at an end": [i for i, some in enumerate(texts) if any(text.strip() != text for text in some if text.strip())],
        "texts of another row": [i for i, some in enumerate(texts) if seen[some] > 1],
    }


def _shared(features: Any, texts: Sequence[tuple], parts: dict[str, Any], trained_texts: Sequence[tuple]) -> Found:
    """The scored rows that share something with training rows."""
    trained = set(trained_texts)
    found: Found = {"scored and trained": [i for i, some in enumerate(texts) if some in trained]}
    if isinstance(features, Features):
        passages, ids = {some[0] for some in trained}, {id_ for name in parts if name != "scored" for id_ in column(parts[name].rows, "id")}
        found["passage scored and trained"] = [i for i, some in enumerate(texts) if some[0] in passages]
        found["id in another split"] = [i for i, id_ in enumerate(column(features.rows, "id")) if id_ in ids]
    return found


def answer_spans(features: Features) -> np.ndarray:
    """First and last context token of each row's first answer [Q, 2], −1 and −1 without one."""
    return token_spans(features.contexts.tokens, features.contexts.numbers, answer_characters(features.rows))


def _odd_questions(features: Features, config: Config) -> Found:
    """Oddities of questions and answers; of several answers, only the first, which is the one trained on."""
    spans, words, answers = answer_spans(features), features.questions.sizes, column(features.rows, "answers")
    length = np.where(spans[:, 0] >= 0, spans[:, 1] - spans[:, 0] + 1, 0)
    texts = [[text for _, text in some] for some in answers]
    found: dict[str, Any] = {
        "question reaches max_question": words >= config.max_question,
        "answer over max_answer": length > config.max_answer,
        "answer longer than a window": length > context_room(config.max_length, words, features.frame),
        "answer not on token boundaries": _off_boundaries(features, spans),
        "several different answers": [len(some) > 1 and len({normalize(text) for text in some}) > 1 for some in texts],
        "an answer given twice": [len(set(some)) < len(some) for some in answers],
        "answer that normalises to nothing": [bool(some) and not normalize(some[0]) for some in texts],
        "id made from passage and question": [row.id == made_id(row.context, row.question) for row in features.rows],
    }
    return {oddity: np.flatnonzero(mask) for oddity, mask in found.items()}


def _off_boundaries(features: Features, spans: np.ndarray) -> np.ndarray:
    """Whether a row has an answer whose ends are not ends of tokens, bool [Q]."""
    characters, tokens = answer_characters(features.rows), features.contexts.tokens
    off = characters[:, 0] >= 0
    some = np.flatnonzero(spans[:, 0] >= 0)
    first, last = tokens.ends[features.contexts.numbers[some]][:, None].T + spans[some].T
    off[some] = (tokens.flat.starts[first] != characters[some, 0]) | (tokens.flat.ends[last] != characters[some, 1])
    return off


def odd_counts(setup: Setup) -> dict[str, dict[str, int]]:
    """{"TASK/SPLIT": {oddity: rows}} of the rows that a run trains on, tunes its threshold on or scores; only oddities that occur.

    Counted once per combination of rows, tokenizer and lengths, then cached (`cache`).
    """
    config, counted = setup.config, {}
    settings = {name: getattr(config, name) for name in LENGTHS}
    known = {"tokenizer": tokenizer_digest(setup.tokenizer), "code": code_of(*ODD_CODE), "settings": settings}
    for task, dataset in config.datasets.items():
        parts, names = splits(setup, task), (dataset.train, dataset.score)
        rows = {name: features.rows.digest for name, features in parts.items() if isinstance(features.rows, RowList)}
        key = (
            key_of("features", of="odd rows", rows=rows, splits=names, roles=sorted(dataset.given), **known)
            if len(rows) == len(parts)
            else None
        )
        made = kept(key, partial(_counts, parts, dataset, config))
        for split in dict.fromkeys(filter(None, names)):
            numbers = made["trained" if split == dataset.train else "scored"].tolist()
            counted[f"{task}/{split}"] = {oddity: n for oddity, n in zip(ODDITIES, numbers, strict=True) if n}
    return counted


def _counts(parts: dict[str, Any], dataset: Dataset, config: Config) -> Parts:
    """Two columns with the number of rows per oddity; if one file is both splits, its rows count once."""
    train, score = dataset.train, dataset.score
    found = odd_rows(parts, dataset, config)

    def count(*names: str) -> np.ndarray:
        ids = [{id_ for name in names for id_ in found.get(name, {}).get(oddity, ())} for oddity in ODDITIES]
        return np.array([len(some) for some in ids], np.int64)

    yield {"trained": count("train", "held out", *(["scored"] if train == score else [])), "scored": count("scored")}
