"""Notebook 01's tables of the data: counts checked against the rows, by hand where there is no other way."""

import json

import pytest
import transformers
from conftest import DIMENSIONS, make_encoder

from mtdnn_kit import prepare
from mtdnn_kit.data.rows import QARow
from mtdnn_kit.views import overview


@pytest.fixture
def setup(config):
    return prepare(config(threshold_articles=["Cork"], eval_limit=None, max_length=128, max_question=32))


def questions(folder, name: str, rows: list[dict]) -> None:
    (folder / "squad").mkdir(exist_ok=True)
    (folder / "squad" / f"{name}.jsonl").write_text("".join(json.dumps({"title": "T", **row}) + "\n" for row in rows))


def test_sizes_match_the_sample(setup):
    table = {row["task"]: row for row in overview.datasets_table(setup)}
    sizes = {task: (row["train"], row["held out"], row["scored"]) for task, row in table.items()}
    assert sizes == {"squad": (528, 6, 132), "swag": (116, 0, 34), "cola": (240, 0, 60), "mrpc": (124, 0, 36), "mnli": (150, 0, 51)}
    sentences = [row.first for part in overview.splits(setup, "cola").values() for row in part.rows]
    assert table["cola"]["words a row"] == pytest.approx(sum(len(s.split()) for s in sentences) / 300, abs=0.05)


def test_questions_answers_and_labels_are_counted_once_each(setup):
    counts = overview.answers_counts(setup, "squad")
    assert counts["answer"] == {"in the passage": 444, "nothing": 222}
    assert counts["answer, scored rows"] == {"in the passage": 88, "nothing": 44}
    assert sum(counts["question word"].values()) == 666 and sum(counts["type of answer"].values()) == 444
    labels = overview.label_counts(setup)
    assert {task: sum(found.values()) for task, found in labels.items()} == {"swag": 150, "cola": 300, "mrpc": 160, "mnli": 201}
    scored = overview.label_counts(setup, scored=True)
    assert {task: sum(found.values()) for task, found in scored.items()} == {"swag": 34, "cola": 60, "mrpc": 36, "mnli": 51}
    assert list(labels["mnli"]) == ["entailment", "neutral", "contradiction"] and next(iter(labels["swag"])) == "choice 0"


@pytest.mark.parametrize(
    ("question", "word"),
    [
        ("In which year?", "which"),
        ("Whose hat?", "who"),
        ("To whom?", "who"),
        ("Is it?", "other"),
        ("", "other"),
        ("Of what, and when?", "what"),
    ],
)
def test_question_words(question, word):
    assert overview.question_word(QARow("1", "", "", question, ())) == word


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("1823", "year or date"),
        ("14 May 2001", "year or date"),
        ("around 300 BC", "year or date"),
        ("in March", "year or date"),
        ("431 km an hour", "number"),
        ("Augustin-Jean Fresnel", "name"),
        ("the Bay of Fundy", "name"),
        ("fir trees", "phrase"),
        ("because the resin had hardened long before", "clause"),
    ],
)
def test_types_of_answers(text, kind):
    assert overview.answer_type(text) == kind


def test_examples_have_label_names(setup):
    rows = overview.examples(setup, "mnli", 5)
    assert len(rows) == 5 and {row["label"] for row in rows} <= {"entailment", "neutral", "contradiction"}
    assert "second" not in overview.examples(setup, "cola")[0]
    assert [key for key in overview.examples(setup, "swag")[0] if key.startswith("choice")] == [f"choice {i}" for i in range(4)]


def test_the_cost_of_windows(config, tmp_path):
    words = [f"w{i}" for i in range(10)]  # two wordpieces each
    context = " ".join(words)
    rows = [{"id": str(i), "context": context, "question": "w", "answers": answer(context, word)} for i, word in enumerate(("w0", "w9"))]
    rows.append({"id": "2", "context": "w0", "question": "w", "answers": {"text": [], "answer_start": []}})
    for name in ("train", "validation"):
        questions(tmp_path, name, rows)
    setup = prepare(config(data=str(tmp_path), tasks=["squad"], qa_weight=1.0, max_question=1, max_length=16, overlap=0, max_steps=1))
    table = overview.windows_table(setup.train["squad"], [16, 64], 1)
    assert table[0] == {
        "max_length": 16,
        "overlap": 3,
        "windows per question": 1.67,  # 20 tokens in a room of 12 that advances by 9: two windows; the short one: one
        "several windows": "66.7%",
        "lost if cut": "50.0%",
        "in no window": "0.0%",
    }
    assert (table[1]["windows per question"], table[1]["several windows"], table[1]["lost if cut"]) == (1.0, "0.0%", "0.0%")


def answer(context: str, text: str) -> dict:
    return {"text": [text], "answer_start": [context.index(text)]}


def test_an_answer_longer_than_the_overlap_can_fall_between_windows(config, tmp_path):
    context = " ".join("abcdefghijklmnopqrst")  # one wordpiece per letter
    rows = [{"id": "0", "context": context, "question": "w", "answers": answer(context, "i j k l m")}]
    for name in ("train", "validation"):
        questions(tmp_path, name, rows)
    setup = prepare(config(data=str(tmp_path), tasks=["squad"], qa_weight=1.0, max_question=1, max_length=16, overlap=0, max_steps=1))
    assert overview.windows_table(setup.train["squad"], [16], 1)[0]["in no window"] == "100.0%"
    assert overview.windows_table(setup.train["squad"], [16], 1, overlap=0.5)[0]["in no window"] == "0.0%"
    half, given = (overview.windows_table(setup.train["squad"], [16, 64], 1, **how) for how in (dict(overlap=0.5), dict(overlaps={16: 6})))
    assert given[0] == half[0] and given[1] != half[1], "a length's own overlap, in tokens"
    with pytest.raises(ValueError, match="max_question: 64 leaves no room"):
        overview.windows_table(setup.train["squad"], [16], 64)


@pytest.mark.parametrize("task", ["squad", "swag", "cola", "mrpc", "mnli"])
def test_a_row_survives_the_round_trip_through_tokens(setup, task):
    for number in range(0, 60, 7):
        tokens, said = overview.tokens(setup, task, number), overview.back(setup, task, number)
        row = setup.train[task].rows[number]
        assert tokens[0] == ("[CLS]", "special") and tokens[-1] == ("[SEP]", "special")
        joined = "".join(token.removeprefix("##") for token, role in tokens if role == "answer")
        if task == "squad":
            assert said["label says"] == said["row says"] == (row.answers[0][1] if row.answers else "(nothing)")
            assert row.answers == () or row.answers[0][1].isascii(), "the tokenizer changes other letters"
            assert joined == "".join("".join(text for _, text in row.answers[:1]).lower().split())
        elif task == "swag":
            words = f"{row.context} {row.start} {row.choices[row.label]}".lower()
            assert said["label says"] == f"choice {row.label}"
            assert "".join(t.removeprefix("##") for t, role in tokens if role != "special") == "".join(words.split())
        else:
            assert said["label says"] == setup.config.datasets[task].labels[row.label] and not joined
        assert {role for _, role in tokens} <= {"special", "first", "second", "answer"}


def test_odd_rows_are_counted_and_named(config, tmp_path, tokenizer):
    def row(number, context="A cat sat here.", question="Who sat?", texts=("cat",), starts=None):
        starts = starts or [context.index(text) for text in texts]
        return {"id": str(number), "context": context, "question": question, "answers": {"text": list(texts), "answer_start": starts}}

    questions(tmp_path, "validation", [row("v"), row("w", "Another cat.")])
    odd = [
        row("plain", "One cat."),
        row("empty", "One cat.", question=" "),
        row("space", "One cat.", question=" Who?"),
        row("twice", "Two cats, a cat.", texts=("cat",)),
        row("twice2", "Two cats, a cat.", texts=("cat",)),
        row("several", "One cat sat.", texts=("cat", "One cat")),
        row("long question", "One cat.", question="Who " * 12),
        row("inside", "Three cats.", texts=("at",)),
        row("the", "See the cat.", texts=("the",)),
        row("leak", question="Who sat here?"),
        row("leak too", question="Who sat?"),
        row("long answer", "a b c d e f", texts=("b c d e",)),
    ]
    questions(tmp_path, "train", odd)
    small = dict(tasks=["squad"], qa_weight=1.0, max_question=6, max_length=32, overlap=4, max_answer=3, max_steps=1, eval_limit=None)
    # the whole vocabulary: "cats" is one token
    encoder = make_encoder(tmp_path / "encoder", transformers.BertConfig(vocab_size=len(tokenizer), **DIMENSIONS), tokenizer)
    setup = prepare(config(data=str(tmp_path), encoder=encoder, **small))
    found = {r["oddity"]: (r["rows"], r["e.g."]) for r in overview.odd_rows(setup)}
    assert found == {
        "an empty text": (1, "empty"),
        "white space at an end": (2, "space"),
        "texts of another row": (4, "twice"),  # both training rows, the scored row and its copy
        "scored and trained": (1, "v"),
        "several different answers": (1, "several"),
        "question reaches max_question": (1, "long question"),
        "answer over max_answer": (1, "long answer"),
        "answer not on token boundaries": (3, "twice"),
        "answer that normalises to nothing": (1, "the"),
        "passage scored and trained": (1, "v"),
    }


def test_the_sample_has_no_duplicate_rows_and_none_in_two_splits(setup):
    found = {row["oddity"] for row in overview.odd_rows(setup)}
    assert not found & {
        "texts of another row",
        "scored and trained",
        "passage scored and trained",
        "an empty text",
        "white space at an end",
    }


def test_real_data_are_described(real_data, config):
    setup = prepare(config(data=str(real_data), max_length=160, max_question=64, overlap=40, eval_limit=None, train_limit=300))
    assert {row["task"]: row["scored"] for row in overview.datasets_table(setup)}["squad"] == 6078
    assert overview.answers_counts(setup, "squad")["answer"]["nothing"] > 3168
    assert {row["oddity"] for row in overview.odd_rows(setup) if row["task"] == "squad"} >= {"several different answers"}
    table = overview.windows_table(setup.train["squad"], [160, 384], 64)
    lost = [float(row["lost if cut"].removeprefix("under ")[:-1]) for row in table]
    assert lost[0] > lost[1] >= 0
