"""The status of a planned run: new, begun or done; and what has changed: parameters, code, encoder, data, environment.

A run is valid only while none of these change, so a study neither skips nor resumes a changed one unless told to. What a run was made with
is in its `config.yaml`, `manifest.json` and, for the code file by file, `study.json`.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path

from mtdnn_kit.config import Config
from mtdnn_kit.data.registry import REST, Dataset
from mtdnn_kit.data.sources import load
from mtdnn_kit.errors import ConfigError, DataError, EncoderError
from mtdnn_kit.files.json_files import parsed, read_json
from mtdnn_kit.files.paths import resolve
from mtdnn_kit.files.wording import some
from mtdnn_kit.model.encoders import Encoder, find_encoder
from mtdnn_kit.runs.claim import differs
from mtdnn_kit.runs.code_hash import code_files, code_hash
from mtdnn_kit.runs.environment import WATCHED_PACKAGES, changes, default_threads, environment, kit_version
from mtdnn_kit.runs.run import Run, checkpoints

RECORD = "study.json"  # in the run folder: study, variant, seed, code


@dataclass(frozen=True)
class Standing:
    """`status`: new, begun (there is a checkpoint) or done; what has changed, in words: `parameters`, `rest` (everything else)."""

    status: str
    parameters: list[str] = field(default_factory=list)
    rest: list[str] = field(default_factory=list)

    @property
    def changed(self) -> list[str]:
        """All changes."""
        return self.parameters + self.rest


def code(notebook: Path) -> dict[str, str]:
    """{file: hash} of the kit's modules that can change a run, and of a notebook's code cells (outputs and prose do not count)."""
    cells = parsed(notebook.read_text(encoding="utf-8"))["cells"]
    source = "\0".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    return {**code_files(), notebook.name: hashlib.sha256(source.encode()).hexdigest()[:16]}


def differing(one: dict[str, str], two: dict[str, str]) -> list[str]:
    """Names that only one of them has, or whose hashes differ."""
    return sorted(name for name in one.keys() | two.keys() if one.get(name) != two.get(name))


def run_of(config: Config) -> Run:
    """The folder of a planned run, whose parameters name one."""
    return Run(str(config.run_dir))


def standings(
    configs: Mapping[str, Config], code_now: dict[str, str], elsewhere: bool = False, merges: Mapping[str, dict] | None = None
) -> dict[str, Standing]:
    """The status of each run. Reads the weights and the rows of finished and begun runs, each once.

    elsewhere: the runs are made on other machines, so only the versions of the environment are compared. merges: `Study.merges`.
    """
    fingerprint, files_now, found = cache(_fingerprint), cache(_files_now), {name: Standing("new") for name in configs}
    for name, config in configs.items():
        run = run_of(config)
        if (run.path / "manifest.json").exists():
            status = "done" if run.finished else "begun" if checkpoints(run) else "new"
            rest = [*_code(run, code_now), *_plugins(run, config), *_begun_from(run, config, files_now), *_data(run, config, fingerprint)]
            rest += _environment(run, config, elsewhere)
            parameters, others = _merged(run, (merges or {}).get(name), files_now)
            found[name] = Standing(status, _parameters(run, config) + parameters, others + rest)
    return found


def _parameters(run: Run, config: Config) -> list[str]:
    """Changed parameters; one that is missing in a run's file had its default."""
    before, now = {**asdict(Config()), **run.config}, asdict(config)
    before["threads"] = before["threads"] or run.manifest.get("threads", now["threads"])  # older runs keep them only there
    return [f"{k}: {before[k]!r}, now {now[k]!r}" for k in now if differs(k, before[k], now[k])]


def _code(run: Run, now: dict[str, str]) -> list[str]:
    record = run.path / RECORD
    if not record.exists():
        return [] if run.manifest.get("code") == code_hash() else ["code: the kit's modules"]
    try:
        names = differing(dict(read_json(record.read_bytes())["code"]), now)
    except (OSError, ValueError, LookupError, TypeError):
        return [f"code: {RECORD}, which says what it was, cannot be read"]
    return [f"code: {some(names, 5)}"] if names else []


def _plugins(run: Run, config: Config) -> list[str]:
    """Custom functions and task types whose files have changed; older runs have no record of types."""
    before = run.manifest.get("plugins", {})
    return [
        f"code: {name}"
        for name, record in config.plugin_records.items()
        if before.get(name, record if name.startswith("type ") else None) != record
    ]


def _begun_from(run: Run, config: Config, files_now: Callable[[str], Encoder | str]) -> list[str]:
    """The encoder and the anchor, where their files have changed; a run without their hashes is not compared."""
    named, found = {"encoder": (config.encoder, _encoder(config), config.init_from)}, []
    if config.anchored and (to := config.anchored.to) != "init":
        named["anchor"] = to, str(resolve(to) / "model"), to
    for key, (name, files, first) in named.items():
        kept, now = run.manifest.get(key), files_now(files)
        if not isinstance(kept, dict) or not kept.get("sha256") or (first is not None and _was_there(first, run)):
            continue
        changed = now if isinstance(now, str) else some(now.changed(kept))
        found += [f"{key}: {name} ({changed})"] if changed else []
    return found


def _was_there(first: str, run: Run) -> bool:
    """Whether a pruned run's folder (`mtdnn prune`) is still the one that another run started from, by their times."""
    before = Run(first)
    pruned = before.finished and not (before.path / "model").exists()
    return pruned and before.manifest.get("end", "") <= run.manifest.get("start", "")


def _merged(run: Run, asked: dict | None, files_now: Callable[[str], Encoder | str]) -> tuple[list[str], list[str]]:
    """The settings of a merged run, where they have changed; and those of its source runs whose models have changed."""
    made, record = run.manifest.get("merged"), run.path / RECORD
    if asked is None or made is None:
        return (["merge: it was merged, and is trained now"] if made else ["merge: it was trained, and is merged now"] if asked else []), []
    try:
        before = read_json(record.read_bytes()).get("merge")
    except (OSError, ValueError, AttributeError):
        before = None
    places, kept = asked["runs"], [one["sha256"] for one in made["runs"]]
    now = [getattr(files_now(f"{resolve(one)}/model"), "sha256", None) for one in places]
    others = [one for one, was, is_ in zip(places, kept, now, strict=False) if is_ != was and not _was_there(one, run)]
    return ([f"merge: {before!r}, now {asked!r}"] if before != asked else []), [f"merged: {Run(one).name}" for one in others]


def _data(run: Run, config: Config, fingerprint: Callable[[tuple], str]) -> list[str]:
    before, now = run.manifest.get("data", {}), {f"{source[0]}/{source[1]}": fingerprint(source) for source in _sources(config)}
    changed = {name: found for name, found in now.items() if before.get(name, {}).get("fingerprint") != found}
    return [f"data: {name}" + (f" ({found})" if " " in found else "") for name, found in changed.items()]


def _environment(run: Run, config: Config, elsewhere: bool) -> list[str]:
    """The other influences on a run's bits: its environment, and the current one. A resumed run keeps its threads and
    precision; explicit `threads` are a parameter."""
    before, now = environment(run.manifest), {name: version(name) for name in WATCHED_PACKAGES} | {"mtdnn-kit": kit_version()}
    if not elsewhere and before.keys() - now.keys():
        now |= _machine(config.device, config.precision, config.threads or default_threads())
    kept = (() if run.finished else ("threads", "precision")) + (("threads",) if config.threads else ())
    return [f"environment: {said}" for said in changes({key: before[key] for key in before if key not in kept}, now)]


@cache
def _machine(device_name: str, precision: str, threads: int) -> dict[str, str]:
    """The environment of a run with these parameters on this machine; or "no GPU" if its GPU is missing."""
    from mtdnn_kit.model.devices import describe, resolve_device, resolve_precision  # imports torch: only if a run is checked

    try:
        device = resolve_device(device_name)
    except ConfigError:
        return {"device": "no GPU"}
    on = {"device": device.type, "precision": resolve_precision(precision, device), "machine": describe(device), "threads": threads}
    return environment({**on, "processes": 1})


def _encoder(config: Config) -> str:
    """The name of the encoder that a run begins with: that of another run's model if `init_from` names one."""
    return config.encoder if config.init_from is None else str(resolve(config.init_from) / "model")


def _sources(config: Config) -> list[tuple]:
    """Task, split, data and registry row of all rows that a run reads, as `training.setup.read_rows` names them; hashable."""
    data = config.data if config.data in ("sample", "hub") else str(resolve(config.data))
    found = []
    for task, d in config.datasets.items():
        wanted = [(task, split) for split in dict.fromkeys((d.train, d.score)) if split]
        wanted += [(task + REST, d.score)] if data == "hub" and d.cut and d.score else []
        found += [(name, split, data, json.dumps(asdict(d))) for name, split in wanted]
    return found + [(name, d.score, config.data_of(name), json.dumps(asdict(d))) for name, d in config.further.items()]


def _files_now(name: str) -> Encoder | str:
    """An encoder's files, or why they are unavailable."""
    try:
        return find_encoder(name)
    except (EncoderError, OSError) as error:
        return f"not available: {error}"


def _fingerprint(source: tuple) -> str:
    """Fingerprint of rows, or why they cannot be read."""
    name, split, data, row = source
    task = name.removesuffix(REST)
    try:
        return load(task, Dataset(**json.loads(row)), split, data, rest=name != task).fingerprint
    except DataError as error:
        return f"cannot be read: {error}"
