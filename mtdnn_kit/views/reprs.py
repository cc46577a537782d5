"""What a run, a study and a schedule look like in a notebook: small tables, HTML without script or style sheet (reprs.html).

Text has the theme's colours, so that it is legible in JupyterLab's light and dark theme, and is always escaped. What is shown comes as
plain values, or as an object that has the named properties. `Run` and `Schedule` get their notebook display here, so that their packages
know no HTML; importing this package is enough.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from mtdnn_kit.balance.schedule import JointSchedule
from mtdnn_kit.files.wording import duration
from mtdnn_kit.model.provenance import note
from mtdnn_kit.runs.notes import own_scores, threshold_words
from mtdnn_kit.runs.origin import origin_note
from mtdnn_kit.runs.run import Run
from mtdnn_kit.sampler import Schedule
from mtdnn_kit.views.templates import macros

MOST_LISTED = 60  # runs of a study that are listed
MAIN = ("em", "f1")  # what is shown of a question answering task's many scores
EMPTY = "–"
_page = partial(macros, "views/reprs.html")


def run_html(run: Any) -> str:
    """A run folder (`runs.Run`): its name, status, steps and time; a task's steps, passes and main scores. Otherwise why it cannot be
    read."""
    try:
        manifest, tasks = run.manifest, list(run.config["tasks"])
        scores = run.metrics if manifest["status"] == "finished" else {}
        head = [manifest["status"], *_amount(manifest), *(f"{key} {manifest[key]}" for key in ("seed", "precision") if key in manifest)]
        names = [*tasks, *(name for name in scores if name not in tasks)]
        said = {name: (threshold_words(run, name), own_scores([run], name)) for name in scores}
        rows = [_task_row(name, manifest, scores.get(name, {}), *said.get(name, ("", {}))) for name in names]
        notes = [text for text in (note(run), origin_note(run)) if text]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return _page().unread(run.name, error)
    return _page().listed(run.name, head, ("task", "steps", "passes", "scores, percent", "rows scored"), rows, notes)


def _amount(manifest: Mapping[str, Any]) -> list[str]:
    """Steps and time, as "223 steps in 1:59"; empty for an imported run (`import_run`)."""
    if not isinstance(manifest.get("steps"), int):
        return []
    seconds = manifest.get("train_seconds")
    return [f"{manifest['steps']:,} steps{f' in {duration(seconds)}' if isinstance(seconds, int | float) else ''}"]


def _task_row(task: str, manifest: Mapping[str, Any], scores: Mapping[str, Any], decided: str, own: Iterable[str]) -> list:
    """decided: what the task's threshold was tuned on; "" where it has none. own: the names of custom scores."""
    draws = manifest.get("draws") or {}
    main = [name for name in (*MAIN, *own) if name in scores] if "span_f1" in scores else [name for name in scores if name != "n"]
    said = ", ".join(f"{name.upper() if name in MAIN else name} {scores[name]:.1f}" for name in main if scores[name] is not None)
    said += f" (threshold {decided})" if decided else ""
    steps = _page().share(draws[task], sum(draws.values())) if task in draws else EMPTY
    return [task, steps, (manifest.get("passes") or {}).get(task, EMPTY), said or EMPTY, scores.get("n", EMPTY)]


def study_html(study: Any, statuses: Mapping[str, str], folder: str) -> str:
    """A study (`studies.Study`): its question, what is compared, and its runs, with the keys that each changes and where it stands.

    statuses: run's name → in words; folder: where the runs are looked for.
    """
    rows = [(name, statuses[name], _page().changed(run.changes)) for name, run in study.runs.items()]
    counts = [f"{count:,} {status}" for status, count in Counter(statuses.values()).items()]
    return _page().study(study, counts, rows, folder, MOST_LISTED)


def schedule_html(schedule: Any) -> str:
    """A schedule (`sampler.Schedule`): its steps and epochs, and of each task the steps, as a bar and a number, and the passes begun.

    Of joint steps (`balance.schedule`): the whole batches that a task's rows would make."""
    draws, passes, n = schedule.draws(), schedule.passes(), len(schedule)
    rows = [(task, _page().share(count, n), f"{count / max(n, 1):.1%}", passes[task]) for task, count in draws.items()]
    epochs = int(schedule.epoch[-1]) if n else 0
    amount = [f"{n:,} step{'s' * (n != 1)}", f"{epochs:,} epoch{'s' * (epochs != 1)}"]
    return _page().listed("schedule", amount, ("task", "steps", "share", "passes"), rows)


for _shown, _html in ((Run, run_html), (Schedule, schedule_html), (JointSchedule, schedule_html)):
    setattr(_shown, "_repr_html_", _html)  # noqa: B010 (an assignment would be an error of types)
