"""The explorer: how rows look, and its widgets driven as a person would. `tests/browser` has it in a real JupyterLab."""

import json
import re
import shutil
import subprocess
import sys
from html import unescape

import pytest
from answers import CAT, QUESTIONS, TEXT, THE_CAT, question
from conftest import ROOT, THREADS
from pages import Nesting, plain

from mtdnn_kit import Config, train
from mtdnn_kit.compare import pairing
from mtdnn_kit.compare.pairing import Question, Reply
from mtdnn_kit.compare.paper import EXAMPLES
from mtdnn_kit.data.rows import QARow
from mtdnn_kit.errors import CompareError
from mtdnn_kit.explorer.html import asked_html, examples_html, page_html, question_html, side_by_side, threshold_html
from mtdnn_kit.explorer.state import State, of_runs, shared_tasks
from mtdnn_kit.explorer.widgets import Explorer, explore
from mtdnn_kit.inference import asking, salience
from mtdnn_kit.runs.run import Run

KEPT = [str(ROOT / "results" / "sample" / name) for name in ("qa", "qa-mcc", "qa-sc", "qa-mcc-sc")]


def cells(html: str) -> list[list[str]]:
    """The text of a table's cells, row by row."""
    return [[plain(cell) for cell in re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row)] for row in re.findall(r"<tr>(.*?)</tr>", html)]


def shows(explorer: Explorer) -> str:
    """The id of the row that is shown, read from the view."""
    return re.search(r"(?:·|>) ?([\w-]+)</div><b", explorer.view.value)[1]


@pytest.fixture
def kept(tmp_path) -> list[str]:
    """Copies of two kept runs, in a folder that a test may write to."""
    return [str(shutil.copytree(path, tmp_path / "kept" / path.rsplit("/", 1)[1])) for path in (KEPT[0], KEPT[3])]


def test_nothing_of_the_data_becomes_markup():
    html = question_html(question(7, CAT, THE_CAT, title="<i>x", answers=((8, "<b>"),)))
    assert "<b>sat</b>" not in html and "Question &lt;7&gt;?" in html and "&lt;i&gt;x" in html
    assert "script" not in page_html(question("<script>", CAT)).replace("&lt;script&gt;", "")
    Nesting(html)


def test_the_table_says_what_each_model_answers_and_of_what_kind_it_is():
    rows = cells(question_html(QUESTIONS[1]))
    assert rows[0] == ["", "model", "answer", "which is", "probability", "of nothing", "null − best", "EM", "F1"]
    assert rows[1][:3] == ["", "gold", "cat"]
    assert rows[2] == ["A", "model 0", "cat", "right", "0.60", "0.30", "-1.00", "1", "1.00"]
    assert rows[3] == ["B", "model 1", "nothing", "false nothing", "0.30", "0.30", "+1.00", "0", "0.00"]
    assert cells(question_html(QUESTIONS[2]))[3][2:4] == ["The cat", "false answer"]


def test_the_nbest_is_behind_a_line_in_order_with_nothing_in_its_place():
    html = question_html(QUESTIONS[1])
    table = cells(html[html.index("<details") :])
    assert table[0] == ["A model 0", "B model 1"]
    assert [row[0] for row in table[1:]] == ["0.600 cat", "0.300 nothing", "0.100 <b>s"]
    assert [row[1] for row in table[1:]] == ["0.600 <b>s", "0.300 nothing", "0.100 cat"]


def test_a_question_without_replies_shows_its_accepted_answers():
    html = question_html(question(1, answers=((4, "cat"), (0, "The cat"))))
    assert "<table" not in html and plain(html).endswith("gold: cat / The cat")
    assert plain(question_html(question(1, answers=()))).endswith("gold: nothing")


def test_a_question_of_ones_own_has_no_gold_and_its_answers_stand_beside_those_before():
    asked = Question(
        QARow("asked", "", TEXT, "What <sat>?", ()),
        {"model 1": Reply(0, 7, "The cat", 0.5, None, None, 0.2, [(0, 7, 0.5)], diff=-1.0)},
    )
    assert cells(question_html(asked))[0] == ["", "model", "answer", "probability", "of nothing", "null − best"]
    assert "gold" not in question_html(asked)
    before = cells(asked_html(asked, QUESTIONS[1]))[-1]
    assert before == ["B", "model 1", "nothing", "The cat", "nothing → The cat"]
    assert cells(asked_html(asked, question(1, CAT, CAT)))[-1][-1] == "the same", "articles do not count, as in EM"


def test_thresholds_show_what_changes():
    state = State(QUESTIONS)
    state.move("model 1", 2.0)
    rows = cells(threshold_html(state))
    assert rows[0] == ["", "model", "threshold", "tuned", "EM", "F1", "false answers", "false nothings", "this question"]
    assert rows[1] == ["A", "model 0", "+0.00", "+0.00", "80.0", "80.0", "0", "0", "cat"]
    assert rows[2] == ["B", "model 1", "+2.00", "+0.00", "20.0 (-20.0)", "20.0 (-20.0)", "2 (+1)", "0 (-1)", "<b>s"]
    assert "<svg" in threshold_html(state)


def test_the_papers_examples_are_shown_where_the_data_have_them():
    row = QARow("n", "Normans", "Alexius Komnenos did.", "Who ruined Roussel?", ((0, "Alexius Komnenos"),))
    reply = Reply(None, None, "", 0.6, 0.0, 0.0, 0.6, [], diff=1.0)
    html = examples_html([Question(row, {"QA": reply})], EXAMPLES)
    assert "Who ruined Roussel?" in html and html.count("Not in these data") == 2
    Nesting(html)


def test_the_widgets_show_what_is_chosen():
    explorer = Explorer(State(QUESTIONS))
    assert [label for label, _ in explorer.outcome.options][:2] == ["all (5)", "answers differ (2)"]
    assert explorer.rows.options == (("1. A✓ B✗  Question <1>?", 0), ("2. A✓ B✗  Question <2>?", 1))
    assert "2 of 5 rows pass" in explorer.status.value and shows(explorer) == "1"
    explorer.buttons["next ▸"].click()
    assert (shows(explorer), explorer.rows.value, explorer.number.value) == ("2", 1, 2)
    explorer.buttons["next ▸"].click()
    assert shows(explorer) == "1", "around the end"
    explorer.outcome.value = "all"
    assert (shows(explorer), explorer.rows.value) == ("1", 1)
    explorer.rows.value = 3
    assert shows(explorer) == "3"
    explorer.number.value = 1
    assert shows(explorer) == "0"
    explorer.buttons["back"].click()
    assert shows(explorer) == "3"
    explorer.buttons["forward"].click()
    assert shows(explorer) == "0"
    explorer.text.value = "question <2"
    assert shows(explorer) == "2" and "1 of 5" in explorer.status.value
    explorer.text.value = "no such text"
    assert "no row passes" in explorer.view.value and explorer.rows.options == ()
    explorer.buttons["next ▸"].click(), explorer.buttons["surprise me"].click()
    explorer.buttons["clear filters"].click()
    assert explorer.text.value == "" and explorer.title.value == "all" and "5 of 5" in explorer.status.value
    explorer.order.value = "least sure first"
    assert shows(explorer) == "3"
    explorer.a.value, explorer.b.value = "model 1", "model 0"
    assert "model 1 right, model 0 wrong (0)" not in dict(explorer.outcome.options)
    assert "model 0 right, model 1 wrong" in dict(explorer.outcome.options).values()


def test_a_long_list_is_shown_a_page_at_a_time():
    explorer = Explorer(State([question(i, CAT) for i in range(250)]))
    assert len(explorer.rows.options) == 100 and explorer.number.max == 250
    explorer.number.value = 230
    assert explorer.rows.options[0][0].startswith("201. ") and explorer.rows.value == 229
    assert "list: 201 to 250" in explorer.status.value and shows(explorer) == "229"


def test_every_control_has_a_name():
    explorer = Explorer(State(QUESTIONS))

    def named(widget) -> list:
        return [widget, *(one for child in getattr(widget, "children", ()) for one in named(child))]

    controls = [x for x in named(explorer.box) if "value" in x.traits() or "icon" in x.traits()]
    lacking = [x for x in controls if type(x).__name__ != "HTML" and not x.description]
    assert lacking == [] and len(controls) > 30


def test_a_threshold_is_moved_and_put_back():
    explorer = Explorer(State(QUESTIONS))
    panel = explorer.panels["thresholds"]
    assert panel.box.layout.display == "none"
    panel.switch.value = True
    assert panel.box.layout.display is None
    panel.fields["model 1"].value = 2.0
    assert cells(explorer.view.value)[3][2] == "<b>s" and cells(panel.out.value)[2][2] == "+2.00"
    explorer.outcome.value = "model 1: false answer"
    panel.fields["model 1"].value = -9.0
    assert "the open row is not among them" in explorer.status.value
    panel.fields["model 1"].value = float("nan")
    assert cells(panel.out.value)[2][2] == "+0.00", "what is no number moves nothing"
    panel.fields["model 0"].value = -9.0
    panel.tuned.click()
    assert panel.fields["model 0"].value == 0.0 and cells(panel.out.value)[1][2] == "+0.00"


def test_why_two_runs_differ_and_the_questions_behind_a_slice():
    runs = pairing.named([KEPT[0], KEPT[3]])
    explorer = Explorer(of_runs(runs, "squad"), "squad", runs)
    panel = explorer.panels["why they differ"]
    panel.switch.value = True
    panel.compute.click()
    found = {row[0]: row for row in cells(panel.out.value)[1:]}
    table = explorer.state.outcomes.table
    assert found["F1"][1:3] == [f"{table(0)['F1']:.1f}", f"{table(1)['F1']:.1f}"] and found.keys() == {"EM", "F1", "span F1"}
    assert re.match(r"<p[^>]*>QA\+MCC\+SC − QA = [+-][\d.]+ \(95 % interval", panel.out.value)
    first = panel.slices.children[0]
    name, count = re.match(r"(.*) \((\d+)\): F1 ", first.description).groups()
    first.click()
    assert explorer.slice.value == name and explorer.outcome.value == "answers differ"
    assert 0 < len(explorer.state.shown) <= int(count)
    explorer.b.value = explorer.a.value
    panel.compute.click()
    assert "choose two different runs" in panel.out.value and panel.slices.children == ()


def test_a_moved_threshold_counts_in_why_they_differ():
    runs = pairing.named([KEPT[0], KEPT[3]])
    explorer = Explorer(of_runs(runs, "squad"), "squad", runs)
    explorer.panels["thresholds"].fields["QA"].value = -99.0
    panel = explorer.panels["why they differ"]
    panel.compute.click()
    assert cells(panel.out.value)[1][1] == "33.3", "QA answers nothing now, right for a third of the questions"


def test_what_is_shown_is_taken_along(kept):
    runs = pairing.named(kept)
    explorer = Explorer(of_runs(runs, "squad"), "squad", runs)
    panel, shown = explorer.panels["take along"], shows(explorer)
    for button in ("as Markdown", "as HTML", "as CSV"):
        next(child for child in panel.box.children[0].children if child.description == button).click()
        assert "Written" in panel.out.value
    folder = Run(kept[0]).path.parent / "exports"
    assert {file.name for file in folder.iterdir()} == {f"squad-{shown}.{ending}" for ending in ("md", "html", "csv")}
    assert (folder / f"squad-{shown}.html").read_text() == page_html(explorer.state.item)


def test_an_id_never_leads_out_of_the_folder(kept):
    state = State([question("../../../x\0/é", CAT)])
    explorer = Explorer(state, "squad", pairing.named(kept))
    explorer.panels["take along"].box.children[0].children[0].click()
    folder = Run(kept[0]).path.parent / "exports"
    assert [file.name for file in folder.iterdir()] == ["squad----------x---.md"]


def test_favourites_are_there_the_next_time(kept):
    def opened() -> Explorer:
        runs = pairing.named(kept)
        return Explorer(of_runs(runs, "squad"), "squad", runs)

    explorer = opened()
    panel, shown = explorer.panels["take along"], shows(explorer)
    panel.note.value = "odd <b>"
    panel.keep.click()
    assert "Kept; 1 in all" in panel.out.value
    again = opened()
    assert ("favourites (1)", "favourites") in again.outcome.options
    again.outcome.value = "favourites"
    assert shows(again) == shown and again.panels["take along"].note.value == "odd <b>"
    again.panels["take along"].forget.click()
    assert "0 in all" in again.panels["take along"].out.value
    assert json.loads((Run(kept[0]).path.parent / "favourites.json").read_text()) == {"squad": {}}


def test_a_damaged_favourites_file_is_said_and_the_rest_works(kept):
    (Run(kept[0]).path.parent / "favourites.json").write_text("{")
    runs = pairing.named(kept)
    explorer = Explorer(of_runs(runs, "squad"), "squad", runs)
    assert "Not done:" in explorer.status.value and "favourites.json cannot be read" in explorer.status.value
    assert explorer.view.value.startswith("<div")


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny) -> dict[str, Run]:
    """Two runs of a few steps with their models, on the sample's questions, pairs and endings."""
    folder = tmp_path_factory.mktemp("trained")
    small = dict(encoder=tiny, batch_size=4, max_steps=6, max_length=96, overlap=10, precision="fp32", device="cpu", threads=THREADS)
    tasks = dict(eval_limit=20, tasks=["squad", "mrpc", "swag"], qa_weight=0.5)
    paths = [train(Config(run_dir=str(folder / f"seed-{seed}"), seed=seed, **small, **tasks)).path for seed in (0, 1)]
    return pairing.named(paths)


def opened(runs: dict[str, Run], task: str = "squad") -> Explorer:
    return Explorer(of_runs(runs, task), task, runs, shared_tasks(runs), lambda name: of_runs(runs, name))


def test_the_other_tasks_open_in_the_same_way(trained):
    explorer = opened(trained)
    assert explorer.task.options == ("squad", "mrpc", "swag")
    explorer.outcome.value, explorer.task.value = "all", "mrpc"
    assert "rows pass" in explorer.status.value and explorer.panels["ask"].switch.layout.display == "none"
    item = explorer.state.item
    rows = cells(explorer.view.value)
    assert rows[0][1:] == ["A seed-0", "B seed-1"] and [row[0] for row in rows[1:]] == ["not_equivalent", "equivalent"]
    for k, row in enumerate(rows[1:]):
        for cell, reply in zip(row[1:], item.replies.values(), strict=True):
            assert cell == f"{reply.probabilities[k]:.2f}" + " ◂" * (reply.label == k)
    gold = re.findall(r"<mark[^>]*>(.*?)</mark>", explorer.view.value)
    assert gold == [item.names[item.row.label]] and all(text in unescape(explorer.view.value) for text in item.texts)
    explorer.outcome.value = "all"
    assert "20 of 20" in explorer.status.value
    right = [sum(item.replies[name].label == item.gold for item in explorer.state.rows) for name in trained]
    assert [explorer.state.outcomes.table(i)["EM"] for i in range(2)] == pytest.approx([5 * n for n in right])
    assert [5 * n for n in right] == pytest.approx([run.metrics["mrpc"]["accuracy"] for run in trained.values()])
    explorer.slice.value = "right: equivalent"
    assert all(explorer.state.rows[i].gold == 1 for i in explorer.state.shown)
    explorer.task.value = "swag"
    assert len(cells(explorer.view.value)) == 5 and set(explorer.state.masks("slice")) <= {f"right: {k}" for k in "1234"}
    explorer.text.value = explorer.state.item.names[explorer.state.item.gold]
    assert explorer.state.item is not None, "endings are found, too"
    for button in explorer.panels["take along"].box.children[0].children[:3]:
        button.click()
        assert "Written" in explorer.panels["take along"].out.value
    explorer.task.value = "squad"
    assert explorer.panels["ask"].switch.layout.display is None and "<mark" in explorer.view.value + "<mark"


def test_a_question_is_asked_edited_and_asked_again(trained):
    explorer = opened(trained)
    explorer.outcome.value, explorer.slice.value = "all", "answerable: answerable"
    ask, question = explorer.panels["ask"], explorer.state.item
    ask.buttons["take the open row"].click()
    assert (ask.passage.value, ask.question.value) == (question.row.context, question.row.question)
    ask.buttons["ask all runs"].click()
    for name, reply in question.replies.items():
        now = asking.ask(asking.load(trained[name]), question.row.question, question.row.context)
        (row,) = (row[1:] for row in cells(ask.out.value) if len(row) == 5 and row[1] == name)
        assert row[:3] == [name, reply.text or "nothing", now.text or "nothing"]
        assert row[3] == "the same" or now.text != reply.text, "what ties may have changed places"
        assert now.probability == pytest.approx(reply.probability, abs=1e-5) and now.diff == pytest.approx(reply.diff, abs=1e-4)
    ask.passage.value = question.row.context[: question.row.context.index(question.golds[0]) + len(question.golds[0])]
    ask.question.value += " Or not?"
    ask.buttons["ask all runs"].click()
    assert "<ins" in ask.out.value and "<del" in ask.out.value
    passage = asking.ask(asking.load(trained["seed-0"]), ask.question.value, ask.passage.value)
    assert passage.text in unescape(ask.out.value) and f"{passage.diff:+.2f}" in ask.out.value
    ask.old.value, ask.new.value = "nobody at all", ""
    ask.buttons["swap the names"].click()
    assert "neither 'nobody at all' nor '' stands" in unescape(ask.out.value)
    ask.passage.value, ask.question.value = "Ada met Bob. Bob left.", "Whom did Ada meet?"
    ask.old.value, ask.new.value = "Ada", "Bob"
    ask.buttons["swap the names"].click()
    assert (ask.passage.value, ask.question.value) == ("Bob met Ada. Ada left.", "Whom did Bob meet?")


def test_what_is_asked_counts_at_the_moved_threshold(trained):
    explorer = opened(trained)
    explorer.outcome.value = "all"
    ask = explorer.panels["ask"]
    ask.buttons["take the open row"].click()
    for value, nothing in ((-1e6, True), (1e6, False)):
        explorer.panels["thresholds"].fields["seed-0"].value = value
        ask.buttons["ask all runs"].click()
        assert (cells(ask.out.value)[1][2] == "nothing") == nothing


def test_heat_strips_and_salience_are_those_of_the_model(trained):
    """The same computation twice, in one process: bit for bit."""
    explorer = opened(trained)
    explorer.outcome.value = "all"
    inside, row = explorer.panels["look inside"], explorer.state.item.row
    inside.heat.click()
    heat = asking.heat(asking.load(trained["seed-1"]), row.question, row.context)
    assert f"B</b></span> seed-1 (nothing: start {heat.nothing_start:.2f}, end {heat.nothing_end:.2f})" in inside.out.value
    best = int(heat.p_start.argmax())
    assert f'title="start {heat.p_start[best]:.2f}, end {heat.p_end[best]:.2f}"' in inside.out.value or heat.p_start[best] < 0.02
    inside.run.value = "seed-1"
    inside.salience.click()
    weights = salience.salience(asking.load(trained["seed-1"]), row.question, row.context)
    assert re.findall(r'title="(.*?)"', inside.out.value) == [f"{weight.value:+.3g}" for weight in weights]
    explorer.panels["ask"].passage.value, explorer.panels["ask"].question.value = "Cork floats.", "What floats?"
    inside.of.value = "what is asked"
    inside.salience.click()
    assert plain(inside.out.value).endswith("[CLS] What floats ? [SEP] Cork floats . [SEP]")
    explorer.buttons["next ▸"].click()
    assert inside.out.value == "", "what was said of another row is gone"


def test_without_models_the_controls_say_so():
    runs = pairing.named([KEPT[0], KEPT[3]])
    explorer = Explorer(of_runs(runs, "squad"), "squad", runs)
    inside, ask = explorer.panels["look inside"], explorer.panels["ask"]
    inside.heat.click()
    assert "QA: results/sample/qa has no model/" in inside.out.value and "QA+MCC+SC:" in inside.out.value
    inside.salience.click()
    assert "has no model/" in inside.out.value
    ask.buttons["ask all runs"].click()
    assert "a passage and a question are needed" in ask.out.value
    ask.buttons["take the open row"].click()
    assert ask.passage.value == explorer.state.item.row.context
    ask.buttons["ask all runs"].click()
    assert "has no model/" in ask.out.value
    bare = Explorer(State(QUESTIONS))
    bare.panels["look inside"].heat.click()
    assert "come without runs" in bare.panels["look inside"].out.value


@pytest.mark.parametrize("name", ["JPY_SESSION_NAME", "VSCODE_PID"])
def test_without_a_front_end_the_first_disagreements_stay_as_html(monkeypatch, name):
    for front_end in ("JPY_SESSION_NAME", "VSCODE_PID", "COLAB_RELEASE_TAG"):
        monkeypatch.delenv(front_end, raising=False)
    runs = [KEPT[0], KEPT[3]]
    state = of_runs(pairing.named(runs), "squad")
    static = explore(runs)
    assert static == side_by_side([state.moved(i) for i in state.shown[:3]]) == static._repr_html_()
    assert explore(runs, show=1) == side_by_side([state.moved(state.shown[0])])
    monkeypatch.setenv(name, "x")
    assert len(explore(runs).children) > 5
    assert explore(runs, live=False) == static


def test_what_cannot_be_explored_is_said():
    with pytest.raises(CompareError, match="0 runs; the explorer shows 1 to 6"):
        explore([])
    with pytest.raises(CompareError, match="runs: None is NoneType; it must be a list of run folders"):
        explore(None)
    for show in (-1, "3", True):
        with pytest.raises(CompareError, match="show: .* must be a whole number, 0 or more"):
            explore(KEPT, show=show, live=False)
    with pytest.raises(CompareError, match="task: not every run keeps answers to 'mrpc'; all do to squad"):
        explore(KEPT, task="mrpc")
    assert shared_tasks(pairing.named(KEPT))[0] == "squad"


def test_importing_the_explorer_makes_no_widget():
    """A notebook that has made one is saved with a script for it."""
    code = "import mtdnn_kit.explorer.widgets; from ipywidgets.widgets.widget import _instances; print(len(_instances))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout == "0\n"


def test_a_task_that_cannot_be_opened_leaves_the_one_that_is(tmp_path):
    shutil.copytree(KEPT[2], tmp_path / "run")
    (tmp_path / "run/predictions/mrpc.jsonl").write_text('{"id": 0, "label": 1}\n')
    explorer = opened(pairing.named([tmp_path / "run"]))
    before = explorer.view.value
    explorer.task.value = "mrpc"
    assert "line 1: row 0: None should be 2 probabilities" in explorer.status.value
    assert (explorer.task.value, explorer.view.value) == ("squad", before)
