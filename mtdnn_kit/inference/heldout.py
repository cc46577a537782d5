"""Scores finished runs' models on the questions held out for the threshold, which no training and no report uses: the basis for choosing
nuisance parameters (learning rate, epochs).

    mtdnn heldout RUN [RUN …] [--data FOLDER] [--spans FILE.csv.gz]

prints a table in Markdown, one row per run. A training with `eval_every` logs the same scores (`Run.scorings`); this scores the final model
on all of these questions, whatever `eval_limit` is.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mtdnn_kit.data.rows import QARow
from mtdnn_kit.errors import DataError, RunError
from mtdnn_kit.files.atomic import packed, write_whole
from mtdnn_kit.inference.loading import load
from mtdnn_kit.model.evaluation import predict
from mtdnn_kit.model.multitask import takes_token_types
from mtdnn_kit.runs.run import Run
from mtdnn_kit.tasks import qa
from mtdnn_kit.tasks.answers import Answers
from mtdnn_kit.training.setup import make_features, read_rows

COLUMNS = ("run", "task", "id", "start", "end", "null − best")
CHOSEN = ("learning_rate", "epochs", "seed")  # parameters of a run


@dataclass(frozen=True)
class HeldOut:
    """A finished run's answers to the held-out questions of one qa task; no answer if null − best is above the best
    threshold for them."""

    run: Run
    task: str
    rows: Sequence[QARow]
    answers: Answers

    def scores(self) -> dict[str, Any]:
        """As in metrics.json, in percent; and no_answer_baseline, the score of never answering: the share of unanswerable questions."""
        found = qa.scores(self.rows, self.answers, qa.tune(self.rows, self.answers))
        return {**found, "no_answer_baseline": 100 * sum(not row.answers for row in self.rows) / len(self.rows)}


def held_out(run: Run, data: str | None = None) -> list[HeldOut]:
    """A finished run's answers to the held-out questions, for each of its qa tasks that has some.

    data: where the rows are, "hub" or a folder; None: where the run had them. Raises RunError if the run has no model or held nothing
    out; DataError if the rows are missing or differ from those that it trained on.
    """
    model = load(run)
    if not (model.config.threshold_articles or model.config.threshold_ratio):
        raise RunError(f"{run.name}: it held no questions out; train with threshold_articles or threshold_ratio")
    config = replace(model.config, eval_limit=None, scored_also={}, data=data or model.config.data)
    (_, rows, _), sources = read_rows(config)
    for name, source in sources.items():
        if run.manifest["data"].get(name, {}).get("fingerprint") not in (None, source["fingerprint"]):
            raise DataError(f"{name}: the rows in {config.data} differ from those that {run.name} had; name their folder with --data")
    features = make_features(config, rows, model.tokenizer, takes_token_types(model.net.encoder.config))
    return [HeldOut(run, task, some.rows, predict(model.net, task, some, config, model.precision)) for task, some in features.items()]


def table(found: Sequence[HeldOut]) -> list[dict]:
    """One row per run and qa task: some parameters; span EM, span F1 and average precision of no answer; EM and F1 at the best threshold
    for these questions, and the score of never answering; the number of questions. Scores in percent."""
    rows = []
    for one in found:
        run, scores = one.run, one.scores()
        row = {"run": run.name, **{key: f"{run.config[key]:g}" for key in CHOSEN}}
        row |= {"task": one.task, "steps": f"{run.manifest['steps']:,}" if "steps" in run.manifest else ""}
        row |= {"span EM": scores["span_em"], "span F1": scores["span_f1"], "no-answer AP": scores["no_answer_ap"]}
        row |= {"EM": scores["em"], "F1": scores["f1"], "no-answer baseline": scores["no_answer_baseline"], "questions": scores["n"]}
        rows.append(row)
    return rows


def write_spans(path: Path, found: Sequence[HeldOut]) -> None:
    """A gzipped CSV file, one line per answer: run, task, question id, the characters [start, end) of the best span (empty if there is
    none), and null − best. Together with the rows these determine every score; the file holds no text."""
    lines = [
        [one.run.name, one.task, row.id, *(answer.spans[0][:2] if answer.spans else ("", "")), answer.diff]
        for one in found
        for row, answer in zip(one.rows, one.answers, strict=True)
    ]
    write_whole(path, packed([COLUMNS, *lines]))
