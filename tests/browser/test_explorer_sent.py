"""The explorer as a file: sharing and exporting rows; texts stay text, whatever they contain."""

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
from answers import question
from conftest import ROOT
from playwright.sync_api import expect

from browser.explored import EVIL, ODD, RUNS, TEXT_OF, WITH_STATE, at, b64, ids, write
from browser.looks import cut_off
from mtdnn_kit.explorer import answers_json, front


def test_three_favourites_are_shared_as_a_file_with_their_notes(opened, saved, tmp_path):
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


def test_notes_survive_a_reload(opened, saved, tmp_path):
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


def test_a_shared_page_opens_at_the_moved_thresholds(opened, saved, tmp_path):
    page = opened(saved)
    page.get_by_role("tab", name="Threshold").click()
    fields = page.locator("input[data-change=threshold]")
    tuned = [field.input_value() for field in fields.all()]
    fields.first.fill("4")
    fields.first.press("Tab")
    page.get_by_role("button", name="Share").click()
    with page.expect_download() as sent:
        page.locator(".mx-popup [data-do=page][data-arg=filter]").click()
    sent.value.save_as(tmp_path / "shared.html")
    assert sent.value.suggested_filename == "squad-answers-differ.html"
    page = opened(tmp_path / "shared.html")
    assert page.title() == "Answers of QA, QA+MCC, QA+SC, QA+MCC+SC to squad: answers differ"
    expect(page.locator(".mx-bar .mx-moved, .mx-moved").first).to_contain_text("thresholds moved")
    page.get_by_role("tab", name="Threshold").click()
    assert [field.input_value() for field in fields.all()] == ["4", *tuned[1:]]
    page.locator(".mx-moved button").first.click()
    assert [field.input_value() for field in fields.all()] == tuned


def test_a_row_is_exported_as_csv(opened, saved, kept, sample, tmp_path):
    page = opened(saved)
    key = ids(page)[0]
    page.get_by_role("button", name="Share").click()
    with page.expect_download() as sent:
        page.get_by_role("button", name="Save as CSV").click()
    assert sent.value.suggested_filename == f"squad-{key}.csv"
    sent.value.save_as(tmp_path / "row.csv")
    rows = list(csv.DictReader((tmp_path / "row.csv").read_text().splitlines()))
    assert [(row["id"], row["run"], row["answer"]) for row in rows] == [(key, name, at(kept, sample, name)[key]) for name in RUNS]
    context = next(row.context for row in sample if row.id == key)
    assert all(context[int(row["start"]) : int(row["end"])] == row["answer"] for row in rows if row["answer"])


def test_a_link_opens_its_question_and_a_malformed_one_does_no_harm(opened, saved, sample, tmp_path):
    file = shutil.copy(saved, tmp_path / "linked.html")
    page, key = opened(file), sample[40].id
    page.goto(f"{file.as_uri()}#squad/{key}")
    expect(page.locator(".mx-id")).to_have_text(key)
    page.goto(f"{file.as_uri()}#%E0%A4%A")
    page.reload()
    expect(page.locator("h2")).to_be_visible()


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


def test_texts_stay_text_in_exported_rows(page, tmp_path):
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
    assert unescape(html).count(marks) >= 3
    lines = list(csv.DictReader(io.StringIO(table, newline="")))
    assert [line["run"] for line in lines] == [marks, 'a "quoted", name'] and lines[0]["answer"] == marks[:3]


def test_the_content_security_policy_blocks_other_scripts(page, saved, tmp_path):
    file, planted = tmp_path / "planted.html", "<script>window.pwned=1</script><img src=x onerror='window.pwned=1'>"
    file.write_text(saved.read_text().replace('<body class="mx-page">', f'<body class="mx-page">{planted}', 1))
    page.goto(file.as_uri())
    expect(page.locator(".mtdnn-explorer h2")).to_be_visible()
    assert page.evaluate("window.pwned") is None


def test_a_file_contains_no_path_of_the_machine(saved):
    text = saved.read_text()
    blocks = re.findall(r'data-task="(\w+)">([^<]*)<', text)
    whole = text + "".join(gzip.decompress(base64.b64decode(data)).decode() for _, data in blocks)
    assert [task for task, _ in blocks] == ["squad"] and json.loads(gzip.decompress(base64.b64decode(blocks[0][1])))["whole"] == 132
    assert str(ROOT) not in whole and "/home" not in whole and "/tmp" not in whole
