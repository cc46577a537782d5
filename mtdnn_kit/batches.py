"""The batches of one pass over a task's items: a pure function of seed, task and number of the pass.

Items of like length share a batch, so that little is padded, yet batches stay random: the order is shuffled, cut into pools of many
batches, sorted by length within a pool, cut into batches, and those are shuffled. Which batch is used when is `sampler`'s business.
"""

from zlib import crc32

import numpy as np

POOL = 50  # batches that are sorted together: the more, the less padding and the less random


def generator(seed: int, *purpose: str | int) -> np.random.Generator:
    """A random generator of its own for each purpose, so that one never shifts another's numbers."""
    return np.random.default_rng([seed, *(crc32(p.encode()) if isinstance(p, str) else p for p in purpose)])


def count(n_items: int, batch_size: int) -> int:
    """Batches of a pass."""
    return -(-n_items // batch_size)


def batches(seed: int, task: str, pass_: int, lengths: np.ndarray, batch_size: int) -> list[np.ndarray]:
    """Item numbers of each batch of a pass, in order.

    lengths [N] in tokens. Every item comes exactly once; only the last batch may be smaller, and what it holds is random.
    """
    rng = generator(seed, "batches", task, pass_)
    order = rng.permutation(len(lengths))
    whole = len(order) - len(order) % batch_size
    full = []
    for pool in np.split(order[:whole], range(POOL * batch_size, whole, POOL * batch_size)):
        by_length = pool[np.argsort(lengths[pool], kind="stable")]
        full += list(by_length.reshape(-1, batch_size))
    shuffled = [full[i] for i in rng.permutation(len(full))]
    return shuffled + ([order[whole:]] if whole < len(order) else [])
