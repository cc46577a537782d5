"""What the device can do: device, precision and threads of a run. Follows capabilities, never a timing (design, "Same")."""

import os
import platform

import torch

from mtdnn_kit.files.checks import require

# Values of ONEDNN_MAX_CPU_ISA with which oneDNN says that it has bf16 and emulates it; with those below them it says that it has none.
WITHOUT_BF16 = ("AVX512_CORE", "AVX512_CORE_VNNI")


def resolve_device(name: str) -> torch.device:
    """`auto` is the GPU where there is one. Raises ConfigError where `cuda` is asked for in vain."""
    there = torch.cuda.is_available()
    require(there or name != "cuda", "device: 'cuda' was asked for, and torch sees no GPU. Set it to 'auto' or 'cpu'.")
    return torch.device("cuda" if name != "cpu" and there else "cpu")


def resolve_precision(name: str, device: torch.device) -> str:
    """`auto` is bf16 autocast where the device computes bf16 in hardware, else fp32. On a processor bf16 is emulated, a hundred times
    slower, where the processor has no such instructions, or where torch or oneDNN (its library of matrix products) may not use them."""
    if name != "auto":
        return name
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    able = (getattr(torch.cpu, f"_is_{feature}_supported", None) for feature in ("avx512_bf16", "amx_tile"))
    return "bf16" if any(ask and ask() for ask in able) and _uses_bf16() else "fp32"


def _uses_bf16() -> bool:
    """Whether nothing keeps torch from a processor's bf16 instructions: ATEN_CPU_CAPABILITY, oneDNN as it is built, ONEDNN_MAX_CPU_ISA."""
    most = os.environ.get("ONEDNN_MAX_CPU_ISA") or os.environ.get("DNNL_MAX_CPU_ISA") or ""
    able = torch.backends.cpu.get_cpu_capability() == "AVX512" and torch.backends.mkldnn.is_available()
    return bool(able and torch.ops.mkldnn._is_mkldnn_bf16_supported() and most.upper() not in WITHOUT_BF16)


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
