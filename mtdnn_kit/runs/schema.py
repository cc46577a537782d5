"""The required content of the files of a run folder: takes plain values, returns what is wrong with them.

Otherwise a NaN, a negative count or text instead of a number would end up in a table, or in an error far from its file. Unknown keys are
ignored. Also explains a missing file (`missing`).
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mtdnn_kit.files.paths import project_root
from mtdnn_kit.files.wording import short, some

ANY = "*"  # stands for all other keys


@dataclass(frozen=True)
class Form:
    """The required form of a value: in words, as a test, and the forms of its parts by key."""

    words: str
    fits: Callable[[Any], bool]
    parts: dict[str, "Form"] = field(default_factory=dict)


def is_number(value: Any) -> bool:
    """Whether a value is a finite number that fits a float; from JSON, Python reads NaN, infinity and whole numbers of any size."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def is_count(value: Any) -> bool:
    """Whether a value is a whole number, 0 or more."""
    return type(value) is int and 0 <= value < 2**63


def problem(value: Any, form: Form, where: str = "it") -> str | None:
    """What is wrong with a value or its first invalid part, in words; None if it is valid. where: its name in the message."""
    if not form.fits(value):
        return f"{where} is {short(value)}, not {form.words}"
    for key, item in value.items() if form.parts else ():
        known = key in form.parts and key != ANY
        part = form.parts[key] if known else form.parts.get(ANY)
        place = f"{where}, {short(key)}" if not known else key if where == "it" else f"{where}: {key}"
        if part and (wrong := problem(item, part, place)):
            return wrong
    return None


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _object(**parts: Form) -> Form:
    return Form("an object", _is_object, parts)


def _each(form: Form) -> Form:
    """The form of an object whose values all have one form."""
    return _object(**{ANY: form})


FLAG = Form("true or false", lambda value: isinstance(value, bool))
TEXT = Form("text", lambda value: isinstance(value, str))
WHOLE_NUMBER = Form("a whole number", is_count)
NUMBER = Form("a number", is_number)
MAYBE_NUMBER = Form("a number", lambda value: value is None or is_number(value))
PERCENT = Form("a score", lambda value: value is None or (is_number(value) and abs(value) <= 100.000001))
TASKS = Form("a list of names", lambda value: isinstance(value, list) and bool(value) and all(isinstance(task, str) for task in value))
MAYBE_NAMES = Form("a list of names, or null", lambda value: value is None or TASKS.fits(value))
COUNTED = Form("scores with `n`, the number of rows", lambda value: _is_object(value) and is_count(value.get("n")))
THRESHOLDS = {"threshold": NUMBER, "best_em_threshold": MAYBE_NUMBER, "best_f1_threshold": MAYBE_NUMBER}
STEP = Form("a step of a task", lambda value: _is_object(value) and is_count(value.get("step")) and isinstance(value.get("task"), str))
STEP_FIGURES = ("loss", "lr", "grad_norm", "tokens_per_second", "epoch", "tokens")  # of a step, in the log

RESUME = {"time": TEXT, "host": TEXT, "after_step": WHOLE_NUMBER}
ONE_RESUME = Form("a resume", lambda value: _is_object(value) and RESUME.keys() <= value.keys(), RESUME)
RESUMES = Form("a list of resumes", lambda value: isinstance(value, list) and not any(problem(one, ONE_RESUME) for one in value))
SOURCES = _each(_object(fingerprint=TEXT, origin=TEXT, rows=WHOLE_NUMBER))


MERGED_RUNS = Form(
    "a list of runs", lambda value: isinstance(value, list) and all(_is_object(one) and {"run", "sha256"} <= one.keys() for one in value)
)
TRIED_WEIGHTS = Form(
    "a list of weights with their scores",
    lambda value: (
        isinstance(value, list) and all(_is_object(one) and is_number(one.get("score")) and is_number(one.get("weight")) for one in value)
    ),
)

# The files. `config` checks the rest of config.yaml; scores are percentages, thresholds are not.
CONFIG_FORM = Form("`key: value` with `tasks`, a list of names", lambda value: _is_object(value) and "tasks" in value, {"tasks": TASKS})
MANIFEST_FORM = _object(
    **dict.fromkeys(("status", "code", "precision", "start", "end", "device", "machine", "kit", "command", "os", "host"), TEXT),
    **dict.fromkeys(("steps", "threads", "seed", "processes"), WHOLE_NUMBER),
    packages=_each(TEXT),
    git=_object(of=TEXT, commit=TEXT, clean=FLAG),
    lock=_object(packages=WHOLE_NUMBER),
    peak_memory=_each(NUMBER),
    energy_joules=NUMBER,
    resumes=RESUMES,
    warnings=Form("a list of texts", lambda value: isinstance(value, list) and all(isinstance(text, str) for text in value)),
    train_seconds=NUMBER,
    data=SOURCES,
    draws=_each(WHOLE_NUMBER),
    encoder=_object(name=TEXT, files=_each(TEXT), trained_on=MAYBE_NAMES),
    anchor=_object(name=TEXT, sha256=TEXT, files=_each(TEXT), trained_on=MAYBE_NAMES),
    merged=_object(method=TEXT, weight=NUMBER, by=TEXT, runs=MERGED_RUNS, tried=TRIED_WEIGHTS),
    held_out=_each(_object(rule=TEXT, always_answers=FLAG, **{ANY: WHOLE_NUMBER})),
)
SCORES_FORM = replace(COUNTED, parts={"n": WHOLE_NUMBER, **THRESHOLDS, ANY: PERCENT})
METRICS_FORM = _each(SCORES_FORM)
LATER_FORM = Form(
    "an object with `set`, `data` and `scores`",
    lambda value: _is_object(value) and {"set", "data", "scores"} <= value.keys(),
    {"set": _object(), "data": SOURCES, "scores": SCORES_FORM, "end": TEXT},
)
ANSWERS_FORM = _each(TEXT)
CHOICE_FORM = Form(
    "a row's id and the number of its label", lambda value: _is_object(value) and is_count(value.get("id")) and is_count(value.get("label"))
)
RECORD_FORM = replace(
    STEP,
    parts={
        **dict.fromkeys(STEP_FIGURES, NUMBER),
        **dict.fromkeys(("scores", "constant", "norm", "cosine"), _each(MAYBE_NUMBER)),
        "cosine_with": _each(_each(MAYBE_NUMBER)),
        **dict.fromkeys(("losses", "weights"), _each(NUMBER)),
        "of": TEXT,
        "affinity": NUMBER,
    },
)


def missing(folder: Path, name: str) -> str:
    """The message on a missing file of a run folder: what the folder is instead, and what to do."""
    if not folder.exists():
        return f"{folder}: there is no such folder; correct the path (a relative one starts at {project_root()})"
    if not folder.is_dir():
        return f"{folder} is a file; name a run folder"
    if (folder / "manifest.json").exists():
        return f"{folder} has no {name}: the run has not reached that point, or its folder was copied incompletely"
    if runs := sorted(file.parent.name for file in folder.glob("*/manifest.json")):
        return f"{folder} is not a run but a folder of {len(runs)} runs; name one of them: {some(f'{folder.name}/{run}' for run in runs)}"
    return f"{folder} has no {name} and no manifest.json: it is not a run folder, or nothing was trained there yet"
