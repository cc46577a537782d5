"""The command line: runs a study, or says what it would do.

python -m mtdnn_kit parameters/ablations/demo.yaml --workers 2
python -m mtdnn_kit parameters/ablations/demo.yaml --dry-run
"""

import argparse
import os
import sys
from pathlib import Path

from mtdnn_kit.errors import ConfigError, DataError, EncoderError, LockedError, StudyError, YamlError
from mtdnn_kit.files.paths import resolve
from mtdnn_kit.files.yaml_files import read_yaml
from mtdnn_kit.studies.progress import Bars
from mtdnn_kit.studies.running import NOTEBOOK, run_study
from mtdnn_kit.studies.status import code, standings
from mtdnn_kit.studies.study import Study, default_folder, project_notebook, read_study


def arguments() -> argparse.Namespace:
    """What the command was given."""
    parser = argparse.ArgumentParser(prog="python -m mtdnn_kit", description="Runs a study; what is done is not run again.")
    parser.add_argument("study", help="a study file, e.g. parameters/ablations/demo.yaml")
    parser.add_argument("--dry-run", action="store_true", help="only say which runs there are, their steps, their time, and what is done")
    parser.add_argument("--folder", help="for the run folders; runs/NAME otherwise")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a parameter on top of every run's (YAML)")
    parser.add_argument(
        "--if-changed", choices=("refuse", "redo", "keep"), default="refuse", help="runs made with other code, data, parameters"
    )
    parser.add_argument("--no-page", action="store_true", help="do not execute notebook 03 at the end")
    parser.add_argument("--plain", action="store_true", help="train without executing notebooks: needs no Jupyter, writes no page")
    parser.add_argument("--engine", choices=("local", "ray"), default="local")
    local = parser.add_argument_group("engine local")
    local.add_argument("--workers", type=int, help="runs at a time, which share the cores out among them; 1 otherwise")
    local.add_argument("--gpus", help="GPUs that they share out, e.g. 0,1; with --workers 4 two runs each")
    ray = parser.add_argument_group("engine ray")
    ray.add_argument("--address", help='of a Ray cluster ("auto": this machine\'s); a Ray of this machine alone is started otherwise')
    ray.add_argument("--cores", type=int, help="cores that a run takes, where it has no `threads`; 1 otherwise")
    ray.add_argument("--gpus-per-run", type=float, help="0.5: two runs a GPU; none otherwise")
    return parser.parse_args()


def engine_options(given: argparse.Namespace) -> dict:
    """What was given of the options of `engines.local` and `engines.ray`."""
    gpus = given.gpus.split(",") if given.gpus else given.gpus_per_run
    options = {"workers": given.workers, "gpus": gpus, "address": given.address, "cores": given.cores}
    return {key: value for key, value in options.items() if value is not None}


def settings(pairs: list[str]) -> dict:
    """The parameters of `--set KEY=VALUE`. Raises ConfigError."""
    try:
        return read_yaml("\n".join(pair.replace("=", ": ", 1) for pair in pairs)) or {}
    except YamlError as error:
        raise ConfigError(f"--set: {error}") from None


def dry_run(study: Study, folder: Path, changes: dict, workers: int) -> None:
    """Prints what the study would do."""
    from mtdnn_kit.studies.plan import as_text, plan

    configs = study.configs(folder, changes)
    found = standings(configs, code(project_notebook(NOTEBOOK)))
    print(as_text(plan(configs, found, folder), workers))
    for name, stands in found.items():
        if stands.changed and stands.status != "new":
            print(f"{name} is not what it would be today: {'; '.join(stands.changed)} (see --if-changed)")


def main() -> None:
    """Runs a study and writes its page, or says in a few lines why not."""
    given = arguments()
    if os.environ.get("WORLD_SIZE", "1") != "1":
        sys.exit("WORLD_SIZE: a study starts its own processes, without a launcher; for one run on several devices: mtdnn_kit.launch")
    try:
        changes = settings(given.set)
        study = read_study(given.study)
        folder = resolve(given.folder) if given.folder else default_folder(study)
        print(f"{study.name}: {study.question}", flush=True)
        if given.dry_run:
            return dry_run(study, folder, changes, given.workers or 1)
        for run in run_study(study, folder, changes, Bars(), given.engine, given.if_changed, given.plain, **engine_options(given)).values():
            print(run)
        if not (given.no_page or given.plain):
            from mtdnn_kit.studies.page import write_page

            print(f"page: {write_page(given.study, folder, changes)}")
    except (StudyError, ConfigError, DataError, EncoderError, LockedError) as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("Stopped; the same command goes on where it was.")


if __name__ == "__main__":
    main()
