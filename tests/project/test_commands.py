"""Runs the shortened commands and Python of README and pages in a copy of the project. tests/manual.py lists what is not run, and why."""

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import manual
import pandas as pd
import pytest
from conftest import ROOT
from manual import IN_PLACE, README, RUN, TOLD, said

from mtdnn_kit.studies.study import read_study
from mtdnn_kit.views.tables import shown

pytestmark = pytest.mark.usefixtures("warm_kernels")
WITH_PYTHON = [path for path in TOLD if path != README and manual.python(path)[0]]
PRINTED = {  # page → what its Python prints, among other things
    "docs/is-a-difference-real.md": ("nothing is claimed beyond these two models", "'score': 'matthews'"),
    "docs/trained-models.md": ("runs/mine/export/squad\n", "Answered("),
    "docs/start.md": ("2 steps\n",),
}


@pytest.fixture(scope="module")
def copy(tmp_path_factory, tiny, python) -> Path:
    """The files that git does not ignore, this environment, and a demo study of two runs, each two steps of a small encoder."""
    folder = tmp_path_factory.mktemp("clone") / "project"
    names = subprocess.run(
        ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-co", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    if not (ROOT / ".venv" / "ready").exists():
        pytest.skip("the commands name .venv, which `make env` makes")
    for name in names.splitlines():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((ROOT / name).read_bytes())
            os.utime(folder / name, (0, 0))  # older than .venv/ready: make must not rebuild the environment
    environment(folder / ".venv", python)
    demo = folder / "parameters" / "demo.yaml"
    demo.write_text(demo.read_text() + f"encoder: {tiny}\nmax_steps: 2\neval_limit: 12\n")
    study = folder / "parameters" / "ablations" / "demo.yaml"
    study.write_text("".join(line for line in study.read_text().splitlines(True) if not line.startswith(("  QA+MCC:", "  QA+SC:"))))
    assert list(read_study(study).variants) == ["QA", "QA+MCC+SC"]
    for file in (demo, study):
        os.utime(file, (0, 0))
    return folder


def environment(folder: Path, python: list[str]) -> None:
    """This environment. Its python, papermill and mtdnn start with the libraries already imported."""
    (folder / "bin").mkdir(parents=True)
    started = {"python": "", "papermill": "-m papermill", "mtdnn": "-m mtdnn_kit"}
    for name, module in started.items():
        (folder / "bin" / name).write_text(f'#!/bin/sh\nexec {shlex.join(python)} {module} "$@"\n')
        (folder / "bin" / name).chmod(0o755)
    for file in (ROOT / ".venv" / "bin").iterdir():
        if file.name not in started:
            (folder / "bin" / file.name).symlink_to(file)
    (folder / "ready").write_text(f"{folder.parent.resolve()}\n")
    (folder / "test-ready").touch()


def run(command: str, folder: Path) -> None:
    done = subprocess.run(command, shell=True, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


def test_the_demos_table_matches_the_kept_runs():
    kept = pd.read_csv(ROOT / "results" / "sample" / "table.csv").astype(object)
    rows = [{key: None if pd.isna(value) else value for key, value in row.items()} for row in kept.to_dict("records")]
    columns = ("run", "EM", "F1", "span F1", "ΔF1", "paper F1", "paper ΔF1", "not shown to be learnt")
    start = (ROOT / "docs" / "start.md").read_text()
    for row in shown(rows):
        assert "| " + " | ".join(row[column] for column in columns) + " |" in start


def test_the_commands_run(copy):
    for command, more in RUN.items():
        run(f"{command} {more}", copy)
    assert {path.name for path in (copy / "runs").iterdir()} == {"other", "demo"}
    assert (copy / "runs" / "demo" / "table.csv").exists() and (copy / "runs" / "demo" / "study.html").exists()
    assert (copy / "runs" / "demo" / "qa" / "02_train.ipynb").exists()


@pytest.fixture(scope="module")
def trained(tmp_path_factory, python) -> Path:
    """A folder with parameters, kept runs and the run that the README's Python trains for two steps."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("parameters", "results/sample"):
        shutil.copytree(ROOT / name, folder / name)
    shutil.copytree(ROOT / "results" / "sample", folder / "runs" / "demo")
    shutil.copy(ROOT / "pyproject.toml", folder)
    with (folder / "parameters" / "demo.yaml").open("a") as demo:
        demo.write("max_steps: 2\neval_limit: 12\n")
    rows = map(json.loads, (ROOT / "mtdnn_kit/data/sample/squad/validation.jsonl").read_text().splitlines())
    (folder / "theirs").mkdir()
    (folder / "theirs" / "predictions.json").write_text(json.dumps({row["id"]: "" for row in rows}))
    assert "'f1': " in printed(python, folder, manual.python(README)[0])
    assert "mtdnn-explorer" in (folder / "answers.html").read_text()
    return folder


def printed(start: list[str], folder: Path, code: list[str]) -> str:
    """Runs blocks of Python in one process, in order; returns what they print."""
    done = subprocess.run([*start, "-c", "\n".join(code)], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.parametrize("path", WITH_PYTHON, ids=said)
def test_the_python_runs(path, trained, python):
    code = manual.python(path)[0]
    for there, here in IN_PLACE.get(said(path), {}).items():
        assert any(there in block for block in code), f"no longer on the page: {there}"
        code = [block.replace(there, here) for block in code]
    found = printed(python, trained, code)
    assert [text for text in PRINTED.get(said(path), ()) if text not in found] == [], found


def test_make_lab_serves_only_this_machine_with_a_token_and_the_kernel(copy):
    told = subprocess.run(["make", "-n", "--no-print-directory", "lab"], cwd=copy, capture_output=True, text=True, check=True).stdout
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [*shlex.split(told.strip().splitlines()[-1]), "--no-browser", f"--ServerApp.port={port}"]
    server = subprocess.Popen(command, cwd=copy, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    try:
        lines = iter(server.stderr.readline, "")
        token = next(
            found[0] for line in lines if (found := re.findall(rf"http://127\.0\.0\.1:{port}/lab/tree/notebooks\?token=(\w+)", line))
        )
        while not answers(port) and server.poll() is None:
            time.sleep(0.2)
        with pytest.raises(urllib.error.HTTPError, match="403") as refused:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/api/kernelspecs")
        refused.value.close()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/kernelspecs?token={token}") as reply:
            assert b'"python3"' in reply.read()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/contents?token={token}") as reply:
            served = {one["name"] for one in json.load(reply)["content"]}
            assert {"notebooks", "results", "README.md"} <= served, "the file browser starts in the project's folder"
    finally:
        server.terminate()
        server.wait()
        server.stderr.close()


def answers(port: int) -> bool:
    """Whether a process listens on this port."""
    with socket.socket() as trial:
        return trial.connect_ex(("127.0.0.1", port)) == 0
