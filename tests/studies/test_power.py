"""A plan's statements on seeds against a full simulation, and the spread that they are computed from."""

import json
from dataclasses import replace

import numpy as np
import pytest
from questions import QUESTIONS

from mtdnn_kit.compare import seeds
from mtdnn_kit.errors import RunError
from mtdnn_kit.studies import power
from mtdnn_kit.studies.power import Spread, seeds_needed, smallest_seen

SPREAD = Spread(over_seeds=0.32, df=7, over_passages=7.5, within=197.0, passages=646)


def simulated(spread: Spread, effect: float, n: int, settings: int, level: float, times: int = 1500, within: float | None = None) -> float:
    """How often p is below the level, or, with `within`, the interval of that level lies within ± these points; from simulated studies:
    settings × seeds, each seed with its own effect, contributions of passages.

    Variances are of a difference: twice a seed's own, and the passages of both settings. Few passages represent many, by a scaled variance.
    """
    rng, g = np.random.default_rng(1), 40
    scale = g / spread.passages
    noise, of_passages = spread.within * scale / 2, spread.over_passages * scale
    of_runs = (spread.over_seeds - spread.within / spread.passages) / 2
    seen = 0
    for _ in range(times):
        seed, passage = rng.normal(0, 2, n), rng.normal(0, 3, g)
        # each setting has half of a difference's passage variance; the other settings serve only to estimate the spread of seeds
        cells = [
            {
                s: 50 + effect * (k == 1) + seed[s] + passage + own + rng.normal(0, of_runs**0.5) + rng.normal(0, noise**0.5, g)
                for s in range(n)
            }
            for k, own in enumerate(rng.normal(0, (of_passages / 2) ** 0.5, (settings, g)))
        ]
        found = seeds.compare_to_first(cells, level=1 - level)[0]
        seen += found.p < level if within is None else -within < found.low < found.high < within
    return seen / times


@pytest.mark.parametrize(
    ("effect", "n", "settings", "level", "passages"),
    [(0.8, 5, 3, 0.05, 7.5), (1.1, 5, 5, 0.05 / 8, 7.5), (1.2, 3, 3, 0.05, 7.5), (0.5, 12, 2, 0.05, 7.5), (1.8, 6, 3, 0.05, 200.0)],
)
def test_the_plans_power_equals_that_of_simulated_studies(effect, n, settings, level, passages):
    """passages: variance over passages; in the last case it is about as large as all other variances together."""
    few = Spread(0.32, 7, passages * 40 / 646, 197.0 * 40 / 646, 40)  # the same variances, on as few passages as are simulated
    said, found = (
        power.power(few, effect, n, settings, level),
        simulated(replace(SPREAD, over_passages=passages), effect, n, settings, level),
    )
    assert 0.2 < said < 0.97 and said == pytest.approx(found, abs=0.03)


@pytest.mark.parametrize(("effect", "n", "settings"), [(0.75, 5, 2), (0.75, 8, 3), (1.5, 3, 2)])
def test_the_chance_to_show_that_there_is_no_difference_equals_that_of_simulated_studies(effect, n, settings):
    few = Spread(0.32, 7, 7.5 * 40 / 646, 197.0 * 40 / 646, 40)
    said = power.equivalence(few, effect, n, settings)
    assert 0.1 < said < 0.95 and said == pytest.approx(simulated(SPREAD, 0.0, n, settings, 0.1, within=effect), abs=0.04)
    assert power.equivalence(few, effect, n + 2, settings) > said > power.equivalence(few, effect / 2, n, settings)
    assert power.equivalence(few, 100.0, 2, settings) == 0.0, "two seeds decide nothing"


def test_power_grows_with_seeds_effect_and_level_and_two_seeds_have_none():
    assert [power.power(SPREAD, 1.0, n, 5) for n in (1, 2)] == [0.0, 0.0]
    by_seeds = [power.power(SPREAD, 0.8, n, 5) for n in (3, 5, 8, 20, 60)]
    by_effect = [power.power(SPREAD, effect, 5, 5) for effect in (0.0, 0.3, 0.8, 2.0)]
    assert by_seeds == sorted(by_seeds) and by_effect == sorted(by_effect) and by_effect[-1] > 0.99
    assert by_effect[0] < 0.05 and power.power(SPREAD, 0.8, 5, 5, 0.05 / 8) < by_effect[2]


def test_the_seeds_needed_are_the_fewest_and_the_smallest_effect_is_exact():
    for settings, level in ((2, 0.05), (5, 0.05 / 8)):
        n = seeds_needed(SPREAD, 0.8, settings, level)
        assert power.power(SPREAD, 0.8, n, settings, level) >= 0.8 > power.power(SPREAD, 0.8, n - 1, settings, level)
        edge = smallest_seen(SPREAD, n, settings, level)
        assert edge <= 0.8 and power.power(SPREAD, edge, n, settings, level) >= 0.8 > power.power(SPREAD, edge - 0.01, n, settings, level)
    assert seeds_needed(SPREAD, 0.1, 5) is None, "the passages alone vary too much"
    assert smallest_seen(SPREAD, 2, 5) is None


def test_the_range_covers_the_seeds_variance_as_often_as_stated():
    """The mean square with 7 degrees of freedom: its 10 % and 90 % points contain the true one in 80 of 100 cases."""
    rng = np.random.default_rng(0)
    ends = [Spread(0.32 * x / 7, 7, 0, 0, 10).ends for x in rng.chisquare(7, 4000)]
    assert np.mean([low.over_seeds <= 0.32 <= high.over_seeds for low, high in ends]) == pytest.approx(0.8, abs=0.02)


def test_a_plan_states_its_numbers_and_what_is_unknown():
    said = power.sentences(("results/x, 15 runs", {"span F1": SPREAD}), ["span F1", "EM"], 5, 5, 8, 1.0)
    seen, n = smallest_seen(SPREAD, 5, 5, 0.05 / 8), seeds_needed(SPREAD, 1.0, 5, 0.05 / 8)
    assert said[:2] == [
        "each judged difference is tested at 0.0063, as corrected for the study; power 0.8",
        "spread of seeds and passages as in results/x, 15 runs",
    ]
    least, most = (seeds_needed(one, 1.0, 5, 0.05 / 8) for one in SPREAD.ends)
    needs = f"1 needs {n} seeds of each ({least} to {most}, by 7 degrees of freedom)"
    shown = f"where there is no difference, they show in {power.equivalence(SPREAD, 1.0, 5, 5):.0%} of cases that none is larger"
    assert said[2] == f"span F1: 5 seeds detect {seen:.1f} points; {needs}; {shown}"
    assert least < n < most and said[3] == "EM: unknown, that study has no spread of it"
    assert "unknown, no earlier study of this encoder" in power.sentences(None, ["F1"], 5, 2, 1, None)[1]
    for effect in (None, 20.0):
        (_, _, two) = power.sentences(("x", {"F1": SPREAD}), ["F1"], 2, 2, 1, effect)
        assert two.startswith("F1: 2 seeds: no p (at least three are needed)") and "no difference" not in two


def test_the_spread_is_read_first_from_the_studys_folder_and_by_encoder(tmp_path, monkeypatch):
    monkeypatch.setenv("MTDNN_RUNS", str(tmp_path / "usual"))
    for place, encoder, df in (("own", "mine", 2), ("usual/a", "mine", 9), ("usual/b", "another", 30)):
        (tmp_path / place).mkdir(parents=True)
        content = {"encoder": encoder, "runs": df, "scores": {"F1": {**vars(SPREAD), "df": df}}}
        (tmp_path / place / "spread.json").write_text(json.dumps(content))
    where, found = power.earlier_spreads("mine", tmp_path / "own")
    assert where.endswith("own, 2 runs") and found["F1"].df == 2
    assert power.earlier_spreads("mine", tmp_path / "none")[1]["F1"].df == 9 and power.earlier_spreads("third", tmp_path / "own") is None
    assert power.earlier_spreads("mine", tmp_path / "own", "articles") is None, "a spread of passages says nothing about articles"
    content = {"encoder": "mine", "clusters": "articles", "runs": 4, "scores": {"F1": {**vars(SPREAD), "df": 5}}}
    (tmp_path / "usual/b/spread.json").write_text(json.dumps(content))
    assert power.earlier_spreads("mine", tmp_path / "own", "articles")[1]["F1"].df == 5
    for damage in ({"passages": 1}, {"over_seeds": -1.0}, {"df": 0}, {"within": "x"}, None):
        content = {"encoder": "mine", "runs": 3, "scores": {"F1": {**vars(SPREAD), **(damage or {})}}} if damage else {"encoder": "mine"}
        (tmp_path / "own/spread.json").write_text(json.dumps(content))
        with pytest.raises(RunError, match=r"spread.json: cannot be read .*delete it"):
            power.earlier_spreads("mine", tmp_path / "own")
    assert power.sentences(None, ["F1"], 3, 1, 0, None) == ["nothing is compared: there is only one setting"]


def test_single_seeds_have_no_spread_and_nothing_is_written(tmp_path):
    for settings in ({"a": {0: "A"}, "b": {0: "B"}}, {"a": {0: "A", 1: "C"}, "b": {0: "B"}}):
        assert power.spreads(QUESTIONS, settings, ["F1"]) == {}
        power.write_spread(tmp_path, {}, QUESTIONS, settings, ["F1"])
    assert not list(tmp_path.iterdir())


def test_the_spread_recovers_the_planted_variances(monkeypatch):
    """Over simulated layouts of four settings and six seeds: the mean estimate equals what was planted."""
    rng, told = np.random.default_rng(4), []
    settings = {name: {seed: f"{name}{seed}" for seed in range(6)} for name in "abcd"}
    for _ in range(150):
        seed = rng.normal(0, 2, 6)
        cells = {
            name: {s: seed[s] + passage + rng.normal(0, 0.5) + rng.normal(0, 2.0, 30) for s in own}
            for (name, own), passage in zip(settings.items(), rng.normal(0, 1.5, (4, 30)), strict=True)
        }
        monkeypatch.setattr(power, "contributions", lambda questions, own, score, cells=cells: cells[next(iter(own.values()))[0]])
        gaps = dict(zip("bcd", seeds.compare_to_first(list(cells.values())), strict=True))
        monkeypatch.setattr(power, "setting_differences", lambda *_, gaps=gaps: gaps)
        told.append(power.spreads([], settings, ["F1"])["F1"])
    assert {one.df for one in told} == {15} and {one.passages for one in told} == {30}
    # of a difference: twice a run's own variance; the seeds' part includes the noise on these 30 passages
    assert np.mean([one.over_seeds for one in told]) == pytest.approx(2 * (0.25 + 4 / 30), rel=0.1)
    assert np.mean([one.within for one in told]) == pytest.approx(2 * 4.0, rel=0.05)
    assert np.mean([one.over_passages for one in told]) == pytest.approx(2 * 2.25, rel=0.15)
