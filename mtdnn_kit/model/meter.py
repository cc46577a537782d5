"""Measures a training's peak memory, of process and device, and the device's energy, if it reports it.

Energy comes from the GPU's counter, read by NVIDIA's management library, which the driver includes: that of the whole card, for all users.
"""

import ctypes
import sys
from contextlib import suppress
from typing import Any

import torch

NVML = "nvml.dll" if sys.platform == "win32" else "libnvidia-ml.so.1"


class Meter:
    """Measures from its creation on."""

    def __init__(self, device: torch.device):
        self.device, self.before = device, energy(device)
        if device.type == "cuda":
            torch.cuda.empty_cache()  # what an earlier training in this process left reserved
            torch.cuda.reset_peak_memory_stats(device)

    def read(self) -> dict[str, Any]:
        """The manifest's record: peak_memory, {"process", "device"} in bytes, and energy_joules; without values that are unknown."""
        peak = {"process": process_peak()} | ({"device": torch.cuda.max_memory_reserved(self.device)} if self.device.type == "cuda" else {})
        now = energy(self.device)
        used = {} if self.before is None or now is None else {"energy_joules": round(now - self.before, 1)}
        return {"peak_memory": {what: size for what, size in peak.items() if size}, **used}


def process_peak() -> int | None:
    """The peak memory of this process, in bytes; None if the system does not report it."""
    with suppress(OSError, ValueError), open("/proc/self/status") as lines:
        return next((1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM")), None)
    with suppress(ImportError):
        import resource  # not on Windows

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return None


def energy(device: torch.device) -> float | None:
    """Joules that a GPU has used since its driver was loaded; None for a processor, or if the card does not report it."""
    if device.type != "cuda":
        return None
    handle, used = ctypes.c_void_p(), ctypes.c_ulonglong()
    with suppress(OSError, AttributeError):
        nvml, name = ctypes.CDLL(NVML), f"GPU-{torch.cuda.get_device_properties(device).uuid}".encode()
        told = nvml.nvmlInit_v2() == 0 and nvml.nvmlDeviceGetHandleByUUID(name, ctypes.byref(handle)) == 0
        if told and nvml.nvmlDeviceGetTotalEnergyConsumption(handle, ctypes.byref(used)) == 0:
            return used.value / 1000
    return None
