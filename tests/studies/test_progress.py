"""Progress of a training or a study in a terminal, a log file, a notebook and papermill's log."""

import fcntl
import io
import json
import logging
import os
import pty
import re
import struct
import subprocess
import sys
import termios

import nbformat
import papermill
import pytest
from conftest import ROOT

from mtdnn_kit import Run
from mtdnn_kit.files.atomic import write_json
from mtdnn_kit.studies.progress import Bars, Progress, RunState
from mtdnn_kit.training.log import TrainingBar

MOVES = """
from mtdnn_kit.training.log import TrainingBar
bar = TrainingBar(40, 0)
for step in range(1, 41):
    bar.move(step, f"squad {step}.000")
bar.close()
"""


def in_a_terminal(code: str) -> str:
    """The output of a process on a terminal of 100 columns."""
    here, there = pty.openpty()
    fcntl.ioctl(there, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    # tqdm redraws at most ten times a second; here it redraws on every update
    process = subprocess.Popen([sys.executable, "-c", code], stderr=there, cwd=ROOT, env={**os.environ, "TQDM_MININTERVAL": "0"})
    os.close(there)
    written = b""
    while True:
        try:
            part = os.read(here, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        written += part
    assert process.wait() == 0
    os.close(here)
    return written.decode()


def test_a_terminal_has_one_line_that_is_redrawn_and_erased_at_the_end():
    written = in_a_terminal(MOVES)
    drawn = written.split("\r")
    assert "\n" not in written and len(drawn) > 10
    assert any("training: " in line and "20/40" in line and "squad 20.000" in line for line in drawn)
    assert drawn[-1] == "" and drawn[-2].strip() == "", "the line is erased"


def test_a_log_file_gets_a_line_for_each_tenth(capsys):
    bar = TrainingBar(1000, 300)
    for step in range(310, 1001, 10):
        bar.move(step, "squad 1.500, 1,234 tokens/s")
    bar.close()
    lines = capsys.readouterr().err.split("\n")
    assert lines[-1] == "" and "\r" not in "".join(lines)
    assert [line.partition(", squad 1.500, 1,234 tokens/s")[0] for line in lines[:-1]] == [
        f"training: step {n} of 1,000" for n in ("400", "500", "600", "700", "800", "900", "1,000")
    ]
    assert lines[0].endswith(" left") and lines[-2].endswith("tokens/s")


def test_a_notebook_has_one_output_updated_in_place_and_papermills_log_is_clean(tmp_path, caplog, warm_kernels):
    """JupyterLab shows the output of that one display; nbconvert and papermill keep its last state."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(MOVES)])
    nbformat.write(notebook, tmp_path / "moves.ipynb")
    log = io.StringIO()
    handler = logging.StreamHandler(log)
    logging.getLogger("papermill").addHandler(handler)
    with caplog.at_level(logging.INFO, "papermill"):
        papermill.execute_notebook(
            str(tmp_path / "moves.ipynb"), str(tmp_path / "out.ipynb"), kernel_name="python3", log_output=True, progress_bar=False
        )
    logging.getLogger("papermill").removeHandler(handler)
    (cell,) = nbformat.read(tmp_path / "out.ipynb", 4).cells
    (output,) = cell.outputs
    assert output.output_type == "display_data" and output.data == {"text/plain": "training: step 40 of 40, squad 40.000"}
    assert "\r" not in log.getvalue() and "█" not in log.getvalue() and log.getvalue().count("training") <= 41


@pytest.fixture
def study() -> Progress:
    progress = Progress(["QA", "QA+SC"])
    for state in progress.states:
        state.total = 20
    return progress


def acted(progress: Progress, bars: Bars) -> None:
    """Simulates both runs step by step, two seconds each; the second fails."""
    for state, end in zip(progress.states, ("done", "failed"), strict=True):
        state.status, state.main = "running", "squad"
        for state.steps in range(0, 21):
            state.seconds, state.loss = 2.0 * state.steps, 6 - state.steps / 10
            bars(progress)
        state.status, state.error = end, "" if end == "done" else "cell 10: out of memory"
        bars(progress)


def test_a_study_in_a_log_file_reports_each_run_from_its_first_steps_on(study, capsys):
    """Preparing, the first steps, then each tenth of the run."""
    acted(study, Bars())
    written = capsys.readouterr().err
    lines = [re.sub(r"( of 2 done.*), [0-9:]+ left$", r"\1", line) for line in written.splitlines()]
    steps = ["1", *map(str, range(2, 21, 2))]
    losses = ["5.900", *(f"{6 - n / 10:.3f}" for n in range(2, 21, 2))]
    left = ["0:38 left", *(f"0:{40 - 2 * n:02} left" for n in range(2, 20, 2)), "scoring"]
    told = [f"step {n} of 20, squad loss {x}, {rest}" for n, x, rest in zip(steps, losses, left, strict=True)]
    assert "\r" not in written and lines == [
        "QA: preparing",
        "0 of 2 done, 1 running, 1 waiting",
        *(f"QA: {line}" for line in told),
        "QA: done, 20 steps",
        "1 of 2 done, 1 waiting",
        "QA+SC: preparing",
        "1 of 2 done, 1 running",
        *(f"QA+SC: {line}" for line in told),
        "QA+SC: failed: cell 10: out of memory",
        "1 of 2 done, 1 failed",
    ]


def test_a_long_run_has_about_ten_lines_in_a_log_file(capsys):
    bars, progress = Bars(), Progress(["QA"])
    (state,) = progress.states
    state.status, state.total = "running", 100_000
    for state.steps in range(0, 100_001, 10):
        bars(progress)
    assert len(capsys.readouterr().err.splitlines()) == 13, "all runs, preparing, the first steps, each tenth"


ACTED = """
import sys
sys.path[:0] = ["tests", "tests/studies"]
from test_progress import acted
from mtdnn_kit.studies.progress import Bars, Progress
progress = Progress(["QA", "QA+SC"])
for state in progress.states:
    state.total = 20
acted(progress, Bars())
"""


def test_a_study_in_a_terminal_has_a_bar_with_step_loss_and_time_left_for_each_run_in_progress():
    written = in_a_terminal(ACTED)
    for name in ("QA", "QA+SC"):
        assert f"{name}: preparing |" in written
        assert f"{name}: step 1 of 20, squad loss 5.900, 0:38 left |" in written
        assert f"{name}: step 10 of 20, squad loss 5.000, 0:20 left |██████████          |" in written


def logged(folder, steps: range, of: int, began: float, now: float, status: str = "running") -> Run:
    """A run folder as `train` leaves it halfway."""
    (folder / "manifest.json").write_text(json.dumps({"status": status, "draws": {"squad": of}, "steps": of}))
    os.utime(folder / "manifest.json", (began, began))
    records = [json.dumps({"step": n, "task": "squad", "loss": 2.0}) + "\n" for n in steps]
    (folder / "log.jsonl").write_text("".join(records))
    os.utime(folder / "log.jsonl", (now, now))
    return Run(folder)


def test_a_warning_of_several_runs_is_printed_once_and_so_is_a_takeover(tmp_path, capsys):
    """For runs in progress; runs that had finished before do not repeat theirs."""
    progress, bars = Progress(["a", "b", "c"]), Bars()
    for state, said in zip(progress.states, (["warning: x"], ["warning: x", "b: process 3 died with it"], ["warning: y"]), strict=True):
        (tmp_path / state.name).mkdir()
        run = logged(tmp_path / state.name, range(1, 11), 40, 1000, 1005)
        write_json(run.path / "manifest.json", {**run.manifest, "warnings": [line.removeprefix("warning: ") for line in said[:1]]})
        state.look(run)
        state.said += said[1:]
    progress.states[2].before, progress.states[2].status = 10, "done"
    bars(progress)
    progress.states[1].status = "running"
    progress.states[0].status = "running"
    for _ in range(2):
        bars(progress)
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if line.startswith(("warning", "b: process"))] == ["warning: x", "b: process 3 died with it"]


def test_the_time_left_is_computed_from_the_steps_and_after_a_resume_from_the_new_steps(tmp_path):
    state = RunState("QA", "running")
    assert str(state) == "preparing"
    state.look(logged(tmp_path, range(1, 11), 40, 1000, 1005))
    assert str(state) == "step 10 of 40, squad loss 2.000, 0:15 left", "half a second per step"
    state.look(logged(tmp_path, range(1, 41), 40, 1030, 1020, "finished"))
    assert str(state) == "step 40 of 40, squad loss 2.000, scoring", "the manifest is younger than the log"
    gone = RunState("QA", "running")
    gone.look(logged(tmp_path, range(1, 11), 40, 1000, 1005))
    gone.before = gone.steps
    gone.look(logged(tmp_path, range(1, 11), 40, 9000, 1005))
    assert str(gone) == "preparing"
    gone.look(logged(tmp_path, range(1, 21), 40, 9000, 9040))
    assert str(gone) == "step 20 of 40, squad loss 2.000, 1:20 left", "four seconds per step since the resume"


def test_a_run_killed_far_past_its_checkpoint_computes_the_time_left_from_the_steps_since(tmp_path):
    """The log had 950 of 1,000 steps, the checkpoint is of step 500: the log is truncated to step 500 and rewritten."""
    state = RunState("one")
    state.look(logged(tmp_path, range(1, 951), 1000, 1000, 1950))
    state.before = state.steps
    (tmp_path / "log.jsonl").rename(tmp_path / "old")  # the old file keeps its inode, which the new file must not get
    state.look(logged(tmp_path, range(1, 501), 1000, 9000, 9001))
    assert (state.before, state.steps, str(state)) == (500, 500, "preparing")
    state.look(logged(tmp_path, range(1, 521), 1000, 9000, 9020))
    assert str(state).endswith(", 8:00 left")
    (tmp_path / "log.jsonl").rename(tmp_path / "older")
    state.look(logged(tmp_path, range(0), 1000, 9100, 9101))
    assert (state.before, state.steps) == (0, 0), "without a checkpoint it starts at the first step"


def test_a_study_in_a_terminal_has_bars(study, capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    acted(study, Bars())
    written = capsys.readouterr().err
    assert "QA: done, 20 steps\n" in written and "QA+SC: failed: cell 10: out of memory\n" in written
    assert written.count("\r") > 5 and "1 of 2 done, 1 failed |" in written
