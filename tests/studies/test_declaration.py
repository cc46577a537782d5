"""A declaration made before the runs is on the page, with every deviation; it cannot be made twice."""

import json
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import pytest

from mtdnn_kit.__main__ import main
from mtdnn_kit.errors import ConfigError, StudyError
from mtdnn_kit.studies.declaration import declare, notes
from mtdnn_kit.studies.study import read_study

STUDY = """# Does it help?
base: parameters/demo.yaml
variants:
  QA: {tasks: [squad], qa_weight: 1.0}
  QA+SC: {tasks: [squad, cola]}
seeds: [0, 1, 2]
judged_by: [span F1, no-answer AP]
smallest_effect: 0.5
"""


@pytest.fixture
def file(tmp_path):
    (tmp_path / "study.yaml").write_text(STUDY)
    return tmp_path / "study.yaml"


def runs(study, start: str = "2999-01-01T00:00:00+00:00", changes: dict | None = None) -> dict:
    configs = study.configs(Path("runs"), changes)
    return {name: SimpleNamespace(manifest={"start": start}, config=asdict(configs[name])) for name in study.runs}


def test_a_declaration_is_shown_with_its_time_and_without_deviations(file, tmp_path):
    study = read_study(file)
    declare(study, tmp_path / "runs")
    when = json.loads((tmp_path / "runs/declaration.json").read_text())["declared"]
    assert notes(study, tmp_path / "runs", runs(study)) == [
        f"Declared {when}: judged by span F1, no-answer AP, smallest effect 0.5 points, family: study, seeds 0, 1, 2.",
        "No deviation from it.",
    ]
    assert notes(study, tmp_path / "elsewhere", runs(study)) == ["Nothing was declared before the runs."]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[span F1, no-answer AP]", "[F1]", "the scores it is judged by changed, from ['span F1', 'no-answer AP'] to ['F1']"),
        ("smallest_effect: 0.5", "smallest_effect: 1.5", "the smallest effect changed, from 0.5 to 1.5"),
        ("smallest_effect: 0.5", "family: score", "the family changed, from study to score"),
        ("[0, 1, 2]", "[0, 1, 2, 3]", "the seeds changed, from [0, 1, 2] to [0, 1, 2, 3]"),
        ("QA+SC: {tasks", "QA+CoLA: {tasks", "the settings changed, from ['QA', 'QA+SC'] to ['QA', 'QA+CoLA']"),
        ("seeds:", "cluster: title\nseeds:", "the clusters changed, from passage to title"),
        ("parameters/demo.yaml", "parameters/minilm.yaml", "its base file changed"),
    ],
)
def test_each_change_of_the_file_is_a_deviation(file, tmp_path, old, new, said):
    declare(read_study(file), tmp_path / "runs")
    file.write_text(STUDY.replace(old, new))
    study = read_study(file)
    found = notes(study, tmp_path / "runs", runs(study))[1:]
    assert "the study's file changed, from " in found[0] and found[0].endswith("(sha256).")
    assert any(said in note for note in found)


def test_a_changed_comment_is_only_a_changed_file(file, tmp_path):
    declare(read_study(file), tmp_path / "runs")
    file.write_text(STUDY.replace("Does it help?", "Does it hurt?"))
    study = read_study(file)
    assert len(notes(study, tmp_path / "runs", runs(study))) == 2


def test_missing_runs_and_earlier_runs_are_deviations(file, tmp_path):
    study = read_study(file)
    declare(study, tmp_path / "runs")
    some = runs(study, "2020-01-01T00:00:00+00:00")
    del some["QA seed 2"]
    assert notes(study, tmp_path / "runs", some)[1:] == [
        "Deviation: 1 of 6 runs are not there: QA seed 2.",
        "Deviation: 5 runs had begun before the declaration: QA seed 0, QA seed 1, QA+SC seed 0, QA+SC seed 1, QA+SC seed 2.",
    ]


def test_undeclared_parameters_are_a_deviation_and_declared_ones_are_not(file, tmp_path):
    study = read_study(file)
    declare(study, tmp_path / "runs", {"learning_rate": 2e-3})
    as_declared = runs(study, changes={"learning_rate": 2e-3, "device": "cpu"})
    assert notes(study, tmp_path / "runs", as_declared)[1:] == ["No deviation from it."]
    (said,) = notes(study, tmp_path / "runs", runs(study, changes={"learning_rate": 2e-3, "encoder": "bert-base-cased"}))[1:]
    assert "QA seed 0 (encoder 'bert-base-cased')" in said
    (said,) = notes(study, tmp_path / "runs", runs(study, changes={"learning_rate": 0.02}))[1:]
    assert said.startswith("Deviation: 6 runs have other parameters than were declared: QA seed 0 (learning_rate 0.02)")


def test_a_kept_run_that_the_changed_file_no_longer_has_does_not_fail(file, tmp_path):
    declare(read_study(file), tmp_path / "runs")
    before = runs(read_study(file))
    file.write_text(STUDY.replace("[0, 1, 2]", "[0, 1]"))
    assert any("the seeds changed" in note for note in notes(read_study(file), tmp_path / "runs", before))


def test_runs_that_existed_at_the_declaration_are_named_even_if_they_are_made_again(file, tmp_path):
    study = read_study(file)
    (tmp_path / "runs/qa-seed-0").mkdir(parents=True)
    (tmp_path / "runs/qa-seed-0/manifest.json").write_text("{}")
    declare(study, tmp_path / "runs")
    assert notes(study, tmp_path / "runs", runs(study))[1:] == ["Deviation: 1 runs were there when it was declared: qa-seed-0."]


def test_an_invalid_study_is_not_declared(file, tmp_path):
    file.write_text(STUDY.replace("seeds:", "fixed: {nonsense: 3}\nseeds:"))
    with pytest.raises(ConfigError, match="nonsense"):
        declare(read_study(file), tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_it_is_declared_once_with_the_command(file, tmp_path, capsys):
    command = ["study", str(file), "--folder", str(tmp_path / "runs"), "--declare"]
    main(command)
    assert "declaration.json" in capsys.readouterr().out
    before = (tmp_path / "runs/declaration.json").read_bytes()
    with pytest.raises(SystemExit) as stopped:
        main(command)
    assert stopped.value.code == 1 and "would hide the first" in capsys.readouterr().err
    assert (tmp_path / "runs/declaration.json").read_bytes() == before


@pytest.mark.parametrize("damage", ["{", "[]", '{"declared": "2026"}'])
def test_a_damaged_declaration_is_reported(file, tmp_path, damage):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/declaration.json").write_text(damage)
    with pytest.raises(StudyError, match=r"declaration.json: .*copy it again"):
        notes(read_study(file), tmp_path / "runs", {})
