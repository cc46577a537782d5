"""The choice of the threshold: scores at a common share, which remove it, and the spread that it adds, against independent computations."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtdnn_kit.compare import differences, threshold_choice
from mtdnn_kit.compare.pairing import Question, reply
from mtdnn_kit.data.rows import QARow
from mtdnn_kit.tasks.null_threshold import best_threshold

CONTEXT = "The lamp stood on the sill."


def asked(n: int, thresholds: dict[str, float], seed: int = 0, rounded: int = 3) -> list[Question]:
    """n questions, every other one answerable; null − best of each run tells them apart by 1.5 standard deviations."""
    rng, questions = np.random.default_rng(seed), []
    for i in range(n):
        row = QARow(str(i), "", f"{CONTEXT} {i // 4}", "What stood there?", () if i % 2 else ((4, "lamp"),))
        replies = {}
        for name, threshold in thresholds.items():
            span = (4, 8, 0.6) if rng.random() < 0.7 else (9, 14, 0.6)
            replies[name] = reply(row, [span], round(rng.normal(1.5 * (i % 2), 1), rounded), threshold, 0.3)
        questions.append(Question(row, replies))
    return questions


def share(questions: list[Question], name: str) -> float:
    return float(np.mean([not q.replies[name].text for q in questions]))


def test_at_the_common_share_every_run_gives_no_answer_equally_often():
    questions = asked(400, {"A": 0.1, "B": 1.4, "C": -0.6})
    found, common = threshold_choice.at_common_share(questions)
    tuned = [share(questions, name) for name in "ABC"]
    assert common == pytest.approx(100 * np.mean(tuned)) and max(tuned) - min(tuned) > 0.3
    # without ties a share is off by at most one question
    assert all(abs(share(found, name) - common / 100) <= 0.5 / 400 + 1e-9 for name in "ABC")
    assert [q.row for q in found] == [q.row for q in questions]


def test_at_the_common_share_a_runs_threshold_has_no_effect():
    """The same null − best and the same mean share of no answers give the same replies, for any single thresholds."""
    one, _ = threshold_choice.at_common_share(asked(400, {"A": 0.2, "B": 0.2}))
    diffs = {name: sorted(q.replies[name].diff for q in one) for name in "AB"}
    n = {name: sum(d <= 0.2 for d in diffs[name]) for name in "AB"}
    # A answers 60 questions more, B 60 fewer
    moved = {"A": diffs["A"][n["A"] + 59], "B": diffs["B"][n["B"] - 61]}
    two, _ = threshold_choice.at_common_share(asked(400, moved))
    for name in "AB":
        assert [q.replies[name].text for q in one] == [q.replies[name].text for q in two]
        assert differences.value(one, name, "EM") == differences.value(two, name, "EM")


@given(st.lists(st.sampled_from([-2.0, -1.0, -1.0, 0.0, 0.5, 3.0, np.inf]), min_size=1, max_size=12), st.floats(0, 1))
def test_the_threshold_is_the_nearest_to_a_share(diff, wanted):
    diff = np.array(diff)
    found = threshold_choice._threshold_of(diff, wanted)
    shares = [float((diff > t).mean()) for t in [-np.inf, *np.unique(diff[np.isfinite(diff)])]]
    assert abs((~(diff <= found)).mean() - wanted) == pytest.approx(min(abs(s - wanted) for s in shares))


def test_a_run_without_nbest_has_no_threshold_to_move():
    questions = asked(8, {"A": 0.0})
    bare = [Question(q.row, {"A": q.replies["A"], "B": reply(q.row, [], None, None, None)}) for q in questions]
    assert threshold_choice.at_common_share(bare) is None and threshold_choice.at_common_share([]) is None
    assert threshold_choice.choice_table({}, bare, {"A": {0: "A"}, "B": {0: "B"}}) == []


def held(units: int, each: int, rng: np.random.Generator, apart: float) -> dict[str, np.ndarray]:
    """Held-out questions whose null − best moves by `apart` with the article."""
    n, unit = units * each, np.repeat(np.arange(units), each)
    empty = rng.random(n) < 0.5
    right = rng.random(n) < 0.6
    diff = rng.normal(1.2 * empty, 1) + apart * rng.normal(size=units)[unit]
    return {"unit": unit, "diff": diff, "em": right & ~empty, "f1": (right & ~empty).astype(float), "nothing": empty.astype(float)}


def test_the_spread_equals_a_bootstrap_over_articles(monkeypatch):
    kept = held(5, 30, np.random.default_rng(1), 0.8)
    monkeypatch.setattr(threshold_choice, "read_held_out", lambda run, task: kept)
    questions = asked(200, {"A": 0.3})
    found = threshold_choice.choice_spread(SimpleNamespace(), questions, "A", "squad")
    rng, thresholds, scores = np.random.default_rng(0), [], []
    for _ in range(1000):
        places = np.concatenate([np.flatnonzero(kept["unit"] == u) for u in rng.integers(0, 5, 5)])
        threshold, _ = best_threshold(kept["f1"][places], kept["nothing"][places], kept["diff"][places])
        thresholds.append(min(threshold, kept["diff"].max()))
        said = [q.row.context[4:8] == "lamp" and q.replies["A"].span_em if q.replies["A"].diff <= threshold else not q.row.answers
                for q in questions]  # fmt: skip
        scores.append(100 * np.mean(said))
    wider = (5 / 4) ** 0.5
    assert (found.threshold, found.em) == (pytest.approx(wider * np.std(thresholds)), pytest.approx(wider * np.std(scores)))
    assert found.units == 5 and found.em > 0.2


def test_the_spread_is_close_to_that_over_other_articles():
    """20 runs with different held-out articles: the thresholds' standard deviation against the mean estimate from single runs."""
    rng = np.random.default_rng(2)
    told, real = [], []
    for _ in range(20):
        kept = held(8, 40, rng, 0.6)
        drawn, units = threshold_choice.drawn_thresholds(kept)
        told.append(np.std(drawn) * (units / (units - 1)) ** 0.5)
        real.append(best_threshold(kept["f1"], kept["nothing"], kept["diff"])[0])
    assert 0.6 < np.mean(told) / np.std(real, ddof=1) < 1.5


def test_one_article_gives_no_spread_and_equal_ones_give_0(monkeypatch):
    one = held(1, 40, np.random.default_rng(0), 0.0)
    twice = {key: np.concatenate([values, values]) for key, values in one.items()} | {"unit": np.repeat([0, 1], 40)}
    for kept, wanted in ((one, None), (twice, 0.0)):
        monkeypatch.setattr(threshold_choice, "read_held_out", lambda run, task, kept=kept: kept)
        found = threshold_choice.choice_spread(SimpleNamespace(), asked(40, {"A": 0.3}), "A", "squad")
        assert np.isnan(found.em) if wanted is None else (found.em, found.threshold) == pytest.approx((0, 0), abs=1e-9)


def test_the_table_says_what_is_not_kept(monkeypatch):
    names = ["A", "B", "C", "D"]
    kept = held(4, 30, np.random.default_rng(1), 0.8)
    monkeypatch.setattr(threshold_choice, "read_held_out", lambda run, task: kept if run in "ABC" else None)
    questions = asked(200, dict(zip(names, (0.3, 0.6, -0.2, 0.9), strict=True)))
    rows = threshold_choice.choice_table(
        {name: name for name in names}, questions, {"one": {0: "A", 1: "B"}, "two": {0: "C", 1: "D"}}, "squad"
    )
    assert [(row["score"], row["setting"], row["seeds"]) for row in rows] == [
        (score, setting, 2) for score in ("EM", "F1") for setting in ("one", "two")
    ]
    assert [row["sd by the choice"] for row in rows[1::2]] == ["not kept"] * 2
    own = [threshold_choice.choice_spread(name, questions, name, "squad").em for name in "AB"]
    assert rows[0]["sd by the choice"] == pytest.approx(np.sqrt(np.mean(np.square(own))))
    values = [differences.value(questions, name, "EM") for name in "CD"]
    assert (rows[1]["tuned"], rows[1]["tuned (sd)"]) == (pytest.approx(np.mean(values)), pytest.approx(np.std(values, ddof=1)))
    common, _ = threshold_choice.at_common_share(questions)
    assert rows[1]["common share"] == pytest.approx(np.mean([differences.value(common, name, "EM") for name in "CD"]))
