"""Tables of scores: a run's own scores with intervals, next to the paper's and the baselines."""

import pandas as pd
import pytest
from conftest import ROOT

from mtdnn_kit import Run, train
from mtdnn_kit.compare import differences, pairing
from mtdnn_kit.compare.paper import TABLES
from mtdnn_kit.errors import CompareError
from mtdnn_kit.runs.notes import threshold_notes, threshold_of_several, threshold_words
from mtdnn_kit.views import tables


def test_the_table_has_intervals_the_papers_scores_and_the_baselines(runs):
    questions = pairing.pair(runs)
    table = {row["run"]: row for row in tables.score_table(questions, tables.alone(runs), "table 2")}
    assert list(table) == ["QA", "QA+SC", "no-answer baseline", "lexical overlap"]
    for name, run in runs.items():
        own = run.metrics["squad"]
        for column, key in {"EM": "em", "F1": "f1", "span F1": "span_f1", "no-answer AP": "no_answer_ap"}.items():
            assert table[name][column] == pytest.approx(own[key])
        assert (table[name]["F1 low"], table[name]["F1 high"]) == differences.interval(questions, name, "F1")
    wanted = differences.difference(questions, "QA", "QA+SC", "F1")
    row, ends = table["QA+SC"], differences.ends(wanted)
    assert (row["ΔF1"], row["ΔF1 low"], row["ΔF1 high"], row["p"]) == (wanted.difference, ends["low"], ends["high"], wanted.p)
    assert table["QA"]["ΔF1"] is None and row["speaks for"] == "these two models"
    assert (row["paper EM"], row["paper F1"]) == TABLES["table 2"]["QA+SC"] and row["paper ΔF1"] == pytest.approx(76.435 - 76.18)
    nothing = 100 * sum(not q.row.answers for q in questions) / len(questions)
    assert table["no-answer baseline"]["EM"] == table["no-answer baseline"]["F1"] == pytest.approx(nothing)
    assert "paper EM" not in tables.score_table(questions, tables.alone(runs))[0]


def test_points_of_the_figures(runs):
    table = tables.score_table(pairing.pair(runs), tables.alone(runs))
    found = tables.points(table)
    assert list(found) == ["QA", "QA+SC"] and found["QA"]["em"] == table[0]["EM"] and found["QA"]["f1_high"] == table[0]["F1 high"]
    assert tables.by_weight(runs, found) == {"1.0": found["QA"], "0.5": found["QA+SC"]}


def test_rows_are_formatted_for_reading():
    row = {"run": "a", "EM": 57.576, "EM low": 49.24, "EM high": 65.87, "ΔF1": -1.25, "ΔF1 low": None, "ΔF1 high": None, "p": 0.0312}
    assert tables.shown([row]) == [{"run": "a", "EM": "57.6 [49.2, 65.9]", "ΔF1": "-1.2", "p": "0.031"}]
    row = {
        "difference": 2.5,
        "low": -1.0,
        "high": 6.0,
        "p": 0.00002,
        "McNemar p": 1.0,
        "questions": 6078,
        "places": [1],
        "points": 0.5,
        "x": None,
    }
    assert tables.shown([row]) == [
        {"difference": "+2.5 [-1.0, +6.0]", "p": "< 0.0001", "McNemar p": "1", "questions": "6,078", "points": "+0.5", "x": ""}
    ]
    rows = [{"probability": 0.052}, {"score": "threshold", "value": 0.949}, {"score": "f1", "value": 72.61}]
    assert [list(row.values())[-1] for row in tables.shown(rows)] == ["0.05", "0.95", "72.6"]


def test_an_interval_wider_than_the_scale_is_replaced_by_a_note():
    row = {"setting": "a", "seeds": 2, "F1": 60.0, "F1 low": -20.0, "F1 high": 90.0, "Δ": 5.8, "Δ low": -170.25, "Δ high": 181.85}
    assert tables.shown([row])[0] == {
        "setting": "a",
        "seeds": "2",
        "F1": "60.0 [two seeds cannot tell]",
        "Δ": "+5.8 [two seeds cannot tell]",
    }
    assert tables.shown([{**row, "Δ low": -40.0, "Δ high": 60.0}])[0]["Δ"] == "+5.8 [-40.0, +60.0]", "as wide as the scale"
    for seeds, said in ((3, "three seeds"), (5, "5 seeds"), (1, "these models"), ("1 − 0", "these models")):
        assert tables.shown([{**row, "seeds": seeds}])[0]["Δ"] == f"+5.8 [{said} cannot tell]"


def test_a_table_for_a_terminal_has_aligned_columns(runs):
    rows = [{"run": "A", "x": 1, "F1": 50.0, "F1 low": 40.0, "F1 high": 60.0}, {"run": "long\u202ename", "F1": 5.0, "x": None}]
    assert tables.aligned(rows, ["run", "F1", "none"]) == "run             F1\nA               50.0 [40.0, 60.0]\nlong\\u202ename  5.0\n"


def test_only_parameters_that_differ_are_columns(runs):
    found = tables.varied(runs)
    assert found == {
        "QA": {"tasks": "squad", "qa_weight": 1.0}, "QA+SC": {"tasks": "+".join(runs["QA+SC"].config["tasks"]), "qa_weight": 0.5},
    }  # fmt: skip
    assert tables.varied({"QA": runs["QA"]}) == {"QA": {}}


class Scored:
    """A run's metrics, as `both_sets_table` reads them."""

    def __init__(self, **metrics):
        self.metrics, self.finished, self.types = {task: {"f1": f1, "em": None} for task, f1 in metrics.items()}, True, {"squad": "qa"}


def test_the_choice_on_one_set_is_reported_on_both():
    found = tables.both_sets_table(
        {"a": Scored(squad=70.0, squad_rest=61.0), "b": Scored(squad=69.0, squad_rest=63.0), "c": Scored(squad=1.0, squad_rest=2.0)}
    )
    assert found == [
        {"run": "a", "squad": 70.0, "squad_rest": 61.0, "chosen on": "squad"},
        {"run": "b", "squad": 69.0, "squad_rest": 63.0, "chosen on": "squad_rest"},
        {"run": "c", "squad": 1.0, "squad_rest": 2.0, "chosen on": ""},
    ]
    assert tables.both_sets_table({"a": Scored(squad=70.0)}) == []
    with pytest.raises(CompareError, match="em: not every run has it"):
        tables.both_sets_table({"a": Scored(squad=70.0, squad_rest=61.0)}, score="em")


def test_a_studys_table_as_markdown_and_latex():
    row = {"run": "QA|SC_1", "ΔF1": -1.25, "ΔF1 low": -3.0, "ΔF1 high": 0.5, "p": 0.2}
    assert (
        tables.markdown([row, {"run": "x"}])
        == "| run | ΔF1 | p |\n| --- | --- | --- |\n| QA\\|SC_1 | -1.2 [-3.0, +0.5] | 0.2 |\n| x |  |  |\n"
    )
    made = tables.latex([row, {"run": "x"}])
    assert r"QA$|$SC\_1 & -1.2 [-3.0, +0.5] & 0.2" in made and r"$\Delta$F1" in made and "\\toprule" in made
    assert made.isascii()


def test_the_files_of_a_study_are_tidy(runs, tmp_path):
    settings = tables.alone(runs)
    rows = tables.score_table(pairing.pair(runs), settings)
    tables.write(tmp_path, rows, runs, settings)
    left = {file.name: file.read_text() for file in tmp_path.iterdir()}
    assert left["table.md"] == tables.markdown(rows) and left["table.tex"] == tables.latex(rows)
    table = pd.read_csv(tmp_path / "table.csv", index_col="run")
    assert table.loc["QA", "F1 low"] == pytest.approx(rows[0]["F1 low"], abs=1e-3)
    tidy = pd.read_csv(tmp_path / "scores.csv")
    varied = ["tasks", "qa_weight"]
    assert list(tidy.columns) == ["setting", "seed", *varied, "run", "folder", "task", "score", "value", "n"]
    assert dict(zip(tidy.run, tidy.tasks, strict=True)) == {name: "+".join(run.config["tasks"]) for name, run in runs.items()}
    own = tidy[(tidy.run == "QA+SC") & (tidy.task == "cola")].set_index("score")
    assert {score: own.value[score] for score in own.index} == pytest.approx(
        {k: v for k, v in runs["QA+SC"].metrics["cola"].items() if k != "n"}
    )
    assert set(tidy.seed) == {0, 1} and (own.n == runs["QA+SC"].metrics["cola"]["n"]).all()


def test_replies_without_n_best_give_the_same_tables(runs):
    few, all_ = (pairing.pair(runs, nbest=n) for n in (1, None))
    assert {len(q.replies["QA"].best) for q in few} == {1} and len(all_[0].replies["QA"].best) == 20
    settings = tables.alone(runs)
    assert tables.score_table(few, settings) == tables.score_table(all_, settings)


def test_each_row_shows_what_its_threshold_was_tuned_on(runs, config):
    """Or that it was not tuned; with several seeds, without the thresholds themselves."""
    questions, held = pairing.pair(runs), {name: run.manifest["held_out"]["squad"] for name, run in runs.items()}
    words = {name: threshold_words(run, "squad") for name, run in runs.items()}
    rows = tables.score_table(questions, tables.alone(runs), runs=runs)
    assert [row.get("threshold") for row in rows] == [*words.values(), None, None]
    assert all("tuned on" in text or held[name]["always_answers"] for name, text in words.items())
    several = threshold_of_several(runs.values(), "squad")
    assert several == "; ".join(dict.fromkeys(text.split(", ")[-1] for text in words.values()))
    assert "threshold" not in tables.score_table(questions, tables.alone(runs))[0]
    bare = train(config(tasks=["squad"], qa_weight=1.0, max_steps=1))
    assert threshold_of_several([bare, bare], "squad") == "0, not tuned" and "(threshold 0, not tuned)" in bare._repr_html_()


def test_a_threshold_that_an_older_kit_tuned_is_not_shown_as_untuned():
    old = Run(ROOT / "results" / "minilm-mixtures" / "runs" / "qa-seed-0")
    assert "held_out" not in old.manifest
    assert threshold_words(old, "squad") == "-2.89, tuned on unrecorded questions"
    assert threshold_notes(old) == ["squad: threshold: -2.89, tuned on unrecorded questions"]
