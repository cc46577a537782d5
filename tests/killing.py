"""Runs that are killed and resumed, several times: each life of a training is a forked child of one process that has imported torch.

    python tests/killing.py PLAN.json        the plan: config, folder, and kills and seed, or lives; prints a JSON line for each life

A life ends by SIGKILL at a moment drawn from the seed: before its n-th touch of a file or folder of the run (which may be in the middle of
a checkpoint, a log, a model or a prediction file), or after a fraction of the time that the undisturbed run took. `same` then compares the
result with the undisturbed run. Where the plan has `lives`, each entry has its run's `name`, the `signals` [[step, name] …] that it
sends to itself, and `starve`: the step from which its memory is limited.
"""

import json
import os
import random
import resource
import signal
import sys
import time
import traceback
from dataclasses import fields, replace
from pathlib import Path

TOUCHES = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree"}
TIMING = ("tokens_per_second",)


def lines(file: Path) -> list[dict]:
    """A log's records without their timing."""
    records = [json.loads(line) for line in file.read_text().split("\n")[:-1]]
    return [{key: value for key, value in record.items() if key not in TIMING} for record in records]


def packages(file: Path) -> list[str]:
    """The packages of a lock without its first line, which names the commit and says whether there were changes."""
    return file.read_text().splitlines()[1:]


def same(one: Path, two: Path) -> list[str]:
    """Files of two finished runs that differ, or that only one has. Log lines are compared without their timing, all else bit for bit."""
    kept = {folder: {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()} for folder in (one, two)}
    kept = {f: {name for name in names if not name.startswith((".lock", "checkpoints/", "said"))} for f, names in kept.items()}
    differing = kept[one] ^ kept[two]
    for name in sorted(kept[one] & kept[two] - {"manifest.json", "config.yaml"}):
        logged = name.endswith("log.jsonl") or name == "interference.jsonl"
        read = lines if logged else packages if name == "requirements.txt" else Path.read_bytes
        if read(one / name) != read(two / name):
            differing.add(name)
    if not all(json.loads((folder / "manifest.json").read_text())["status"] == "finished" for folder in (one, two)):
        differing.add("manifest.json")
    return sorted(differing)


class Lives:
    """Trainings with one config, in folders below `folder`; rows and features are made once, here."""

    def __init__(self, config: dict, folder: Path):
        os.environ["TOKENIZERS_PARALLELISM"] = "false"
        from mtdnn_kit import Config, prepare
        from mtdnn_kit.training.trainer import train

        self.train, self.folder = train, folder
        self.config = Config(**{**config, "run_dir": str(folder / "reference")})
        self.setup = prepare(self.config)
        assert len(os.listdir("/proc/self/task")) == 1, "a process that forks has one thread"

    def begin(self, name: str, touch: int | None = None, count: Path | None = None, signals=(), starve: int | None = None) -> int:
        """Forks a life of the run `name`, killed before its `touch`-th touch of a file; `count`: the file for the number of touches.

        signals: (step, name) of those that it sends to itself once the step is logged. starve: the step (from 0) that limits memory.
        """
        child = os.fork()
        if child:
            return child
        code = 1
        try:
            config = replace(self.config, run_dir=str(self.folder / name))
            config = replace(config, resume=(self.folder / name / "manifest.json").exists())
            said = os.open(self.folder / f"{name}.said", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(said, 1), os.dup2(said, 2)
            touches = watched(config.run_dir, touch)
            setup = replace(self.setup, config=config, passes={})
            self.train(config, setup if starve is None else starved(setup, starve), watch=sends(signals))
            if count:
                count.write_text(str(len(touches)))
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)


def watched(folder: str, touch: int | None) -> list[str]:
    """Records each touch of a file or folder below `folder`; kills this process before the `touch`-th."""
    touches: list[str] = []

    def hook(event: str, args: tuple) -> None:
        if event in TOUCHES and isinstance(args[0], str | os.PathLike) and os.fspath(args[0]).startswith(folder):
            touches.append(event)
            if len(touches) == touch:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    return touches


def sends(signals):
    """A `watch` that sends signals to this process once their step is logged."""

    def watch(records: list[dict]) -> None:
        for step, name in signals:
            if any(record["step"] == step for record in records):
                signal.raise_signal(getattr(signal, name))

    return watch


def starved(setup, step: int):
    """The setup; its batch of step `step` first limits the address space to 64 MB above what the process uses then."""

    class Starved(type(setup)):
        def batch(self, number: int):
            if number == step and resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY:
                pages = int(Path("/proc/self/statm").read_text().split()[0])
                resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 2**26, resource.RLIM_INFINITY))
            return super().batch(number)

    return Starved(**{field.name: getattr(setup, field.name) for field in fields(setup)})


def ended(child: int) -> int:
    """The exit code of a life, once it has ended; −9: killed."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def found(folder: Path) -> dict:
    """How far a run had come: the step of its last checkpoint, its partial files, and which of its final files existed."""
    names = [path.name for path in folder.rglob("*")]
    steps = [int(name[5:]) for name in names if name.startswith("step-") and name[5:].isdigit()]
    return {
        "checkpoint": max(steps, default=0),
        "partial": sorted(name for name in names if name.endswith(".partial")),
        "end": [name for name in ("model", "predictions", "metrics.json") if name in names],
    }


def kill(config: dict, folder: Path, kills: int, seed: int) -> None:
    """One undisturbed run, then runs with `kills` killed lives in all, at most three per run; prints how each life ended."""
    lives, rng, began = Lives(config, folder), random.Random(seed), time.monotonic()
    assert ended(lives.begin("reference", count=folder / "touches")) == 0, (folder / "reference.said").read_text()
    seconds, touches, run = time.monotonic() - began, int((folder / "touches").read_text()), 0
    print(json.dumps({"run": "reference", "seconds": round(seconds, 2), "touches": touches}), flush=True)
    while kills:
        run, name, code = run + 1, f"run-{run + 1}", -signal.SIGKILL
        for _ in range(rng.randint(1, 3)):
            if not kills or code != -signal.SIGKILL:
                break
            at, part = (rng.randint(1, touches), None) if rng.random() < 0.6 else (None, rng.random())
            child = lives.begin(name, touch=at)
            if part is not None:
                time.sleep(part * seconds)
                os.kill(child, signal.SIGKILL)
            code = ended(child)
            kills -= code == -signal.SIGKILL
            print(json.dumps({"run": name, "code": code, "touch": at, "part": part, **found(folder / name)}), flush=True)
        code = ended(lives.begin(name)) if code == -signal.SIGKILL else code
        print(json.dumps({"run": name, "code": code, "differs": same(folder / "reference", folder / name)}), flush=True)


def main() -> None:
    """Carries out a plan."""
    plan = json.loads(Path(sys.argv[1]).read_text())
    config, folder = plan["config"], Path(plan["folder"])
    if "kills" in plan:
        return kill(config, folder, plan["kills"], plan["seed"])
    lives = Lives(config, folder)
    for life in plan["lives"]:
        print(json.dumps({"name": life["name"], "code": ended(lives.begin(**life)), **found(folder / life["name"])}), flush=True)


if __name__ == "__main__":
    main()
