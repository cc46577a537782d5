"""The tools of the browser tests: each of their checks can fail."""

import sys

import pytest
from conftest import ROOT

from browser import lab as jupyter
from browser.looks import audit, cut_off, overflow, tab_to

CONTROLS = """
import ipywidgets
from IPython.display import HTML, display
slider = ipywidgets.IntSlider(description="count")
display(HTML('<p style="color:#999;background:#aaa">pale</p>'), slider, ipywidgets.Text(description="name"))
"""


def test_without_a_browser_a_test_is_skipped_but_fails_in_ci(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="apt install chromium"):
        jupyter.find_chromium()
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="apt install chromium"):
        jupyter.find_chromium()


def test_a_cells_error_fails_with_its_traceback(open_notebook):
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        open_notebook(["1 / 0", "'never run'"])


def test_audit_console_and_keyboard_find_planted_errors(open_notebook):
    notebook = open_notebook([CONTROLS])
    page = notebook.page
    assert notebook.errors == []
    with page.expect_console_message(lambda message: "404" in message.text), page.expect_event("pageerror"):
        page.evaluate("setTimeout(() => nowhere()); fetch('/no/such')")
    assert "nowhere is not defined" in "".join(notebook.errors) and "404" in "".join(notebook.errors)
    found = [line.split(" ")[0] for line in audit(page.locator(".jp-CodeCell").first.locator(".jp-OutputArea"))]
    assert found == ["aria-input-field-name", "color-contrast"]
    tab_to(page.get_by_label("name"))
    with pytest.raises(AssertionError, match="does not lead to"):
        tab_to(page.get_by_text("pale", exact=True), 5)


def test_a_page_that_is_too_wide_is_detected(open_static):
    page = open_static(ROOT / "notebooks" / "01_data.ipynb")
    box = "<section style='overflow:{}'><div style='width:2000px'>wide</div></section>"
    for how, scrolls, cut in (("auto", False, False), ("hidden", False, True), ("visible", True, True)):
        page.evaluate("box => document.body.insertAdjacentHTML('beforeend', box)", box.format(how))
        assert (overflow(page, 400) > 0, bool(cut_off(page.locator("section").last))) == (scrolls, cut), how


def test_the_project_is_a_copy_and_kernels_use_this_environment(open_notebook, lab):
    told = open_notebook(["import sys; print(sys.prefix)", "from mtdnn_kit.config import resolve; print(resolve('results/sample'))"])
    assert told.output("sys.prefix").inner_text().strip() == sys.prefix
    assert told.output("resolve").inner_text().strip() == str(lab.folder / "results" / "sample") and lab.folder != ROOT
    assert len(lab.call("GET", "api/kernels")) == 1
    lab.end_kernels()
    assert lab.call("GET", "api/kernels") == []
