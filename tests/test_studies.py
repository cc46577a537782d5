"""Studies: files read and refused, runs executed by the real papermill, skipped, gone on with, failed and stopped."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from conftest import ROOT

from mtdnn_kit import ConfigError
from mtdnn_kit.paper import TABLES
from mtdnn_kit.studies import StudyError, read_study, run_study, slug

SMALL = dict(max_steps=2, batch_size=2, max_length=96, overlap=10, precision="fp32", device="cpu", threads=1, eval_limit=3, log_every=1)
ABLATIONS = sorted((ROOT / "parameters" / "ablations").glob("*.yaml"))


@pytest.fixture
def study_file(tmp_path, tiny):
    """study_file(variants): a study of the tiny encoder in a folder of its own."""

    def write(variants: dict, **more) -> Path:
        base = tmp_path / "base.yaml"
        base.write_text(yaml.safe_dump({**SMALL, "encoder": tiny}))
        file = tmp_path / "mine.yaml"
        file.write_text("# Is a test\n# a study?\n" + yaml.safe_dump({"base": str(base), "variants": variants, **more}, sort_keys=False))
        return file

    return write


ALONE = {"tasks": ["squad"], "qa_weight": 1.0}


def test_a_study_file_becomes_named_runs_with_full_parameters(study_file, tmp_path):
    study = read_study(study_file({"QA": ALONE, "QA+SC": {"tasks": ["squad", "cola"], "seed": 5}}, fixed={"seed": 3, "epochs": 1.5}))
    assert (study.name, study.question) == ("mine", "Is a test a study?")
    made = study.configs(tmp_path / "runs", {"head_dropout": 0.2})
    assert {name: (c.tasks, c.seed, c.epochs, c.head_dropout) for name, c in made.items()} == {
        "QA": (["squad"], 3, 1.5, 0.2),
        "QA+SC": (["squad", "cola"], 5, 1.5, 0.2),
    }
    assert [Path(c.run_dir).name for c in made.values()] == ["qa", "qa-sc"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("variants: {a: {}}", "a study file has `base:`"),
        ("base: x.yaml\nvariants: [a]", "a study file has `base:`"),
        ("base: [", "not a YAML study file"),
        ("base: x.yaml\nvariants: {a: {}}\nvariant: 1", "variant: no such key. Did you mean variants?"),
        ("base: x.yaml\nvariants: {}", "variants names no run"),
        ("base: x.yaml\nvariants: {a: 3}", "variants: a is 3; it must map parameters"),
        ("base: x.yaml\nfixed: [1]\nvariants: {a: {}}", "fixed is [1]"),
        ("base: x.yaml\nvariants: {0.5: {}}", 'write "0.8" in quotes'),
        ("base: x.yaml\nvariants: {QA+SC: {}, qa-sc: {}}", "'QA+SC' and 'qa-sc' would share the folder qa-sc"),
        ("base: x.yaml\nvariants: {a: {}}\npaper: table 9", "the paper has table 1, table 2, table 3"),
    ],
)
def test_a_file_that_is_no_study_is_refused_by_key(tmp_path, content, message):
    (tmp_path / "bad.yaml").write_text(content)
    with pytest.raises(StudyError) as error:
        read_study(tmp_path / "bad.yaml")
    assert message in str(error.value) and "bad.yaml" in str(error.value)


def test_a_missing_file_says_where_it_was_looked_for(tmp_path):
    with pytest.raises(StudyError, match="cannot be read .*looked for"):
        read_study(tmp_path / "none.yaml")


def test_a_parameter_that_cannot_be_meant_stops_the_study_before_anything_runs(study_file, tmp_path):
    study = read_study(study_file({"QA": ALONE, "bad": {"qa_wait": 0.5}}))
    with pytest.raises(ConfigError, match="mine, run bad: qa_wait: no such parameter. Did you mean qa_weight"):
        run_study(study, tmp_path / "runs")
    with pytest.raises(ConfigError, match="changes: 'seed' must map parameters to values"):
        run_study(study, tmp_path / "runs", "seed")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("path", ABLATIONS, ids=lambda path: path.stem)
def test_the_studies_that_ship_have_the_papers_settings(path):
    study = read_study(path)
    assert study.question.count("?") == 1 and list(study.variants) == list(TABLES[study.paper])
    for name, config in study.configs(Path("runs")).items():
        kinds = {dataset.type for dataset in config.datasets.values()}
        assert kinds == ({"qa"} if name in ("QA", "1.0") else {"qa", *name.lower().split("+")} if "QA" in name else {"qa", "mcc", "sc"})
        assert config.qa_weight == (float(name) if study.paper == "table 1" else 1.0 if name == "QA" else 0.8)


def test_runs_are_executed_kept_with_their_notebook_and_not_run_again(study_file, tmp_path):
    study, seen = read_study(study_file({"QA": ALONE, "QA+SC": {"tasks": ["squad", "cola"]}})), []
    runs = run_study(study, tmp_path / "runs", watch=lambda states: seen.append([(s.name, s.status, s.steps, s.total) for s in states]))
    assert list(runs) == ["QA", "QA+SC"] and all(run.finished for run in runs.values())
    assert seen[0] == [("QA", "running", 0, None), ("QA+SC", "waiting", 0, None)]
    assert seen[-1] == [("QA", "done", 2, 2), ("QA+SC", "done", 2, 2)]
    for run in runs.values():
        assert {file.name for file in run.path.iterdir()} >= {"02_train.ipynb", "manifest.json"}
        assert not {"partial.ipynb", "papermill.txt"} & {file.name for file in run.path.iterdir()}
    ends = {name: run.manifest["end"] for name, run in runs.items()}
    again = run_study(study, tmp_path / "runs")
    assert {name: run.manifest["end"] for name, run in again.items()} == ends
    with pytest.raises(ConfigError, match=r"seed: the run in .* has 0, not 1"):
        run_study(study, tmp_path / "runs", {"seed": 1})


def test_an_interrupted_run_goes_on_and_a_failing_one_is_named_and_stops_no_other(study_file, tmp_path):
    study = read_study(study_file({"bad": {**ALONE, "threshold_articles": ["Nowhere"]}, "QA": ALONE}))
    with pytest.raises(StudyError) as error:
        run_study(study, tmp_path / "runs")
    told = str(error.value)
    assert told.startswith("1 of 2 runs failed.\nbad: code cell ") and "ConfigError: threshold_articles: no training question" in told
    kept = tmp_path / "runs" / "bad" / "02_train.ipynb"
    assert str(kept) in told and "threshold_articles" in kept.read_text()
    manifest = tmp_path / "runs" / "qa" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"finished"', '"running"'))
    study.variants.pop("bad")
    assert run_study(study, tmp_path / "runs")["QA"].finished


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="looks at processes through /proc")
def test_ctrl_c_stops_the_run_and_its_kernel(study_file, tmp_path):
    file = study_file({"QA": {**ALONE, "max_steps": 100_000, "epochs": 100_000.0}})
    command = [sys.executable, "-m", "mtdnn_kit.studies", str(file), "--folder", str(tmp_path / "runs")]
    study = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (tmp_path / "runs" / "qa" / "log.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.2)
    began = below(study.pid)
    study.send_signal(signal.SIGINT)
    study.wait(timeout=60)
    deadline = time.monotonic() + 30
    while any(map(alive, began)) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert len(began) >= 2, "papermill and its kernel"
    assert not any(map(alive, began)) and study.returncode != 0


def below(pid: int) -> list[int]:
    """A process's children, and theirs."""
    children = [int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()]
    return [*children, *(one for child in children for one in below(child))]


def alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize(("name", "folder"), [("QA+MCC+SC", "qa-mcc-sc"), ("0.8", "0.8"), ("../up", "up"), ("a b/c", "a-b-c")])
def test_a_runs_name_never_leads_out_of_the_studys_folder(name, folder):
    assert slug(name) == folder


def test_the_command_line_says_what_is_wrong_in_a_line(tmp_path):
    done = subprocess.run([sys.executable, "-m", "mtdnn_kit.studies", "no.yaml"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.startswith("no.yaml: cannot be read") and "Traceback" not in done.stderr


def test_the_command_line_shows_a_bar_a_run_and_the_runs(study_file, tmp_path):
    file = study_file({"QA": ALONE, "QA+SC": {"tasks": ["squad", "cola"]}})
    command = [sys.executable, "-m", "mtdnn_kit.studies", str(file), "--folder", str(tmp_path / "runs"), "--set", "max_steps=3"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[0] == "mine: Is a test a study?" and done.stdout.count("finished") == 2
    assert "QA        : 100%" in done.stderr and "QA+SC     : 100%" in done.stderr and "3/3" in done.stderr
    again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert again.stdout == done.stdout and "done" in again.stderr
