"""The tables of a kept study by a second reckoning, which shares no code with the kit: from the rows, the kept spans and metrics.json.

Scores by `scorer`, average precision held to scikit-learn's, tests by plain loops over whole passages. Plain on purpose.
"""

import csv
import gzip
import json
from functools import cache, cached_property
from pathlib import Path

import numpy as np
from scipy.stats import nct, t
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
    """Average precision, in percent, of what is ordered by its values, the largest first: equal values are one step."""
    last, found = np.append(values[1:] != values[:-1], True), np.cumsum(right)
    return float(100 * np.sum((found / np.arange(1, len(right) + 1))[last] * np.diff(found[last], prepend=0)) / found[-1])


class Answers:
    """What one run says to the questions, in percent: arrays over all of them."""

    def __init__(self, asked: list[dict], lines: list[dict], name: str, threshold: float):
        starts, ends = ([int(line[f"{name}: {what}"] or 0) for line in lines] for what in ("start", "end"))
        self.known: dict[str, np.ndarray] = {}
        self.asked, self.spans = asked, list(zip(starts, ends, strict=True))
        self.diff = np.array([float(line[f"{name}: {DIFF}"]) for line in lines])
        self.able = np.array([bool(row["answers"]["text"]) for row in asked])
        best = np.array([worth(row["context"][a:b], row["answers"]["text"]) for row, (a, b) in zip(asked, self.spans, strict=True)])
        self.span_em, self.span_f1, self.given = 100 * best[:, 0], 100 * best[:, 1], self.diff <= threshold
        self.em, self.f1 = (np.where(self.given, score, 100.0 * ~self.able) for score in (self.span_em, self.span_f1))
        self.kinds = [self.kind(i) for i in range(len(asked))]
        self.passages = np.unique([row["context"] for row in asked], return_inverse=True)[1]

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
        """What a score is the mean of, [N], and the passages."""
        wrong = 100.0 * np.array([kind in BOUNDS for kind in self.kinds])
        some = ~self.able if score == "no-answer accuracy" else np.ones_like(self.able) if score in ("EM", "F1") else self.able
        named = {"EM": self.em, "F1": self.f1, "span F1": self.span_f1, "wrong bounds": wrong, "has-answer F1": self.f1}
        return named.get(score, self.em)[some], self.passages[some]

    def precision(self, but: int | None = None) -> float:
        """Average precision of answering nothing; but: without one passage."""
        order = self.order if but is None else self.order[self.passages[self.order] != but]
        return in_order(~self.able[order], self.diff[order])

    @cached_property
    def order(self) -> np.ndarray:
        """The questions, those of the largest null − best first; that of all questions is scikit-learn's."""
        order = np.argsort(-self.diff, kind="stable")
        assert np.isclose(in_order(~self.able[order], self.diff[order]), 100 * average_precision_score(~self.able, self.diff))
        return order

    def score(self, name: str) -> float:
        return self.precision() if name == "no-answer AP" else float(self.of(name)[0].mean())

    def contributions(self, score: str) -> np.ndarray:
        """[passages]; reckoned once."""
        if score not in self.known:
            self.known[score] = self._contributions(score)
        return self.known[score]

    def _contributions(self, score: str) -> np.ndarray:
        """Of each passage to the score: linearised for a mean, jackknife pseudo-values for average precision."""
        if score == "no-answer AP":
            without = np.array([self.precision(passage) for passage in range(self.passages.max() + 1)])
            return self.precision() + (len(without) - 1) * (without.mean() - without)
        values, passages = self.of(score)
        groups = [values[passages == passage] for passage in np.unique(passages)]
        return np.array([values.mean() + len(groups) / len(values) * (own - values.mean()).sum() for own in groups])


@cache
def kept_study(folder: Path, records: Path) -> "Kept":
    """A kept study on the rows of a file, once."""
    return Kept(folder, rows(records))


class Kept:
    """A kept study: `runs`, {name: Answers}; `settings`, {setting: {seed: name}}; `metrics`, {name: metrics.json}."""

    def __init__(self, folder: Path, records: dict[str, dict]):
        lines = lines_of(folder / "spans.csv.gz")
        places = json.loads((folder / "runs.json").read_text())
        self.metrics = {name: json.loads((folder / place / "metrics.json").read_text()) for name, place in places.items()}
        asked = [records[line["id"]] for line in lines]
        self.runs = {name: Answers(asked, lines, name, self.metrics[name]["squad"]["threshold"]) for name in places}
        self.settings: dict[str, dict[int, str]] = {}
        for name in places:
            setting, seed = name.rsplit(" seed ", 1)
            self.settings.setdefault(setting, {})[int(seed)] = name

    def of(self, setting: str) -> list[Answers]:
        return [self.runs[name] for name in self.settings[setting].values()]

    def mean(self, setting: str, score: str) -> float:
        return float(np.mean([run.score(score) for run in self.of(setting)]))

    def difference(self, a: str, b: str, score: str) -> tuple[float, float, float, float, tuple]:
        """b − a, low, high, p, and what a power analysis needs: by crossed random effects of seeds and passages, unless seeds are alike."""
        one, two = (np.array([run.contributions(score) for run in self.of(setting)]) for setting in (a, b))
        paired = sorted(self.settings[a]) == sorted(self.settings[b]) and len(one) > 2
        parts = [two - one] if paired else [one, two]
        g, of_seeds, dfs, inner, seeds = one.shape[1], [], [], [], []
        for part in parts:
            s = len(part)
            rest = part - part.mean(1, keepdims=True) - part.mean(0) + part.mean()
            left = (rest**2).sum() / ((s - 1) * (g - 1))
            of_seeds.append(part.mean(1).var(ddof=1) / s), dfs.append(s - 1), inner.append(left)
            seeds.append(part.mean(1).var(ddof=1))
        leftover = sum(left / len(part) for left, part in zip(inner, parts, strict=True))
        passages = max(0.0, (two.mean(0) - one.mean(0)).var(ddof=1) - leftover) / g
        own = sum(of_seeds) ** 2 / sum(v**2 / df for v, df in zip(of_seeds, dfs, strict=True))
        share = sum(of_seeds) / (sum(of_seeds) + passages)
        se, df = np.sqrt(sum(of_seeds) + passages), 1 / (share / own + (1 - share) / (g - 1))
        gap, far = two.mean() - one.mean(), t.ppf(0.975, df) * np.sqrt(sum(of_seeds) + passages)
        spread = sum(max(0.0, v - left / g) for v, left in zip(seeds, inner, strict=True)) + sum(inner) / g
        return float(gap), float(gap - far), float(gap + far), float(2 * t.sf(abs(gap) / se, df)), (spread, passages, g, len(parts))


def power(parts: tuple, gain: float, seeds: int) -> float:
    """Probability that so many seeds of each setting show a true gain at 5 %."""
    spread, passages, g, settings = parts
    own, df = spread / seeds, settings * (seeds - 1)
    share = own / (own + passages)
    df = 1 / (share / df + (1 - share) / (g - 1))
    return float(nct.sf(t.ppf(0.975, df), df, abs(gain) / np.sqrt(own + passages)))


def sign_flips(a: Answers, b: Answers, score: str, draws: int) -> float:
    """p of swapping two models' outcomes in whole passages at random."""
    rng = np.random.default_rng(1)
    if score == "no-answer AP":
        one, two = (np.unique(run.diff, return_inverse=True)[1] for run in (a, b))
        seen = abs(b.score(score) - a.score(score))
        as_large = 0
        for _ in range(draws):
            swap = rng.integers(0, 2, a.passages.max() + 1).astype(bool)[a.passages]
            x, y = np.where(swap, two, one), np.where(swap, one, two)
            after, before = (in_order(~a.able[order], ranks[order]) for ranks in (y, x) for order in [np.argsort(-ranks)])
            gap = after - before
            as_large += abs(gap) >= seen - 1e-9
        return (1 + as_large) / (1 + draws)
    (x, passages), (y, _) = a.of(score), b.of(score)
    sums = np.array([(y - x)[passages == passage].sum() for passage in np.unique(passages)])
    flips = (1 - 2 * rng.integers(0, 2, (draws, len(sums)), np.int8)).astype(np.float32) @ sums
    return float((1 + (np.abs(flips) >= abs(sums.sum()) - 1e-6).sum()) / (1 + draws))


def holm(ps: list[float]) -> list[float]:
    """Each p times the number of those that are not smaller, never below an earlier one."""
    found, most = {}, 0.0
    for rank, (p, place) in enumerate(sorted((p, place) for place, p in enumerate(ps))):
        most = max(most, min(1.0, p * (len(ps) - rank)))
        found[place] = most
    return [found[place] for place in range(len(ps))]
