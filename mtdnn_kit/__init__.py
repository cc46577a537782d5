"""Train one encoder on several language-understanding tasks, and see what that does to its answers.

The verbs, in the order in which a notebook uses them:

    config = from_file("parameters/demo.yaml")   parameters of a run, checked; from_params(globals()) takes a notebook's parameters
    setup = prepare(config)                      rows, windows and the whole schedule before the first step; setup.table()
    run = train(config)                          trains, scores, and leaves a run folder
    run.metrics, run.log(), run.answers()        what is in it; Run("runs/mine") opens it again
    ask(run, question, passage)                  answers of a trained run to your question
    explore(runs)                                answers of several runs side by side: in Jupyter, or .save("answers.html")
    load(run)                                    the whole model: answer(…), classify(…), choose(…), single items and lists
    export(run, task)                            one task's model in transformers' own layout, with a model card
    score(run, data)                             a run scored on other rows, kept in its folder; run.score(data)
    import_run(source, run_dir)                  somebody else's predictions or model as a run folder
    affinity(source)                             which tasks help the main one, ranked from one training
    merge(runs, method)                          the encoders of finished runs merged into one, as a run folder

DATASETS holds the datasets that are known by name; `define` in a parameter file adds others (Dataset).

The other modules and packages (the first line of each says what it is for): config, sampler, metrics; data, tasks, model, training, runs,
inference, compare, views, studies, explorer, files. `from mtdnn_kit import compare, differences, studies, running, plots, tables` is what a
notebook needs besides the verbs; `mtdnn --help` is the command line. Errors that you can correct are ConfigError, RunError and their
like: each says what is wrong, where, and what to do.
"""

import os
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

# Libraries read these on import: no telemetry; the hub's files come over plain HTTP, which `hub` can interrupt.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # huggingface_hub, transformers, datasets
os.environ.setdefault("DO_NOT_TRACK", "1")  # huggingface_hub, and others that follow donottrack.sh
os.environ.setdefault("HF_UPDATE_DOWNLOAD_COUNTS", "0")  # datasets
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # ray
os.environ.setdefault("HF_HUB_DISABLE_XET", "1")

from mtdnn_kit.config import Config, from_file, from_params
from mtdnn_kit.data.registry import DATASETS, Dataset
from mtdnn_kit.errors import ConfigError, RunError
from mtdnn_kit.runs.run import Run
from mtdnn_kit.views import reprs as _reprs  # noqa: F401 (gives Run and Schedule what a notebook shows of them)

if TYPE_CHECKING:  # what a type checker sees of the names below
    from mtdnn_kit.explorer.widgets import explore
    from mtdnn_kit.inference.affinity import affinity
    from mtdnn_kit.inference.asking import ask_run as ask
    from mtdnn_kit.inference.exporting import export
    from mtdnn_kit.inference.importing import import_run
    from mtdnn_kit.inference.merging import merge
    from mtdnn_kit.inference.predictor import load
    from mtdnn_kit.inference.scoring import score
    from mtdnn_kit.training.setup import prepare
    from mtdnn_kit.training.trainer import train

__version__ = "0.2.0"
__all__ = ["DATASETS", "Config", "ConfigError", "Dataset", "Run", "RunError"]
__all__ += ["affinity", "ask", "explore", "export", "from_file", "from_params", "import_run", "load", "merge", "prepare", "score", "train"]
VERBS = {  # these need torch and transformers, and are imported on first use
    "affinity": "inference.affinity.affinity",
    "ask": "inference.asking.ask_run",
    "explore": "explorer.widgets.explore",
    "export": "inference.exporting.export",
    "import_run": "inference.importing.import_run",
    "load": "inference.predictor.load",
    "merge": "inference.merging.merge",
    "prepare": "training.setup.prepare",
    "score": "inference.scoring.score",
    "train": "training.trainer.train",
}
MODULES = {  # modules that notebooks import by a short name; before 0.2.0 they were here
    **{name: f"compare.{name}" for name in ("differences", "paper", "study_tables")},
    "running": "studies.running",
    **{
        name: f"views.{name}"
        for name in (
            "answer_plots",
            "balance_plots",
            "curve_plots",
            "data_plots",
            "findings",
            "marks",
            "overview",
            "plots",
            "study_plots",
            "tables",
            "task_plots",
        )
    },
}
PACKAGES = ("balance", "compare", "data", "explorer", "files", "inference", "model", "runs", "studies", "tasks", "training", "views")


def __getattr__(name: str) -> Any:
    """The verbs, the packages, and modules with short names (`MODULES`), imported on first use."""
    from importlib import import_module

    if name in VERBS:
        module, _, verb = VERBS[name].rpartition(".")
        return getattr(import_module(f"mtdnn_kit.{module}"), verb)
    if name in MODULES or name in PACKAGES:
        return import_module(f"mtdnn_kit.{MODULES.get(name, name)}")
    raise AttributeError(f"mtdnn_kit has no {name!r}")


def __dir__() -> list[str]:
    """The public names, including those imported on first use."""
    return sorted({*globals(), *__all__})


def _score(run: Run, *args: Any, **options: Any) -> dict[str, dict]:
    """Scores the run on further rows and saves predictions and scores with it: `score(run, data, define, task, name, device)`."""
    return __getattr__("score")(run, *args, **options)


setattr(Run, "score", _score)  # noqa: B010 (`runs` must not import models; scoring is in a higher layer)


class _Forwarded(ModuleType):
    """A module under the name that it had before 0.2.0: `from mtdnn_kit.marks import tokens_html` finds it in `views.marks`."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # inspecting all modules must not import any
            raise AttributeError(name)
        return getattr(__getattr__(self.__name__.rpartition(".")[2]), name)


sys.modules.update({f"mtdnn_kit.{name}": _Forwarded(f"mtdnn_kit.{name}") for name in MODULES})
