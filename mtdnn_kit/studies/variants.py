"""The parts of a study file: named variants, lists to combine, seeds, comparisons. Plain values in, plain values out.

Each raises ConfigError that starts with the wrong key and says what it must be. `config` checks whether a parameter exists.
"""

import itertools
import re
from dataclasses import dataclass, field
from typing import Annotated

from mtdnn_kit.compare.clusters import CLUSTERS
from mtdnn_kit.compare.paper import TABLES
from mtdnn_kit.errors import ConfigError
from mtdnn_kit.files.checks import EXPONENT, require, typed
from mtdnn_kit.files.wording import nearest, short, some

STUDY_SCORES = ("EM", "F1", "span F1", "wrong bounds", "has-answer F1", "no-answer accuracy", "no-answer AP")  # `differences.RUN_SCORES`
TUNED_BY = ("span F1", "span EM", "F1", "EM", "no-answer AP")  # scores of held-out questions
EQUAL = ("steps", "tokens")  # what `equal` makes equal between arms
FAMILIES = ("study", "score")  # the comparisons over which p is corrected: all scores and settings of a study, or those of one score
SET_LENGTH = (  # parameters that the number of a run's steps, or their tokens, depends on
    "epochs", "max_steps", "batch_size", "tasks", "define", "data", "encoder", "sampler", "qa_weight", "sharing", "temperature",
    "exhausted", "max_passes", "task_order", "first_tasks", "phase", "step", "max_length", "max_question", "overlap", "train_limit",
    "threshold_articles", "threshold_ratio",
)  # fmt: skip
SET_BY_STUDY = ("run_dir", "resume")  # parameters that a study sets for its runs
MERGE = ("runs", "method", "weight", "base", "density")  # keys of `merge`, what `inference.merging.merge` takes
WRITTEN_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
MOST_RUNS, LONGEST_RUN_NAME = 2_000, 150  # runs of a study, and characters of the name of one, at most


def _by_name(found: dict) -> bool:
    return all(isinstance(key, str) for key in found)


Changes = Annotated[dict, "it must map parameters to values, e.g. {qa_weight: 0.8}", _by_name]
Values = Annotated[list, "it must be a list of values, e.g. [0.5, 0.8]", bool]
Lists = Annotated[dict, "it must map parameters to lists of values, e.g. {qa_weight: [0.5, 0.8]}"]
Cluster = Annotated[str, f"intervals go by one of {', '.join(CLUSTERS)}", lambda name: name in CLUSTERS]
Paper = Annotated[str, f"the paper has {', '.join(TABLES)}", lambda name: name in TABLES]


def _different(values: list) -> bool:
    return 0 < len({*map(str, values)}) == len(values)


def _says_what_is_compared(value: dict | list) -> bool:
    if isinstance(value, list):
        return bool(value) and all(isinstance(one, dict) and _says_what_is_compared(one) for one in value)
    return set(value) <= {"baseline", "others"} and isinstance(value.get("others", []), list) and value.get("baseline", 0) != []


Seed = Annotated[int, lambda seed: seed >= 0]
Seeds = Annotated[list[Seed], "it must be a list of different whole numbers, e.g. [0, 1, 2]", _different]
Judged = Annotated[list, "it must be a list of different scores, e.g. [span F1, no-answer AP]", _different]
Effect = Annotated[float, "it must be a number of points above 0, e.g. 0.5", lambda points: 0 < points < 100]
Family = Annotated[str, f"p is corrected over one of {', '.join(FAMILIES)}", lambda name: name in FAMILIES]
Tuned = Annotated[str, f"it must be one of {', '.join(TUNED_BY)}", lambda name: name in TUNED_BY]
Equal = Annotated[str, f"arms are equal in one of {', '.join(EQUAL)}", lambda name: name in EQUAL]
_COMPARED = "it must be a variant's name, or {baseline: NAME, others: [NAME, …]}, with several names as baseline, or a list of such"
Compared = Annotated[dict | list, _COMPARED, _says_what_is_compared]
Comparison = tuple[str, list[str]]  # a baseline, and what is compared with it


@dataclass(frozen=True)
class StudyFile:
    """The keys of a study file and what each may hold; `studies.study` explains them."""

    base: str
    fixed: Changes = field(default_factory=dict)
    variants: dict | None = None
    vary: Lists = field(default_factory=dict)
    seeds: Seeds | None = None
    compare: str | Compared | None = None
    judged_by: Judged = field(default_factory=lambda: ["F1"])
    scores: Judged | None = None
    smallest_effect: Effect | None = None
    family: Family = "study"
    tune: Lists = field(default_factory=dict)
    tune_seeds: Seeds | None = None
    tune_by: Tuned = "span F1"
    equal: Equal | None = None
    paper: Paper | None = None
    cluster: Cluster = "passage"


def slug(name: str) -> str:
    """A run's name as that of a folder: QA+MCC → qa-mcc."""
    return re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-.")


def expand(file: StudyFile) -> dict[str, dict]:
    """Name → changed parameters of every variant: the named ones (None: there are none), each with every combination of the lists."""
    require(file.variants is not None or file.vary, "vary lists no parameter, and there are no variants: add one of them")
    named = {"": {}} if file.variants is None else _named(file.variants, file.seeds)
    made = combinations(file.vary)
    count = len(named) * len(made)
    require(count <= MOST_RUNS, f"vary: with the variants there would be {count:,} runs; a study has at most {MOST_RUNS:,}")
    return _crossed(named, made)


def begun_from(changes: dict) -> list[str]:
    """The variants that one with these changes starts from (`init_from: {run: NAME}`) or is merged from."""
    start = changes.get("init_from")
    return [*([start["run"]] if isinstance(start, dict) else []), *changes.get("merge", {}).get("runs", ())]


def check_stages(file: StudyFile, variants: dict[str, dict]) -> None:
    """Raises ConfigError if a variant starts from a missing one or from itself, or if that conflicts with another key."""
    require(not (begun_from(file.fixed) or "merge" in file.fixed), "fixed: init_from: {run: …} and merge are of a variant; put them there")
    left = {name: begun_from(changes) for name, changes in variants.items()}
    for name, others in left.items():
        for one in others:
            near = nearest(one, list(variants))
            require(one in variants, f"variants: {some([name])} begins from {short(one)}, and there is no such variant.{near}")
    require(not (file.tune and any(left.values())), "tune: arms that begin from other runs are not tuned; tune the first in its own study")
    merged = [name for name, changes in variants.items() if "merge" in changes]
    require(not (file.equal and merged), f"equal: {some(merged)} is merged and has no steps; leave equal out, or merge with `mtdnn merge`")
    while left:
        free = [name for name, others in left.items() if not left.keys() & others]
        require(free, f"variants: {some(left)}: each begins from another one of these; one must begin from its own encoder")
        left = {name: others for name, others in left.items() if name not in free}


def _check_start(where: str, variant: dict) -> None:
    """Raises ConfigError where `init_from` is a mapping without a run's name, or `merge` does not say which runs to merge, and how."""
    start, merge = variant.get("init_from"), variant.get("merge")
    named = not isinstance(start, dict) or ([*start] == ["run"] and isinstance(start["run"], str))
    require(named, f"{where}: init_from is {short(start)}; it must be {{run: NAME}}, another variant, or a finished run's folder")
    if "merge" in variant:
        runs = merge.get("runs") if isinstance(merge, dict) and not merge.keys() - {*MERGE} else None
        several = isinstance(runs, list) and len(runs) > 1 and all(isinstance(one, str) for one in runs)
        require(several, f"{where}: merge is {short(merge)}; it must be {{runs: [NAME, NAME, …]}}, with any of {', '.join(MERGE[1:])}")
        require(len(variant) == 1, f"{where}: merge goes with no other key: a merged run has the parameters of the first of its runs")


def check_not_set(where: str, changes: dict, seeds: list | None, study: str = "") -> None:
    """Raises ConfigError for a changed parameter that the study sets itself. where, study: for the message."""
    for key in changes:
        by = "seeds" if key == "seed" else "one folder per run"
        set_by_it = key in SET_BY_STUDY or (key == "seed" and seeds)
        require(not set_by_it, f"{where}: {key} is set by the study {study}itself ({by}); leave it out")


def check_tuning(file: StudyFile, variants: dict[str, dict]) -> None:
    """Raises ConfigError if a tuned parameter is set elsewhere, or if tuning shares seeds with the study."""
    require(bool(file.tune) == bool(file.tune_seeds), "tune: also name its seeds, which no other run may have, e.g. tune_seeds: [100, 101]")
    require(not file.tune or file.seeds, "tune: also list the study's seeds, so that those of tuning differ, e.g. seeds: [0, 1, 2]")
    lengths = sorted({*file.tune} & {*SET_LENGTH}) if file.equal else []
    require(not lengths, f"tune: equal sets how long a run is, and {some(lengths)} too: tuning would have another length; leave one out")
    shared = sorted({*(file.tune_seeds or ())} & {*(file.seeds or ())})
    require(not shared, f"tune_seeds: {some(shared)} are seeds of the study, where the tuned parameters would look too good: name others")
    for name, changes in [("fixed", file.fixed), *variants.items()]:
        both = sorted(changes.keys() & file.tune.keys())
        require(not both, f"tune: {some(both)} is set by {some([name])} as well; leave out one")
    combinations(file.tune, "tune")


def check_scores(scores: list) -> None:
    """Raises ConfigError for a score that is not one of STUDY_SCORES."""
    for score in scores:
        near = nearest(str(score), list(STUDY_SCORES))
        require(score in STUDY_SCORES, f"judged_by: there is no score {score!r}.{near} Choose from {', '.join(STUDY_SCORES)}")


def _named(variants: dict, seeds: list | None) -> dict[str, dict]:
    for name, variant in variants.items():
        text = isinstance(name, str) and slug(name)
        require(text, f'a variant is called {short(name)}; its name must be text with a letter or digit (write "0.8" in quotes)')
        check_not_set(f"variants: {some([name])}", typed(f"variants: {some([name])}", variant, Changes), seeds)
        _check_start(f"variants: {some([name])}", variant)
    require(variants, "variants is empty: name at least one")
    return variants


def combinations(vary: dict, where: str = "vary") -> dict[str, dict]:
    """Name → parameters of every combination of the lists, the last one changing fastest; one without a name if there are no lists."""
    count = 1
    for key, values in vary.items():
        rest = "; list seeds under `seeds:`" if key == "seed" else ""
        require(key not in (*SET_BY_STUDY, "seed"), f"{where}: {key} is set by the study itself{rest}")
        count *= len(typed(f"{where}: {some([key])}", values, Values))
        many = f"{where}: up to {some([key])} there are {count:,} combinations; a study has at most {MOST_RUNS:,} runs"
        require(count <= MOST_RUNS, many)
        require(len(set(map(_short, values))) == len(values), f"{where}: {some([key])} lists a value twice: {short(values)}")
    made = [dict(zip(vary, values, strict=True)) for values in itertools.product(*vary.values())]
    return {" ".join(f"{key}={_short(value)}" for key, value in one.items()): one for one in made}


def _short(value: object) -> str:
    if isinstance(value, dict):
        return ",".join(f"{key}:{_short(item)}" for key, item in value.items()) or "none"
    return "+".join(map(_short, value)) or "none" if isinstance(value, list) else "null" if value is None else _plain(str(value))


def _plain(text: str) -> str:
    """3e-4 and 3.0E-4 as Python writes them, 0.0003."""
    return str(float(text)) if EXPONENT.fullmatch(text) else text


def _canonical(name: str) -> str:
    """A variant's name with its numbers written in one way: learning_rate=3.0e-4 is learning_rate=0.0003, epochs=1 is epochs=1.0."""
    return re.sub(r"=([-+.\deE]+)(?= |$)", lambda found: f"={float(found[1])}" if WRITTEN_NUMBER.fullmatch(found[1]) else found[0], name)


def _crossed(variants: dict[str, dict], combinations: dict[str, dict]) -> dict[str, dict]:
    for (name, one), two in itertools.product(variants.items(), combinations.values()):
        for key in two:
            require(key not in one, f"vary: {some([key])} is changed by the variant {some([name])} as well; leave out one")
    # a variant that starts from a named one starts from that with the same values
    return {
        _joined(a, b): {**_pointing(one, b, variants), **({} if "merge" in one else two)}
        for a, one in variants.items()
        for b, two in combinations.items()
    }


def _joined(name: str, values: str) -> str:
    return " ".join(filter(None, (name, values)))


def _pointing(changes: dict, values: str, variants: dict[str, dict]) -> dict:
    """A variant's changes, with the variants that it starts from named with the same values."""
    called = [_joined(one, values) if one in variants else one for one in begun_from(changes)]
    if "merge" in changes:
        return {"merge": {**changes["merge"], "runs": called}}
    return {**changes, "init_from": {"run": called[0]}} if called else changes


def compared(value: str | dict | list | None, variants: dict[str, dict]) -> list[Comparison]:
    """Each baseline and the variants that are compared with it; by default the first variant with all others."""
    found = list[Comparison]()
    for one in value if isinstance(value, list) else [{"baseline": value} if isinstance(value, str) else value or {}]:
        baselines = one.get("baseline", next(iter(variants)))
        for baseline in (_variant(name, variants) for name in (baselines if isinstance(baselines, list) else [baselines])):
            others = [_variant(name, variants) for name in one.get("others", [name for name in variants if name != baseline])]
            require(baseline not in others, f"compare: {some([baseline])} would be compared with itself")
            require(len(set(others)) == len(others), f"compare: others: {some(others)}: a variant is named twice; leave one out")
            found.append((baseline, others))
    bases = [baseline for baseline, _ in found]
    require(len(set(bases)) == len(bases), f"compare: {some(bases)}: a baseline is named twice; put its comparisons into one entry")
    return found


def _variant(name: object, variants: dict[str, dict]) -> str:
    """The variant of that name, in any notation of its numbers. Raises ConfigError."""
    alike = [one for one in variants if one == name] or [one for one in variants if _canonical(one) == _canonical(str(name))]
    if len(alike) != 1:
        raise ConfigError(f"compare: there is no variant {short(name)}.{nearest(str(name), list(variants))} Choose from {some(variants)}")
    return alike[0]
