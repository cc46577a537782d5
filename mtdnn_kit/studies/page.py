"""A study's page, HTML to be sent to someone: notebook 03 executed on its finished runs; or, without Jupyter, its report's sections.

Both have one head and one look (page.css): light and dark, and on A4 paper.
"""

import base64
import re
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from html import escape
from pathlib import Path

from mtdnn_kit.errors import StudyError
from mtdnn_kit.files.atomic import write_whole
from mtdnn_kit.files.locks import held
from mtdnn_kit.studies.study import project_notebook, read_study
from mtdnn_kit.studies.worker import execute

PAGE_NOTEBOOK = "notebooks/03_ablations.ipynb"
POLICY = (
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:\">"
)
KEPT_NOTEBOOK, PAGE, EXPLORER_PAGE = "03_ablations.ipynb", "study.html", "answers.html"
STYLE = Path(__file__).with_name("page.css")
SKIPPED = "page-skip"  # tags the notebook's cells that a page leaves out: parameters, the losses of the runs, where files are
_SCRIPT = re.compile(r"<script\b.*?</script\s*>", re.DOTALL | re.IGNORECASE)


def writing(folder: Path) -> AbstractContextManager[str | None]:
    """A lock for writing tables and page into a study's folder. Raises LockedError if another process holds it."""
    return held(folder / ".page", "the page is being written")


def write_page(study: str | Path, folder: Path, changes: dict | None = None, hours: float | None = None, if_changed: str = "keep") -> Path:
    """Executes notebook 03 into the study's folder and writes study.html next to it, without the code; returns the page's path.

    study: the study file. hours: 0 reports the finished seeds if not all are; with `if_changed="redo"`, without the seeds that are still to
    be redone. Otherwise all runs must be done; changes that were accepted before are accepted here. Raises StudyError with the notebook's
    error if it fails, and if there is no notebook; LockedError if another process is writing it.
    """
    made = folder / KEPT_NOTEBOOK
    parameters = {"study": str(study), "folder": str(folder), "changes": changes or {}, "if_changed": if_changed, "hours": hours}
    from papermill import PapermillExecutionError

    with writing(folder):
        try:
            execute(project_notebook(PAGE_NOTEBOOK), made, parameters)
        except PapermillExecutionError as error:
            raise StudyError(f"The runs are done, but notebook 03 stopped: {error.ename}: {error.evalue} (see {made})") from None
        of = read_study(study)
        write_whole(folder / PAGE, as_page(made, of.name, of.question))
    return folder / PAGE


def as_page(notebook: Path, title: str = "study", question: str = "") -> str:
    """An executed notebook as a page that loads nothing and runs nothing: its outputs, and at the end its code, folded. Names and texts are
    escaped."""
    import nbformat
    from nbconvert import HTMLExporter

    whole = nbformat.read(notebook, 4)
    code = "\n\n".join(cell.source for cell in whole.cells if cell.cell_type == "code")
    whole.cells = [cell for cell in whole.cells if SKIPPED not in cell.metadata.get("tags", ())]
    body, _ = HTMLExporter(
        template_name="basic", exclude_input=True, exclude_input_prompt=True, exclude_output_prompt=True, exclude_anchor_links=True
    ).from_notebook_node(whole)
    folded = f"<details><summary>The code of this page, notebook 03</summary><pre>{escape(code)}</pre></details>"
    return _page(notebook.parent, title, question, _SCRIPT.sub("", body) + folded)


def write_plain_page(
    folder: Path, title: str, question: str, figures: Mapping[str, bytes], sections: Iterable[str], verdict: str = ""
) -> Path:
    """Writes study.html without a notebook; returns its path. figures: description → PNG. sections: of `report`, in Markdown."""
    shown = (
        f'<div class="output_png"><img alt="{escape(alt)}" src="data:image/png;base64,{base64.b64encode(image).decode()}"></div>'
        for alt, image in figures.items()
    )
    said = f'<p class="verdict">{escape(verdict)}</p>' if verdict else ""
    write_whole(folder / PAGE, _page(folder, title, question, "".join([said, *shown, *map(as_html, sections)])))
    return folder / PAGE


def _page(folder: Path, title: str, question: str, body: str) -> str:
    """A whole page; with a link to the explorer's file if that is next to it."""
    head = f'<meta charset="utf-8">{POLICY}<meta name="viewport" content="width=device-width, initial-scale=1">'
    head += f"<title>{escape(title)}</title><style>{STYLE.read_text(encoding='utf-8')}</style>"
    link = f'<p><a href="{EXPLORER_PAGE}">The answers of the models, side by side</a></p>' if (folder / EXPLORER_PAGE).is_file() else ""
    top = f'<header><h1>Study: {escape(title)}</h1><p class="question">{escape(question)}</p>{link}</header>'
    return f'<!DOCTYPE html><html lang="en"><head>{head}</head><body>{top}<main>{body}</main></body></html>\n'


def as_html(text: str) -> str:
    """A report's Markdown (only headings, tables, lists and paragraphs) as HTML; names stay text."""
    return "".join(_block(block.splitlines()) for block in re.split(r"\n{2,}|(?<=\|)\n(?!\|)", text) if block.strip())


def _block(lines: list[str]) -> str:
    first = lines[0]
    if first.startswith("## "):
        return f"<h2>{_text(first[3:])}</h2>" + (_block(lines[1:]) if lines[1:] else "")
    if first.startswith("| "):
        cells = [line.removeprefix("| ").removesuffix(" |").split(" | ") for line in (first, *lines[2:])]
        rows = [
            f"<tr>{''.join(f'<{tag}>{_text(cell)}</{tag}>' for cell in row)}</tr>"
            for row, tag in zip(cells, ["th", *["td"] * len(cells)], strict=False)
        ]
        return f"<table>{''.join(rows)}</table>"
    if first.startswith("- "):
        return f"<ul>{''.join(f'<li>{_text(line[2:])}</li>' for line in lines)}</ul>"
    return f"<p>{_text(' '.join(lines))}</p>"


def _text(said: str) -> str:
    """Markdown text without its escaping backslashes."""
    return escape(re.sub(r"\\([\\`*<>|$~&_(])", r"\1", said))
