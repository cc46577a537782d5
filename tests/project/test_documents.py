"""Checks of README and pages as text: size, links, code blocks, sources of figures. `test_commands` runs the commands."""

import importlib.util
import re
import subprocess
import tomllib
from dataclasses import fields

import manual
import pytest
import tagging  # the type that docs/task-types.md describes
import yaml
from conftest import ROOT
from manual import NOT_RUN, PAGES, README, RUN, TOLD, of_kind, said

import mtdnn_kit
from mtdnn_kit.__main__ import parser
from mtdnn_kit.config import Config
from mtdnn_kit.studies.study import read_study
from mtdnn_kit.studies.variants import StudyFile

TARGETS = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
INTERVAL = re.compile(r"[-+−]?\d+\.\d \[[-+−]?\d+\.\d, [-+−]?\d+\.\d\]")


def test_the_readme_is_short():
    lines = README.read_text().splitlines()
    assert len(lines) <= 120 and [line for line in lines if len(line) > 120] == []
    (block,) = of_kind(README, "python")
    assert len([line for line in block.splitlines() if line]) <= 6
    assert not re.search(r"\bp\s*[=<≤]\s*0", " ".join(lines)), "a p-value belongs to its study, not here"


@pytest.mark.parametrize("path", PAGES, ids=said)
def test_links_and_anchors_lead_somewhere(path):
    for link in manual.links(path):
        name, _, anchor = link.partition("#")
        there = (path.parent / name).resolve() if name else path
        assert there.exists(), link
        assert not anchor or anchor in manual.anchors(there), link


def test_the_readme_and_the_index_link_to_every_page():
    index = ROOT / "docs" / "README.md"
    led = {(index.parent / link.partition("#")[0]).resolve() for link in manual.links(index)}
    assert {*TOLD, ROOT / "CHANGELOG.md", ROOT / "CITATION.cff"} - led - {index} == set()
    led = {link.partition("#")[0] for link in manual.links(README)}
    assert {"docs/README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "CITATION.cff", "LICENSE"} <= led


def test_pages_that_the_code_names_exist():
    folders = ("mtdnn_kit", "tests", "notebooks", "parameters")
    files = [file for folder in folders for file in (ROOT / folder).rglob("*") if file.suffix in (".py", ".yaml", ".ipynb")]
    named = {name for file in files for name in re.findall(r"\bdocs/[\w-]+\.\w+", file.read_text(encoding="utf-8"))}
    assert len(named) > 5 and sorted(name for name in named if not (ROOT / name).exists()) == []


def test_pictures_are_small_and_described():
    for path in (ROOT / "docs" / "images").iterdir():
        assert path.suffix == ".png" and path.stat().st_size < 150_000
    for page in PAGES:
        text = page.read_text()
        assert all(re.search(r'alt="[^"]{20,}"', tag) for tag in re.findall(r"<img[^>]*>", text)) and "![](" not in text, page


@pytest.mark.parametrize("path", TOLD, ids=said)
def test_every_block_has_a_language_that_is_tested(path):
    allowed = {"", "python", "yaml", "toml"} | ({"bash"} if path.name == "cluster.md" else set())  # tests/studies/test_sharing.py
    assert {language for language, _ in manual.blocks(path)} <= allowed
    assert len(re.findall(r"^```", path.read_text(), re.MULTILINE)) == 2 * len(manual.blocks(path)), "a block is not closed, or is indented"


def test_every_command_is_run_or_listed_with_a_reason():
    told = {command for path in TOLD for command in manual.commands(path)}
    assert sorted(told - RUN.keys() - NOT_RUN.keys()) == [], "add it to RUN, or to NOT_RUN with the reason, in tests/manual.py"
    assert sorted({*RUN, *NOT_RUN} - told) == [], "no page contains these commands; remove them"
    for command in told:
        files = [word for word in command.split() if re.fullmatch(r"(parameters|notebooks|results)/[\w./-]+", word)]
        assert [file for file in files if not (ROOT / file).exists()] == [], command


@pytest.mark.parametrize("path", [*TOLD, *(ROOT / name / "README.md" for name in ("results", "results/question", "benchmarks"))], ids=said)
def test_commands_in_a_sentence_exist(path):
    text = path.read_text()
    verbs = next(action for action in parser()._actions if action.dest == "verb").choices
    assert [verb for verb in re.findall(r"\bmtdnn ([a-z]+)\b", "".join(re.findall(r"`[^`\n]+`", text))) if verb not in verbs] == []
    assert [target for target in re.findall(r"`make ([a-z-]+)", text) if target not in TARGETS] == []


@pytest.mark.parametrize("path", [path for path in PAGES if path.name != "CHANGELOG.md"], ids=said)
def test_files_that_a_sentence_names_exist(path):
    """`tests/….py` and the like by their full path; `test_….py` and `folder/file.py` in any folder."""
    here = {said(file) for folder in ("tests", "benchmarks", "mtdnn_kit", "docs") for file in (ROOT / folder).rglob("*.py")}
    for span in re.findall(r"`([^`\n]+)`", manual.prose(path)):
        for name in re.findall(r"(?:^|[\s(])((?:tests|benchmarks|parameters|notebooks|docs|mtdnn_kit)/[\w./-]+\.\w+)", span):
            assert (ROOT / name).exists(), name
        if re.fullmatch(r"(\w+/)?\w+\.py", span) and not span.startswith(("my", "mine")):
            assert any(f"/{name}".endswith(f"/{span}") for name in here), span


@pytest.mark.parametrize("path", TOLD, ids=said)
def test_a_block_that_names_its_file_is_in_that_file(path):
    for block, file in manual.python(path)[1].items():
        assert block.partition("\n")[2].strip() in (ROOT / file).read_text(), f"this is no longer in {file}:\n{block}"


@pytest.mark.parametrize("path", TOLD, ids=said)
def test_the_parameter_files_on_a_page_are_valid(path, tmp_path):
    assert all(tomllib.loads(block) for block in of_kind(path, "toml"))
    for number, block in enumerate(of_kind(path, "yaml")):
        content = yaml.safe_load(block)
        if set(content) & {key.name for key in fields(StudyFile)}:
            (tmp_path / f"{number}.yaml").write_text(block)
            assert read_study(tmp_path / f"{number}.yaml").configs(tmp_path)
        else:
            assert tagging.KIND and Config(**content).datasets


def test_the_page_of_the_interface_matches_the_sources():
    spec = importlib.util.spec_from_file_location("make_api", ROOT / "docs" / "make_api.py")
    make_api = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make_api)
    assert (ROOT / "docs" / "api.md").read_text() == make_api.page(), "run `make api`"


@pytest.mark.parametrize("path", [README, ROOT / "docs" / "findings.md", ROOT / "results" / "question" / "README.md"], ids=said)
def test_findings_match_the_report(path):
    """Each difference with its interval occurs in the printed tables, which tests/studies/test_results.py recomputes."""
    printed = "\n".join(file.read_text().replace("−", "-") for file in (ROOT / "results").glob("*/tables.md"))
    found = [one.replace("−", "-") for one in INTERVAL.findall(re.sub(r"\s+(points\s+)?\[", " [", path.read_text()))]
    assert found and [one for one in found if not re.search(rf"(?<![-\d.]){re.escape(one.lstrip('+'))}", printed)] == []


def test_one_table_has_every_key_of_a_study_file_and_its_default():
    rows = re.findall(r"^\| `(\w+)` \| .+ \| (.*) \|$", (ROOT / "docs/studies.md").read_text(), re.MULTILINE)
    assert sorted(key for key, _ in rows) == sorted(key.name for key in fields(StudyFile))
    told, known = dict(rows), {key.name: key.default for key in fields(StudyFile)}
    assert {key: told[key] for key in ("family", "cluster", "tune_by")} == {k: f"`{known[k]}`" for k in ("family", "cluster", "tune_by")}


def test_every_target_of_make_is_explained():
    told = subprocess.run(["make", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert {line.split()[1] for line in told.splitlines()} == set(TARGETS) and all(len(line.split()) > 3 for line in told.splitlines())
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[1].split()
    assert set(phony) == set(TARGETS)


def test_the_changelog_keeps_its_format_and_has_the_version():
    lines = (ROOT / "CHANGELOG.md").read_text().splitlines()
    versions = [line for line in lines if line.startswith("## ")]
    assert lines[0] == "# Changelog" and versions[0] == "## [Unreleased]"
    assert all(re.fullmatch(r"## \[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", line) for line in versions[1:])
    kinds = {line.removeprefix("### ") for line in lines if line.startswith("### ")}
    assert kinds and kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    released = [line.split("[")[1].partition("]")[0] for line in versions[1:]]
    assert mtdnn_kit.__version__ in released or f"To become {mtdnn_kit.__version__}" in "\n".join(lines)


def test_the_citation_is_valid_and_names_this_version():
    cited, project = yaml.safe_load((ROOT / "CITATION.cff").read_text()), tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    required = {"cff-version", "message", "title", "authors"}  # of the Citation File Format 1.2.0
    assert required <= set(cited) and cited["cff-version"] == "1.2.0" and cited["type"] in ("software", "dataset")
    assert cited["authors"] == [{"name": "The mtdnn-kit developers"}]
    assert (cited["title"], str(cited["version"]), cited["license"]) == (project["name"], mtdnn_kit.__version__, project["license"])
    (paper,) = cited["references"]
    assert {"type", "title", "authors"} <= set(paper) and paper["authors"] == [{"family-names": "He", "given-names": "George"}]
    assert paper["year"] == 2019 and paper["institution"] == {"name": "Stanford University"}
