"""Fair comparison of arms: the learning rate that planted scores select, separate tuning seeds, equal steps and tokens."""

import gzip
import json

import numpy as np
import pytest
import yaml
from conftest import THREADS, study_text

from mtdnn_kit import prepare
from mtdnn_kit.errors import StudyError
from mtdnn_kit.runs.run import HELD_OUT_FILE, Run
from mtdnn_kit.studies import arms, report
from mtdnn_kit.studies.running import run_study
from mtdnn_kit.studies.study import read_study

VARIANTS = {"QA": {"tasks": ["squad"], "qa_weight": 1.0}, "QA+SC": {"tasks": ["squad", "cola"], "qa_weight": 0.5}}
TUNE = {"tune": {"learning_rate": [1e-3, 1e-4]}, "tune_seeds": [100, 101], "seeds": [0, 1]}


def study_of(folder, base: dict | None = None, **more):
    (folder / "base.yaml").write_text(yaml.safe_dump(base or {"data": "sample"}))
    (folder / "mine.yaml").write_text(study_text({"variants": VARIANTS, **more, "base": str(folder / "base.yaml")}))
    return read_study(folder / "mine.yaml")


def kept(folder, f1: float, diff: float = 0.0) -> Run:
    """A run folder with only the held-out scores: four answerable questions with this F1, and two unanswerable ones whose null − best is
    `diff`."""
    (folder / "predictions").mkdir(parents=True)
    (folder / "config.yaml").write_text("tasks: [squad]\n")
    able = [{"id": f"a{i}", "unit": i, "diff": 0.1 * i, "em": 0, "f1": f1, "nothing": 0} for i in range(4)]
    empty = [{"id": f"e{i}", "unit": i, "diff": diff, "em": 0, "f1": 0, "nothing": 1} for i in range(2)]
    lines = "".join(json.dumps(line) + "\n" for line in able + empty)
    (folder / "predictions" / HELD_OUT_FILE.format("squad")).write_bytes(gzip.compress(lines.encode()))
    return Run(folder)


def test_each_variant_is_tuned_with_the_same_number_of_runs_and_other_seeds_than_the_studys(tmp_path):
    study = study_of(tmp_path, **TUNE)
    runs = arms.tuning_runs(study)
    assert list(runs) == [
        f"tune {name} learning_rate={rate} seed {seed}" for name in VARIANTS for rate in (0.001, 0.0001) for seed in (100, 101)
    ]
    assert {run.seed for run in runs.values()} == {100, 101} and {run.seed for run in study.runs.values()} == {0, 1}
    configs = study.configs(tmp_path / "runs", None, runs)
    assert [config.learning_rate for config in configs.values()] == [1e-3, 1e-3, 1e-4, 1e-4] * 2


def test_each_arm_takes_the_rate_with_the_best_mean_on_held_out_questions(tmp_path):
    """Planted: QA is better with the first rate, QA+SC with the second, by the mean of two seeds and not by the better seed."""
    study = study_of(tmp_path, **TUNE)
    planted = {"QA": {1e-3: (0.5, 0.6), 1e-4: (0.9, 0.1)}, "QA+SC": {1e-3: (0.2, 0.3), 1e-4: (0.1, 0.5)}}
    runs = {
        name: kept(tmp_path / str(i), planted[run.variant][run.changes["learning_rate"]][run.seed - 100])
        for i, (name, run) in enumerate(arms.tuning_runs(study).items())
    }
    rows = arms.choose(study, runs)
    assert [(row["variant"], row["parameters"]["learning_rate"], row["taken"]) for row in rows] == [
        ("QA", 1e-3, True), ("QA", 1e-4, False), ("QA+SC", 1e-3, False), ("QA+SC", 1e-4, True),
    ]  # fmt: skip
    assert rows[0]["scores"] == pytest.approx([50, 60]) and rows[0]["mean"] == pytest.approx(55)
    chosen = arms.with_chosen(study, rows)
    assert {name: c.learning_rate for name, c in chosen.configs(tmp_path).items()} == {
        "QA seed 0": 1e-3, "QA seed 1": 1e-3, "QA+SC seed 0": 1e-4, "QA+SC seed 1": 1e-4,
    }  # fmt: skip
    assert not chosen.tune and not arms.tuning_runs(chosen)
    arms.write_chosen(tmp_path, study, rows)
    table = arms.tuning_table(study, tmp_path)
    assert [(row["tried"], row["taken"]) for row in table[:2]] == [("learning_rate 0.001", "taken"), ("learning_rate 0.0001", "")]
    assert table[0]["span F1, seed 101"] == pytest.approx(60) and arms.tuning_table(study, tmp_path / "none") == []


def test_of_equal_rates_the_first_is_taken(tmp_path):
    study = study_of(tmp_path, **TUNE)
    runs = {name: kept(tmp_path / str(i), 0.5) for i, name in enumerate(arms.tuning_runs(study))}
    assert [row["taken"] for row in arms.choose(study, runs)] == [True, False, True, False]


@pytest.mark.parametrize(("by", "wanted"), [("span F1", 30.0), ("span EM", 0.0), ("F1", 100 * (4 * 0.3 + 2) / 6), ("no-answer AP", 100.0)])
def test_the_tuning_score_is_computed_on_the_held_out_questions(tmp_path, by, wanted):
    """Unanswerable questions are above all others in null − best: the best threshold separates them."""
    run = kept(tmp_path / "run", 0.3, diff=2.0)
    assert arms._held_out_score(run, by) == pytest.approx(wanted)


def test_a_run_without_held_out_questions_cannot_be_tuned(tmp_path):
    run = kept(tmp_path / "run", 0.3)
    (run.path / "predictions" / HELD_OUT_FILE.format("squad")).unlink()
    with pytest.raises(StudyError, match="held no questions out.*threshold_ratio"):
        arms._held_out_score(run, "F1")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"tune": {"learning_rate": [1e-3]}}, "tune: also name its seeds"),
        ({**TUNE, "tune_seeds": [1, 2]}, "tune_seeds: 1 are seeds of the study"),
        ({"tune": {"learning_rate": [1e-3]}, "tune_seeds": [5]}, "tune: also list the study's seeds"),
        ({**TUNE, "tune": {"epochs": [1, 2]}, "equal": "steps"}, "tune: equal sets how long a run is, and epochs too"),
        ({**TUNE, "tune": {"batch_size": [16, 32]}, "equal": "tokens"}, "tune: equal sets how long a run is, and batch_size too"),
        ({**TUNE, "fixed": {"learning_rate": 1e-3}}, "tune: learning_rate is set by fixed as well"),
        ({**TUNE, "tune": {"qa_weight": [0.5]}}, "tune: qa_weight is set by QA as well"),
        ({**TUNE, "tune": {"seed": [1]}}, "tune: seed is set by the study itself"),
        ({**TUNE, "tune_by": "accuracy"}, "tune_by is 'accuracy'; it must be one of span F1"),
        ({"equal": "time"}, "equal is 'time'; arms are equal in one of steps, tokens"),
    ],
)
def test_an_invalid_tuning_or_equality_is_refused_by_key(tmp_path, more, said):
    with pytest.raises(StudyError, match=said):
        study_of(tmp_path, **more)


def test_arms_get_the_steps_of_the_longest_arm(config):
    """By each run's own schedule, seed by seed; the longest arm does not change, and without `equal` none does."""
    configs = {
        f"{name} {seed}": config(**changes, seed=seed, max_steps=None, epochs=2.0)
        for seed in (0, 1) for name, changes in VARIANTS.items()
    }  # fmt: skip
    steps = {name: len(prepare(c).schedule) for name, c in configs.items()}
    made = arms.equalized(configs, "steps")
    for seed in (0, 1):
        assert steps[f"QA {seed}"] < steps[f"QA+SC {seed}"] == len(prepare(made[f"QA {seed}"]).schedule)
        assert made[f"QA+SC {seed}"] == configs[f"QA+SC {seed}"] and made[f"QA {seed}"].max_steps == steps[f"QA+SC {seed}"]
    assert arms.equalized(configs, None) == configs and list(made) == list(configs)


def test_arms_get_the_tokens_of_the_longest_arm(config):
    configs = {name: config(**changes, max_steps=None, epochs=2.0) for name, changes in VARIANTS.items()}
    made = arms.equalized(configs, "tokens")

    def tokens(c) -> float:
        """Tokens of all items that the schedule draws, with a task's batches counted at their mean."""
        setup = prepare(c)
        found = {task: some.lengths.sum() / int(np.ceil(len(some.lengths) / c.batch_size)) for task, some in setup.train.items()}
        return sum(count * found[task] for task, count in setup.schedule.draws().items())

    before, after = ([tokens(c) for c in some.values()] for some in (configs, made))
    assert before[0] < before[1] and after[1] == before[1] and after[0] == pytest.approx(before[1], rel=0.01)
    # a sentence is shorter than a question with its passage: QA alone needs fewer steps for equal tokens than for equal steps
    assert made["QA"].max_steps < arms.equalized(configs, "steps")["QA"].max_steps


def test_a_study_is_tuned_run_and_resumed(tmp_path, tiny, warm_workers):
    small = dict(max_steps=4, batch_size=2, max_length=96, overlap=10, precision="fp32", device="cpu", threads=THREADS)
    alone = {"seeds": [0], "tune_seeds": [100], "variants": {"QA": VARIANTS["QA"]}}
    study = study_of(tmp_path, {**small, "encoder": tiny, "data": "sample"}, **{**TUNE, **alone})
    runs = run_study(study, tmp_path / "runs", plain=True)
    table = arms.tuning_table(study, tmp_path / "runs")
    (taken,) = [row["tried"] for row in table if row["taken"]]
    held = arms.read_held_out(Run(next((tmp_path / "runs").glob("tune-*"))))
    assert len(held["diff"]) == 60, "all of the sample's held-out questions, not only eval_limit of them"
    assert list(runs) == ["QA seed 0"] and len(table) == 2 and taken == f"learning_rate {runs['QA seed 0'].config['learning_rate']:g}"
    before = {path: path.stat().st_mtime for path in (tmp_path / "runs").glob("*/manifest.json")}
    run_study(study, tmp_path / "runs", plain=True)
    assert len(before) == 3 and {path: path.stat().st_mtime for path in before} == before, "no run is repeated"
    report.keep_finished(str(tmp_path / "mine.yaml"), tmp_path / "runs", tmp_path / "kept", None, [])
    assert "## Tuned at equal budget, on held-out questions" in "\n".join(report.report(tmp_path / "kept", None))


def test_a_damaged_table_is_reported(tmp_path):
    study = study_of(tmp_path, **TUNE)
    whole = {"variant": "QA", "parameters": {}, "scores": [1.0], "mean": 1.0, "taken": True}
    damaged = [[1], [{}], [{**whole, "scores": []}], *([{k: v for k, v in whole.items() if k != lost}] for lost in whole)]
    for content in (
        *({"by": "F1", "seeds": [1], "tried": tried} for tried in damaged),
        {"seeds": [1], "tried": [{**whole, "scores": []}]},
        [],
    ):
        (tmp_path / "tuned.json").write_text(json.dumps(content))
        for read in (arms.tuning_table, arms.chosen_before):
            with pytest.raises(StudyError, match=r"tuned.json: cannot be read .*run the study again"):
                read(study, tmp_path)
    assert arms.tuning_table(study_of(tmp_path, seeds=[0]), tmp_path) == [], "the table of another study is ignored"


def test_a_plan_takes_an_earlier_choice_only_from_the_same_trials(tmp_path):
    study = study_of(tmp_path, **TUNE)
    runs = {
        name: kept(tmp_path / str(i), 0.9 - 0.1 * (run.changes["learning_rate"] > 5e-4))
        for i, (name, run) in enumerate(arms.tuning_runs(study).items())
    }
    arms.write_chosen(tmp_path, study, arms.choose(study, runs))
    planned = arms.chosen_before(study, tmp_path)
    assert {c.learning_rate for c in planned.configs(tmp_path).values()} == {1e-4} and not planned.tune
    for other in ({"tune": {"learning_rate": [1e-3, 2e-4]}}, {"tune_by": "F1"}, {"tune_seeds": [100, 102]}):
        changed = study_of(tmp_path, **{**TUNE, **other})
        assert arms.chosen_before(changed, tmp_path) == changed


def test_an_untunable_run_is_reported_before_anything_trains(config):
    with pytest.raises(StudyError, match="one: it would hold no questions out"):
        arms.check_tunable({"one": config(threshold_articles=[])})
    for changes in ({"tasks": ["cola", "mrpc"], "threshold_articles": None},):
        with pytest.raises(StudyError, match="one: tune needs a main task of question answering"):
            arms.check_tunable({"one": config(**changes)})


@pytest.mark.parametrize(("empty", "by", "kind"), [(True, "span F1", "answerable"), (False, "no-answer AP", "unanswerable")])
def test_held_out_questions_of_one_kind_have_no_score_that_needs_the_other_kind(tmp_path, monkeypatch, empty, by, kind):
    run = kept(tmp_path / "run", 0.3)
    held = {"unit": np.zeros(3), "diff": np.arange(3.0), "em": np.ones(3), "f1": np.ones(3), "nothing": np.full(3, float(empty))}
    monkeypatch.setattr(arms, "read_held_out", lambda *_: held)
    with pytest.raises(StudyError, match=f"tune_by: .*held out no {kind} question"):
        arms._held_out_score(run, by)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sampler": "annealed", "qa_weight": None, "sharing": None}, "schedule that more epochs would change"),
        ({"exhausted": "drop"}, "schedule that more epochs would change"),
        ({"max_steps": 5}, "some runs set max_steps"),
    ],
)
def test_schedules_that_cannot_be_extended_are_refused(config, changes, said):
    with pytest.raises(StudyError, match=said):
        arms.equalized({"QA": config(**VARIANTS["QA"], max_steps=None), "other": config(**{"max_steps": None, **changes})}, "steps")


@pytest.mark.parametrize(
    "changes",
    [
        {"sampler": "curriculum", "task_order": ["cola", "mrpc", "squad"], "first_tasks": 2, "phase": 0.25},
        {"sampler": "anti_curriculum", "task_order": ["cola", "mrpc", "squad"], "first_tasks": 1, "phase": 0.25},
        {"sampler": "unimax", "max_passes": 2.0, "qa_weight": None, "sharing": None, "exhausted": None},
    ],
    ids=lambda changes: changes["sampler"],
)
def test_a_curriculum_with_equal_steps_scales_its_phase_to_them(config, changes):
    given = {"tasks": ["squad", "cola", "mrpc"], "max_steps": None, "epochs": 1.0}
    made = arms.equalized({"weighted": config(**given), "other": config(**{**given, **changes})}, "steps")
    weighted, other = (prepare(one).schedule for one in made.values())
    assert len(weighted) == len(other)
    drawn, sizes = [other.tasks[task] for task in other.task], arms.pass_sizes(made)["other"][0]
    if "phase" in changes:
        # the longest arm keeps its length; its phase is a share of the mean schedule
        mean = sizes["squad"] / (0.75 * 0.8) if changes["first_tasks"] == 2 else len(other)
        phase = round(0.25 * mean)
        assert made["other"].max_steps == (None if changes["first_tasks"] == 2 else len(other))
        assert set(drawn[:phase]) == ({"cola", "mrpc"} if changes["first_tasks"] == 2 else {"squad"})
        assert set(drawn[phase : phase + 40]) == {"squad", "cola", "mrpc"}
    else:
        assert all(other.draws()[task] <= 2 * sizes[task] for task in ("cola", "mrpc"))


def test_a_row_of_multiple_choice_counts_a_sequence_for_each_ending(config):
    made = config(tasks=["squad", "swag"], batch_size=4)
    swag = prepare(made).train["swag"]
    batches, tokens, _ = arms.pass_sizes({"one": made})["one"]
    assert batches["swag"] == -(-len(swag.lengths) // 4) and tokens["swag"] == pytest.approx(4 * swag.lengths.sum() / batches["swag"])
