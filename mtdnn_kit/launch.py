"""`mtdnn train` in several processes on this machine, one per device:

    python -m mtdnn_kit.launch FILE --processes 2 --set KEY=VALUE

starts them itself and, if one fails, prints the reason in one line, where torchrun and accelerate print a traceback. Without `--processes`
it is one of the processes that such a launcher starts: accelerate launch --num_processes 2 -m mtdnn_kit.launch FILE.
"""

import argparse
import logging
import sys
from collections.abc import Sequence

from mtdnn_kit.__main__ import FAILED, main


def launch(words: Sequence[str]) -> None:
    """Runs the command line `words`. Raises SystemExit(1) if a process failed; that process has printed the reason."""
    options = argparse.ArgumentParser(prog="python -m mtdnn_kit.launch", add_help=False, allow_abbrev=False)
    options.add_argument("--processes", type=int)
    given, rest = options.parse_known_args(words)
    if given.processes is None:
        return main(["train", *rest])
    if given.processes < 1:
        options.error("--processes must be at least 1")
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # it would log every process that ended
    config = LaunchConfig(1, 1, given.processes, run_id="mtdnn", rdzv_backend="c10d", rdzv_endpoint="localhost:0", max_restarts=0)
    try:
        elastic_launch(config, main)(["train", *rest])
    except ChildFailedError:
        raise SystemExit(FAILED) from None


if __name__ == "__main__":
    launch(sys.argv[1:])
