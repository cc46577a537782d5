"""The resources that an engine gives a run, whatever else is running: threads, an existing GPU. No process is started here."""

from types import SimpleNamespace

import pytest
from conftest import ROOT

from mtdnn_kit.errors import ConfigError
from mtdnn_kit.studies import engines
from mtdnn_kit.studies.running import run_study
from mtdnn_kit.studies.study import read_study

STUDY = read_study(ROOT / "parameters/ablations/demo.yaml")


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_a_run_has_the_same_threads_alone_and_with_others(monkeypatch, config, workers):
    """With several workers there are more threads than cores; they wait without spinning."""
    begun = []
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    monkeypatch.setattr(engines, "default_threads", lambda: 4)
    ended = SimpleNamespace(poll=lambda: 0)
    monkeypatch.setattr(engines, "_begin", lambda job, threads, more: begun.append((threads, more)) or ended)
    monkeypatch.setattr(engines, "_end", lambda job, child: "")
    jobs = [engines.Job(name, config(), "x", "/", {}) for name in "abcd"]
    assert sorted(one for step in engines.local(jobs, workers) for one in step) == list("abcd")
    assert begun == [(4, {} if workers == 1 else {"OMP_WAIT_POLICY": "passive"})] * 4


def test_gpus_that_do_not_exist_are_refused_before_anything_runs(tmp_path, monkeypatch):
    seen = {"count": 0}
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr("torch.cuda.device_count", lambda: seen["count"])
    for gpus in ([0], ["0"], ["GPU-3"]):
        with pytest.raises(ConfigError, match=f"^gpus: '{gpus[0]}' does not exist: torch sees no GPU; leave gpus out"):
            run_study(STUDY, tmp_path / "runs", gpus=gpus)
    seen["count"] = 2
    for gpu in ("2", "x", "-1"):
        with pytest.raises(ConfigError, match=f"^gpus: '{gpu}' does not exist: torch sees 2 GPUs here, which count from 0"):
            run_study(STUDY, tmp_path / "runs", gpus=["0", gpu])
    assert not (tmp_path / "runs").exists()
    assert engines.visible_gpus([1, "0", "MIG-7"]) == ["1", "0", "MIG-7"]
    seen["count"] = 1
    assert engines.visible_gpus([0]) == ["0"], "also where it is the only one"
    seen["count"] = 2
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    assert engines.visible_gpus(["1", "0"]) == ["6", "4"], "the GPUs that a cluster assigned to this process"
