"""A study on a local Ray cluster: two workers, one killed during its run."""

import os
import signal
import subprocess
from pathlib import Path

import pytest
from conftest import ROOT
from processes import HANGS, alive, until
from sameness import assert_same
from test_running import COMMAND, TWO, write_study

from mtdnn_kit import Run, train
from mtdnn_kit.studies.study import read_study

pytest.importorskip("ray")
pytestmark = pytest.mark.usefixtures("warm_kernels")


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])


def worker_of(run: Path) -> int:
    """The id of the process that executes a run, from the file next to its lock."""
    return int((run / ".papermill.holder").read_text().split()[1])


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="looks at processes through /proc")
def test_a_run_resumes_from_its_checkpoint_after_its_worker_dies(tmp_path, tiny):
    """Both runs train at once. SIGKILL ends the Ray worker of a run that has a checkpoint; the result equals that without Ray."""
    file = write_study(tmp_path / "study", tiny, {name: {**changes, "max_steps": 30} for name, changes in TWO.items()})
    folder, other = tmp_path / "runs", train(read_study(file).configs(tmp_path / "other")["QA"])
    command = [*COMMAND, str(file), "--folder", str(folder), "--engine", "ray", "--cores", "1", "--plain", "--no-page"]
    study = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    until(lambda: list((folder / "qa" / "checkpoints").glob("step-*[0-9]")), study=study)
    victim = worker_of(folder / "qa")
    assert "ray::" in Path(f"/proc/{parent(victim)}/cmdline").read_text()
    os.kill(parent(victim), signal.SIGKILL)
    until(lambda: (folder / "qa" / ".papermill.holder").exists() and worker_of(folder / "qa") != victim, study=study)
    said = study.communicate(timeout=HANGS)[0]
    assert study.returncode == 0, said[-3000:]
    assert not alive(victim), "another process finished the run"
    assert_same(other, Run(folder / "qa"), ["squad"])
    assert Run(folder / "qa-sc").finished
