"""`scored_also`: further questions, scored at the end of a run by its first task's head at that task's threshold; the run is unchanged."""

import json
from collections import Counter
from pathlib import Path

import pytest
from conftest import changed

from mtdnn_kit import Config, ConfigError, train
from mtdnn_kit.compare.pairing import pair
from mtdnn_kit.explorer.answers_json import read, shared_tasks
from mtdnn_kit.inference.model_card import card
from mtdnn_kit.metrics import qa_scores
from mtdnn_kit.model.provenance import note
from mtdnn_kit.runs.predictions import diff_of, spans_of
from mtdnn_kit.studies.status import _sources


def depots(folder: Path, count: int = 12) -> dict:
    """Questions on other kinds of passages, every third without an answer; one file, with nothing to train on."""
    rows = []
    for i in range(count):
        context = f"Depot {i} lies at kilometre {i * 13}. Its crates came from Port {i + 40} by rail."
        answer = {"text": [f"Port {i + 40}"], "answer_start": [context.index("Port")]} if i % 3 else {"text": [], "answer_start": []}
        rows.append(
            {"id": f"d{i}", "title": f"Depot_{i}", "context": context, "question": "Where did the crates come from?", "answers": answer}
        )
    (folder / "depots.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {"files": {"validation": str(folder / "depots.jsonl")}}


@pytest.fixture(scope="module")
def two(tiny, tmp_path_factory):
    """The same run with and without a further set."""
    folder = tmp_path_factory.mktemp("further")
    small = dict(encoder=tiny, batch_size=4, max_steps=4, max_length=96, overlap=10, precision="fp32", device="cpu", threads=1)
    base = Config(tasks=["squad", "cola"], qa_weight=0.5, eval_limit=9, threshold_articles=["Cork"], run_dir=str(folder / "plain"), **small)
    more = {"depots": depots(folder), "sentences": {"task": "cola", "metrics": ["macro_f1"]}}
    return [train(one) for one in (base, changed(base, run_dir=str(folder / "also"), scored_also=more))]


def test_a_run_is_the_same_without_it(two):
    plain, also = two
    for name in ("model/model.safetensors", "predictions/squad.json", "predictions/cola.jsonl", "predictions/squad_nbest.jsonl.gz"):
        assert (plain.path / name).read_bytes() == (also.path / name).read_bytes()
    assert plain.metrics == {name: scores for name, scores in also.metrics.items() if name not in ("depots", "sentences")}
    assert list(also.metrics) == ["squad", "cola", "depots", "sentences"]
    assert list(also.metrics["sentences"]) == ["macro_f1", "n"] and "macro_f1" not in also.metrics["cola"], "its own scores"
    assert not [name for name in plain.manifest["data"] if "depots" in name] and "depots/train" not in also.manifest["data"]


def test_the_further_set_is_scored_at_the_main_tasks_threshold(two):
    run = two[1]
    scores, lines = run.metrics["depots"], {entry["id"]: entry for entry in run.nbest("depots")}
    assert scores["threshold"] == run.metrics["squad"]["threshold"] and (scores["n"], len(lines)) == (9, 9), "eval_limit applies to it"
    questions = pair({"r": run}, task="depots")
    for question in questions:
        entry = lines[question.row.id]
        start, end, _ = spans_of(entry)[0]
        said = "" if diff_of(entry) > scores["threshold"] else question.row.context[start:end]
        assert run.answers("depots")[question.row.id] == said == question.replies["r"].text
    found = qa_scores([run.answers("depots")[q.row.id] for q in questions], [[t for _, t in q.row.answers] or [""] for q in questions])
    assert (found["em"], found["f1"]) == (pytest.approx(scores["em"]), pytest.approx(scores["f1"]))


def test_its_rows_are_in_the_manifest_and_it_is_shown_separately(two, tmp_path):
    run = two[1]
    assert run.manifest["data"]["depots/validation"]["rows"] == 12
    assert shared_tasks({"r": run}) == ["squad", "depots", "cola", "sentences"] and len(read({"r": run}, "depots").items) == 9
    told = card(run, "squad")
    assert note(run) == note(two[0]), "the licence of custom files is unknown"
    assert "depots, scored at the threshold of squad; nothing of it was trained on:" in told and "| depots | |" in told
    assert "| depots/validation | 12 |" in told and "depots, scored" not in card(run, "cola")
    assert str(tmp_path.parent) not in told and "depots.jsonl" not in told.split("## How it was made")[1]
    run.keep(tmp_path / "kept")
    assert (tmp_path / "kept/predictions/depots_nbest.jsonl.gz").is_file()
    assert run._repr_html_().count(">depots<") == 1


def test_a_study_compares_its_rows(two):
    assert Counter(f"{name}/{split}" for name, split, *_ in _sources(two[1].parameters)) == Counter(list(two[1].manifest["data"]))


@pytest.mark.parametrize(
    ("further", "message"),
    [
        ({"d": {"type": "sc"}}, "^scored_also.d.type is 'sc'; without `task` it must be qa"),
        ({"d": {"train": "train"}}, "^scored_also.d.train: this set is not trained on: leave the key out"),
        ({"d": {"validation_ratio": 0.1}}, "^scored_also.d.validation_ratio: this set is not trained on"),
        ({"d": {"permute_labels": True}}, "^scored_also.d.permute_labels: this set is not trained on"),
        ({"d": {"score": None}}, "^scored_also.d.score: the set must have a scored split"),
        ({"d": {"files": {"train": "a.json"}}}, "^scored_also.d.files lacks 'validation': name its file.$"),
        ({"d": {"files": {"validation": "a.txt"}}}, "^scored_also.d.files.validation is 'a.txt'; its name must end in"),
        ({"d": {"colums": {}}}, "^scored_also.d.colums: no such key. Did you mean columns?"),
        ({"squad": {}}, "^scored_also: 'squad' is already a task of the kit: choose another name"),
        ({"mine": {}}, "^scored_also: 'mine' is also a task of `define`: choose another name"),
        ({"Mine": {}}, "differ only in upper and lower case"),
        ({"d_rest": {}}, "^scored_also: 'd_rest': names that end in _rest are reserved"),
        ({"a/b": {}}, "^scored_also: 'a/b': use only letters, digits, - and _"),
        ({"x" * 41: {}}, "^scored_also: .*at most 40 characters"),
        ({"d": []}, "^scored_also"),
    ],
)
def test_an_invalid_set_is_refused_with_its_key(further, message):
    with pytest.raises(ConfigError, match=message):
        Config(scored_also=further, define={"mine": {"type": "qa"}})


def test_without_a_question_answering_task_first_it_is_refused():
    with pytest.raises(
        ConfigError, match="^scored_also.d: without `task` the first task scores it, and 'cola' is not question answering: name the task"
    ):
        Config(tasks=["cola", "squad"], scored_also={"d": {}})


def test_a_missing_file_stops_the_run_before_its_first_step(config):
    with pytest.raises(ValueError, match="there is no such file"):
        train(config(tasks=["squad"], qa_weight=1.0, scored_also={"d": {"files": {"validation": "no/such.jsonl"}}}))
