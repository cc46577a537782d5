"""Dependencies have one source and are pinned once, also for conda users."""

import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import version

import platforms
import pytest
import yaml
from conftest import ROOT
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
DIRECT = [
    Requirement(line)
    for line in PROJECT["project"]["dependencies"]
    + PROJECT["project"]["optional-dependencies"]["test"]
    + PROJECT["dependency-groups"]["encoder"]
]


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins() -> dict[str, str]:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    return {canonical(name): number for name, number in (line.split("==") for line in lines)}


@pytest.mark.parametrize("requirement", DIRECT, ids=lambda requirement: requirement.name)
def test_every_dependency_is_pinned_within_its_range_and_installed_at_its_pin(requirement):
    pin = pins()[canonical(requirement.name)]
    assert requirement.specifier.contains(pin)
    assert version(requirement.name).partition("+")[0] == pin, "the environment differs from constraints.txt: run `make env-test`"


def test_no_pin_is_specific_to_a_machine():
    assert not [pin for pin in pins().values() if "+" in pin or "@" in pin or "/" in pin]


def test_the_ranges_that_must_work_are_allowed():
    ranges = {requirement.name: requirement.specifier for requirement in DIRECT}
    assert all(ranges["torch"].contains(number) for number in ("2.11.0", "2.12.0", "2.13.0"))
    assert ranges["transformers"].contains("5.17.0") and SpecifierSet(PROJECT["project"]["requires-python"]).contains("3.11.0")


def test_conda_users_get_the_same_versions():
    """Python from conda within the project's range; everything else by pip from the same file, with the same constraints."""
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert set(environment) == {"name", "channels", "dependencies"}
    assert environment["name"] == PROJECT["project"]["name"] and environment["channels"] == ["conda-forge"]
    listed = environment["dependencies"]
    plain = dict(re.fullmatch(r"(\w+)([=<>]+.+)", line).groups() for line in listed if isinstance(line, str))
    assert set(plain) == {"python", "pip"} and re.fullmatch(r"=3\.\d+", plain["python"])
    assert SpecifierSet(PROJECT["project"]["requires-python"]).contains(plain["python"].removeprefix("="))
    assert SpecifierSet(plain["pip"]).contains(pins()["pip"])
    assert (ROOT / "constraints.txt").is_file()
    assert [line["pip"] for line in listed if isinstance(line, dict)] == [["-c constraints.txt", "-e .[test]"]]


def test_the_encoders_wheel_has_no_dependencies_among_the_pins():
    assert not any("sentence-transformers" in name for name in pins())


def test_ci_runs_the_tests():
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    assert (ROOT / ".ci" / "run").read_text().rstrip().endswith("make test")


INSTALLER = """#!{shell}
if [ "$1" = -c ]; then exec {python} "$@"; fi
if [ "$2" = venv ]; then mkdir -p .venv/bin && cp "$0" .venv/bin/python && exit; fi
if [ "$2" = compileall ]; then exit 1; fi
echo "$*" >> installed.txt
echo "WARNING: noise"; echo "WARNING: more noise" >&2
case "$*" in *{fails}*) echo "ERROR: no such version" >&2; exit 1;; esac
"""


def installed(folder, target: str, fails: str = "nothing") -> subprocess.CompletedProcess:
    """`make TARGET` in a folder with a fake Python that installs nothing, records its arguments and fails for one of them."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        if not (folder / name).exists():
            (folder / name).write_text((ROOT / name).read_text())
    fake = folder / "python"
    fake.write_text(INSTALLER.format(shell="/bin/sh", python=sys.executable, fails=fails))
    fake.chmod(0o755)
    command = ["make", "--no-print-directory", f"PYTHON={fake}", target]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def test_the_demos_environment_has_no_test_tool_and_installing_is_quiet(tmp_path):
    done = installed(tmp_path, "env")
    assert (done.returncode, done.stderr) == (0, "") and "WARNING" not in done.stdout and len(done.stdout.splitlines()) == 1
    asked = (tmp_path / "installed.txt").read_text().splitlines()
    assert [line.rpartition("--no-compile ")[2] for line in asked] == [
        "--upgrade pip setuptools",
        "--no-build-isolation -e .",
        "--no-deps --group encoder",
    ]
    assert all("install -q -c constraints.txt" in line for line in asked)
    assert (tmp_path / ".venv" / "ready").exists() and not (tmp_path / ".venv" / "test-ready").exists()
    done = installed(tmp_path, "env-test")
    assert done.returncode == 0 and "WARNING" not in done.stdout + done.stderr and (tmp_path / ".venv" / "test-ready").exists()
    assert "-c constraints.txt --no-compile --no-build-isolation -e .[test]" in (tmp_path / "installed.txt").read_text().splitlines()[-1]


def test_an_environment_that_no_longer_fits_is_made_again(tmp_path):
    """In a clone that was moved, after an interrupted installation of the test tools, and with a Python that is gone."""
    first = tmp_path / "first"
    first.mkdir()
    asked = first / "installed.txt"
    assert installed(first, "env-test").returncode == 0 and len(asked.read_text().splitlines()) == 4
    assert "Nothing to be done" in installed(first, "env-test").stdout and len(asked.read_text().splitlines()) == 4
    (first / ".venv" / "adding").touch()
    assert installed(first, "env-test").returncode == 0 and len(asked.read_text().splitlines()) == 8
    moved = first.rename(tmp_path / "moved")
    assert installed(moved, "env").returncode == 0 and len((moved / "installed.txt").read_text().splitlines()) == 11
    (moved / ".venv" / "bin" / "python").write_text("#!/nowhere/python\n")
    assert installed(moved, "env").returncode == 0 and len((moved / "installed.txt").read_text().splitlines()) == 14


@pytest.mark.parametrize("fails", ["setuptools", "-e", "encoder"])
def test_an_installation_that_fails_shows_the_error_and_leaves_no_stamp(tmp_path, fails):
    done = installed(tmp_path, "env", fails)
    assert done.returncode == 2 and "ERROR: no such version" in done.stderr and not (tmp_path / ".venv" / "ready").exists()


def test_each_target_makes_the_environment_it_needs():
    """{target: its environment}, from the Makefile."""
    needs = dict(re.findall(r"^([a-z-]+): (env(?:-test)?) ##", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {target for target, environment in needs.items() if environment == "env"} == {"demo", "study", "lab", "notebooks", "api"}
    assert {target for target, environment in needs.items() if environment == "env-test"} >= {"test", "quick", "soak", "faults", "bench"}


FAKE_UV = """#!/bin/sh
case "$*" in *"--python-version 3.14"*windows*) echo "torch==2.13.0 has no wheels" >&2; exit 1;; esac
case "$*" in *"--only-binary :all:"*"--extra test pyproject.toml --constraints constraints.txt"*) exit 0;; esac
exit 3
"""


def test_a_pin_that_is_missing_on_a_platform_is_reported_and_fails(tmp_path, monkeypatch, capsys):
    (tmp_path / "uv").write_text(FAKE_UV)
    (tmp_path / "uv").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(sys, "argv", ["platforms.py"])
    with pytest.raises(SystemExit, match="1"):
        platforms.main()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(platforms.PYTHONS) * len(platforms.PLATFORMS) and lines[0] == "resolved  Python 3.11, Linux x86-64"
    assert lines.pop() == "MISSING   Python 3.14, Windows: torch==2.13.0 has no wheels"
    assert all(line.startswith("resolved") for line in lines)


def test_the_page_names_the_pythons_and_platforms_that_are_checked():
    assert SpecifierSet(PROJECT["project"]["requires-python"]).contains(platforms.PYTHONS[0])
    assert PROJECT["project"]["requires-python"] == f">={platforms.PYTHONS[0]}"
    *some, last = platforms.PLATFORMS
    said = f"Python {platforms.PYTHONS[0]} to {platforms.PYTHONS[-1]} on {', '.join(some)} and {last}"
    assert said in " ".join((ROOT / "docs" / "start.md").read_text().split())
