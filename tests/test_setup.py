"""One place for dependencies, pinned once, the same for conda users."""

import os
import re
import tomllib
from importlib.metadata import version

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
def test_every_dependency_is_pinned_within_its_range_and_installed_so(requirement):
    pin = pins()[canonical(requirement.name)]
    assert requirement.specifier.contains(pin)
    assert version(requirement.name).partition("+")[0] == pin, "the environment is another than constraints.txt: run `make env`"


def test_no_pin_is_of_one_machine():
    assert not [pin for pin in pins().values() if "+" in pin or "@" in pin or "/" in pin]


def test_the_ranges_that_must_work_are_allowed():
    ranges = {requirement.name: requirement.specifier for requirement in DIRECT}
    assert all(ranges["torch"].contains(number) for number in ("2.11.0", "2.12.0", "2.13.0"))
    assert ranges["transformers"].contains("5.17.0") and SpecifierSet(PROJECT["project"]["requires-python"]).contains("3.11.0")


def test_conda_users_get_the_same():
    """Python from conda within the project's range; all else by pip from the same file, with the same constraints."""
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


def test_the_encoders_wheel_brings_nothing_along():
    assert not any("sentence-transformers" in name for name in pins())


def test_ci_runs_the_tests():
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    assert (ROOT / ".ci" / "run").read_text().rstrip().endswith("make test")
