"""The imports in README, notebooks and docs of 0.1.0 still work, although the modules have moved."""

import subprocess

import pytest
from conftest import ROOT

STATEMENTS = [  # as written there
    "from mtdnn_kit import DATASETS, Config, ask, export, from_file, from_params, import_run, load, prepare, train",
    "from mtdnn_kit import answer_plots, compare, differences, overview, paper, plots, running, studies, study_plots, tables",
    "from mtdnn_kit.compare import Question",
    "from mtdnn_kit.config import only",
    "from mtdnn_kit.explorer.html import examples_html, side_by_side",
    "from mtdnn_kit.explorer.widgets import explore",
    "from mtdnn_kit.marks import tokens_html",
    "from mtdnn_kit.tasks import register",
]
USED = {  # the names used from modules that are imported whole
    "compare": ["named", "pair", "find", "two", "CompareError"],
    "differences": ["difference", "difference_table", "slice_table", "setting_table", "sentences"],
    "overview": ["odd_rows"],
    "plots": ["LiveLoss", "lengths_figure", "loss_figure", "schedule_figure", "scores_figure", "shares_figure"],
    "paper": ["EXAMPLES", "TABLES"],
    "running": ["run_study"],
    "studies": ["read_study", "default_folder", "resolve", "StudyError"],
    "tables": ["markdown", "points", "score_table", "write"],
}


@pytest.mark.parametrize("order", [STATEMENTS, STATEMENTS[::-1]], ids=["in order", "backwards"])
def test_every_former_import_works_in_one_process(order, python):
    names = (f"{module}.{name}" for module, names in USED.items() for name in names)
    code = "\n".join(["import warnings; warnings.simplefilter('error')", *order, *names])
    done = subprocess.run([*python, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_an_old_path_gives_the_same_object():
    from mtdnn_kit.marks import tokens_html

    from mtdnn_kit import differences, marks
    from mtdnn_kit.compare import differences as real

    assert differences is real and tokens_html is marks.tokens_html and marks.__name__ == "mtdnn_kit.views.marks"


def test_a_name_that_never_existed_is_an_import_error():
    with pytest.raises(ImportError, match="cannot import name 'nothing'"):
        from mtdnn_kit.marks import nothing  # noqa: F401
    with pytest.raises(ImportError, match="cannot import name 'nowhere'"):
        from mtdnn_kit import nowhere  # noqa: F401
