"""Makes the README's pictures of the explorer from the kept runs of the sample: `.venv/bin/python tests/pictures.py` (needs Chromium).

Both have twice the page's resolution; a palette of 64 colours keeps each below 150 kB. All text in them is from the packaged sample.
"""

import io
import os
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from mtdnn_kit import explore

ROOT = Path(__file__).parents[1]
RUNS = [ROOT / "results" / "sample" / name for name in ("qa", "qa-mcc", "qa-sc", "qa-mcc-sc")]
SIZE = {"width": 1080, "height": 560}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as browsers:
        page = explore(RUNS).save(Path(folder, "answers.html"))
        path = os.environ.get("CHROMIUM", "/usr/bin/chromium")
        browser = browsers.chromium.launch(executable_path=path, args=["--no-sandbox"])
        for theme in ("light", "dark"):
            shown = browser.new_page(viewport=SIZE, device_scale_factor=2, color_scheme=theme)
            shown.goto(Path(page).as_uri())
            shown.get_by_text("accepted answer").first.wait_for()
            picture = Image.open(io.BytesIO(shown.screenshot())).convert("RGB")
            few = picture.quantize(64, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
            few.save(ROOT / "docs" / "images" / f"explorer-{theme}.png", optimize=True)


if __name__ == "__main__":
    main()
