"""What runs score, as tables: each figure with its interval, next to the paper's figures and baselines without training.

A table is a list of rows; scores are in percent, differences in points. `differences` computes differences.
"""

import csv
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from mtdnn_kit.compare.baseline import lexical_answers
from mtdnn_kit.compare.clusters import other_population, population
from mtdnn_kit.compare.differences import Settings, mean, setting_table
from mtdnn_kit.compare.pairing import Question, qa_task
from mtdnn_kit.compare.paper import TABLES
from mtdnn_kit.compare.seeds import cannot_tell
from mtdnn_kit.compare.significance import p_text
from mtdnn_kit.data.registry import REST
from mtdnn_kit.data.rows import QARow, gold_texts
from mtdnn_kit.errors import CompareError
from mtdnn_kit.files.atomic import write_whole
from mtdnn_kit.metrics import qa_scores
from mtdnn_kit.runs.environment import unlike
from mtdnn_kit.runs.notes import own_scores, threshold_of_several, threshold_words
from mtdnn_kit.runs.run import Run

ANSWER_SCORES = ("em", "f1", "em_at_0", "f1_at_0", "span_f1", "no_answer_ap")  # the scores of questions in a table of sets
_ACTIVE = re.compile(r"[\\`*<>|$~&]|(?<!\w)_|_(?!\w)|(?<=\])\(")  # characters with a meaning in Markdown, within a cell


def score_table(
    questions: Sequence[Question], settings: Settings, table: str | None = None, runs: dict[str, Run] | None = None, task: str | None = None
) -> list[dict]:
    """One row per setting: EM and F1 at the runs' thresholds with the ends of their 95 % intervals, span F1, average precision of no
    answer, and F1 minus that of the first setting, with interval and p; next to them the paper's figures for the setting of that name
    (`table`, a key of `paper.TABLES`).

    settings: name → {seed: run's name}, scores being means over the seeds (`differences.setting_table`). Where titles are known, EM and F1
    have a second interval, for the other population (articles, if `questions` are clustered by passage). runs: by name; each row then has
    the threshold of `task` (None: `qa_task`) with what it was tuned on, and the custom scores (`metrics`), without a test. Two more rows:
    never answering, and the lexical-overlap baseline (which always answers).
    """
    return [*_setting_rows(questions, settings, table, runs, task), *floors([q.row for q in questions])]


def score_tables(
    questions: Sequence[Question],
    settings: Settings,
    compared: Sequence[Settings],
    table: str | None = None,
    runs: dict[str, Run] | None = None,
    task: str | None = None,
) -> list[dict]:
    """`score_table` of each comparison (`Study.comparisons`), one below the other: each row says which setting it is "compared with", and p
    (adjusted) is for the differences of all of them (Bonferroni). Settings that are in none of them have only scores. A single comparison
    of all settings gives `score_table`."""
    lone = [{name: own} for name, own in settings.items() if not any(name in of for of in compared)]
    if len(compared) < 2 and not lone:
        return score_table(questions, settings, table, runs, task)
    rows, tested = [], sum(len(of) > 1 for of in compared)
    for of in (*compared, *lone):
        first = next(iter(of))
        for row in _setting_rows(questions, of, table, runs, task):
            head = {"run": row["run"], "compared with": "" if row["run"] == first else first}
            rows.append({**head, **row, "p (adjusted)": row["p (adjusted)"] and min(1.0, tested * row["p (adjusted)"])})
    return [*rows, *floors([q.row for q in questions])]


def of_family(rows: Sequence[dict], p: Mapping[tuple[str, str], float | None]) -> list[dict]:
    """Rows of `score_tables` of a study: p (adjusted) is F1's as adjusted for all judged differences (`differences.family_p`), and left out
    where F1 is not judged."""
    if not p:
        return [{key: value for key, value in row.items() if key != "p (adjusted)"} for row in rows]
    first = rows[0]["run"]
    return [{**row, "p (adjusted)": p.get((row.get("compared with", first), row["run"]))} if "p (adjusted)" in row else row for row in rows]


def _setting_rows(
    questions: Sequence[Question], settings: Settings, table: str | None, runs: dict[str, Run] | None, task: str | None
) -> list[dict]:
    """`score_table` without the baselines."""
    task = task or qa_task(runs or {})
    paper, first, rows = TABLES.get(table or "", {}), next(iter(settings)), []
    others = other_population(questions)
    apart = {score: {row["setting"]: row for row in setting_table(others, settings, score)} for score in ("EM", "F1")} if others else {}
    for em, f1 in zip(setting_table(questions, settings, "EM"), setting_table(questions, settings, "F1"), strict=True):
        name, row = em["setting"], {"run": em["setting"], "seeds": em["seeds"]}
        row |= {"threshold": threshold_of_several([runs[run] for run in settings[name].values()], task)} if runs else {}
        for score, found in (("EM", em), ("F1", f1)):
            row |= _interval(score, found, score)
            if others:
                row |= _interval(f"{score} for other {population(others)}", apart[score][name], score)
        row |= {score: mean(questions, settings[name], score) for score in ("span F1", "no-answer AP")}
        row |= own_scores([runs[run] for run in settings[name].values()], task) if runs else {}
        row |= {key.replace("Δ", "ΔF1"): f1[key] for key in ("Δ", "Δ low", "Δ high", "p", "p (adjusted)", "speaks for")}
        if paper:
            row |= dict(zip(("paper EM", "paper F1"), paper.get(name, (None, None)), strict=True))
            row["paper ΔF1"] = paper[name][1] - paper[first][1] if name != first and {name, first} <= paper.keys() else None
        rows.append(row)
    return rows


def _interval(key: str, row: dict, score: str) -> dict:
    return {key: row[score], f"{key} low": row["low"], f"{key} high": row["high"]}


def alone(runs: dict[str, Run]) -> Settings:
    """Runs as settings of one seed each, for `score_table`."""
    return {name: {run.config.get("seed", 0): name} for name, run in runs.items()}


def floors(rows: Sequence[QARow]) -> list[dict]:
    """Baselines without training, as rows of `score_table`: always no answer, and lexical overlap."""
    golds, able = [gold_texts(row) for row in rows], [row for row in rows if row.answers]
    found = []
    for name, said in (("no-answer baseline", [""] * len(rows)), ("lexical overlap", lexical_answers(rows))):
        scores = qa_scores(said, golds)
        found.append({"run": name, "EM": scores["em"], "F1": scores["f1"]})
    found[1]["span F1"] = qa_scores(lexical_answers(able), [gold_texts(row) for row in able])["f1"] if able else None
    return found


def shown(rows: Sequence[dict]) -> list[dict[str, str]]:
    """Rows formatted for reading: a number and the ends of its interval in one cell, "57.6 [49.2, 65.9]"; p with two digits."""
    return [
        {key: _cell(row, key) for key in row if not key.endswith((" low", " high")) and key not in ("low", "high", "places")}
        for row in rows
    ]


def _cell(row: dict, key: str) -> str:
    found, stem = row[key], "" if key == "difference" else f"{key} "
    if found is None or isinstance(found, str):
        return found or ""
    if isinstance(found, int):
        return f"{found:,}"
    if key == "p" or key.startswith("p ") or key.endswith(" p"):
        return "no test" if found != found else p_text(found) if found >= 1e-4 else "< 0.0001"
    if key in ("probability", "windows per question") or (key == "value" and "threshold" in str(row.get("score"))):
        return f"{found:.2f}"
    sign = "+" if key in ("difference", "points") or "Δ" in key else ""
    low, high = row.get(f"{stem}low"), row.get(f"{stem}high")
    if low is None or high is None:
        return f"{found:{sign}.1f}"
    seeds = row["seeds"] if isinstance(row.get("seeds"), int) else None
    return f"{found:{sign}.1f} [{cannot_tell(low, high, seeds) or f'{low:{sign}.1f}, {high:{sign}.1f}'}]"


def markdown(rows: Sequence[dict]) -> str:
    """Rows, as `shown` formats them, as a table in Markdown."""
    cells = shown(rows)
    keys = list(dict.fromkeys(key for row in cells for key in row))
    lines = [keys, ["---"] * len(keys), *([row.get(key, "") for key in keys] for row in cells)]
    return "".join("| " + " | ".join(_ACTIVE.sub(r"\\\g<0>", visible(text)) for text in line) + " |\n" for line in lines)


def visible(text: str) -> str:
    """`text` on one line, with invisible characters (controls; U+202E, which reverses the text after it) as \\x1b, \\u202e."""
    return "".join(c if c.isprintable() else " " if c.isspace() else c.encode("unicode_escape").decode() for c in text)


def latex(rows: Sequence[dict]) -> str:
    """The same as a LaTeX tabular (it takes the package booktabs)."""
    import pandas as pd

    cells = [{visible(key): visible(text) for key, text in row.items()} for row in shown(rows)]
    names = {"Δ": r"$\Delta$", "−": "$-$", "–": "--", "±": r"$\pm$", "<": "$<$", ">": "$>$", "|": "$|$"}
    return pd.DataFrame(cells).fillna("").to_latex(index=False, escape=True).translate(str.maketrans(names))


def tidy(runs: dict[str, Run], settings: Settings) -> list[dict]:
    """Every score of every run, one row each: setting, seed, the parameters in which the runs differ (`varied`), run, folder, task, score,
    value, and the number of rows n that it is over."""
    places = {run: (setting, seed) for setting, some in settings.items() for seed, run in some.items()}
    parameters = varied(runs)
    rows = []
    for name, run in runs.items():
        setting, seed = places[name]
        head = {"setting": setting, "seed": run.config.get("seed", seed), **parameters[name], "run": name, "folder": run.name}
        for task, scores in run.metrics.items():
            kept = {score: found for score, found in scores.items() if score != "n" and found is not None}
            rows += [{**head, "task": task, "score": score, "value": found, "n": scores["n"]} for score, found in kept.items()]
    return rows


def set_table(runs: dict[str, Run], names: Iterable[str] | None = None) -> list[dict]:
    """One row per run and set that it was scored on (names; None: all): the task that scores it and its scores in percent; for questions EM
    and F1 at the run's threshold, that threshold, and both at 0."""
    rows = []
    for name, run in runs.items():
        for one, found in run.metrics.items():
            if names is None or one in names:
                row: dict = {"run": name, "set": one, "scored by": run.parameters.task_of(one), "rows": found["n"]}
                keys = [*ANSWER_SCORES, *own_scores([run], one)] if "em" in found else [key for key in found if key != "n"]
                kept = {key: found[key] for key in keys if key in found}
                rows.append({**row, **kept} | ({"threshold": threshold_words(run, one)} if "threshold" in found else {}))
    return rows


def varied(runs: dict[str, Run]) -> dict[str, dict]:
    """The parameters of each run that differ between the runs, except seed and folder; lists as text, "squad+cola"."""
    found = {name: {key: _as_text(value) for key, value in run.config.items()} for name, run in runs.items()}
    keys = dict.fromkeys(key for own in found.values() for key in own if key not in ("seed", "run_dir", "resume"))
    differ = [key for key in keys if len({repr(own.get(key)) for own in found.values()}) > 1]
    return {name: {key: own.get(key) for key in differ} for name, own in found.items()}


def _as_text(value: object) -> object:
    if isinstance(value, list):
        return "+".join(map(str, value)) or "none"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else value


def aligned(rows: Sequence[dict], keys: Sequence[str]) -> str:
    """Some columns of rows, without missing ones, formatted and aligned for a terminal."""
    cells = [{key: visible(text) for key, text in row.items()} for row in shown(rows)]
    keys = [key for key in keys if any(row.get(key) for row in cells)]
    lines = [keys, *([row.get(key, "") for key in keys] for row in cells)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(keys))]
    return "".join("  ".join(f"{text:<{width}}" for text, width in zip(line, widths, strict=True)).rstrip() + "\n" for line in lines)


def write(folder: Path, rows: Sequence[dict], runs: dict[str, Run], settings: Settings) -> None:
    """Writes a study's files: the table as numbers (table.csv), as Markdown and as LaTeX, and every score of every run (scores.csv,
    tidy)."""
    import pandas as pd

    write_scores(folder, runs, settings)
    table = pd.DataFrame(rows)
    rounded = table.round({column: 3 for column in table if column != "p" and not column.startswith("p (")})
    write_whole(folder / "table.csv", rounded.to_csv(index=False))
    write_whole(folder / "table.md", "".join(f"{said}\n\n" for said in unlike(runs)) + markdown(rows))
    write_whole(folder / "table.tex", latex(rows))


def write_scores(folder: Path, runs: dict[str, Run], settings: Settings) -> None:
    """Writes scores.csv (`tidy`)."""
    import pandas as pd

    write_whole(folder / "scores.csv", pd.DataFrame(tidy(runs, settings)).to_csv(index=False))


def read(folder: Path) -> list[dict]:
    """The rows of a table.csv that `write` left, with its rounded scores."""
    with open(folder / "table.csv", encoding="utf-8", newline="") as file:
        return [{key: _number(key, text) for key, text in row.items()} for row in csv.DictReader(file)]


def _number(key: str, text: str) -> int | float | str | None:
    if key in ("run", "compared with", "speaks for"):
        return text
    with suppress(ValueError):
        return None if text == "" else int(float(text)) if key == "seeds" else float(text)
    return text


def points(table: Sequence[dict]) -> dict[str, dict]:
    """Scores of each setting and the ends of their intervals, for `study_plots.points_figure`, from the rows of `score_table`."""
    keys = {f"{name}{end}": f"{name.upper()}{end.replace('_', ' ')}" for name in ("em", "f1") for end in ("", "_low", "_high")}
    return {row["run"]: {key: row[column] for key, column in keys.items()} for row in table if "EM low" in row}


def by_weight(runs: dict[str, Run], found: dict[str, dict]) -> dict[str, dict]:
    """`points` by the weight of question answering, as in the paper's figure 3: runs of the largest mixture, and of only the main task.

    runs: a run of each setting.
    """
    sizes = {name: len(run.config["tasks"]) for name, run in runs.items()}
    return {str(run.config["qa_weight"]): found[name] for name, run in runs.items() if sizes[name] in (1, max(sizes.values()))}


def both_sets_table(runs: dict[str, Run], task: str | None = None, score: str = "f1") -> list[dict]:
    """Choose on one set, report on both: one row per run with its score on the scored questions and on the rest of the official dev set,
    and which run would be chosen on which. [] where the runs have not scored the rest (it takes the hub's data).

    The choice biases the score on the set that it was made on, but not the score on the other set.
    """
    task = task or qa_task(runs)
    if not all(task + REST in run.metrics for run in runs.values()):
        return []
    scores = {part: {name: run.metrics[part][score] for name, run in runs.items()} for part in (task, task + REST)}
    if any(value is None for part in scores.values() for value in part.values()):
        raise CompareError(f"{score}: not every run has it; choose by em or f1")
    best = {part: max(found, key=found.__getitem__) for part, found in scores.items()}
    chosen = {name: ", ".join(part for part in scores if best[part] == name) for name in runs}
    return [{"run": name, **{part: scores[part][name] for part in scores}, "chosen on": chosen[name]} for name in runs]
