"""The wheel and the source archive: built from the files in git; the wheel is used where there is no source."""

import json
import os
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
from conftest import ROOT
from packaging.requirements import Requirement

import mtdnn_kit

USE = """
import json, sys
from pathlib import Path
encoder, packages = sys.argv[1], Path(sys.argv[2])
import mtdnn_kit
from mtdnn_kit import Run, ask, from_params, prepare, train
from mtdnn_kit.studies.study import StudyError, read_study
from mtdnn_kit.studies.running import run_study

small = dict(encoder=encoder, batch_size=4, max_steps=20, max_length=96, overlap=10, precision="fp32", device="cpu", threads=1)
config = from_params(dict(small, run_dir="mine", tasks=["squad", "cola"], train_limit=120, eval_limit=20))
steps = len(prepare(config).schedule)
run = train(config)
again = Run("mine")
answer = ask(again, "What gives cork?", "Cork is the bark of an oak.")
Path("base.yaml").write_text("max_steps: 2\\n")
Path("study.yaml").write_text("base: base.yaml\\nvariants: {a: {}}\\n")
try:
    run_study(read_study("study.yaml"))
except StudyError as error:
    refused = str(error)
ours = [m.__file__ for name, m in sys.modules.items() if name.split(".")[0] == "mtdnn_kit" and hasattr(m, "__file__")]
print(json.dumps({
    "version": mtdnn_kit.__version__, "steps": steps, "logged": len(again.log()), "finished": again.finished, "path": str(again.path),
    "metrics": again.metrics, "shown": again._repr_html_(), "answers": len(answer), "refused": refused,
    "elsewhere": [file for file in ours if not Path(file).is_relative_to(packages)], "left": sorted(x.name for x in Path().iterdir()),
}))
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> dict[str, Path]:
    """{"whl", "gz": file}, built by `python -m build` from a clean copy: the archive, and from it the wheel."""
    source, made = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for name in sorted(tracked()):
        if (ROOT / name).is_file() and not name.startswith(("results/", "docs/", "tests/browser/")):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", made, source]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return {path.suffix.removeprefix("."): path for path in made.iterdir()}


def tracked(*under: str) -> set[str]:
    """Files in git, or not ignored by it, below some folders."""
    command = ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-co", "--exclude-standard", "--", *under]
    return set(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines())


def test_the_wheel_contains_only_the_module_and_its_sample(built):
    names = {name for name in zipfile.ZipFile(built["whl"]).namelist() if ".dist-info/" not in name}
    assert names == {name for name in tracked("mtdnn_kit") if (ROOT / name).is_file()}
    wanted = ("py.typed", "data/sample/squad/train.jsonl", "inference/model_card.md", "explorer/answers.html", "explorer/widgets.py")
    wanted += ("explorer/front/main.js", "explorer/front/explorer.css")
    assert {f"mtdnn_kit/{name}" for name in wanted} <= names


def test_the_wheels_metadata(built):
    wheel, project = zipfile.ZipFile(built["whl"]), tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    inside = {name.split(".dist-info/")[1]: name for name in wheel.namelist() if ".dist-info/" in name}
    told = Parser().parsestr(wheel.read(inside["METADATA"]).decode())
    assert (told["Name"], told["Version"]) == ("mtdnn-kit", mtdnn_kit.__version__)
    assert told["Requires-Python"] == project["requires-python"] and told["License-Expression"] == "Apache-2.0"
    assert built["whl"].name == f"mtdnn_kit-{mtdnn_kit.__version__}-py3-none-any.whl" and "licenses/LICENSE" in inside
    needed = {requirement for requirement in map(Requirement, told.get_all("Requires-Dist")) if requirement.marker is None}
    assert needed == set(map(Requirement, project["dependencies"]))


def test_the_archive_contains_all_files_needed_to_build(built):
    with tarfile.open(built["gz"]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames() if archive.getmember(name).isfile()}
    assert {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", *tracked("mtdnn_kit")} <= names
    assert not [name for name in names if name.split("/")[0] in ("notebooks", "results", "tests", "benchmarks", "parameters")]


def test_the_wheel_trains_without_the_source(built, tiny, tmp_path, python):
    packages, work = tmp_path / "packages", tmp_path / "work"
    work.mkdir()
    pip = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "-q", "--no-index", "--no-deps", "--target", packages]
    subprocess.run([*pip, built["whl"]], check=True, capture_output=True)
    environment = {**os.environ, "PYTHONPATH": str(packages), "MTDNN_CACHE": str(tmp_path / "cache")}
    command = [*python, "-c", USE, tiny, packages]
    done = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["elsewhere"] == [] and told["version"] == mtdnn_kit.__version__
    assert told["steps"] == told["logged"] == 20 and told["finished"] and told["path"] == str(work / "mine")
    assert told["metrics"]["squad"]["n"] == told["metrics"]["cola"]["n"] == 20 and told["answers"]
    assert "20 steps" in told["shown"] and "finished" in told["shown"]
    assert "notebooks/02_train.ipynb is not in" in told["refused"] and "a clone" in told["refused"]
    assert told["left"] == ["base.yaml", "mine", "study.yaml"]
