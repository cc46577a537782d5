"""Differences between runs: each table against the scores behind it, and the claims that a number of seeds allows."""

from dataclasses import replace

import numpy as np
import pytest
from questions import QUESTIONS, RUNS, made
from scipy import stats
from scipy.stats import rankdata

from mtdnn_kit.compare import differences, family, seeds, significance, study_tables
from mtdnn_kit.compare.pairing import Question, Reply
from mtdnn_kit.data.rows import QARow
from mtdnn_kit.errors import CompareError
from mtdnn_kit.metrics import f1
from mtdnn_kit.tasks.null_threshold import average_precision
from mtdnn_kit.views import tables

PASSAGES = np.repeat(np.arange(12), 4)


def values(run: str, of, keep=lambda row: True) -> np.ndarray:
    return np.array([100 * of(q.replies[run]) for q in QUESTIONS if keep(q.row)])


def test_a_table_of_differences_follows_from_the_runs_scores():
    table = {row["score"]: row for row in differences.difference_table(QUESTIONS, "A", "B")}
    assert list(table) == list(differences.RUN_SCORES)
    parts = {
        "EM": (lambda r: r.em, lambda row: True),
        "F1": (lambda r: r.f1, lambda row: True),
        "span F1": (lambda r: r.span_f1, lambda row: bool(row.answers)),
        "has-answer F1": (lambda r: r.f1, lambda row: bool(row.answers)),
        "no-answer accuracy": (lambda r: r.em, lambda row: not row.answers),
    }
    for score, (of, keep) in parts.items():
        a, b = (values(run, of, keep) for run in "AB")
        groups = np.array([int(q.row.id.split("-")[0]) for q in QUESTIONS if keep(q.row)])
        wanted, row = significance.difference(a, b, groups), table[score]
        assert (row["A"], row["B"], row["questions"], row["passages"]) == (pytest.approx(a.mean()), pytest.approx(b.mean()), len(a), 12)
        assert (row["difference"], row["low"], row["high"], row["p"]) == (wanted.difference, wanted.low, wanted.high, wanted.p)
    only = [sum(q.replies[x].em > q.replies[y].em for q in QUESTIONS) for x, y in ("AB", "BA")]
    assert table["EM"]["McNemar p"] == significance.mcnemar(*(values(run, lambda r: r.em) / 100 for run in "AB"))[2]
    assert min(only) > 0 and table["F1"]["McNemar p"] is None


def test_average_precision_is_compared_by_ranks_within_each_run():
    empty = np.array([not q.row.answers for q in QUESTIONS])
    own = {run: average_precision([q.replies[run].diff for q in QUESTIONS], empty) for run in "AB"}
    row = differences.difference_table(QUESTIONS, "A", "B")[-1]
    assert (row["A"], row["B"], row["difference"]) == (own["A"], own["B"], pytest.approx(own["B"] - own["A"]))
    other = [Question(q.row, {**q.replies, "B": shifted(q.replies["B"], lambda x: np.exp(x) - 5)}) for q in QUESTIONS]
    assert differences.difference(other, "A", "B", "no-answer AP") == differences.difference(QUESTIONS, "A", "B", "no-answer AP")


def test_average_precision_of_runs_with_many_ties_has_a_p_that_agrees_with_its_interval():
    """Run B is a sharper run A, and A's null − best is coarsely rounded, like bfloat16: dense ranks of both would have different scales."""
    rng, agree, ps = np.random.default_rng(3), [], []
    for shift in np.linspace(0, 0.7, 12):
        some = []
        for q in made(40, 6):
            a = rng.normal(1.2 * (not q.row.answers), 1)
            b = a + rng.normal(shift * (not q.row.answers), 0.6)
            coarse = shifted(q.replies["A"], lambda _, a=a: np.round(2 * a) / 2)
            some.append(Question(q.row, {"A": coarse, "B": shifted(q.replies["B"], lambda _, b=b: b)}))
        found = differences.difference(some, "A", "B", "no-answer AP")
        agree.append((found.p < 0.05) == (not found.low <= 0 <= found.high))
        ps.append((found.p, swapped(some, rng)))
    assert all(agree) and np.abs(np.subtract(*np.transpose(ps))).max() < 0.1


def swapped(questions, rng) -> float:
    """p by swapping ranks of null − best (ties: mean rank) in whole passages of six questions."""
    empty = np.array([not q.row.answers for q in questions])
    a, b = (rankdata([q.replies[run].diff for q in questions]) for run in "AB")

    def gap(mask):
        return average_precision(np.where(mask, a, b), empty) - average_precision(np.where(mask, b, a), empty)

    found = abs(gap(np.zeros(len(a), bool)))
    return np.mean([abs(gap(np.repeat(rng.random(len(a) // 6) < 0.5, 6))) >= found for _ in range(300)])


def test_draws_without_unanswerable_questions_do_not_count_as_average_precision_0():
    """Two of 22 passages have an unanswerable question, ranked right: the interval is that of two items, without draws that count as 0."""
    row = [QARow(f"{i}", "", f"The cat {i // 6} sat.", "Who sat?", ((4, "cat"),) * (i > 11 or i % 6 > 0)) for i in range(132)]
    some = [Question(one, {"A": Reply(0, 1, "", 1, 1, 1, 1, [], 0, 0, float(not one.answers))}) for one in row]
    assert differences.value(some, "A", "no-answer AP") == 100
    low, high = differences.interval(some, "A", "no-answer AP")
    z = stats.t.isf(0.025, 21) ** 2 / 2
    assert low == pytest.approx(100 / (1 + z), abs=1) and high == pytest.approx(100)
    alone = [q for q in some if q.row.id != "6"]
    assert differences.interval(alone, "A", "no-answer AP") == (None, None), "all in one passage"


def test_a_rate_of_0_has_an_interval_of_positive_width():
    none = [Question(q.row, {"A": Reply(**{**vars(q.replies["A"]), "em": 0.0})}) for q in made(22, 6)]
    low, high = differences.interval(none, "A", "EM")
    assert low == pytest.approx(0) and 15 < high < 20


def test_equal_runs_given_as_seeds_are_refused_with_their_names():
    twice = [Question(q.row, {**q.replies, "C": q.replies["A"]}) for q in QUESTIONS]
    for settings in ({"x": {0: "A", 1: "C"}, "y": {0: "B", 1: "D"}}, {"y": {0: "B", 1: "D"}, "x": {1: "A", 2: "D", 0: "C"}}):
        with pytest.raises(CompareError, match=r"setting 'x': seeds \d and \d \(A and C\) reply the same to all 48 questions"):
            differences.primary_table(twice, settings, ["F1"])
    assert differences.setting_table(twice, {"x": {0: "A"}, "y": {0: "C"}})[1]["Δ"] == 0, "as two settings they are compared"
    once = [Question(q.row, {**q.replies, "C": q.replies["A"]}) if q is QUESTIONS[0] else q for q in QUESTIONS]
    assert differences.setting_table(once, {"x": {0: "A", 1: "C"}})[0]["seeds"] == 2, "one equal reply does not make the runs equal"


def shifted(found: Reply, how) -> Reply:
    return Reply(**{**vars(found), "diff": float(how(found.diff))})


def test_a_score_that_a_run_lacks_is_left_out():
    bare = [Question(q.row, {**q.replies, "B": Reply(**{**vars(q.replies["B"]), "span_f1": None, "diff": None})}) for q in QUESTIONS]
    assert [row["score"] for row in differences.difference_table(bare, "A", "B")] == ["EM", "F1", "has-answer F1", "no-answer accuracy"]
    assert differences.value(bare, "B", "no-answer AP") is None and differences.interval(bare, "B", "span F1") == (None, None)
    able = [q for q in QUESTIONS if q.row.answers]
    assert differences.outcomes(able, "A", "no-answer AP") is None and differences.outcomes(able, "A", "no-answer accuracy") is None
    unable = [q for q in QUESTIONS if not q.row.answers]
    assert differences.outcomes(unable, "A", "no-answer AP") is None and differences.value(unable, "A", "no-answer accuracy") is not None


def test_one_passage_has_a_value_and_no_interval():
    some = QUESTIONS[:4]
    assert differences.interval(some, "A", "F1") == (None, None) and differences.difference(some, "A", "B", "F1") is None
    assert differences.value(some, "A", "F1") == pytest.approx(np.mean([100 * q.replies["A"].f1 for q in some]))


def test_slices_add_up_to_the_difference_and_the_largest_comes_first():
    rows = differences.slice_table(QUESTIONS, "A", "B")
    whole = differences.difference(QUESTIONS, "A", "B", "F1").difference
    assert "passage length" not in {row["facet"] for row in rows}, "all of one length"
    for facet in ("answerable", "question word", "windows"):
        assert sum(row["points"] for row in rows if row["facet"] == facet) == pytest.approx(whole)
    assert [abs(row["points"]) for row in rows] == sorted((abs(row["points"]) for row in rows), reverse=True)
    for row in rows:
        some = [QUESTIONS[i] for i in row["places"]]
        assert row["questions"] == len(some) and row["A"] == differences.value(some, "A", "F1")
        assert row["difference"] == pytest.approx(row["B"] - row["A"])
        assert row["p"] == differences.difference(some, "A", "B", "F1").p
    assert [row["p (adjusted)"] for row in rows] == significance.holm([row["p"] for row in rows])


def test_a_slice_lists_its_differing_answers_with_the_largest_gap_first():
    row = differences.slice_table(QUESTIONS, "A", "B")[0]
    found = differences.behind(QUESTIONS, row, "A", "B")
    gaps = [abs(q.replies["A"].f1 - q.replies["B"].f1) for q in found]
    assert gaps == sorted(gaps, reverse=True) and found
    assert {q.row.id for q in found} == {
        QUESTIONS[i].row.id for i in row["places"] if QUESTIONS[i].replies["A"].text != QUESTIONS[i].replies["B"].text
    }


def test_in_a_slice_a_wide_gap_comes_before_a_narrow_one():
    row = QARow("q", "", "The cat sat.", "Who sat?", ((4, "cat"),))
    pairs = {"narrow": ("The cat sat", "cat sat"), "wide": ("cat", ""), "none": ("cat", "the cat")}
    some = [
        Question(
            row._replace(id=name), {run: Reply(0, 1, text, 1, 0, f1(text, ["cat"]), 0, []) for run, text in zip("AB", texts, strict=True)}
        )
        for name, texts in pairs.items()
    ]
    assert [q.row.id for q in differences.behind(some, {"places": [0, 1, 2]}, "A", "B")] == ["wide"], "“The cat sat” is “cat sat” for EM"
    some[0] = Question(some[0].row, {**some[0].replies, "B": Reply(0, 1, "cat", 1, 1, 1.0, 0, [])})
    assert [q.row.id for q in differences.behind(some, {"places": [0, 1, 2]}, "A", "B")] == ["wide", "narrow"]


def test_claims_hold_for_two_models_with_one_seed_and_for_settings_with_several():
    single = differences.setting_table(QUESTIONS, {"x": {0: "A"}, "y": {0: "B"}})
    assert single[1]["speaks for"] == "these two models" and single[0]["Δ"] is None and single[0]["speaks for"] == ""
    assert single[1]["Δ"] == differences.difference(QUESTIONS, "A", "B", "F1").difference
    assert (single[0]["low"], single[0]["high"]) == differences.interval(QUESTIONS, "A", "F1")
    several = differences.setting_table(QUESTIONS, {"x": {0: "A", 1: "C", 2: "E"}, "y": {0: "B", 1: "D", 2: "F"}})
    u = {run: seeds.contributions(values(run, lambda r: r.f1), PASSAGES) for run in RUNS}
    (wanted,) = seeds.compare_to_first([{s: u[run] for s, run in enumerate(some)} for some in ("ACE", "BDF")])
    assert several[1]["speaks for"] == "the settings" and several[1]["seeds"] == 3
    assert (several[1]["Δ"], several[1]["Δ low"], several[1]["p"]) == pytest.approx((wanted.difference, wanted.low, wanted.p))
    assert several[0]["F1"] == pytest.approx(np.mean([u[run].mean() for run in "ACE"]))
    assert several[0]["low"] < several[0]["F1"] < several[0]["high"]


def test_seeds_are_paired_by_number_only_if_three_are_shared():
    same = differences.setting_difference(QUESTIONS, {0: "A", 1: "C", 5: "E"}, {1: "D", 0: "B", 5: "F"}, "F1")
    assert same.paired and same == differences.setting_difference(QUESTIONS, {5: "E", 0: "A", 1: "C"}, {0: "B", 1: "D", 5: "F"}, "F1")
    assert not differences.setting_difference(QUESTIONS, {0: "A", 1: "C", 5: "E"}, {0: "B", 1: "D", 6: "F"}, "F1").paired
    assert not differences.setting_difference(QUESTIONS, {0: "A", 1: "C"}, {0: "B", 1: "D"}, "F1").paired, "two pairs are too few"
    more = differences.setting_difference(QUESTIONS, {0: "A", 1: "C", 5: "E"}, {0: "B", 1: "D", 5: "F", 7: "A"}, "F1")
    assert more.paired and more.difference == pytest.approx(same.difference), "the fourth seed has no partner"
    lone = differences.setting_table(QUESTIONS, {"x": {0: "A", 1: "C"}, "y": {0: "B"}})
    assert lone[1]["Δ"] is None and lone[1]["speaks for"] == "", "one seed against two: no claim"


SEVERAL = {"x": {0: "A", 1: "C", 2: "E"}, "y": {0: "B", 1: "D", 2: "F"}, "z": {0: "D", 1: "F", 2: "A"}, "few": {0: "F", 2: "B"}}


def test_with_two_seeds_no_p_is_shown_but_the_reason():
    rows = differences.setting_table(QUESTIONS, SEVERAL)
    assert rows[3]["p"] is rows[3]["p (adjusted)"] is None and rows[3]["Δ low"] < rows[3]["Δ"] < rows[3]["Δ high"]
    assert rows[3]["speaks for"] == f"the settings; {seeds.NO_P}" and "two seeds" in seeds.NO_P and rows[1]["speaks for"] == "the settings"
    judged = differences.primary_table(QUESTIONS, SEVERAL, ["F1", "span F1"])
    assert [row.get("no p") for row in judged] == [None, None, seeds.NO_P] * 2
    assert [row["p (adjusted)"] is None for row in judged] == [False, False, True] * 2
    said = differences.sentences(QUESTIONS, SEVERAL)
    assert seeds.NO_P in said[2] and "p = " not in said[2] and "p = " in said[0]


def test_the_spread_of_seeds_is_pooled_over_the_settings_and_their_tests_are_one_family():
    scores = ["F1", "span F1"]
    gaps = [differences.setting_differences(QUESTIONS, SEVERAL, score) for score in scores]
    alone = differences.setting_difference(QUESTIONS, SEVERAL["x"], SEVERAL["y"], "F1")
    assert gaps[0]["y"].difference == pytest.approx(alone.difference) and gaps[0]["y"].for_seeds != alone.for_seeds
    tested = [found[name] for found in gaps for name in "yz"]
    rows = [row for row in differences.primary_table(QUESTIONS, SEVERAL, scores) if row["p"] is not None]
    assert [row["p"] for row in rows] == [one.p for one in tested]
    assert [row["p (adjusted)"] for row in rows] == family.adjusted(tested, ["F1", "F1", "span F1", "span F1"])
    assert [row["p (adjusted)"] for row in rows] != significance.holm([one.p for one in tested])


def test_each_population_has_a_named_interval():
    rows, gaps = differences.population_table(QUESTIONS, SEVERAL, ["F1"]), differences.setting_differences(QUESTIONS, SEVERAL, "F1")
    assert [(row["setting"], row["for"]) for row in rows] == [(name, whom) for name in ("y", "z", "few") for whom in seeds.POPULATIONS]
    wanted = [(gap.difference, *ends) for gap in gaps.values() for ends in (gap.for_seeds, gap.for_passages, (gap.low, gap.high))]
    assert [(row["Δ"], row["Δ low"], row["Δ high"]) for row in rows] == wanted
    (row,), one = differences.population_table(QUESTIONS, two := {"x": {0: "A"}, "y": {0: "B"}}, ["F1"]), differences.difference
    assert row["for"] == "other passages, with these two models" and row["Δ low"] == one(QUESTIONS, "A", "B", "F1").low
    same = [replace(q, replies=dict.fromkeys(q.replies, q.replies["A"])) for q in QUESTIONS]
    assert differences.population_table(same, two, ["F1"]) == []


def test_settings_that_are_alike_everywhere_are_not_said_to_be_equal():
    """Two settings that answer everything in the same way: nothing tells how they would differ elsewhere."""
    alike = [{name: replace(q.replies["A"], diff=float(k)) for k, name in enumerate(q.replies)} for q in QUESTIONS]  # but not one run twice
    same = [replace(q, replies=replies) for q, replies in zip(QUESTIONS, alike, strict=True)]
    for settings in (SEVERAL, {"x": {0: "A"}, "y": {0: "B"}}):
        rows = study_tables.decision_table(same, settings, ["F1"], 0.5)
        assert {row["decided"] for row in rows} == {"open"} and {row["Δ, 90 % interval low"] for row in rows} == {None}
        (said, *_) = differences.sentences(same, settings, "F1")
        assert "hence no interval" in said and said.endswith("to see a difference is unknown.")
        row = differences.primary_table(same, settings, ["F1"])[0]
        assert (row["Δ"], row["Δ high"], row.get("Δ, all at once low")) == (0, None, None)


def test_an_unknown_run_or_score_is_named():
    with pytest.raises(CompareError, match="run: there is no run 'nobody'; choose from A, B"):
        differences.difference(QUESTIONS, "A", "nobody", "F1")
    with pytest.raises(CompareError, match="score: 'em' is none of questions"):
        differences.value(QUESTIONS, "A", "em")


def test_holm_counts_the_comparisons_of_a_study():
    rows = differences.setting_table(QUESTIONS, {name: {0: name} for name in RUNS})
    first, *others = (row["p (adjusted)"] for row in rows)
    assert others == significance.holm([row["p"] for row in rows[1:]]) and first is None


def test_with_one_family_per_score_p_is_adjusted_within_each_score():
    scores, some = ["F1", "span F1"], {name: {0: name} for name in "ABC"}
    for settings in (SEVERAL, some):
        apart = [row for score in scores for row in differences.primary_table(QUESTIONS, settings, [score])]
        assert differences.primary_table(QUESTIONS, settings, scores, "score") == apart
        assert differences.primary_table(QUESTIONS, settings, scores) != apart


def test_all_at_once_intervals_have_the_level_divided_by_the_number_of_tests():
    """With two seeds there is one, too; an interval whose p equals the level ends at 0."""
    rows = differences.primary_table(QUESTIONS, SEVERAL, ["F1", "span F1"])
    for score in ("F1", "span F1"):
        at_level = differences.setting_differences(QUESTIONS, SEVERAL, score, level=1 - 0.05 / 6)
        for row in (row for row in rows if row["score"] == score):
            gap = at_level[row["setting"]]
            assert (row["Δ, all at once low"], row["Δ, all at once high"]) == pytest.approx((gap.low, gap.high), abs=1e-9)
    within = differences.primary_table(QUESTIONS, SEVERAL, ["F1", "span F1"], "score")
    assert all(one["Δ, all at once low"] > six["Δ, all at once low"] for one, six in zip(within, rows, strict=True))


def test_decisions_use_the_adjusted_p_and_two_one_sided_tests():
    rows = differences.primary_table(QUESTIONS, SEVERAL, ["F1"])
    gaps = differences.setting_differences(QUESTIONS, SEVERAL, "F1", level=0.9)
    widest = max(max(-gap.low, gap.high) for gap in gaps.values())
    for effect in (0.01, 5.0, widest + 0.01, 100.0):
        found = study_tables.decision_table(QUESTIONS, SEVERAL, ["F1"], effect)
        for row, judged in zip(found, rows, strict=True):
            gap = gaps[row["setting"]]
            assert (row["Δ, 90 % interval low"], row["Δ, 90 % interval high"]) == (gap.low, gap.high)
            differs = judged["p (adjusted)"] is not None and judged["p (adjusted)"] < 0.05
            alike = judged["p"] is not None and -effect < gap.low and gap.high < effect
            words = [("more" if judged["Δ"] > 0 else "less")] * differs + [f"no difference larger than {effect:g}"] * alike
            assert row["decided"] == ("; ".join(words) or "open")
    said = [row["decided"] for row in study_tables.decision_table(QUESTIONS, SEVERAL, ["F1"], 100.0)]
    assert said[-1] == "open", "two seeds decide nothing"
    assert all("no difference larger than 100" in one for one in said[:-1])


def test_a_p_that_correction_raises_above_5_percent_decides_nothing(monkeypatch):
    rows = [{"score": "F1", "setting": name, "Δ": 9.0, "p": 0.03, "p (adjusted)": 0.09} for name in ("y", "z", "few")]
    monkeypatch.setattr(study_tables, "primary_table", lambda *_: rows)
    assert {row["decided"] for row in study_tables.decision_table(QUESTIONS, SEVERAL, ["F1"], 0.01)} == {"open"}


def test_the_90_percent_interval_equals_two_one_sided_tests_at_5_percent():
    """The one-sided p against an end of the interval is 0.05, found by shifting the second setting's outcomes."""
    rng = np.random.default_rng(5)
    cells = [{s: rng.normal(50, 3, 30) for s in range(5)} for _ in range(3)]
    at = seeds.compare_to_first(cells, 0.9)[0]
    for end in (at.low, at.high):
        moved = [cells[0], {s: u - end for s, u in cells[1].items()}, cells[2]]
        assert seeds.compare_to_first(moved)[0].p == pytest.approx(0.1, abs=1e-6)


def test_holm_counts_all_primary_differences_of_a_study_over_all_scores():
    """Three settings and two scores make one family of four tests, not two of two."""
    scores = ["EM", "F1"]
    rows = differences.primary_table(QUESTIONS, {name: {0: name} for name in "ABC"}, scores)
    assert [(row["score"], row["setting"]) for row in rows] == [(score, name) for score in scores for name in "BC"]
    ps = [differences.difference(QUESTIONS, "A", row["setting"], row["score"]).p for row in rows]
    assert [row["p"] for row in rows] == ps
    order, adjusted, least = sorted(range(4), key=ps.__getitem__), {}, 0.0
    for place, i in enumerate(order):  # Holm 1979 by hand: the smallest of 4 times 4, the next times 3 …
        adjusted[i] = least = max(least, min(1.0, ps[i] * (4 - place)))
    assert [row["p (adjusted)"] for row in rows] == pytest.approx([adjusted[i] for i in range(4)])
    alone = [row["p (adjusted)"] for score in scores for row in differences.primary_table(QUESTIONS, {n: {0: n} for n in "ABC"}, [score])]
    assert all(one <= all_ for one, all_ in zip(alone, [row["p (adjusted)"] for row in rows], strict=True)) and alone != [
        row["p (adjusted)"] for row in rows
    ]


def test_holm_skips_rows_without_a_test():
    rows = [{"p": p, "p (adjusted)": None} for p in (0.01, None, 0.04, 0.02)]
    assert [row["p (adjusted)"] for row in differences.corrected(rows)] == pytest.approx([0.03, None, 0.04, 0.04])


def test_a_nan_is_shown_as_no_test():
    rows = differences.corrected([{"p": p, "p (adjusted)": None} for p in (0.01, np.nan, 0.04, 0.02)])
    assert [row["p (adjusted)"] for row in rows] == pytest.approx([0.03, np.nan, 0.04, 0.04], nan_ok=True)
    assert tables.shown(rows)[1] == {"p": "no test", "p (adjusted)": "no test"}


def test_slices_of_settings_count_all_slices():
    rows = differences.setting_slices(QUESTIONS, {0: "A"}, {0: "B"})
    assert [row["p (adjusted)"] for row in rows] == significance.holm([row["p"] for row in rows]) and len(rows) > 5


def test_sentences_state_the_claim_and_the_sample_that_one_would_need():
    single, lone = differences.sentences(QUESTIONS, {"x": {0: "A"}, "y": {0: "B"}, "z": {0: "C", 1: "D"}})
    found = differences.difference(QUESTIONS, "A", "B", "F1")
    assert single.startswith(found.sentence("x", "y")) and "nothing is claimed beyond these two models" in single
    assert single.endswith(f"it would take {4 * significance.passages_needed(found, 1.0):,} such questions for these two models.")
    assert lone == "z − x: no claim; one of them has a single seed, a score that is missing, or a single passage."
    (several,) = differences.sentences(QUESTIONS, {"x": {0: "A", 1: "C"}, "y": {0: "B", 1: "D"}}, detect=2)
    found = differences.setting_difference(QUESTIONS, {0: "A", 1: "C"}, {0: "B", 1: "D"}, "F1")
    need = seeds.needed(found, 2)
    assert several.startswith(found.sentence("x", "y")) and "To see 2 points (at 0.05, power 0.8)" in several
    assert (f"{need.seeds:,} seeds of each" if need.seeds else "more than any number of seeds on these passages") in several
    assert (f"{4 * need.passages:,} such" if need.passages else "with these seeds no number of questions is enough") in several


def test_p_and_all_at_once_intervals_are_corrected_over_several_tables():
    """One table per baseline: Bonferroni's correction over the tables, in addition to that within a table."""
    one, three = (differences.primary_table(QUESTIONS, SEVERAL, ["F1", "span F1"], tables=n) for n in (1, 3))
    for alone, among in zip(one, three, strict=True):
        assert among["p (adjusted)"] == (None if alone["p (adjusted)"] is None else min(1.0, 3 * alone["p (adjusted)"]))
        assert among["Δ, all at once low"] < alone["Δ, all at once low"] and (among["p"], among["Δ"]) == (alone["p"], alone["Δ"])
    assert any(row["p (adjusted)"] is not None for row in one)
