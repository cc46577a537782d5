"""What a training takes beside time: the peak memory of its process and of its device, and the device's energy, where it tells.

Energy is a GPU's own counter, by NVIDIA's management library, which comes with the driver: that of the whole card, whoever uses it.
"""

import ctypes
import sys
from contextlib import suppress
from typing import Any

import torch

NVML = "nvml.dll" if sys.platform == "win32" else "libnvidia-ml.so.1"


class Meter:
    """Measures from when it is made."""

    def __init__(self, device: torch.device):
        self.device, self.before = device, energy(device)
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)

    def read(self) -> dict[str, Any]:
        """As a manifest keeps it: peak_memory, {"process", "device"} in bytes, and energy_joules; what is not told is left out."""
        peak = {"process": process_peak()} | ({"device": torch.cuda.max_memory_reserved(self.device)} if self.device.type == "cuda" else {})
        now = energy(self.device)
        used = {} if self.before is None or now is None else {"energy_joules": round(now - self.before, 1)}
        return {"peak_memory": {what: size for what, size in peak.items() if size}, **used}


def process_peak() -> int | None:
    """The most memory that this process has had since it began, in bytes; None where the system does not say."""
    with suppress(OSError, ValueError), open("/proc/self/status") as lines:
        return next((1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM")), None)
    with suppress(ImportError):
        import resource  # Windows has none

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return None


def energy(device: torch.device) -> float | None:
    """Joules that a GPU has used since its driver was loaded; None of a processor, and where the card does not tell."""
    if device.type != "cuda":
        return None
    handle, used = ctypes.c_void_p(), ctypes.c_ulonglong()
    with suppress(OSError, AttributeError):
        nvml, name = ctypes.CDLL(NVML), f"GPU-{torch.cuda.get_device_properties(device).uuid}".encode()
        told = nvml.nvmlInit_v2() == 0 and nvml.nvmlDeviceGetHandleByUUID(name, ctypes.byref(handle)) == 0
        if told and nvml.nvmlDeviceGetTotalEnergyConsumption(handle, ctypes.byref(used)) == 0:
            return used.value / 1000
    return None
