"""Damaged dataset files: one of the kit's errors, or the rows that a second, simple reader gives; and rows that are valid but odd."""

import gzip
import json
import shutil

import pytest
from conftest import ROOT, changed
from hostile import cases, each, ends, refused
from hostile_data import lines_of, packed
from hostile_readings import as_questions, records_of, rows_of

from mtdnn_kit import Run, prepare, train
from mtdnn_kit.compare.pairing import pair
from mtdnn_kit.data import arrays, cache, sources
from mtdnn_kit.data.registry import DATASETS
from mtdnn_kit.data.sources import load
from mtdnn_kit.errors import DataError
from mtdnn_kit.files import json_files
from mtdnn_kit.training import odd_rows
from mtdnn_kit.views import overview

TASKS = ("squad", "cola", "mnli", "swag")


def sample(task: str, count: int = 3) -> list[dict]:
    file = ROOT / "mtdnn_kit" / "data" / "sample" / DATASETS[task].folder / "train.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()[:count]]


@pytest.fixture
def uncached(monkeypatch):
    """No cache: rows are read each time (test_cache tests the cache)."""
    monkeypatch.setattr(sources, "kept", lambda key, make: arrays.gathered(make()))
    monkeypatch.setattr(sources, "_key", lambda *of, **content: "")  # would read the kit's code each time


def plain(task: str, raw: bytes) -> list[tuple]:
    """The rows of JSON lines by their definition, unchecked; further lines of a question only add answers."""
    dataset = DATASETS[task]
    definition = {"type": dataset.type, "columns": dataset.columns, "labels": list(dataset.labels)}
    rows = rows_of(definition, records_of(".jsonl", raw, None), False)
    return as_questions(rows) if dataset.type == "qa" else rows


@cases(25)
@pytest.mark.parametrize("ending", ["jsonl", "jsonl.gz"])
@pytest.mark.parametrize("task", TASKS)
def test_rows_are_read_exactly_or_refused(tmp_path, uncached, task, ending, cases):
    folder = tmp_path / DATASETS[task].folder
    folder.mkdir()
    file = folder / f"train.{ending}"

    def check(raw: bytes):
        file.write_bytes(raw)
        rows, message = refused(lambda: load(task, DATASETS[task], "train", str(tmp_path)), file.name)
        if message is None:
            wanted = plain(task, gzip.decompress(raw) if ending.endswith("gz") else raw)
            assert [tuple(row) for row in rows.rows] == wanted and wanted
            assert all(0 <= row[-1] < max(len(DATASETS[task].labels), 4) for row in wanted if task != "squad")
            assert all(
                row[2].startswith(text, start) and start >= 0 and text for row in wanted if task == "squad" for start, text in row[4]
            )

    raw = lines_of(sample(task))
    each(cases, check, packed(raw) if ending.endswith("gz") else raw)


GOOD = '{"sentence": "It is.", "label": 1}'


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ('{"sentence": "a", "label": 0, "label": 1}', "line 1: not JSON .'label' is given twice."),
        ("[" * 100_000, "line 1: not JSON"),
        (f'{{"sentence": "a", "label": {"9" * 5000}}}', "line 1: not JSON .Exceeds the limit"),
        (f'{{"sentence": "a", "label": {"9" * 4000}}}', r"column 'label' is 10\^\d+ or more: it must be from 0 to 1"),
        ('{"sentence": "a", "label": NaN}', "column 'label' is None: the row has no label"),
        ('{"sentence": "a", "label": 1.5}', "column 'label' is 1.5: it must be a whole number"),
        ('{"sentence": "\\ud800", "label": 1}', "an unpaired surrogate at character 0"),
        ("{" + ", ".join(f'"column {i}": 0' for i in range(5000)) + "}", "'column 11' and 4,988 more"),
        (f'{{"sentence": {json.dumps([["x"] * 900] * 900)}, "label": 1}}', "column 'sentence' is"),
        (GOOD.encode("utf-16"), "UTF-16, not UTF-8: save the file as UTF-8"),
        (gzip.compress(GOOD.encode()), "not UTF-8.*if it is compressed, name it .gz"),
        (GOOD + "\r" + GOOD, "line 1: not JSON .Extra data"),
    ],
    ids=range(12),
)
def test_known_hostile_lines_are_refused_with_a_short_message(tmp_path, raw, message):
    (tmp_path / "cola").mkdir()
    (tmp_path / "cola" / "train.jsonl").write_bytes(raw if isinstance(raw, bytes) else raw.encode())
    with ends(), pytest.raises(DataError, match=rf"cola/train\.jsonl, .*{message}") as error:
        load("cola", DATASETS["cola"], "train", str(tmp_path))
    assert len(str(error.value)) < 1000


def test_a_row_that_unpacks_to_a_huge_size_is_refused(tmp_path, monkeypatch):
    """A few kilobytes of gzip can unpack to a gigabyte."""
    monkeypatch.setattr(json_files, "LONGEST_LINE", 100_000)
    (tmp_path / "cola").mkdir()
    bomb = GOOD.encode() + b"\n" + b" " * 1_000_000
    (tmp_path / "cola" / "train.jsonl.gz").write_bytes(gzip.compress(bomb))
    with pytest.raises(DataError, match=r"train\.jsonl\.gz, line 2: it has more than 100,000 bytes"):
        load("cola", DATASETS["cola"], "train", str(tmp_path))
    (tmp_path / "cola" / "train.jsonl.gz").write_bytes(gzip.compress(GOOD.encode() + b"\n" * 300_000))
    assert len(load("cola", DATASETS["cola"], "train", str(tmp_path))) == 1, "empty lines at the end do not count"


def test_the_message_about_a_folder_of_many_files_is_short(tmp_path):
    (tmp_path / "cola").mkdir()
    for i in range(300):
        (tmp_path / "cola" / f"{i:03d}-{'x' * 100}").touch()
    with pytest.raises(DataError, match="and 288 more") as error:
        load("cola", DATASETS["cola"], "train", str(tmp_path))
    assert len(str(error.value)) < 1500


@pytest.mark.parametrize(
    "text", ["\ufeff" + GOOD, GOOD + "\r\n" + GOOD + "\r\n", GOOD + "\n \r\n\n", '{"label": 1, "sentence": "a\\u0000b", "x": NaN}']
)
def test_harmless_variants_are_read(tmp_path, uncached, text):
    (tmp_path / "cola").mkdir()
    (tmp_path / "cola" / "train.jsonl").write_text(text, newline="")
    assert [tuple(row) for row in load("cola", DATASETS["cola"], "train", str(tmp_path)).rows] == plain("cola", text.encode())


PASSAGE = "one two three four five six seven eight nine ten eleven twelve."
SMALL = dict(tasks=["squad", "cola"], qa_weight=0.5, max_question=4, max_length=16, overlap=2, max_answer=8, max_steps=1, eval_limit=None)


def asked(id_, question="Who?", texts=("two",), context=PASSAGE) -> dict:
    return {
        "id": id_,
        "title": "T",
        "context": context,
        "question": question,
        "answers": {"text": list(texts), "answer_start": [context.index(t) for t in texts]},
    }


def put(folder, task: str, split: str, rows: list[dict]) -> None:
    (folder / task).mkdir(exist_ok=True)
    (folder / task / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def oddities(tmp_path):
    """A folder of rows, each odd in a known way."""
    trained = [
        asked("plain", context="A plain passage about two."),
        asked("twice", texts=("two", "two")),
        asked("empty", question=""),
        asked("window", "What?", texts=("one two three four five six seven eight nine ten eleven twelve",)),
        asked("fits", "Why?", texts=("one two three four five six seven eight nine ten eleven",)),
        asked("over", "Which?", texts=("one two three four five six seven eight nine",)),
        asked("same", question="When?"),
        asked("same too", question="When?"),
        asked("seen", question="Where?", texts=()),
        asked("nothing", context="See the two.", texts=("the",)),
        asked("fresh", context="Held out: two.") | {"title": "Held"},
    ]
    put(tmp_path, "squad", "train", trained)
    put(tmp_path, "squad", "validation", [asked("seen", question="Where?"), asked("fresh", context="Two, two.", texts=("two",))])
    put(tmp_path, "cola", "train", [{"sentence": text, "label": 0} for text in ("a", "a", "", "x " * 30)])
    put(tmp_path, "cola", "validation", [{"sentence": " b", "label": 1}])
    return str(tmp_path)


WANTED = {
    "squad/train": {
        "an empty text": 1,
        "texts of another row": 3,  # two, and the one that is also scored
        "an answer given twice": 1,
        "answer over max_answer": 3,
        "answer longer than a window": 1,  # 12 tokens; a window has room for 11
        "answer that normalises to nothing": 1,
    },
    "squad/validation": {"texts of another row": 1, "scored and trained": 1, "id in another split": 2, "passage scored and trained": 1},
    "cola/train": {"an empty text": 1, "white space at an end": 1, "texts of another row": 2, "reaches max_length": 1},
    "cola/validation": {"white space at an end": 1},
}


def test_odd_rows_are_counted_by_split(config, oddities):
    assert odd_rows.odd_counts(prepare(config(data=oddities, threshold_articles=["Held"], **SMALL))) == WANTED


def test_the_manifest_and_the_notebook_count_the_same(config, oddities):
    run = train(config(data=oddities, **SMALL))
    said = {name: source["odd"] for name, source in run.manifest["data"].items()}
    assert said == WANTED and Run(run.path).finished
    table: dict = {}
    for row in overview.odd_rows(prepare(config(data=oddities, **SMALL))):
        table[row["task"], row["oddity"]] = row["rows"]
    summed: dict = {}
    for name, counts in said.items():
        for oddity, n in counts.items():
            key = name.partition("/")[0], oddity
            summed[key] = summed.get(key, 0) + n
    assert table == summed


def test_odd_rows_are_recounted_if_rows_or_lengths_change(config, tmp_path):
    """Cached counts of earlier rows are not used."""
    record = {"sentence": "It is.", "label": 1}
    base = config(data=str(tmp_path), tasks=["cola"], qa_weight=1.0)

    def counted(sentences: list[str], **changes) -> dict:
        (tmp_path / "cola").mkdir(exist_ok=True)
        for split, some in {"train": sentences, "validation": ["Is it?", "Why?"]}.items():
            lines = [json.dumps({**record, "sentence": text}) for text in some]
            (tmp_path / "cola" / f"{split}.jsonl").write_text("\n".join(lines) + "\n")
        return odd_rows.odd_counts(prepare(changed(base, **changes)))["cola/train"]

    assert counted(["One.", "Two.", "Three."]) == {}
    assert counted(["One.", "", "Three."]) == {"an empty text": 1}
    assert counted(["One.", "", ""]) == {"an empty text": 2, "texts of another row": 2}
    assert counted(["One.", "Two.", "Three."]) == {}
    long = ["One.", "word " * 50, "Three."]
    found = [counted(long, max_length=n).get("reaches max_length") for n in (96, 40, 96)]
    assert found == [None, 1, None]


def test_odd_rows_change_no_fingerprint_and_are_counted_once(config, oddities, monkeypatch):
    setup = prepare(config(data=oddities, **SMALL))
    assert all(set(source) == {"origin", "rows", "fingerprint", "file"} for source in setup.sources.values())
    monkeypatch.setenv("MTDNN_CACHE", oddities + "/cache")
    first = odd_rows.odd_counts(setup)
    assert any(path.name.startswith("features-") for path in cache.root().iterdir())
    monkeypatch.setattr(odd_rows, "odd_rows", None)  # must not be called again for the same rows
    assert odd_rows.odd_counts(setup) == first == WANTED
    with pytest.raises(TypeError):
        odd_rows.odd_counts(prepare(config(data=oddities, **{**SMALL, "max_answer": 9})))


def test_a_split_that_is_trained_and_scored_counts_each_row_once(config, oddities):
    both = {
        "both": {"type": "sc", "folder": "cola", "columns": {"first": "sentence", "label": "label"}, "labels": ["n", "y"], "score": "train"}
    }
    setup = prepare(config(data=oddities, **{**SMALL, "tasks": ["both"], "qa_weight": 1.0, "define": both}))
    assert odd_rows.odd_counts(setup)["both/train"]["an empty text"] == 1


def test_older_runs_are_read(tmp_path):
    """Older manifests have no counts of odd rows."""
    shutil.copytree(ROOT / "results" / "sample" / "qa", tmp_path / "qa")
    manifest = json.loads((tmp_path / "qa" / "manifest.json").read_text())
    for source in manifest["data"].values():
        source.pop("odd", None)
    (tmp_path / "qa" / "manifest.json").write_text(json.dumps(manifest))
    run = Run(tmp_path / "qa")
    assert run.finished and "odd" not in run.manifest["data"]["squad/train"] and len(pair({"QA": run})) == run.metrics["squad"]["n"]
