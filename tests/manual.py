"""The manual's pages, as the tests parse them: code blocks, commands, links and anchors; and how the tests treat each command.

A command is in a block without a language. It is listed in RUN (tests/project/test_commands.py runs them in this order), or in NOT_RUN with
the reason and, where one exists, the test that covers it.
"""

import re
from functools import cache
from pathlib import Path

from conftest import ROOT

README = ROOT / "README.md"
DOCS = sorted((ROOT / "docs").glob("*.md"))
TOLD = [README, ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *DOCS]  # written by hand, except docs/api.md; their code runs
PAGES = [*TOLD, ROOT / "CHANGELOG.md", ROOT / "benchmarks" / "README.md", *sorted((ROOT / "results").glob("**/*.md"))]
LOCAL = ".venv/bin/mtdnn train parameters/minilm-local.yaml --set data=FOLDER"
MNLI = f"{LOCAL} --set 'tasks=[mnli]' --set qa_weight=1.0 --set 'threshold_articles=[]'"
TWO = "-m mtdnn_kit train parameters/minilm.yaml --set run_dir=runs/two"
SHORT = "-p max_steps 2 -p eval_limit 3 -p train_limit 40"
RUN = {  # command → arguments to append, which keep it short; in a copy of the project whose demo is two runs of two steps
    ".venv/bin/papermill notebooks/01_data.ipynb data.ipynb -f parameters/demo.yaml": "--log-level ERROR",
    ".venv/bin/papermill notebooks/02_train.ipynb train.ipynb -f parameters/demo.yaml -p run_dir runs/other": SHORT,
    'make study STUDY=parameters/ablations/demo.yaml ARGS="--workers 2"': "",
    ".venv/bin/mtdnn study parameters/ablations/demo.yaml --dry-run": "",
    ".venv/bin/papermill notebooks/03_ablations.ipynb study.ipynb -p study parameters/ablations/demo.yaml": "",
    '.venv/bin/papermill notebooks/04_answers.ipynb answers.ipynb -y "runs: [runs/demo/qa, runs/demo/qa-mcc-sc]"': "",
    ".venv/bin/mtdnn explore runs/demo/qa runs/demo/qa-mcc-sc --out answers.html": "",
    ".venv/bin/mtdnn --help": "",
}
NOT_RUN = {
    "make demo": "takes minutes; its parts are the notebooks (nbval), `make study` and papermill, which run",
    "make test": "is what runs the tests",
    "make quick": "is part of `make test`",
    "make env": "makes the environment that the tests run in",
    ".venv/bin/mtdnn train parameters/demo.yaml --set run_dir=runs/third": "tests/training/test_distributed.py trains by the same verb",
    "make lab": "serves until it is stopped: test_make_lab starts it",
    "git clone … && cd mtdnn-kit": "the project knows no address",
    ".venv/bin/papermill notebooks/02_train.ipynb base.ipynb -f parameters/bert-base.yaml -p run_dir runs/base": "needs the hub and a GPU",
    "make study STUDY=parameters/ablations/table-2.yaml": "needs the hub and a GPU; tests/studies/test_studies.py checks its parameters",
    f".venv/bin/accelerate launch --multi_gpu --num_processes 2 {TWO}": "two GPUs; tests/training/test_distributed.py has two processes",
    f".venv/bin/torchrun --nproc_per_node 2 {TWO}": "needs the hub; tests/training/test_distributed.py launches two processes",
    ".venv/bin/python -m mtdnn_kit.launch parameters/minilm.yaml --processes 2 --set run_dir=runs/two": "the same",
    ".venv/bin/mtdnn rerun runs/demo/qa runs/again": "tests/inference/test_rerunning.py makes a run again",
    ".venv/bin/mtdnn rerun results/minilm-mixtures/runs/qa-seed-0 runs/kept-again --data my/data": "needs the data, and an hour",
    ".venv/bin/mtdnn score runs/demo/qa runs/demo/qa-mcc --data my/folder": "the reader's rows; tests/inference/test_scoring.py has some",
    ".venv/bin/mtdnn score runs/demo/qa --define my/sets.yaml --task squad": "the same",
    ".venv/bin/mtdnn study parameters/ablations/question.yaml --set data=FOLDER": "a GPU for a day; test_sharing.py shares a small one",
    ".venv/bin/mtdnn train my/parameters.yaml --set run_dir=runs/tickets": "the reader's file; tests/data/test_my_data.py trains on some",
    ".venv/bin/mtdnn merge runs/demo/qa runs/demo/qa-sc --method ties --weight 0.5 --weight 1 --run-dir runs/merged": (
        "tests/inference/test_merging.py merges by the same verb"
    ),
    ".venv/bin/mtdnn affinity parameters/demo.yaml": "takes minutes; tests/inference/test_affinity.py ranks by the same verb",
    f"{MNLI} --set run_dir=runs/first": "needs the data; tests/balance/test_anchors.py anchors to a run",
    f"{LOCAL} --set init_from=runs/first --set 'anchor={{to: runs/first, kind: ewc, strength: 1e5, rows: 200}}'": "the same",
    ".venv/bin/mtdnn data my/tickets.csv": "a file of the reader's; tests/data/test_draft.py gives it files",
}
IN_PLACE = {  # page → {what only a reader has: what the tests use instead}; a line that is left out has the reason
    "docs/trained-models.md": {
        "runs/demo/qa-mcc-sc": "runs/mine",
        'data="my/folder")': 'data="sample")',
        'import_run("deepset/roberta-base-squad2", "runs/deepset", data="my/folder", max_length=384, overlap=128)': "",
        # needs the hub; tests/inference/test_importing.py imports an exported model
    },
}


def said(path: Path) -> str:
    """A page's path within the project."""
    return path.relative_to(ROOT).as_posix()


@cache
def blocks(path: Path) -> list[tuple[str, str]]:
    """The code blocks of a page, (language, text); "" is the language of commands."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", path.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def of_kind(path: Path, kind: str) -> list[str]:
    """The blocks of one language."""
    return [block for language, block in blocks(path) if language == kind]


def commands(path: Path) -> list[str]:
    """Each command on a page."""
    return [line.split("  #")[0].strip() for block in of_kind(path, "") for line in block.splitlines() if line.strip()]


def python(path: Path) -> tuple[list[str], dict[str, str]]:
    """The Python code to run; and {block: the file that it is from, which its first line names}."""
    some = of_kind(path, "python")
    taken = {block: first[1] for block in some if (first := re.match(r"# (\S+\.py)\n", block)) and (ROOT / first[1]).is_file()}
    return [block for block in some if block not in taken], taken


def prose(path: Path) -> str:
    """A page without its code blocks."""
    return re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def links(path: Path) -> list[str]:
    """Targets of links and pictures within the project."""
    plain = re.sub(r"`[^`\n]+`", "", prose(path))
    found = re.findall(r"\]\(\s*([^)\s]+)\s*\)", plain) + re.findall(r'\b(?:src|srcset|href)="([^"]+)"', plain)
    return [link for link in found if not re.match(r"[a-z]+:", link)]


@cache
def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub generates them: lower case, no punctuation, hyphens for spaces, numbered if repeated."""
    found: set[str] = set()
    for heading in re.findall(r"^#{1,6} (.+)$", prose(path), re.MULTILINE):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
        slug = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        number = next(n for n in range(100) if (f"{slug}-{n}" if n else slug) not in found)
        found.add(f"{slug}-{number}" if number else slug)
    return found
