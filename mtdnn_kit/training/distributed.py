"""Several processes, each with a device of its own: which of them this one is, and what they do together.

A batch is global, n · `batch_size` rows; rank r of n takes its rows r, r + n, …, and all learn from the whole. Rank 0 alone writes, scores
and shows; meanwhile the others wait. Who starts the processes is accelerate's business (`accelerate launch`, `notebook_launcher`) or
torchrun's: they say in the environment how many there are. Knows nothing of models, rows or run folders.
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
from mtdnn_kit.sampler import generator

WAIT = timedelta(days=7)  # that a process may wait for what another one does alone: reading rows, scoring
LAUNCH_VARIABLES = ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
START = "Start with `accelerate launch` or `notebook_launcher`, or unset WORLD_SIZE."
FAILED_KEY, SEEN = "mtdnn-kit/failed", "mtdnn-kit/seen"  # in the process group's store: why one left, and which ranks know
LINGER = timedelta(seconds=5)  # that rank 0, which may hold the store, stays for the others to read
T = TypeVar("T")


def launched() -> tuple[int, int]:
    """Rank and number of processes, as the launcher has put them into the environment; 0 and 1 without one.

    Raises ConfigError, with the variable's name, where they contradict each other or something lacks.
    """
    size = _number("WORLD_SIZE", 1)
    if size == 1:
        return 0, 1
    missing = [name for name in LAUNCH_VARIABLES if not os.environ.get(name)]
    if missing:
        raise ConfigError(f"{missing[0]}: WORLD_SIZE says that there are {size} processes, but {missing[0]} is not set. {START}")
    rank = _number("RANK", 0)
    if rank >= size:
        raise ConfigError(f"RANK: {rank} is none of the {size} processes of WORLD_SIZE, which count from 0. {START}")
    return rank, size


def _number(name: str, default: int) -> int:
    text = os.environ.get(name) or str(default)
    if not text.isdecimal() or (name == "WORLD_SIZE" and int(text) == 0):
        raise ConfigError(f"{name}: {text!r} in the environment is no such number. {START}")
    return int(text)


def join(device: torch.device) -> "World":
    """This process among those that the launcher started, connected to them; a world of one without a launcher."""
    rank, size = launched()
    if size == 1:
        return World()
    here = _number("LOCAL_WORLD_SIZE", size)
    if device.type == "cuda" and _number("LOCAL_RANK", 0) >= torch.cuda.device_count():
        raise ConfigError(f"device: {here} processes on a machine with {torch.cuda.device_count()} GPUs; start as many as it has GPUs.")
    if device.type == "cpu":  # they share the cores; accelerate warns where nothing is said
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // here)))
    PartialState._reset_state()
    state = PartialState(cpu=device.type == "cpu")
    if (state.process_index, state.num_processes) != (rank, size):
        raise ConfigError(f"WORLD_SIZE: {size} processes, of which accelerate found {state.num_processes}. {START}")
    return World(rank, size, dist.new_group(backend="gloo", timeout=WAIT))


@dataclass(frozen=True)
class World:
    """Rank `rank` of `size` processes. `group`: for messages among them, None where there is but one.

    `with world:` around all that they do together: a failure of one is a failure of all.
    """

    rank: int = 0
    size: int = 1
    group: Any = None

    @property
    def first(self) -> bool:
        """Whether this is the process that writes, scores and shows."""
        return self.rank == 0

    def seed(self, seed: int, step: int) -> int:
        """The random state of a step on this rank: depends on seed, step and rank alone; on rank 0 it is that of a single process."""
        return int(generator(seed, "step", step, *(("rank", self.rank) if self.rank else ())).integers(2**63))

    def share(self, items: np.ndarray) -> tuple[np.ndarray, float]:
        """This rank's rows of a global batch [N], and the weight of their mean loss.

        The mean of all ranks' weighted losses, which is what DDP makes of their gradients, is the mean over the batch. A rank for which
        no row is left takes the first one with weight 0, since every rank must join.
        """
        mine = items[self.rank :: self.size]
        return (mine, len(mine) * self.size / len(items)) if len(mine) else (items[:1], 0.0)

    def mean(self, x: torch.Tensor) -> torch.Tensor:
        """Mean of a tensor over all ranks, on the device; not waited for."""
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
        """Waits until all ranks have come here."""
        self.sums(0)

    def alike(self, value: Any) -> bool:
        """Whether all ranks have what rank 0 has, by its `repr`."""
        other = int(repr(value) != self.alone(lambda: repr(value)))
        return self.sums(other) == (0,)

    def threads(self, most: int) -> int:
        """Processor threads of this process, if nothing else is said: `most`, shared out among those of its machine."""
        return most if self.size == 1 else int(os.environ.get("OMP_NUM_THREADS") or max(1, most // _number("LOCAL_WORLD_SIZE", self.size)))

    def alone(self, call: Callable[[], T]) -> T:
        """What `call` gives on rank 0, which alone calls it while the others wait. Its error there is an OtherRankError elsewhere."""
        if self.size == 1:
            return call()
        found, error = _outcome(call) if self.first else (None, None)
        box: list[Any] = [found, _said(error)]
        dist.broadcast_object_list(box, src=0, group=self.group)
        self._raise(error, [box[1]])
        return box[0]

    def in_turn(self, call: Callable[[], T], leads: bool | None = None) -> T:
        """What `call` gives on this rank: those that lead call it first, the others then find what they have kept or left.

        leads: None: one process of each machine does. An error on one rank is an OtherRankError on those that have none.
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
        """Raises what this rank's call raised, else what another one's did. said: [rank or 0], None where all is well."""
        if mine:
            raise mine
        for rank, text in enumerate(said):
            if text:
                raise OtherRankError(f"rank {rank} of {self.size} has failed: {text}")

    def __enter__(self) -> "World":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, _: Any) -> None:
        """After an error tells the others, and leaves them: they would wait for this one for ever."""
        if self.size == 1 or error is None or not dist.is_initialized():
            return
        words, lost = store(), isinstance(error, RuntimeError) and ("gloo" in str(error) or isinstance(error, dist.DistError))
        why = "another one has ended; its own message says why"
        with suppress(RuntimeError):  # whoever held the store may be gone
            if not lost:  # what was said first stays
                words.compare_set(FAILED_KEY, "", f"rank {self.rank}: {_said(error)}")
            elif words.check([FAILED_KEY]):
                why = words.get(FAILED_KEY).decode()
            words.set(f"{SEEN}/{self.rank}", "")
        if dist.get_backend() == "gloo":  # an NCCL group may wait here; the launcher ends it
            dist.destroy_process_group()
        if lost:
            raise OtherRankError(f"rank {self.rank} of {self.size} cannot go on: {why}") from error
        if self.first and isinstance(error, Exception) and not isinstance(error, OtherRankError):
            with suppress(RuntimeError):  # the words may be kept in this very process
                words.wait([f"{SEEN}/{rank}" for rank in range(1, self.size)], LINGER)


def _outcome(call: Callable[[], T]) -> tuple[T | None, Exception | None]:
    try:
        return call(), None
    except Exception as error:
        return None, error


def _said(error: BaseException | None) -> str | None:
    return f"{type(error).__name__}: {error}" if error else None
