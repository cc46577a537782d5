"""Layout and accessibility of a page: axe-core's audit, screenshots, width, Tab order; and a notebook as a static page.

axe-core (Deque, MPL 2.0) comes with the package axe-playwright-python; this project contains none of its code.
"""

from pathlib import Path

import nbformat
from axe_playwright_python.base import AXE_SCRIPT
from conftest import ROOT
from nbconvert import HTMLExporter
from playwright.sync_api import Locator, Page

SHOTS = ROOT / "build" / "screenshots"
GRAVE = ("serious", "critical")
CUT_OFF = """part => [...part.querySelectorAll('*')].filter(node => {
    const box = node.getBoundingClientRect()
    if (!box.width || !box.height || box.right <= document.documentElement.clientWidth + 1) return false
    for (let above = node.parentElement; above !== document.body; above = above.parentElement)
        if (/auto|scroll/.test(getComputedStyle(above).overflowX)) return false
    return true
}).map(node => node.outerHTML.slice(0, 200))"""


def audit(part: Locator) -> list[str]:
    """axe-core's serious and critical violations in a part of the page, one line per node: rule, impact, node, what is wrong.

    JupyterLab's body has height 0 and clips its overflow. axe would consider all text hidden and check no contrast, hence the body gets the
    window's height.
    """
    part.page.evaluate("document.body.style.minHeight = '100vh'")
    part.page.evaluate(AXE_SCRIPT)
    found = part.evaluate("node => axe.run(node, {resultTypes: ['violations']})")["violations"]
    nodes = [(rule["id"], node) for rule in found for node in rule["nodes"] if node["impact"] in GRAVE]
    return [f"{rule} ({node['impact']}) {node['html'][:200]}: {' '.join(node['failureSummary'].split())}" for rule, node in nodes]


def shot(what: Page | Locator, name: str) -> Path:
    """A full-length screenshot of a page or a part of it, in build/screenshots/NAME.png."""
    path = SHOTS / f"{name}.png"
    if isinstance(what, Locator):  # JupyterLab scrolls its notebook: a screenshot misses what is outside the window
        height = int(what.evaluate("node => node.scrollHeight"))
        what.page.set_viewport_size({"width": what.page.viewport_size["width"], "height": max(height + 400, 1000)})
        what.scroll_into_view_if_needed()
    what.screenshot(path=path, animations="disabled", **({"full_page": True} if isinstance(what, Page) else {}))
    return path


def overflow(page: Page, width: int) -> int:
    """Sets the window to `width`; returns by how many pixels the page is wider, i.e. scrolls sideways as a whole."""
    page.set_viewport_size({"width": width, "height": 1000})
    return page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")


def cut_off(part: Locator) -> list[str]:
    """The elements (as HTML) to the right of the window that only the page itself could scroll to."""
    return part.evaluate(CUT_OFF)


def tab_to(control: Locator, most: int = 60) -> int:
    """Presses Tab until the control has the focus; returns how often. Fails after `most` times."""
    for pressed in range(most):
        if control.evaluate("node => node === document.activeElement"):
            return pressed
        control.page.keyboard.press("Tab")
    raise AssertionError(f"pressing Tab {most} times does not lead to {control}")


def static(notebook: Path, folder: Path, theme: str = "light") -> Path:
    """Converts a saved notebook with nbconvert, in JupyterLab's "light" or "dark" theme; returns the page's file in `folder`."""
    page, _ = HTMLExporter(theme=theme).from_notebook_node(nbformat.read(notebook, 4))
    made = folder / f"{notebook.stem}-{theme}.html"
    made.write_text(page)
    return made
