"""`explore`: its arguments, Python's replies to the page, saved pages, the cards in a saved notebook. tests/browser tests the page."""

import base64
import gzip
import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from answers import CAT, QUESTIONS, TEXT, THE_CAT, question
from conftest import ROOT, THREADS
from pages import Nesting, plain

from mtdnn_kit import Config, explore, train
from mtdnn_kit.compare import of_questions, pair
from mtdnn_kit.compare.pairing import Question, Reply, named
from mtdnn_kit.compare.paper import EXAMPLES
from mtdnn_kit.data.rows import QARow
from mtdnn_kit.errors import CompareError
from mtdnn_kit.explorer import answers_json, filters, front
from mtdnn_kit.explorer.html import examples_html, pieces, side_by_side, surety
from mtdnn_kit.explorer.replies import Backend
from mtdnn_kit.inference import asking, salience
from mtdnn_kit.runs.run import demo_runs

KEPT = [str(ROOT / "results" / "sample" / name) for name in ("qa", "qa-mcc", "qa-sc", "qa-mcc-sc")]


@pytest.fixture
def kept(tmp_path) -> list[str]:
    """Copies of two kept runs, in a writable folder."""
    return [str(shutil.copytree(path, tmp_path / "kept" / path.rsplit("/", 1)[1])) for path in (KEPT[0], KEPT[3])]


@pytest.fixture(scope="module")
def trained(tiny, tmp_path_factory) -> list[str]:
    """Two runs of a few steps, with their models."""
    folder = tmp_path_factory.mktemp("trained")
    small = dict(encoder=tiny, batch_size=4, max_steps=6, max_length=96, overlap=10, precision="fp32", device="cpu", threads=THREADS)
    tasks = dict(eval_limit=20, tasks=["squad", "mrpc", "swag"], qa_weight=0.5)
    return [str(train(Config(run_dir=str(folder / f"seed-{seed}"), seed=seed, **small, **tasks)).path) for seed in (0, 1)]


def tasks_of(file) -> dict[str, dict]:
    """The data of a saved page, by task."""
    found = re.findall(r'data-task="(\w+)">([^<]+)<', file.read_text())
    return {task: json.loads(gzip.decompress(base64.b64decode(data))) for task, data in found}


def ids(file) -> list:
    return next(iter(tasks_of(file).values()))["rows"]["id"]


def cards(html: str) -> list[list[str]]:
    """The text of each card: letter, name, answer, kind."""
    return [[plain(part) for part in re.findall(r"<span class=\"mx-(?:letter|name|answer|verdict)[^>]*>(.*?)</span>(?= |<)", card)]
            for card in re.findall(r'<li class="mx-card">(.*?)</li>', html)]  # fmt: skip


def backend(*items) -> Backend:
    return Backend({}, ["squad"], lambda task: answers_json.of_items(items))


def test_invalid_arguments_are_refused():
    with pytest.raises(CompareError, match="0 runs; the explorer shows 1 to 6"):
        explore([])
    with pytest.raises(CompareError, match="runs: None is NoneType; it must be a list of run folders"):
        explore(None)
    for show in (-1, "3", True):
        with pytest.raises(CompareError, match="show: .* must be a whole number, 0 or more"):
            explore(KEPT, show=show, live=False)
    with pytest.raises(CompareError, match="task: not every run has answers for 'mrpc'; all have answers for squad"):
        explore(KEPT, task="mrpc")
    with pytest.raises(CompareError, match="cluster: 'page' must be one of passage, title"):
        explore(KEPT, cluster="page")


@pytest.mark.parametrize("name", ["JPY_SESSION_NAME", "VSCODE_PID"])
def test_without_a_front_end_the_first_rows_stay_as_cards(monkeypatch, name):
    for front_end in ("JPY_SESSION_NAME", "VSCODE_PID", "COLAB_RELEASE_TAG"):
        monkeypatch.delenv(front_end, raising=False)
    questions = pair(named([KEPT[0], KEPT[3]]))
    first = [questions[i] for i in filters.first(questions)]
    static = explore([KEPT[0], KEPT[3]], show=3)
    assert static._repr_html_() == side_by_side(first[:3]) and not hasattr(static, "comm"), "nbconvert would keep a widget"
    assert explore([KEPT[0], KEPT[3]])._repr_html_().count("<section>") == min(20, len(first))
    monkeypatch.setenv(name, "x")
    shown = []
    monkeypatch.setattr("mtdnn_kit.explorer.widgets.display", shown.append)
    explorer = explore([KEPT[0], KEPT[3]])
    bundle = explorer._repr_mimebundle_()
    data = bundle[0] if isinstance(bundle, tuple) else bundle
    assert "application/vnd.jupyter.widget-view+json" in data and "text/html" not in data
    assert f'data-mtdnn-static="{explorer.static_id}"' in shown[0]
    synced = json.dumps(
        {key: value for key, value in explorer.get_state().items() if isinstance(value, (str, list, int, float, type(None)))}
    )
    assert first[0].row.question not in synced, "rows are sent; the widget's state does not contain them"


def test_importing_the_explorer_creates_no_widget_and_does_not_import_torch():
    """A notebook in which a widget was made is saved with a script for it."""
    code = f"""import sys; import mtdnn_kit.explorer.widgets; from ipywidgets.widgets.widget import _instances; print(len(_instances))
from mtdnn_kit import explore; explore({KEPT}, live=True); print('torch' in sys.modules, 'scipy' in sys.modules)"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "0\nFalse False\n"


def test_cards_show_each_models_answer_and_its_kind():
    html = side_by_side(QUESTIONS)
    Nesting(html)
    assert cards(html)[2:4] == [["A", "model 0", "cat", "✓ right"], ["B", "model 1", "no answer", "✗ missed"]]
    assert cards(html)[5] == ["B", "model 1", "The cat", "✗ false answer"]
    assert "null − best -1.00, answers if at most +0.00" in html and "<script" not in html


def test_nothing_of_the_data_becomes_markup():
    html = side_by_side([question(7, CAT, THE_CAT, title="<i>x", answers=((8, "<b>"),))])
    assert "<b>sat</b>" not in html and "Question &lt;7&gt;?" in html and "&lt;i&gt;x" in html
    Nesting(html)


def test_a_question_without_replies_shows_its_accepted_answers():
    html = side_by_side([question(1, answers=((4, "cat"), (0, "The cat")))])
    assert cards(html) == [] and plain(html).endswith("accepted: cat / The cat")
    assert plain(side_by_side([question(1, answers=())])).endswith("accepted: no answer")
    assert "no rows to show" in side_by_side([])


def test_a_passage_is_split_where_marks_begin_and_end():
    found = pieces(TEXT, [(4, 7)], [(0, 4, 7), (1, 0, 7), (2, 4, 7)])
    assert found == [("The ", False, [(1, 1)], []), ("cat", True, [(0, 0), (1, 1)], [0, 2, 1]), (TEXT[7:], False, [], [])]
    assert "".join(text for text, *_ in pieces(TEXT, [(3, 9), (4, 7)], [(0, 5, 20)])) == TEXT


def test_a_model_answers_if_its_surety_reaches_the_thresholds():
    values = np.linspace(-30, 30, 61)
    assert all((surety(d) >= surety(t)) == (d <= t) for d in values for t in values) and surety(0) == 0.5 and surety(float("inf")) < 1e-200


def test_the_papers_examples_are_shown_if_the_data_have_them():
    row = QARow("n", "Normans", "Alexius Komnenos did.", "Who ruined Roussel?", ((0, "Alexius Komnenos"),))
    reply = Reply(None, None, "", 0.6, 0.0, 0.0, 0.6, [], diff=1.0, threshold=0.0)
    html = examples_html([Question(row, {"QA": reply})], EXAMPLES)
    assert "Who ruined Roussel?" in html and html.count("Not in these data") == 2
    Nesting(html)


def test_the_front_end_is_one_module_of_all_its_files():
    files = {path.stem for path in front.FRONT.glob("*.js")}
    assert files == set(front.FRONT_FILES) and not re.search(r"^\s*(import|export (?!default))", front.module(), re.M)
    assert not re.search(r"innerHTML|insertAdjacentHTML|document\.write|eval\(|https?://(?!www\.w3\.org/2000/svg)", front.module())
    assert "url(" not in front.style() and "@import" not in front.style()


def contrast(a: str, b: str) -> float:
    def light(colour: str) -> float:
        digits = colour[1:] if len(colour) == 7 else "".join(2 * x for x in colour[1:])
        parts = [int(digits[k : k + 2], 16) / 255 for k in (0, 2, 4)]
        return sum(
            w * (x / 12.92 if x <= 0.03928 else ((x + 0.055) / 1.055) ** 2.4) for w, x in zip((0.2126, 0.7152, 0.0722), parts, strict=True)
        )

    high, low = sorted((light(a), light(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_colours_have_enough_contrast_in_both_themes():
    """Text 4.5:1, marks and edges of controls 3:1 (WCAG 2.2)."""
    found = dict(re.findall(r"--([\w-]+): light-dark\((#\w+, #\w+)\)", front.style()))
    runs = re.findall(r"--c: light-dark\((#\w+), (#\w+)\)", front.style())
    assert len(runs) == len({*runs}) == 6
    pairs = {name: colours.split(", ") for name, colours in found.items()}
    for theme in (0, 1):
        back = [pairs[name][theme] for name in ("bg", "soft", "sel")]
        for name, least in (("fg", 4.5), ("dim", 4.5), ("ok", 4.5), ("no", 4.5), ("edge", 3), ("accent", 3)):
            assert min(contrast(pairs[name][theme], one) for one in back) >= least, (name, theme)
        assert all(contrast(run[theme], pairs["bg"][theme]) >= 4.5 for run in runs), "a run's letter has the background's colour"
        assert contrast(pairs["gold-edge"][theme], pairs["bg"][theme]) >= 3 and contrast(pairs["fg"][theme], pairs["gold"][theme]) >= 4.5


def test_a_page_is_saved_whole_or_in_part(kept, tmp_path):
    explorer = explore(kept, live=False)
    questions = pair(named(kept))
    whole = explorer.save(tmp_path / "all.html")
    assert ids(whole) == [q.row.id for q in questions] and explorer.save(tmp_path / "again.html").read_bytes() == whole.read_bytes()
    task = tasks_of(whole)["squad"]
    assert task["start"] == ["answers differ"] and set(task["comparisons"]) == {"0,1", "1,0"}
    there, back = task["comparisons"]["0,1"], task["comparisons"]["1,0"]
    assert [row["difference"] for row in back["scores"]] == [-row["difference"] for row in there["scores"]]
    assert [(row["low"], row["a"]) for row in back["scores"]] == [(-row["high"], row["b"]) for row in there["scores"]]
    part = explorer.save(tmp_path / "part.html", only="topic: Compass")
    assert ids(part) == [q.row.id for q in questions if q.row.title == "Compass"] and tasks_of(part)["squad"]["whole"] == len(questions)
    differ = explorer.save(tmp_path / "differ.html", only="filter")
    assert len(ids(differ)) == of_questions(questions).at().differ.sum()
    titles = [page.read_text().split("<title>")[1].split("</title>")[0] for page in (whole, part, differ)]
    base = f"Answers of {', '.join(named(kept))} to squad"
    assert titles == [base, f"{base}: topic: Compass", f"{base}: answers differ"]
    with pytest.raises(CompareError, match="only: there is no filter 'topic: Nowhere'; choose from favourites, filter, answers differ"):
        explorer.save(tmp_path / "none.html", only="topic: Nowhere")
    with pytest.raises(CompareError, match="no row passes 'favourites'"):
        explorer.save(tmp_path / "none.html", only="favourites")
    with pytest.raises(CompareError, match="tasks: the runs have no answers for 'cola'; choose from squad"):
        explorer.save(tmp_path / "none.html", tasks=["cola"])
    with pytest.raises(CompareError, match="nowhere: there is no such folder for none.html"):
        explorer.save(tmp_path / "nowhere" / "none.html")
    assert not (tmp_path / "none.html").exists()
    asked = {"kind": "note", "task": "squad", "id": ids(whole)[3], "note": "odd"}
    assert explorer.backend.reply(asked) == {"reply": {ids(whole)[3]: "odd"}}
    marked = explorer.save(tmp_path / "marked.html", only="favourites")
    assert ids(marked) == [ids(whole)[3]] and tasks_of(marked)["squad"]["notes"] == {ids(whole)[3]: "odd"}
    others = explorer.save(tmp_path / "others.html", only="topic: Piano")
    assert ids(whole)[3] not in ids(others) and tasks_of(others)["squad"]["notes"] == {}, "notes on rows that are not shared stay here"


def test_the_command_writes_a_page_or_prints_an_error(tmp_path):
    command = [sys.executable, "-m", "mtdnn_kit", "explore", KEPT[0], KEPT[3], "--out", str(tmp_path / "answers.html")]
    done = subprocess.run([*command, "--only", "topic: Compass"], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.strip() == str(tmp_path / "answers.html") and set(tasks_of(tmp_path / "answers.html")["squad"]["rows"]["title"]) == {
        "Compass"
    }
    done = subprocess.run([*command, "--task", "mnli"], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 1 and done.stderr == "task: not every run has answers for 'mnli'; all have answers for squad\n"


def test_notebook_04_uses_the_demos_runs_if_they_exist(monkeypatch, tmp_path):
    monkeypatch.delenv("MTDNN_RUNS", raising=False)
    (tmp_path / "pyproject.toml").write_text("")
    monkeypatch.chdir(tmp_path)
    names = ["qa", "qa-mcc", "qa-sc", "qa-mcc-sc"]
    assert demo_runs() == [f"results/sample/{name}" for name in names]
    for name in names:
        shutil.copytree(ROOT / "results/sample" / name, tmp_path / "runs/demo" / name)
    assert demo_runs() == [f"runs/demo/{name}" for name in names]
    monkeypatch.setenv("MTDNN_RUNS", "elsewhere")
    assert demo_runs() == [f"results/sample/{name}" for name in names]


def test_infinite_numbers_and_missing_spans_can_be_sent():
    row = QARow("a", "", "One two.", "Which?", ())
    silent = Question(row, {"x": Reply(None, None, "", 1.0, 1.0, 1.0, 1.0, [], 0.0, 0.0, float("inf"), 0.0)})
    made = answers_json.as_json(answers_json.of_items([silent]))
    assert made["answers"][0]["diff"] == [None] and made["answers"][0]["best"] == [[0, 0, 0]]
    assert json.loads(gzip.decompress(answers_json.packed(made)))["rows"]["golds"] == [[]]
    assert json.loads(gzip.decompress(answers_json.packed(answers_json.as_json(answers_json.of_items([])))))["runs"] == []


def test_without_models_the_reply_is_an_error():
    replies = Backend(named([KEPT[0]]), ["squad"], lambda task: answers_json.read(named([KEPT[0]]), task))
    asked = {"task": "squad", "question": "What?", "passage": "That.", "thresholds": [None], "run": 0}
    assert "has no model/ to ask" in replies.reply({"kind": "ask", **asked})["reply"]["replies"][0]["error"]
    assert "has no model/ to ask" in replies.reply({"kind": "why", **asked})["error"]
    bare = backend(*QUESTIONS)
    for kind in ("why", "note", "page"):
        assert "these answers have no run" in bare.reply({"kind": kind, **asked, "id": "0", "note": "", "ids": [], "name": "x"})["error"]
    assert [run["without"][:7] for run in answers_json.as_json(bare.answers("squad"))["runs"]] == ["model 0", "model 1"]


def test_models_answer_and_explain_a_custom_question(trained):
    """The same computation twice in one process: equal bit for bit."""
    explorer = explore(trained, live=False)
    assert explorer.backend.tasks == ["squad", "mrpc", "swag"]
    texts = {"question": "What floats on water?", "passage": "Cork is the bark of an oak. It floats on water."}
    runs = list(named(trained).values())
    said = explorer.backend.reply({"kind": "ask", "task": "squad", **texts, "thresholds": [None, 1e9]})["reply"]["replies"]
    for number, (one, threshold) in enumerate(zip(said, (None, 1e9), strict=True)):
        reply = asking.ask(asking.load(runs[number]), texts["question"], texts["passage"], threshold)
        assert (one["text"], one["start"], one["end"], one["diff"]) == (reply.text, reply.start, reply.end, reply.diff)
    looked = explorer.backend.reply({"kind": "why", "task": "squad", **texts, "run": 1})["reply"]
    model = asking.load(runs[1])
    heat, weights = asking.heat(model, *texts.values()), salience.salience(model, *texts.values())
    assert [token[2] for token in looked["heat"]] == heat.p_start.tolist() and [token[1] for token in looked["heat"]] == heat.ends.tolist()
    assert [(text, value) for text, _, value in looked["salience"]] == [(one.text, one.value) for one in weights]
    best = asking.ask(model, *texts.values(), 1e9)
    for threshold, span in ((1e9, (best.start, best.end)), (-1e9, (0, 0))):
        moved = explorer.backend.reply({"kind": "why", "task": "squad", **texts, "run": 1, "threshold": threshold})["reply"]
        wanted = salience.salience(model, *texts.values(), span)
        assert [value for *_, value in moved["salience"]] == [one.value for one in wanted], "of the answer at the moved threshold"
    bad = explorer.backend.reply({"kind": "why", "task": "squad", "question": "\ud800", "passage": "x", "run": 0})
    assert "an unpaired surrogate" in bad["error"]


def test_other_tasks_have_labels_and_probabilities(trained):
    explorer = explore(trained, live=False)
    for task in ("mrpc", "swag"):
        made = json.loads(gzip.decompress(explorer.backend.reply({"kind": "open", "task": task})))
        assert made["type"] == "choice" and len(made["rows"]["gold"]) == 20
        run = named(trained)["seed-0"]
        right = [own == gold for own, gold in zip([text - 1 for text in made["answers"][0]["text"]], made["rows"]["gold"], strict=True)]
        assert 100 * np.mean(right) == pytest.approx(run.metrics[task]["accuracy"])
        assert ("labels" in made) == (task == "mrpc") and made["facets"][0]["facet"] == {"mrpc": "right label", "swag": "right ending"}[
            task
        ]


def test_an_unreadable_task_is_reported(tmp_path, trained):
    shutil.copytree(trained[0], tmp_path / "run")
    (tmp_path / "run/predictions/mrpc.jsonl").write_text('{"id": 0, "label": 1}\n')
    explorer = explore([str(tmp_path / "run")], live=False)
    assert "line 1: row 0: None should be 2 probabilities" in explorer.backend.reply({"kind": "open", "task": "mrpc"})["error"]
    assert isinstance(explorer.backend.reply({"kind": "open", "task": None}), bytes)
