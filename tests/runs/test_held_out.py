"""The file of the held-out scores that tuned a run's threshold: enough to tune it again, no text, and damage is reported."""

import gzip
import json
import shutil

import numpy as np
import pytest
from conftest import THREADS

from mtdnn_kit import Config, Run, RunError, train
from mtdnn_kit.data.rows import QARow
from mtdnn_kit.runs.held_out import read_held_out, write_held_out
from mtdnn_kit.runs.run import HELD_OUT_FILE
from mtdnn_kit.tasks.null_threshold import best_threshold, finite_threshold


@pytest.fixture(scope="module")
def run(tiny, tmp_path_factory) -> Run:
    folder = tmp_path_factory.mktemp("runs") / "run"
    small = dict(encoder=tiny, max_steps=3, batch_size=4, precision="fp32", device="cpu", threads=THREADS, tasks=["squad"], qa_weight=1.0)
    return train(Config(**small, run_dir=str(folder)))


def test_the_threshold_can_be_tuned_again_from_the_file(run):
    held, said = read_held_out(run), run.manifest["held_out"]["squad"]
    assert {len(values) for values in held.values()} == {said["questions"]} and len(np.unique(held["unit"])) == said["titles"] == 10
    assert held["nothing"].sum() == said["unanswerable"]
    threshold, _ = best_threshold(held["f1"], held["nothing"], held["diff"])
    diff = np.array([entry["null"] - entry["nbest"][0][2] if entry["nbest"] else np.inf for entry in run.nbest()])
    assert finite_threshold(threshold, diff) == run.metrics["squad"]["threshold"]


def test_it_contains_only_ids_and_numbers_and_is_kept_with_the_run(run, tmp_path):
    for line in gzip.decompress((run.path / "predictions" / HELD_OUT_FILE.format("squad")).read_bytes()).splitlines():
        entry = json.loads(line)
        assert list(entry) == ["id", "unit", "diff", "em", "f1", "nothing"]
        assert all(value is None or isinstance(value, int | float) for key, value in entry.items() if key != "id")
    run.keep(tmp_path / "kept")
    assert {key: values.tolist() for key, values in read_held_out(Run(tmp_path / "kept")).items()} == {
        key: values.tolist() for key, values in read_held_out(run).items()
    }


@pytest.mark.parametrize(("titles", "units"), [(["Owl", "Owl", "Tea"], [0, 0, 1]), (["Owl", "", "Tea"], [0, 1, 0])])
def test_a_unit_is_an_article_or_without_titles_a_passage_and_a_missing_span_is_kept(run, tmp_path, titles, units):
    rows = [QARow(str(i), title, context, "Who?", ()) for i, (title, context) in enumerate(zip(titles, "aba", strict=True))]
    scores = {"diff": np.array([0.5, np.inf, -1.0]), "em": np.zeros(3), "f1": np.array([0.0, 0.5, 1.0]), "nothing": np.ones(3)}
    (tmp_path / "predictions").mkdir()
    write_held_out(tmp_path / "predictions", "squad", rows, scores)
    found = read_held_out(Run(tmp_path))
    assert {key: values.tolist() for key, values in found.items()} == {"unit": units} | {key: x.tolist() for key, x in scores.items()}


def test_without_the_file_there_are_no_held_out_scores(run, tmp_path):
    shutil.copytree(run.path, tmp_path / "run")
    (tmp_path / "run/predictions" / HELD_OUT_FILE.format("squad")).unlink()
    assert read_held_out(Run(tmp_path / "run")) is None


DAMAGE = {
    "no gzip": b"no gzip",
    "no number": gzip.compress(b"{}\n"),
    "no object": gzip.compress(b"[1]\n"),
    "NaN": gzip.compress(b'{"unit": 0, "diff": NaN, "em": 1, "f1": 1, "nothing": 0}\n'),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_reported_with_the_files_name(run, tmp_path, damage):
    shutil.copytree(run.path, tmp_path / "run")
    (tmp_path / "run/predictions" / HELD_OUT_FILE.format("squad")).write_bytes(DAMAGE[damage])
    with pytest.raises(RunError, match="squad_held_out.jsonl.gz: cannot be read .*copy it again"):
        read_held_out(Run(tmp_path / "run"))
