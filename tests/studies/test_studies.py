"""Study files: expanded into named runs, or refused by key before anything runs; and those in the package."""

from pathlib import Path

import pytest
from conftest import ROOT, study_text

from mtdnn_kit import ConfigError
from mtdnn_kit.__main__ import main
from mtdnn_kit.compare import differences
from mtdnn_kit.compare.paper import TABLES
from mtdnn_kit.errors import StudyError
from mtdnn_kit.studies import page, running
from mtdnn_kit.studies.study import project_notebook, read_study
from mtdnn_kit.studies.variants import STUDY_SCORES, slug

ABLATIONS = sorted((ROOT / "parameters" / "ablations").glob("*.yaml"))


@pytest.fixture
def read(tmp_path):
    """read(**content): the study of a file with this content; its base file uses the defaults."""

    def reading(text: str | None = None, **content):
        (tmp_path / "base.yaml").write_text("data: sample\n")
        (tmp_path / "mine.yaml").write_text(text or study_text({"base": str(tmp_path / "base.yaml"), **content}))
        return read_study(tmp_path / "mine.yaml")

    return reading


def test_a_study_file_becomes_named_runs_with_full_parameters(read, tmp_path):
    alone = {"tasks": ["squad"], "qa_weight": 1.0}
    study = read(variants={"QA": alone, "QA+SC": {"tasks": ["squad", "cola"], "seed": 5}}, fixed={"seed": 3, "epochs": 1.5})
    assert (study.name, study.question) == ("mine", "Is a test a study?")
    made = study.configs(tmp_path / "runs", {"head_dropout": 0.2})
    assert {name: (c.tasks, c.seed, c.epochs, c.head_dropout) for name, c in made.items()} == {
        "QA": (["squad"], 3, 1.5, 0.2),
        "QA+SC": (["squad", "cola"], 5, 1.5, 0.2),
    }
    assert [Path(c.run_dir).name for c in made.values()] == ["qa", "qa-sc"]
    assert (study.baseline, study.others) == ("QA", ["QA+SC"]), "by default the first one with all others"


def test_lists_are_crossed_with_each_other_with_the_variants_and_with_the_seeds(read, tmp_path):
    study = read(vary={"qa_weight": [0.5, 0.8], "sharing": ["group", "dataset"]})
    assert list(study.runs) == [
        "qa_weight=0.5 sharing=group", "qa_weight=0.5 sharing=dataset", "qa_weight=0.8 sharing=group", "qa_weight=0.8 sharing=dataset",
    ]  # fmt: skip
    assert [(c.qa_weight, c.sharing) for c in study.configs(tmp_path).values()] == [
        (w, s) for w in (0.5, 0.8) for s in ("group", "dataset")
    ]
    both = read(variants={"few": {"epochs": 1}, "many": {"epochs": 2}}, vary={"learning_rate": [1e-4, 3e-4]}, seeds=[4, 7])
    assert len(both.runs) == 8 and both.runs["many learning_rate=0.0003 seed 7"].variant == "many learning_rate=0.0003"
    made = both.configs(tmp_path)["many learning_rate=0.0003 seed 7"]
    assert (made.epochs, made.learning_rate, made.seed) == (2, 3e-4, 7)
    assert Path(made.run_dir).name == "many-learning-rate-0.0003-seed-7"


@pytest.mark.parametrize("written", ["3e-4", "3.0e-4", "0.0003", "0.00030", "3E-04"])
@pytest.mark.parametrize("named", ["3e-4", "3.0e-4", "0.0003"])
def test_values_match_however_they_are_written(read, tmp_path, written, named):
    """In a list, where YAML parses 3e-4 as text, and in the name of a variant."""
    text = f"base: {tmp_path}/base.yaml\nvariants: {{QA: {{}}}}\nvary: {{learning_rate: [{written}, 0.001], warmup: [0.1]}}\n"
    study = read(f"{text}compare: {{baseline: QA learning_rate=0.001 warmup=0.1, others: [QA learning_rate={named} warmup=.10]}}")
    assert list(study.variants) == ["QA learning_rate=0.0003 warmup=0.1", "QA learning_rate=0.001 warmup=0.1"]
    assert study.others == ["QA learning_rate=0.0003 warmup=0.1"]
    assert [config.learning_rate for config in study.configs(tmp_path).values()] == [3e-4, 1e-3]


def test_names_without_numbers_match_literally(read):
    study = read(vary={"sharing": ["group", "dataset"]}, compare="sharing=dataset")
    assert study.baseline == "sharing=dataset"
    with pytest.raises(StudyError, match="there is no variant 'sharing=groups'"):
        read(vary={"sharing": ["group", "dataset"]}, compare="sharing=groups")


def test_a_study_may_have_several_baselines_each_with_its_own_others(read):
    several = read(variants={"A": {}, "B": {"epochs": 2}, "C": {"epochs": 4}}, seeds=[0, 1], compare={"baseline": ["B", "A"]})
    assert several.compared == [("B", ["A", "C"]), ("A", ["B", "C"])] and (several.baseline, several.others) == ("B", ["A", "C"])
    runs = {name: None for name in several.runs if name != "C seed 1"}
    assert [list(of) for of in several.comparisons(runs)] == [["B", "A", "C"], ["A", "B", "C"]]
    assert several.comparisons(runs)[1]["C"] == {0: "C seed 0"}
    pairs = [{"baseline": "B", "others": ["C"]}, {"baseline": "A", "others": ["C"]}]
    apart = read(variants=several.variants, compare=pairs)
    assert [list(of) for of in apart.comparisons({"A": 0, "C": 0, "B": 0})] == [["B", "C"], ["A", "C"]]
    assert [list(of) for of in apart.comparisons({"A": 0, "C": 0})] == [["A", "C"]], "only comparisons whose baseline exists"
    one = read(variants=several.variants, compare={"baseline": "A", "others": ["C"]})
    assert [list(of) for of in one.comparisons({"A": 0, "B": 0, "C": 0})] == [["A", "C"]], "settings that it does not name are in none"
    assert one.judged({"A": 0, "B": 0, "C": 0}) == one.comparisons({"A": 0, "B": 0, "C": 0})
    assert one.judged({"A": 0, "B": 0}) == one.judged({"B": 0, "C": 0}) == [], "alone, or without its baseline, nothing is judged"
    assert [list(of) for of in one.comparisons({"B": 0, "C": 0})] == [["C", "B"]]


def test_each_run_has_its_variant_and_seed(read):
    study = read(variants={"a": {}, "b": {"epochs": 2}}, seeds=[0, 1, 2], compare={"baseline": "b", "others": ["a"]})
    assert [(run.name, run.variant, run.seed) for run in study.runs.values()] == [
        (f"{variant} seed {seed}", variant, seed) for variant in "ab" for seed in (0, 1, 2)
    ]
    assert (study.baseline, study.others) == ("b", ["a"])
    assert [(r.variant, r.seed) for r in read(variants={"a": {"seed": 9}}).runs.values()] == [("a", None)], "no study seed"


A = "base: x.yaml\nvariants: {a: {}, b: {epochs: 2}}\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("variants: {a: {}}", "a study file needs `base:`"),
        ("base: x.yaml\nvariants: [a]", "a study file needs `base:`"),
        ("base: x.yaml\nfixed: {}", "a study file needs `base:`"),
        ("base: [", "not a YAML study file"),
        ("- a", "a study file needs `base:`"),
        (A + "variant: 1", "variant: no such key. Did you mean variants?"),
        ("base: x.yaml\nvariants: {}", "variants is empty: name at least one"),
        ("base: x.yaml\nvariants: {a: 3}", "variants: a is 3; it must map parameters"),
        ("base: x.yaml\nvariants: {a: {}, a: {epochs: 2}}", "'a' is given twice"),
        (A + "fixed: [1]", "fixed is [1]"),
        ("base: x.yaml\nvariants: {0.5: {}}", 'write "0.8" in quotes'),
        ("base: x.yaml\nvariants: {QA+SC: {}, qa-sc: {}}", "'QA+SC' and 'qa-sc' would share the folder qa-sc"),
        (
            "base: x.yaml\nvariants: {a seed 1: {}, a: {}}\nseeds: [1, '1']",
            "seeds is [1, '1']; it must be a list of different whole numbers",
        ),
        (A + "paper: table 9", "the paper has table 1, table 2, table 3"),
        (A + "seeds: 3", "seeds is 3; it must be a list"),
        (A + "seeds: [1, 1]", "seeds is [1, 1]"),
        (A + "seeds: [-1]", "seeds is [-1]"),
        (A + "seeds: [1]\nfixed: {seed: 3}", "fixed: seed is set by the study itself (seeds)"),
        ("base: x.yaml\nvariants: {a: {run_dir: x}}", "variants: a: run_dir is set by the study itself"),
        ("base: x.yaml\nvary: {}", "vary lists no parameter"),
        (A + "vary: [1]", "vary is [1]; it must map parameters to lists"),
        (A + "vary: {qa_weight: 0.5}", "vary: qa_weight is 0.5; it must be a list of values"),
        (A + "vary: {qa_weight: [0.5, 0.5]}", "vary: qa_weight lists a value twice"),
        (A + "vary: {seed: [0, 1]}", "list seeds under `seeds:`"),
        (A + "vary: {epochs: [1, 2]}", "vary: epochs is changed by the variant b as well"),
        (A + "compare: c", "compare: there is no variant 'c'"),
        (A + "compare: {baseline: a, others: [a]}", "compare: a would be compared with itself"),
        (A + "compare: {baseline: a, others: [b, b]}", "compare: others: b, b: a variant is named twice"),
        ("base: x.yaml\nvariants: {a: {1: 2}}", "variants: a is {1: 2}; it must map parameters to values"),
        (A + "seeds: [010, 2]", "line 3: '010' is read as 8: write that, or put it in quotes"),
        (A + "seeds: [1:30]", "line 3: '1:30' is read as 90: write that"),
        (A + "compare: {base: a}", "compare is {'base': 'a'}; it must be a variant's name, or"),
        (A + "compare: [a]", "compare is ['a']"),
        (A + "compare: []", "compare is []"),
        (A + "compare: {baseline: []}", "compare is {'baseline': []}; it must be a variant's name, or"),
        (A + "compare: [{baseline: a}, {baseline: a, others: [b]}]", "compare: a, a: a baseline is named twice"),
        (A + "compare: {baseline: [a, c]}", "compare: there is no variant 'c'"),
        ("base: x.yaml\nvary: {epochs: [1, 1.0]}\ncompare: epochs=1.00", "compare: there is no variant 'epochs=1.00'"),
        ("base: x.yaml\nvary: {learning_rate: [3e-4, 3.0e-4]}", "vary: learning_rate lists a value twice"),
        (A + "scores: span F1", "scores is 'span F1'; it must be a list of different scores"),
        (A + "judged_by: [F1]\nscores: [F1]", "scores is the older name of judged_by; leave it out"),
        (A + "smallest_effect: 0", "smallest_effect is 0; it must be a number of points above 0"),
        (A + "family: all", "family is 'all'; p is corrected over one of study, score"),
        (A + "scores: [F1, F1]", "scores is ['F1', 'F1']"),
        (A + "scores: []", "scores is []"),
        (A + "scores: [span_f1]", "judged_by: there is no score 'span_f1'. Did you mean span F1?"),
        (A + "cluster: article", "cluster is 'article'; intervals go by one of passage, title"),
        (A + "scores: [[F1]]", "judged_by: there is no score ['F1']"),
    ],
)
def test_an_invalid_study_file_is_refused_by_key(read, content, message):
    with pytest.raises(StudyError) as error:
        read(content)
    assert message in str(error.value) and "mine.yaml" in str(error.value)


def test_a_missing_file_is_reported_with_the_places_searched(tmp_path):
    with pytest.raises(StudyError, match="cannot be read .*looked for"):
        read_study(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("content", "changes", "message"),
    [
        ({"variants": {"good": {}, "bad": {"qa_wait": 0.5}}}, {}, "mine, run bad: qa_wait: no such parameter. Did you mean qa_weight"),
        ({"vary": {"epochs": [1, "2"]}}, {}, "mine, run epochs=2: epochs: '2' is text; it must be a number"),
        ({"variants": {"a": {}, "b": {"qa_weight": 0.8}}}, {}, "mine: runs a and b have the same parameters"),
        ({"vary": {"qa_weight": [0.5, 0.6]}}, {"qa_weight": 0.7}, "changes: qa_weight: variant 'qa_weight=0.5' of mine sets it, and names"),
        ({"variants": {"a": {}, "b": {"epochs": 2}}}, {"epochs": 1}, "changes: epochs: variant 'b' of mine sets it"),
        ({"variants": {"a": {}}}, "seed", "changes: 'seed' must map parameters to values"),
        ({"variants": {"a": {}}}, {"run_dir": "x"}, "changes: run_dir is set by the study mine itself"),
        ({"variants": {"a": {}}, "seeds": [1]}, {"seed": 2}, "changes: seed is set by the study mine itself"),
    ],
)
def test_an_invalid_run_is_refused_by_run_and_key(read, tmp_path, content, changes, message):
    with pytest.raises(ConfigError, match=message):
        read(**content).configs(tmp_path, changes)


def test_intervals_are_over_passages_or_as_the_file_says(read):
    assert read(variants={"a": {}}).cluster == "passage" and read(variants={"a": {}}, cluster="title").cluster == "title"


def test_scores_are_f1_or_as_the_file_says_and_each_is_one_of_differences(read):
    assert read(variants={"a": {}}).scores == ("F1",)
    for key in ("judged_by", "scores"):
        assert read(variants={"a": {}}, **{key: ["span F1", "no-answer AP"]}).scores == ("span F1", "no-answer AP")
    assert tuple(differences.RUN_SCORES) == STUDY_SCORES


@pytest.mark.parametrize(("name", "folder"), [("QA+MCC+SC", "qa-mcc-sc"), ("0.8", "0.8"), ("../up", "up"), ("a b/c", "a-b-c")])
def test_a_runs_name_cannot_lead_out_of_the_studys_folder(name, folder):
    assert slug(name) == folder


@pytest.mark.parametrize("path", ABLATIONS, ids=lambda path: path.stem)
def test_a_packaged_study_asks_one_question_and_expands(path):
    study = read_study(path)
    assert study.question.count("?") == 1 and len(study.question) > 80, "the question and its reason"
    configs = study.configs(Path("runs"))
    assert len(configs) >= 2 and all(configs[name].tasks[0] == "squad" for name in study.reported), "a first stage may have another task"


@pytest.mark.parametrize("path", [path for path in ABLATIONS if read_study(path).paper], ids=lambda path: path.stem)
def test_the_papers_tables_use_the_papers_settings(path):
    study = read_study(path)
    theirs = list(TABLES[study.paper])
    assert list(study.variants)[: len(theirs)] == theirs  # controls may follow
    for run, config in study.configs(Path("runs")).items():
        name, kinds = study.runs[run].variant, {dataset.type for dataset in config.datasets.values()}
        if name not in theirs:
            continue
        assert kinds == ({"qa"} if name in ("QA", "1.0") else {"qa", *name.lower().split("+")} if "QA" in name else {"qa", "mcc", "sc"})
        assert config.qa_weight == (float(name) if study.paper == "table 1" else 1.0 if name == "QA" else 0.8)


def test_settings_for_tables_have_the_baseline_first_and_a_run_per_seed(read):
    variants = {"QA": {}, "A": {"qa_weight": 0.5}, "B": {"qa_weight": 0.6}}
    study = read(variants=variants, seeds=[3, 5], compare={"baseline": "B", "others": ["A"]})
    assert list(study.settings.items()) == [(name, {seed: f"{name} seed {seed}" for seed in (3, 5)}) for name in ("B", "A", "QA")]
    assert list(read(variants=variants).settings.items()) == [("QA", {0: "QA"}), ("A", {0: "A"}), ("B", {0: "B"})]


def test_a_study_without_notebooks_is_refused_before_anything_runs(tmp_path, monkeypatch, capsys):
    """As with an installed package: runs and page need the notebooks of a clone."""
    monkeypatch.chdir(tmp_path)
    for name in (running.NOTEBOOK, page.PAGE_NOTEBOOK):
        with pytest.raises(StudyError, match=rf"{name} is not in {tmp_path}: .* Run it in the project's folder"):
            project_notebook(name)
    (tmp_path / "base.yaml").write_text("max_steps: 2\n")
    (tmp_path / "one.yaml").write_text("base: base.yaml\nvariants: {a: {}}\n")
    with pytest.raises(StudyError, match=r"02_train\.ipynb is not in"):
        running.run_study(read_study("one.yaml"))
    with pytest.raises(SystemExit, match="^1$"):
        main(["study", "one.yaml", "--dry-run"])
    assert "02_train.ipynb is not in" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
