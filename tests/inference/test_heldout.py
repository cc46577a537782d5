"""Scores of runs on the threshold articles: exactly all questions of these, checked by a second scorer."""

import csv
import gzip
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import ROOT, THREADS
from scorer import score

from mtdnn_kit import train
from mtdnn_kit.errors import DataError, RunError
from mtdnn_kit.files.atomic import write_json
from mtdnn_kit.inference import heldout

ARTICLES = ["Sugar", "Flamingo"]


@pytest.fixture
def run(config):
    return train(config(tasks=["squad"], qa_weight=1.0, threshold_articles=ARTICLES))


def test_every_question_of_the_articles_is_scored_despite_the_runs_eval_limit(run, tmp_path):
    text = (ROOT / "mtdnn_kit/data/sample/squad/train.jsonl").read_text(encoding="utf-8")
    records = [row for row in map(json.loads, text.splitlines()) if row["title"] in ARTICLES]
    (one,) = heldout.held_out(run)
    found = one.scores()
    assert found["n"] == len(records) > 6 == run.parameters.eval_limit
    assert found["no_answer_baseline"] == pytest.approx(score(records, {row["id"]: "" for row in records})["f1"])

    heldout.write_spans(tmp_path / "spans.csv.gz", [one])
    with gzip.open(tmp_path / "spans.csv.gz", "rt", encoding="utf-8") as file:
        lines = {line["id"]: line for line in csv.DictReader(file)}
    contexts = {row["id"]: row["context"] for row in records}
    assert lines.keys() == contexts.keys()
    said = {key: contexts[key][int(line["start"]) : int(line["end"])] for key, line in lines.items()}
    able = [row for row in records if row["answers"]["text"]]
    again = score(able, said)
    assert (found["span_em"], found["span_f1"]) == (pytest.approx(again["em"]), pytest.approx(again["f1"]))
    answered = {key: said[key] if float(line["null − best"]) <= found["threshold"] else "" for key, line in lines.items()}
    again = score(records, answered)
    assert (found["em"], found["f1"]) == (pytest.approx(again["em"]), pytest.approx(again["f1"]))


def test_a_set_that_was_scored_later_and_is_gone_is_not_needed(run, tmp_path):
    (tmp_path / "gone" / "squad").mkdir(parents=True)
    rows = (ROOT / "mtdnn_kit/data/sample/squad/validation.jsonl").read_text(encoding="utf-8").splitlines()[:4]
    (tmp_path / "gone" / "squad" / "validation.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
    run.score(tmp_path / "gone")
    shutil.rmtree(tmp_path / "gone")
    (one,) = heldout.held_out(run)
    (row,) = heldout.table([one])
    assert row["questions"] == len(one.rows) > 6 and row["steps"] == str(run.manifest["steps"])
    write_json(run.path / "manifest.json", {key: value for key, value in run.manifest.items() if key != "steps"})
    assert heldout.table([one])[0]["steps"] == "", "an imported model has none"


def test_the_command_prints_one_row_per_run_and_writes_nothing(run, python):
    before = sorted(run.path.rglob("*"))
    done = command(python, run.path)
    found = heldout.held_out(run)[0].scores()
    head, _, row = ([cell.strip() for cell in line.split("|")[1:-1]] for line in done.stdout.splitlines())
    cells = dict(zip(head, row, strict=True))
    assert (cells["span F1"], cells["no-answer baseline"]) == (f"{found['span_f1']:.1f}", f"{found['no_answer_baseline']:.1f}")
    assert (cells["learning_rate"], cells["epochs"], cells["questions"]) == ("0.0006", "3", f"{found['n']:,}")
    assert sorted(run.path.rglob("*")) == before


def test_a_run_without_held_out_questions_and_a_missing_run_are_refused(trained, tmp_path, python):
    with pytest.raises(RunError, match="it held no questions out"):
        heldout.held_out(trained("distilbert"))
    done = command(python, tmp_path / "none")
    assert done.returncode == 1 and "none" in done.stderr and "Traceback" not in done.stderr


def test_changed_training_rows_are_refused(run):
    manifest = json.loads((run.path / "manifest.json").read_text())
    manifest["data"]["squad/train"]["fingerprint"] = "0" * 64
    (run.path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DataError, match="differ from those that .* had"):
        heldout.held_out(run)


def command(python: list[str], path: Path) -> subprocess.CompletedProcess:
    """Runs the command with this process's number of threads: results are then equal bit for bit."""
    settled = {**os.environ, "OMP_NUM_THREADS": str(THREADS)}
    return subprocess.run([*python, "-m", "mtdnn_kit", "heldout", str(path)], capture_output=True, text=True, cwd=ROOT, env=settled)
