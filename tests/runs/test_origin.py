"""The origin of a run: its commit, its command without paths and tokens, its packages, each time it was resumed."""

import subprocess
from importlib.metadata import version
from types import SimpleNamespace

import pytest
from conftest import ROOT
from packaging.requirements import Requirement

import mtdnn_kit
from mtdnn_kit.runs import origin
from mtdnn_kit.runs.origin import command, lock, made_with, origin_note, origin_table, repository, resumes

KIT = str(ROOT / "mtdnn_kit")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["/opt/x/bin/mtdnn", "train", "p.yaml", "--set", "max_steps=4"], "mtdnn train p.yaml --set max_steps=4"),
        (["mtdnn.exe", "--version"], "mtdnn --version"),
        ([f"{KIT}/__main__.py", "study", f"{ROOT}/parameters/demo.yaml"], "python -m mtdnn_kit study parameters/demo.yaml"),
        ([f"{KIT}/launch.py", "/srv/ada/a.yaml"], "python -m mtdnn_kit.launch a.yaml"),
        (["/x/ipykernel_launcher.py", "-f", "/root/k.json"], "in a notebook"),
        (["/home/ada/mine.py", "--folder=/home/ada/my runs/one"], "python mine.py --folder=one"),
        (
            ["mine.py", "define={a: {files: {train: '/srv/ada/a.csv'}}}"],
            """python mine.py 'define={a: {files: {train: '"'"'a.csv'"'"'}}}'""",
        ),
        (["mine.py", r"C:\Users\ada\x.yaml", r"data=D:\rows"], "python mine.py x.yaml data=rows"),
        (["mine.py", "encoder=https://ada:pass@host/x"], "python mine.py 'encoder=https://…@host/x'"),
        (["mine.py", "hf_abcdefghijkl", "my_token=abc", "0123456789abcdef0123456789abcdef"], "python mine.py '…' 'my_token=…' '…'"),
        (["mine.py", "/"], "python mine.py /"),
    ],
)
def test_a_command_is_kept_without_paths_of_the_machine_and_without_tokens(words, said):
    assert command(words) == said


def test_a_run_of_a_study_records_the_studys_command(monkeypatch):
    monkeypatch.setenv(origin.COMMAND, "mtdnn study demo.yaml")
    assert command() == "mtdnn study demo.yaml"


def run_git(folder, *words: str) -> None:
    who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True)


def test_a_commit_is_the_kits_or_the_projects_and_says_whether_a_file_has_changed(tmp_path, monkeypatch):
    project, kit = tmp_path / "project", tmp_path / "project" / ".venv" / "kit"
    kit.mkdir(parents=True)
    for file in (project / "pyproject.toml", kit / "__init__.py", project / ".gitignore"):
        file.write_text(".venv\n" if file.name == ".gitignore" else "\n")
    monkeypatch.setattr(origin, "PACKAGE", kit)
    monkeypatch.chdir(project)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    assert repository() is None and "git" not in made_with()
    run_git(project, "init", "-q")
    run_git(project, "add", ".")
    run_git(project, "commit", "-qm", "first")
    found = repository()
    assert (found["of"], found["clean"], len(found["commit"])) == ("project", True, 40), "an installed kit is not part of the project"
    (project / "scratch.txt").write_text("not known to git")
    assert repository() == found
    (project / "pyproject.toml").write_text("[project]\n")
    assert repository() == {**found, "clean": False}
    run_git(project, "add", "-f", ".venv/kit/__init__.py")
    run_git(project, "commit", "-qam", "second")
    assert repository()["of"] == "kit" and repository()["clean"] and repository()["commit"] != found["commit"]
    assert origin.version_line() == f"mtdnn-kit {mtdnn_kit.__version__} (commit {repository()['commit']}, clean)"
    monkeypatch.setattr(origin.subprocess, "run", lambda *_, **__: (_ for _ in ()).throw(FileNotFoundError("git")))
    assert repository() is None and origin.version_line() == f"mtdnn-kit {mtdnn_kit.__version__}"


def test_the_lock_can_be_read_by_pip():
    made = {"kit": "0.2.0", "git": {"commit": "c0ffee"}}
    head, *lines = lock(made).splitlines()
    assert head.startswith("# pip install --no-deps -r requirements.txt: all packages except mtdnn-kit 0.2.0, commit c0ffee, Python 3.")
    found = {requirement.name: str(requirement.specifier) for requirement in map(Requirement, lines)}
    assert found["torch"] == f"=={version('torch')}" and found["numpy"] == f"=={version('numpy')}" and "mtdnn-kit" not in found
    assert len(found) == len(lines) == made_with()["lock"]["packages"]
    assert [*found] == sorted(found, key=lambda name: name.lower().replace("_", "-"))
    assert not any("@" in line or "/" in line for line in lines), "no local path"


def test_packages_bundled_inside_another_package_are_not_listed(tmp_path, monkeypatch):
    for folder, name in {"site-packages": "installed", "thirdparty_files": "brought-along"}.items():
        (tmp_path / folder / f"{name}-1.0.dist-info").mkdir(parents=True)
        (tmp_path / folder / f"{name}-1.0.dist-info" / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    monkeypatch.setattr(origin.sys, "path", [str(tmp_path / "thirdparty_files"), str(tmp_path / "site-packages")])
    assert origin._installed.__wrapped__() == {"installed": "1.0"}


def test_each_resume_is_recorded_with_the_changes_in_the_environment(monkeypatch):
    monkeypatch.setattr(origin, "now", lambda: "2026-01-02T03:04:05+00:00")
    monkeypatch.setattr(origin.platform, "node", lambda: "abacus")
    one, two = {"device": "cpu", "packages": {"torch": "1.0"}}, {"device": "cpu", "packages": {"torch": "2.0"}, "kit": "0.2.0"}
    assert resumes({}, one, 0) == []
    assert resumes({**one, "code": "a"}, {**one, "code": "b"}, 4)[-1]["changed"] == ["code"], "a run made by two versions of the code"
    first = resumes(one, one, 4)
    assert first == [{"time": "2026-01-02T03:04:05+00:00", "host": "abacus", "after_step": 4, "changed": []}]
    (before, again) = resumes({**one, "resumes": first}, two, 8)
    assert before == first[0] and (again["after_step"], again["changed"]) == (8, ["torch 1.0, now 2.0"])


FULL = {
    "device": "cuda", "machine": "Card 9", "precision": "bf16", "threads": 4, "packages": {"torch": "2.13.0"}, "kit": "0.2.0",
    "git": {"of": "kit", "commit": "0123456789abcdef", "clean": False}, "os": "Linux-6", "command": "mtdnn train p.yaml",
    "lock": {"file": "requirements.txt", "packages": 3}, "peak_memory": {"process": 1_500_000_000, "device": 20_000_000_000},
    "energy_joules": 7200.0, "resumes": [{"time": "today", "host": "abacus", "after_step": 4}],
}  # fmt: skip


def test_a_table_shows_the_origin_of_runs_and_what_was_not_recorded():
    new, old = SimpleNamespace(manifest=FULL), SimpleNamespace(manifest={"device": "cpu", "machine": "Abacus, 2 cores", "threads": 1})
    mine, theirs = origin_table({"mine": new, "theirs": old})
    assert mine == {
        "run": "mine", "kit": "0.2.0", "commit": "0123456789ab, with changes", "on": "Card 9, bf16", "torch": "2.13.0", "system": "Linux-6",
        "packages": "3 (requirements.txt)", "peak memory": "process 1.50 GB, device 20.00 GB", "energy": "2.0 Wh (of the whole device)",
        "resumed": "today on abacus after step 4", "command": "mtdnn train p.yaml",
    }  # fmt: skip
    assert theirs == {**dict.fromkeys(mine, "not kept"), "run": "theirs", "on": "Abacus, 1 thread"}
    assert origin_table({"theirs": old}) == [{"run": "theirs", "kit": "not kept", "commit": "not kept", "on": "Abacus, 1 thread"}]
    assert origin_note(old) == "on Abacus, 1 thread" and origin_note(new).startswith("kit 0.2.0; commit 0123456789ab, with changes; on ")
    git = {"of": "project", "commit": "c0ffee", "clean": True}
    (clean,) = origin_table({"one": SimpleNamespace(manifest={**FULL, "git": git, "resumes": []})})
    assert clean["commit"] == "c0ffee (of the project)" and clean["resumed"] == "never"
