"""`mtdnn train` in several processes of this machine, one a device:

    python -m mtdnn_kit.launch FILE --processes 2 --set KEY=VALUE

starts them itself, and says in a line why they ended where they fail; torchrun and accelerate print a traceback of their own then. Without
`--processes` it is one of those that such a launcher starts: accelerate launch --num_processes 2 -m mtdnn_kit.launch FILE.
"""

import argparse
import logging
import sys
from collections.abc import Sequence

from mtdnn_kit.__main__ import FAILED, main


def launch(words: Sequence[str]) -> None:
    """Does what the words say. Raises SystemExit: 1 where a process failed, which has said why."""
    options = argparse.ArgumentParser(prog="python -m mtdnn_kit.launch", add_help=False, allow_abbrev=False)
    options.add_argument("--processes", type=int)
    given, rest = options.parse_known_args(words)
    if given.processes is None:
        return main(["train", *rest])
    if given.processes < 1:
        options.error("--processes: at least 1")
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # it would tell of each process that ended
    config = LaunchConfig(1, 1, given.processes, run_id="mtdnn", rdzv_backend="c10d", rdzv_endpoint="localhost:0", max_restarts=0)
    try:
        elastic_launch(config, main)(["train", *rest])
    except ChildFailedError:
        raise SystemExit(FAILED) from None


if __name__ == "__main__":
    launch(sys.argv[1:])
