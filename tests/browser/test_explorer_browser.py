"""The explorer in JupyterLab, in a real browser: what it shows is what the run folders hold, whoever uses it and whatever is in the data.

Bare arrows are no way to a list's entries: JupyterLab takes them, to go to another cell. Space opens a dropdown, which then has them.
"""

import csv
import json
import re

import pytest
from conftest import ROOT
from playwright.sync_api import Locator, expect
from scorer import score, words_of
from ties import Scored

from browser.looks import audit, cut_off, overflow, shot, tab_to
from mtdnn_kit import Config, Run, ask, train
from mtdnn_kit.data.registry import DATASETS
from mtdnn_kit.data.sources import load

NOTEBOOK = ROOT / "notebooks" / "04_answers.ipynb"
RUNS = {"QA": "qa", "QA+MCC": "qa-mcc", "QA+SC": "qa-sc", "QA+MCC+SC": "qa-mcc-sc"}  # the kept ones, below results/sample
ALONE = ["from mtdnn_kit.explorer.widgets import explore", f"explore({[f'results/sample/{name}' for name in RUNS.values()]})"]
THEMES = ("light", "dark")
PANELS = ("thresholds", "look inside", "ask", "why they differ", "take along")
EVIL = '<script>window.pwned=1</script><img src=x onerror="window.pwned=1">'
ODD = {  # what a passage may be
    "evil": EVIL + " and more",
    "long word": "W" * 3000 + " end",
    "emoji": "👩‍🚀🇩🇪 flew 🌍 twice. " * 20,
    "right to left": "القمر يدور حول الأرض. " * 20 + "הירח",
    "25,000 characters": ("The moon goes round. " * 1250)[:25_000],
}
HOSTILE = f"""
from IPython.display import HTML
from mtdnn_kit.compare.pairing import Question, Reply
from mtdnn_kit.explorer.html import side_by_side
from mtdnn_kit.explorer.state import State
from mtdnn_kit.explorer.widgets import Explorer
from mtdnn_kit.data.rows import QARow

evil, odd = {EVIL!r}, {ODD!r}
def asked(name, text):
    end = min(len(text), len(evil))
    reply = Reply(0, end, text[:end], 0.5, 0.0, 0.0, 0.3, [(0, end, 0.5)], 0.0, 0.0, -1.0, 0.0)
    row = QARow(name + evil, "A title" + evil, text, "What is " + name + "?" + evil, ((len(text) - 3, text[-3:]),))
    return Question(row, {{"one" + evil: reply, "two" + evil: Reply(None, None, "", None, 0.0, 0.0, None, [])}})
questions = [asked(name, text) for name, text in odd.items()]"""


@pytest.fixture(scope="module")
def kept() -> dict[str, dict]:
    """What the kept runs hold of the sample's questions: {run: {"nbest": entries, "metrics": …}}, read without the explorer's code."""
    runs = {name: Run(ROOT / "results/sample" / folder) for name, folder in RUNS.items()}
    return {name: {"nbest": list(run.nbest()), "metrics": run.metrics["squad"]} for name, run in runs.items()}


@pytest.fixture(scope="module")
def trained(tiny, tmp_path_factory) -> list[Run]:
    """Two runs of a few steps that have their models."""
    folder = tmp_path_factory.mktemp("trained")
    small = dict(encoder=tiny, batch_size=4, max_steps=4, max_length=96, overlap=10, precision="fp32", device="cpu", threads=1)
    tasks = dict(tasks=["squad", "mrpc"], qa_weight=0.5, eval_limit=20)
    return [train(Config(run_dir=str(folder / f"seed-{seed}"), seed=seed, **small, **tasks)) for seed in (0, 1)]


@pytest.fixture(scope="module")
def sample() -> list:
    return load("squad", DATASETS["squad"], "validation", "sample").rows


def choose(view: Locator, label: str, value: str) -> None:
    """Chooses the entry of a dropdown that begins with `value`."""
    box = view.get_by_label(label, exact=True)
    pattern = re.sub(r"([(+)])", r"\\\1", value).replace(" ", r"\s")  # ipywidgets makes every space one that does not break
    entry = box.locator("option").filter(has_text=re.compile(f"^{pattern}"))
    expect(entry).to_have_count(1)
    box.select_option(entry.text_content())


def table(view: Locator, head: str) -> list[list[str]]:
    """The cells of the table that has a column of that name."""
    rows = view.locator("table").filter(has=view.page.get_by_role("columnheader", name=head, exact=True)).last.locator("tr").all()
    return [row.locator("th, td").all_inner_texts() for row in rows]


def at(kept: dict, sample: list, run: str, threshold: float) -> dict[str, str]:
    """{id: answer} of a kept run at a threshold, one question at a time."""
    contexts, found = {row.id: row.context for row in sample}, {}
    for entry in kept[run]["nbest"]:
        start, end, best, _ = entry["nbest"][0]
        found[entry["id"]] = contexts[entry["id"]][start:end] if entry["null"] - best <= threshold else ""
    return found


def test_notebook_04_shows_what_the_run_folders_hold(open_notebook, kept, sample):
    notebook = open_notebook()
    view, rows = notebook.output("explore("), {row.id: row for row in sample}
    answers = [at(kept, sample, run, found["metrics"]["threshold"]) for run, found in kept.items()]
    differing = sum(len({" ".join(words_of(said[key])) for said in answers}) > 1 for key in rows)
    expect(view.get_by_label("outcome")).to_have_value(f"answers differ ({differing})")
    choose(view, "outcome", "all (")
    choose(view, "outcome", "QA: false nothing")
    said = at(kept, sample, "QA", kept["QA"]["metrics"]["threshold"])
    silent = [key for key, text in said.items() if not text and rows[key].answers]
    expect(view.get_by_role("status").first).to_contain_text(f"{len(silent)} of {len(rows)} rows pass")
    assert len(view.get_by_label("rows").locator("option").all()) == len(silent)
    view.get_by_label("rows").select_option(index=0)  # a row that passes stays open, and need not be the first
    for key in silent[:2]:
        expect(view).to_contain_text(key)
        expect(view.locator("b[dir=auto]").first).to_have_text(rows[key].question)
        view.get_by_role("button", name="next").click()
        expect(view.locator("b[dir=auto]").first).not_to_have_text(rows[key].question)
    choose(view, "outcome", "all (")
    expect(view.get_by_role("status").first).to_contain_text(f"{len(rows)} of {len(rows)} rows pass")
    view.get_by_label("find").fill("moons")
    moons = [row for row in sample if "moons" in (row.question + row.context).lower()]
    expect(view.get_by_role("status").first).to_contain_text(f"{len(moons)} of {len(rows)} rows pass")
    view.get_by_role("button", name="clear filters").click()
    expect(view.get_by_label("find")).to_have_value("")
    assert notebook.errors == []


def test_a_threshold_is_moved(open_notebook, kept, sample):
    view = open_notebook(ALONE).output("explore(")
    view.get_by_role("button", name="thresholds").click()
    field = view.get_by_label("D QA+MCC+SC")
    assert float(field.input_value()) == pytest.approx(kept["QA+MCC+SC"]["metrics"]["threshold"], abs=1e-3)
    field.fill("-2.5")
    field.press("Enter")
    expect(view.locator("table").filter(has_text="tuned").last).to_contain_text("-2.50")
    said = at(kept, sample, "QA+MCC+SC", -2.5)
    found = dict(zip(*[table(view, "tuned")[k] for k in (0, -1)], strict=True))
    truth = score([{"id": row.id, "answers": {"text": [text for _, text in row.answers]}} for row in sample], said)
    assert [float(found[name].split()[0]) for name in ("EM", "F1")] == pytest.approx([truth["em"], truth["f1"]], abs=0.051)
    assert int(found["false answers"].split()[0]) == sum(bool(said[row.id]) and not row.answers for row in sample)
    assert int(found["false nothings"].split()[0]) == sum(not said[row.id] and bool(row.answers) for row in sample)
    assert view.locator("svg circle").count() == 8
    shot(view, "explorer-thresholds")


def test_why_two_runs_differ_leads_to_the_questions(open_notebook, kept):
    view = open_notebook(ALONE).output("explore(")
    view.get_by_role("button", name="why they differ").click()
    view.get_by_role("button", name="compute").click()
    scores = [kept[name]["metrics"]["f1"] for name in ("QA", "QA+MCC+SC")]
    expect(view).to_contain_text(f"QA+MCC+SC − QA = {scores[1] - scores[0]:+.3g} (95 % interval")
    view.get_by_role("button", name=re.compile(r"^question word: where \(\d+\): F1 ")).click()
    expect(view.get_by_label("slice", exact=True)).to_have_value(re.compile(r"^question.word:.where"))
    expect(view.get_by_role("status").first).to_contain_text("of 132 rows pass")


def test_a_question_of_ones_own_is_asked_and_edited(open_notebook, trained):
    runs = [str(run.path) for run in trained]
    view = open_notebook(["from mtdnn_kit.explorer.widgets import explore", f"explore({runs!r})"]).output("explore(")
    view.get_by_role("button", name="ask", exact=True).click()
    passage, question = "Cork is the bark of an oak. It floats on water.", "What floats on water?"
    view.get_by_label("passage").fill(passage)
    view.get_by_label("question").last.fill(question)
    view.get_by_role("button", name="ask all runs").click()
    expect(view.get_by_role("columnheader", name="null − best")).to_have_count(2)
    for row, run in zip(table(view, "null − best")[1:], trained, strict=True):
        _, answer = ask(run, question, passage)
        scored = Scored(answer.null, {(start, end): score for start, end, score in answer.spans})
        threshold = run.metrics["squad"]["threshold"]
        may_be = {passage[slice(*span)] if span else "nothing" for span in (None, *scored.spans) if scored.says(span, threshold)}
        assert row[2] in may_be and float(row[-1]) == pytest.approx(answer.diff, abs=0.00501), "the kernel may sum in another order"
    choose(view, "outcome", "all (")
    view.get_by_role("button", name="take the open row").click()
    expect(view.get_by_label("passage")).not_to_have_value(passage)
    edited = view.get_by_label("question").last
    edited.fill(edited.input_value() + " Or not?")
    view.get_by_role("button", name="ask all runs").click()
    expect(view.locator("ins")).to_have_count(1)
    expect(view.get_by_role("columnheader", name="before")).to_be_visible()
    view.get_by_role("button", name="look inside").click()
    view.get_by_role("button", name="heat strips").click()
    expect(view).to_contain_text("Two bars below a token")
    view.get_by_role("button", name="salience").click()
    expect(view).to_contain_text("what pulls the score of its answer up")
    choose(view, "task", "mrpc")
    expect(view.get_by_role("columnheader", name="B seed-1")).to_be_visible()
    expect(view.get_by_role("button", name="ask", exact=True)).to_be_hidden()
    shot(view, "explorer-mrpc")


def test_what_is_shown_is_taken_along_and_a_favourite_is_there_after_a_reload(open_notebook, lab):
    notebook = open_notebook(ALONE)
    view = notebook.output("explore(")
    listed = view.get_by_label("rows").locator("option")
    order = listed.all_text_contents()
    choose(view, "order", "largest gap first")
    expect(listed).not_to_have_text(order)
    first = view.locator("b[dir=auto]").first
    before = first.inner_text()
    choose(view, "outcome", "all answer the same")  # none of those that were listed, whose answers differ
    expect(first).not_to_have_text(before)
    question = first.inner_text()
    view.get_by_role("button", name="take along").click()
    for kind in ("Markdown", "HTML", "CSV"):
        view.get_by_role("button", name=f"as {kind}").click()
        expect(view.get_by_text("Written:")).to_contain_text({"Markdown": ".md", "HTML": ".html", "CSV": ".csv"}[kind])
    files = {file.suffix: file for file in (lab.folder / "results/sample/exports").iterdir()}
    assert question.rstrip("?") in files[".md"].read_text() and question in files[".html"].read_text()
    rows = list(csv.DictReader(files[".csv"].read_text().splitlines()))
    shown = [row[2] for row in table(view, "which is")[2:]]
    assert [row["text"] or "nothing" for row in rows] == shown and len(shown) == 4
    view.get_by_label("note").fill("look again")
    view.get_by_role("button", name="keep as a favourite").click()
    expect(view).to_contain_text("Kept; 1 in all.")
    notebook.open()
    notebook.run()
    view = notebook.output("explore(")
    choose(view, "outcome", "favourites (1)")
    expect(view.locator("b[dir=auto]").first).to_have_text(question)
    expect(view.get_by_label("note")).to_have_value("look again")
    assert json.loads((lab.folder / "results/sample/favourites.json").read_text()) == {"squad": {rows[0]["id"]: "look again"}}
    (lab.folder / "results/sample/favourites.json").unlink()


def test_the_keyboard_alone_is_enough(open_notebook):
    view = open_notebook(ALONE).output("explore(")
    keyboard, question = view.page.keyboard, view.locator("b[dir=auto]").first
    outcome = view.get_by_label("outcome")
    tab_to(outcome)
    for key in ("Space", "ArrowDown", "ArrowDown", "Enter"):
        keyboard.press(key)
    expect(outcome).to_have_value(re.compile(r"^all right \(\d+\)"))
    first = question.inner_text()
    tab_to(view.get_by_role("button", name="next"))
    keyboard.press("Enter")
    expect(question).not_to_have_text(first)
    tab_to(view.locator("summary", has_text="n-best"))
    keyboard.press("Enter")
    expect(view.locator("details[open] table").first).to_be_visible()
    tab_to(view.get_by_role("button", name="thresholds"))
    keyboard.press("Space")
    field = view.get_by_label("A QA", exact=True)
    tab_to(field)
    keyboard.press("Control+a")
    keyboard.type("9")
    keyboard.press("Enter")
    expect(view.locator("table").filter(has_text="tuned").last).to_contain_text("+9.00")
    tab_to(view.get_by_role("button", name="take along"))
    keyboard.press("Enter")
    tab_to(view.get_by_label("note"))


@pytest.mark.parametrize("theme", THEMES)
def test_axe_finds_nothing_grave(open_notebook, theme):
    view = open_notebook(ALONE, theme).output("explore(")
    shot(view, f"explorer-{theme}")
    for name in PANELS:
        view.get_by_role("button", name=name, exact=True).click()
    view.get_by_role("button", name="compute").click()
    expect(view).to_contain_text("95 % interval")
    view.get_by_role("button", name="take the open row").click()
    view.get_by_role("button", name="swap the names").click()
    expect(view.locator("ins").first).to_be_visible()
    view.locator("summary", has_text="n-best").first.click()
    assert audit(view) == []
    assert cut_off(view) == []
    shot(view, f"explorer-all-{theme}")


def test_text_from_data_is_text(open_notebook):
    cells = [HOSTILE, "Explorer(State(questions)).box", "side_by_side(questions)", "HTML('<img src=x onerror=\"window.could=1\">')"]
    page = (notebook := open_notebook(cells)).page
    page.wait_for_function("window.could === 1")  # the page would have
    live, static = notebook.output("Explorer("), notebook.output("side_by_side(questions)")
    for k, (name, text) in enumerate(ODD.items()):
        expect(live.locator("b[dir=auto]").first).to_have_text(f"What is {name}?{EVIL}")
        for view in (live, static):
            shown = view.locator("div[dir=auto]").nth(0 if view is live else k)
            marks = shown.evaluate("node => [...node.querySelectorAll('sup, summary')].forEach(one => one.remove())")
            assert marks is None and shown.text_content() == text
        assert cut_off(live) == []
        live.get_by_role("button", name="next").click()
    assert live.locator("script, img").count() == static.locator("script, img").count() == 0
    assert page.evaluate("window.pwned") is None
    shot(static, "hostile")


@pytest.mark.parametrize("theme", THEMES)
def test_the_saved_notebook_is_a_page_without_scripts_that_fits_its_window(open_static, theme):
    page = open_static(NOTEBOOK, theme)
    assert page.locator(".jp-Notebook script, .jp-OutputArea script, [onclick], [onerror], [onload]").count() == 0
    for width in (1000, 400):
        assert overflow(page, width) == 0, f"the page scrolls sideways in a window of {width} pixels"
        assert [cut for area in page.locator(".jp-OutputArea").all() for cut in cut_off(area)] == []
        shot(page, f"static-{theme}-{width}")
