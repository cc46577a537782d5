"""A run's predictions and scores: the files match the metrics (design, "Run folder"; statement 8)."""

import gzip
import json

import numpy as np
import pytest
import scorer
import torch
from conftest import ROOT

from mtdnn_kit import DATASETS, ConfigError, RunError, ask, prepare, train
from mtdnn_kit.files.atomic import write_json
from mtdnn_kit.model import evaluation
from mtdnn_kit.model.evaluation import predict
from mtdnn_kit.model.multitask import load_model
from mtdnn_kit.runs import predictions
from mtdnn_kit.tasks import qa


@pytest.fixture
def trained(config):
    run = train(
        config(tasks=["squad", "swag", "cola"], max_steps=10, eval_limit=None, threshold_articles=["Glacier", "Cork"], qa_weight=0.6)
    )
    return run, prepare(config(tasks=["squad", "swag", "cola"], eval_limit=None, threshold_articles=["Glacier", "Cork"], qa_weight=0.6))


def records(name: str) -> list[dict]:
    return [json.loads(line) for line in (ROOT / "mtdnn_kit" / "data" / "sample" / name).read_text().splitlines()]


def test_8_a_second_implementation_scores_the_predictions_as_in_metrics(trained):
    run, _ = trained
    found = scorer.score(records("squad/validation.jsonl"), run.answers())
    assert {key: run.metrics["squad"][key] for key in ("em", "f1", "n")} == {key: pytest.approx(x, abs=1e-6) for key, x in found.items()}
    labels = [json.loads(line) for line in (run.path / "predictions" / "cola.jsonl").read_text().splitlines()]
    right = [said["label"] == row["label"] for said, row in zip(labels, records("cola/validation.jsonl"), strict=True)]
    assert run.metrics["cola"]["accuracy"] == pytest.approx(100 * np.mean(right), abs=1e-9) and labels[3]["id"] == 3


def test_the_answers_follow_from_the_n_best_file(trained):
    run, _ = trained
    threshold, answers = run.metrics["squad"]["threshold"], run.answers()
    contexts = {record["id"]: record["context"] for record in records("squad/validation.jsonl")}
    for entry in run.nbest():
        scores = [(-score, start, end) for start, end, score, _ in entry["nbest"]]
        assert scores == sorted(scores) and len({span[:2] for span in map(tuple, entry["nbest"])}) == len(scores) <= 20
        assert sum(p for *_, p in entry["nbest"]) + entry["nothing"] == pytest.approx(1, abs=1e-4)
        start, end, score, _ = entry["nbest"][0]
        assert answers[entry["id"]] == ("" if entry["null"] - score > threshold else contexts[entry["id"]][start:end])


def test_files_written_line_by_line_equal_files_written_at_once(trained, tmp_path):
    run, setup = trained
    model, _ = load_model(run.path / "model")
    features = setup.scored["squad"]
    answers, threshold = predict(model, "squad", features, setup.config, "fp32"), run.metrics["squad"]["threshold"]
    predictions.write_answers(tmp_path, "squad", features.rows, answers, threshold)
    write_json(tmp_path / "plain", {row.id: answers[i].text(row.context, threshold) for i, row in enumerate(features.rows)})
    assert (tmp_path / "squad.json").read_bytes() == (tmp_path / "plain").read_bytes()
    entries = [json.loads(line) for line in gzip.decompress((tmp_path / "squad_nbest.jsonl.gz").read_bytes()).decode().splitlines()]
    assert [entry["id"] for entry in entries] == [row.id for row in features.rows]
    for entry, answer in zip(entries, answers, strict=True):
        assert (entry["null"], entry["nothing"]) == (answer.null, round(answer.probabilities[-1], 6))
        assert entry["nbest"] == [[*span, round(p, 6)] for span, p in zip(answer.spans, answer.probabilities, strict=False)]
    first = (tmp_path / "squad_nbest.jsonl.gz").read_bytes()
    predictions.write_answers(tmp_path, "squad", features.rows, answers, threshold)
    assert (tmp_path / "squad_nbest.jsonl.gz").read_bytes() == first and first[4:8] == bytes(4), "gzip's header has no date"


def test_probabilities_are_the_same_in_blocks_and_one_by_one(trained, monkeypatch):
    run, setup = trained
    model, _ = load_model(run.path / "model")
    answers = predict(model, "squad", setup.scored["squad"], setup.config, "fp32")
    together = list(answers)
    monkeypatch.setattr("mtdnn_kit.tasks.answers.AT_ONCE", 3)
    assert list(answers) == together == [answers[i] for i in range(len(answers))]


def test_predictions_contain_no_text_but_the_answers(trained):
    run, _ = trained
    text = json.dumps(list(run.nbest())) + (run.path / "predictions" / "swag.jsonl").read_text()
    assert "Ethiopia" not in text and "kettle" not in text


def test_the_threshold_is_tuned_only_on_the_held_out_articles(trained):
    """Bit for bit: predicted again in the same batches by the same process."""
    run, setup = trained
    held = setup.held_out["squad"]
    assert {row.title for row in held.rows} == {"Glacier", "Cork"} and len(held.rows) == 12
    assert not {row.title for row in setup.train["squad"].rows} & {"Glacier", "Cork"}
    model, _ = load_model(run.path / "model")
    answers = predict(model, "squad", held, setup.config, "fp32")
    assert run.metrics["squad"]["threshold"] == qa.tune(held.rows, answers)


def test_each_qa_task_has_a_threshold_tuned_on_its_answers(config):
    again = {"again": {"type": "qa", "folder": "squad", "score": "validation", "columns": dict(DATASETS["squad"].columns)}}
    both = dict(tasks=["squad", "again"], define=again, threshold_articles=["Glacier", "Cork"], max_steps=4, qa_weight=0.5)
    run, setup = train(config(**both)), prepare(config(**both))
    model, _ = load_model(run.path / "model")
    found = {}
    for task in ("squad", "again"):
        held = setup.held_out[task]
        answers = predict(model, task, held, setup.config, "fp32")
        found[task] = qa.tune(held.rows, answers)
        assert run.metrics[task]["threshold"] == found[task]
        scored = predict(model, task, setup.scored[task], setup.config, "fp32")
        wanted = {row.id: answer.text(row.context, found[task]) for row, answer in zip(setup.scored[task].rows, scored, strict=True)}
        assert run.answers(task) == wanted
    assert found["squad"] != found["again"]


def test_threshold_articles_are_held_out_of_every_qa_task(config):
    again = {"again": {"type": "qa", "folder": "squad", "score": None, "columns": dict(DATASETS["squad"].columns)}}
    setup = prepare(config(tasks=["squad", "again"], define=again, threshold_articles=["Cork"]))
    assert all("Cork" not in {row.title for row in setup.train[task].rows} for task in ("squad", "again"))
    assert list(setup.held_out) == ["squad"] and len(setup.train["again"].rows) == 528
    with pytest.raises(
        ConfigError, match=r"threshold_articles: no training question of a scored task has the title 'Corck'. There are, e.g., Cork"
    ):
        prepare(config(threshold_articles=["Corck"]))


def test_threshold_articles_without_a_scored_task_are_refused(config):
    alone = {"alone": {"type": "qa", "folder": "squad", "score": None, "columns": dict(DATASETS["squad"].columns)}}
    with pytest.raises(ConfigError, match="threshold_articles: no training question of a scored task has the title 'Cork'"):
        prepare(config(tasks=["alone", "cola"], define=alone, threshold_articles=["Cork"]))


def test_an_unfinished_run_cannot_be_asked(config, tmp_path):
    run = train(config(tasks=["squad"], qa_weight=1.0, max_steps=1))
    (run.path / "manifest.json").write_text((run.path / "manifest.json").read_text().replace("finished", "running"))
    with pytest.raises(RunError, match="the run is not finished"):
        ask(run, "What?", "Cork.")


def test_without_threshold_articles_the_threshold_is_0(config):
    scores = train(config(tasks=["squad"], qa_weight=1.0, max_steps=2)).metrics["squad"]
    assert scores["threshold"] == 0 and scores["em"] == scores["em_at_0"]


def test_predictions_do_not_depend_on_the_batches_of_evaluation(trained, monkeypatch):
    run, setup = trained
    model, _ = load_model(run.path / "model")
    large = predict(model, "squad", setup.scored["squad"], setup.config, "fp32")
    monkeypatch.setattr(evaluation, "TOKENS", 1)
    single = predict(model, "squad", setup.scored["squad"], setup.config, "fp32")
    for a, b in zip(large, single, strict=True):
        assert a.null == pytest.approx(b.null, abs=1e-4) and a.spans[0].score == pytest.approx(b.spans[0].score, abs=1e-4)


def test_predict_restores_the_models_mode(trained):
    run, setup = trained
    model, _ = load_model(run.path / "model")
    model.train()
    predict(model, "cola", setup.scored["cola"], setup.config, "fp32")
    assert model.training and torch.is_grad_enabled()


def test_ask_answers_a_custom_question(trained):
    run, _ = trained
    passage = "Cork is the bark of an oak. " * 30
    text, answer = ask(run, "What is cork?", passage)
    assert text == answer.text(passage, run.metrics["squad"]["threshold"]) and len(answer.spans) == 20
    assert all(passage[s.start : s.end] for s in answer.spans)


def test_a_run_without_a_qa_task_cannot_be_asked(config):
    run = train(config(tasks=["cola"], qa_weight=1.0, max_steps=1))
    with pytest.raises(RunError, match=r": no task answers questions; its tasks are {'cola': 'sc'}"):
        ask(run, "What?", "Cork.")
