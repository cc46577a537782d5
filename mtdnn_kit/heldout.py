"""Finished runs by their models' scores on the threshold articles, which no training and no report sees: what nuisance parameters
(learning rate, epochs) are chosen by.

    python -m mtdnn_kit.heldout RUN [RUN …] [--data FOLDER]

prints a table in Markdown, a row a run. A training with `eval_every` logs the same scores on its way (`Run.scorings`); this asks the model
that it ended with, on all questions of the articles, whatever `eval_limit` was. Writes nothing.
"""

import argparse
import sys
from dataclasses import replace

import numpy as np

from mtdnn_kit.asking import opened, settings_of
from mtdnn_kit.config import ConfigError, resolve
from mtdnn_kit.encoders import EncoderError
from mtdnn_kit.evaluation import held_out_scores
from mtdnn_kit.model import takes_token_types
from mtdnn_kit.preparation import make_features, read_rows
from mtdnn_kit.rows import DataError
from mtdnn_kit.runs import Run, RunError
from mtdnn_kit.tables import markdown

SAID = ("learning_rate", "epochs", "seed")  # of a run's parameters


def held_out(run: Run, data: str | None = None) -> dict[str, dict]:
    """Scores of a finished run's model on the threshold articles of each qa task, at the threshold that is best for them; and what always
    nothing scores on them, the share of unanswerable questions, in percent.

    data: where the rows are, "hub" or a folder; None: where the run had them. Raises RunError where the run has no model or held nothing
    out; DataError where the rows are not there or not those that it trained on.
    """
    net, tokenizer = opened(run)
    settings = settings_of(run)
    if not settings.threshold_articles:
        raise RunError(f"{run.name}: its parameters name no threshold_articles, so nothing was held out")
    config = replace(settings, eval_limit=None, data=data or settings.data)
    (_, rows, _), sources = read_rows(config)
    for name, source in sources.items():
        if run.manifest["data"].get(name, {}).get("fingerprint") not in (None, source["fingerprint"]):
            raise DataError(f"{name}: the rows in {config.data} are not those that {run.name} had; name their folder with --data")
    features = make_features(config, rows, tokenizer, takes_token_types(net.encoder.config))
    found = held_out_scores(net, features, config, run.manifest["precision"])
    return {task: {**scores, "always_nothing": 100 * np.mean([not row.answers for row in rows[task]])} for task, scores in found.items()}


def table(runs: list[Run], data: str | None = None) -> list[dict]:
    """A row a run and qa task: some parameters; span EM, span F1 and average precision of answering nothing; EM and F1 at the threshold
    that is best for these questions, beside what always nothing scores on them; the number of questions. Scores in percent."""
    rows = []
    for run in runs:
        for task, found in held_out(run, data).items():
            row = {"run": run.name, **{key: f"{run.config[key]:g}" for key in SAID}, "task": task, "steps": f"{run.manifest['steps']:,}"}
            row |= {"span EM": found["span_em"], "span F1": found["span_f1"], "no-answer AP": found["no_answer_ap"]}
            row |= {"EM": found["em"], "F1": found["f1"], "always nothing": found["always_nothing"], "questions": found["n"]}
            rows.append(row)
    return rows


def main() -> None:
    """Prints the table, or says in a line why not."""
    parser = argparse.ArgumentParser(
        prog="python -m mtdnn_kit.heldout", description="Scores finished runs' models on the threshold articles; prints a table."
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="the folder of a finished run, with its model")
    parser.add_argument("--data", help="where the rows are: a folder, or hub; where the runs had them otherwise")
    given = parser.parse_args()
    try:
        print(markdown(table([Run(resolve(path)) for path in given.runs], given.data)), end="")
    except (ConfigError, DataError, EncoderError, RunError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
