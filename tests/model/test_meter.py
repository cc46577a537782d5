"""A training's memory and energy: what the system or GPU does not report is left out."""

import ctypes
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from conftest import ROOT

from mtdnn_kit.model import meter
from mtdnn_kit.model.meter import Meter, energy

CARD = SimpleNamespace(type="cuda")


PEAK = """
from mtdnn_kit.model.meter import process_peak
before, held = process_peak(), b"1" * 500_000_000
print(before > 50_000_000 and process_peak() - before > 300_000_000)
"""


def test_a_process_has_a_peak_and_a_cpu_has_no_energy():
    assert subprocess.run([sys.executable, "-c", PEAK], cwd=ROOT, capture_output=True, text=True, check=True).stdout == "True\n"
    assert Meter(torch.device("cpu")).read().keys() == {"peak_memory"} and energy(torch.device("cpu")) is None


class Library:
    """A stand-in for the management library; its GPU has used `used` millijoules."""

    def __init__(self, used: int, wrong: str = ""):
        self.used, self.wrong, self.asked = used, wrong, None

    def nvmlInit_v2(self) -> int:
        return int(self.wrong == "init")

    def nvmlDeviceGetHandleByUUID(self, name: bytes, handle) -> int:
        self.asked = name
        return int(self.wrong == "handle")

    def nvmlDeviceGetTotalEnergyConsumption(self, handle, used) -> int:
        ctypes.cast(used, ctypes.POINTER(ctypes.c_ulonglong))[0] = self.used
        return int(self.wrong == "energy")


@pytest.fixture
def card(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(uuid="7-7"))
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda _: None)
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda _: 5000)

    def put(library):
        monkeypatch.setattr(meter.ctypes, "CDLL", lambda _: library)

    return put


def test_a_gpus_energy_is_the_difference_of_its_counter(card):
    library = Library(3_000_000)
    card(library)
    measured = Meter(CARD)
    library.used += 7_250
    found = measured.read()
    assert found["energy_joules"] == 7.2 and found["peak_memory"]["device"] == 5000 and library.asked == b"GPU-7-7"


@pytest.mark.parametrize("wrong", ["init", "handle", "energy"])
def test_a_gpu_that_does_not_report_energy_has_none(card, wrong):
    card(Library(1, wrong))
    assert energy(CARD) is None and "energy_joules" not in Meter(CARD).read()


def test_without_the_library_there_is_no_energy(card, monkeypatch):
    monkeypatch.setattr(meter, "NVML", "no-such-library.so")
    assert energy(CARD) is None
    card(SimpleNamespace())  # a library without the functions
    assert energy(CARD) is None
