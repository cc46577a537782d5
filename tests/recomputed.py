"""Recomputes the tables of a kept study without any code of the kit: from the rows, the kept spans and metrics.json.

Scores come from `scorer`, average precision is checked against scikit-learn's, and tests loop over whole passages. Simple on purpose.
"""

import csv
import gzip
import json
from dataclasses import dataclass, field
from functools import cache, cached_property
from itertools import product
from pathlib import Path

import numpy as np
import yaml
from scipy.stats import f, nct, t
from scorer import overlap, words_of
from sklearn.metrics import average_precision_score

DIFF = "null − best"
BOUNDS = ("too long", "cut off", "overlapping")


@cache
def rows(path: Path) -> dict[str, dict]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return {row["id"]: row for row in map(json.loads, file)}


def lines_of(path: Path) -> list[dict]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def worth(said: str, golds: list[str]) -> tuple[float, float]:
    """EM and F1 of one answer, 0 to 1."""
    accepted, words = [w for w in map(words_of, golds) if w] or [[]], words_of(said)
    return float(words in accepted), max(overlap(words, gold) for gold in accepted)


def in_order(right: np.ndarray, values: np.ndarray) -> float:
    """Average precision, in percent, of `right` ordered by `values`, largest first; equal values are one step."""
    last, found = np.append(values[1:] != values[:-1], True), np.cumsum(right)
    return float(100 * np.sum((found / np.arange(1, len(right) + 1))[last] * np.diff(found[last], prepend=0)) / found[-1])


class Answers:
    """The answers of one run to all questions, scored in percent, as arrays."""

    def __init__(self, asked: list[dict], lines: list[dict], name: str, threshold: float, cluster: str = "context"):
        starts, ends = ([int(line[f"{name}: {what}"] or 0) for line in lines] for what in ("start", "end"))
        self.known: dict[str, np.ndarray] = {}
        self.asked, self.spans = asked, list(zip(starts, ends, strict=True))
        self.diff = np.array([float(line[f"{name}: {DIFF}"]) for line in lines])
        self.able = np.array([bool(row["answers"]["text"]) for row in asked])
        best = np.array([worth(row["context"][a:b], row["answers"]["text"]) for row, (a, b) in zip(asked, self.spans, strict=True)])
        self.span_em, self.span_f1, self.given = 100 * best[:, 0], 100 * best[:, 1], self.diff <= threshold
        self.em, self.f1 = (np.where(self.given, score, 100.0 * ~self.able) for score in (self.span_em, self.span_f1))
        self.kinds = [self.kind(i) for i in range(len(asked))]
        self.passages = np.unique([row[cluster] for row in asked], return_inverse=True)[1]

    def kind(self, i: int) -> str:
        (start, end), golds = self.spans[i], self.asked[i]["answers"]
        places = [(a, a + len(text)) for a, text in zip(golds["answer_start"], golds["text"], strict=True)]
        if self.span_em[i]:
            return "right"
        if any(start <= a and b <= end for a, b in places):
            return "too long"
        if any(a <= start and end <= b for a, b in places) and end > start:
            return "cut off"
        return "overlapping" if any(a < end and start < b for a, b in places) else "elsewhere"

    def f1_at(self, threshold: float) -> float:
        return float(np.where(self.diff <= threshold, self.span_f1, 100.0 * ~self.able).mean())

    @cached_property
    def best_f1(self) -> float:
        return max(self.f1_at(threshold) for threshold in [-np.inf, *np.unique(self.diff)])

    def of(self, score: str) -> tuple[np.ndarray, np.ndarray]:
        """The values that a score is the mean of, [N], and their passages."""
        wrong = 100.0 * np.array([kind in BOUNDS for kind in self.kinds])
        some = ~self.able if score == "no-answer accuracy" else np.ones_like(self.able) if score in ("EM", "F1") else self.able
        named = {"EM": self.em, "F1": self.f1, "span F1": self.span_f1, "wrong bounds": wrong, "has-answer F1": self.f1}
        return named.get(score, self.em)[some], self.passages[some]

    def precision(self, but: int | None = None) -> float:
        """Average precision of giving no answer. but: leave out this passage."""
        order = self.order if but is None else self.order[self.passages[self.order] != but]
        return in_order(~self.able[order], self.diff[order])

    @cached_property
    def order(self) -> np.ndarray:
        """The questions, largest null − best first; checks the average precision of all questions against scikit-learn's."""
        order = np.argsort(-self.diff, kind="stable")
        assert np.isclose(in_order(~self.able[order], self.diff[order]), 100 * average_precision_score(~self.able, self.diff))
        return order

    def score(self, name: str) -> float:
        return self.precision() if name == "no-answer AP" else float(self.of(name)[0].mean())

    def counts(self, score: str) -> np.ndarray:
        """The number of questions of each passage that a score covers, in the order of its contributions."""
        return np.unique(self.passages if score == "no-answer AP" else self.of(score)[1], return_counts=True)[1].astype(float)

    def contributions(self, score: str) -> np.ndarray:
        """[passages]; computed once."""
        if score not in self.known:
            self.known[score] = self._contributions(score)
        return self.known[score]

    def _contributions(self, score: str) -> np.ndarray:
        """The contribution of each passage to the score: linearised for a mean, by leaving the passage out for average precision."""
        if score == "no-answer AP":
            without = np.array([self.precision(passage) for passage in range(self.passages.max() + 1)])
            pulled = (1 - self.counts(score) / len(self.passages)) * (self.precision() - without)
            return self.precision() + len(without) * (pulled - pulled.mean())
        values, passages = self.of(score)
        groups = [values[passages == passage] for passage in np.unique(passages)]
        return np.array([values.mean() + len(groups) / len(values) * (own - values.mean()).sum() for own in groups])


@cache
def kept_study(folder: Path, records: Path, cluster: str = "context") -> "Kept":
    """A kept study on the rows of a file, loaded once. cluster: "context" (passages), or "title" (articles), then called passages, too."""
    return Kept(folder, rows(records), cluster)


class Kept:
    """A kept study: `runs`, {name: Answers}; `settings`, {setting: {seed: name}}; `metrics`, {name: metrics.json}; `places`, {name: its
    folder within `folder`}."""

    def __init__(self, folder: Path, records: dict[str, dict], cluster: str = "context"):
        lines = lines_of(folder / "spans.csv.gz")
        places = self.places = json.loads((folder / "runs.json").read_text())
        self.folder = folder
        compare = yaml.safe_load((folder / "study.yaml").read_text()).get("compare")
        self.compared = {compare["baseline"], *compare["others"]} if compare and "others" in compare else None  # None: all
        self.metrics = {name: json.loads((folder / place / "metrics.json").read_text()) for name, place in places.items()}
        asked = [records[line["id"]] for line in lines]
        self.runs = {name: Answers(asked, lines, name, self.metrics[name]["squad"]["threshold"], cluster) for name in places}
        self.settings: dict[str, dict[int, str]] = {}
        for name in places:
            setting, seed = name.rsplit(" seed ", 1)
            self.settings.setdefault(setting, {})[int(seed)] = name

    def of(self, setting: str) -> list[Answers]:
        return [self.runs[name] for name in self.settings[setting].values()]

    def mean(self, setting: str, score: str) -> float:
        return float(np.mean([run.score(score) for run in self.of(setting)]))

    def labels(self, setting: str, task: str) -> np.ndarray | None:
        """[runs, N]: the labels that the setting's runs predicted; None where they were not kept."""
        files = [self.folder / self.places[name] / "predictions" / f"{task}.jsonl" for name in self.settings[setting].values()]
        if not all(file.is_file() for file in files):
            return None
        return np.array([[json.loads(line)["label"] for line in file.read_text().splitlines()] for file in files])

    def held_out(self, setting: str) -> list[list[dict]] | None:
        """The scores of each run's held-out questions; None where they were not kept."""
        files = [self.folder / self.places[name] / "predictions/squad_held_out.jsonl.gz" for name in self.settings[setting].values()]
        if not all(file.is_file() for file in files):
            return None
        return [[json.loads(line) for line in gzip.decompress(file.read_bytes()).splitlines()] for file in files]

    def cells(self, score: str, only: tuple[str, ...] = ()) -> list[tuple[str, int, np.ndarray]]:
        """(setting, seed, contributions of the passages [G]) of each run of `only`, by default of all compared settings that have several
        seeds."""
        some = only or self.compared or self.settings.keys()
        names = [name for name, own in self.settings.items() if name in some and (only or len(own) > 1)]
        return [(name, seed, self.runs[run].contributions(score)) for name in names for seed, run in self.settings[name].items()]

    def difference(self, a: str, b: str, score: str, only: tuple[str, ...] = ()) -> "Judged":
        """b − a over the seeds that both have (at least three, or all of two), by dummies of settings and seeds. only: the settings whose
        spread is pooled, by default the compared ones."""
        shared, fewest = len(self.settings[a].keys() & self.settings[b].keys()), min(len(self.settings[a]), len(self.settings[b]))
        assert shared >= min(3, fewest), "all settings of the kept studies share their seeds"
        whole, pair = regress(self.cells(score, only), a, b), regress(self.cells(score, (a, b)), a, b)
        others = whole.df - pair.df
        if pair.df > 1 and others > 0:
            rest = (whole.square * whole.df - pair.square * pair.df) / others
            whole = pair if pair.square > rest * f.isf(0.5, pair.df, others) else whole
        by_run = {run: weight * whole.square**0.5 for run, weight in whole.weights.items()}
        shared_noise = sum(weight**2 for weight in whole.weights.values()) * whole.left
        counts = self.of(a)[0].counts(score)
        return Judged(whole.by_passage, counts, sum(x**2 for x in by_run.values()), whole.df, shared_noise, fewest, by_run, whole)

    def alone(self, setting: str, score: str) -> "Judged":
        """A setting's mean over its seeds."""
        u = np.array([run.contributions(score) for run in self.of(setting)])
        s, g = u.shape
        rest = u - u.mean(axis=0)
        left = ((rest - rest.mean(axis=1, keepdims=True)) ** 2).sum() / (s - 1) / (g - 1)
        return Judged(u.mean(axis=0), self.of(setting)[0].counts(score), u.mean(axis=1).var(ddof=1) / s, s - 1, left / s, s)


@dataclass
class Fit:
    """A difference by passage [G]; the weight of each run in it; mean squares over seeds and within a run; degrees of freedom."""

    by_passage: np.ndarray
    weights: dict[tuple[str, int], float]
    square: float
    left: float
    df: int


def regress(cells: list[tuple[str, int, np.ndarray]], a: str, b: str) -> Fit:
    """Ordinary least squares with a dummy for each setting and for each seed but the first, passage by passage."""
    settings, seeds = (sorted({cell[i] for cell in cells}) for i in (0, 1))
    x = np.array([[*(name == one for one in settings), *(seed == one for one in seeds[1:])] for name, seed, _ in cells], float)
    y = np.array([u for *_, u in cells])
    found = np.linalg.lstsq(x, y, rcond=None)[0]
    wanted = np.array([(name == b) - (name == a) for name in settings] + [0] * (len(seeds) - 1), float)
    rest, df = y - x @ found, len(y) - np.linalg.matrix_rank(x)
    means = rest.mean(axis=1)
    left = ((rest - means[:, None]) ** 2).sum() / max(df, 1) / (y.shape[1] - 1)
    weights = {cell[:2]: float(w) for cell, w in zip(cells, x @ np.linalg.pinv(x.T @ x) @ wanted, strict=True)}
    return Fit(wanted @ found, weights, float((means**2).sum() / max(df, 1)), float(left), int(df))


@dataclass
class Judged:
    """The parts of intervals for new seeds and new passages."""

    by_passage: np.ndarray
    counts: np.ndarray  # of each passage's questions
    of_seeds: float
    df: float
    shared: float  # a run's own noise in it, as a variance of one passage
    seeds: int
    by_run: dict[tuple[str, int], float] = field(default_factory=dict)  # weight × standard deviation
    fit: "Fit | None" = None

    @property
    def gap(self) -> float:
        return float(self.by_passage.mean())

    @cached_property
    def passages(self) -> tuple[float, float]:
        """The variance over passages and its degrees of freedom: CR2's, fewer where it is heavy-tailed."""
        g, share = len(self.by_passage), self.counts / self.counts.sum()
        off = (self.by_passage - self.gap) / g / np.sqrt(1 - 2 * share + (share**2).sum())
        return float((off**2).sum()), heavy(off / np.sqrt(share), satterthwaite(share))

    @property
    def shown_df(self) -> float:
        """The two parts' degrees of freedom, weighted by their shares of the variance."""
        of_passages, degrees = self.passages
        parts = np.array([self.of_seeds, max(0.0, of_passages - self.shared / len(self.by_passage))])
        return float(parts.sum() / (parts / [self.df, degrees]).sum())

    def far(self, tail: float) -> float:
        of_passages, degrees = self.passages
        beyond = t.isf(tail, degrees) ** 2
        both = t.isf(tail, self.df) ** 2 * self.of_seeds + beyond * max(0.0, of_passages - self.shared / len(self.by_passage))
        return float(np.sqrt(max(both, beyond * of_passages)))

    def ends_for(self, whom: str) -> tuple[float, float]:
        """The 95 % interval for other seeds alone, other passages alone, or both."""
        of_passages, degrees = self.passages
        seeds, passages = t.isf(0.025, self.df) * self.of_seeds**0.5, t.isf(0.025, degrees) * of_passages**0.5
        far = {"other seeds, these passages": seeds, "other passages, these runs": passages}.get(whom, self.far(0.025))
        return self.gap - far, self.gap + far

    def ends(self, level: float = 0.95) -> tuple[float, float]:
        return self.gap - self.far((1 - level) / 2), self.gap + self.far((1 - level) / 2)

    @property
    def p(self) -> float | None:
        """Twice the tail whose interval just reaches 0, by bisection; None with two seeds."""
        if self.seeds < 3:
            return None
        low, high = 1e-30, 0.5
        for _ in range(200):
            middle = np.sqrt(low * high)
            low, high = (low, middle) if self.far(middle) < abs(self.gap) else (middle, high)
        return 2 * high


def adjusted(tests: list[tuple[str, Judged]], draws: int = 200_000) -> list[float]:
    """p of each (score, test) adjusted for all: Holm's step-down over scores, within a score by drawing from the multivariate t."""
    rng, order = np.random.default_rng(0), sorted(range(len(tests)), key=lambda i: tests[i][1].p)
    told, least = [0.0] * len(tests), 0.0
    for place, i in enumerate(order):
        chance, p = 0.0, tests[i][1].p
        for score in {tests[j][0] for j in order[place:]}:
            own = [tests[j][1] for j in order[place:] if tests[j][0] == score]
            df = max(one.shown_df for one in own)
            z = rng.multivariate_normal(np.zeros(len(own)), correlations(own), draws, check_valid="ignore")
            drawn = np.abs(z / np.sqrt(rng.chisquare(df, draws) / df)[:, None]).max(axis=1)
            chance += p if len(own) == 1 else float((drawn >= t.isf(p / 2, df)).mean())
        told[i] = least = max(least, min(1.0, chance))
    return told


def correlations(own: list[Judged]) -> np.ndarray:
    """Correlations of differences from the same setting, through the runs and the passages that they share."""
    g = len(own[0].by_passage)
    shared = np.cov([one.by_passage for one in own]).reshape(len(own), len(own)) / g
    for i, one in enumerate(own):
        for j, two in enumerate(own):
            shared[i, j] += sum(x * two.by_run.get(run, 0.0) for run, x in one.by_run.items())
    sd = np.sqrt(np.diag(shared))
    return shared / np.outer(sd, sd)


def power(judged: Judged, gain: float, seeds: int) -> float:
    """The probability that this many seeds, the same for both settings, show a true gain at the 5 % level."""
    g, fit = len(judged.by_passage), judged.fit
    of_seeds = (max(0.0, 2 * fit.square - 2 * fit.left / g) + 2 * fit.left / g) / seeds
    of_passages = max(0.0, judged.passages[0] - judged.shared / g)
    half = np.sqrt(t.isf(0.025, seeds - 1) ** 2 * of_seeds + t.isf(0.025, g - 1) ** 2 * of_passages)
    se = np.sqrt(of_seeds + of_passages)
    df = se**2 / (of_seeds / (seeds - 1) + of_passages / (g - 1))
    return float(nct.sf(half / se, df, abs(gain) / se))


def two_models(a: Answers, b: Answers, score: str, draws: int) -> tuple[float, float, float]:
    """b − a of two models, half the width of a t interval, and p: the larger of the sign-flip test's over whole passages and the t
    test's."""
    if score == "no-answer AP":
        counts = np.bincount(a.passages).astype(float)
        n, scores = counts.sum(), b.precision() - a.precision()
        sums = np.array([n * scores - (n - size) * (b.precision(i) - a.precision(i)) for i, size in enumerate(counts)])
        sums += counts * (scores - sums.sum() / n)
    else:
        (x, passages), (y, _) = a.of(score), b.of(score)
        places = [passages == passage for passage in np.unique(passages)]
        sums, counts = np.array([(y - x)[place].sum() for place in places]), np.array([place.sum() for place in places], float)
    gap, share, g = sums.sum() / counts.sum(), counts / counts.sum(), len(sums)
    flips = (1 - 2 * np.random.default_rng(1).integers(0, 2, (draws, g), np.int8)).astype(np.float32) @ sums
    by_flips = (1 + (np.abs(flips) >= abs(sums.sum()) - 1e-6).sum()) / (1 + draws)
    # CR2: a passage's deviation over the square root of the share of its variance that remains in it
    left = 1 - 2 * share + (share**2).sum()
    off = (sums - gap * counts) / np.sqrt(left) / counts.sum()
    se = float(np.sqrt((off**2).sum()))
    df = heavy(off / np.sqrt(share), satterthwaite(share))
    return float(gap), float(t.isf(0.025, df) * se), float(max(by_flips, 2 * t.sf(abs(gap) / se, df)))


def satterthwaite(share: np.ndarray) -> float:
    """Degrees of freedom of CR2's variance of a mean: (Σ λ)² / Σ λ² of D (I − 1 s') V (I − s 1') D, from the matrix itself."""
    g = len(share)
    project = np.eye(g) - np.outer(np.ones(g), share)  # a passage's mean minus the overall mean
    weight = share / np.sqrt(1 - 2 * share + (share**2).sum())
    matrix = (weight[:, None] * project) @ (weight[:, None] * project).T
    return float(np.trace(matrix) ** 2 / (matrix**2).sum())


def heavy(parts: np.ndarray, df: float) -> float:
    """Fewer degrees of freedom where a few passages make most of the variance."""
    g, moment = len(parts), (parts**2).sum()
    excess = (g - 1) / ((g - 2) * (g - 3)) * ((g + 1) * (g * (parts**4).sum() / moment**2 - 3) + 6)
    return min(df, max(4.0, 1 / (1 / df + max(excess, 0.0) / (2 * g))))


def at_share(run: Answers, share: float) -> tuple[float, float]:
    """EM and F1 at the threshold that leaves this share of the questions unanswered, as near as ties in null − best allow; of two the
    smaller."""
    levels = [-np.inf, *np.unique(run.diff)]
    best = min(reversed(levels), key=lambda level: round(abs((run.diff > level).mean() - share), 12))
    given = run.diff <= best
    return tuple(float(np.where(given, score, 100.0 * ~run.able).mean()) for score in (run.span_em, run.span_f1))


def of_counts(score: str, tp: int, fp: int, fn: int, tn: int) -> float:
    """F1 of label 1 of two, or Matthews' correlation, in percent."""
    if score == "f1":
        return 100 * 2 * tp / max(2 * tp + fp + fn, 1)
    return 100 * (tp * tn - fp * fn) / (max((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn), 1) ** 0.5)


def pulls(score: str, gold: np.ndarray, said: np.ndarray) -> np.ndarray:
    """Pseudo-values [N] of a score: n · θ − (n − 1) · θ without the row; of accuracy, whether each row is right."""
    if score == "accuracy":
        return 100.0 * (gold == said)
    kinds = 2 * gold + said  # tn 0, fp 1, fn 2, tp 3
    counts, n = np.bincount(kinds, minlength=4), len(gold)
    whole = of_counts(score, *counts[[3, 1, 2, 0]])
    without = [of_counts(score, *(counts - (np.arange(4) == kind))[[3, 1, 2, 0]]) for kind in range(4)]
    return n * whole - (n - 1) * np.array(without)[kinds]


def above_constant(score: str, gold: np.ndarray, said: np.ndarray, texts: list[str], label: int) -> tuple[float, float]:
    """The 95 % interval of a score's mean over runs minus that of always `label`, for other texts; said [runs, N], texts [N]."""
    gaps = np.mean([pulls(score, gold, one) for one in said], axis=0) - pulls(score, gold, np.full_like(gold, label))
    middle = np.mean([rescored(score, gold, one) for one in said]) - rescored(score, gold, np.full_like(gold, label))
    places = np.unique(texts, return_inverse=True)[1]
    sums, counts = np.bincount(places, gaps), np.bincount(places).astype(float)
    share = counts / counts.sum()
    off = (sums - gaps.mean() * counts) / np.sqrt(1 - 2 * share + (share**2).sum()) / counts.sum()
    df = satterthwaite(share) if len(share) < 2000 else len(share) - 1
    far = float(t.isf(0.025, heavy(off / np.sqrt(share), df) if off.any() else df) * np.sqrt((off**2).sum()))
    return middle - far, middle + far


def rescored(score: str, gold: np.ndarray, said: np.ndarray) -> float:
    """A score of labels, in percent."""
    if score == "accuracy":
        return 100 * float((gold == said).mean())
    return of_counts(score, *np.bincount(2 * gold + said, minlength=4)[[3, 1, 2, 0]])


def spread_by_choice(run: Answers, held: list[dict]) -> tuple[float, float]:
    """Standard deviations of EM and F1 over every draw of as many held-out articles, with replacement, each tuning a threshold."""
    own = [[line for line in held if line["unit"] == unit] for unit in sorted({line["unit"] for line in held})]
    found = []
    for draw in product(own, repeat=len(own)):
        lines = [line for article in draw for line in article]
        diff = np.array([line["diff"] for line in lines])
        gain = np.array([line["f1"] - line["nothing"] for line in lines])[np.argsort(diff)]
        levels, counts = np.unique(diff, return_counts=True)
        totals = np.append(0.0, np.cumsum(gain)[np.cumsum(counts) - 1])
        answered = int(np.flatnonzero(totals > totals.max() - 1e-9)[-1])
        above = levels[answered] if answered < len(levels) else np.inf
        threshold = (levels[answered - 1] + above) / 2 if answered else -np.inf
        given = run.diff <= threshold
        found.append([np.where(given, score, 100.0 * ~run.able).mean() for score in (run.span_em, run.span_f1)])
    return tuple(np.std(found, axis=0) * np.sqrt(len(own) / (len(own) - 1)))
