"""What the device can do: device, precision and threads of a run. Follows capabilities, never a timing (design, "Same")."""

import os
import platform

import torch

from mtdnn_kit.config import ConfigError


def resolve_device(name: str) -> torch.device:
    """`auto` is the GPU where there is one. Raises ConfigError where `cuda` is asked for in vain."""
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device: 'cuda' was asked for, and torch sees no GPU. Set it to 'auto' or 'cpu'.")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def resolve_precision(name: str, device: torch.device) -> str:
    """`auto` is bf16 autocast where the device multiplies bf16 in hardware, else fp32."""
    if name != "auto":
        return name
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    able = (getattr(torch.cpu, f"_is_{feature}_supported", None) for feature in ("avx512_bf16", "amx_tile"))
    return "bf16" if any(ask and ask() for ask in able) else "fp32"


def describe(device: torch.device) -> str:
    """The processor or GPU by name, as a manifest keeps it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        with open("/proc/cpuinfo") as lines:
            name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
    except OSError:
        name = ""
    return f"{name or platform.processor() or platform.machine()}, {os.cpu_count()} cores"
