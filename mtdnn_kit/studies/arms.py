"""Arms of a study on equal terms: each tuned with the same budget, and each with as many steps, or tokens, as the largest.

    tune: {learning_rate: [3.0e-4, 6.0e-4, 1.0e-3]}   # each variant is trained with every combination
    tune_seeds: [100, 101]                            # and with each of these seeds, which no other run of the study has
    tune_by: span F1                                  # the best mean on the held-out questions is taken; of equals the first that is listed
    equal: steps                                      # or tokens: of runs with the same seed, those that would have fewer get more epochs

A choice for the main task only (one rate for all arms) favours it, and a mixture has more steps (paper, "Training"): either can cause a
difference between arms. Tuning uses held-out questions only: tuning runs score the reported ones as all runs do, but nothing reads these
scores. With `equal` they have the steps that the arms will have.
"""

from collections.abc import Mapping
from dataclasses import replace
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np

from mtdnn_kit.config import SAMPLERS, Config
from mtdnn_kit.errors import StudyError
from mtdnn_kit.files.atomic import write_json
from mtdnn_kit.files.checks import require
from mtdnn_kit.files.json_files import read_json
from mtdnn_kit.runs.held_out import read_held_out
from mtdnn_kit.runs.run import Run
from mtdnn_kit.sampler import batch_count
from mtdnn_kit.studies.study import Planned, Study
from mtdnn_kit.studies.variants import combinations, slug
from mtdnn_kit.tasks.null_threshold import qa_threshold_scores
from mtdnn_kit.training.setup import prepare, schedule_of

# the parameters that determine the batches
MIXTURE = attrgetter(
    "tasks", "encoder", "data", "define", "batch_size", "max_length", "max_question", "overlap",
    "threshold_articles", "threshold_ratio", "train_limit",
)  # fmt: skip
Sizes = tuple[dict[str, int], dict[str, float], dict[str, int]]
METRIC_OF = {"span F1": "span_f1", "span EM": "span_em", "F1": "best_f1", "EM": "best_em", "no-answer AP": "no_answer_ap"}  # of TUNED_BY
TUNED = "tuned.json"  # in the study's folder: what was tried and chosen


def tuning_runs(study: Study) -> dict[str, Planned]:
    """The tuning runs, by name: for each variant every combination with every seed. Raises ConfigError if two would share a folder."""
    made, folders = {}, {slug(name): name for name in study.runs}
    for variant, changes in study.variants.items():
        for combination, chosen in combinations(study.tune).items():
            for seed in study.tune_seeds:
                name = f"tune {variant} {combination} seed {seed}"
                first = folders.setdefault(slug(name), name)
                require(
                    first == name, f"tune: {first!r} and {name!r} would share a folder; rename the variant, or write the values differently"
                )
                made[name] = Planned(name, variant, seed, {**study.fixed, **changes, **chosen, "seed": seed})
    return made


def check_tunable(configs: Mapping[str, Config]) -> None:
    """Raises StudyError, before anything trains, if there would be no held-out questions to choose by."""
    for name, config in configs.items():
        main = config.datasets[config.tasks[0]]
        if main.type != "qa" or not main.unanswerable:
            raise StudyError(f"{name}: tune needs a main task of question answering with unanswerable questions; leave it out")
        if not (config.threshold_articles or config.threshold_ratio):
            raise StudyError(f"{name}: it would hold no questions out, so tune has none to choose by. Set threshold_ratio, e.g. 0.1")


def choose(study: Study, runs: Mapping[str, Run]) -> list[dict[str, Any]]:
    """One row per variant and combination: the mean score of its tuning runs on their held-out questions, in percent, and whether it is
    chosen.

    runs: finished ones, by the names of `tuning_runs`. Raises StudyError if a run held nothing out.
    """
    rows = []
    for variant in study.variants:
        own = list[dict[str, Any]]()
        for combination, chosen in combinations(study.tune).items():
            found = [_held_out_score(runs[f"tune {variant} {combination} seed {seed}"], study.tune_by) for seed in study.tune_seeds]
            own.append({"variant": variant, "parameters": chosen, "scores": found, "mean": float(np.mean(found)), "taken": False})
        best = max(own, key=lambda row: row["mean"])
        rows += [row | {"taken": row is best} for row in own]
    return rows


def with_chosen(study: Study, rows: list[dict[str, Any]]) -> Study:
    """The study with each variant's chosen parameters, and nothing left to tune."""
    chosen = {row["variant"]: row["parameters"] for row in rows if row["taken"]}
    return replace(study, variants={name: {**changes, **chosen[name]} for name, changes in study.variants.items()}, tune={}, tune_seeds=())


def write_chosen(folder: Path, study: Study, rows: list[dict[str, Any]]) -> None:
    """Writes what was tried and chosen into the study's folder."""
    write_json(folder / TUNED, {"by": study.tune_by, "seeds": list(study.tune_seeds), "tried": rows})


def chosen_before(study: Study, folder: Path) -> Study:
    """The study with the parameters that an earlier run of it chose, if these are saved for the same variants, values and seeds; else
    unchanged."""
    kept = _kept(folder) if study.tune else {}
    same = kept.get("by") == study.tune_by and kept.get("seeds") == list(study.tune_seeds)
    tried = [(variant, chosen) for variant in study.variants for chosen in combinations(study.tune).values()]
    return with_chosen(study, kept["tried"]) if same and [(r["variant"], r["parameters"]) for r in kept["tried"]] == tried else study


def _kept(folder: Path) -> dict[str, Any]:
    """tuned.json; {} without one. Raises StudyError if unreadable."""
    try:
        found = read_json((folder / TUNED).read_bytes())
        for row in found["tried"]:
            if not ({"variant", "mean", "taken"} <= row.keys() and isinstance(row["parameters"], dict)):
                raise ValueError("a row lacks variant, parameters, mean or taken")
            if len(row["scores"]) != len(found["seeds"]):
                raise ValueError(f"a row lacks a score by {found['by']} for some seed")
        return found
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise StudyError(f"{folder / TUNED}: cannot be read ({error}); run the study again to rewrite it") from None


def tuning_table(study: Study, folder: Path) -> list[dict]:
    """What was tried and chosen, one row per variant and combination; [] if the study tunes nothing. Raises StudyError if unreadable."""
    found = _kept(folder) if study.tune else {}
    keys = [f"{found['by']}, seed {seed}" for seed in found.get("seeds", ())]
    return [
        {"variant": row["variant"], "tried": ", ".join(f"{key} {value}" for key, value in row["parameters"].items())}
        | dict(zip(keys, row["scores"], strict=True))
        | {"mean": row["mean"], "taken": "taken" if row["taken"] else ""}
        for row in found.get("tried", ())
    ]


def _held_out_score(run: Run, score: str) -> float:
    """A run's score on the questions that tuned its threshold, in percent; EM and F1 at the best threshold for each."""
    held = read_held_out(run, run.config["tasks"][0])
    if held is None:
        raise StudyError(f"tune: {run.name} held no questions out, so tune has no questions to choose by. Set threshold_ratio, e.g. 0.1")
    parts = {key: held[key] for key in ("em", "f1", "nothing", "diff")}
    found = qa_threshold_scores(**parts, answerable=held["nothing"] == 0, threshold=0.0)[METRIC_OF[score]]
    if found is None:
        kind = "unanswerable" if score == "no-answer AP" else "answerable"
        why = f"held out no {kind} question, so it has no {score}; hold out more, or choose by another score"
        raise StudyError(f"tune_by: {run.name} {why}")
    return found


def equalized(configs: dict[str, Config], by: str | None) -> dict[str, Config]:
    """The same runs; those with the same seed get the steps, or the tokens (without padding), of the largest of them; by None:
    unchanged."""
    if by is None:
        return configs
    for name, config in configs.items():
        if config.sampler in ("sequential", "annealed") or config.sampler not in SAMPLERS or config.exhausted == "drop":
            raise StudyError(f"equal: {name} has a schedule that more epochs would change (sampler, exhausted: drop); leave equal out")
    if len({config.max_steps for config in configs.values()}) > 1:
        raise StudyError("equal: some runs set max_steps; leave one of the two out")
    sizes = pass_sizes(configs)
    made = dict[str, Config]()
    for seed in dict.fromkeys(config.seed for config in configs.values()):
        own = {name: config for name, config in configs.items() if config.seed == seed}
        steps = {name: len(schedule_of(config, sizes[name][0], sizes[name][2])[0]) for name, config in own.items()}
        cost = {name: 1.0 if by == "steps" else _tokens_a_step(config, *sizes[name]) for name, config in own.items()}
        most = max(steps[name] * cost[name] for name in own)
        made |= {name: _lengthened(config, sizes[name], steps[name], round(most / cost[name])) for name, config in own.items()}
    return {name: made[name] for name in configs}


def pass_sizes(configs: Mapping[str, Config]) -> dict[str, Sizes]:
    """For each run, by task: the batches of a pass, the tokens of a batch, and the rows or windows of a pass. Rows that several runs share
    are processed once."""
    sizes = {key: _sizes(config) for key, config in {str(MIXTURE(config)): config for config in configs.values()}.items()}
    return {name: sizes[str(MIXTURE(config))] for name, config in configs.items()}


def _sizes(config: Config) -> Sizes:
    # the run that it begins from may not be there yet; a score may need more than one row
    train = prepare(replace(config, eval_limit=1, init_from=None, metrics=[])).train
    items = {task: len(features.lengths) for task, features in train.items()}
    batches = {task: batch_count(n, config.batch_size) for task, n in items.items()}
    tokens = {task: features.lengths.sum() * getattr(features, "choices", 1) / batches[task] for task, features in train.items()}
    return batches, tokens, items


def _tokens_a_step(config: Config, batches: dict[str, int], tokens: dict[str, float], items: dict[str, int]) -> float:
    """Mean over the schedule."""
    draws = schedule_of(config, batches, items)[0].draws()
    return sum(count * tokens[task] for task, count in draws.items()) / sum(draws.values())


def _lengthened(config: Config, sizes: Sizes, steps: int, wanted: int) -> Config:
    """With that many steps: more epochs, cut off at the step."""
    if steps >= wanted:
        return config
    longer = replace(config, epochs=config.epochs * wanted / steps * 1.2 + 1, max_steps=wanted)
    if len(schedule_of(longer, sizes[0], sizes[2])[0]) < wanted:
        raise StudyError(f"equal: {longer.run_dir} has fewer than {wanted:,} steps in {longer.epochs:.1f} epochs. Set exhausted: cycle")
    return longer
