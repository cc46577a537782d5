"""Parameters of a run: from a notebook's cell or a parameter file to one frozen, checked dataclass.

An unknown key, a wrong type or a contradiction is an error that names the key and says what to write instead; papermill itself would only
warn. Constraints from the rows, the model or the device are checked where the value is used.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml

from mtdnn_kit.data.definitions import dataset_from, scored_from
from mtdnn_kit.data.registry import DATASETS, REGISTERED, REST, SAMPLE_ARTICLES, Dataset
from mtdnn_kit.errors import ConfigError, YamlError
from mtdnn_kit.files.checks import Count, Positive, Rule, Share, at_least, at_most, checked, known_keys, require
from mtdnn_kit.files.paths import resolve
from mtdnn_kit.files.plugins import Plugin, PluginPoint, find, installed
from mtdnn_kit.files.wording import nearest, short, some
from mtdnn_kit.files.yaml_files import read_yaml, text_of
from mtdnn_kit.sampler import CURRICULA

DEFAULT_ENCODER = "sentence-transformers/all-MiniLM-L6-v2"
SAMPLERS = ("weighted", "curriculum", "anti_curriculum", "proportional", "temperature", "annealed", "unimax", "round_robin", "sequential")
BALANCES = (  # how a joint step combines the tasks: by their losses, or by their gradients on the encoder (`balance`)
    "sum", "uncertainty", "dwa", "famo", "random", "stch", "imtl_l",
    "pcgrad", "gradvac", "mgda", "imtl_g", "aligned_mtl", "pcd", "upgrad", "cagrad", "nash_mtl",
)  # fmt: skip
PLUGIN_POINTS = {  # parameter → the arguments of a custom function there (docs/plugins.md)
    "sampler": PluginPoint("mtdnn_kit.samplers", ("sizes", "epoch", "epochs", "rng")),
    "balance": PluginPoint("mtdnn_kit.balance", ("losses", "gram", "memory", "rng")),
    "metrics": PluginPoint("mtdnn_kit.metrics", ("task", "gold", "said")),
}
SAMPLER_SETTINGS = {  # setting → the samplers that use it (the others must leave it unset), and its values
    "qa_weight": (("weighted", *CURRICULA), "a probability"),
    "sharing": (("weighted", *CURRICULA), "'dataset' or 'group'"),
    "temperature": (("temperature",), "a number above 0"),
    "task_order": (CURRICULA, "a list of all tasks, the easiest first"),
    "first_tasks": (CURRICULA, "a number of tasks"),
    "phase": (CURRICULA, "a share of the steps, such as 0.3"),
    "max_passes": (("unimax",), "a number above 0"),
    "exhausted": (tuple(name for name in SAMPLERS if name not in ("unimax", "sequential")), "'cycle' or 'drop'"),
}
IPYTHON_NAMES = {"In", "Out", "exit", "quit", "open", "get_ipython"}
Probability = Annotated[float, Rule(lambda value: 0 < value <= 1, "{} must be a probability above 0")]
Part = Annotated[float, Rule(lambda value: 0 < value < 1, "{} must be a share above 0 and below 1 (0.1 is a tenth), or null")]
Size = Annotated[int, at_least(1), at_most(10**6)]


@dataclass(frozen=True)
class Anchor:
    """The entries of `anchor`: which weights the encoder is kept near, by what rule, how strongly (docs/protecting.md)."""

    kind: Literal["l2sp", "ewc", "successive"]
    strength: Annotated[float, at_least(0)]  # λ of l2sp and ewc, δ of successive; 0: nothing is done
    to: str = "init"  # the weights that the run starts with, or those of a finished run
    rows: Count | None = None  # of ewc: rows of each of the anchor's tasks, over which the gradients' squares are averaged


@dataclass(frozen=True)
class Config:
    """All parameters of one training run. The defaults are those of notebook 02: the packaged sample, small enough for a CPU.

    Lengths are in wordpieces, `batch_size` in windows (of questions) or rows per step, `warmup` is a share of all steps. Shares are numbers
    from 0 to 1, not percentages.

    `threshold_articles` None becomes the sample's list, or [] if the rows are not the sample's or `threshold_ratio` is set.
    """

    run_dir: str | None = None  # folder that the run leaves behind; None: a new one, runs/001, runs/002 …
    encoder: str = DEFAULT_ENCODER  # a name on the Hugging Face hub, or a folder
    reinit_layers: Annotated[int, at_least(0)] = 0  # number of last layers to reinitialise, from the seed
    data: str = "sample"  # "sample", "hub", or a folder of TASK/SPLIT.jsonl.gz (.csv, .parquet …)
    tasks: list[str] = field(default_factory=lambda: ["squad", "swag", "cola", "mrpc", "mnli"])  # the first is the main one
    define: dict[str, dict] = field(default_factory=dict)  # further datasets: name → registry row
    scored_also: dict[str, dict] = field(default_factory=dict)  # further rows to score at the end: name → registry row, `task`, `data`
    qa_weight: Probability | None = 0.8  # probability of the main task at each step
    sharing: Literal["dataset", "group"] | None = "dataset"  # how the other tasks share 1 − qa_weight
    sampler: str = "weighted"  # one of SAMPLERS, or a custom function, module:function (`plugins`)
    temperature: Positive | None = None  # T of p ∝ size^(1/T): 1 is proportional, higher values are more uniform
    task_order: list[str] | None = None  # of a curriculum: all tasks, the easiest first; anti_curriculum begins with the last ones
    first_tasks: Count | None = None  # at first only this many tasks of that order are trained
    phase: Part | None = None  # for this share of the steps
    max_passes: Annotated[Positive, at_most(10**9)] | None = None  # of unimax: maximum number of passes over each task but the main one
    exhausted: Literal["cycle", "drop"] | None = "cycle"  # when an auxiliary dataset runs out within an epoch
    step: Literal["drawn", "joint"] = "drawn"  # a step is a batch of one task, drawn by its weight, or rows of each task (`balance`)
    balance: str | None = None  # how a joint step combines the tasks: one of BALANCES, or a custom function, module:function
    epochs: Annotated[Positive, at_least(1e-6)] = 3.0  # passes of the main task; may be fractional
    max_steps: Count | None = None  # ends the schedule early
    batch_size: Size = 16
    grad_accumulation: Annotated[int, at_least(1)] = 1  # pieces of a batch, to save memory; the batch stays batch_size
    learning_rate: Positive = 6e-4
    warmup: Share = 0.1
    weight_decay: Annotated[float, at_least(0)] = 0.01
    optimizer: Literal["adamax", "adamax_mtdnn", "adamw"] = "adamax"
    max_grad_norm: Positive | dict[str, Positive] = 1.0  # a step's gradient is clipped to it; or task → norm, 1 where not named
    head_dropout: Share = 0.3  # before the sc and mcc heads
    encoder_dropout: Share = 0.1
    loss: Literal["sum", "mean"] = "sum"  # of the start and the end cross entropy
    loss_weights: dict[str, Positive] = field(default_factory=dict)  # task → factor of its loss (default: 1)
    rate_factors: dict[str, Positive] = field(default_factory=dict)  # task → factor of learning_rate in its steps; 1 where not named
    max_length: Annotated[int, at_least(8), at_most(10**6)] = 160
    max_question: Size = 64
    overlap: Annotated[int, at_least(0), at_most(10**6)] = 40
    max_answer: Size = 30
    n_best: Annotated[int, at_least(1), at_most(10_000)] = 20
    threshold_articles: list[str] | None = (
        None  # titles held out of training to tune the threshold; None: the sample's own, if it is the data
    )
    threshold_ratio: Part | None = None  # or the share of the training questions held out for it, in whole titles (passages without titles)
    train_limit: Count | None = None  # maximum number of training rows per task
    eval_limit: Count | None = None  # maximum number of scored rows, and of held-out questions, per task
    metrics: list[str] = field(default_factory=list)  # custom scores, module:function each (`plugins`)
    eval_every: Count | None = None  # steps between scorings of the held-out questions, and of some scored rows of each task
    select: Literal["last", "best"] = "last"  # the final weights: of the last step, or of the best scoring (`training.selection`)
    patience: Count | None = None  # scorings without improvement after which training ends
    interference_every: Count | None = None  # steps between measurements of how the tasks' gradients agree (`training.interference`)
    log_every: Annotated[int, at_least(1)] = 10  # steps between writes of the log; only then does training wait for the device
    checkpoint_every: Count | None = None
    keep_checkpoints: bool = False  # whether a finished run keeps its last ones; an unfinished run needs them to resume
    log_with: str | list[str] | None = None  # experiment trackers, by accelerate's names: "tensorboard", "wandb" …
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    cuda_graphs: bool = False  # on a GPU, record each shape of step once and replay it (`training.cuda_graphs`)
    threads: Annotated[Count, at_most(4096)] | None = None  # processor threads; None: one per core, at most 4 (`runs.environment`)
    seed: Annotated[int, at_least(0)] = 0
    init_from: str | None = None  # a finished run whose model is the starting point
    anchor: dict | None = None  # the weights near which the encoder is kept, and how strongly (`Anchor`)
    resume: bool = False  # continue from the last checkpoint of run_dir

    def __post_init__(self) -> None:
        for key, value in checked(vars(self), Config).items():
            object.__setattr__(self, key, value)
        _check_tasks(self)
        if self.threshold_articles is None:
            object.__setattr__(self, "threshold_articles", _sample_articles(self))
        if self.anchor is not None:
            object.__setattr__(self, "anchor", _anchor(self.anchor, self))
        _check(self)

    @property
    def anchored(self) -> Anchor | None:
        """`anchor`, where it does something."""
        return Anchor(**self.anchor) if self.anchor and self.anchor["strength"] else None

    @property
    def datasets(self) -> dict[str, Dataset]:
        """Registry rows of this run's tasks, in order, with absolute paths of their files."""
        known = {**DATASETS, **{name: dataset_from(name, row) for name, row in self.define.items()}}
        return {task: _placed(f"define.{task}", known[task]) for task in self.tasks}

    @property
    def further(self) -> dict[str, Dataset]:
        """Registry rows of `scored_also`, in order, with absolute paths of their files."""
        tasks = self.datasets
        made = {name: scored_from(name, row, tasks.get(row.get("task", ""))) for name, row in self.scored_also.items()}
        return {name: _placed(f"scored_also.{name}", dataset) for name, dataset in made.items()}

    @property
    def own_sampler(self) -> Plugin | None:
        """The custom sampler, imported and checked; None for a built-in one. Raises ConfigError."""
        return None if self.sampler in SAMPLERS else find("sampler", self.sampler, PLUGIN_POINTS["sampler"])

    @property
    def own_balance(self) -> Plugin | None:
        """A custom balancing function, imported and checked; None for the kit's methods and without balancing. Raises ConfigError."""
        return None if self.balance in (None, *BALANCES) else find("balance", self.balance, PLUGIN_POINTS["balance"])

    @property
    def own_metrics(self) -> list[Plugin]:
        """The custom scores, imported and checked. Raises ConfigError."""
        return [find("metrics", name, PLUGIN_POINTS["metrics"]) for name in self.metrics]

    @property
    def plugins(self) -> list[Plugin]:
        """All custom functions. Reading parameters to train imports them; opening a run folder does not."""
        return [*filter(None, [self.own_sampler, self.own_balance]), *self.own_metrics]

    @property
    def plugin_records(self) -> dict[str, dict[str, str]]:
        """The manifest's record of all custom functions, by their names in the parameters, and of custom task types, "type NAME"."""
        types = {f"type {d.type}": REGISTERED[d.type] for d in self.datasets.values() if d.type in REGISTERED}
        return {**{one.name: one.record() for one in self.plugins}, **types}

    def task_of(self, name: str) -> str:
        """The task that scores the set `name` of metrics.json: the task itself, also for the rest of its split; for `scored_also` its
        `task`, or else the first."""
        return self.scored_also[name].get("task", self.tasks[0]) if name in self.scored_also else name.removesuffix(REST)

    def data_of(self, name: str) -> str:
        """Where the rows of the set `name` of metrics.json are: "sample", "hub" or a folder, as an absolute path."""
        data = self.scored_also.get(name, {}).get("data", self.data)
        return data if data in ("sample", "hub") else str(resolve(data))

    def dataset_of(self, name: str) -> Dataset:
        """The registry row of the set `name` of metrics.json."""
        return self.further[name] if name in self.scored_also else self.datasets[self.task_of(name)]

    def to_yaml(self) -> str:
        """The parameters as a parameter file."""
        return yaml.safe_dump(asdict(self), sort_keys=False, allow_unicode=True)


def from_params(namespace: Mapping[str, Any]) -> Config:
    """Config from a notebook's `globals()`: every public literal that IPython did not define must be a parameter.

    Raises ConfigError that starts with the key, if it is unknown, has the wrong type, or contradicts another one.
    """
    return _found(Config(**only(namespace, [f.name for f in fields(Config)])))


def only(namespace: Mapping[str, Any], known: list[str]) -> dict[str, Any]:
    """A notebook's parameters, by name: those in `known`. Raises ConfigError for any other public literal."""
    literal = (str, int, float, bool, list, tuple, dict, type(None))
    public = {k: v for k, v in namespace.items() if not k.startswith("_") and k not in IPYTHON_NAMES}
    named = {k: v for k, v in public.items() if isinstance(v, literal) or k in known}
    known_keys(named, known, what="parameter", hint=" (A variable of your own begins with _.)")
    return named


def from_file(path: str | Path, **changes: Any) -> Config:
    """Config from a YAML parameter file, with `changes` on top. A relative path starts at the project (see `project_root`).

    Raises ConfigError for a missing file, a file of another kind, or an invalid parameter.
    """
    try:
        params = read_yaml(text_of(resolve(str(path))))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); looked for {resolve(str(path))}") from None
    except YamlError as error:
        raise ConfigError(f"{path}: not a YAML parameter file ({error})") from None
    if not isinstance(params, dict):
        raise ConfigError(f"{path}: a parameter file must consist of lines of the form `key: value`")
    given = {**params, **changes}
    known_keys(given, [f.name for f in fields(Config)], what="parameter")
    return _found(Config(**given))


def _found(config: Config) -> Config:
    """The same parameters, after importing and checking their custom functions. Raises ConfigError."""
    _ = config.plugins
    return config


def _placed(at: str, dataset: Dataset) -> Dataset:
    """A registry row whose files are absolute paths; at: its place in the parameters."""
    found = {}
    for split, file in dataset.files.items():
        try:
            found[split] = str(resolve(file))
        except ConfigError as error:
            raise ConfigError(f"{at}.files.{split}: {error}") from None
    return replace(dataset, files=found) if found else dataset


def _check(c: Config) -> None:
    """Checks constraints between parameters; raises ConfigError that names the first one that fails."""
    _check_threshold(c)
    _check_sampler(c)
    _check_step(c)
    require(c.grad_accumulation <= c.batch_size, f"grad_accumulation: it must be at most batch_size, {c.batch_size}; lower it")
    require(not c.cuda_graphs or c.grad_accumulation == 1, "cuda_graphs: it needs whole batches: set grad_accumulation to 1")
    twice = next((name for name in c.metrics if c.metrics.count(name) > 1), None)
    require(twice is None, f"metrics: {short(twice)} is named twice")
    require(not c.resume or c.run_dir is not None, "resume: it continues the run in run_dir: name run_dir")
    norms = c.max_grad_norm if isinstance(c.max_grad_norm, dict) else {}
    for key, named in {"loss_weights": c.loss_weights, "rate_factors": c.rate_factors, "max_grad_norm": norms}.items():
        for task in named:
            require(task in c.tasks, f"{key}: {short(task)} is none of the tasks {some(c.tasks)}")


def _anchor(given: dict, c: Config) -> dict[str, Any]:
    """The entries of `anchor`, checked. Raises ConfigError that names the first one at fault."""
    known_keys(given, [f.name for f in fields(Anchor)], "anchor.", "entry")
    for key in ("kind", "strength"):
        require(key in given, f"anchor: lacks {key}; write e.g. {{to: init, kind: l2sp, strength: 0.01}}")
    found = checked(given, Anchor, "anchor.")
    kind, to = found["kind"], found.get("to", "init")
    require(kind != "ewc" or found.get("rows"), "anchor.rows: kind 'ewc' needs it: rows of each of the anchor's tasks, e.g. 200")
    require(kind == "ewc" or found.get("rows") is None, f"anchor.rows: kind {kind!r} does not use it: leave it out")
    if kind == "successive":
        alone = "kind 'successive' keeps the weights before each task's block"
        require(c.sampler == "sequential", f"anchor.kind: {alone}: it needs sampler 'sequential', not {c.sampler!r}")
        require(to == "init", f"anchor.to: {alone}, not those of a run: leave it out")
    most = max([1.0, *c.rate_factors.values()])
    far = c.learning_rate * most * found["strength"]
    named = f"learning_rate · strength{' · the largest of rate_factors' if most > 1 else ''}"
    past = f"{named} is {far:.3g}, and above 1 l2sp moves a weight past its anchor: lower one of them"
    require(kind != "l2sp" or far <= 1, f"anchor.strength: {past}")
    both = c.reinit_layers and to == "init"
    require(not both, "anchor: it would hold the layers of reinit_layers near random weights: set reinit_layers to 0, or set anchor.to")
    return vars(Anchor(**found))


def _check_tasks(c: Config) -> None:
    require(bool(c.tasks), "tasks: the list is empty: name at least one task")
    known = [*DATASETS, *c.define]
    for key, rows in (("define", c.define), ("scored_also", c.scored_also)):
        for name in rows:
            _check_name(key, name, [*known, *c.scored_also])
    for name, row in c.define.items():
        dataset_from(name, row)
    for task in c.tasks:
        require(task in known, f"tasks: unknown task {short(task)}.{nearest(task, known)} Choose from {some(known)}, or define it")
        require(c.tasks.count(task) == 1, f"tasks: {short(task)} is named twice")
        _check_case("tasks", task, c.tasks)
    for name, row in c.scored_also.items():
        require(name not in c.define, f"scored_also: {name!r} is also a task of `define`: choose another name")
        _check_scored(c, name, row)


def _check_scored(c: Config, name: str, row: dict) -> None:
    """Checks a set of `scored_also`: the task that scores it, where its rows are, and their definition."""
    at, first, task = f"scored_also.{name}", c.tasks[0], row.get("task")
    require("task" not in row or task in c.tasks, f"{at}.task: {short(task)} is not one of the tasks {some(c.tasks)}")
    named = isinstance(row.get("data", "sample"), str) and row.get("data", "sample")
    require(named, f'{at}.data is {short(row.get("data"))}; it must be "sample", "hub" or a folder')
    base = c.datasets[task] if task else None
    scored_from(name, row, base)
    qa = base or c.datasets[first].type == "qa"
    require(qa, f"{at}: without `task` the first task scores it, and {short(first)} is not question answering: name the task")


def _check_name(key: str, name: str, names: list[str]) -> None:
    """Raises ConfigError if a custom dataset cannot have that name; names: all names in use."""
    require(len(name) <= 40, f"{key}: {short(name)}: files are named after it: use at most 40 characters")
    require(name not in DATASETS, f"{key}: {name!r} is already a task of the kit: choose another name")
    _check_case(key, name, names)
    require(not name.casefold().endswith(REST), f"{key}: {short(name)}: names that end in {REST} are reserved; choose another")
    require(name.replace("_", "").replace("-", "").isalnum(), f"{key}: {short(name)}: use only letters, digits, - and _")


def _check_threshold(c: Config) -> None:
    has_qa = any(dataset.type == "qa" for dataset in c.datasets.values())
    for key, given in {"threshold_articles": c.threshold_articles, "threshold_ratio": c.threshold_ratio}.items():
        require(has_qa or not given, f"{key}: only question answering has a threshold, and no task is of that type: leave it out")
    require(not (c.threshold_articles and c.threshold_ratio), "threshold_ratio: threshold_articles is set as well: leave out one")
    held_out = c.threshold_articles or c.threshold_ratio
    some = held_out or any(dataset.score for dataset in c.datasets.values())
    require(c.eval_every is None or some, "eval_every: it scores held-out questions and scored rows, but there are neither: set it to null")
    main = c.datasets[c.tasks[0]]
    for key, given in {"select": c.select == "best", "patience": c.patience}.items():
        require(not given or c.eval_every, f"{key}: it uses the scorings of eval_every: set eval_every")
        fit = held_out and main.type == "qa" and main.score
        require(
            not given or fit,
            f"{key}: it uses the first task's held-out questions: that task must be question answering, scored, with "
            "threshold_articles or threshold_ratio",
        )


def _sample_articles(c: Config) -> list[str]:
    """The titles that are held out by default: those of the packaged sample, for the scored tasks that read it."""
    if c.data != "sample" or c.threshold_ratio:
        return []
    found = [d for d in c.datasets.values() if (d.type, d.train) == ("qa", "train") and d.score and not (d.files or d.validation_ratio)]
    return list(dict.fromkeys(title for d in found for title in SAMPLE_ARTICLES.get(d.folder, ())))


def _check_case(key: str, name: str, names: list[str]) -> None:
    """Raises ConfigError if another name differs only in upper and lower case: Windows and macOS treat their files as the same."""
    like = next((other for other in names if other != name and other.casefold() == name.casefold()), None)
    alone = "only in upper and lower case, so their files can be the same"
    require(like is None, f"{key}: {short(name)} and {short(like)} differ {alone}: choose another name")


def _check_named(key: str, name: str, names: tuple[str, ...]) -> None:
    """Raises ConfigError for what is neither one of the kit's names nor written as a custom function."""
    known = name in names or ":" in name or (name.isidentifier() and name in dict(installed(PLUGIN_POINTS[key].group)))
    kinds = f"is neither one of {', '.join(names)} nor a custom function (module:function)"
    require(known, f"{key}: {short(name)} {kinds}.{nearest(name, list(names))}")


def _check_step(c: Config) -> None:
    if c.step == "drawn":
        require(c.balance is None, "balance: combines the tasks of a joint step: set it to null, or step to joint")
        return
    require(c.balance, f"balance: a joint step needs it, e.g. sum: one of {', '.join(BALANCES)}, or a custom function (module:function)")
    _check_named("balance", str(c.balance), BALANCES)
    require(len(c.tasks) > 1, "step: a joint step combines several tasks: name another one in tasks, or set it to drawn")
    limits = c.sampler in ("unimax", "sequential")
    require(not limits, f"sampler: {c.sampler!r} has no joint step, which has rows of every task: choose another, or set step to drawn")
    require(c.exhausted == "cycle", "exhausted: a joint step has rows of every task: set it to cycle")
    require(not c.cuda_graphs, "cuda_graphs: records steps of one task: set it to false, or step to drawn")
    require(c.sampler not in CURRICULA, f"sampler: {c.sampler!r} trains some tasks alone at first, a joint step all: set step to drawn")
    require(not c.rate_factors, "rate_factors: a joint step has one rate for all its tasks: leave them out; loss_weights weigh the tasks")
    one = not isinstance(c.max_grad_norm, dict)
    require(one, "max_grad_norm: a joint step has one gradient of all its tasks: set a single number")
    weighs = c.balance != "dwa" or c.epochs > 2
    require(weighs, "epochs: balance 'dwa' weighs the tasks by their losses of the two epochs before: it needs more than 2")


def _check_sampler(c: Config) -> None:
    own = c.sampler not in SAMPLERS
    _check_named("sampler", c.sampler, SAMPLERS)
    for key, (samplers, values) in SAMPLER_SETTINGS.items():
        used, given = c.sampler in samplers or (own and key == "exhausted"), getattr(c, key) is not None
        require(given or not used, f"{key}: sampler {c.sampler!r} needs it: {values}")
        require(used or not given, f"{key}: sampler {c.sampler!r} does not use it: set it to null")
    require(c.sampler != "annealed" or c.epochs > 1, "epochs: sampler 'annealed' changes with the epoch: set it above 1")
    if c.sampler in CURRICULA:
        _check_curriculum(c)
    if c.sampler == "weighted" and c.qa_weight is not None:  # as required above
        alone = len(c.tasks) == 1 and c.qa_weight < 1
        require(not alone, f"qa_weight: {c.qa_weight} leaves {1 - c.qa_weight:.3g} for other tasks, but there are none: set it to 1.0")


def _check_curriculum(c: Config) -> None:
    order, first = c.task_order or [], c.first_tasks or 0
    same = sorted(order) == sorted(c.tasks)
    require(same, f"task_order: {some(order)} must name each of the tasks {some(c.tasks)} once, the easiest first")
    require(first < len(order), f"first_tasks: {first} of {len(order)} tasks leave none for later: set it below {len(order)}")
    require(c.qa_weight != 1.0, f"qa_weight: 1.0 draws {short(c.tasks[0])} alone; sampler {c.sampler!r} needs the others: set it below 1")
