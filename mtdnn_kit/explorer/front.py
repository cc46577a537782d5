"""The explorer's front end: the files of front/ as one ES module and one style sheet. Compiles nothing and downloads nothing.

Each file imports what it uses from the others, for its readers; joined in the order below, the files form one module without imports.
"""

import re
from functools import cache

from mtdnn_kit.files.paths import PACKAGE

FRONT = PACKAGE / "explorer" / "front"
FRONT_FILES = (
    *("dom", "data", "scores", "filters", "state", "moved"),
    *("list", "bar", "cards", "question", "share", "why", "edit", "threshold", "compare", "tabs"),
    *("actions", "keys", "main", "homes"),
)
_IMPORT = re.compile(r"^import .*;\n", re.M)
_EXPORT = re.compile(r"^export (?=async |function |const )", re.M)


@cache
def module() -> str:
    """The ES module; anywidget calls its default export, a standalone page calls `boot`."""
    parts = [_EXPORT.sub("", _IMPORT.sub("", (FRONT / f"{name}.js").read_text(encoding="utf-8"))) for name in FRONT_FILES]
    return "".join(parts)


@cache
def style() -> str:
    """The style sheet."""
    return (FRONT / "explorer.css").read_text(encoding="utf-8")
