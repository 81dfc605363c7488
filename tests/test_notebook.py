"""The example notebook runs, and what it shows works where there is no kernel any more."""

from __future__ import annotations

import json
import os
import re
from html import unescape
from pathlib import Path

import chromium
import pytest

import tinygrad_rnn as tg
import viz

NOTEBOOK = Path(__file__).parent.parent / "examples" / "debugger.ipynb"
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[-+]\d+)?")


@pytest.fixture(scope="module")
def outputs() -> list[dict]:
    """What the notebook's cells put out when they are run in a fresh kernel."""
    pytest.importorskip("ipykernel", reason="ipykernel is not installed: pip install '.[browser]'")
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed: pip install '.[browser]'")
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed: pip install '.[browser]'")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": NOTEBOOK.parent}})
    client.execute(env={**os.environ, "PYTHONPATH": str(NOTEBOOK.parent.parent)})
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


def test_the_notebook_runs_and_shows_pictures_a_page_and_numbers(outputs):
    shown = [output["data"] for output in outputs if output["output_type"] == "execute_result"]
    _, picture, graph, session, gradient = shown
    assert picture["image/svg+xml"].count('id="step_') == 4
    assert "<svg" in graph["image/svg+xml"] and "linear" in graph["text/plain"]
    assert session["text/html"].startswith('<iframe sandbox="allow-scripts" srcdoc="')
    assert "<svg" in session["image/svg+xml"] and session["text/plain"].startswith("Session at")
    assert "tensor" in gradient["text/plain"]
    printed = "".join(output["text"] for output in outputs if output["output_type"] == "stream")
    assert "sum of the shares: 100.0%" in printed and printed.count("share ") == 4


def test_the_notebook_is_committed_with_what_it_puts_out():
    """So that it can be read where nothing runs it; the session as a picture, for such places show no frames."""
    text = NOTEBOOK.read_text(encoding="utf-8")
    code = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    assert all(cell["execution_count"] and cell["outputs"] for cell in code)
    assert [
        output["output_type"] for cell in code for output in cell["outputs"] if "error" in output["output_type"]
    ] == []
    assert text.count("image/svg+xml") == 3 and "<iframe" not in text and len(text) < 500_000
    assert "sum of the shares: 100.0%" in text and not re.search(r"/(tmp|home|root)/", text)


def test_what_is_committed_is_what_it_puts_out_now(outputs):
    """The words, and the numbers but for a last digit that another processor rounds otherwise."""
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    committed = [output for cell in cells for output in cell.get("outputs", ())]
    assert len(committed) == len(outputs)
    for there, here in zip(committed, outputs):
        for kind in there.get("data", {"text": None}):
            texts = ["".join(output["data"][kind] if "data" in output else output[kind]) for output in (there, here)]
            if kind == "image/svg+xml":
                texts = [" ".join(re.findall(r"(?<=>)[^<>]*[^<>\s](?=<)", text)) for text in texts]
            words, numbers = zip(*((NUMBER.sub("#", text), NUMBER.findall(text)) for text in texts))
            assert texts[0] and words[0] == words[1]
            assert [float(x) for x in numbers[0]] == pytest.approx([float(x) for x in numbers[1]], rel=1e-2, abs=1e-6)


def test_the_frame_works_without_a_kernel_and_can_touch_nothing_outside(tmp_path):
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: pip install '.[browser]'"
    )
    if chromium.PATH is None:
        pytest.skip(chromium.ABSENT)
    x = tg.tensor([0.5, -1.0], requires_grad=True, name='"><script>parent.document.title="evil"</script>')
    session = viz.debug((x * x).tanh().sum())
    session.goto(2)
    bundle = session._repr_mimebundle_()
    exported = tmp_path / "exported.html"
    exported.write_text(f"<!doctype html><meta charset=utf-8><title>exported</title>{bundle['text/html']}", "utf-8")
    assert "<script" not in bundle["text/html"] and "<script" in unescape(bundle["text/html"])
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium.PATH, args=chromium.ARGUMENTS)
        tab = browser.new_page()
        wrong: list[str] = []
        tab.on("console", lambda message: wrong.append(message.text))
        tab.on("pageerror", lambda error: wrong.append(str(error)))
        tab.goto(exported.as_uri())
        frame = tab.frame_locator("iframe")
        playwright.expect(frame.locator("#position")).to_contain_text("step 2 of")
        frame.locator("#step").click()
        playwright.expect(frame.locator("#position")).to_contain_text("step 3 of")
        assert frame.locator("#sentence").inner_text() == session.sentence(3)
        assert tab.title() == "exported" and wrong == []
        browser.close()
