"""A study file → named runs with full parameters. Runs nothing, and reads no run folder.

A study varies parameters around a base file to answer one question, which the file's first comment asks:

    # Does the weight matter more than the mixture?
    base: parameters/demo.yaml              # a parameter file
    fixed: {epochs: 2}                      # changed in every run
    variants: {QA: {…}, QA+SC: {…}}         # named, each with what it changes
    vary: {learning_rate: [1.0e-4, 3.0e-4]} # every combination of these, and of these with every variant
    seeds: [0, 1, 2]                        # each variant with each seed
    compare: {baseline: QA, others: [QA+SC]} # which comparison answers the question; the first variant with all others otherwise
    paper: table 2                          # the paper's table with the same variants

One of `variants` and `vary` is needed. Without `seeds` a run has its variant's name, with them "QA+SC seed 1".
"""

import itertools
import os
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path

import yaml

from mtdnn_kit.config import Config, from_file, project_root, resolve
from mtdnn_kit.paper import TABLES
from mtdnn_kit.values import ConfigError, nearest

KEYS = ("base", "fixed", "variants", "vary", "seeds", "compare", "paper")
OURS = ("run_dir", "resume")  # what a study sets for its runs itself


class StudyError(ValueError):
    """A study that cannot be run, or whose runs failed; says which run, where and why."""


@dataclass(frozen=True)
class Planned:
    """A run of a study: its variant, its seed (None: that of its parameters), and what it changes in the base file."""

    name: str
    variant: str
    seed: int | None
    changes: dict


@dataclass(frozen=True)
class Study:
    """A family of runs: `variants` maps each one's name to the parameters that it changes, on top of `fixed`, on top of the file `base`.

    `baseline` and `others`: the variants whose comparison answers the question. `paper`: a key of `paper.TABLES`.
    """

    name: str
    question: str
    base: str
    variants: dict[str, dict]
    baseline: str
    others: list[str]
    fixed: dict = field(default_factory=dict)
    seeds: list[int] | None = None
    paper: str | None = None

    @property
    def runs(self) -> dict[str, Planned]:
        """The study's runs by name, variant by variant, and within it seed by seed."""
        made = {}
        for variant, changes in self.variants.items():
            for seed in self.seeds or [None]:
                name = variant if seed is None else f"{variant} seed {seed}"
                made[name] = Planned(name, variant, seed, {**self.fixed, **changes, **({} if seed is None else {"seed": seed})})
        return made

    def configs(self, folder: Path, changes: dict | None = None) -> dict[str, Config]:
        """Full parameters of each run, below `folder`; `changes` (data, device …) go on top of all.

        Raises ConfigError, naming the run: a parameter that cannot be meant, or two runs with the same ones.
        """
        self._check_changes(changes or {})
        made, root = {}, project_root()
        for name, run in self.runs.items():
            path = folder / slug(name)
            run_dir = path.relative_to(root) if path.is_relative_to(root) else path  # no machine's path in config.yaml
            try:
                made[name] = from_file(self.base, **{**run.changes, **(changes or {}), "run_dir": str(run_dir)})
            except ConfigError as error:
                raise ConfigError(f"{self.name}, run {name}: {error}") from None
        seen: dict[str, str] = {}
        for name, config in made.items():
            same = seen.setdefault(str({**asdict(config), "run_dir": None}), name)
            if same != name:
                raise ConfigError(f"{self.name}: runs {same} and {name} have the same parameters; leave one out")
        return made

    def _check_changes(self, changes: dict) -> None:
        if not isinstance(changes, dict):
            raise ConfigError(f"changes: {changes!r} must map parameters to values, e.g. {{seed: 1}}; on the command line, --set seed=1")
        for key in changes:
            if key in OURS or (key == "seed" and self.seeds):
                raise ConfigError(f"changes: {key} is set by the study {self.name} itself; leave it out")


def slug(name: str) -> str:
    """A run's name as that of a folder: QA+MCC → qa-mcc."""
    return re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-.")


def default_folder(study: Study) -> Path:
    """Where a study's runs go if nothing else is said: below $MTDNN_RUNS or runs/, in a folder of the study's name."""
    return resolve(os.environ.get("MTDNN_RUNS", "runs")) / study.name


def read_study(path: str | Path) -> Study:
    """The study in a file. Raises StudyError, naming file and key: what cannot be read or meant, or runs that would share a folder."""
    try:
        text = resolve(str(path)).read_text(encoding="utf-8")
        content = yaml.load(text, _Strict)
    except OSError as error:
        raise StudyError(f"{path}: cannot be read ({error.strerror}); looked for {resolve(str(path))}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise StudyError(f"{path}: not a YAML study file ({error})") from None
    comment = itertools.takewhile(lambda line: line.startswith("#"), text.splitlines())
    question = " ".join(line.lstrip("# ").strip() for line in comment)
    try:
        return _study(Path(path).stem, question, content)
    except StudyError as error:
        raise StudyError(f"{path}: {error}") from None


class _Strict(yaml.SafeLoader):
    """YAML that refuses a key which is there twice; by itself the last one would win, and a run would be lost without a word."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key, (where, _) in zip(keys, node.value, strict=True):
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"{key!r} is there twice", where.start_mark)
        return super().construct_mapping(node, deep)


def _study(name: str, question: str, content: dict) -> Study:
    if not isinstance(content, dict) or not isinstance(content.get("base"), str) or not {"variants", "vary"} & set(content):
        raise StudyError(
            "a study file has `base:`, a parameter file, and `variants:`, each with a name and what it changes, or `vary:`, lists of values"
        )
    for key in content:
        if key not in KEYS:
            raise StudyError(f"{key}: no such key.{nearest(str(key), list(KEYS))} All are: {', '.join(KEYS)}")
    if content.get("paper") not in (None, *TABLES):
        raise StudyError(f"paper is {content['paper']!r}; the paper has {', '.join(TABLES)}")
    seeds, fixed = _seeds(content.get("seeds")), _parameters("fixed", content.get("fixed", {}), content.get("seeds"))
    variants = _crossed(_variants(content, seeds), _combinations(content.get("vary", {})))
    study = Study(
        name, question, content["base"], variants, *_compared(content.get("compare"), variants), fixed, seeds, content.get("paper")
    )
    folders: dict[str, str] = {}
    for run in study.runs:
        if folders.setdefault(slug(run), run) != run:
            raise StudyError(f"{folders[slug(run)]!r} and {run!r} would share the folder {slug(run)}; rename one")
    return study


def _parameters(where: str, value: object, seeds: list | None) -> dict:
    if not isinstance(value, dict):
        raise StudyError(f"{where} is {value!r}; it must map parameters to values, e.g. {{qa_weight: 0.8}}")
    for key in value:
        if key in OURS or (key == "seed" and seeds):
            raise StudyError(f"{where}: {key} is set by the study itself ({'seeds' if key == 'seed' else 'a folder a run'}); leave it out")
    return value


def _seeds(value: object) -> list[int] | None:
    whole = isinstance(value, list) and value and all(isinstance(seed, int) and not isinstance(seed, bool) and seed >= 0 for seed in value)
    if value is not None and not (whole and len(set(value)) == len(value)):
        raise StudyError(f"seeds is {value!r}; it must be a list of different whole numbers, e.g. [0, 1, 2]")
    return value


def _variants(content: dict, seeds: list | None) -> dict[str, dict]:
    variants = content.get("variants", {"": {}})
    if not isinstance(variants, dict):
        raise StudyError("a study file has `base:`, a parameter file, and `variants:`, each with a name and what it changes")
    for name, variant in variants.items():
        if "variants" in content and (not isinstance(name, str) or not slug(name)):
            raise StudyError(f'a variant is called {name!r}; its name must be text with a letter or digit (write "0.8" in quotes)')
        _parameters(f"variants: {name}", variant, seeds)
    if not variants:
        raise StudyError("variants names no run")
    return variants


def _combinations(vary: object) -> dict[str, dict]:
    """Name → parameters of every combination of the lists, the last one changing fastest; one without a name where there is no list."""
    if not isinstance(vary, dict):
        raise StudyError(f"vary is {vary!r}; it must map parameters to lists of values, e.g. {{qa_weight: [0.5, 0.8]}}")
    for key, values in vary.items():
        if key in (*OURS, "seed"):
            raise StudyError(f"vary: {key} is set by the study itself" + ("; list seeds under `seeds:`" if key == "seed" else ""))
        if not isinstance(values, list) or not values:
            raise StudyError(f"vary: {key} is {values!r}; it must be a list of values, e.g. [0.5, 0.8]")
        if len(set(map(_short, values))) < len(values):
            raise StudyError(f"vary: {key} lists a value twice: {values!r}")
    made = [dict(zip(vary, values, strict=True)) for values in itertools.product(*vary.values())]
    return {" ".join(f"{key}={_short(value)}" for key, value in one.items()): one for one in made}


def _short(value: object) -> str:
    if isinstance(value, dict):
        return ",".join(f"{key}:{_short(item)}" for key, item in value.items()) or "none"
    return "+".join(map(_short, value)) or "none" if isinstance(value, list) else "null" if value is None else str(value)


def _crossed(variants: dict[str, dict], combinations: dict[str, dict]) -> dict[str, dict]:
    for (name, one), two in itertools.product(variants.items(), combinations.values()):
        for key in one.keys() & two.keys():
            raise StudyError(f"vary: {key} is changed by the variant {name} as well; leave out one")
    return {" ".join(filter(None, (a, b))): {**one, **two} for a, one in variants.items() for b, two in combinations.items()}


def _compared(value: object, variants: dict[str, dict]) -> tuple[str, list[str]]:
    """The baseline and the variants that are compared with it."""
    value = {"baseline": value} if isinstance(value, str) else {} if value is None else value
    form = "compare is {!r}; it must be a variant's name, or {{baseline: NAME, others: [NAME, …]}}"
    if not isinstance(value, dict) or set(value) - {"baseline", "others"} or not isinstance(value.get("others", []), list):
        raise StudyError(form.format(value))
    baseline = value.get("baseline", next(iter(variants)))
    others = value.get("others", [name for name in variants if name != baseline])
    for name in (baseline, *others):
        if name not in variants:
            raise StudyError(f"compare: there is no variant {name!r}.{nearest(str(name), list(variants))} All are: {', '.join(variants)}")
    if baseline in others:
        raise StudyError(f"compare: {baseline} would be compared with itself")
    return baseline, others
