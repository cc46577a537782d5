"""Keeps a study with the project: enough to recompute every table wherever the rows are, and no dataset text.

One folder per run (config, manifest, metrics, log, scores of the held-out questions, labels of other tasks, later scorings), the study
file, and spans.csv.gz: the id of every scored question and, for every run, the characters [start, end) of its best span and null − best.
With the thresholds of metrics.json these determine every score of question answering. For some runs a shortened n-best is kept, too, so
that notebook 04 opens them. Trains nothing, draws nothing.
"""

import csv
import gzip
import json
import shutil
from collections.abc import Iterable, Sequence
from math import isnan
from pathlib import Path
from typing import Any

import yaml

from mtdnn_kit.compare.pairing import Question, check_metrics, qa_task, reply, scored_rows
from mtdnn_kit.data.read_as import LABELLED
from mtdnn_kit.errors import CompareError
from mtdnn_kit.files.atomic import packed, write_folder, write_json, write_whole
from mtdnn_kit.files.json_files import read_json
from mtdnn_kit.files.paths import resolve
from mtdnn_kit.runs.predictions import first_of
from mtdnn_kit.runs.run import HELD_OUT_FILE, LATER_FOLDER, REQUIREMENTS, Run
from mtdnn_kit.studies.variants import slug

SPANS, RUNS = "spans.csv.gz", "runs"
KEPT_FILES = ("manifest.json", "metrics.json", "log.jsonl")
ENTRIES = 3  # of a kept n-best


def keep_study(study: Path, runs: dict[str, Run], questions: Sequence[Question], folder: Path, whole: Iterable[str] = ()) -> None:
    """Writes the folder atomically: `study`, the study's file; runs by name, and the questions that all of them answered
    (`compare.pair`). whole: names of runs whose n-best is kept as well.

    Raises CompareError for a run without n-best, or a name in `whole` that is not a run.
    """
    for name in whole:
        if name not in runs:
            raise CompareError(f"whole: there is no run {name!r}; choose from {', '.join(runs)}")

    def fill(partial: Path) -> None:
        """Writes the kept files of all runs."""
        for name, run in runs.items():
            to = partial / RUNS / slug(name)
            to.mkdir(parents=True)
            for file in (*KEPT_FILES, *([REQUIREMENTS] if (run.path / REQUIREMENTS).is_file() else ())):
                shutil.copyfile(run.path / file, to / file)
            write_whole(to / "config.yaml", yaml.safe_dump(without_paths(run.config), sort_keys=False, allow_unicode=True))
            (to / "predictions").mkdir()
            for kept in (run.path / "predictions" / HELD_OUT_FILE.format(task) for task in run.types):
                if kept.is_file():
                    shutil.copyfile(kept, to / "predictions" / kept.name)
            _keep_labels(run, to)
            _keep_later(run, to)
            if name in whole:
                write_whole(to / "predictions" / f"{qa_task(runs)}_nbest.jsonl.gz", _short(run, qa_task(runs)))
        shutil.copyfile(study, partial / "study.yaml")
        write_json(partial / "runs.json", {name: f"{RUNS}/{slug(name)}" for name in runs})
        write_whole(partial / SPANS, packed(_spans(questions, list(runs))))

    write_folder(folder, fill)


def _keep_labels(run: Run, to: Path) -> None:
    """Writes the labels and probabilities of each row that a run was scored on, by the row's id."""
    config, types = run.parameters, run.types
    for name in run.metrics:
        if types.get(config.task_of(name)) in LABELLED and run.keeps(name):
            lines = ({key: line[key] for key in ("id", "label", "probabilities")} for line in run.choices(name))
            write_whole(to / "predictions" / f"{name}.jsonl", "".join(json.dumps(line) + "\n" for line in lines))


def _keep_later(run: Run, to: Path) -> None:
    """Writes the scores of sets that a run was scored on later, without this machine's paths: only the names of folders and files."""
    for name, one in run.later.items():
        row = dict(one["set"])
        row |= {"data": _folder_name(row["data"])} if "data" in row else {}
        row |= {"files": {split: Path(file).name for split, file in row["files"].items()}} if isinstance(row.get("files"), dict) else {}
        (to / LATER_FOLDER).mkdir(exist_ok=True)
        write_json(to / LATER_FOLDER / f"{name}.json", {**one, "set": row})


def _placeless(row: dict) -> dict:
    """A row of `define` or `scored_also` without this machine's paths."""
    row = dict(row)
    row |= {"data": _name(row["data"])} if isinstance(row.get("data"), str) else {}
    row |= {"files": {split: _name(file) for split, file in row["files"].items()}} if isinstance(row.get("files"), dict) else {}
    return row


def _name(path: Any) -> Any:
    """The last name of an absolute path; anything else unchanged."""
    return Path(path).name if isinstance(path, str) and Path(path).is_absolute() else path


def _folder_name(data: str) -> str:
    return data if data in ("sample", "hub") else resolve(data).name


def open_study(folder: Path, data: str | None = None) -> tuple[dict[str, Run], list[Question]]:
    """The kept runs by name, and the questions with every run's reply, joined with the rows in `data` ("hub", a folder).

    Raises CompareError if there is no kept study, if the rows have another fingerprint, or if some run lacks one span per row.
    """
    try:
        runs = {name: Run(folder / path) for name, path in read_json((folder / "runs.json").read_bytes()).items()}
        with gzip.open(folder / SPANS, "rt", encoding="utf-8", newline="") as file:
            header, *lines = csv.reader(file)
    except (OSError, EOFError, ValueError, AttributeError, TypeError) as error:
        raise CompareError(f"{folder}: no study is kept there ({error}); `mtdnn report keep` makes such a folder") from None
    if header != _header(list(runs)):
        raise CompareError(f"{folder / SPANS}: its columns do not match the runs in runs.json: keep the study again")
    task = qa_task(runs)
    rows = {row.id: row for row in scored_rows(runs, data, task, "qa")}
    thresholds = [run.metrics[task]["threshold"] for run in runs.values()]
    questions = [_question(rows, line, list(runs), thresholds) for line in lines]
    counts = {run.metrics[task]["n"] for run in runs.values()}
    if counts != {len({q.row.id for q in questions})} or len(questions) not in counts:
        raise CompareError(f"{folder / SPANS}: {len(questions):,} questions, but metrics.json says {counts}: keep the study again")
    for name, run in runs.items():
        check_metrics(name, run, task, [question.replies[name] for question in questions])
    return runs, questions


def _question(rows: dict, line: list[str], names: list[str], thresholds: list[float]) -> Question:
    key, *cells = line
    if key not in rows or len(cells) != 3 * len(names):
        raise CompareError(f"{SPANS}: {key!r} is not one of the rows, or its line lacks three cells per run: keep the study again")
    replies = {}
    for name, threshold, start, end, diff in zip(names, thresholds, cells[::3], cells[1::3], cells[2::3], strict=True):
        try:
            best: list[tuple[int, int, Any]] = [(int(start), int(end), None)] if start else []
            if isnan(float(diff)):
                raise ValueError("NaN")
        except ValueError as error:
            raise CompareError(f"{SPANS}: question {key!r}: a cell of {name} is not a number ({error}): keep the study again") from None
        if best and not 0 <= best[0][0] < best[0][1] <= len(rows[key].context):
            raise CompareError(f"{SPANS}: question {key!r}: a span of {name} lies outside its passage: keep the study again")
        replies[name] = reply(rows[key], best, float(diff), threshold, None)
    return Question(rows[key], replies)


def _header(names: list[str]) -> list[str]:
    return ["id", *(f"{name}: {what}" for name in names for what in ("start", "end", "null − best"))]


def _spans(questions: Sequence[Question], names: list[str]) -> Iterable[list]:
    yield _header(names)
    for question in questions:
        cells = []
        for name in names:
            own = question.replies[name]
            if own.diff is None:
                raise CompareError(f"{name} has no n-best, only texts of answers, which must not be kept with a project")
            cells += [*(own.best[0][:2] if own.best else ("", "")), own.diff]
        yield [question.row.id, *cells]


def _short(run: Run, task: str) -> bytes:
    """The run's n-best with its first spans only."""
    entries = (first_of(entry, ENTRIES) for entry in run.nbest(task))
    return gzip.compress("".join(json.dumps(entry) + "\n" for entry in entries).encode(), mtime=0)


def without_paths(given: dict) -> dict:
    """A run's parameters without this machine's paths: of an absolute one only the last name, and no run folder."""
    config = {**given, "run_dir": None, "resume": False}
    config |= {key: bare(given[key]) for key, bare in (("data", _folder_name), ("encoder", _name)) if key in given}
    config |= {"init_from": Path(config["init_from"]).name} if config.get("init_from") else {}
    for key in ("define", "scored_also"):
        config |= {key: {name: _placeless(row) for name, row in config[key].items()}} if config.get(key) else {}
    if (anchor := config.get("anchor")) and "to" in anchor:
        config["anchor"] = {**anchor, "to": _name(anchor["to"])}
    return config
