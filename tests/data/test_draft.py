"""A draft of a definition works as printed: pasted into a parameter file, it reads the file's rows correctly."""

import json
import re

import pytest
from conftest import ROOT
from torch.nn import ModuleDict
from written import jsonl, parquet, table

from mtdnn_kit import from_file
from mtdnn_kit.__main__ import main
from mtdnn_kit.data import guess
from mtdnn_kit.training.setup import read_rows

PASSAGES = [f"Hut {i} stands at {900 + i} metres, above the lake of Orra." for i in range(12)]
ASKED = [
    {
        "id": f"h{i}",
        "title": f"Hut {i // 3}",
        "context": text,
        "question": "How high is it?",
        "text": f"{900 + i} metres",
        "first": text.index("metres") - 4,
    }
    for i, text in enumerate(PASSAGES)
]
SAID = [f"Boat number {i} {'leaks' if i % 3 else 'floats'} today." for i in range(24)]


def answers(row: dict) -> list[dict]:
    return [{"text": row["text"], "answer_start": row["first"]}]


def squad(rows: list[dict], keys=("id", "question")) -> bytes:
    articles = [
        {"paragraphs": [{"context": row["context"], "qas": [{**{k: row[k] for k in keys}, "answers": answers(row)}]}]} for row in rows
    ]
    return json.dumps({"data": articles}).encode()


QA = {"context": "context", "question": "question", "answers": "answers"}
CASES = {  # file, content, expected keys of the definition, first row's label or answer, expected doubts
    "squad": (
        "x.json",
        squad(ASKED),
        {"type": "qa", "columns": {"id": "id", **QA}, "unanswerable": False},
        (16, "900 metres"),
        ["title: there is no such column"],
    ),
    "no ids": ("x.json", squad(ASKED, ("question",)), {"columns": QA}, (16, "900 metres"), ["id: there is no such column"]),
    "two columns": (
        "x.csv",
        table([{k: row[k] for k in ("title", "context", "question", "text", "first")} | {"first": f"{row['first']}.0"} for row in ASKED]),
        {"type": "qa", "columns": {"title": "title", "context": "context", "question": "question", "answers": "text", "starts": "first"}},
        (16, "900 metres"),
        [],
    ),
    "other names": (
        "x.jsonl",
        jsonl([{"Frage": row["question"], "Stelle": row["context"], "Antwort": row["text"], "ab": row["first"]} for row in ASKED]),
        {"type": "qa", "columns": {"context": "Stelle", "question": "Frage", "answers": "Antwort", "starts": "ab"}},
        (16, "900 metres"),
        ["question: 'Frage', the column in which most texts end in a question mark"],
    ),
    "pandas": (
        "x.csv",
        table(
            [
                {"context": row["context"], "question": "?", "answers": str({"text": [row["text"]], "answer_start": [row["first"]]})}
                for row in ASKED
            ]
        ),
        {"type": "qa", "columns": QA},
        (16, "900 metres"),
        ["id: there is no such column"],
    ),
    "hub": (
        "x.parquet",
        parquet(
            [
                {
                    **{k: r[k] for k in ("id", "title", "context", "question")},
                    "answers": {"text": [r["text"]], "answer_start": [r["first"]]},
                }
                for r in ASKED
            ]
        ),
        {"type": "qa", "columns": {"id": "id", "title": "title", **QA}},
        (16, "900 metres"),
        [],
    ),
    "pairs": (
        "x.jsonl",
        jsonl([{"premise": text, "hypothesis": "It is wet.", "label": (0, 1, 2, -1)[i % 4]} for i, text in enumerate(SAID)]),
        {"type": "sc", "columns": {"first": "premise", "second": "hypothesis", "label": "label"}, "labels": ["0", "1", "2"], "skip": [-1]},
        0,
        ["skip: rows whose label is -1", "labels: the file does not say what 0, 1, 2 mean"],
    ),
    "names": (
        "x.csv",
        table([{"message": text, "topic": ("leak", "fine")[i % 2]} for i, text in enumerate(SAID)], ";"),
        {"type": "sc", "columns": {"first": "message", "label": "topic"}, "labels": ["fine", "leak"]},
        1,
        [],
    ),
    "lists": (
        "x.jsonl",
        jsonl([{"text": text, "label": [("SHIP", "BILL")[i % 2]]} for i, text in enumerate(SAID)]),
        {"type": "sc", "labels": ["BILL", "SHIP"]},
        1,
        [],
    ),
    "truth": (
        "x.csv",
        table([{"text": text, "ok": i % 2 == 0} for i, text in enumerate(SAID)]),
        {"labels": {False: "false", True: "true"}},
        1,
        ["label: 'ok'"],
    ),
    "marks": (
        "x.tsv",
        b"src\tlabel\ttext\n" + b"".join(f"a\t{i % 2}\t{chr(34) * (i in (2, 5))}{text}\n".encode() for i, text in enumerate(SAID)),
        {"type": "sc", "columns": {"first": "text", "label": "label"}, "labels": ["0", "1"]},
        0,
        [],
    ),
    "from 1": ("x.csv", table([{"text": text, "class": i % 2 + 1} for i, text in enumerate(SAID)]), {"labels": {1: "1", 2: "2"}}, 0, []),
    "choices": (
        "x.csv",
        table([{"question": f"Which, {i}?", "a": "x", "b": f"y{i}", "c": "z", "answerKey": ("B", "2")[i % 2]} for i in range(8)]),
        {
            "type": "mcc",
            "columns": {"context": "question", "choices": ["a", "b", "c"], "label": "answerKey"},
            "labels": {"A": "A", "B": "B", "C": "C", "1": "A", "2": "B", "3": "C"},
        },
        1,
        ["labels: 1 is taken for the first choice, and so is A"],
    ),
    "endings": (
        "x.jsonl",
        jsonl(
            [{"ctx": f"She fills kettle {i} and", "endings": ["eats it.", "sings.", "boils it."], "label": str(i % 3)} for i in range(9)]
        ),
        {"type": "mcc", "columns": {"context": "ctx", "choices": "endings", "label": "label"}, "labels": None},
        0,
        [],
    ),
    "the text": (
        "x.jsonl",
        jsonl([{"stem": f"{i} + 2 is", "options": [f"{i + 1}", f"{i + 2}"], "right": f"{i + 2}"} for i in range(9)]),
        {"type": "mcc", "columns": {"context": "stem", "choices": "options", "answer": "right"}},
        1,
        [],
    ),
    "nested": (
        "x.jsonl",
        jsonl(
            [
                {"question": f"{i} + 2 is", "choices": {"text": [f"{i}", f"{i + 2}"], "label": ["A", "B"]}, "answerKey": "B"}
                for i in range(9)
            ]
        ),
        {"type": "mcc", "columns": {"context": "question", "choices": "choices.text", "label": "answerKey"}, "labels": None},
        1,
        [],
    ),
    "objects": (
        "x.jsonl",
        jsonl(
            [
                {
                    "question": f"{i} + 2 is",
                    "choices": [{"label": "1", "text": f"{i}"}, {"label": "2", "text": f"{i + 2}"}],
                    "answerKey": "2",
                }
                for i in range(9)
            ]
        ),
        {"type": "mcc", "columns": {"context": "question", "choices": "choices", "label": "answerKey"}, "labels": None},
        1,
        [],
    ),
    "a label that is once a place": (
        "x.csv",
        table(
            [
                {"startphrase": f"He lifts pan {i}", "sent1": "He", "ending0": "a pan.", "ending1": f"it {i}.", "label": i % 2}
                for i in range(9)
            ]
        ),
        {"type": "mcc", "columns": {"context": "sent1", "choices": ["ending0", "ending1"], "label": "label"}},
        0,
        ["not used: startphrase"],
    ),
    "tokens": (
        "x.jsonl",
        jsonl([{"text": text, "tokens": text.split(), "label": ("a", "b")[i % 2]} for i, text in enumerate(SAID)]),
        {"type": "sc", "columns": {"first": "text", "label": "label"}, "labels": ["a", "b"]},
        0,
        [],
    ),
    "no header": (
        "x.csv",
        b"".join(f'{i % 3},"{text}"\n'.encode() for i, text in enumerate(SAID)),
        {"type": "sc"},
        1,
        ["the file may have no header; its first row names the columns '0'"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_pasted_draft_reads_the_file(tmp_path, case):
    name, content, wanted, first, doubts = CASES[case]
    (tmp_path / name).write_bytes(content)
    draft = guess(tmp_path / name)
    said = {key: draft.definition.get(key) for key in wanted}
    assert said == wanted and draft.definition["files"] == {"train": str(tmp_path / name)}
    assert all(any(one.startswith(doubt) for one in draft.doubts) for doubt in doubts), draft.doubts
    assert not any("neither numbers nor letters" in one for one in draft.doubts)
    (tmp_path / "params.yaml").write_text(str(draft))
    found = read_rows(from_file(tmp_path / "params.yaml"))[0][0]
    assert len(draft.rows) == 3 and list(found) == [draft.name] and 0 < len(found[draft.name]) < draft.file["rows"]
    row = draft.rows[0]
    assert (row.answers[0] if wanted.get("type", "qa") == "qa" and hasattr(row, "answers") else row.label) == first


def test_equal_columns_are_taken_in_the_order_of_the_file(tmp_path):
    for order in (("kind", "tone"), ("tone", "kind")):
        rows = [{"text": text, **dict.fromkeys(order, ("a", "b")[i % 2])} for i, text in enumerate(SAID)]
        (tmp_path / "x.csv").write_bytes(table(rows))
        assert guess(tmp_path / "x.csv").definition["columns"]["label"] == order[0]
    (tmp_path / "y.csv").write_bytes(table([{"": text, "s": text[::-1], "label": i % 2} for i, text in enumerate(SAID)]))
    assert guess(tmp_path / "y.csv").definition["columns"] == {"first": "s", "label": "label"}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "x.json",
            json.dumps([{"id": "1", "question": "Who?", "context": PASSAGES[0]}]).encode(),
            "no answer that occurs in its passage: training and",
        ),
        ("x.csv", b"a,b\n1,2\n3,4\n", "none of the columns a, b looks like answers, choices or labels"),
        ("x.tsv", b"text\ty\na\n", r"row 1 .line 2.: 1 fields .*: correct the line or remove it"),
        ("x.txt", b"a", "its name must end in"),
        ("x.jsonl", b"", "has no rows"),
        ("x.jsonl", jsonl([{"text": text, "label": ("a", None)[i % 2]} for i, text in enumerate(SAID)]), "looks like answers"),
        (
            "x.csv",
            table([{"text": text, "score": f"{i % 5}.{i % 4}00"} for i, text in enumerate(SAID)]),
            "looks like answers, choices or labels",
        ),
        ("x.jsonl", jsonl([{"text": "{{1}}", "b": "{(0, 5): 'x'}"}]), "looks like answers"),
        ("x.jsonl", b"\xff", "line 1: not UTF-8"),
    ],
)
def test_a_file_without_a_draft_says_why(tmp_path, capsys, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SystemExit) as ended:
        main(["data", str(tmp_path / name)])
    out, err = capsys.readouterr()
    assert ended.value.code == 1 and "no draft; see above" in err
    assert re.search(message, out)


def test_a_draft_that_cannot_read_its_file_says_so(tmp_path, capsys):
    rows = [{**row, "first": row["first"] + (i == 7)} for i, row in enumerate(ASKED)]
    (tmp_path / "x.json").write_bytes(squad(rows))
    main(["data", str(tmp_path / "x.json")])
    out = capsys.readouterr().out
    assert (
        "type: qa" in out and "# doubtful: the file cannot be read with this draft" in out and "article 8, paragraph 1, question 1" in out
    )


def test_a_draft_of_squad_2_takes_the_answers_and_not_the_plausible_ones(tmp_path):
    """Also where the first question has no answer, so that `plausible_answers` comes first."""
    asked = [{"id": row["id"], "question": row["question"]} for row in ASKED]
    for one, row in zip(asked, ASKED, strict=True):
        one |= {"plausible_answers": answers(row), "answers": [], "is_impossible": True} if row is ASKED[0] else {"answers": answers(row)}
    paragraphs = [{"context": row["context"], "qas": [one]} for one, row in zip(asked, ASKED, strict=True)]
    (tmp_path / "x.json").write_text(json.dumps({"data": [{"title": "Huts", "paragraphs": paragraphs}]}))
    draft = guess(tmp_path / "x.json")
    assert draft.definition["columns"]["answers"] == "answers" and not any("cannot be read" in one for one in draft.doubts)


@pytest.mark.parametrize(
    ("name", "task"), [("training", "huts"), ("items", "my-items"), ("type", "my-type"), ("cpu", "my-cpu"), ("cola", "my-cola")]
)
def test_the_drafts_name_can_be_a_tasks_name(tmp_path, name, task):
    (tmp_path / "huts").mkdir()
    (tmp_path / "huts" / f"{name}.csv").write_bytes(table([{"text": text, "kind": i % 2} for i, text in enumerate(SAID)]))
    assert guess(tmp_path / "huts" / f"{name}.csv").name == task and not hasattr(ModuleDict, task)


def test_drafts_of_the_samples_files_are_right():
    sample = ROOT / "mtdnn_kit" / "data" / "sample"
    types = {folder: guess(sample / folder / "train.jsonl").definition["type"] for folder in ("squad", "swag", "cola", "mrpc", "mnli")}
    assert types == {"squad": "qa", "swag": "mcc", "cola": "sc", "mrpc": "sc", "mnli": "sc"}
    swag = guess(sample / "swag" / "train.jsonl").definition["columns"]
    assert (swag["context"], swag["start"], swag["label"]) == ("sent1", "sent2", "label") and len(swag["choices"]) == 4
