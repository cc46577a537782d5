"""Rows: their sources, their checks, and the errors for invalid ones."""

import dataclasses
import gzip
import json
import typing

import pytest
from conftest import ROOT
from official import QA, official

from mtdnn_kit.config import from_file
from mtdnn_kit.data import sources
from mtdnn_kit.data.registry import DATASETS, Dataset
from mtdnn_kit.data.rows import QARow
from mtdnn_kit.data.sources import load
from mtdnn_kit.data.split import CS224N_TITLES, cs224n
from mtdnn_kit.errors import DataError

SC = {"sentence": "It is.", "label": 1, "idx": 0}
MCC = {"sent1": "A", "sent2": "B", "ending0": "c", "ending1": "d", "ending2": "e", "ending3": "f", "label": 3}


def put(folder, task: str, *records, split="train", raw: bytes | None = None) -> str:
    dataset = DATASETS[task]
    (folder / dataset.folder).mkdir(exist_ok=True)
    lines = "".join(json.dumps(record) + "\n" for record in records).encode() if raw is None else raw
    (folder / dataset.folder / f"{split}.jsonl").write_bytes(lines)
    return str(folder)


def changed(record: dict, **changes) -> dict:
    return {key: value for key, value in {**record, **changes}.items() if value is not ...}


@pytest.mark.parametrize(
    ("task", "record", "message"),
    [
        ("squad", changed(QA, question=...), "column 'question' is missing; the columns are 'id', 'title', 'context', 'answers'"),
        ("squad", changed(QA, context="  "), "column 'context' is empty"),
        ("squad", changed(QA, question=3), "column 'question' is 3: it must be text"),
        (
            "squad",
            changed(QA, answers={"text": ["the Alps"], "answer_start": [11]}),
            "should start at character 11, but the context has ' the Alp'",
        ),
        ("squad", changed(QA, answers={"text": ["the Alps"], "answer_start": [-1]}), "should start at character -1"),
        (
            "squad",
            changed(QA, answers={"text": ["the Alps"], "answer_start": [900]}),
            "the context has nothing there; the text starts at character 12",
        ),
        ("squad", changed(QA, answers={"text": ["x"], "answer_start": []}), "has 1 in text but 0 in answer_start"),
        ("squad", changed(QA, answers={"text": [""], "answer_start": [3]}), "empty text"),
        ("squad", changed(QA, answers={"text": ["", "the Alps"], "answer_start": [0, 12]}), "empty text"),
        ("squad", changed(QA, answers=["the Alps"]), "empty lists if unanswerable"),
        ("squad", changed(QA, question="\ud800"), "an unpaired surrogate"),
        ("squad", SC, "column 'context' is missing.* It looks like a row of cola"),
        ("cola", changed(SC, label=2), r"column 'label' is 2: it must be from 0 to 1 \(0 unacceptable, 1 acceptable\)"),
        ("cola", changed(SC, label=-1), r"column 'label' is -1: the row has no label; leave such rows out by `skip: \[-1\]`"),
        ("cola", changed(SC, label=None), r"column 'label' is None: the row has no label; leave such rows out by `skip: \[null\]`"),
        ("cola", changed(SC, label=[0, 1]), r"column 'label' is \[0, 1\]: 2 labels, but a row may have only one: keep one of them"),
        ("cola", changed(SC, label="one"), r"it must be a whole number .* leave such rows out, write `skip: \['one'\]`"),
        ("cola", changed(SC, label="1.5"), "it must be a whole number"),
        ("cola", changed(SC, label=True), "it must be a whole number"),
        ("swag", changed(MCC, label=4), "must be from 0 to 3"),
        ("swag", changed(MCC, ending2=None), "column 'ending2' is None: it must be text"),
    ],
)
def test_an_invalid_row_is_refused_with_file_row_and_remedy(tmp_path, task, record, message):
    good = {"squad": changed(QA, id="q0"), "cola": SC, "swag": MCC}[task]
    with pytest.raises(DataError, match=rf"{DATASETS[task].folder}/train.jsonl, line 2( \(id 'q1'.*\))?: .*{message}"):
        load(task, DATASETS[task], "train", put(tmp_path, task, good, record))


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "has no rows"),
        (b"\n \n", "has no rows"),
        (b'{"sentence": "x", "label": 1}\n{"sentence":', "line 2: not JSON"),
        (b"[1]\n", "line 1: .*is not an object.*; name a file that is one JSON list .json"),
        (
            b'{"version": "v2.0", "data": [{"title": "x", "paragraphs": []}]}\n',
            "line 1: it holds a whole file in SQuAD's format: name that",
        ),
        (b'{"sentence": "\xff"}\n', "line 1: not UTF-8"),
    ],
)
def test_an_unreadable_file_is_reported(tmp_path, raw, message):
    with pytest.raises(DataError, match=f"cola/train.jsonl.*{message}"):
        load("cola", DATASETS["cola"], "train", put(tmp_path, "cola", raw=raw))


def test_a_truncated_archive_is_reported(tmp_path):
    put(tmp_path, "cola", SC)
    plain = tmp_path / "cola" / "train.jsonl"
    (tmp_path / "cola" / "train.jsonl.gz").write_bytes(gzip.compress(plain.read_bytes() * 99)[:-9])
    with pytest.raises(DataError, match="both train.jsonl.gz and train.jsonl"):
        load("cola", DATASETS["cola"], "train", str(tmp_path))
    plain.unlink()
    with pytest.raises(DataError, match="train.jsonl.gz: truncated or not gzip"):
        load("cola", DATASETS["cola"], "train", str(tmp_path))


def test_a_missing_file_is_reported_with_the_existing_ones(tmp_path):
    folder = put(tmp_path, "cola", SC)
    with pytest.raises(DataError, match="it holds neither validation.jsonl.gz nor validation.jsonl, but train.jsonl. Set `data:`"):
        load("cola", DATASETS["cola"], "validation", folder)
    with pytest.raises(DataError, match="squad: there is no such folder"):
        load("squad", DATASETS["squad"], "train", folder)
    with pytest.raises(DataError, match="there is no such folder"):
        load("squad", DATASETS["squad"], "train", str(tmp_path / "nowhere"))


def test_a_duplicate_id_is_reported(tmp_path):
    with pytest.raises(DataError, match=r"line 2 \(id 'q1'\): line 1, which has another question or passage, has the same id"):
        load("squad", DATASETS["squad"], "train", put(tmp_path, "squad", QA, {**QA, "question": "Who?"}))


def test_a_fingerprint_depends_on_the_rows_and_not_on_their_place(tmp_path):
    folder = put(tmp_path, "squad", QA)
    first = load("squad", DATASETS["squad"], "train", folder)
    plain = tmp_path / "squad" / "train.jsonl"
    (tmp_path / "squad" / "train.jsonl.gz").write_bytes(gzip.compress(plain.read_bytes()))
    plain.unlink()
    again = load("squad", DATASETS["squad"], "train", folder)
    assert again.fingerprint == first.fingerprint and again.rows == first.rows == [
        QARow("q1", "Rhine", QA["context"], "Where?", ((12, "the Alps"),))
    ]
    other = load("squad", DATASETS["squad"], "validation", put(tmp_path, "squad", changed(QA, question="Where ?"), split="validation"))
    assert other.fingerprint != first.fingerprint
    assert str(tmp_path.parent) not in first.origin and first.origin.endswith("squad/train.jsonl")


TWICE = changed(QA, context="In the Alps, it rises in the Alps.", answers={"text": ["the Alps"], "answer_start": [3]})
OTHERS = [
    ("squad", TWICE, changed(TWICE, answers={"text": ["the Alps"], "answer_start": [25]})),  # the same text at another position
    ("squad", TWICE, changed(TWICE, answers={"text": ["Alps"], "answer_start": [7]})),
    ("squad", TWICE, changed(TWICE, answers={"text": ["the Alps"] * 2, "answer_start": [3, 25]})),
    ("squad", TWICE, changed(TWICE, answers={"text": [], "answer_start": []})),
    ("squad", TWICE, changed(TWICE, title="Rhone")),
    ("cola", SC, changed(SC, label=0)),
    ("mrpc", {"sentence1": "a", "sentence2": "b", "label": 1, "idx": 0}, {"sentence1": "a", "sentence2": "b", "label": 0, "idx": 0}),
    ("swag", MCC, changed(MCC, label=0)),
]


@pytest.mark.parametrize(("task", "one", "other"), OTHERS)
def test_a_changed_answer_and_a_changed_label_change_the_fingerprint(tmp_path, task, one, other):
    """The fingerprint of all rows and of the side of a split that has the row; the other side's is unchanged."""
    texts = {"squad": ("id", "context"), "cola": ("sentence",), "mrpc": ("sentence1",), "swag": ("sent1",)}[task]
    fill = [{**one, **{name: f"{one[name]} {i}" for name in texts}} for i in range(9)]
    cut = dataclasses.replace(DATASETS[task], validation_ratio=0.5, score="validation")

    def fingerprints(record: dict) -> tuple[str, ...]:
        folder = put(tmp_path, task, *fill[:4], record, *fill[4:])
        whole, *sides = load(task, DATASETS[task], "train", folder), load(task, cut, "train", folder), load(task, cut, "validation", folder)
        assert len(whole) == 10 == sum(map(len, sides)) and all(map(len, sides))
        return whole.fingerprint, *(side.fingerprint for side in sides)

    before, after = fingerprints(one), fingerprints(other)
    assert fingerprints(one) == before and before[0] != after[0]
    assert [a != b for a, b in zip(before[1:], after[1:], strict=True)].count(True) == 1


@pytest.mark.parametrize(("task", "least"), [("squad", 650), ("swag", 150), ("cola", 300), ("mrpc", 160), ("mnli", 200)])
def test_the_sample_has_rows_for_the_papers_five_tasks(task, least):
    dataset = DATASETS[task]
    train, scored = (load(task, dataset, split, "sample").rows for split in (dataset.train, dataset.score))
    assert len(train) + len(scored) >= least and len(set(train + scored)) == len(train + scored)

    def texts(rows):
        return {row.context if task in ("squad", "swag") else row.first for row in rows}

    assert not texts(train) & texts(scored), "no passage, scene, sentence or premise is in two splits"
    if task == "squad":
        assert len(texts(train) | texts(scored)) >= 110 and all(len(text.split()) <= 90 for text in texts(train + scored))
        empty = sum(not row.answers for row in train + scored) / len(train + scored)
        assert 0.3 < empty < 0.4
        threshold = from_file(ROOT / "parameters" / "demo.yaml").threshold_articles
        assert set(threshold) < {row.title for row in train} and not set(threshold) & {row.title for row in scored}
    else:
        labels = {row.label for row in train}
        assert labels == {row.label for row in scored} == set(range(4 if task == "swag" else len(dataset.labels)))


@pytest.mark.filterwarnings("ignore")
def test_an_unreachable_hub_is_reported_at_once_with_a_remedy(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.hf_api.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path)
    with pytest.raises(
        DataError, match="hub rajpurkar/squad_v2: the Hugging Face hub can't be reached .* set `data:` to a folder that holds squad/"
    ):
        load("squad", DATASETS["squad"], "train", "hub")
    with pytest.raises(DataError, match="codah: the hub does not have it in these columns"):
        load("codah", DATASETS["codah"], "train", "hub")


def test_the_hubs_rows_pass_the_same_checks(monkeypatch):
    """The hub cannot be reached in tests: its client is replaced, with a real `datasets.Dataset` as the answer."""
    import datasets

    rows = [QA, changed(QA, id="q2", answers={"text": [], "answer_start": []})]
    monkeypatch.setattr("huggingface_hub.HfApi.dataset_info", lambda *a, **k: None)
    monkeypatch.setattr("datasets.load_dataset", lambda name, config, split: datasets.Dataset.from_list(rows))
    found = load("squad1", DATASETS["squad1"], "train", "hub")
    assert [bool(row.answers) for row in found.rows] == [True, False] and found.origin == "hub rajpurkar/squad train"
    rows[1]["answers"] = {"text": ["Alps!"], "answer_start": [16]}
    with pytest.raises(DataError, match=r"hub rajpurkar/squad train, row 2 \(id 'q2', question '.*'\): answer 'Alps!'"):
        load("squad1", DATASETS["squad1"], "train", "hub")


@pytest.mark.parametrize("answers", [..., None, {"text": ["the Alps"]}])
def test_missing_gold_answers_are_reported_with_the_questions_id(tmp_path, answers):
    with pytest.raises(DataError, match=r"squad/train.jsonl, line 2 \(id 'q17', question '.*'\): column 'answers' is"):
        load("squad", DATASETS["squad"], "train", put(tmp_path, "squad", QA, changed(QA, id="q17", answers=answers)))


def test_rows_of_the_hub_follow_its_current_files(monkeypatch, tmp_path):
    """Not cached rows of files that the hub has replaced."""

    class Records(list):
        cache_files: typing.ClassVar = [{"filename": str(tmp_path / "data.arrow")}]  # in the form of the hub's client

    def loaded(label: int):
        records = Records(changed(SC, label=label if i == 2 else 1) for i in range(4))
        (tmp_path / "data.arrow").write_text(repr(list(records)))
        monkeypatch.setattr(sources, "from_hub", lambda *of: records)
        return load("cola", DATASETS["cola"], "train", "hub")

    one, other = loaded(1), loaded(0)
    assert [[row.label for row in found.rows] for found in (one, other)] == [[1, 1, 1, 1], [1, 1, 0, 1]]
    assert one.fingerprint != other.fingerprint and loaded(1).fingerprint == one.fingerprint


def test_the_hubs_dev_set_is_split_in_two(monkeypatch):
    official(monkeypatch)
    first, second = (load("squad", DATASETS["squad"], "validation", "hub", rest=rest) for rest in (False, True))
    assert (len(first), len(second)) == (6078, 5795) and first.fingerprint != second.fingerprint
    assert {row.title for row in second.rows} == {"Rhine"} and not {row.id for row in first.rows} & {row.id for row in second.rows}
    assert first.origin == "hub rajpurkar/squad_v2 validation (cs224n)"
    assert second.origin == "hub rajpurkar/squad_v2 validation (without cs224n)"
    monkeypatch.undo()
    official(monkeypatch, others=5794)
    with pytest.raises(DataError, match="cs224n: the dev set has 5,794 questions on other articles, not 5,795"):
        load("squad", DATASETS["squad"], "validation", "hub", rest=True)


def test_the_cs224n_split_checks_its_counts():
    rows = [QARow(str(i), CS224N_TITLES[i % 16], "x", "?", () if i < 3168 else ((0, "x"),)) for i in range(6078)]
    others = [QARow(f"o{i}", "Rhine", "x", "?", ()) for i in range(5795)]
    assert cs224n(others[:9] + rows + others[9:]) == (rows, others)
    with pytest.raises(DataError, match="6,077 questions, 3,167 of them unanswerable, not 6,078 and 3,168"):
        cs224n(rows[1:])


def test_a_custom_dataset_has_custom_columns(tmp_path):
    mine = Dataset("mcc", {"context": "q", "choices": ("a", "b"), "label": "y"}, "mine", score=None)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "train.jsonl").write_text('{"q": "2 + 2 is", "a": "4", "b": "5", "y": 0}\n')
    row = load("mine", mine, "train", str(tmp_path)).rows[0]
    assert (row.choices, row.start, row.label) == (("4", "5"), "", 0)


def test_the_cs224n_split_of_the_real_data(real_data):
    rows = load("squad", DATASETS["squad"], "validation", str(real_data)).rows
    others = [QARow(f"o{i}", "Rhine", "x", "?", ()) for i in range(5795)]
    assert cs224n(rows + others) == (rows, others)


@pytest.mark.parametrize(
    ("task", "count"),
    [("squad", 10497), ("squad1", 12019), ("cola", 8551), ("mrpc", 3668), ("mnli", 22924), ("swag", 600), ("codah", 2773)],
)
def test_all_real_rows_pass_the_checks(real_data, task, count):
    assert len(load(task, DATASETS[task], "train", str(real_data))) == count


def test_no_dataset_text_is_packaged():
    assert {path.suffix for path in (ROOT / "mtdnn_kit" / "data" / "sample").rglob("*.*")} == {".jsonl", ".md"}
