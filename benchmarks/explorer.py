"""What the explorer costs: the size of its page, the time to open it, and the time of a click, for runs with random answers.

    .venv/bin/python benchmarks/explorer.py [--data FOLDER] [--runs 4] [--repeats 50]

Run folders are written with 20 n-best entries per question (random spans and scores; half of the best spans are right), saved as a page
and opened from disk in Chromium. A click is measured until its frame has been drawn: the median of --repeats, in milliseconds. Before that,
in a separate process: seconds from the first import to the widget of the kept sample runs.
"""

import argparse
import gzip
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import yaml
from machine import heading
from playwright.sync_api import Page, sync_playwright

from mtdnn_kit import explore
from mtdnn_kit.data.registry import DATASETS
from mtdnn_kit.data.sources import load

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
KEPT = [f"results/sample/{name}" for name in ("qa", "qa-mcc", "qa-sc", "qa-mcc-sc")]
FIRST = f"""
import sys, time
began = time.perf_counter()
from mtdnn_kit import explore
explore({KEPT}, live=True)
print(time.perf_counter() - began, "torch" in sys.modules)"""
CLICKS = {  # the actions, each from the state that the previous one left
    "next": "app.root.querySelector('[data-do=step][data-arg=\"1\"]').click()",
    "filter": "app.root.querySelector('[data-key=stars]').parentNode.querySelector('[data-do=choose]').click()",
    "search": "(box => { box.value = ['century', 'war', 'the', ''][turn % 4]; box.dispatchEvent(new Event('input', {bubbles: true})) })"
    "(app.root.querySelector('.mx-search'))",
    "filters": "app.root.querySelector('[data-do=popup][data-arg=filter]').click()",
    "threshold": "(box => { box.value = turn / 7; box.dispatchEvent(new Event('change', {bubbles: true})) })"
    "(app.root.querySelector('[data-change=threshold]'))",
    "sort": "app.root.querySelector('[data-do=popup][data-arg=sort]').click(); await null; await null;"
    "app.root.querySelectorAll('[data-do=sort]')[turn % 5].click()",
}


def write_run(folder: Path, rows, number: int, data: str) -> None:
    """A run folder like a training's, but without the model and the log."""
    rng, lines = np.random.default_rng(number), []
    for row in rows.rows:
        words = [i for i in range(len(row.context)) if i == 0 or row.context[i - 1] == " "]
        spans = {(a, min(a + int(rng.integers(3, 40)), len(row.context))) for a in rng.choice(words, 30).tolist()}
        gold = [(a, a + len(text)) for a, text in row.answers[:1] if rng.random() < 0.5]
        spans = [*gold, *sorted(spans - set(gold))][:20]
        scores = np.sort(rng.normal(0, 3, len(spans)))[::-1]
        null = float(rng.normal(0, 3))
        p = np.exp(np.append(scores, null))
        p /= p.sum()
        best = [[*span, float(score), round(float(q), 6)] for span, score, q in zip(spans, scores, p, strict=False)]
        lines.append(json.dumps({"id": row.id, "null": null, "nothing": round(float(p[-1]), 6), "windows": 1, "nbest": best}))
    (folder / "predictions").mkdir(parents=True)
    (folder / "predictions/squad_nbest.jsonl.gz").write_bytes(gzip.compress("\n".join(lines).encode() + b"\n"))
    (folder / "config.yaml").write_text(yaml.safe_dump({"data": data, "tasks": ["squad"], "qa_weight": 1.0, "run_dir": str(folder)}))
    (folder / "metrics.json").write_text(json.dumps({"squad": {"threshold": 0.0, "span_f1": 0.0, "n": len(rows)}}))
    sources = {"squad/validation": {"origin": rows.origin, "fingerprint": rows.fingerprint}}
    (folder / "manifest.json").write_text(json.dumps({"status": "finished", "data": sources}))


def clicks(page: Page, repeats: int) -> None:
    """Prints the time of each of CLICKS."""
    page.evaluate("window.app = mtdnnExplorer")
    for name, does in CLICKS.items():
        if name == "threshold":
            page.click("[data-do=tab][data-arg=threshold]")
        script = f"""async (turn) => {{
            const began = performance.now();
            {does};
            await new Promise(requestAnimationFrame);  // before the frame with the change is drawn
            await new Promise(drawn => setTimeout(drawn));  // after it
            return performance.now() - began }}"""
        times = [page.evaluate(script, turn) for turn in range(repeats)]
        print(f"{name}: {statistics.median(times):.0f} ms (longest {max(times):.0f})")


def main() -> None:
    """Prints the seconds to the widget, the page's size, the seconds to open it, and milliseconds per click."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default=os.environ.get("MTDNN_DATA", "sample"), help="a folder of squad/validation.jsonl.gz")
    parser.add_argument("--runs", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=50)
    given = parser.parse_args()
    firsts = [subprocess.run([sys.executable, "-c", FIRST], capture_output=True, text=True, check=True).stdout.split() for _ in range(5)]
    print(f"import to widget: {statistics.median(float(first) for first, _ in firsts):.2f} s; torch imported: {firsts[0][1]}")
    rows = load("squad", DATASETS["squad"], "validation", given.data)
    print(f"{rows.origin}: {len(rows):,} questions, {given.runs} runs; {heading()}")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        for i in range(given.runs):
            write_run(Path(folder, f"run-{i}"), rows, i, given.data)
        began = time.perf_counter()
        explorer = explore([f"{folder}/run-{i}" for i in range(given.runs)], data=given.data, live=False)
        read = time.perf_counter() - began
        file = explorer.save(f"{folder}/answers.html")
        print(f"read in {read:.1f} s, saved in {time.perf_counter() - began - read:.1f} s: {file.stat().st_size / 1e6:.1f} MB")
        browser = next(filter(None, map(shutil.which, BROWSERS)), None)
        if not browser:
            return print(f"no browser: none of {', '.join(BROWSERS)} is in PATH, so nothing is opened and clicked")
        page = playwright.chromium.launch(executable_path=browser).new_page()
        page.goto(file.as_uri())
        page.wait_for_selector(".mtdnn-explorer h2")
        print(f"opened in {page.evaluate('performance.now()') / 1000:.2f} s")
        clicks(page, given.repeats)


if __name__ == "__main__":
    main()
