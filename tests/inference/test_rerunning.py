"""A finished run repeated: equal bit for bit under equal conditions, otherwise with the differences named."""

import json
import shutil

import pytest
from conftest import THREADS, changed

from mtdnn_kit import Config, Run, train
from mtdnn_kit.__main__ import main
from mtdnn_kit.errors import RunError
from mtdnn_kit.inference.rerunning import rerun
from mtdnn_kit.runs.equal import compare_runs


@pytest.fixture(scope="module")
def made(tiny, tmp_path_factory) -> Run:
    small = dict(encoder=tiny, batch_size=4, max_steps=3, max_length=96, overlap=10, precision="fp32", device="cpu", eval_limit=4)
    folder = tmp_path_factory.mktemp("made") / "run"
    return train(Config(run_dir=str(folder), threads=THREADS, tasks=["squad", "cola"], qa_weight=0.5, threshold_articles=["Cork"], **small))


@pytest.fixture
def copied(made, tmp_path) -> Run:
    return Run(shutil.copytree(made.path, tmp_path / "copy"))


def said(rows: list[dict]) -> dict[str, str]:
    return {row["what"]: row["result"] for row in rows}


def test_a_repeated_run_is_equal_in_everything(made, tmp_path, capsys):
    main(["rerun", str(made.path), str(tmp_path / "again")])
    again, told = Run(tmp_path / "again"), capsys.readouterr().out
    found = said(compare_runs(made, again))
    assert set(found.values()) == {"equal", "equal, 3 of them"} and found["every step"] == "equal, 3 of them"
    files = {"squad.json", "squad_nbest.jsonl.gz", "squad_held_out.jsonl.gz", "cola.jsonl"}
    data = {f"data: {task}/{split}" for task in ("squad", "cola") for split in ("train", "validation")}
    assert found.keys() == {"code", "environment", "every step", "weights", "scores: squad", "scores: cola"} | files | data
    assert "| weights | equal |" in told and again.config["resume"] is False and again.manifest["resumes"] == []


def test_settings_of_the_command_are_checked(made, tmp_path, capsys):
    for arguments, said in (
        (["--set", "devise=cpu"], "devise: no such parameter. Did you mean device?"),
        (["--data", "x", "--set", "data=y"], "y"),
    ):
        with pytest.raises(SystemExit):
            main(["rerun", str(made.path), str(tmp_path / "never"), *arguments])
        assert said in capsys.readouterr().err and not (tmp_path / "never").exists()
    main(["rerun", str(made.path), "--set", f"run_dir={tmp_path / 'named'}"])
    assert Run(tmp_path / "named").finished


def test_later_sets_are_scored_again_in_full_and_custom_functions_are_compared(made, tmp_path, monkeypatch):
    """All 10 rows are scored, despite the run's eval_limit of 4; missing rows are reported."""
    own = changed(made.parameters, run_dir=str(tmp_path / "run"), metrics=["doors:kappa"], resume=False)
    run = train(own)
    for name in ("boats", "gone"):
        (tmp_path / name / "cola").mkdir(parents=True)
        rows = [{"sentence": f"The {i} boats are late.", "label": i % 2} for i in range(10)]
        (tmp_path / name / "cola" / "validation.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        assert run.score(tmp_path / name)[f"cola-{name}"]["n"] == 10
    shutil.rmtree(tmp_path / "gone")
    again, rows = rerun(run, tmp_path / "again")
    found = said(rows)
    assert again.metrics["cola-boats"] == run.metrics["cola-boats"] and again.metrics["cola-boats"]["n"] == 10
    assert (found["scores: cola-boats"], found["cola-boats.jsonl"], found["custom functions"]) == ("equal", "equal", "equal")
    assert found["scores: cola-gone"].startswith("not scored again: ") and "cola-gone" not in again.metrics
    manifest = again.path / "manifest.json"
    manifest.write_text(manifest.read_text().replace(again.manifest["plugins"]["doors:kappa"]["sha256"], "0"))
    assert said(compare_runs(run, again))["custom functions"] == "different: doors:kappa"


def test_a_changed_parameter_shows_its_effects(made, tmp_path):
    _, rows = rerun(made.path, tmp_path / "again", seed=1)
    found = said(rows)
    assert found["every step"].startswith("different from step ") and found["weights"] == "different"
    assert (found["code"], found["environment"], found["data: squad/train"]) == ("equal", "equal", "equal")


def test_runs_are_compared_file_by_file_and_a_missing_file_is_reported_as_not_kept(made, copied):
    manifest = copied.manifest
    manifest["packages"]["torch"] = "1.0"
    manifest["data"]["squad/train"]["fingerprint"] = manifest["code"] = "0"
    (copied.path / "manifest.json").write_text(json.dumps(manifest))
    lines = (copied.path / "log.jsonl").read_text().splitlines()
    record = json.loads(lines[1])
    lines[1] = json.dumps({**record, "loss": record["loss"] + 1e-7, "tokens_per_second": 1.0})
    (copied.path / "log.jsonl").write_text("\n".join(lines) + "\n")
    metrics = copied.metrics
    metrics["squad"] |= {"f1": 12.3456, "em": None}
    (copied.path / "metrics.json").write_text(json.dumps(metrics))
    shutil.rmtree(copied.path / "model")
    (copied.path / "predictions" / "cola.jsonl").write_text("")
    found = said(compare_runs(copied, made))
    assert found["code"] == "different: other code made it" and found["data: squad/train"] == "different: other rows"
    assert found["environment"] == f"different: torch 1.0, now {made.manifest['packages']['torch']}"
    assert found["every step"] == "different from step 2 on" and found["weights"] == "not kept"
    now = made.metrics["squad"]
    assert sorted(found["scores: squad"].removeprefix("different: ").split(", then ")[0].split()) == ["em", "none"]
    assert f"f1 12.3456, then {now['f1']:.6g}" in found["scores: squad"] and found["scores: cola"] == "equal"
    assert found["cola.jsonl"] == "different" and found["squad.json"] == "equal" and found["data: cola/train"] == "equal"


def test_unfinished_imported_and_distributed_runs_are_not_repeated(copied, tmp_path, monkeypatch):
    kept = copied.manifest
    for manifest, why in (
        ({**kept, "status": "running"}, "it is not a finished run, so it cannot be repeated"),
        ({key: kept[key] for key in kept if key != "draws"}, "it was imported, not trained"),
        (
            {**kept, "processes": 2},
            "it was trained by 2 processes, but there are 1 now: start it with accelerate launch --num_processes 2",
        ),
    ):
        (copied.path / "manifest.json").write_text(json.dumps(manifest))
        with pytest.raises(RunError, match=why):
            rerun(copied, tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_an_older_run_without_threads_in_its_parameters_takes_its_manifests(copied, tmp_path):
    text = (copied.path / "config.yaml").read_text()
    (copied.path / "config.yaml").write_text(text.replace(f"threads: {THREADS}", "threads: null"))
    again, rows = rerun(copied, tmp_path / "again", max_steps=1)
    assert again.config["threads"] == THREADS and said(rows)["every step"] == "different: 3 steps, then 1"
