"""The dry run: steps as they will be, time from earlier runs or a probe, what is done."""

from dataclasses import replace

import pytest
from conftest import changed

from mtdnn_kit import Config, Run, prepare, train
from mtdnn_kit.studies import plan as planning
from mtdnn_kit.studies.plan import as_text, plan
from mtdnn_kit.studies.status import Standing

NEW = Standing("new")
UNWEIGHTED = dict(qa_weight=None, sharing=None)


@pytest.fixture
def empty(tmp_path, monkeypatch):
    """A place without earlier runs."""
    monkeypatch.setenv("MTDNN_RUNS", str(tmp_path / "usual"))
    return tmp_path / "study"


def test_the_steps_are_those_of_the_runs(config, empty, monkeypatch):
    """Rows are cut once for all runs that share them, and every schedule is drawn by its own sampler."""
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
    monkeypatch.setattr(planning, "probe", lambda config: 2.0)
    cut = []
    monkeypatch.setattr(planning, "prepare", lambda config: cut.append(config) or prepare(config))
    rows = plan(configs, dict.fromkeys(configs, NEW), empty)
    assert {row["run"]: row["steps"] for row in rows} == {name: len(prepare(c).schedule) for name, c in configs.items()}
    assert len(cut) == 3 and all(row["seconds"] == 2 * row["steps"] and row["from"] == "6 steps tried" for row in rows)


def test_the_time_is_that_of_earlier_runs_of_like_shape(config, empty, monkeypatch):
    monkeypatch.setattr(planning, "probe", lambda config: 99.0)
    earlier = train(config(run_dir=str(empty / "before"), checkpoint_every=4))
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
    assert longer["seconds"] == pytest.approx(12 * pace) and longer["from"] == "1 finished run like it"
    assert alone["seconds"] == pytest.approx(6 * pace) and alone["from"] == "1 finished run with other tasks"
    assert larger["seconds"] == 99 * 6
    assert begun["seconds"] == pytest.approx(2 * pace) and begun["from"] == "1 finished run like it, from step 4", "of 6 steps"
    text = as_text([done, {**longer, "seconds": 100.0}, {**alone, "seconds": 60.0}], workers=2)
    assert text.splitlines()[-1] == "2 of 3 to run, 2 at a time: about 1:20 of training, and the scoring after each"
    assert "before  done" in text and "1:40" in text


def test_a_probe_takes_a_few_steps_and_leaves_nothing(config, tmp_path, monkeypatch):
    ran = []
    monkeypatch.setattr(planning, "train", lambda config, watch: ran.append(config) or train(config, watch=watch))
    pace = planning.probe(replace(config(max_steps=500, checkpoint_every=1), run_dir=str(tmp_path / "never")))
    assert pace > 0 and ran[0].max_steps == 6 and not Run(ran[0].run_dir).path.exists() and not (tmp_path / "never").exists()
