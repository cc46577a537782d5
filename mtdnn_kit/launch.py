"""One training from the command line, on one device or, under a launcher, on several.

python -m mtdnn_kit.launch parameters/minilm.yaml --set run_dir=runs/one
accelerate launch --num_processes 2 -m mtdnn_kit.launch parameters/minilm.yaml --set run_dir=runs/two
"""

import argparse
import sys

import torch.distributed as dist
import yaml

from mtdnn_kit.config import from_file
from mtdnn_kit.errors import ConfigError, DataError, EncoderError, LockedError, OtherRankError, RunError, TrainingError
from mtdnn_kit.training.distributed import launched
from mtdnn_kit.training.trainer import train

FORESEEN = (ConfigError, DataError, EncoderError, LockedError, OtherRankError, RunError, TrainingError)


def arguments() -> argparse.Namespace:
    """What the command was given."""
    parser = argparse.ArgumentParser(prog="python -m mtdnn_kit.launch", description="Trains one model; its run folder has the rest.")
    parser.add_argument("parameters", help="a parameter file, e.g. parameters/minilm.yaml")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a parameter on top of the file's (YAML)")
    return parser.parse_args()


def main() -> None:
    """Trains, and says where the run is; or says in a line why not."""
    given = arguments()
    try:
        rank, _ = launched()
        changes = yaml.safe_load("\n".join(pair.replace("=", ": ", 1) for pair in given.set)) or {}
        run = train(from_file(given.parameters, **changes))
    except FORESEEN as error:
        sys.exit(str(error))
    except KeyboardInterrupt as error:
        sys.exit(str(error) or "Stopped.")
    if rank == 0:
        print(run)
    if dist.is_initialized():
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
