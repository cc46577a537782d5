"""The layout and the import rule (design, "The way through the house"), read from the files."""

import ast
import sys
from functools import cache

import pytest
from conftest import ROOT

PACKAGE = ROOT / "mtdnn_kit"
# Each module and what of ours it may import: data flows one way.
ALLOWED = {
    "registry": "values",
    "definitions": "registry values",
    "fields": "definitions jsons registry values",
    "golds": "fields registry",
    "readers": "fields jsons values",
    "splitting": "fields registry",
    "values": "",
    "yamls": "",
    "jsons": "",
    "metrics": "",
    "thresholds": "metrics",
    "columns": "",
    "cache": "columns",
    "spans": "columns",
    "decoding": "",
    "edits": "",
    "rows": "jsons registry values fields golds",
    "rowlist": "columns rows",
    "config": "registry values yamls definitions",
    "folders": "",
    "links": "values",
    "runs": "config folders links registry jsons runfiles yamls shown",
    "nbest": "runs jsons",
    "hub": "registry rows",
    "encoders": "config hub",
    "shown": "",
    "devices": "config",
    "locks": "",
    "sources": "cache hub registry rowlist rows values columns fields readers splitting",
    "runfiles": "values",
    "slices": "metrics rows",
    "tasks.padding": "",
    "tasks.labels": "metrics rowlist",
    "tasks.sc": "columns rowlist rows tasks.labels tasks.padding",
    "tasks.mcc": "columns rowlist rows tasks.labels tasks.padding tasks.sc",
    "tasks.answers": "decoding metrics rows thresholds",
    "tasks.qa": "columns decoding rowlist rows spans tasks.answers tasks.padding",
    "tasks": "registry rowlist rows tasks",
    "batches": "",
    "sampler": "batches shown",
    "dropout": "",
    "norms": "",
    "model": "dropout encoders norms spans tasks",
    "optim": "",
    "parallel": "batches config",
    "preparation": "cache config parallel registry rowlist runs encoders sources tasks batches sampler model",
    "evaluation": "folders config registry runs rows tasks model",
    "asking": "encoders registry compare config devices evaluation model rows runs spans tasks",
    "salience": "asking spans tasks",
    "predictor": "asking compare config evaluation model rows runs tasks",
    "calls": "",
    "cards": "calls config encoders registry runs",
    "exports": "asking cards config folders model runs",
    "checkpoints": "folders runs model optim",
    "guards": "folders runs preparation",
    "space": "checkpoints preparation runs",
    "trackers": "config runs",
    "recorder": "guards runs preparation progress trackers",
    "imports": "folders config devices encoders evaluation metrics model preparation rows runs",
    "interference": "batches preparation",
    "gradients": "preparation tasks",
    "graphs": "config gradients preparation",
    "training": "checkpoints config devices evaluation folders gradients graphs guards interference locks model odd optim parallel "
    "preparation recorder runs space trackers",
    "launch": "config encoders guards locks odd parallel rows runs training",
    "paper": "",
    "baseline": "rows",
    "compare": "config runfiles metrics registry rows runs sources",
    "choices": "compare registry rows runfiles runs",
    "significance": "",
    "seeds": "",
    "differences": "compare metrics outcomes rows seeds significance slices thresholds",
    "keeping": "compare config folders runs variants",
    "heldout": "asking config encoders evaluation folders model preparation rows runs tables tasks",
    "report_tables": "compare differences outcomes paper rows runs seeds",
    "report": "compare config differences folders keeping paper report_tables rows runs studies study_plots tables variants",
    "tables": "folders baseline compare differences metrics paper registry rows runs",
    "overview": "metrics preparation rows slices spans tasks odd",
    "odd": "cache columns config metrics preparation rowlist rows spans tasks",
    "plots": "optim",
    "study_plots": "plots",
    "answer_plots": "compare metrics plots slices thresholds",
    "variants": "values",
    "studies": "config paper values variants yamls runs shown",
    "standing": "config encoders jsons registry runs sources",
    "worker": "config folders locks runs standing training",
    "engines": "config runs",
    "progress": "runs shown",
    "running": "config engines locks progress runs standing studies links",
    "planning": "batches config preparation progress runs standing training shown",
    "page": "folders config runs studies worker",
    "__main__": "config encoders rows locks progress running standing studies planning page yamls",
    "outcomes": "choices compare metrics rows",
    "lookup": "choices compare outcomes rows slices",
    "marks": "plots",
    "curves": "marks plots",
    "favourites": "folders locks runs jsons",
    "takeaway": "choices compare",
    "explorer": "",
    "explorer.state": "choices compare lookup nbest outcomes registry runs",
    "explorer.html": "choices compare curves explorer.state marks metrics outcomes paper shown",
    "explorer.panels": "asking compare differences edits explorer.html explorer.state favourites folders locks marks registry rows runs "
    "salience tables takeaway",
    "explorer.widgets": "compare explorer.html explorer.panels explorer.state favourites lookup marks runs",
    "__init__": "asking config exports imports predictor preparation registry runs training",
}
ONLY = {
    "ipywidgets": {"explorer.panels", "explorer.widgets"},
    "matplotlib": {"plots", "study_plots", "answer_plots"},
    "IPython": {"plots", "progress", "study_plots"},
    "papermill": {"worker", "page"},
    "nbconvert": {"page"},
    "ray": {"engines"},
    "datasets": {"sources", "hub"},
    "pyarrow": {"readers"},
}


@cache
def modules() -> dict[str, ast.Module]:
    found = {}
    for path in PACKAGE.rglob("*.py"):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        found[name.removesuffix(".__init__") or name] = ast.parse(path.read_text())
    return found


def imports(tree: ast.AST) -> set[str]:
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports name the package"
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("name", modules())
def test_imports_go_one_way(name):
    ours = {i.removeprefix("mtdnn_kit.") for i in imports(modules()[name]) if i.startswith("mtdnn_kit.")}
    ours = {i for i in ours if i in ALLOWED}
    assert ours <= {part for allowed in ALLOWED[name].split() for part in (allowed, *(m for m in ALLOWED if m.startswith(f"{allowed}.")))}


def test_the_table_is_the_package_and_has_no_cycle():
    assert set(modules()) == set(ALLOWED)
    done: set[str] = set()
    left = {name: {part for part in allowed.split() if part != name} for name, allowed in ALLOWED.items()}
    while left:
        free = [name for name, needs in left.items() if needs <= done]
        assert free, f"a cycle among {sorted(left)}"
        done |= set(free)
        left = {name: needs for name, needs in left.items() if name not in free}


@pytest.mark.parametrize("library", ONLY)
def test_a_library_is_imported_where_it_belongs(library):
    users = {name for name, tree in modules().items() if any(i.split(".")[0] == library for i in imports(tree))}
    assert users <= ONLY[library]


def test_datasets_is_imported_only_to_reach_the_hub():
    tree = modules()["hub"]
    assert not any(i.split(".")[0] == "datasets" for node in tree.body for i in imports(node) if not isinstance(node, ast.FunctionDef))


def test_pyarrow_is_imported_only_to_read_parquet():
    tree = modules()["readers"]
    users = {node.name for node in tree.body if "pyarrow" in imports(node) and isinstance(node, ast.FunctionDef)}
    assert users == {"_parquet"}
    assert not any("pyarrow" in imports(node) for node in tree.body if not isinstance(node, ast.FunctionDef))


def test_importing_the_kit_is_light():
    """The first cell of a notebook checks parameters: it needs no torch, and no widget or figure."""
    import subprocess

    heavy = ("torch", "transformers", "datasets", "pyarrow", "matplotlib", "ipywidgets")
    code = f"import sys, mtdnn_kit; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", modules())
def test_a_file_says_what_it_does(name):
    tree = modules()[name]
    assert ast.get_docstring(tree)
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), node.name
            methods = (
                [m for m in node.body if isinstance(m, ast.FunctionDef) and not m.name.startswith("_")]
                if isinstance(node, ast.ClassDef)
                else []
            )
            assert all(ast.get_docstring(m) for m in methods), node.name


def test_the_top_level_is_as_designed():
    wanted = ["README.md", "Makefile", "pyproject.toml", "environment.yml", "constraints.txt", "LICENSE", ".ci/run"]
    wanted += [
        "mtdnn_kit/sample",
        *(f"notebooks/{name}.ipynb" for name in ("01_data", "02_train", "03_ablations", "04_answers")),
        *(f"parameters/ablations/{name}.yaml" for name in ("demo", "table-1", "table-2", "table-3")),
        "parameters/minilm.yaml",
        "parameters/bert-base.yaml",
        "parameters/bert-large.yaml",
    ]
    assert [path for path in wanted if not (ROOT / path).exists()] == []
