"""Parameters of a run: from a notebook's cell or a parameter file to one frozen, checked dataclass.

An unknown key, a wrong type or a contradiction is an error that names the key and says what to write instead; papermill by itself
would only warn. What a value means for the rows, the model or the device is checked where it is used.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints

import yaml

from mtdnn_kit.data.definitions import dataset_from
from mtdnn_kit.data.registry import DATASETS, REST, Dataset
from mtdnn_kit.errors import ConfigError, YamlError
from mtdnn_kit.files.checks import typed
from mtdnn_kit.files.paths import resolve
from mtdnn_kit.files.wording import nearest, short, some
from mtdnn_kit.files.yaml_files import read_yaml, text_of

DEFAULT_ENCODER = "sentence-transformers/all-MiniLM-L6-v2"
Sampler = Literal["weighted", "proportional", "temperature", "annealed", "round_robin", "sequential"]
SAMPLERS = get_args(Sampler)
SAMPLER_SETTINGS = {  # setting → the samplers that use it (the others must leave it unset), and what it may be
    "qa_weight": (("weighted",), "a probability"),
    "sharing": (("weighted",), "'dataset' or 'group'"),
    "temperature": (("temperature",), "a number above 0"),
    "exhausted": (SAMPLERS[:-1], "'cycle' or 'drop'"),
}
AT_LEAST = dict(batch_size=1, grad_accumulation=1, max_answer=1, n_best=1, log_every=1, seed=0, max_question=1, overlap=0) | {
    "max_length": 8,
    "weight_decay": 0,
}
AT_MOST = dict(batch_size=10**6, max_length=10**6, max_question=10**6, overlap=10**6, max_answer=10**6, n_best=10_000, threads=4096)
IPYTHON_NAMES = {"In", "Out", "exit", "quit", "open", "get_ipython"}


@dataclass(frozen=True)
class Config:
    """All parameters of one training run, with the defaults of notebook 02 (the packaged sample on a CPU), but no threshold articles.

    Lengths are in wordpieces, `batch_size` in questions or rows a step, `warmup` is a share of all steps, percentages do not occur.
    """

    run_dir: str | None = None  # folder that the run leaves behind; None: a new one, runs/001, runs/002 …
    encoder: str = DEFAULT_ENCODER  # a name on the Hugging Face hub, or a folder
    data: str = "sample"  # "sample", "hub", or a folder of TASK/SPLIT.jsonl.gz (.csv, .parquet …)
    tasks: list[str] = field(default_factory=lambda: ["squad", "swag", "cola", "mrpc", "mnli"])  # the first is the main one
    define: dict[str, dict] = field(default_factory=dict)  # further datasets: name → registry row
    qa_weight: float | None = 0.8  # probability of the main task at each step
    sharing: Literal["dataset", "group"] | None = "dataset"  # how the other tasks share 1 − qa_weight
    sampler: Sampler = "weighted"
    temperature: float | None = None  # T of p ∝ size^(1/T): 1 is proportional, the higher the more alike
    exhausted: Literal["cycle", "drop"] | None = "cycle"  # when an auxiliary dataset runs out within an epoch
    epochs: float = 3.0  # passes of the main task; may be fractional
    max_steps: int | None = None  # ends the schedule early
    batch_size: int = 16
    grad_accumulation: int = 1  # pieces that a batch is cut into to save memory; the batch stays batch_size
    learning_rate: float = 6e-4
    warmup: float = 0.1
    weight_decay: float = 0.01
    optimizer: Literal["adamax", "adamax_mtdnn", "adamw"] = "adamax"
    max_grad_norm: float = 1.0
    head_dropout: float = 0.3  # before the sc and mcc heads
    encoder_dropout: float = 0.1
    loss: Literal["sum", "mean"] = "sum"  # of the start and the end cross entropy
    loss_weights: dict[str, float] = field(default_factory=dict)  # task → factor of its loss; 1 where not named
    max_length: int = 160
    max_question: int = 64
    overlap: int = 40
    max_answer: int = 30
    n_best: int = 20
    threshold_articles: list[str] = field(default_factory=list)  # titles held out of training to tune the threshold
    train_limit: int | None = None  # at most so many training rows a task
    eval_limit: int | None = None  # at most so many scored rows a task
    eval_every: int | None = None  # steps between scorings of the threshold articles during training
    interference_every: int | None = None  # steps between measurements of the tasks' gradients against each other (`training.interference`)
    log_every: int = 10  # steps between writes of the log; the device is waited for only then
    checkpoint_every: int | None = None
    log_with: str | list[str] | None = None  # experiment trackers, by accelerate's names: "tensorboard", "wandb" …
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    cuda_graphs: bool = False  # on a GPU, record each shape of step once and replay it (`training.cuda_graphs`)
    threads: int | None = None  # processor threads; None: as many as torch takes
    seed: int = 0
    init_from: str | None = None  # a finished run whose model this one starts from
    resume: bool = False  # go on from the last checkpoint of run_dir

    def __post_init__(self) -> None:
        hints = get_type_hints(Config)
        for key in fields(self):
            object.__setattr__(self, key.name, typed(key.name, getattr(self, key.name), hints[key.name]))
        _check(self)

    @property
    def datasets(self) -> dict[str, Dataset]:
        """Registry rows of this run's tasks, in order; the files that they name as absolute paths."""
        known = {**DATASETS, **{name: dataset_from(name, row) for name, row in self.define.items()}}
        found = {task: known[task] for task in self.tasks}
        return {task: replace(d, files=_placed(task, d.files)) if d.files else d for task, d in found.items()}

    def to_yaml(self) -> str:
        """The parameters as a parameter file."""
        return yaml.safe_dump(asdict(self), sort_keys=False, allow_unicode=True)


def from_params(namespace: Mapping[str, Any]) -> Config:
    """Config from a notebook's `globals()`: every public literal that IPython did not define must be a parameter.

    Raises ConfigError that starts with the key: unknown, of the wrong type, or contradicting another one.
    """
    return Config(**only(namespace, [f.name for f in fields(Config)]))


def only(namespace: Mapping[str, Any], known: list[str]) -> dict[str, Any]:
    """A notebook's parameters, by name: those in `known`. Raises ConfigError where a public literal is none of them."""
    literal = (str, int, float, bool, list, tuple, dict, type(None))
    public = {k: v for k, v in namespace.items() if not k.startswith("_") and k not in IPYTHON_NAMES}
    named = {k: v for k, v in public.items() if isinstance(v, literal) or k in known}
    for key in named:
        if key not in known:
            raise ConfigError(
                f"{some([key])}: no such parameter.{nearest(key, known)} (A variable of your own begins with _.) "
                f"All are: {', '.join(known)}."
            )
    return named


def from_file(path: str | Path, **changes: Any) -> Config:
    """Config from a YAML parameter file, with `changes` on top. A relative path starts at the project (see `project_root`).

    Raises ConfigError: no such file, not a parameter file, or a parameter that cannot be meant.
    """
    try:
        params = read_yaml(text_of(resolve(str(path))))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); looked for {resolve(str(path))}") from None
    except YamlError as error:
        raise ConfigError(f"{path}: not a YAML parameter file ({error})") from None
    if not isinstance(params, dict):
        raise ConfigError(f"{path}: a parameter file holds lines of the form `key: value`")
    given, known = {**params, **changes}, [f.name for f in fields(Config)]
    for key in given:
        if key not in known:
            raise ConfigError(f"{some([key])}: no such parameter.{nearest(key, known)} All are: {', '.join(known)}.")
    return Config(**given)


def _placed(task: str, files: dict[str, str]) -> dict[str, str]:
    found = {}
    for split, file in files.items():
        try:
            found[split] = str(resolve(file))
        except ConfigError as error:
            raise ConfigError(f"define.{task}.files.{split}: {error}") from None
    return found


def _check(c: Config) -> None:
    """What the parameters must satisfy among themselves; ConfigError names the first one that does not."""
    _check_tasks(c)
    _check_sampler(c)
    for key, low in AT_LEAST.items():
        _require(getattr(c, key) >= low, key, f"{getattr(c, key)} is too small: at least {low}")
    for key, high in AT_MOST.items():
        _require((getattr(c, key) or 0) <= high, key, f"{getattr(c, key)} is too large: at most {high:,}")
    for key in ("max_steps", "train_limit", "eval_limit", "eval_every", "interference_every", "checkpoint_every", "threads"):
        _require(getattr(c, key) is None or getattr(c, key) >= 1, key, "must be at least 1, or null for none")
    for key in ("epochs", "learning_rate", "max_grad_norm"):
        _require(getattr(c, key) > 0, key, f"{getattr(c, key)} must be above 0")
    for key in ("warmup", "head_dropout", "encoder_dropout"):
        _require(0 <= getattr(c, key) < 1, key, f"{getattr(c, key)} must be at least 0 and below 1")
    _require(c.grad_accumulation <= c.batch_size, "grad_accumulation", f"cuts a batch of {c.batch_size} into at most that many pieces")
    _require(not c.cuda_graphs or c.grad_accumulation == 1, "cuda_graphs", "records whole batches: set it, or grad_accumulation, back")
    _require(c.eval_every is None or bool(c.threshold_articles), "eval_every", "scores the threshold_articles, and none are named")
    _require(not c.resume or c.run_dir is not None, "resume", "goes on in run_dir, and none is named")
    for task, factor in c.loss_weights.items():
        _require(task in c.tasks, "loss_weights", f"{short(task)} is none of the tasks {some(c.tasks)}")
        _require(factor > 0, "loss_weights", f"{some([task])}: {factor} must be above 0")


def _check_tasks(c: Config) -> None:
    _require(bool(c.tasks), "tasks", "names no task")
    for name, row in c.define.items():
        _require(len(name) <= 40, "define", f"{short(name)}: files are called by it: at most 40 characters")
        _require(name not in DATASETS, "define", f"{name!r} is already a task of the kit: choose another name")
        _require(not name.endswith(REST), "define", f"{short(name)}: {REST} ends the name of a second scored set; choose another name")
        _require(name.replace("_", "").replace("-", "").isalnum(), "define", f"{short(name)}: a name has letters, digits, - and _ only")
        try:
            dataset_from(name, row)
        except ValueError as error:
            raise ConfigError(str(error)) from None
    known = [*DATASETS, *c.define]
    for task in c.tasks:
        _require(task in known, "tasks", f"unknown task {short(task)}.{nearest(task, known)} There are {some(known)}; define adds more")
        _require(c.tasks.count(task) == 1, "tasks", f"{short(task)} is named twice")
    has_qa = any(dataset.type == "qa" for dataset in c.datasets.values())
    _require(
        has_qa or not c.threshold_articles, "threshold_articles", "only question answering has a threshold, and no task is of that type"
    )


def _check_sampler(c: Config) -> None:
    for key, (samplers, values) in SAMPLER_SETTINGS.items():
        if c.sampler in samplers:
            _require(getattr(c, key) is not None, key, f"sampler {c.sampler!r} needs it: {values}")
        else:
            _require(getattr(c, key) is None, key, f"sampler {c.sampler!r} does not use it: set it to null")
    _require(c.temperature is None or c.temperature > 0, "temperature", f"{c.temperature} must be above 0")
    _require(c.sampler != "annealed" or c.epochs > 1, "epochs", "sampler 'annealed' changes from epoch to epoch: it needs more than 1")
    if c.sampler == "weighted" and c.qa_weight is not None:  # as required above
        _require(0 < c.qa_weight <= 1, "qa_weight", f"{c.qa_weight} must be a probability above 0")
        alone = len(c.tasks) == 1 and c.qa_weight < 1
        _require(not alone, "qa_weight", f"{c.qa_weight} leaves {1 - c.qa_weight:.3g} to other tasks, but there are none: set it to 1.0")


def _require(holds: bool, key: str, message: str) -> None:
    if not holds:
        raise ConfigError(f"{key}: {message}.")
