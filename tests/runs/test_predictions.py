"""Reading an n-best file: every line as it was written, and an error that names a damaged file."""

import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtdnn_kit import Run, RunError

FILE = "predictions/squad_nbest.jsonl.gz"


def put(folder, content: bytes) -> Run:
    """A run folder with this n-best file."""
    (folder / FILE).parent.mkdir()
    (folder / FILE).write_bytes(content)
    return Run(folder)


def packed(raw: bytes) -> bytes:
    return gzip.compress(raw, mtime=0)  # always the same bytes, since they are part of test ids


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), unique=True, max_size=6), st.booleans())
def test_ids_and_lines_may_have_any_length_and_characters(tmp_path_factory, ids, ended):
    lines = [{"id": key, "null": 0.0, "nothing": 1.0, "nbest": [[i, i + 1, 0.5, 0.5]] * i} for i, key in enumerate(ids)]
    raw = "\n".join(json.dumps(line, ensure_ascii=False) for line in lines) + ("\n" if ended and lines else "")
    assert list(put(tmp_path_factory.mktemp("any"), packed(raw.encode())).nbest()) == lines


@pytest.mark.parametrize("raw", [packed(b"{}" * 900)[:20], b"text", packed(b'{"id": "a"}\n{'), packed(b'{"id": "\xff"}')])
def test_a_damaged_file_is_named(tmp_path, raw):
    with pytest.raises(RunError, match=r"squad_nbest\.jsonl\.gz: cannot be read"):
        list(put(tmp_path, raw).nbest())
