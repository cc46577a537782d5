"""Fixtures of the browser tests: one JupyterLab and one Chromium for all of them, and notebooks opened in them."""

import pytest
import warm
from conftest import ROOT
from playwright.sync_api import Page, expect, sync_playwright

from browser import lab as jupyter
from browser import looks
from browser.explored import KEPT, RUNS
from mtdnn_kit import Run, explore
from mtdnn_kit.data.registry import DATASETS
from mtdnn_kit.data.sources import load


@pytest.fixture(scope="package")
def browser():
    """Chromium. Only for this folder's tests: while playwright runs, its event loop blocks those of other tests."""
    jupyter.find_chromium()
    expect.set_options(timeout=jupyter.PATIENCE)
    with sync_playwright() as playwright:
        chromium = jupyter.launch(playwright)
        yield chromium
        chromium.close()


@pytest.fixture(scope="package")
def lab(browser, python, tmp_path_factory):
    """A JupyterLab on a copy of the notebooks and the kept runs, whose kernels are forked from a process with the imports done."""
    with warm.kernels(python), jupyter.serve(tmp_path_factory.mktemp("lab")) as server:
        yield server


@pytest.fixture(scope="package")
def profile(browser):
    """A browser context shared by all pages: JupyterLab's scripts are loaded and compiled once. Page content comes from the server."""
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
    """open_notebook(path or code cells, theme): a notebook of the served project, or one of these cells, opened and run in JupyterLab."""

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
    """open_static(notebook's path, theme): opens the static page that nbconvert makes of the notebook."""

    def opened(path, theme: str = "light"):
        page.goto(looks.static(path, tmp_path, theme).as_uri())
        return page

    return opened


@pytest.fixture(scope="package")
def saved(tmp_path_factory):
    """The explorer of the kept runs, saved as a file."""
    return explore(KEPT, live=False).save(tmp_path_factory.mktemp("saved") / "answers.html")


@pytest.fixture
def opened(page):
    """opened(file, theme, width): opens a file; fails if the page requests any other address or a script fails."""

    def go(file, theme: str = "light", width: int = 1440) -> Page:
        asked, wrong = [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        page.emulate_media(color_scheme=theme)
        page.set_viewport_size({"width": width, "height": 900})
        page.goto("about:blank")
        page.goto(file.as_uri())
        expect(page.locator(".mtdnn-explorer h2")).to_be_visible()
        page.wrong = wrong
        assert [url for url in asked if not url.startswith(("file:", "about:"))] == [] and wrong == []
        return page

    yield go
    assert getattr(page, "wrong", []) == []


@pytest.fixture(scope="package")
def kept() -> dict[str, dict]:
    """{name: n-best answers and metrics} of the kept runs on the sample's questions, read without the explorer's code."""
    runs = {name: Run(ROOT / "results/sample" / folder) for name, folder in RUNS.items()}
    return {name: {"nbest": list(run.nbest()), "metrics": run.metrics["squad"]} for name, run in runs.items()}


@pytest.fixture(scope="package")
def sample() -> list:
    return load("squad", DATASETS["squad"], "validation", "sample").rows
