"""Fixtures of the browser tests: one JupyterLab and one Chromium for all of them, and notebooks opened in them."""

import pytest
import warm
from playwright.sync_api import expect, sync_playwright

from browser import lab as jupyter
from browser import looks


@pytest.fixture(scope="package")
def browser():
    """Chromium. For this folder's tests alone: while playwright runs, its event loop stands in the way of other tests' own."""
    jupyter.find_chromium()
    expect.set_options(timeout=jupyter.PATIENCE)
    with sync_playwright() as playwright:
        chromium = jupyter.launch(playwright)
        yield chromium
        chromium.close()


@pytest.fixture(scope="package")
def lab(browser, python, tmp_path_factory):
    """A JupyterLab on a copy of the notebooks and the kept runs, whose kernels start warm."""
    with warm.kernels(python), jupyter.serve(tmp_path_factory.mktemp("lab")) as server:
        yield server


@pytest.fixture(scope="package")
def profile(browser):
    """What pages share: JupyterLab's scripts are loaded and compiled once. What they show comes from the server."""
    context = browser.new_context(viewport=jupyter.SIZE)
    context.set_default_timeout(jupyter.PATIENCE)
    yield context
    context.close()


@pytest.fixture
def page(profile):
    """An empty page, 1400 × 1000."""
    opened = profile.new_page()
    yield opened
    opened.close()


@pytest.fixture
def open_notebook(lab, page):
    """open_notebook(path or code cells, theme): a notebook of the served project, or one of these cells, open and run in JupyterLab."""

    def opened(what: str | list[str] = "notebooks/04_answers.ipynb", theme: str = "light") -> jupyter.Notebook:
        lab.theme(theme)
        notebook = jupyter.Notebook(lab, page, what if isinstance(what, str) else lab.put("test", what))
        notebook.watch()
        notebook.open()
        expect(page.locator("body")).to_have_attribute("data-jp-theme-light", "true" if theme == "light" else "false")
        notebook.run()
        return notebook

    yield opened
    lab.end_kernels()


@pytest.fixture
def open_static(page, tmp_path):
    """open_static(notebook's path, theme): the static page that nbconvert makes of it, open."""

    def opened(path, theme: str = "light"):
        page.goto(looks.static(path, tmp_path, theme).as_uri())
        return page

    return opened
