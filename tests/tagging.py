"""A custom task type in one file: token tagging (named entities, parts of speech): a label for every word.

Importing the file registers it. Then a parameter file can name it:
`define: {ner: {type: tagging, columns: {words: tokens, tags: ner_tags}, labels: [O, PER, LOC], files: {…}}}`. The first token of a word
carries its label, as in transformers' example; words that do not fit into `max_length` are left out of the training and count as wrong.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from mtdnn_kit import metrics, tasks
from mtdnn_kit.data import registry, row_checks
from mtdnn_kit.data.arrays import Parts, Ragged, gathered, ragged, ragged_parts
from mtdnn_kit.data.table import column
from mtdnn_kit.errors import DataError
from mtdnn_kit.tasks.padding import Batch, pad

KIND = registry.Kind(roles=("words", "tags"), labelled=True, metrics=("accuracy", "macro_f1"))
HEAD = "AutoModelForTokenClassification"
SETTINGS = ("max_length",)
NONE = -100  # the target of a token that does not begin a word


class Row(NamedTuple):
    """Words and the label number of each; `id` is the row's number in its file."""

    id: int
    words: tuple[str, ...]
    tags: tuple[int, ...]


def parse(dataset: registry.Dataset, record: dict, number: int) -> Row:
    """The row of a record. Raises DataError: no words, a number of labels that differs, or a label that is neither a number nor a name."""
    words = row_checks.value(row_checks.lookup(record, dataset.columns["words"]), list, f"column {dataset.columns['words']!r}")
    tags = row_checks.value(row_checks.lookup(record, dataset.columns["tags"]), list, f"column {dataset.columns['tags']!r}")
    if not words or len(words) != len(tags):
        raise DataError(f"there are {len(words)} words and {len(tags)} tags: each word needs one, and a row at least one word")
    named = {name: i for i, name in enumerate(dataset.labels)}
    numbers = [named.get(tag, tag) for tag in tags]
    if not all(type(tag) is int and 0 <= tag < len(named) for tag in numbers):
        raise DataError(f"column {dataset.columns['tags']!r} is {tags!r}: each must be one of {', '.join(named)}, or its number")
    return Row(number, tuple(row_checks.value(word, str, "a word") for word in words), tuple(numbers))


def encode(rows: Sequence[Row], tokenizer, max_length: int) -> Parts:
    """Token ids, and for each the number of the word that it begins, −1 where none."""
    texts = [list(words) for words in column(rows, "words")]
    batch = tokenizer(texts, is_split_into_words=True, truncation=True, max_length=max_length, return_token_type_ids=False)
    begins = [_begins(batch.word_ids(i)) for i in range(len(texts))]
    yield {**ragged_parts("ids", batch["input_ids"], np.int32), **ragged_parts("begins", begins, np.int32)}


def _begins(words: list[int | None]) -> list[int]:
    return [-1 if word is None or word == before else word for before, word in zip([None, *words], words, strict=False)]


@dataclass(frozen=True)
class Features:
    """One sequence per row."""

    rows: Sequence[Row]
    ids: Ragged
    begins: Ragged
    pad_id: int
    types: bool

    @cached_property
    def lengths(self) -> np.ndarray:
        """Tokens of each row [N]."""
        return self.ids.sizes

    def collate(self, items: np.ndarray) -> Batch:
        """inputs [B, T], targets int64 [B, T]: the label of the word that a token begins, NONE elsewhere."""
        ids = [self.ids[i] for i in items]
        inputs = pad(ids, [np.zeros_like(x) for x in ids] if self.types else None, self.pad_id)
        targets = torch.full(inputs["input_ids"].shape, NONE)
        for target, i in zip(targets, items, strict=True):
            places = np.flatnonzero(self.begins[i] >= 0)
            target[places] = torch.tensor(self.rows[i].tags)[self.begins[i][places]]
        return Batch(inputs, targets, sum(map(len, ids)))


def features(rows: Sequence[Row], dataset, tokenizer, config, types: bool = True, columns: dict | None = None) -> Features:
    """Sequences of at most `max_length` tokens. columns: the result of `encode`."""
    made = columns or gathered(encode(rows, tokenizer, config.max_length))
    return Features(rows, ragged("ids", made), ragged("begins", made), tokenizer.pad_token_id, types)


def loss(logits: torch.Tensor, targets: torch.Tensor, config) -> torch.Tensor:
    """Cross entropy of the words' labels; logits [B, T, L], targets [B, T]; the mean over the rows of the mean over their words."""
    each = cross_entropy(logits.transpose(1, 2), targets, ignore_index=NONE, reduction="none")
    return (each.sum(1) / (targets != NONE).sum(1).clamp(min=1)).mean()


@dataclass(frozen=True)
class Tagged:
    """A model's prediction for one row: the label of each word, −1 for words beyond `max_length`."""

    id: int
    tags: list[int]


class Reader:
    """Collects logits [B, T, L] batch by batch, in any order, into one Tagged per row."""

    def __init__(self, features: Features, config):
        self.features, self.found = features, {}

    def add(self, items: np.ndarray, logits: np.ndarray) -> None:
        """Raises ValueError, with the row's id, on NaN."""
        for item, scores in zip(items.tolist(), logits, strict=True):
            begins, said = self.features.begins[item], np.full(len(self.features.rows[item].words), -1)
            places = np.flatnonzero(begins >= 0)
            if np.isnan(scores[places]).any():
                raise ValueError(f"row {self.features.rows[item].id}: the model's scores are not numbers (NaN)")
            said[begins[places]] = scores[places].argmax(axis=1)
            self.found[item] = Tagged(self.features.rows[item].id, said.tolist())

    def predictions(self) -> list[Tagged]:
        """One per row, in the order of the rows."""
        return [self.found[item] for item in range(len(self.features.rows))]


def scores(rows: Sequence[Row], predictions: Sequence[Tagged], names: tuple[str, ...]) -> dict:
    """The named scores over all words, in percent, and the number of rows."""
    gold = [tag for row in rows for tag in row.tags]
    said = [tag for found in predictions for tag in found.tags]
    return {**{name: metrics.SCORES[name](gold, said) for name in names}, "n": len(rows)}


tasks.register("tagging", sys.modules[__name__])
