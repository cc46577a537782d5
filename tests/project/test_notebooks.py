"""The notebooks' files, and papermill runs of them with valid and invalid parameters. nbval runs them with their defaults (`make test`)."""

import base64
import copy
import gzip
import io
import json
import re
from dataclasses import asdict

import nbclient
import nbformat
import papermill
import pytest
import yaml
from conftest import PLACE, ROOT
from PIL import Image

from mtdnn_kit import Config, Run, train
from mtdnn_kit.compare import paper

pytestmark = pytest.mark.usefixtures("warm_kernels")
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
TRAIN = ROOT / "notebooks" / "02_train.ipynb"
SMALL = dict(max_steps=4, batch_size=4, max_length=96, overlap=10, precision="fp32", device="cpu", threads=1, eval_limit=4, log_every=2)


def run(tmp_path, notebook="02_train", **parameters) -> dict:
    """Executes a notebook as the papermill command does; returns the executed notebook."""
    path = ROOT / "notebooks" / f"{notebook}.ipynb"
    made = papermill.execute_notebook(
        str(path), str(tmp_path / "out.ipynb"), parameters, kernel_name="python3", progress_bar=False, cwd=str(ROOT)
    )
    return json.loads(json.dumps(made))


def shown(made: dict, kind: str) -> list[str]:
    """The outputs of one MIME type ("text/html", "image/png", "text/plain"), in order."""
    outputs = [output for cell in made["cells"] for output in cell.get("outputs", [])]
    return ["".join(output["data"][kind]) for output in outputs if kind in output.get("data", {})]


def code_cells(path) -> list[dict]:
    return [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]


@pytest.mark.filterwarnings("ignore")
def test_02_runs_under_papermill_with_a_training_parameter_file(tmp_path, tiny, monkeypatch):
    monkeypatch.chdir(tmp_path)
    parameters = {
        **yaml.safe_load((ROOT / "parameters" / "demo.yaml").read_text()),
        **SMALL,
        "encoder": tiny,
        "eval_every": 1,
        "run_dir": str(tmp_path / "run"),
    }
    made = run(tmp_path, **parameters)
    assert not any(output["output_type"] == "error" for cell in made["cells"] for output in cell.get("outputs", []))
    left = Run(tmp_path / "run")
    assert left.finished and left.config["max_steps"] == 4 and left.config["threshold_articles"][:2] == ["Glacier", "Cork"]
    pictures = [output for cell in made["cells"] for output in cell.get("outputs", []) if "image/png" in output.get("data", {})]
    told = [output["metadata"]["image/png"]["alt"].partition(" ")[0] for output in pictures]
    assert told == ["Rows", "The", "Loss", "Each", "Scores"], "sizes, schedule, losses, each task next to chance, curves"
    html = shown(made, "text/html")
    assert "squad: F1" in html[0] and "4 steps" in html[0], "the findings are at the top"
    assert "<mark" in html[-1] and "Ada Lovelace" in html[-1], "a marked passage is at the end"


@pytest.mark.filterwarnings("ignore")
def test_02_runs_without_question_answering(tmp_path, tiny):
    alone = dict(tasks=["cola", "mrpc"], qa_weight=0.5)
    run(tmp_path, **SMALL, **alone, encoder=tiny, run_dir=str(tmp_path / "run"))
    assert set(Run(tmp_path / "run").metrics) == {"cola", "mrpc"}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"learning_rat": 1e-4}, "learning_rat: no such parameter. Did you mean learning_rate?"),
        ({"learning_rate": "3e-5!"}, "learning_rate: '3e-5!' is text; it must be a number."),
        ({"tasks": ["squad", "sawg"]}, "tasks: unknown task 'sawg'."),
    ],
)
def test_02_stops_in_its_first_cell_and_names_the_parameter(tmp_path, parameters, message):
    with pytest.raises(papermill.PapermillExecutionError, match=re.escape(message)):
        run(tmp_path, **parameters, run_dir=str(tmp_path / "run"))
    ran = [cell for cell in code_cells(tmp_path / "out.ipynb") if cell.execution_count and "injected" not in str(cell.metadata.get("tags"))]
    assert "from_params" in ran[-1].source and len(ran) == 3, "only the placeholder of the findings, the parameters and their check"
    assert not (tmp_path / "run").exists()


def test_02_lists_every_parameter_of_config_with_a_comment():
    cell = next(cell for cell in code_cells(TRAIN) if "parameters" in cell.metadata.get("tags", []))
    values: dict = {}
    exec(cell.source, values)
    given = {key: value for key, value in values.items() if not key.startswith("__")}
    assert given.keys() == asdict(Config()).keys()
    assert Config(**given) == Config(), "the notebook's defaults are those of Config"
    assert all(re.fullmatch(r"\w+ = .+  # .+", line) for line in cell.source.splitlines())


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_short_and_explains_its_code(path):
    """At most 25 cells. Each code cell follows prose, defines no function and, except the parameters, has at most 10 lines."""
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
    assert not any(bad in outputs for bad in (*debris, "/home/", "/root/", "/tmp/", PLACE))
    pictures = [output for cell in cells for output in cell.outputs if "image/png" in output.get("data", {})]
    assert pictures
    for picture in pictures:
        shown = picture.metadata["image/png"]
        assert len(shown["alt"]) > 20, "it has a description"
        assert Image.open(io.BytesIO(base64.b64decode(picture.data["image/png"]))).width == 2 * shown["width"], "and twice the pixels"
    assert "The findings stand here" not in outputs


@pytest.mark.filterwarnings("ignore")
def test_02_runs_twice_in_one_kernel(tmp_path, tiny):
    """As in JupyterLab: run all, change a parameter, run all again."""
    nb = nbformat.read(TRAIN, 4)
    small = "\n".join(
        f"{key} = {value!r}" for key, value in {**SMALL, "encoder": tiny, "max_steps": 1, "tasks": ["squad"], "qa_weight": 1.0}.items()
    )
    cells = [cell for cell in nb.cells if cell.cell_type == "code"]
    twice = []
    for number in (1, 2):
        given = nbformat.v4.new_code_cell(f"{small}\nrun_dir = {str(tmp_path / f'run{number}')!r}")
        twice += [*map(copy.deepcopy, cells[:2]), given, *map(copy.deepcopy, cells[2:])]
    for i, cell in enumerate(twice):
        cell["id"] = f"n{i}"
    nb.cells = twice
    nbclient.NotebookClient(nb, kernel_name="python3", timeout=300).execute(cwd=str(tmp_path))
    assert Run(tmp_path / "run1").finished and Run(tmp_path / "run2").finished


@pytest.mark.filterwarnings("ignore")
def test_01_takes_a_training_parameter_file(tmp_path, tiny):
    parameters = {**yaml.safe_load((ROOT / "parameters" / "demo.yaml").read_text()), "encoder": tiny, "train_limit": 40}
    made = run(tmp_path, "01_data", **parameters)
    assert len(shown(made, "image/png")) == 4
    text = "\n".join(shown(made, "text/html"))
    assert "fingerprint" in text and "<mark" in text and "lost if cut" in text


@pytest.mark.filterwarnings("ignore")
def test_01_runs_without_question_answering_and_with_question_answering_only(tmp_path, tiny):
    made = run(tmp_path, "01_data", encoder=tiny, tasks=["cola", "swag"], qa_weight=0.5)
    assert len(shown(made, "image/png")) == 3 and "lost if cut" not in "\n".join(shown(made, "text/html"))
    made = run(tmp_path, "01_data", encoder=tiny, tasks=["squad"], qa_weight=1.0)
    assert len(shown(made, "image/png")) == 3


@pytest.mark.filterwarnings("ignore")
def test_03_runs_a_study_and_writes_table_figures_and_notebooks(tmp_path, tiny):
    """Executed twice in one kernel: the second time, all runs are finished."""
    base, study = tmp_path / "base.yaml", tmp_path / "mine.yaml"
    base.write_text(yaml.safe_dump({**SMALL, "encoder": tiny, "threshold_articles": ["Cork"], "interference_every": 2, "eval_every": 2}))
    variants = {"QA": {"tasks": ["squad"], "qa_weight": 1.0}, "QA+MCC+SC": {"qa_weight": 0.5, "tasks": ["squad", "swag", "cola"]}}
    study.write_text("# Does it help?\n" + yaml.safe_dump({"base": str(base), "variants": variants, "paper": "table 2"}))
    nb = nbformat.read(ROOT / "notebooks" / "03_ablations.ipynb", 4)
    parameters = next(cell for cell in nb.cells if "parameters" in cell.metadata.get("tags", []))
    parameters.source += f"\nstudy, folder, changes = {str(study)!r}, {str(tmp_path / 'runs')!r}, {{'seed': 3}}"
    length, nb.cells = len(nb.cells), [*nb.cells, *map(copy.deepcopy, nb.cells)]
    for i, cell in enumerate(nb.cells):
        cell["id"] = f"n{i}"
    nbclient.NotebookClient(nb, kernel_name="python3", timeout=300).execute(cwd=str(ROOT))
    made = {"cells": nb.cells[:length]}
    assert all(Run(tmp_path / "runs" / name).config["seed"] == 3 for name in ("qa", "qa-mcc-sc"))
    left = {path.name for path in (tmp_path / "runs").iterdir()}
    texts = {"table.csv", "table.md", "table.tex", "scores.csv", "summary.md", "answers.html"}
    assert left == {".taken", "qa", "qa-mcc-sc", *texts, "figure-4.png", "differences.png"}, "figure 3 has too few points"
    assert [line.partition(":")[0] for line in (tmp_path / "runs" / "summary.md").read_text().split("\n\n")] == [
        "Trained",
        "Concluded",
        "Next",
    ]
    assert (tmp_path / "runs" / "qa" / "02_train.ipynb").exists()
    table = next(html for html in shown(made, "text/html") if "paper EM" in html)
    assert all(name in table for name in ("QA+MCC+SC", "no-answer baseline", "lexical overlap", "74.6", "77.2"))
    others = next(html for html in shown(made, "text/html") if "<details" in html and "matthews" in html)
    assert all(name in others for name in ("swag", "cola", "matthews", "accuracy")), "every other task has its table"
    assert "Of these 2 models" in shown(made, "text/html")[0], "the conclusion is at the top"
    assert len(shown(made, "image/png")) == 7, "losses, differences, each task and chance, figure 4, conflicts, what was lost, curves"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("notebook", "parameters", "message"),
    [
        ("03_ablations", {"study": "parameters/ablations/none.yaml"}, "parameters/ablations/none.yaml: cannot be read"),
        ("03_ablations", {"studdy": "x"}, "studdy: no such parameter. Did you mean study?"),
        ("04_answers", {"run": ["x"]}, "run: no such parameter. Did you mean runs?"),
        ("04_answers", {"runs": ["no/where"]}, "no/where: there is no such folder; correct the path"),
        ("01_data", {"max_lenght": 3}, "max_lenght: no such parameter. Did you mean max_length?"),
    ],
)
def test_an_invalid_parameter_stops_the_first_cell_and_is_named(tmp_path, notebook, parameters, message):
    with pytest.raises(papermill.PapermillExecutionError, match=re.escape(message)):
        run(tmp_path, notebook, **parameters)
    ran = [cell for cell in code_cells(tmp_path / "out.ipynb") if cell.execution_count and "injected" not in str(cell.metadata.get("tags"))]
    assert len(ran) == 3


@pytest.mark.filterwarnings("ignore")
def test_04_opens_the_given_runs(tmp_path, tiny):
    small = {**SMALL, "encoder": tiny, "eval_limit": None, "tasks": ["squad"], "qa_weight": 1.0}
    runs = [str(train(Config(**small, seed=seed, run_dir=str(tmp_path / f"run{seed}"))).path) for seed in (0, 1)]
    made = run(tmp_path, "04_answers", runs=runs, show=2)
    html = "\n".join(shown(made, "text/html"))
    wanted = ("run0", "run1", "no-answer baseline", "all wrong", '<li class="mx-card">')
    assert [name for name in wanted if name not in html] == []
    assert "0 of the paper&#39;s 3 examples are in these data" in html
    assert not shown(made, "application/vnd.jupyter.widget-view+json"), "without a front end, a widget would show an error message"


def shortened(real_data, folder) -> None:
    """Writes the first questions of SQuAD and those of the paper's examples to a folder."""
    (folder / "squad").mkdir()
    for split in ("train", "validation"):
        lines = gzip.decompress((real_data / "squad" / f"{split}.jsonl.gz").read_bytes()).decode().splitlines()
        asked = [line for line in lines if any(all(word.lower() in line.lower() for word in example.words) for example in paper.EXAMPLES)]
        (folder / "squad" / f"{split}.jsonl").write_text("\n".join(dict.fromkeys([*lines[:60], *asked])) + "\n")


@pytest.mark.filterwarnings("ignore")
def test_04_finds_the_papers_examples_in_the_real_data(tmp_path, tiny, real_data):
    shortened(real_data, tmp_path)
    small = {**SMALL, "encoder": tiny, "max_length": 384, "max_steps": 1, "data": str(tmp_path), "eval_limit": None}
    made = train(Config(**small, tasks=["squad"], qa_weight=1.0, run_dir=str(tmp_path / "run")))
    html = "\n".join(shown(run(tmp_path, "04_answers", runs=[str(made.path)]), "text/html"))
    assert "3 of the paper&#39;s 3 examples" in html and html.count("The paper’s example") == 3


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["01_data", "04_answers"])
def test_01_and_04_run_twice_in_one_kernel_with_a_front_end(name, monkeypatch):
    """As in JupyterLab, where the answers are a widget."""
    monkeypatch.setenv("JPY_SESSION_NAME", "notebook.ipynb")
    nb = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", 4)
    nb.cells = [*nb.cells, *map(copy.deepcopy, nb.cells)]
    for i, cell in enumerate(nb.cells):
        cell["id"] = f"n{i}"
    made = nbclient.NotebookClient(nb, kernel_name="python3", timeout=300).execute(cwd=str(ROOT))
    assert len(shown(made, "application/vnd.jupyter.widget-view+json")) == 2 * (name == "04_answers")
