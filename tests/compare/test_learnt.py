"""Whether a task was learnt: chance and constant answers by hand, intervals against theory and simulation, marks on claims."""

import numpy as np
import pytest
from conftest import THREADS
from scipy.stats import t
from sklearn.metrics import f1_score, matthews_corrcoef

from mtdnn_kit import Config, train
from mtdnn_kit.compare import choices, differences, learnt
from mtdnn_kit.compare.choices import Choice, Item
from mtdnn_kit.data.rows import SCRow
from mtdnn_kit.metrics import SCORES
from mtdnn_kit.views import findings


def scored(gold: list[int], said: dict[str, list[int]] | None = None, labels: int = 2) -> learnt.Scored:
    return learnt.Scored(np.array(gold), labels, {name: np.array(one) for name, one in (said or {}).items()})


def test_chance_and_constant_answers_by_hand():
    some = scored([1, 1, 1, 0])
    assert some.constant("accuracy") == (75.0, 1) and some.constant("matthews") == (0.0, 0)
    assert some.constant("f1") == (pytest.approx(600 / 7), 1) and some.constant("macro_f1") == (pytest.approx(300 / 7), 1)
    assert (some.chance("accuracy"), some.chance("matthews")) == (50.0, 0.0)
    assert some.chance("f1") == pytest.approx(100 * 2 * 0.75 * 0.5 / 1.25)
    assert scored([0, 1, 2, 2], labels=4).chance("accuracy") == 25.0


def test_chance_is_the_mean_score_of_uniform_labels():
    rng = np.random.default_rng(0)
    gold = (rng.random(2000) < 0.7).astype(int)
    drawn = [rng.integers(0, 2, len(gold)) for _ in range(200)]
    for score in ("accuracy", "matthews", "f1", "macro_f1"):
        assert scored(gold).chance(score) == pytest.approx(np.mean([SCORES[score](gold, one) for one in drawn]), abs=0.3)


def test_the_jackknife_equals_leaving_out_each_row():
    rng = np.random.default_rng(1)
    gold, said = rng.integers(0, 2, 60), rng.integers(0, 2, 60)
    assert learnt._jackknife(SCORES["accuracy"], gold, said) == pytest.approx(100.0 * (gold == said))
    for name, of in (("matthews", matthews_corrcoef), ("f1", f1_score)):
        without = np.array([100 * of(np.delete(gold, i), np.delete(said, i)) for i in range(60)])
        assert learnt._jackknife(SCORES[name], gold, said) == pytest.approx(60 * 100 * of(gold, said) - 59 * without)


@pytest.mark.parametrize(("score", "agree"), [("accuracy", 0.6), ("matthews", 0.65), ("f1", 0.7)])
def test_intervals_cover_the_score_on_other_rows(score, agree):
    """400 samples of 250 rows; the truth is measured on a million rows of the same population. A short simulation."""
    rng = np.random.default_rng(3)

    def drawn(n: int) -> tuple[np.ndarray, np.ndarray]:
        gold = (rng.random(n) < 0.6).astype(int)
        return gold, np.where(rng.random(n) < agree, gold, 1 - gold)

    gold, said = drawn(1_000_000)
    truth, fixed = SCORES[score](gold, said), SCORES[score](gold, np.ones_like(gold))
    inside = np.zeros(2)
    for _ in range(400):
        gold, said = drawn(250)
        some = learnt.Scored(gold, 2, {"run": said})
        found, above = learnt._intervals(some, score, SCORES[score](gold, said), 250)
        inside += [found[0] <= truth <= found[1], above[0] <= truth - fixed <= above[1]]
    assert all(inside >= 0.92 * 400) and all(inside <= 0.98 * 400), inside


def test_guesses_of_three_labels_are_not_learnt_by_macro_f1_though_they_beat_a_constant_answer():
    rng, shown = np.random.default_rng(7), 0
    for _ in range(200):
        gold, said = np.repeat([0, 1, 2], 60), rng.integers(0, 3, 180)
        some = learnt.Scored(gold, 3, {"run": said})
        assert SCORES["macro_f1"](gold, said) > some.constant("macro_f1")[0]
        shown += learnt._intervals(some, "macro_f1", SCORES["macro_f1"](gold, said), 180)[1][0] > 0
    assert shown <= 0.05 * 200


def test_one_row_gives_no_interval():
    assert learnt._intervals(scored([1], {"run": [1]}), "accuracy", 100.0, 1) == (None, None)


def test_without_labels_intervals_are_by_wilson_and_fisher():
    gold = [1] * 60 + [0] * 40
    (low, high), above = learnt._intervals(scored(gold), "accuracy", 70.0, 100)
    assert (low, high) == (pytest.approx(60.3, abs=0.1), pytest.approx(78.2, abs=0.1))
    half = 196 * np.sqrt((0.7 * 0.3 + 0.6 * 0.4) / 100)
    assert above == (pytest.approx(10 - half, abs=0.01), pytest.approx(10 + half, abs=0.01))
    (low, high), above = learnt._intervals(scored(gold), "matthews", 30.0, 100)
    z = np.arctanh(0.3)
    assert above == (low, high) == (
        pytest.approx(100 * np.tanh(z - 1.96 / 97**0.5), abs=0.01),
        pytest.approx(100 * np.tanh(z + 1.96 / 97**0.5), abs=0.01),
    )  # fmt: skip
    assert learnt._intervals(scored(gold), "f1", 70.0, 100) == (None, None), "F1 without the labels gives no interval"


def test_a_model_that_always_gives_one_label_still_has_an_interval():
    some = scored([1, 0] * 50, {"run": [1] * 100})
    (low, high), above = learnt._intervals(some, "matthews", 0.0, 100)
    assert low < -15 and high > 15 and above == (low, high)


def test_the_interval_above_the_baseline_is_by_clusters():
    """Ten rows a text, which are all right or all wrong: as if there were one."""
    right = np.repeat([1, 1, 0, 1, 1, 0, 1, 1], 10).astype(float)
    parts, texts = 100 * right, np.repeat(np.arange(8), 10)
    low, high = learnt._around(75.0, parts, texts)
    once = learnt._around(75.0, parts[::10], None)
    assert (low, high) == pytest.approx(once) and high - low > 2 * np.subtract(*learnt._around(75.0, parts, None)[::-1])
    half = t.isf(0.025, 7) * parts[::10].std(ddof=1) / np.sqrt(8)
    assert once == pytest.approx((75 - half, 75 + half))
    assert learnt._around(75.0, parts, np.zeros(80)) is None


@pytest.mark.parametrize("seeds", [1, 2])
@pytest.mark.parametrize("said", [[0, 1] * 15, [1] * 30, [1, 0] * 15], ids=["all right", "one label", "all wrong"])
def test_without_variation_the_interval_equals_that_of_the_table_of_tasks(said, seeds):
    """By clusters: two rows per text, for every score."""
    gold, equal = [0, 1] * 15, 0
    sure = [0.9 - seed / 10 for seed in range(seeds)]
    answers = {f"{seed}": [Choice(label, ((p, 1 - p), (1 - p, p))[label]) for label in said] for seed, p in enumerate(sure)}
    items = [
        Item(SCRow(i, f"The barge {i // 2} is late.", None, g), {run: one[i] for run, one in answers.items()}, ("a", "b"))
        for i, g in enumerate(gold)
    ]
    some = learnt.Scored(np.array(gold), 2, {run: np.array(said) for run in answers}, choices.numbered(items, items))
    for score in SCORES:
        (row,) = differences.setting_table(items, {"A": {seed: f"{seed}" for seed in range(seeds)}}, score)
        (low, high), above = learnt._intervals(some, score, row[score], len(gold))
        if np.ptp(learnt._jackknife(SCORES[score], some.gold, np.array(said))) == 0:
            equal += 1
            assert (low, high) == (pytest.approx(row["low"]), pytest.approx(row["high"])) and high - low > 10 and above is not None
    assert equal


@pytest.fixture(scope="module")
def runs(tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    tasks = ["squad", "swag", "cola", "mrpc"]
    small = dict(encoder=tiny, max_steps=6, batch_size=4, precision="fp32", device="cpu", threads=THREADS, qa_weight=0.25, tasks=tasks)
    made = {f"all {seed}": train(Config(**small, run_dir=str(folder / f"all-{seed}"), seed=seed)) for seed in (0, 1)}
    return made | {"QA": train(Config(**{**small, "tasks": ["squad"], "qa_weight": 1.0}, run_dir=str(folder / "qa")))}


def test_a_row_is_marked_with_the_tasks_that_its_baseline_did_not_learn():
    table = [{"setting": name, "task": task, "learnt": "not shown"} for name, task in (("A", "cola"), ("B", "mrpc"))]
    rows = [{"run": name, "seeds": 1, "compared with": base} for name, base in (("C", "A"), ("C", "B"), ("B", ""))]
    assert [row["not shown to be learnt"] for row in learnt.marked(rows, table, "A")] == ["cola", "mrpc", "mrpc"]


def test_a_study_compares_each_task_with_chance_and_a_constant_answer(runs):
    settings = {"QA": {0: "QA"}, "QA+MCC+SC": {0: "all 0", 1: "all 1"}}
    table = learnt.learnt_table(runs, settings)
    assert [(row["setting"], row["task"], row["score"]) for row in table] == [
        ("QA+MCC+SC", task, score)
        for task, score in (("swag", "accuracy"), ("cola", "matthews"), ("cola", "accuracy"), ("mrpc", "f1"), ("mrpc", "accuracy"))
    ]
    for row in table:
        values = [runs[name].metrics[row["task"]][row["score"]] for name in ("all 0", "all 1")]
        assert row["value"] == pytest.approx(np.mean(values)) and row["seeds"] == 2
        assert row["above baseline"] == pytest.approx(row["value"] - row["constant answer"])
        assert row["value low"] <= row["value"] <= row["value high"] and row["learnt"] in ("yes", "not shown")
    assert table[0]["chance"] == 25.0 and table[1]["constant answer"] == 0.0
    # six steps of a tiny encoder are too few to learn grammar
    assert "cola" in learnt.not_learnt(table)["QA+MCC+SC"]


def test_a_placebo_is_not_a_task_that_was_not_learnt(tiny, tmp_path):
    """Its labels are permuted: nothing can be learnt, and a score above a constant answer would be odd."""
    noise = {"type": "sc", "folder": "cola", "columns": {"first": "sentence", "label": "label"}, "labels": ["no", "yes"]}
    noise |= {"metrics": ["matthews"], "permute_labels": True}
    small = dict(encoder=tiny, max_steps=4, batch_size=4, precision="fp32", device="cpu", threads=THREADS, qa_weight=0.5)
    run = train(Config(**small, tasks=["squad", "noise"], define={"noise": noise}, run_dir=str(tmp_path / "run")))
    (row,) = table = learnt.learnt_table({"it": run}, {"both": {0: "it"}})
    assert row["learnt"] == "placebo" and learnt.not_learnt(table) == {"both": []}
    assert findings.of_tasks(table, "squad") == "Placebos, not above a constant answer, as they should be: noise."
    assert findings.unlearnt(table) == ""
    odd = findings.of_tasks([{**row, "learnt": learnt.ODD_PLACEBO}], "squad")
    assert odd == "Placebos above a constant answer, which permuted labels do not explain: noise."


def test_claims_of_tasks_that_were_not_shown_to_be_learnt_are_marked():
    table = [
        {"setting": "both", "task": "cola", "learnt": "not shown"}, {"setting": "both", "task": "swag", "learnt": "yes"},
        {"setting": "one", "task": "mrpc", "learnt": "unknown"},
    ]  # fmt: skip
    rows = [{"setting": "one"}, {"run": "both", "seeds": 2}, {"run": "no-answer baseline"}]
    assert [row["not shown to be learnt"] for row in learnt.marked(rows, table, "QA")] == ["", "cola", ""]
    # the baseline's unlearnt tasks mark every trained row; a row without training has no mark
    assert [row["not shown to be learnt"] for row in learnt.marked(rows, table, "both")] == ["cola", "cola", ""]
    assert learnt.marked(rows, table[1:], "QA") == rows


def test_without_the_rows_only_the_scores_are_shown(runs, tmp_path):
    (tmp_path / "squad").mkdir()
    (row, *_) = learnt.learnt_table(runs, {"QA+MCC+SC": {0: "all 0"}}, str(tmp_path))
    assert row["value"] == runs["all 0"].metrics["swag"]["accuracy"]
    assert (row["chance"], row["constant answer"], row["above baseline"], row["learnt"]) == (None, None, None, "unknown")
