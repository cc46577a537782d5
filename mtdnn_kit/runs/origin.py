"""The origin of a run: the kit's version and commit, the command, the system, all installed packages; and how often it was resumed.

Keeps no path of the machine and no token. Values that a run of an older kit lacks are "not kept". Knows no model, no torch.
"""

import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.metadata import distributions
from pathlib import Path, PureWindowsPath
from typing import Any

from mtdnn_kit.files.paths import PACKAGE, project_root
from mtdnn_kit.files.wording import some
from mtdnn_kit.runs.environment import UNTOLD, changes, environment, kit_version
from mtdnn_kit.runs.run import REQUIREMENTS, Run, now

COMMAND = "MTDNN_COMMAND"  # environment variable of a study's runs: the command that started the study
_PATH = re.compile(r"""(?:(?<=^)|(?<=[\s='"(\[,]))(?:[A-Za-z]:)?[\\/][^\s'",)\]}]+""")
_SECRET = re.compile(
    r"(?i)\b(?:hf_|gh[a-z]_|github_pat_|sk-|xox[a-z]-)[\w-]{8,}|\b[a-z0-9]{32,}\b|(?<=://)[^/@\s]+(?=@)"
    r"|(?<=token=)[^\s&]+|(?<=password=)[^\s&]+|(?<=secret=)[^\s&]+|(?<=key=)[^\s&]+"
)


def made_with() -> dict[str, Any]:
    """The manifest's record of a run's origin."""
    found = {"kit": kit_version(), "command": command(), "os": platform.platform(), "host": platform.node()}
    return {**found, **({"git": git} if (git := repository()) else {}), "lock": {"file": REQUIREMENTS, "packages": len(_installed())}}


def version_line() -> str:
    """The kit's version and, in a clone, the commit, as `mtdnn --version` prints it."""
    git = repository() or {"of": "none"}
    at = f" (commit {git['commit']}, {'clean' if git['clean'] else 'with changes'})" if git["of"] == "kit" else ""
    return f"mtdnn-kit {kit_version()}{at}"


def repository() -> dict[str, Any] | None:
    """{"of": "kit", or "project" if the kit is not in a repository, "commit", "clean": whether no tracked file has changed}; None without a
    repository or git."""
    for of, folder in (("kit", PACKAGE), ("project", project_root())):
        commit = _git(folder, "rev-parse", "HEAD")
        if commit and (of == "project" or _git(folder, "ls-files", "__init__.py")):
            return {"of": of, "commit": commit, "clean": _git(folder, "status", "--porcelain", "--untracked-files=no") == ""}
    return None


def _git(folder: Path, *words: str) -> str | None:
    """git's output, None if it fails. Runs no program that the repository configures, and writes nothing."""
    calm = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(
            ["git", "-c", "core.fsmonitor=false", *words], cwd=folder, capture_output=True, text=True, timeout=9, env=calm
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def command(words: Sequence[str] | None = None) -> str:
    """The command that started this process (None), or the study that it belongs to, without paths of the machine and tokens."""
    if words is None and (said := os.environ.get(COMMAND)):
        return said
    program, *rest = sys.argv if words is None else words
    name = Path(program).name
    if name == "ipykernel_launcher.py":
        return "in a notebook"
    if Path(program).is_relative_to(PACKAGE):
        name = "-m mtdnn_kit" if name == "__main__.py" else f"-m mtdnn_kit.{Path(program).stem}"
    name = name.removesuffix(".exe") if name.startswith("mtdnn") else f"python {name}"
    return " ".join([name, *(shlex.quote(_clean(word)) for word in rest)])


def _clean(word: str) -> str:
    key, equals, value = word.rpartition("=")
    word = f"{key}{equals}{_named(value)}" if _is_path(value) else _PATH.sub(lambda found: _named(found[0]), word)
    return _SECRET.sub("…", word)


def _is_path(word: str) -> bool:
    return os.path.isabs(word) or PureWindowsPath(word).is_absolute()


def _named(path: str) -> str:
    """An absolute path, relative to the project or reduced to its last part."""
    root = project_root()
    if Path(path).is_relative_to(root):
        return Path(path).relative_to(root).as_posix()
    return PureWindowsPath(path).name or path[:1]  # it handles both kinds of slash


@cache
def _installed() -> dict[str, str]:
    """{name: version} of all installed packages except the kit; of duplicates the first, which is the one that Python imports.

    Packages that another package vendors and puts on `sys.path` do not count."""
    found: dict[str, tuple[str, str]] = {}
    for one in distributions(path=[path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]):
        if name := one.metadata["Name"]:
            found.setdefault(re.sub(r"[-_.]+", "-", name).lower(), (name, one.version))
    return {name: version for key, (name, version) in sorted(found.items()) if key != "mtdnn-kit"}


def lock(made: Mapping) -> str:
    """All installed packages, for pip: `pip install --no-deps -r requirements.txt`. made: `made_with` of the run."""
    commit = f", commit {made['git']['commit']}" if "git" in made else ""
    python = ".".join(map(str, sys.version_info[:3]))
    head = f"# pip install --no-deps -r {REQUIREMENTS}: all packages except mtdnn-kit {made['kit']}{commit}, Python {python}\n"
    return head + "".join(f"{name}=={version}\n" for name, version in _installed().items())


def resumes(begun: Mapping, manifest: Mapping, step: int) -> list[dict]:
    """Each resumption of a run: when, on which host, after which step, and what changed in its environment. begun: its previous manifest,
    {} for a new run."""
    before = environment(begun)
    changed = changes(before, {**before, **environment(manifest)})
    if None not in (old := begun.get("code"), new := manifest.get("code")) and old != new:
        changed.append("code")
    entry = {"time": now(), "host": platform.node(), "after_step": step, "changed": changed}
    return [*begun.get("resumes", []), *([entry] if begun else [])]


def origin_table(runs: Mapping[str, Run]) -> list[dict[str, str]]:
    """One row per run: what it was made with, on, and by; "not kept" for missing values, without columns that are missing in all."""
    rows = {name: _row(run.manifest) for name, run in runs.items()}
    kept = dict.fromkeys(key for row in rows.values() for key, value in row.items() if value != UNTOLD or key in ("kit", "commit"))
    return [{"run": name, **{key: row[key] for key in kept}} for name, row in rows.items()]


def origin_note(run: Run) -> str:
    """The origin of one run as a sentence."""
    return "; ".join(f"{key} {value}" for key, value in _row(run.manifest).items() if value != UNTOLD)


def _row(manifest: Mapping) -> dict[str, str]:
    made, git = environment(manifest), manifest.get("git") or {}
    commit = f"{git['commit'][:12]}{'' if git.get('clean') else ', with changes'}" if git else None
    peak, energy = manifest.get("peak_memory", {}), manifest.get("energy_joules")
    threads = f"{made['threads']} thread{'s' * (made['threads'] != '1')}" if "threads" in made else None
    on = [made.get("GPU") or made.get("processor"), made.get("precision"), threads]
    row = {
        "kit": made.get("mtdnn-kit"),
        "commit": f"{commit} (of the project)" if git.get("of") == "project" else commit,
        "on": _listed(on),
        "torch": made.get("torch"),
        "transformers": made.get("transformers"),
        "system": manifest.get("os"),
        "packages": f"{manifest['lock']['packages']} ({REQUIREMENTS})" if manifest.get("lock") else None,
        "peak memory": _listed(f"{what} {size / 1e9:.2f} GB" for what, size in peak.items() if size),
        "energy": None if energy is None else f"{energy / 3600:.1f} Wh (of the whole device)",
        "resumed": _listed(f"{one['time']} on {one['host']} after step {one['after_step']}" for one in manifest.get("resumes", [])),
        "command": manifest.get("command"),
    }
    return {key: value or ("never" if key == "resumed" and "command" in manifest else UNTOLD) for key, value in row.items()}


def _listed(parts: Iterable[str | None]) -> str:
    return some(part for part in parts if part)
