"""The study of the paper's question in the package, end to end with tiny runs: tuned, equal, permuted, in whole seeds, declared,
reported."""

import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import pytest
from conftest import ROOT, THREADS

from mtdnn_kit import train
from mtdnn_kit.data.sources import SAMPLE
from mtdnn_kit.errors import StudyError
from mtdnn_kit.studies import arms, declaration, report, running
from mtdnn_kit.studies.study import read_study

FILE = ROOT / "parameters/ablations/question.yaml"
ARTICLES = ["Glacier", "Cork", "Tea", "Soap"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The sample, extended by the missing data sets: endings in CODAH's form, and answerable questions in place of SQuAD 1.1."""
    folder = tmp_path_factory.mktemp("data") / "sample"
    shutil.copytree(SAMPLE, folder)
    shutil.copytree(folder / "swag", folder / "codah")
    (folder / "squad1").mkdir()
    lines = (folder / "squad/train.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (folder / "squad1/train.jsonl").write_text("".join(line for line in lines if json.loads(line)["answers"]["text"]))
    return folder


def in_this_process(jobs, **options):
    """An engine that trains in this process; test_running tests separate processes."""
    for job in jobs:
        train(job.config)
        yield {job.name: ""}


@pytest.fixture(scope="module")
def done(data, tiny, tmp_path_factory):
    """The study with its folder, runs and changes: declared, and run with two of its seeds and two of its rates until the time is up."""
    folder = tmp_path_factory.mktemp("question")
    study = replace(read_study(FILE), seeds=[0, 1, 2], tune={"learning_rate": [1e-3, 1e-4]}, tune_seeds=(100,))
    changes = dict(
        data=str(data), encoder=tiny, max_steps=None, epochs=0.02, batch_size=2, eval_limit=6, train_limit=150, max_length=96,
        max_question=16, overlap=10, precision="fp32", device="cpu", threads=THREADS, threshold_articles=ARTICLES, checkpoint_every=None,
    )  # fmt: skip
    declaration.declare(study, folder, changes)
    clock = iter([0.0, 1.0, 2.0, 3.0e9])
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(running.ENGINES, "here", in_this_process)
        patch.setattr(running, "time", SimpleNamespace(monotonic=lambda: next(clock)))
        runs = running.run_study(study, folder, changes, engine="here", plain=True, hours=1000.0)
    return study, folder, runs, changes


def test_when_time_is_up_whole_seeds_are_done(done):
    study, folder, runs, _ = done
    assert list(runs) == [f"{variant} seed {seed}" for seed in (0, 1) for variant in study.variants], "no run of the third seed is started"
    assert [(setting, list(own)) for setting, own in study.of(runs).items()] == [(setting, [0, 1]) for setting in study.settings]
    assert not list(folder.glob("*seed-2"))
    said = declaration.notes(study, folder, runs)
    assert said[0].endswith("judged by span F1, no-answer AP, smallest effect 1 points, family: study, seeds 0, 1, 2.")
    assert said[1].startswith("Deviation: 4 of 12 runs are not there: QA seed 2") and len(said) == 2


def test_the_arms_have_equal_steps_and_their_own_tuned_rate(done):
    study, folder, runs, _ = done
    for seed in (0, 1):
        assert len({runs[f"{variant} seed {seed}"].manifest["steps"] for variant in study.variants}) == 1
    taken = {row["variant"]: row["tried"] for row in arms.tuning_table(study, folder) if row["taken"]}
    assert taken == {name: f"learning_rate {runs[f'{name} seed 0'].config['learning_rate']:g}" for name in study.variants}
    assert {run.config["seed"] for run in runs.values()} == {0, 1}


def test_the_placebo_has_the_same_rows_with_labels_permuted_only_in_training(done):
    _, _, runs, _ = done
    own, placebo = (runs[name].manifest["data"] for name in ("QA+MCC+SC seed 0", "QA+MCC+SC permuted seed 0"))
    for task, split in (("swag", "validation"), ("cola", "validation"), ("mrpc", "validation"), ("mnli", "validation_matched")):
        assert own[f"{task}/train"]["fingerprint"] == placebo[f"{task}-permuted/train"]["fingerprint"]
        assert own[f"{task}/{split}"]["fingerprint"] == placebo[f"{task}-permuted/{split}"]["fingerprint"]
        assert placebo[f"{task}-permuted/train"]["permuted_labels"]["changed"] > 0 and "permuted_labels" not in own[f"{task}/train"]


def test_the_same_call_resumes_and_the_report_has_all_of_it(done, tmp_path):
    study, folder, runs, changes = done
    before = {name: (run.path / "manifest.json").read_bytes() for name, run in runs.items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(running.ENGINES, "here", in_this_process)
        all_of_it = running.run_study(study, folder, changes, engine="here", plain=True)
    assert len(all_of_it) == 12 and {name: (all_of_it[name].path / "manifest.json").read_bytes() for name in before} == before
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "read_study", lambda path: study)
        report.keep_finished(str(FILE), folder, tmp_path / "kept", None, [])
        told = "\n".join(report.report(tmp_path / "kept", str(changes["data"])))
    for title in ("Tuned at equal budget", "Decisions (equivalence tests)", "The threshold as a choice", "Were the other tasks learnt?"):
        assert f"\n## {title}" in told
    assert "judged by span F1, no-answer AP" in told and "No deviation from it." in told
    assert "| QA+MCC+SC permuted | mnli-permuted | 3 | accuracy |" in told


def test_runs_with_other_parameters_are_refused_before_another_seed_starts(done):
    """Without tuning and equal steps, runs of the same names have other parameters: with `hours`, too, nothing is trained then."""
    study, folder, _, changes = done
    other = replace(study, tune={}, tune_seeds=(), equal=None, seeds=[0, 1, 9])

    def never(jobs, **options):
        raise AssertionError("something was trained")

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(running.ENGINES, "here", never)
        with pytest.raises(StudyError, match="runs have changed"):
            running.run_study(other, folder, changes, engine="here", plain=True, hours=1000.0)
    assert not list(folder.glob("*seed-9"))
