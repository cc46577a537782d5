"""Everything that a run does before its first step: rows, features, tokenizer, schedule. No model weights, no device.

Notebook 02 shows the result before it trains; `trainer` uses it unchanged.
"""

import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from mtdnn_kit.balance.gradients import check_solver
from mtdnn_kit.balance.schedule import JointSchedule, draw_joint
from mtdnn_kit.config import Config
from mtdnn_kit.data.cache import code_of, kept, key_of
from mtdnn_kit.data.registry import REGISTERED, REST
from mtdnn_kit.data.sources import load
from mtdnn_kit.data.table import RowList, column, permuted, pick
from mtdnn_kit.errors import ConfigError, KitWarning
from mtdnn_kit.files.checks import require
from mtdnn_kit.files.json_files import read_json
from mtdnn_kit.files.packages import versions
from mtdnn_kit.files.paths import resolve
from mtdnn_kit.files.wording import short
from mtdnn_kit.model.encoders import Encoder, find_encoder
from mtdnn_kit.model.layers import check_layers
from mtdnn_kit.model.multitask import MultiTask, load_encoder_config, load_model, load_tokenizer, takes_token_types
from mtdnn_kit.model.own_scores import try_own_scores
from mtdnn_kit.model.provenance import NOT_KNOWN, trained_before
from mtdnn_kit.runs.run import Run
from mtdnn_kit.sampler import CURRICULA, Phase, Schedule, batch_count, batches, custom_plan, draw, first_phase, generator, shares, weights
from mtdnn_kit.tasks import TYPES
from mtdnn_kit.training.distributed import launched
from mtdnn_kit.training.hold_out import check_not_trained_on, hold_out, not_tuned
from mtdnn_kit.training.selection import check_selection

CODE = ("tasks", "data", "files", "metrics")  # the code that turns rows into features
SLICE = 200  # maximum number of a task's scored rows that are scored during training
FEATURE_PACKAGES = ("tokenizers", "transformers", "numpy")


@dataclass(frozen=True)
class Setup:
    """A run before its first step. `train`, `held_out`, `scored`: task → features; `held_out` are the questions that tune the threshold.

    `scored` may also hold the rest of a split that was cut, as TASK_rest (`registry.REST`), and the further sets of `scored_also`.
    """

    config: Config
    encoder: Encoder
    tokenizer: Any
    train: dict[str, Any]
    held_out: dict[str, Any]
    scored: dict[str, Any]
    schedule: Schedule | JointSchedule
    probabilities: dict[str, float]
    sources: dict[str, dict]
    processes: int = 1  # that train jointly: a batch has `batch_size` items for each of them
    anchor: Encoder | None = None  # the model of the run that `anchor` names
    slices: dict[str, Any] = field(default_factory=dict)  # the part of each task's scored rows that `eval_every` scores
    warned: tuple[str, ...] = ()  # warnings: doubtful, but trained anyway
    passes: dict = field(default_factory=dict, repr=False, compare=False)  # batches of the passes in use; of joint steps their rows

    @property
    def specs(self) -> dict[str, dict]:
        """What the model needs to know about each task: its type, and its outputs per token (qa), row (sc) or choice (mcc)."""
        found = {}
        for task, d in self.config.datasets.items():
            outputs = getattr(TYPES[d.type], "OUTPUTS", None)
            found[task] = {"type": d.type, **({"labels": outputs} if outputs else {"labels": len(d.labels), "names": list(d.labels)})}
        return found

    @property
    def batch_size(self) -> int:
        """Items of a whole batch, over all processes."""
        return self.config.batch_size * self.processes

    def parts(self, step: int) -> dict[str, np.ndarray]:
        """{task: its items} of a step (from 0): of the drawn task only, or of every task (`step: joint`), the main one first."""
        if isinstance(self.schedule, Schedule):
            return dict([self.batch(step)])
        return {task: self._rows(task, *span) for task, span in self.schedule.at(step).items()}

    def batch(self, step: int) -> tuple[str, np.ndarray]:
        """The task of a drawn step (from 0) and the items of its batch, over all processes."""
        assert isinstance(self.schedule, Schedule)
        task, pass_, number = self.schedule.at(step)
        if self.passes.get(task, (None,))[0] != pass_:
            self.passes[task] = pass_, self._batches(task, pass_)
        return task, self.passes[task][1][number]

    def table(self) -> list[dict]:
        """One row per task: rows, windows or sequences, mean and longest length in tokens, share of padding, batches per pass,
        probability."""
        return [self._table_row(task) for task in self.train]

    def _batches(self, task: str, pass_: int, size: int = 0) -> list[np.ndarray]:
        return batches(self.config.seed, task, pass_, self.train[task].lengths, size or self.batch_size)

    def _rows(self, task: str, start: int, count: int) -> np.ndarray:
        """`count` items from number `start` on, through all passes of a task, in the order of batches as large as its share of a step."""
        n, found = len(self.train[task].lengths), list[np.ndarray]()
        for pass_ in range(start // n, (start + count - 1) // n + 1):
            if self.passes.get(task, (None,))[0] != pass_:
                size = max(1, round(self.batch_size * self.probabilities[task]))
                self.passes[task] = pass_, np.concatenate(self._batches(task, pass_, size))
            found.append(self.passes[task][1][max(start - pass_ * n, 0) : start + count - pass_ * n])
        return np.concatenate(found)

    def _table_row(self, task: str) -> dict:
        features, lengths = self.train[task], self.train[task].lengths
        padded = sum(len(batch) * lengths[batch].max() for batch in self._batches(task, 0))
        return {
            "task": task,
            "type": self.config.datasets[task].type,
            "rows": len(features.rows),
            "windows": len(lengths),
            "mean tokens": round(float(lengths.mean()), 1),
            "longest": int(lengths.max()),
            "padding": f"{1 - lengths.sum() / padded:.1%}",
            "batches": batch_count(len(lengths), self.batch_size),
            "probability": round(self.probabilities[task], 4),
            "held out": len(self.held_out[task].rows) if task in self.held_out else 0,
            "scored": len(self.scored[task].rows) if task in self.scored else 0,
        }


def prepare(config: Config) -> Setup:
    """Reads and checks all rows, makes the features and draws the schedule, for all processes that a launcher started.

    Warns if the main task's threshold will not be tuned (`hold_out.not_tuned`), or if the run is too short for its method. Raises
    DataError, EncoderError, ConfigError, PluginError or another ValueError, each saying what to change, before anything is trained or
    written.
    """
    rank, processes = launched()
    _ = config.plugins  # report their errors before reading rows
    check_solver(config.balance)
    alone = config.step == "drawn" or processes == 1
    require(alone, f"step: a joint step is made by one process, and there are {processes}: start one, or set it to drawn")
    anchor = _of_run("anchor.to", config.anchored.to) if config.anchored and config.anchored.to != "init" else None
    encoder = _encoder(config, anchor)
    types = [dataset.type for dataset in config.datasets.values()]
    architecture = load_encoder_config(encoder.path, config.max_length, types)
    check_layers(architecture, encoder.path.name, config.reinit_layers)
    segments = takes_token_types(architecture)
    tokenizer = load_tokenizer(encoder.path)
    rows, sources = read_rows(config)
    known = tokenizer_digest(tokenizer)
    train, held_out, scored = (make_features(config, some, tokenizer, segments, known) for some in rows)
    check_selection(config, held_out)
    try_own_scores(config, scored)
    sizes = {task: batch_count(len(f.lengths), config.batch_size * processes) for task, f in train.items()}
    items = {task: len(f.lengths) for task, f in train.items()}
    schedule, probabilities = schedule_of(config, sizes, items)
    warned = tuple(filter(None, [not_tuned(config, *rows), _too_short(config, schedule)]))
    for said in warned if rank == 0 else ():
        warnings.warn(said, KitWarning, stacklevel=2)
    slices = {task: _subset(f.rows, SLICE) for task, f in scored.items() if config.eval_every and task in train}
    watched = make_features(config, slices, tokenizer, segments, known)
    made = Setup(config, encoder, tokenizer, train, held_out, scored, schedule, probabilities, sources, processes, anchor, watched, warned)
    if config.init_from:
        _check_heads(config.init_from, made.specs)
    others = [config.init_from, config.anchored.to if anchor and config.anchored else None]
    check_not_trained_on(config, sources, [name for name in others if name])
    return made


def schedule_of(
    config: Config, sizes: dict[str, int], items: dict[str, int] | None = None
) -> tuple[Schedule | JointSchedule, dict[str, float]]:
    """The schedule, and the probability of each task (mean over the steps, if it changes). sizes: task → batches per pass; items: its rows
    or windows, for joint steps; by default those of whole batches.

    Raises ValueError if it would be too long, or if a joint step would lack a task.
    """
    types, function = [d.type for d in config.datasets.values()], config.own_sampler

    @cache
    def p(epoch: int) -> np.ndarray:
        if function:
            return custom_plan(function, config.seed, sizes, config.exhausted, config.epochs, epoch)
        shared = config.qa_weight, config.sharing, config.temperature, epoch, config.epochs, config.max_passes, config.max_steps
        return weights(config.sampler, list(sizes.values()), types, *shared)

    phase = _phase(config, sizes, p(1)) if config.sampler in CURRICULA else None
    if config.step == "joint":
        rows = items or {task: n * config.batch_size for task, n in sizes.items()}
        schedule: Schedule | JointSchedule = draw_joint(rows, p, config.batch_size, config.epochs, config.max_steps)
    else:
        limits = config.exhausted, config.epochs, config.max_steps, config.sampler, config.max_passes
        schedule = draw(config.seed, sizes, p, *limits, phase)
    epochs, steps = np.unique(schedule.epoch, return_counts=True)
    mean = np.average([shares(p(int(epoch)), len(sizes)) for epoch in epochs], axis=0, weights=steps)
    if phase:
        mean += (phase.p - mean) * min(phase.steps / len(schedule), 1)
    return schedule, dict(zip(sizes, mean.tolist(), strict=True))


def _too_short(config: Config, schedule: Schedule | JointSchedule) -> str | None:
    """A warning if `max_steps` ends the run before the epoch from which the method differs from a simpler one; else None."""
    last, both = int(schedule.epoch[-1]), {"sampler": ("annealed", 2, "proportional"), "balance": ("dwa", 3, "sum")}
    for key, (method, first, simpler) in both.items():
        if getattr(config, key) == method and last < first:
            said = f"{key}: {method!r} differs from {simpler!r} from epoch {first} on, and all {len(schedule):,} steps lie before"
            return f"{said}: set max_steps to null, or a larger number"
    return None


def _phase(config: Config, sizes: dict[str, int], p: np.ndarray) -> Phase:
    """The first phase of a curriculum: the first tasks of `task_order`, or the last ones, the hardest."""
    order = config.task_order or []
    first = (order if config.sampler == "curriculum" else order[::-1])[: config.first_tasks]
    main = config.epochs * sizes[config.tasks[0]]
    return first_phase(p, [task in first for task in sizes], config.phase or 0.0, main, config.max_steps)


def read_rows(config: Config, training: bool = True) -> tuple[tuple[dict, ...], dict[str, dict]]:
    """Rows by task: to train on, held out to tune the threshold, to score; and the origin of each split, with its fingerprint.

    training: False reads only the scored rows. Raises DataError, and ConfigError if rows to hold out are missing.
    """
    datasets = config.datasets
    wanted = [(t, d, s) for t, d in datasets.items() for s in dict.fromkeys((d.train if training else None, d.score)) if s]
    wanted += [(name, d, str(d.score)) for name, d in config.further.items()]
    tables = {(t, s): load(t, d, s, config.data_of(t)) for t, d, s in wanted}
    if config.data == "hub":  # the rest of a cut split is scored as well
        tables |= {(t + REST, d.score): load(t, d, d.score, "hub", rest=True) for t, d in datasets.items() if d.score and d.cut}
    train = {task: tables[task, d.train].rows for task, d in datasets.items()} if training else {}
    held_out, train = hold_out(train, config) if training else ({}, {})
    named = {name: d.score for task, d in {**datasets, **config.further}.items() if d.score for name in (task, task + REST)}
    scored = {name: tables[name, split].rows for name, split in named.items() if (name, split) in tables}
    sources = {
        f"{t}/{s}": {"origin": r.origin, "rows": len(r), "fingerprint": r.fingerprint, "file": r.file} for (t, s), r in tables.items()
    }
    limits = (config.train_limit, config.eval_limit, config.eval_limit)
    parts = zip((train, held_out, scored), limits, strict=True)
    train, held_out, scored = ({task: _subset(some, limit) for task, some in part.items()} for part, limit in parts)
    for task, d in datasets.items():
        if d.permute_labels and training:
            train[task], sources[f"{task}/{d.train}"]["permuted_labels"] = _permuted(task, train[task], config.seed)
    return (train, held_out, scored), sources


def make_features(config: Config, rows: dict[str, Sequence], tokenizer: Any, segments: bool, known: str | None = None) -> dict[str, Any]:
    """Features of rows by task; `segments`: whether the encoder takes token types; `known`: the tokenizer's digest, None: computed.
    The costly part is cached (`cache`)."""
    datasets, made, known = {name: config.dataset_of(name) for name in rows}, {}, known or tokenizer_digest(tokenizer)
    for name, d in datasets.items():
        some, kind = rows[name], TYPES[d.type]
        settings = {key: getattr(config, key) for key in kind.SETTINGS}
        columns = kept(_key(d.type, some, known, settings), partial(kind.encode, some, tokenizer, **settings))
        made[name] = kind.features(some, d, tokenizer, config, segments, columns)
    return made


def tokenizer_digest(tokenizer: Any) -> str:
    """sha256 of a tokenizer's behaviour, without its state (the last truncation)."""
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()
    text = f"{type(tokenizer).__name__} {tokenizer.truncation_side} {tokenizer.backend_tokenizer.to_str()}"
    return hashlib.sha256(text.encode()).hexdigest()


def _key(kind: str, rows: Sequence, tokenizer: str, settings: dict) -> str | None:
    """The cache key of features, from all that they depend on; None if the rows do not come from a file."""
    if not isinstance(rows, RowList):
        return None
    own = REGISTERED[kind]["sha256"] if kind in REGISTERED else hashlib.sha256(Path(TYPES[kind].__file__).read_bytes()).hexdigest()
    code = code_of(*CODE) + own  # a registered type is outside the kit, and counts as it was when it was imported
    return key_of(
        "features", type=kind, rows=rows.digest, tokenizer=tokenizer, settings=settings, code=code, versions=versions(FEATURE_PACKAGES)
    )


def _encoder(config: Config, anchor: Encoder | None) -> Encoder:
    """The encoder's files; those of the run's model where `init_from` names one. It also counts as trained on what its anchor was trained
    on."""
    if config.init_from is None:
        found = find_encoder(config.encoder)
    else:
        found = _of_run("init_from", config.init_from)
        if (other := Run(config.init_from).config["encoder"]) != config.encoder:
            raise ConfigError(f"encoder: {config.encoder!r}, but the run of init_from has {other!r}; name the same one")
    met = [*(found.trained_on or [NOT_KNOWN]), *(anchor.trained_on or ())] if anchor else found.trained_on
    return replace(found, name=config.encoder, trained_on=met and list(dict.fromkeys(met)))


def _of_run(key: str, name: str) -> Encoder:
    """The files of the model that a finished run left, and what it was trained on. Raises ConfigError, with the parameter's name."""
    run = Run(name)
    if not run.finished:
        raise ConfigError(f"{key}: {run.path} is not a finished run; name the folder of one")
    require((run.path / "model").is_dir(), f"{key}: {run.path} has no model/: train the run again, or copy model/ back")
    before = [*(trained_before(run) or [NOT_KNOWN]), *run.types]
    return replace(find_encoder(str(run.path / "model")), name=run.path.name, origin="run", trained_on=before)


def _check_heads(first: str, specs: dict[str, dict]) -> None:
    """Raises ConfigError if a head of the run of `init_from` has other labels than its task has now (`Setup.specs`)."""
    for task, before in read_json((resolve(first) / "model" / "tasks.json").read_bytes()).items():
        own, now = before.get("names"), specs.get(task, {}).get("names")
        said = f"define: the labels of {task} are {short(now)}, and {short(own)} in the run of init_from"
        require(not (own and now and own != now), f"{said}: write them as there, or give the task another name for a new head")


def of_anchor(setup: Setup, model: MultiTask) -> tuple[MultiTask, Setup]:
    """The model whose tasks an ewc anchor is to protect, and their training rows: the run's own, or those of the run that `anchor` names.

    Raises ConfigError where these rows are no longer those that it was trained on; else as `prepare`.
    """
    if setup.anchor is None:
        return model, setup
    run = Run(setup.anchor.path.parent)
    (rows, *_), sources = read_rows(replace(run.parameters, scored_also={}))
    for name, source in sources.items():
        if run.manifest["data"].get(name, {}).get("fingerprint") != source["fingerprint"]:
            raise ConfigError(f"anchor.to: the rows of {name} are no longer those that {run.path} was trained on, which ewc needs")
    before, tokenizer = load_model(setup.anchor.path)
    train = make_features(run.parameters, rows, tokenizer, takes_token_types(before.encoder.config))
    return before, replace(setup, config=run.parameters, train=train, passes={})


def _permuted(task: str, rows: Sequence, seed: int) -> tuple[Sequence, dict[str, int]]:
    """The rows with their labels permuted, differently for each seed and task, and the manifest's record of it."""
    made = permuted(rows, generator(seed, "permute_labels", task).permutation(len(rows)))
    changed = np.count_nonzero(np.array(column(made, "label")) != np.array(column(rows, "label")))
    return made, {"seed": seed, "rows": len(rows), "changed": int(changed)}


def _subset(rows: Sequence, limit: int | None) -> Sequence:
    """At most `limit` rows, spread over the file, the same for every seed; their order is kept."""
    if limit is None or limit >= len(rows):
        return rows
    return pick(rows, np.sort(generator(0, "subset").permutation(len(rows))[:limit]))
