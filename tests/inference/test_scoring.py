"""A finished run scored on further sets: with its head and threshold; stored in the run and then used like its first sets."""

import json
import shutil

import pytest
import yaml
from conftest import ROOT

import mtdnn_kit.__main__ as command_line
from mtdnn_kit import Config, Run, load, score
from mtdnn_kit.compare import choices, pair
from mtdnn_kit.data.registry import DATASETS
from mtdnn_kit.data.sources import load as load_rows
from mtdnn_kit.data.split import CS224N_TITLES
from mtdnn_kit.errors import CompareError, ConfigError, DataError, RunError
from mtdnn_kit.explorer.answers_json import read, shared_tasks
from mtdnn_kit.files.yaml_files import read_yaml
from mtdnn_kit.metrics import accuracy, qa_scores
from mtdnn_kit.runs.notes import threshold_words
from mtdnn_kit.views.tables import set_table, tidy

QUESTIONS = [
    {
        "id": f"b{i}",
        "title": f"Boat {i}",
        "context": f"Boat {i} carries {i + 3} barrels of tar. It left Harbour {i + 20} at dawn.",
        "question": "What did the boat leave?",
        "answers": {"text": [f"Harbour {i + 20}"] * (i % 3 > 0), "answer_start": [38] * (i % 3 > 0)},
    }
    for i in range(12)
]
for one in QUESTIONS:
    if one["answers"]["text"]:
        one["answers"]["answer_start"] = [one["context"].index("Harbour")]
SENTENCES = [{"sentence": f"The {i} boats are late.", "label": i % 2} for i in range(10)]


def write(file, rows) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def folder(tmp_path):
    """New rows for two of the run's tasks, in their format."""
    write(tmp_path / "boats" / "squad" / "validation.jsonl", QUESTIONS)
    write(tmp_path / "boats" / "cola" / "validation.jsonl", SENTENCES)
    return tmp_path / "boats"


@pytest.fixture
def run(trained, tmp_path) -> Run:
    """A copy of a run: scoring further sets changes its folder."""
    shutil.copytree(trained("bert").path, tmp_path / "run")
    return Run(tmp_path / "run")


def files_of(run: Run) -> dict[str, bytes]:
    return {file.relative_to(run.path).as_posix(): file.read_bytes() for file in run.path.rglob("*") if file.is_file()}


def test_all_tasks_with_rows_in_the_folder_are_scored_by_the_runs_replies(run, folder):
    before, own = files_of(run), run.metrics
    found = run.score(folder)
    assert list(found) == ["squad-boats", "cola-boats"] and run.metrics == {**own, "cola-boats": found["cola-boats"], **found}
    model, threshold = load(run, "cpu"), own["squad"]["threshold"]
    said = [x.text for x in model.answer([q["question"] for q in QUESTIONS], [q["context"] for q in QUESTIONS], threshold=threshold)]
    scores = qa_scores(said, [q["answers"]["text"] or [""] for q in QUESTIONS])
    kept = found["squad-boats"]
    assert (kept["em"], kept["f1"], kept["threshold"], kept["n"]) == (scores["em"], scores["f1"], threshold, 12), "without eval_limit"
    assert run.answers("squad-boats") == {q["id"]: text for q, text in zip(QUESTIONS, said, strict=True)}
    labels = [int(x.label == "acceptable") for x in model.classify([s["sentence"] for s in SENTENCES], task="cola")]
    assert [line["label"] for line in run.choices("cola-boats")] == labels
    assert found["cola-boats"] == {**found["cola-boats"], "accuracy": accuracy([s["label"] for s in SENTENCES], labels), "n": 10}
    new = {"scored/cola-boats.json", "scored/squad-boats.json", "predictions/cola-boats.jsonl"}
    new |= {"predictions/squad-boats.json", "predictions/squad-boats_nbest.jsonl.gz"}
    after = files_of(run)
    assert after.keys() - before.keys() == new and {name: after[name] for name in before} == before, "no file of the run changes"


def test_later_sets_are_compared_explored_tabled_and_kept_like_the_first(run, folder, tmp_path):
    run.score(folder)
    two = {"one": run, "two": Run(shutil.copytree(run.path, tmp_path / "two"))}
    assert set(shared_tasks(two)) == {"squad", "swag", "cola", "mrpc", "squad-boats", "cola-boats"}
    assert [q.row.id for q in pair(two, task="squad-boats")] == [f"b{i}" for i in range(12)]
    assert len(read(two, "cola-boats").items) == len(choices.pair(two, task="cola-boats")) == 10
    assert len(read(two, "squad-boats").items) == 12 and run.keeps("squad-boats")
    assert {row["task"] for row in tidy(two, {"s": {0: "one", 1: "two"}})} == set(run.metrics)
    told = {row["set"]: row for row in set_table({"r": run})}
    assert (told["squad-boats"]["scored by"], told["squad-boats"]["rows"], told["cola-boats"]["scored by"]) == ("squad", 12, "cola")
    assert told["mrpc"]["f1"] == run.metrics["mrpc"]["f1"] and told["mrpc"]["accuracy"] == run.metrics["mrpc"]["accuracy"]
    assert told["squad-boats"]["f1_at_0"] == run.metrics["squad-boats"]["f1_at_0"] and "threshold" not in told["cola-boats"]
    run.keep(tmp_path / "kept")
    kept = {"kept": Run(tmp_path / "kept")}
    assert kept["kept"].metrics == run.metrics and len(pair(kept, task="squad-boats")) == 12
    assert len(choices.pair(kept, task="cola-boats")) == 10
    assert run._repr_html_().count(">squad-boats<") == 1


def test_only_the_same_rows_are_compared_and_a_name_means_one_set(run, folder, tmp_path):
    run.score(folder, task="squad")
    two = Run(shutil.copytree(run.path, tmp_path / "two"))
    (two.path / "scored" / "squad-boats.json").unlink()
    with pytest.raises(CompareError, match="two: .* was not scored on 'squad-boats'; it was scored on squad, "):
        pair({"one": run, "two": two}, task="squad-boats")
    write(folder / "squad" / "validation.jsonl", QUESTIONS[:9])
    two.score(folder, task="squad")
    with pytest.raises(CompareError, match="one: .* was scored on other rows"):
        pair({"two": two, "one": run}, task="squad-boats")
    before = files_of(run)
    with pytest.raises(
        RunError, match=r"^squad-boats: .* on other rows under this name before \(scored/squad-boats.json\): choose another"
    ):
        run.score(folder, task="squad")
    assert files_of(run) == before
    assert run.score(folder, task="squad", name="fewer")["fewer"]["n"] == 9


def test_a_scored_set_is_scored_again_only_by_other_code(run, folder):
    run.score(folder, task="cola")
    file = run.path / "scored" / "cola-boats.json"
    before, record = file.stat().st_mtime_ns, json.loads(file.read_text())
    assert run.score(folder, task="cola") == {"cola-boats": record["scores"]} and file.stat().st_mtime_ns == before
    wrong = {**record, "code": "0" * 64, "scores": {**record["scores"], "accuracy": 1.0}}
    file.write_text(json.dumps(wrong))
    assert run.score(folder, task="cola") == {"cola-boats": record["scores"]}
    assert json.loads(file.read_text())["code"] == record["code"]


def test_a_set_may_have_a_definition(run, folder, tmp_path):
    """Another split in a task's format, another format, or only a type; as a file or as a mapping."""
    write(folder / "cola" / "other.jsonl", SENTENCES[:4])
    write(folder / "mine.jsonl", [{"satz": s["sentence"], "gut": "ja" if s["label"] else "nein"} for s in SENTENCES[:6]])
    labels = {"ja": "acceptable", "nein": "unacceptable"}  # in any order: names give the numbers
    mine = {
        "type": "sc",
        "columns": {"first": "satz", "label": "gut"},
        "labels": labels,
        "files": {"validation": str(folder / "mine.jsonl")},
    }
    file = tmp_path / "sets.yaml"
    file.write_text(
        yaml.safe_dump({"define": {"other": {"task": "cola", "data": str(folder), "score": "other"}, "mine": mine}}, sort_keys=False)
    )
    found = run.score(define=str(file))
    assert [(name, scores["n"]) for name, scores in found.items()] == [("other", 4), ("mine", 6)]
    assert run.parameters.task_of("mine") == "cola" and run.later["mine"]["set"]["task"] == "cola", "the only task with these labels"
    plain = {"files": {"validation": str(folder / "squad" / "validation.jsonl")}}
    assert list(run.score(define={"plain": plain})) == ["plain"] and run.parameters.task_of("plain") == "squad"
    said = {name: list(run.choices(name)) for name in found}
    assert found["mine"]["accuracy"] == accuracy([s["label"] for s in SENTENCES[:6]], [line["label"] for line in said["mine"]])
    for one, two in zip(said["other"], said["mine"], strict=False):
        assert one["label"] == two["label"] and one["probabilities"] == pytest.approx(two["probabilities"], abs=1e-6)


def test_sets_of_custom_questions_and_labels_may_be_named(tmp_path):
    """A defined question answering task has no metrics of its own; names in `labels` may be written without quotes."""
    asks = {"type": "qa", "files": {"train": "a.jsonl", "validation": "b.jsonl"}}
    made = Config(
        tasks=["manuals"], qa_weight=1.0, define={"manuals": asks}, scored_also={"more": {"task": "manuals", "data": "my/folder"}}
    )
    assert made.further["more"].type == "qa"
    rates = {"type": "sc", "files": asks["files"], "columns": {"first": "text", "label": "y"}, "labels": ["1", "2"]}
    with pytest.raises(ConfigError, match="^scored_also.more.labels"):
        Config(
            tasks=["stars"], qa_weight=1.0, define={"stars": rates}, scored_also={"more": {"task": "stars", "labels": {"one": 1, "two": 2}}}
        )
    sets = read_yaml("a: {task: cola, labels: {0: unacceptable, 1: acceptable}}\nb: {task: cola, labels: {true: acceptable}}")
    assert list(sets["a"]["labels"]) == [0, 1] and list(sets["b"]["labels"]) == [True]


def test_the_draft_of_mtdnn_data_works_unchanged(run, folder, tmp_path, capsys):
    """A draft names only a training file: all its rows are scored."""
    rows = [{"text": s["sentence"], "fine": "acceptable" if s["label"] else "unacceptable"} for s in SENTENCES]
    write(tmp_path / "reviews.jsonl", rows)
    command_line.main(["data", str(tmp_path / "reviews.jsonl")])
    (tmp_path / "sets.yaml").write_text(capsys.readouterr().out)
    found = run.score(define=tmp_path / "sets.yaml")
    assert list(found) == ["reviews"] and found["reviews"]["n"] == 10 and run.parameters.task_of("reviews") == "cola"
    both = {"mine": {"type": "qa", "files": {"train": "no", "validation": str(folder / "squad" / "validation.jsonl")}, "train": "train"}}
    assert run.score(define={"define": both})["mine"]["n"] == 12


def test_the_sample_is_a_valid_place_and_its_rows_get_the_runs_replies(run):
    found = run.score("sample", task="mrpc", name="whole")["whole"]
    rows = load_rows("mrpc", DATASETS["mrpc"], "validation", "sample")
    assert found["n"] == len(rows) > run.metrics["mrpc"]["n"] == 6
    first = list(run.choices("mrpc"))
    again = [line for line in run.choices("whole") if line["id"] in {one["id"] for one in first}]
    for one, two in zip(first, again, strict=True):
        assert one["label"] == two["label"] and one["probabilities"] == pytest.approx(two["probabilities"], abs=1e-6)
    assert run.later["whole"]["set"] == {"task": "mrpc", "data": "sample"}


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({}, ConfigError, "^data, define: give one of them"),
        ({"data": "sample", "define": {"d": {}}}, ConfigError, "^data, define: give one of them"),
        ({"data": "sample", "task": "mnli"}, ConfigError, "^task: .* has no task 'mnli'; it has squad, swag, cola, mrpc"),
        ({"data": "EMPTY"}, ConfigError, "^data: .* has no rows for any of the tasks squad, swag, cola, mrpc: each task needs a folder"),
        ({"data": "EMPTY", "task": "cola"}, DataError, "there is no such folder"),
        ({"data": "sample", "name": "x"}, ConfigError, "^name: there are several sets, squad-sample, swag-sample"),
        (
            {"data": "sample", "task": "cola", "name": "squad"},
            ConfigError,
            "^squad: .* on a set of this name in training",
        ),
        ({"data": "sample", "task": "cola", "name": "a/b"}, ConfigError, "^scored_also: 'a/b': use only letters"),
        (
            {"define": {"d": {"type": "sc", "labels": ["a", "b"]}}},
            ConfigError,
            r"^define: d: no task of the run is of type 'sc' with",
        ),
        ({"define": {"d": {"type": "sc"}}}, ConfigError, r"^define: d: cola, mrpc could score it: name one of them as `task`"),
        (
            {"define": {"d": {"task": "cola", "labels": ["good", "bad"]}}},
            ConfigError,
            "^scored_also.d.labels are good, bad; the task that scores it has unacceptable, acceptable",
        ),
        ({"define": {"d": {"task": "cola", "labels": ["acceptable", "unacceptable"]}}}, DataError, "column 'label' is 1: it must be"),
        (
            {"define": {"d": {"task": "cola", "type": "qa"}}},
            ConfigError,
            "^scored_also.d.type is 'qa'; the task .* is of type sc",
        ),
        ({"define": {"d": {"task": "cola", "train": "x"}}}, ConfigError, "^scored_also.d.train: this set is not trained on"),
        ({"define": {"d": {"task": "cola", "data": 3}}}, ConfigError, "^scored_also.d.data is 3; it must be"),
        ({"define": {"d": {"task": "cola"}}, "task": "mrpc"}, ConfigError, "^define: d: its definition names task 'cola', not 'mrpc'"),
        ({"define": {"d": 3}}, ConfigError, "^define: it must map a set's name to its definition"),
        ({"define": "no/such.yaml"}, ConfigError, "^no/such.yaml: cannot be read"),
    ],
)
def test_invalid_arguments_are_refused_with_their_place(run, tmp_path, given, error, message):
    (tmp_path / "empty").mkdir()
    given = {key: str(tmp_path / "empty") if value == "EMPTY" else value for key, value in given.items()}
    before = files_of(run)
    with pytest.raises(error, match=message):
        score(run, **given)
    assert files_of(run) == before


def test_a_run_without_its_model_says_so(run, folder):
    shutil.rmtree(run.path / "model")
    with pytest.raises(RunError, match="has no model/ to ask"):
        run.score(folder)


def test_the_command_prints_one_row_per_run_and_set(run, folder, capsys):
    command_line.main(["score", str(run.path), "--data", str(folder), "--task", "squad", "--name", "boats", "--device", "cpu"])
    head, _, row = capsys.readouterr().out.splitlines()
    assert head == "| run | set | scored by | rows | em | f1 | em_at_0 | f1_at_0 | span_f1 | no_answer_ap | threshold |"
    scores = run.metrics["boats"]
    shown = [f"{scores[key]:.1f}" for key in ("em", "f1", "em_at_0", "f1_at_0", "span_f1", "no_answer_ap")]
    cells = [cell.strip().replace("\\", "") for cell in row.strip("|").split("|")]
    assert cells[1:] == ["boats", "squad", "12", *shown, "0, not tuned"]


def test_a_threshold_is_shown_with_what_it_was_tuned_on(runs, run):
    assert threshold_words(run, "squad") == "0, not tuned" and threshold_words(run, "cola") == ""
    tuned = next(iter(runs.values()))
    held, threshold = tuned.manifest["held_out"]["squad"], tuned.metrics["squad"]["threshold"]
    said = "always answers" if held["always_answers"] else f"{threshold:.2f}, tuned on {held['questions']} questions"
    assert threshold_words(tuned, "squad") == said


def test_an_invalid_record_is_refused_with_its_name(run, folder):
    run.score(folder, task="cola")
    file = run.path / "scored" / "cola-boats.json"
    file.write_text(json.dumps({"set": {}, "data": {}}))
    with pytest.raises(RunError, match=r"scored/cola-boats.json: it is .*, not an object with `set`, `data` and `scores`; copy it again"):
        run.metrics  # noqa: B018


def test_the_documents_sets_are_valid_and_one_is_the_other_half_of_squad(monkeypatch):
    from official import official

    text = (ROOT / "docs" / "my-data.md").read_text().split("```yaml\nscored_also:")[1].split("```")[0]
    config = Config(tasks=["squad", "mnli", "cola"], scored_also=yaml.safe_load(text))
    assert [config.task_of(name) for name in config.scored_also] == ["mnli", "squad", "squad", "squad", "cola"]
    mismatched = config.further["mismatched"]
    assert (mismatched.folder, mismatched.score, mismatched.labels) == ("mnli", "validation_mismatched", DATASETS["mnli"].labels)
    assert config.further["reviews"].values == (("no", 0), ("yes", 1)) and not config.further["reviews"].hub
    official(monkeypatch)
    rows = load_rows("other-half", config.further["other-half"], "validation", config.data_of("other-half"))
    assert len(rows) == 5795 and rows.origin.endswith("validation (cs224n_rest)")
    assert not {row.title for row in rows.rows} & {*CS224N_TITLES}
