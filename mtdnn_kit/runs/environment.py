"""What a run's bits depend on besides its parameters, code and data: device, processor, precision, threads, versions; and which runs
differ.

The manifest records it; values that an older manifest lacks are unknown and do not count as differences. Knows no model, no torch.
"""

import os
from collections.abc import Iterable, Mapping

from mtdnn_kit.runs.run import Run

MOST_THREADS = 4  # a run's default: the same alone and next to other runs, so that it has the same bits
UNTOLD = "not kept"  # what pages show for values that a run does not have
WATCHED_PACKAGES = ("torch", "transformers")
_CORES = " cores"  # the end of a processor's description (`devices.describe`)


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_threads() -> int:
    """Threads of a run without `threads`: OMP_NUM_THREADS if set, else one per core and at most MOST_THREADS.

    They decide the order of summation, so they must not depend on how many other runs are active.
    """
    return omp_threads() or min(cores(), MOST_THREADS)


def omp_threads() -> int | None:
    """OMP_NUM_THREADS, the first number of a list; None if it is not set to a number above 0."""
    said = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(said) if said.isdecimal() and int(said) else None


def kit_version() -> str:
    """The version of this kit."""
    import mtdnn_kit  # here, because the package imports this module

    return mtdnn_kit.__version__


def environment(manifest: Mapping) -> dict[str, str]:
    """{what: value} of a manifest, as far as recorded; for a GPU run, without values that do not affect its bits."""
    found = {key: str(manifest[key]) for key in ("device", "precision", "processes", "threads") if manifest.get(key) is not None}
    if isinstance(machine := manifest.get("machine"), str):
        found["processor" if machine.endswith(_CORES) else "GPU"] = machine.rpartition(", ")[0] if machine.endswith(_CORES) else machine
    if found.get("device") == "cuda":
        found.pop("threads", None)
    packages = manifest.get("packages")
    found |= {name: str(packages[name]) for name in WATCHED_PACKAGES if name in packages} if isinstance(packages, dict) else {}
    return found | ({"mtdnn-kit": str(manifest["kit"])} if manifest.get("kit") else {})


def changes(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """What differs between two environments, in words: "torch 2.12.0, now 2.13.0"; values that one of them lacks are left out."""
    return [f"{what} {value}, now {now[what]}" for what, value in before.items() if now.get(what, value) != value]


def unlike(runs: Mapping[str, Run]) -> list[str]:
    """The warning of a comparison if its runs were made in different environments: one sentence that says what differs in which run; else
    []."""
    known = {name: environment(run.manifest) for name, run in runs.items()}
    parts = []
    for what in dict.fromkeys(key for own in known.values() for key in own):
        whose: dict[str, list[str]] = {}
        for name, own in known.items():
            if what in own:
                whose.setdefault(own[what], []).append(name)
        if len(whose) > 1:
            parts.append(f"{what} {'; '.join(f'{value} ({_names(names)})' for value, names in whose.items())}")
    return [f"These runs were made in different environments, which can cause a difference by itself: {'. '.join(parts)}."] if parts else []


def _names(names: Iterable[str], most: int = 6) -> str:
    names = list(names)
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
