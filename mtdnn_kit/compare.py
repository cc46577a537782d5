"""Answers of several runs to the same questions, side by side; and their scores beside what the paper reports.

An answer is read from a run's n-best at its tuned threshold: offsets, joined here with the text of the rows. Runs are compared only on
the very same rows: the fingerprint in each manifest must be that of the rows. What a difference is worth is no business of this file.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import sqrt

from mtdnn_kit.baseline import lexical_answers
from mtdnn_kit.config import Config, resolve
from mtdnn_kit.metrics import exact, f1, qa_scores
from mtdnn_kit.paper import TABLES
from mtdnn_kit.rows import QARow
from mtdnn_kit.runs import Run
from mtdnn_kit.sources import load


class CompareError(ValueError):
    """Runs that cannot be compared; says which, and why."""


@dataclass(frozen=True)
class Reply:
    """One run's answer to a question: characters [start, end) of the context, both None for nothing; scores from 0 to 1.

    `best`: the n-best as (start, end, probability); `nothing`: the probability of nothing among them.
    """

    start: int | None
    end: int | None
    text: str
    probability: float
    em: float
    f1: float
    nothing: float
    best: list[tuple[int, int, float]]


@dataclass(frozen=True)
class Question:
    """A scored row and what each run replies, by the run's name."""

    row: QARow
    replies: dict[str, Reply]

    @property
    def golds(self) -> list[str]:
        """Accepted answers, each once; "" alone where there is none."""
        return list(dict.fromkeys(text for _, text in self.row.answers)) or [""]

    @property
    def differ(self) -> bool:
        """Whether two runs give other answers (as EM compares them)."""
        first, *others = [reply.text for reply in self.replies.values()]
        return any(exact(text, [first]) < 1 for text in others)


def named(runs: Iterable[str | Run]) -> dict[str, Run]:
    """Runs by a short name: their task types in the paper's order (QA+MCC+SC), or the folder's name where two would share one.

    Raises CompareError where a run is named twice.
    """
    if isinstance(runs, str):
        raise CompareError(f"runs: {runs!r} is text; it must be a list of run folders (papermill: -y 'runs: [a, b]')")
    found = [run if isinstance(run, Run) else Run(run) for run in runs]
    names = ["+".join(kind.upper() for kind in ("qa", "mcc", "sc") if kind in run.types.values()) for run in found]
    if len(set(names)) < len(names):
        names = [run.path.name for run in found]
    names = names if len(set(names)) == len(names) else [run.name for run in found]
    for name in names:
        if names.count(name) > 1:
            raise CompareError(f"runs: {name} is named twice; a run is compared with others")
    return dict(zip(names, found, strict=True))


def pair(runs: dict[str, Run], data: str | None = None, task: str = "squad") -> list[Question]:
    """The questions that all runs were scored on, with every run's reply, in the order of the rows.

    data: where the rows are now ("sample", "hub", a folder); None: where the first run had them. Raises CompareError: a run that is not
    finished, lacks the task, or was scored on other rows; DataError where the rows cannot be read.
    """
    if not runs:
        raise CompareError("runs: name at least one run folder")
    config = Config(**{**_config(*next(iter(runs.items())), task), "resume": False})
    dataset, data = config.datasets[task], data or config.data
    rows = load(task, dataset, dataset.score, data if data in ("sample", "hub") else str(resolve(data)))
    replies = {}
    for name, run in runs.items():
        _config(name, run, task)
        before = run.manifest["data"].get(f"{task}/{dataset.score}", {})
        if before.get("fingerprint") != rows.fingerprint:
            raise CompareError(
                f"{name}: {run.name} was scored on other rows ({before.get('origin')}, fingerprint {before.get('fingerprint')}) than those "
                f"of {rows.origin} ({rows.fingerprint}). Set `data` to the folder that it had, or run it again on these."
            )
        replies[name] = _replies(run, task, {row.id: row for row in rows.rows})
    asked = set.intersection(*map(set, replies.values()))
    return [Question(row, {name: replies[name][row.id] for name in runs}) for row in rows.rows if row.id in asked]


def _config(name: str, run: Run, task: str) -> dict:
    if not run.finished:
        raise CompareError(f"{name}: there is no finished run in {run.path}")
    if run.types.get(task) != "qa" or task not in run.metrics:
        raise CompareError(f"{name}: {run.name} was not scored on question answering task {task!r}; its tasks are {', '.join(run.types)}")
    return run.config


def _replies(run: Run, task: str, rows: dict[str, QARow]) -> dict[str, Reply]:
    threshold = run.metrics[task]["threshold"]
    return {entry["id"]: _reply(rows[entry["id"]], entry, threshold) for entry in run.nbest(task)}


def _reply(row: QARow, entry: dict, threshold: float) -> Reply:
    best = [(start, end, probability) for start, end, _, probability in entry["nbest"]]
    answered = bool(best) and entry["null"] - entry["nbest"][0][2] <= threshold
    start, end, probability = best[0] if answered else (None, None, entry["nothing"])
    text, golds = row.context[start:end] if answered else "", [text for _, text in row.answers] or [""]
    return Reply(start, end, text, probability, exact(text, golds), f1(text, golds), entry["nothing"], best)


def score_table(runs: dict[str, Run], questions: Sequence[Question], table: str | None = None, task: str = "squad") -> list[dict]:
    """A row a run: EM and F1 at the tuned threshold with the standard error of the mean over questions, span F1, the difference of F1
    to the first run; beside them, what the paper reports for the setting of that name (`table`, a key of `paper.TABLES`).

    Two rows more: always answering nothing, and the lexical-overlap baseline (which always answers). In percent.
    """
    paper, first, rows = TABLES.get(table or "", {}), next(iter(runs)), []
    base = runs[first].metrics[task]["f1"]
    for name, run in runs.items():
        scores, said = run.metrics[task], paper.get(name, (None, None))
        errors = {key: _standard_error([100 * getattr(q.replies[name], key) for q in questions]) for key in ("em", "f1")}
        row = {"run": name, "EM": scores["em"], "± EM": errors["em"], "F1": scores["f1"], "± F1": errors["f1"]}
        row |= {"span F1": scores["span_f1"], f"ΔF1 to {first}": scores["f1"] - base if name != first else None}
        if paper:
            row |= {"paper EM": said[0], "paper F1": said[1]}
            row["paper ΔF1"] = said[1] - paper[first][1] if name != first and name in paper and first in paper else None
        rows.append(row)
    return [*rows, *floors([q.row for q in questions])]


def floors(rows: Sequence[QARow]) -> list[dict]:
    """What can be had without training, as rows of `score_table`: always nothing, and the lexical-overlap baseline."""
    golds = [[text for _, text in row.answers] or [""] for row in rows]
    able = [row for row in rows if row.answers]
    nothing, lexical = qa_scores([""] * len(rows), golds), qa_scores(lexical_answers(rows), golds)
    spans = qa_scores(lexical_answers(able), [[text for _, text in row.answers] for row in able])["f1"] if able else None
    return [
        {"run": "always nothing", "EM": nothing["em"], "F1": nothing["f1"]},
        {"run": "lexical overlap", "EM": lexical["em"], "F1": lexical["f1"], "span F1": spans},
    ]


def _standard_error(values: list[float]) -> float | None:
    n = len(values)
    mean = sum(values) / n
    return sqrt(sum((v - mean) ** 2 for v in values) / (n - 1) / n) if n > 1 else None


def points(runs: dict[str, Run], table: list[dict]) -> dict[str, dict]:
    """Scores and their standard errors of each run, for `plots.points_figure`, from the rows of `score_table`."""
    keys = {"em": "EM", "f1": "F1", "em_error": "± EM", "f1_error": "± F1"}
    return {row["run"]: {key: row[name] for key, name in keys.items()} for row in table if row["run"] in runs}


def by_weight(runs: dict[str, Run], found: dict[str, dict]) -> dict[str, dict]:
    """`points` by the weight of question answering, as in the paper's figure 3: runs of the largest mixture, and of the main task alone."""
    sizes = {name: len(run.config["tasks"]) for name, run in runs.items()}
    return {str(run.config["qa_weight"]): found[name] for name, run in runs.items() if sizes[name] in (1, max(sizes.values()))}


def find(questions: Sequence[Question], title: str, words: Sequence[str]) -> Question | None:
    """The first answerable question under a title whose text has all these words."""
    fit = (q for q in questions if q.row.title == title and q.row.answers and all(word in q.row.question for word in words))
    return next(fit, None)
