"""Differences between runs, with intervals and tests: by score, by slice of the questions, and between settings with several seeds.

Intervals and tests are clustered by passage, or by article (`clusters.clustered`), since questions of one are not independent
(`significance`). One seed per setting supports claims about two models only, several seeds about the settings (`seeds`). Scores are in
percent, differences in points; a table is a list of rows.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.stats import rankdata

from mtdnn_kit.compare import family, seeds, significance
from mtdnn_kit.compare.choices import Item, ScoreData, label_outcomes, numbered
from mtdnn_kit.compare.clusters import Compared, other_population, population
from mtdnn_kit.compare.outcomes import best_kind
from mtdnn_kit.compare.pairing import Question, Reply, check_seeds
from mtdnn_kit.compare.slices import slices
from mtdnn_kit.data.rows import QARow
from mtdnn_kit.errors import CompareError
from mtdnn_kit.files.wording import nearest, short, some
from mtdnn_kit.metrics import SCORES, exact
from mtdnn_kit.tasks.null_threshold import average_precision

BOUNDS = ("too long", "cut off", "overlapping")  # kinds of wrong spans that overlap an accepted answer


Setting = dict[int, str]  # seed → the run's name in the replies
Settings = dict[str, Setting]  # by name
LEAST = {"matthews": -100}  # the minimum of a score, if it is not 0
Gap = significance.Difference | seeds.SettingDifference


def _wrong_bounds(row: QARow, reply: Reply) -> float | None:
    # without n-best the best span of an unanswered question is unknown
    return None if reply.diff is None else float(best_kind(row, reply) in BOUNDS)


RUN_SCORES: dict[str, tuple[Callable[[QARow], bool], Callable[[QARow, Reply], float | None]]] = {  # name → questions, value of a reply
    "EM": (lambda row: True, lambda row, reply: reply.em),
    "F1": (lambda row: True, lambda row, reply: reply.f1),
    "span F1": (lambda row: bool(row.answers), lambda row, reply: reply.span_f1),
    "wrong bounds": (lambda row: bool(row.answers), _wrong_bounds),
    "has-answer F1": (lambda row: bool(row.answers), lambda row, reply: reply.f1),
    "no-answer accuracy": (lambda row: not row.answers, lambda row, reply: reply.em),
    "no-answer AP": (lambda row: True, lambda row, reply: reply.diff),
}


def scores_of(questions: Compared) -> tuple[str, ...]:
    """The scores that these rows have: RUN_SCORES of questions, of rows with labels those of their task, and accuracy."""
    return tuple(dict.fromkeys([*questions[0].metrics, "accuracy"])) if questions and isinstance(questions[0], Item) else tuple(RUN_SCORES)


def outcomes(questions: Compared, run: str, score: str) -> ScoreData | None:
    """The data of a run's score: outcomes [N] or [N, 2], numbers of the clusters [N], and the statistic (None: the mean).

    For Matthews' correlation and F1 of labels (`metrics.SCORES`) the outcomes are the right and the predicted label. For average precision
    they are the rank of null − best within the run, the only property that counts (ties get their mean rank, which puts runs with few and
    with many ties on one scale), and whether the question is unanswerable. None if the run has no such score, or no question does, as for
    average precision if all questions are of one kind.
    """
    if questions and isinstance(questions[0], Item):
        return label_outcomes(questions, run, score)
    _known(questions, score)
    if questions and run not in questions[0].replies:
        raise CompareError(f"run: there is no run {short(run)}; choose from {', '.join(questions[0].replies)}")
    some = asked(questions, score)
    values = [x for q in some if (x := RUN_SCORES[score][1](q.row, q.replies[run])) is not None]
    if not some or len(values) < len(some):
        return None
    groups = numbered(questions, some)
    if score != "no-answer AP":
        return 100 * np.array(values), groups, None
    empty = np.array([not q.row.answers for q in some])
    if empty.all() or not empty.any():  # one kind only: nothing to separate
        return None
    return np.column_stack([rankdata(values), empty]), groups, _precision


def _several(found: ScoreData) -> bool:
    """Whether at least two clusters contribute to a score; for average precision, whether two have unanswerable questions."""
    values, groups, statistic = found
    return len(np.unique(groups[values[:, 1] > 0] if statistic is _precision else groups)) > 1


def _precision(values: np.ndarray, weights: np.ndarray) -> float:
    return average_precision(values[:, 0], values[:, 1] > 0, weights) or 0.0


def value(questions: Compared, run: str, score: str) -> float | None:
    """A run's score; None where it has none."""
    found = outcomes(questions, run, score)
    if found is None:
        return None
    values, _, statistic = found
    return statistic(values, np.ones(len(values))) if statistic else float(values.mean())


def interval(questions: Compared, run: str, score: str) -> tuple[float, float] | tuple[None, None]:
    """The ends of the 95 % interval of a run's score over clusters; None where it has no such score, or no two clusters."""
    found = outcomes(questions, run, score)
    if found is None or not _several(found):
        return None, None
    values, groups, statistic = found
    rarer = counting(score, values)
    made = significance.interval(values, groups, statistic, least=LEAST.get(score, 0), most=100, counts=rarer)
    return made.low, made.high


def counting(score: str, values: np.ndarray) -> np.ndarray | None:
    """Which items [N] can change a score whose outcomes are `values`, None: all. For F1 of label 1 those whose right or predicted label it
    is, for Matthews' correlation those without the most frequent right label, for average precision the rarer kind of question."""
    if score == "no-answer AP":
        empty = values[:, 1] > 0
        return empty if empty.mean() <= 0.5 else ~empty
    if score == "f1" and values.ndim == 2:
        return (values == 1).any(axis=1)
    if score == "matthews" and values.ndim == 2:
        return (values != np.bincount(values[:, 0].astype(int)).argmax()).any(axis=1)
    return None


def asked(questions: Sequence[Question], score: str) -> list[Question]:
    """The questions that a score covers."""
    return [q for q in questions if RUN_SCORES[score][0](q.row)]


def difference(questions: Compared, a: str, b: str, score: str, level: float = 0.95) -> significance.Difference | None:
    """Run b minus run a in points, with interval and p by clusters (`significance`); None where one has no such score, or one cluster.

    Raises CompareError for a score that such rows never have, with those that they have."""
    _known(questions, score)
    one, two = (outcomes(questions, run, score) for run in (a, b))
    if one is None or two is None or not _several(one):
        return None
    first, groups, statistic = one
    found = significance.difference(first, two[0], groups, statistic, level=level)
    return replace(found, of=population(questions), items="rows" if questions and isinstance(questions[0], Item) else "items")


def _known(questions: Compared, score: str) -> None:
    """Raises CompareError where no such rows have that score."""
    labelled = bool(questions) and isinstance(questions[0], Item)
    if score not in (SCORES if labelled else RUN_SCORES):
        there, whose = scores_of(questions), "rows with labels" if labelled else "questions"
        raise CompareError(f"score: {short(score)} is none of {whose}; these have {some(there)}.{nearest(score, [*there])}")


def difference_table(questions: Compared, a: str, b: str, scores: Sequence[str] = ()) -> list[dict]:
    """One row per score (none given: `scores_of`): run a, run b, b − a with its 95 % interval and p, how much wider clusters make the
    interval, McNemar's p of EM and accuracy; and if titles are known, interval and p for the other population (articles, if `questions` are
    clustered by passage)."""
    rows, kind, others = [], population(questions), other_population(questions)
    for score in scores or scores_of(questions):
        if found := difference(questions, a, b, score):
            row: dict[str, Any] = {"score": score, **{name: value(questions, name, score) for name in (a, b)}, **ends(found), "p": found.p}
            row |= {"widening": found.widening, _called(questions): found.n_items, kind: found.n_passages}
            whole = [outcomes(questions, name, score) for name in (a, b)] if score in ("EM", "accuracy") else []
            row["McNemar p"] = significance.mcnemar(*(one[0] / 100 for one in whole if one))[2] if whole else None
            if others:
                apart, name = difference(others, a, b, score), population(others)
                row |= {**ends(apart, f"Δ for other {name}"), f"other {name} p": apart and apart.p, name: apart and apart.n_passages}
            rows.append(row)
    return rows


def ends(found: Gap | None, name: str = "difference") -> dict[str, float | None]:
    """A difference and the ends of its interval as cells of a row, the ends named "low" and "high", or for a `name` "name low" and "name
    high"; None for None, and if the ends are infinite (`significance`: fewer than six clusters, or all alike)."""
    stem = "" if name == "difference" else f"{name} "
    keys = {name: "difference", f"{stem}low": "low", f"{stem}high": "high"}
    cells = {cell: None if found is None else getattr(found, key) for cell, key in keys.items()}
    return {cell: x if x is None or np.isfinite(x) else None for cell, x in cells.items()}


def slice_table(questions: Sequence[Question], a: str, b: str, score: str = "F1") -> list[dict]:
    """One row per slice: its questions, both scores, b − a with interval, p and Holm's p over all slices, the largest contribution first.

    The contribution to the difference over all questions, `points`, is the slice's difference times its share of the questions. Slices of
    one passage have no interval, and a facet with a single slice is left out. `places`: the indices of the slice's questions in
    `questions`.
    """
    rows, whole = _slices(questions, {0: a}, {0: b}, score, (a, b)), len(asked(questions, score))
    for row in rows:
        row["points"] = row["difference"] * row["questions"] / whole
    return sorted(corrected(rows), key=lambda row: -abs(row["points"]))


def setting_slices(
    questions: Sequence[Question], a: Setting, b: Setting, score: str = "F1", names: tuple[str, str] = ("a", "b")
) -> list[dict]:
    """`slice_table` of two settings by their `names`, each {seed: run}: means over the seeds, and differences between the settings; slices
    and their `places` cover only the questions of the score."""
    return corrected(_slices(asked(questions, score), a, b, score, names))


def _slices(questions: Sequence[Question], a: Setting, b: Setting, score: str, names: tuple[str, str]) -> list[dict[str, Any]]:
    """One row per slice of every facet with more than one slice, if both settings have the score; without Holm's p."""
    windows, rows = [q.windows for q in questions if q.windows is not None], list[dict[str, Any]]()
    facets = slices([q.row for q in questions], windows if len(windows) == len(questions) else None)
    for facet, name, places in ((facet, *part) for facet, parts in facets.items() if len(parts) > 1 for part in parts.items()):
        some = [questions[i] for i in places]
        before, after = (mean(some, runs, score) for runs in (a, b))
        if before is not None and after is not None:
            found, n = setting_difference(some, a, b, score, part=True), len(asked(some, score))
            row = {"facet": facet, "slice": name, "questions": n, names[0]: before, names[1]: after, **ends(found)}
            row["difference"] = after - before if found is None else row["difference"]
            rows.append({**row, "p": found and found.p, "p (adjusted)": None, "places": places})
    return rows


def behind(questions: Sequence[Question], row: dict, a: str, b: str) -> list[Question]:
    """The questions of a slice (a row of `slice_table`) that the two runs answer differently, those with the largest gap in F1 first."""
    some = [questions[i] for i in row["places"]]
    differing = [q for q in some if exact(q.replies[a].text, [q.replies[b].text]) < 1]
    return sorted(differing, key=lambda q: -abs((q.replies[b].f1 or 0.0) - (q.replies[a].f1 or 0.0)))


def setting_table(questions: Compared, settings: Settings, score: str = "F1") -> list[dict]:
    """One row per setting: its seeds, mean score with interval, and the difference to the first setting with interval, p and the p adjusted
    for all of them.

    settings: name → {seed: the run's name in the replies}. With several seeds of both, differences generalise to the settings (further
    seeds and passages); with one seed each, only to the two models; with one seed of one and several of the other there is no interval.
    Settings that share seeds are compared within these, so the difference may differ from that of the means; with two seeds there is no p.
    Raises CompareError if two seeds are the same run (`pairing.check_seeds`).
    """
    rows, gaps = list[dict[str, Any]](), setting_differences(questions, settings, score)
    for name, runs in settings.items():
        low, high = _setting_interval(questions, runs, score)
        gap = gaps.get(name)
        row = {"setting": name, "seeds": len(runs), score: mean(questions, runs, score), "low": low, "high": high, **ends(gap, "Δ")}
        rows.append({**row, "p": gap and gap.p, "p (adjusted)": None, "speaks for": _speaks(gap)})
    return corrected(rows, list(map(gaps.get, settings)))


def _speaks(gap: Gap | None) -> str:
    if gap is None or isinstance(gap, significance.Difference):
        return "" if gap is None else "these two models"
    return "the settings" if gap.p is not None else f"the settings; {seeds.NO_P}"


def primary_table(questions: Compared, settings: Settings, scores: Sequence[str], family: str = "study", tables: int = 1) -> list[dict]:
    """The primary differences of a study: one row per score and setting except the first, with the p adjusted for all of these rows, or
    with family "score" for those of the same score, or the reason why there is none; "all at once" is the interval at Bonferroni's level,
    0.05 over the number of these rows: the intervals cover all true differences together 95 times in 100, with two seeds if their settings
    vary as the others do. tables: how many such tables the study has, one per baseline; p and level are also corrected for them
    (Bonferroni)."""
    rows, tested = list[dict[str, Any]](), list[Gap | None]()
    (first, base), *others = settings.items()
    for score in scores:
        gaps = setting_differences(questions, settings, score)
        for name, runs in others:
            gap = gaps.get(name)
            row: dict[str, Any] = {"score": score, "setting": name, **({"compared with": first} if tables > 1 else {})}
            row |= {"seeds": len(runs), first: mean(questions, base, score)}
            row |= {"setting's score": mean(questions, runs, score), **ends(gap, "Δ"), "p": gap and gap.p, "p (adjusted)": None}
            rows.append(row | ({"no p": seeds.NO_P} if isinstance(gap, seeds.SettingDifference) and gap.p is None else {}))
            tested.append(gap)
    groups = [list(range(len(rows)))] if family == "study" else [[i for i, row in enumerate(rows) if row["score"] == s] for s in scores]
    for places in groups:
        corrected([rows[i] for i in places], [tested[i] for i in places])
        level = 1 - 0.05 / max(sum(tested[i] is not None for i in places), 1) / tables
        for row, gap in ((rows[i], gap) for i in places if isinstance(gap := tested[i], seeds.SettingDifference)):
            low, high = gap.ends(level) if gap.varies else (None, None)
            row |= {"Δ, all at once": row["Δ"], "Δ, all at once low": low, "Δ, all at once high": high}
    for row in (row for row in rows if row["p (adjusted)"] is not None):
        row["p (adjusted)"] = min(tables * row["p (adjusted)"], 1.0)
    return rows


def family_p(
    questions: Compared, compared: Sequence[Settings], scores: Sequence[str], family: str, score: str
) -> dict[tuple[str, str], float | None]:
    """{(baseline, setting): p} of a primary score, adjusted for all judged differences (`primary_table`); {} if the score is none."""
    found = dict[tuple[str, str], float | None]()
    for of in compared if score in scores else ():
        first = next(iter(of))
        rows = primary_table(questions, of, scores, family, len(compared))
        found |= {(first, row["setting"]): row["p (adjusted)"] for row in rows if row["score"] == score}
    return found


def population_table(questions: Compared, settings: Settings, scores: Sequence[str]) -> list[dict]:
    """The differences of settings for each population: one row per score, setting and population, with its interval. With one seed each
    there is one population, of these models."""
    rows, of = list[dict](), population(questions)
    for score in scores:
        for name, gap in setting_differences(questions, settings, score).items():
            if gap is None or not gap.varies:
                continue
            if isinstance(gap, significance.Difference):
                rows.append({"score": score, "setting": name, "seeds": 1, "for": f"other {of}, with these two models", **ends(gap, "Δ")})
            if isinstance(gap, seeds.SettingDifference):
                row = {"score": score, "setting": name, "seeds": min(gap.n_seeds), "the same seeds": "yes" if gap.paired else "no"}
                rows += [
                    {**row, "for": whom.replace("passages", of), "Δ": gap.difference, "Δ low": low, "Δ high": high}
                    for whom, (low, high) in gap.intervals.items()
                    if np.isfinite(low)
                ]
    return rows


def mean(questions: Compared, runs: Setting, score: str) -> float | None:
    """A setting's score, {seed: run}: the mean over its seeds; None if one of them has none."""
    own = [found for run in runs.values() if (found := value(questions, run, score)) is not None]
    return sum(own) / len(own) if len(own) == len(runs) else None


def corrected(rows: list[dict], gaps: Sequence[Gap | None] = ()) -> list[dict]:
    """Rows with Holm's p over all that have a p, NaN meaning no test (`significance.holm`); if their `gaps` are all between settings,
    adjusted with their correlations (`family`), by the rows' score."""
    tested = [row for row in rows if row["p"] is not None]
    of_settings = [gap for gap in gaps if isinstance(gap, seeds.SettingDifference) and gap.p is not None]
    if tested and len(of_settings) == len(tested):
        adjusted = family.adjusted(of_settings, [row.get("score", "") for row in tested])
    else:
        adjusted = significance.holm([row["p"] for row in tested])
    for row, p in zip(tested, adjusted, strict=True):
        row["p (adjusted)"] = p
    return rows


def setting_differences(
    questions: Compared, settings: Settings, score: str, level: float = 0.95, *, part: bool = False
) -> dict[str, Gap | None]:
    """Each other setting minus the first, {seed: run}: by passages with one seed each; with several, within shared seeds, the spread of
    seeds pooled over all settings with several (`seeds`). None: see `setting_table`. Raises CompareError if two seeds are the same run;
    part: not looked for in a part of the questions, where two seeds may answer alike."""
    (first, base), *others = settings.items()
    _known(questions, score)
    for name, runs in settings.items() if not part else ():
        check_seeds(questions, name, runs)
    some = {name: contributions(questions, runs, score) for name, runs in settings.items() if len(runs) > 1}
    cells = {name: made for name, made in some.items() if made is not None}
    sizes = _sizes(questions, base, score)
    several = seeds.compare_to_first(list(cells.values()), level, sizes) if first in cells and len(cells) > 1 else []
    of = population(questions) if several else ""
    found: dict[str, Gap | None] = dict(zip(list(cells)[1:], (replace(gap, of=of) for gap in several), strict=False))
    for name, runs in others:
        if len(runs) == len(base) == 1:
            found[name] = difference(questions, next(iter(base.values())), next(iter(runs.values())), score, level)
    return {name: found.get(name) for name, _ in others}


def setting_difference(questions: Compared, a: Setting, b: Setting, score: str, *, part: bool = False) -> Gap | None:
    """Setting b minus setting a, each {seed: run}, from these two only; part: as in `setting_differences`."""
    return setting_differences(questions, {"a": a, "b": b}, score, part=part)["b"]


def sentences(questions: Compared, settings: Settings, score: str = "F1", detect: float = 1.0, alpha: float = 0.05) -> list[str]:
    """What can be claimed about each setting's difference to the first, and what is needed to detect one of `detect` points 8 times in
    10 by a test at `alpha` (of a study: 0.05 over its tests)."""
    first, gaps = next(iter(settings)), setting_differences(questions, settings, score)
    return [_sentence(questions, first, name, found, detect, alpha) for name, found in gaps.items()]


def _sentence(questions: Compared, first: str, name: str, found: Gap | None, detect: float, alpha: float) -> str:
    if found is None:
        return f"{name} − {first}: no claim; one of them has a single seed, a score that is missing, or a single passage."
    of, called = population(questions), _called(questions)
    if not found.varies:
        return f"{found.sentence(first, name, of=of)} How many {called} or seeds it would take to see a difference is unknown."
    said = f"{found.sentence(first, name, of=of)} To see {detect:g} point{'s' * (detect != 1)} (at {alpha:.2g}, power 0.8) it would take"
    each = len(questions) / found.n_passages
    if isinstance(found, significance.Difference):
        return f"{said} {significance.passages_needed(found, detect, level=1 - alpha) * each:,.0f} such {called} for these two models."
    need = seeds.needed(found, detect, level=1 - alpha)
    few = f"{need.seeds:,} seeds of each" if need.seeds else "more than any number of seeds on these passages"
    many = (
        f", or {need.passages * each:,.0f} such {called} with these seeds"
        if need.passages
        else f"; with these seeds no number of {called} is enough"
    )
    return f"{said} {few}{many}."


def _called(questions: Compared) -> str:
    return "rows" if questions and isinstance(questions[0], Item) else "questions"


def contributions(questions: Compared, runs: Setting, score: str) -> dict[int, np.ndarray] | None:
    """Each cluster's contribution to the score of each seed's run, {seed: [G]}; None without such a score, or with fewer than two
    clusters."""
    found = {seed: one for seed, run in runs.items() if (one := outcomes(questions, run, score)) is not None}
    if len(found) < len(runs) or not all(map(_several, found.values())):
        return None
    return {seed: seeds.contributions(*one) for seed, one in found.items()}


def _setting_interval(questions: Compared, runs: Setting, score: str) -> tuple[float, float] | tuple[None, None]:
    if len(runs) == 1:
        return interval(questions, next(iter(runs.values())), score)
    made = contributions(questions, runs, score)
    if made is None:
        return None, None
    found = seeds.mean_score(made, sizes=_sizes(questions, runs, score))
    if not found.varies:  # no variance over clusters and seeds does not prove that there is none elsewhere
        return interval(questions, next(iter(runs.values())), score)
    return max(found.low, float(LEAST.get(score, 0))), min(found.high, 100.0)


def _sizes(questions: Compared, runs: Setting, score: str) -> np.ndarray | None:
    """The number of items of each cluster that contributes to a score [G], in the order of `contributions`."""
    found = outcomes(questions, next(iter(runs.values())), score)
    return None if found is None else seeds.sizes_of(found[1])
