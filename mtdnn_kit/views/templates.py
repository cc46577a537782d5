"""HTML from templates (Jinja): a file of macros next to a module defines the look, the module the content.

In a template, line breaks and indentation are only for readability, and `style` is the module of that name. Inserted values are escaped,
except HTML from a macro.
"""

from functools import cache
from typing import Any

from mtdnn_kit.files.paths import PACKAGE
from mtdnn_kit.views import style


class Html(str):
    """Text that a notebook shows as HTML, and that a template takes as such."""

    def _repr_html_(self) -> str:
        return str(self)

    __html__ = _repr_html_

    def __repr__(self) -> str:
        return f"Html({len(self)} characters)"


def macros(name: str) -> Any:
    """The macros of a template, a file below mtdnn_kit, e.g. "views/marks.html"; each returns the HTML of its arguments."""
    return _environment().get_template(name).module


@cache
def _environment() -> Any:
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    def source(name: str) -> str:
        return "".join(line.strip() for line in (PACKAGE / name).read_text(encoding="utf-8").splitlines())

    made = Environment(loader=FunctionLoader(source), autoescape=True, undefined=StrictUndefined)
    made.globals["style"] = style
    return made
