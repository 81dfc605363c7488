"""Draws debugger.webp, the moving picture of the debugger's page: python docs/images/debugger.py

It needs Playwright and a Chromium (pip install '.[browser]').
"""

from __future__ import annotations

import io
import os
import shutil
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

import tinygrad_rnn as tg
import viz
from tinygrad_rnn.character_model.model import LectureModel

TARGET = Path(__file__).with_suffix(".webp")
#: The forward pass, the loss, and then the last cell in full, and the way through the others.
STEPS = (-60, 0, 1, 4, 5, 7, 9, 14, 19, 27, 29, 39, 59, 84)
SIZE = {"width": 1240, "height": 830}


def frames(page: Path) -> list[Image.Image]:
    """What a Chromium shows at each of the steps."""
    with sync_playwright() as driver:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=arguments)
        tab = browser.new_context(viewport=SIZE, color_scheme="light", reduced_motion="reduce").new_page()
        tab.goto(page.as_uri())
        shots = []
        for k in STEPS:
            tab.evaluate(f"go({k}, 'one step on')")
            shots.append(Image.open(io.BytesIO(tab.screenshot())).convert("RGB"))
        browser.close()
    return shots


def main() -> None:
    """Write the picture: the page of the lecture's LSTM, stepping."""
    tg.manual_seed(0)
    session = viz.debug(LectureModel("helo", "lstm", hidden=3).unroll("hell", "ello"))
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "hello.html"
        session.html(page, title="LSTM, hell → ello")
        shots = frames(page)
    first, *rest = shots
    first.save(TARGET, save_all=True, append_images=rest, duration=1500, loop=0, lossless=True, method=4)
    print(f"wrote {TARGET}, {TARGET.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
