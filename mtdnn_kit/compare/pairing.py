"""Answers of several runs to the same questions, side by side.

An answer is read from a run's n-best at its tuned threshold: offsets, joined here with the text of the rows. Runs are compared only on
identical rows: the fingerprint in each manifest must match that of the rows, and every run must have answered the same ones, each once.
`differences` compares scores.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

from mtdnn_kit.data.registry import REST, TYPE_WORDS
from mtdnn_kit.data.rows import QARow, gold_texts
from mtdnn_kit.data.sources import load
from mtdnn_kit.errors import CompareError, ConfigError, DataError
from mtdnn_kit.files.paths import resolve
from mtdnn_kit.files.wording import short
from mtdnn_kit.metrics import exact, f1
from mtdnn_kit.runs.predictions import diff_of, spans_of, wrong_entry
from mtdnn_kit.runs.run import Run
from mtdnn_kit.tasks.null_threshold import no_answer

ROUNDING = 0.005  # points by which a score in metrics.json may differ from the same score recomputed


@dataclass(frozen=True)
class Reply:
    """One run's answer to a question: characters [start, end) of the context, both None for no answer; scores from 0 to 1.

    `span_em`, `span_f1`: of the best span, without the option of no answer; `diff`: null − best, and `threshold`: what decided on it;
    `best`: the n-best as (start, end, probability); `nothing`: the probability of no answer. Imported answers without n-best have None or
    empty values there, and no offsets if the passage does not contain their text. `em` and `f1` are None where no gold is known (`asking`).
    """

    start: int | None
    end: int | None
    text: str
    probability: float | None
    em: float | None
    f1: float | None
    nothing: float | None
    best: list[tuple[int, int, float]]
    span_em: float | None = None
    span_f1: float | None = None
    diff: float | None = None
    threshold: float | None = None


@dataclass(frozen=True)
class Question:
    """A scored row and each run's reply, by the run's name; and the number of windows in which the first run read it, if known.

    by_title: whether intervals and tests cluster by article, not by passage (`clusters`).
    """

    row: QARow
    replies: dict[str, Reply]
    windows: int | None = None
    by_title: bool = False

    @property
    def cluster(self) -> str:
        """What dependent questions share: the passage, or the article's title."""
        return self.row.title if self.by_title else self.row.context

    @property
    def population(self) -> str:
        """The name of its clusters."""
        return "articles" if self.by_title else "passages"

    @property
    def golds(self) -> list[str]:
        """Gold answers, each once; only "" without one."""
        return list(dict.fromkeys(text for _, text in self.row.answers)) or [""]


def named(runs: Iterable[str | Run]) -> dict[str, Run]:
    """Runs by a short name: their task types in the paper's order (QA+MCC+SC), or the folder's name if two would share one, with as much
    of the path as tells them apart.

    Raises CompareError if a run is named twice.
    """
    if isinstance(runs, str) or not isinstance(runs, Iterable):
        kind = "text" if isinstance(runs, str) else type(runs).__name__
        raise CompareError(f"runs: {runs!r} is {kind}; it must be a list of run folders (papermill: -y 'runs: [a, b]')")
    found = [run if isinstance(run, Run) else Run(run) for run in runs]
    types = ["+".join(kind.upper() for kind in _in_order(run.types.values())) for run in found]
    paths = [f"{run.path.parent.name}/{run.path.name}" for run in found]
    for names in (types, [run.path.name for run in found], [run.name for run in found], paths, [str(run.path) for run in found]):
        if len(set(names)) == len(names):
            return dict(zip(names, found, strict=True))
    twice = next(name for name in names if names.count(name) > 1)
    raise CompareError(f"runs: {twice} is named twice; name different runs")


def _in_order(types: Iterable[str]) -> list[str]:
    """Task types, each once: the paper's in its order, then others."""
    there = dict.fromkeys(types)
    return [*(kind for kind in ("qa", "mcc", "sc") if kind in there), *(kind for kind in there if kind not in TYPE_WORDS)]


def two(runs: dict[str, Run], names: Sequence[str] | None = None) -> tuple[str, str]:
    """The two runs to compare: those named, else the first and the last. Raises CompareError."""
    names = [next(iter(runs)), list(runs)[-1]] if names is None else list(names)
    for name in names:
        if name not in runs:
            raise CompareError(f"pair: there is no run {name!r}; choose from {', '.join(runs)}")
    if len(names) != 2:
        raise CompareError(f"pair: {names} must name two runs; the second is compared with the first")
    return names[0], names[1]


def qa_task(runs: Mapping[str, Run]) -> str:
    """The question answering task that tables are about if none is named: the first one in the first run's parameters; "squad" if it has
    none, which `scored_rows` then reports."""
    first = next(iter(runs.values()), None)
    types = first.types if first and first.finished else {}
    return next((task for task, kind in types.items() if kind == "qa"), "squad")


def pair(runs: dict[str, Run], data: str | None = None, task: str | None = None, nbest: int | None = None) -> list[Question]:
    """The questions that all runs were scored on, with every run's reply, in the order of the rows.

    data: where the rows are now ("sample", "hub", a folder); None: where the first run had them. task: None: `qa_task`; with `_rest`, the
    rest of a cut split. nbest: how many of each reply's n-best are kept, None for all (a study of many runs needs none). Raises
    CompareError: a run that is not finished, lacks the task, was scored on other rows or on another part of them, or does not answer each
    question exactly once; DataError where the rows cannot be read.
    """
    task = task or qa_task(runs)
    rows = scored_rows(runs, data, task, "qa")
    known = {row.id: row for row in rows}
    found = {name: _replies(name, run, task, known, nbest) for name, run in runs.items()}
    windows: dict[str, int] = next((counts for _, counts in found.values() if counts), {})
    asked = by_row(rows, {name: replies for name, (replies, _) in found.items()}, "question")
    for name, run in runs.items():
        check_metrics(name, run, task, found[name][0].values())
    return [Question(row, replies, windows.get(row.id)) for row, replies in asked]


def scored_rows(runs: dict[str, Run], data: str | None, task: str, *types: str) -> Sequence[Any]:
    """The rows of a task of one of `types` that every run was scored on, read where the first run had them or in `data`.

    Raises CompareError: no run, one that is not finished or lacks the task, or one that was scored on rows of another fingerprint.
    """
    if not runs:
        raise CompareError("runs: name at least one run folder")
    for name, run in runs.items():
        if not run.finished:
            raise CompareError(f"{name}: there is no finished run in {run.path}")
        if task not in run.metrics:
            raise CompareError(f"{name}: {run.name} was not scored on {short(task)}; it was scored on {', '.join(run.metrics)}")
        if run.types.get(run.parameters.task_of(task)) not in types:
            kind = " or ".join(TYPE_WORDS[kind] for kind in types)
            raise CompareError(f"{name}: {run.name} was not scored on {kind} task {task!r}; its tasks are {', '.join(run.types)}")
    name, run = next(iter(runs.items()))
    dataset = run.parameters.dataset_of(task)
    dataset = dataset if data is None else replace(dataset, files={})  # a named folder replaces them
    if dataset.score is None:
        raise CompareError(f"{task} is trained, not scored: it has no rows to compare runs on")
    try:
        where = data if data in ("sample", "hub") else str(resolve(data)) if data else run.parameters.data_of(task)
        rows = load(task, dataset, dataset.score, where, rest=task.endswith(REST))
    except (ConfigError, DataError) as error:
        if data is not None:
            raise
        raise DataError(f"{name}: the rows that config.yaml of {run.name} names: {error}") from None
    for name, run in runs.items():
        before = run.manifest.get("data", {}).get(f"{task}/{dataset.score}", {})
        if before.get("fingerprint") != rows.fingerprint:
            raise CompareError(
                f"{name}: {run.name} was scored on other rows ({before.get('origin')}, fingerprint {before.get('fingerprint')}) than those "
                f"of {rows.origin} ({rows.fingerprint}). Set `data` to the folder that it had, or score it again on these."
            )
    return rows.rows


def _replies(name: str, run: Run, task: str, rows: dict[str, QARow], nbest: int | None) -> tuple[dict[str, Reply], dict[str, int]]:
    """Replies and numbers of windows by id. Raises CompareError, naming the id: unknown, answered twice, or not at all."""
    replies: dict[str, Reply] = {}
    windows: dict[str, int] = {}
    threshold = run.metrics[task].get("threshold", 0.0)
    entries = run.nbest(task) if run.has_nbest(task) else ({"id": key, "text": text} for key, text in run.answers(task).items())
    for number, entry in enumerate(entries, 1):
        if not (isinstance(entry, dict) and "text" in entry) and (wrong := wrong_entry(entry)):
            line = f"{name}: {run.name}, n-best of {task}, line {number}"
            raise CompareError(f"{line}: not an id with finite scores and spans, {wrong}: {entry!r:.80}")
        key = entry["id"]
        if key not in rows or key in replies:
            what = "twice" if key in replies else "which is not one of the scored rows"
            raise CompareError(f"{name}: {run.name} answers question {key!r:.80} {what}")
        replies[key] = _placed(rows[key], entry["text"]) if "text" in entry else _reply(rows[key], entry, threshold, nbest)
        windows |= {key: entry["windows"]} if "windows" in entry else {}
    if len(replies) != run.metrics[task]["n"]:
        raise CompareError(f"{name}: {run.name} has {len(replies):,} answers to {task}, but metrics.json says {run.metrics[task]['n']:,}")
    return replies, windows


def check_metrics(name: str, run: Run, task: str, replies: Collection[Reply]) -> None:
    """Raises CompareError if the scores in metrics.json are not those of the replies: a file of another run, whose threshold would be
    used."""
    for key, values in (("em", [reply.em for reply in replies]), ("f1", [reply.f1 for reply in replies])):
        said, made = run.metrics[task].get(key), 100 * sum(value or 0.0 for value in values) / max(len(values), 1)
        if said is not None and abs(said - made) > ROUNDING:
            raise CompareError(
                f"{name}: metrics.json of {run.name} says {key.upper()} {said:.2f} for {task}, but its answers at the threshold there have "
                f"{made:.2f}: the files are of different runs; copy the run again"
            )


def by_row(rows: Sequence[Any], replies: dict[str, dict], what: str) -> list[tuple[Any, dict]]:
    """The rows that were answered, in their order, each with every run's reply; replies: {run: {id: reply}}.

    what: "question" or "row". Raises CompareError, naming one, where the replies are not to the same rows.
    """
    first, *others = replies
    for name in others:
        lone = sorted(replies[first].keys() ^ replies[name].keys())
        if lone:
            has, lacks = (first, name) if lone[0] in replies[first] else (name, first)
            raise CompareError(
                f"{what} {lone[0]!r} is answered by {has}, not by {lacks} ({len(lone):,} such): runs must be compared on the same {what}s: "
                "score both with the same `eval_limit`"
            )
    return [(row, {name: own[row.id] for name, own in replies.items()}) for row in rows if row.id in replies[first]]


def _reply(row: QARow, entry: dict, threshold: float, nbest: int | None = None) -> Reply:
    best = spans_of(entry)
    if not all(0 <= start < end <= len(row.context) for start, end, _ in best):
        raise CompareError(
            f"question {row.id!r}: an n-best span lies outside its passage of {len(row.context):,} characters; copy the run again"
        )
    return reply(row, best, diff_of(entry), threshold, entry["nothing"], nbest)


def reply(
    row: QARow, best: list[tuple[int, int, float]], diff: float, threshold: float, nothing: float | None, nbest: int | None = None
) -> Reply:
    """The scored reply of an n-best of character spans: its best one, or nothing (`null_threshold.no_answer`)."""
    golds, span = gold_texts(row), row.context[best[0][0] : best[0][1]] if best else ""
    start, end, probability = best[0] if best and not no_answer(diff, threshold) else (None, None, nothing)
    text, scores = span if start is not None else "", (exact(span, golds), f1(span, golds))
    em, score = scores if text else (exact("", golds), f1("", golds))
    return Reply(start, end, text, probability, em, score, nothing, best[:nbest], *scores, diff, threshold)


def _placed(row: QARow, text: str) -> Reply:
    """The reply of a text without n-best, at its first place in the passage; without span scores if it is empty."""
    found, golds = row.context.find(text) if text else -1, gold_texts(row)
    start, end = (found, found + len(text)) if found >= 0 else (None, None)
    return Reply(start, end, text, None, exact(text, golds), f1(text, golds), None, [])


def find(questions: Sequence[Question], title: str, words: Sequence[str]) -> Question | None:
    """The first answerable question under a title whose text has all these words."""
    fit = (q for q in questions if q.row.title == title and q.row.answers and all(word in q.row.question for word in words))
    return next(fit, None)


def check_seeds(questions: Sequence[Question], setting: str, runs: dict[int, str]) -> None:
    """Raises CompareError where two seeds of a setting, {seed: run}, reply the same to all `questions`, scores included."""
    for (one, a), (two, b) in combinations(runs.items(), 2):
        if questions and all(q.replies[a] == q.replies[b] for q in questions):
            raise CompareError(
                f"setting {setting!r}: seeds {one} and {two} ({a} and {b}) reply the same to all {len(questions):,} questions, to the last "
                "digit: they are one run given twice, which does not count as two seeds. Leave one out, or train it with another seed"
            )
