"""The explorer in JupyterLab, in a real browser: requests to Python, keys, and the output kept in a saved notebook."""

import json
import re

import nbformat
import pytest
from conftest import ROOT
from playwright.sync_api import Locator, expect

from browser.looks import audit, cut_off, overflow, shot
from mtdnn_kit import Config, Run, train
from mtdnn_kit.inference import asking

NOTEBOOK = ROOT / "notebooks" / "04_answers.ipynb"
KEPT = [f"results/sample/{name}" for name in ("qa", "qa-mcc", "qa-sc", "qa-mcc-sc")]
ALONE = ["from mtdnn_kit import explore", f"explore({KEPT})"]
PARTS = (".mx-list", ".mx-main", ".mx-chip", ".mx-tab[aria-selected=true]", ".mx-panel", ".mx-plain:not([aria-disabled])", ".mx-search")


@pytest.fixture(scope="module")
def trained(tiny, tmp_path_factory) -> list[Run]:
    """Two runs of a few steps, with their models."""
    folder = tmp_path_factory.mktemp("trained")
    small = dict(encoder=tiny, batch_size=4, max_steps=4, max_length=96, overlap=10, precision="fp32", device="cpu", threads=1)
    tasks = dict(tasks=["squad", "mrpc"], qa_weight=0.5, eval_limit=20)
    return [train(Config(run_dir=str(folder / f"seed-{seed}"), seed=seed, **small, **tasks)) for seed in (0, 1)]


def live(notebook) -> Locator:
    """Waits until the notebook's explorer shows a question; returns it."""
    view = notebook.page.locator(".mtdnn-explorer:not(.mx-static)")
    expect(view.locator("h2")).to_be_visible()
    view.scroll_into_view_if_needed()
    return view


def cells_of(page) -> str:
    return page.evaluate("JSON.stringify(jupyterapp.shell.currentWidget.content.model.sharedModel.toJSON().cells.map(one => one.source))")


def test_only_the_keys_that_save_reach_the_notebook(open_notebook, lab):
    notebook = open_notebook([*ALONE, "1 + 1"])
    view, page = live(notebook), notebook.page
    before, active = cells_of(page), "jupyterapp.shell.currentWidget.content.activeCellIndex"
    view.locator(".mx-list").click()
    place = page.evaluate(active)
    for part in PARTS:
        view.locator(part).first.focus()
        for key in ("d", "d", "x", "ArrowDown", "ArrowUp", "ArrowLeft", "Escape", "a", "b", "m"):
            page.keyboard.press(key)
        assert page.evaluate("document.activeElement.closest('.mtdnn-explorer') !== null"), f"the focus left from {part}"
        assert cells_of(page) == before and page.evaluate(active) == place, part
    saved = lab.folder / notebook.path
    old = saved.read_bytes()
    view.locator(".mx-search").focus()
    page.keyboard.press("Control+s")
    page.wait_for_function("!jupyterapp.shell.currentWidget.context.model.dirty")
    assert saved.read_bytes() != old, "Ctrl+S saves"
    assert notebook.errors == []


def test_a_saved_notebook_has_cards_and_no_rows_in_its_widgets(open_notebook, lab):
    notebook = open_notebook(ALONE)
    view, page = live(notebook), notebook.page
    static = page.locator("[data-mtdnn-static]")
    expect(static).to_have_count(1)
    expect(static).to_be_hidden()
    page.keyboard.press("Control+s")
    page.wait_for_function("!jupyterapp.shell.currentWidget.context.model.dirty")
    made = nbformat.read(lab.folder / notebook.path, 4)
    outputs = made.cells[1].outputs
    html = "".join(one["data"].get("text/html", "") for one in outputs if "data" in one)
    assert len(re.findall("<section>", html)) == 20 and "<script" not in html
    assert (lab.folder / notebook.path).stat().st_size < 400_000
    question = view.locator("h2").inner_text()
    assert question in html and question not in json.dumps([one for one in outputs if "text/html" not in one.get("data", {})])
    lab.end_kernels()
    page.goto(f"{lab.address}/lab/tree/{notebook.path}?reset&token={lab.token}")
    expect(page.locator("[data-mtdnn-static]")).to_be_visible()
    expect(page.locator("[data-mtdnn-static] section").first).to_contain_text(question)
    shot(page.locator("[data-mtdnn-static]"), "explorer-reopened")


def test_an_edited_question_is_answered_and_explained(open_notebook, trained):
    notebook = open_notebook(["from mtdnn_kit import explore", f"explore({[str(run.path) for run in trained]!r})"])
    view, page = live(notebook), notebook.page
    view.locator(".mx-list").focus()
    page.keyboard.press("e")

    def moved_by(points: str, stale: int) -> None:
        """With all thresholds moved, so many cards are marked as out of date."""
        view.get_by_role("tab", name="Threshold").click()
        view.get_by_label("Move all by").fill(points)
        view.get_by_label("Move all by").press("Enter")
        expect(view.locator(".mx-grey")).to_have_count(stale)

    for points in ("1", "0"):
        moved_by(points, 0)  # nothing was asked: the cards show the current answers
    view.get_by_role("tab", name="Try an edit").click()
    passage, question = "Cork is the bark of an oak. It floats on water.", "What floats on water?"
    view.get_by_label("Question", exact=True).fill(question)
    view.get_by_label("Passage", exact=True).fill(passage)
    page.keyboard.press("Control+Enter")
    expect(view.locator(".mx-panel")).to_contain_text("of 2 answers flipped")
    for card, run in zip(view.locator(".mx-card").all(), trained, strict=True):
        said = asking.ask(asking.load(run), question, passage)
        hint = card.locator(".mx-sure").get_attribute("aria-label")
        shown = float(re.search(r"null − best ([+−][\d.]+)", hint)[1].replace("−", "-").replace("+", ""))
        assert shown == pytest.approx(said.diff, abs=0.02), "the kernel may sum in a different order"
        assert card.locator(".mx-answer").inner_text().startswith(said.text or "no answer")
    moved_by("1", 2)
    moved_by("0", 0)
    view.get_by_role("tab", name="Try an edit").click()
    view.get_by_label("Passage", exact=True).fill(passage + " So it does.")
    expect(view.locator(".mx-panel")).to_contain_text("have changed since: ask again")
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    expect(view.get_by_label("Passage", exact=True)).to_have_count(0)
    page.keyboard.press("e")
    expect(view.get_by_label("Passage", exact=True)).to_have_value(passage + " So it does.")  # what was typed is not lost
    view.get_by_role("tab", name="Why this answer").click()
    expect(view.locator(".mx-salient").first).to_be_visible()
    expect(view.locator(".mx-panel")).to_contain_text("Of the edited text")
    shot(view, "explorer-why")
    page.keyboard.press("Escape")
    view.get_by_label("Task").select_option("mrpc")
    expect(view.locator(".mx-labels li")).to_have_count(2)
    expect(view.get_by_role("tab")).to_have_count(2)
    view.locator(".mx-list").focus()
    page.keyboard.press("e")
    expect(view.get_by_label("Passage", exact=True)).to_have_count(0)
    shot(view, "explorer-mrpc")
    assert notebook.errors == []


def test_without_models_the_tabs_say_why(open_notebook):
    view = live(open_notebook(ALONE))
    view.get_by_role("tab", name="Why this answer").click()
    expect(view.locator(".mx-panel")).to_contain_text("QA has no model")
    view.get_by_role("tab", name="Compare two models").click()
    expect(view.locator(".mx-finding")).to_contain_text("QA+MCC+SC − QA = +6.88 (95 % interval")


def test_favourites_are_stored_next_to_the_runs_and_exported_as_a_page(open_notebook, lab):
    notebook = open_notebook(ALONE)
    view, page = live(notebook), notebook.page
    view.locator(".mx-list").focus()
    page.keyboard.press("s")
    note = view.locator(".mx-note input")
    note.fill("look again")
    note.press("Enter")
    note.press("Escape")
    ids = [view.locator(".mx-id").inner_text()]
    for _ in range(2):
        page.keyboard.press("j")
        page.keyboard.press("s")
        ids.append(view.locator(".mx-id").inner_text())
    view.get_by_role("button", name="Share").click()
    view.get_by_role("button", name="3 favourites").first.click()
    expect(view.locator(".mx-tools")).to_contain_text("exports/squad-favourites.html")
    kept = json.loads((lab.folder / "results/sample/favourites.json").read_text())
    assert kept == {"squad": {ids[0]: "look again", ids[1]: "", ids[2]: ""}}
    other = page.context.new_page()
    other.goto((lab.folder / "results/sample/exports/squad-favourites.html").as_uri())
    expect(other.locator(".mx-row")).to_have_count(3)
    other.close()
    notebook.open()
    notebook.run()
    view = live(notebook)
    view.get_by_role("button", name="Favourites: 3").click()
    expect(view.locator(".mx-bar [role=status]")).to_have_text("3 of 132")
    (lab.folder / "results/sample/favourites.json").unlink()


def test_axe_finds_nothing_serious_in_either_theme(open_notebook):
    notebook = open_notebook(ALONE)
    view, page = live(notebook), notebook.page
    for theme in ("light", "dark"):
        page.evaluate(f"jupyterapp.commands.execute('apputils:change-theme', {{ theme: 'JupyterLab {theme.title()}' }})")
        expect(page.locator("body")).to_have_attribute("data-jp-theme-light", "true" if theme == "light" else "false")
        shot(view, f"explorer-{theme}")
        for name in ("Threshold", "Compare two models", "Alternatives"):
            view.get_by_role("tab", name=name).click()
            assert audit(view) == [], theme
        assert cut_off(view) == [], theme


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_saved_notebook_is_a_page_without_scripts_that_fits_its_window(open_static, theme):
    page = open_static(NOTEBOOK, theme)
    assert page.locator(".jp-Notebook script, .jp-OutputArea script, [onclick], [onerror], [onload]").count() == 0
    for width in (1000, 400):
        assert overflow(page, width) == 0, f"the page scrolls sideways in a window of {width} pixels"
        assert [cut for area in page.locator(".jp-OutputArea").all() for cut in cut_off(area)] == []
        shot(page, f"static-{theme}-{width}")
