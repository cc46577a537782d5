"""The layout and the import rule (docs/architecture.md), checked in the source files."""

import ast
import importlib
import sys

import pytest
from conftest import ROOT
from structure import PACKAGE, imports, modules

# The layers, from the bottom up: a package, or a module at the top level, imports only from the layers below it.
LAYERS = [
    "errors",
    "metrics sampler files",
    "data",
    "tasks config",
    "runs",
    "model compare",
    "balance",
    "training",
    "inference views",
    "studies explorer",
    "__init__ __main__",
    "launch",
]
HEIGHT = {package: layer for layer, packages in enumerate(LAYERS) for package in packages.split()}
MOST_AT_THE_TOP, MOST_IN_A_PACKAGE = 20, 16
ONLY = {
    "ipywidgets": set(),
    "anywidget": {"explorer.widgets"},
    "matplotlib": {
        "views.plots",
        "views.study_plots",
        "views.answer_plots",
        "views.balance_plots",
        "views.curve_plots",
        "views.task_plots",
    },
    "IPython": {"views.plots", "training.log", "views.study_plots", "views.findings", "explorer.widgets"},
    "papermill": {"studies.worker", "studies.page"},
    "nbconvert": {"studies.page"},
    "ray": {"studies.engines"},
    "datasets": {"data.sources", "data.hub"},
    "pyarrow": {"data.readers"},
    "torchjd": {"balance.losses", "balance.gradients"},
}


def arrows() -> dict[str, set[str]]:
    """{module: modules of the kit that it imports}, each as "package.module"; a package's __init__ has the package's name."""
    found = {}
    for name, tree in modules().items():
        ours = {i.removeprefix("mtdnn_kit.") for i in imports(tree) if i.startswith("mtdnn_kit.")}
        used = {i for i in ours if i in modules()} - {name}
        found[name] = {
            i for i in used if not any(other.startswith(f"{i}.") for other in used)
        }  # `from mtdnn_kit.runs import schema`: the module
    return found


def test_imports_between_packages_go_one_way():
    """Run with -s to print the layers, and what each package imports."""
    packages: dict[str, set[str]] = {}
    for name, used in arrows().items():
        packages.setdefault(name.split(".")[0], set()).update(one.split(".")[0] for one in used)
    assert set(packages) == set(HEIGHT), "add the new package to LAYERS"
    for layer, names in reversed(list(enumerate(LAYERS))):
        for name in names.split():
            below = sorted(packages[name] - {name}, key=lambda package: -HEIGHT[package])
            print(f"layer {layer}  {name:<10} ▸ {', '.join(below) or 'nothing'}")
            assert all(HEIGHT[package] < layer for package in below), f"{name} imports upwards: {below}"


def test_no_two_modules_import_each_other():
    left = {name: used - {name} for name, used in arrows().items() if name != "__init__"}
    while left:
        free = [name for name, needs in left.items() if not needs & left.keys()]
        assert free, f"a cycle among {sorted(left)}"
        left = {name: needs for name, needs in left.items() if name not in free}


INTERFACE = {"HEAD", "OUTPUTS", "SETTINGS", "Features", "Reader"}  # every task type defines these


def test_a_name_means_one_thing():
    """Constants and classes: no name is used in two modules for different things."""
    homes: dict[str, list[str]] = {}
    for name, tree in modules().items():
        for node in tree.body:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
            made = {part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name) and part.id.isupper()}
            for one in made | ({node.name} if isinstance(node, ast.ClassDef) else set()):
                homes.setdefault(one, []).append(name)
    assert {one: where for one, where in homes.items() if len(where) > 1 and len(one) > 1 and one not in INTERFACE} == {}


def test_every_error_class_is_in_errors():
    errors = importlib.import_module("mtdnn_kit.errors")
    known = {name for name, value in vars(errors).items() if isinstance(value, type)}
    for name, tree in modules().items():
        for node in (n for n in tree.body if isinstance(n, ast.ClassDef) and name != "errors" and n.name[0] != "_"):
            bases = {base.id for base in node.bases if isinstance(base, ast.Name)}
            assert not any(base in known or base == "Exception" or base.endswith("Error") for base in bases), f"{name}.{node.name}"
    assert all(
        issubclass(getattr(errors, name), errors.KitError) for name in known if name.endswith("Error") and name != "DamagedEntryError"
    )


def test_a_folder_has_few_files():
    top = [path.name for path in PACKAGE.iterdir() if path.name != "__pycache__"]
    assert len(top) <= MOST_AT_THE_TOP, sorted(top)
    for package in (path for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"):
        files = sorted(path.name for path in package.glob("*.py"))
        assert "__init__.py" in files and len(files) <= MOST_IN_A_PACKAGE, f"{package.name}: {files}"


@pytest.mark.parametrize("library", ONLY)
def test_a_library_is_imported_only_where_it_belongs(library):
    users = {name for name, tree in modules().items() if any(i.split(".")[0] == library for i in imports(tree))}
    assert users <= ONLY[library]


def test_datasets_is_imported_only_to_reach_the_hub():
    tree = modules()["data.hub"]
    assert not any(i.split(".")[0] == "datasets" for node in tree.body for i in imports(node) if not isinstance(node, ast.FunctionDef))


def test_pyarrow_is_imported_only_to_read_parquet():
    tree = modules()["data.readers"]
    users = {node.name for node in tree.body if "pyarrow" in imports(node) and isinstance(node, ast.FunctionDef)}
    assert users == {"_parquet"}
    assert not any("pyarrow" in imports(node) for node in tree.body if not isinstance(node, ast.FunctionDef))


def test_importing_the_kit_is_light():
    """The first cell of a notebook checks parameters without torch, widgets or figures."""
    import subprocess

    heavy = ("torch", "transformers", "datasets", "pyarrow", "matplotlib", "ipywidgets")
    code = f"import sys, mtdnn_kit; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", modules())
def test_a_module_has_docstrings(name):
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


def test_the_top_level_has_the_designed_files():
    wanted = ["README.md", "Makefile", "pyproject.toml", "environment.yml", "constraints.txt", "LICENSE", ".ci/run"]
    wanted += [
        "mtdnn_kit/data/sample",
        *(f"notebooks/{name}.ipynb" for name in ("01_data", "02_train", "03_ablations", "04_answers")),
        *(f"parameters/ablations/{name}.yaml" for name in ("demo", "table-1", "table-2", "table-3")),
        "parameters/minilm.yaml",
        "parameters/bert-base.yaml",
        "parameters/bert-large.yaml",
    ]
    assert [path for path in wanted if not (ROOT / path).exists()] == []
