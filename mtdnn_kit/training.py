"""train(config) → run folder: the paper's Algorithm 1 as one loop on accelerate.

Which batch comes at which step was drawn before (`sampler`), and the random state of a step depends on seed and step alone, so a run that
is stopped at any step and resumed goes on bit for bit. The device is waited for only when the log is written. Needs no Jupyter.
"""

import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from mtdnn_kit import guards
from mtdnn_kit.batches import generator
from mtdnn_kit.checkpoints import Point, restore, save_checkpoint
from mtdnn_kit.config import Config, ConfigError
from mtdnn_kit.devices import describe, resolve_device, resolve_precision
from mtdnn_kit.evaluation import evaluate, held_out_scores
from mtdnn_kit.folders import write_folder, write_json, write_whole
from mtdnn_kit.interference import fixed_batches, measure
from mtdnn_kit.locks import held
from mtdnn_kit.model import MultiTask, build_model, save_model
from mtdnn_kit.odd import odd_counts
from mtdnn_kit.optim import clip_gradients, learning_rate, make_optimizer
from mtdnn_kit.preparation import Setup, prepare
from mtdnn_kit.recorder import Recorder
from mtdnn_kit.runs import Run, check_claim, claim, code_hash
from mtdnn_kit.space import check_space, disk_bytes
from mtdnn_kit.tasks import TYPES

THREADS = torch.get_num_threads()  # as many as torch takes by itself
GONE = 30.0  # seconds that a process which was killed may take to leave its folder
PACKAGES = ("torch", "transformers", "tokenizers", "accelerate", "safetensors", "numpy")


def train(config: Config, setup: Setup | None = None, watch: Callable[[list[dict]], None] | None = None) -> Run:
    """Trains, evaluates and leaves a run folder (design, "Run folder").

    setup: what `prepare(config)` returned, if it was called before. watch: called with the new log records every `log_every` steps
    (and with the old ones first, where a run goes on). SIGTERM and SIGINT end it with a checkpoint (`guards.Stop`).
    Raises DataError, EncoderError or ConfigError before the first step, RunError where the disk is too small for the run, LockedError where
    another process trains in that folder; later TrainingError where the loss is no number or the memory is used up, RunError where the
    folder cannot be written or no checkpoint be read.
    """
    setup = setup or prepare(config)
    _check(config, setup)
    model = build_model(setup.encoder.path, setup.specs, config.encoder_dropout, config.head_dropout, config.max_length, config.seed)
    with guards.Stop() as stop, guards.on_disk(config.run_dir or "a new one"):
        run = claim(config)
        with held(run.path / ".lock", "a training is at work", GONE):
            check_claim(run, config)
            if not run.finished:
                return _train(run, setup, model, watch, stop)
    if watch:
        watch(run.log())
    return run


def _train(run: Run, setup: Setup, model: MultiTask, watch: Callable[[list[dict]], None] | None, stop: guards.Stop) -> Run:
    """The loop, and what comes after it; the run's folder is ours alone."""
    config, need = setup.config, disk_bytes(model, setup)
    check_space(run, need)
    before = _manifest_of(run, setup)
    accelerator, precision = _accelerator(config, before.get("precision"))
    run_manifest = _start(run, setup, accelerator.device, precision, before.get("start"), need)
    with guards.accounted(run, run_manifest):
        optimizer = make_optimizer(config.optimizer, model, config.learning_rate, config.weight_decay)
        with guards.memory(setup, doing="the model on the device"):
            model, optimizer = accelerator.prepare(model, optimizer)
        done, seconds, sizes = restore(run, model, optimizer) if config.resume else Point()
        log, started = Recorder(run, setup, done, sizes, watch), time.perf_counter()

        model.train()
        parameters, total, fixed = list(model.parameters()), len(setup.schedule), fixed_batches(setup)
        stop.wait()
        for step in range(done, total):
            task, items = setup.batch(step)
            torch.manual_seed(int(generator(config.seed, "step", step).integers(2**63)))
            rate = learning_rate(step, total, config.warmup, config.learning_rate)
            for group in optimizer.param_groups:
                group["lr"] = rate
            with guards.memory(setup, step):
                loss, tokens = _backward(accelerator, model, setup, task, items)
                norm = clip_gradients(parameters, config.max_grad_norm, each=config.optimizer == "adamax_mtdnn")
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
            log.add(step, task, rate, loss, norm, tokens)
            if _due(step, config.eval_every, total):
                with guards.memory(setup):
                    log.scores(step, held_out_scores(model, setup.held_out, config, precision))
            if config.interference_every and (step + 1) % config.interference_every == 0:
                with guards.memory(setup, doing="measuring interference"):
                    log.pulls(step, measure(model, fixed, partial(_loss, accelerator, model, setup), config.grad_accumulation))
            stopping = bool(stop.taken)
            if _due(step, config.checkpoint_every, total) or stopping:
                log.flush()
                save_checkpoint(run, step + 1, model, optimizer, seconds + time.perf_counter() - started)
                log.restart_clock()
            if stopping:
                stop.end(run, step + 1, total)
        log.close()
        seconds += time.perf_counter() - started

        try:
            stop.hurry()
            write_folder(run.path / "model", lambda folder: save_model(model, setup.tokenizer, folder))
            with guards.memory(setup):
                metrics = evaluate(model, setup.scored, setup.held_out, config, precision, run.path / "predictions")
            write_json(run.path / "metrics.json", metrics)
        except guards.Interrupted:
            stop.wait()
            save_checkpoint(run, total, model, optimizer, seconds)
            stop.end(run, total, total)
        stop.wait()
        write_json(run.path / "manifest.json", {**run_manifest, "status": "finished", "train_seconds": round(seconds, 3), "end": _now()})
    return run


def _check(config: Config, setup: Setup) -> None:
    """Raises ConfigError for what would stop the training later, before a folder is made."""
    if setup.config != config:
        raise ConfigError("setup: it was prepared for other parameters; call prepare(config) again.")
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError("WORLD_SIZE: training runs on one device; start it without a launcher of several processes.")
    resolve_device(config.device)


def _due(step: int, every: int | None, total: int) -> bool:
    """Whether something is to be done after a step (from 0); after the last one, the end of the run does it."""
    return every is not None and (step + 1) % every == 0 and step + 1 < total


def _backward(accelerator: Accelerator, model: MultiTask, setup: Setup, task: str, items: np.ndarray) -> tuple[torch.Tensor, int]:
    """Gradients of a batch, in `grad_accumulation` pieces that together weigh as the whole; its loss (not waited for) and its tokens."""
    config, total, tokens = setup.config, 0.0, 0
    pieces = min(config.grad_accumulation, len(items))
    for piece in (items[i::pieces] for i in range(pieces)):
        loss, n = _loss(accelerator, model, setup, task, piece)
        loss = loss * (len(piece) / len(items))
        accelerator.backward(loss * config.loss_weights.get(task, 1.0))
        total, tokens = total + loss.detach(), tokens + n
    return total, tokens


def _loss(accelerator: Accelerator, model: MultiTask, setup: Setup, task: str, items: np.ndarray) -> tuple[torch.Tensor, int]:
    """Mean loss of some items, and their tokens."""
    batch = setup.train[task].collate(items)
    inputs, targets = (
        {name: _moved(x, accelerator.device) for name, x in batch.inputs.items()},
        _moved(batch.targets, accelerator.device),
    )
    return TYPES[model.specs[task]["type"]].loss(model(task, inputs), targets, setup.config), batch.tokens


def _moved(x: torch.Tensor, device: torch.device) -> torch.Tensor:
    """`x` on the device; to a GPU from pinned memory, so that nothing is waited for."""
    return x.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else x


def _manifest_of(run: Run, setup: Setup) -> dict:
    """The manifest of the run that goes on, {} of a new one. Raises ConfigError where the data are no longer the same."""
    if not (run.path / "manifest.json").exists():
        return {}
    manifest = run.manifest
    for name, source in setup.sources.items():
        if manifest["data"].get(name, {}).get("fingerprint") != source["fingerprint"]:
            raise ConfigError(f"data: the rows of {name} are not those that the run in {run.path} began with; it cannot go on with others.")
    return manifest


def _accelerator(config: Config, kept_precision: str | None) -> tuple[Accelerator, str]:
    """accelerate on the resolved device, and the resolved precision; a run that goes on keeps its own.

    accelerate's state is one a process: a second run must start afresh.
    """
    device = resolve_device(config.device)
    precision = kept_precision or resolve_precision(config.precision, device)
    torch.set_num_threads(config.threads or THREADS)
    AcceleratorState._reset_state(reset_partial_state=True)
    return Accelerator(mixed_precision="bf16" if precision == "bf16" else "no", cpu=device.type == "cpu"), precision


def _start(run: Run, setup: Setup, device: torch.device, precision: str, began: str | None, need: dict[str, int]) -> dict:
    """Writes config.yaml and a manifest that says "running"; returns the manifest."""
    odd = {name: {"odd": counts} for name, counts in odd_counts(setup).items()}  # the rest of a cut split is not counted
    manifest = {
        "status": "running",
        "code": code_hash(),
        "python": ".".join(map(str, sys.version_info[:3])),
        "packages": {name: version(name) for name in PACKAGES},
        "seed": setup.config.seed,
        "device": str(device.type),
        "machine": describe(device),
        "threads": torch.get_num_threads(),
        "precision": precision,
        "encoder": setup.encoder.record(),
        "data": {name: {**source, **odd.get(name, {})} for name, source in setup.sources.items()},
        "steps": len(setup.schedule),
        "draws": setup.schedule.draws(),
        "passes": setup.schedule.passes(),
        "disk_bytes": need,
        "start": began or _now(),
    }
    write_whole(run.path / "config.yaml", setup.config.to_yaml())
    write_json(run.path / "manifest.json", manifest)
    return manifest


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
