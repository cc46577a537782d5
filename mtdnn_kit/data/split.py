"""Training rows cut in two, where a dataset has no scored split or a threshold is to be tuned: by what the rows say, never by their order.

Rows that share a *unit* stay on one side: a value of the dataset's `group` column, or else a question's passage, a row's texts. Units are
ordered by their hash, and the first of them are cut off: with more rows of the same kind, almost all stay where they were.
"""

import hashlib
from typing import Any

import numpy as np

from mtdnn_kit.data.registry import Dataset
from mtdnn_kit.data.row_checks import group
from mtdnn_kit.errors import DataError


def unit_of(dataset: Dataset, record: dict, row: Any) -> int:
    """The hash, 64 bits, of what a row may not be parted from. Raises DataError where the group's column holds none."""
    if dataset.group:
        said: object = group(dataset, record)
    else:
        said = row.context if dataset.type == "qa" else [value for name, value in row._asdict().items() if name not in ("id", "label")]
    return hashed(said)


def hashed(said: object) -> int:
    """The hash of a unit, 64 bits."""
    return int.from_bytes(hashlib.blake2b(repr(said).encode(), digest_size=8).digest())


def sides(units: np.ndarray, ratio: float, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Places of the rows to train on and of those cut off, in their order; units uint64 [N].

    As many whole units are cut off as come nearest to `ratio` of the rows, at least one; at least one is left. Raises DataError.
    """
    different, of, rows = np.unique(units, return_inverse=True, return_counts=True)
    if len(different) < 2:
        raise DataError(f"{where}: all rows belong together, so that none can be scored: name another `group`, or files for both splits")
    count = 1 + int(np.argmin(np.abs(np.cumsum(rows)[:-1] - ratio * len(units))))
    return np.flatnonzero(of >= count), np.flatnonzero(of < count)
