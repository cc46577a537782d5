"""From parameters to a trained run: rows and schedule made ready (`setup`), the steps (`loop`), what stands around them (`trainer`)."""

from mtdnn_kit.training.setup import Setup, prepare
from mtdnn_kit.training.trainer import train

__all__ = ["Setup", "prepare", "train"]
