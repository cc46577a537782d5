"""A study file → named runs with full parameters. Runs nothing, and reads run folders only to show their status in a notebook.

A study varies parameters around a base file to answer one question, which the file's first comment asks; all keys are in docs/studies.md:

    # Does the mixture help at either learning rate?
    base: parameters/demo.yaml
    variants: {QA: {…}, QA+SC: {…}}
    vary: {learning_rate: [1.0e-4, 3.0e-4]}
    seeds: [0, 1, 2]

Without `seeds` a run has its variant's name, with them "QA+SC seed 1". A run that was made under another name is found
by its parameters (`runs.claim.earlier`): seeds, variants and values may be added later or written differently.
"""

import hashlib
import itertools
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from mtdnn_kit.config import Config, from_file
from mtdnn_kit.errors import ConfigError, StudyError, YamlError
from mtdnn_kit.files.checks import checked, known_keys, require
from mtdnn_kit.files.paths import project_root, resolve, within_project
from mtdnn_kit.files.wording import short
from mtdnn_kit.files.yaml_files import read_yaml, text_of
from mtdnn_kit.runs.claim import read_places
from mtdnn_kit.runs.run import Run
from mtdnn_kit.studies.variants import (
    LONGEST_RUN_NAME,
    MOST_RUNS,
    Comparison,
    StudyFile,
    begun_from,
    check_not_set,
    check_scores,
    check_stages,
    check_tuning,
    compared,
    expand,
    slug,
)
from mtdnn_kit.views.reprs import study_html


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

    `compared`: the comparisons that answer the question, each a baseline and others, `scores` the primary scores, `smallest_effect`
    in points, `family` of `variants.FAMILIES`. `paper`: a key of `paper.TABLES`. `cluster`: a key of `clusters.CLUSTERS`. `digest`: the
    file's sha256.
    """

    name: str
    question: str
    base: str
    variants: dict[str, dict]
    compared: list[Comparison]
    fixed: dict = field(default_factory=dict)
    seeds: list[int] | None = None
    paper: str | None = None
    scores: tuple[str, ...] = ("F1",)
    cluster: str = "passage"
    smallest_effect: float | None = None
    family: str = "study"
    tune: dict[str, list] = field(default_factory=dict)
    tune_seeds: tuple[int, ...] = ()
    tune_by: str = "span F1"
    equal: str | None = None
    digest: str = ""

    @property
    def runs(self) -> dict[str, Planned]:
        """The study's runs by name, variant by variant, and within it seed by seed."""
        made = {}
        for variant, changes in self.variants.items():
            for seed in [*(self.seeds or ())] or [None]:
                name = variant if seed is None else f"{variant} seed {seed}"
                made[name] = Planned(name, variant, seed, {**self.fixed, **changes, **({} if seed is None else {"seed": seed})})
        return made

    @property
    def stages(self) -> dict[str, list[str]]:
        """{run's name: the runs of its seed that it starts from, or is merged from}, for those that have any."""
        runs = self.runs
        named = {(run.variant, run.seed): name for name, run in runs.items()}
        found = {name: [named[one, run.seed] for one in begun_from(run.changes)] for name, run in runs.items()}
        return {name: others for name, others in found.items() if others}

    @property
    def reported(self) -> list[str]:
        """The runs in tables: all except pure stages, from which others start and whose variant no comparison names."""
        named = {name for baseline, others in self.compared for name in (baseline, *others)}
        first = {one for others in self.stages.values() for one in others}
        return [name for name, run in self.runs.items() if run.variant in named or name not in first]

    def merges(self, configs: Mapping[str, Config]) -> dict[str, dict[str, Any]]:
        """The arguments of `inference.merging.merge` for the merged runs in `configs`, with the runs as folders."""
        asked = {name: run.changes["merge"] for name, run in self.runs.items() if name in configs and "merge" in run.changes}
        return {name: {**one, "runs": [str(configs[run].run_dir) for run in self.stages[name]]} for name, one in asked.items()}

    @property
    def baseline(self) -> str:
        """The baseline of the first comparison, which tables of all variants begin with."""
        return self.compared[0][0]

    @property
    def tests(self) -> int:
        """The number of tests for which p is corrected, where all comparisons are as large as the largest: of all scores, unless `family`
        is "score"."""
        most = max(len(others) for _, others in self.compared)
        return len(self.compared) * most * (len(self.scores) if self.family == "study" else 1)

    @property
    def others(self) -> list[str]:
        """The variants that the first comparison compares with it."""
        return self.compared[0][1]

    @property
    def settings(self) -> dict[str, dict[int, str]]:
        """{variant: {seed: run's name}} for tables of differences: the baseline first, then what is compared with it, then the rest."""
        ordered = dict.fromkeys([self.baseline, *self.others, *self.variants])
        return {variant: {run.seed or 0: name for name, run in self.runs.items() if run.variant == variant} for variant in ordered}

    @property
    def blocks(self) -> list[dict[str, Planned]]:
        """The runs seed by seed: a study that is stopped early then has the same seeds for all settings."""
        runs, seeds = self.runs, [None] if self.seeds is None else [*self.seeds]
        return [{name: run for name, run in runs.items() if run.seed == seed} for seed in seeds]

    def of(self, runs: Mapping[str, Any]) -> dict[str, dict[int, str]]:
        """`settings` restricted to the given runs, without settings that have none."""
        there = {name: {seed: run for seed, run in own.items() if run in runs} for name, own in self.settings.items()}
        return {name: own for name, own in there.items() if own}

    def judged(self, runs: Mapping[str, Any]) -> list[dict[str, dict[int, str]]]:
        """`of(runs)` for each comparison that has runs, its baseline first: the settings that it names and no others, since p is corrected
        for all of them."""
        return [of for of in self._named(runs) if len(of) > 1]

    def comparisons(self, runs: Mapping[str, Any]) -> list[dict[str, dict[int, str]]]:
        """`of(runs)` for each comparison whose baseline has runs, that first; all settings if there is none. For tables of scores."""
        return self._named(runs) or [self.of(runs)]

    def _named(self, runs: Mapping[str, Any]) -> list[dict[str, dict[int, str]]]:
        there = self.of(runs)
        named = [(baseline, [name for name in (baseline, *others) if name in there]) for baseline, others in self.compared]
        return [{name: there[name] for name in names} for baseline, names in named if baseline in there]

    def configs(self, folder: Path, changes: dict | None = None, planned: dict[str, Planned] | None = None) -> dict[str, Config]:
        """Full parameters of each run, below `folder`; `changes` (data, device …) go on top of all. planned: None for `runs`.

        Raises ConfigError, naming the run, for an invalid parameter, or if two runs have the same parameters, and for a change of what a
        variant or `tune` sets.
        """
        require(
            isinstance(changes or {}, dict),
            f"changes: {short(changes)} must map parameters to values, e.g. {{seed: 1}}; on the command line, --set seed=1",
        )
        check_not_set("changes", changes or {}, self.seeds, f"{self.name} ")
        made, places, stages = {}, read_places(folder), self.stages
        require(not (stages and "init_from" in (changes or {})), f"changes: init_from: runs of {self.name} begin from others; leave it out")
        for key in changes or {}:
            by = "`tune`" if key in self.tune else next((f"variant {name!r:.40}" for name, own in self.variants.items() if key in own), "")
            require(not by, f"changes: {key}: {by} of {self.name} sets it, and names would no longer be true; change the study file")
        wanted = planned or self.runs
        dirs = {name: str(within_project(_place(folder, name, places))) for name in wanted}  # no machine's path in config.yaml

        def own(name: str) -> dict:
            """A run's changed parameters; a merged run has those of its first run."""
            given, (first, *_) = wanted[name].changes, stages.get(name) or [""]
            return {**(own(first) if "merge" in given else given), **({"init_from": dirs[first]} if first else {})}

        for name in wanted:
            try:
                made[name] = from_file(self.base, **{**own(name), **(changes or {}), "run_dir": dirs[name]})
            except ConfigError as error:
                raise ConfigError(f"{self.name}, run {name}: {error}") from None
        seen: dict[str, str] = {}
        for name, config in made.items():
            first = seen.setdefault(f"in {config.run_dir}", name)
            require(first == name, f"{self.name}: runs {first} and {name} would share the folder {config.run_dir}; rename one")
            same = seen.setdefault(str({**asdict(config), "run_dir": None, "merge": wanted[name].changes.get("merge")}), name)
            require(same == name, f"{self.name}: runs {same} and {name} have the same parameters; leave one out")
        return made

    def _repr_html_(self) -> str:
        folder = default_folder(self)
        return study_html(self, {name: _status(Run(_place(folder, name, read_places(folder)))) for name in self.runs}, Run(folder).name)


def _place(folder: Path, name: str, places: Mapping[str, str]) -> Path:
    """A run's folder: named after it, or where it was made under another name (`runs.claim.read_places`)."""
    return folder / (slug(name) if (folder / slug(name)).exists() else places.get(name, slug(name)))


def _status(run: Run) -> str:
    try:
        return "finished" if run.finished else "begun" if (run.path / "manifest.json").exists() else "not begun"
    except (OSError, ValueError, KeyError, TypeError):
        return "cannot be read"


def default_folder(study: Study) -> Path:
    """The default folder of a study's runs: in $MTDNN_RUNS or runs/, named after the study."""
    return resolve(os.environ.get("MTDNN_RUNS", "runs")) / study.name


def project_notebook(name: str) -> Path:
    """A notebook of the project, e.g. "notebooks/02_train.ipynb". Raises StudyError if there is none, as for an installed package."""
    path = resolve(name)
    if not path.is_file():
        raise StudyError(
            f"{name} is not in {project_root()}: a study executes the notebooks, which an installed package lacks. Run it in the project's "
            "folder (a clone), or copy its notebooks/ here; `train` needs none of them"
        )
    return path


def read_study(path: str | Path, cluster: str | None = None) -> Study:
    """The study in a file; cluster: in place of the file's.

    Raises StudyError, naming file and key: for unreadable or invalid files, or runs that would share a folder.
    """
    try:
        text = text_of(resolve(str(path)))
        content = read_yaml(text)
    except OSError as error:
        raise StudyError(f"{path}: cannot be read ({error.strerror}); looked for {resolve(str(path))}") from None
    except YamlError as error:
        raise StudyError(f"{path}: not a YAML study file ({error})") from None
    comment = itertools.takewhile(lambda line: line.startswith("#"), text.splitlines())
    question = " ".join(line.lstrip("# ").strip() for line in comment)
    try:
        content = {**content, "cluster": cluster} if cluster and isinstance(content, dict) else content
        return replace(_study(Path(path).stem, question, content), digest=hashlib.sha256(text.encode()).hexdigest())
    except ValueError as error:
        raise StudyError(f"{path}: {error}") from None


def _study(name: str, question: str, content: Any) -> Study:
    plain = isinstance(content, dict) and isinstance(content.get("base"), str) and isinstance(content.get("variants"), dict | None)
    require(
        plain and {"variants", "vary"} & set(content),
        "a study file needs `base:`, a parameter file, and `variants:`, each with a name and its changes, or `vary:`, lists of values",
    )
    known_keys(content, [key.name for key in fields(StudyFile)])
    file = StudyFile(**checked(content, StudyFile))
    check_not_set("fixed", file.fixed, file.seeds)
    require(file.scores is None or "judged_by" not in content, "scores is the older name of judged_by; leave it out")
    scores = file.scores or file.judged_by
    check_scores(scores)
    variants = expand(file)
    runs = len(variants) * len(file.seeds or [None])
    require(runs <= MOST_RUNS, f"seeds: there would be {runs:,} runs; a study has at most {MOST_RUNS:,}")
    check_tuning(file, variants)
    check_stages(file, variants)
    study = replace(
        Study(
            name,
            question,
            file.base,
            variants,
            compared(file.compare, variants),
            file.fixed,
            file.seeds,
            file.paper,
            tuple(scores),
            file.cluster,
        ),
        smallest_effect=file.smallest_effect,
        family=file.family,
        tune=file.tune,
        tune_seeds=tuple(file.tune_seeds or ()),
        tune_by=file.tune_by,
        equal=file.equal,
    )
    folders: dict[str, str] = {}
    for run in study.runs:
        limit = f"{short(run)}: a run's name may have at most {LONGEST_RUN_NAME} characters, because it names the folder; shorten it"
        require(len(run) <= LONGEST_RUN_NAME, limit)
        first = folders.setdefault(slug(run), run)
        require(first == run, f"{first!r} and {run!r} would share the folder {slug(run)}; rename one")
    return study
