"""What a study finds changed in a finished run: the rows of each split, each custom file, the encoder's weights."""

import json
import shutil
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from conftest import ROOT, changed
from safetensors.torch import load_file, save_file

from mtdnn_kit import Config
from mtdnn_kit.model.devices import describe, resolve_precision
from mtdnn_kit.model.encoders import find_encoder
from mtdnn_kit.runs.code_hash import code_hash
from mtdnn_kit.runs.environment import WATCHED_PACKAGES, default_threads, kit_version
from mtdnn_kit.studies import status
from mtdnn_kit.training.setup import read_rows

SAMPLE = ROOT / "mtdnn_kit" / "data" / "sample"
OWN = {"type": "sc", "columns": {"first": "sentence", "label": "label"}, "labels": ["no", "yes"], "score": "validation"}


@pytest.fixture
def run(tiny, tmp_path) -> Config:
    """The parameters of a finished run on copies of the sample; its folder has what a training would record."""
    for folder, splits in {
        "squad": ("train", "validation"),
        "mnli": ("train", "validation_matched"),
        "own": ("train", "validation"),
    }.items():
        (tmp_path / folder).mkdir()
        for split in splits:
            shutil.copyfile(SAMPLE / ("cola" if folder == "own" else folder) / f"{split}.jsonl", tmp_path / folder / f"{split}.jsonl")
    files = {split: str(tmp_path / "own" / f"{split}.jsonl") for split in ("train", "validation")}
    settings = dict(tasks=["squad", "mnli", "own"], define={"own": {**OWN, "files": files}}, threshold_articles=["Cork"])
    encoder = shutil.copytree(tiny, tmp_path / "encoder")
    config = Config(run_dir=str(tmp_path / "run"), data=str(tmp_path), encoder=str(encoder), device="cpu", **settings)
    return recorded(config)


def recorded(config: Config) -> Config:
    """Writes the manifest and parameters of a finished run."""
    encoder = find_encoder(status._encoder(config))
    manifest = {"status": "finished", "code": code_hash(), "encoder": encoder.record(), "data": read_rows(config)[1]}
    Path(config.run_dir).mkdir()
    Path(config.run_dir, "manifest.json").write_text(json.dumps(manifest))
    Path(config.run_dir, "config.yaml").write_text(config.to_yaml())
    return config


def recorded_as(config: Config, **changes) -> Config:
    """Changes parameters in the run's config.yaml."""
    Path(config.run_dir, "config.yaml").write_text(changed(config, **changes).to_yaml())
    return changed(config, **changes)


def said(config: Config) -> list[str]:
    found = status.standings({"it": config}, {})["it"]
    assert found.status == "done"
    return found.changed


def edit(file: Path, change) -> None:
    """Changes the last record of a file."""
    *lines, last = file.read_text().splitlines()
    file.write_text("\n".join([*lines, json.dumps(change(json.loads(last)))]) + "\n")


@pytest.mark.parametrize(
    ("split", "change"),
    [
        ("squad/train", lambda row: {**row, "answers": {"text": [row["context"][:7]], "answer_start": [0]}}),
        ("squad/validation", lambda row: {**row, "question": row["question"] + "?"}),
        ("squad/validation", lambda row: {**row, "answers": {"text": [row["context"][:5]], "answer_start": [0]}}),
        ("mnli/train", lambda row: {**row, "label": (row["label"] + 1) % 3}),
        ("mnli/validation_matched", lambda row: {**row, "label": (row["label"] + 1) % 3}),
        ("own/train", lambda row: {**row, "label": 1 - row["label"]}),
        ("own/validation", lambda row: {**row, "sentence": row["sentence"] + "!"}),
    ],
)
def test_only_the_split_whose_rows_changed_is_named(run, tmp_path, split, change):
    assert said(run) == []
    edit(tmp_path / f"{split}.jsonl", change)
    assert said(run) == [f"data: {split}"]


def test_threshold_articles_are_rows_of_the_training_split(run, tmp_path):
    """Questions held out to tune the threshold are checked like those trained on."""
    lines = (tmp_path / "squad" / "train.jsonl").read_text().splitlines()
    place = next(i for i, line in enumerate(lines) if json.loads(line)["title"] == "Cork")
    record = json.loads(lines[place])
    lines[place] = json.dumps({**record, "question": record["question"] + "?"})
    (tmp_path / "squad" / "train.jsonl").write_text("\n".join(lines) + "\n")
    assert said(run) == ["data: squad/train"]


def test_a_missing_file_is_named_with_the_reason(run, tmp_path):
    (tmp_path / "own" / "validation.jsonl").unlink()
    (found,) = said(run)
    assert found.startswith("data: own/validation (cannot be read: ") and "there is no such file" in found


def test_other_weights_of_the_encoder_are_named(run, tmp_path):
    file = tmp_path / "encoder" / "model.safetensors"
    tensors = load_file(file)
    save_file({name: x + 1 if name.endswith("LayerNorm.weight") else x for name, x in tensors.items()}, file, metadata={"format": "pt"})
    assert said(run) == [f"encoder: {tmp_path / 'encoder'} (weights)"]
    file.unlink()
    (found,) = said(run)
    assert found.startswith(f"encoder: {tmp_path / 'encoder'} (not available: ") and "*.safetensors" in found


def test_another_tokenizer_or_configuration_of_the_encoder_is_named(run, tmp_path):
    for name in ("tokenizer.json", "config.json"):
        file = tmp_path / "encoder" / name
        file.write_text(file.read_text() + "\n")
    assert said(run) == [f"encoder: {tmp_path / 'encoder'} (config.json, tokenizer.json)"]


def test_a_run_that_started_from_anothers_model_is_compared_with_that_model(run, tiny, tmp_path):
    shutil.copytree(tiny, tmp_path / "first" / "model")
    second = recorded(changed(run, init_from=str(tmp_path / "first"), run_dir=str(tmp_path / "second")))
    (tmp_path / "encoder" / "model.safetensors").unlink()
    assert said(second) == [], "the model is the first run's"
    file = tmp_path / "first" / "model" / "model.safetensors"
    save_file({name: x + 1 for name, x in load_file(file).items()}, file, metadata={"format": "pt"})
    assert said(second) == [f"encoder: {run.encoder} (weights)"]


def test_a_run_without_a_hash_of_its_encoder_is_not_compared(run, tmp_path):
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    del manifest["encoder"]
    (tmp_path / "run" / "manifest.json").write_text(json.dumps(manifest))
    assert said(run) == []


def keep(run: Config, **environment) -> None:
    """Writes this machine's environment into the run's manifest, with the given changes."""
    device = torch.device("cpu")
    here = {"device": "cpu", "processes": 1, "precision": resolve_precision("auto", device), "machine": describe(device)}
    here |= {"threads": default_threads(), "kit": kit_version(), "packages": {name: version(name) for name in WATCHED_PACKAGES}}
    file = Path(run.run_dir, "manifest.json")
    manifest = {**json.loads(file.read_text()), **here, **environment}
    file.write_text(json.dumps({key: value for key, value in manifest.items() if value is not None}))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({}, None),
        ({"packages": {"torch": "1.0", "transformers": version("transformers")}}, f"torch 1.0, now {version('torch')}"),
        ({"packages": {"torch": version("torch"), "transformers": "4.0"}}, f"transformers 4.0, now {version('transformers')}"),
        ({"packages": {"torch": version("torch"), "numpy": "1.0"}}, None),
        ({"kit": "0.1.0"}, f"mtdnn-kit 0.1.0, now {kit_version()}"),
        ({"threads": 97}, f"threads 97, now {default_threads()}"),
        ({"precision": "fp8"}, f"precision fp8, now {resolve_precision('auto', torch.device('cpu'))}"),
        ({"device": "cuda", "machine": "Card 9"}, "device cuda, now cpu"),
        ({"machine": "Abacus, 8 cores"}, f"processor Abacus, now {describe(torch.device('cpu')).rpartition(', ')[0]}"),
    ],
)
def test_another_environment_is_named(run, changes, named):
    keep(run, **changes)
    assert said(run) == ([f"environment: {named}"] if named else [])


def test_a_value_that_the_manifest_lacks_is_not_a_change(run):
    """As in a run made by an older version of the kit."""
    keep(run, kit=None, threads=None, machine=None, packages=None)
    assert said(run) == []


def test_for_runs_of_other_machines_only_the_versions_are_compared(run):
    keep(run, machine="Abacus, 8 cores", device="cuda", threads=97, kit="0.1.0")
    (found,) = status.standings({"it": run}, {}, elsewhere=True)["it"].changed
    assert found == f"environment: mtdnn-kit 0.1.0, now {kit_version()}"


def test_a_missing_gpu_is_another_device(run, monkeypatch):
    keep(run, device="cuda", machine="Card 9")
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    status._machine.cache_clear()
    (found,) = said(recorded_as(run, device="cuda"))
    assert found == "environment: device cuda, now no GPU"


def test_a_resumed_run_keeps_its_threads_and_explicit_threads_are_a_parameter(run, tmp_path):
    keep(run, threads=97)
    recorded_as(run, threads=97)
    assert said(run) == [f"environment: threads 97, now {default_threads()}"], "config.yaml has the threads of the run"
    assert said(changed(run, threads=97)) == []
    assert said(changed(run, threads=96)) == ["threads: 97, now 96"]
    recorded_as(run, threads=None)
    assert said(changed(run, threads=96)) == ["threads: 97, now 96"], "an older run has them only in its manifest"
    (tmp_path / "run" / "checkpoints" / "step-0000004").mkdir(parents=True)
    keep(run, threads=97, status="running", precision="fp8", kit="0.1.0")
    begun = status.standings({"it": run}, {})["it"]
    assert (begun.status, begun.changed) == ("begun", [f"environment: mtdnn-kit 0.1.0, now {kit_version()}"])


def test_the_rest_of_the_hubs_cut_split_is_checked_as_well():
    """All that `read_rows` loads: also the rest of the split after the cut, which is scored."""
    tasks = Config(tasks=["squad", "cola"], data="hub")
    assert [source[:3] for source in status._sources(tasks)] == [
        ("squad", "train", "hub"), ("squad", "validation", "hub"), ("squad_rest", "validation", "hub"),
        ("cola", "train", "hub"), ("cola", "validation", "hub"),
    ]  # fmt: skip
    assert [source[0] for source in status._sources(changed(tasks, data="sample"))] == ["squad", "squad", "cola", "cola"]


def test_the_rest_of_a_cut_split_is_loaded_as_the_rest(monkeypatch):
    asked = []
    monkeypatch.setattr(status, "load", lambda *of, **how: asked.append((of[0], of[2], how)) or type("Rows", (), {"fingerprint": "0"}))
    for source in status._sources(Config(tasks=["squad"], qa_weight=1.0, data="hub")):
        status._fingerprint(source)
    assert asked == [("squad", split, {"rest": rest}) for split, rest in (("train", False), ("validation", False), ("validation", True))]
