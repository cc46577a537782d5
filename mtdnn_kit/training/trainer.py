"""train(config) → run folder: all that comes before and after the steps (`loop`), with accelerate.

Claims and locks the folder, moves model and optimizer to the device, restores a checkpoint if the run resumes; at the end writes and scores
the model. Several processes, each with a device, make the same steps on a share of each batch; only rank 0 writes.
"""

import sys
import warnings
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedDataParallelKwargs, GradientAccumulationPlugin, ProjectConfiguration

from mtdnn_kit.balance.anchors import Successive, check_shapes, pull_of, starting_weights, weights_of_run
from mtdnn_kit.balance.fisher import drawn_rows, squared_gradients
from mtdnn_kit.balance.kept import ANCHOR, keep, kept
from mtdnn_kit.balance.step import Joint, Parts
from mtdnn_kit.config import Config
from mtdnn_kit.errors import ConfigError, PluginError, TrainingError
from mtdnn_kit.files.atomic import write_folder, write_json, write_whole
from mtdnn_kit.files.checks import require
from mtdnn_kit.files.locks import held
from mtdnn_kit.files.packages import versions
from mtdnn_kit.files.wording import short, some
from mtdnn_kit.model.devices import describe, resolve_device, resolve_precision
from mtdnn_kit.model.evaluation import evaluate, tuned
from mtdnn_kit.model.meter import Meter
from mtdnn_kit.model.multitask import MultiTask, build_model, save_model
from mtdnn_kit.runs.claim import check_claim, claim
from mtdnn_kit.runs.code_hash import code_hash
from mtdnn_kit.runs.environment import default_threads
from mtdnn_kit.runs.origin import lock, made_with, resumes
from mtdnn_kit.runs.pruning import tidy
from mtdnn_kit.runs.run import LOCK_FILE, REQUIREMENTS, Run, checkpoints, now
from mtdnn_kit.training import failures
from mtdnn_kit.training.bookkeeping import Bookkeeper
from mtdnn_kit.training.checkpoints import Point, restore
from mtdnn_kit.training.cuda_graphs import Graphs
from mtdnn_kit.training.distributed import World, join
from mtdnn_kit.training.hold_out import record
from mtdnn_kit.training.interruptions import Interrupted, Stop
from mtdnn_kit.training.log import FOLDER, Recorder, check_trackers, trackers_of
from mtdnn_kit.training.loop import backward, loss_of, pieces_of, train_steps
from mtdnn_kit.training.odd_rows import odd_counts
from mtdnn_kit.training.optim import make_optimizer
from mtdnn_kit.training.setup import Setup, of_anchor, prepare

GONE = 30.0  # seconds that a killed process may take to release its folder
RUN_PACKAGES = ("torch", "transformers", "tokenizers", "accelerate", "safetensors", "numpy")


def train(config: Config, setup: Setup | None = None, watch: Callable[[list[dict]], None] | None = None) -> Run:
    """Trains, evaluates and writes a run folder (docs/start.md, "What a run leaves").

    setup: what `prepare(config)` returned, if it was called before. watch: called with the new log records every `log_every` steps (for a
    resumed run, first with the old ones). SIGTERM and SIGINT end it with a checkpoint (`Stop`). If a launcher has started several
    processes, each makes the same call (`distributed`). Raises DataError, EncoderError or ConfigError before the first step, RunError if
    the disk is too small for the run, LockedError if another process trains in that folder; later TrainingError if the loss is not finite
    or memory runs out, RunError if the folder cannot be written or no checkpoint can be read.
    """
    require(isinstance(config, Config), f"config: {short(config)} is not parameters; read a file with from_file, or make a Config.")
    device = resolve_device(config.device)
    with join(device) as world:
        setup = setup or world.in_turn(partial(prepare, config))
        _check(config, setup, device, world)
        rates = config.encoder_dropout, config.head_dropout
        model = build_model(setup.encoder.path, setup.specs, *rates, config.max_length, config.seed, config.reinit_layers)
        if setup.anchor:
            check_shapes(model.encoder, setup.anchor)
        with Stop(copies=world.size > 1) as stop, failures.on_disk(config.run_dir or "a new one"):
            run = world.alone(partial(claim, config))
            with held(run.path / LOCK_FILE, "a training is running", GONE) if world.first else nullcontext():
                if not world.alone(partial(_checked_again, run, config)):
                    return _train(run, setup, model, device, watch, stop, world)
    if watch and world.first:
        watch(run.log())
    return run


def _train(run: Run, setup: Setup, model: MultiTask, device: torch.device, watch: Callable | None, stop: Stop, world: World) -> Run:
    """The steps, and what comes before and after them; only this training, through rank 0, uses the run's folder."""
    config, need = setup.config, failures.disk_bytes(model, setup)
    torch.set_num_threads(config.threads or world.alone(partial(_threads, run)) or world.threads(default_threads()))
    manifest, meter = world.alone(partial(_begin, run, setup, device, need)), Meter(device)
    with failures.accounted(run, manifest) if world.first else nullcontext(), world:
        accelerator = _accelerator(setup, run, device, world, manifest["precision"])
        optimizer = make_optimizer(config.optimizer, model, config.learning_rate, config.weight_decay)
        at, fisher = world.in_turn(partial(_anchor, run, setup, model, accelerator), world.first) if config.anchored else ({}, None)
        with failures.memory(setup, doing="the model on the device"):
            joined, optimizer = _prepared(accelerator, model, optimizer)
        point = world.in_turn(partial(restore, run, model, optimizer), world.first) if config.resume else Point()
        same = world.alike(point.step)
        require(same, f"run_dir: the processes see different checkpoints of {run.path}: name a folder that all machines share.")
        log = Recorder(run, setup, point.step, point.logs, watch, accelerator) if world.first else None
        loss = partial(loss_of, accelerator, model, setup)
        gradients = Graphs(accelerator, joined, setup).backward if config.cuda_graphs else partial(backward, accelerator, joined, setup)
        by_block = partial(Successive, tasks=setup.schedule.task, run=run, writes=world.first, first=point.step)
        pull = pull_of(config.anchored, model.encoder, at, fisher, by_block)
        seed, within = partial(world.seed, config.seed), partial(failures.memory, setup)
        joint = _joint(setup, model, gradients, loss, seed, point) if config.step == "joint" else None
        books = Bookkeeper(run, setup, model, optimizer, log, stop, world, manifest["precision"], loss, point, joint)
        gradient = joint.backward if joint else partial(_drawn, gradients, world)
        stop.defer()
        books.catch_up()
        first = point.step if not books.ended else len(setup.schedule)
        train_steps(setup, joined, optimizer, first, seed, gradient, pull, within, books.after)
        seconds = books.close()
    found = world.alone(partial(_finish, books, manifest, seconds, meter))
    if log:
        log.close(books.done, found)
    return run


def _anchor(run: Run, setup: Setup, model: MultiTask, accelerator: Accelerator) -> tuple[dict, dict | None]:
    """θ₀, on the device, and F for ewc: loaded from the run, or computed now. The model has the weights that the run starts with."""
    anchor, of, device, seed = setup.config.anchored, setup.anchor, accelerator.device, setup.config.seed
    encoder = model.to(device).encoder
    found = weights_of_run(of.path) if of else starting_weights(encoder, setup.encoder.path)
    at = {name: x.to(device) for name, x in found.items()}
    if anchor is None or anchor.kind != "ewc":
        return at, None
    folder, about = run.path / ANCHOR / "fisher", {"anchor": (of or setup.encoder).sha256, "rows": anchor.rows, "seed": seed}
    if not folder.exists():
        with failures.memory(setup, doing="the Fisher information of the anchor"):
            before, its = of_anchor(setup, model)
            rows = drawn_rows(seed, {task: len(f.lengths) for task, f in its.train.items()}, anchor.rows or 0)
            keep(folder, squared_gradients(before.to(device), list(at), rows, partial(loss_of, accelerator, before, its)), about)
    return at, {name: x.to(device) for name, x in kept(folder, about).items()}


def _drawn(gradient: Callable, world: World, step: int, parts: Parts) -> tuple[torch.Tensor, int]:
    """The gradient of this rank's share of the drawn task's batch."""
    ((task, items),) = parts.items()
    return gradient(task, *world.share(items))


def _joint(setup: Setup, model: MultiTask, gradient: Callable, loss: Callable, seed: Callable, point: Point) -> Joint:
    """The object that makes joint steps, with its state at `point`."""
    config = setup.config

    def mean_loss(task: str, items: np.ndarray) -> torch.Tensor:
        pieces = pieces_of(items, config.grad_accumulation)
        return torch.stack([loss(task, piece)[0] * (len(piece) / len(items)) for piece in pieces]).sum()

    method = config.own_balance or str(config.balance)
    joint = Joint(model, method, config.tasks, config.loss_weights, config.seed, gradient, mean_loss, seed)
    joint.state.update(point.balance)
    return joint


def _finish(books: Bookkeeper, manifest: dict, seconds: float, meter: Meter) -> dict:
    """Writes the model, the predictions, the scores (which it returns) and, last, the finished manifest."""
    run, setup, model, stop, done = books.run, books.setup, books.model, books.stop, books.done
    total, precision = len(setup.schedule), manifest["precision"]
    with failures.accounted(run, manifest):
        try:
            stop.deliver()
            with failures.memory(setup):
                selected = books.select()
            write_folder(run.path / "model", lambda folder: save_model(model, setup.tokenizer, folder))
            with failures.memory(setup):
                thresholds = tuned(model, setup.held_out, setup.config, precision, run.path / "predictions")
                metrics = evaluate(model, setup.scored, thresholds, setup.config, precision, run.path / "predictions")
            write_json(run.path / "metrics.json", metrics)
            if not selected:
                with failures.memory(setup):
                    books.watch(thresholds)
        except (Interrupted, PluginError, TrainingError, OSError) as error:
            stop.defer()
            with suppress(OSError) if isinstance(error, OSError) else nullcontext():  # what refused a file may refuse the checkpoint, too
                books.checkpoint(seconds)
            if isinstance(error, PluginError):
                said = f"All {done} steps are made: correct the function, then set resume: true (in a study, --if-changed keep)."
                raise PluginError(f"{error}. {said}") from error
            if not isinstance(error, Interrupted):
                raise
            stop.end(run, done, total)
        stop.defer()
        ended = {"held_out": record(setup.config, setup.held_out, thresholds), "train_seconds": round(seconds, 3), "end": now()}
        ended |= {"status": "finished", **_made(setup, done), **selected, **meter.read()}
        write_json(run.path / "manifest.json", {**manifest, **ended})
    if books.selection:
        books.selection.close()
    if not setup.config.keep_checkpoints:
        tidy(run)
    return metrics


def _made(setup: Setup, done: int) -> dict:
    """The manifest's record of a training that `patience` ended after `done` steps; {} if all steps were made."""
    made = setup.schedule.first(done)
    planned = {"planned_steps": len(setup.schedule), "steps": done, "draws": made.draws(), "passes": made.passes()}
    return planned if done < len(setup.schedule) else {}


def _check(config: Config, setup: Setup, device: torch.device, world: World) -> None:
    """Raises ConfigError for anything that would stop the training later, before creating a folder."""
    require(setup.config == config, "setup: it was prepared for other parameters; call prepare(config) again.")
    made, size = setup.processes, world.size
    require(made == size, f"setup: it was prepared for {made} processes, not for {size}; let train prepare it.")
    same = {"parameters": config, "code": code_hash(), "plugins": config.plugin_records, "data": setup.sources}
    for what, mine in same.items():
        require(world.alike(mine), f"{what}: it differs among the {size} processes; start them with one command, from one folder.")
    if config.cuda_graphs and (device.type != "cuda" or size > 1):
        raise ConfigError("cuda_graphs: it works on a single GPU only; set it to false on a processor, or with several processes.")
    check_trackers(config)


def _checked_again(run: Run, config: Config) -> bool:
    """Whether the run is finished. Raises ConfigError if another training has claimed the folder meanwhile."""
    check_claim(run, config)
    return run.finished


def _threads(run: Run) -> int | None:
    """The threads that a resumed run began with; None for a new one."""
    return run.manifest.get("threads") if (run.path / "manifest.json").exists() else None


def _manifest_of(run: Run, setup: Setup, need: dict[str, int]) -> dict:
    """The manifest of a run to resume, {} for a new one.

    Raises RunError if the disk is too small; ConfigError if data, encoder, schedule or the number of processes have changed.
    """
    failures.check_space(run, need)
    if not (run.path / "manifest.json").exists():
        return {}
    manifest = run.manifest
    for name, source in setup.sources.items():
        if manifest["data"].get(name, {}).get("fingerprint") != source["fingerprint"]:
            raise ConfigError(
                f"data: the rows of {name} have changed since the run in {run.path} began; restore them, or name another run_dir."
            )
    if setup.anchor and (not manifest.get("anchor") or setup.anchor.changed(manifest["anchor"])):
        raise ConfigError(
            f"anchor.to: the model of {setup.anchor.name} has changed since the run in {run.path} began; name another run_dir."
        )
    before, now = manifest.get("plugins", {}), setup.config.plugin_records
    for name in (name for name in now if name.startswith("type ") and before.get(name, now[name]) != now[name]):
        raise ConfigError(
            f"define: task {name} has changed since the run in {run.path} began; undo the change of its file, or name another run_dir."
        )
    for key in ("sampler", "balance"):
        name = getattr(setup.config, key)
        if name in before and before[name] != now[name] and not _only_to_score(run, setup):
            raise ConfigError(
                f"{key}: {name} has changed since the run in {run.path} began; it cannot continue with another {key}. Undo the "
                "change of its file, or name another run_dir."
            )
    if changed := setup.encoder.changed(manifest.get("encoder", {})):
        what = f"{some(changed)} of {setup.encoder.name} changed after the run in {run.path} had begun"
        raise ConfigError(f"{'init_from' if setup.config.init_from else 'encoder'}: {what}: undo the change, or name another run_dir.")
    if (processes := manifest.get("processes", 1)) != setup.processes:
        raise ConfigError(
            f"processes: the run in {run.path} has {processes}, which share its batches; resume it with {processes}, not {setup.processes}."
        )
    if manifest.get("draws") not in (None, setup.schedule.draws()):
        why = "code or versions have changed; name another run_dir."
        raise ConfigError(f"run_dir: the schedule of the run in {run.path} would be another one now, since {why}")
    return manifest


def _only_to_score(run: Run, setup: Setup) -> bool:
    """Whether all steps are made and the current schedule equals them: only a score's function in the sampler's file was corrected."""
    last = checkpoints(run)[-1:]
    if not last or last[0][0] != len(setup.schedule):
        return False
    return [record["task"] for record in run.log()] == [setup.schedule.tasks[k] for k in setup.schedule.task]


def _accelerator(setup: Setup, run: Run, device: torch.device, world: World, precision: str) -> Accelerator:
    """accelerate on the device. It keeps one state per process, so a second run must reset it."""
    AcceleratorState._reset_state(reset_partial_state=True)
    ddp = DistributedDataParallelKwargs(find_unused_parameters=True, broadcast_buffers=False)  # a step uses only one of several heads
    wanted = trackers_of(setup.config) if world.first else []
    place = ProjectConfiguration(project_dir=str(run.path), logging_dir=str(run.path / FOLDER))
    cpu, mixed = device.type == "cpu", "bf16" if precision == "bf16" else "no"
    more: dict[str, Any] = {"kwargs_handlers": [ddp], "log_with": wanted or None, "project_config": place}
    more["gradient_accumulation_plugin"] = GradientAccumulationPlugin(num_steps=1)  # not what a variable of the environment says
    return Accelerator(mixed_precision=mixed, cpu=cpu, **more)


def _prepared(accelerator: Accelerator, model: MultiTask, optimizer: Any) -> tuple:
    """Model and optimizer on the device; with several processes, DDP around the model."""
    with warnings.catch_warnings():  # torch has renamed it, which accelerate does not know yet
        warnings.filterwarnings("ignore", ".*broadcast_buffers", FutureWarning)
        return accelerator.prepare(model, optimizer)


def _begin(run: Run, setup: Setup, device: torch.device, need: dict[str, int]) -> dict:
    """Writes config.yaml, with the threads in use, and a manifest that says "running", which it returns; a resumed run keeps its precision
    and start.

    Raises the errors of `_manifest_of`.
    """
    begun = _manifest_of(run, setup, need)
    odd = {name: {"odd": counts} for name, counts in odd_counts(setup).items()}  # the rest of a cut split is not counted
    manifest = {
        "status": "running",
        "code": code_hash(),
        **({"plugins": setup.config.plugin_records} if setup.config.plugin_records else {}),
        "python": ".".join(map(str, sys.version_info[:3])),
        "packages": versions(RUN_PACKAGES),
        "seed": setup.config.seed,
        "device": str(device.type),
        "processes": setup.processes,
        "machine": describe(device),
        "threads": torch.get_num_threads(),
        "precision": begun.get("precision") or resolve_precision(setup.config.precision, device),
        "encoder": setup.encoder.record(),
        **({"anchor": setup.anchor.record()} if setup.anchor else {}),
        "data": {name: {**source, **odd.get(name, {})} for name, source in setup.sources.items()},
        "steps": len(setup.schedule),
        "draws": setup.schedule.draws(),
        "passes": setup.schedule.passes(),
        "disk_bytes": need,
        "start": begun.get("start") or now(),
        **({"warnings": list(setup.warned)} if setup.warned else {}),
        **made_with(),
    }
    manifest["resumes"] = resumes(begun, manifest, checkpoints(run)[-1][0] if checkpoints(run) else 0)
    write_whole(run.path / REQUIREMENTS, lock(manifest))
    write_whole(run.path / "config.yaml", replace(setup.config, threads=torch.get_num_threads()).to_yaml())
    write_json(run.path / "manifest.json", manifest)
    return manifest
