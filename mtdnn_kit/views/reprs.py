"""What a run, a study and a schedule look like in a notebook: small tables, HTML without script or style sheet.

Text has the theme's colours, so that it reads in JupyterLab's light and dark one alike, and is escaped whatever it is. What is shown comes
as plain values, or as an object that has the named properties. `Run` and `Schedule` get what a notebook shows of them here, so that the
rooms that they live in know no HTML; importing the package is enough for that.
"""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from mtdnn_kit.files.wording import duration
from mtdnn_kit.runs.run import Run
from mtdnn_kit.sampler import Schedule

CELL = "text-align:left;vertical-align:top;padding:2px 10px;border-bottom:1px solid rgba(128,128,128,.35)"
BREAK = "overflow-wrap:anywhere"  # a very long word is broken, not cut off
MOST_LISTED = 60  # runs of a study that are listed
MAIN = ("em", "f1")  # what is shown of a question answering task's many scores
EMPTY = "–"


def table_html(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; its cells are HTML."""
    top = "".join(f'<th style="{CELL}" scope="col">{name}</th>' if name else f'<td style="{CELL}"></td>' for name in head)
    body = "".join(f"<tr>{''.join(f'<td style={chr(34)}{CELL}{chr(34)}>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f'<table style="border-collapse:collapse;line-height:1.5"><tr>{top}</tr>{body}</table>'


def bar_html(width: float) -> str:
    """A bar, so many em wide."""
    return f'<span style="display:inline-block;width:{width:.2f}em;height:.7em;background:rgba(128,128,128,.6);margin-right:.4em"></span>'


def run_html(run: Any) -> str:
    """A run folder (`runs.Run`): its name, status, steps and time; a task's steps, passes and main scores. Else why it cannot be read."""
    try:
        manifest, tasks = run.manifest, list(run.config["tasks"])
        scores = run.metrics if manifest["status"] == "finished" else {}
        head = [manifest["status"], *_amount(manifest), *(f"{key} {manifest[key]}" for key in ("seed", "precision") if key in manifest)]
        rows = [_task_row(task, manifest, scores.get(task, {})) for task in [*tasks, *(name for name in scores if name not in tasks)]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return _box(run.name, [], f"<p>{_text(error)}</p>")
    return _box(run.name, head, table_html(("task", "steps", "passes", "scores, percent", "rows scored"), rows))


def _amount(manifest: Mapping[str, Any]) -> list[str]:
    """Steps and time, as "223 steps in 1:59"; nothing of a run that others made (`import_run`)."""
    if not isinstance(manifest.get("steps"), int):
        return []
    seconds = manifest.get("train_seconds")
    return [f"{manifest['steps']:,} steps{f' in {duration(seconds)}' if isinstance(seconds, int | float) else ''}"]


def _task_row(task: str, manifest: Mapping[str, Any], scores: Mapping[str, Any]) -> list[str]:
    draws = manifest.get("draws") or {}
    main = [name for name in MAIN if name in scores] if "span_f1" in scores else [name for name in scores if name != "n"]
    said = ", ".join(f"{name.upper() if name in MAIN else name} {scores[name]:.1f}" for name in main if scores[name] is not None)
    steps = _bar(draws[task], sum(draws.values())) if task in draws else EMPTY
    return [_text(task), steps, _text((manifest.get("passes") or {}).get(task, EMPTY)), _text(said or EMPTY), _text(scores.get("n", EMPTY))]


def study_html(study: Any, statuses: Mapping[str, str], folder: str) -> str:
    """A study (`studies.Study`): its question, what is compared, and its runs, with the keys that each changes and where it stands.

    statuses: run's name → in words; folder: where the runs are looked for.
    """
    told = [[_text(name), _text(statuses[name]), _changes(run.changes)] for name, run in study.runs.items()]
    more = f"<p>… and {len(told) - MOST_LISTED:,} more</p>" if len(told) > MOST_LISTED else ""
    pair = f"{', '.join(study.others) or 'nothing'} against {study.baseline}"
    said = f"<p>{_text(study.question)}</p><p>{_text(f'Base {study.base}; {pair}; runs in {folder}')}</p>"
    counts = [f"{list(statuses.values()).count(status):,} {status}" for status in dict.fromkeys(statuses.values())]
    return _box(study.name, counts, said + table_html(("run", "status", "changes"), told[:MOST_LISTED]) + more)


def _changes(changes: Mapping[str, Any]) -> str:
    return ", ".join(f"{_text(key)}: {_text(value)}" for key, value in changes.items()) or "nothing"


def schedule_html(schedule: Any) -> str:
    """A schedule (`sampler.Schedule`): its steps and epochs, and of each task the steps, as a bar and a number, and the passes begun."""
    draws, passes, n = schedule.draws(), schedule.passes(), len(schedule)
    rows = [[_text(task), _bar(count, n), f"{count / max(n, 1):.1%}", str(passes[task])] for task, count in draws.items()]
    epochs = int(schedule.epoch[-1]) if n else 0
    amount = [f"{n:,} step{'s' * (n != 1)}", f"{epochs:,} epoch{'s' * (epochs != 1)}"]
    return _box("schedule", amount, table_html(("task", "steps", "share", "passes"), rows))


def _bar(count: int, total: int) -> str:
    """A number behind a bar as long as its share of a total."""
    return f"{bar_html(6 * count / max(total, 1))}{count:,}"


def _box(name: str, facts: Sequence[str], body: str) -> str:
    first = " · ".join([f"<b>{_text(name)}</b>", *map(_text, facts)])
    return f'<div style="max-width:62em;{BREAK}"><div>{first}</div>{body}</div>'


def _text(value: object) -> str:
    return escape(str(value))


for _shown, _html in ((Run, run_html), (Schedule, schedule_html)):
    setattr(_shown, "_repr_html_", _html)  # noqa: B010 (an assignment would be an error of types)
