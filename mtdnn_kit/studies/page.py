"""A study's page: notebook 03 executed on its finished runs, as HTML that can be sent to someone."""

import re
from pathlib import Path

from nbconvert import HTMLExporter
from papermill import PapermillExecutionError

from mtdnn_kit.errors import StudyError
from mtdnn_kit.files.atomic import write_whole
from mtdnn_kit.files.locks import held
from mtdnn_kit.studies.study import project_notebook
from mtdnn_kit.studies.worker import execute

PAGE_NOTEBOOK = "notebooks/03_ablations.ipynb"
POLICY = (
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:\">"
)
KEPT_NOTEBOOK, PAGE = "03_ablations.ipynb", "study.html"


def write_page(study: str | Path, folder: Path, changes: dict | None = None, hours: float | None = None) -> Path:
    """Executes notebook 03 into the study's folder and writes study.html beside it, without the code; the page's path.

    study: the study file. hours: 0 where not all seeds are done: it tells of those that are. Else all runs must be done: what was accepted
    before (`if_changed`) is accepted here. Raises StudyError with the notebook's error where it stops, and where there is no notebook;
    LockedError where another process is writing it.
    """
    made = folder / KEPT_NOTEBOOK
    parameters = {"study": str(study), "folder": str(folder), "changes": changes or {}, "if_changed": "keep", "hours": hours}
    with held(folder / ".page", "the page is written"):
        try:
            execute(project_notebook(PAGE_NOTEBOOK), made, parameters)
        except PapermillExecutionError as error:
            raise StudyError(f"The runs are done, but notebook 03 stopped: {error.ename}: {error.evalue} (see {made})") from None
        write_whole(folder / PAGE, as_page(made))
    return folder / PAGE


def as_page(notebook: Path) -> str:
    """An executed notebook without its code as a page that loads nothing and runs nothing: what a name or a text says stays text."""
    html, _ = HTMLExporter(exclude_input=True, exclude_input_prompt=True, exclude_output_prompt=True).from_filename(str(notebook))
    html = re.sub(r"<script\b.*?</script\s*>", "", html, flags=re.DOTALL | re.IGNORECASE)  # nbconvert's own: MathJax and others, from afar
    return re.sub(r"(<head\b[^>]*>)", rf"\1{POLICY}", html, count=1)
