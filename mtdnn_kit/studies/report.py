"""A kept study as the tables of a report, in Markdown: every figure of results/README.md is printed by one of these commands.

    mtdnn report keep STUDY_FILE RUNS_FOLDER results/NAME --data FOLDER --whole "QA seed 0"
    mtdnn report tables results/NAME --data FOLDER
    mtdnn report write results/NAME --data FOLDER

The first copies the essential files of finished runs (`keep`), the second joins it with the rows and prints: scores in the paper's form;
the differences that the study declared as primary; the effect of the threshold's choice; whether the other tasks were learnt; the bounds of
best spans; slices; the spread of seeds, and the seeds needed to detect gains as large as the paper's; its three examples. The third writes
these, the tables as numbers and figures into the folder. No text of the data is printed or written.
"""

import io
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import product
from pathlib import Path

from mtdnn_kit.compare import Question, clustered, pair, paper, qa_task, speaks_for, study_tables
from mtdnn_kit.compare.clusters import other_population, population
from mtdnn_kit.compare.differences import Settings, asked, family_p, population_table, primary_table, sentences, setting_slices
from mtdnn_kit.compare.learnt import learnt_table, marked
from mtdnn_kit.compare.threshold_choice import at_common_share, choice_table
from mtdnn_kit.errors import CompareError
from mtdnn_kit.files.atomic import write_whole
from mtdnn_kit.files.paths import resolve
from mtdnn_kit.model import provenance
from mtdnn_kit.runs import curves
from mtdnn_kit.runs.environment import unlike
from mtdnn_kit.runs.notes import threshold_words
from mtdnn_kit.runs.origin import origin_table
from mtdnn_kit.runs.run import Run
from mtdnn_kit.studies.arms import TUNED, tuning_table
from mtdnn_kit.studies.declaration import DECLARATION, notes
from mtdnn_kit.studies.keep import keep_study, open_study
from mtdnn_kit.studies.page import write_plain_page, writing
from mtdnn_kit.studies.power import write_spread
from mtdnn_kit.studies.status import run_of
from mtdnn_kit.studies.study import Study, read_study
from mtdnn_kit.studies.variants import slug
from mtdnn_kit.views import tables
from mtdnn_kit.views.findings import summary, verdicts, write_summary
from mtdnn_kit.views.study_plots import points_figure, settings_figure
from mtdnn_kit.views.tables import markdown, of_family, points, score_tables
from mtdnn_kit.views.task_plots import task_rows


@dataclass(frozen=True)
class StudyResults:
    """A study's finished runs and the questions with their replies, for a report.

    folder: where they are, with what was declared and tuned; data: where the rows are, None: where the runs had them. thresholds: whether
    the table of scores states what each run's threshold was tuned on; it always does if one was not tuned.
    """

    study: Study
    runs: dict[str, Run]
    questions: Sequence[Question]
    folder: Path
    data: str | None = None
    thresholds: bool = False

    @cached_property
    def settings(self) -> Settings:
        """The settings that have runs."""
        return self.study.of(self.runs)

    @cached_property
    def compared(self) -> list[Settings]:
        """The comparisons that are judged."""
        return self.study.judged(self.runs)

    @cached_property
    def learnt(self) -> list[dict]:
        """Whether the other tasks were learnt (`learnt_table`)."""
        return learnt_table(self.runs, self.settings, self.data)

    @cached_property
    def scores(self) -> list[dict]:
        """The table of scores, one per comparison, marked with tasks that were not learnt."""
        thresholds = self.thresholds or any("not tuned" in threshold_words(run, qa_task(self.runs)) for run in self.runs.values())
        comparisons = self.study.comparisons(self.runs)
        p = family_p(self.questions, self.compared, self.study.scores, self.study.family, "F1")
        rows = of_family(score_tables(self.questions, self.settings, comparisons, self.study.paper, self.runs), p)
        rows = rows if thresholds else [{key: value for key, value in row.items() if key != "threshold"} for row in rows]
        return marked(rows, self.learnt, self.study.baseline)

    def judged(self, some: Sequence[Question], scores: Sequence[str]) -> str:
        """The differences in some scores, one table per baseline."""
        tables = [(of, primary_table(some, of, scores, self.study.family, len(self.compared))) for of in self.compared]
        return "\n".join(markdown(marked(rows, self.learnt, next(iter(of)))) for of, rows in tables)

    def beside(self, some: Sequence[Question], scores: Sequence[str]) -> str:
        """The same tables where they decide nothing, after a sentence that says so."""
        return f"Not judged: p (adjusted) counts the differences of this section alone.\n\n{self.judged(some, scores)}"


def report(folder: Path, data: str | None) -> Iterator[str]:
    """The sections of a kept study, each a heading and a table, or lines."""
    return _sections(_opened(folder, data))


def _opened(folder: Path, data: str | None) -> StudyResults:
    """A kept study. Raises CompareError where none is kept there."""
    if not (folder / "study.yaml").is_file():
        made = shlex.quote(str(folder)) if any(folder.glob("*/manifest.json")) else "RUNS_FOLDER"
        keep = f"mtdnn report keep STUDY_FILE {made} results/NAME"
        raise CompareError(f"{folder}: no study is kept there; keep the finished runs of one first: {keep}")
    study = read_study(folder / "study.yaml")
    runs, questions = open_study(folder, data)
    return StudyResults(study, runs, clustered(questions, study.cluster), folder, data)


def write(folder: Path, data: str | None) -> None:
    """Writes into a kept study's folder: tables.md, the whole report; the table of scores and every score of every run (`tables.write`);
    and its figures: the differences in the primary scores, and the paper's figure of the same settings."""
    results = _opened(folder, data)
    write_whole(folder / "tables.md", "\n".join(_sections(results)))
    tables.write(folder, results.scores, results.runs, results.settings)
    write_spread(folder, results.runs, results.questions, results.settings, results.study.scores)
    for score, image in _figures(results).items():
        write_whole(folder / f"{slug(score)}.png", image)
    if results.study.paper:
        theirs = paper.TABLES[results.study.paper]
        png = io.BytesIO()
        points_figure(points(results.scores), theirs, list(theirs), "settings").savefig(png, dpi=150)
        write_whole(folder / "paper.png", png.getvalue())


def _figures(results: StudyResults) -> dict[str, bytes]:
    """{score: PNG} of each setting's score and its difference to the first setting."""
    images, questions = {score: io.BytesIO() for score in results.study.scores}, results.questions
    untrained = tables.floors([question.row for question in questions])
    for score, image in images.items():
        rows = study_tables.forest_rows(questions, results.settings, results.compared, score)
        baselines = {row["run"]: row[score] for row in untrained if row.get(score)}
        settings_figure(rows, score, baselines, len(asked(questions, score))).savefig(image, dpi=150)
    return {score: image.getvalue() for score, image in images.items()}


def conclude(study: Study, folder: Path, runs: dict[str, Run], page: bool) -> Path | None:
    """Writes what notebook 03 would write into the folder of a study's finished runs, without Jupyter: the tables, and the page, whose path
    it returns.

    Raises LockedError if another process is writing; CompareError if the main task is not question answering (the scores are still
    written).
    """
    settings = study.of(runs)
    with writing(folder):
        tables.write_scores(folder, runs, settings)
        results = StudyResults(study, runs, clustered(pair(runs, nbest=1), study.cluster), folder, thresholds=True)
        tables.write(folder, results.scores, runs, settings)
        write_spread(folder, runs, results.questions, settings, study.scores)
        said = verdicts(results.questions, results.compared, study.scores, study.family, study.baseline)
        write_summary(folder, summary(runs, settings, said, results.learnt, task_rows(runs, settings, results.learnt, results.questions)))
        if not page:
            return None
        figures = {f"{score} of each setting, and its difference to {study.baseline}": image for score, image in _figures(results).items()}
        return write_plain_page(folder, study.name, study.question, figures, _sections(results), said)


def _sections(results: StudyResults) -> Iterator[str]:
    """All of them, in order."""
    for part in (_head, _judged, _thresholds, _other_tasks, _spans, _seeds):
        yield from part(results)
    yield _section("The paper's examples", study_tables.example_table(results.questions, results.settings))
    yield _section("How the runs were made", origin_table(results.runs))


def _head(results: StudyResults) -> Iterator[str]:
    """The population, the deviations, the encoders' earlier training data, differences between the runs' environments, and the tuning."""
    yield f"{speaks_for(results.questions, results.settings)}\n\n{' '.join(notes(results.study, results.folder, results.runs))}\n"
    yield "".join(f"{said[0].upper()}{said[1:]}.\n" for said in provenance.notes(results.runs.values()))
    yield from (f"{said}\n" for said in unlike(results.runs))
    if tuned := tuning_table(results.study, results.folder):
        yield _section("Tuned at equal budget, on held-out questions", tuned)


def _judged(results: StudyResults) -> Iterator[str]:
    """The scores, and the primary differences."""
    study, questions = results.study, results.questions
    yield _section("Scores", results.scores)
    yield _section(f"Judged by {' and '.join(study.scores)}", results.judged(questions, study.scores))
    if beside := other_population(questions):
        yield _section(f"The same for other {population(beside)}", results.beside(beside, study.scores))
    if effect := study.smallest_effect:
        decide = partial(study_tables.decision_table, effect=effect, family=study.family, tables=len(results.compared))
        yield _section("Decisions (equivalence tests)", "\n".join(markdown(decide(questions, of, study.scores)) for of in results.compared))
    populations = [(next(iter(of)), row) for of in results.compared for row in population_table(questions, of, study.scores)]
    several = len(results.compared) > 1
    rows = [{"compared with": base, **row} if several else row for base, row in populations]
    yield _section("For whom the differences speak", rows)
    if rows := study_tables.secondary_table(questions, results.settings, results.compared, study.scores):
        yield _section("Differences that are not judged, without a test", rows)


def _thresholds(results: StudyResults) -> Iterator[str]:
    """Thresholds, further question sets at these, and the threshold as a choice."""
    runs, questions, settings = results.runs, results.questions, results.settings
    yield _section("Thresholds, %", study_tables.threshold_table(runs, questions, settings))
    if further := study_tables.further_table(runs, settings):
        yield _section("Further question sets, at the same threshold", further)
    yield _section("The threshold as a choice", choice_table(runs, questions, settings))
    if common := at_common_share(questions):
        yield _section(f"At a common share of no answers, {common[1]:.1f} %", results.beside(common[0], ["EM", "F1"]))


def _other_tasks(results: StudyResults) -> Iterator[str]:
    """What the other tasks score, and whether they were learnt."""
    if rows := study_tables.task_table(results.runs, results.settings, results.data):
        yield _section("The other tasks", rows)
    said = ["Intervals are for other rows of the task, with these runs."] * bool(results.learnt) + curves.notes(results.runs)
    yield f"{_section('Were the other tasks learnt?', results.learnt)}\n{' '.join(said)}\n"


def _spans(results: StudyResults) -> Iterator[str]:
    """The bounds of best spans, and slices."""
    yield _section("Bounds of best spans, % of answerable questions", study_tables.bounds_table(results.questions, results.settings))
    yield _section("Wrong bounds", results.beside(results.questions, ["wrong bounds"]))
    for score, of in product(results.study.scores, results.compared):
        base, *others = of
        for name in others:
            rows = setting_slices(results.questions, of[base], of[name], score, (base, name))
            yield _section(f"Slices: {score}, {name} − {base}", [row for row in rows if row["low"] is not None])


def _seeds(results: StudyResults) -> Iterator[str]:
    """The spread of seeds, and the seeds needed to detect an effect."""
    study, questions, settings = results.study, results.questions, results.settings
    yield _section("Spread over seeds (standard deviation)", study_tables.spread_table(questions, settings))
    if any(len(own) > 1 for own in settings.values()):
        scores = list(dict.fromkeys(["F1", *study.scores]))  # each is tested once
        first = [{name: dict([min(own.items())]) for name, own in judged.items()} for judged in results.compared or [settings]]
        alone = "\n".join(markdown(primary_table(questions, of, scores)) for of in first)
        yield _section("The first seed alone, as if there were no other", alone)
    yield _section("Two seeds of the same setting", study_tables.seed_table(questions, settings))
    for score in study.scores:
        detect, alpha = study.smallest_effect or 1.0, 0.05 / max(study.tests, 1)
        said = [text for of in results.compared for text in sentences(questions, of, score, detect, alpha)]
        yield _section(f"Sample size needed: {score}", "\n".join(f"- {text}" for text in said) + "\n")
    if study.paper:
        lines = study_tables.paper_needs(questions, settings, paper.TABLES[study.paper])
        title = "Seeds it would take to see the paper's gains, each in a single test at 0.05, with the spread found here"
        yield _section(title, "".join(f"- {line}\n" for line in lines))


def _section(title: str, body: str | list[dict]) -> str:
    """A heading, and a table or text; "none" where there is nothing."""
    body = markdown(body) if isinstance(body, list) and body else body or "none\n"
    return f"## {title}\n\n{body}"


def keep_finished(study_file: str, folder: Path, into: Path, data: str | None, whole: Sequence[str]) -> str:
    """Keeps the finished runs of a study in `into` (`keep_study`), and says which. whole: runs whose n-best is kept, too."""
    study = read_study(study_file)
    configs = study.configs(folder)
    runs = {name: run_of(configs[name]) for name in study.reported}
    runs = {name: run for name, run in runs.items() if (run.path / "manifest.json").is_file() and run.finished}
    if not runs:
        raise CompareError(f"{folder}: no run of {study_file} is finished there; correct the folder, or finish the study first")
    if into.exists() and not (into / "runs.json").is_file():
        raise CompareError(f"{into}: it exists and is not a kept study, and keeping one replaces the whole folder; name a new folder")
    keep_study(resolve(study_file), runs, pair(runs, data, nbest=1), into, whole)
    for name in (DECLARATION, TUNED):
        if (folder / name).is_file():
            write_whole(into / name, (folder / name).read_bytes())
    return f"{into}: {len(runs)} finished runs kept: {', '.join(runs)}"
