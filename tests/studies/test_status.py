"""What a study sees of a finished run that is no longer as it was: each split's rows, each file of one's own, the encoder's weights."""

import json
import shutil
from pathlib import Path

import pytest
from conftest import ROOT, changed
from safetensors.torch import load_file, save_file

from mtdnn_kit import Config
from mtdnn_kit.model.encoders import find_encoder
from mtdnn_kit.runs.code_hash import code_hash
from mtdnn_kit.studies import status
from mtdnn_kit.training.setup import read_rows

SAMPLE = ROOT / "mtdnn_kit" / "data" / "sample"
OWN = {"type": "sc", "columns": {"first": "sentence", "label": "label"}, "labels": ["no", "yes"], "score": "validation"}


@pytest.fixture
def run(tiny, tmp_path) -> Config:
    """The parameters of a run on copies of the sample, whose folder says that it is finished: what a training of them would record."""
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
    """Writes what a finished run says of itself."""
    encoder = find_encoder(status._encoder(config))
    manifest = {"status": "finished", "code": code_hash(), "encoder": encoder.record(), "data": read_rows(config)[1]}
    Path(config.run_dir).mkdir()
    Path(config.run_dir, "manifest.json").write_text(json.dumps(manifest))
    Path(config.run_dir, "config.yaml").write_text(config.to_yaml())
    return config


def said(config: Config) -> list[str]:
    found = status.standings({"it": config}, {})["it"]
    assert found.status == "done"
    return found.changed


def edit(file: Path, change) -> None:
    """Changes the last record."""
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
def test_each_split_whose_rows_are_others_is_named_and_no_other(run, tmp_path, split, change):
    assert said(run) == []
    edit(tmp_path / f"{split}.jsonl", change)
    assert said(run) == [f"data: {split}"]


def test_threshold_articles_are_rows_of_the_training_split(run, tmp_path):
    """What is held out to tune the threshold is seen as what is trained on."""
    lines = (tmp_path / "squad" / "train.jsonl").read_text().splitlines()
    place = next(i for i, line in enumerate(lines) if json.loads(line)["title"] == "Cork")
    record = json.loads(lines[place])
    lines[place] = json.dumps({**record, "question": record["question"] + "?"})
    (tmp_path / "squad" / "train.jsonl").write_text("\n".join(lines) + "\n")
    assert said(run) == ["data: squad/train"]


def test_a_file_that_is_gone_is_named_with_why(run, tmp_path):
    (tmp_path / "own" / "validation.jsonl").unlink()
    (found,) = said(run)
    assert found.startswith("data: own/validation (cannot be read: ") and "there is no such file" in found


def test_other_weights_of_the_encoder_are_named(run, tmp_path):
    file = tmp_path / "encoder" / "model.safetensors"
    tensors = load_file(file)
    save_file({name: x + 1 if name.endswith("LayerNorm.weight") else x for name, x in tensors.items()}, file, metadata={"format": "pt"})
    assert said(run) == [f"encoder: {tmp_path / 'encoder'}"]
    file.unlink()
    (found,) = said(run)
    assert found.startswith(f"encoder: {tmp_path / 'encoder'} (cannot be had: ") and "*.safetensors" in found


def test_a_run_that_began_with_anothers_model_is_held_to_that_model(run, tiny, tmp_path):
    shutil.copytree(tiny, tmp_path / "first" / "model")
    second = recorded(changed(run, init_from=str(tmp_path / "first"), run_dir=str(tmp_path / "second")))
    (tmp_path / "encoder" / "model.safetensors").unlink()
    assert said(second) == [], "the model is the first run's"
    file = tmp_path / "first" / "model" / "model.safetensors"
    save_file({name: x + 1 for name, x in load_file(file).items()}, file, metadata={"format": "pt"})
    assert said(second) == [f"encoder: {run.encoder}"]


def test_a_run_that_kept_no_hash_of_its_encoder_has_none_to_compare(run, tmp_path):
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    del manifest["encoder"]
    (tmp_path / "run" / "manifest.json").write_text(json.dumps(manifest))
    assert said(run) == []


def test_of_the_hubs_cut_split_the_rest_is_looked_at_as_well():
    """All that `read_rows` loads: also what the cut leaves, which is scored."""
    tasks = Config(tasks=["squad", "cola"], data="hub")
    assert [source[:3] for source in status._sources(tasks)] == [
        ("squad", "train", "hub"), ("squad", "validation", "hub"), ("squad_rest", "validation", "hub"),
        ("cola", "train", "hub"), ("cola", "validation", "hub"),
    ]  # fmt: skip
    assert [source[0] for source in status._sources(changed(tasks, data="sample"))] == ["squad", "squad", "cola", "cola"]


def test_the_rest_of_a_cut_split_is_read_as_the_rest(monkeypatch):
    asked = []
    monkeypatch.setattr(status, "load", lambda *of, **how: asked.append((of[0], of[2], how)) or type("Rows", (), {"fingerprint": "0"}))
    for source in status._sources(Config(tasks=["squad"], qa_weight=1.0, data="hub")):
        status._fingerprint(source)
    assert asked == [("squad", split, {"rest": rest}) for split, rest in (("train", False), ("validation", False), ("validation", True))]
