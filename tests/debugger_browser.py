"""A Chromium for the tests of the debugger's page, and a watch over what goes wrong in it or out of it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from viz.debugger import Session

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install '.[browser]'")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needed = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on the PATH to drive")


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The page of a session, written once, however many tests open it."""
    folder = tmp_path_factory.mktemp("pages")
    pages: dict[Session, Path] = {}  # holds the sessions too: a number of one that is gone is given again

    def page_of(session: Session) -> Path:
        if session not in pages:
            pages[session] = folder / f"{len(pages)}.html"
            session.html(pages[session])
        return pages[session]

    return page_of


@pytest.fixture
def show(browser, written):
    """Opens a session's page from its file; afterwards nothing may have gone wrong in it or gone out of it."""
    context = browser.new_context(viewport={"width": 1500, "height": 950})
    complaints: list[str] = []
    requests: list[str] = []

    def open_page(session: Session, address: str = "", *, panels: bool = True, **options) -> object:
        file = written(session)
        tab = context.new_page()
        tab.on("console", lambda message: complaints.append(message.text))
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.on("request", lambda request: requests.append(request.url))
        tab.on("dialog", lambda dialog: complaints.append(f"a dialog: {dialog.message}"))
        if options:
            tab.emulate_media(**options)
        tab.goto(file.as_uri() + address)
        if panels:
            tab.evaluate("document.querySelectorAll('#panels details').forEach(panel => { panel.open = true; })")
        return tab

    yield open_page
    opened = len(context.pages)
    context.close()
    assert complaints == []
    assert len(requests) == opened and all(url.startswith("file:") for url in requests)
