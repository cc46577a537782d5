"""Starts a function in several processes as a launcher does, and reports how each ended. They fork from a server that has imported
torch."""

import os
import socket
import time
import traceback
from collections.abc import Callable
from multiprocessing import get_context

CONTEXT = get_context("forkserver")
CONTEXT.set_forkserver_preload(["mtdnn_kit.training.trainer", "tensorboard", "pytest", "hypothesis"])


def free_port() -> str:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return str(found.getsockname()[1])


def launch(size: int, function: Callable, *arguments, limit: float = 900.0) -> list:
    """function(*arguments) in `size` processes, on CPUs: {rank: what it returned, or the error that it ended with}.

    A process that still runs after `limit` seconds counts as hung and is killed: its entry is a TimeoutError.
    """
    port, pipes, processes = free_port(), [], []
    for rank in range(size):
        here, there = CONTEXT.Pipe(duplex=False)
        environment = dict(RANK=rank, LOCAL_RANK=rank, WORLD_SIZE=size, LOCAL_WORLD_SIZE=size, MASTER_ADDR="127.0.0.1", MASTER_PORT=port)
        given = {**{name: str(value) for name, value in environment.items()}, "MTDNN_CACHE": os.environ["MTDNN_CACHE"]}
        process = CONTEXT.Process(target=_rank, args=(there, given if size > 1 else {}, function, arguments), daemon=False)
        process.start()
        there.close()
        pipes.append(here)
        processes.append(process)
    until = time.monotonic() + limit
    found = [_result(pipe, until - time.monotonic()) for pipe in pipes]
    for process in processes:
        process.join(max(0.1, until - time.monotonic()))
        process.kill()
        process.join()
    return found


def _result(pipe, seconds: float):
    try:
        return pipe.recv() if pipe.poll(max(seconds, 0)) else TimeoutError("it hangs")
    except EOFError:
        return EOFError("it ended without a word")


def _rank(pipe, environment: dict, function: Callable, arguments: tuple) -> None:
    import torch

    os.environ.update(environment)
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS") or 1))
    try:
        pipe.send(function(*arguments))
    except BaseException as error:
        traceback.print_exc()
        pipe.send(error)
