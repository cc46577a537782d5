"""Texts and number lists of different lengths as a few flat arrays, in memory or mapped from .npy files. Nothing is pickled.

A *column* is an array. A column too long for memory comes as an iterator of parts, {name: array}, to be concatenated in order.
Knows no row, no token and no cache. Shapes: N items.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

Parts = Iterator[dict[str, np.ndarray]]
SIZE = "{}_sizes"  # the column that holds how many values each item of a ragged one has


def ends_of(sizes: np.ndarray) -> np.ndarray:
    """Where each item begins in a flat column, and where the last one ends: int64 [N + 1]; sizes [N]."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes, dtype=np.int64)])


class LazySequence(Sequence):
    """A sequence of N items; `make(i)` makes item i each time it is read."""

    def __init__(self, length: int, make: Callable[[int], Any]):
        self.length, self.make = length, make

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, i: int | slice) -> Any:
        if isinstance(i, slice):
            return [self.make(j) for j in range(self.length)[i]]
        return self.make(range(self.length)[i])

    def __iter__(self) -> Iterator:
        return map(self.make, range(self.length))


class Ragged(LazySequence):
    """N lists of numbers as one flat array; item i is values[ends[i] : ends[i + 1]], no copy."""

    def __init__(self, values: np.ndarray, sizes: np.ndarray):
        self.values, self.ends = values, (ends := ends_of(sizes))
        super().__init__(len(sizes), lambda i: values[ends[i] : ends[i + 1]])

    @property
    def sizes(self) -> np.ndarray:
        """Numbers of each item [N]."""
        return np.diff(self.ends)


def ragged(name: str, arrays: dict[str, np.ndarray]) -> Ragged:
    """The lists of column `name`, as `ragged_parts` returned them."""
    return Ragged(arrays[name], arrays[SIZE.format(name)])


def texts(name: str, arrays: dict[str, np.ndarray]) -> LazySequence:
    """The texts of column `name`, as `text_parts` returned them: UTF-8; each text is decoded when it is read."""
    coded, ends = np.ascontiguousarray(arrays[name]).data, ends_of(arrays[SIZE.format(name)])
    return LazySequence(len(ends) - 1, lambda i: str(coded[ends[i] : ends[i + 1]], "utf-8"))


def ragged_parts(name: str, items: Sequence[Sequence | np.ndarray], kind: type) -> dict[str, np.ndarray]:
    """Lists of numbers as columns of type `kind`."""
    sizes = np.array([len(x) for x in items], np.int32)
    return {name: np.concatenate([*items, np.zeros(0)]).astype(kind), SIZE.format(name): sizes}


def text_parts(name: str, items: Sequence[str]) -> dict[str, np.ndarray]:
    """Texts as columns. Raises UnicodeEncodeError for an unpaired surrogate, which UTF-8 cannot encode."""
    coded = [text.encode() for text in items]
    return {name: np.frombuffer(b"".join(coded), np.uint8), SIZE.format(name): np.array([len(x) for x in coded], np.int32)}


def gathered(parts: Iterable[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The parts of each column, concatenated in memory."""
    found = defaultdict(list)
    for part in parts:
        for name, values in part.items():
            found[name].append(values)
    return {name: values[0] if len(values) == 1 else np.concatenate(values) for name, values in found.items()}


def write(folder: Path, parts: Iterable[dict[str, np.ndarray]]) -> None:
    """Writes NAME.npy for each column into an existing folder, part by part: only one part is in memory at a time."""
    files: dict[str, BinaryIO] = {}
    shapes: dict[str, tuple[np.dtype, tuple]] = {}
    counts: Counter[str] = Counter()
    with ExitStack() as opened:
        for part in parts:
            for name, values in part.items():
                if name not in files:
                    files[name] = opened.enter_context(open(folder / f"{name}.npy", "wb"))
                    shapes[name] = values.dtype, values.shape[1:]
                    _head(files[name], 0, *shapes[name])
                counts[name] += len(values)
                files[name].write(np.ascontiguousarray(values, shapes[name][0]).tobytes())
        for name, file in files.items():
            file.seek(0)
            _head(file, counts[name], *shapes[name])  # numpy reserves space for the item count, which is known only now


def _head(file: BinaryIO, count: int, kind: np.dtype, rest: tuple) -> None:
    header = {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": (count, *rest)}
    np.lib.format.write_array_header_1_0(file, header)


def read(folder: Path) -> dict[str, np.ndarray]:
    """The columns of a folder, memory-mapped: their pages belong to the system's file cache, not to this process. Read-only."""
    mapped = {file.stem: np.load(file, mmap_mode="r", allow_pickle=False) for file in sorted(folder.glob("*.npy"))}
    return {name: np.asarray(values) for name, values in mapped.items()}  # slicing a numpy.memmap is slow
