"""Failures of the hub: no reply, a stalled download, a reset connection, a busy server, a wrong file.

One process with the hub's real client and `datasets` meets all of them, with HF_ENDPOINT set to a local hub (`fakehub`) and a timeout of
one second. These tests check its result for each repository, and how often it requested each file.
"""

import hashlib
import io
import json
import os
import re
import subprocess
import sys
from collections import Counter

import numpy as np
import pyarrow
import pytest
from conftest import ROOT
from fakehub import FakeHub
from huggingface_hub import get_session
from pyarrow import parquet
from safetensors.numpy import save

from mtdnn_kit.data.hub import is_named_right, patience

OWNERS = ("good", "silent", "stalls", "resets", "busy", "wrong")
CLIENT = """
import json, sys
from mtdnn_kit.model.encoders import EncoderError, find_encoder
from mtdnn_kit.data.registry import Dataset
from mtdnn_kit.data.rows import DataError
from mtdnn_kit.data.sources import load

def said(name):
    try:
        if name.endswith("/model"):
            return find_encoder(name).record()
        dataset = Dataset("sc", {"first": "sentence", "label": "label"}, "mine", name, labels=("a", "b"))
        return [list(row) for row in load("mine", dataset, "train", "hub").rows]
    except (EncoderError, DataError) as error:
        return f"{type(error).__name__}: {error}"

print(json.dumps([said(name) for name in json.loads(sys.argv[1])]))
"""
ROWS = {"sentence": [f"It is {i} {'x' * (i % 7)}" for i in range(500)], "label": [i % 2 for i in range(500)]}


def table() -> bytes:
    """The rows as an uncompressed Parquet file, in which a flipped bit changes a letter."""
    made = io.BytesIO()
    parquet.write_table(pyarrow.table(ROWS), made, compression="none", use_dictionary=False)
    return made.getvalue()


@pytest.fixture(scope="module")
def told(tmp_path_factory) -> dict:
    """{repository: the result or error}; "asked": the requests to the hub."""
    weights = save({"weight": np.random.default_rng(0).random((300, 200))})
    model = {"config.json": b"{}", "tokenizer.json": b"{ }", "model.safetensors": weights}
    made = {f"models/{owner}/model": model for owner in OWNERS}
    made |= {f"datasets/{owner}/rows": {"README.md": b"#", "data/train-00000-of-00001.parquet": table()} for owner in OWNERS}
    names = [f"{owner}/{kind}" for owner in OWNERS for kind in ("model", "rows")] + [
        "wrong/rows",
        "good/scripted",
        "nobody/model",
        "nobody/rows",
    ]
    home = tmp_path_factory.mktemp("home")
    made["datasets/good/scripted"] = {"README.md": b"#", "scripted.py": f"open({str(home / 'TRAP')!r}, 'w')".encode()}
    with FakeHub(made) as hub:
        seconds = {"HF_HUB_DOWNLOAD_TIMEOUT": "1", "HF_HUB_ETAG_TIMEOUT": "1"}
        outside = ("HF_", "HUGGING_FACE_", "TRANSFORMERS_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")  # another hub, or none
        plain = {name: value for name, value in os.environ.items() if not name.upper().startswith(outside)}
        settled = {**plain, "HF_ENDPOINT": hub.url, "HF_HOME": str(home), "MTDNN_CACHE": str(home / "cache"), **seconds}
        command = [sys.executable, "-W", "ignore", "-c", CLIENT, json.dumps(names)]
        done = subprocess.run(command, cwd=ROOT, env=settled, capture_output=True, text=True, timeout=900)
        assert done.returncode == 0, done.stderr
        found = list(zip(names, json.loads(done.stdout.splitlines()[-1])))
        return {**dict(found), "all": found, "asked": list(hub.asked), "home": home, "model": model}


def test_a_hub_that_answers_gives_files_and_rows(told):
    sha = {name: hashlib.sha256(content).hexdigest() for name, content in told["model"].items()}
    record = {"name": "good/model", "origin": "hub", "sha256": sha.pop("model.safetensors"), "files": sha, "trained_on": None}
    assert told["good/model"] == record
    assert [row[1] for row in told["good/rows"]] == ROWS["sentence"]


@pytest.mark.parametrize("owner", ["silent", "stalls", "resets", "busy"])
def test_a_hub_that_does_not_answer_is_reported_with_a_remedy(told, owner):
    why = {
        "silent": "LocalEntryNotFoundError|timed out",
        "stalls": "no answer within 1 seconds, 2 times; HF_HUB_DOWNLOAD_TIMEOUT sets the seconds",
        "resets": "ReadError|Connection reset by peer",
        "busy": "it answers 429 Too Many Requests",
    }[owner]
    model, rows = told[f"{owner}/model"], told[f"{owner}/rows"]
    assert re.match(rf"EncoderError: encoder '{owner}/model' could not be fetched .*({why})\)\. Give a folder that holds", model)
    assert re.match(
        rf"DataError: hub {owner}/rows: the Hugging Face hub can't be reached \(.*({why})\) and no copy is cached. Either", rows
    )


def test_no_file_is_requested_a_third_time(told):
    """The client does not wait for a server that says to retry in an hour: otherwise the fixture's process would not have ended."""
    often = Counter(line for line in told["asked"] if "silent" in line or "stalls" in line or "busy" in line)
    assert max(often.values()) == 2 and {line for line, n in often.items() if n == 2} == {
        f"GET /stalls/model/resolve/{'c' * 40}/model.safetensors",
        f"GET /datasets/stalls/rows/resolve/{'c' * 40}/data/train-00000-of-00001.parquet",
    }


def test_a_file_with_a_wrong_hash_is_neither_used_nor_kept(told):
    assert "model.safetensors has a wrong sha256; it was damaged in transfer or on disk: delete " in told["wrong/model"]
    first, second = (said for name, said in told["all"] if name == "wrong/rows")
    for said in (first, second):  # the second attempt does not use a cached copy either
        assert said.startswith("DataError: hub wrong/rows: 1 of its files have a wrong sha256")
    parquet_file = f"GET /datasets/wrong/rows/resolve/{'c' * 40}/data/train-00000-of-00001.parquet"
    assert told["asked"].count(parquet_file) == 2


def test_code_of_the_hub_is_not_run(told):
    assert "Dataset scripts are no longer supported" in told["good/scripted"]
    assert not (told["home"] / "TRAP").exists()


def test_an_unknown_name_is_reported(told):
    assert "is neither a folder nor a model on the Hugging Face hub" in told["nobody/model"]
    assert "the hub has no such dataset" in told["nobody/rows"]


def test_the_hubs_client_is_restored_afterwards():
    before = get_session()
    with patience() as reach:
        patient = get_session()
        assert patient.event_hooks["request"] == [*before.event_hooks["request"], reach.asked] and type(patient) is type(before)
    assert get_session().event_hooks == before.event_hooks and get_session().timeout == before.timeout


@pytest.mark.parametrize("right", [True, False])
def test_a_file_shared_by_two_repositories_is_checked_by_its_sha256(tmp_path, right):
    """The client stores it once, under Xet's hash; the repository's blob (named by sha256) links to it, the snapshot's file to the blob."""
    content = b"weights"
    store, blob = tmp_path / "blobs" / "ab" / f"ab{'0' * 62}", tmp_path / "repo" / "blobs" / hashlib.sha256(content).hexdigest()
    snapshot = tmp_path / "repo" / "snapshots" / "c" / "model.safetensors"
    for file in (store, blob, snapshot):
        file.parent.mkdir(parents=True)
    store.write_bytes(content if right else content[1:])
    blob.symlink_to(os.path.relpath(store, blob.parent))
    snapshot.symlink_to(os.path.relpath(blob, snapshot.parent))
    assert is_named_right(snapshot) is is_named_right(blob) is right
