"""A real JupyterLab and a notebook open in it: the base of the browser tests. Nothing here is specific to the explorer.

The server has separate folders for settings, kernels' files and workspaces, and serves a copy of what notebooks need: no test changes a
committed file. The browser is Debian's Chromium; it resolves no host but 127.0.0.1, hence nothing comes from the network.
"""

import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
import pytest
from conftest import ROOT
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Playwright, expect

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
PATIENCE = int(
    os.environ.get("MTDNN_PATIENCE", 300_000)
)  # ms to wait for anything: a busy machine is slow, and a passing test never waits this long
PLACES = (  # environment variables for the folders that Jupyter reads and writes
    "JUPYTER_CONFIG_DIR",
    "JUPYTER_DATA_DIR",
    "JUPYTER_RUNTIME_DIR",
    "JUPYTERLAB_SETTINGS_DIR",
    "JUPYTERLAB_WORKSPACES_DIR",
    "IPYTHONDIR",
)
SIZE = {"width": 1400, "height": 1000}
QUIET = {  # JupyterLab's settings: no prompts, no notifications, no automatic saves
    "apputils-extension/notification": {"checkForUpdates": False, "fetchNews": "false", "doNotDisturbMode": True},
    "docmanager-extension/plugin": {"autosave": False},
}
CELLS = "jupyterapp.shell.currentWidget.content.model.sharedModel.toJSON().cells.filter(cell => cell.cell_type === 'code')"
ERRORS = f"{CELLS}.flatMap(cell => cell.outputs).filter(output => output.output_type === 'error')"
FINISHED = f"{ERRORS}.length > 0 || {CELLS}.every(cell => cell.execution_count)"


def find_chromium() -> str:
    """Path of the browser. Without one the test is skipped, but fails in CI, where a browser is required."""
    found = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if not found:
        stop = pytest.fail if os.environ.get("CI") else pytest.skip
        stop(f"no browser: none of {', '.join(PROGRAMS)} is in PATH (Debian: apt install chromium)")
    return found


def launch(playwright: Playwright) -> Browser:
    """A headless Chromium that can reach only this machine."""
    alone = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
    return playwright.chromium.launch(executable_path=find_chromium(), args=[alone])


@dataclass
class Lab:
    """A running server: address, token, the served folder (laid out like the project), the settings folder."""

    address: str
    token: str
    folder: Path
    settings: Path

    def put(self, name: str, cells: list[str]) -> str:
        """Writes notebooks/NAME.ipynb with these code cells; returns its path below the served folder."""
        kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        made = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(cell, id=f"c{i}") for i, cell in enumerate(cells)], metadata=kernel
        )
        nbformat.write(made, self.folder / "notebooks" / f"{name}.ipynb")
        return f"notebooks/{name}.ipynb"

    def theme(self, name: str) -> None:
        """Sets the theme, "light" or "dark", of pages opened from now on."""
        self.set("apputils-extension/themes", {"theme": f"JupyterLab {name.title()}"})

    def set(self, plugin: str, settings: dict) -> None:
        """Writes a plugin's settings, as JupyterLab's settings editor would."""
        file = self.settings / "@jupyterlab" / f"{plugin}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(settings))

    def end_kernels(self) -> None:
        """Ends every notebook's kernel."""
        for session in self.call("GET", "api/sessions"):
            self.call("DELETE", f"api/sessions/{session['id']}")

    def call(self, method: str, path: str) -> list | dict | None:
        """Sends a request to the server's REST interface; returns the reply."""
        asked = urllib.request.Request(f"{self.address}/{path}", method=method, headers={"Authorization": f"token {self.token}"})
        with urllib.request.urlopen(asked, timeout=PATIENCE / 1000) as reply:
            text = reply.read()
        return json.loads(text) if text else None


@contextmanager
def serve(home: Path) -> Iterator[Lab]:
    """Runs this environment's JupyterLab in folders below `home`; stops it and its kernels at the end."""
    folder, token = home / "project", secrets.token_hex(16)
    for name in ("notebooks", "results/sample"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    shutil.copy(ROOT / "pyproject.toml", folder)  # relative paths of runs start at its folder
    places = {name: str(home / name.lower()) for name in PLACES}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = {"ServerApp.ip": "127.0.0.1", "ServerApp.port": port, "ServerApp.root_dir": folder, "LabApp.expose_app_in_browser": True}
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", *(f"--{name}={value}" for name, value in options.items())]
    command += ["--allow-root"] if os.getuid() == 0 else []
    log = home / "server.log"
    with log.open("wb") as out:
        server = subprocess.Popen(command, env={**os.environ, **places, "JUPYTER_TOKEN": token}, stdout=out, stderr=out)
    try:
        address = _address(server, Path(places["JUPYTER_RUNTIME_DIR"]), log)
        lab = Lab(address, token, folder, Path(places["JUPYTERLAB_SETTINGS_DIR"]))
        for plugin, settings in QUIET.items():
            lab.set(plugin, settings)
        yield lab
        lab.end_kernels()
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _address(server: subprocess.Popen, runtime: Path, log: Path) -> str:
    """Waits until the server listens; returns its address. The port may differ from the requested one if that was taken meanwhile."""
    file = runtime / f"jpserver-{server.pid}.json"
    deadline = time.monotonic() + PATIENCE / 1000
    while not file.exists() or not file.read_text().strip():
        assert server.poll() is None and time.monotonic() < deadline, f"JupyterLab does not start:\n{log.read_text()[-3000:]}"
        time.sleep(0.05)
    return f"http://127.0.0.1:{json.loads(file.read_text())['port']}"


@dataclass
class Notebook:
    """A notebook open in JupyterLab; `errors`: errors in the page's console, and uncaught ones of scripts."""

    lab: Lab
    page: Page
    path: str
    errors: list[str] = field(default_factory=list)

    def open(self) -> None:
        """Loads or reloads the page with a new kernel; waits until the kernel is ready."""
        self.lab.end_kernels()
        cells = nbformat.read(self.lab.folder / self.path, 4).cells
        self.page.goto(f"{self.lab.address}/lab/tree/{self.path}?reset&token={self.lab.token}")
        expect(self.page.locator(".jp-Notebook .jp-Cell")).to_have_count(len(cells))
        expect(self.page.locator(".jp-StatusBar-Left")).to_contain_text("| Idle")

    def run(self) -> None:
        """Clears all outputs, runs all cells and waits for the last one. If a cell fails, fails with its traceback."""
        self.choose("Edit", "Clear Outputs of All Cells")
        self.choose("Run", "Run All Cells")
        self.page.wait_for_function(FINISHED)
        failed = self.page.evaluate(ERRORS)
        assert not failed, re.sub(r"\x1b\[[\d;]*m", "", "\n".join(failed[0]["traceback"]))

    def choose(self, menu: str, item: str) -> None:
        """Clicks an item of JupyterLab's main menu."""
        self.page.get_by_role("menuitem", name=menu, exact=True).click()
        self.page.get_by_role("menuitem", name=item, exact=True).click()

    def output(self, text: str = "explore(") -> Locator:
        """The output area of the last code cell whose source has `text`, scrolled into view."""
        cell = self.page.locator(".jp-Notebook .jp-CodeCell").filter(has=self.page.locator(".jp-InputArea", has_text=text)).last
        area = cell.locator(".jp-OutputArea-output").last
        area.scroll_into_view_if_needed()
        return area

    def watch(self) -> None:
        """Records the page's errors from now on."""
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(f"{message.text} ({message.location.get('url', '')})")
