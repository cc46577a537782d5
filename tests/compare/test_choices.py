"""Labels and choices of several runs side by side: equal to the runs' files, on the same rows, or an error that names the line."""

import json
import shutil

import numpy as np
import pytest
from conftest import THREADS

from mtdnn_kit import Config, Run, RunError, train
from mtdnn_kit.compare import choices, of_items
from mtdnn_kit.data.registry import DATASETS
from mtdnn_kit.data.sources import load
from mtdnn_kit.errors import CompareError

TASKS = ["squad", "swag", "cola", "mnli"]


@pytest.fixture(scope="module")
def runs(tiny, tmp_path_factory) -> dict[str, Run]:
    """Two runs of the tiny encoder on all task types of the sample."""
    folder = tmp_path_factory.mktemp("runs")
    small = dict(encoder=tiny, max_steps=8, batch_size=4, precision="fp32", device="cpu", threads=THREADS, qa_weight=0.25, tasks=TASKS)
    return {name: train(Config(**small, run_dir=str(folder / name), seed=seed)) for seed, name in enumerate(["one", "two"])}


@pytest.mark.parametrize("task", ["mnli", "cola", "swag"])
def test_choices_and_scores_equal_the_runs_files(runs, task):
    items = choices.pair(runs, task=task)
    assert [item.row for item in items] == load(
        task, DATASETS[task], "validation_matched" if task == "mnli" else "validation", "sample"
    ).rows
    for name, run in runs.items():
        accuracy = 100 * sum(item.replies[name].label == item.gold for item in items) / len(items)
        assert accuracy == pytest.approx(run.metrics[task]["accuracy"])
        wrote = [json.loads(line) for line in (run.path / "predictions" / f"{task}.jsonl").read_text().splitlines()]
        for item, line in zip(items, wrote, strict=True):
            said = item.replies[name]
            assert (item.row.id, said.label, list(said.probabilities)) == (line["id"], line["label"], line["probabilities"])
            assert said.probability == max(said.probabilities) and len(item.names) == len(said.probabilities)
            assert item.gold == item.row.label
            assert item.names == (item.row.choices if task == "swag" else DATASETS[task].labels)
    labels = [[item.replies[name].label for item in items] for name in runs]
    assert of_items(items).at().differ.tolist() == [a != b for a, b in zip(*labels, strict=True)]


def test_the_two_runs_differ_somewhere(runs):
    differ = [of_items(choices.pair(runs, task=task)).at().differ for task in TASKS[1:]]
    assert set(np.concatenate(differ).tolist()) == {True, False}


@pytest.mark.parametrize("task", ["mnli", "cola", "swag"])
def test_choices_are_paired_by_id_in_any_file_order(runs, tmp_path, task):
    turned = edited(runs["two"], tmp_path / "turned", lambda lines: lines[::-1], task=task)
    some = (
        edited(runs["two"], tmp_path / "some", lambda lines: lines[::3], task=task),
        edited(runs["one"], tmp_path / "others", lambda lines: lines[::3][::-1], task=task),
    )
    wanted = choices.pair(runs, task=task)
    assert choices.pair({"one": runs["one"], "two": turned}, task=task) == wanted
    assert choices.pair({"one": some[1], "two": some[0]}, task=task) == wanted[::3]


def edited(run: Run, folder, edit, n: int | None = None, task: str = "mnli") -> Run:
    """A copy of a run with `task`'s lines changed by `edit` and `n` in its metrics."""
    shutil.copytree(run.path, folder)
    lines = edit(list(run.choices(task)))
    (folder / "predictions" / f"{task}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    metrics = run.metrics
    metrics[task]["n"] = n or len(lines)
    (folder / "metrics.json").write_text(json.dumps(metrics))
    return Run(folder)


def change(**changes):
    """Changes the third line."""
    return lambda lines: [*lines[:2], {**lines[2], **changes}, *lines[3:]]


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (change(id="2"), "line 3: not an id with a label"),
        (change(id=True), "line 3: not an id with a label"),
        (lambda lines: [*lines[:2], 7, *lines[2:]], "line 3: not an id with a label and probabilities: 7"),
        (change(id=1), "line 3: row 1 comes twice"),
        (change(id=10_000), "line 3: row 10000 is not one of the scored rows"),
        (change(probabilities=[0.5, 0.5]), r"line 3: row 2: \[0.5, 0.5\] should be 3 probabilities"),
        (change(probabilities=None), "line 3: row 2: None should be 3"),
        (change(label=0, probabilities=[float("nan"), 0.5, 0.5]), "line 3: row 2: .* are not probabilities"),
        (change(label=0, probabilities=[0.9, 0.2, 0.1]), "line 3: row 2: .* are not probabilities: they must sum to 1"),
        (change(label=0, probabilities=[1.2, -0.1, -0.1]), "line 3: row 2: .* are not probabilities"),
        (change(label=0, probabilities=["1", 0, 0]), "line 3: row 2: .* are not probabilities"),
        (change(label=1, probabilities=[0.5, 0.3, 0.2]), "line 3: row 2: label 1 is not the most probable of 3"),
        (change(label=3, probabilities=[0.5, 0.3, 0.2]), "line 3: row 2: label 3 is not the most probable"),
        (change(label=-3, probabilities=[0.5, 0.3, 0.2]), "line 3: row 2: label -3 is not the most probable"),
        (change(label=None), "line 3: row 2: label None is not the most probable"),
    ],
)
def test_an_invalid_line_is_refused_with_its_run_file_and_line(runs, tmp_path, edit, message):
    with pytest.raises(CompareError, match=rf"other: other, predictions/mnli\.jsonl, {message}"):
        choices.pair({"one": runs["one"], "other": edited(runs["one"], tmp_path / "other", edit)})


def test_among_equally_probable_labels_any_may_be_chosen(runs, tmp_path):
    other = edited(runs["one"], tmp_path / "other", change(label=1, probabilities=[0.4, 0.4, 0.2]))
    assert choices.pair({"other": other})[2].replies["other"] == choices.Choice(1, (0.4, 0.4, 0.2))


def test_only_the_same_rows_are_compared(runs, tmp_path):
    """Rows are never dropped silently."""
    fewer = edited(runs["one"], tmp_path / "fewer", lambda lines: lines[:-1])
    last = list(runs["one"].choices("mnli"))[-1]["id"]
    with pytest.raises(CompareError, match=rf"row {last} is answered by one, not by fewer \(1 such\): .* on the same rows"):
        choices.pair({"one": runs["one"], "fewer": fewer})
    with pytest.raises(CompareError, match=r"few has 4 labels of mnli, but metrics.json says 90"):
        choices.pair({"few": edited(runs["one"], tmp_path / "few", lambda lines: lines[:4], n=90)})
    manifest = json.loads((fewer.path / "manifest.json").read_text())
    manifest["data"]["mnli/validation_matched"]["fingerprint"] = "0"
    (fewer.path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(CompareError, match=r"fewer: .* was scored on other rows \(sample, fingerprint 0\)"):
        choices.pair({"one": runs["one"], "fewer": fewer})
    with pytest.raises(CompareError, match="was not scored on sequence classification or multiple choice task 'squad'"):
        choices.pair(runs, task="squad")
    with pytest.raises(CompareError, match="at least one"):
        choices.pair({})


def test_a_missing_or_damaged_file_is_named(runs, tmp_path):
    other = edited(runs["one"], tmp_path / "other", lambda lines: lines)
    file = other.path / "predictions" / "mnli.jsonl"
    file.write_bytes(file.read_bytes()[:-30])
    with pytest.raises(RunError, match=rf"mnli\.jsonl, line {runs['one'].metrics['mnli']['n']}: cannot be read"):
        choices.pair({"other": other})
    file.write_bytes(b"\xff\n")
    with pytest.raises(RunError, match=r"mnli\.jsonl, line 1: cannot be read"):
        choices.pair({"other": other})
    file.unlink()
    with pytest.raises(RunError, match=r"has no predictions/mnli\.jsonl: .* keep the run again"):
        choices.pair({"other": other})


def test_a_kept_run_has_its_choices_and_no_text(runs, tmp_path):
    runs["one"].keep(tmp_path / "kept")
    for task in TASKS[1:]:
        assert choices.pair({"one": Run(tmp_path / "kept")}, task=task) == choices.pair({"one": runs["one"]}, task=task)
    files = {file.name for file in (tmp_path / "kept" / "predictions").iterdir()}
    assert files == {"squad_nbest.jsonl.gz", "squad_held_out.jsonl.gz", "swag.jsonl", "cola.jsonl", "mnli.jsonl"}
    assert {key for line in Run(tmp_path / "kept").choices("swag") for key in line} == {"id", "label", "probabilities"}
