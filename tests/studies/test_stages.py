"""Runs that start from other runs of their study, or merge them: order, resuming, and marked as stale when those change."""

import json
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from conftest import ROOT, study_text
from processes import HANGS
from sameness import assert_same
from test_running import SMALL
from test_sharing import DRIVER, lives
from test_sharing import study as stubs  # noqa: F401 (a fixture)

import mtdnn_kit.__main__ as command_line
from mtdnn_kit import Run, merge, train
from mtdnn_kit.errors import ConfigError, StudyError
from mtdnn_kit.files.atomic import write_json
from mtdnn_kit.model.encoders import find_encoder
from mtdnn_kit.runs.pruning import prune
from mtdnn_kit.studies import engines, sharing
from mtdnn_kit.studies.report import conclude, keep_finished, report
from mtdnn_kit.studies.running import run_study
from mtdnn_kit.studies.status import RECORD
from mtdnn_kit.studies.study import read_study
from mtdnn_kit.training.log import Recorder

QA = {"tasks": ["squad"], "qa_weight": 1.0}
CHAIN = {  # the last stage first: the order in the file is not the order of the runs
    "three": {**QA, "init_from": {"run": "two"}, "learning_rate": 0.01},
    "two": {**QA, "init_from": {"run": "one"}, "learning_rate": 0.02},
    "one": {"tasks": ["cola"], "qa_weight": 1.0, "threshold_articles": []},
}


def inside(jobs: Iterable, workers: int = 1):
    """An engine that trains in this process."""
    for job in jobs:
        if job is None:
            yield {}
            continue
        job.run.path.mkdir(parents=True, exist_ok=True)
        write_json(job.run.path / RECORD, job.record)
        try:
            begun = (job.run.path / "manifest.json").exists()
            merge(**job.merge, run_dir=job.config.run_dir) if job.merge else train(replace(job.config, resume=begun))
            yield {job.name: ""}
        except ValueError as error:
            yield {job.name: str(error)}


@pytest.fixture
def made(tmp_path, tiny, monkeypatch):
    """made(variants, …): a study of the tiny encoder, run in this process below tmp_path/runs."""
    monkeypatch.setitem(engines.ENGINES, "local", inside)
    monkeypatch.setattr(sharing, "LOOK", 0.0)

    def make(variants: dict, folder: str = "runs", if_changed: str = "refuse", **more) -> dict[str, Run]:
        return run_study(read_study(written(tmp_path, tiny, variants, **more)), tmp_path / folder, if_changed=if_changed, plain=True)

    return make


def written(folder: Path, encoder: str, variants: dict, **more) -> Path:
    base = {**SMALL, "encoder": encoder, "max_steps": 6, "checkpoint_every": 2, "eval_limit": 12}
    (folder / "base.yaml").write_text(yaml.safe_dump(base))
    (folder / "mine.yaml").write_text(study_text({"base": str(folder / "base.yaml"), "variants": variants, **more}))
    return folder / "mine.yaml"


def weights(run: Run) -> str:
    return find_encoder(str(run.path / "model")).sha256


def test_a_chain_of_three_that_is_killed_in_the_second_is_resumed(made, tmp_path, monkeypatch):
    reference, add = made(CHAIN, "reference"), Recorder.add

    def until(self, step, *figures):
        add(self, step, *figures)
        if step == 4 and self.setup.config.init_from:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Recorder, "add", until)
        made(CHAIN)
    assert Run(tmp_path / "runs/one").finished and not Run(tmp_path / "runs/two").finished and not (tmp_path / "runs/three").exists()
    end = Run(tmp_path / "runs/one").manifest["end"]
    runs = made(CHAIN)
    assert list(runs) == list(CHAIN) and runs["one"].manifest["end"] == end and runs["two"].manifest["resumes"][0]["after_step"] == 4
    for name in CHAIN:
        assert_same(reference[name], runs[name], ["cola" if name == "one" else "squad"])
    assert runs["two"].manifest["encoder"]["sha256"] == weights(runs["one"]) and weights(runs["one"]) != weights(runs["two"])
    assert runs["three"].manifest["encoder"]["sha256"] == weights(runs["two"])


def test_a_chain_whose_runs_have_other_names_is_found_whole(made, tmp_path):
    """Seeds are added that the runs have already."""
    first = made(CHAIN)
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "runs").glob("*/manifest.json")}
    again = made(CHAIN, seeds=[0])
    assert {run.path for run in again.values()} == {run.path for run in first.values()}
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "runs").glob("*/manifest.json")} == before


def test_the_failure_of_a_first_stage_names_the_runs_that_wait_for_it(made, tmp_path):
    chain = {**CHAIN, "one": {**CHAIN["one"], "cuda_graphs": True}, "alone": QA}
    with pytest.raises(StudyError, match=r"^1 of 4 runs failed.\none: cuda_graphs: .*\(waiting for it: three, two\)$"):
        made(chain)
    assert Run(tmp_path / "runs/alone").finished and not (tmp_path / "runs/two").exists()


def test_changing_a_first_stage_makes_later_stages_stale(made, tmp_path):
    runs = made(CHAIN)
    before = {name: run.manifest["end"] for name, run in runs.items()}
    file = runs["one"].path / "manifest.json"
    file.write_text(file.read_text().replace('"finished"', '"running"'))
    (runs["one"].path / "model" / "model.safetensors").unlink()
    with pytest.raises(StudyError, match=r"1 of 3 runs have changed.*\n.*two \(done\): encoder: .*not available"):
        made(CHAIN)
    again = made(CHAIN, if_changed="redo")
    assert {name: run.manifest["end"] for name, run in again.items() if name != "one"} == {n: e for n, e in before.items() if n != "one"}
    assert not (tmp_path / "runs" / "one.partial").exists(), "the same bits: runs that started from them stay valid"
    other = {**CHAIN, "one": {**CHAIN["one"], "learning_rate": 0.03}}
    with pytest.raises(StudyError, match=r"one \(done\): learning_rate"):
        made(other)
    shas = {name: weights(run) for name, run in again.items()}
    anew = made(other, if_changed="redo")
    assert all(weights(run) != shas[name] for name, run in anew.items())
    assert anew["two"].manifest["encoder"]["sha256"] == weights(anew["one"])


def test_runs_that_started_from_a_pruned_first_stage_stay_valid(made):
    runs = made(CHAIN)
    for name in ("one", "two"):
        prune(runs[name])
    assert made(CHAIN).keys() == CHAIN.keys()


def test_a_merge_is_a_run_of_the_study_on_page_and_in_the_report(made, tmp_path, tiny):
    variants = {"QA": QA, "QA+SC": {"tasks": ["squad", "cola"], "qa_weight": 0.5}}
    variants["merged"] = {"merge": {"runs": ["QA", "QA+SC"], "weight": [0.25, 0.75]}}
    runs = made(variants, seeds=[0])
    merged = runs["merged seed 0"]
    assert [one["sha256"] for one in merged.manifest["merged"]["runs"]] == [weights(runs["QA seed 0"]), weights(runs["QA+SC seed 0"])]
    end = merged.manifest["end"]
    assert made(variants, seeds=[0])["merged seed 0"].manifest["end"] == end
    study = read_study(tmp_path / "mine.yaml")
    page = conclude(study, tmp_path / "runs", runs, page=True).read_text()
    assert "merged of" in page and "chosen by span F1 of squad on its held-out questions" in page
    keep_finished(str(tmp_path / "mine.yaml"), tmp_path / "runs", tmp_path / "kept", None, [])
    told = "\n".join(report(tmp_path / "kept", None))
    assert "| merged |" in told and "chosen by span F1" in told and "Deviation" not in told
    variants["merged"]["merge"]["weight"] = 0.5
    with pytest.raises(StudyError, match=r"merged seed 0 \(done\): merge: .*'weight': \[0.25, 0.75\].*, now .*'weight': 0.5"):
        made(variants, seeds=[0])
    again = made(variants, seeds=[0], if_changed="redo")["merged seed 0"]
    assert again.manifest["merged"]["weight"] == 0.5 and again.finished


def test_the_dry_run_shows_the_order_of_runs(tmp_path, tiny, capsys):
    variants = {**CHAIN, "both": {"merge": {"runs": ["two", "three"]}}}
    command_line.main(["study", str(written(tmp_path, tiny, variants)), "--folder", str(tmp_path / "runs"), "--dry-run"])
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if " steps " in line}
    assert lines["three"].endswith("← two") and lines["two"].endswith("← one") and "←" not in lines["one"]
    assert "0 steps" in lines["both"] and lines["both"].endswith("(merged)  ← two, three") and "6 steps" in lines["three"]


def test_a_stage_starts_from_the_run_with_its_seed_and_values(tmp_path, tiny):
    variants = {"joint": {}, "alone": {**QA, "init_from": {"run": "joint"}}, "both": {"merge": {"runs": ["alone", "joint"]}}}
    study = read_study(written(tmp_path, tiny, variants, vary={"learning_rate": [1e-3, 1e-4]}, seeds=[3, 4]))
    assert study.stages["alone learning_rate=0.001 seed 4"] == ["joint learning_rate=0.001 seed 4"]
    configs = study.configs(tmp_path / "runs")
    assert configs["alone learning_rate=0.0001 seed 3"].init_from == str(tmp_path / "runs/joint-learning-rate-0.0001-seed-3")
    both = configs["both learning_rate=0.0001 seed 3"]
    assert both.tasks == ["squad"] and both.learning_rate == 1e-4 and both.seed == 3
    assert both.init_from == str(tmp_path / "runs/alone-learning-rate-0.0001-seed-3")
    assert len({str(config) for config in configs.values()}) == 12
    with pytest.raises(ConfigError, match="changes: init_from: runs of mine begin from others"):
        study.configs(tmp_path / "runs", {"init_from": "runs/x"})


@pytest.mark.parametrize(
    ("variants", "more", "said"),
    [
        ({"a": {"init_from": {"run": "c"}}, "ab": QA}, {}, "variants: a begins from 'c', and there is no such variant"),
        ({"a": {"init_from": {"run": "b"}}, "b": {"init_from": {"run": "a"}}}, {}, "variants: a, b: each begins from another one"),
        ({"a": {"init_from": {"run": "a"}}}, {}, "each begins from another"),
        ({"a": {"init_from": {"name": "b"}}, "b": QA}, {}, r"init_from is \{'name': 'b'\}; it must be \{run: NAME\}"),
        ({"a": QA, "b": {"merge": {"runs": ["a"]}}}, {}, r"merge is .*; it must be \{runs: \[NAME, NAME, …\]\}, with any of method"),
        ({"a": QA, "b": {"merge": {"runs": ["a", "a"], "by": 1}}}, {}, "merge is "),
        ({"a": QA, "b": {"merge": {"runs": ["a", "a"]}, "epochs": 2}}, {}, "merge goes with no other key"),
        ({"a": QA, "b": {"merge": {"runs": ["a", "a"]}}}, {"equal": "steps"}, "equal: b is merged and has no steps"),
        ({"a": QA, "b": {}}, {"fixed": {"init_from": {"run": "a"}}}, "fixed: init_from"),
        (
            {"a": QA, "b": {"init_from": {"run": "a"}}},
            {"tune": {"epochs": [1, 2]}, "tune_seeds": [9], "seeds": [0]},
            "tune: arms that begin from other runs",
        ),
    ],
)
def test_an_invalid_chain_or_merge_is_refused(variants, more, said, tmp_path, tiny):
    with pytest.raises(StudyError, match=said):
        read_study(written(tmp_path, tiny, variants, **more))


def test_an_invalid_merge_is_refused_before_anything_runs(made, tmp_path):
    with pytest.raises(ConfigError, match="method: 'mean' is unknown"):
        made({"a": QA, "b": {**QA, "epochs": 2}, "c": {"merge": {"runs": ["a", "b"], "method": "mean"}}})
    assert not (tmp_path / "runs").exists()


def test_two_processes_on_one_folder_keep_the_order_and_a_shard_is_refused(stubs, tmp_path):  # noqa: F811
    variants = {"c": {"epochs": 4, "init_from": {"run": "b"}}, "b": {"init_from": {"run": "a"}}, "a": {}, "d": {"epochs": 9}}
    (tmp_path / "mine.yaml").write_text(study_text({"base": str(tmp_path / "base.yaml"), "variants": variants, "seeds": [0, 1]}))
    command = [sys.executable, "-c", DRIVER, tmp_path / "mine.yaml", tmp_path / "runs"]
    both = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [json.loads(process.communicate(timeout=HANGS)[0]) for process in both]
    assert [process.returncode for process in both] == [0, 0] and said[0] == said[1] and len(said[0]) == 8
    order = [name for name, _ in lives(tmp_path / "runs")]
    assert len(order) == 8 and all(order.index(f"a seed {k}") < order.index(f"b seed {k}") < order.index(f"c seed {k}") for k in (0, 1))
    with pytest.raises(StudyError, match="shard: c seed 0 begins from b seed 0, so the runs cannot be split"):
        run_study(read_study(tmp_path / "mine.yaml"), tmp_path / "other", shard="1/2")


def test_several_workers_start_a_second_stage_once_the_first_is_done(stubs, tmp_path, monkeypatch):  # noqa: F811
    variants = {
        "b": {"epochs": 2, "init_from": {"run": "a"}},
        "a": {},
        "d": {"epochs": 9, "init_from": {"run": "bad"}},
        "bad": {"epochs": 5},
    }
    (tmp_path / "mine.yaml").write_text(study_text({"base": str(tmp_path / "base.yaml"), "variants": variants}))
    monkeypatch.setenv("STUB_FAILS", "bad")
    for wait in (False, True):
        with pytest.raises(StudyError, match=r"^1 of 4 runs failed.\nbad: .*no luck.*\(waiting for it: d\)$"):
            run_study(read_study(tmp_path / "mine.yaml"), tmp_path / f"runs-{wait}", workers=3, wait=wait)
        order = [name for name, _ in lives(tmp_path / f"runs-{wait}")]
        assert order.index("a") < order.index("b") and sorted(order) == ["a", "b", "bad"]


@pytest.mark.parametrize("name", ["stages", "merging"])
def test_the_packaged_studies_run_at_small_size(name, tmp_path, tiny, monkeypatch):
    monkeypatch.setitem(engines.ENGINES, "local", inside)
    written(tmp_path, tiny, {"a": QA})
    base = yaml.safe_load((tmp_path / "base.yaml").read_text()) | {"train_limit": 40, "eval_limit": 6, "max_steps": 2}
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(base))
    asked = replace(read_study(f"parameters/ablations/{name}.yaml"), base=str(tmp_path / "base.yaml"), seeds=[0])
    runs = run_study(asked, tmp_path / "runs", plain=True)
    assert list(runs) == asked.reported and {"MNLI seed 0", "SWAG seed 0"}.isdisjoint(runs)
    (first, *others), *_ = asked.comparisons(runs)
    assert first == asked.baseline and len(others) == 4 + (name == "merging")
    assert conclude(asked, tmp_path / "runs", runs, page=False) is None and (tmp_path / "runs/table.md").is_file()
