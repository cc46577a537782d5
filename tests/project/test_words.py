"""Plain technical English: AVOIDED is the list of words and phrases that the project does not use, each with its replacement."""

import ast
import io
import re
import tokenize
from functools import cache
from pathlib import Path

import errors
import nbformat
import pytest
from conftest import ROOT

AVOIDED = {  # pattern → what to write
    r"befall\w*": "happens to",
    r"can(not| no longer) be meant": "is invalid, is ambiguous",
    r"\bone.s own\b": "custom, the user's",
    r"reckon\w*": "compute",
    r"\b(makes|made) ready\b": "prepares",
    r"\bat hand\b": "available",
    r"\bhand(s|ed|ing)? on\b": "passes, exports",
    r"the same again": "say what is the same",
    r"\bhangs? on\b": "depends on",
    r"\bin vain\b": "without effect",
    r"\bhalf a (character|surrogate)|\bhalf surrogate": "an unpaired surrogate",
    r"\bwhoever\b|\bwhosoever\b": "the process that, the person who",
    r"\bof ours\b|\bof yours\b": "of the kit, yours",
    r"\b(be|are|is) had\b": "is available, can be loaded",
    r"\bnobody.s\b|\banybody.s\b": "say whose",
    r"\bis as it was\b|\bas it was before\b": "is unchanged",
    r"\bwhat there is of\b": "name it",
    r"\bgo(es)? on (with|from|where)\b": "resumes, continues",
    r"\bmay not be parted\b|\bparted by\b": "stays together, separated by",
    r"\bdrawn? anew\b|\bcount(ed)? anew\b|\bwrit(es|ten) anew\b": "reinitialise, recompute, rewrite",
    r"\bis none of (ours|these|those)\b": "is not one of",
    r"(?<!there )(?<!There )\bis no (?!longer|more|less|such|one\b|need)\w+": "is not a",
    r"\b(a|one) (row|line|file|value|seed|task|device|panel|colour) an? (?!time)\w+": "one row per …",
    r"\b(\w+.s|the) business of\b|\b\w+.s?.? business\b": "say who does it",
    r"\bbeside\b": "next to, besides, with",
    r"\banew\b": "again, from the start",
    r"\bmend(s|ed|ing)?\b": "fix, correct",
    r"\bof like (length|shape|kind)\b": "of similar length",
    r"\b(is|are) told\b|\btold of\b": "is shown, is reported",
    r"\bare others now\b|\bis another now\b": "has changed",
    r"\bwhat became of\b|\bwhat becomes of\b": "the result of",
    r"\bnothing of ours\b|\bthing of ours\b": "of the kit",
}
UNCHANGED = (  # parameter files whose hash is recorded in a declaration or a kept study
    "parameters/minilm-local.yaml", "parameters/first-light/mixture.yaml", "parameters/ablations/minilm-mixtures.yaml",
)  # fmt: skip


@cache
def texts() -> dict[str, list[tuple[int, str]]]:
    """{file: (line, text)}: strings and comments of the package, documents, notebooks' cells, comments of parameter files."""
    found = {path: of_python(path) for path in (ROOT / "mtdnn_kit").rglob("*.py")}
    found |= {path: list(enumerate(path.read_text().splitlines(), 1)) for path in [*(ROOT / "docs").glob("*.md"), ROOT / "README.md"]}
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        found[path] = [(number, cell.source) for number, cell in enumerate(nbformat.read(path, 4).cells, 1)]
    for path in (ROOT / "parameters").rglob("*.yaml"):
        found[path] = [(number, line.partition("#")[2]) for number, line in enumerate(path.read_text().splitlines(), 1)]
    return {path.relative_to(ROOT).as_posix(): lines for path, lines in found.items()}


def of_python(path: Path) -> list[tuple[int, str]]:
    source = path.read_text()
    strings = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    comments = [token for token in tokenize.generate_tokens(io.StringIO(source).readline) if token.type == tokenize.COMMENT]
    words = [(node.lineno, node.value) for node in strings if " " in node.value]
    return words + [(token.start[0], token.string) for token in comments]


def avoided(text: str) -> list[str]:
    """The avoided phrases in a text, each with its replacement."""
    plain = " ".join(text.split())
    return [f"{found[0]!r}: {AVOIDED[pattern]}" for pattern in AVOIDED for found in re.finditer(pattern, plain)]


@pytest.mark.parametrize("file", sorted(set(texts()) - set(UNCHANGED)))
def test_a_text_uses_plain_words(file):
    assert [(line, said) for line, text in texts()[file] if (said := avoided(text))] == []


def test_avoided_phrases_are_found():
    assert avoided("a parameter that cannot\nbe meant") == ["'cannot be meant': is invalid, is ambiguous"]
    assert avoided("a row a seed; a file of one's own") == ["\"one's own\": custom, the user's", "'a row a seed': one row per …"]
    assert avoided("There is no run; it is no longer here, and it is not a run.") == []


def test_every_error_is_printed():
    """With the variables and helper functions in its message expanded."""
    found = list(errors.messages())
    assert len(found) > 400 and {one.by for one in found} >= {"ConfigError", "DataError", "RunError", "require", "warn"}
    said = {one.text for one in found if one.file == "mtdnn_kit/data/sources.py"}
    assert any("there is no such folder. Set `data:` to a folder that holds" in text for text in said), "a local name"
    assert any("is a decoder, in which a token" in one.text for one in found), "an f-string within another"
    answers = [one.text for one in found if one.file == "mtdnn_kit/data/gold_answers.py"]
    assert any("should start at character" in text and " / " in text for text in answers), "a function with several results"
