"""Finished runs by their models' scores on the questions held out for the threshold, which no training and no report sees: what nuisance
parameters (learning rate, epochs) are chosen by.

    mtdnn heldout RUN [RUN …] [--data FOLDER] [--spans FILE.csv.gz]

prints a table in Markdown, a row a run. A training with `eval_every` logs the same scores on its way (`Run.scorings`); this asks the model
that it ended with, on all of these questions, whatever `eval_limit` was.
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
CHOSEN = ("learning_rate", "epochs", "seed")  # of a run's parameters


@dataclass(frozen=True)
class HeldOut:
    """A finished run's answers to the held-out questions of one qa task; nothing is answered where null − best is above the
    threshold that is best for them."""

    run: Run
    task: str
    rows: Sequence[QARow]
    answers: Answers

    def scores(self) -> dict[str, Any]:
        """As in metrics.json, in percent; and always_nothing, what answering nothing scores: the share of unanswerable questions."""
        found = qa.scores(self.rows, self.answers, qa.tune(self.rows, self.answers))
        return {**found, "always_nothing": 100 * sum(not row.answers for row in self.rows) / len(self.rows)}


def held_out(run: Run, data: str | None = None) -> list[HeldOut]:
    """What a finished run's model answers on the held-out questions, for each of its qa tasks that has some.

    data: where the rows are, "hub" or a folder; None: where the run had them. Raises RunError where the run has no model or held nothing
    out; DataError where the rows are not there or not those that it trained on.
    """
    model = load(run)
    if not (model.config.threshold_articles or model.config.threshold_ratio):
        raise RunError(f"{run.name}: its parameters have no threshold_articles and no threshold_ratio, so nothing was held out")
    config = replace(model.config, eval_limit=None, data=data or model.config.data)
    (_, rows, _), sources = read_rows(config)
    for name, source in sources.items():
        if run.manifest["data"].get(name, {}).get("fingerprint") not in (None, source["fingerprint"]):
            raise DataError(f"{name}: the rows in {config.data} are not those that {run.name} had; name their folder with --data")
    features = make_features(config, rows, model.tokenizer, takes_token_types(model.net.encoder.config))
    return [HeldOut(run, task, some.rows, predict(model.net, task, some, config, model.precision)) for task, some in features.items()]


def table(found: Sequence[HeldOut]) -> list[dict]:
    """A row a run and qa task: some parameters; span EM, span F1 and average precision of answering nothing; EM and F1 at the threshold
    that is best for these questions, beside what always nothing scores on them; the number of questions. Scores in percent."""
    rows = []
    for one in found:
        run, scores = one.run, one.scores()
        row = {"run": run.name, **{key: f"{run.config[key]:g}" for key in CHOSEN}}
        row |= {"task": one.task, "steps": f"{run.manifest['steps']:,}"}
        row |= {"span EM": scores["span_em"], "span F1": scores["span_f1"], "no-answer AP": scores["no_answer_ap"]}
        row |= {"EM": scores["em"], "F1": scores["f1"], "always nothing": scores["always_nothing"], "questions": scores["n"]}
        rows.append(row)
    return rows


def write_spans(path: Path, found: Sequence[HeldOut]) -> None:
    """A gzipped CSV file, a line an answer: run, task, id of the question, the characters [start, end) of the best span (nothing where
    there is none), and null − best. With the rows these decide every score; no text is in it."""
    lines = [
        [one.run.name, one.task, row.id, *(answer.spans[0][:2] if answer.spans else ("", "")), answer.diff]
        for one in found
        for row, answer in zip(one.rows, one.answers, strict=True)
    ]
    write_whole(path, packed([COLUMNS, *lines]))
