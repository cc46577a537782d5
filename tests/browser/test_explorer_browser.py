"""The explorer in JupyterLab, in a real browser: notebook 04 runs, the keyboard is enough, axe finds nothing grave, text stays text."""

import pytest
from conftest import ROOT
from playwright.sync_api import expect

from browser.looks import audit, cut_off, overflow, shot, tab_to

NOTEBOOK = ROOT / "notebooks" / "04_answers.ipynb"
THEMES = ("light", "dark")
EVIL = '<script>window.pwned=1</script><img src=x onerror="window.pwned=1">'
HOSTILE = f"""
from IPython.display import HTML, display
from mtdnn_kit.compare import Question, Reply
from mtdnn_kit.explorer.widgets import explore
from mtdnn_kit.rows import QARow

evil = {EVIL!r}
reply = Reply(0, len(evil), evil, 0.5, 0.0, 0.0, 0.3, [(0, len(evil), 0.5)])
row = QARow("1" + evil, "A title" + evil, evil + " and more", "What?" + evil, ((0, evil),))
questions = [Question(row, {{"one" + evil: reply, "two" + evil: Reply(None, None, "", 0.5, 0.0, 0.0, 0.5, [])}})]"""


def test_notebook_04_shows_the_widget_and_no_error(open_notebook):
    notebook = open_notebook()
    view = notebook.output("explore(")
    expect(view.get_by_label("show")).to_have_value("answers differ (44)")
    expect(view.get_by_role("button", name="forward")).to_be_enabled()
    shot(notebook.page, "explorer-page")
    assert notebook.errors == []


def test_the_keyboard_alone_changes_the_filter_and_the_question(open_notebook):
    """Bare arrows are no way: JupyterLab takes them from a dropdown, to go to another cell. Space opens its list, which has them."""
    view = open_notebook().output("explore(")
    keyboard, filters, question = view.page.keyboard, view.get_by_label("show"), view.locator("b[dir=auto]")
    differing = question.inner_text()
    tab_to(filters)
    for key in ("Space", "ArrowDown", "ArrowDown", "Enter"):
        keyboard.press(key)
    expect(filters).to_have_value("all wrong (40)")
    expect(question).not_to_have_text(differing)
    first = question.inner_text()
    tab_to(view.get_by_role("button", name="forward"))
    keyboard.press("Enter")
    expect(question).not_to_have_text(first)
    expect(view.get_by_label("question")).to_have_value(f"2. {question.inner_text()}")


@pytest.mark.parametrize("theme", THEMES)
def test_axe_finds_nothing_grave(open_notebook, theme):
    view = open_notebook(theme=theme).output("explore(")
    shot(view, f"explorer-{theme}")
    assert audit(view) == []


def test_text_from_data_is_never_executed(open_notebook):
    shown = ["explore(questions, live=True)", "explore(questions, live=False)"]
    page = (notebook := open_notebook([HOSTILE, *shown, "HTML('<img src=x onerror=\"window.could=1\">')"])).page
    page.wait_for_function("window.could === 1")  # the page would have
    for cell in shown:
        view = notebook.output(cell)
        expect(view).to_contain_text(EVIL)
        assert view.locator("script, img").count() == 0
        shot(view, f"hostile-{'live' if 'True' in cell else 'static'}")
    assert page.evaluate("window.pwned") is None


@pytest.mark.parametrize("theme", THEMES)
def test_the_saved_notebook_is_a_page_without_scripts_that_fits_its_window(open_static, theme):
    page = open_static(NOTEBOOK, theme)
    assert page.locator(".jp-Notebook script, .jp-OutputArea script, [onclick], [onerror], [onload]").count() == 0
    for width in (1000, 400):
        assert overflow(page, width) == 0, f"the page scrolls sideways in a window of {width} pixels"
        assert [cut for area in page.locator(".jp-OutputArea").all() for cut in cut_off(area)] == []
        shot(page, f"static-{theme}-{width}")
