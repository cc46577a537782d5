"""Executes a study's runs: in processes on this machine, or on a Ray cluster. An engine starts jobs and reports which have ended.

Each is a generator: it yields {name: ""} for finished jobs, {name: reason} for failed ones, {} about twice a second in between, and stops
running jobs when it is closed. It takes a job when it has room for one; None in the input means none now, perhaps one later. Ray schedules
its jobs itself. Neither knows what a study is.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mtdnn_kit.config import Config
from mtdnn_kit.errors import ConfigError
from mtdnn_kit.files.checks import require
from mtdnn_kit.files.json_files import read_json
from mtdnn_kit.runs.environment import default_threads
from mtdnn_kit.runs.origin import COMMAND, command
from mtdnn_kit.runs.run import Run

EXECUTED, PARTIAL = "02_train.ipynb", "partial.ipynb"  # a run's notebook, complete or executed in part
OUTPUT = "papermill.txt"  # the output of its process
WORKER = (sys.executable, "-m", "mtdnn_kit.studies.worker")
BEAT = 0.5  # seconds between looks
STOP_TIMEOUT = 75  # seconds that a worker may take to end, including its kernel's checkpoint (`worker.GRACE`)
MOST_TASKS = 256  # jobs given to Ray at most: each holds a lock, and the open files of a process are limited
RETRIES = 3  # restarts of a job whose Ray worker died


@dataclass(frozen=True)
class Job:
    """A run to execute: `notebook` with `config`, from the project's folder `root`. A begun run resumes.

    `plain`: `train` is called without the notebook; `merge`: the arguments of `inference.merging.merge`, for a merge instead of a training.
    `record`: the record for its folder (study, variant, seed, and the hash of the code).
    """

    name: str
    config: Config
    notebook: str
    root: str
    record: dict
    plain: bool = False
    merge: dict | None = None

    @property
    def run(self) -> Run:
        """Its folder."""
        return Run(str(Path(self.root, str(self.config.run_dir))))


def local(jobs: Iterable[Job | None], workers: int = 1, gpus: Sequence[int | str] = ()) -> Generator[dict[str, str]]:
    """`workers` processes at a time, and one of `gpus` each: 4 workers and 2 GPUs mean 2 runs per GPU.

    A job has its `threads`, else the default of a single run, for any number of workers; a resumed job keeps its number, so that a run is
    the same bit for bit. Threads beyond the number of cores wait passively.
    """
    coming, more = iter(jobs), True
    running: dict[int, tuple[Job, subprocess.Popen]] = {}  # by slot, which determines the GPU
    try:
        while more or running:
            begun, more = _next(coming, workers - len(running))
            for job in begun:
                slot = min(set(range(workers)) - running.keys())
                extra = {"CUDA_VISIBLE_DEVICES": str(gpus[slot % len(gpus)])} if gpus else {}
                extra |= {"OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "passive")} if workers > 1 else {}
                running[slot] = job, _begin(job, default_threads(), extra)
            ended = {slot: _end(job, child) for slot, (job, child) in running.items() if child.poll() is not None}
            yield {running.pop(slot)[0].name: error for slot, error in ended.items()}
            time.sleep(0 if ended else BEAT)
    finally:
        _stop([child for _, child in running.values()])


def ray(jobs: Iterable[Job | None], address: str | None = None, cores: int | None = None, gpus: float = 0.0) -> Generator[dict[str, str]]:
    """One Ray task per job, on the cluster at `address` ("auto": this machine's; None: starts Ray on this machine only).

    A task takes the job's `threads` (else `cores`, else the default) and `gpus` (0.5: two runs per GPU) of Ray's resources. A job
    whose worker dies is restarted, up to `RETRIES` times, from its checkpoint. All machines need the same environment and the same project
    folder.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise ConfigError("engine: Ray is not installed; pip install 'mtdnn-kit[ray]'") from None
    alone = {"include_dashboard": False, "object_store_memory": 100_000_000} if address is None else {}  # jobs are small
    try:
        ray.init(address or "local", log_to_driver=False, logging_level="ERROR", **alone)
    except (ConnectionError, ValueError) as error:
        if address is None:
            raise
        start = "Start one (`ray start --head`), or leave address out to start Ray on this machine only"
        raise ConfigError(f"address: no Ray cluster is found at {address!r} ({str(error).splitlines()[0]}). {start}") from None
    task, tasks, coming, more = ray.remote(max_retries=RETRIES)(execute), dict[Any, Job](), iter(jobs), True
    try:
        while more or tasks:
            begun, more = _next(coming, MOST_TASKS - len(tasks))
            for job in begun:
                threads = job.config.threads or cores or default_threads()
                if address is None and threads > ray.cluster_resources().get("CPU", 0):
                    raise ConfigError(
                        f"threads: run {job.name} takes {threads} cores, more than this machine has; set it, or --cores, lower"
                    )
                if address is None and gpus > ray.cluster_resources().get("GPU", 0):
                    raise ConfigError(f"gpus: run {job.name} takes {gpus:g} GPUs, more than this machine has; leave it out")
                tasks[task.options(num_cpus=threads, num_gpus=gpus, name=job.name).remote(job, threads)] = job
            time.sleep(0 if tasks else BEAT)
            ready = ray.wait(list(tasks), num_returns=len(tasks), timeout=BEAT)[0] if tasks else []
            yield {tasks.pop(one).name: _result(ray, one) for one in ready}
    finally:  # forced cancellation ends a task's worker, and with it the run
        for one in tasks:
            ray.cancel(one, force=True)
        ray.shutdown()


ENGINES: dict[str, Callable] = {"local": local, "ray": ray}


def visible_gpus(gpus: Sequence[int | str]) -> list[str]:
    """GPUs, by number or UUID, as CUDA_VISIBLE_DEVICES names them; numbers count those that this process sees. Raises ConfigError for a
    missing one: a run would train on the processor instead."""
    import torch  # only if GPUs are requested

    count, seen = torch.cuda.device_count(), [one for one in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if one]
    known = f"torch sees {count} GPUs here, which count from 0" if count else "torch sees no GPU; leave gpus out to train on the processor"
    for one in map(str, gpus):
        by_name = one.startswith(("GPU-", "MIG-"))
        require(count > 0 and (by_name or (one.isdecimal() and int(one) < count)), f"gpus: {one!r} does not exist: {known}")
    return [seen[int(one)] if one.isdecimal() and len(seen) == count else one for one in map(str, gpus)]


def _next(coming: Iterator[Job | None], room: int) -> tuple[list[Job], bool]:
    """The jobs available now, at most `room`; and whether more may come."""
    found = list[Job]()
    for job in coming if room > 0 else ():
        if job is None:
            return found, True
        found.append(job)
        if len(found) == room:
            return found, True
    return found, room <= 0


def execute(job: Job, threads: int) -> str:
    """Executes a job to its end; returns "" or why it failed."""
    child = _begin(job, threads, {})
    child.wait()
    return _end(job, child)


def _result(ray: Any, task: Any) -> str:
    try:
        return ray.get(task)
    except ray.exceptions.RayError as error:
        return f"its Ray worker died more than {RETRIES} times: {str(error).splitlines()[0]}"


def _begin(job: Job, threads: int, environment: dict[str, str]) -> subprocess.Popen:
    """Starts the job's worker."""
    run = job.run
    run.path.mkdir(parents=True, exist_ok=True)
    begun = (run.path / "manifest.json").exists()
    threads = job.config.threads or (run.manifest["threads"] if begun else threads)
    given = {"notebook": job.notebook, "made": str(run.path / PARTIAL), "record": job.record, "plain": job.plain, "merge": job.merge}
    given["parameters"] = asdict(replace(job.config, resume=begun))
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), COMMAND: command(), **environment}
    with open(run.path / OUTPUT, "w") as said:
        child = subprocess.Popen(
            WORKER, stdin=subprocess.PIPE, encoding="utf-8", stdout=said, stderr=said, cwd=job.root, env=environment, start_new_session=True
        )
    with suppress(BrokenPipeError):  # it died at once: its end says why
        print(json.dumps(given), file=child.stdin, flush=True)
    return child


def _stop(children: Sequence[subprocess.Popen]) -> None:
    """Closes the standard input of the children, so that each interrupts papermill and ends; kills them after a while."""
    for child in children:
        child.stdin.close()  # type: ignore[union-attr]  # it has one
    for child in children:
        try:
            child.wait(timeout=STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _end(job: Job, child: subprocess.Popen) -> str:
    """Saves the executed notebook of a child that has ended; returns "" or why it failed."""
    child.communicate()  # closes its standard input
    run = job.run
    error = _why(run.path, child.returncode) if child.returncode or not run.finished else ""
    if (run.path / PARTIAL).exists():
        os.replace(run.path / PARTIAL, run.path / EXECUTED)
    if not error:
        (run.path / OUTPUT).unlink()
    return error


def _why(folder: Path, code: int) -> str:
    """The error of the failed cell, or papermill's last line; and the file to read."""
    try:
        cells = read_json((folder / PARTIAL).read_bytes())["cells"]
    except (OSError, ValueError):  # missing, or truncated
        cells = []
    for number, cell in enumerate((cell for cell in cells if cell["cell_type"] == "code"), 1):
        for output in cell.get("outputs", []):
            if output["output_type"] == "error":
                return f"code cell {number}: {output['ename']}: {output['evalue']} (see {folder / EXECUTED})"
    if code < 0:
        name = signal.Signals(-code).name
        return f"its process was ended by {name}; run the same command to continue from the last checkpoint (see {folder / OUTPUT})"
    last = (folder / OUTPUT).read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:] or ["it printed nothing"]
    return f"its process ended with {code}: {last[0]} (see {folder / OUTPUT})"
