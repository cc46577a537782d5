"""The notebooks as files, and under papermill with parameters right and wrong. nbval runs them with their defaults (`make test`)."""

import copy
import json
import re
from dataclasses import asdict

import nbclient
import nbformat
import papermill
import pytest
import yaml
from conftest import ROOT

from mtdnn_kit import Config, Run

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
TRAIN = ROOT / "notebooks" / "02_train.ipynb"
SMALL = dict(max_steps=4, batch_size=4, max_length=96, overlap=10, precision="fp32", device="cpu", threads=1, eval_limit=4, log_every=2)


def run(tmp_path, **parameters) -> dict:
    """Executes 02_train with papermill as its command does; the executed notebook."""
    made = papermill.execute_notebook(
        str(TRAIN), str(tmp_path / "out.ipynb"), parameters, kernel_name="python3", progress_bar=False, cwd=str(tmp_path)
    )
    return json.loads(json.dumps(made))


def code_cells(path) -> list[dict]:
    return [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]


@pytest.mark.filterwarnings("ignore")
def test_02_runs_under_papermill_with_a_training_parameter_file(tmp_path, tiny, monkeypatch):
    monkeypatch.chdir(tmp_path)
    parameters = {
        **yaml.safe_load((ROOT / "parameters" / "demo.yaml").read_text()),
        **SMALL,
        "encoder": tiny,
        "run_dir": str(tmp_path / "run"),
    }
    made = run(tmp_path, **parameters)
    assert not any(output["output_type"] == "error" for cell in made["cells"] for output in cell.get("outputs", []))
    left = Run(tmp_path / "run")
    assert left.finished and left.config["max_steps"] == 4 and left.config["threshold_articles"][:2] == ["Glacier", "Cork"]
    pictures = [output for cell in made["cells"] for output in cell.get("outputs", []) if "image/png" in output.get("data", {})]
    assert len(pictures) >= 3


@pytest.mark.filterwarnings("ignore")
def test_02_runs_without_question_answering(tmp_path, tiny):
    alone = dict(tasks=["cola", "mrpc"], qa_weight=0.5, threshold_articles=[])
    run(tmp_path, **SMALL, **alone, encoder=tiny, run_dir=str(tmp_path / "run"))
    assert set(Run(tmp_path / "run").metrics) == {"cola", "mrpc"}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"learning_rat": 1e-4}, "learning_rat: no such parameter. Did you mean learning_rate?"),
        ({"learning_rate": "3e-5"}, "learning_rate: '3e-5' is text; it must be a number."),
        ({"tasks": ["squad", "sawg"]}, "tasks: unknown task 'sawg'."),
    ],
)
def test_02_stops_in_its_first_cell_with_the_keys_name(tmp_path, parameters, message):
    with pytest.raises(papermill.PapermillExecutionError, match=re.escape(message)):
        run(tmp_path, **parameters, run_dir=str(tmp_path / "run"))
    ran = [cell for cell in code_cells(tmp_path / "out.ipynb") if cell.execution_count and "injected" not in str(cell.metadata.get("tags"))]
    assert "from_params" in ran[-1].source and len(ran) == 2, "the parameters and their check, nothing else"
    assert not (tmp_path / "run").exists()


def test_02s_parameters_are_the_configurations_with_a_comment_each():
    cell = next(cell for cell in code_cells(TRAIN) if "parameters" in cell.metadata.get("tags", []))
    values: dict = {}
    exec(cell.source, values)
    given = {key: value for key, value in values.items() if not key.startswith("__")}
    assert given.keys() == asdict(Config()).keys()
    assert {**given, "threshold_articles": []} == asdict(Config()), "train(Config()) is what the notebook does, but for the threshold"
    assert all(re.fullmatch(r"\w+ = .+  # .+", line) for line in cell.source.splitlines())


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_reads_well(path):
    """At most 25 cells, none over 10 lines but the parameters, prose before each, no function over 5 lines."""
    cells = nbformat.read(path, 4).cells
    assert len(cells) <= 25
    for before, cell in zip(cells, cells[1:], strict=False):
        if cell.cell_type == "code":
            assert before.cell_type == "markdown"
            assert "parameters" in cell.metadata.get("tags", []) or len(cell.source.splitlines()) <= 10
            assert "def " not in cell.source


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_committed_with_clean_outputs(path):
    text = path.read_text()
    assert len(text) < 400_000
    cells = code_cells(path)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = json.dumps([cell.outputs for cell in cells])
    debris = ("stderr", "Traceback", "Warning", "step/s", "widget-view")
    assert not any(bad in outputs for bad in (*debris, "/home/", "/root/", "/tmp/", str(ROOT.parent)))
    assert "image/png" in outputs


@pytest.mark.filterwarnings("ignore")
def test_02s_cells_run_twice_in_one_kernel(tmp_path, tiny):
    """As in JupyterLab: run all, change a parameter, run all again."""
    nb = nbformat.read(TRAIN, 4)
    small = "\n".join(
        f"{key} = {value!r}" for key, value in {**SMALL, "encoder": tiny, "max_steps": 1, "tasks": ["squad"], "qa_weight": 1.0}.items()
    )
    cells = [cell for cell in nb.cells if cell.cell_type == "code"]
    twice = []
    for number in (1, 2):
        given = nbformat.v4.new_code_cell(f"{small}\nrun_dir = {str(tmp_path / f'run{number}')!r}")
        twice += [*map(copy.deepcopy, cells[:1]), given, *map(copy.deepcopy, cells[1:])]
    for i, cell in enumerate(twice):
        cell["id"] = f"n{i}"
    nb.cells = twice
    nbclient.NotebookClient(nb, kernel_name="python3", timeout=300).execute(cwd=str(tmp_path))
    assert Run(tmp_path / "run1").finished and Run(tmp_path / "run2").finished
