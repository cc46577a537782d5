"""The explorer as a single file: an HTML page that needs no kernel, network or other file, to open from disk or to send.

Its content security policy allows one script and one style sheet, by their hashes: nothing else can run or be loaded. It holds the answers
of each task as packed JSON, so that dataset text is never markup.
"""

import base64
import hashlib
from collections.abc import Sequence
from html import escape

from mtdnn_kit.explorer import front
from mtdnn_kit.explorer.answers_json import packed


def page(tasks: Sequence[dict], title: str) -> str:
    """The page of tasks (`answers_json.as_json`); it opens with the first."""
    script, style = front.module() + "\nboot();\n", front.style()
    policy = f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; base-uri 'none'; form-action 'none'"
    data = "".join(_block(one) for one in tasks)
    head = f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{policy}">'
    head += f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{escape(title)}</title><style>{style}</style>'
    body = f'<body class="mx-page">{data}<script type="module">{script}</script></body>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n{body}</html>\n'


def _block(task: dict) -> str:
    data = base64.b64encode(packed(task)).decode()
    return f'<script type="application/gzip" data-task="{escape(task["task"])}">{data}</script>\n'


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
