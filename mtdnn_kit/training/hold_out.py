"""Selects the training questions to hold out for the threshold: those on named articles, or a share of the titles, by content.

They are removed from every question answering task, and tune the threshold of the scored ones. For `threshold_ratio`, whole titles or
passages are chosen by their hash, as `data.split` splits scored rows off. Knows no token and no model.
"""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mtdnn_kit.config import Config
from mtdnn_kit.data.registry import ALWAYS
from mtdnn_kit.data.split import hashed, sides
from mtdnn_kit.data.table import column, pick
from mtdnn_kit.errors import ConfigError
from mtdnn_kit.files.wording import short
from mtdnn_kit.runs.run import Run

RowsByTask = dict[str, Sequence]
HELD_OUT = ("threshold_articles", "threshold_ratio")  # the parameters that hold questions out


def hold_out(rows: RowsByTask, config: Config) -> tuple[RowsByTask, RowsByTask]:
    """The held-out questions of the tasks that are scored, and the rows without them. rows: all training rows, by task.

    Raises ConfigError for unknown titles, a ratio of rows that cannot be split, or a task with nothing left to train on.
    """
    key = "threshold_articles" if config.threshold_articles else "threshold_ratio"
    if not getattr(config, key):
        return {}, rows
    qa = [task for task in rows if config.datasets[task].type == "qa"]
    scored = {task: rows[task] for task in qa if config.datasets[task].score}
    inside = _named(rows, qa, scored, config.threshold_articles or []) if config.threshold_articles else _share(rows, qa, scored, config)
    held = {task: pick(some, np.flatnonzero(inside[task])) for task, some in scored.items()}
    left = {task: pick(some, np.flatnonzero(~inside[task])) if task in qa else some for task, some in rows.items()}
    for task, some in left.items():
        if not len(some):
            raise ConfigError(f"{key}: nothing of task {task!r} is left to train on; hold out less")
    return {task: some for task, some in held.items() if len(some)}, left


def check_not_trained_on(config: Config, sources: Mapping[str, dict], names: Sequence[str]) -> None:
    """Raises ConfigError if a run may have trained on the questions that these parameters hold out: one of `names`, whose weights are made
    use of, or one that went into those (`_behind`). sources: of `read_rows`.

    Its rows are of the same file, and it did not hold out these articles or more, or the same ratio of a file that it scored.
    """
    key = next((key for key in HELD_OUT if getattr(config, key)), None)
    rows = _files(config, sources, scored=True)
    for run in _behind(names) if key else ():
        before = run.parameters
        trained, chosen = (rows & _files(before, run.manifest.get("data", {}), scored) for scored in (False, True))
        same_titles = bool(config.threshold_articles) and {*(config.threshold_articles or ())} <= {*(before.threshold_articles or ())}
        same_ratio = bool(config.threshold_ratio) and config.threshold_ratio == before.threshold_ratio and trained == chosen
        if trained and not (same_titles or same_ratio):
            other = next((f"{name}: {short(getattr(before, name))}" for name in HELD_OUT if getattr(before, name)), "nothing")
            raise ConfigError(
                f"{key}: {run.path}, whose weights would be used, trained on the same file of questions and held out {other}, so it may "
                "know the questions that would tune the threshold here: hold out the same in both, and train that run again if need be"
            )


def _files(config: Config, data: Mapping[str, dict], scored: bool) -> set[str]:
    """The fingerprints of the training splits of question answering tasks; scored: of the scored tasks only. data: of a manifest."""
    splits = [f"{task}/{d.train}" for task, d in config.datasets.items() if d.type == "qa" and (d.score or not scored)]
    return {data[split]["fingerprint"] for split in splits if split in data}


def _behind(names: Sequence[str]) -> Iterator[Run]:
    """The runs of these folders and those whose weights went into them, as far as their folders are still there: what each started from,
    what it was held near (`anchor`), and what it was merged from, which lies in its folder's folder or in that of the first of these."""
    waiting, seen = list(names), set[Path]()
    while waiting:
        run = Run(waiting.pop())
        if run.path in seen or not (run.path / "manifest.json").is_file():
            continue
        seen.add(run.path)
        yield run
        first, anchor = run.config.get("init_from"), (run.config.get("anchor") or {}).get("to", "init")
        waiting += [*filter(None, [first]), *([] if anchor == "init" else [anchor])]
        for part in run.manifest.get("merged", {}).get("runs", ()):
            waiting += [str(place / part["run"]) for place in {run.path.parent, Run(first).path.parent if first else run.path.parent}]


def not_tuned(config: Config, train: RowsByTask, held_out: RowsByTask, scored: RowsByTask) -> str | None:
    """A warning if the main task is scored and has unanswerable questions, but none are held out to tune its threshold; else None."""
    task, d = config.tasks[0], config.datasets[config.tasks[0]]
    if d.type != "qa" or not (d.score and d.unanswerable) or task in held_out:
        return None
    without = [not answers for some in (train[task], scored[task]) for answers in column(some, "answers")]
    said = f"{task}: no questions are held out to tune the threshold, but {sum(without):,} of {len(without):,} questions are unanswerable"
    remedy = "To tune it, set threshold_ratio: 0.1, or threshold_articles to titles of training questions"
    return f"{said}. The threshold stays 0, untuned. {remedy}." if any(without) else None


def record(config: Config, held_out: Mapping[str, Any], thresholds: Mapping[str, float]) -> dict[str, dict]:
    """The manifest's record of each task with held-out questions: the rule, how many, and whether the threshold always answers.

    held_out: task → features; thresholds: from `model.evaluation.tuned`.
    """
    rule = f"threshold_ratio {config.threshold_ratio:g}" if config.threshold_ratio else "threshold_articles"
    return {
        task: {
            "rule": rule,
            "questions": len(features.rows),
            "unanswerable": sum(not answers for answers in column(features.rows, "answers")),
            "titles": len({title for title in column(features.rows, "title") if title}),
            "passages": len({*column(features.rows, "context")}),
            "always_answers": thresholds[task] == ALWAYS,
        }
        for task, features in held_out.items()
    }


def _named(rows: RowsByTask, qa: list[str], scored: RowsByTask, titles: list[str]) -> dict[str, np.ndarray]:
    """Which questions belong to the named articles, bool [N] per task."""
    known = {title for some in scored.values() for title in column(some, "title") if title}
    for title in titles:
        if title not in known:
            near = difflib.get_close_matches(title, known, n=3) or sorted(known)[:5]
            there = f"There are, e.g., {', '.join(near)}" if known else "Its questions have no titles"
            remedy = "Or set threshold_articles: [] and, to hold out about a tenth by content, threshold_ratio: 0.1"
            raise ConfigError(f"threshold_articles: no training question of a scored task has the title {title!r}. {there}. {remedy}.")
    return {task: np.array([title in titles for title in column(rows[task], "title")], bool) for task in qa}


def _share(rows: RowsByTask, qa: list[str], scored: RowsByTask, config: Config) -> dict[str, np.ndarray]:
    """Which questions belong to the share of each scored task, bool [N] per task: by title or, without one, by passage."""
    if not scored:
        raise ConfigError("threshold_ratio: no question answering task is scored, so there is no threshold to tune: set it to null")
    units = {task: _units(rows[task]) for task in qa}
    chosen, passages = set[str](), set[str]()
    for task, some in scored.items():
        if len({*units[task]}) < 2:
            raise ConfigError(f"threshold_ratio: all training questions of {task!r} have one title, or one passage: set it to null")
        cut = sides(np.array([hashed(unit) for unit in units[task]], np.uint64), config.threshold_ratio or 0.0, task)[1]
        chosen |= {units[task][place] for place in cut}
        passages |= {some[place].context for place in cut}
    # a held-out passage is not trained on under another title, or none, either
    pairs = {task: zip(units[task], column(rows[task], "context"), strict=True) for task in qa}
    return {task: np.array([unit in chosen or text in passages for unit, text in some], bool) for task, some in pairs.items()}


def _units(rows: Sequence) -> list[str]:
    """The unit of each question, which stays together: its title or, without one, its passage."""
    return [title or context for title, context in zip(column(rows, "title"), column(rows, "context"), strict=True)]
