"""Shared by the tests of the explorer as a file: the kept runs, odd passages, and user actions on the page."""

import base64

from conftest import ROOT
from playwright.sync_api import Page
from scorer import words_of

from mtdnn_kit.compare.choices import Item
from mtdnn_kit.data.rows import QARow
from mtdnn_kit.explorer import answers_json
from mtdnn_kit.explorer.page import page as page_of

RUNS = {"QA": "qa", "QA+MCC": "qa-mcc", "QA+SC": "qa-sc", "QA+MCC+SC": "qa-mcc-sc"}  # the kept ones, below results/sample
KEPT = [str(ROOT / "results/sample" / name) for name in RUNS.values()]
FILTER, COUNT = "+ Filter", ".mx-bar [role=status]"
EVIL = '<script>window.pwned=1</script></script><img src=x onerror="window.pwned=1">'
WITH_STATE = """async ([source, data]) => {
    const text = source + "export { begin, heat, markdown, csv, outcomesAt, tally, unpack };"
    const kit = await import(URL.createObjectURL(new Blob([text], {type: "text/javascript"})))
    const task = await kit.unpack(Uint8Array.from(atob(data), one => one.charCodeAt(0)))
    Object.assign(task, {missed: task.kinds.indexOf("missed"), correct: 0})
    const state = kit.begin(task, {})
    return RETURN }"""
TEXT_OF = """node => { const texts = document.createTreeWalker(node, NodeFilter.SHOW_TEXT), found = []
    while (texts.nextNode()) if (!texts.currentNode.parentElement.closest('.mx-tags')) found.push(texts.currentNode.data)
    return found }"""
ODD = {  # odd passages
    "evil": EVIL + " and more",
    "long word": "W" * 3000 + " end",
    "emoji": "👩‍🚀🇩🇪 flew 🌍 twice. " * 20,
    "right to left": "\u202eback\u202c " + "القمر يدور حول الأرض. " * 20 + "הירח",
    "25,000 characters": ("The moon goes round. " * 1250)[:25_000],
    "half a surrogate": "half \ud83d and whole 🌍 end",
}


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def write(file, items, **more):
    """Writes an explorer page of these rows."""
    answers = answers_json.of_items(items, "squad" if not items or not isinstance(items[0], Item) else "swag")
    file.write_text(page_of([answers_json.as_json(answers, compared=True, **more)], "Made"))
    return file


def at(kept: dict, sample: list, run: str, shift: float = 0.0) -> dict[str, str]:
    """{id: answer} of a kept run at its threshold plus `shift`, computed one question at a time."""
    contexts, found, threshold = {row.id: row.context for row in sample}, {}, kept[run]["metrics"]["threshold"] + shift
    for entry in kept[run]["nbest"]:
        start, end, best, _ = entry["nbest"][0]
        found[entry["id"]] = contexts[entry["id"]][start:end] if entry["null"] - best <= threshold else ""
    return found


def exact(said: str, row: QARow) -> bool:
    return " ".join(words_of(said)) in {" ".join(words_of(text)) for text in [text for _, text in row.answers] or [""]}


def ids(page: Page) -> list[str]:
    """Ids of the shown rows, in order."""
    return page.evaluate("mtdnnExplorer.state.shown.map(i => mtdnnExplorer.state.data.rows.id[i])")


def add(page: Page, name: str) -> None:
    """Adds a filter."""
    page.get_by_role("button", name=FILTER).click()
    page.locator(f'.mx-popup [data-arg="{name}"]').click()
    page.keyboard.press("Escape")
