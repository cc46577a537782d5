"""The README's commands run, in a copy of the project, cut short; those that do not are listed here with the reason."""

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

import pandas as pd
import pytest
import yaml
from conftest import ROOT

from mtdnn_kit.config import Config
from mtdnn_kit.studies.study import read_study
from mtdnn_kit.views.tables import shown

pytestmark = pytest.mark.usefixtures("warm_kernels")
TEXT = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
COMMANDS = [line.split("  #")[0].strip() for kind, block in BLOCKS if not kind for line in block.splitlines() if line.strip()]
SHORT = "-p max_steps 2 -p eval_limit 3 -p train_limit 40"
RUN = {  # command → what is put behind it
    ".venv/bin/papermill notebooks/01_data.ipynb data.ipynb -f parameters/demo.yaml": "--log-level ERROR",
    ".venv/bin/papermill notebooks/02_train.ipynb train.ipynb -f parameters/demo.yaml -p run_dir runs/mine": SHORT,
    'make study STUDY=parameters/ablations/demo.yaml ARGS="--workers 2"': "",
    ".venv/bin/mtdnn study parameters/ablations/demo.yaml --dry-run": "",
    ".venv/bin/papermill notebooks/03_ablations.ipynb study.ipynb -p study parameters/ablations/demo.yaml": "",
    '.venv/bin/papermill notebooks/04_answers.ipynb answers.ipynb -y "runs: [runs/demo/qa, runs/demo/qa-mcc-sc]"': "",
}
NOT_RUN = {
    "make demo": "takes minutes; its parts are the notebooks (nbval), `make study` and papermill, which run here",
    "make test": "is what runs this",
    "make lab": "serves until it is stopped: test_make_lab starts it",
    ".venv/bin/papermill notebooks/02_train.ipynb base.ipynb -f parameters/bert-base.yaml -p run_dir runs/base": "needs the hub and a GPU",
    "make study STUDY=parameters/ablations/table-2.yaml": "needs the hub and a GPU; its parameters are checked in test_studies",
    "accelerate launch --multi_gpu --num_processes 2 -m mtdnn_kit train parameters/minilm.yaml --set run_dir=runs/two": "needs the "
    "hub and two GPUs; test_distributed gives the same command a small file",
}


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    """The project as git has it, with this environment, and a demo of two runs of two steps."""
    folder = tmp_path_factory.mktemp("clone") / "project"
    names = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    if not (ROOT / ".venv" / "ready").exists():
        pytest.skip("the commands name .venv, which `make env` makes")
    for name in names.splitlines():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((ROOT / name).read_bytes())
            os.utime(folder / name, (0, 0))  # older than .venv/ready: make must not make the environment anew
    (folder / ".venv").symlink_to(ROOT / ".venv")
    demo = folder / "parameters" / "demo.yaml"
    demo.write_text(demo.read_text() + "max_steps: 2\neval_limit: 12\n")
    study = folder / "parameters" / "ablations" / "demo.yaml"
    study.write_text("".join(line for line in study.read_text().splitlines(True) if not line.startswith(("  QA+MCC:", "  QA+SC:"))))
    assert list(read_study(study).variants) == ["QA", "QA+MCC+SC"]
    for file in (demo, study):
        os.utime(file, (0, 0))
    return folder


def run(command: str, folder: Path) -> None:
    done = subprocess.run(command, shell=True, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


def test_the_demos_table_is_that_of_the_kept_runs():
    kept = pd.read_csv(ROOT / "results" / "sample" / "table.csv").astype(object)
    rows = [{key: None if pd.isna(value) else value for key, value in row.items()} for row in kept.to_dict("records")]
    columns = ("run", "EM", "F1", "span F1", "ΔF1", "paper F1", "paper ΔF1", "not shown to be learnt")
    for row in shown(rows):
        assert "| " + " | ".join(row[column] for column in columns) + " |" in TEXT


def test_every_command_is_run_or_listed_with_the_reason():
    assert sorted(COMMANDS) == sorted([*RUN, *NOT_RUN])


def test_the_commands(copy):
    for command, more in RUN.items():
        run(f"{command} {more}", copy)
    assert {path.name for path in (copy / "runs").iterdir()} == {"mine", "demo"}
    assert (copy / "runs" / "demo" / "table.csv").exists() and (copy / "runs" / "demo" / "study.html").exists()
    assert (copy / "runs" / "demo" / "qa" / "02_train.ipynb").exists()


def printed(start: list[str], copy: Path, code: str) -> str:
    """Runs a block of Python, its last line printed; what it printed."""
    lines = code.splitlines()
    program = "\n".join([*lines[:-1], f"print({lines[-1]})"])
    return subprocess.run([*start, "-c", program], cwd=copy, capture_output=True, text=True, check=True).stdout


def test_the_python(copy, python):
    training, differing, exploring, importing, leaving = (block for kind, block in BLOCKS if kind == "python")
    assert 'run_dir="runs/other")' in training
    printed(python, copy, training.replace('run_dir="runs/other")', 'run_dir="runs/other", train_limit=40)'))
    of_answers = differing[: differing.index("own = ")]
    assert "nothing is claimed beyond these two models" in printed(python, copy, of_answers.strip())
    assert "'score': 'matthews'" in printed(python, copy, differing)
    page = printed(python, copy, exploring.replace("runs/demo/", "results/sample/").partition("  # a page")[0])
    assert page.strip() == str(copy / "answers.html") and "mtdnn-explorer" in (copy / "answers.html").read_text()
    code, hub = importing.strip().rsplit("\n", 1)
    assert hub.startswith('import_run("deepset/'), "needs the hub: an exported model stands in for it in test_imports"
    rows = map(json.loads, (copy / "mtdnn_kit/data/sample/squad/validation.jsonl").read_text().splitlines())
    (copy / "theirs").mkdir()
    (copy / "theirs" / "predictions.json").write_text(json.dumps({row["id"]: "" for row in rows}))
    assert "finished" in printed(python, copy, code.replace('data="my/folder"', 'data="sample"'))
    shutil.rmtree(copy / "runs" / "theirs")
    leaving = leaving.strip().replace("runs/demo/qa-mcc-sc", "runs/other")
    assert printed(python, copy, leaving).strip() == str(copy / "runs" / "other" / "export" / "squad")


def test_the_parameter_files(tmp_path):
    study, define = (block for kind, block in BLOCKS if kind == "yaml")
    assert list(Config(**yaml.safe_load(define)).datasets) == ["squad", "tickets", "exam", "manuals", "rte"]
    (tmp_path / "study.yaml").write_text(study)
    asked = read_study(tmp_path / "study.yaml")
    assert [(c.qa_weight, c.learning_rate, c.seed) for c in asked.configs(tmp_path).values()] == [
        (weight, rate, seed) for weight in (1.0, 0.8) for rate in (1e-4, 3e-4) for seed in (0, 1, 2)
    ]


def test_make_lab_serves_this_machine_alone_with_its_token_and_the_kernel(copy):
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
            assert {"notebooks", "results", "README.md"} <= served, "runs, exports and pages are a click away"
    finally:
        server.terminate()
        server.wait()
        server.stderr.close()


def answers(port: int) -> bool:
    """Whether somebody listens there."""
    with socket.socket() as trial:
        return trial.connect_ex(("127.0.0.1", port)) == 0


def test_the_files_that_it_links_to_are_there():
    links = [link for link in re.findall(r"\]\(([^)]+)\)", TEXT) if "://" not in link]
    assert links and [link for link in links if not (ROOT / link).exists()] == []
