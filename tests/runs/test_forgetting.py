"""Forgetting is the difference of planted scores, from the end of a task's own block or from its best scoring."""

import json
from pathlib import Path

import pytest
from conftest import ROOT, changed
from curved import CONSTANT, SCORES, planted

from mtdnn_kit import Run
from mtdnn_kit.runs.forgetting import forgetting, forgetting_table


def sequential(folder: Path, values: dict[str, list[float]], tasks: list[str], at: list[int]) -> Run:
    """A run under `sampler: sequential` with these tasks per step and these scores after the steps `at`."""
    run = planted(folder, {task: [] for task in values})
    made = changed(run.parameters, sampler="sequential", qa_weight=None, sharing=None, exhausted=None)
    (folder / "config.yaml").write_text(made.to_yaml())
    lines = [{"step": k, "task": task, "loss": 1.0} for k, task in enumerate(tasks, 1)]
    for k, step in enumerate(at):
        for task, own in values.items():
            scores = {"n": 200, SCORES[task]: own[k]}
            lines.append({"step": step, "of": "scored", "task": task, "scores": scores, "constant": {SCORES[task]: CONSTANT[task]}})
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in sorted(lines, key=lambda line: line["step"])))
    return run


SCORED = {"squad": [30.0, 31.0, 29.0, 50.0], "swag": [40.0, 60.0, 45.0, 38.5], "cola": [5.0, 4.0, 20.0, 12.0]}
BLOCKS = ["swag"] * 4 + ["cola"] * 4 + ["squad"] * 4


def test_under_sequential_it_counts_from_the_end_of_a_tasks_own_block(tmp_path):
    run = sequential(tmp_path / "run", SCORED, BLOCKS, [2, 4, 8, 12])
    assert forgetting(run) == [
        {"task": "squad", "score": "f1", "learnt": 50.0, "at": "step 12, after its block", "end": 50.0, "forgotten": 0.0},
        {"task": "swag", "score": "accuracy", "learnt": 60.0, "at": "step 4, after its block", "end": 38.5, "forgotten": 21.5},
        {"task": "cola", "score": "matthews", "learnt": 20.0, "at": "step 8, after its block", "end": 12.0, "forgotten": 8.0},
    ]


def test_the_last_of_several_blocks_counts_and_a_task_not_scored_in_it_is_left_out(tmp_path):
    run = sequential(tmp_path / "run", SCORED, BLOCKS + ["swag"] * 2 + ["cola"] * 2 + ["squad"] * 2, [4, 8, 13, 18])
    assert {row["task"]: (row["learnt"], row["end"]) for row in forgetting(run)} == {"squad": (50.0, 50.0), "swag": (45.0, 38.5)}
    assert [row["at"] for row in forgetting(run)] == ["step 18, after its block", "step 13, after its block"]


def test_otherwise_it_counts_from_the_best_scoring(tmp_path):
    run = planted(tmp_path / "run", {"squad": [30.0, 52.5, 52.5, 51.0], "cola": [1.0, None, 2.0, 3.0]})
    assert forgetting(run) == [
        {"task": "squad", "score": "f1", "learnt": 52.5, "at": "step 20, the best of 4", "end": 51.0, "forgotten": 1.5},
        {"task": "cola", "score": "matthews", "learnt": 3.0, "at": "step 40, the best of 3", "end": 3.0, "forgotten": 0.0},
    ]
    assert forgetting(Run(ROOT / "results/sample/qa")) == []


def test_a_setting_has_the_means_over_its_seeds(tmp_path):
    values = {"a0": {"squad": [50.0, 48.0]}, "a1": {"squad": [54.0, 46.0]}, "b0": {"squad": [40.0, 41.0], "cola": [9.0, 8.0]}}
    runs = {name: planted(tmp_path / name, own) for name, own in values.items()}
    rows = forgetting_table(runs, {"A": {0: "a0", 1: "a1", 2: "not there"}, "B": {0: "b0"}})
    assert [row.pop("sd") for row in rows] == [pytest.approx(3 * 2**0.5), None, None]
    assert rows == [
        {"setting": "A", "task": "squad", "score": "f1", "learnt": 52.0, "end": 47.0, "forgotten": 5.0}
        | {"seeds": 2, "learnt at": "its best scoring"},
        {"setting": "B", "task": "squad", "score": "f1", "learnt": 41.0, "end": 41.0, "forgotten": 0.0}
        | {"seeds": 1, "learnt at": "step 20, the best of 2"},
        {"setting": "B", "task": "cola", "score": "matthews", "learnt": 9.0, "end": 8.0, "forgotten": 1.0}
        | {"seeds": 1, "learnt at": "step 10, the best of 2"},
    ]
