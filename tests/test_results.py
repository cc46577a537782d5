"""The report of the studies: its tables again from the kept files and the rows, by a second scorer and by what the commands print."""

import csv
import gzip
import json
import re
from functools import cache
from pathlib import Path

import pytest
from conftest import ROOT
from scorer import score
from sklearn.metrics import average_precision_score

from mtdnn_kit import compare, differences, report

RESULTS = ROOT / "results"
MIXTURES, SEARCH = RESULTS / "minilm-mixtures", RESULTS / "minilm-search"
DIFF = "null − best"


@cache
def rows(path: Path) -> dict[str, dict]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return {row["id"]: row for row in map(json.loads, file)}


def lines_of(path: Path) -> list[dict]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def sections(text: str) -> dict[str, list[dict]]:
    """The tables of a text in Markdown by the heading before them, each a list of rows {column: cell}."""
    found, title = {}, ""
    for line in text.splitlines():
        if line.startswith("#"):
            title = line.lstrip("# ")
        elif line.startswith("|"):
            found.setdefault(title, []).append([re.sub(r"\\(.)", r"\1", cell.strip()) for cell in line.strip("|").split("|")])
    return {title: [dict(zip(cells[0], row, strict=True)) for row in cells[2:]] for title, cells in found.items()}


def scores(records: dict[str, dict], lines: list[tuple[str, str, str, float]], threshold: float) -> dict[str, float]:
    """From the id, start, end and null − best of each question: the second scorer's scores, and scikit-learn's average precision."""
    best = {key: records[key]["context"][int(start or 0) : int(end or 0)] for key, start, end, _ in lines}
    given = {key: best[key] if diff <= threshold else "" for key, *_, diff in lines}
    asked = [records[key] for key in best]
    able = [row for row in asked if row["answers"]["text"]]
    whole, spans = score(asked, given), score(able, best)
    precision = average_precision_score([not row["answers"]["text"] for row in asked], [diff for *_, diff in lines])
    return {"em": whole["em"], "f1": whole["f1"], "span_em": spans["em"], "span_f1": spans["f1"], "no_answer_ap": 100 * precision}


@pytest.fixture(scope="module")
def mixtures(real_data) -> dict[str, dict[str, float]]:
    """Every kept run's scores, by the second scorer, from the kept spans and the rows."""
    records, lines, found = rows(real_data / "squad/validation.jsonl.gz"), lines_of(MIXTURES / "spans.csv.gz"), {}
    assert {line["id"] for line in lines} == set(records)
    for name, folder in json.loads((MIXTURES / "runs.json").read_text()).items():
        metrics = json.loads((MIXTURES / folder / "metrics.json").read_text())["squad"]
        own = [(line["id"], line[f"{name}: start"], line[f"{name}: end"], float(line[f"{name}: {DIFF}"])) for line in lines]
        found[name] = scores(records, own, metrics["threshold"])
        assert found[name] == {key: pytest.approx(metrics[key]) for key in found[name]}, name
    return found


def test_the_scores_of_every_mixture_are_those_of_its_kept_answers(mixtures):
    table = sections((RESULTS / "README.md").read_text(encoding="utf-8"))["Scores"]
    trained = {row["run"]: row for row in table if row["seeds"]}
    settings = {}
    for name in mixtures:
        settings.setdefault(name.split(" seed ")[0], []).append(mixtures[name])
    assert list(trained) == list(settings)
    for name, own in settings.items():
        mean = {key: sum(one[key] for one in own) / len(own) for key in own[0]}
        row = trained[name]
        assert row["seeds"] == str(len(own))
        assert row["EM"].startswith(f"{mean['em']:.1f} [") and row["F1"].startswith(f"{mean['f1']:.1f} [")
        assert (row["span F1"], row["no-answer AP"]) == (f"{mean['span_f1']:.1f}", f"{mean['no_answer_ap']:.1f}")


def test_every_table_of_the_report_is_what_the_command_prints(mixtures, real_data):
    printed = "\n".join(report.report(MIXTURES, str(real_data)))
    assert printed == (MIXTURES / "tables.md").read_text(encoding="utf-8")
    whole, said = sections(printed), sections((RESULTS / "README.md").read_text(encoding="utf-8"))
    for title, table in said.items():
        if title in whole:
            assert all(row in whole[title] for row in table), title
    lists = [line for line in (RESULTS / "README.md").read_text(encoding="utf-8").splitlines() if line.startswith("- ")]
    assert lists and set(lists) <= set(printed.splitlines())
    assert {"Scores", "The other tasks", "Wrong bounds", "The paper's examples"} <= said.keys() & whole.keys()


def test_the_search_is_decided_by_its_kept_answers(real_data):
    records, lines = rows(real_data / "squad/train.jsonl.gz"), lines_of(SEARCH / "held-out.csv.gz")
    table = sections((RESULTS / "README.md").read_text(encoding="utf-8"))["The search"]
    assert [row["run"] for row in table] == list(dict.fromkeys(line["run"] for line in lines))
    held_out = {key for key, row in records.items() if row["title"] in ("Rhine", "Geology", "Oxygen", "Private_school")}
    for row in table:
        own = [(line["id"], line["start"], line["end"], float(line[DIFF])) for line in lines if line["run"] == row["run"]]
        assert {key for key, *_ in own} == held_out and len(own) == int(row["questions"].replace(",", ""))
        found = scores(records, own, 0.0)
        assert (row["span EM"], row["span F1"]) == (f"{found['span_em']:.1f}", f"{found['span_f1']:.1f}")
        assert row["no-answer AP"] == f"{found['no_answer_ap']:.1f}" and row["F1"] == f"{best_f1(records, own):.1f}"


def best_f1(records: dict[str, dict], lines: list[tuple[str, str, str, float]]) -> float:
    """The largest F1 that any threshold gives: questions answered one after the other, those of the least null − best first."""
    f1, most = sum(score([records[key]], {key: ""})["f1"] for key, *_ in lines), 0.0
    ordered = sorted(lines, key=lambda line: line[3])
    for place, (key, start, end, diff) in enumerate(ordered):
        span = records[key]["context"][int(start or 0) : int(end or 0)]
        f1 += score([records[key]], {key: span})["f1"] - score([records[key]], {key: ""})["f1"]
        if place + 1 == len(ordered) or ordered[place + 1][3] > diff:
            most = max(most, f1)
    return max(most, sum(score([records[key]], {key: ""})["f1"] for key, *_ in lines)) / len(lines)


def test_four_mixtures_open_beside_each_other_on_real_answers(real_data):
    folders = [MIXTURES / "runs" / f"{name}-seed-0" for name in ("qa", "qa-mcc", "qa-sc", "qa-mcc-sc")]
    runs = compare.named([str(folder) for folder in folders])
    questions = compare.pair(runs, str(real_data))
    assert len(questions) == 6078 and sum(file.stat().st_size for file in MIXTURES.rglob("squad_nbest.jsonl.gz")) < 2_000_000
    for name, run in runs.items():
        assert differences.value(questions, name, "F1") == pytest.approx(run.metrics["squad"]["f1"])
        assert differences.value(questions, name, "span F1") == pytest.approx(run.metrics["squad"]["span_f1"])
