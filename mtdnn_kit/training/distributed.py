"""Several processes, each with its own device: which of them this one is, and what they do together.

A batch is global, n · `batch_size` rows; rank r of n takes its rows r, r + n, …, and all learn from the whole batch. Only rank 0 writes,
scores and shows progress; meanwhile the others wait. accelerate (`accelerate launch`, `notebook_launcher`) or torchrun starts the processes
and sets their number in the environment. Knows nothing of models, rows or run folders.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from accelerate.state import PartialState
from torch.distributed.distributed_c10d import _get_default_store as store

from mtdnn_kit.errors import ConfigError, OtherRankError
from mtdnn_kit.runs.environment import MOST_THREADS, cores, omp_threads
from mtdnn_kit.sampler import generator

WAIT = timedelta(days=7)  # how long a process may wait for work that only another one does: reading rows, scoring
LAUNCH_VARIABLES = ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
START = "Start with `accelerate launch` or `notebook_launcher`, or unset WORLD_SIZE."
FAILED_KEY, SEEN = "mtdnn-kit/failed", "mtdnn-kit/seen"  # in the process group's store: why a process left, and which ranks know
LINGER = timedelta(seconds=5)  # how long rank 0, which may hold the store, waits for the others to read it
T = TypeVar("T")


def launched() -> tuple[int, int]:
    """Rank and number of processes, as the launcher sets them in the environment; 0 and 1 without one.

    Raises ConfigError, with the variable's name, if they contradict each other or one is missing.
    """
    size = _number("WORLD_SIZE", 1)
    if size == 1:
        return 0, 1
    missing = [name for name in LAUNCH_VARIABLES if not os.environ.get(name)]
    if missing:
        raise ConfigError(f"{missing[0]}: WORLD_SIZE says that there are {size} processes, but {missing[0]} is not set. {START}")
    rank = _number("RANK", 0)
    if rank >= size:
        raise ConfigError(f"RANK: {rank} must be below WORLD_SIZE, {size}, and at least 0. {START}")
    return rank, size


def _number(name: str, default: int) -> int:
    text = os.environ.get(name) or str(default)
    if not text.isdecimal() or (name == "WORLD_SIZE" and int(text) == 0):
        raise ConfigError(f"{name}: {text!r} in the environment is not a valid number. {START}")
    return int(text)


def join(device: torch.device) -> "World":
    """This process among those that the launcher started, connected to them; a world of one without a launcher."""
    rank, size = launched()
    if size == 1:
        return World()
    here = _number("LOCAL_WORLD_SIZE", size)
    if device.type == "cuda" and _number("LOCAL_RANK", 0) >= torch.cuda.device_count():
        raise ConfigError(f"device: {here} processes on a machine with {torch.cuda.device_count()} GPUs; start as many as it has GPUs.")
    if device.type == "cpu":  # they share the cores; accelerate warns if OMP_NUM_THREADS is not set
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, min(MOST_THREADS, cores() // here))))
    PartialState._reset_state()
    state = PartialState(cpu=device.type == "cpu")
    if (state.process_index, state.num_processes) != (rank, size):
        raise ConfigError(f"WORLD_SIZE: it says {size} processes, but accelerate found {state.num_processes}. {START}")
    return World(rank, size, dist.new_group(backend="gloo", timeout=WAIT))


@dataclass(frozen=True)
class World:
    """Rank `rank` of `size` processes. `group`: for messages among them, None for a single process.

    Use `with world:` around joint work: if one process fails, all fail.
    """

    rank: int = 0
    size: int = 1
    group: Any = None

    @property
    def first(self) -> bool:
        """Whether this is the process that writes, scores and shows progress."""
        return self.rank == 0

    def seed(self, seed: int, step: int) -> int:
        """The random state of a step on this rank: it depends only on seed, step and rank; on rank 0 it is that of a single process."""
        return int(generator(seed, "step", step, *(("rank", self.rank) if self.rank else ())).integers(2**63))

    def share(self, items: np.ndarray) -> tuple[np.ndarray, float]:
        """This rank's rows of a global batch [N], and the weight of their mean loss.

        The mean of all ranks' weighted losses, which DDP computes for their gradients, is the mean over the batch. A rank without rows
        takes the first one with weight 0, because every rank must take part.
        """
        mine = items[self.rank :: self.size]
        return (mine, len(mine) * self.size / len(items)) if len(mine) else (items[:1], 0.0)

    def mean(self, x: torch.Tensor) -> torch.Tensor:
        """Mean of a tensor over all ranks, on the device; does not wait for it."""
        if self.size == 1:
            return x
        total = x.clone()
        dist.all_reduce(total)
        return total / self.size

    def sums(self, *numbers: int) -> tuple[int, ...]:
        """Sums of whole numbers over all ranks. The processes wait for each other, not for their devices."""
        if self.size == 1:
            return numbers
        found = torch.tensor(numbers)
        dist.all_reduce(found, group=self.group)
        return tuple(found.tolist())

    def wait(self) -> None:
        """Waits until all ranks arrive here."""
        self.sums(0)

    def alike(self, value: Any) -> bool:
        """Whether all ranks have rank 0's value, compared by `repr`."""
        other = int(repr(value) != self.alone(lambda: repr(value)))
        return self.sums(other) == (0,)

    def threads(self, most: int) -> int:
        """Default processor threads of this process: `most`, divided among the processes of its machine unless OMP_NUM_THREADS sets it."""
        return most if self.size == 1 or omp_threads() else max(1, most // _number("LOCAL_WORLD_SIZE", self.size))

    def alone(self, call: Callable[[], T]) -> T:
        """The result of `call` on rank 0, the only rank to call it; the others wait. An error there is an OtherRankError elsewhere."""
        if self.size == 1:
            return call()
        found, error = _outcome(call) if self.first else (None, None)
        box: list[Any] = [found, _said(error)]
        dist.broadcast_object_list(box, src=0, group=self.group)
        self._raise(error, [box[1]])
        return box[0]

    def in_turn(self, call: Callable[[], T], leads: bool | None = None) -> T:
        """The result of `call` on this rank: leading ranks call it first, the others then find their cached or written results.

        leads: None: one process per machine. An error on one rank is an OtherRankError on the others.
        """
        if self.size == 1:
            return call()
        found: Any = None
        leads = _number("LOCAL_RANK", 0) == 0 if leads is None else leads
        for turn in (leads, not leads):
            made, error = _outcome(call) if turn else (None, None)
            found = made if turn else found
            said: list[str | None] = [None] * self.size
            dist.all_gather_object(said, _said(error), group=self.group)
            self._raise(error, said)
        return found

    def _raise(self, mine: Exception | None, said: list[str | None]) -> None:
        """Raises this rank's error, else another rank's. said: [rank or 0], None if there was no error."""
        if mine:
            raise mine
        for rank, text in enumerate(said):
            if text:
                raise OtherRankError(f"rank {rank} of {self.size} has failed: {text}")

    def __enter__(self) -> "World":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, _: Any) -> None:
        """After an error, notifies the others and leaves the group: they would otherwise wait forever."""
        if self.size == 1 or error is None or not dist.is_initialized():
            return
        words, lost = store(), isinstance(error, RuntimeError) and ("gloo" in str(error) or isinstance(error, dist.DistError))
        why = "another one has ended; see its message"
        with suppress(RuntimeError):  # the process with the store may have ended
            if not lost:  # the first reason stays
                words.compare_set(FAILED_KEY, "", f"rank {self.rank}: {_said(error)}")
            elif words.check([FAILED_KEY]):
                why = words.get(FAILED_KEY).decode()
            words.set(f"{SEEN}/{self.rank}", "")
        if dist.get_backend() == "gloo":  # an NCCL group may block here; the launcher ends it
            dist.destroy_process_group()
        if lost:
            raise OtherRankError(f"rank {self.rank} of {self.size} cannot continue: {why}") from error
        if self.first and isinstance(error, Exception) and not isinstance(error, OtherRankError):
            with suppress(RuntimeError):  # this process may hold the store
                words.wait([f"{SEEN}/{rank}" for rank in range(1, self.size)], LINGER)


def _outcome(call: Callable[[], T]) -> tuple[T | None, Exception | None]:
    try:
        return call(), None
    except Exception as error:
        return None, error


def _said(error: BaseException | None) -> str | None:
    return f"{type(error).__name__}: {error}" if error else None
