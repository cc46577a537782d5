"""The explorer as a file, opened from disk in a real browser without network: filters and figures; every number equals Python's."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from answers import QUESTIONS, question
from playwright.sync_api import expect
from scorer import score

from browser.explored import COUNT, FILTER, KEPT, RUNS, TEXT_OF, WITH_STATE, add, at, b64, exact, ids, write
from browser.looks import shot
from mtdnn_kit.compare import differences, named, of_questions, pair
from mtdnn_kit.compare.choices import Choice, Item
from mtdnn_kit.data.rows import MCCRow
from mtdnn_kit.explorer import answers_json, filters, front


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


def test_em_and_f1_at_a_thousand_thresholds_equal_pythons(page, kept):
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


def test_tokens_that_share_a_letter_are_shown_once(page):
    """The default encoder's tokenizer splits Hangul into parts of letters; byte-level ones split emoji."""
    passage, tokens = (
        "The 🦊 of (서울)",
        [[0, 3, 0.9, 0], [4, 5, 0.2, 0.1], [4, 5, 0.1, 0.6], [10, 11, 0, 0], [10, 11, 0, 0.5], [11, 12, 0, 0]],
    )
    packed = answers_json.packed(answers_json.as_json(answers_json.of_items(pair(named(KEPT[:1])))))
    page.goto("about:blank")
    script = f"kit.heat({json.dumps(passage)}, {json.dumps(tokens)}, 0).map(one => one.title ? [one.textContent, one.title] : [one, ''])"
    found = page.evaluate(WITH_STATE.replace("RETURN", script), [front.module(), b64(packed)])
    assert "".join(text for text, _ in found) == passage
    assert [one for one in found if one[1]] == [
        ["The", "starts 0.90, ends 0.00"], ["🦊", "starts 0.20, ends 0.60"], ["서", "starts 0.00, ends 0.50"],
    ]  # fmt: skip


def test_a_printed_page_has_the_open_question_whole(opened, saved):
    page = opened(saved)
    page.emulate_media(media="print")
    expect(page.locator(".mx-list")).to_be_hidden()
    assert page.locator(".mx-main").evaluate("main => main.scrollHeight <= main.clientHeight + 1 && main.clientHeight > 200")
    shot(page, "explorer-page-print")


def test_every_filter_keeps_as_many_rows_as_python_counts(opened, saved):
    page, questions = opened(saved), pair(named(KEPT))
    counted = page.evaluate("Object.fromEntries(mtdnnExplorer.state.filters.map(one => [one.name, one.mask.reduce((a, b) => a + b, 0)]))")
    assert counted.pop("favourites") == 0
    assert counted == {name: int(mask.sum()) for name, mask in filters.all_filters(questions).items()} and len(counted) > 60
    assert ids(page) == [questions[i].row.id for i in filters.first(questions)]
    page.get_by_role("button", name=FILTER).click()
    masks = filters.all_filters(questions)
    groups = page.locator(".mx-popup fieldset").filter(has_not_text=re.compile("All models|Two models"))
    buttons = groups.locator("[data-do=choose]").all()[:40]
    assert len(buttons) > 20
    for button in buttons:
        said, name = int(button.locator(".mx-dim").inner_text()), button.get_attribute("data-arg")
        assert said == (masks[name] & masks["answers differ"]).sum(), name


def test_search_ignores_case_and_marks_hits_and_clear_restores_the_start(opened, saved, sample):
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
    page.get_by_role("button", name="Reset filters").click()
    assert ids(page) == start and page.locator(".mx-search").input_value() == ""


def test_a_hit_that_crosses_the_edges_of_answers_is_marked(opened, tmp_path):
    text = "🌍 The cat sat, and the CAT SAT again."
    page = opened(write(tmp_path / "cat.html", [question("q", (6, 13), (2, 9), answers=((6, "cat"),), context=text)]))
    page.locator(".mx-search").fill("e cat s")
    pieces = page.locator(".mx-passage .mx-hit").all_inner_texts()
    assert "".join(pieces) == "e cat se CAT S" and len(pieces) == 4, "the first is cut at the answers' edges"
    assert "".join(page.locator(".mx-passage").evaluate(TEXT_OF)) == text
    page.locator(".mx-search").fill("dog")
    expect(page.locator(".mx-main")).to_contain_text("No question passes these filters.")


def test_one_run_has_nothing_to_be_compared_with(opened, tmp_path):
    page = opened(write(tmp_path / "one.html", [question("q", (0, 3))]))
    assert page.get_by_role("tab").all_inner_texts()[-1].startswith("Threshold")


def test_one_topic_is_one_click_away(opened, saved, sample):
    page = opened(saved)
    topic = page.locator("[data-do=topic]").inner_text()
    start, own = ids(page), {row.id for row in sample if row.title.replace("_", " ") == topic}
    page.locator("[data-do=topic]").click()
    assert ids(page) == [key for key in start if key in own]


def test_a_slice_of_the_comparison_leads_to_its_questions(opened, saved):
    page, questions = opened(saved), pair(named(KEPT))
    page.get_by_role("tab", name="Compare two models").click()
    table = {row["score"]: row for row in differences.difference_table(questions, "QA", "QA+MCC+SC", ("EM", "F1", "span F1"))}
    lines = {line.locator("th").inner_text(): line for line in page.locator(".mx-table tbody tr").all()}
    assert lines.keys() == table.keys()
    for name, line in lines.items():
        row, cells = table[name], line.locator("td").all_inner_texts()
        numbers = [float(x.replace("−", "-")) for x in (*cells[:3], *cells[3].split(" to "))]
        keys = ("QA", "QA+MCC+SC", "difference", "low", "high")
        assert numbers == pytest.approx([row[key] for key in keys], abs=0.0501) and float(cells[4]) == pytest.approx(row["p"], rel=0.06)
    slices = differences.slice_table(questions, "QA", "QA+MCC+SC")
    assert [line.get_attribute("data-arg") for line in page.locator("button.mx-forest").all()] == [
        f"{s['facet']}: {s['slice']}" for s in slices
    ]
    most = max(60, *(abs(s["difference"]) for s in slices))
    beyond = [s["slice"] for s in slices if s["high"] is not None and s["high"] > most]
    assert beyond and page.locator(".mx-forest:has(.mx-cut-high)").count() == len(beyond), "an arrow where an interval is cut off"
    first = page.locator("button.mx-forest").first
    first.click()
    differ = filters.all_filters(questions)["QA and QA+MCC+SC differ"]
    assert set(ids(page)) == {questions[i].row.id for i in slices[0]["places"] if differ[i]}
    page.get_by_label("Model", exact=True).select_option("0")
    page.get_by_label("The model it is compared with").select_option("3")
    expect(page.locator(".mx-finding")).to_contain_text(f"F1: QA − QA+MCC+SC = {-table['F1']['difference']:+.3g}")


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
    page.locator(".mx-search").fill("two")
    expect(page.locator(COUNT)).to_have_text("2 of 8")  # right or predicted, not every row that has this label to choose
    page.locator(".mx-search").fill("")
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
    expect(page.locator(".mx-card").first).to_contain_text("no n-best list")
    page.get_by_role("tab", name="Threshold").click()
    expect(page.locator(".mx-panel")).to_contain_text("cannot be moved")
    article = [replace(q, replies={n: replace(r, text="the") for n, r in q.replies.items()}) for q in items]
    card = opened(write(tmp_path / "article.html", article)).locator(".mx-card").first
    expect(card.locator(".mx-answer")).to_have_text(re.compile("^the"))  # scoring drops articles, but it is an answer
