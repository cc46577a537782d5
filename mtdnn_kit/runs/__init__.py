"""The run folder: claims, writes and reads it; its predictions, and the hash of the code that made it. No model, no torch."""

from mtdnn_kit.errors import RunError
from mtdnn_kit.runs.run import Run

__all__ = ["Run", "RunError"]
