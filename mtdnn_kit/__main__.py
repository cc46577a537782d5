"""The command line: `mtdnn`, or `python -m mtdnn_kit`; a verb for each thing that is done from files.

    mtdnn train parameters/minilm.yaml --set run_dir=runs/one
    mtdnn study parameters/ablations/demo.yaml --workers 2
    mtdnn report write results/NAME --data FOLDER

It ends with 0; with 1 where something failed, said in a line; with 2 where the command itself is wrong; with 130 where it was stopped.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mtdnn_kit.errors import CompareError, DataError, KitError, LockedError, YamlError
from mtdnn_kit.files.paths import resolve
from mtdnn_kit.files.yaml_files import read_yaml

FAILED, STOPPED = 1, 130


def setting(text: str) -> tuple[str, Any]:
    """Key and value of a `--set KEY=VALUE`; the value is YAML. Raises ArgumentTypeError."""
    key, equals, value = text.partition("=")
    if not (key.strip() and equals):
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE; write, e.g., --set max_steps=40")
    try:
        return key.strip(), read_yaml(value)
    except YamlError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: the value is no YAML ({error}); quote it, e.g. --set 'tasks=[squad, cola]'") from None


SET: Any = dict(type=setting, action="append", default=[], metavar="KEY=VALUE")
DATA = "where the rows are: a folder, or hub; where the runs had them otherwise"


class _Version(argparse.Action):
    """Prints the version and, of a clone, the commit, and ends."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from mtdnn_kit.runs.origin import version_line

        parser.exit(message=f"{version_line()}\n")


def parser() -> argparse.ArgumentParser:
    """All verbs and their options."""
    said = "Trains one encoder on several tasks, runs studies of many such runs, and reports them. `mtdnn VERB --help` says more."
    whole = argparse.ArgumentParser(prog="mtdnn", description=said)
    whole.add_argument("--version", action=_Version, nargs=0, help="the kit's version and, of a clone, its commit")
    verbs = whole.add_subparsers(dest="verb", required=True, metavar="VERB")
    one = _verb(verbs, "train", train, "trains one model, on one device or, under accelerate launch or torchrun, on several")
    one.add_argument("parameters", metavar="FILE", help="a parameter file, e.g. parameters/minilm.yaml")
    one.add_argument("--set", **SET, help="a parameter on top of the file's (YAML); may be repeated")
    _add_study(_verb(verbs, "study", study, "runs a study and writes its page; what is done is not run again"))
    _add_report(verbs.add_parser("report", help="keeps a finished study, or tells a kept one as tables and figures"))
    one = _verb(verbs, "data", data, "looks at files of rows and prints the lines of a parameter file that fit each, with what is doubtful")
    one.add_argument("files", nargs="+", metavar="FILE", help="JSON, JSON lines, CSV, TSV or Parquet, packed or not")
    one = _verb(verbs, "heldout", heldout, "scores finished runs' models on the questions held out for the threshold; prints a table")
    one.add_argument("runs", nargs="+", metavar="RUN", help="the folder of a finished run, with its model")
    one.add_argument("--data", help=DATA)
    one.add_argument("--spans", metavar="FILE", help="a .csv.gz that is to hold each best span as character offsets, and null − best")
    one = _verb(verbs, "explore", explore, "writes runs' answers side by side as a page to open from disk or to send")
    one.add_argument("runs", nargs="+", metavar="RUN", help="the folder of a finished run; up to six")
    one.add_argument("--out", required=True, metavar="FILE", help="the page, e.g. answers.html")
    one.add_argument(
        "--only", metavar="ROWS", help='favourites, filter (those answered differently), or a filter\'s name: "topic: Compass"'
    )
    one.add_argument("--task", action="append", help="a task; all that the runs share otherwise; may be repeated")
    one.add_argument("--data", help=DATA)
    one = _verb(verbs, "rerun", rerun, "makes a finished run again, in a new folder, and says what came out equal")
    one.add_argument("run", metavar="RUN", help="the folder of a finished run")
    one.add_argument("folder", metavar="FOLDER", nargs="?", help="a folder that is not there yet; one below runs/ otherwise")
    one.add_argument("--data", help=DATA)
    one.add_argument("--set", **SET, help="another parameter, e.g. device=cpu (YAML); may be repeated")
    _add_score(_verb(verbs, "score", score, "scores finished runs on other rows, keeps that beside them and prints a table"))
    one = _verb(verbs, "export", export, "writes one task's model of a finished run in transformers' own layout, with a model card")
    one.add_argument("run", metavar="RUN", help="the folder of a finished run, with its model")
    one.add_argument("task", metavar="TASK", help="one of its tasks, e.g. squad")
    one.add_argument("folder", metavar="FOLDER", nargs="?", help="a folder that is not there yet; RUN/export/TASK otherwise")
    one = _verb(verbs, "affinity", affinity, "ranks the tasks of a training by what a step of each does for the main one")
    one.add_argument("source", metavar="FILE|RUN", help="a parameter file, which is trained; or a run that had interference_every")
    one.add_argument("--every", type=int, metavar="STEPS", help="between measurements; 50 measurements in all otherwise")
    one.add_argument("--set", **SET, help="a parameter on top of the file's (YAML); may be repeated")
    _add_merge(_verb(verbs, "merge", merge, "merges the encoders of finished runs into a new run; heads and tasks are the first one's"))
    one = _verb(verbs, "prune", prune, "deletes finished runs' models and checkpoints, and says what remains possible")
    one.add_argument("runs", nargs="+", metavar="RUN", help="the folder of a finished run")
    one.add_argument("--checkpoints", action="store_true", help="only the checkpoints, of which a finished run has no use")
    one = _verb(verbs, "plugins", plugins, "lists functions of your own: those of installed packages, and those that parameter files name")
    one.add_argument("files", metavar="FILE", nargs="*", help="a parameter file")
    return whole


def _verb(verbs: Any, name: str, call: Any, said: str) -> argparse.ArgumentParser:
    made = verbs.add_parser(name, help=said, description=f"{said[0].upper()}{said[1:]}.")
    made.set_defaults(call=call, usage_error=made.error)
    return made


def _add_study(verb: argparse.ArgumentParser) -> None:
    add = verb.add_argument
    add("study", metavar="FILE", help="a study file, e.g. parameters/ablations/demo.yaml")
    add("--dry-run", action="store_true", help="only say which runs there are, their steps, their time, and what is done")
    add(
        "--declare", action="store_true", help="only write down how the study will be judged, before it is run; its page says what deviates"
    )
    add("--folder", help="for the run folders; runs/NAME otherwise")
    add("--set", **SET, help="a parameter on top of every run's (YAML); may be repeated")
    add("--if-changed", choices=("refuse", "redo", "keep"), default="refuse", help="runs of other code, data, parameters, environment")
    add("--no-page", action="store_true", help="write no page at the end, only the tables")
    add(
        "--hours",
        type=float,
        help="begin no further seed after so many hours; what is done then is whole seeds, and the page tells of these",
    )
    add("--plain", action="store_true", help="train, and write the page, without executing notebooks: needs no Jupyter")
    add("--shard", metavar="I/N", help="run the I-th of N parts alone: for several processes on a folder whose file system has no locks")
    add("--no-wait", action="store_true", help="end once other processes on the same folder have the runs that are left")
    add("--engine", choices=("local", "ray"), default="local")
    add = verb.add_argument_group("engine local").add_argument
    add("--workers", type=int, help="runs at a time; 1 otherwise. A run takes as many threads as alone")
    add("--gpus", help="GPUs that they share out, e.g. 0,1; with --workers 4 two runs each")
    add = verb.add_argument_group("engine ray").add_argument
    add("--address", help='of a Ray cluster ("auto": this machine\'s); a Ray of this machine alone is started otherwise')
    add("--cores", type=int, help="cores that a run takes, where it has no `threads`; as many as alone otherwise")
    add("--gpus-per-run", type=float, help="0.5: two runs a GPU; none otherwise")


def _add_score(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("runs", nargs="+", metavar="RUN", help="the folder of a finished run, with its model")
    where = verb.add_mutually_exclusive_group(required=True)
    where.add_argument("--data", metavar="FOLDER", help="rows as the run's tasks have theirs: TASK/SPLIT in a folder, or hub, or sample")
    where.add_argument("--define", metavar="FILE", help="YAML that says what rows there are: definitions, or what `mtdnn data` prints")
    verb.add_argument("--task", metavar="TASK", help="whose head and threshold score them; otherwise each whose rows are there, or fit")
    verb.add_argument("--name", metavar="NAME", help="of the set; TASK-FOLDER, or its name in FILE, otherwise")
    verb.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")


def _add_merge(verb: argparse.ArgumentParser) -> None:
    add = verb.add_argument
    add("runs", nargs="+", metavar="RUN", help="the folder of a finished run, with its model; two at least")
    add("--method", choices=("average", "task_arithmetic", "ties"), default="average")
    add("--run-dir", metavar="FOLDER", help="a folder that is not there yet; one below runs/ otherwise")
    add("--base", metavar="RUN|ENCODER", help="what the changes of the last two methods are measured from; the runs' encoder otherwise")
    add("--weight", type=float, action="append", metavar="NUMBER", help="λ; repeated, the best on held-out questions is taken")
    add("--density", type=float, default=0.2, metavar="SHARE", help="of its changes that ties keeps of a run; 0.2 otherwise")
    add("--data", help=DATA)


def _add_report(verb: argparse.ArgumentParser) -> None:
    what = verb.add_subparsers(dest="what", required=True, metavar="WHAT")
    keep = _verb(what, "keep", report_keep, "copies what is worth keeping of a study's finished runs: no text, no model")
    keep.add_argument("study", metavar="FILE", help="the study's file")
    keep.add_argument("runs", metavar="RUNS", help="the folder of its runs")
    keep.add_argument("into", metavar="INTO", help="the folder to be made, e.g. results/NAME")
    keep.add_argument("--whole", action="append", default=[], metavar="RUN", help="a run whose n-best is kept, too")
    tables = _verb(what, "tables", report_tables, "prints a kept study as Markdown")
    write = _verb(what, "write", report_write, "writes that, the tables as numbers and the figures into the kept study's folder")
    for one in (tables, write):
        one.add_argument("folder", metavar="FOLDER", help="e.g. results/NAME")
    for one in (keep, tables, write):
        one.add_argument("--data", help=DATA)


def train(given: argparse.Namespace) -> None:
    """Trains one model, and says where the run is. Of several processes the first says it."""
    import torch.distributed as dist

    from mtdnn_kit.config import from_file
    from mtdnn_kit.model.provenance import note
    from mtdnn_kit.runs.notes import threshold_notes
    from mtdnn_kit.training.distributed import launched
    from mtdnn_kit.training.trainer import train as train_run

    rank, _ = launched()
    run = train_run(from_file(given.parameters, **dict(given.set)))
    if rank == 0:
        print(run, *threshold_notes(run), *filter(None, [note(run)]), sep="\n")
    if dist.is_initialized():
        dist.destroy_process_group()


def study(given: argparse.Namespace) -> None:
    """Runs a study and writes its page, or says what it would do."""
    from mtdnn_kit.studies.progress import Bars
    from mtdnn_kit.studies.running import run_study
    from mtdnn_kit.studies.study import default_folder, read_study

    if os.environ.get("WORLD_SIZE", "1") != "1":
        given.usage_error("WORLD_SIZE: a study starts its own processes, without a launcher; one run on several devices is `mtdnn train`")
    changes, made = dict(given.set), read_study(given.study)
    folder = resolve(given.folder) if given.folder else default_folder(made)
    print(f"{made.name}: {made.question}", flush=True)
    if given.declare:
        from mtdnn_kit.studies.declaration import declare

        return print(f"declared: {declare(made, folder, changes)}")
    if given.dry_run:
        return _dry_run(made, folder, changes, given.workers or 1)
    chosen = (given.engine, given.if_changed, given.plain, given.hours, given.shard, not given.no_wait)
    runs = run_study(made, folder, changes, Bars(), *chosen, **engine_options(given))
    print(*runs.values(), sep="\n")
    if given.hours is None and len(runs) < len(made.told):
        return print(f"{len(runs)} of {len(made.told)} runs are done, others have the rest; the last one writes table and page")
    try:
        _conclude(given, made, folder, changes, runs)
    except (LockedError, CompareError) as error:  # the runs are done
        print(error)


ENDING = ("run", "seeds", "EM", "F1", "span F1", "no-answer AP", "ΔF1", "p", "p (Holm)")  # columns of the table at the end


def _conclude(given: argparse.Namespace, made: Any, folder: Path, changes: dict, runs: dict) -> None:
    """Writes a study's tables and its page, says where that is, and prints the table."""
    from mtdnn_kit.studies.page import write_page
    from mtdnn_kit.studies.report import conclude
    from mtdnn_kit.views.tables import aligned, read

    alone = given.plain or given.no_page
    hours = None if given.hours is None else 0
    page = conclude(made, folder, runs, not given.no_page) if alone else write_page(given.study, folder, changes, hours)
    print(*([f"page: {page}"] if page else []), aligned(read(folder), ENDING), sep="\n", end="")


def engine_options(given: argparse.Namespace) -> dict:
    """What was given of the options of `engines.local` and `engines.ray`."""
    other = "gpus" if given.engine == "ray" else "gpus_per_run"
    if getattr(given, other) is not None:
        given.usage_error(f"--{other.replace('_', '-')}: engine {given.engine} has no such option")
    gpus = given.gpus.split(",") if given.gpus else given.gpus_per_run
    options = {"workers": given.workers, "gpus": gpus, "address": given.address, "cores": given.cores}
    return {key: value for key, value in options.items() if value is not None}


def _dry_run(made: Any, folder: Path, changes: dict, workers: int) -> None:
    """Prints what a study would do."""
    from mtdnn_kit.runs.claim import earlier
    from mtdnn_kit.studies.arms import check_tunable, chosen_before, equalized, tuning_runs
    from mtdnn_kit.studies.plan import as_text, on_cards, plan
    from mtdnn_kit.studies.power import earlier_spreads, sentences
    from mtdnn_kit.studies.running import NOTEBOOK
    from mtdnn_kit.studies.status import code, standings
    from mtdnn_kit.studies.study import project_notebook

    tuning = equalized(made.configs(folder, changes, tuning_runs(made)), made.equal) if made.tune else {}
    check_tunable(tuning)
    configs = tuning | equalized(chosen_before(made, folder).configs(folder, changes), made.equal)
    configs |= earlier(configs, folder)
    merges = made.merges(configs)
    found = standings(configs, code(project_notebook(NOTEBOOK)), merges=merges)
    rows = plan(configs, found, folder, made.stages, merges)
    print(as_text(rows, workers), *on_cards(rows, configs, folder), sep="\n")
    spread = earlier_spreads(next(iter(configs.values())).encoder, folder)
    tests = sum(len(others) for _, others in made.compared) * (len(made.scores) if made.family == "study" else 1)
    settings = len({name for baseline, others in made.compared for name in (baseline, *others)})
    print(*sentences(spread, made.scores, len(made.seeds or [0]), settings, tests, made.smallest_effect), sep="\n")
    for name, stands in found.items():
        if stands.changed and stands.status != "new":
            print(f"{name} is not what it would be today: {'; '.join(stands.changed)} (see --if-changed)")


def report_keep(given: argparse.Namespace) -> None:
    """Keeps a study's finished runs."""
    from mtdnn_kit.studies.report import keep_finished

    print(keep_finished(given.study, resolve(given.runs), resolve(given.into), given.data, given.whole))


def report_tables(given: argparse.Namespace) -> None:
    """Prints a kept study."""
    from mtdnn_kit.studies.report import report

    print("\n".join(report(resolve(given.folder), given.data)))


def report_write(given: argparse.Namespace) -> None:
    """Writes a kept study's tables and figures into its folder."""
    from mtdnn_kit.studies.report import write

    write(resolve(given.folder), given.data)


def data(given: argparse.Namespace) -> None:
    """Prints a draft of a definition for each file. Raises DataError for what has none."""
    from mtdnn_kit.data.draft import guess

    drafts = {file: guess(file) for file in given.files}
    print("\n\n".join(f"# {file}\n{draft}" for file, draft in drafts.items()))
    if failed := [file for file, draft in drafts.items() if not draft.definition]:
        raise DataError(f"{', '.join(failed)}: no draft; see above")


def heldout(given: argparse.Namespace) -> None:
    """Prints the scores of runs on their held-out questions."""
    from mtdnn_kit.inference.heldout import held_out, table, write_spans
    from mtdnn_kit.runs.run import Run
    from mtdnn_kit.views.tables import markdown

    found = [one for path in given.runs for one in held_out(Run(resolve(path)), given.data)]
    if given.spans:
        write_spans(resolve(given.spans), found)
    print(markdown(table(found)), end="")


def explore(given: argparse.Namespace) -> None:
    """Writes the explorer's page, and says where it is."""
    from mtdnn_kit.explorer.widgets import explore as explore_runs

    task = given.task[0] if given.task else None
    print(explore_runs(given.runs, task, given.data, live=False).save(given.out, given.only, given.task))


def rerun(given: argparse.Namespace) -> None:
    """Makes a run again, and prints what came out equal. Of several processes the first says it."""
    from mtdnn_kit.inference.rerunning import rerun as make_again
    from mtdnn_kit.training.distributed import launched
    from mtdnn_kit.views.tables import markdown

    run, rows = make_again(given.run, given.folder, **({"data": given.data} if given.data else {}), **dict(given.set))
    if launched()[0] == 0:
        print(run, markdown(rows), sep="\n", end="")


def score(given: argparse.Namespace) -> None:
    """Scores finished runs on other rows, and prints what they score."""
    from mtdnn_kit.inference.scoring import score as score_run
    from mtdnn_kit.runs.run import Run
    from mtdnn_kit.views.tables import markdown, set_table

    runs, rows = [Run(resolve(path)) for path in given.runs], []
    for run in runs:
        names = score_run(run, given.data, given.define, given.task, given.name, given.device)
        rows += set_table({run.name: run}, names)
    print(markdown(rows), end="")


def export(given: argparse.Namespace) -> None:
    """Exports a task's model, and says where it is."""
    from mtdnn_kit.inference.exporting import export as export_task

    print(export_task(given.run, given.task, given.folder))


def affinity(given: argparse.Namespace) -> None:
    """Ranks tasks, and says how far that is to be trusted."""
    from mtdnn_kit.inference.affinity import affinity as affinity_of
    from mtdnn_kit.views.tables import markdown

    found = affinity_of(given.source, given.every, **dict(given.set))
    print(found.run, markdown(found.rows), *found.sentences, sep="\n")


def merge(given: argparse.Namespace) -> None:
    """Merges runs, and says where the new one is, of what it was merged, and its thresholds."""
    from mtdnn_kit.inference.merging import merge as merge_runs
    from mtdnn_kit.runs.notes import merge_note, threshold_notes

    weight = given.weight[0] if given.weight and len(given.weight) == 1 else given.weight
    run = merge_runs(given.runs, given.method, given.run_dir, given.base, weight, given.density, given.data)
    print(run, merge_note(run), *threshold_notes(run), sep="\n")


def prune(given: argparse.Namespace) -> None:
    """Deletes models and checkpoints; says of each run what is possible from then on."""
    from mtdnn_kit.runs.pruning import prune as prune_run
    from mtdnn_kit.runs.run import Run

    for run in [Run(resolve(path)) for path in given.runs]:
        print(prune_run(run, given.checkpoints), flush=True)


def plugins(given: argparse.Namespace) -> None:
    """Prints a line for each function of one's own. Raises ConfigError where one cannot be used."""
    from mtdnn_kit.config import DOORS, from_file
    from mtdnn_kit.data.definitions import PLUGINS
    from mtdnn_kit.files.plugins import find, installed

    named = [(one.key, one.name) for file in given.files for one in from_file(file).plugins]
    named += [(key, name) for key, door in DOORS.items() for name, _ in installed(door.group)]
    for key, name in dict.fromkeys(named):
        one = find(key, name, DOORS[key])
        print(f"{key}: {name}, {one.package or one.file}, sha256 {one.record()['sha256'][:16]}")
    for name, package in installed(PLUGINS):
        print(f"type: {name}, {package}")
    if not (named or list(installed(PLUGINS))):
        print("none installed; a parameter file names one as module:function (docs/plugins.md)")


def main(words: Sequence[str] | None = None) -> None:
    """Does what the command says (`words`; None: the process's own), or says in a line why not. Raises SystemExit."""
    words = list(sys.argv[1:] if words is None else words)
    if words and words[0].endswith((".yaml", ".yml")):  # as it was before 0.2.0: python -m mtdnn_kit STUDY
        words.insert(0, "study")
    given = parser().parse_args(words)
    try:
        return given.call(given)
    except KitError as error:
        said, code = str(error), FAILED
    except KeyboardInterrupt as error:
        said, code = str(error) or "Stopped; the same command goes on where it was.", STOPPED
    print(said, file=sys.stderr)
    raise SystemExit(code)


if __name__ == "__main__":
    main()
