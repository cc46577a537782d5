"""A study's page, HTML to be sent to someone: notebook 03 executed on its finished runs; or, without Jupyter, its report's sections."""

import base64
import re
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from html import escape
from pathlib import Path

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
STYLE = """:root{color-scheme:light dark} body{font:16px/1.5 sans-serif;max-width:75rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;display:block;overflow-x:auto} th,td{border-bottom:1px solid #8886;padding:.3rem .8rem;text-align:left}
img{max-width:100%;background:#fff}"""


def writing(folder: Path) -> AbstractContextManager[None]:
    """Held while tables and page are written into a study's folder: by one process at a time. Raises LockedError where another does."""
    return held(folder / ".page", "the page is written")


def write_page(study: str | Path, folder: Path, changes: dict | None = None, hours: float | None = None) -> Path:
    """Executes notebook 03 into the study's folder and writes study.html next to it, without the code; returns the page's path.

    study: the study file. hours: 0 reports the finished seeds if not all are. Otherwise all runs must be done; changes that were accepted
    before (`if_changed`) are accepted here. Raises StudyError with the notebook's error if it fails, and if there is no notebook;
    LockedError if another process is writing it.
    """
    made = folder / KEPT_NOTEBOOK
    parameters = {"study": str(study), "folder": str(folder), "changes": changes or {}, "if_changed": "keep", "hours": hours}
    from papermill import PapermillExecutionError

    with writing(folder):
        try:
            execute(project_notebook(PAGE_NOTEBOOK), made, parameters)
        except PapermillExecutionError as error:
            raise StudyError(f"The runs are done, but notebook 03 stopped: {error.ename}: {error.evalue} (see {made})") from None
        write_whole(folder / PAGE, as_page(made))
    return folder / PAGE


def as_page(notebook: Path) -> str:
    """An executed notebook without its code as a page that loads nothing and runs nothing: what a name or a text says stays text."""
    from nbconvert import HTMLExporter

    html, _ = HTMLExporter(exclude_input=True, exclude_input_prompt=True, exclude_output_prompt=True).from_filename(str(notebook))
    html = re.sub(r"<script\b.*?</script\s*>", "", html, flags=re.DOTALL | re.IGNORECASE)  # nbconvert's own: MathJax and others, from afar
    return re.sub(r"(<head\b[^>]*>)", rf"\1{POLICY}", html, count=1)


def write_plain_page(folder: Path, title: str, question: str, figures: Mapping[str, bytes], sections: Iterable[str]) -> Path:
    """Writes study.html without a notebook; its path. figures: by what they show, PNG. sections: of `report`, in Markdown."""
    shown = (f'<img alt="{escape(alt)}" src="data:image/png;base64,{base64.b64encode(image).decode()}">' for alt, image in figures.items())
    head = f'<meta charset="utf-8">{POLICY}<title>{escape(title)}</title><style>{STYLE}</style>'
    body = [f"<h1>{escape(title)}</h1><p>{escape(question)}</p>", *shown, *map(as_html, sections)]
    write_whole(folder / PAGE, f'<!DOCTYPE html><html lang="en"><head>{head}</head><body>{"".join(body)}</body></html>\n')
    return folder / PAGE


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
