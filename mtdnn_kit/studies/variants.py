"""The parts of a study file: named variants, lists to be combined, seeds, what is compared. Plain values in, plain values out.

Each raises ValueError that starts with the key at fault and says what it must be. Whether a parameter exists is `config`'s business.
"""

import itertools
import re

from mtdnn_kit.files.checks import WIDEST
from mtdnn_kit.files.wording import nearest, short, some

SCORES = ("EM", "F1", "span F1", "wrong bounds", "has-answer F1", "no-answer accuracy", "no-answer AP")  # names in `differences.SCORES`
OURS = ("run_dir", "resume")  # what a study sets for its runs itself
RUNS, NAME = 2_000, 150  # runs of a study, and characters of the name of one, at most


def slug(name: str) -> str:
    """A run's name as that of a folder: QA+MCC → qa-mcc."""
    return re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-.")


def expand(variants: object, vary: object, seeds: list[int] | None) -> dict[str, dict]:
    """Name → changed parameters of every variant: the named ones (None: there are none), each with every combination of the lists."""
    if variants is None and not vary:
        raise ValueError("vary lists no parameter, and there are no variants")
    named = {"": {}} if variants is None else _named(variants, seeds)
    made = _combinations(vary)
    if len(named) * len(made) > RUNS:
        raise ValueError(f"vary: with the variants there would be {len(named) * len(made):,} runs; a study has at most {RUNS:,}")
    return _crossed(named, made)


def parameters(where: str, value: object, seeds: list | None) -> dict:
    """A mapping of changed parameters, none of which the study sets itself. where: for the message."""
    if not isinstance(value, dict):
        raise ValueError(f"{where} is {short(value)}; it must map parameters to values, e.g. {{qa_weight: 0.8}}")
    for key in value:
        if key in OURS or (key == "seed" and seeds):
            raise ValueError(f"{where}: {key} is set by the study itself ({'seeds' if key == 'seed' else 'a folder a run'}); leave it out")
    return value


def seed_list(value: object) -> list[int] | None:
    """Different whole numbers, or None."""
    if value is None:
        return None
    seeds = value if isinstance(value, list) else []
    if not seeds or not all(type(seed) is int and 0 <= seed < WIDEST for seed in seeds) or len(set(seeds)) < len(seeds):
        raise ValueError(f"seeds is {short(value)}; it must be a list of different whole numbers, e.g. [0, 1, 2]")
    return seeds


def score_list(value: object) -> tuple[str, ...]:
    """Different names of scores, each one of SCORES."""
    if not isinstance(value, list) or not value or len({*map(str, value)}) < len(value):
        raise ValueError(f"scores is {short(value)}; it must be a list of different scores, e.g. [span F1, no-answer AP]")
    for score in value:
        if score not in SCORES:
            raise ValueError(f"scores: there is no score {score!r}.{nearest(str(score), list(SCORES))} All are: {', '.join(SCORES)}")
    return tuple(value)


def _named(variants: object, seeds: list | None) -> dict[str, dict]:
    if not isinstance(variants, dict):
        raise ValueError("a study file has `base:`, a parameter file, and `variants:`, each with a name and what it changes")
    for name, variant in variants.items():
        if not isinstance(name, str) or not slug(name):
            raise ValueError(f'a variant is called {short(name)}; its name must be text with a letter or digit (write "0.8" in quotes)')
        parameters(f"variants: {some([name])}", variant, seeds)
    if not variants:
        raise ValueError("variants names no run")
    return variants


def _combinations(vary: object) -> dict[str, dict]:
    """Name → parameters of every combination of the lists, the last one changing fastest; one without a name where there is no list."""
    if not isinstance(vary, dict):
        raise ValueError(f"vary is {short(vary)}; it must map parameters to lists of values, e.g. {{qa_weight: [0.5, 0.8]}}")
    count = 1
    for key, values in vary.items():
        if key in (*OURS, "seed"):
            raise ValueError(f"vary: {key} is set by the study itself" + ("; list seeds under `seeds:`" if key == "seed" else ""))
        if not isinstance(values, list) or not values:
            raise ValueError(f"vary: {some([key])} is {short(values)}; it must be a list of values, e.g. [0.5, 0.8]")
        count *= len(values)
        if count > RUNS:
            raise ValueError(f"vary: up to {some([key])} there are {count:,} combinations; a study has at most {RUNS:,} runs")
        if len(set(map(_short, values))) < len(values):
            raise ValueError(f"vary: {some([key])} lists a value twice: {short(values)}")
    made = [dict(zip(vary, values, strict=True)) for values in itertools.product(*vary.values())]
    return {" ".join(f"{key}={_short(value)}" for key, value in one.items()): one for one in made}


def _short(value: object) -> str:
    if isinstance(value, dict):
        return ",".join(f"{key}:{_short(item)}" for key, item in value.items()) or "none"
    return "+".join(map(_short, value)) or "none" if isinstance(value, list) else "null" if value is None else str(value)


def _crossed(variants: dict[str, dict], combinations: dict[str, dict]) -> dict[str, dict]:
    for (name, one), two in itertools.product(variants.items(), combinations.values()):
        for key in one.keys() & two.keys():
            raise ValueError(f"vary: {some([key])} is changed by the variant {some([name])} as well; leave out one")
    return {" ".join(filter(None, (a, b))): {**one, **two} for a, one in variants.items() for b, two in combinations.items()}


def compared(value: object, variants: dict[str, dict]) -> tuple[str, list[str]]:
    """The baseline and the variants that are compared with it; the first one with all others if nothing is said."""
    value = {"baseline": value} if isinstance(value, str) else {} if value is None else value
    form = "compare is {}; it must be a variant's name, or {{baseline: NAME, others: [NAME, …]}}"
    if not isinstance(value, dict) or set(value) - {"baseline", "others"} or not isinstance(value.get("others", []), list):
        raise ValueError(form.format(short(value)))
    baseline = value.get("baseline", next(iter(variants)))
    others = value.get("others", [name for name in variants if name != baseline])
    for name in (baseline, *others):
        if not isinstance(name, str) or name not in variants:
            raise ValueError(f"compare: there is no variant {short(name)}.{nearest(str(name), list(variants))} All are: {some(variants)}")
    if baseline in others:
        raise ValueError(f"compare: {some([baseline])} would be compared with itself")
    return baseline, others
