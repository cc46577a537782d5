"""The command line: `mtdnn`, or `python -m mtdnn_kit`, with one verb per action on files.

    mtdnn train parameters/minilm.yaml --set run_dir=runs/one
    mtdnn study parameters/ablations/demo.yaml --workers 2
    mtdnn report write results/NAME --data FOLDER

Exit codes: 0; 1 if something failed, with one line that says what; 2 for a wrong command; 130 if it was stopped; 141 if the reader closed
the pipe (`mtdnn … | head`).
"""

import argparse
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mtdnn_kit.errors import CompareError, DataError, KitError, KitWarning, LockedError, YamlError
from mtdnn_kit.files.paths import resolve
from mtdnn_kit.files.yaml_files import read_yaml

FAILED, STOPPED, UNREAD = 1, 130, 141


def setting(text: str) -> tuple[str, Any]:
    """Key and value of a `--set KEY=VALUE`; the value is YAML. Raises ArgumentTypeError."""
    key, equals, value = text.partition("=")
    if not (key.strip() and equals):
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE; write e.g. --set max_steps=40")
    try:
        return key.strip(), read_yaml(value)
    except YamlError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: the value is not YAML ({error}); quote it, e.g. --set 'tasks=[squad, cola]'") from None


class _Once(argparse.Action):
    """Collects pairs of key and value; as in a file, a key must not be given twice."""

    def __call__(self, parser: argparse.ArgumentParser, given: argparse.Namespace, value: Any, option: str | None = None) -> None:
        before = getattr(given, self.dest)
        if value[0] in dict(before):
            parser.error(f"{option}: {value[0]} is given twice; leave one out")
        setattr(given, self.dest, [*before, value])


SET: Any = dict(type=setting, action=_Once, default=[], metavar="KEY=VALUE")
DATA = "where the rows are: a folder, or hub (default: where the runs had them)"


class _Version(argparse.Action):
    """Prints the version and, in a clone, the commit, and exits."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from mtdnn_kit.runs.origin import version_line

        parser.exit(message=f"{version_line()}\n")


def parser() -> argparse.ArgumentParser:
    """All verbs and their options."""
    said = "Trains one encoder on several tasks, runs studies of many such runs, and reports them. `mtdnn VERB --help` says more."
    whole = argparse.ArgumentParser(prog="mtdnn", description=said)
    whole.add_argument("--version", action=_Version, nargs=0, help="print the kit's version and, in a clone, the commit")
    verbs = whole.add_subparsers(dest="verb", required=True, metavar="VERB")
    one = _verb(verbs, "train", train, "trains one model, on one device or, with accelerate launch or torchrun, on several")
    one.add_argument("parameters", metavar="FILE", help="a parameter file, e.g. parameters/minilm.yaml")
    one.add_argument("--set", **SET, help="overrides a parameter of the file (YAML); may be repeated")
    _add_study(_verb(verbs, "study", study, "runs a study and writes its page; finished runs are not repeated"))
    _add_report(verbs.add_parser("report", help="keeps a finished study, or turns a kept one into tables and figures"))
    one = _verb(verbs, "data", data, "drafts the lines of a parameter file for each file of rows, and lists what is doubtful")
    one.add_argument("files", nargs="+", metavar="FILE", help="JSON, JSON lines, CSV, TSV or Parquet, compressed or not")
    one = _verb(verbs, "heldout", heldout, "scores finished runs' models on the questions held out for the threshold; prints a table")
    one.add_argument("runs", nargs="+", metavar="RUN", help="the folder of a finished run, with its model")
    one.add_argument("--data", help=DATA)
    one.add_argument("--spans", metavar="FILE", help="write each best span as character offsets, and null − best, to this .csv.gz")
    one = _verb(verbs, "explore", explore, "writes runs' answers side by side as a page to open from disk or to send")
    one.add_argument("runs", nargs="+", metavar="RUN", help="the folder of a finished run; up to six")
    one.add_argument("--out", required=True, metavar="FILE", help="the page, e.g. answers.html")
    one.add_argument(
        "--only", metavar="ROWS", help='favourites, filter (those answered differently), or a filter\'s name: "topic: Compass"'
    )
    one.add_argument("--task", action="append", help="a task (default: all that the runs share); may be repeated")
    one.add_argument("--data", help=DATA)
    one = _verb(verbs, "rerun", rerun, "repeats a finished run in a new folder, and reports what is equal")
    one.add_argument("run", metavar="RUN", help="the folder of a finished run")
    one.add_argument("folder", metavar="FOLDER", nargs="?", help="a new folder (default: one in runs/)")
    one.add_argument("--data", help=DATA)
    one.add_argument("--set", **SET, help="overrides a parameter, e.g. device=cpu (YAML); may be repeated")
    _add_score(_verb(verbs, "score", score, "scores finished runs on other rows, keeps the scores with the runs and prints a table"))
    one = _verb(verbs, "export", export, "writes one task's model of a finished run in transformers' format, with a model card")
    one.add_argument("run", metavar="RUN", help="the folder of a finished run, with its model")
    one.add_argument("task", metavar="TASK", help="one of its tasks, e.g. squad")
    one.add_argument("folder", metavar="FOLDER", nargs="?", help="a new folder (default: RUN/export/TASK)")
    one = _verb(verbs, "affinity", affinity, "ranks the tasks of a training by what a step of each does for the main one")
    one.add_argument("source", metavar="FILE|RUN", help="a parameter file, which is trained; or a run that had interference_every")
    one.add_argument("--every", type=int, metavar="STEPS", help="between measurements; 50 measurements in all otherwise")
    one.add_argument("--set", **SET, help="overrides a parameter of the file (YAML); may be repeated")
    _add_merge(_verb(verbs, "merge", merge, "merges the encoders of finished runs into a new run; heads and tasks are the first one's"))
    one = _verb(verbs, "prune", prune, "deletes finished runs' models and checkpoints, and says what still works")
    one.add_argument("runs", nargs="+", metavar="RUN", help="the folder of a finished run")
    one.add_argument("--checkpoints", action="store_true", help="only the checkpoints, which a finished run does not need")
    one = _verb(verbs, "plugins", plugins, "lists custom functions: those of installed packages, and those that parameter files name")
    one.add_argument("files", metavar="FILE", nargs="*", help="a parameter file")
    return whole


def _verb(verbs: Any, name: str, call: Any, said: str) -> argparse.ArgumentParser:
    made = verbs.add_parser(name, help=said, description=f"{said[0].upper()}{said[1:]}.")
    made.set_defaults(call=call, usage_error=made.error)
    return made


def _add_study(verb: argparse.ArgumentParser) -> None:
    add = verb.add_argument
    add("study", metavar="FILE", help="a study file, e.g. parameters/ablations/demo.yaml")
    add("--dry-run", action="store_true", help="only list the runs, their steps, their time, and which are done")
    add("--declare", action="store_true", help="only write down how the study will be judged, before it runs; its page lists deviations")
    add("--folder", help="for the run folders (default: runs/NAME)")
    add("--set", **SET, help="overrides a parameter of every run (YAML); may be repeated")
    add(
        "--if-changed",
        choices=("refuse", "redo", "keep"),
        default="refuse",
        help="runs whose code, data, parameters or environment changed",
    )
    add("--no-page", action="store_true", help="write only the tables at the end, no page")
    add(
        "--hours",
        type=float,
        help="start no further seed after so many hours; the page then reports the completed seeds",
    )
    add("--plain", action="store_true", help="train and write the page without executing notebooks: needs no Jupyter")
    add("--shard", metavar="I/N", help="run only the I-th of N parts: for several processes on a file system without locks")
    add(
        "--no-wait",
        action="store_true",
        help="exit once other processes on the same folder have taken the remaining runs (tuning is waited for)",
    )
    add("--engine", choices=("local", "ray"), default="local")
    add = verb.add_argument_group("engine local").add_argument
    add("--workers", type=int, help="runs at a time (default: 1); a run takes as many threads as alone")
    add("--gpus", help="GPUs for the workers, e.g. 0,1; with --workers 4, two runs on each")
    add = verb.add_argument_group("engine ray").add_argument
    add("--address", help='of a Ray cluster ("auto": this machine\'s); default: starts Ray on this machine only')
    add("--cores", type=int, help="cores of a run without `threads` (default: as many as alone)")
    add("--gpus-per-run", type=float, help="0.5: two runs per GPU (default: none)")


def _add_score(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("runs", nargs="+", metavar="RUN", help="the folder of a finished run, with its model")
    where = verb.add_mutually_exclusive_group(required=True)
    where.add_argument("--data", metavar="FOLDER", help="rows in the layout of the run's tasks: TASK/SPLIT in a folder, or hub, or sample")
    where.add_argument("--define", metavar="FILE", help="YAML with the definitions of the rows, or what `mtdnn data` prints")
    verb.add_argument("--task", metavar="TASK", help="whose head and threshold score the rows (default: each whose rows exist or fit)")
    verb.add_argument("--name", metavar="NAME", help="of the set (default: TASK-FOLDER, or its name in FILE)")
    verb.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")


def _add_merge(verb: argparse.ArgumentParser) -> None:
    add = verb.add_argument
    add("runs", nargs="+", metavar="RUN", help="the folder of a finished run, with its model; two at least")
    add("--method", choices=("average", "task_arithmetic", "ties"), default="average")
    add("--run-dir", metavar="FOLDER", help="a new folder (default: one in runs/)")
    add("--base", metavar="RUN|ENCODER", help="what the changes of the last two methods are measured from; the runs' encoder otherwise")
    add("--weight", type=float, action="append", metavar="NUMBER", help="λ; repeated, the best on held-out questions is taken")
    add("--density", type=float, metavar="SHARE", help="of its changes that ties keeps of a run; 0.2 otherwise")
    add("--data", help=DATA)


def _add_report(verb: argparse.ArgumentParser) -> None:
    what = verb.add_subparsers(dest="what", required=True, metavar="WHAT")
    keep = _verb(what, "keep", report_keep, "copies what to keep of a study's finished runs: no text, no model")
    keep.add_argument("study", metavar="FILE", help="the study's file")
    keep.add_argument("runs", metavar="RUNS", help="the folder of its runs")
    keep.add_argument("into", metavar="INTO", help="the new folder, e.g. results/NAME")
    keep.add_argument("--whole", action="append", default=[], metavar="RUN", help="a run whose n-best is kept as well; may be repeated")
    tables = _verb(what, "tables", report_tables, "prints a kept study as Markdown")
    write = _verb(what, "write", report_write, "writes the Markdown, the tables as numbers and the figures into the kept study's folder")
    for one in (tables, write):
        one.add_argument("folder", metavar="FOLDER", help="e.g. results/NAME")
    for one in (keep, tables, write):
        one.add_argument("--data", help=DATA)


def train(given: argparse.Namespace) -> None:
    """Trains one model, and prints where the run is and its scores. Of several processes only the first prints."""
    import torch.distributed as dist

    from mtdnn_kit.config import from_file
    from mtdnn_kit.model.provenance import note
    from mtdnn_kit.runs.notes import threshold_notes
    from mtdnn_kit.training.distributed import launched
    from mtdnn_kit.training.trainer import train as train_run
    from mtdnn_kit.views.findings import of_scores
    from mtdnn_kit.views.task_plots import run_rows

    rank, _ = launched()
    run = train_run(from_file(given.parameters, **dict(given.set)))
    if rank == 0:
        rows = run_rows(run)  # none where all tasks are of custom types
        print(run, *([of_scores(rows)] if rows else []), *threshold_notes(run), *filter(None, [note(run)]), sep="\n")
    if dist.is_initialized():
        dist.destroy_process_group()


def study(given: argparse.Namespace) -> None:
    """Runs a study and writes its page, or prints what it would do."""
    from mtdnn_kit.studies.progress import Bars
    from mtdnn_kit.studies.running import check_engine, run_study
    from mtdnn_kit.studies.study import default_folder, read_study

    if os.environ.get("WORLD_SIZE", "1") != "1":
        given.usage_error("WORLD_SIZE: a study starts its own processes, without a launcher; one run on several devices is `mtdnn train`")
    changes, made, options = dict(given.set), read_study(given.study), engine_options(given)
    folder = resolve(given.folder) if given.folder else default_folder(made)
    print(f"{made.name}: {made.question}", flush=True)
    if given.declare:
        from mtdnn_kit.studies.declaration import declare

        return print(f"declared: {declare(made, folder, changes)}")
    if given.dry_run:
        check_engine(given.engine, options)
        return _dry_run(made, folder, changes, given.workers or 1)
    chosen = (given.engine, given.if_changed, given.plain, given.hours, given.shard, not given.no_wait)
    runs = run_study(made, folder, changes, Bars(), *chosen, **options)
    print(*runs.values(), sep="\n")
    if not runs or (given.hours is None and len(runs) < len(made.reported)):
        return print(_not_all(made, folder, len(runs), given.shard))
    try:
        _conclude(given, made, folder, changes, runs)
    except (LockedError, CompareError) as error:  # the runs are done
        print(error)


def _not_all(made: Any, folder: Path, done: int, shard: str | None) -> str:
    """What is left where a process ends before its study: with `shard`, or with `no_wait`."""
    from mtdnn_kit.studies.arms import TUNED

    if made.tune and not (folder / TUNED).is_file():
        return "This process has no tuning run left to make; the others are not all done. Start it again once they are."
    said = f"{done} of {len(made.reported)} runs are done"
    if shard:
        return f"{said}. Once the other parts are done as well, the command without --shard writes table and page."
    return f"{said}; other processes have the rest, and the last one writes table and page"


ENDING = ("run", "compared with", "seeds", "threshold", "EM", "F1", "span F1", "no-answer AP", "ΔF1", "p", "p (adjusted)", "speaks for")


def _conclude(given: argparse.Namespace, made: Any, folder: Path, changes: dict, runs: dict) -> None:
    """Writes a study's tables and page, says where the page is and how the runs differ, and prints the table, custom scores last."""
    from mtdnn_kit.runs.environment import unlike
    from mtdnn_kit.runs.notes import own_scores
    from mtdnn_kit.studies.page import write_page
    from mtdnn_kit.studies.report import conclude
    from mtdnn_kit.views.findings import SUMMARY
    from mtdnn_kit.views.tables import aligned, read

    alone = given.plain or given.no_page
    hours = None if given.hours is None else 0
    if given.plain and not given.no_page:
        _save_answers(made, folder, runs)
    redone = "redo" if given.if_changed == "redo" and hours is not None else "keep"  # 0 hours: nothing is run
    page = conclude(made, folder, runs, not given.no_page) if alone else write_page(given.study, folder, changes, hours, redone)
    own = dict.fromkeys(score for run in runs.values() for score in own_scores([run], run.parameters.tasks[0]))
    table = aligned(read(folder), (*ENDING, *own))
    print(*([f"page: {page}"] if page else []), *unlike(runs), table, (folder / SUMMARY).read_text(encoding="utf-8"), sep="\n", end="")


def _save_answers(made: Any, folder: Path, runs: dict) -> None:
    """Writes the explorer's file next to a page that is made without Jupyter: the first seed of up to six settings."""
    from mtdnn_kit.explorer.replies import MOST_SIDE_BY_SIDE, backend_of
    from mtdnn_kit.studies.page import EXPLORER_PAGE

    first = [runs[next(iter(own.values()))] for own in made.of(runs).values()]
    backend_of(first[:MOST_SIDE_BY_SIDE], cluster=made.cluster).save(folder / EXPLORER_PAGE)


def engine_options(given: argparse.Namespace) -> dict:
    """The given options of `engines.local` and `engines.ray`."""
    other = "gpus" if given.engine == "ray" else "gpus_per_run"
    if getattr(given, other) is not None:
        given.usage_error(f"--{other.replace('_', '-')}: engine {given.engine} does not have this option; leave it out")
    gpus = given.gpus.split(",") if given.gpus else given.gpus_per_run
    options = {"workers": given.workers, "gpus": gpus, "address": given.address, "cores": given.cores}
    return {key: value for key, value in options.items() if value is not None}


def _dry_run(made: Any, folder: Path, changes: dict, workers: int) -> None:
    """Prints what a study would do."""
    from mtdnn_kit.compare.clusters import CLUSTERS
    from mtdnn_kit.runs.claim import earlier
    from mtdnn_kit.studies.arms import check_tunable, chosen_before, equalized, tuning_runs
    from mtdnn_kit.studies.plan import as_text, gpu_estimates, plan
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
    print(as_text(rows, workers), *gpu_estimates(rows, configs, folder), sep="\n")
    spread = earlier_spreads(next(iter(configs.values())).encoder, folder, CLUSTERS[made.cluster])
    sizes = [len(others) for _, others in made.compared]
    settings = 1 + min((size for size in sizes if size), default=0)
    print(*sentences(spread, made.scores, len(made.seeds or [0]), settings, made.tests, made.smallest_effect), sep="\n")
    for name, stands in found.items():
        if stands.changed and stands.status != "new":
            print(f"{name} is outdated: {'; '.join(stands.changed)} (see --if-changed)")


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
    """Prints a draft of a definition for each file. Raises DataError for files without one."""
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
    """Writes the explorer's page, and prints where it is."""
    from mtdnn_kit.explorer.widgets import explore as explore_runs

    task = given.task[0] if given.task else None
    print(explore_runs(given.runs, task, given.data, live=False).save(given.out, given.only, given.task))


def rerun(given: argparse.Namespace) -> None:
    """Repeats a run, and prints what is equal. Of several processes only the first prints."""
    from mtdnn_kit.inference.rerunning import rerun as make_again
    from mtdnn_kit.training.distributed import launched
    from mtdnn_kit.views.tables import markdown

    changes = {**({"data": given.data} if given.data else {}), **dict(given.set)}
    folder = changes.pop("run_dir", given.folder)
    run, rows = make_again(given.run, folder, **changes)
    if launched()[0] == 0:
        print(run, markdown(rows), sep="\n", end="")


def score(given: argparse.Namespace) -> None:
    """Scores finished runs on other rows, and prints the scores."""
    from mtdnn_kit.inference.scoring import score as score_run
    from mtdnn_kit.runs.run import Run
    from mtdnn_kit.views.tables import markdown, set_table

    runs, rows = [Run(resolve(path)) for path in given.runs], []
    for run in runs:
        names = score_run(run, given.data, given.define, given.task, given.name, given.device)
        rows += set_table({run.name: run}, names)
    print(markdown(rows), end="")


def export(given: argparse.Namespace) -> None:
    """Exports a task's model, and prints where it is."""
    from mtdnn_kit.inference.exporting import export as export_task

    print(export_task(given.run, given.task, given.folder))


def affinity(given: argparse.Namespace) -> None:
    """Ranks tasks, and says how far to trust the ranking."""
    from mtdnn_kit.inference.affinity import affinity as affinity_of
    from mtdnn_kit.views.tables import markdown

    changes = dict(given.set)
    every = changes.pop("every", given.every)
    found = affinity_of(given.source, every, **changes)
    print(found.run, markdown(found.rows), *found.sentences, sep="\n")


def merge(given: argparse.Namespace) -> None:
    """Merges runs; prints where the new one is, what it was merged from, and its thresholds."""
    from mtdnn_kit.inference.merging import merge as merge_runs
    from mtdnn_kit.runs.notes import merge_note, threshold_notes

    weight = given.weight[0] if given.weight and len(given.weight) == 1 else given.weight
    run = merge_runs(given.runs, given.method, given.run_dir, given.base, weight, given.density, given.data)
    print(run, merge_note(run), *threshold_notes(run), sep="\n")


def prune(given: argparse.Namespace) -> None:
    """Deletes models and checkpoints; prints for each run what still works."""
    from mtdnn_kit.runs.pruning import prune as prune_run
    from mtdnn_kit.runs.run import Run

    for run in [Run(resolve(path)) for path in given.runs]:
        print(prune_run(run, given.checkpoints), flush=True)


def plugins(given: argparse.Namespace) -> None:
    """Prints one line per custom function. Raises ConfigError for one that cannot be used."""
    from mtdnn_kit.config import PLUGIN_POINTS, from_file
    from mtdnn_kit.data.definitions import PLUGINS
    from mtdnn_kit.files.plugins import find, installed

    named = [(one.key, one.name) for file in given.files for one in from_file(file).plugins]
    named += [(key, name) for key, point in PLUGIN_POINTS.items() for name, _ in installed(point.group)]
    for key, name in dict.fromkeys(named):
        one = find(key, name, PLUGIN_POINTS[key])
        print(f"{key}: {name}, {one.package or one.file}, sha256 {one.record()['sha256'][:16]}")
    for name, package in installed(PLUGINS):
        print(f"type: {name}, {package}")
    if not (named or list(installed(PLUGINS))):
        print("none installed; name one in a parameter file as module:function (docs/plugins.md)")


@contextmanager
def _warning_in_a_line() -> Iterator[None]:
    """The kit's warnings as a line each; others as Python shows them."""
    before = warnings.showwarning

    def show(message: Any, category: type[Warning], *place: Any) -> None:
        if not issubclass(category, KitWarning):
            return before(message, category, *place)
        print(f"warning: {message}", file=sys.stderr, flush=True)

    warnings.showwarning = show  # type: ignore[assignment]
    try:
        yield
    finally:
        warnings.showwarning = before


def main(words: Sequence[str] | None = None) -> None:
    """Runs the command line (`words`; None: the process's), or prints in one line why it cannot. Raises SystemExit."""
    words = list(sys.argv[1:] if words is None else words)
    if words and words[0].endswith((".yaml", ".yml")):  # the command before 0.2.0: python -m mtdnn_kit STUDY
        words.insert(0, "study")
    given = parser().parse_args(words)
    try:
        with _warning_in_a_line():
            given.call(given)
        sys.stdout.flush()
        return
    except BrokenPipeError:  # discard further output, also at Python's exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(UNREAD) from None
    except KitError as error:
        said, code = str(error), FAILED
    except KeyboardInterrupt as error:
        said, code = str(error) or "Stopped; run the same command again to continue.", STOPPED
    print(said, file=sys.stderr)
    raise SystemExit(code)


if __name__ == "__main__":
    main()
