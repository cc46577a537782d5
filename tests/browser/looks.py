"""How a page looks and who can use it: axe-core's audit, screenshots, width, the way by Tab; and a notebook as a static page.

axe-core (Deque, MPL 2.0) comes with the package axe-playwright-python; nothing of it is in this project.
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
    """axe-core's serious and critical violations in a part of the page: a line for each node: rule, impact, the node, what is wrong.

    JupyterLab's body has no height of its own and cuts off what overflows, so that axe would take all text for hidden and check no
    contrast: it gets the window's height.
    """
    part.page.evaluate("document.body.style.minHeight = '100vh'")
    part.page.evaluate(AXE_SCRIPT)
    found = part.evaluate("node => axe.run(node, {resultTypes: ['violations']})")["violations"]
    nodes = [(rule["id"], node) for rule in found for node in rule["nodes"] if node["impact"] in GRAVE]
    return [f"{rule} ({node['impact']}) {node['html'][:200]}: {' '.join(node['failureSummary'].split())}" for rule, node in nodes]


def shot(what: Page | Locator, name: str) -> Path:
    """A picture of a page or of a part of it, however long, in build/screenshots/NAME.png."""
    path = SHOTS / f"{name}.png"
    if isinstance(what, Locator):  # JupyterLab scrolls its notebook: what is outside its window is in no picture
        height = int(what.evaluate("node => node.scrollHeight"))
        what.page.set_viewport_size({"width": what.page.viewport_size["width"], "height": max(height + 400, 1000)})
        what.scroll_into_view_if_needed()
    what.screenshot(path=path, animations="disabled", **({"full_page": True} if isinstance(what, Page) else {}))
    return path


def overflow(page: Page, width: int) -> int:
    """By how many pixels the page is wider than a window of `width` (which it gets), so that it scrolls sideways as a whole."""
    page.set_viewport_size({"width": width, "height": 1000})
    return page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")


def cut_off(part: Locator) -> list[str]:
    """What of a part lies to the right of the window where nothing but the page itself would scroll to it: the elements, as HTML."""
    return part.evaluate(CUT_OFF)


def tab_to(control: Locator, most: int = 60) -> int:
    """Presses Tab until the control has the focus; how often. Fails where it never gets there."""
    for pressed in range(most):
        if control.evaluate("node => node === document.activeElement"):
            return pressed
        control.page.keyboard.press("Tab")
    raise AssertionError(f"{most} times Tab does not lead to {control}")


def static(notebook: Path, folder: Path, theme: str = "light") -> Path:
    """The page that nbconvert makes of a notebook as it is saved, in JupyterLab's "light" or "dark" theme; its file in `folder`."""
    page, _ = HTMLExporter(theme=theme).from_notebook_node(nbformat.read(notebook, 4))
    made = folder / f"{notebook.stem}-{theme}.html"
    made.write_text(page)
    return made
