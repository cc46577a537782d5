"""Custom samplers and scores (docs/plugins.md): their arguments, what they may return, when they are checked, how errors name them."""

import sys
from types import SimpleNamespace

import pytest
import yaml
from conftest import ROOT, changed
from sameness import Stopped, assert_same
from sklearn.metrics import cohen_kappa_score

from mtdnn_kit import Config, ConfigError, Run, compare, from_file, from_params, prepare, train
from mtdnn_kit.__main__ import main
from mtdnn_kit.compare import study_tables
from mtdnn_kit.errors import PluginError
from mtdnn_kit.model.own_scores import KIT_SCORES
from mtdnn_kit.runs.notes import own_scores
from mtdnn_kit.runs.run import checkpoints
from mtdnn_kit.sampler import custom_plan
from mtdnn_kit.studies import status
from mtdnn_kit.training.log import Recorder
from mtdnn_kit.training.setup import schedule_of
from mtdnn_kit.views import tables

OWN = dict(qa_weight=None, sharing=None)
SIZES = {"squad": 30, "swag": 12, "cola": 6}


def steps(sampler: str, sizes=SIZES, **changes) -> list[tuple]:
    found = schedule_of(Config(**{**OWN, "tasks": list(sizes), "sampler": sampler, **changes}), sizes)[0]
    return [(*found.at(k), int(found.epoch[k])) for k in range(len(found))]


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """mine(text): writes a module of that text, called `mine`, in a separate project."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "pyproject.toml").touch()

    def write(text: str) -> None:
        sys.modules.pop("mine", None)
        sys.dont_write_bytecode = True  # the same file is written twice within a second
        (tmp_path / "mine.py").write_text(text)

    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield write
    sys.modules.pop("mine", None)


def test_custom_weights_draw_as_the_kits_do():
    """Weights by the root of the size equal `temperature: 2`, with whole and fractional epochs."""
    for more in ({"epochs": 2.5}, {"exhausted": "drop"}, {"max_steps": 20}):
        assert steps("doors:by_root", **more) == steps("temperature", temperature=2.0, **more)
    found = schedule_of(Config(tasks=["squad", "cola"], sampler="doors:by_root", **OWN), {"squad": 16, "cola": 4})[1]
    assert found == {"squad": 4 / 6, "cola": 2 / 6}


def test_a_custom_order_is_the_schedule():
    found = steps("doors:main_last", epochs=1.5)
    first = [task for task, _, _, epoch in found if epoch == 1]
    assert first.count("squad") == 30 and len(first) == 40 and first[-1] == "squad" and first[1::4] == ["squad"] * 10
    assert len([1 for *_, epoch in found if epoch == 2]) == 15 + 5, "half of the main task's batches"
    assert [batch for task, pass_, batch, epoch in found if task == "squad" and epoch == 1] == list(range(30))
    assert found == steps("doors:main_last", epochs=1.5) != steps("doors:main_last", epochs=1.5, seed=1)
    shares = schedule_of(Config(tasks=list(SIZES), sampler="doors:main_last", **OWN), SIZES)[1]
    assert shares["squad"] == 0.75 and sum(shares.values()) == pytest.approx(1)


def test_a_function_gets_each_epochs_batches_and_separate_random_numbers():
    seen = []

    def look(sizes, epoch, epochs, rng):
        seen.append((dict(sizes), epoch, epochs, rng.random()))
        sizes.clear()  # each call gets a copy
        return {"squad": 1}

    for seed, epoch in ((0, 1), (0, 2), (0, 1), (1, 1)):
        assert custom_plan(look, seed, {"squad": 10, "cola": 3}, "cycle", 1.5, epoch).tolist() == [1.0, 0.0]
    (one, first, _, a), (half, _, epochs, b), again, (*_, other) = seen
    assert (one, half, first, epochs) == ({"squad": 10, "cola": 3}, {"squad": 5, "cola": 2}, 1, 1.5) and again == seen[0]
    assert len({a, b, other}) == 3


@pytest.mark.parametrize(
    ("gives", "said"),
    [
        ("{'squad': 1, 'sqaud': 1}", "returned a task 'sqaud'; choose from squad, swag, cola"),
        ("{0: 1, 1: 1}", "returned a task 0; choose from squad, swag, cola"),
        ("{'squad': 1, '': 1}", "returned a task ''; choose from"),
        ("{'squad': 0, 'cola': 1}", "each must be at least 0, and that of squad above 0"),
        ("{'squad': 1, 'cola': float('nan')}", "each must be at least 0"),
        ("{'squad': 1, 'cola': 'much'}", "each must be at least 0"),
        ("['squad'] * 29", "returned an order with 29 batches of squad; it must hold all 30, one at the end"),
        ("['squad'] * 30 + ['cola']", "it must hold all 30, one at the end"),
        ("['cola'] * 7 + ['squad'] * 30", r"returned 7 batches of cola, which has 6: return fewer or set exhausted: cycle"),
        ("[]", "an order with 0 batches of squad"),
        ("None", "returned NoneType; it must return a weight for each task, or a list of tasks"),
        ("1 / 0", r"^sampler: mine:f raised ZeroDivisionError: division by zero \(mine.py, line 2\)$"),
    ],
)
def test_an_invalid_result_of_a_sampler_is_reported_with_its_name(mine, gives, said):
    mine(f"def f(sizes, epoch, epochs, rng):\n    return {gives}\n")
    with pytest.raises(PluginError, match=said) as error:
        steps("mine:f", exhausted="drop")
    assert "mine:f" in str(error.value)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nowhere:f", "nowhere:f: cannot import nowhere .ModuleNotFoundError: No module named 'nowhere'.; put it into "),
        ("mine:g", "'mine:g': mine has no function 'g'"),
        ("mine:LIMIT", "'mine:LIMIT': mine has no function 'LIMIT'"),
        ("mine:f", r"mine:f must take \((sizes, epoch, epochs, rng|task, gold, said)\) as positional arguments; it is f\(a\)"),
        ("mine.py:f", "cannot import mine.py"),
        ("./mine:f", "is not module:function, e.g. mine:"),
        ("broken:f", "cannot import broken .ValueError: no."),
    ],
)
@pytest.mark.parametrize("key", ["sampler", "metrics"])
def test_it_is_checked_when_the_parameters_are_read(mine, tmp_path, key, name, said):
    mine("LIMIT = 3\ndef f(a): ...\n")
    (tmp_path / "broken.py").write_text("raise ValueError('no')\n")
    given = {**OWN, "sampler": name} if key == "sampler" else {"metrics": [name]}
    (tmp_path / "p.yaml").write_text(yaml.safe_dump(given))
    for read in (lambda: from_file(tmp_path / "p.yaml"), lambda: from_params(given), lambda: prepare(Config(**given))):
        with pytest.raises(ConfigError, match=f"^{key}: .*{said}"):
            read()


def test_a_partial_is_a_function(mine):
    mine("import functools\ndef f(task, gold, said, beta): return 1.0\ng = functools.partial(f, beta=2)\n")
    assert Config(metrics=["mine:g"]).metrics == ["mine:g"]


def test_settings_of_the_kits_samplers_stay_unset():
    with pytest.raises(ConfigError, match="^qa_weight: sampler 'doors:by_root' does not use it: set it to null"):
        Config(sampler="doors:by_root")
    with pytest.raises(ConfigError, match="^exhausted: sampler 'doors:by_root' needs it"):
        Config(sampler="doors:by_root", exhausted=None, **OWN)
    with pytest.raises(ConfigError, match="^sampler: 'wieghted' is neither one of weighted, .*module:function.* Did you mean weighted?"):
        Config(sampler="wieghted")
    with pytest.raises(ConfigError, match="^metrics: 'a:b' is named twice"):
        Config(metrics=["a:b", "a:b"])


def test_custom_scores_are_next_to_the_tasks_scores(config):
    run = train(config(tasks=["squad", "cola", "swag"], qa_weight=0.5, eval_limit=12, metrics=["doors:kappa", "doors:answered"]))
    gold = [row.label for row in prepare(config(tasks=["cola"], qa_weight=1.0, eval_limit=12)).scored["cola"].rows]
    said = [entry["label"] for entry in run.choices("cola")]
    assert run.metrics["cola"]["kappa"] == pytest.approx(100 * cohen_kappa_score(gold, said), nan_ok=True)
    assert {task: sorted({"kappa", "answered"} & set(scores)) for task, scores in run.metrics.items()} == {
        "squad": ["answered"], "cola": ["kappa"], "swag": ["kappa"],
    }  # fmt: skip
    assert run.metrics["squad"]["answered"] == pytest.approx(100 * sum(map(bool, run.answers().values())) / 12)
    assert set(run.manifest["plugins"]) == {"doors:kappa", "doors:answered"}
    assert {name for scores in run.metrics.values() for name in scores} - {"kappa", "answered"} <= KIT_SCORES


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return 1 / (len(gold) - 50)", None),
        ("return [1]", "returned .1. for cola; it must return a percentage, −100 to 100, or None"),
        ("return 101", "returned 101 for cola"),
        ("return float('nan')", "returned nan for cola"),
        ("raise KeyError(task)", r"raised KeyError: 'cola' \(mine.py, line 2\)"),
    ],
)
def test_a_score_is_tested_before_the_first_step(mine, config, body, said):
    mine(f"def f(task, gold, said):\n    {body}\n")
    one = config(tasks=["cola"], qa_weight=1.0, metrics=["mine:f"], eval_limit=60)
    if said is None:
        said = r"raised ZeroDivisionError: .* \(mine.py, line 2\)"
    with pytest.raises(PluginError, match=f"^metrics: mine:f {said}"):
        prepare(one)


def test_a_score_may_not_have_the_name_of_one_of_the_kits(mine, config):
    mine("def accuracy(task, gold, said):\n    return 1\n")
    with pytest.raises(
        ConfigError, match="^metrics: mine:accuracy: there is a score or column accuracy already; give the function another name"
    ):
        prepare(config(tasks=["cola"], qa_weight=1.0, metrics=["mine:accuracy"]))


def test_custom_scores_are_in_every_table(config, tmp_path):
    """Their means over the seeds, without a test; a run without them needs none."""
    own = {"doors:kappa": ("cola", "swag"), "doors:answered": ("squad",)}
    two = [
        train(
            config(
                tasks=["squad", "cola", "swag"], qa_weight=0.5, eval_limit=8, metrics=[*own], seed=seed, run_dir=str(tmp_path / f"{seed}")
            )
        )
        for seed in (0, 1)
    ]
    runs, settings = dict(zip("ab", two, strict=True)), {"A": {0: "a", 1: "b"}}
    values = {task: [run.metrics[task][score] for run in two] for score, task in (("kappa", "cola"), ("answered", "squad"))}
    assert f", answered {values['squad'][0]:.1f} (threshold" in two[0]._repr_html_()
    assert [row["answered"] for row in tables.set_table(runs, ["squad"])] == values["squad"]
    rows = tables.score_table(compare.pair(runs), settings, runs=runs)
    assert rows[0]["answered"] == sum(values["squad"]) / 2 and "answered" not in rows[1]
    (row,) = [row for row in study_tables.task_table(runs, settings) if row["task"] == "cola" and row["score"] == "kappa"]
    assert (row["value"], row["p"], row["seeds"], row["setting"]) == (sum(values["cola"]) / 2, None, 2, "A") and "value low" not in row
    assert own_scores([two[0], SimpleNamespace(config={}, metrics={"squad": {}})], "squad") == {}, "a score that one run lacks has no mean"


def test_a_score_may_not_have_the_name_of_a_column_of_the_tables(mine, config):
    mine("def Seeds(task, gold, said):\n    return 1\n")
    with pytest.raises(ConfigError, match="there is a score or column Seeds already"):
        prepare(config(tasks=["cola"], qa_weight=1.0, metrics=["mine:Seeds"]))


def test_a_score_that_raises_at_the_end_does_not_lose_a_step(mine, config, tmp_path):
    text = "def f(task, gold, said):\n    if gold != said:\n        raise ValueError('not equal')\n    return 50\n"
    mine(text)
    one = config(tasks=["cola"], qa_weight=1.0, metrics=["mine:f"])
    with pytest.raises(PluginError, match=r"^metrics: mine:f raised ValueError: not equal \(mine.py, line 3\). All 6 steps are made"):
        train(one)
    run = Run(one.run_dir)
    assert run.manifest["status"].startswith("failed: PluginError: metrics: mine:f") and [step for step, _ in checkpoints(run)] == [6]
    mine(text.replace("raise ValueError('not equal')", "return 25"))
    again = train(changed(one, resume=True))
    assert again.metrics["cola"]["f"] == 25 and not checkpoints(again)
    whole = train(changed(one, run_dir=str(tmp_path / "whole")))
    assert_same(whole, again, tasks=("cola",))


def test_a_score_that_raises_during_training_loses_no_step(mine, config):
    """It accepts the gold values, and those of the constant answers; then it raises."""
    text = "seen = []\ndef f(task, gold, said):\n    seen.append(gold != said)\n    return 50 if sum(seen) < 4 else 1 / 0\n"
    mine(text)
    one = config(tasks=["squad", "cola"], qa_weight=0.5, metrics=["mine:f"], eval_every=2)
    with pytest.raises(PluginError, match="^metrics: mine:f raised ZeroDivisionError"):
        train(one)
    run = Run(one.run_dir)
    steps = [step for step, _ in checkpoints(run)]
    assert len(steps) == 1 and steps[0] == len(run.log()) < 6 and steps[0] % 2 == 0
    mine(text.replace("1 / 0", "25"))
    again = train(changed(one, resume=True))
    assert again.finished and again.metrics["cola"]["f"] in (25, 50) and len(again.log()) == 6
    assert [record["step"] for record in again.watched() if record["task"] == "cola"] == [2, 4, 6]  # the step that it stopped at, too
    scored = [record["step"] for record in again.scorings()]
    assert scored == sorted(set(scored))


def test_held_out_scores_are_logged_once_where_the_main_task_has_none(mine, config):
    text = "seen = []\ndef f(task, gold, said):\n    seen.append(gold != said)\n    return 50 if sum(seen) < 4 else 1 / 0\n"
    mine(text)
    one = config(tasks=["cola", "squad"], qa_weight=0.5, metrics=["mine:f"], eval_every=2, threshold_articles=["Cork"])
    with pytest.raises(PluginError, match="^metrics: mine:f raised ZeroDivisionError"):
        train(one)
    assert Run(one.run_dir).scorings()
    mine(text.replace("1 / 0", "25"))
    again = train(changed(one, resume=True))
    assert [(record["step"], record["task"]) for record in again.scorings()] == [(2, "squad"), (4, "squad")]


def test_a_run_with_a_custom_order_resumes_bit_for_bit_and_refuses_another_sampler(mine, config, tmp_path, monkeypatch):
    mine((ROOT / "tests" / "doors.py").read_text())
    one = config(tasks=["squad", "cola"], sampler="mine:main_last", **OWN, max_steps=8, checkpoint_every=3, log_every=1)
    whole, add = train(one), Recorder.add

    def until(self, step, *figures):
        add(self, step, *figures)
        if step == 4:
            raise Stopped

    broken = changed(one, run_dir=str(tmp_path / "broken"))
    with monkeypatch.context() as patched, pytest.raises(Stopped):
        patched.setattr(Recorder, "add", until)
        train(broken)
    before = (tmp_path / "mine.py").read_text()
    mine(before.replace("% 3", "% 2"))
    said = "^sampler: mine:main_last has changed since the run in .*broken began; .* Undo the change of its file, or name another"
    with pytest.raises(ConfigError, match=said):
        train(changed(broken, resume=True))
    mine(before)
    assert_same(whole, train(changed(broken, resume=True)))


def test_a_score_can_be_fixed_in_the_samplers_file_once_all_steps_are_made(mine, config, tmp_path):
    """Only scoring is left; a sampler that would have given other steps is still refused."""
    sampler = "def order(sizes, epoch, epochs, rng):\n    return ['cola'] * sizes['cola']\n"
    score = "def f(task, gold, said):\n    if gold != said:\n        raise ValueError('not equal')\n    return 50\n"
    mine(sampler + score)
    one = config(tasks=["cola", "swag"], sampler="mine:order", metrics=["mine:f"], **OWN)
    with pytest.raises(
        PluginError, match="All 6 steps are made: correct the function, then set resume: true \\(in a study, --if-changed keep\\).$"
    ):
        train(one)
    mended = score.replace("raise ValueError('not equal')", "return 25")
    mine(sampler.replace("['cola'] *", "['swag'] + ['cola'] *") + mended)
    with pytest.raises(ConfigError, match="it cannot continue with another sampler"):
        train(changed(one, resume=True))
    mine(sampler + mended)
    run = train(changed(one, resume=True))
    assert run.metrics["cola"]["f"] == 25 and status._plugins(run, one) == []


def test_an_edited_function_marks_its_run_as_outdated_and_a_run_folder_is_read_without_it(mine, config, tmp_path):
    mine("def f(task, gold, said):\n    return 1\n")
    one = config(tasks=["cola"], qa_weight=1.0, metrics=["mine:f"], max_steps=1)
    run = train(one)
    assert status._plugins(run, one) == []
    mine("def f(task, gold, said):\n    return 2\n")
    assert status._plugins(run, one) == ["code: mine:f"]
    sys.modules.pop("mine", None)
    (tmp_path / "mine.py").write_text("raise SystemExit('imported')\n")
    assert Run(run.path).parameters.metrics == ["mine:f"] and run.types == {"cola": "sc"} and "mine" not in sys.modules


def test_plugins_lists_named_and_installed_functions(mine, tmp_path, monkeypatch, capsys):
    main(["plugins"])
    assert capsys.readouterr().out == "none installed; name one in a parameter file as module:function (docs/plugins.md)\n"
    mine((ROOT / "tests" / "doors.py").read_text())
    info = tmp_path / "brought-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: brought\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text("[mtdnn_kit.samplers]\nby_root = mine:by_root\n[mtdnn_kit.tasks]\nspans = mine\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert Config(sampler="by_root", **OWN).own_sampler.record()["package"] == "brought 1.2"
    (tmp_path / "p.yaml").write_text(yaml.safe_dump({"metrics": ["mine:kappa"]}))
    main(["plugins", "p.yaml"])
    lines = [line.split(", ") for line in capsys.readouterr().out.splitlines()]
    where = str(tmp_path / "mine.py")
    assert [line[:2] for line in lines] == [
        ["metrics: mine:kappa", where],
        ["sampler: by_root", "brought 1.2"],
        ["type: spans", "brought 1.2"],
    ]
    assert lines[0][2] == lines[1][2] and lines[0][2].startswith("sha256 ")
    with pytest.raises(ConfigError, match="^metrics: 'kapa' is not an entry point of mtdnn_kit.metrics: no installed package has one"):
        Config(metrics=["kapa"]).plugins  # noqa: B018


def test_an_edited_file_is_read_again_in_the_same_process(mine, config, tmp_path):
    """As in a notebook's kernel: the function that runs is the one whose hash the manifest has."""
    mine("def f(task, gold, said):\n    return 10\n")
    made = config(tasks=["cola"], qa_weight=1.0, max_steps=1, metrics=["mine:f"])
    first = train(made)
    (tmp_path / "mine.py").write_text("def f(task, gold, said):\n    return 77\n")
    second = train(changed(made, run_dir=str(tmp_path / "second")))
    assert [run.metrics["cola"]["f"] for run in (first, second)] == [10, 77]
    assert first.manifest["plugins"] != second.manifest["plugins"]
    (tmp_path / "mine.py").write_text("1 / 0\n")
    with pytest.raises(ConfigError, match="metrics: mine:f: cannot import mine .ZeroDivisionError"):
        train(changed(made, run_dir=str(tmp_path / "third")))
    (tmp_path / "mine.py").write_text("def g(task, gold, said):\n    return 1\n")
    with pytest.raises(ConfigError, match="metrics: 'mine:f': mine has no function 'f'"):  # not the one that is left from before
        train(changed(made, run_dir=str(tmp_path / "third")))


def test_an_edited_file_that_a_named_one_imports_from_is_read_again(mine, config, tmp_path, monkeypatch):
    """The manifest names the file that the function is in."""
    mine("from their_scores import f\n")
    monkeypatch.delitem(sys.modules, "their_scores", raising=False)
    made, found = config(tasks=["cola"], qa_weight=1.0, max_steps=1, metrics=["mine:f"]), []
    for value in (10, 77):
        (tmp_path / "their_scores.py").write_text(f"def f(task, gold, said):\n    return {value}\n")
        found.append(train(changed(made, run_dir=str(tmp_path / f"{value}"))))
    assert [run.metrics["cola"]["f"] for run in found] == [10, 77]
    records = [run.manifest["plugins"]["mine:f"] for run in found]
    assert [one["file"] for one in records] == ["their_scores.py"] * 2 and records[0] != records[1]
    (tmp_path / "their_scores.py").write_text("1 / 0\n")
    with pytest.raises(ConfigError, match="metrics: mine:f: cannot import mine .ZeroDivisionError"):
        train(changed(made, run_dir=str(tmp_path / "third")))


def test_a_function_outside_a_file_is_refused(config, monkeypatch):
    made = {}
    exec(compile("def f(task, gold, said):\n    return 1", "<cell 1>", "exec"), made)
    monkeypatch.setattr(sys.modules["__main__"], "in_a_cell", made["f"], raising=False)
    with pytest.raises(ConfigError, match="metrics: __main__:in_a_cell is not in a file, so that a run could not say what it was"):
        train(config(tasks=["cola"], qa_weight=1.0, metrics=["__main__:in_a_cell"]))
