"""Findings in words: correct numbers, no claims that a single seed does not support, and every text escaped."""

from types import SimpleNamespace

import numpy as np
import pytest
from questions import QUESTIONS

from mtdnn_kit.compare import differences
from mtdnn_kit.views import findings

ONE = {"speaks for": "these two models", "p (adjusted)": 0.02}
SEVERAL = {"speaks for": "the settings"}
BASE = {"setting": "QA", "seeds": 1, "Δ": None, "Δ low": None, "Δ high": None, "p (adjusted)": None, "speaks for": ""}


def row(name: str, gap: float, low: float | None, high: float | None, p: float | None = None, **more) -> dict:
    return {"setting": name, "Δ": gap, "Δ low": low, "Δ high": high, "p (adjusted)": p, **more}


def test_with_one_seed_each_the_verdict_claims_nothing_about_the_settings():
    rows = [BASE, row("A", 2.0, -1.0, 5.0, **ONE | {"p (adjusted)": 0.3}), row("B", -6.88, -12.0, -1.5, **ONE)]
    assert findings.verdict(rows, "F1") == (
        "Of these 3 models, shown to differ from QA: B -6.9 points of F1 (95 % interval -12.0 to -1.5). "
        "One seed per setting cannot tell the effect of the tasks from that of the seed."
    )


def test_with_several_seeds_the_verdict_names_what_differs_and_what_does_not():
    rows = [BASE, row("A", 1.25, 0.5, 2.0, 0.01, **SEVERAL), row("B", 3.0, -1.0, 7.0, 0.2, **SEVERAL)]
    assert findings.verdict(rows, "span F1") == (
        "Shown to differ from QA in span F1: A +1.2 points (95 % interval +0.5 to +2.0). No difference is shown for B."
    )
    untested = row("C", 2.0, 1.1, 2.9, **{"speaks for": "the settings; no p: two seeds"})
    assert findings.verdict([*rows, untested], "span F1").endswith(" No difference is shown for B. Not tested, by two seeds: C.")
    rows[1]["p (adjusted)"] = 0.06
    assert findings.verdict(rows, "EM").startswith("No setting is shown to differ from QA in EM; the largest difference is B +3.0")


def test_two_seeds_and_no_difference_are_named():
    two = row("A", 1.0, None, None, None, **{"speaks for": "the settings; two seeds"})
    assert findings.verdict([BASE, two], "F1").endswith("is A +1.0 points (no interval). Two seeds per setting give no p: add a third.")
    assert findings.verdict([BASE], "F1") == "No difference in F1 to QA can be tested: there is no other setting."
    assert findings.verdict([BASE, {**BASE, "setting": "A"}], "F1").endswith("can be tested: too few seeds, or no scores.")


def test_judged_differences_are_named():
    rows = [row("A", 1.0, 0.0, 2.0, p, seeds=1, score=score) for p, score in ((0.01, "F1"), (0.2, "span F1"))]
    assert findings.of_judged(rows) == (
        "p below 0.05, corrected for all 2 judged differences: A in F1 (+1.0). "
        "This speaks for these models only: one seed per setting cannot tell the settings apart."
    )
    assert findings.of_judged([{**rows[1], "seeds": 3}]) == "p below 0.05: none."
    assert (
        findings.of_judged([row("A", 1.0, 0.0, 2.0, seeds=2)]) == "1 difference judged, none with a p: three seeds per setting are needed."
    )


def test_what_is_judged_is_named_with_its_family_and_baseline():
    rows = [row("A", 1.0, 0.0, 2.0, 0.01, seeds=3, score=score) for score in ("F1", "EM")]
    assert findings.of_judged(rows, "score").startswith("p below 0.05, corrected for the judged differences of each score: A in F1")
    several = [{**one, "compared with": base} for one, base in zip(rows, "BC", strict=True)]
    assert "A to B in F1 (+1.0), A to C in EM (+1.0)" in findings.of_judged(several)
    assert findings.of_decided([{**one, "decided": "more"} for one in several]) == "A to B, F1: more; A to C, EM: more"
    assert findings.of_judged([]) == "No difference is judged: there is no other setting."
    lacking = findings.of_judged([row("A", None, None, None, seeds=3)])
    assert lacking == "1 difference judged, none with a p: seeds or scores are missing."


def test_the_verdict_has_the_p_of_the_whole_family():
    settings = {"A": {0: "A"}, "B": {0: "B"}}
    scores = ["F1", "EM"]
    judged = {row["score"]: row for row in differences.primary_table(QUESTIONS, settings, scores)}
    (_, alone) = differences.setting_table(QUESTIONS, settings, "F1")
    assert alone["p (adjusted)"] == alone["p"] < judged["F1"]["p (adjusted)"]
    said = findings.verdicts(QUESTIONS, [settings], scores, "study", "A")
    assert ("shown to differ from A: B" in said) == (judged["F1"]["p (adjusted)"] < 0.05)
    assert said.count("One seed per setting cannot tell") == len(scores), "each score is told"
    assert (
        findings.verdicts(QUESTIONS, [], scores, "study", "A") == "No difference in F1, EM to A can be tested: there is no other setting."
    )


def test_a_task_counts_as_learnt_only_if_it_was_shown_to_be():
    one = [{"task": "squad", "setting": "A", "learnt": "not shown"}, {"task": "cola", "setting": "A", "learnt": "yes"}]
    assert findings.of_tasks(one, "squad") == "Every other task that was scored was shown to be learnt."
    assert findings.of_tasks(one[:1], "squad") == "No other task was scored."
    assert findings.of_tasks(one, "cola").startswith("Not shown to be learnt: squad. Do not attribute")
    two = [*one, {"task": "squad", "setting": "B", "learnt": "not shown"}, {"task": "mrpc", "setting": "B", "learnt": "not shown"}]
    assert findings.of_tasks(two, "cola").startswith("Not shown to be learnt: mrpc (in B); squad (in A, B). Do not attribute")
    more = [*one, {"task": "mnli", "setting": "A", "learnt": "unknown"}]
    assert findings.of_tasks(more, "squad") == "Whether it was learnt is unknown: mnli."


def test_a_summary_is_three_lines():
    runs = {name: SimpleNamespace(manifest={"steps": steps, "train_seconds": 30}) for name, steps in (("a", 90), ("b", 111))}
    learnt = [{"setting": "B", "task": "cola", "learnt": "not shown"}, {"setting": "B", "task": "swag", "learnt": "yes"}]
    held = {"task": "swag", "score": "accuracy", "chance": 25.0, "constant answer": None, "lexical overlap": None}
    tasks = [{**held, "value": 71.5}, {**held, "value": 60.0}]
    trained, concluded, following = findings.summary(runs, {"A": {0: "a"}, "B": {0: "b"}}, "Nothing differs.", learnt, tasks)
    assert trained == (
        "Trained: A, B, 1 seed each; 90 to 111 steps each, 1:00 of training in all. In percent: swag accuracy 60.0 to 71.5 (chance 25.0)."
    )
    assert concluded.startswith("Concluded: Nothing differs. Not shown to be learnt: cola.") and "swag" not in concluded
    assert following.startswith("Next: add seeds: [0, 1, 2] to") and "raise epochs" in following
    several = findings.summary(runs, {"A": {0: "a", 1: "b", 2: "b"}}, "", [], [])
    assert "seeds: [" not in several[2] and "raise epochs" not in several[2]


def test_scores_are_reported_with_baselines_that_need_no_training():
    rows = [{"task": "squad", "score": "F1", "value": 72.61, "n": 132, "constant answer": 33.3, "lexical overlap": 20.0, "learnt": "yes"}]
    rows += [{"task": "swag", "learnt": "yes"}, {"task": "cola", "learnt": "not shown"}]
    said = "squad: F1 72.6 on 132 rows (always no answer: 33.3). Of the others, learnt: swag. Not shown to be learnt: cola."
    assert findings.of_scores(rows) == said and findings.of_scores([]) == "No task was scored."


def test_losses_are_reported_by_their_first_and_last_values():
    records = [{"task": "a", "loss": loss} for loss in (9.0, 8.0, 7.0, 6.0, 5.0, 1.0)] + [{"task": "b", "loss": 1.5}]
    assert findings.of_losses(records) == ("Losses, the mean of up to five batches, first and last: a 8.00 to 4.00, b 1.50 to 1.50.")


def test_each_table_of_the_data_has_a_sentence():
    assert findings.of_labels({"cola": {"a": 3, "b": 1}}) == "The most frequent label is right this often: cola 75 %."
    counts = {"answer": {"in the passage": 3, "nothing": 1}, "type of answer": {"phrase": 2, "name": 1}}
    assert findings.of_answers(counts, "squad") == "squad: 25 % of 4 questions have no answer. Most answers are of the form phrase (67 %)."
    scored = {**counts, "answer, scored rows": {"in the passage": 1, "nothing": 3}}
    assert "; on the 4 scored ones a model that never answers is right in 75 %. Most" in findings.of_answers(scored, "squad")
    assert findings.of_lengths({"squad": np.array([5, 9])}, 10).startswith("Nothing is cut: the longest item has 9 tokens")
    assert findings.of_lengths({"squad": np.array([10, 9])}, 10) == "Items that fill max_length, 10 tokens: 1 of squad."
    none = {"max_length": 8, "several windows": "0.0%", "lost if cut": "0.0%", "in no window": "0.0%"}
    assert findings.of_windows([none], 8) == "At max_length 8 every question fits into one window, and no answer is lost."
    assert "would lose 9.0% of the answers" in findings.of_windows([{**none, "lost if cut": "9.0%"}], 8)
    assert findings.of_counts({"all": 9, "answers differ": 4, "all right": 3}).endswith("all are right on 3, all are wrong on 0.")
    none = "9 of 9 questions are answered differently; all are right on 0, all are wrong on 0."
    assert findings.of_counts({"all": 9, "answers differ": 9}) == none
    assert findings.of_counts({"all": 9}) == "9 questions."


def test_an_answer_is_marked_in_its_passage_and_no_answer_marks_nothing():
    spans = [SimpleNamespace(start=3, end=7), SimpleNamespace(start=0, end=2)]
    page = findings.answer("When <b>?", "in 1843 & after", "1843", SimpleNamespace(spans=spans, probabilities=[0.9, 0.05, 0.05]))
    assert ">1843</mark> &amp; after" in page and "When &lt;b&gt;?" in page and page.index("90.0%") < page.index("5.0%")
    nbest = SimpleNamespace(spans=spans[:1], probabilities=[0.1, 0.9])
    nothing = findings.answer("?", "in 1843", "", nbest)
    assert ">1843</mark>" in findings.answer("?", "in 1843", "1843", nbest), "the threshold decides, not the probability"
    assert "<mark" not in nothing and nothing.index("no answer") < nothing.index("90.0%") < nothing.index("10.0%")


def test_tables_omit_empty_columns_and_escape(monkeypatch):
    made = findings.folded("All <b>", [{"run": "<i>", "F1": 2.04, "p": None}, {"run": "B", "F1": None, "p": None}], ["a & b"])
    assert "&lt;i&gt;" in made and ">2.0<" in made and ">p<" not in made and "All &lt;b&gt;" in made and "<li>a &amp; b</li>" in made


def test_findings_are_collected_at_the_top(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda html, display_id: SimpleNamespace(update=shown.append))
    short = findings.InShort()
    assert short("one", "first & said") == findings.finding("first & said")
    short("two", "on top", first=True)
    short("one", "said again")
    assert shown[-1].index("on top") < shown[-1].index("said again") and "first &amp; said" not in shown[-1]


@pytest.mark.parametrize("p, said", [(0.01, "B differs in: who +9.0"), (0.2, "no slice by itself is shown to differ")])
def test_the_finding_on_slices_counts_all_slices(p, said):
    rows = [
        {"slice": "who", "difference": 9.0, "points": 2.0, "p (adjusted)": p},
        {"slice": "why", "difference": 1.0, "points": 0.1, "p (adjusted)": None},
    ]
    assert said in findings.of_slices(rows, "B") and "Counting all 1 slices" in findings.of_slices(rows, "B")
    assert findings.of_slices(rows, "B").startswith("The largest part of the difference of +2.1 points of F1: who, +2.0.")


def test_a_difference_that_the_choice_of_the_threshold_makes_is_named():
    moved = [{"score": "F1", "setting": "B", "tuned": 70.0, "common share": 67.5}]
    assert findings.of_thresholds(moved) == "Where every run leaves the same share unanswered, F1 moves by up to 2.5 points (B)."
    judged = [row("B", 6.9, 1.5, 12.3, 0.04, score="F1"), row("C", 9.0, 5.0, 13.0, 0.001, score="F1")]
    common = [row("B", 2.7, -2.1, 7.5, 0.24, score="F1"), row("C", 8.0, 4.0, 12.0, 0.002, score="F1")]
    assert findings.of_thresholds(moved, judged, common).endswith(
        " points (B). B, F1: +6.9 at the tuned thresholds, but +2.7 points (95 % interval -2.1 to +7.5) there: not shown."
    )
    assert findings.of_thresholds([]) == "A run keeps no n-best, so its threshold cannot be moved."
