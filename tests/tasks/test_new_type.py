"""A custom task type in one file, tests/tagging.py, is trained, scored, kept and read like the built-in three."""

import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import tagging
import torch
import yaml
from conftest import ROOT, changed
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForTokenClassification

from mtdnn_kit import Config, ConfigError, Run, prepare, tasks, train
from mtdnn_kit.compare.pairing import named
from mtdnn_kit.data import registry, rows, table
from mtdnn_kit.data.arrays import gathered
from mtdnn_kit.data.table import RowList, parts
from mtdnn_kit.explorer.answers_json import shared_tasks
from mtdnn_kit.inference.exporting import export, write_task
from mtdnn_kit.model.multitask import load_model
from mtdnn_kit.studies import status
from mtdnn_kit.views import overview

LABELS = ["other", "colour", "number"]
WORDS = {"other": ["box", "lamp", "rope"], "colour": ["red", "green", "blue"], "number": ["two", "seven", "nine"]}
DEFINE = {"type": "tagging", "columns": {"words": "tokens", "tags": "kinds"}, "labels": LABELS, "metrics": ["accuracy", "macro_f1"]}


@pytest.fixture
def tags(tmp_path):
    """Files of sentences whose words are colours, numbers and others: every second row has label names, the others label numbers."""
    rng, files = np.random.default_rng(0), {}
    for split, count in (("train", 120), ("validation", 30)):
        records = []
        for i in range(count):
            kinds = [LABELS[k] for k in rng.integers(3, size=rng.integers(2, 8))]
            words = [WORDS[kind][rng.integers(3)] for kind in kinds]
            records.append({"tokens": words, "kinds": kinds if i % 2 else [LABELS.index(kind) for kind in kinds]})
        files[split] = str(tmp_path / f"{split}.jsonl")
        (tmp_path / f"{split}.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return files


def test_it_is_trained_scored_kept_and_exported_like_the_others(config, tags, tmp_path):
    many = dict(tasks=["tags", "cola"], define={"tags": {**DEFINE, "files": tags}}, qa_weight=0.8, max_steps=20, eval_limit=None)
    run = train(config(**many, learning_rate=1e-2, encoder_dropout=0.0, head_dropout=0.0, batch_size=16))
    assert len(run.log()) == 20 and run.metrics["tags"]["n"] == 30
    assert run.metrics["tags"]["accuracy"] > 90 and run.metrics["tags"]["macro_f1"] > 90, "nine words of three kinds are easy to learn"
    said = [json.loads(line) for line in (run.path / "predictions" / "tags.jsonl").read_text().splitlines()]
    gold = [row.tags for row in prepare(config(**many)).scored["tags"].rows]
    right = [a == b for one, two in zip(said, gold, strict=True) for a, b in zip(one["tags"], two, strict=True)]
    assert run.metrics["tags"]["accuracy"] == pytest.approx(100 * np.mean(right), abs=1e-9)

    run.keep(tmp_path / "kept")
    assert (tmp_path / "kept" / "predictions" / "tags.jsonl").is_file() and Run(tmp_path / "kept").types == {
        "tags": "tagging",
        "cola": "sc",
    }
    assert named([run]).keys() == {"SC+TAGGING"} and shared_tasks({"a": run}) == ["cola"], "the explorer shows only tasks of known types"

    model, tokenizer = load_model(run.path / "model")
    (tmp_path / "exported").mkdir()
    write_task(model, tokenizer, "tags", tmp_path / "exported")
    alone = AutoModelForTokenClassification.from_pretrained(tmp_path / "exported").eval()
    inputs = tokenizer("seven red boxes", return_tensors="pt")
    with torch.inference_mode():
        assert torch.allclose(alone(**inputs).logits, model("tags", dict(inputs)), atol=1e-6)
    assert alone.config.id2label == dict(enumerate(LABELS))
    assert "The tagging head of tags on" in (export(run, "tags") / "README.md").read_text()


def test_notebook_01_shows_it(config, tags):
    setup = prepare(config(tasks=["tags"], define={"tags": {**DEFINE, "files": tags}}, qa_weight=1.0))
    assert overview.datasets_table(setup)[0]["answer"] == "other, colour, number" and overview.label_counts(setup) == {}
    assert overview.examples(setup, "tags", 1)[0].keys() == {"id", "words", "tags"}
    assert {row["oddity"] for row in overview.odd_rows(setup)} <= {"texts of another row", "scored and trained"}
    text = overview.back(setup, "tags", 0)["tokens say"]
    assert " ".join(setup.train["tags"].rows[0].words) in text and overview.tokens(setup, "tags")[0] == ("[CLS]", "special")


def test_cached_rows_and_features_depend_on_the_types_file(config, tags, monkeypatch, tmp_path):
    """An edit of the type's source file makes the kit rebuild rows and features."""
    c = config(tasks=["tags"], define={"tags": {**DEFINE, "files": tags}}, qa_weight=1.0, max_length=91)
    made, encode = [], tagging.encode
    monkeypatch.setattr(tagging, "encode", lambda *args, **settings: made.append(1) or encode(*args, **settings))
    prepare(c)
    prepare(c)
    assert len(made) == 2, "train and scored, once each"
    copy = tmp_path / "tagging.py"
    copy.write_text("# edited\n")
    monkeypatch.setattr(tagging, "__file__", str(copy))
    prepare(c)
    assert len(made) == 2, "what is imported is still the old file"
    tasks.register("tagging", tagging)  # as a new process does
    prepare(c)
    assert len(made) == 4, "and again"
    monkeypatch.undo()
    tasks.register("tagging", tagging)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"tokens": ["a"], "kinds": []}, "1 words and 0 tags"),
        ({"tokens": ["a"], "kinds": ["blue"]}, "each must be one of other, colour, number, or its number"),
        ({"tokens": ["a"], "kinds": [3]}, "each must be one of"),
        ({"tokens": "a", "kinds": [0]}, "column 'tokens' is 'a': it must be a list"),
        ({"kinds": [0]}, "column 'tokens' is missing; the columns are 'kinds'"),
    ],
)
def test_its_errors_name_file_and_row(config, tmp_path, record, message):
    file = tmp_path / "bad.jsonl"
    file.write_text(json.dumps({"tokens": ["b"], "kinds": [0]}) + "\n" + json.dumps(record) + "\n")
    with pytest.raises(rows.DataError, match=f"bad.jsonl, line 2: .*{message}"):
        prepare(config(tasks=["tags"], define={"tags": {**DEFINE, "files": {"train": str(file)}, "score": None}}, qa_weight=1.0))


def test_its_definition_is_checked_like_the_others():
    for change, message in (
        ({"columns": {"words": "a"}}, "^define.tags.columns lacks 'tags'"),
        ({"labels": []}, "^define.tags.labels must name at least two"),
        ({"metrics": ["f1"]}, r"^define.tags.metrics is \['f1'\]; it must be a list of accuracy, macro_f1"),
        (
            {"type": "taging"},
            "^define.tags.type is 'taging'; it must be one of qa, sc, mcc, .*tagging. .* the file that registers it is imported",
        ),
    ):
        with pytest.raises(ConfigError, match=message):
            Config(define={"tags": {**DEFINE, **change}})


def test_an_installed_packages_type_is_found_without_an_import(tmp_path, monkeypatch):
    """As in the processes of a study: only the package's entry point is available, in the group that the page names."""
    assert '`[project.entry-points."mtdnn_kit.tasks"]`' in (ROOT / "docs" / "task-types.md").read_text()
    source = Path(tagging.__file__).read_text()
    (tmp_path / "installed_type.py").write_text(source.replace('tasks.register("tagging"', 'tasks.register("installed"'))
    info = tmp_path / "installed_type-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: installed_type\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[mtdnn_kit.tasks]\ninstalled = installed_type\n")
    with pytest.raises(ConfigError, match="^define.tags.type is 'installed'"):
        Config(define={"tags": {**DEFINE, "type": "installed"}})
    monkeypatch.syspath_prepend(tmp_path)
    assert Config(tasks=["tags"], qa_weight=1.0, define={"tags": {**DEFINE, "type": "installed"}}).datasets["tags"].type == "installed"


def test_the_pages_parameter_file_is_valid():
    block = (ROOT / "docs" / "task-types.md").read_text().split("```yaml\n")[1].split("```")[0]
    found = Config(**yaml.safe_load(block)).datasets["ner"]
    assert (found.type, found.labels, found.metrics) == ("tagging", ("O", "PER", "LOC", "ORG"), ("accuracy", "macro_f1"))


def test_an_invalid_type_is_refused():
    with pytest.raises(ValueError, match="task type 'qa': it is built in"):
        tasks.register("qa", tagging)
    with pytest.raises(ValueError, match="task type 'a b': use letters, digits and _, and no digit first"):
        tasks.register("a b", tagging)
    with pytest.raises(ValueError, match="task type 'empty': empty has no HEAD"):
        tasks.register("empty", ModuleType("empty"))
    assert set(tasks.TYPES) == set(registry.KINDS) == set(rows.PARSERS) == set(table.ROWS)


VALUES = st.one_of(st.integers(-5, 5), st.text(st.characters(exclude_categories=["Cs"]), max_size=5), st.none(), st.booleans())
TAGGED = st.builds(tagging.Row, st.integers(0, 9), st.lists(VALUES, max_size=4).map(tuple), st.lists(VALUES, max_size=3).map(tuple))


@given(st.lists(TAGGED, min_size=1, max_size=6), st.data())
@settings(max_examples=40, deadline=None)
def test_rows_of_any_type_survive_a_round_trip(some, data):
    made = RowList("tagging", gathered(parts("tagging", some)))
    places = np.array(data.draw(st.lists(st.integers(0, len(some) - 1), unique=True)), int)
    assert list(made) == some and list(table.pick(made, places)) == [some[i] for i in places]
    assert list(table.column(made, "words")) == [row.words for row in some] and type(made[0]) is tagging.Row


def test_its_loss_is_the_mean_over_rows_of_the_mean_over_words(config, tags, tokenizer):
    some = [tagging.Row(0, ("red",), (1,)), tagging.Row(1, ("unbelievably", "two", "red"), (0, 2, 1))]
    made = tagging.features(some, None, tokenizer, changed(config(), max_length=96))
    batch = made.collate(np.array([0, 1]))
    assert [[t for t in row if t != tagging.NONE] for row in batch.targets.tolist()] == [[1], [0, 2, 1]]
    logits = torch.randn(*batch.targets.shape, 3)
    each = [[-logits[i].log_softmax(-1)[j, t] for j, t in enumerate(row) if t >= 0] for i, row in enumerate(batch.targets.tolist())]
    assert torch.isclose(tagging.loss(logits, batch.targets, None), sum(sum(x) / len(x) for x in each) / 2)


def test_words_beyond_max_length_count_as_wrong(tokenizer):
    some = [tagging.Row(0, ("red",) * 20, (1,) * 20)]
    made = tagging.features(some, None, tokenizer, Config(max_length=12))
    reader = tagging.Reader(made, None)
    reader.add(np.array([0]), np.tile([0.0, 5.0, 0.0], (1, 12, 1)))
    assert tagging.scores(some, reader.predictions(), ("accuracy",)) == {"accuracy": 50.0, "n": 1}


def test_a_study_and_a_resumed_run_notice_that_the_types_file_has_changed(config, tags, tmp_path, monkeypatch):
    made = config(tasks=["tags"], define={"tags": {**DEFINE, "files": tags}}, qa_weight=1.0, max_steps=2)
    run = train(made)
    assert run.manifest["plugins"]["type tagging"]["file"] == "tagging.py"
    assert status._plugins(run, made) == []
    manifest = run.path / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"finished"', '"running"'))
    monkeypatch.setitem(registry.REGISTERED, "tagging", {"file": "tagging.py", "sha256": "0"})
    assert status._plugins(run, made) == ["code: type tagging"]
    with pytest.raises(ConfigError, match="define: task type tagging has changed since the run in .* began; undo the change"):
        train(changed(made, resume=True))
