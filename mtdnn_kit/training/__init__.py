"""From parameters to a trained run: prepares rows and schedule (`setup`), makes the steps (`loop`), and all around them (`trainer`)."""

from mtdnn_kit.training.setup import Setup, prepare
from mtdnn_kit.training.trainer import train

__all__ = ["Setup", "prepare", "train"]
