"""Studies executed by the real papermill in separate processes: runs skipped, resumed, failed, stopped, killed, refused."""

import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest
import yaml
from conftest import ROOT, study_text
from papermill import PapermillExecutionError
from processes import HANGS, alive, below, until
from sameness import assert_same
from warm import WITHOUT

from mtdnn_kit import ConfigError, Run, train
from mtdnn_kit.__main__ import ENDING
from mtdnn_kit.errors import LockedError, StudyError
from mtdnn_kit.files.locks import held
from mtdnn_kit.runs.run import checkpoints, prune_checkpoints
from mtdnn_kit.studies import engines, running
from mtdnn_kit.studies.progress import Progress
from mtdnn_kit.studies.running import run_study
from mtdnn_kit.studies.sharing import Todo
from mtdnn_kit.studies.status import Standing, code, standings
from mtdnn_kit.studies.study import read_study
from mtdnn_kit.views import tables

SMALL = dict(max_steps=12, batch_size=2, max_length=96, overlap=10, precision="fp32", device="cpu", threads=1, eval_limit=3, log_every=1)
TWO = {"QA": {"tasks": ["squad"], "qa_weight": 1.0}, "QA+SC": {"tasks": ["squad", "cola"], "qa_weight": 0.5}}
COMMAND = [sys.executable, "-m", "mtdnn_kit", "study"]
pytestmark = pytest.mark.usefixtures("warm_kernels", "warm_workers")


def write_study(folder: Path, tiny: str, variants: dict, **more) -> Path:
    """A study file of the tiny encoder, with its base file."""
    folder.mkdir(exist_ok=True)
    (folder / "base.yaml").write_text(yaml.safe_dump({**SMALL, "encoder": tiny, "checkpoint_every": 2, "keep_checkpoints": True}))
    (folder / "mine.yaml").write_text(study_text({"base": str(folder / "base.yaml"), "variants": variants, **more}))
    return folder / "mine.yaml"


def copied(finished: Path, to: Path) -> Path:
    shutil.copytree(finished, to)
    for file in to.glob("*/config.yaml"):
        file.write_text(file.read_text().replace(str(finished), str(to)))
    return to


@pytest.fixture(scope="module")
def finished(tmp_path_factory, tiny, python, warm_kernels):
    """A study of two runs, made by one command with two workers: its file, its folder, the finished command."""
    folder = tmp_path_factory.mktemp("finished")
    file = write_study(folder / "study", tiny, TWO)
    command = [*python, "-m", "mtdnn_kit", "study", str(file), "--folder", str(folder / "runs"), "--workers", "2"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return file, folder / "runs", done


def test_one_command_runs_a_study_and_writes_runs_notebooks_and_a_page(finished):
    _, folder, done = finished
    assert done.stdout.splitlines()[0] == "mine: Is a test a study?" and done.stdout.count(": finished, squad") == 2
    assert "QA: done, 12 steps" in done.stderr and "QA+SC: done, 12 steps" in done.stderr and "2 of 2 done" in done.stderr
    for name, variant in (("qa", "QA"), ("qa-sc", "QA+SC")):
        run = Run(folder / name)
        assert run.finished and (run.path / "02_train.ipynb").exists()
        assert not {"partial.ipynb", "papermill.txt"} & {file.name for file in run.path.iterdir()}
        record = json.loads((run.path / "study.json").read_text())
        assert (record["study"], record["run"], record["variant"], record["seed"]) == ("mine", variant, variant, 0)
        assert {"training/loop.py", "02_train.ipynb"} <= set(record["code"])
    shown = done.stdout.splitlines()[-11:-6]
    assert [line.split("  ")[0] for line in shown] == ["run", "QA", "QA+SC", "no-answer baseline", "lexical overlap"], "the table"
    assert done.stdout.endswith((folder / "summary.md").read_text()), "followed by the summary"
    assert done.stdout.count("lexical overlap  ") == 1, "the table is printed once"
    page = (folder / "study.html").read_text()
    order = ["<h1>Study: mine</h1>", "Is a test a study?", 'href="answers.html"', "Of these 2 models", "image/png", "no-answer baseline"]
    order += ["Each task next to chance", "How it was made", "<summary>The code of this page"]
    assert [page.find(text) for text in order] == sorted(page.index(text) for text in order), "a report with its code folded at the end"
    assert page.index("run_study") > page.index(order[-1]) and page.count("<img") == page.count('alt="') and "No description" not in page
    assert "papermill" not in page[: page.index(order[-1])] and "mx-page" in (folder / "answers.html").read_text()


def test_a_plain_study_needs_no_jupyter_and_trains_the_same_models(finished, tmp_path, python):
    file, folder, _ = finished
    command = [*python, "-m", "mtdnn_kit", "study", str(file), "--folder", str(tmp_path / "runs"), "--plain", "--workers", "2"]
    jupyter = "papermill nbclient nbformat IPython ipykernel ipywidgets traitlets"
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, WITHOUT: jupyter})
    assert done.returncode == 0, done.stderr[-3000:]
    assert f"page: {tmp_path / 'runs' / 'study.html'}\n" in done.stdout and "2 of 2 done" in done.stderr
    assert tables.aligned(tables.read(folder), ENDING) in done.stdout, "the same table"
    assert (tmp_path / "runs" / "summary.md").read_text().split("\n\n")[1:] == (folder / "summary.md").read_text().split("\n\n")[1:]
    for name in ("table.csv", "table.md", "table.tex"):
        assert (tmp_path / "runs" / name).read_text() == (folder / name).read_text()
    scores = [pd.read_csv(place / "scores.csv").drop(columns="folder") for place in (tmp_path / "runs", folder)]
    pd.testing.assert_frame_equal(*scores)
    page = (tmp_path / "runs" / "study.html").read_text()
    assert "Of these 2 models" in page and 'href="answers.html"' in page and "mx-page" in (tmp_path / "runs" / "answers.html").read_text()
    assert "<h2>Judged by F1</h2><table>" in page and "no-answer baseline" in page and "image/png" in page and "Is a test a study?" in page
    for name, tasks in (("qa", ("squad",)), ("qa-sc", ("squad", "cola"))):
        assert_same(Run(tmp_path / "runs" / name), Run(folder / name), tasks)
        assert not list((tmp_path / "runs" / name).glob("*.ipynb"))
    assert {s.status for s in standings(read_study(file).configs(tmp_path / "runs"), code(ROOT / running.NOTEBOOK)).values()} == {"done"}


def test_a_plain_run_that_fails_says_why(tmp_path, tiny):
    file = write_study(tmp_path / "study", tiny, {"QA": {"tasks": ["squad"], "qa_weight": 1.0}}, fixed={"cuda_graphs": True})
    with pytest.raises(StudyError, match=r"QA: its process ended with 1: .*ConfigError: cuda_graphs: it works on a single GPU only"):
        run_study(read_study(file), tmp_path / "runs", plain=True)


def test_finished_runs_are_not_run_again(finished):
    file, folder, _ = finished
    ends = {name: Run(folder / name).manifest["end"] for name in ("qa", "qa-sc")}
    seen: list[Progress] = []
    again = run_study(read_study(file), folder, watch=seen.append)
    assert {run.path.name: run.manifest["end"] for run in again.values()} == ends
    assert [(state.status, state.steps, state.total) for state in seen[-1].states] == [("done", 12, 12)] * 2


@pytest.fixture
def planned(finished, tmp_path):
    """A copy of the finished study that a test may damage, and a function that names the runs it would execute."""
    file, folder, _ = finished
    folder, study = copied(folder, tmp_path / "runs"), read_study(file)

    def jobs(changes=None, if_changed="refuse"):
        with closing(Todo(study, folder, study.runs, study.configs(folder, changes), if_changed)) as todo:
            return [job.name for job in todo.jobs()]

    return folder, jobs


def test_a_run_made_with_other_code_is_refused_kept_or_run_again(planned):
    folder, jobs = planned
    assert jobs() == []
    record = json.loads((folder / "qa" / "study.json").read_text())
    record["code"].update({"training/optim.py": "0", "02_train.ipynb": "0"})
    (folder / "qa" / "study.json").write_text(json.dumps(record))
    refused = r"1 of 2 runs have changed(.|\n)*QA \(done\): code: 02_train.ipynb, training/optim.py"
    with pytest.raises(StudyError, match=refused):
        jobs()
    assert jobs(if_changed="keep") == [] and (folder / "qa" / "metrics.json").exists()
    assert jobs(if_changed="redo") == ["QA"] and not (folder / "qa").exists() and (folder / "qa-sc").exists()
    with pytest.raises(ConfigError, match="if_changed: 'maybe' must be one of refuse, redo, keep"):
        jobs(if_changed="maybe")


def test_a_run_with_other_parameters_is_never_kept(planned):
    _, jobs = planned
    for choice in ("refuse", "keep"):
        with pytest.raises(StudyError, match=r"2 of 2 runs(.|\n)*QA \(done\): seed: 0, now 1\n"):
            jobs({"seed": 1}, choice)
    assert jobs({"seed": 1}, "redo") == ["QA", "QA+SC"]


def test_a_run_on_other_data_is_refused(planned):
    folder, jobs = planned
    manifest = json.loads((folder / "qa-sc" / "manifest.json").read_text())
    manifest["data"]["cola/train"]["fingerprint"] = "0"
    (folder / "qa-sc" / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(StudyError, match=r"QA\+SC \(done\): data: cola/train\n"):
        jobs()
    assert jobs(if_changed="keep") == []


def test_a_parameter_missing_from_an_older_run_counts_as_its_default(planned):
    folder, jobs = planned
    config = folder / "qa" / "config.yaml"
    config.write_text(config.read_text().replace("interference_every: null\n", ""))
    assert jobs() == []


def test_a_begun_run_resumes_and_one_without_a_checkpoint_restarts_after_changes(planned):
    folder, jobs = planned
    for name in ("qa", "qa-sc"):
        manifest = folder / name / "manifest.json"
        manifest.write_text(manifest.read_text().replace('"finished"', '"running"'))
    assert jobs() == ["QA", "QA+SC"] and (folder / "qa" / "checkpoints").exists()
    shutil.rmtree(folder / "qa" / "checkpoints")
    with pytest.raises(StudyError, match=r"1 of 2 runs(.|\n)*QA\+SC \(begun\): seed"):
        jobs({"seed": 1})
    shutil.rmtree(folder / "qa-sc" / "checkpoints")
    assert jobs({"seed": 1}) == ["QA", "QA+SC"] and not (folder / "qa").exists()


def test_prose_and_outputs_of_the_notebook_do_not_count_as_code(tmp_path):
    notebook = json.loads((ROOT / "notebooks" / "02_train.ipynb").read_text())
    (tmp_path / "02_train.ipynb").write_text(json.dumps(notebook))
    before = code(tmp_path / "02_train.ipynb")
    notebook["cells"][0]["source"] = ["other prose"]
    notebook["cells"][-1]["outputs"] = []
    (tmp_path / "02_train.ipynb").write_text(json.dumps(notebook))
    assert code(tmp_path / "02_train.ipynb") == before
    notebook["cells"][-1]["source"] = ["1 + 1"]
    (tmp_path / "02_train.ipynb").write_text(json.dumps(notebook))
    assert code(tmp_path / "02_train.ipynb") != before


def test_unreadable_data_are_reported(finished, tmp_path):
    file, folder, _ = finished
    configs = read_study(file).configs(folder, {"data": str(tmp_path / "nowhere")})
    stands = standings(configs, code(ROOT / "notebooks" / "02_train.ipynb"))["QA"]
    data, articles = stands.parameters  # the default articles exist only in the sample
    assert (
        data == f"data: 'sample', now '{tmp_path / 'nowhere'}'"
        and articles.startswith("threshold_articles: [")
        and articles.endswith("now []")
    )
    assert "data: squad/train (cannot be read: " in stands.rest[0] and "there is no such folder" in stands.rest[0]


LOOK = """
import os
from pathlib import Path
from mtdnn_kit.studies.status import code, standings
from mtdnn_kit.studies.study import read_study

found = standings(read_study({file!r}).configs(Path({folder!r})), code(Path({notebook!r})))
print([stands.status for stands in found.values()], open(f"/proc/self/task/{{os.getpid()}}/children").read().split())
"""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="looks at processes through /proc")
def test_a_script_without_a_main_guard_reads_a_study_and_leaves_no_process(finished, tmp_path, python):
    """A notebook's kernel waits half a minute for a child that does not end by itself."""
    file, folder, _ = finished
    script = LOOK.format(file=str(file), folder=str(folder), notebook=str(ROOT / "notebooks" / "02_train.ipynb"))
    (tmp_path / "look.py").write_text(script)
    done = subprocess.run([*python, str(tmp_path / "look.py")], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "['done', 'done'] []\n", done.stderr[-2000:]


def test_a_killed_study_repeats_no_finished_run_and_equals_the_undisturbed_one(finished, tmp_path, tiny, python):
    """SIGKILL ends the process group once one run is done and the next has a checkpoint; then the same command runs again."""
    _, reference, _ = finished
    file, folder = write_study(tmp_path / "study", tiny, TWO), copied(reference, tmp_path / "runs")
    shutil.rmtree(folder / "qa-sc")
    command = ["-m", "mtdnn_kit", "study", str(file), "--folder", str(folder), "--no-page"]
    silent = dict(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    study = subprocess.Popen([sys.executable, *command], cwd=ROOT, **silent, start_new_session=True)
    until(lambda: list((folder / "qa-sc" / "checkpoints").glob("step-*[0-9]")), study=study)
    began = below(study.pid)
    os.killpg(study.pid, signal.SIGKILL)
    study.wait()
    assert len(began) >= 2, "a worker and its kernel"
    end = Run(folder / "qa").manifest["end"]
    done = subprocess.run([*python, *command], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert not any(map(alive, began)), "the killed processes are gone"
    assert Run(folder / "qa").manifest["end"] == end
    for name, tasks in (("qa", ["squad"]), ("qa-sc", ["squad", "cola"])):
        assert_same(Run(reference / name), Run(folder / name), tasks)


def test_a_failed_run_is_named_and_does_not_stop_the_others(finished, tmp_path, tiny):
    bad = {"bad": {**TWO["QA"], "threshold_articles": ["Nowhere"]}, "QA": TWO["QA"]}
    study, folder = read_study(write_study(tmp_path / "study", tiny, bad)), tmp_path / "runs"
    with pytest.raises(StudyError) as error:
        run_study(study, folder)
    told, kept = str(error.value), folder / "bad" / "02_train.ipynb"
    assert told.startswith("1 of 2 runs failed.\nbad: code cell ") and "ConfigError: threshold_articles: no training question" in told
    assert str(kept) in told and "threshold_articles" in kept.read_text()
    assert Run(folder / "qa").finished


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="looks at processes through /proc")
@pytest.mark.parametrize(("how", "workers"), [(signal.SIGINT, 1), (signal.SIGKILL, 2)])
def test_runs_and_kernels_end_with_the_command_and_damage_no_file(tmp_path, tiny, how, workers, monkeypatch):
    """The processes start as a user's do: no libraries are imported in advance."""
    monkeypatch.delenv("JUPYTER_PATH")
    begun = dict(list(TWO.items())[:workers])
    endless = {name: {**changes, "max_steps": 100_000, "epochs": 1000.0} for name, changes in begun.items()}
    file, folder = write_study(tmp_path / "study", tiny, endless), tmp_path / "runs"
    command = [*COMMAND, str(file), "--folder", str(folder), "--workers", str(workers)]
    study = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    until(lambda: all(any((folder / name / "checkpoints").glob("step-*[0-9]")) for name in ("qa", "qa-sc")[:workers]), study=study)
    began = below(study.pid)
    study.send_signal(how)
    said = study.communicate(timeout=HANGS)[1]
    until(lambda: not any(map(alive, began)))
    assert len(began) >= 2 * workers, "workers and their kernels"
    if how == signal.SIGINT:
        assert study.returncode == 130 and "Stopped; run the same command again to continue." in said and "Traceback" not in said
    whole = [file for file in folder.rglob("*.json") if not any(part.endswith(".partial") for part in file.parts)]
    assert whole and all(json.loads(file.read_text()) for file in whole)
    kept = {"model.safetensors", "optimizer.safetensors", "state.json"}
    steps = list(folder.glob("*/checkpoints/step-*[0-9]"))
    assert len({step.parent for step in steps}) == workers and all({file.name for file in step.iterdir()} == kept for step in steps)


def test_a_missing_study_file_is_reported_without_a_traceback(tmp_path):
    done = subprocess.run([*COMMAND, "no.yaml"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.startswith("no.yaml: cannot be read") and "Traceback" not in done.stderr


def test_unknown_engines_and_options_are_refused_before_any_run(finished, tmp_path):
    study = read_study(finished[0])
    with pytest.raises(ConfigError, match="engine: 'slurm' is unknown; choose from local, ray"):
        run_study(study, tmp_path / "runs", engine="slurm")
    with pytest.raises(ConfigError, match="address: engine local has no such option; it has workers, gpus"):
        run_study(study, tmp_path / "runs", address="auto")
    for workers in (0, "2", True):
        with pytest.raises(ConfigError, match=f"^workers: {workers!r} must be a whole number, at least 1"):
            run_study(study, tmp_path / "runs", workers=workers)
    assert not (tmp_path / "runs").exists()


def test_workers_share_gpus(monkeypatch, config):
    """Three runs at a time on two GPUs. The number of workers does not change the threads of a run."""
    begun = []

    class Child:
        returncode, looks = 0, 0

        def poll(self):
            self.looks += 1
            return None if self.looks < 2 else 0

    monkeypatch.setattr(
        engines, "_begin", lambda job, threads, more: begun.append((job.name, threads, more["CUDA_VISIBLE_DEVICES"])) or Child()
    )
    monkeypatch.setattr(engines, "_end", lambda job, child: "")
    monkeypatch.setattr(engines, "default_threads", lambda: 4)
    monkeypatch.setattr(engines, "BEAT", 0)
    jobs = [engines.Job(name, config(), "x", "/", {}) for name in "abcd"]
    ended = [one for step in engines.local(jobs, workers=3, gpus=[0, 5]) for one in step]
    assert begun == [("a", 4, "0"), ("b", 4, "5"), ("c", 4, "0"), ("d", 4, "0")] and sorted(ended) == list("abcd")


STUB = """
import sys
from mtdnn_kit.studies import running
from mtdnn_kit.studies import engines
from mtdnn_kit.studies.study import read_study
import resource
engines.WORKER, engines.BEAT = [sys.executable, "-S", "-c", open(sys.argv[1]).read()], 0.2
looks, beats = [], []
sys.addaudithook(lambda event, given: looks.append(1) if event == "open" and str(given[0]).endswith("log.jsonl") else None)
runs = running.run_study(read_study(sys.argv[2]), sys.argv[3], watch=beats.append, workers=16)
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(len(runs), len(looks), len(beats), memory * (1 if sys.platform == "darwin" else 1024))
"""
WORKER = """
import json, os, sys
given = json.loads(sys.stdin.readline())
folder = os.path.dirname(given["made"])
open(given["made"], "w").write('{"cells": []}')
open(folder + "/config.yaml", "w").write("tasks: [squad]")
open(folder + "/log.jsonl", "w").write("".join('{"step": %d, "task": "squad", "loss": 1.0}\\n' % (k + 1) for k in range(1000)))
with open(folder + "/manifest.partial", "w") as file:
    file.write('{"status": "finished", "steps": 1000, "draws": {"squad": 1000}}')
os.rename(folder + "/manifest.partial", folder + "/manifest.json")  # atomic, as a run writes it
"""


def test_the_driver_of_200_runs_reads_few_logs_and_needs_little_memory(tmp_path, tiny):
    """A stub replaces the worker. At each beat the driver reads the logs of at most 16 active runs, and the log of each finished run once.

    A shell starts the driver: peak memory counts from the fork, and the process of this test has torch loaded.
    """
    file = write_study(tmp_path / "study", tiny, {"QA": TWO["QA"]})
    content = yaml.safe_load(file.read_text())
    del content["variants"]
    content |= {"fixed": TWO["QA"], "vary": {"epochs": [k / 8 for k in range(8, 58)], "warmup": [0.1, 0.2]}, "seeds": [0, 1]}
    file.write_text(study_text(content))
    (tmp_path / "worker.py").write_text(WORKER)
    done = subprocess.run(
        ["sh", "-c", '"$@"; exit $?', "sh", sys.executable, "-c", STUB, tmp_path / "worker.py", file, tmp_path / "runs"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    runs, looks, beats, memory = map(int, done.stdout.split())
    assert runs == 200 and 200 <= looks <= 16 * beats + 200 and memory < 300e6, done.stdout


def test_progress_reads_only_new_lines_and_keeps_a_thinned_curve(tmp_path):
    progress, run = Progress(["a", "b"]), Run(tmp_path)
    state = progress.states[0]
    state.look(run)
    assert (state.steps, state.total) == (0, None), "no file exists yet"
    (tmp_path / "manifest.json").write_text('{"steps": 1000, "draws": {"squad": 900, "cola": 100}}')
    lines = [json.dumps({"step": k + 1, "task": "cola" if k % 10 == 9 else "squad", "loss": float(k)}) + "\n" for k in range(1000)]
    with open(tmp_path / "log.jsonl", "w") as log:
        for part in (lines[:3], [lines[3][:7]], [lines[3][7:], *lines[4:]]):
            log.write("".join(part))
            log.flush()
            state.look(run)
            if part == [lines[3][:7]]:
                assert state.steps == 3 and [step for step, _ in state.losses] == [1, 2, 3], "an incomplete line is not read yet"
    assert (state.steps, state.total) == (1000, 1000) and 100 < len(state.losses) <= 400
    assert all(abs(step - 1 - loss) < 1e-9 for step, loss in state.losses), "means of steps and of losses"
    (tmp_path / "log.jsonl").unlink()
    (tmp_path / "log.jsonl").write_text("".join(lines[:5]))
    state.look(run)
    assert state.steps == 5 and len(state.losses) == 5, "a shorter log is read from its start"
    other = [line.replace('"loss"', '"other": 1, "loss"') for line in lines[:9]]
    (tmp_path / "log.jsonl").write_text("".join(other))  # the same file, as the system may give a new one the number of a deleted one
    state.look(run)
    assert state.steps == 9 and len(state.losses) == 9, "so is another run's log, however long"


def test_progress_counts_runs_and_estimates_the_time_left(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    progress = Progress(["a", "b", "c", "d"])
    assert str(progress) == "0 of 4 done, 4 waiting" and progress.seconds_left() is None
    a, b, c, _ = progress.states
    a.status, a.steps, a.before, a.total = "done", 50, 50, 50
    b.status, b.steps, b.before, b.total = "running", 30, 10, 150
    c.status = "failed"
    now[0] += 40
    assert progress.seconds_left() == pytest.approx(2.0 * (120 + 100)), "2 s per step; a waiting run counts as the mean of the others"
    assert str(progress) == "1 of 4 done, 1 running, 1 failed, 1 waiting, 7:20 left" and not progress.over


def test_a_standing_says_what_changed():
    assert Standing("done", ["seed: 0, now 1"], ["code: x.py"]).changed == ["seed: 0, now 1", "code: x.py"]


def test_a_page_that_cannot_be_made_says_where_the_notebook_stopped(tmp_path, monkeypatch):
    from mtdnn_kit.studies import page

    def stop(*_, **__):
        raise PapermillExecutionError(3, 3, "", "CompareError", "QA: was not scored", [])

    monkeypatch.setattr(page, "execute", stop)
    with pytest.raises(StudyError, match="The runs are done, but notebook 03 stopped: CompareError: QA: was not scored"):
        page.write_page("mine.yaml", tmp_path)


def test_a_folder_with_an_active_training_is_refused(config, monkeypatch):
    monkeypatch.setattr("mtdnn_kit.training.trainer.GONE", 0.0)
    small = config(tasks=["cola"], qa_weight=1.0, max_steps=1)
    Path(small.run_dir).mkdir()
    with held(Path(small.run_dir, ".lock"), "a training is running"), pytest.raises(LockedError, match="a training is running already"):
        train(small)
    assert not Path(small.run_dir, "manifest.json").exists() and train(small).finished


@pytest.mark.parametrize(("own", "begun", "threads"), [(None, None, "5"), (2, None, "2"), (None, 3, "3"), (2, 3, "2")])
def test_a_run_uses_its_configured_threads_else_those_it_began_with_else_its_share(config, monkeypatch, own, begun, threads):
    program = (
        "import json, os, sys; print(json.dumps([json.loads(sys.stdin.readline())['parameters']['resume'], os.environ['OMP_NUM_THREADS']]))"
    )
    monkeypatch.setattr(engines, "WORKER", [sys.executable, "-S", "-c", program])
    job = engines.Job("a", config(threads=own), "x.ipynb", str(ROOT), {})
    if begun:
        job.run.path.mkdir()
        (job.run.path / "manifest.json").write_text(json.dumps({"threads": begun, "status": "running"}))
    child = engines._begin(job, 5, {})
    child.wait()
    child.stdin.close()
    assert json.loads((job.run.path / "papermill.txt").read_text()) == [bool(begun), threads]


def test_a_run_does_not_start_with_code_that_changed_during_the_study(tmp_path):
    now = code(ROOT / "notebooks" / "02_train.ipynb")
    record = {"code": {**now, "training.py": "0"}}
    given = {
        "notebook": str(ROOT / "notebooks" / "02_train.ipynb"),
        "made": str(tmp_path / "partial.ipynb"),
        "record": record,
        "plain": False,
        "parameters": {},
    }
    worker = subprocess.Popen(engines.WORKER, cwd=ROOT, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    worker.stdin.write(json.dumps(given) + "\n")
    worker.stdin.flush()
    said = worker.stderr.read()
    worker.communicate()
    assert worker.returncode == 1 and said.strip() == "training.py changed while the study was running; start it again"
    assert not list(tmp_path.iterdir())


def test_pruning_renames_old_checkpoints_before_it_removes_them_and_partial_ones(tmp_path, monkeypatch):
    for name in ("step-0000002", "step-0000004", "step-0000006", "step-0000008.partial"):
        (tmp_path / "checkpoints" / name).mkdir(parents=True)
    removed = []
    monkeypatch.setattr(shutil, "rmtree", lambda folder: removed.append(folder.name))
    prune_checkpoints(Run(tmp_path), 2)
    assert sorted(removed) == ["step-0000002.partial", "step-0000008.partial"]
    assert [step for step, _ in checkpoints(Run(tmp_path))] == [4, 6]
