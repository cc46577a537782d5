"""The explorer as a file, opened from disk in a real browser that reaches nothing: what a person does; every number is Python's."""

import base64
import csv
import gzip
import io
import json
import re
import shutil
from dataclasses import replace
from html import unescape

import mistune
import numpy as np
import pytest
from answers import QUESTIONS, question
from conftest import ROOT
from playwright.sync_api import Page, expect
from scorer import score, words_of

from browser.looks import audit, cut_off, overflow, shot, tab_to
from mtdnn_kit import Run, explore
from mtdnn_kit.compare import differences, named, of_questions, pair
from mtdnn_kit.compare.choices import Choice, Item
from mtdnn_kit.data.registry import DATASETS
from mtdnn_kit.data.rows import MCCRow, QARow
from mtdnn_kit.data.sources import load
from mtdnn_kit.explorer import answers_json, filters, front
from mtdnn_kit.explorer.page import page as page_of

RUNS = {"QA": "qa", "QA+MCC": "qa-mcc", "QA+SC": "qa-sc", "QA+MCC+SC": "qa-mcc-sc"}  # the kept ones, below results/sample
KEPT = [str(ROOT / "results/sample" / name) for name in RUNS.values()]
FILTER, COUNT = "+ Filter", ".mx-bar [role=status]"
EVIL = '<script>window.pwned=1</script></script><img src=x onerror="window.pwned=1">'
WITH_STATE = """async ([source, data]) => {
    const text = source + "export { begin, markdown, csv, outcomesAt, tally, unpack };"
    const kit = await import(URL.createObjectURL(new Blob([text], {type: "text/javascript"})))
    const task = await kit.unpack(Uint8Array.from(atob(data), one => one.charCodeAt(0)))
    Object.assign(task, {missed: task.kinds.indexOf("missed"), correct: 0})
    const state = kit.begin(task, {})
    return RETURN }"""
TEXT_OF = """node => { const texts = document.createTreeWalker(node, NodeFilter.SHOW_TEXT), found = []
    while (texts.nextNode()) if (!texts.currentNode.parentElement.closest('.mx-tags')) found.push(texts.currentNode.data)
    return found }"""
ODD = {  # what a passage may be
    "evil": EVIL + " and more",
    "long word": "W" * 3000 + " end",
    "emoji": "👩‍🚀🇩🇪 flew 🌍 twice. " * 20,
    "right to left": "\u202eback\u202c " + "القمر يدور حول الأرض. " * 20 + "הירח",
    "25,000 characters": ("The moon goes round. " * 1250)[:25_000],
    "half a surrogate": "half \ud83d and whole 🌍 end",
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The kept runs as a file."""
    return explore(KEPT, live=False).save(tmp_path_factory.mktemp("saved") / "answers.html")


@pytest.fixture
def opened(page):
    """opened(file, theme, width): a file, open; it may ask for nothing but itself, and no script of it fails."""

    def go(file, theme: str = "light", width: int = 1440) -> Page:
        asked, wrong = [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        page.emulate_media(color_scheme=theme)
        page.set_viewport_size({"width": width, "height": 900})
        page.goto("about:blank")
        page.goto(file.as_uri())
        expect(page.locator(".mtdnn-explorer h2")).to_be_visible()
        page.wrong = wrong
        assert [url for url in asked if not url.startswith(("file:", "about:"))] == [] and wrong == []
        return page

    yield go
    assert getattr(page, "wrong", []) == []


@pytest.fixture(scope="module")
def kept() -> dict[str, dict]:
    """What the kept runs hold of the sample's questions, read without the explorer's code."""
    runs = {name: Run(ROOT / "results/sample" / folder) for name, folder in RUNS.items()}
    return {name: {"nbest": list(run.nbest()), "metrics": run.metrics["squad"]} for name, run in runs.items()}


@pytest.fixture(scope="module")
def sample() -> list:
    return load("squad", DATASETS["squad"], "validation", "sample").rows


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def write(file, items, **more):
    """A page of rows that are at hand."""
    answers = answers_json.of_items(items, "squad" if not items or not isinstance(items[0], Item) else "swag")
    file.write_text(page_of([answers_json.as_json(answers, compared=True, **more)], "Made"))
    return file


def at(kept: dict, sample: list, run: str, shift: float = 0.0) -> dict[str, str]:
    """{id: answer} of a kept run at its threshold and so much more, one question at a time."""
    contexts, found, threshold = {row.id: row.context for row in sample}, {}, kept[run]["metrics"]["threshold"] + shift
    for entry in kept[run]["nbest"]:
        start, end, best, _ = entry["nbest"][0]
        found[entry["id"]] = contexts[entry["id"]][start:end] if entry["null"] - best <= threshold else ""
    return found


def exact(said: str, row: QARow) -> bool:
    return " ".join(words_of(said)) in {" ".join(words_of(text)) for text in [text for _, text in row.answers] or [""]}


def ids(page: Page) -> list[str]:
    """Ids of the rows that are shown, in their order."""
    return page.evaluate("mtdnnExplorer.state.shown.map(i => mtdnnExplorer.state.data.rows.id[i])")


def add(page: Page, name: str) -> None:
    """Adds a filter."""
    page.get_by_role("button", name=FILTER).click()
    page.locator(f'.mx-popup [data-arg="{name}"]').click()
    page.keyboard.press("Escape")


def test_one_model_wrong_and_another_right_in_two_actions(opened, saved, kept, sample):
    page = opened(saved)
    page.get_by_role("button", name=FILTER).click()
    page.get_by_role("button", name=re.compile(r"^QA wrong, QA\+MCC\+SC right")).click()
    a, d = (at(kept, sample, name) for name in ("QA", "QA+MCC+SC"))
    wanted = {row.id for row in sample if not exact(a[row.id], row) and exact(d[row.id], row)}
    assert set(ids(page)) == wanted and len(wanted) > 5
    expect(page.locator(COUNT)).to_have_text(f"{len(wanted)} of 132")


def test_f1_with_all_thresholds_moved_by_two(opened, saved, kept, sample):
    page = opened(saved)
    page.get_by_role("tab", name="Threshold").click()
    page.get_by_label("Move all by").fill("2")
    page.keyboard.press("Enter")
    expect(page.locator(".mx-moved")).to_contain_text("thresholds moved")
    gold = [{"id": row.id, "answers": {"text": [text for _, text in row.answers]}} for row in sample]
    for row, name in zip(page.locator(".mx-table tbody tr").all(), RUNS, strict=True):
        said = at(kept, sample, name, 2.0)
        truth, cells = score(gold, said), row.locator("td").all_inner_texts()[1:]
        now = [float(cell.split(" ")[-1]) for cell in cells]
        wrong = sum(bool(said[r.id]) and not r.answers for r in sample), sum(not said[r.id] and bool(r.answers) for r in sample)
        assert now[:2] == pytest.approx([truth["em"], truth["f1"]], abs=0.0501) and now[2:] == list(wrong)
    shot(page, "explorer-page-threshold")
    page.get_by_role("tab", name="Compare").click()
    expect(page.locator(".mx-panel")).to_contain_text("No interval and no p at moved thresholds")
    page.locator(".mx-moved button").first.click()
    expect(page.locator(".mx-finding")).to_contain_text("p = ")


def test_em_and_f1_at_a_thousand_thresholds_are_pythons(page, kept):
    questions = pair(named(KEPT))
    columns, packed = of_questions(questions), answers_json.packed(answers_json.as_json(answers_json.of_items(questions)))
    thresholds = np.sort(np.random.default_rng(0).normal(0, 6, 1000))
    page.goto("about:blank")
    script = f"""{json.dumps(thresholds.tolist())}.map(t => kit.outcomesAt(task, task.runs.map(() => t)).map(out => {{
        const total = kit.tally(task, out)
        return [total.em, total.f1, total.falseAnswers, total.missed] }}))"""
    found = page.evaluate(WITH_STATE.replace("RETURN", script), [front.module(), b64(packed)])
    for threshold, made in zip(thresholds, found, strict=True):
        now = columns.at(np.full(4, threshold))
        wanted = [list(now.table(r).values()) for r in range(4)]
        assert np.abs(np.array(made) - wanted).max() < 1e-9


def test_every_filter_leaves_what_python_counts(opened, saved):
    page, questions = opened(saved), pair(named(KEPT))
    counted = page.evaluate("Object.fromEntries(mtdnnExplorer.state.filters.map(one => [one.name, one.mask.reduce((a, b) => a + b, 0)]))")
    assert counted.pop("favourites") == 0
    assert counted == {name: int(mask.sum()) for name, mask in filters.all_filters(questions).items()} and len(counted) > 60
    assert ids(page) == [questions[i].row.id for i in filters.first(questions)]
    page.get_by_role("button", name=FILTER).click()
    masks = filters.all_filters(questions)
    for button in (
        page.locator(".mx-popup fieldset").filter(has_not_text=re.compile("All models|Two models")).locator("[data-do=choose]").all()[:40]
    ):
        said, name = int(button.locator(".mx-dim").inner_text()), button.get_attribute("data-arg")
        assert said == (masks[name] & masks["answers differ"]).sum(), name


def test_search_finds_and_marks_in_any_case_and_clear_brings_the_start_back(opened, saved, sample):
    page = opened(saved)
    start = ids(page)
    page.get_by_role("button", name="answers differ").click()
    expect(page.locator(COUNT)).to_have_text("132 of 132")
    page.keyboard.press("/")
    page.keyboard.type("MOONS")
    wanted = {row.id for row in sample if "moons" in (row.question + row.context).lower()}
    expect(page.locator(COUNT)).to_have_text(f"{len(wanted)} of 132")
    assert set(ids(page)) == wanted
    assert {text.lower() for text in page.locator(".mx-main .mx-hit").all_inner_texts()} == {"moons"}
    page.get_by_role("button", name="Clear", exact=True).click()
    assert ids(page) == start and page.locator(".mx-search").input_value() == ""


def test_one_topic_is_one_click_away(opened, saved, sample):
    page = opened(saved)
    topic = page.locator("[data-do=topic]").inner_text()
    page.locator("[data-do=topic]").click()
    assert set(ids(page)) <= {row.id for row in sample if row.title == topic} and ids(page)


def test_why_two_models_differ_leads_to_the_questions(opened, saved):
    page, questions = opened(saved), pair(named(KEPT))
    page.get_by_role("tab", name="Compare two models").click()
    table = {row["score"]: row for row in differences.difference_table(questions, "QA", "QA+MCC+SC", ("EM", "F1", "span F1"))}
    for line in page.locator(".mx-table tbody tr").all():
        row, cells = table[line.locator("th").inner_text()], line.locator("td").all_inner_texts()
        numbers = [float(x.replace("−", "-")) for x in (*cells[:3], *cells[3].split(" to "))]
        keys = ("QA", "QA+MCC+SC", "difference", "low", "high")
        assert numbers == pytest.approx([row[key] for key in keys], abs=0.0501) and float(cells[4]) == pytest.approx(row["p"], rel=0.06)
    slices = differences.slice_table(questions, "QA", "QA+MCC+SC")
    assert [line.get_attribute("data-arg") for line in page.locator(".mx-forest").all()] == [f"{s['facet']}: {s['slice']}" for s in slices]
    first = page.locator(".mx-forest").first
    first.click()
    differ = filters.all_filters(questions)["QA and QA+MCC+SC differ"]
    assert set(ids(page)) == {questions[i].row.id for i in slices[0]["places"] if differ[i]}
    page.get_by_label("Model", exact=True).select_option("0")
    page.get_by_label("The model it is compared with").select_option("3")
    expect(page.locator(".mx-finding")).to_contain_text(f"F1: QA − QA+MCC+SC = {-table['F1']['difference']:+.3g}")


def test_three_favourites_are_sent_as_a_file_with_their_notes(opened, saved, tmp_path):
    page = opened(shutil.copy(saved, tmp_path / "mine.html"))  # a browser keeps notes by the file's name
    chosen = ids(page)[:3]
    page.locator(".mx-list").focus()
    for k in range(3):
        page.keyboard.press("s")
        if k == 0:
            page.locator(".mx-note input").fill("look </script> here")
            page.locator(".mx-list").focus()
        page.keyboard.press("j")
    page.get_by_role("button", name="Share").click()
    with page.expect_download() as sent:
        page.get_by_role("button", name="3 favourites").first.click()
    file = tmp_path / "sent.html"
    sent.value.save_as(file)
    other = opened(file)
    assert set(ids(other)) == set(chosen)
    notes = other.evaluate("Object.fromEntries(mtdnnExplorer.state.notes)")
    assert notes == {chosen[0]: "look </script> here", chosen[1]: "", chosen[2]: ""}
    other.get_by_role("tab", name="Compare two models").click()
    expect(other.locator(".mx-finding")).to_contain_text("132 items in 22 passages")


def test_notes_are_there_after_the_page_is_opened_again(opened, saved, tmp_path):
    page = opened(shutil.copy(saved, tmp_path / "mine.html"))
    page.locator(".mx-list").focus()
    page.keyboard.press("s")
    page.locator(".mx-note input").fill("again")
    page.locator(".mx-note input").press("Enter")
    page.reload()
    expect(page.locator(".mx-note input")).to_have_value("again")
    page.locator(".mx-list").focus()
    page.keyboard.press("s")
    page.reload()
    expect(page.locator("h2")).to_be_visible()
    expect(page.locator(".mx-note")).to_have_count(0)


def test_a_row_is_taken_along_as_csv_and_markdown(opened, saved, kept, sample, tmp_path):
    page = opened(saved)
    key = ids(page)[0]
    page.get_by_role("button", name="Share").click()
    with page.expect_download() as sent:
        page.get_by_role("button", name="Save as CSV").click()
    sent.value.save_as(tmp_path / "row.csv")
    rows = list(csv.DictReader((tmp_path / "row.csv").read_text().splitlines()))
    assert [(row["id"], row["run"], row["answer"]) for row in rows] == [(key, name, at(kept, sample, name)[key]) for name in RUNS]
    context = next(row.context for row in sample if row.id == key)
    assert all(context[int(row["start"]) : int(row["end"])] == row["answer"] for row in rows if row["answer"])


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_and_nothing_is_cut_off(opened, saved, theme):
    for width in (1440, 1000, 600):
        page = opened(saved, theme, width)
        shot(page, f"explorer-page-{theme}-{width}")
        assert overflow(page, width) == 0 and cut_off(page.locator("body")) == []
    page = opened(saved, theme)
    page.locator(".mx-search").fill("nothing has this")
    assert audit(page.locator("html")) == []
    page.locator(".mx-search").fill("")
    page.locator(".mx-list").evaluate("box => (box.scrollTop = 1500)")
    for name in ("Alternatives", "Threshold", "Compare two models"):
        page.get_by_role("tab", name=name).click()
        assert audit(page.locator("html")) == []
    for name in (FILTER, "Share", "Keys and signs"):
        page.get_by_role("button", name=name).click()
        assert audit(page.locator("html")) == []
        shot(page, f"explorer-page-{theme}-{name.strip('+ ').lower().replace(' ', '-')}")
        page.keyboard.press("Escape")


def test_the_keyboard_alone_is_enough_and_the_focus_is_never_lost(opened, saved):
    page = opened(saved)
    heading, keyboard = page.locator("h2"), page.keyboard
    tab_to(page.locator(".mx-list"))
    first = heading.inner_text()
    for keys, back in (("j", "k"), ("ArrowDown", "ArrowUp")):
        keyboard.press(keys)
        expect(heading).not_to_have_text(first)
        keyboard.press(back)
        expect(heading).to_have_text(first)
    keyboard.press("End")
    last = heading.inner_text()
    assert page.locator(".mx-row[aria-selected=true]").get_attribute("aria-posinset") == "49"
    keyboard.press("[")
    expect(heading).to_have_text(first)
    keyboard.press("]")
    expect(heading).to_have_text(last)
    keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("save as a favourite")
    keyboard.press("Escape")
    tab_to(page.get_by_role("tab", name="Alternatives"))
    for _ in range(3):
        keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Threshold")).to_be_focused()
    handle = page.get_by_role("slider", name="Threshold of A QA", exact=True)
    tab_to(handle)
    before = float(handle.get_attribute("aria-valuenow"))
    keyboard.press("PageUp")
    keyboard.press("ArrowRight")
    expect(handle).to_be_focused()
    assert float(handle.get_attribute("aria-valuenow")) == pytest.approx(before + 1.1, abs=0.011)
    tab_to(page.get_by_role("button", name=re.compile("^answers differ")))
    keyboard.press("Enter")
    assert page.evaluate("document.activeElement.closest('.mtdnn-explorer') !== null"), "the chip is gone, the focus is not"


def test_what_was_moved_or_typed_never_looks_like_what_was_not(opened, saved):
    """What a newcomer stumbled over: each of these once showed something of before."""
    page = opened(saved)
    page.get_by_role("tab", name="Threshold").click()
    field, every = page.locator("input[aria-label='Threshold of A QA']"), page.get_by_label("Move all by")
    before = field.input_value()
    for nonsense in ("", "1e999"):
        field.fill(nonsense)
        field.press("Enter")
        expect(field).to_have_value(before)
    every.fill("2")
    every.press("Enter")
    page.get_by_role("tab", name="Why this answer").click()
    page.get_by_role("button", name="thresholds moved · reset").click()
    page.get_by_role("tab", name="Threshold").click()
    expect(every).to_have_value("0")
    page.get_by_role("button", name=FILTER).click()
    page.locator(".mx-search").click()
    page.keyboard.type("sea")
    expect(page.locator(".mx-search")).to_have_value("sea")
    expect(page.locator(".mx-popup")).to_have_count(0)
    page.locator(".mx-search").fill("zzzz")
    page.locator(".mx-list").focus()
    for key in "sejk[r":
        page.keyboard.press(key)
    page.get_by_role("button", name="Clear", exact=True).click()
    page.keyboard.press("s")
    page.locator(".mx-note input").fill("kept")
    page.locator(".mx-list").focus()
    page.keyboard.press("s")
    page.keyboard.press("s")
    expect(page.locator(".mx-note input")).to_have_value("kept")


def test_a_link_opens_its_question_whatever_else_is_there(opened, saved, sample, tmp_path):
    file = shutil.copy(saved, tmp_path / "linked.html")
    page, key = opened(file), sample[40].id
    page.goto(f"{file.as_uri()}#squad/{key}")
    expect(page.locator(".mx-id")).to_have_text(key)
    page.goto(f"{file.as_uri()}#%E0%A4%A")
    page.reload()
    expect(page.locator("h2")).to_be_visible()


def test_a_handle_is_drawn(opened, saved):
    page = opened(saved)
    page.get_by_role("tab", name="Threshold").click()
    handle = page.get_by_role("slider", name="Threshold of B QA+MCC", exact=True)
    handle.scroll_into_view_if_needed()
    box = handle.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    before = float(handle.get_attribute("aria-valuenow"))
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 120, y, steps=4)
    page.mouse.up()
    after = float(handle.get_attribute("aria-valuenow"))
    frame = page.evaluate("mtdnnExplorer.state.frame")
    width = page.locator("[data-figure=threshold]").bounding_box()["width"]
    assert after == pytest.approx(before - 120 / width * 640 / (640 - 44 - 24) * (frame["high"] - frame["low"]), abs=0.3)


def test_hostile_rows_are_text(opened, tmp_path):
    items = [
        question(name + EVIL, (0, min(9, len(text))), None, answers=((len(text) - 3, text[-3:]),), title="A" + EVIL, context=text)
        for name, text in ODD.items()
    ]
    page = opened(write(tmp_path / "odd.html", items))
    assert page.evaluate("window.pwned") is None
    page.get_by_role("button", name="answers differ").click()
    for name, text in ODD.items():
        page.evaluate("id => { const s = mtdnnExplorer; s.state.open = s.state.data.places.get(id); s.show() }", name + EVIL)
        expect(page.locator(".mx-id")).to_have_text(name + EVIL)
        shown = "".join(page.locator(".mx-passage").evaluate(TEXT_OF))
        assert shown == text, name
        assert page.locator(".mx-passage .mx-gold").last.inner_text() == text[-3:] and cut_off(page.locator("body")) == []
        assert page.locator(".mx-answer").first.inner_text() == text[:9].strip() or name in ("right to left", "half a surrogate")
    assert page.locator(".mtdnn-explorer script, .mtdnn-explorer img").count() == 0 and page.evaluate("window.pwned") is None


def test_texts_stay_text_in_what_is_taken_along(page, tmp_path):
    marks = "<b>x</b> a_b_ *c* `d` [e](f) | $g$ ~h~ # i \\ & www.j.k"
    row = question("q", (0, 3), context=marks, title=marks)
    row = replace(
        row, row=row.row._replace(question=marks), replies={marks: row.replies["model 0"], 'a "quoted", name': row.replies["model 0"]}
    )
    packed = answers_json.packed(answers_json.as_json(answers_json.of_items([row])))
    page.goto("about:blank")
    markdown, table = page.evaluate(
        WITH_STATE.replace("RETURN", "[kit.markdown(state, 0), kit.csv(state, [0])]"), [front.module(), b64(packed)]
    )
    html = mistune.create_markdown(escape=False, plugins=["table", "strikethrough", "math", "url"])(markdown)
    assert set(re.findall(r"<(\w+)", html)) <= {"table", "thead", "tbody", "tr", "th", "td", "p", "strong", "blockquote"}
    assert unescape(html).count(marks.replace("\\ &", "\\ &")) >= 3
    lines = list(csv.DictReader(io.StringIO(table, newline="")))
    assert [line["run"] for line in lines] == [marks, 'a "quoted", name'] and lines[0]["answer"] == marks[:3]


def test_the_policy_lets_nothing_else_run(page, saved, tmp_path):
    file, planted = tmp_path / "planted.html", "<script>window.pwned=1</script><img src=x onerror='window.pwned=1'>"
    file.write_text(saved.read_text().replace('<body class="mx-page">', f'<body class="mx-page">{planted}', 1))
    page.goto(file.as_uri())
    expect(page.locator(".mtdnn-explorer h2")).to_be_visible()
    assert page.evaluate("window.pwned") is None


def test_other_tasks_are_shown_with_their_labels(opened, tmp_path):
    choices = ("one", "two", "three", "four")
    items = [
        Item(
            MCCRow(i, f"Text {i}", "It begins", choices, i % 4),
            {"X": Choice(i % 4, tuple(0.7 if k == i % 4 else 0.1 for k in range(4))), "Y": Choice(0, (0.7, 0.1, 0.1, 0.1))},
            choices,
        )
        for i in range(8)
    ]
    page = opened(write(tmp_path / "swag.html", items))
    expect(page.locator(COUNT)).to_have_text("6 of 8")
    assert page.locator(".mx-labels li").all_inner_texts()[1].startswith("two")
    expect(page.locator(".mx-card .mx-verdict").first).to_contain_text("right")
    expect(page.locator(".mx-card .mx-verdict").last).to_contain_text("wrong")
    add(page, "right ending: 3")
    assert ids(page) == [2, 6]


def test_answers_without_nbest_have_no_threshold_to_move(opened, tmp_path):
    items = [
        replace(q, replies={n: replace(r, diff=None, best=[], nothing=None, threshold=None) for n, r in q.replies.items()})
        for q in QUESTIONS
    ]
    page = opened(write(tmp_path / "texts.html", items))
    expect(page.locator(".mx-card").first).to_contain_text("it keeps no n-best")
    page.get_by_role("tab", name="Threshold").click()
    expect(page.locator(".mx-panel")).to_contain_text("cannot be moved")


def test_a_file_holds_no_path_of_the_machine(saved):
    text = saved.read_text()
    blocks = re.findall(r'data-task="(\w+)">([^<]*)<', text)
    whole = text + "".join(gzip.decompress(base64.b64decode(data)).decode() for _, data in blocks)
    assert [task for task, _ in blocks] == ["squad"] and json.loads(gzip.decompress(base64.b64decode(blocks[0][1])))["whole"] == 132
    assert str(ROOT) not in whole and "/home" not in whole and "/tmp" not in whole
