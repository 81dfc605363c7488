"""A Chromium for the tests of the debugger's page, and a watch over what goes wrong in it or out of it."""

from __future__ import annotations

from pathlib import Path

import chromium
import pytest

from viz.debugger import Session

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install '.[browser]'")
needed = pytest.mark.skipif(chromium.PATH is None, reason=chromium.ABSENT)


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=chromium.PATH, args=chromium.ARGUMENTS)
        yield started
        started.close()


@pytest.fixture(scope="module")
def tab(browser):
    """One tab for all pages: a file that is opened anew in it begins as in a new one, and opening a tab costs more."""
    return browser.new_context().new_page()


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
def show(tab, written):
    """Opens a session's page from its file, each in place of the one before; afterwards nothing may have gone wrong in
    them or gone out of them."""
    complaints: list[str] = []
    requests: list[str] = []
    opened: list[str] = []
    watched = {
        "console": lambda message: complaints.append(message.text),
        "pageerror": lambda error: complaints.append(str(error)),
        "request": lambda request: requests.append(request.url),
        "dialog": lambda dialog: complaints.append(f"a dialog: {dialog.message}"),
    }

    def open_page(session: Session, address: str = "", *, panels: bool = True, scheme: str = "light") -> object:
        if opened:
            tab.goto("about:blank")  # an address that differs in its last part only is no new page
        tab.set_viewport_size({"width": 1500, "height": 950})
        tab.emulate_media(media="screen", color_scheme=scheme)
        opened.append(written(session).as_uri())
        tab.goto(opened[-1] + address)
        if panels:
            tab.evaluate("document.querySelectorAll('#panels details').forEach(panel => { panel.open = true; })")
        return tab

    for event, heard in watched.items():
        tab.on(event, heard)
    yield open_page
    tab.goto("about:blank")
    for event, heard in watched.items():
        tab.remove_listener(event, heard)
    assert complaints == []
    assert [url for url in requests if url != "about:blank"] == opened
