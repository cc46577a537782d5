"""Train one encoder on several language-understanding tasks, and see what that does to its answers.

The verbs, in the order in which a notebook uses them:

    config = from_file("parameters/demo.yaml")   parameters of a run, checked; from_params(globals()) takes a notebook's own
    setup = prepare(config)                      rows, windows and the whole schedule before the first step; setup.table()
    run = train(config)                          trains, scores, and leaves a run folder
    run.metrics, run.log(), run.answers()        what is in it; Run("runs/mine") opens it again
    ask(run, question, passage)                  answers of a trained run to a question of your own
    load(run)                                    the whole model: answer(…), classify(…), choose(…), single items and lists
    export(run, task)                            one task's model in transformers' own layout, with a model card
    import_run(source, run_dir)                  somebody else's predictions or model as a run folder

DATASETS holds the datasets that are known by name; `define` in a parameter file adds others (Dataset).

Where to go on: mtdnn_kit.compare and differences (several runs, and what their difference is worth), studies and running (many runs
from one file), plots and tables, explorer.widgets (`explore(runs)` in JupyterLab). Each module
opens by saying what it does; `python -m mtdnn_kit --help` is the command line. Errors that are yours to mend are ConfigError,
RunError and their like: each says what is wrong, where, and what to do.
"""

import os
from typing import TYPE_CHECKING, Any

# Read by libraries when they are imported: nothing is reported to anybody; the hub's files come by plain HTTP, which `hub` can end.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # huggingface_hub, transformers, datasets
os.environ.setdefault("DO_NOT_TRACK", "1")  # huggingface_hub, and whoever else keeps to donottrack.sh
os.environ.setdefault("HF_UPDATE_DOWNLOAD_COUNTS", "0")  # datasets
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # ray
os.environ.setdefault("HF_HUB_DISABLE_XET", "1")

from mtdnn_kit.config import Config, ConfigError, from_file, from_params
from mtdnn_kit.registry import DATASETS, Dataset
from mtdnn_kit.runs import Run, RunError

if TYPE_CHECKING:  # what a type checker sees of the names below
    from mtdnn_kit.asking import ask_run as ask
    from mtdnn_kit.exports import export
    from mtdnn_kit.imports import import_run
    from mtdnn_kit.predictor import load
    from mtdnn_kit.preparation import prepare
    from mtdnn_kit.training import train

__version__ = "0.1.0"
__all__ = [
    "DATASETS",
    "Config",
    "ConfigError",
    "Dataset",
    "Run",
    "RunError",
    "ask",
    "export",
    "from_file",
    "from_params",
    "import_run",
    "load",
    "prepare",
    "train",
]


def __getattr__(name: str) -> Any:
    """What brings torch and transformers along (`train`, `prepare`, `ask`, `load`, `export`, `import_run`) is imported when first used."""
    from importlib import import_module

    homes = {"train": "training", "prepare": "preparation", "ask": "asking", "import_run": "imports"}
    homes |= {"export": "exports", "load": "predictor"}
    if name not in homes:
        raise AttributeError(f"mtdnn_kit has no {name!r}")
    return getattr(import_module(f"mtdnn_kit.{homes[name]}"), "ask_run" if name == "ask" else name)


def __dir__() -> list[str]:
    """The public names, those that are imported when first used included."""
    return sorted({*globals(), *__all__})
