"""A kept study as the tables of a report, in Markdown: every figure of results/README.md is printed by one of these commands.

    python -m mtdnn_kit.report keep STUDY_FILE RUNS_FOLDER results/NAME --data FOLDER --whole "QA seed 0"
    python -m mtdnn_kit.report tables results/NAME --data FOLDER
    python -m mtdnn_kit.report write results/NAME --data FOLDER

The first copies what is worth keeping of finished runs (`keeping`), the second joins it with the rows and prints: scores in the paper's
form; the differences that the study declared it is judged by; what the other tasks learn; how best spans are bounded; slices; the spread of
seeds and what it would take to see gains as large as the paper's; its three examples. The third writes these, the tables as numbers
and figures into the folder. No text of the data is printed or written.
"""

import argparse
import itertools
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from mtdnn_kit import paper, tables
from mtdnn_kit.compare import CompareError, Question, find, pair
from mtdnn_kit.config import ConfigError, resolve
from mtdnn_kit.differences import SCORES, difference, primary_table, sentences, setting_difference, setting_slices, setting_table, value
from mtdnn_kit.folders import write_whole
from mtdnn_kit.keeping import keep_study, open_study
from mtdnn_kit.outcomes import KINDS, span_kind
from mtdnn_kit.rows import DataError, QARow
from mtdnn_kit.runs import Run, RunError
from mtdnn_kit.seeds import SettingDifference, needed
from mtdnn_kit.studies import Study, StudyError, read_study
from mtdnn_kit.study_plots import points_figure, settings_figure
from mtdnn_kit.tables import markdown, points, score_table
from mtdnn_kit.variants import slug

SPAN_KINDS = ("right", "too long", "cut off", "overlapping", "elsewhere")  # of a best span on an answerable question
AUXILIARY = {"swag": ("accuracy",), "cola": ("matthews",), "mrpc": ("f1", "accuracy"), "mnli": ("accuracy",)}


def report(folder: Path, data: str | None) -> Iterator[str]:
    """The sections of a kept study, each a heading and a table, or lines."""
    return _sections(*_opened(folder, data))


def _opened(folder: Path, data: str | None) -> tuple[Study, dict[str, Run], list[Question], dict[str, dict[int, str]]]:
    """The study, its kept runs, the questions with their replies, and the settings of which runs were kept."""
    study = read_study(folder / "study.yaml")
    runs, questions = open_study(folder, data)
    settings = {name: {seed: run for seed, run in own.items() if run in runs} for name, own in study.settings.items()}
    return study, runs, questions, {name: own for name, own in settings.items() if own}


def write(folder: Path, data: str | None) -> None:
    """Into a kept study's folder: tables.md, the whole report; the table of scores and every score of every run (`tables.write`); and its
    figures: the differences in what the study is judged by, and the paper's figure of the same settings."""
    study, runs, questions, settings = _opened(folder, data)
    write_whole(folder / "tables.md", "\n".join(_sections(study, runs, questions, settings)))
    rows = score_table(questions, settings, study.paper)
    tables.write(folder, rows, runs, settings)
    for score in study.scores:
        figure = settings_figure(setting_table(questions, settings, score), score)
        figure.savefig(folder / f"{slug(score)}.png", dpi=150)
    if study.paper:
        theirs = paper.TABLES[study.paper]
        points_figure(points(rows), theirs, list(theirs), "settings").savefig(folder / "paper.png", dpi=150)


def _sections(study: Study, runs: dict[str, Run], questions: Sequence[Question], settings: dict[str, dict[int, str]]) -> Iterator[str]:
    first, *others = settings
    yield _section("Scores", score_table(questions, settings, study.paper))
    yield _section(f"Judged by {' and '.join(study.scores)}", primary_table(questions, settings, study.scores))
    yield _section("Thresholds, %", threshold_table(runs, questions, settings))
    yield _section("The other tasks", auxiliary_table(runs, settings))
    yield _section("Bounds of best spans, % of answerable questions", bounds_table(questions, settings))
    yield _section("Wrong bounds", primary_table(questions, settings, ["wrong bounds"]))
    for score in study.scores:
        for name in others:
            rows = [row for row in setting_slices(questions, settings[first], settings[name], score) if row["p"] is not None]
            named = [{first if k == "a" else name if k == "b" else k: v for k, v in row.items()} for row in rows]
            yield _section(f"Slices: {score}, {name} − {first}", named)
    yield _section("Spread over seeds (standard deviation)", spread_table(questions, settings))
    if any(len(own) > 1 for own in settings.values()):
        alone = {name: dict([min(own.items())]) for name, own in settings.items()}
        yield _section("The first seed alone, as if there were no other", primary_table(questions, alone, ["F1", *study.scores]))
    yield _section("Two seeds of the same setting", seed_table(questions, settings))
    for score in study.scores:
        yield _section(f"What it would take: {score}", "\n".join(f"- {text}" for text in sentences(questions, settings, score)) + "\n")
    if study.paper:
        lines = paper_needs(questions, settings, paper.TABLES[study.paper])
        yield _section("Seeds it would take to see the paper's gains, with the spread found here", "".join(f"- {line}\n" for line in lines))
    yield _section("The paper's examples", example_table(questions, settings))


def _section(title: str, body: str | list[dict]) -> str:
    """A heading, and a table or text; "none" where there is nothing."""
    body = markdown(body) if isinstance(body, list) and body else body or "none\n"
    return f"## {title}\n\n{body}"


def auxiliary_table(runs: dict[str, Run], settings: dict[str, dict[int, str]]) -> list[dict]:
    """A row a setting: mean scores over its seeds on the other scored tasks, in percent."""
    rows = []
    for setting, own in settings.items():
        metrics = [runs[name].metrics for name in own.values()]
        row: dict = {"setting": setting}
        for task, scores in AUXILIARY.items():
            for score in scores:
                found = [one[task][score] for one in metrics if task in one]
                row[f"{task} {score}"] = float(np.mean(found)) if found else None
        rows.append(row)
    return rows


def threshold_table(runs: dict[str, Run], questions: Sequence[Question], settings: dict[str, dict[int, str]]) -> list[dict]:
    """A row a setting, means over its seeds, in percent: how often nothing was answered at the tuned threshold, F1 on questions with an
    answer and accuracy on those without; F1 at threshold 0, and at the best for these very questions, which is no result but a bound."""
    kept = {"has-answer F1": "has_answer_f1", "no-answer accuracy": "no_answer_accuracy", "F1 at 0": "f1_at_0", "best F1 here": "best_f1"}
    rows = []
    for setting, own in settings.items():
        nothing = [100 * float(np.mean([not q.replies[run].text for q in questions])) for run in own.values()]
        means = {name: float(np.mean([runs[run].metrics["squad"][key] for run in own.values()])) for name, key in kept.items()}
        rows.append({"setting": setting, "nothing answered": float(np.mean(nothing)), **means})
    return rows


def bounds_table(questions: Sequence[Question], settings: dict[str, dict[int, str]]) -> list[dict]:
    """A row a setting: of best spans on answerable questions, the share of each kind (`outcomes.span_kind`), in percent."""
    some = [q for q in questions if q.row.answers]
    rows = []
    for setting, own in settings.items():
        kinds = [_kind(q.row, q, run) for run in own.values() for q in some]
        rows.append({"setting": setting, **{kind: 100 * kinds.count(kind) / len(kinds) for kind in SPAN_KINDS}})
    return rows


def _kind(row: QARow, question: Question, run: str) -> str:
    reply = question.replies[run]
    return span_kind(row, reply.best[0][:2] if reply.best else (None, None), reply.span_em or 0.0)


def spread_table(questions: Sequence[Question], settings: dict[str, dict[int, str]]) -> list[dict]:
    """A row a setting with several seeds: the standard deviation of each score over its seeds, in points."""
    rows = []
    for setting, own in settings.items():
        if len(own) > 1:
            found = {score: [value(questions, run, score) for run in own.values()] for score in SCORES}
            spread = {
                f"{score} (sd)": float(np.std(np.array(values, float), ddof=1)) for score, values in found.items() if None not in values
            }
            rows.append({"setting": setting, "seeds": len(own), **spread})
    return rows


def seed_table(questions: Sequence[Question], settings: dict[str, dict[int, str]]) -> list[dict]:
    """A row a setting with several seeds: its second seed's run minus its first's, with interval and p by passages as for any two models:
    what one run a setting would have been taken for."""
    rows = []
    for setting, own in settings.items():
        if len(own) > 1:
            (one, a), (two, b), *_ = own.items()
            row: dict = {"setting": setting, "seeds": f"{two} − {one}"}
            for score in ("EM", "F1", "span F1", "no-answer AP"):
                if found := difference(questions, a, b, score):
                    row |= {f"Δ {score}": found.difference, f"Δ {score} low": found.low, f"Δ {score} high": found.high}
                    row |= {f"{score} p": found.p}
            rows.append(row)
    return rows


def example_table(questions: Sequence[Question], settings: dict[str, dict[int, str]]) -> list[dict]:
    """A row an example of the paper and setting: in how many seeds the answer is right, nothing, or of another kind."""
    rows = []
    for example in paper.EXAMPLES:
        question = find(questions, example.title, example.words)
        if question is None:
            continue
        for setting, own in settings.items():
            said = [_said(question, run) for run in own.values()]
            counts = {kind: said.count(kind) for kind in (*KINDS, "nothing") if kind in said}
            row = {"example": example.gold, "setting": setting, "answers": ", ".join(f"{n} × {kind}" for kind, n in counts.items())}
            rows.append({**row, "best span F1": value([question], next(iter(own.values())), "span F1"), "the paper": example.says})
    return rows


def _said(question: Question, run: str) -> str:
    return _kind(question.row, question, run) if question.replies[run].text else "nothing"


def paper_needs(questions: Sequence[Question], settings: dict[str, dict[int, str]], table: dict[str, tuple[float, float]]) -> list[str]:
    """A line a setting and score: seeds of each setting that it would take to see the gain which the paper reports, 8 times in 10."""
    first, *others = settings
    lines = []
    for name, (place, score) in itertools.product(others, enumerate(("EM", "F1"))):
        found = setting_difference(questions, settings[first], settings[name], score)
        if isinstance(found, SettingDifference) and name in table and first in table:
            gain = table[name][place] - table[first][place]
            seeds = needed(found, abs(gain)).seeds
            lines.append(f"{name}, {score} {gain:+.2f}: {f'{seeds:,}' if seeds else 'no number of seeds would do on these passages'}")
    return lines


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m mtdnn_kit.report", description="Keeps a finished study, or prints a kept one as tables."
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    keep = verbs.add_parser("keep", help="copies what is worth keeping of a study's finished runs: no text, no model")
    keep.add_argument("study", help="the study's file")
    keep.add_argument("runs", help="the folder of its runs")
    keep.add_argument("into", help="the folder to be made, e.g. results/NAME")
    keep.add_argument("--whole", action="append", default=[], metavar="RUN", help="a run whose n-best is kept, too")
    printing = verbs.add_parser("tables", help="prints a kept study as Markdown")
    writing = verbs.add_parser("write", help="writes that, the tables as numbers and the figures into the kept study's folder")
    for verb in (printing, writing):
        verb.add_argument("folder", help="e.g. results/NAME")
    for verb in (keep, printing, writing):
        verb.add_argument("--data", help="where the rows are: a folder, or hub; where the runs had them otherwise")
    return parser.parse_args()


def _finished(study: Study, folder: Path) -> dict[str, Run]:
    runs = {name: Run(str(config.run_dir)) for name, config in study.configs(folder).items()}
    return {name: run for name, run in runs.items() if (run.path / "manifest.json").is_file() and run.finished}


def main() -> None:
    """Keeps or prints, or says in a line why not."""
    given = _arguments()
    try:
        if given.verb == "tables":
            print("\n".join(report(resolve(given.folder), given.data)))
            return
        if given.verb == "write":
            write(resolve(given.folder), given.data)
            return
        runs = _finished(read_study(given.study), resolve(given.runs))
        keep_study(resolve(given.study), runs, pair(runs, given.data, nbest=1), resolve(given.into), given.whole)
        print(f"{given.into}: {len(runs)} finished runs kept: {', '.join(runs)}")
    except (CompareError, ConfigError, DataError, RunError, StudyError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
