"""Device and precision of a run, from the device's capabilities, never from a timing, which could differ between equal runs."""

import os
import platform

import torch

from mtdnn_kit.files.checks import require

# Values of ONEDNN_MAX_CPU_ISA for which oneDNN reports bf16 but emulates it; for lower ones it reports none.
WITHOUT_BF16 = ("AVX512_CORE", "AVX512_CORE_VNNI")


def resolve_device(name: str) -> torch.device:
    """`auto` means the GPU if there is one. Raises ConfigError for `cuda` without a GPU."""
    there = torch.cuda.is_available()
    require(there or name != "cuda", "device: it is 'cuda', but torch finds no GPU. Set it to 'auto' or 'cpu'.")
    return torch.device("cuda" if name != "cpu" and there else "cpu")


def resolve_precision(name: str, device: torch.device) -> str:
    """`auto` means bf16 autocast if the device computes bf16 in hardware, else fp32. On a processor, bf16 is emulated, a hundred times
    slower, if the processor lacks the instructions, or if torch or oneDNN (its matrix product library) may not use them."""
    if name != "auto":
        return name
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    able = (getattr(torch.cpu, f"_is_{feature}_supported", None) for feature in ("avx512_bf16", "amx_tile"))
    return "bf16" if any(ask and ask() for ask in able) and _uses_bf16() else "fp32"


def _uses_bf16() -> bool:
    """Whether torch may use a processor's bf16 instructions: checks ATEN_CPU_CAPABILITY, oneDNN's build and ONEDNN_MAX_CPU_ISA."""
    most = os.environ.get("ONEDNN_MAX_CPU_ISA") or os.environ.get("DNNL_MAX_CPU_ISA") or ""
    able = torch.backends.cpu.get_cpu_capability() == "AVX512" and torch.backends.mkldnn.is_available()
    return bool(able and torch.ops.mkldnn._is_mkldnn_bf16_supported() and most.upper() not in WITHOUT_BF16)


def describe(device: torch.device) -> str:
    """The name of the processor or GPU, as in a manifest."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        with open("/proc/cpuinfo") as lines:
            name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
    except OSError:
        name = ""
    return f"{name or platform.processor() or platform.machine()}, {os.cpu_count()} cores"
