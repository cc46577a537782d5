"""Splits rows in two, for a dataset without a scored split or to tune a threshold: by the rows' content, never by their order in the file;
and the hub's dev set of SQuAD 2.0 by its articles.

Rows that share a *unit* stay on one side: a question's passage, or a row's texts; with a `group` column, groups that share one count as one
unit (`joined`). Units are ordered by hash, and the first of them are split off: if rows are added later, almost all others stay on their
side.
"""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from mtdnn_kit.data.registry import Dataset
from mtdnn_kit.data.row_checks import group
from mtdnn_kit.data.rows import QARow
from mtdnn_kit.data.table import column, pick
from mtdnn_kit.errors import DataError

CS224N_TITLES = (
    "Normans", "Computational_complexity_theory", "Huguenot", "Steam_engine", "1973_oil_crisis", "European_Union_law", "Packet_switching",
    "Harvard_University", "Yuan_dynasty", "Immune_system", "Scottish_Parliament", "Islamism", "Imperialism", "Warsaw",
    "French_and_Indian_War", "Force",
)  # fmt: skip


def unit_of(dataset: Dataset, record: dict, row: Any) -> int:
    """The 64-bit hash of a row's group or, without groups, of its content. Raises DataError if the group column is empty."""
    return hashed(group(dataset, record)) if dataset.group else content_of(row)


def content_of(row: Any) -> int:
    """The 64-bit hash of a question's passage, or of a row's texts."""
    return hashed(
        row.context if isinstance(row, QARow) else [value for name, value in row._asdict().items() if name not in ("id", "label")]
    )


def joined(groups: np.ndarray, contents: np.ndarray) -> np.ndarray:
    """The rows' units, uint64 [N]: groups that share content count as one, with the lowest of their hashes. groups, contents uint64 [N]."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    names, a = np.unique(groups, return_inverse=True)
    b = np.unique(contents, return_inverse=True)[1] + len(names)
    nodes = int(b.max()) + 1
    # an edge between a group and each content that it has
    part = connected_components(coo_array((np.ones(len(a)), (a, b)), (nodes, nodes)), directed=False)[1][: len(names)]
    lowest = np.full(part.max() + 1, np.iinfo(np.uint64).max, np.uint64)
    np.minimum.at(lowest, part, names)
    return lowest[part[a]]


def hashed(said: object) -> int:
    """The 64-bit hash of a unit."""
    return int.from_bytes(hashlib.blake2b(repr(said).encode(), digest_size=8).digest())


def sides(units: np.ndarray, ratio: float, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the rows to train on and of those split off, in order; units uint64 [N].

    Splits off whole units, as close to `ratio` of the rows as possible; each side gets at least one. Raises DataError if there is only one.
    """
    different, of, rows = np.unique(units, return_inverse=True, return_counts=True)
    if len(different) < 2:
        one = "all rows belong to one group, or to groups that share texts"
        raise DataError(f"{where}: {one}, so none can be split off: name another `group`, or a file for each split")
    count = 1 + int(np.argmin(np.abs(np.cumsum(rows)[:-1] - ratio * len(units))))
    return np.flatnonzero(of >= count), np.flatnonzero(of < count)


def cs224n(records: Sequence[QARow]) -> tuple[Sequence[QARow], Sequence[QARow]]:
    """The CS224N dev split (the paper's; its tables are k/6078), the questions of SQuAD 2.0's dev set on 16 articles; and the 5,795 others.

    Raises DataError unless the first are 6,078 questions, 3,168 of them unanswerable, and the others 5,795.
    """
    inside = np.array([title in CS224N_TITLES for title in column(records, "title")], bool)
    ours, rest = (pick(records, np.flatnonzero(where)) for where in (inside, ~inside))
    empty = sum(not answers for answers in column(ours, "answers"))
    changed = "the hub's data have changed, so scores would not compare with the paper's; "
    remedy = "set `data:` to a folder with the split you want to score."
    if (len(ours), empty) != (6078, 3168):
        found = f"the 16 articles have {len(ours):,} questions, {empty:,} of them unanswerable, not 6,078 and 3,168"
        raise DataError(f"cs224n: {found}: {changed}{remedy}")
    if len(rest) != 5795:
        raise DataError(f"cs224n: the dev set has {len(rest):,} questions on other articles, not 5,795: {changed}{remedy}")
    return ours, rest


def cs224n_rest(records: Sequence[QARow]) -> tuple[Sequence[QARow], Sequence[QARow]]:
    """The questions on the other articles of the dev set, and those of the CS224N dev split. Raises DataError as `cs224n`."""
    ours, rest = cs224n(records)
    return rest, ours


CUT_RULES = {"cs224n": cs224n, "cs224n_rest": cs224n_rest}
