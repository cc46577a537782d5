"""What a study declares before its runs (scores, smallest effect, family, seeds), and what deviated from it.

`mtdnn study FILE --declare` writes declaration.json into the study's folder, once; the study's page and report say what was declared, when,
and every deviation. It is not binding: it shows a reader what was chosen after the results were known (Nosek et al. 2018, "The
preregistration revolution").
"""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mtdnn_kit.errors import ConfigError, StudyError
from mtdnn_kit.files.atomic import make_folder, write_json
from mtdnn_kit.files.json_files import read_json
from mtdnn_kit.files.paths import resolve
from mtdnn_kit.files.wording import some
from mtdnn_kit.runs.claim import RESUME_MAY_CHANGE
from mtdnn_kit.runs.run import Run, now
from mtdnn_kit.studies.keep import without_paths
from mtdnn_kit.studies.study import Study

DECLARATION = "declaration.json"
_WORDS = {
    "file": "the study's file", "base": "its base file", "judged_by": "the scores it is judged by", "seeds": "the seeds",
    "smallest_effect": "the smallest effect", "family": "the family", "cluster": "the clusters", "settings": "the settings",
}  # fmt: skip


def declared_of(study: Study) -> dict[str, Any]:
    """A study's declaration: hashes of its files, and how it is judged."""
    base, settings = resolve(study.base), [[baseline, *others] for baseline, others in study.compared]
    return {
        "file": study.digest,
        "base": hashlib.sha256(base.read_bytes()).hexdigest() if base.is_file() else None,
        "judged_by": list(study.scores),
        "smallest_effect": study.smallest_effect,
        "family": study.family,
        "cluster": study.cluster,
        "seeds": study.seeds,
        "settings": settings if len(settings) > 1 else settings[0],
    }


def declare(study: Study, folder: Path, changes: dict | None = None) -> Path:
    """Writes the declaration, with the time, the existing runs and `changes` (`--set`). Raises StudyError if there is one already,
    ConfigError for invalid parameters of a run."""
    study.configs(folder, changes)
    file = folder / DECLARATION
    if before := read_declaration(folder):
        raise StudyError(
            f"{file}: the study was declared at {before['declared']}; a second declaration would hide the first: name another folder, "
            "or run it unchanged; its page lists deviations"
        )
    begun = sorted(path.parent.name for path in folder.glob("*/manifest.json"))
    make_folder(folder)
    write_json(file, {"declared": now(), "begun_before": begun, "changes": changes or {}, **declared_of(study)})
    return file


def read_declaration(folder: Path) -> dict[str, Any] | None:
    """The declaration; None without one. Raises StudyError for a file that cannot be read."""
    try:
        found = read_json((folder / DECLARATION).read_bytes())
        missing = {"declared", "begun_before", "changes", *_WORDS} - set(found)
        if not missing and not (isinstance(found["judged_by"], list) and isinstance(found["smallest_effect"] or 0.0, int | float)):
            raise ValueError("judged_by is not a list, or smallest_effect is not a number")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise StudyError(f"{folder / DECLARATION}: cannot be read ({error}); copy it again from where the study was declared") from None
    if missing:
        raise StudyError(f"{folder / DECLARATION}: {some(sorted(missing))} is missing; copy it again from where the study was declared")
    return found


def notes(study: Study, folder: Path, runs: Mapping[str, Run]) -> list[str]:
    """What was declared and when, and each deviation, one sentence each. runs: the study's finished runs by name."""
    before = read_declaration(folder)
    if before is None:
        return ["Nothing was declared before the runs."]
    effect = "no smallest effect" if before["smallest_effect"] is None else f"smallest effect {before['smallest_effect']:g} points"
    seeds = "no seeds" if before["seeds"] is None else f"seeds {some(before['seeds'], 24)}"
    judged = f"judged by {some(before['judged_by'])}, {effect}, family: {before['family']}, {seeds}"
    return [f"Declared {before['declared']}: {judged}.", *_deviations(before, study, runs)]


def _deviations(before: dict[str, Any], study: Study, runs: Mapping[str, Run]) -> list[str]:
    said, today = [], declared_of(study)
    for key, words in _WORDS.items():
        if before[key] != today[key]:
            hashes = key in ("file", "base")
            was, now_ = (str(one)[:12] if hashes else f"{one}" for one in (before[key], today[key]))
            said.append(f"Deviation: {words} changed, from {was} to {now_}{' (sha256)' * hashes}.")
    lacking = [name for name in study.reported if name not in runs]
    if lacking:
        said.append(f"Deviation: {len(lacking)} of {len(study.reported)} runs are not there: {some(lacking)}.")
    if before["begun_before"]:
        said.append(f"Deviation: {len(before['begun_before'])} runs were there when it was declared: {some(before['begun_before'])}.")
    said += _other_parameters(before["changes"], study, runs)
    early = [name for name, run in runs.items() if (started := run.manifest.get("start")) and started < before["declared"]]
    if early:
        said.append(f"Deviation: {len(early)} runs had begun before the declaration: {some(early)}.")
    return said or ["No deviation from it."]


def _other_parameters(changes: dict, study: Study, runs: Mapping[str, Run]) -> list[str]:
    """A sentence if runs have other parameters than the file and the declared changes say; ignores tuned and equalised parameters and those
    of the machine."""
    aside = {
        "data",
        "device",
        "threads",
        *(("init_from",) if study.stages else ()),
        *RESUME_MAY_CHANGE,
        *study.tune,
        *(("epochs", "max_steps") if study.equal else ()),
    }
    try:
        expected = study.configs(Path("runs"), changes)
    except ConfigError as error:
        return [f"Deviation: the declared parameters are no longer valid: {error}."]
    others = {}
    for name, config in expected.items():
        if name not in runs:
            continue
        wanted, kept = without_paths(asdict(config)), without_paths(runs[name].config)
        found = [f"{key} {kept[key]!r}" for key in wanted if key not in aside and key in kept and kept[key] != wanted[key]]
        if found:
            others[name] = found
    said = some(f"{name} ({some(found)})" for name, found in others.items())
    return [f"Deviation: {len(others)} runs have other parameters than were declared: {said}."] if others else []
