"""Further tables for the report of a kept study: one row per setting, per example of the paper, or per gain in the paper.

Means are over a setting's seeds, scores in percent. `differences` makes the comparisons, `report` prints them.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mtdnn_kit.compare import paper
from mtdnn_kit.compare.choices import Item, pair_any
from mtdnn_kit.compare.differences import (
    RUN_SCORES,
    Settings,
    corrected,
    difference,
    ends,
    mean,
    population_table,
    primary_table,
    scores_of,
    setting_differences,
    setting_table,
    value,
)
from mtdnn_kit.compare.outcomes import ANSWER_KINDS, best_kind
from mtdnn_kit.compare.pairing import Question, find, qa_task
from mtdnn_kit.compare.seeds import SettingDifference, needed
from mtdnn_kit.compare.significance import Difference
from mtdnn_kit.errors import CompareError, DataError
from mtdnn_kit.runs.notes import own_scores
from mtdnn_kit.runs.run import Run

SPAN_KINDS = ("right", "too long", "cut off", "overlapping", "elsewhere")  # of a best span on an answerable question


def decision_table(
    questions: Sequence[Question], settings: Settings, scores: Sequence[str], effect: float, family: str = "study", tables: int = 1
) -> list[dict]:
    """The decision on each difference to the first setting: one row per score and setting, with the 90 % interval.

    "more" or "less" where p, adjusted for the family, is below 0.05; "no difference larger than `effect` points" where the 90 % interval
    lies within them: two one-sided tests, at 0.05 for each row by itself (Schuirmann 1987); both can hold. "open" where neither does: no
    evidence either way. tables: as in `primary_table`.
    """
    rows, tested = [], primary_table(questions, settings, scores, family, tables)
    gaps = {score: setting_differences(questions, settings, score, level=0.9) for score in scores}
    for row in tested:
        gap = gaps[row["score"]][row["setting"]]
        differs = row["p (adjusted)"] is not None and row["p (adjusted)"] < 0.05
        said = ["more" if row["Δ"] > 0 else "less"] if differs else []
        undecidable = isinstance(gap, SettingDifference) and gap.p is None  # two seeds decide nothing
        if gap is not None and not undecidable and -effect < gap.low and gap.high < effect:
            said.append(f"no difference larger than {effect:g}")
        if said and isinstance(gap, Difference):
            said = [f"{word} (of these two models)" for word in said]
        head = {key: row[key] for key in ("score", "setting", "compared with") if key in row}
        rows.append({**head, **ends(gap, "Δ, 90 % interval"), "decided": "; ".join(said) or "open"})
    return rows


def secondary_table(questions: Sequence[Question], settings: Settings, compared: Sequence[Settings], scores: Sequence[str]) -> list[dict]:
    """The differences of judged settings to those that no comparison names, e.g. a placebo: intervals without a test, for each
    population."""
    named = dict.fromkeys(name for of in compared for name in of)
    pairs = [{a: settings[a], b: settings[b]} for a in settings if a not in named for b in named]
    return [{"compared with": next(iter(pair)), **row} for pair in pairs for row in population_table(questions, pair, scores)]


def forest_rows(questions: Sequence[Question], settings: Settings, compared: Sequence[Settings], score: str) -> list[dict]:
    """The rows of `study_plots.settings_figure`: `setting_table` of the first comparison, then the scores of the settings that it lacks."""
    judged = compared[0] if compared else {}
    rows = setting_table(questions, judged, score) if judged else []
    return rows + [row for name, own in settings.items() if name not in judged for row in setting_table(questions, {name: own}, score)]


def threshold_table(runs: dict[str, Run], questions: Sequence[Question], settings: Settings) -> list[dict]:
    """One row per setting, means over its seeds, in percent: how often nothing was answered at the tuned threshold, F1 on questions with an
    answer and accuracy on those without; F1 at threshold 0, and at the best threshold for these questions, which is an upper bound, not a
    result."""
    kept = {"has-answer F1": "has_answer_f1", "no-answer accuracy": "no_answer_accuracy", "F1 at 0": "f1_at_0", "best F1 here": "best_f1"}
    rows, task = [], qa_task(runs)
    for setting, own in settings.items():
        found = {"nothing answered": [100 * float(np.mean([not q.replies[run].text for q in questions])) for run in own.values()]}
        found |= {name: [runs[run].metrics[task][key] for run in own.values()] for name, key in kept.items()}
        # without unanswerable questions there is no accuracy on them
        rows.append({"setting": setting, **{name: None if None in values else float(np.mean(values)) for name, values in found.items()}})
    return rows


def further_table(runs: Mapping[str, Run], settings: Settings) -> list[dict]:
    """One row per further question set (`scored_also`) and setting: its scores at the main task's threshold, in percent, means over the
    seeds with their standard deviation; [] where no run has one."""
    kinds = {"EM": "em", "F1": "f1", "span F1": "span_f1", "no-answer AP": "no_answer_ap"}
    rows = []
    for name in dict.fromkeys(name for run in runs.values() for name in run.parameters.further):
        for setting, own in settings.items():
            metrics = [runs[run].metrics[name] for run in own.values() if name in runs[run].metrics]
            if metrics:
                row: dict[str, Any] = {"set": name, "setting": setting, "seeds": len(metrics), "questions": metrics[0]["n"]}
                for score, key in kinds.items():
                    values = [one[key] for one in metrics if one.get(key) is not None]
                    row[score] = float(np.mean(values)) if len(values) == len(metrics) else None
                    row[f"{score} (sd)"] = float(np.std(values, ddof=1)) if len(values) == len(metrics) > 1 else None
                rows.append(row | own_scores([runs[run] for run in own.values() if name in runs[run].metrics], name))
    return rows


def task_table(runs: Mapping[str, Run], settings: Settings, data: str | None = None) -> list[dict]:
    """One row per task other than the main one (further sets included), score and setting that has it: the mean over the seeds with its
    interval, and the difference to the first setting that has the task, with interval, p and p adjusted for all rows (Holm).

    data: where the rows are; None: where the runs had them. A task whose rows have changed or are missing has a row that says so; runs
    that keep no answers to it (kept studies) have none.
    """
    main, rows = next(iter(runs.values())).parameters.tasks[0], list[dict]()
    for task in dict.fromkeys(name for run in runs.values() for name in run.metrics if name != main):
        own = {setting: some for setting, some in settings.items() if all(runs[run].keeps(task) for run in some.values())}
        if not own:
            continue
        try:
            found = pair_any({run: runs[run] for some in own.values() for run in some.values()}, data, task, nbest=1)
        except (CompareError, DataError) as error:
            rows.append({"task": task, "note": f"not available: {error}", "p": None})
            continue
        scores = scores_of(found) if isinstance(found[0], Item) else ("EM", "F1")
        rows += [_task_row(task, score, row, next(iter(own))) for score in scores for row in setting_table(found, own, score)]
        rows += [row for setting, some in own.items() for row in _own_rows(task, setting, [runs[run] for run in some.values()])]
    return corrected(rows)


def _own_rows(task: str, setting: str, runs: Sequence[Run]) -> list[dict]:
    """One row per custom score: its mean over a setting's runs, without a test."""
    cells = {"task": task, "setting": setting, "seeds": len(runs), "p": None}
    return [{**cells, "score": score, "value": found} for score, found in own_scores(runs, task).items()]


def _task_row(task: str, score: str, row: dict, first: str) -> dict:
    """A row of `setting_table` as one of `task_table`; first: the setting that it is compared with."""
    cells = {"task": task, "score": score, "setting": row["setting"], "seeds": row["seeds"]}
    cells |= {"value": row[score], "value low": row["low"], "value high": row["high"]}
    cells["compared with"] = "" if row["setting"] == first else first
    return cells | {key: row[key] for key in ("Δ", "Δ low", "Δ high", "p", "p (adjusted)", "speaks for")}


def bounds_table(questions: Sequence[Question], settings: Settings) -> list[dict]:
    """One row per setting: of best spans on answerable questions, the share of each kind (`outcomes.span_kind`), in percent."""
    rows = []
    for setting, own in settings.items():
        kinds = [best_kind(q.row, q.replies[run]) for run in own.values() for q in questions if q.row.answers]
        rows.append({"setting": setting, **{kind: 100 * kinds.count(kind) / len(kinds) if kinds else None for kind in SPAN_KINDS}})
    return rows


def spread_table(questions: Sequence[Question], settings: Settings) -> list[dict]:
    """One row per setting with several seeds: the standard deviation of each score over its seeds, in points."""
    rows = []
    for setting, own in _several(settings).items():
        found = {score: [value(questions, run, score) for run in own.values()] for score in RUN_SCORES}
        spread = {f"{score} (sd)": float(np.std(np.array(some, float), ddof=1)) for score, some in found.items() if None not in some}
        rows.append({"setting": setting, "seeds": len(own), **spread})
    return rows


def _several(settings: Settings) -> Settings:
    """The settings of several seeds."""
    return {setting: own for setting, own in settings.items() if len(own) > 1}


def seed_table(questions: Sequence[Question], settings: Settings) -> list[dict]:
    """One row per setting with several seeds: its second seed's run minus its first's, with interval and p by passages as for any two
    models: the result that one run per setting would have suggested."""
    rows = []
    for setting, own in _several(settings).items():
        (one, a), (two, b), *_ = own.items()
        row: dict = {"setting": setting, "seeds": f"{two} − {one}"}
        for score in ("EM", "F1", "span F1", "no-answer AP"):
            if found := difference(questions, a, b, score):
                row |= {**ends(found, f"Δ {score}"), f"{score} p": found.p}
        rows.append(row)
    return rows


def example_table(questions: Sequence[Question], settings: Settings) -> list[dict]:
    """One row per example of the paper and setting: in how many seeds the answer is right, empty, or of another kind; the mean span F1."""
    rows = []
    there = [(example, q) for example in paper.EXAMPLES if (q := find(questions, example.title, example.words))]
    for (example, question), (setting, own) in itertools.product(there, settings.items()):
        replies = [question.replies[run] for run in own.values()]
        said = [best_kind(question.row, reply) if reply.text else "nothing" for reply in replies]
        answers = ", ".join(f"{said.count(kind)} × {kind}" for kind in (*ANSWER_KINDS, "nothing") if kind in said)
        row = {"example": example.gold, "setting": setting, "answers": answers}
        rows.append({**row, "best span F1": mean([question], own, "span F1"), "the paper": example.says})
    return rows


def paper_needs(questions: Sequence[Question], settings: Settings, table: dict[str, tuple[float, float]]) -> list[str]:
    """One line per setting and score: seeds of each setting needed to detect the paper's gain 8 times in 10."""
    first, *others = settings
    lines, gaps = [], [setting_differences(questions, settings, score) for score in ("EM", "F1")]
    for name, (place, score) in itertools.product(others, enumerate(("EM", "F1"))):
        found = gaps[place][name]
        if isinstance(found, SettingDifference) and name in table and first in table:
            gain = table[name][place] - table[first][place]
            seeds = needed(found, abs(gain)).seeds
            none = "no number of seeds would do on these passages" if found.varies else "unknown, since nothing varies"
            lines.append(f"{name}, {score} {gain:+.2f}: {f'{seeds:,}' if seeds else none}")
    return lines
