"""Documents other than the README (test_readme): their code runs, their commands exist, their links lead somewhere; and what is cited.

A Python block is run, after those above it, in a folder with the project's parameters and kept runs. One that begins with a comment which
names a file of the project (`# tests/…`) is taken from there instead: it must stand in that file.
"""

import re
import shutil
import subprocess
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest
import tagging  # the type that docs/task-types.md is about
import yaml
from conftest import ROOT

import mtdnn_kit
from mtdnn_kit.config import Config
from mtdnn_kit.studies.study import read_study
from mtdnn_kit.studies.variants import StudyFile

DOCUMENTS = [ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
LINKED = [*DOCUMENTS, ROOT / "README.md", ROOT / "CHANGELOG.md"]
TARGETS = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
TWO = "-m mtdnn_kit train parameters/minilm.yaml --set run_dir=runs/two"
NOT_RUN = {
    f"accelerate launch --multi_gpu --num_processes 2 {TWO}": "needs two GPUs; tests/training/test_distributed.py launches two processes",
    f"torchrun --nproc_per_node 2 {TWO}": "needs the hub; tests/training/test_distributed.py launches two processes",
    "mtdnn rerun runs/demo/qa runs/again": "needs the demo; tests/inference/test_rerunning.py makes a run again",
    "mtdnn rerun results/minilm-mixtures/runs/qa-seed-0 runs/again --data my/data": "needs the data, and an hour",
    "git clone … && cd mtdnn-kit": "no address is known to the project",
    ".venv/bin/mtdnn score runs/demo/qa runs/demo/qa-mcc --data my/folder": "the reader's rows; tests/inference/test_scoring.py has some",
    ".venv/bin/mtdnn score runs/demo/qa --define my/sets.yaml --task squad": "the same",
    ".venv/bin/mtdnn study parameters/ablations/question.yaml": "takes a day on a GPU; tests/studies/test_sharing.py shares a small one",
    ".venv/bin/mtdnn merge runs/demo/qa runs/demo/qa-sc --method ties --weight 0.5 --weight 1 --run-dir runs/merged": "needs the demo; "
    "tests/inference/test_merging.py merges runs",
    ".venv/bin/mtdnn data my/tickets.csv": "a file of the reader's; tests/data/test_draft.py gives it files",
}
names = [path.relative_to(ROOT).as_posix() for path in DOCUMENTS]


def blocks(path: Path, kind: str) -> list[str]:
    """The code blocks of a document that have a language ("" for commands)."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", path.read_text(), re.DOTALL | re.MULTILINE)
    return [block for language, block in found if language == kind]


def split(some: list[str]) -> tuple[list[str], dict[str, str]]:
    """Blocks to run, and {block: the file that it is from}."""
    taken = {block: first[1] for block in some if (first := re.match(r"# (\S+\.py)\n", block)) and (ROOT / first[1]).is_file()}
    return [block for block in some if block not in taken], taken


@pytest.mark.parametrize("path", DOCUMENTS, ids=names)
def test_the_python_runs(path, tmp_path, python):
    run, taken = split(blocks(path, "python"))
    for block, file in taken.items():
        assert block.partition("\n")[2].strip() in (ROOT / file).read_text(), f"this no longer stands in {file}:\n{block}"
    if not run:
        return
    for name in ("parameters", "results/sample"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    done = subprocess.run([*python, "-c", "\n".join(run)], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize("path", DOCUMENTS, ids=names)
def test_the_parameter_files_are_right(path, tmp_path):
    for number, block in enumerate(blocks(path, "yaml")):
        content = yaml.safe_load(block)
        if set(content) & {key.name for key in fields(StudyFile)}:
            (tmp_path / f"{number}.yaml").write_text(block)
            assert read_study(tmp_path / f"{number}.yaml").configs(tmp_path)
        else:
            assert tagging.KIND and Config(**content).datasets


@pytest.mark.parametrize("path", DOCUMENTS, ids=names)
def test_the_commands_exist(path):
    for line in (line.split("  #")[0].strip() for block in blocks(path, "") for line in block.splitlines() if line.strip()):
        words = line.split()
        if words[0] == "make":
            assert words[1] in TARGETS, line
        elif line not in NOT_RUN:
            assert words[0].startswith((".venv/bin/", "pip")), f"{line}: run it in this test, or give the reason in NOT_RUN"
            files = [word for word in words if re.fullmatch(r"[\w./-]+\.(py|yaml|ipynb)", word)]
            assert files and all((ROOT / file).exists() for file in files), line
    for target in re.findall(r"`make ([a-z-]+)", path.read_text()):
        assert target in TARGETS, target


def test_one_table_has_every_key_of_a_study_file_and_what_it_is_otherwise():
    rows = re.findall(r"^\| `(\w+)` \| .+ \| (.*) \|$", (ROOT / "docs/studies.md").read_text(), re.MULTILINE)
    assert sorted(key for key, _ in rows) == sorted(key.name for key in fields(StudyFile))
    said, known = dict(rows), {key.name: key.default for key in fields(StudyFile)}
    assert {key: said[key] for key in ("family", "cluster", "tune_by")} == {k: f"`{known[k]}`" for k in ("family", "cluster", "tune_by")}


@pytest.mark.parametrize("path", LINKED, ids=[path.name for path in LINKED])
def test_links_lead_to_files(path):
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)]+)\)", path.read_text()) if "://" not in link]
    assert [link for link in links if link and not (path.parent / link).exists()] == []


def test_the_readme_leads_to_every_document():
    text = (ROOT / "README.md").read_text()
    assert [name for name in (*names, "CHANGELOG.md", "CITATION.cff") if f"]({name})" not in text] == []


def test_every_target_of_make_is_explained():
    told = subprocess.run(["make", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert {line.split()[1] for line in told.splitlines()} == set(TARGETS) and all(len(line.split()) > 3 for line in told.splitlines())
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[1].split()
    assert set(phony) == set(TARGETS)


def test_the_changelog_keeps_its_form_and_knows_the_version():
    lines = (ROOT / "CHANGELOG.md").read_text().splitlines()
    versions = [line for line in lines if line.startswith("## ")]
    assert lines[0] == "# Changelog" and versions[0] == "## [Unreleased]"
    assert all(re.fullmatch(r"## \[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", line) for line in versions[1:])
    kinds = {line.removeprefix("### ") for line in lines if line.startswith("### ")}
    assert kinds and kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    released = [line.split("[")[1].partition("]")[0] for line in versions[1:]]
    assert mtdnn_kit.__version__ in released or f"To become {mtdnn_kit.__version__}" in "\n".join(lines)


def test_the_citation_is_valid_and_of_this_version():
    cited, project = yaml.safe_load((ROOT / "CITATION.cff").read_text()), tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    required = {"cff-version", "message", "title", "authors"}  # of the Citation File Format 1.2.0
    assert required <= set(cited) and cited["cff-version"] == "1.2.0" and cited["type"] in ("software", "dataset")
    assert cited["authors"] == [{"name": "The mtdnn-kit developers"}]
    assert (cited["title"], str(cited["version"]), cited["license"]) == (project["name"], mtdnn_kit.__version__, project["license"])
    (paper,) = cited["references"]
    assert {"type", "title", "authors"} <= set(paper) and paper["authors"] == [{"family-names": "He", "given-names": "George"}]
    assert paper["year"] == 2019 and paper["institution"] == {"name": "Stanford University"}
