"""Other people's predictions and models as run folders: scored by the official definition; mismatches are refused with the id."""

import json
import shutil
from pathlib import Path

import pytest
import scorer
import torch
import transformers
from conftest import ROOT
from ties import TIE, of_entry, plain_spans

from mtdnn_kit import Config, ConfigError, Run, RunError, ask, export, import_run, load, train
from mtdnn_kit.compare.pairing import named, pair
from mtdnn_kit.data.registry import ALWAYS
from mtdnn_kit.errors import CompareError, EncoderError
from mtdnn_kit.inference.exporting import write_task
from mtdnn_kit.model.multitask import load_model
from mtdnn_kit.runs.notes import threshold_notes, threshold_words

SMALL = dict(max_length=96, overlap=10, device="cpu", precision="fp32")


def records(split: str = "validation") -> list[dict]:
    return [json.loads(line) for line in (ROOT / "mtdnn_kit" / "data" / "sample" / "squad" / f"{split}.jsonl").read_text().splitlines()]


@pytest.fixture
def answers() -> dict[str, str]:
    """An answer to every scored question of the sample: right, wrong, none, or words that are not in the passage."""
    kinds = (lambda r: (r["answers"]["text"] or [""])[0], lambda r: r["context"][4:19], lambda r: "", lambda r: "no such words")
    return {r["id"]: kinds[i % 4](r) for i, r in enumerate(records())}


def put(folder: Path, content) -> Path:
    file = folder / "theirs.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return file


def test_a_predictions_file_becomes_a_run_that_can_be_scored_compared_and_read(tmp_path, answers, config):
    run = import_run(put(tmp_path, answers), tmp_path / "theirs")
    found = run.metrics["squad"]
    wanted = scorer.score(records(), answers)
    assert {key: found[key] for key in wanted} == pytest.approx(wanted)
    able, unable = ([r for r in records() if bool(r["answers"]["text"]) == kind] for kind in (True, False))
    assert found["has_answer_f1"] == pytest.approx(scorer.score(able, answers)["f1"])
    assert found["no_answer_accuracy"] == pytest.approx(scorer.score(unable, answers)["em"])
    assert "span_f1" not in found and "threshold" not in found, "scores that need more than the answers are absent"
    assert run.finished and run.answers() == answers and run.manifest["imported"]["name"] == "theirs.json"
    mine = train(config(tasks=["squad"], qa_weight=1.0, max_steps=1, eval_limit=None))
    questions = pair({"mine": mine, "theirs": run})
    for question in questions:
        reply = question.replies["theirs"]
        assert reply.text == answers[question.row.id] and (reply.start is None) == (
            reply.text not in question.row.context or not reply.text
        )
    assert sum(q.replies["theirs"].em for q in questions) == pytest.approx(found["em"] * len(questions) / 100)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda a: {**a, "q0": "x"}, r"theirs.json: id 'q0' does not belong to any question \(1 of 133 ids\)"),
        (lambda a: {k: v for k, v in a.items() if k != "compass-3"}, "theirs.json: id 'compass-3' has no prediction"),
        (lambda a: {**a, "compass-3": None}, "theirs.json: id 'compass-3': the answer is None; it must be text"),
        (
            lambda a: json.dumps(a)[:-1] + ', "compass-3": "again"}',
            "theirs.json: cannot be read .'compass-3' is given twice.; .*each id once",
        ),
        (lambda a: {**a, "compass-3": "\ud83d"}, "theirs.json: cannot be read .unpaired surrogate"),
        (lambda a: list(a), r"theirs.json: it holds a list; a predictions file must hold one JSON object, \{id: text\}"),
        (lambda a: "{", "theirs.json: cannot be read .Expecting property name"),
        (lambda a: "[" * 100_000, "theirs.json: cannot be read .lists or objects are nested too deeply"),
    ],
)
def test_mismatched_predictions_are_refused_with_the_id_and_leave_nothing(tmp_path, answers, edit, message):
    with pytest.raises(RunError, match=message):
        import_run(put(tmp_path, edit(answers)), tmp_path / "theirs")
    assert not (tmp_path / "theirs").exists()


def test_a_folder_that_holds_other_files_is_not_written(tmp_path, answers, config):
    """Neither by an import nor by a training: they would replace these files."""
    (tmp_path / "theirs" / "predictions").mkdir(parents=True)
    kept = {"predictions/dev.json": json.dumps(answers), "predictions/other.json": "{}", "config.yaml": "x: 1\n", "metrics.json": "{}"}
    for name, text in kept.items():
        (tmp_path / "theirs" / name).write_text(text)
    said = "^run_dir: .*theirs holds predictions, config.yaml, metrics.json, which a run would replace. Name a folder for this run only"
    with pytest.raises(ConfigError, match=said):
        import_run(tmp_path / "theirs/predictions/dev.json", tmp_path / "theirs")
    with pytest.raises(ConfigError, match=said):
        train(config(run_dir=str(tmp_path / "theirs")))
    found = {file.relative_to(tmp_path / "theirs").as_posix(): file.read_text() for file in (tmp_path / "theirs").rglob("*.*")}
    assert found == kept
    for impossible in (tmp_path / "theirs/config.yaml/run", "/dev/null/run"):
        with pytest.raises(ConfigError, match="^run_dir: .* cannot be made .Not a directory.; name another folder"):
            import_run(put(tmp_path, answers), impossible)


@pytest.mark.parametrize("name", ["theirs.json.gz", "theirs.jsonl", "theirs.txt"])
def test_a_predictions_file_with_another_ending_is_not_taken_for_a_model(tmp_path, name):
    (tmp_path / name).write_text("{}")
    with pytest.raises(RunError, match=f"source: {name}: a predictions file is JSON, .id: text., uncompressed and named .json; a model"):
        import_run(tmp_path / name, tmp_path / "run")


def test_invalid_arguments_are_refused(tmp_path, answers):
    file = put(tmp_path, answers)
    with pytest.raises(RunError, match=r"none\.json: cannot be read"):
        import_run(tmp_path / "none.json", tmp_path / "theirs")
    with pytest.raises(RunError, match="max_length: it applies to models only"):
        import_run(file, tmp_path / "theirs", max_length=96)
    with pytest.raises(ConfigError, match="^max_lenght: no such parameter. Did you mean max_length?"):
        import_run(file, tmp_path / "theirs", max_lenght=96)
    with pytest.raises(ConfigError, match="^tasks: no such parameter.* Name the task as `task`, and the model as `source`"):
        import_run(file, tmp_path / "theirs", tasks=["squad"])
    marked = tmp_path / "marked.json"
    marked.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert import_run(marked, tmp_path / "of windows").answers() == answers
    with pytest.raises(RunError, match="task: 'cola' has no scored questions"):
        import_run(file, tmp_path / "theirs", task="cola")
    import_run(file, tmp_path / "theirs")
    with pytest.raises(ConfigError, match="run_dir: .* holds a finished run"):
        import_run(file, tmp_path / "theirs")
    with pytest.raises(RunError, match="only texts of answers, which must not be kept"):
        Run(tmp_path / "theirs").keep(tmp_path / "kept")
    (tmp_path / "theirs" / "predictions" / "squad.json").write_text(json.dumps({**answers, "q0": ""}))
    with pytest.raises(CompareError, match="answers question 'q0' which is not one of the scored rows"):
        pair(named([tmp_path / "theirs"]))


@pytest.fixture
def exported(tmp_path, config) -> tuple[Run, Path]:
    """A run, and its question-answering model as transformers would have written it."""
    run = train(config(tasks=["squad"], qa_weight=1.0, eval_limit=None, threshold_articles=["Cork", "Tea"], run_dir=str(tmp_path / "mine")))
    write_task(*load_model(run.path / "model"), "squad", tmp_path / "model")
    return run, tmp_path / "model"


def test_7_and_13_an_exported_model_answers_like_its_run_and_like_a_plain_decoder(tmp_path, exported):
    """The plain decoder: transformers' model and windows, a double loop over all spans, the best of all windows. Scores are equal up to
    rounding, answers up to ties."""
    run, folder = exported
    theirs = import_run(folder, tmp_path / "theirs", threshold_articles=["Cork", "Tea"], **SMALL)
    for mine, other in zip(run.nbest(), theirs.nbest(), strict=True):
        assert mine["id"] == other["id"] and of_entry(mine).like(of_entry(other))
    model, tokenizer = (
        transformers.AutoModelForQuestionAnswering.from_pretrained(folder),
        transformers.AutoTokenizer.from_pretrained(folder),
    )
    plain = {r["id"]: plain_spans(model.eval(), tokenizer, r, max_length=96, overlap=10) for r in records()[:40]}
    for made in (run, theirs):
        threshold = made.metrics["squad"]["threshold"]
        replies = {q.row.id: q.replies["it"] for q in pair({"it": made})}
        for key, scored in plain.items():
            said = replies[key]
            assert said.diff == pytest.approx(scored.null - max(scored.spans.values()), abs=TIE)
            assert said.text == made.answers()[key] and scored.says(None if said.start is None else (said.start, said.end), threshold)
    assert ask(theirs, "What gives cork?", "Cork is the bark of an oak.")[1].spans


def test_an_export_is_imported_with_its_threshold_and_without_a_report(tmp_path, exported, capfd):
    """With no held-out questions, the threshold is the exported one, with the note on what it was tuned on."""
    run, bare = exported
    folder = export(run, "squad", tmp_path / "export")
    capfd.readouterr()
    theirs = import_run(folder, tmp_path / "theirs", **SMALL)
    assert "newly" not in (said := capfd.readouterr().err) and "REPORT" not in said and "UNEXPECTED" not in said
    assert theirs.metrics["squad"]["threshold"] == run.metrics["squad"]["threshold"] != 0
    assert theirs.manifest["held_out"] == run.manifest["held_out"] and threshold_notes(theirs) == threshold_notes(run)
    assert load(theirs).thresholds == load(run).thresholds and theirs.answers() == run.answers()
    again = export(theirs, "squad", tmp_path / "again")
    assert json.loads((again / "config.json").read_text())["mtdnn_kit"] == json.loads((folder / "config.json").read_text())["mtdnn_kit"]
    bare = import_run(bare, tmp_path / "bare", threshold_articles=[], **SMALL)
    assert bare.metrics["squad"]["threshold"] == 0 and bare.manifest["held_out"] == {}, "a model of transformers has none"
    own = import_run(folder, tmp_path / "own", threshold_articles=["Cork"], **SMALL)
    assert own.manifest["held_out"]["squad"]["questions"] != run.manifest["held_out"]["squad"]["questions"], "held-out questions win"


def test_a_task_without_unanswerable_questions_is_always_answered(tmp_path, exported):
    """Whatever threshold the model was exported with; and one that was exported to answer always does."""
    _, folder = exported
    config = json.loads((folder / "config.json").read_text())
    able = [row for row in records() if row["answers"]["text"]][:12]
    (tmp_path / "able.jsonl").write_text("".join(json.dumps(row) + "\n" for row in able), encoding="utf-8")
    define = {"able": {"type": "qa", "files": dict.fromkeys(("train", "validation"), str(tmp_path / "able.jsonl")), "unanswerable": False}}
    for kept in ({"threshold": -50.0}, {"threshold": ALWAYS}):
        (folder / "config.json").write_text(json.dumps({**config, "mtdnn_kit": kept}))
        run = import_run(folder, tmp_path / f"able {kept['threshold']:g}", task="able", define=define, **SMALL)
        assert "" not in run.answers("able").values() and load(run).thresholds == {"able": ALWAYS}
    run = import_run(folder, tmp_path / "squad", **SMALL)
    assert load(run).thresholds == {"squad": ALWAYS} and "" not in run.answers().values()
    assert threshold_words(run, "squad") == "always answers"
    assert threshold_notes(run) == ["squad: threshold: always answers, as the run that it was exported from"]


@pytest.mark.parametrize("kept", ["x", {"threshold": "1"}, {}, {"threshold": 1, "held_out": {"rule": "x"}}, {"threshold": None}, [1]])
def test_a_threshold_that_export_did_not_write_is_refused(tmp_path, exported, kept):
    _, folder = exported
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "mtdnn_kit": kept}))
    if kept == {}:
        assert len(import_run(folder, tmp_path / "theirs", **SMALL).manifest["held_out"]) == 1, "tuned on the sample's default articles"
        return
    with pytest.raises(EncoderError, match="mtdnn_kit in its config.json is .*, which export did not write; delete it there"):
        import_run(folder, tmp_path / "theirs", **SMALL)


def test_models_that_cannot_answer_are_refused(tmp_path, exported, tiny):
    _, folder = exported
    with pytest.raises(EncoderError, match=r"is not a question-answering model: its config.json names \['BertModel'\]"):
        import_run(tiny, tmp_path / "theirs", **SMALL)
    config = json.loads((folder / "config.json").read_text())
    other = shutil.copytree(folder, tmp_path / "other")
    (other / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}))
    with pytest.raises(EncoderError, match="its weights do not match its config.json"):
        import_run(other, tmp_path / "theirs", **SMALL)
    torch.save({}, other / "pytorch_model.bin")
    (other / "model.safetensors").unlink()
    with pytest.raises(EncoderError, match=r"must hold config.json and \*.safetensors"):
        import_run(other, tmp_path / "theirs", **SMALL)
    assert not (tmp_path / "theirs").exists()


def test_without_threshold_articles_training_rows_are_not_needed(tmp_path, exported):
    _, folder = exported
    data = tmp_path / "data" / "squad"
    data.mkdir(parents=True)
    shutil.copy(ROOT / "mtdnn_kit" / "data" / "sample" / "squad" / "validation.jsonl", data)
    run = import_run(folder, tmp_path / "theirs", data=str(tmp_path / "data"), eval_limit=5, **SMALL)
    assert run.metrics["squad"]["n"] == 5 and run.metrics["squad"]["threshold"] == 0
    assert list(run.manifest["data"]) == ["squad/validation"]


def test_an_official_file_for_the_whole_dev_set_scores_both_of_its_parts(tmp_path, monkeypatch):
    """The hub's dev set: the 6,078 questions of the CS224N split, and separately the other 5,795."""
    from official import official

    official(monkeypatch)
    whole = {**{f"q{i}": "the Alps" if i % 2 else "" for i in range(6078)}, **{f"o{i}": "Alps" for i in range(5795)}}
    run = import_run(put(tmp_path, whole), tmp_path / "whole", data="hub")
    assert (run.metrics["squad"]["n"], run.metrics["squad_rest"]["n"], run.metrics["squad_rest"]["em"]) == (6078, 5795, 100)
    assert [len(pair({"r": run}, task=task)) for task in ("squad", "squad_rest")] == [6078, 5795]
    part = import_run(put(tmp_path, {key: text for key, text in whole.items() if key[0] == "q"}), tmp_path / "part", data="hub")
    assert list(part.metrics) == ["squad"] and part.metrics["squad"] == run.metrics["squad"]
    with pytest.raises(RunError, match="id 'o7' has no prediction"):
        import_run(put(tmp_path, {key: text for key, text in whole.items() if key != "o7"}), tmp_path / "hole", data="hub")


def test_a_run_on_the_hubs_data_scores_both_parts_at_one_threshold(tmp_path, monkeypatch, config):
    from official import official

    official(monkeypatch)
    made = train(
        config(data="hub", tasks=["squad"], qa_weight=1.0, train_limit=8, max_steps=1, eval_limit=12, threshold_articles=["Rhine"])
    )
    assert {name: scores["n"] for name, scores in made.metrics.items()} == {"squad": 12, "squad_rest": 12}
    assert made.metrics["squad"]["threshold"] == made.metrics["squad_rest"]["threshold"]
    assert {"squad/validation", "squad_rest/validation"} <= set(made.manifest["data"])
    assert len(pair({"r": made}, task="squad_rest")) == 12 and Config(**made.config).tasks == ["squad"]
