"""Training on the packaged sample with a tiny encoder (design, statements 10 and 15; "Run folder")."""

import json
import re
import subprocess
from collections import Counter
from contextlib import nullcontext
from functools import cache
from importlib.metadata import version

import numpy as np
import pytest
import torch
from conftest import PLACE, ROOT, THREADS, changed
from sameness import Stopped, assert_same, weights_of
from torch.utils._python_dispatch import TorchDispatchMode

import mtdnn_kit
from mtdnn_kit import Config, Run, merge, prepare, train
from mtdnn_kit.errors import ConfigError, RunError, TrainingError, WriteError
from mtdnn_kit.runs.origin import repository
from mtdnn_kit.training.log import Recorder
from mtdnn_kit.training.setup import read_rows


@pytest.fixture(scope="module")
def finished(tiny, tmp_path_factory) -> Run:
    """One run of all five tasks, 12 steps."""
    small = dict(
        batch_size=4, max_steps=12, max_length=96, overlap=10, qa_weight=0.4, precision="fp32", device="cpu", threads=THREADS, log_every=5
    )
    watched = dict(checkpoint_every=4, keep_checkpoints=True, eval_every=6, threshold_articles=["Glacier", "Cork"])
    return train(Config(run_dir=str(tmp_path_factory.mktemp("finished") / "run"), encoder=tiny, **small, **watched))


def test_a_run_folder_has_all_its_files(finished):
    names = {path.relative_to(finished.path).as_posix() for path in finished.path.rglob("*") if path.is_file()}
    wanted = {"config.yaml", "manifest.json", "log.jsonl", "metrics.json", "predictions/squad.json", "predictions/squad_nbest.jsonl.gz"}
    wanted |= {f"predictions/{task}.jsonl" for task in ("swag", "cola", "mrpc", "mnli")}
    wanted |= {f"model/{name}" for name in ("model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json", "tasks.json")}
    assert wanted <= names and not any("partial" in name or name.endswith((".bin", ".pt", ".pkl")) for name in names)
    assert finished.finished and {path.name for path in (finished.path / "checkpoints").iterdir()} == {"step-0000004", "step-0000008"}


def test_the_manifest_records_the_run(finished):
    manifest = finished.manifest
    assert manifest["status"] == "finished" and manifest["steps"] == 12 == sum(manifest["draws"].values())
    assert manifest["packages"]["torch"] == version("torch") and len(manifest["code"]) == 64
    assert (manifest["device"], manifest["precision"], manifest["threads"], manifest["seed"]) == ("cpu", "fp32", THREADS, 0)
    assert manifest["encoder"]["origin"] == "folder" and len(manifest["encoder"]["sha256"]) == 64
    assert set(manifest["data"]) == {f"{t}/{s}" for t in ("squad", "swag", "cola", "mrpc") for s in ("train", "validation")} | {
        "mnli/train", "mnli/validation_matched",
    }  # fmt: skip
    assert manifest["train_seconds"] > 0 and manifest["start"] <= manifest["end"] and manifest["passes"]["squad"] == 1
    text = (finished.path / "manifest.json").read_text()
    assert PLACE not in text and str(finished.path) not in text, "no local paths"


def test_the_manifest_records_the_origin_of_the_run(finished):
    manifest = finished.manifest
    assert manifest["kit"] == mtdnn_kit.__version__ and manifest["command"] and manifest["os"] and manifest["host"]
    assert manifest.get("git") == repository() and manifest["resumes"] == [] and "energy_joules" not in manifest
    assert 50_000_000 < manifest["peak_memory"].pop("process") < 2**40 and manifest["peak_memory"] == {}
    lines = (finished.path / "requirements.txt").read_text().splitlines()
    assert len(lines) - 1 == manifest["lock"]["packages"] and f"torch=={version('torch')}" in lines


def test_the_log_has_a_line_per_step_and_the_scorings_in_between(finished):
    log = finished.log()
    assert [record["step"] for record in log] == list(range(1, 13))
    assert set(log[0]) == {"step", "epoch", "task", "lr", "tokens", "loss", "grad_norm", "tokens_per_second"}
    assert Counter(record["task"] for record in log) == Counter({k: v for k, v in finished.manifest["draws"].items() if v})
    scorings = finished.scorings()
    assert [(record["step"], record["task"]) for record in scorings] == [(6, "squad")] and scorings[0]["scores"]["n"] == 12


def test_the_loss_falls(config):
    run = train(config(tasks=["squad"], qa_weight=1.0, max_steps=40, epochs=20.0, train_limit=12, learning_rate=3e-3))
    losses = [record["loss"] for record in run.log()]
    assert np.mean(losses[-8:]) < 0.8 * np.mean(losses[:8])


@pytest.fixture(scope="module")
def undisturbed(tiny, tmp_path_factory):
    """undisturbed(optimizer, precision): a run of 12 steps to compare with, trained once; with dropout."""

    @cache
    def make(optimizer: str, precision: str) -> Run:
        small = dict(encoder=tiny, batch_size=4, max_steps=12, max_length=96, overlap=10, device="cpu", threads=1, eval_limit=6)
        more = dict(log_every=3, qa_weight=0.5, checkpoint_every=4, optimizer=optimizer, precision=precision)
        return train(Config(run_dir=str(tmp_path_factory.mktemp("undisturbed") / "run"), **small, **more))

    return make


@pytest.mark.parametrize("stop", [1, 5, 8, 11])
@pytest.mark.parametrize(("optimizer", "precision"), [("adamax", "fp32"), ("adamw", "fp32"), ("adamax", "bf16")])
def test_10_stop_at_any_step_and_resume_bit_for_bit(undisturbed, tmp_path, monkeypatch, stop, optimizer, precision):
    """Killed after any step, with or without a checkpoint: the same batches, rates, losses and weights."""
    reference = undisturbed(optimizer, precision)
    add = Recorder.add

    def until(self, step, *figures):
        add(self, step, *figures)
        if step + 1 == stop:
            raise Stopped

    broken = Config(**{**reference.config, "run_dir": str(tmp_path / "broken")})
    with monkeypatch.context() as patched, pytest.raises(Stopped):
        patched.setattr(Recorder, "add", until)
        train(broken)
    assert Run(broken.run_dir).manifest["status"] == "running"
    with open(tmp_path / "broken" / "log.jsonl", "a") as log:
        log.write('{"step": 12, "lo')  # a kill may leave part of a line
    torch.manual_seed(99)
    seen: list[dict] = []
    resumed = train(changed(broken, resume=True), watch=seen.extend)
    assert [record["step"] for record in seen] == list(range(1, 13))
    assert resumed.finished
    assert_same(reference, resumed)
    (again,) = resumed.manifest["resumes"]
    assert again["after_step"] == max((k for k in (4, 8) if k < stop), default=0) and again["changed"] == []


def test_10_a_finished_run_can_be_resumed_too(finished):
    before = (finished.path / "manifest.json").read_bytes()
    seen: list[dict] = []
    again = train(Config(**{**finished.config, "resume": True}), watch=seen.extend)
    assert seen == finished.log(), "watch gets the earlier records"
    assert (again.path / "manifest.json").read_bytes() == before, "a finished run is not repeated"


def test_a_resumed_run_keeps_its_parameters_data_and_folder(config, finished):
    with pytest.raises(ConfigError, match="run_dir: .* holds a finished run. Name another folder, delete it, or set resume: true"):
        train(config(run_dir=str(finished.path)))
    with pytest.raises(ConfigError, match=r"^encoder_dropout: the run in .* has 0.1, not 0.2; a resumed run keeps its parameters"):
        train(Config(**{**finished.config, "resume": True, "encoder_dropout": 0.2}))


def test_a_run_does_not_resume_with_another_encoder_or_schedule(config):
    run = train(config(max_steps=2, checkpoint_every=1))
    kept = {**run.manifest, "status": "running"}
    given = Config(**{**run.config, "resume": True})
    for key, other, said in (
        ("encoder", {**kept["encoder"], "sha256": "0" * 64}, "^encoder: weights of .* changed after the run in .* had begun: undo"),
        (
            "encoder",
            {**kept["encoder"], "files": {**kept["encoder"]["files"], "tokenizer.json": "0" * 64}},
            "^encoder: tokenizer.json of .* changed after the run in .* had begun: undo",
        ),
        ("draws", {**kept["draws"], "squad": 99}, "^run_dir: the schedule of the run in .* would be another one now"),
    ):
        (run.path / "manifest.json").write_text(json.dumps({**kept, key: other}))
        with pytest.raises(ConfigError, match=said):
            train(given)
    (run.path / "manifest.json").write_text(json.dumps({key: value for key, value in kept.items() if key != "draws"}))
    assert train(given).finished, "a manifest of an older kit may lack them"


def test_a_run_of_another_version_is_compared_in_all_parameters(finished):
    file, given = finished.path / "config.yaml", {**finished.config, "resume": True}
    text = file.read_text()
    older = text.replace("rate_factors: {}\n", "")  # which an older kit did not have: its default
    try:
        file.write_text(older)
        assert older != text and train(Config(**given)).finished
        with pytest.raises(ConfigError, match=r"^rate_factors: the run in .* has {}, not {'cola': 2.0}; a resumed run keeps"):
            train(Config(**{**given, "rate_factors": {"cola": 2.0}}))
        file.write_text(f"{text}gone: 1\n")
        with pytest.raises(RunError, match="gone"):
            train(Config(**given))
    finally:
        file.write_text(text)


def test_config_yaml_records_the_threads_and_a_resumed_run_uses_them(config, monkeypatch):
    """So does a run of 0.2.0, which has them only in its manifest."""
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    small = config(tasks=["squad"], qa_weight=1.0, max_steps=2, checkpoint_every=1, threads=None)
    run = train(small)
    assert run.config["threads"] == run.manifest["threads"] == 2 and small.threads is None
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for kept in (run.config["threads"], None):
        (run.path / "config.yaml").write_text(changed(small, threads=kept).to_yaml())
        (run.path / "manifest.json").write_text(json.dumps({**run.manifest, "status": "running"}))
        again = train(changed(small, resume=True))
        assert again.finished and again.config["threads"] == again.manifest["threads"] == 2
    torch.set_num_threads(THREADS)
    with pytest.raises(ConfigError, match=r"^threads: the run in .* has 2, not 1; a resumed run keeps its parameters"):
        train(changed(small, resume=True, threads=1))


def test_a_resumed_run_refuses_changed_rows(config):
    """Of each split that it uses, including those that it scores."""
    small = config(tasks=["squad", "cola"], max_steps=2, checkpoint_every=1)
    run = train(small)
    kept = {**run.manifest, "status": "running"}
    for name in ("squad/train", "squad/validation", "cola/train", "cola/validation"):
        data = {**kept["data"], name: {**kept["data"][name], "fingerprint": "0"}}
        (run.path / "manifest.json").write_text(json.dumps({**kept, "data": data}))
        with pytest.raises(ConfigError, match=f"data: the rows of {name} have changed since the run in .* began"):
            train(changed(small, resume=True))
    assert kept["data"].keys() == {f"{task}/{split}" for task in ("squad", "cola") for split in ("train", "validation")}
    (run.path / "manifest.json").write_text(json.dumps(kept))
    assert train(changed(small, resume=True)).finished


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_15_the_same_seed_gives_the_same_run_in_any_process(config, tmp_path, precision, python):
    """Once here, after other use of the random generators, and once in a separate process."""
    one = config(run_dir=str(tmp_path / "one"), qa_weight=0.5, precision=precision)
    torch.manual_seed(1), torch.rand(3), np.random.seed(1)
    first = train(one)
    other = changed(one, run_dir=str(tmp_path / "two"))
    (tmp_path / "two.yaml").write_text(other.to_yaml())
    code = f"from mtdnn_kit import from_file, train; train(from_file({str(tmp_path / 'two.yaml')!r}))"
    subprocess.run([*python, "-c", code], check=True, capture_output=True, cwd=ROOT)
    assert_same(first, Run(other.run_dir))


def test_15_inspecting_a_setup_before_the_run_changes_nothing(config, tmp_path):
    one, two = (config(run_dir=str(tmp_path / name), qa_weight=0.5) for name in ("one", "two"))
    setup = prepare(two)
    setup.table(), [setup.batch(step) for step in (5, 0, 3)]
    assert_same(train(one), train(two, setup))


def test_a_setup_for_other_parameters_is_refused(config):
    setup = prepare(config())
    with pytest.raises(ConfigError, match="^setup: it was prepared for other parameters"):
        train(config(seed=3), setup)


def test_the_device_is_synchronised_only_when_the_log_is_written(config, monkeypatch):
    """No value of a tensor is read within a step: on a GPU each read would wait for all queued work."""
    reads = Counter()

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            reads[str(func)] += "local_scalar" in str(func) or "nonzero" in str(func)
            return func(*args, **(kwargs or {}))

    steps = []
    backward = torch.Tensor.backward
    monkeypatch.setattr(torch.Tensor, "backward", lambda self, *a, **k: (steps.append(1), backward(self, *a, **k))[1])
    add = Recorder.add

    def counted(self, step, *figures):
        add(self, step, *figures)
        if step == 5:
            assert sum(reads.values()) == 0, reads
            raise Stopped

    monkeypatch.setattr(Recorder, "add", counted)
    setup = prepare(config(qa_weight=0.4, log_every=100, max_steps=12))
    with pytest.raises(Stopped), Watch():
        train(setup.config, setup)
    assert len(steps) == 6 and len({setup.batch(k)[0] for k in range(6)}) > 2


def test_a_training_that_diverges_names_the_step_and_the_remedy(config):
    with pytest.raises(TrainingError, match=r"step \d+, task \w+: loss .* lower learning_rate"):
        train(config(learning_rate=1e30, max_steps=8, warmup=0.0))


def test_init_from_starts_from_another_runs_model(config, tmp_path, finished):
    changes = dict(encoder=finished.config["encoder"], init_from=str(finished.path), max_steps=1, learning_rate=1e-30, weight_decay=0.0)
    run = train(config(run_dir=str(tmp_path / "next"), **changes))
    assert run.manifest["encoder"]["origin"] == "run" and run.manifest["encoder"]["name"] == finished.manifest["encoder"]["name"]
    a, b = weights_of(finished), weights_of(run)
    assert all(torch.allclose(a[name], b[name], atol=1e-12) for name in a)
    fresh = train(config(run_dir=str(tmp_path / "fresh"), tasks=["squad", "codah_like"], define=LIKE_CODAH, **changes))
    assert any(name.startswith("heads.codah_like") for name in weights_of(fresh)), "a task that the run lacks gets a new head"
    with pytest.raises(ConfigError, match="init_from: .* is not a finished run"):
        train(config(init_from=str(tmp_path / "nowhere")))


COLUMNS = {"context": "sent1", "choices": ["ending0", "ending1", "ending2", "ending3"], "label": "label"}
LIKE_CODAH = {"codah_like": {"type": "mcc", "folder": "swag", "score": None, "columns": COLUMNS}}


def test_a_run_does_not_use_weights_that_know_the_questions_it_holds_out(config, tmp_path):
    """Of a run that trained on them, or that started from one, was held near one or merged from one. A run that held out as much, or more,
    or had other questions, will do."""
    alone, hold = dict(tasks=["squad"], qa_weight=1.0, max_steps=1), "threshold_articles"

    def run_of(name: str, first: Run | None = None, **changes) -> Run:
        return train(config(run_dir=str(tmp_path / name), **{hold: [], **alone, **changes}, init_from=first and str(first.path)))

    titles = sorted({row.title for row in read_rows(config(**alone))[0][0]["squad"]})[:2]
    both, none, sentences = run_of("both", **{hold: titles}), run_of("none"), run_of("sentences", tasks=["cola"])
    near = run_of("near", sentences, tasks=["cola"], anchor={"kind": "l2sp", "to": str(none.path), "strength": 0.1})
    merged = merge([sentences, none], run_dir=tmp_path / "merged")
    for first in (none, run_of("after", none), near, merged):
        with pytest.raises(
            ConfigError, match=f"^{hold}: .*, whose weights would be used, trained on the same file .* held out nothing, so"
        ):
            run_of("refused", first, **{hold: titles[:1]})
    with pytest.raises(ConfigError, match=rf"^{hold}: {re.escape(str(none.path))}, whose weights"):
        run_of("refused", **{hold: titles}, anchor={"kind": "l2sp", "to": str(none.path), "strength": 0.1})
    with pytest.raises(ConfigError, match=r"^threshold_ratio: .* held out threshold_articles: \["):
        run_of("refused", both, threshold_ratio=0.3)
    assert not (tmp_path / "refused").exists()
    for first in (both, sentences):
        assert run_of(f"from {first.name}", first, **{hold: titles[:1]}).finished


def test_the_same_ratio_is_enough_only_where_the_file_was_scored(config, tmp_path):
    """An unscored file takes the titles of the scored ones, which are others."""
    define = {
        "other": {"type": "qa", "files": {"train": str(ROOT / "mtdnn_kit/data/sample/squad/validation.jsonl")}, "validation_ratio": 0.3}
    }
    unscored = {"plain": {"type": "qa", "folder": "squad", "score": None}}
    mixed = dict(tasks=["other", "plain"], define={**define, **unscored}, qa_weight=0.5, threshold_ratio=0.2)
    ratio = dict(max_steps=1, threshold_ratio=0.2, threshold_articles=[])
    first = train(config(run_dir=str(tmp_path / "first"), **{**ratio, **mixed}))
    same = train(config(run_dir=str(tmp_path / "same"), **ratio, tasks=["squad"], qa_weight=1.0))
    for start, refused in ((first, True), (same, False)):
        later = config(run_dir=str(tmp_path / "later"), **ratio, tasks=["squad"], qa_weight=1.0, init_from=str(start.path))
        with pytest.raises(ConfigError, match="^threshold_ratio: .*held out threshold_ratio: 0.2") if refused else nullcontext():
            assert prepare(later).held_out


def test_unnamed_runs_are_numbered(config, tmp_path, monkeypatch):
    monkeypatch.setenv("MTDNN_RUNS", str(tmp_path / "runs"))
    small = dict(run_dir=None, tasks=["cola"], qa_weight=1.0, max_steps=1)
    assert [train(config(**small)).path.name for _ in range(2)] == ["001", "002"]


def test_unnamed_runs_need_a_folder_that_can_be_made(config, tmp_path, monkeypatch):
    (tmp_path / "runs").write_text("mine")
    monkeypatch.setenv("MTDNN_RUNS", str(tmp_path / "runs"))
    with pytest.raises((RunError, WriteError), match="runs.* cannot be written|runs.*Make it writable|runs.*name another"):
        train(config(run_dir=None, tasks=["cola"], qa_weight=1.0, max_steps=1))
    assert (tmp_path / "runs").read_text() == "mine"


def test_a_folder_that_is_not_a_run_is_reported(tmp_path):
    with pytest.raises(RunError, match="has no metrics.json and no manifest.json: it is not a run folder"):
        _ = Run(tmp_path).metrics
    with pytest.raises(RunError, match=r"nowhere: there is no such folder; correct the path \(a relative one starts at /"):
        _ = Run(tmp_path / "nowhere").config
    for run in ("study/a", "study/b"):
        (tmp_path / run).mkdir(parents=True)
        (tmp_path / run / "manifest.json").write_text("{}")
    with pytest.raises(RunError, match="study is not a run but a folder of 2 runs; name one of them: study/a, study/b$"):
        _ = Run(tmp_path / "study").config
    with pytest.raises(RunError, match="b has no metrics.json: the run has not reached that point, or its folder was copied incompletely"):
        _ = Run(tmp_path / "study/b").metrics
    with pytest.raises(RunError, match="manifest.json is a file; name a run folder"):
        _ = Run(tmp_path / "study/b/manifest.json").config


def test_bad_data_stops_a_run_before_anything_is_written(config, tmp_path):
    (tmp_path / "data" / "cola").mkdir(parents=True)
    (tmp_path / "data" / "cola" / "train.jsonl").write_text(json.dumps({"sentence": "x", "label": 2}))
    with pytest.raises(ValueError, match="line 1: column 'label' is 2"):
        train(config(tasks=["cola"], qa_weight=1.0, data=str(tmp_path / "data")))
    assert not (tmp_path / "run").exists()


def test_a_run_does_not_overwrite_the_project_or_a_file(config, tmp_path):
    (tmp_path / "file").write_text("mine")
    for place in (".", "..", str(tmp_path / "file")):
        with pytest.raises(ConfigError, match="^run_dir: .* name a folder for this run only"):
            train(config(run_dir=place, tasks=["cola"], qa_weight=1.0))
    assert (tmp_path / "file").read_text() == "mine"


def test_resume_without_a_run_is_refused(config, tmp_path):
    with pytest.raises(ConfigError, match="^resume: .*typo holds no run to resume"):
        train(config(run_dir=str(tmp_path / "typo"), resume=True, tasks=["cola"], qa_weight=1.0))
    assert not (tmp_path / "typo").exists()


def test_a_run_that_cannot_start_leaves_no_folder(config, tmp_path, finished):
    changes = {"columns": {"first": "sentence", "label": "label"}, "type": "sc", "folder": "cola", "labels": ["a", "b", "c"]}
    other = {"again": {**changes, "labels": ["a", "b"]}}
    first = train(config(run_dir=str(tmp_path / "first"), tasks=["again"], define=other, qa_weight=1.0, max_steps=1))
    for labels in (["a", "b", "c"], ["b", "a"]):
        later = dict(run_dir=str(tmp_path / "second"), tasks=["again"], qa_weight=1.0, init_from=str(first.path))
        with pytest.raises(ConfigError, match=r"^define: the labels of again are \['.*, and \['a', 'b'\] in the run of init_from: write"):
            train(config(**later, define={"again": {**changes, "labels": labels}}))
    assert not (tmp_path / "second").exists()


@pytest.mark.parametrize("name", ["type", "apply", "state_dict"])
def test_a_task_name_that_torch_uses_is_refused_before_anything_is_written(config, tmp_path, name):
    row = {"type": "sc", "folder": "cola", "columns": {"first": "sentence", "label": "label"}, "labels": ["a", "b"]}
    with pytest.raises(ValueError, match=f"^define: '{name}' cannot be a task's name"):
        train(config(tasks=[name], define={name: row}, qa_weight=1.0))
    assert not (tmp_path / "run").exists()
