"""The unfinished runs of a study, shared by any number of processes: each takes runs that no other has. Executes none.

A process takes a run by a lock next to its folder (`.taken/RUN` in the study's), which is released when the process ends for any reason, on
any machine that shares the folder. The reason for a failure is stored next to the lock: a process that was running then does not retry the
run, a later one does. Runs of other processes are checked like earlier runs, because they may come from another version of the file.
"""

import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Literal, get_args

from mtdnn_kit.config import Config
from mtdnn_kit.errors import LockedError, StudyError
from mtdnn_kit.files.atomic import write_whole
from mtdnn_kit.files.checks import require
from mtdnn_kit.files.locks import held
from mtdnn_kit.files.paths import check_folder, project_root
from mtdnn_kit.files.wording import short, some
from mtdnn_kit.studies.engines import OUTPUT, Job
from mtdnn_kit.studies.status import Standing, code, run_of, standings
from mtdnn_kit.studies.study import Planned, Study, project_notebook

NOTEBOOK = "notebooks/02_train.ipynb"
IfChanged = Literal["refuse", "redo", "keep"]
TAKEN = ".taken"  # in the study's folder: one lock per run
LOOK = 2.0  # seconds between checks for released runs
Mark = tuple[int, int] | None  # of a file: changes when it is rewritten


@dataclass
class Todo:
    """Runs by name, in the order of execution. mine: those that this process may take; None: all. wait: for runs that others have.
    elsewhere: runs are made on other machines, so only the versions of the environment are compared.

    Raises StudyError if an earlier run has changed (`check_changed`).
    """

    study: Study
    folder: Path
    planned: dict[str, Planned]
    configs: dict[str, Config]
    if_changed: str = "refuse"
    plain: bool = False
    mine: set[str] | None = None
    wait: bool = True
    elsewhere: bool = False
    late: list[str] = field(default_factory=list)  # finished by another process since
    over: dict[str, str] = field(default_factory=dict)  # those that have ended since: "" or why they failed
    _taken: dict[str, ExitStack] = field(default_factory=dict)
    _news: dict[str, str] = field(default_factory=dict)
    died: dict[str, str] = field(default_factory=dict)  # runs taken over from a process that died: that process

    def __post_init__(self) -> None:
        notebook = project_notebook(NOTEBOOK)
        self.notebook, self.code = str(notebook), code(notebook)
        self._before = {name: _mark(self._path(name) / "manifest.json") for name in self.configs}
        self._failures = {name: _mark(self._failure(name)) for name in self.configs}
        self.stages = {name: others for name, others in self.study.stages.items() if name in self.configs}
        if self.mine is not None and self.stages:
            name, others = next(iter(self.stages.items()))
            raise StudyError(f"shard: {name} begins from {some(others)}, so the runs cannot be split; start processes without --shard")
        self.merges = self.study.merges(self.configs)
        self.found = self._standings(self.configs)
        check_changed(self.study, self.found, self.if_changed)
        redo = self.if_changed == "redo"
        due = {name for name, stands in self.found.items() if stands.status != "done" or (stands.changed and redo)}
        self.names = [name for name in self.found if due & {name, *self._before_it(name)}]
        check_folder(self.folder / TAKEN)

    def jobs(self) -> Iterator[Job | None]:
        """Takes and yields each free run; None while other processes have all that are left. `news` has what they finished or failed."""
        (self.folder / TAKEN).mkdir(parents=True, exist_ok=True)
        left = [name for name in self.names if self.mine is None or name in self.mine]
        while left := [name for name in left if not any(self.over.get(one) for one in self._before_it(name))]:
            ready = [name for name in left if self._ready(name)]
            name = next((name for name in ready if self._failed_elsewhere(name) or self._take(name)), None)
            if name is None and not self.wait and not (self._taken and len(ready) < len(left)):
                return
            if name is None:
                until = monotonic() + LOOK
                while monotonic() < until and not any(self._ready(one) for one in left if one not in ready):
                    yield None
                continue
            left.remove(name)
            if name in self._taken and (job := self._job(name)):
                yield job

    def give_back(self, name: str, error: str | None = None) -> None:
        """Releases a run that has ended; error: why it failed, "" for success, None if it was not tried."""
        if error:
            write_whole(self._failure(name), error)
        if error is not None:
            self.over[name] = error
        self._taken.pop(name).close()

    def news(self) -> dict[str, str]:
        """{name: "" or why it failed} of the runs that others ended, each reported once."""
        found, self._news = self._news, {}
        return found

    def at_work(self, name: str) -> bool:
        """Whether a process, this one or another, appears to be working on the run."""
        return (self._path(name) / OUTPUT).exists() and self._lock(name).with_name(f"{self._lock(name).name}.holder").exists()

    def close(self) -> None:
        """Releases all taken runs."""
        while self._taken:
            self._taken.popitem()[1].close()

    def finished_late(self, names: Iterable[str]) -> list[str]:
        """Those of `names` that another process has finished. Raises StudyError if any finished run has changed."""
        self.late += [name for name in names if run_of(self.configs[name]).finished]
        check_changed(self.study, self._standings({name: self.configs[name] for name in self.late}), self.if_changed, redone=True)
        return self.late

    def waiting(self, name: str) -> list[str]:
        """The runs that start from a run, directly or indirectly, and so wait for it."""
        return [one for one in self.names if name in self._before_it(one)]

    def _before_it(self, name: str) -> set[str]:
        """The runs that come before one."""
        first = self.stages.get(name, ())
        return {*first, *(one for other in first for one in self._before_it(other))}

    def _ready(self, name: str) -> bool:
        """Whether the runs that one starts from are done."""
        return all(one not in self.names or self.over.get(one) == "" for one in self.stages.get(name, ()))

    def _standings(self, configs: dict[str, Config]) -> dict[str, Standing]:
        return standings(configs, self.code, self.elsewhere, self.merges)

    def _tell(self, name: str, said: str) -> None:
        self._news[name] = self.over[name] = said

    def _take(self, name: str) -> bool:
        stack = ExitStack()
        try:
            died = stack.enter_context(held(self._lock(name), f"the run {name} is running"))
        except LockedError:
            return False
        self.died |= {name: died} if died else {}
        self._taken[name] = stack
        self._failure(name).unlink(missing_ok=True)
        return True

    def _failed_elsewhere(self, name: str) -> bool:
        found = _mark(self._failure(name))
        if found in (None, self._failures[name]):
            return False
        with suppress(FileNotFoundError):  # a later process retries it
            self._tell(name, self._failure(name).read_text(encoding="utf-8", errors="replace"))
        return name in self._news

    def _job(self, name: str) -> Job | None:
        """The job of a taken run, with its folder cleared if it starts over; None, after releasing the run, if there is nothing to do."""
        config, path, stands = self.configs[name], self._path(name), self.found[name]
        try:
            elsewhere = _mark(path / "manifest.json") != self._before[name]  # another process has worked on it since
            if elsewhere or name in self.stages:  # or the run that it starts from has changed
                stands = self._standings({name: config})[name]
                as_it_is = stands.status == "done" and (not stands.changed or self.if_changed == "keep")
                if as_it_is or (elsewhere and run_of(config).finished):
                    self.late.append(name)
                    self._tell(name, "")
                    self.give_back(name)
                    return None
                check_changed(self.study, {name: stands}, self.if_changed)
        except StudyError as error:
            self._tell(name, str(error))
            self.give_back(name)
            return None
        if stands.changed and (stands.status == "new" or self.if_changed == "redo"):
            shutil.rmtree(path)
        check_folder(path)
        (path / OUTPUT).unlink(missing_ok=True)
        record = {"study": self.study.name, "run": name, "variant": self.planned[name].variant, "seed": config.seed, "code": self.code}
        merge = self.merges.get(name)
        return Job(name, config, self.notebook, str(project_root()), record | ({"merge": merge} if merge else {}), self.plain, merge)

    def _path(self, name: str) -> Path:
        return run_of(self.configs[name]).path

    def _lock(self, name: str) -> Path:
        return self.folder / TAKEN / self._path(name).name

    def _failure(self, name: str) -> Path:
        return self._lock(name).with_name(f"{self._lock(name).name}.failed")


def _mark(file: Path) -> Mark:
    """Distinguishes a file from a rewritten one; None without a file."""
    try:
        found = file.stat()
    except FileNotFoundError:
        return None
    return found.st_mtime_ns, found.st_ino


def shard_of(names: list[str], shard: str | None) -> set[str] | None:
    """The names of the i-th of n shards, of "i/n": every n-th from the i-th on; None: all. Raises ConfigError."""
    if shard is None:
        return None
    match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", str(shard))
    i, n = (int(match[1]), int(match[2])) if match else (0, 0)
    require(1 <= i <= n, f"shard: {short(shard)} must be i/n, part i of n, counted from 1: 1/4, 2/4, 3/4 and 4/4")
    return set(names[i - 1 :: n])


def check_changed(study: Study, found: dict[str, Standing], if_changed: str, redone: bool = False) -> None:
    """Raises StudyError if an earlier run has changed. redone: whether the runs to repeat have been repeated."""
    require(if_changed in get_args(IfChanged), f"if_changed: {if_changed!r} must be one of {', '.join(get_args(IfChanged))}")
    kept = {name: stands for name, stands in found.items() if stands.status != "new" and (redone or if_changed != "redo")}
    mixed = {name: stands.parameters if if_changed == "keep" else stands.changed for name, stands in kept.items()}
    said = [f"{name} ({found[name].status}): {'; '.join(changed)}" for name, changed in mixed.items() if changed]
    if said:
        raise StudyError(
            f"{study.name}: {len(said)} of {len(found)} runs have changed, and changed runs are not mixed with new ones:\n"
            + "\n".join(said)
            + "\nName another folder; or set if_changed: redo (delete and repeat them) or keep (use finished ones unchanged, resume "
            "the others, as after a corrected function; not if a parameter changed). On the command line: "
            "--if-changed redo, or --if-changed keep"
        )
