"""What an encoder was trained on, by its card (known_encoders.yaml), and which of a run's tasks it has therefore seen.

It has seen a task if the task's texts or labels are part of that data, for any training objective. That SQuAD's passages come from
Wikipedia, which nearly all encoders have read, does not count. Reads no model and asks no hub.
"""

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from mtdnn_kit.data.registry import Dataset
from mtdnn_kit.files.yaml_files import read_yaml, text_of
from mtdnn_kit.runs.notes import merge_note
from mtdnn_kit.runs.run import Run

NOT_KNOWN = "not known"  # in a list of training data: what precedes the runs that follow


@cache
def _registry() -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """{encoder's name: its training data sets}, and {data set's name: folders and hub names of its rows}."""
    found = read_yaml(text_of(Path(__file__).with_name("known_encoders.yaml")))
    return {name: entry["trained_on"] for entry in found["encoders"] for name in entry["names"]}, found["data"]


def trained_on(encoder: str) -> list[str] | None:
    """The data sets that an encoder, by its name on the hub, was trained on; None: unknown."""
    known = _registry()[0].get(encoder)
    return None if known is None else [*known]


def overlap(encoder: str | Iterable[str] | None, tasks: Mapping[str, Dataset]) -> dict[str, list[str]]:
    """{task: data sets through which the encoder has seen it}, without tasks that it has not seen; {} also if nothing is known.

    encoder: its name, or what it was trained on (a manifest's `encoder`, `trained_on`); tasks: as `Config.datasets`. A task is
    recognised by its place on the hub, so one that names its files never is.
    """
    data, known = _registry()[1], trained_on(encoder) if isinstance(encoder, str) else encoder
    found = {}
    for task, d in tasks.items():
        rows = set() if d.files else {d.folder, d.hub, f"{d.hub} {d.hub_config}"}
        found[task] = [name for name in known or () if rows & {name, *data.get(name, ())}]
    return {task: names for task, names in found.items() if names}


def trained_before(run: Run) -> list[str] | None:
    """What the encoder of a run, or an imported model, was trained on before; None: unknown."""
    record = _record(run)
    return record["trained_on"] if "trained_on" in record else trained_on(record.get("name", ""))


def note(run: Run) -> str | None:
    """`notes` of one run; None without any."""
    return next(iter(notes([run])), None)


def notes(runs: Iterable[Run]) -> list[str]:
    """A sentence for each encoder of some runs: which of their tasks it has seen before, by its card, or that this is unknown; none for an
    encoder that has seen none of them. And what each merged run was merged from. Raises RunError."""
    runs = list(runs)
    merged = [said for run in runs if (said := merge_note(run))]
    known: dict[str, list[str] | None] = {}
    by: dict[str, str] = {}
    tasks: dict[str, dict[str, Dataset]] = {}
    # the card's statement precedes what a run that started from another one adds
    for run in sorted(runs, key=lambda run: _record(run).get("origin") not in ("run", "merged")):
        if (name := _record(run).get("name")) is not None:
            known[name] = trained_before(run)
            by[name] = "by its card or an earlier run" if _record(run).get("origin") in ("run", "merged") else "according to its card"
            config = run.parameters
            # a set in a separate folder has its task's layout, not its task's rows
            there = {
                set_: d for set_, d in config.further.items() if config.data_of(set_) in ("sample", "hub", config.data_of(config.tasks[0]))
            }
            tasks.setdefault(name, {}).update(config.datasets | there)
    return [*[said for name in known if (said := _sentence(name, known[name], by[name], tasks[name]))], *merged]


def _sentence(name: str, known: list[str] | None, by: str, tasks: Mapping[str, Dataset]) -> str:
    if known is None:
        return f"encoder: the earlier training data of {name} is unknown"
    said = ", ".join(f"{task} ({', '.join(names)})" for task, names in overlap(known, tasks).items())
    rest = "; the rest of its training data is unknown" if NOT_KNOWN in known else ""
    if not said:
        return f"encoder: a part of the earlier training data of {name} is unknown" if rest else ""
    return f"encoder: {name} was already trained on data of these tasks, {by}: {said}{rest}"


def _record(run: Run) -> dict[str, Any]:
    return run.manifest.get("encoder") or run.manifest.get("imported") or {}
