"""Reading an n-best file one line at a time: as `Run.nbest` gives each question, from several threads, without the spans in memory."""

import gzip
import json
import random
import shutil
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import THREADS
from hypothesis import given
from hypothesis import strategies as st

from mtdnn_kit import Config, Run, RunError, train
from mtdnn_kit.runs.predictions import NBestFile


@pytest.fixture(scope="module")
def run(tiny, tmp_path_factory) -> Run:
    """A run of the tiny encoder, with the whole sample scored."""
    small = dict(encoder=tiny, max_steps=1, batch_size=4, precision="fp32", device="cpu", threads=THREADS, tasks=["squad"], qa_weight=1.0)
    return train(Config(**small, run_dir=str(tmp_path_factory.mktemp("nbest") / "run")))


def packed(raw: bytes) -> bytes:
    return gzip.compress(raw, mtime=0)  # always the same bytes, since they are part of test ids


def put(folder: Path, lines: bytes | list[dict]) -> Run:
    """A run folder with these lines as its n-best file."""
    (folder / "predictions").mkdir(parents=True, exist_ok=True)
    raw = lines if isinstance(lines, bytes) else "".join(json.dumps(line) + "\n" for line in lines).encode()
    (folder / "predictions" / "squad_nbest.jsonl.gz").write_bytes(packed(raw))
    return Run(folder)


def entries(count: int, n: int = 20) -> list[dict]:
    """Entries with `n` spans, as `evaluation` writes them."""
    draw = random.Random(0)
    return [
        {"id": f"56ddde6b9a695914005b{i:04x}", "null": draw.gauss(0, 5), "nothing": 0.5, "windows": 1}
        | {"nbest": [[k, k + 9, draw.gauss(0, 5), round(draw.random(), 6)] for k in range(n)]}
        for i in range(count)
    ]


def test_each_question_has_the_entry_of_the_run(run):
    file, whole = NBestFile(run), list(run.nbest())
    assert len(file) == len(whole) == run.metrics["squad"]["n"] and list(file) == [entry["id"] for entry in whole]
    assert all(file[entry["id"]] == entry for entry in reversed(whole))
    assert whole[0]["id"] in file and "nobody" not in file
    with pytest.raises(KeyError, match="nobody"):
        file["nobody"]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), unique=True, max_size=6), st.booleans())
def test_ids_and_lines_may_have_any_length_and_characters(tmp_path_factory, ids, ended):
    lines = [{"id": key, "null": 0.0, "nothing": 1.0, "nbest": [[i, i + 1, 0.5, 0.5]] * i} for i, key in enumerate(ids)]
    raw = "\n".join(json.dumps(line, ensure_ascii=False) for line in lines) + ("\n" if ended and lines else "")
    file = NBestFile(put(tmp_path_factory.mktemp("any"), raw.encode()))
    assert [file[key] for key in ids] == lines and len(file) == len(ids)


def test_several_threads_read_at_once(tmp_path):
    lines = entries(300)
    file = NBestFile(put(tmp_path, lines))
    wanted = random.Random(1).choices(lines, k=4000)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda line: file[line["id"]] == line, wanted)) == [True] * 4000


def test_memory_holds_only_ids_and_offsets(tmp_path):
    run = put(tmp_path, entries(1000))
    tracemalloc.start()
    file = NBestFile(run)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(file) == 1000 and held < 400 * 1000  # the spans would take 4 MB


def test_the_original_can_be_deleted_and_the_temporary_file_has_no_name(run, tmp_path):
    copy = Run(shutil.copytree(run.path, tmp_path / "copy"))
    file, first = NBestFile(copy), next(run.nbest())
    shutil.rmtree(copy.path)
    assert file[first["id"]] == first
    file.close()
    with pytest.raises(ValueError, match="closed file"):
        file[first["id"]]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (packed(b"{}" * 900)[:20], "cannot be read"),
        (b"text", "cannot be read"),
        (packed(b'{"id": "a"}\n{'), "cannot be read"),
        (packed(b'{"id": "\xff"}'), "cannot be read"),
        (packed(b'{"id": "a"}\n{"id": "b"}\n{"id": "a"}\n'), "line 3: question 'a' comes twice"),
        (packed(b'{"id": "a"}\n{"id": 7}\n'), "line 2: not an entry with an id"),
        (packed(b'[["id", "a"]]\n'), "line 1: not an entry with an id"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, raw, message):
    run = put(tmp_path, [])
    (run.path / "predictions" / "squad_nbest.jsonl.gz").write_bytes(raw)
    with pytest.raises(RunError, match=rf"squad_nbest\.jsonl\.gz.*{message}"):
        NBestFile(run)


def test_a_run_without_n_best_is_reported(run):
    with pytest.raises(RunError, match=r"has no n-best of cola: cola_nbest\.jsonl\.gz is not there"):
        NBestFile(run, "cola")
