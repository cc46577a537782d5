"""Tests and intervals for sentences, sentence pairs and endings: by score, by text or group, with several seeds, in a study's table."""

import json

import numpy as np
import pytest
from conftest import THREADS
from questions import QUESTIONS
from sklearn.metrics import f1_score, matthews_corrcoef

from mtdnn_kit import Config, Run, RunError, compare, train
from mtdnn_kit.compare import choices, clusters, differences, pairing, significance, study_tables
from mtdnn_kit.compare.choices import Choice, Item
from mtdnn_kit.data.rows import MCCRow, SCRow
from mtdnn_kit.errors import ConfigError
from mtdnn_kit.views.tables import alone

NAMES = ("no", "yes")


def item(number: int, gold: int, *said: int, first: str | None = None, names=NAMES, group=None) -> Item:
    """A row with replies of runs "a", "b" …: their labels are `said`."""
    spread = [[0.1] * len(names) for _ in said]
    for shares, label in zip(spread, said, strict=True):
        shares[label] = 1 - 0.1 * (len(names) - 1)
    replies = {run: Choice(label, tuple(shares)) for run, label, shares in zip("abcdef", said, spread, strict=False)}
    return Item(SCRow(number, first or f"Sentence {number}", None, gold), replies, names, ("matthews", "f1", "macro_f1"), group)


def planted(n: int, runs: int, right: float, seed: int = 0, names=NAMES, each: int = 1, group: bool = False) -> list[Item]:
    """n rows; each run gets about the share `right` correct and guesses the rest; `each` rows share a first text, or a group."""
    rng, rows = np.random.default_rng(seed), []
    for i in range(n):
        gold = int(rng.integers(len(names)))
        said = [gold if rng.random() < right else int(rng.integers(len(names))) for _ in range(runs)]
        text = None if group else f"Text {i // each}"
        rows.append(item(i, gold, *said, first=text, names=names, group=i // each if group else None))
    return rows


OF = {
    "accuracy": lambda gold, said: np.mean(gold == said),
    "matthews": matthews_corrcoef,
    "f1": f1_score,
    "macro_f1": lambda gold, said: f1_score(gold, said, average="macro"),
}


@pytest.mark.parametrize("score", OF)
def test_a_score_its_interval_and_a_difference_follow_from_the_labels(score):
    """Against scikit-learn, and a jackknife written out here: the score without each row."""
    items = planted(120, 2, 0.6)
    gold, a, b = (np.array([of(one) for one in items]) for of in (lambda i: i.gold, *(lambda i, r=r: i.replies[r].label for r in "ab")))
    of = OF[score]
    assert differences.value(items, "a", score) == pytest.approx(100 * of(gold, a))
    found = differences.difference(items, "a", "b", score)
    assert found.difference == pytest.approx(100 * (of(gold, b) - of(gold, a))) and (found.n_items, found.n_passages) == (120, 120)
    keep = ~np.eye(120, dtype=bool)
    without = np.array([of(gold[some], b[some]) - of(gold[some], a[some]) for some in keep])
    parts = 120 * (of(gold, b) - of(gold, a)) - 119 * without
    assert found.se == pytest.approx(100 * parts.std(ddof=1) / np.sqrt(120))
    low, high = differences.interval(items, "a", score)
    alone_ = 120 * of(gold, a) - 119 * np.array([of(gold[some], a[some]) for some in keep])
    half = 1.98 * 100 * alone_.std(ddof=1) / np.sqrt(120)
    assert low < 100 * of(gold, a) < high and (high - low) / 2 == pytest.approx(half, rel=0.03)


def test_an_interval_of_one_model_does_not_depend_on_another_models_score():
    """It is computed from the model's answers only, not relative to a perfect model."""
    items = planted(90, 1, 0.5, names=("a", "b", "c"))
    low, high = differences.interval(items, "a", "macro_f1")
    assert low < differences.value(items, "a", "macro_f1") < high and 10 < high - low < 30


def test_a_model_that_always_gives_one_label_still_has_an_interval():
    items = [item(i, i % 2, 1) for i in range(60)]
    assert differences.value(items, "a", "matthews") == 0
    low, high = differences.interval(items, "a", "matthews")
    assert low == pytest.approx(-high) and 20 < high < 30, "Fisher's z: 25.4"


def test_rows_of_one_text_or_group_are_one_cluster():
    """Copies add no information: an interval by texts is as wide as with one copy of each."""
    once = planted(60, 2, 0.7)
    for group in (False, True):
        copies = [
            item(3 * i + k, one.gold, *(one.replies[r].label for r in "ab"), first=one.row.first, group=i if group else None)
            for i, one in enumerate(once)
            for k in range(3)
        ]
        found, wanted = (differences.difference(some, "a", "b", "accuracy") for some in (copies, once))
        assert (found.low, found.high, found.p) == (pytest.approx(wanted.low), pytest.approx(wanted.high), pytest.approx(wanted.p))
        assert (found.n_items, found.n_passages) == (180, 60)
        assert clusters.population(copies) == ("groups" if group else "texts")
        assert clusters.speaks_for(copies) == f"Intervals and tests speak for other {'groups' if group else 'texts'} like these 60."
    assert clusters.other_population(once) is None and clusters.clustered(once, "title") == once


def test_the_note_on_few_groups_does_not_mention_questions():
    said = clusters.speaks_for(planted(30, 1, 0.7, each=3))
    assert said.startswith("Intervals and tests speak for other texts like these 10. 10 are few: ") and "AP" not in said


def test_an_empty_first_text_does_not_form_a_cluster():
    rows = [MCCRow(i, "", start, ("a", "b"), 0) for i, start in enumerate(["One", "One", ""])]
    assert [Item(row, {}, row.choices).cluster for row in rows] == ["One", "One", "row 2"]


def test_f1_of_label_1_needs_two_labels():
    items = planted(30, 2, 0.6, names=("a", "b", "c"))
    assert differences.value(items, "a", "f1") is None and differences.interval(items, "a", "f1") == (None, None)
    assert differences.difference(items, "a", "b", "f1") is None and differences.value(items, "a", "EM") is None


def test_an_unknown_score_is_refused_with_the_known_ones():
    items, alike = planted(30, 2, 0.6), {"A": {0: "a"}, "B": {0: "b"}}
    said = "is none of rows with labels; these have matthews, f1, macro_f1, accuracy. Did you mean"
    with pytest.raises(compare.CompareError, match=f"^score: 'F1' {said} f1"):
        differences.difference(items, "a", "b", "F1")
    with pytest.raises(compare.CompareError, match=f"^score: 'Accuracy' {said} accuracy"):
        differences.setting_table(items, alike, "Accuracy")
    with pytest.raises(compare.CompareError, match="^score: 'f1' is none of questions; these have EM, F1, span F1, .* Did you mean F1"):
        differences.difference(QUESTIONS, "A", "B", "f1")


def test_a_sentence_names_rows_and_clusters_correctly():
    items = planted(30, 4, 0.6, each=2)
    found = differences.difference(items, "a", "b", "accuracy")
    assert "; 30 rows in 15 texts), " in found.sentence() and "passages" not in found.sentence()
    assert "; 30 rows in 15 groups), " in found.sentence(of="groups")
    several = differences.setting_difference(items, {0: "a", 1: "c"}, {0: "b", 1: "d"}, "accuracy")
    assert ", 15 texts); it speaks" in several.sentence() and "passages" not in several.sentence()
    assert "items in" in differences.difference(QUESTIONS, "A", "B", "F1").sentence()


def test_the_table_of_differences_has_the_tasks_scores_and_mcnemar():
    items = planted(80, 2, 0.6)
    rows = differences.difference_table(items, "a", "b")
    assert [row["score"] for row in rows] == ["matthews", "f1", "macro_f1", "accuracy"]
    right = [[one.replies[run].label == one.gold for one in items] for run in "ab"]
    assert [row["McNemar p"] for row in rows] == [None, None, None, significance.mcnemar(*right)[2]]
    assert all((row["rows"], row["texts"]) == (80, 80) and "questions" not in row for row in rows)


@pytest.mark.parametrize("score", ["accuracy", "matthews", "f1"])
def test_seeds_are_blocks_for_labels_too(score):
    """Two settings with three shared seeds: differences hold for the settings, and come from the seeds' contributions."""
    items = planted(90, 6, 0.65)
    settings = {"one": {0: "a", 1: "b", 2: "c"}, "two": {0: "d", 1: "e", 2: "f"}}
    first, second = differences.setting_table(items, settings, score)
    assert second["speaks for"] == "the settings" and 0 < second["p"] <= 1 and second["Δ low"] < second["Δ"] < second["Δ high"]
    means = {name: np.mean([differences.value(items, run, score) for run in own.values()]) for name, own in settings.items()}
    assert (first[score], second[score]) == (pytest.approx(means["one"]), pytest.approx(means["two"]))
    assert second["Δ"] == pytest.approx(means["two"] - means["one"], abs=0.3)  # pseudo-values: their mean is the score plus a small bias
    assert first["low"] < first[score] < first["high"]
    assert [row["for"] for row in differences.population_table(items, settings, [score])][1] == "other texts, these runs"
    assert "such rows" in differences.sentences(items, settings, score)[0]


@pytest.fixture(scope="module")
def two(tiny, tmp_path_factory) -> dict[str, Run]:
    """Two runs; only the second has multiple choice."""
    folder, small = tmp_path_factory.mktemp("labels"), dict(encoder=tiny, batch_size=4, max_steps=6, max_length=96, overlap=10)
    small |= dict(eval_limit=20, threshold_articles=[], precision="fp32", device="cpu", threads=THREADS, qa_weight=0.3)
    tasks = {"SC": ["squad", "cola", "mrpc"], "MCC+SC": ["squad", "swag", "cola", "mrpc"]}
    return {name: train(Config(**small, tasks=some, run_dir=str(folder / name))) for name, some in tasks.items()}


def test_any_task_is_paired_by_one_call(two):
    assert compare.pair(two, task="cola") == choices.pair(two, task="cola") and len(compare.pair(two, task="cola")) == 20
    assert compare.pair(two) == pairing.pair(two)
    assert {one.metrics for one in compare.pair(two, task="mrpc")} == {("f1", "accuracy")}
    with pytest.raises(compare.CompareError, match="SC: .* was not scored on 'swag'; it was scored on squad, cola, mrpc$"):
        compare.pair(two, task="swag")
    with pytest.raises(compare.CompareError, match="at least one"):
        compare.pair({}, task="cola")


def test_a_runs_answers_are_its_labels(two, tmp_path):
    run = two["MCC+SC"]
    lines = {task: list(run.choices(task)) for task in ("cola", "swag")}
    assert run.answers("cola") == {line["id"]: ("unacceptable", "acceptable")[line["label"]] for line in lines["cola"]}
    assert run.answers("swag") == {line["id"]: line["label"] for line in lines["swag"]} and len(run.answers("squad")) == 20
    run.keep(tmp_path / "kept")
    file = tmp_path / "kept" / "predictions" / "cola.jsonl"
    file.write_text(json.dumps({"id": 1, "label": 2}) + "\n")
    with pytest.raises(RunError, match=r"cola.jsonl, line 1: label 2 is not one of the 2 labels; copy it again"):
        Run(tmp_path / "kept").answers("cola")
    file.write_text(json.dumps({"id": 1, "label": "x"}) + "\n")
    with pytest.raises(RunError, match=r"cola.jsonl, line 1: it is .*, not a row's id and the number of its label; copy it again"):
        Run(tmp_path / "kept").answers("cola")


def test_a_studys_table_has_every_task_besides_the_main_one(two, tmp_path):
    rows = study_tables.task_table(two, alone(two))
    assert [(row["task"], row["score"], row["setting"], row["compared with"]) for row in rows] == [
        *(("cola", score, *of) for score in ("matthews", "accuracy") for of in (("SC", ""), ("MCC+SC", "SC"))),
        *(("mrpc", score, *of) for score in ("f1", "accuracy") for of in (("SC", ""), ("MCC+SC", "SC"))),
        ("swag", "accuracy", "MCC+SC", ""),
    ]
    for row in rows:
        assert row["value"] == pytest.approx(two[row["setting"]].metrics[row["task"]][row["score"]]) and row["seeds"] == 1
        assert (row["Δ"] is None) == (row["p"] is None) == (row["compared with"] == "")
    tested = [row["p"] for row in rows if row["p"] is not None]
    assert [row["p (adjusted)"] for row in rows if row["p"] is not None] == significance.holm(tested) and len(tested) == 4
    for name, run in two.items():
        run.keep(tmp_path / name)
        (tmp_path / name / "predictions" / "cola.jsonl").unlink()
    kept = {name: Run(tmp_path / name) for name in two}
    assert {row["task"] for row in study_tables.task_table(kept, alone(kept))} == {"mrpc", "swag"}, "a task without kept labels has no row"
    manifest = kept["SC"].path / "manifest.json"
    manifest.write_text(manifest.read_text().replace(two["SC"].manifest["data"]["mrpc/validation"]["fingerprint"], "0"))
    (told, *_) = study_tables.task_table(kept, alone(kept))
    assert told["task"] == "mrpc" and told["note"].startswith("not available: ") and "was scored on other rows" in told["note"]


def test_intervals_go_by_the_column_of_groups(tiny, tmp_path):
    rows = [{"text": f"The barge {i} is late.", "label": i % 2, "skipper": f"S{i // 4}"} for i in range(24)]
    (tmp_path / "barges.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    barges = {"type": "sc", "columns": {"first": "text", "label": "label"}, "labels": ["early", "late"], "group": "skipper"}
    barges["files"] = {split: str(tmp_path / "barges.jsonl") for split in ("train", "validation")}
    small = dict(encoder=tiny, batch_size=4, max_steps=2, max_length=32, overlap=2, precision="fp32", device="cpu", threads=THREADS)
    run = train(Config(tasks=["barges"], define={"barges": barges}, qa_weight=1.0, run_dir=str(tmp_path / "run"), **small))
    items = compare.pair({"it": run}, task="barges")
    assert len({one.cluster for one in items}) == 6 and clusters.population(items) == "groups"
    assert [len({one.cluster for one in items[i : i + 4]}) for i in range(0, 24, 4)] == [1] * 6
    again = run.score(define={"fewer": {"task": "barges", "files": {"validation": barges["files"]["validation"]}}})
    assert again["fewer"]["n"] == 24 and clusters.population(compare.pair({"it": run}, task="fewer")) == "groups"
    with pytest.raises(ConfigError, match="define.barges.group is 3"):
        Config(tasks=["barges"], define={"barges": {**barges, "group": 3}}, qa_weight=1.0)
