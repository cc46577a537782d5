"""Each task's headline score next to baselines without training: chance, the best constant answer, lexical overlap. A table, and its
figure.

Computes nothing itself: scores come from `differences`, baselines from `learnt` and `tables`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from mtdnn_kit.compare.differences import Settings, setting_table
from mtdnn_kit.compare.learnt import NOT_SHOWN, UNKNOWN, YES, learnt_table
from mtdnn_kit.compare.pairing import Question, pair
from mtdnn_kit.errors import CompareError, DataError
from mtdnn_kit.runs.run import Run
from mtdnn_kit.views.plots import Picture, canvas, detached, disc, interval, styled_along_x
from mtdnn_kit.views.style import INK, task_numbers
from mtdnn_kit.views.tables import floors

# what is drawn next to a score, with its size, larger than the score's disc; for questions, constant: no answer
MARKS = {"chance": ("|", 15), "constant answer": ("D", 11), "lexical overlap": ("x", 11)}


def task_rows(
    runs: Mapping[str, Run], settings: Settings, learnt: Sequence[dict], questions: Sequence[Question] | None = None
) -> list[dict]:
    """One row per task and setting that scored it: its headline score in percent with the ends of its 95 % interval, its comparisons
    (MARKS), n rows, and whether it was learnt. learnt: `learnt_table`'s rows; questions: the main task's, where available."""
    rows = [row for task, own in _answered(runs, settings).items() for row in _answers(runs, own, task, questions)]
    seen = set()
    for row in learnt:
        if (row["setting"], row["task"]) not in seen:  # of several scores the first is the headline
            seen.add((row["setting"], row["task"]))
            n = runs[next(iter(settings[row["setting"]].values()))].metrics[row["task"]]["n"]
            kept = {"task": row["task"], "setting": row["setting"], "score": row["score"], "n": n, "learnt": row["learnt"]}
            rows.append({**kept, "value": row["value"], "low": row["value low"], "high": row["value high"], **_marks(row)})
    order = list(dict.fromkeys(task for run in runs.values() for task in run.types))
    return sorted(rows, key=lambda row: order.index(row["task"]))


def run_rows(run: Run) -> list[dict]:
    """The same rows of one run."""
    runs, settings = {run.name: run}, {run.name: {0: run.name}}
    return task_rows(runs, settings, learnt_table(runs, settings))


def _answered(runs: Mapping[str, Run], settings: Settings) -> dict[str, Settings]:
    """Each question answering task with the settings all of whose runs scored it and keep answers to it; without tasks that have none."""
    found = dict[str, Settings]()
    for task in dict.fromkeys(task for run in runs.values() for task, kind in run.types.items() if kind == "qa"):
        kept = {name for name, run in runs.items() if task in run.metrics and run.keeps(task)}
        found[task] = {setting: own for setting, own in settings.items() if kept.issuperset(own.values())}
    return {task: some for task, some in found.items() if some}


def _answers(runs: Mapping[str, Run], settings: Settings, task: str, questions: Sequence[Question] | None) -> list[dict]:
    main, own = next(iter(runs.values())).parameters.tasks[0], {run: runs[run] for some in settings.values() for run in some.values()}
    try:
        found = questions if questions is not None and task == main else pair(own, None, task, nbest=1)
    except (CompareError, DataError):
        return []
    nothing, overlap = (row["F1"] for row in floors([q.row for q in found]))
    rows = []
    for row in setting_table(found, settings, "F1"):
        learnt = UNKNOWN if row["low"] is None else YES if row["low"] > max(nothing, overlap) else NOT_SHOWN
        held = {"chance": None, "constant answer": nothing, "lexical overlap": overlap, "learnt": learnt}
        kept = {"task": task, "setting": row["setting"], "score": "F1", "n": len(found), "value": row["F1"]}
        rows.append({**kept, "low": row["low"], "high": row["high"], **held})
    return rows


def _marks(row: Mapping[str, Any]) -> dict[str, float | None]:
    return {"chance": row["chance"], "constant answer": row["constant answer"], "lexical overlap": None}


@styled_along_x
def tasks_figure(rows: Sequence[dict]) -> Picture:
    """One line per task, in its colour; with several settings one heading per task and one line per setting, in its colour. Scores have 95
    % intervals; baselines are marks. rows: of `task_rows`; a filled disc means that the whole interval is above the baselines."""
    settings = list(dict.fromkeys(row["setting"] for row in rows))
    lines = _lines(rows, len(settings) > 1)
    numbers, drawn = task_numbers(row["task"] for row in rows), dict[str, Any]()
    figure, axes = canvas(figsize=(9, 1.3 + 0.36 * len(lines)))
    for y, (_, row) in enumerate(lines):
        if row is not None:
            number = settings.index(row["setting"]) if len(settings) > 1 else numbers[row["task"]]
            for name, (marker, size) in MARKS.items():
                if row[name] is not None:
                    drawn[name] = axes.plot(row[name], y, marker, color=INK, ms=size, mew=1.5, mfc="none", ls="none")[0]
            interval(axes, y, row["value"], row["low"], row["high"], row["learnt"] == YES, number)
    axes.set(yticks=range(len(lines)), yticklabels=[name for name, _ in lines], ylim=(len(lines) - 0.4, -0.6), xlabel="percent")
    for label, (_, row) in zip(axes.get_yticklabels(), lines, strict=True):
        label.set_fontweight("bold" if row is None else "normal")
    axes.set_xlim(min([0, *(row["low"] for row in rows if row["low"] is not None)]) - 2, 102)
    learnt = sorted({row["learnt"] == YES for row in rows}, reverse=True)
    discs = [disc(full, "above them: learnt" if full else "not shown to be learnt") for full in learnt]
    labels = [str(one.get_label()) for one in discs]
    figure.legend([*drawn.values(), *discs], [*drawn, *labels], loc="outside lower center", ncols=5)
    return detached(figure, f"Each task's score next to what needs no training. {'; '.join(map(_said, rows))}.")


def scores_figure(metrics: Mapping[str, Mapping[str, Any]]) -> Picture:
    """The first score of each task of a metrics.json, without intervals and baselines; `tasks_figure` shows both."""
    bare = {"setting": "", "low": None, "high": None, "learnt": UNKNOWN, **dict.fromkeys(MARKS)}
    rows = [
        {**bare, "task": task, "score": next(iter(found)), "value": next(iter(found.values())), "n": found["n"]}
        for task, found in metrics.items()
    ]
    return tasks_figure(rows)


def _lines(rows: Sequence[dict], several: bool) -> list[tuple[str, dict | None]]:
    """(label, row) of each line; a heading has no row."""
    lines = list[tuple[str, dict | None]]()
    for row in rows:
        title = f"{row['task']} {row['score']} (n = {row['n']:,})"
        if several and not any(name == title for name, _ in lines):
            lines.append((title, None))
        lines.append((row["setting"] if several else title, row))
    return lines


def _said(row: dict) -> str:
    held = ", ".join(f"{name} {row[name]:.1f}" for name in MARKS if row[name] is not None)
    return f"{row['setting']}, {row['task']} {row['score']} {row['value']:.1f} ({held})"
