"""The cache of rows and features: bit for bit what is computed, rebuilt when damaged, under a key of everything it depends on."""

import dataclasses
import hashlib
import json
import os
import subprocess
import time
import warnings

import numpy as np
import pytest
from conftest import ROOT, byte_level, changed
from structure import imports, modules

from mtdnn_kit import prepare
from mtdnn_kit.config import Config
from mtdnn_kit.data import arrays, cache, sources
from mtdnn_kit.data.cache import SUMS, kept, key_of
from mtdnn_kit.data.registry import DATASETS
from mtdnn_kit.data.sources import load
from mtdnn_kit.data.table import RowList
from mtdnn_kit.errors import DataError
from mtdnn_kit.tasks import TYPES
from mtdnn_kit.training import setup

ALL = ["squad", "swag", "cola", "mrpc", "mnli"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A cache that only this test uses."""
    monkeypatch.setenv("MTDNN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "PRUNED_EVERY", -1.0)  # at each new entry
    return tmp_path / "cache"


def whole(setup) -> list:
    """Everything that training and evaluation use of the data."""
    parts = [part[task] for part in (setup.train, setup.held_out, setup.scored) for task in part]
    batches = [part.collate(np.arange(len(part.lengths))[::3]) for part in parts]
    return [
        [list(part.rows) for part in parts],
        [part.lengths.tolist() for part in parts],
        [{name: (x.dtype, x.tolist()) for name, x in [*batch.inputs.items(), ("", batch.targets)]} for batch in batches],
        [getattr(part, "table", np.zeros(0)).tolist() for part in parts],
        setup.schedule.task.tolist(),
        {name: {k: v for k, v in source.items() if k != "origin"} for name, source in setup.sources.items()},
    ]


def test_15_a_hit_and_a_miss_give_the_same_bits(config, folder, monkeypatch):
    given = config(tasks=ALL, threshold_articles=["Cork"], train_limit=50)
    missed = whole(prepare(given))
    entries = {entry.name: entry.stat().st_mtime_ns for entry in folder.iterdir()}
    assert len(entries) == 21, "rows of five tasks, two splits each, and features of trained, held-out and scored rows"
    with monkeypatch.context() as patch:
        for kind in TYPES.values():
            patch.setattr(kind, "encode", lambda *_, **__: pytest.fail("made again"))
        patch.setattr(sources._File, "rows", None)
        assert whole(prepare(given)) == missed
    assert {entry.name: entry.stat().st_mtime_ns for entry in folder.iterdir()} == entries
    monkeypatch.setattr(setup, "kept", lambda key, make: arrays.gathered(make()))
    monkeypatch.setattr(sources, "kept", lambda key, make: arrays.gathered(make()))
    assert whole(prepare(given)) == missed, "without a cache"


def flip(file) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


DAMAGES = {
    "a bit": flip,
    "the end": lambda file: file.write_bytes(file.read_bytes()[:-3]),
    "more": lambda file: file.write_bytes(file.read_bytes() + b"\0"),
    "all": lambda file: file.write_bytes(b""),
    "gone": lambda file: file.unlink(),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["context.npy", "table.npy", "_digest.npy", SUMS])
def test_a_damaged_entry_is_detected_and_rebuilt(config, folder, name, damage):
    given = config(tasks=["squad"], qa_weight=1.0)
    before = whole(prepare(given))
    file = sorted(folder.glob(f"*/{name}"))[0]
    DAMAGES[damage](file)
    with pytest.warns(UserWarning, match="is damaged .*; it is rebuilt"):
        assert whole(prepare(given)) == before
    with warnings.catch_warnings(action="error", category=UserWarning):
        warnings.filterwarnings("ignore", ".* no questions are held out")  # true with any cache
        assert whole(prepare(given)) == before


def test_a_renamed_entry_is_not_used(folder):
    kept("one", lambda: iter([{"x": np.arange(3)}]))
    (folder / "one").rename(folder / "two")
    with pytest.warns(UserWarning, match="damaged"):
        assert kept("two", lambda: iter([{"x": np.arange(4)}]))["x"].tolist() == [0, 1, 2, 3]


def keys(config: Config, tokenizer, monkeypatch) -> dict[str, str]:
    """The key of each task's features."""
    found = []
    monkeypatch.setattr(setup, "kept", lambda key, make: found.append(key) or arrays.gathered(make()))
    rows = setup.read_rows(config)[0][0]
    setup.make_features(config, rows, tokenizer, True)
    return dict(zip(rows, found, strict=True))


def test_a_key_changes_only_with_the_parameters_that_matter(config, tokenizer, monkeypatch):
    base = config(tasks=["squad", "swag", "cola"])
    known = keys(base, tokenizer, monkeypatch)
    assert all(known.values()) and keys(base, tokenizer, monkeypatch) == known
    changes = {"max_length": 90, "max_question": 50, "overlap": 9, "train_limit": 30}
    for name, value in changes.items():
        found = keys(changed(base, **{name: value}), tokenizer, monkeypatch)
        alike = {task for task in known if found[task] == known[task]}
        assert alike == ({"swag", "cola"} if name in ("max_question", "overlap") else set()), name
    held = keys(changed(base, threshold_articles=["Cork"]), tokenizer, monkeypatch)
    assert {task for task in known if held[task] != known[task]} == {"squad"}
    others = dict(batch_size=7, seed=3, n_best=3, max_answer=4, epochs=9.0, learning_rate=1e-5, eval_limit=3, loss="mean", run_dir="x")
    assert keys(changed(base, **others), tokenizer, monkeypatch) == known


def test_training_uses_a_changed_answer_or_label(config, tokenizer, monkeypatch, tmp_path):
    """Not on the cached rows: the keys change, and the targets of that row only."""
    changes = {
        "squad": lambda row: {**row, "answers": {"text": [row["context"][:3]], "answer_start": [0]}},
        "cola": lambda row: {**row, "label": 1 - row["label"]},
        "swag": lambda row: {**row, "label": (row["label"] + 1) % 4},
    }
    given = config(tasks=list(changes), data=str(tmp_path))

    def trained(changed: bool) -> dict[str, list]:
        for task, change in changes.items():
            for split in ("train", "validation"):
                file = tmp_path / task / f"{split}.jsonl"
                file.parent.mkdir(exist_ok=True)
                lines = (ROOT / "mtdnn_kit" / "data" / "sample" / task / file.name).read_text().splitlines()
                records = [json.loads(line) for line in lines[:8]]
                lines = [json.dumps(change(record) if changed and i == 5 else record) for i, record in enumerate(records)]
                file.write_text("\n".join(lines) + "\n")
        made = prepare(given)
        assert made.sources.keys() == {f"{task}/{split}" for task in changes for split in ("train", "validation")}
        found = {task: some.collate(np.arange(len(some.lengths))).targets.tolist() for task, some in made.train.items()}
        return {**found, "rows": made.train["squad"].table[:, 0].tolist()}

    before, after = trained(False), trained(True)
    for task in changes:
        rows = before["rows"] if task == "squad" else range(8)
        assert {row for row, a, b in zip(rows, before[task], after[task], strict=True) if a != b} == {5}, task
    assert trained(False) == before
    keys_before = keys(given, tokenizer, monkeypatch)
    trained(True)
    assert not set(keys_before.values()) & set(keys(given, tokenizer, monkeypatch).values())


def test_a_key_changes_with_tokenizer_code_and_versions(config, tokenizer, monkeypatch):
    base = config(tasks=["squad", "cola"])
    known = keys(base, tokenizer, monkeypatch)
    other = byte_level(("<s>", "</s>", "<pad>", "<unk>"))
    assert not set(keys(base, other, monkeypatch).values()) & set(known.values())
    tokenizer("Where?", truncation=True, max_length=3, padding="max_length")  # the settings of its last call are not part of the key
    assert keys(base, tokenizer, monkeypatch) == known
    for name, another in (("code_of", "another"), ("versions", {"tokenizers": "another"})):
        with monkeypatch.context() as patch:
            patch.setattr(setup, name, lambda *_, another=another: another)
            assert not set(keys(base, tokenizer, monkeypatch).values()) & set(known.values())


def test_an_added_word_or_another_normalisation_changes_the_tokenizers_hash(tokenizer):
    import copy

    from tokenizers import normalizers

    known, found = setup.tokenizer_digest(tokenizer), []
    for change in (lambda t: t.add_tokens(["Ethiopia"]), lambda t: setattr(t.backend_tokenizer, "normalizer", normalizers.NFC())):
        other = copy.deepcopy(tokenizer)
        change(other)
        found.append(setup.tokenizer_digest(other))
    assert len({known, *found}) == 3 and setup.tokenizer_digest(copy.deepcopy(tokenizer)) == known


def test_the_key_of_rows_depends_on_bytes_columns_and_code(tmp_path, monkeypatch):
    found = []
    monkeypatch.setattr(sources, "kept", lambda key, make: found.append(key) or arrays.gathered(make()))

    def key_for(text: str, dataset=DATASETS["cola"], name="cola") -> str:
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / "train.jsonl").write_text(text)
        load("cola", dataset, "train", str(tmp_path))
        return found[-1]

    text, cola = '{"sentence": "A cork.", "label": 0}\n', DATASETS["cola"]
    known = key_for(text)
    assert key_for(text, name="cola") == known != key_for(text.replace("A", "The"))
    assert key_for(text, dataclasses.replace(cola, labels=("no", "yes"))) != known
    monkeypatch.setattr(sources, "code_of", lambda *_: "another")
    assert key_for(text) != known


def test_a_key_covers_all_code_that_is_imported():
    """All modules of the kit that these import, directly or not, are in folders that the key covers."""
    trees = modules()
    for code, makers in ((sources.COLUMNS_CODE, ["data.sources"]), (setup.CODE, ["tasks.qa", "tasks.sc", "tasks.mcc"])):
        seen, left = set(), list(makers)
        while left:
            name = left.pop()
            seen.add(name)
            ours = {i.removeprefix("mtdnn_kit.") for i in imports(trees[name]) if i.startswith("mtdnn_kit.")}
            left += [i for i in ours if i in trees and i not in seen]
        assert {name.split(".")[0] for name in seen} <= {*code, "errors"}, seen


def test_code_of_changes_with_the_code(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "PACKAGE", tmp_path)
    (tmp_path / "tasks").mkdir()
    files = [tmp_path / "spans.py", tmp_path / "tasks" / "qa.py"]
    for file in files:
        file.write_text("x = 1")
    read = cache.code_of.__wrapped__  # not the hash of the code that this process began with
    found = [read("spans", "tasks")]
    for file in files:
        file.write_text("x = 2")
        found.append(read("spans", "tasks"))
    assert len(set(found)) == 3


MADE = """
import hashlib, sys
import numpy as np
from mtdnn_kit import Config, prepare
setup = prepare(Config(tasks=["squad", "cola"], encoder=sys.argv[1], threshold_articles=[]))
made = [setup.train["squad"].table, setup.train["squad"].contexts.tokens.flat.ids, setup.train["cola"].ids.values]
print(hashlib.sha256(b"".join(np.ascontiguousarray(x).tobytes() for x in made)).hexdigest())
"""


def test_15_processes_that_prepare_the_same_data_at_once_get_equal_results(tiny, folder, python):
    at_once = [subprocess.Popen([*python, "-c", MADE, tiny], stdout=subprocess.PIPE, cwd=ROOT, text=True) for _ in range(3)]
    said = [process.communicate()[0] for process in at_once]
    assert [process.returncode for process in at_once] == [0, 0, 0] and len(set(said)) == 1 and len(said[0]) == 65
    assert len(list(folder.glob("*"))) == 8 and not list(folder.glob("*.partial"))


def test_if_two_processes_make_an_entry_the_first_one_stays(folder):
    def slow():
        kept("entry", lambda: iter([{"x": np.array([1])}]))  # another process was faster
        yield {"x": np.array([1])}

    assert kept("entry", slow)["x"].tolist() == [1]
    assert [path.name for path in folder.iterdir()] == ["entry"]


def test_without_a_writable_cache_there_is_a_warning_and_everything_works(config, tmp_path, monkeypatch):
    given = config(tasks=["squad", "cola"])
    before = whole(prepare(given))
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MTDNN_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.warns(UserWarning, match="cannot write the cache in .*file/cache .*set MTDNN_CACHE to another folder"):
        assert whole(prepare(given)) == before


def test_invalid_rows_leave_no_entry(tmp_path, folder):
    (tmp_path / "cola").mkdir()
    (tmp_path / "cola" / "train.jsonl").write_text('{"sentence": "A cork.", "label": 0}\n' * 3000 + '{"sentence": "A cork."}\n')
    for _ in range(2):
        with pytest.raises(DataError, match="line 3001: column 'label' is missing"):
            load("cola", DATASETS["cola"], "train", str(tmp_path))
    assert list(folder.iterdir()) == []


def entry(name: str, size: int) -> None:
    kept(name, lambda: iter([{"x": np.zeros(size, np.uint8)}]))


def test_a_full_cache_drops_the_least_recently_used_entries(folder, monkeypatch):
    monkeypatch.setattr(cache, "LIMIT", 3500)
    for age, name in enumerate(("a", "b", "c")):
        entry(name, 800)
        os.utime(folder / name / SUMS, (1e9 + age, 1e9 + age))
    entry("a", 800)  # used again
    entry("d", 800)
    assert sorted(path.name for path in folder.iterdir()) == ["a", "c", "d"]
    entry("large", 9000)
    assert sorted(path.name for path in folder.iterdir()) == ["large"], "the entry in use stays, however large it is"


def test_a_process_looks_at_all_entries_once_a_minute(folder, monkeypatch):
    looks = []
    monkeypatch.setattr(cache, "PRUNED_EVERY", 60.0)
    monkeypatch.setattr(cache, "_pruned", [float("-inf")])
    monkeypatch.setattr(cache, "prune", lambda used: looks.append(used) or cache._pruned.__setitem__(-1, time.monotonic()))
    for name in "ab":
        entry(name, 1)
    cache._pruned[-1] -= 61
    entry("c", 1)
    assert [path.name for path in looks] == ["a", "c"]


def test_partial_entries_of_killed_processes_are_deleted_after_a_day(folder):
    for name, age in (("old", 90_000), ("young", 60)):
        (folder / f"{name}.x.partial").mkdir(parents=True)
        os.utime(folder / f"{name}.x.partial", (time.time() - age,) * 2)
    entry("a", 1)
    assert sorted(path.name for path in folder.iterdir()) == ["a", "young.x.partial"]


def test_a_deleted_entry_stays_readable_while_it_is_open(config, folder):
    setup = prepare(config(tasks=["squad"], qa_weight=1.0))
    before = whole(setup)
    cache.LIMIT, limit = 0, cache.LIMIT
    try:
        cache.prune()
    finally:
        cache.LIMIT = limit
    assert list(folder.iterdir()) == [] and whole(setup) == before


def test_nothing_is_pickled(config, folder):
    prepare(config(tasks=ALL))
    assert {path.suffix for path in folder.glob("*/*")} == {".npy", ".json"}
    for file in folder.glob("*/*.npy"):
        assert np.load(file, allow_pickle=False).dtype.kind in "iu"
    bad = folder / "bad"
    bad.mkdir()
    np.save(bad / "x.npy", np.array([{}]), allow_pickle=True)
    digest = hashlib.sha256((bad / "x.npy").read_bytes()).hexdigest()
    (bad / SUMS).write_text(json.dumps({"key": "bad", "files": {"x.npy": digest}}))
    with pytest.raises(ValueError, match="Python objects in dtype"):
        kept("bad", lambda: iter([]))


def test_rows_and_features_are_mapped_and_cannot_be_changed(config):
    features = prepare(config(tasks=["squad"], qa_weight=1.0)).train["squad"]
    assert isinstance(features.rows, RowList)
    for array in (features.table, features.contexts.tokens.flat.ids, features.questions.values):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_keys_are_short_hashes_of_their_parts():
    assert key_of("rows", a=1, b=[2]) == key_of("rows", b=[2], a=1) != key_of("rows", a=1, b=[3])
    assert key_of("rows", a=1).startswith("rows-") and len(key_of("rows", a=1)) == 37
