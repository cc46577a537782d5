"""Damaged run folders: reading them raises an error of the kit, or gives the same as a simple parse of the files."""

import gzip
import json
import re
import shutil
from functools import cache

import pytest
from conftest import ROOT
from hostile import cases, each, refused
from hostile_data import bytes_of, json_of, lines_of, nan_free, packed, plain_yaml, text_of, value_of
from hypothesis import strategies as st
from yaml import safe_load

from mtdnn_kit import Run
from mtdnn_kit.compare import choices, pairing
from mtdnn_kit.data import sources
from mtdnn_kit.data.rows import gold_texts
from mtdnn_kit.errors import CompareError, DataError, RunError
from mtdnn_kit.explorer import answers_json, favourites
from mtdnn_kit.files import json_files
from mtdnn_kit.inference import importing
from mtdnn_kit.metrics import exact, f1
from mtdnn_kit.studies import status
from mtdnn_kit.views import tables

KEPT = ROOT / "results" / "sample" / "qa-mcc-sc"
NBEST = "predictions/squad_nbest.jsonl.gz"
FILES = ("config.yaml", "manifest.json", "metrics.json", "log.jsonl", NBEST, "predictions/mnli.jsonl", "predictions/swag.jsonl")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A run folder to damage. The rows are read once."""
    known: dict = {}

    def load(task, dataset, split, data, rest=False):
        key = task, str(dataset), split, data, rest
        if key not in known:
            known[key] = sources.load(task, dataset, split, data, rest)
        return known[key]

    monkeypatch.setattr(pairing, "load", load)
    shutil.copytree(KEPT, tmp_path / "damaged")
    return tmp_path / "damaged"


@cache
def raw(name: str) -> bytes:
    return gzip.decompress((KEPT / name).read_bytes()) if name.endswith(".gz") else (KEPT / name).read_bytes()


def damaged(name: str) -> st.SearchStrategy[bytes | None]:
    """Variants of a file of the run with an error in it; None: the file is missing."""
    if name == "config.yaml":
        made = text_of(raw(name).decode()).map(lambda text: text.encode("utf-8", "surrogatepass"))
        made = made | value_of(safe_load(raw(name))).map(lambda value: plain_yaml(value).encode()) | bytes_of(raw(name))
    elif name.endswith(".json"):
        made = json_of(json.loads(raw(name)))
    else:
        lines = [json.loads(line) for line in raw(name).splitlines()]
        made = lines_of(lines) if not name.endswith(".gz") else lines_of(lines) | st.just(raw(name))
    made = packed(made) if name.endswith(".gz") else made
    return st.integers(0, 30).flatmap(lambda n: st.none() if n == 0 else made)


def opened(folder) -> dict:
    """Reads a run through every reader of run folders."""
    run = Run(folder)
    found = {"run": run, "repr": repr(run), "finished": run.finished, "log": run.log(), "scorings": run.scorings()}
    found |= {"interference": run.interference(), "metrics": run.metrics, "types": run.types}
    runs = pairing.named([run, ROOT / "results" / "sample" / "qa"])
    name = next(iter(runs))
    found["shared"] = answers_json.shared_tasks({name: run})
    found["questions"] = pairing.pair({name: run})
    found["items"] = {task: choices.pair({name: run}, task=task) for task in ("mnli", "swag")}
    found["table"] = tables.score_table(found["questions"][:20], tables.alone({name: run}))
    found["tidy"] = tables.tidy({name: run}, tables.alone({name: run}))
    for task in ("squad", "mnli"):
        shown = answers_json.read({name: run}, task)
        found[task] = shown.columns.at().table(0), answers_json.packed(answers_json.as_json(shown))
    found["nbest"] = list(run.nbest())
    return found


def cut(content: bytes) -> list[bytes]:
    """Splits lines only at line feeds: a carriage return is white space in JSON."""
    return [line for line in content.split(b"\n") if line.strip()]


def same_as_plain(folder, found: dict) -> None:
    """The answers and scores of a run that could be read equal those of a simple parse of its files."""
    metrics = json.loads((folder / "metrics.json").read_bytes())
    assert {(row["task"], row["score"]): row["value"] for row in found["tidy"]} == {
        (task, score): value for task, scores in metrics.items() for score, value in scores.items() if score != "n" and value is not None
    }
    entries = {e["id"]: e for e in map(json.loads, cut(gzip.decompress((folder / NBEST).read_bytes())))}
    threshold = metrics["squad"].get("threshold", 0.0)
    assert {q.row.id for q in found["questions"]} == set(entries) and len(entries) == metrics["squad"]["n"]
    for question in found["questions"]:
        entry, (reply,) = entries[question.row.id], question.replies.values()
        best = max(entry["nbest"], key=lambda span: span[2], default=None)
        nothing = best is None or entry["null"] - best[2] > threshold
        text, golds = "" if nothing else question.row.context[best[0] : best[1]], gold_texts(question.row)
        assert (reply.text, reply.em, reply.f1) == (text, exact(text, golds), f1(text, golds))
        assert reply.probability == (entry["nothing"] if nothing else best[3])
    for task, items in found["items"].items():
        said = {e["id"]: e for e in map(json.loads, cut((folder / f"predictions/{task}.jsonl").read_bytes()))}
        assert {item.row.id: (r.label, list(r.probabilities)) for item in items for r in item.replies.values()} == {
            key: (entry["label"], entry["probabilities"]) for key, entry in said.items()
        }


@cases(14 * len(FILES))
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_run_is_refused_or_read_literally(folder, name, cases):
    whole = (folder / name).read_bytes()

    def check(content: bytes | None):
        (folder / name).unlink(missing_ok=True)
        if content is not None:
            (folder / name).write_bytes(content)
        try:
            found, message = refused(lambda: opened(folder), "damaged", name, "question '", "QA+MCC+SC")
            if message is None:
                same_as_plain(folder, found)
        finally:
            (folder / name).write_bytes(whole)

    each(-(-cases // len(FILES)), check, damaged(name))


@cases(20)
def test_a_damaged_nbest_file_is_refused_or_read_literally(folder, cases):
    lines = [json.loads(line) for line in raw(NBEST).splitlines()[:3]]

    def check(content: bytes):
        (folder / NBEST).write_bytes(content)
        found, message = refused(lambda: list(Run(folder).nbest()), "squad_nbest.jsonl.gz")
        if message is None:
            entries = [json.loads(line) for line in cut(gzip.decompress(content))]
            assert nan_free(found) == nan_free(entries)

    each(cases, check, packed(lines_of(lines)))


@cases(30)
def test_a_damaged_predictions_file_is_refused_or_read_literally(tmp_path, cases):
    file = tmp_path / "theirs.json"

    def check(content: bytes):
        file.write_bytes(content)
        found, message = refused(lambda: importing.read_predictions(file), "theirs.json")
        if message is None:
            assert nan_free(found) == nan_free(json.loads(content))

    each(cases, check, json_of({"q1": "the Alps", "q2": "", "q3": "a \u2028 b", "q4": "é"}))


@pytest.mark.parametrize("name", [*FILES, "predictions"])
def test_a_missing_file_or_a_folder_in_its_place_is_reported(folder, name):
    path = folder / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert refused(lambda: opened(folder), "damaged", "no task for which all of QA+MCC+SC have answers")[1]
    path.write_text("") if name == "predictions" else path.mkdir()
    assert refused(lambda: opened(folder), "damaged", "no task for which all of QA+MCC+SC have answers")[1]


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("metrics.json", '"n": 132', '"n": 132, "n": 7', "'n' is given twice"),
        ("metrics.json", '"n": 132', '"n": 132.5', "not scores with `n`, the number of rows"),
        ("metrics.json", r'"f1": \d+', '"f1": 7000', "'squad', 'f1' is 7000.*, not a score"),
        ("metrics.json", r'"threshold": [-0-9.]+', '"threshold": null', "'squad': threshold is None, not a number"),
        ("metrics.json", r'"threshold": [-0-9.]+', '"threshold": 1e999', "'squad': threshold is inf, not a number"),
        ("metrics.json", r'"threshold": [-0-9.]+', '"threshold": NaN', "'squad': threshold is nan, not a number"),
        ("manifest.json", '"status": "finished"', '"status": "finished", "status": "running"', "'status' is given twice"),
        ("manifest.json", '"status": "finished"', '"status": 3', "status is 3, not text"),
        ("manifest.json", r'"steps": \d+', '"steps": -1', "steps is -1, not a whole number"),
        ("config.yaml", "seed: 0", "seed: 0\nseed: 1", "'seed' is given twice"),
        ("config.yaml", "seed: 0", "seed: zero", "it does not hold the parameters of a run .seed: 'zero' is text"),
        ("config.yaml", "seed: 0", "sead: 0", "it does not hold the parameters of a run"),
        ("config.yaml", "- squad", "- [squad]", r"tasks is \[\['squad'\]"),
        ("log.jsonl", '"step": 1,', '"step": "1",', r"line 1: it is .*, not a step of a task"),
        ("log.jsonl", r'"lr": \d\.', '"lr": "1.', r"line 1: cannot be read"),
        ("predictions/mnli.jsonl", '{"id": 0,', '{"id": 0, "id": 1,', "line 1: cannot be read .'id' is given twice"),
    ],
)
def test_an_invalid_value_is_reported_with_its_file(folder, name, old, new, message):
    text, count = re.subn(old, lambda _: new, (folder / name).read_text(), count=1)
    assert count == 1
    (folder / name).write_text(text)
    with pytest.raises(RunError, match=rf"{name}.*{message}"):
        opened(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda entry: entry["nbest"].reverse(), "its spans are not unique and ordered, best first"),
        (lambda entry: entry["nbest"].append(entry["nbest"][-1]), "not unique"),
        (lambda entry: entry.update(nothing=1.5), "one of its probabilities is not between 0 and 1"),
        (lambda entry: entry.update(null=10**400), "one of its scores or probabilities is not a number"),
        (lambda entry: entry.update(null=True), "one of its scores or probabilities is not a number"),
        (lambda entry: entry.update(windows="two"), "windows is 'two', not a count"),
        (lambda entry: entry["nbest"][0].__setitem__(1, entry["nbest"][0][0]), "one of its spans ends before it begins"),
    ],
)
def test_an_inconsistent_nbest_is_refused(folder, change, message):
    entries = [json.loads(line) for line in raw(NBEST).splitlines()]
    change(entries[2])
    (folder / NBEST).write_bytes(gzip.compress("".join(json.dumps(entry) + "\n" for entry in entries).encode()))
    with pytest.raises(CompareError, match=f"n-best of squad, line 3: not an id with finite scores and spans, .*{message}"):
        pairing.pair({"QA": Run(folder)})


def test_a_line_that_unpacks_to_an_enormous_size_is_refused(folder, monkeypatch):
    monkeypatch.setattr(json_files, "LONGEST_LINE", 100_000)
    (folder / NBEST).write_bytes(gzip.compress(raw(NBEST) + b" " * 1_000_000))
    with pytest.raises(RunError, match=r"squad_nbest\.jsonl\.gz: cannot be read .a line of more than 100,000 bytes.; copy it again"):
        list(Run(folder).nbest())


def test_a_carriage_return_within_a_line_is_white_space(folder):
    """Found after 3,000 cases, in the parser of this test file."""
    content = raw(NBEST).replace(b'{"id"', b'{\r"id"')
    (folder / NBEST).write_bytes(gzip.compress(content))
    assert len(cut(content)) == len(list(Run(folder).nbest())) == len(raw(NBEST).splitlines())
    same_as_plain(folder, opened(folder))


@pytest.mark.parametrize(("data", "message"), [("rample", "rample: there is no such folder"), ("9" * 5000, "not a valid path")])
def test_unreadable_rows_are_reported_with_the_run(folder, data, message):
    """Found after 900 cases: an error named a folder that the user had not asked for, and not the run."""
    text = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text(text.replace("data: sample", f"data: '{data}'"))
    for read in (pairing.pair, lambda runs: choices.pair(runs, task="mnli")):
        with pytest.raises(DataError, match=f"QA: the rows that config.yaml of damaged names: .*{message}"):
            read({"QA": Run(folder)})
    with pytest.raises(DataError, match=r"^\S*/nowhere: there is no such folder"):
        pairing.pair({"QA": Run(folder)}, data="nowhere")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"code": 3}', '{"code": [1]}', "[" * 5000, '{"code": {}, "code": {}}'])
def test_a_damaged_record_of_the_code_counts_as_a_change(folder, content):
    """It must neither count as the same code nor raise an error elsewhere."""
    (folder / status.RECORD).write_text(content)
    found = status._code(Run(folder), {"config.py": "0"})
    assert len(found) == 1 and found[0].startswith("code: ")


@pytest.mark.parametrize("content", ["[" * 5000, '{"squad": {"a": "x", "a": "y"}}', '{"squad": {"a": "\\ud800"}}', "\ud800"])
def test_damaged_favourites_are_refused(tmp_path, content):
    (tmp_path / favourites.FAVOURITES_FILE).write_bytes(content.encode("utf-8", "surrogatepass"))
    with pytest.raises(RunError, match="favourites.json cannot be read .*: correct it or move it away"):
        favourites.read(tmp_path)
