"""The threshold as a choice: EM and F1 without it, with all runs leaving equally many questions unanswered, and the spread that it adds.

A threshold is tuned on a few held-out articles; other articles would have given another one. This is not a property of the model, but EM
and F1 change with it. Two views: `at_common_share` gives each run the threshold at which it answers nothing as often as all runs do on
average at theirs, for which no label of these questions is needed; `choice_spread` draws the held-out articles again (Efron & Tibshirani
1993, chapter 6), tunes on each draw, and takes the standard deviation of the scores.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from mtdnn_kit.compare.differences import Settings, mean, value
from mtdnn_kit.compare.outcomes import of_questions, reply_at
from mtdnn_kit.compare.pairing import Question, qa_task
from mtdnn_kit.runs.held_out import read_held_out
from mtdnn_kit.runs.run import Run
from mtdnn_kit.tasks.null_threshold import best_threshold, between, finite_threshold, no_answer

_RESAMPLES = 1000
NOT_KEPT = "not kept"  # for a run without scores of its held-out questions: made before 0.3.0, or without held-out questions


@dataclass(frozen=True)
class ChoiceSpread:
    """Standard deviations over other held-out units (articles, or passages): of the threshold, and of EM and F1 at it, in points."""

    threshold: float
    em: float
    f1: float
    units: int


def at_common_share(questions: Sequence[Question]) -> tuple[list[Question], float] | None:
    """The same questions with replies at thresholds where all runs leave the same share unanswered, and that share in percent: the mean
    share at the tuned thresholds. Questions of equal null − best change together, so shares are only as close as ties allow. None
    where a run has no n-best, so that its threshold cannot move.
    """
    names = list(questions[0].replies) if questions else []
    if not names or any(q.replies[name].diff is None for q in questions for name in names):
        return None
    said = [[not q.replies[name].text for q in questions] for name in names]
    share = float(np.mean(said))
    thresholds = {name: _threshold_of(np.array([q.replies[name].diff for q in questions], float), share) for name in names}
    made = [replace(q, replies={name: reply_at(q.row, q.replies[name], thresholds[name]) for name in names}) for q in questions]
    return made, 100 * share


def _threshold_of(diff: np.ndarray, share: float) -> float:
    """The threshold that leaves that share of the questions unanswered, or the nearest possible share (of two the smaller); diff [N]."""
    levels, counts = np.unique(diff, return_counts=True)
    finite = int(np.isfinite(levels).sum())
    # [L + 1]: the share that gets no answer where the lowest 0, 1, … levels are answered
    shares = 1 - np.concatenate([[0], np.cumsum(counts[:finite])]) / len(diff)
    off = np.abs(shares - share)
    return between(levels[:finite], int(np.flatnonzero(off <= off.min() + 1e-12)[-1]))


def choice_spread(run: Run, questions: Sequence[Question], name: str, task: str) -> ChoiceSpread | None:
    """The spread that choosing the threshold adds to a run's EM and F1 on `questions`; name: the run's name in the replies.

    None where the run kept no held-out scores. Units are drawn with replacement, `_RESAMPLES` times, always by the same seed; standard
    deviations are times √(U / (U − 1)), U units, to correct for the resampling. One unit has none: NaN.
    """
    held = read_held_out(run, task)
    if held is None:
        return None
    thresholds, units = drawn_thresholds(held)
    one = [replace(q, replies={name: q.replies[name]}) for q in questions]
    columns = of_questions(one)
    # [draws, N]: whether there is no answer; one draw at a time, to save memory
    given = [~no_answer(columns.diff[0], threshold) for threshold in thresholds]
    found = [[100 * np.where(some, score[0], columns.nothing).mean() for some in given] for score in (columns.em, columns.f1)]
    widened = np.sqrt(units / (units - 1)) if units > 1 else np.nan
    finite = [finite_threshold(threshold, held["diff"]) for threshold in thresholds]
    threshold, em, f1 = (float(widened * np.std(some)) for some in (finite, *found))
    return ChoiceSpread(threshold, em, f1, units)


def drawn_thresholds(held: Mapping[str, np.ndarray]) -> tuple[list[float], int]:
    """The best threshold for F1 on each draw of the held-out units, and how many units there are. held: `runs.held_out`."""
    names, unit = np.unique(held["unit"], return_inverse=True)
    members = [np.flatnonzero(unit == i) for i in range(len(names))]
    rng, found = np.random.default_rng(0), []
    for _ in range(_RESAMPLES):
        some = np.concatenate([members[i] for i in rng.integers(0, len(names), len(names))])
        found.append(best_threshold(held["f1"][some], held["nothing"][some], held["diff"][some])[0])
    return found, len(names)


def choice_table(runs: Mapping[str, Run], questions: Sequence[Question], settings: Settings, task: str | None = None) -> list[dict]:
    """One row per score and setting: EM or F1 at the tuned thresholds and at the common share, means over the seeds with their standard
    deviations, and the standard deviation that choosing the threshold alone adds to one run. [] where a threshold cannot move."""
    common, rows = at_common_share(questions), list[dict]()
    if common is None:
        return rows
    task = task or qa_task(runs)
    spreads = {run: choice_spread(runs[run], questions, run, task) for own in settings.values() for run in own.values()}
    for score, (setting, own) in product(("EM", "F1"), settings.items()):
        row = {"score": score, "setting": setting, "seeds": len(own)}
        for of, some in (("tuned", questions), ("common share", common[0])):
            values = [value(some, run, score) for run in own.values()]
            row |= {of: mean(some, own, score), f"{of} (sd)": _sd(values)}
        rows.append(row | {"sd by the choice": _added([spreads[run] for run in own.values()], score)})
    return rows


def _added(spreads: Sequence[ChoiceSpread | None], score: str) -> float | str:
    """The root of the mean variance; NOT_KEPT if a run lacks the data for it."""
    found = [getattr(one, score.lower()) for one in spreads if one]
    return float(np.sqrt(np.mean(np.square(found)))) if len(found) == len(spreads) else NOT_KEPT


def _sd(values: Sequence[float | None]) -> float | None:
    return float(np.std(np.array(values, float), ddof=1)) if len(values) > 1 else None
