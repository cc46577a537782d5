"""Device and precision of a run: by the processor's instructions and the environment, never by a measured speed."""

import os
import subprocess
import sys

import pytest
import torch
from conftest import ROOT

from mtdnn_kit.model.devices import resolve_device, resolve_precision

CPU = torch.device("cpu")
ABLE = dict(avx512_bf16=True, amx_tile=False, capability="AVX512", onednn=True, bf16=True, environment={})


@pytest.fixture
def processor(monkeypatch):
    """processor(**facts): simulates the processor in `ABLE`, with some facts changed."""

    def make(**facts) -> None:
        has = {**ABLE, **facts}
        for name in ("avx512_bf16", "amx_tile"):
            monkeypatch.setattr(torch.cpu, f"_is_{name}_supported", lambda name=name: has[name], raising=False)
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: has["capability"])
        monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: has["onednn"])
        monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: has["bf16"])
        for name in ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"):
            monkeypatch.delenv(name, raising=False)
        for name, value in has["environment"].items():
            monkeypatch.setenv(name, value)

    return make


@pytest.mark.parametrize(
    ("facts", "precision"),
    [
        ({}, "bf16"),
        ({"amx_tile": True}, "bf16"),
        ({"avx512_bf16": False, "amx_tile": True}, "bf16"),
        ({"avx512_bf16": False}, "fp32"),
        ({"capability": "AVX2"}, "fp32"),  # ATEN_CPU_CAPABILITY=avx2
        ({"capability": "DEFAULT"}, "fp32"),  # ATEN_CPU_CAPABILITY=default
        ({"bf16": False}, "fp32"),  # ONEDNN_MAX_CPU_ISA=AVX2, as oneDNN reports it
        ({"onednn": False}, "fp32"),
        ({"environment": {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"}}, "fp32"),  # here oneDNN reports bf16, but emulates it
        ({"environment": {"ONEDNN_MAX_CPU_ISA": "avx512_core_vnni"}}, "fp32"),
        ({"environment": {"DNNL_MAX_CPU_ISA": "AVX512_CORE"}}, "fp32"),
        ({"environment": {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_BF16"}}, "bf16"),
        ({"environment": {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_AMX"}}, "bf16"),
        ({"environment": {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_BF16", "DNNL_MAX_CPU_ISA": "AVX512_CORE"}}, "bf16"),  # the first one counts
    ],
    ids=str,
)
def test_auto_is_bf16_only_if_the_processor_has_its_instructions(processor, facts, precision):
    processor(**facts)
    assert resolve_precision("auto", CPU) == precision
    assert [resolve_precision(name, CPU) for name in ("fp32", "bf16")] == ["fp32", "bf16"], "an explicit precision is used"


@pytest.mark.parametrize("environment", [{"ATEN_CPU_CAPABILITY": "default"}, {"ONEDNN_MAX_CPU_ISA": "AVX2"}], ids=str)
def test_auto_is_fp32_if_the_environment_forbids_the_instructions(environment):
    code = "import torch; from mtdnn_kit.model.devices import resolve_precision; print(resolve_precision('auto', torch.device('cpu')))"
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True)
    assert told.stdout.strip() == "fp32", told.stderr


def test_the_device_is_the_gpu_if_there_is_one():
    assert resolve_device("cpu").type == "cpu" and resolve_precision("auto", resolve_device("cpu")) in ("fp32", "bf16")
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="device: it is 'cuda', but torch finds no GPU"):
            resolve_device("cuda")
    assert resolve_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
