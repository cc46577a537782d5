"""An encoder's earlier training data: known by its name or weights, kept in the manifest, reported if it overlaps a run's tasks."""

import re
import shutil
from types import SimpleNamespace

import pytest
from conftest import ROOT, changed

from mtdnn_kit import Config, Run, train
from mtdnn_kit.config import DEFAULT_ENCODER, from_file
from mtdnn_kit.files.atomic import write_json
from mtdnn_kit.files.yaml_files import read_yaml, text_of
from mtdnn_kit.model.encoders import find_encoder
from mtdnn_kit.model.provenance import note, notes, overlap, trained_on

ALL = Config(tasks=["squad", "squad1", "swag", "cola", "mrpc", "mnli"]).datasets
KNOWN = read_yaml(text_of(ROOT / "mtdnn_kit/model/known_encoders.yaml"))


@pytest.mark.parametrize(
    ("encoder", "met"),
    [
        (DEFAULT_ENCODER, {"squad": ["SQuAD 2.0"], "squad1": ["SQuAD 2.0"], "mnli": ["MultiNLI"]}),
        ("google-bert/bert-base-cased", {}),
        ("bert-large-uncased", {}),
        ("FacebookAI/roberta-large-mnli", {"mnli": ["MultiNLI"]}),
        ("deepset/roberta-base-squad2", {"squad": ["SQuAD 2.0"], "squad1": ["SQuAD 2.0"]}),
        ("distilbert/distilbert-base-cased-distilled-squad", {"squad": ["SQuAD 1.1"], "squad1": ["SQuAD 1.1"]}),
        ("textattack/roberta-base-CoLA", {"cola": ["CoLA"]}),
        ("textattack/bert-base-uncased-MRPC", {"mrpc": ["MRPC"]}),
        ("someone/else", {}),
        (None, {}),
    ],
)
def test_tasks_whose_data_an_encoder_was_trained_on(encoder, met):
    assert overlap(encoder, ALL) == met
    assert encoder is None or overlap(trained_on(encoder), ALL) == met


def test_a_custom_task_is_known_by_its_folder_or_its_name_on_the_hub():
    columns = {"first": "premise", "second": "hypothesis", "label": "label"}
    nli = {"type": "sc", "columns": columns, "labels": ["a", "b", "c"]}
    define = {
        "noise": {**nli, "folder": "mnli", "permute_labels": True},
        "theirs": {**nli, "hub": "nyu-mll/multi_nli"},
        "glue": {**nli, "hub": "nyu-mll/glue", "hub_config": "mnli"},
        "rte": {**nli, "hub": "nyu-mll/glue", "hub_config": "rte"},
        "mine": {**nli, "folder": "mnli", "files": {"train": "a.csv", "validation": "b.csv"}},
    }
    made = Config(tasks=["squad", *define], define=define)
    assert overlap(["MultiNLI"], made.datasets) == {name: ["MultiNLI"] for name in ("noise", "theirs", "glue")}


def test_a_set_in_another_folder_is_not_the_data_of_its_task():
    """As `mtdnn score --data squad-ood` records it. The hub's rows of that task do count."""
    record = {"encoder": {"name": "x", "trained_on": ["SQuAD 2.0"]}}
    for data, met in (("squad-ood", "squad (SQuAD 2.0)"), ("hub", "squad (SQuAD 2.0), also (SQuAD 2.0)")):
        one = SimpleNamespace(
            manifest=record, parameters=Config(tasks=["squad"], qa_weight=1.0, scored_also={"also": {"task": "squad", "data": data}})
        )
        assert notes([one]) == [f"encoder: x was already trained on data of these tasks, according to its card: {met}"]


def test_the_registry_is_complete():
    """Each name once, each entry with a source; every encoder of the shipped parameter files is included."""
    names = [name for entry in KNOWN["encoders"] for name in entry["names"]]
    assert len(set(names)) == len(names) >= 40
    assert all(set(entry) == {"names", "trained_on", "source"} and entry["source"].startswith("https://") for entry in KNOWN["encoders"])
    said = {data for entry in KNOWN["encoders"] for data in entry["trained_on"]}
    assert set(KNOWN["data"]) <= said and all(re.fullmatch(r"[^\n]{3,60}", data) for data in said)
    shipped = {from_file(path).encoder for path in (ROOT / "parameters").glob("*.yaml")}
    assert len(shipped) >= 3 and all(trained_on(name) for name in shipped)


def test_a_copy_of_the_default_encoder_is_known_by_its_weights(tmp_path):
    shutil.copytree(find_encoder(DEFAULT_ENCODER).path, tmp_path / "copy")
    found = find_encoder(str(tmp_path / "copy"))
    assert found.record()["trained_on"] == trained_on(DEFAULT_ENCODER) and "MultiNLI" in found.record()["trained_on"]


def test_a_run_records_and_shows_the_overlap(config, capsys):
    run = train(config(tasks=["squad", "cola"], max_steps=1))
    assert run.manifest["encoder"]["trained_on"] is None
    assert note(run) == f"encoder: the earlier training data of {run.manifest['encoder']['name']} is unknown"
    record = {"name": DEFAULT_ENCODER, "trained_on": trained_on(DEFAULT_ENCODER)}
    write_json(run.path / "manifest.json", {**run.manifest, "encoder": record})
    said = f"encoder: {DEFAULT_ENCODER} was already trained on data of these tasks, according to its card: squad (SQuAD 2.0)"
    assert note(run) == said and f"<p>{said}</p>" in run._repr_html_()
    write_json(run.path / "manifest.json", {**run.manifest, "encoder": {"name": "bert-base-cased", "trained_on": ["English Wikipedia"]}})
    assert note(run) is None and "trained on" not in run._repr_html_()
    write_json(run.path / "manifest.json", {key: value for key, value in run.manifest.items() if key != "encoder"})
    assert note(run) is None
    write_json(run.path / "manifest.json", {**run.manifest, "encoder": {"name": "x", "trained_on": [3]}})
    with pytest.raises(ValueError, match=r"manifest.json: encoder: trained_on is \[3\], not a list of names, or null"):
        note(run)


def test_an_older_runs_encoder_is_known_by_its_name():
    run = Run(ROOT / "results/minilm-mixtures/runs/qa-mcc-sc-seed-0")
    assert "trained_on" not in run.manifest["encoder"]
    assert note(run).endswith("according to its card: squad (SQuAD 2.0), mnli (MultiNLI)")


def test_a_study_has_one_note_per_encoder_on_the_tasks_of_all_runs():
    runs = [Run(ROOT / "results/sample" / name) for name in ("qa", "qa-mcc", "qa-sc")]
    (said,) = notes(runs)
    assert said.startswith(f"encoder: {DEFAULT_ENCODER} was already trained") and said.endswith("squad (SQuAD 2.0), mnli (MultiNLI)")
    assert notes([]) == [] and notes(runs[:1]) == [note(runs[0])]


def test_a_run_that_starts_from_another_inherits_its_tasks(config, tmp_path):
    first = train(config(tasks=["squad", "cola"], max_steps=1))
    second = changed(config(tasks=["squad", "mrpc"], max_steps=1), init_from=str(first.path), run_dir=str(tmp_path / "second"))
    run = train(second)
    assert run.manifest["encoder"]["trained_on"] == ["not known", "squad", "cola"]
    assert note(run).endswith("by its card or an earlier run: squad (squad); the rest of its training data is unknown")
    third = train(changed(config(tasks=["swag"], qa_weight=1.0, max_steps=1), init_from=str(first.path), run_dir=str(tmp_path / "third")))
    assert note(third).startswith("encoder: a part of the earlier training data of ") and note(third).endswith(" is unknown")
