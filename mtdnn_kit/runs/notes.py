"""Sentences on a finished run's thresholds, from its manifest and its scores. Knows no model and no data."""

from collections.abc import Iterable

from mtdnn_kit.runs.run import Run

UNRECORDED = "tuned on unrecorded questions"  # by an older version of the kit: only tuning gives another threshold than 0


def threshold_notes(run: Run) -> list[str]:
    """One sentence per scored question answering task: its threshold, what it was tuned on and, if it always answers, why."""
    metrics, held = run.metrics, run.manifest.get("held_out", {})
    tasks = [task for task in run.types if "threshold" in metrics.get(task, {})]
    if _imported_so(run):
        return [f"{task}: threshold: always answers, as the run that it was exported from" for task in tasks]
    always = {task for task in tasks if not run.parameters.datasets[task].unanswerable}
    return [f"{task}: threshold: {_note(metrics[task]['threshold'], held.get(task), task in always)}" for task in tasks]


def threshold_words(run: Run, name: str) -> str:
    """The threshold of a scored set of questions, for a table cell: "1.25, tuned on 124 questions", "0, not tuned" or "always answers"; ""
    without a threshold. name: as in metrics.json; the threshold is that of the task that scores the set."""
    threshold = run.metrics.get(name, {}).get("threshold")
    if threshold is None:
        return ""
    config = run.parameters
    task = config.task_of(name)
    held = run.manifest.get("held_out", {}).get(task)
    if not config.datasets[task].unanswerable or _imported_so(run) or (held and held["always_answers"]):
        return "always answers"
    if threshold and not held:
        return f"{threshold:.2f}, {UNRECORDED}"
    return f"{threshold:.2f}, tuned on {held['questions']:,} questions" if held else f"{threshold:g}, not tuned"


def _imported_so(run: Run) -> bool:
    """Whether a run was imported as one that always answers."""
    return bool(run.manifest.get("imported", {}).get("always_answers"))


def own_scores(runs: Iterable[Run], name: str) -> dict[str, float]:
    """Means over some runs of the custom scores (`metrics`) that all of them have for a scored set; it does not import their
    functions, and tests nothing by them."""
    found = [(run.config.get("metrics") or [], run.metrics.get(name, {})) for run in runs]
    named = dict.fromkeys(one.rpartition(":")[2] for names, _ in found for one in names)
    values = {score: [scores[score] for _, scores in found if scores.get(score) is not None] for score in named}
    return {score: sum(some) / len(some) for score, some in values.items() if len(some) == len(found)}


def threshold_of_several(runs: Iterable[Run], name: str) -> str:
    """`threshold_words` of a setting's runs in one cell: for several seeds, what they were tuned on, without the thresholds."""
    said = [threshold_words(run, name) for run in runs]
    return said[0] if len(said) == 1 else "; ".join(dict.fromkeys(text if "not" in text else text.split(", ")[-1] for text in said))


def merge_note(run: Run) -> str | None:
    """What a merged run was merged from, by which method and weight, and how that was chosen, in a sentence; None for other runs."""
    made = run.manifest.get("merged")
    if made is None:
        return None
    names = [one["run"] for one in made["runs"]]
    density = f", density {made['density']:g}" if made.get("density") else ""
    tried = ", ".join(f"{one['weight']:g}: {one['score']:.1f} %" for one in made.get("tried", ()))
    chosen = f", chosen by {made['by']} ({tried})" if tried else ", not chosen but given"
    return f"{run.name}: merged of {', '.join(names)} ({made['method']}{density}), weight {made['weight']:.3g}{chosen}; heads of {names[0]}"


def _note(threshold: float, held: dict | None, always: bool) -> str:
    """held: the manifest's record of a task's held-out questions; always: whether every question has an answer by definition."""
    if always:
        return "always answers, because every question has an answer (unanswerable: false)"
    if held is None and threshold:
        return f"{threshold:.2f}, {UNRECORDED}"
    if held is None:
        return f"{threshold:g}, not tuned, because no questions were held out for it (threshold_articles, threshold_ratio)"
    questions, unanswerable, titles = held["questions"], held["unanswerable"], held["titles"]
    count, unit = (titles, "title") if titles else (held["passages"], "passage")
    units = f"{count} {unit}{'s' * (count != 1)} ({held['rule']})"
    on = f"tuned on {questions} held-out questions of {units}, {unanswerable} of them unanswerable"
    if not unanswerable:
        return f"always answers, because no held-out question is unanswerable; {on}"
    if held["always_answers"]:
        return f"always answers, because that gives the best F1 on the held-out questions; {on}"
    if unanswerable == questions:
        return f"{threshold:.2f}, below all of the held-out questions, because none has an answer: hold out others; {on}"
    return f"{threshold:.2f}, {on}"
