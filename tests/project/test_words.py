"""Plain technical English: AVOIDED is the list of words and phrases that the project does not use, each with its replacement."""

import ast
import io
import re
import tokenize
from collections.abc import Callable
from functools import partial
from pathlib import Path

import errors
import nbformat
import pytest
from conftest import ROOT

COUNTED = "row|line|file|value|seed|task|device|panel|colour|record|batch|bar|cell|heading|folder|window|message|pass"
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
    rf"\b(a|one) ({COUNTED}) an? (?!time)\w+": "one row per …",
    r"\b(\w+.s|the) business of\b|\b\w+.s?.? business\b": "say who does it",
    r"\bbeside\b": "next to, besides, with",
    r"\banew\b": "again, from the start",
    r"\bmend(s|ed|ing)?\b": "fix, correct",
    r"\bof like (length|shape|kind)\b": "of similar length",
    r"\b(is|are) told\b|\btold of\b": "is shown, is reported",
    r"\bare others now\b|\bis another now\b": "has changed",
    r"\bwhat became of\b|\bwhat becomes of\b": "the result of",
    r"\bnothing of ours\b|\bthing of ours\b": "of the kit",
    r"\blest\b": "otherwise",
    r"\bways? of summing\b": "CPU kernel, order of sums",
    r"\b(is|are|was|were) said\b": "is reported",
    r"\bgone on\b|\bgo(es)? on bit for bit\b": "resumed, resumes",
    r"\bas if it never was\b": "equals the undisturbed one",
    r"\bmust bear\b": "must handle",
    r"\b(all|what) there is\b": "everything, name it",
    r"\bwhat (is|are|was|were) (told|said|meant|wanting|had)\b": "name it",
    r"\bof which there (is|are)\b|\bthat there (is|are) not\b": "that have, that does not exist",
    r"\bholds? nothing\b": "is empty, checks nothing",
    r"\bbut for\b": "except, up to (rounding)",
    r"\bin the caller.s place\b": "for the caller",
    r"\blets? expect\b": "suggests",
    r"\b(computes?|knows?) nothing that is\b": "computes no",
    r"\bsecond reckoning\b": "recomputation",
    r"\btoo bold\b": "rejects too often",
    r"\bmust not matter\b": "should have no effect",
    r"\ba coin(.s)?\b": "random",
}
UNCHANGED = (  # parameter files whose hash is recorded in a declaration or a kept study
    "parameters/minilm-local.yaml", "parameters/first-light/mixture.yaml", "parameters/ablations/minilm-mixtures.yaml",
)  # fmt: skip


def readers() -> dict[str, Callable[[], list[tuple[int, str]]]]:
    """{file: what gives its (line, text)}: strings and comments of the package, its front end, docstrings and comments of tests
    and benchmarks, names of tests, pages, notebooks' cells, comments of parameter files."""
    found = dict.fromkeys((ROOT / "mtdnn_kit").rglob("*.py"), of_python)
    found |= {path: of_checks for folder in ("tests", "benchmarks") for path in (ROOT / folder).rglob("*.py")}
    front = [path for kind in ("js", "css", "html") for path in (ROOT / "mtdnn_kit").rglob(f"*.{kind}")]
    found |= dict.fromkeys([*pages(), *front], of_page)
    found |= dict.fromkeys((ROOT / "notebooks").glob("*.ipynb"), of_notebook)
    found |= dict.fromkeys((ROOT / "parameters").rglob("*.yaml"), of_parameters)
    return {path.relative_to(ROOT).as_posix(): partial(read, path) for path, read in found.items()}


def of_page(path: Path) -> list[tuple[int, str]]:
    return list(enumerate(path.read_text().splitlines(), 1))


def of_notebook(path: Path) -> list[tuple[int, str]]:
    return [(number, cell.source) for number, cell in enumerate(nbformat.read(path, 4).cells, 1)]


def of_parameters(path: Path) -> list[tuple[int, str]]:
    return [(number, line.partition("#")[2]) for number, line in of_page(path)]


def pages() -> list[Path]:
    """The documents, and the Makefile."""
    named = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "Makefile", "benchmarks/README.md", "results/README.md")
    return [*(ROOT / "docs").glob("*.md"), *(ROOT / name for name in named)]


def of_checks(path: Path) -> list[tuple[int, str]]:
    """Docstrings, comments and the names of tests."""
    tree = ast.parse(path.read_text())
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    explained = [(getattr(node, "lineno", 1), ast.get_docstring(node) or "") for node in [tree, *functions]]
    names = [(node.lineno, node.name.replace("_", " ")) for node in functions if node.name.startswith("test_")]
    return [*explained, *names, *comments(path)]


def comments(path: Path) -> list[tuple[int, str]]:
    found = tokenize.generate_tokens(io.StringIO(path.read_text()).readline)
    return [(token.start[0], token.string) for token in found if token.type == tokenize.COMMENT]


def of_python(path: Path) -> list[tuple[int, str]]:
    strings = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return [*((node.lineno, node.value) for node in strings if " " in node.value), *comments(path)]


def avoided(text: str) -> list[str]:
    """The avoided phrases in a text, each with its replacement."""
    plain = " ".join(text.split())
    return [f"{found[0]!r}: {AVOIDED[pattern]}" for pattern in AVOIDED for found in re.finditer(pattern, plain)]


@pytest.mark.parametrize("file", sorted(set(readers()) - set(UNCHANGED)))
def test_a_text_uses_plain_words(file):
    assert [(line, said) for line, text in readers()[file]() if (said := avoided(text))] == []


def test_avoided_phrases_are_found():
    assert avoided("a parameter that cannot\nbe meant") == ["'cannot be meant': is invalid, is ambiguous"]
    assert avoided("a row a seed; a file of one's own") == ["\"one's own\": custom, the user's", "'a row a seed': one row per …"]
    assert avoided("There is no run; it is no longer here, and it is not a run.") == []
    assert {"mtdnn_kit/config.py", "tests/ties.py", "tests/balance/test_step.py", "benchmarks/gpu.py", "Makefile"} <= set(readers())


def test_messages_of_errors_are_read_with_variables_and_helper_functions_expanded():
    found = list(errors.messages())
    assert len(found) > 400 and {one.by for one in found} >= {"ConfigError", "DataError", "RunError", "require", "warn"}
    said = {one.text for one in found if one.file == "mtdnn_kit/data/sources.py"}
    assert any("there is no such folder. Set `data:` to a folder that holds" in text for text in said), "a local name"
    assert any("is a decoder, in which a token" in one.text for one in found), "an f-string within another"
    answers = [one.text for one in found if one.file == "mtdnn_kit/data/gold_answers.py"]
    assert any("should start at character" in text and " / " in text for text in answers), "a function with several results"
