"""A run, a study and a schedule on nbconvert's page of a notebook: legible in JupyterLab's two themes, nothing cut off."""

import nbformat
import pytest
from conftest import ROOT

from browser.looks import audit, cut_off, overflow, shot
from mtdnn_kit import Run
from mtdnn_kit.sampler import draw, weights
from mtdnn_kit.studies.study import read_study


@pytest.fixture
def saved(tmp_path, monkeypatch):
    """A saved notebook with each of them as output."""
    monkeypatch.setenv("MTDNN_RUNS", str(ROOT / "results"))
    schedule = draw(0, {"squad": 180, "cola": 30, "mnli": 40}, lambda epoch: weights("proportional", [180, 30, 40]), "cycle", 2)
    shown = [Run(ROOT / "results/sample/qa-mcc-sc"), read_study("parameters/ablations/table-2.yaml"), schedule, Run(tmp_path / "none")]
    outputs = [nbformat.v4.new_output("display_data", {"text/html": one._repr_html_(), "text/plain": repr(one)}) for one in shown]
    cells = [nbformat.v4.new_code_cell("run", outputs=[output]) for output in outputs]
    path = tmp_path / "shown.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_outputs_are_legible_in_both_themes_and_not_cut_off(open_static, saved, theme):
    page = open_static(saved, theme)
    assert page.locator(".jp-OutputArea-output table").count() == 3
    shot(page, f"shown-{theme}")
    assert [audit(output) for output in page.locator(".jp-OutputArea-output").all()] == [[]] * 4
    for width in (1400, 500):
        assert overflow(page, width) <= 0 and cut_off(page.locator(".jp-Notebook")) == [], width
