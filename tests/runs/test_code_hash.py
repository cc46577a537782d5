"""Which code a run depends on: an edit in these packages marks runs as outdated, an edit elsewhere does not."""

import json
import shutil

import pytest
from structure import PACKAGE, modules

from mtdnn_kit.config import Config
from mtdnn_kit.runs import code_hash
from mtdnn_kit.studies import status

COUNT = {"config", "sampler", "metrics", "data", "tasks", "model", "balance", "training"}
ROOMS = sorted({name.split(".")[0] for name in modules()})


@pytest.fixture
def kit(tmp_path, monkeypatch):
    """A copy of the package that the hash is computed from."""
    copy = tmp_path / "mtdnn_kit"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__", "sample"))
    monkeypatch.setattr(code_hash, "PACKAGE", copy)
    return copy


def test_the_packages_in_the_hash_are_those_of_the_design():
    assert {part.removesuffix(".py") for part in code_hash.COVERED} == COUNT < set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_an_edit_marks_runs_as_outdated_only_where_it_can_change_one(kit, room, tmp_path):
    notebook = tmp_path / "02_train.ipynb"
    notebook.write_text('{"cells": [{"cell_type": "code", "source": ["train(config)"]}]}')
    run = tmp_path / "run"
    run.mkdir()
    (run / "manifest.json").write_text(f'{{"status": "finished", "code": "{code_hash.code_hash()}", "data": {{}}}}')
    (run / "config.yaml").write_text(Config(run_dir=str(run)).to_yaml())
    before, recorded = code_hash.code_hash(), status.code(notebook)
    (run / status.RECORD).write_text(json.dumps({"code": recorded}))
    files = [kit / f"{room}.py"] if (kit / f"{room}.py").is_file() else sorted((kit / room).glob("*.py"))
    changed = []
    for file in files:
        text = file.read_bytes()
        file.write_bytes(text + b"\n# edited\n")
        now = status.code(notebook)
        assert (code_hash.code_hash() != before) == (room in COUNT), file.name
        changed.append(status.differing(recorded, now))
        asked = [said for said in status._code(status.Run(run), now) if said.startswith("code")]
        assert bool(asked) == (room in COUNT) and all(file.relative_to(kit).as_posix() in said for said in asked), (asked, file.name)
        file.write_bytes(text)
    assert changed == [[file.relative_to(kit).as_posix()] if room in COUNT else [] for file in files]


def test_a_files_path_and_name_are_in_the_hash(kit):
    before = code_hash.code_hash()
    (kit / "tasks" / "sc.py").rename(kit / "tasks" / "sc2.py")
    assert code_hash.code_hash() != before


def test_an_edit_of_a_figure_or_the_explorer_does_not_change_the_hash(kit):
    before = code_hash.code_files()
    for name in ("views/plots.py", "explorer/html.py", "studies/page.py", "compare/seeds.py"):
        (kit / name).write_text("")
    assert code_hash.code_files() == before
