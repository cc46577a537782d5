"""The dry run: the steps of each run, the time from earlier runs or unknown, which runs are done."""

import json
import shutil

import pytest
from conftest import changed

from mtdnn_kit import Config, prepare, train
from mtdnn_kit.studies import arms
from mtdnn_kit.studies import plan as planning
from mtdnn_kit.studies.plan import as_text, plan
from mtdnn_kit.studies.status import Standing

NEW = Standing("new")
UNWEIGHTED = dict(qa_weight=None, sharing=None)


@pytest.fixture
def empty(tmp_path, monkeypatch):
    """A folder without earlier runs."""
    monkeypatch.setenv("MTDNN_RUNS", str(tmp_path / "usual"))
    return tmp_path / "study"


def test_the_steps_equal_those_of_the_runs(config, empty, monkeypatch):
    """Windows are built once for all runs with the same tasks and settings, and every schedule is drawn by its own sampler."""
    base = config(max_steps=None, epochs=2.0, batch_size=16)
    configs = {
        "mixture": base,
        "QA": changed(base, tasks=["squad"], qa_weight=1.0, epochs=2.5),
        "other seed": changed(base, seed=4, qa_weight=0.5),
        "round robin": changed(base, sampler="round_robin", **UNWEIGHTED, tasks=["squad", "cola"]),
        "sequential": changed(base, sampler="sequential", exhausted=None, **UNWEIGHTED),
        "annealed": changed(base, sampler="annealed", **UNWEIGHTED),
        "short": changed(base, max_steps=7),
        "other batches": changed(base, batch_size=8, threshold_articles=["Cork"]),
        "fewer rows": changed(base, train_limit=40),
    }
    cut = []
    monkeypatch.setattr(arms, "prepare", lambda config: cut.append(config) or prepare(config))
    rows = plan(configs, dict.fromkeys(configs, NEW), empty)
    assert {row["run"]: row["steps"] for row in rows} == {name: len(prepare(c).schedule) for name, c in configs.items()}
    assert len(cut) == 5 and all(row["seconds"] is None and row["from"] == "no earlier run of similar shape" for row in rows)
    assert "9 of 9 to run: training time unknown" in as_text(rows) and not list(empty.parent.glob("*/*")), "nothing is trained"


def test_the_time_comes_from_earlier_runs_of_similar_shape(config, empty):
    earlier = train(config(run_dir=str(empty / "before"), checkpoint_every=4, keep_checkpoints=True))
    pace = earlier.manifest["train_seconds"] / 6
    configs = {
        "before": Config(**earlier.config),
        "longer": config(max_steps=12),
        "alone": config(tasks=["squad"], qa_weight=1.0),
        "larger": config(batch_size=8),
        "begun": Config(**{**earlier.config, "log_every": 1}),
    }
    found = {**dict.fromkeys(configs, NEW), "before": Standing("done"), "begun": Standing("begun")}
    done, longer, alone, larger, begun = plan(configs, found, empty)
    assert (done["status"], done["steps"], done["seconds"]) == ("done", 6, earlier.manifest["train_seconds"])
    assert longer["seconds"] == pytest.approx(12 * pace) and longer["from"] == "1 earlier run like it"
    assert alone["seconds"] == pytest.approx(6 * pace) and alone["from"] == "1 earlier run with other tasks"
    assert larger["seconds"] is None
    assert begun["seconds"] == pytest.approx(2 * pace) and begun["from"] == "1 earlier run like it, from step 4", "of 6 steps"
    text = as_text([done, {**longer, "seconds": 100.0}, {**alone, "seconds": 60.0}], workers=2)
    assert text.splitlines()[-1] == "2 of 3 to run, 2 at a time: about 1:20 of training, and the scoring after each"
    assert "before  done" in text and "1:40" in text
    text = as_text([{**longer, "seconds": 100.0}, larger])
    assert (
        text.splitlines()[-1] == ("2 of 2 to run: about 1:40 of training for 1 of them, of the others unknown, and the scoring after each")
        and "unknown  (no earlier run of similar shape)" in text
    )


def test_the_time_also_comes_from_unfinished_runs_and_first_from_this_machine(config, empty):
    """An unfinished run's log gives the time of its steps. A run of another machine is used if there is none of this one, and the
    machine is named."""
    run = train(config(run_dir=str(empty / "before"), log_every=2))
    manifest, wanted = run.manifest, {"new": config(max_steps=12)}

    def said(**changes) -> tuple[float | None, str]:
        (run.path / "manifest.json").write_text(json.dumps({**manifest, **changes}))
        (row,) = plan(wanted, {"new": NEW}, empty)
        return row["seconds"], row["from"]

    pace = sum(record["tokens"] / record["tokens_per_second"] for record in run.log()) / 6
    assert said(status="running") == (pytest.approx(12 * pace), "1 earlier run like it")
    assert said(machine="Abacus") == (pytest.approx(12 * manifest["train_seconds"] / 6), "1 earlier run like it, on Abacus")
    here = train(config(run_dir=str(empty / "here"), tasks=["squad"], qa_weight=1.0)).manifest
    assert said(machine="Abacus") == (pytest.approx(12 * here["train_seconds"] / 6), "1 earlier run with other tasks")
    (run.path / "log.jsonl").write_text("")
    shutil.rmtree(empty / "here")
    assert said(status="running") == (None, "no earlier run of similar shape"), "the log is empty before the first steps"


def test_the_gpu_of_kept_runs_gives_an_estimate_of_hours(config, empty, monkeypatch, tmp_path):
    """The median pace of two kept runs of similar shape; no estimate from another shape or a CPU."""
    monkeypatch.setattr(planning, "project_root", lambda: tmp_path)
    for name, machine, seconds, changes in (
        ("a", "A100", 60.0, {}), ("b", "A100", 120.0, {"tasks": ["squad"], "qa_weight": 1.0}), ("c", "A100", 999.0, {"batch_size": 32}),
        ("d", "Some Processor, 2 cores", 999.0, {}),
    ):  # fmt: skip
        folder = tmp_path / "results/x/runs" / name
        folder.mkdir(parents=True)
        (folder / "config.yaml").write_text(config(**changes).to_yaml())
        (folder / "manifest.json").write_text(json.dumps({"status": "finished", "machine": machine, "steps": 30, "train_seconds": seconds}))
    configs = {"one": config(max_steps=100), "two": config(max_steps=50), "done": config(max_steps=70)}
    rows = [{"run": name, "status": "new", "steps": c.max_steps} for name, c in configs.items()]
    rows[2]["status"] = "done"
    assert planning.gpu_estimates(rows, configs, empty) == [
        "on one A100: about 7:30 of training, one run at a time, at the pace of earlier runs there"
    ]
    assert planning.gpu_estimates(rows, {**configs, "two": config(batch_size=2)}, empty) == []
    assert planning.gpu_estimates(rows[2:], configs, empty) == []
    # without a run of this machine, a kept run on the same kind of machine is used, and that machine is named
    monkeypatch.setattr(planning, "describe", lambda device: "Another Processor, 8 cores")
    (row,) = plan({"one": config(max_steps=10, threads=1)}, {"one": NEW}, empty)
    assert row["seconds"] == pytest.approx(10 * 999.0 / 30) and row["from"] == "1 earlier run like it, on Some Processor, 2 cores"
