"""Parameters: an invalid value stops with the key's name."""

import pytest
import yaml
from conftest import ROOT

from mtdnn_kit import metrics
from mtdnn_kit.config import Config, from_file, from_params
from mtdnn_kit.data import sources
from mtdnn_kit.data.registry import CUTS, DATASETS, METRICS
from mtdnn_kit.errors import ConfigError
from mtdnn_kit.files.paths import project_root, resolve

UNWEIGHTED = {"qa_weight": None, "sharing": None}
CURRICULUM = {"sampler": "curriculum", "tasks": ["squad", "cola", "mrpc"], "task_order": ["mrpc", "cola", "squad"]}
CURRICULUM |= {"first_tasks": 1, "phase": 0.5}


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"learning_rat": 1e-3}, r"^learning_rat: no such parameter. Did you mean learning_rate\?"),
        ({"learning_rate": "3e-5 or so"}, "^learning_rate: '3e-5 or so' is text; it must be a number"),
        ({"learning_rate": "1e999"}, "^learning_rate: '1e999' is text; it must be a number"),
        ({"batch_size": "1e3"}, "^batch_size: '1e3' is text; it must be a whole number"),
        ({"epochs": True}, "^epochs: True is true/false; it must be a number"),
        ({"batch_size": 4.0}, "^batch_size: 4.0 is a number; it must be a whole number"),
        ({"batch_size": "16"}, "^batch_size: '16' is text"),
        ({"batch_size": None}, "^batch_size: None is nothing"),
        ({"epochs": float("nan")}, "^epochs: nan"),
        ({"tasks": ["squad", "sawg"]}, r"^tasks: unknown task 'sawg'. Did you mean swag\?"),
        ({"tasks": "squad"}, "^tasks: 'squad' is text; it must be a list.*parameter file"),
        ({"tasks": ["squad", 3]}, "^tasks: "),
        ({"tasks": []}, "^tasks: the list is empty"),
        ({"tasks": ["squad", "squad"]}, "^tasks: 'squad' is named twice"),
        ({"tasks": ["squad"]}, "^qa_weight: 0.8 leaves 0.2 for other tasks, but there are none"),
        ({"qa_weight": 0.0}, "^qa_weight: "),
        ({"qa_weight": 1.1}, "^qa_weight: "),
        ({"optimizer": "adam"}, "^optimizer: 'adam' is text; it must be one of 'adamax', 'adamax_mtdnn', 'adamw'"),
        ({"sampler": "proportional"}, "^qa_weight: sampler 'proportional' does not use it: set it to null"),
        ({"sharing": None}, "^sharing: sampler 'weighted' needs it: 'dataset' or 'group'"),
        ({"qa_weight": None}, "^qa_weight: sampler 'weighted' needs it: (a|set it to a) probability"),
        ({"temperature": 2.0}, "^temperature: sampler 'weighted' does not use it: set it to null"),
        ({**UNWEIGHTED, "sampler": "temperature"}, "^temperature: sampler 'temperature' needs it: a number above 0"),
        ({**UNWEIGHTED, "sampler": "temperature", "temperature": 0}, "^temperature: 0.0 must be above 0"),
        ({**UNWEIGHTED, "sampler": "sequential"}, "^exhausted: sampler 'sequential' does not use it: set it to null"),
        ({**UNWEIGHTED, "sampler": "round_robin", "exhausted": None}, "^exhausted: sampler 'round_robin' needs it: 'cycle' or 'drop'"),
        ({**UNWEIGHTED, "sampler": "annealed", "epochs": 1}, "^epochs: sampler 'annealed' changes with the epoch"),
        ({"sampler": "curriculum"}, "^task_order: sampler 'curriculum' needs it: a list of all tasks, the easiest first"),
        ({"first_tasks": 2}, "^first_tasks: sampler 'weighted' does not use it: set it to null"),
        ({"phase": 1}, "^phase: 1.0 must be a share above 0 and below 1"),
        ({**CURRICULUM, "phase": None}, "^phase: sampler 'curriculum' needs it: a share of the steps, such as 0.3"),
        ({**CURRICULUM, "first_tasks": 0}, "^first_tasks: must be at least 1"),
        ({**CURRICULUM, "first_tasks": 3}, "^first_tasks: 3 of 3 tasks leave none for later: set it below 3"),
        ({**CURRICULUM, "qa_weight": None}, "^qa_weight: sampler 'curriculum' needs it: a probability"),
        ({**CURRICULUM, "qa_weight": 1.0}, "^qa_weight: 1.0 draws 'squad' alone; sampler 'curriculum' needs the others: set it below 1"),
        (
            {**CURRICULUM, "task_order": ["cola", "squad"]},
            r"^task_order: cola, squad must name each of the tasks squad, cola, mrpc once",
        ),
        ({**CURRICULUM, "task_order": ["cola", "squad", "cola"]}, "^task_order: cola, squad, cola must name each of the tasks"),
        ({**CURRICULUM, "task_order": ["cola", "squad", "rte"]}, "^task_order: "),
        ({**CURRICULUM, "sampler": "unimax"}, "^qa_weight: sampler 'unimax' does not use it: set it to null"),
        ({**UNWEIGHTED, "sampler": "unimax", "exhausted": None}, "^max_passes: sampler 'unimax' needs it: a number above 0"),
        ({**UNWEIGHTED, "sampler": "unimax", "max_passes": 2}, "^exhausted: sampler 'unimax' does not use it: set it to null"),
        ({**UNWEIGHTED, "sampler": "unimax", "max_passes": 0, "exhausted": None}, "^max_passes: 0.0 must be above 0"),
        ({"max_passes": 2}, "^max_passes: sampler 'weighted' does not use it: set it to null"),
        ({"interference_every": 0}, "^interference_every: must be at least 1"),
        ({"warmup": 1.0}, "^warmup: "),
        ({"batch_size": 0}, "^batch_size: 0 is too small"),
        ({"train_limit": 0}, "^train_limit: must be at least 1, or null"),
        ({"learning_rate": 0}, "^learning_rate: 0.0 must be above 0"),
        ({"grad_accumulation": 17}, "^grad_accumulation: "),
        ({"loss_weights": {"codah": 1.0}}, "^loss_weights: 'codah' is none of the tasks"),
        ({"loss_weights": {"swag": "2"}}, "^loss_weights: "),
        ({"rate_factors": {"codah": 1.0}}, "^rate_factors: 'codah' is none of the tasks"),
        ({"rate_factors": {"swag": 0}}, "^rate_factors: swag: 0.0 must be above 0"),
        ({"rate_factors": 0.5}, "^rate_factors: 0.5 is a number; it must be a mapping, each value a number"),
        ({"max_grad_norm": {"codah": 1.0}}, "^max_grad_norm: 'codah' is none of the tasks"),
        ({"max_grad_norm": {"swag": -1}}, "^max_grad_norm: swag: -1.0 must be above 0"),
        ({"max_grad_norm": 0}, "^max_grad_norm: 0.0 must be above 0"),
        ({"max_grad_norm": "high"}, "^max_grad_norm: 'high' is text; it must be a number or a mapping, each value a number"),
        (
            {"eval_every": 5, "tasks": ["squad1"], "qa_weight": 1.0},
            "^eval_every: it scores held-out questions and scored rows, but there are neither",
        ),
        ({"threshold_articles": ["Cork"], "threshold_ratio": 0.1}, "^threshold_ratio: threshold_articles is set as well: leave out one"),
        ({"threshold_ratio": 0.0}, r"^threshold_ratio: 0.0 must be a share above 0 and below 1 \(0.1 is a tenth\), or null"),
        ({"threshold_ratio": 1}, "^threshold_ratio: 1.0 must be a share above 0 and below 1"),
        ({"tasks": ["cola"], "qa_weight": 1.0, "threshold_ratio": 0.1}, "^threshold_ratio: only question answering has a threshold"),
        ({"resume": True}, "^resume: it continues the run in run_dir"),
        ({"tasks": ["cola"], "qa_weight": 1.0, "threshold_articles": ["Rhine"]}, "^threshold_articles: only question answering"),
        ({"define": {"squad": {"type": "qa"}}}, "^define: 'squad' is already a task"),
        ({"define": {"boolq": {"type": "yesno"}}}, "^define.boolq.type is 'yesno'"),
        ({"define": {"rte": {"type": "sc", "columns": {"first": "a"}}}}, "^define.rte.columns lacks 'label'"),
        (
            {"define": {"rte": {"type": "sc", "columns": {"first": "a", "label": "y"}, "labels": ["n"]}}},
            "^define.rte.labels must name at least two",
        ),
        ({"define": {"q": {"type": "qa", "columns": dict(DATASETS["squad"].columns), "cut": "half"}}}, "^define.q.cut is 'half'"),
        ({"define": {"q": {"type": "qa", "columns": dict(DATASETS["squad"].columns), "score": 3}}}, "^define.q.score is 3"),
        ({"define": {"m": {"type": "mcc", "columns": dict(DATASETS["swag"].columns), "metrics": ["bleu"]}}}, "^define.m.metrics is"),
        ({"define": {"m": {"type": "mcc", "columns": {"context": "a"}, "colums": 1}}}, "^define.m.colums: no such key"),
        ({"define": {"../x": {"type": "sc"}}}, "^define: '../x': use only letters"),
        ({"data": ROOT}, "^data: PosixPath"),
        ({"tasks": ["SQuAD"]}, r"^tasks: unknown task 'SQuAD'\. Did you mean squad\?"),
    ],
)
def test_invalid_parameters_stop_with_their_key(params, message):
    with pytest.raises(ConfigError, match=message):
        from_params(params)


def test_other_names_in_a_notebook_are_left_alone():
    found = from_params({"In": [], "Out": {}, "exit": 1, "_private": 3, "helper": len, "epochs": 2, "__name__": "x"})
    assert found == Config(epochs=2.0)


def test_an_int_is_accepted_as_a_float_and_a_tuple_as_a_list():
    found = from_params({"epochs": 2, "tasks": ("squad", "swag")})
    assert found.epochs == 2.0 and isinstance(found.epochs, float) and found.tasks == ["squad", "swag"]


@pytest.mark.parametrize(
    ("text", "value"), [("3e-5", 3e-5), ("3.0e-5", 3e-5), ("6E-4", 6e-4), ("1e1", 10.0), (".5e+0", 0.5), ("1.5e0", 1.5)]
)
def test_a_number_with_an_exponent_is_a_number_where_a_number_is_expected(tmp_path, text, value):
    """YAML 1.1, and therefore papermill, reads 3e-5 as text; where text is expected it stays text."""
    (tmp_path / "c.yaml").write_text(f"learning_rate: {text}\nloss_weights: {{cola: {text}}}\nthreshold_articles: ['{text}']\n")
    found = from_file(tmp_path / "c.yaml")
    assert (found.learning_rate, found.loss_weights, found.threshold_articles) == (value, {"cola": value}, [text])
    assert from_params({"learning_rate": text}).learning_rate == value
    row = {"type": "sc", "columns": {"first": "a", "label": "y"}, "labels": ["no", "yes"], "validation_ratio": "2e-1"}
    assert Config(tasks=["rte"], qa_weight=1.0, define={"rte": row}).datasets["rte"].validation_ratio == 0.2
    (tmp_path / "again.yaml").write_text(found.to_yaml())
    assert from_file(tmp_path / "again.yaml") == found


def test_a_configuration_equals_its_file(tmp_path):
    c = Config(tasks=["squad", "rte"], define={"rte": {"type": "sc", "columns": {"first": "a", "label": "y"}, "labels": ["no", "yes"]}})
    (tmp_path / "c.yaml").write_text(c.to_yaml())
    assert from_file(tmp_path / "c.yaml") == c
    assert from_file(tmp_path / "c.yaml", seed=3).seed == 3
    assert c.datasets["rte"].labels == ("no", "yes") and c.datasets["rte"].folder == "rte"


@pytest.mark.parametrize("text", ["- a\n- b\n", "a: [1\n", "", "1: 2\n"])
def test_a_file_that_is_not_a_parameter_file_is_refused(tmp_path, text):
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(ConfigError, match="c.yaml"):
        from_file(tmp_path / "c.yaml")


@pytest.mark.parametrize(
    "path", [path for path in sorted((ROOT / "parameters").rglob("*.yaml")) if path.parent.name != "ablations"], ids=lambda path: path.stem
)
def test_every_parameter_file_is_valid(path):
    assert from_file(path).tasks[0] == "squad"


@pytest.mark.parametrize("name", ["bert-base", "bert-large"])
def test_the_papers_settings_are_exact(name):
    c = from_file(ROOT / "parameters" / f"{name}.yaml")
    assert c.encoder == f"google-bert/{name}-cased" and c.data == "hub"
    assert (c.qa_weight, c.epochs, c.batch_size, c.learning_rate, c.warmup) == (0.8, 2, 16, 3e-5, 0.1)
    assert (c.optimizer, c.weight_decay, c.head_dropout, c.max_length, c.max_question, c.loss) == ("adamax", 0.01, 0.3, 384, 64, "sum")
    named = yaml.safe_load((ROOT / "parameters" / f"{name}.yaml").read_text())
    paper = {"encoder", "tasks", "qa_weight", "sharing", "epochs", "batch_size", "learning_rate", "warmup", "weight_decay", "optimizer"}
    assert paper | {"head_dropout", "encoder_dropout", "max_length", "max_question", "loss"} <= set(named), "the file must state them"


def test_relative_paths_start_at_the_project(monkeypatch):
    monkeypatch.chdir(ROOT / "notebooks")
    assert project_root() == ROOT and resolve("runs/x") == ROOT / "runs" / "x"
    assert resolve("/tmp/x").is_absolute() and str(resolve("/tmp/x")) == "/tmp/x"


def test_the_names_allowed_in_a_definition_are_all_that_exist():
    assert set(METRICS) == set(metrics.SCORES) and set(CUTS) == set(sources.CUT_RULES)


def test_a_parameter_file_is_found_from_any_folder_of_the_project(monkeypatch, tmp_path):
    monkeypatch.chdir(ROOT / "notebooks")
    assert from_file("parameters/demo.yaml").data == "sample"
    with pytest.raises(ConfigError, match="parameters/nowhere.yaml: cannot be read"):
        from_file("parameters/nowhere.yaml")
    with pytest.raises(ConfigError, match="^rundir: no such parameter. Did you mean run_dir"):
        from_file("parameters/demo.yaml", rundir=tmp_path)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("rte", {"labels": 3}, "^define.rte.labels is 3"),
        ("rte", {"labels": None}, "^define.rte.labels is None"),
        ("rte", {"columns": {"first": ["a", "b"], "label": "y"}}, "^define.rte.columns.first is"),
        ("rte", {"columns": {"first": None, "label": "y"}}, "^define.rte.columns.first is None"),
        ("rte", {"cut": "cs224n"}, "^define.rte.cut is 'cs224n'"),
        ("rte", {"labels": ["a", "b", "c"], "metrics": ["f1"]}, "^define.rte.metrics: f1 is the score of label 1 of exactly two labels"),
    ],
)
def test_an_invalid_definition_is_refused_in_the_first_cell(name, change, message):
    row = {"type": "sc", "columns": {"first": "a", "label": "y"}, "labels": ["no", "yes"], **change}
    with pytest.raises(ConfigError, match=message):
        Config(define={name: row})


def test_names_that_differ_only_in_case_are_refused(monkeypatch):
    row = {"type": "sc", "columns": {"first": "a", "label": "y"}, "labels": ["no", "yes"]}
    for names, message in (
        (["RTE", "rte"], "^define: 'RTE' and 'rte' differ only in upper and lower case"),
        (["Squad"], "^define: 'Squad' and 'squad' differ only in upper and lower case"),
        (["straße", "STRASSE"], "^define: 'straße' and 'STRASSE' differ only in upper and lower case"),
        (["mine_Rest"], "^define: 'mine_Rest': names that end in _rest are reserved"),
    ):
        with pytest.raises(ConfigError, match=message):
            Config(define=dict.fromkeys(names, row))
    monkeypatch.setitem(DATASETS, "CoLA", DATASETS["cola"])
    assert Config(tasks=["squad", "CoLA"]).tasks == ["squad", "CoLA"]
    with pytest.raises(ConfigError, match="^tasks: 'cola' and 'CoLA' differ only in upper and lower case"):
        Config(tasks=["squad", "cola", "CoLA"])
