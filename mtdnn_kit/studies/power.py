"""The power of a study before it runs: the seeds that an effect needs, and the effect that the seeds can detect.

The spread of seeds and passages comes from earlier runs (`spreads`), kept with a study as spread.json. Power is simulated by drawing the
test's components (`compare.seeds`): the difference, normal, and its mean squares, χ² with their degrees of freedom; always by the same
seed. The spread itself is known with few degrees of freedom, so the number of seeds needed is a range: with the 10 % and the 90 % point of
the seeds' variance. Each comparison is tested at 0.05 divided by the family's size (Bonferroni), slightly more strictly than in the study.
"""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy.special import stdtrit
from scipy.stats import chi2, f

from mtdnn_kit.compare import Question, blocks
from mtdnn_kit.compare.clusters import population
from mtdnn_kit.compare.differences import Settings, contributions, setting_differences
from mtdnn_kit.compare.seeds import SettingDifference
from mtdnn_kit.errors import RunError
from mtdnn_kit.files.atomic import write_json
from mtdnn_kit.files.json_files import read_json
from mtdnn_kit.files.paths import project_root, resolve
from mtdnn_kit.runs.run import Run

SPREAD_FILE = "spread.json"
WANTED_POWER, FAMILY_LEVEL = 0.8, 0.05
_DRAWS, _MOST, _FEWEST = 20_000, 1000, 3  # draws; the maximum of seeds; seeds from which a p is shown


@dataclass(frozen=True)
class Spread:
    """Of a score's difference between one seed of each of two settings, in points²: the mean square over seeds on these passages, with df
    degrees of freedom; the variance over passages; the part of the first that is noise within a run (σ²_e). G passages."""

    over_seeds: float
    df: int
    over_passages: float
    within: float
    passages: int

    @property
    def ends(self) -> tuple["Spread", "Spread"]:
        """With the 10 % and the 90 % point of the mean square over seeds."""
        low, high = (self.over_seeds * self.df / chi2.isf(tail, self.df) for tail in (0.1, 0.9))
        return replace(self, over_seeds=float(low)), replace(self, over_seeds=float(high))


def spreads(questions: Sequence[Question], settings: Settings, scores: Sequence[str]) -> dict[str, Spread]:
    """The spread of each score, if two settings have at least two seeds: means over the differences to the first setting."""
    several = {name: own for name, own in settings.items() if len(own) > 1}
    found = {}
    for score in scores if len(several) > 1 else ():
        gaps = [gap for gap in setting_differences(questions, several, score).values() if isinstance(gap, SettingDifference)]
        if gaps:
            cells = [made for own in several.values() if (made := contributions(questions, own, score)) is not None]
            over_seeds, within, df = blocks.pooled(cells)
            over_passages = float(np.mean([max(0.0, gap.passage) for gap in gaps]))
            if df > 0:
                found[score] = Spread(2 * over_seeds, df, over_passages, 2 * within, gaps[0].n_passages)
    return found


def write_spread(folder: Path, runs: dict[str, Run], questions: Sequence[Question], settings: Settings, scores: Sequence[str]) -> None:
    """Writes spread.json into a study's folder, for the plans of later studies; writes nothing if no setting has two seeds."""
    if found := spreads(questions, settings, scores):
        encoder = next(iter(runs.values())).config["encoder"]
        content = {"encoder": encoder, "clusters": population(questions), "runs": len(runs)}
        write_json(folder / SPREAD_FILE, {**content, "scores": {score: asdict(one) for score, one in found.items()}})


def earlier_spreads(encoder: str, folder: Path, clusters: str = "passages") -> tuple[str, dict[str, Spread]] | None:
    """The source of the spread, and the spread by score: from a study of the same encoder with the same clusters (`clusters.population`) in
    its own folder, in the default folder, or kept with the project; the one with the most degrees of freedom. None without one. Raises
    RunError for a file that cannot be read."""
    usual = resolve(os.environ.get("MTDNN_RUNS", "runs"))
    places = [folder / SPREAD_FILE, *sorted(usual.glob(f"*/{SPREAD_FILE}")), *sorted((project_root() / "results").glob(f"*/{SPREAD_FILE}"))]
    found = [(place, *_read(place)) for place in places if place.is_file()]
    alike = [(place, count, scores) for place, *of, count, scores in found if of == [encoder, clusters] and scores]
    if not alike:
        return None
    place, count, scores = max(alike, key=lambda one: (one[0].parent == folder, max(spread.df for spread in one[2].values())))
    return f"{Run(place.parent).name}, {count} runs", scores


def _read(place: Path) -> tuple[str, str, int, dict[str, Spread]]:
    try:
        content = read_json(place.read_bytes())
        found = {score: Spread(**one) for score, one in content["scores"].items()}
        for spread in found.values():
            if not (spread.df >= 1 and spread.passages >= 2 and min(spread.over_seeds, spread.over_passages, spread.within) >= 0):
                raise ValueError("a variance below 0, or no degrees of freedom")
        return content["encoder"], content.get("clusters", "passages"), content["runs"], found
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise RunError(f"{place}: cannot be read ({error}); delete it, or write it again (`mtdnn report write`)") from None


def power(spread: Spread, effect: float, seeds: int, settings: int, level: float = FAMILY_LEVEL) -> float:
    """Probability that this many seeds, shared by `settings` settings, detect a difference of `effect` points (p < level); 0 below
    three."""
    if seeds < _FEWEST:
        return 0.0
    off, squared = _drawn(spread, seeds, settings, level)
    return float(np.mean((effect + off) ** 2 > squared))


def equivalence(spread: Spread, effect: float, seeds: int, settings: int) -> float:
    """Probability that this many seeds, shared by `settings` settings, show that a difference of 0 does not exceed `effect` points: the
    90 % interval lies within them (`study_tables.decision_table`); 0 below three."""
    if seeds < _FEWEST:
        return 0.0
    off, squared = _drawn(spread, seeds, settings, 0.1)
    return float(np.mean(np.abs(off) + np.sqrt(squared) < effect))


def _drawn(spread: Spread, seeds: int, settings: int, level: float) -> tuple[np.ndarray, np.ndarray]:
    """[draws] each: the estimate minus the true difference, and the squared half-width of `seeds.half_width` from mean squares."""
    z, of_pair, of_others, of_passages = _draws(seeds - 1, settings, spread.passages)
    noise = spread.within / spread.passages / seeds
    by_seed, by_passage = spread.over_seeds / seeds, spread.over_passages / spread.passages + noise
    pair, pooled, alone = (stdtrit(df, level / 2) ** 2 for df in (seeds - 1, (seeds - 1) * (settings - 1), spread.passages - 1))
    # pooled, unless the two settings vary more than the others (`blocks.UNLIKE`)
    whole = (of_pair + (settings - 2) * of_others) / (settings - 1)
    far = np.where(_unlike(of_pair, of_others, seeds - 1, settings), pair * of_pair, pooled * whole)
    both = far * by_seed + alone * np.maximum(0.0, by_passage * of_passages - noise)
    return z * np.sqrt(by_seed + by_passage - noise), np.maximum(both, alone * by_passage * of_passages)


def _unlike(of_pair: np.ndarray, of_others: np.ndarray, df: int, settings: int) -> np.ndarray:
    """Whether two settings have their own spread: mean squares [draws] of a pair, df degrees of freedom, and of the others."""
    if settings == 2 or df < 2:
        return np.zeros(len(of_pair), bool)
    return of_pair > of_others * float(f.isf(blocks.UNLIKE, df, df * (settings - 2)))


@lru_cache(64)
def _draws(df: int, settings: int, passages: int) -> tuple[np.ndarray, ...]:
    """Standard normal, and χ²/df of the mean squares over a pair's seeds, the other settings' and passages, [draws] each."""
    rng = np.random.default_rng(0)
    return rng.standard_normal(_DRAWS), *(rng.chisquare(n, _DRAWS) / n for n in (df, max(df * (settings - 2), 1), passages - 1))


def seeds_needed(spread: Spread, effect: float, settings: int, level: float = FAMILY_LEVEL) -> int | None:
    """The minimum number of seeds of each setting for WANTED_POWER at that effect; None if a thousand are not enough."""
    low, high = _FEWEST - 1, _FEWEST
    while power(spread, effect, high, settings, level) < WANTED_POWER:
        low, high = high, 2 * high
        if low >= _MOST:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power(spread, effect, middle, settings, level) >= WANTED_POWER else (middle, high)
    return high


def smallest_seen(spread: Spread, seeds: int, settings: int, level: float = FAMILY_LEVEL) -> float | None:
    """The effect in points that this many seeds detect with WANTED_POWER; None below three."""
    if seeds < _FEWEST:
        return None
    low, high = 0.0, 1.0
    while power(spread, high, seeds, settings, level) < WANTED_POWER:
        low, high = high, 2 * high
    while high - low > 0.005:
        middle = (low + high) / 2
        low, high = (low, middle) if power(spread, middle, seeds, settings, level) >= WANTED_POWER else (middle, high)
    return high


def sentences(
    found: tuple[str, dict[str, Spread]] | None, scores: Sequence[str], seeds: int, settings: int, tests: int, effect: float | None
) -> list[str]:
    """Sentences for a plan: the test, and for each score the detectable effect and the seeds that the smallest effect of interest needs.

    tests: comparisons of the family; effect: points, None if the study names none.
    """
    if not tests:
        return ["nothing is compared: there is only one setting"]
    level = FAMILY_LEVEL / tests
    said = [f"each judged difference is tested at {level:.2g}, as corrected for the study; power {WANTED_POWER:g}"]
    if found is None:
        return [*said, "seeds needed: unknown, no earlier study of this encoder with several seeds (spread.json) tells how they vary"]
    where, known = found
    said.append(f"spread of seeds and passages as in {where}")
    for score in scores:
        if score not in known:
            said.append(f"{score}: unknown, that study has no spread of it")
            continue
        spread, seen = known[score], smallest_seen(known[score], seeds, settings, level)
        sees = f"{seeds} seeds detect {seen:.1f} points" if seen else f"{seeds} seed{'s' * (seeds != 1)}: no p (at least three are needed)"
        if effect is not None:
            sees += f"; {effect:g} needs {_range(spread, effect, settings, level)}"
            if seen:
                often = equivalence(spread, effect, seeds, settings)
                sees += f"; where there is no difference, they show in {often:.0%} of cases that none is larger"
        said.append(f"{score}: {sees}")
    return said


def _range(spread: Spread, effect: float, settings: int, level: float) -> str:
    least, needed, most = (seeds_needed(one, effect, settings, level) for one in (spread.ends[0], spread, spread.ends[1]))
    if needed is None:
        return (
            f"more than {_MOST:,}: passages alone vary too much"
            if least is None
            else f"{least:,} or more seeds of each, perhaps any number"
        )
    return f"{needed:,} seeds of each ({least:,} to {f'{most:,}' if most else 'any number'}, by {spread.df} degrees of freedom)"
