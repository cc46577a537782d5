"""Custom datasets of other domains, added only by a parameter file: read, split, trained briefly and scored."""

import csv
import gzip
import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import yaml
from conftest import ROOT, THREADS, changed
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from mtdnn_kit import Config, ConfigError, export, from_file, load, metrics, prepare, train
from mtdnn_kit.compare.pairing import pair
from mtdnn_kit.data.registry import ALWAYS
from mtdnn_kit.data.rows import made_id
from mtdnn_kit.data.split import joined, sides
from mtdnn_kit.errors import DataError
from mtdnn_kit.training.setup import read_rows

TOPICS = ["billing", "login", "shipping", "refund", "outage", "upgrade", "privacy", "invoice", "address", "coupon"]
TOPICS += ["review", "sizing", "return", "warranty", "stock", "gift", "delivery", "password", "language", "cancel"]


def lines(file: Path, records: list[dict]) -> str:
    """Writes a file in the format that its suffix names."""
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix == ".parquet":
        pyarrow.parquet.write_table(pa.Table.from_pylist(records), file)
    elif file.suffix in (".csv", ".tsv"):
        with open(file, "w", newline="", encoding="utf-8") as out:
            writer = csv.DictWriter(out, list(records[0]), delimiter={".csv": ",", ".tsv": "\t"}[file.suffix])
            writer.writeheader()
            writer.writerows(records)
    else:
        file.write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(file)


def tickets(folder: Path) -> dict:
    """Twenty labels as texts in a CSV, some of them rare; a tenth of the rows is split off for scoring."""
    rng = np.random.default_rng(7)
    records = [
        {"no": 100 + i, "text": f'My "{TOPICS[k]}", please: it, well,\nfails {i}.', "topic": TOPICS[k].title()}
        for i, k in enumerate((rng.integers(20, size=240) ** 2 // 20).tolist() + list(range(20)))
    ]
    return {
        "type": "sc",
        "files": {"train": lines(folder / "tickets.csv", records)},
        "columns": {"first": "text", "label": "topic"},
        "labels": {topic.title(): topic for topic in TOPICS},
        "metrics": ["macro_f1", "accuracy", "matthews"],
        "validation_ratio": 0.1,
    }


def weather(folder: Path) -> dict:
    """Three labels, numbered from 1, sentences from a template; two files."""
    kinds = {1: ("dry", "sunny"), 2: ("wet", "rainy"), 3: ("cold", "snowy")}
    for split, count in (("train", 60), ("dev", 18)):
        lines(
            folder / f"{split}.csv",
            [{"station": f"S{i}", "degrees": i - 9, "sky": kinds[i % 3 + 1][1], "class": i % 3 + 1} for i in range(count)],
        )
    return {
        "type": "sc",
        "files": {split: str(folder / f"{split}.csv") for split in ("train", "dev")},
        "template": {"first": "{{{station}}}: {sky}, {degrees} °C."},
        "columns": {"label": "class"},
        "labels": {n: name for n, (name, _) in kinds.items()},
        "score": "dev",
        "metrics": ["macro_f1"],
    }


def exam(folder: Path) -> dict:
    """Parquet: three choices in a list, the right one given as a letter."""
    for split, count in (("train", 50), ("validation", 20)):
        rows = [{"stem": f"{i} + 2 is", "options": [f"{i + d}" for d in (1, 2, 3)], "key": "B"} for i in range(count)]
        lines(folder / f"{split}.parquet", rows)
    return {
        "type": "mcc",
        "files": {split: str(folder / f"{split}.parquet") for split in ("train", "validation")},
        "columns": {"context": "stem", "choices": "options", "label": "key"},
        "labels": ["A", "B", "C"],
    }


def manuals(folder: Path) -> dict:
    """Official SQuAD 1.1 JSON, gzip: documents of 25,000 characters; every question has an answer, some near the end."""
    articles = []
    for a in range(4):
        text = f"Part {a}. " + " ".join(f"Valve {i} of pump {a} opens at {i * 7} bar." for i in range(900))
        text = text[: 25_000 - 1] + "."
        asked = (0, 300, 540)
        qas = [
            {
                "id": f"{a}-{i}",
                "question": f"When does valve {i} open?",
                "answers": [{"text": f"{i * 7} bar", "answer_start": at + len(f"Valve {i} of pump {a} opens at ")}],
            }
            for i in asked
            for at in [text.index(f"Valve {i} of")]
        ]
        articles.append({"title": f"Pump_{a}", "paragraphs": [{"context": text, "qas": qas}]})
    folder.mkdir(parents=True, exist_ok=True)
    for split, some in (("train", articles[:3]), ("validation", articles[3:])):
        (folder / f"{split}.json.gz").write_bytes(gzip.compress(json.dumps({"version": "1.1", "data": some}).encode()))
    return {"type": "qa", "files": {s: str(folder / f"{s}.json.gz") for s in ("train", "validation")}, "unanswerable": False}


def recipes(folder: Path) -> dict:
    """Pairs in a TSV, five of each dish; whole dishes are split off for scoring."""
    rows = [{"dish": f"dish {i // 5}", "step": f"Boil {i}", "next": f"Stir {i}", "ok": ("no", "yes")[i % 2]} for i in range(100)]
    return {
        "type": "sc",
        "files": {"train": lines(folder / "recipes.tsv", rows)},
        "columns": {"first": "step", "second": "next", "label": "ok"},
        "labels": ["no", "yes"],
        "metrics": ["f1", "accuracy"],
        "validation_ratio": 0.2,
        "group": "dish",
    }


OWN = {"tickets": tickets, "weather": weather, "exam": exam, "manuals": manuals, "recipes": recipes}
N = {"weather": 18, "exam": 20, "manuals": 3, "recipes": 20}


@pytest.fixture
def own(tmp_path, tiny):
    """own(names, **changes): a configuration with those datasets, read from a parameter file."""

    def make(*names: str, **changes) -> Config:
        define = {name: OWN[name](tmp_path / name) for name in names}
        small = dict(run_dir=str(tmp_path / "run"), encoder=tiny, batch_size=8, max_steps=6, max_length=128, overlap=30, precision="fp32")
        weight = 1.0 if len(names) == 1 else 0.4
        params = {**small, "device": "cpu", "threads": THREADS, "tasks": list(names), "define": define, "qa_weight": weight, **changes}
        (tmp_path / "mine.yaml").write_text(yaml.safe_dump(params, allow_unicode=True, sort_keys=False))
        return from_file(tmp_path / "mine.yaml")

    return make


def test_five_datasets_of_other_domains_are_trained_together_and_scored(own):
    run = train(own(*OWN, max_steps=12))
    assert {task: scores["n"] for task, scores in run.metrics.items()} == {**N, "tickets": run.metrics["tickets"]["n"]}
    assert run.metrics["tickets"]["n"] == 26 and set(run.metrics["tickets"]) == {"macro_f1", "accuracy", "matthews", "n"}
    assert all(0 <= value <= 100 for task in N for value in run.metrics[task].values() if isinstance(value, float) and task != "manuals")
    said = [json.loads(line) for line in (run.path / "predictions" / "tickets.jsonl").read_text().splitlines()]
    assert {len(choice["probabilities"]) for choice in said} == {20}
    assert {len(choice["probabilities"]) for choice in run.choices("exam")} == {3}
    manifest = run.manifest["data"]
    assert manifest["recipes/validation"]["origin"] == "file recipes/recipes.tsv (0.2 of it)" and manifest["recipes/train"]["rows"] == 80
    assert str(run.path.parent) not in json.dumps(manifest), "no path of this machine"


def test_questions_that_all_have_an_answer_are_all_answered(own):
    """Documents of 25,000 characters; the last answer is thousands of tokens from the start."""
    run = train(own("manuals"))
    scores = run.metrics["manuals"]
    assert all(run.answers("manuals").values()) and scores["no_answer_accuracy"] is None
    assert (scores["em"], scores["f1"]) == (scores["span_em"], scores["span_f1"]) == (scores["has_answer_em"], scores["has_answer_f1"])
    entries = list(run.nbest("manuals"))
    assert scores["threshold"] == max(entry["null"] - entry["nbest"][0][2] for entry in entries)
    assert min(entry["windows"] for entry in entries) > 60
    assert [question.replies["QA"].text for question in pair({"QA": run}, task="manuals")] == list(run.answers("manuals").values())


def test_custom_questions_are_answered_too(own):
    run = train(own("manuals"))
    model = load(run)
    for question in ("Who?", "<script>alert(1)</script>", "What is it that nobody ever asked about the lamp?"):
        said = model.answer(question, "The lamp stands by the door.")
        assert said.text and said.threshold == ALWAYS
    assert "1e+300" in (export(run, "manuals") / "README.md").read_text()


def test_a_run_is_compared_after_its_files_have_moved(own, tmp_path):
    run = train(own("exam", max_steps=2))
    from mtdnn_kit.compare import choices

    (tmp_path / "exam").rename(tmp_path / "moved")
    with pytest.raises(DataError, match=r"exam/validation.parquet: there is no such file. Correct `files`"):
        choices.pair({"a": run}, task="exam")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "moved").rename(tmp_path / "elsewhere" / "exam")
    assert len(choices.pair({"a": run}, str(tmp_path / "elsewhere"), "exam")) == 20


def rows_of(c: Config) -> dict[str, tuple[list, list]]:
    (train_rows, _, scored), _ = read_rows(c)
    return {task: (list(train_rows[task]), list(scored.get(task, []))) for task in train_rows}


def test_labels_are_names_numbers_or_values_of_the_column(own):
    found = rows_of(own("tickets", "weather"))
    assert all(TOPICS[row.label] in row.first for part in found["tickets"] for row in part)
    first, second = found["weather"][0][:2]
    assert (first.first, first.label) == ("{S0}: sunny, -9 °C.", 0) and (second.first, second.label) == ("{S1}: rainy, -8 °C.", 1)


def define(tmp_path, records: list[dict], **row) -> dict:
    kind = {"type": "sc", "columns": {"first": "text", "label": "y"}, "labels": ["no", "yes"]} if "type" not in row else {}
    return {"x": {**kind, "files": {"train": lines(tmp_path / "x.jsonl", records)}, "score": None, **row}}


def read(tmp_path, records: list[dict], **row) -> list:
    return rows_of(Config(tasks=["x"], qa_weight=1.0, define=define(tmp_path, records, **row)))["x"][0]


@pytest.mark.parametrize(
    ("labels", "values", "wrong", "message"),
    [
        (["no", "yes"], ["yes", "no", "no", "yes"], "Yes", "'Yes': it must be a whole number from 0 to 1 .*or one of these names"),
        ({False: "no", True: "yes"}, [True, False, False, True], 1, r"1: it must be one of False \(no\), True \(yes\); correct the value"),
        ({False: "no", True: "yes"}, [True, False, False, True], "no", r"'no': it must be one of False .* put them in quotes"),
        ({5: "no", 9: "yes"}, [9, 5, 5, 9], 0, r"0: it must be one of 5 \(no\), 9 \(yes\)"),
        ({"-": "no", "+": "yes"}, ["+", "-", "-", "+"], "no", "'no': it must be one of"),
        (["no", "yes"], [1, 0, 0, 1], True, "True: it must be a whole number .* write `labels: {false: NAME, true: NAME}`"),
    ],
)
def test_valid_and_invalid_labels(tmp_path, labels, values, wrong, message):
    records = [{"text": f"t{i}", "y": value} for i, value in enumerate(values)]
    assert [row.label for row in read(tmp_path, records, labels=labels)] == [1, 0, 0, 1]
    with pytest.raises(DataError, match=f"x.jsonl, line 5: column 'y' is {message}"):
        read(tmp_path, [*records, {"text": "t", "y": wrong}], labels=labels)


def test_labels_in_a_table_are_numbers_or_booleans_as_text(tmp_path):
    for labels, values in (
        ({False: "no", True: "yes"}, ["true", "False"]),
        (["no", "yes"], ["1", "0"]),
        ({"1": "no", "2": "yes"}, ["2", "1"]),
    ):
        file = lines(tmp_path / f"{values[0]}.csv", [{"text": f"t{i}", "y": value} for i, value in enumerate(values)])
        row = {"type": "sc", "columns": {"first": "text", "label": "y"}, "labels": labels, "files": {"train": file}, "score": None}
        found = rows_of(Config(tasks=["x"], qa_weight=1.0, define={"x": row}))["x"][0]
        assert [r.label for r in found] == [1, 0]


MCC = {"type": "mcc", "columns": {"context": "q", "choices": "o", "label": "y"}}


@pytest.mark.parametrize("count", [2, 3, 5])
def test_choices_are_columns_or_a_list_and_the_right_one_is_a_number_a_letter_or_its_text(tmp_path, count):
    texts = [f"answer {c}" for c in range(count)]
    as_list = [{"q": "Which?", "o": texts, "y": c, "letter": "ABCDE"[c], "text": texts[c]} for c in range(count)]
    as_columns = [{**record, **{f"o{c}": text for c, text in enumerate(texts)}} for record in as_list]
    nested = [{**record, "o": {"text": texts, "label": ["A", "B"]}} for record in as_list]
    columns = {"context": "q", "choices": [f"o{c}" for c in range(count)]}
    for records, row in (
        (as_list, MCC),
        (as_list, {**MCC, "columns": {**MCC["columns"], "label": "letter"}, "labels": list("ABCDE"[:count])}),
        (as_list, {"type": "mcc", "columns": {"context": "q", "choices": "o", "answer": "text"}}),
        (as_columns, {"type": "mcc", "columns": {**columns, "label": "y"}}),
        (as_columns, {"type": "mcc", "columns": {**columns, "label": "letter"}, "labels": list("ABCDE"[:count])}),
        (nested, {"type": "mcc", "columns": {"context": "q", "choices": "o.text", "label": "y"}}),
    ):
        found = read(tmp_path, records, **row)
        assert [row.label for row in found] == list(range(count)) and {row.choices for row in found} == {tuple(texts)}


@pytest.mark.parametrize(
    ("record", "row", "message"),
    [
        ({"o": ["a", "b", "c"], "y": 0}, MCC, "3 choices, but the first row has 2: each row must have the same number"),
        ({"o": ["a"], "y": 0}, MCC, "at least 2 choices"),
        ({"o": ["a", None], "y": 0}, MCC, "a choice in column 'o' is None: it must be text"),
        ({"o": "a", "y": 0}, MCC, "column 'o' is 'a': it must be a list"),
        (
            {"o": ["a", "b"], "y": "B"},
            MCC,
            r"column 'y' is 'B': .* write `labels: \[A, B\]`; if it holds the right choice's text, name it",
        ),
        ({"o": ["a", "b"], "y": 0}, {**MCC, "labels": ["A", "B", "C"]}, "line 1: there are 2 choices, but `labels` names 3"),
        (
            {"o": ["a", "b"], "y": "c"},
            {"type": "mcc", "columns": {"context": "q", "choices": "o", "answer": "y"}},
            "column 'y' is 'c', which is none of the choices",
        ),
        (
            {"o": ["a", "a"], "y": "a"},
            {"type": "mcc", "columns": {"context": "q", "choices": "o", "answer": "y"}},
            "which is more than one",
        ),
    ],
)
def test_invalid_choices_are_reported_with_the_row(tmp_path, record, row, message):
    good = {"q": "?", "o": ["a", "b"], "y": "a" if "answer" in row["columns"] else 0}
    with pytest.raises(DataError, match=f"x.jsonl, line [12]: .*{message}|x.jsonl, {message}"):
        read(tmp_path, [good, {"q": "?", **record}], **row)


CONTEXT = "🌍 It rises in the Alps."
QA = {"type": "qa", "columns": {"context": "doc", "question": "ask", "answers": "a", "starts": "s"}}


@pytest.mark.parametrize(
    ("values", "row"),
    [
        ([{"a": {"text": ["Alps"], "answer_start": [18]}}, {"a": {"text": [], "answer_start": []}}], {}),
        ([{"a": [{"text": "Alps", "answer_start": 18}]}, {"a": []}], {}),
        ([{"a": ["Alps"], "s": [18]}, {"a": [], "s": []}], QA),
        ([{"a": "Alps", "s": 18}, {"a": "", "s": -1}], QA),
        ([{"a": "Alps", "s": 18}, {"a": None, "s": None}], QA),
    ],
)
def test_answers_have_four_forms_and_missing_ids_are_generated(tmp_path, values, row):
    plain = {"type": "qa", "columns": {"context": "doc", "question": "ask", "answers": "a"}}
    found = read(tmp_path, [{"doc": CONTEXT, "ask": f"Where? {i}", **value} for i, value in enumerate(values)], **(row or plain))
    assert [(r.id, r.title, r.answers) for r in found] == [
        (made_id(CONTEXT, "Where? 0"), "", ((18, "Alps"),)),
        (made_id(CONTEXT, "Where? 1"), "", ()),
    ]


def test_answers_in_a_table_are_texts_or_json(tmp_path):
    records = [{"doc": CONTEXT, "ask": "Where?", "a": "Alps", "s": 18}, {"doc": CONTEXT, "ask": "?", "a": "", "s": ""}]
    records += [{"doc": CONTEXT, "ask": "Where, and what?", "a": '["Alps", "rises"]', "s": "[18, 5]"}]
    file = lines(tmp_path / "x.csv", records)
    found = rows_of(Config(tasks=["x"], qa_weight=1.0, define={"x": {**QA, "files": {"train": file}, "score": None}}))["x"][0]
    assert [row.answers for row in found] == [((18, "Alps"),), (), ((18, "Alps"), (5, "rises"))]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            {"a": "Alps", "s": 17},
            "answer 'Alps' should start at character 17, but the context has .* the text starts at character 18. Correct",
        ),
        ({"a": "Alps", "s": 21}, r"starts at character 18 \(its offset counts UTF-8 bytes, not characters\)"),
        ({"a": ["Alps"], "s": [18, 3]}, "columns 'a' and 's' have 1 texts but 2 starts"),
        ({"a": "Alps", "s": [18]}, "must hold a text and a whole number, or a list of each"),
        ({"a": "Alps", "s": "18.5"}, "an answer_start in column 's' is '18.5': it must be a whole number"),
        ({"a": "", "s": 3}, "column 'a' is empty, but 's' is 3: a question without an answer must have -1 there"),
        ({"a": "", "s": -1}, "has no answer, despite `unanswerable: false`"),
    ],
)
def test_invalid_answers_are_reported_with_the_row(tmp_path, value, message):
    good = {"doc": CONTEXT, "ask": "?", "a": "Alps", "s": 18}
    with pytest.raises(DataError, match=f"x.jsonl, line 2.*: .*{message}"):
        read(tmp_path, [good, {**good, **value}], **QA, unanswerable=False)


def test_a_template_joins_columns_and_reports_a_missing_one(tmp_path):
    row = {"template": {"first": "{t}?", "second": "It is about {n.topic}: {{{y}}}."}, "columns": {"label": "y"}}
    both = {"type": "sc", "labels": ["no", "yes"], **row}
    found = read(tmp_path, [{"t": "a {b}", "n": {"topic": "tea"}, "y": 1}], **both)[0]
    assert (found.first, found.second) == ("a {b}?", "It is about tea: {1}.")
    with pytest.raises(DataError, match=r"line 1: column 'n.topic' is missing; the columns are 't', 'y'"):
        read(tmp_path, [{"t": "a", "y": 1}], **both)
    with pytest.raises(DataError, match=r"line 1: column 't', used by a template, is None: it must be text"):
        read(tmp_path, [{"t": None, "n": {"topic": "tea"}, "y": 1}], **both)


SC = {"type": "sc", "columns": {"first": "a", "label": "y"}, "labels": ["no", "yes"]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"template": "{a} {b}"}, r"template is '{a} {b}'; it maps first or second to a text"),
        ({"template": {"first": "{b}"}}, "template.first: `columns` also names a column for 'first'"),
        ({"template": {"second": "{b"}}, "template.second is '{b': "),
        ({"template": {"second": "{b!r}"}}, "template.second is .*put only a column name in braces"),
        ({"template": {"second": "{}"}}, "template.second is .*put only a column name in braces"),
        ({"template": {"second": "tea"}}, "template.second is 'tea'; it must be text with a column name in braces"),
        ({"labels": [False, True]}, "labels is .*YAML does not read no, yes, on, off and numbers as text: put them in quotes"),
        ({"labels": ["no", "no"]}, "labels names 'no' twice"),
        ({"labels": {1.5: "no", 2: "yes"}}, "labels maps"),
        ({"metrics": ["macrof1"]}, r"metrics is .*Did you mean macro_f1\?"),
        ({"metrics": []}, r"metrics is \[\]"),
        ({"colums": {}}, r"colums: no such key. Did you mean columns\?"),
        ({"columns": {"first": "a", "lable": "y"}}, r"columns must map first, second, label .* Did you mean label\?"),
        ({"validation_ratio": 1.0}, "validation_ratio is 1.0; it must be a share"),
        ({"validation_ratio": True}, "validation_ratio is True"),
        ({"validation_ratio": None}, "validation_ratio is None"),
        ({"validation_ratio": 0.1, "score": None}, "validation_ratio splits the scored rows off the training rows"),
        (
            {"files": {"train": "a.csv"}},
            "files lacks 'validation': name its file. Set score: null .* or validation_ratio to split it off train",
        ),
        ({"files": {"train": "a.csv"}, "train": "t"}, "files lacks 't'"),
        (
            {"files": {"train": "a.csv", "validation": "b.csv"}, "validation_ratio": 0.1},
            "files.validation: this split is not used; there is train",
        ),
        (
            {"files": {"train": "a.xlsx"}, "score": None},
            "files.train is 'a.xlsx'; its name must end in .jsonl, .csv, .tsv, .parquet, .json",
        ),
        ({"files": {"train": "a.csv"}, "score": None, "hub": "a/b"}, "files: `hub` names another source of the rows"),
        ({"files": ["a.csv"]}, "files is "),
        ({"files": {}}, "files names no file"),
        ({"quoted": "no"}, "quoted is 'no'; it must be true or false"),
        ({"unanswerable": False}, "unanswerable: it applies to question answering only"),
        ({"values": [1, 2]}, "values: no such key"),
    ],
)
def test_an_invalid_definition_is_refused_with_its_key(change, message):
    with pytest.raises(ConfigError, match=f"^define.x.{message}"):
        Config(define={"x": {**SC, **change}})


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"type": ["qa"]}, r"type is \['qa'\]; it must be one of qa, sc, mcc"),
        ({"type": "qa", "metrics": ["accuracy"]}, "metrics is .*this type has fixed scores: leave it out"),
        ({"type": "qa", "labels": ["a", "b"]}, "labels: rows of type qa have no labels"),
        ({"type": "qa", "template": {"context": "{a}"}}, "template is .*it maps question to"),
        ({"type": "mcc", "columns": {"context": "q", "choices": "o"}}, "columns lacks 'label': name the column"),
        (
            {"type": "mcc", "columns": {"context": "q", "choices": "o", "label": "y", "answer": "z"}},
            "columns lacks 'label': name",
        ),
        ({"type": "mcc", "columns": {"context": "q", "choices": ["o"], "label": "y"}}, "columns.choices is"),
        (
            {"type": "mcc", "columns": {"context": "q", "choices": ["a", "b"], "label": "y"}, "labels": ["A"]},
            "labels names 1 labels, but there are 2",
        ),
        (
            {"type": "mcc", "columns": {"context": "q", "choices": "o", "answer": "y"}, "labels": ["A", "B"]},
            "labels belong to the column",
        ),
    ],
)
def test_an_invalid_definition_of_the_other_types_is_refused_with_its_key(row, message):
    with pytest.raises(ConfigError, match=f"^define.x.{message}"):
        Config(define={"x": row})


def split_of(tmp_path, records: list[dict], ratio: float, **row) -> tuple[list, list]:
    kind = {} if "type" in row else SC
    given = {**kind, "files": {"train": lines(tmp_path / "x.jsonl", records)}, "validation_ratio": ratio, **row}
    return rows_of(Config(tasks=["x"], qa_weight=1.0, define={"x": given}))["x"]


def test_a_pair_whose_second_text_is_a_template_is_classified_and_exported_as_a_pair(own, tmp_path):
    records = [{"t": f"claim {i}", "place": f"p{i}", "y": i % 2} for i in range(24)]
    row = {"type": "sc", "columns": {"first": "t", "label": "y"}, "template": {"second": "in {place}"}, "labels": ["no", "yes"]}
    row |= {"files": {"train": lines(tmp_path / "pairs.jsonl", records)}, "validation_ratio": 0.25}
    run = train(changed(own("exam"), tasks=["claims"], define={"claims": row}, qa_weight=1.0))
    found = json.loads((run.path / "predictions" / "claims.jsonl").read_text().splitlines()[0])
    scored = next(row for row in rows_of(Config(**run.config))["claims"][1] if row.id == found["id"])
    said = load(run).classify(scored.first, scored.second).probabilities
    assert [said["no"], said["yes"]] == pytest.approx(found["probabilities"], abs=1e-4)
    with pytest.raises(DataError, match="second: claims is a task of pairs; give the second text as well"):
        load(run).classify("claim 1")
    assert "text_pair" in (export(run, "claims") / "README.md").read_text()


def test_a_ratio_splits_by_the_rows_content_not_by_their_order(tmp_path):
    records = [{"a": f"text {i % 150}", "y": i % 2} for i in range(200)]
    left, scored = split_of(tmp_path, records, 0.1)
    assert len(scored) + len(left) == 200 and 18 <= len(scored) <= 22
    assert not {row.first for row in left} & {row.first for row in scored}, "equal texts stay on one side"
    again_left, again = split_of(tmp_path, records[::-1], 0.1)
    assert {row.first for row in again} == {row.first for row in scored} and len(again) == len(scored)
    assert Counter(row.first for row in left) == Counter(row.first for row in again_left)
    more = split_of(tmp_path, [*records, *({"a": f"new {i}", "y": 0} for i in range(20))], 0.1)[1]
    assert len({row.first for row in more} & {row.first for row in scored}) >= len({row.first for row in scored}) - 4, "almost all stay"
    assert [row.id for row in left] == sorted(row.id for row in left), "in the file's order"


def test_a_group_and_a_passage_are_never_split(tmp_path):
    records = [{"a": f"text {i}", "y": i % 2, "article": i // 7} for i in range(210)]
    left, scored = split_of(tmp_path, records, 0.2, group="article")
    assert not {row.id // 7 for row in left} & {row.id // 7 for row in scored} and len(scored) == 42
    qa = [{"doc": f"Oak {i // 4}.", "ask": f"What {i}?", "a": "Oak", "s": 0} for i in range(80)]
    left, scored = split_of(tmp_path, qa, 0.25, **QA)
    assert not {row.context for row in left} & {row.context for row in scored} and len(scored) == 20
    for value in ("", None, 1.5):
        with pytest.raises(DataError, match="line 2: column 'article' is .*: each row must have a group"):
            split_of(tmp_path, [records[0], {**records[1], "article": value}], 0.2, group="article")
    with pytest.raises(DataError, match="line 1: column 'articel' is missing"):
        split_of(tmp_path, records, 0.2, group="articel")
    with pytest.raises(DataError, match="x.jsonl: all rows belong to one group, or"):
        split_of(tmp_path, records[:7], 0.2, group="article")


def test_groups_that_share_a_text_or_a_passage_are_not_split_apart(tmp_path):
    records = [{"a": f"text {i // 2}", "y": i % 2, "customer": f"c{i % 2}-{i // 8}"} for i in range(160)]  # each text in two groups
    left, scored = split_of(tmp_path, records, 0.2, group="customer")
    assert not {row.first for row in left} & {row.first for row in scored} and len(scored) == 32
    assert not {records[row.id]["customer"] for row in left} & {records[row.id]["customer"] for row in scored}
    qa = [{"doc": f"Oak {i // 4}.", "ask": f"What {i}?", "a": "Oak", "s": 0, "who": f"{i // 16} {i % 4}"} for i in range(80)]
    left, scored = split_of(tmp_path, qa, 0.2, **QA, group="who")
    assert not {row.context for row in left} & {row.context for row in scored} and len(scored) == 16
    with pytest.raises(DataError, match="all rows belong to one group, or to groups that share texts, so none"):
        split_of(tmp_path, [{**record, "a": "the same"} for record in records], 0.2, group="customer")


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=30))
@settings(max_examples=100, deadline=None)
def test_units_are_the_smallest_sets_that_share_no_group_and_no_content(rows):
    """Against merging two units at a time."""
    units = joined(np.array([a for a, _ in rows], np.uint64), np.array([b for _, b in rows], np.uint64)).tolist()
    sets = [{i} for i in range(len(rows))]
    for i, (a, b) in enumerate(rows):
        for k, (c, d) in enumerate(rows[:i]):
            one, two = (next(own for own in sets if place in own) for place in (i, k))
            if (a == c or b == d) and one is not two:
                sets = [own for own in sets if own is not one and own is not two] + [one | two]
    for own in sets:
        assert {units[i] for i in own} == {min(rows[i][0] for i in own)}
    assert len(set(units)) == len(sets)


@given(st.lists(st.integers(0, 6), min_size=2, max_size=40).filter(lambda x: len(set(x)) > 1), st.floats(0.01, 0.99))
@settings(max_examples=150, deadline=None)
def test_the_number_of_whole_units_scored_is_nearest_to_the_ratio(units, ratio):
    left, scored = sides(np.array(units, np.uint64), ratio, "x")
    said, others = {units[i] for i in scored}, {units[i] for i in left}
    assert sorted([*left, *scored]) == list(range(len(units))) and said and others and max(said) < min(others)
    sizes = [sum(u <= last for u in units) for last in sorted(set(units))[:-1]]
    assert abs(len(scored) - ratio * len(units)) == min(abs(size - ratio * len(units)) for size in sizes)


def test_a_folder_works_too_and_an_unused_file_for_scoring_is_refused(tmp_path):
    records = [{"a": f"text {i}", "y": i % 2} for i in range(50)]
    lines(tmp_path / "data" / "x" / "train.csv", records)
    c = Config(tasks=["x"], qa_weight=1.0, data=str(tmp_path / "data"), define={"x": {**SC, "validation_ratio": 0.1}})
    assert [len(part) for part in rows_of(c)["x"]] == [45, 5]
    assert read_rows(c)[1]["x/validation"]["origin"] == "folder data/x/train.csv (0.1 of it)"
    lines(tmp_path / "data" / "x" / "validation.csv", records[:3])
    with pytest.raises(DataError, match=r"it holds validation.csv, but validation_ratio splits the scored rows off train.csv"):
        rows_of(c)
    assert [len(part) for part in rows_of(changed(c, define={"x": SC}))["x"]] == [50, 3]


def test_a_dataset_of_the_hub_can_be_used_together_with_the_sample(monkeypatch):
    """The hub cannot be reached in tests: its client is replaced, with a real `datasets.Dataset` as the answer."""
    import datasets

    rows, asked = [{"a": f"text {i}", "y": i % 2} for i in range(40)], []
    monkeypatch.setattr("huggingface_hub.HfApi.dataset_info", lambda *a, **k: None)
    monkeypatch.setattr("datasets.load_dataset", lambda *a, **k: asked.append((*a, k["split"])) or datasets.Dataset.from_list(rows))
    own = {"x": {**SC, "hub": "me/mine", "hub_config": "plain", "train": "all", "validation_ratio": 0.25}}
    found = rows_of(Config(tasks=["cola", "x"], define=own))
    assert [len(part) for part in found["x"]] == [30, 10] and len(found["cola"][0]) > 100
    assert set(asked) == {("me/mine", "plain", "all")}


def test_paths_are_relative_to_the_project_and_the_cache_depends_on_content(tmp_path, monkeypatch):
    records = [{"a": f"text {i}", "y": i % 2} for i in range(20)]
    lines(tmp_path / "project" / "my" / "x.csv", records)
    (tmp_path / "project" / "pyproject.toml").touch()
    (tmp_path / "project" / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "project" / "notebooks")
    row = {**SC, "files": {"train": "my/x.csv"}, "score": None}
    before = rows_of(Config(tasks=["x"], qa_weight=1.0, define={"x": row}))["x"][0]
    lines(tmp_path / "project" / "my" / "x.csv", [{**records[0], "a": "other"}, *records[1:]])
    after = rows_of(Config(tasks=["x"], qa_weight=1.0, define={"x": row}))["x"][0]
    assert before[0].first == "text 0" and after[0].first == "other" and before[1:] == after[1:]
    turned = rows_of(Config(tasks=["x"], qa_weight=1.0, define={"x": {**row, "labels": {1: "no", 0: "yes"}}}))["x"][0]
    assert [r.label for r in turned] == [1 - r.label for r in after], "another definition gives other rows"
    with pytest.raises(DataError, match="my/nowhere.csv: there is no such file"):
        rows_of(Config(tasks=["x"], qa_weight=1.0, define={"x": {**row, "files": {"train": "my/nowhere.csv"}}}))


@given(st.lists(st.tuples(st.integers(0, 19), st.integers(0, 19)), min_size=1, max_size=50))
@settings(max_examples=100, deadline=None)
def test_macro_f1_equals_scikit_learns(pairs):
    gold, said = zip(*pairs, strict=True)
    assert metrics.f1_macro(gold, said) == pytest.approx(100 * f1_score(gold, said, average="macro", zero_division=0))


def test_an_overview_of_custom_data(own):
    from mtdnn_kit.views import overview

    setup = prepare(own("exam", "tickets", "manuals"))
    table = {row["task"]: row for row in overview.datasets_table(setup)}
    assert table["exam"]["answer"] == "one of the choices" and table["manuals"]["answer"] == "a span" and table["tickets"]["scored"] == 26
    assert overview.examples(setup, "exam", 1)[0]["label"] == "B" and overview.label_counts(setup)["exam"] == {"A": 0, "B": 70, "C": 0}
    assert overview.windows_table(setup.train["manuals"], [128], 64)[0]["in no window"] == "0.0%"


def test_the_datasets_in_docs_my_data_can_be_read(tmp_path, monkeypatch):
    block = next(
        block
        for block in re.findall(r"^```yaml\n(.*?)^```$", (ROOT / "docs" / "my-data.md").read_text(), re.DOTALL | re.MULTILINE)
        if "tickets" in block
    )
    asked = {"id": "a", "question": "Where?", "answers": [{"text": "Alps", "answer_start": 0}]}
    squad = gzip.compress(json.dumps({"data": [{"title": "R", "paragraphs": [{"context": "Alps.", "qas": [asked]}]}]}).encode())
    tickets = [{"message": f"m{i}", "topic": ("BILL", "SHIP", "TECH")[i % 3], "customer": f"c{i // 2}"} for i in range(40)]
    lines(tmp_path / "my" / "tickets.csv", tickets)
    for split in ("train", "dev"):
        lines(tmp_path / "my" / f"{split}.parquet", [{"stem": "2 + 2", "options": ["3", "4", "5"], "key": "B"}])
        (tmp_path / "my" / f"{split}.json.gz").write_bytes(squad)
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.chdir(tmp_path)
    params = {**yaml.safe_load(block), "tasks": ["squad", "tickets", "exam", "manuals"]}
    found = rows_of(Config(**params))
    assert [len(part) for part in found["tickets"]] == [36, 4] and found["exam"][1][0].label == 1 and found["manuals"][0][0].title == "R"
    assert Config(**{**params, "tasks": ["squad", "rte"]}).datasets["rte"].template == {"second": "So {sentence2}"}
