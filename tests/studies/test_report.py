"""The kept files of a study, and its report: the same scores as the runs, also by the second scorer; no text; damage is reported."""

import csv
import gzip
import json
import re
import shutil
import statistics
import subprocess
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from conftest import ROOT
from questions import QUESTIONS
from scorer import score

from mtdnn_kit.__main__ import _conclude
from mtdnn_kit.compare import differences, pairing, paper, seeds, study_tables, threshold_choice
from mtdnn_kit.compare.learnt import marked
from mtdnn_kit.compare.outcomes import reply_at
from mtdnn_kit.data.rows import QARow
from mtdnn_kit.errors import CompareError
from mtdnn_kit.files.atomic import write_json
from mtdnn_kit.runs.curves import UNWATCHED
from mtdnn_kit.runs.run import Run
from mtdnn_kit.studies import keep, report
from mtdnn_kit.studies.variants import slug
from mtdnn_kit.tasks import null_threshold
from mtdnn_kit.views import study_plots, tables
from mtdnn_kit.views.tables import markdown

SAMPLE = ROOT / "results" / "sample"
RUNS = {"A seed 0": "qa", "A seed 1": "qa-mcc", "B seed 0": "qa-sc", "B seed 1": "qa-mcc-sc"}
STUDY = """# Is B better than A?
base: parameters/demo.yaml
variants: {A: {tasks: [squad], qa_weight: 1.0}, B: {}}
seeds: [0, 1]
scores: [span F1, no-answer AP]
paper: table 2
"""


@pytest.fixture(scope="module")
def runs() -> dict[str, Run]:
    return {name: Run(SAMPLE / folder) for name, folder in RUNS.items()}


@pytest.fixture(scope="module")
def questions(runs):
    return pairing.pair(runs)


@pytest.fixture(scope="module")
def kept(tmp_path_factory, runs, questions) -> Path:
    folder = tmp_path_factory.mktemp("kept")
    (folder / "study.yaml").write_text(STUDY)
    keep.keep_study(folder / "study.yaml", runs, questions, folder / "study", ["A seed 0"])
    return folder / "study"


@pytest.fixture
def copy(kept, tmp_path) -> Path:
    return Path(shutil.copytree(kept, tmp_path / "copy"))


def test_the_report_names_tasks_that_still_rise(copy):
    scorings = [{"step": k, "of": "scored", "task": "mnli", "scores": {"accuracy": 3.0 * k, "n": 9}, "constant": {}} for k in range(1, 19)]
    with open(copy / "runs" / "b-seed-1" / "log.jsonl", "a") as log:
        log.writelines(json.dumps(record) + "\n" for record in scorings)
    (section,) = (part for part in report.report(copy, None) if part.startswith("## Were the other tasks learnt?"))
    assert (
        "these runs. mnli still rises at the end of 1 of 1 runs (B seed 1: accuracy +15.0 in the last third, p = 0.0014): train" in section
    )


def test_every_score_of_a_kept_run_equals_the_runs(kept, runs, questions):
    found, again = keep.open_study(kept)
    assert list(found) == list(runs) and [q.row for q in again] == [q.row for q in questions]
    for name in runs:
        for wanted in differences.RUN_SCORES:
            assert differences.value(again, name, wanted) == differences.value(questions, name, wanted) is not None
        replies = [(q.replies[name], p.replies[name]) for q, p in zip(questions, again, strict=True)]
        assert all((a.start, a.end, a.text, a.diff, a.em, a.f1) == (b.start, b.end, b.text, b.diff, b.em, b.f1) for a, b in replies)


def test_the_second_scorer_agrees_and_reads_only_files(kept, runs):
    text = (ROOT / "mtdnn_kit/data/sample/squad/validation.jsonl").read_text(encoding="utf-8")
    rows = {row["id"]: row for row in map(json.loads, text.splitlines())}
    with gzip.open(kept / "spans.csv.gz", "rt", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    for name, path in json.loads((kept / "runs.json").read_text()).items():
        metrics = json.loads((kept / path / "metrics.json").read_text())["squad"]
        said = {}
        for line in lines:
            start, end, diff = (line[f"{name}: {what}"] for what in ("start", "end", "null − best"))
            given = start and float(diff) <= metrics["threshold"]
            said[line["id"]] = rows[line["id"]]["context"][int(start) : int(end)] if given else ""
        again = score([rows[key] for key in said], said)
        assert (again["em"], again["f1"], again["n"]) == (pytest.approx(metrics["em"]), pytest.approx(metrics["f1"]), metrics["n"])


def test_no_text_and_no_path_is_kept(kept, questions):
    files = [file for file in kept.rglob("*") if file.is_file()]
    words = {q.row.question for q in questions} | {reply.text for q in questions for reply in q.replies.values() if len(reply.text) > 12}
    for file in files:
        text = (gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()).decode()
        assert not [word for word in words if word in text] and str(ROOT) not in text
    assert {file.name for file in files} == {
        *("study.yaml", "runs.json", "spans.csv.gz", "config.yaml", "manifest.json", "metrics.json", "log.jsonl"),
        *("squad_nbest.jsonl.gz", "squad_held_out.jsonl.gz", "requirements.txt"),
        *(f"{task}.jsonl" for task in ("swag", "cola", "mrpc", "mnli")),
    }
    assert [len(entry["nbest"]) <= keep.ENTRIES for entry in Run(kept / "runs" / "a-seed-0").nbest()].count(False) == 0


def test_labels_and_later_scores_are_kept_without_text_or_path(tmp_path, runs, questions):
    run = Run(shutil.copytree(runs["B seed 0"].path, tmp_path / "run"))
    lines = [{**line, "text": "The ferry is late."} for line in run.choices("cola")]
    (run.path / "predictions" / "cola.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (run.path / "scored").mkdir()
    later = {"set": {"task": "cola", "data": str(tmp_path / "boats"), "files": {"validation": str(tmp_path / "x.csv")}}}
    later |= {"data": {"cola-boats/validation": {"origin": "boats", "rows": 3, "fingerprint": "f"}}, "scores": {"accuracy": 50.0, "n": 3}}
    write_json(run.path / "scored" / "cola-boats.json", later)
    (tmp_path / "study.yaml").write_text(STUDY)
    found = {**runs, "B seed 0": run}
    keep.keep_study(tmp_path / "study.yaml", found, questions, tmp_path / "kept")
    kept = Run(tmp_path / "kept" / "runs" / "b-seed-0")
    assert list(kept.choices("cola")) == list(runs["B seed 0"].choices("cola")) and set(next(kept.choices("cola"))) == {
        "id",
        "label",
        "probabilities",
    }
    assert kept.later["cola-boats"]["set"] == {"task": "cola", "data": "boats", "files": {"validation": "x.csv"}}
    assert kept.metrics["cola-boats"] == {"accuracy": 50.0, "n": 3}
    sections = "\n".join(report.report(tmp_path / "kept", None))
    assert "## The other tasks\n" in sections and str(tmp_path) not in sections and "ferry" not in sections


def test_kept_parameters_have_no_path_of_this_machine(runs):
    files = {"files": {"validation": "/home/me/x.csv", "train": "data/y.csv"}}
    anchor = {"kind": "l2sp", "strength": 1.0, "to": "/home/me/r"}
    changes = {"encoder": "/home/me/bert", "define": {"mine": {"type": "qa", **files}}, "anchor": anchor}
    kept = keep.without_paths({**runs["A seed 0"].config, **changes, "scored_also": {"more": {"data": "/home/me/more", **files}}})
    assert "/home" not in str(kept) and kept["define"]["mine"]["files"] == {"validation": "x.csv", "train": "data/y.csv"}
    assert (kept["encoder"], kept["anchor"]["to"], kept["scored_also"]["more"]["data"]) == ("bert", "r", "more")
    assert keep.without_paths({"tasks": ["squad"]}) == {"tasks": ["squad"], "run_dir": None, "resume": False}, "of an older kit"


def as_manuals(run: Run, to: Path) -> Run:
    """The same run, its questions being those of a custom task."""
    shutil.copytree(run.path, to)
    columns = {"id": "id", "title": "title", "context": "context", "question": "question", "answers": "answers"}
    config = {
        **run.config,
        "tasks": ["manuals"],
        "qa_weight": 1.0,
        "define": {"manuals": {"type": "qa", "folder": "squad", "columns": columns}},
    }
    (to / "config.yaml").write_text(yaml.safe_dump(config))
    for name in ("metrics.json", "manifest.json"):
        (to / name).write_text((to / name).read_text().replace("squad", "manuals"))
    for file in list((to / "predictions").glob("squad_*")):
        file.rename(file.with_name(file.name.replace("squad", "manuals")))
    return Run(to)


def test_a_study_of_custom_questions_has_the_same_report(tmp_path, runs, kept):
    """The main task decides, whatever its name."""
    found = {name: as_manuals(runs[name], tmp_path / "runs" / slug(name)) for name in ("A seed 0", "A seed 1")}
    (tmp_path / "s.yaml").write_text("base: parameters/demo.yaml\nvariants: {A: {}}\nseeds: [0, 1]\n")
    page = report.conclude(report.read_study(tmp_path / "s.yaml"), tmp_path / "runs", found, page=True)
    assert page and "F1 of each setting" in page.read_text()
    (tmp_path / "s").mkdir()
    keep.keep_study(tmp_path / "s.yaml", found, pairing.pair(found), tmp_path / "kept", ["A seed 0"])
    again, questions = keep.open_study(tmp_path / "kept")
    assert len(list(again["A seed 0"].nbest("manuals"))) == len(questions) == 132
    mine, theirs = ({part.split("\n")[0]: part for part in report.report(folder, None)} for folder in (tmp_path / "kept", kept))
    for title, end in (("## Thresholds, %", None), ("## The threshold as a choice", 6)):
        rows = [[line.split("|")[:end] for line in of[title].splitlines() if "| A " in line] for of in (mine, theirs)]
        assert rows[0] == rows[1] != []


def test_questions_that_all_have_an_answer_have_no_accuracy_without_one(runs, questions, monkeypatch):
    monkeypatch.setitem(
        runs, "A seed 1", SimpleNamespace(metrics={"squad": {**runs["A seed 1"].metrics["squad"], "no_answer_accuracy": None}})
    )
    (row,) = study_tables.threshold_table(runs, questions, {"A": {0: "A seed 0", 1: "A seed 1"}})
    assert row["no-answer accuracy"] is None and row["F1 at 0"] > 0


def test_a_run_that_is_kept_whole_opens_next_to_others(kept):
    pair = pairing.pair({"kept": Run(kept / "runs" / "a-seed-0"), "theirs": Run(SAMPLE / "qa")}, data="sample")
    assert all((q.replies["kept"].text, q.replies["kept"].diff) == (q.replies["theirs"].text, q.replies["theirs"].diff) for q in pair)


def test_the_report_contains_the_tables_and_no_text(kept, questions):
    settings = {"A": {0: "A seed 0", 1: "A seed 1"}, "B": {0: "B seed 0", 1: "B seed 1"}}
    sections = {part.split("\n")[0].removeprefix("## "): part for part in report.report(kept, None)}
    judged = differences.primary_table(questions, settings, ["span F1", "no-answer AP"])
    assert [row["score"] for row in judged] == ["span F1", "no-answer AP"]
    for row in judged:
        found = differences.setting_difference(questions, settings["A"], settings["B"], row["score"])
        assert (row["Δ"], row["Δ low"], row["p"]) == (found.difference, found.low, found.p)
        assert f"{row['Δ']:+.1f} [{row['Δ low']:+.1f}, {row['Δ high']:+.1f}]" in sections["Judged by span F1 and no-answer AP"]
    assert {row["p"] for row in judged} == {None} and sections["Judged by span F1 and no-answer AP"].count("no p: two seeds") == 2
    whom = sections["For whom the differences speak"]
    assert whom.endswith("\n\n" + markdown(differences.population_table(questions, settings, ["span F1", "no-answer AP"])))
    mnli = (Run(SAMPLE / "qa-sc").metrics["mnli"]["accuracy"] + Run(SAMPLE / "qa-mcc-sc").metrics["mnli"]["accuracy"]) / 2
    line = next(line for line in sections["Were the other tasks learnt?"].split("\n") if line.startswith("| B | mnli"))
    assert line.startswith(f"| B | mnli | 2 | accuracy | {mnli:.1f} [") and line.endswith(" | yes |"), "each text has one row per label"
    assert all(row.count("cola, mrpc") == 1 for row in sections["Wrong bounds"].splitlines() if row.startswith("| wrong bounds"))
    note = "Intervals are for other rows of the task, with these runs."
    assert sections["Were the other tasks learnt?"].endswith(f"\n\n{note} {UNWATCHED}\n")
    said = "Not judged: p (adjusted) counts the differences of this section alone."
    assert "| --- |" in sections["Slices: span F1, B − A"], "two seeds have no p, but differences with intervals"
    beside = [name for name, text in sections.items() if said in text.split("\n")]
    assert len(beside) == 2 and beside[0].startswith("At a common share of no answers") and beside[1] == "Wrong bounds"
    share, _, table = sections[beside[0]].split("\n\n")
    common, percent = threshold_choice.at_common_share(questions)
    assert f"{percent:.1f} %" in share and [line.split(" | ")[2] for line in table.splitlines()[2:]] == ["2", "2"]
    em = differences.primary_table(common, settings, ["EM"])[0]
    assert f"{em['Δ']:+.1f} [{em['Δ low']:+.1f}, {em['Δ high']:+.1f}]" in table
    assert "Spread over seeds (standard deviation)" in sections
    alone = differences.primary_table(questions, {"A": {0: "A seed 0"}, "B": {0: "B seed 0"}}, ["F1", "span F1", "no-answer AP"])
    assert sections["The first seed alone, as if there were no other"].endswith("\n\n" + markdown(alone))
    text = "\n".join(sections.values())
    assert not [q.row.question for q in questions if q.row.question in text]


@pytest.mark.parametrize("runs", [True, False])
def test_a_report_of_a_study_that_is_not_kept_says_how_to_keep_it(tmp_path, runs):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / ("manifest.json" if runs else "x")).write_text("{}")
    keep = f"mtdnn report keep STUDY_FILE {tmp_path if runs else 'RUNS_FOLDER'} results/NAME"
    for verb in (report.report, report.write):
        with pytest.raises(CompareError) as error:
            verb(tmp_path, None)
        assert str(error.value) == f"{tmp_path}: no study is kept there; keep the finished runs of one first: {keep}"


def test_each_baseline_of_a_study_has_its_tables_and_p_is_for_all(copy, questions):
    """One seed per setting, which gives each difference a p."""
    text = STUDY.replace("seeds: [0, 1]", "seeds: [0]").replace("scores: [span F1, no-answer AP]", "scores: [F1]\nsmallest_effect: 1")
    (copy / "study.yaml").write_text(f"{text}compare: [{{baseline: B, others: [A]}}, {{baseline: A}}]\n")
    sections = {part.split("\n")[0].removeprefix("## "): part for part in report.report(copy, None)}
    own = [{name: {0: f"{name} seed 0"} for name in names} for names in ("BA", "AB")]
    wanted = [differences.primary_table(questions, of, ["F1"], tables=2) for of in own]
    (one,), (two,) = wanted
    assert one["p (adjusted)"] == min(1, 2 * one["p"]) and (one["Δ"], one["p"]) == (-two["Δ"], two["p"])
    scores = [[cell.strip() for cell in line.split("|")[1:-1]] for line in sections["Scores"].splitlines() if line.startswith("| ")]
    at, holm = scores[0].index("ΔF1"), scores[0].index("p (adjusted)")
    assert scores[0][:2] == ["run", "compared with"] and [row[:2] for row in scores[2:]] == [
        ["B", ""], ["A", "B"], ["A", ""], ["B", "A"], ["no-answer baseline", ""], ["lexical overlap", ""],
    ]  # fmt: skip
    for row, judged in ((scores[3], one), (scores[5], two)):
        assert row[at].startswith(f"{judged['Δ']:+.1f} [") and row[holm] == f"{judged['p (adjusted)']:.2g}"
    assert [scores[row][holm] for row in (2, 4)] == ["", ""], "a baseline has no p"
    judged = sections["Judged by F1"]
    assert judged.count("\n| ---") == 2 and "\n| F1 | A | B | 1 |" in judged and "\n| F1 | B | A | 1 |" in judged
    assert all(
        f"| {row['Δ']:+.1f} [{row['Δ low']:+.1f}, {row['Δ high']:+.1f}] | {row['p']:.2g} | {row['p (adjusted)']:.2g} |" in judged
        for row in (one, two)
    )
    assert sections["Decisions (equivalence tests)"].count("\n| ---") == 2 and sections["Sample size needed: F1"].count("\n- ") == 2
    assert {"Slices: F1, A − B", "Slices: F1, B − A"} <= sections.keys()


def test_a_setting_that_no_comparison_names_is_not_judged(copy, questions):
    """As a placebo in a declared study: p is corrected for the judged differences alone, and its differences are intervals without p."""
    text = STUDY.replace("B: {}}", "B: {}, C: {max_steps: 9}}").replace("paper: table 2\n", "")
    (copy / "study.yaml").write_text(f"{text}smallest_effect: 1\ncompare: {{baseline: A, others: [B]}}\n")
    study, wanted = report.read_study(copy / "study.yaml"), ["A seed 0", "A seed 1", "B seed 0", "B seed 1"]
    folders = json.loads((copy / "runs.json").read_text())
    runs = {
        **{name: Run(copy / folders[name]) for name in wanted},
        "C seed 0": Run(copy / folders["B seed 0"]),
        "C seed 1": Run(copy / folders["A seed 1"]),
    }
    more = [replace(q, replies={**q.replies, "C seed 0": q.replies["B seed 0"], "C seed 1": q.replies["A seed 1"]}) for q in questions]
    found = report.StudyResults(study, runs, more, copy)
    assert [list(of) for of in found.compared] == [["A", "B"]] and list(found.settings) == ["A", "B", "C"]
    sections = {part.split("\n")[0].removeprefix("## "): part for part in report._sections(found)}
    own = {name: {seed: f"{name} seed {seed}" for seed in (0, 1)} for name in "AB"}
    judged = differences.primary_table(more, own, study.scores)
    assert sections["Judged by span F1 and no-answer AP"].endswith(markdown(marked(judged, found.learnt, "A")))
    assert "| C |" not in sections["Decisions (equivalence tests)"] and "\n| C " in sections["Scores"]
    lone = differences.population_table(more, {"C": {0: "C seed 0", 1: "C seed 1"}, "B": own["B"]}, study.scores)
    others = study_tables.secondary_table(more, found.settings, found.compared, study.scores)
    assert others[6:] == [{"compared with": "C", **row} for row in lone] and len(lone) == 6
    assert [(row["setting"], row["compared with"]) for row in others] == [("A", "C")] * 6 + [("B", "C")] * 6
    assert sections["Differences that are not judged, without a test"].endswith(markdown(others))
    rows = study_tables.forest_rows(more, found.settings, found.compared, "F1")
    assert [(row["setting"], row["Δ"] is None) for row in rows] == [("A", True), ("B", False), ("C", True)]
    assert "Differences that are not judged, without a test" in sections


def test_keeping_replaces_no_folder_but_a_kept_study(tmp_path):
    study = tmp_path / "mine.yaml"
    study.write_text(STUDY.replace("seeds: [0, 1]\n", ""))
    with pytest.raises(CompareError, match=f"^{tmp_path / 'nothing'}: no run of {study} is finished there; correct the folder"):
        report.keep_finished(str(study), tmp_path / "nothing", tmp_path / "kept", None, [])
    for name, folder in {"a": "qa", "b": "qa-mcc"}.items():
        shutil.copytree(SAMPLE / folder, tmp_path / "runs" / name)
    for into in (tmp_path / "runs", tmp_path):
        with pytest.raises(CompareError, match=f"^{into}: it exists and is not a kept study, and keeping one replaces the whole folder"):
            report.keep_finished(str(study), tmp_path / "runs", into, None, [])
    assert (tmp_path / "runs" / "a" / "manifest.json").is_file() and study.is_file()
    for _ in range(2):
        assert "2 finished runs kept: A, B" in report.keep_finished(str(study), tmp_path / "runs", tmp_path / "kept", None, [])


def test_every_baseline_is_in_the_commands_files_and_output(tmp_path, runs, capsys):
    """Also where a setting is compared with nothing; the plain page says what thresholds were tuned on."""
    text = STUDY.replace("seeds: [0, 1]", "seeds: [0]").replace("B: {}}", "B: {}, C: {max_steps: 9}}")
    (tmp_path / "s.yaml").write_text(f"{text}compare: [{{baseline: B, others: [A]}}, {{baseline: A, others: [B]}}]\n")
    found = {"A seed 0": runs["A seed 0"], "B seed 0": runs["B seed 0"], "C seed 0": runs["B seed 1"]}
    given = SimpleNamespace(plain=True, no_page=False, hours=None, if_changed="refuse")
    study = report.read_study(tmp_path / "s.yaml")
    _conclude(given, study, tmp_path, {}, found)
    rows = [(row["run"], row["compared with"]) for row in tables.read(tmp_path)]
    assert rows == [("B", ""), ("A", "B"), ("A", ""), ("B", "A"), ("C", ""), ("no-answer baseline", ""), ("lexical overlap", "")]
    said = capsys.readouterr().out
    shown = [re.split(r"  +", line) for line in said[said.index("run ") :].splitlines()]
    assert shown[0][:4] == ["run", "compared with", "seeds", "threshold"] and shown[2][:3] == ["A", "B", "1"]
    assert shown[2][3].endswith(", tuned on 60 questions")
    scores = (tmp_path / "study.html").read_text().split("<h2>Scores</h2>")[1].split("</table>")[0]
    assert "<th>compared with</th>" in scores and "<th>threshold</th>" in scores and "tuned on 60 questions</td>" in scores
    assert (tmp_path / "table.md").read_text().count("| A | B |") == 1 and "A & B & " in (tmp_path / "table.tex").read_text()


def test_the_command_prints_differences_between_environments_above_its_table(tmp_path, runs, capsys):
    (tmp_path / "s.yaml").write_text(STUDY.replace("seeds: [0, 1]", "seeds: [0]"))
    shutil.copytree(runs["B seed 0"].path, tmp_path / "b")
    file = tmp_path / "b" / "manifest.json"
    write_json(file, {**json.loads(file.read_text()), "threads": 77})
    given = SimpleNamespace(plain=True, no_page=True, hours=None, if_changed="refuse")
    _conclude(given, report.read_study(tmp_path / "s.yaml"), tmp_path, {}, {"A seed 0": runs["A seed 0"], "B seed 0": Run(tmp_path / "b")})
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert first.startswith("These runs were made in different environments") and first.endswith("; 77 (B seed 0).")
    assert second.startswith("run ")


def test_a_study_names_the_population_of_its_intervals(copy):
    told = {}
    for cluster in ("passage", "title"):
        (copy / "study.yaml").write_text(f"{STUDY}cluster: {cluster}\n")
        told[cluster] = "\n".join(report.report(copy, None))
    assert told["passage"].startswith("Intervals and tests speak for other passages like these")
    assert told["title"].startswith("Intervals and tests speak for other articles like these")
    header = next(line for line in told["passage"].splitlines() if line.startswith("| run |"))
    assert "for other articles" not in header, "each article of the sample has one passage: both populations are the same"
    assert "items in" not in told["passage"], "with several seeds there are no sentences on single runs"


def test_kinds_of_spans_add_up_and_wrong_bounds_are_three_of_them(kept, questions):
    settings = {"A": {0: "A seed 0"}}
    (row,) = study_tables.bounds_table(questions, settings)
    assert sum(row[kind] for kind in study_tables.SPAN_KINDS) == pytest.approx(100)
    assert differences.value(questions, "A seed 0", "wrong bounds") == pytest.approx(sum(row[kind] for kind in differences.BOUNDS))


def test_thresholds_show_how_often_there_was_no_answer_and_the_best_possible_score(runs, questions):
    settings = {"A": {0: "A seed 0", 1: "A seed 1"}}
    (row,) = study_tables.threshold_table(runs, questions, settings)
    own = [runs[name] for name in settings["A"].values()]
    nothing = [entry["null"] - entry["nbest"][0][2] > run.metrics["squad"]["threshold"] for run in own for entry in run.nbest()]
    assert row["nothing answered"] == pytest.approx(100 * sum(nothing) / len(nothing)) and len(nothing) == 2 * 132
    kept = {"has-answer F1": "has_answer_f1", "no-answer accuracy": "no_answer_accuracy", "F1 at 0": "f1_at_0", "best F1 here": "best_f1"}
    for name, key in kept.items():
        assert row[name] == pytest.approx(sum(run.metrics["squad"][key] for run in own) / 2)
    best = [null_threshold.best_threshold(*columns(questions, name))[1] for name in settings["A"].values()]
    assert row["best F1 here"] == pytest.approx(sum(best) / 2)


def columns(questions, name: str) -> tuple[list, list, list]:
    """F1 of a run's best spans, F1 of no answer, and null − best, question by question."""
    replies = [q.replies[name] for q in questions]
    return [r.span_f1 for r in replies], [float(not q.row.answers) for q in questions], [r.diff for r in replies]


def test_a_score_that_judges_the_study_is_tested_once_where_each_setting_has_its_first_seed(tmp_path, runs, questions):
    """F1 is always among these tests, and judges the study by default: the difference must not be tested twice."""
    (tmp_path / "study.yaml").write_text(STUDY.replace("scores: [span F1, no-answer AP]\n", ""))
    keep.keep_study(tmp_path / "study.yaml", runs, questions, tmp_path / "kept")
    sections = {part.split("\n")[0].removeprefix("## "): part for part in report.report(tmp_path / "kept", None)}
    alone = differences.primary_table(questions, {"A": {0: "A seed 0"}, "B": {0: "B seed 0"}}, ["F1"])
    assert len(alone) == 1 and alone[0]["p (adjusted)"] == alone[0]["p"]
    assert sections["The first seed alone, as if there were no other"].endswith("\n\n" + markdown(alone))


def test_further_sets_are_separate_rows_of_means_over_the_seeds():
    def run(em: float, ap: float | None):
        metrics = {"squad": {"em": 1.0, "n": 9}, "wiki": {"em": em, "f1": em + 1, "span_f1": em + 2, "no_answer_ap": ap, "n": 7}}
        return SimpleNamespace(metrics=metrics, config={}, parameters=SimpleNamespace(further={"wiki": None}))

    runs = {"a": run(50.0, 10.0), "b": run(60.0, 20.0), "c": run(70.0, None), "d": SimpleNamespace(parameters=SimpleNamespace(further={}))}
    rows = study_tables.further_table(runs, {"A": {0: "a", 1: "b"}, "B": {0: "c"}})
    assert [(row["set"], row["setting"], row["seeds"], row["questions"]) for row in rows] == [("wiki", "A", 2, 7), ("wiki", "B", 1, 7)]
    assert (rows[0]["EM"], rows[0]["EM (sd)"], rows[0]["no-answer AP"]) == (55.0, pytest.approx(50**0.5), 15.0)
    assert (rows[1]["F1"], rows[1]["F1 (sd)"], rows[1]["no-answer AP"]) == (71.0, None, None)
    assert study_tables.further_table({"d": runs["d"]}, {"A": {0: "d"}}) == []


def test_the_spread_is_the_sample_standard_deviation_over_seeds():
    settings = {"A": {0: "A", 1: "C", 2: "E"}, "B": {0: "B", 1: "D"}, "one": {0: "F"}}
    rows = study_tables.spread_table(QUESTIONS, settings)
    assert [(row["setting"], row["seeds"]) for row in rows] == [("A", 3), ("B", 2)]
    for row in rows:
        for wanted in ("EM", "F1", "span F1", "no-answer AP"):
            values = [differences.value(QUESTIONS, run, wanted) for run in settings[row["setting"]].values()]
            assert row[f"{wanted} (sd)"] == pytest.approx(statistics.stdev(values)) and statistics.stdev(values) > 0


def test_seeds_needed_are_computed_for_the_papers_gain_in_that_score():
    settings = {"QA": {0: "A", 1: "C", 2: "E"}, "QA+SC": {0: "B", 1: "D", 2: "F"}, "mine": {0: "B", 1: "A"}}
    table, wanted = {"QA": (70.0, 80.0), "QA+SC": (100.0, 60.0)}, []
    for name, gain in (("EM", 30.0), ("F1", -20.0)):
        n = seeds.needed(differences.setting_difference(QUESTIONS, settings["QA"], settings["QA+SC"], name), abs(gain)).seeds
        wanted.append(f"QA+SC, {name} {gain:+.2f}: {n:,}")
    assert study_tables.paper_needs(QUESTIONS, settings, table) == wanted


def test_the_papers_examples_are_counted_over_all_seeds_of_each_setting():
    example = paper.EXAMPLES[0]
    context = f"By then {example.gold} had the ruined city and Roussel."
    start = context.index(example.gold)
    row = QARow("x", example.title, context, " ".join(example.words) + "?", ((start, example.gold),))
    right = pairing.reply(row, [(start, start + len(example.gold), 0.9)], -1.0, 0.0, 0.1)
    silent, wrong = pairing.reply(row, [(0, 2, 0.2)], 1.0, 0.0, 0.8), pairing.reply(row, [(0, 2, 0.9)], -1.0, 0.0, 0.1)
    asked = [pairing.Question(row, {"a0": right, "a1": silent, "a2": right, "b0": wrong, "b1": wrong})]
    one, two = study_tables.example_table(asked, {"A": {0: "a0", 1: "a1", 2: "a2"}, "B": {0: "b0", 1: "b1"}})
    assert (one["example"], one["setting"], one["answers"], one["best span F1"]) == (
        example.gold,
        "A",
        "2 × right, 1 × nothing",
        pytest.approx(200 / 3),
    )
    assert (two["setting"], two["answers"], two["best span F1"], two["the paper"]) == ("B", "2 × elsewhere", 0, example.says)


def test_slices_of_settings_equal_those_of_runs_where_each_has_one_seed(questions):
    one = {(row["facet"], row["slice"]): row for row in differences.slice_table(questions, "A seed 0", "B seed 0", "span F1")}
    rows = differences.setting_slices(questions, {0: "A seed 0"}, {0: "B seed 0"}, "span F1")
    assert {(row["facet"], row["slice"]) for row in rows} == set(one) - {("answerable", "answerable")}  # all that both have
    for row in rows:
        wanted = one[row["facet"], row["slice"]]
        assert (row["difference"], row["p"], row["questions"]) == (pytest.approx(wanted["difference"]), wanted["p"], wanted["questions"])


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: (folder / "spans.csv.gz").write_bytes(b"no gzip"), "no study is kept there"),
        (lambda folder: (folder / "runs.json").write_text("[]"), "no study is kept there"),
        (lambda folder: (folder / "runs.json").write_text('{"A seed 0": "runs/a-seed-0"}'), "columns do not match the runs"),
        (lambda folder: (folder / "runs.json").write_text(turned(folder)), "columns do not match the runs"),
        (lambda folder: rewrite(folder, lambda lines: lines[:-1]), "131 questions, but metrics.json says .132"),
        (lambda folder: rewrite(folder, lambda lines: [*lines, lines[-1]]), "133 questions, but"),
        (
            lambda folder: rewrite(folder, lambda lines: [lines[0], "none" + lines[1][lines[1].index(",") :], *lines[2:]]),
            "'none' is not one of",
        ),
        (lambda folder: rewrite(folder, lambda lines: [lines[0], lines[1].replace(",", ",99999", 2), *lines[2:]]), "outside its passage"),
        (lambda folder: rewrite(folder, lambda lines: [lines[0], lines[1] + "x", *lines[2:]]), "a cell of B seed 1 is not a number"),
        (lambda folder: (folder / "runs.json").write_text('{"A seed 0": 5}'), "no study is kept there"),
        (lambda folder: metrics_of_another(folder), "metrics.json of .* says EM .* for squad, but its answers at the threshold there"),
    ],
)
def test_damage_is_reported(copy, damage, said):
    damage(copy)
    with pytest.raises(CompareError, match=said):
        keep.open_study(copy)


def metrics_of_another(folder: Path) -> None:
    runs = list(json.loads((folder / "runs.json").read_text()).values())
    shutil.copy(folder / runs[0] / "metrics.json", folder / runs[2] / "metrics.json")


def turned(folder: Path) -> str:
    """runs.json with its runs in another order: each would get another run's spans."""
    return json.dumps(dict(reversed(json.loads((folder / "runs.json").read_text()).items())))


def rewrite(folder: Path, change) -> None:
    lines = gzip.decompress((folder / "spans.csv.gz").read_bytes()).decode().splitlines()
    (folder / "spans.csv.gz").write_bytes(gzip.compress("".join(f"{line}\n" for line in change(lines)).encode()))


def test_an_unknown_run_is_named_before_anything_is_written(tmp_path, runs, questions):
    with pytest.raises(CompareError, match="whole: there is no run 'C'"):
        keep.keep_study(tmp_path / "study.yaml", runs, questions, tmp_path / "into", ["C"])
    assert not list(tmp_path.iterdir())


def test_two_seeds_of_a_setting_are_compared_like_any_two_models(questions):
    (row,) = study_tables.seed_table(questions, {"A": {0: "A seed 0", 1: "A seed 1"}, "B": {3: "B seed 0"}})
    for wanted in ("EM", "F1", "span F1", "no-answer AP"):
        found = differences.difference(questions, "A seed 0", "A seed 1", wanted)
        assert (row[f"Δ {wanted}"], row[f"Δ {wanted} low"], row[f"{wanted} p"]) == (found.difference, found.low, found.p)
    assert (row["setting"], row["seeds"]) == ("A", "1 − 0")


def test_the_files_equal_the_output_and_figures_have_the_settings(copy, monkeypatch):
    shown, drawn = [], study_plots.settings_figure

    def drawing(rows, score, floors, n):
        shown.append((rows, score))
        assert list(floors) == {"span F1": ["lexical overlap"]}.get(score, []) and n == {"span F1": 88}.get(score, 132)
        return drawn(rows, score, floors, n)

    monkeypatch.setattr(report, "settings_figure", drawing)
    report.write(copy, None)
    assert (copy / "tables.md").read_text(encoding="utf-8") == "\n".join(report.report(copy, None))
    assert {"tables.md", "table.csv", "scores.csv", "span-f1.png", "no-answer-ap.png", "paper.png"} <= {
        file.name for file in copy.iterdir()
    }
    assert [(score, [row["setting"] for row in rows]) for rows, score in shown] == [
        ("span F1", ["A", "B"]),
        ("no-answer AP", ["A", "B"]),
    ]
    with open(copy / "scores.csv", newline="") as file:
        kept = {(row["run"], row["task"], row["score"]): float(row["value"]) for row in csv.DictReader(file)}
    assert kept["B seed 1", "squad", "f1"] == pytest.approx(Run(SAMPLE / "qa-mcc-sc").metrics["squad"]["f1"])


def test_the_commands_of_report(kept, tmp_path, python):
    def command(*words: str):
        return subprocess.run([*python, "-m", "mtdnn_kit", "report", *words], capture_output=True, text=True, cwd=ROOT)

    done = command("tables", str(kept), "--data", "sample")
    assert done.returncode == 0 and done.stdout == "\n".join(report.report(kept, "sample")) + "\n"
    failed = command("keep", "parameters/ablations/demo.yaml", str(tmp_path), str(tmp_path / "into"))
    assert failed.returncode == 1 and "no run of parameters/ablations/demo.yaml is finished there" in failed.stderr
    assert "Traceback" not in failed.stderr


def test_a_report_says_what_each_threshold_was_tuned_on_where_one_was_not(copy):
    """Where all are tuned the table has no note."""
    assert "not tuned" not in "\n".join(report.report(copy, None))
    questions = keep.open_study(copy)[1]
    for name in ("a-seed-0", "a-seed-1"):
        file = copy / "runs" / name / "manifest.json"
        write_json(file, {**json.loads(file.read_text()), "held_out": {}})
        metrics, run = copy / "runs" / name / "metrics.json", name.replace("a-seed-", "A seed ")
        replies = [reply_at(q.row, q.replies[run], 0.0) for q in questions]
        scores = {key: 100 * sum(getattr(reply, key) for reply in replies) / len(replies) for key in ("em", "f1")}
        write_json(metrics, {"squad": {**json.loads(metrics.read_text())["squad"], **scores, "threshold": 0.0}})
    scores = "\n".join(report.report(copy, None)).split("## Scores\n")[1].split("\n##")[0].strip().splitlines()
    at = [cell.strip() for cell in scores[0].split("|")].index("threshold")
    assert [line.split("|")[at].strip() for line in scores[2:4]] == ["0, not tuned", "tuned on 60 questions"]
