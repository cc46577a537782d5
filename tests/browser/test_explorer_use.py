"""The explorer as a file: by keyboard only, in both themes; the page never shows a stale value for what was moved or typed."""

import re

import pytest
from playwright.sync_api import expect

from browser.explored import FILTER
from browser.looks import audit, cut_off, overflow, shot, tab_to


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious_and_nothing_is_cut_off(opened, saved, theme):
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
    for name in (FILTER, "Share", "Keyboard shortcuts and symbols"):
        page.get_by_role("button", name=name).click()
        assert audit(page.locator("html")) == []
        shot(page, f"explorer-page-{theme}-{name.strip('+ ').lower().replace(' ', '-')}")
        page.keyboard.press("Escape")


def test_the_keyboard_is_enough_and_the_focus_is_never_lost(opened, saved):
    page = opened(saved)
    heading, keyboard = page.locator("h2"), page.keyboard
    first = heading.inner_text()
    for key in "jk":  # nothing has the focus in a page that was just opened
        assert page.evaluate("document.activeElement === document.body")
        keyboard.press(key)
        expect(heading).not_to_have_text(first) if key == "j" else expect(heading).to_have_text(first)
    tab_to(page.locator(".mx-list"))
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
    page.get_by_role("button", name=FILTER).click()
    keyboard.press("k")
    expect(heading).to_have_text(last)  # keys do nothing while a popup is open
    keyboard.press("Escape")
    tab_to(page.locator(".mx-list"))
    keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("save as a favourite")
    keyboard.press("Tab")
    expect(page.get_by_role("dialog")).to_have_count(0)  # it would cover what has the focus
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
    assert page.evaluate("document.activeElement.closest('.mtdnn-explorer') !== null"), "the chip is gone, the focus stays in the explorer"


def test_a_browser_that_stores_nothing_says_so(opened, saved):
    page = opened(saved)
    page.evaluate("() => { Storage.prototype.setItem = () => { throw new Error('blocked') } }")
    page.get_by_role("button", name="☆ Save").click()
    expect(page.get_by_role("button", name="★ Saved")).to_be_visible()
    expect(page.get_by_text("this browser stores no favourites: share them as a page, or they are lost")).to_be_visible()


def test_an_error_of_an_export_is_not_behind_its_menu(opened, saved):
    page = opened(saved)
    page.evaluate("() => { URL.createObjectURL = () => { throw new Error('the disk is full') } }")
    page.get_by_role("button", name="Share").click()
    page.get_by_role("button", name=re.compile("^all ")).first.click()
    expect(page.get_by_text("the disk is full")).to_be_visible()
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_no_stale_value_is_shown(opened, saved):
    """Found by new users: each of these once showed a stale value."""
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
    page.get_by_role("button", name="Reset filters").click()
    page.keyboard.press("s")
    page.locator(".mx-note input").fill("kept")
    page.locator(".mx-list").focus()
    page.keyboard.press("s")
    page.keyboard.press("s")
    expect(page.locator(".mx-note input")).to_have_value("kept")
    page.keyboard.press("s")  # the browser would keep it for other tests


def test_a_handle_can_be_dragged(opened, saved):
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


def test_handles_of_equal_thresholds_do_not_overlap(opened, saved):
    page = opened(saved)
    page.get_by_role("tab", name="Threshold").click()
    for field in page.locator("input[data-change=threshold]").all():
        field.fill("4")
        field.press("Tab")
    for handle in page.get_by_role("slider").all():
        expect(handle).to_have_attribute("aria-valuenow", "4.00")
    boxes = [handle.bounding_box() for handle in page.get_by_role("slider").all()]
    assert len(boxes) == 4
    for k, one in enumerate(boxes):
        for two in boxes[:k]:
            assert max(abs(one["x"] - two["x"]) - one["width"], abs(one["y"] - two["y"]) - one["height"]) >= 0
