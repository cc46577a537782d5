"""The command line: verbs, the common parser of --set, exit codes, and its messages on errors."""

import subprocess
import sys
import warnings

import pytest
import yaml
from conftest import ROOT

import mtdnn_kit.__main__ as command_line
from mtdnn_kit import Run
from mtdnn_kit.errors import ConfigError, RunError
from mtdnn_kit.studies import engines

VERBS = ("train", "study", "report keep", "report tables", "report write", "heldout", "affinity", "export", "merge", "prune", "plugins")


def ended(capsys, *words: str) -> tuple[int, str, str]:
    """Exit code, and the text of both streams."""
    try:
        command_line.main(words)
        code = 0
    except SystemExit as end:
        code = end.code
    return code, *capsys.readouterr()


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_explains_itself(verb, capsys):
    code, out, err = ended(capsys, *verb.split(), "--help")
    assert code == 0 and out.startswith(f"usage: mtdnn {verb} ") and not err


@pytest.mark.parametrize(
    "words", [(), ("tarin", "x.yaml"), ("train",), ("report",), ("study", "x.yaml", "--if-changed", "no"), ("export", "runs/x")]
)
def test_a_wrong_command_is_2(words, capsys):
    code, out, err = ended(capsys, *words)
    assert code == 2 and "usage: mtdnn" in err and not out


@pytest.mark.parametrize("verb", ["train", "study"])
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("max_steps", "'max_steps' is not KEY=VALUE; write e.g. --set max_steps=40"),
        ("=3", "'=3' is not KEY=VALUE"),
        ("tasks=[squad, cola", "'tasks=[squad, cola': the value is not YAML"),
        ("define={a: *x}", "the value is not YAML"),
    ],
)
def test_a_malformed_set_is_2_for_every_verb(verb, text, said, capsys):
    code, _, err = ended(capsys, verb, "parameters/demo.yaml", "--set", text)
    assert code == 2 and f"mtdnn {verb}: error: argument --set: " in err and said in err


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a=3", 3),
        ("a = b=c", "b=c"),
        ("a=[x, y]", ["x", "y"]),
        ("a=", None),
        ("a=C:\\x", "C:\\x"),
        ("a=été/x y", "été/x y"),
        ("a='1'", "1"),
    ],
)
def test_a_set_is_a_key_and_yaml(text, value):
    assert command_line.setting(text) == ("a", value)


def test_a_failure_is_1_with_a_one_line_message(tmp_path, capsys):
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump({"max_steps": 1}))
    code, out, err = ended(capsys, "train", str(file), "--set", "qa_wieght=1")
    assert (code, out) == (1, "") and err.startswith("qa_wieght: no such parameter. Did you mean qa_weight?") and err.count("\n") == 1
    code, _, err = ended(capsys, "train", str(tmp_path / "none.yaml"))
    assert code == 1 and "cannot be read" in err
    for words in (
        ("study", str(file)),
        ("report", "tables", str(tmp_path)),
        ("heldout", str(tmp_path)),
        ("export", str(tmp_path), "squad"),
    ):
        code, _, err = ended(capsys, *words)
        assert code == 1 and str(tmp_path) in err and "Traceback" not in err, words


def test_a_warning_of_the_training_is_printed_and_is_in_the_manifest(config, tmp_path, capsys):
    file = tmp_path / "mine.yaml"
    file.write_text(config(tasks=["squad"], qa_weight=1.0, max_steps=1, eval_limit=None).to_yaml())
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        command_line.main(["train", str(file)])
    (warned,) = Run(tmp_path / "run").manifest["warnings"]
    lines = capsys.readouterr().err.splitlines()
    assert warned.startswith("squad: no questions are held out") and lines.count(f"warning: {warned}") == 1
    assert not [line for line in lines if "Warning" in line or "setup.py" in line]


def test_a_closed_pipe_ends_it_quietly():
    """As `mtdnn data … | head -c 1` does."""
    command = [sys.executable, "-m", "mtdnn_kit", "data", *["mtdnn_kit/data/sample/cola/validation.jsonl"] * 400]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        said = process.stderr.read()
    assert (process.returncode, said) == (command_line.UNREAD, b"")


@pytest.mark.parametrize(("engine", "option"), [("local", "--gpus-per-run"), ("ray", "--gpus")])
def test_gpus_with_the_other_engine_are_a_wrong_command(engine, option, capsys):
    code, _, err = ended(capsys, "study", "parameters/ablations/demo.yaml", "--engine", engine, option, "1")
    assert code == 2 and f"{option}: engine {engine} does not have this option" in err


@pytest.mark.parametrize("more", [(), ("--dry-run",)])
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--address", "auto"), "address: engine local has no such option; it has workers, gpus; engine ray has it (--engine ray)"),
        (("--gpus", "77"), "gpus: '77' does not exist: torch sees "),
    ],
)
def test_options_that_an_engine_lacks_are_reported_before_anything_runs_and_by_a_dry_run(options, said, more, tmp_path, capsys):
    code, _, err = ended(capsys, "study", "parameters/ablations/demo.yaml", "--folder", str(tmp_path / "runs"), *options, *more)
    assert code == 1 and err.startswith(said) and not (tmp_path / "runs").exists()


def test_a_dry_run_checks_the_cluster_that_is_named(monkeypatch, tmp_path, capsys):
    def ray(jobs, address=None, cores=None, gpus=0.0):
        assert list(jobs) == []
        raise ConfigError(f"address: no Ray cluster is found at {address!r}")
        yield

    monkeypatch.setitem(engines.ENGINES, "ray", ray)
    words = (
        "study",
        "parameters/ablations/demo.yaml",
        "--dry-run",
        "--folder",
        str(tmp_path / "runs"),
        "--engine",
        "ray",
        "--address",
        "x:1",
    )
    code, _, err = ended(capsys, *words)
    assert (code, err) == (1, "address: no Ray cluster is found at 'x:1'\n")


def test_a_ray_that_is_not_installed_is_1(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    code, _, err = ended(capsys, "study", "parameters/ablations/demo.yaml", "--engine", "ray", "--folder", str(tmp_path / "runs"))
    assert code == 1 and err.splitlines()[-1] == "engine: Ray is not installed; pip install 'mtdnn-kit[ray]'"


def test_a_missing_run_is_reported(tmp_path, capsys):
    code, _, err = ended(capsys, "export", str(tmp_path / "none"), "squad")
    assert code == 1 and err.startswith(f"{tmp_path / 'none'}: there is no such folder; correct the path")


def test_an_interrupt_is_130(monkeypatch, capsys):
    def stop(given):
        raise KeyboardInterrupt

    monkeypatch.setattr(command_line, "train", stop)
    assert ended(capsys, "train", "parameters/demo.yaml") == (130, "", "Stopped; run the same command again to continue.\n")


def test_an_unexpected_error_keeps_its_traceback(monkeypatch):
    """An unexpected error inside the kit is not shortened to a line: fixing it needs the traceback."""
    monkeypatch.setattr(command_line, "train", lambda given: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        command_line.main(["train", "parameters/demo.yaml"])


def test_export_says_where_the_model_is(monkeypatch, capsys):
    import mtdnn_kit.inference.exporting as exporting

    def export(run, task, folder):
        if task == "mnli":
            raise RunError("task: 'mnli' is no task of it")
        return f"{run}/export/{task}" if folder is None else folder

    monkeypatch.setattr(exporting, "export", export)
    assert ended(capsys, "export", "runs/x", "squad") == (0, "runs/x/export/squad\n", "")
    assert ended(capsys, "export", "runs/x", "squad", "there") == (0, "there\n", "")
    assert ended(capsys, "export", "runs/x", "mnli") == (1, "", "task: 'mnli' is no task of it\n")


def test_former_commands_still_work(monkeypatch, capsys, python):
    """python -m mtdnn_kit STUDY, and a launcher's -m mtdnn_kit.launch FILE."""
    asked = []
    monkeypatch.setattr(command_line, "study", lambda given: asked.append((given.study, dict(given.set))))
    assert ended(capsys, "parameters/ablations/demo.yaml", "--set", "max_steps=2")[0] == 0
    assert asked == [("parameters/ablations/demo.yaml", {"max_steps": 2})]
    done = subprocess.run([*python, "-m", "mtdnn_kit.launch", "none.yaml"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.startswith("none.yaml: cannot be read")


def test_help_is_quick():
    """It imports neither torch nor anything that imports it."""
    code = "import sys, mtdnn_kit.__main__ as m; m.parser(); print('torch' in sys.modules or 'matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout == "False\n"
