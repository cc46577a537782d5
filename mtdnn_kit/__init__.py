"""mtdnn-kit: train one encoder on several language-understanding tasks, and see what that does to its answers.

The names that a notebook uses; everything else is in the modules.
"""

import os

# Read by libraries when they are imported: nothing is reported to anybody; the hub's files come by plain HTTP, which `hub` can end.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # huggingface_hub, transformers, datasets
os.environ.setdefault("DO_NOT_TRACK", "1")  # huggingface_hub, and whoever else keeps to donottrack.sh
os.environ.setdefault("HF_UPDATE_DOWNLOAD_COUNTS", "0")  # datasets
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # ray
os.environ.setdefault("HF_HUB_DISABLE_XET", "1")

from mtdnn_kit.config import Config, ConfigError, from_file, from_params
from mtdnn_kit.registry import DATASETS, Dataset
from mtdnn_kit.runs import Run, RunError

__all__ = [
    "DATASETS",
    "Config",
    "ConfigError",
    "Dataset",
    "Run",
    "RunError",
    "ask",
    "from_file",
    "from_params",
    "import_run",
    "prepare",
    "train",
]


def __getattr__(name: str):
    """`train`, `prepare`, `ask` and `import_run` bring torch and transformers along: they are imported when first used."""
    from importlib import import_module

    homes = {"train": "training", "prepare": "preparation", "ask": "asking", "import_run": "imports"}
    if name not in homes:
        raise AttributeError(f"mtdnn_kit has no {name!r}")
    return getattr(import_module(f"mtdnn_kit.{homes[name]}"), "ask_run" if name == "ask" else name)
