"""The debugger's page in a real browser: every control does what it says, and nothing hostile does anything in it."""

from __future__ import annotations

import json
import re

import debugger_browser
import numpy as np
import pytest
from debugger_browser import playwright
from debugger_networks import looked_up, spelling

import tinygrad_rnn as tg
import viz
from tinygrad_rnn import nn
from tinygrad_rnn.bptt import carried_state
from viz import style
from viz.debugger import Session
from viz.debugger.web import page, page_data

LOW = str.maketrans("_0123456789", "\0₀₁₂₃₄₅₆₇₈₉")
pytestmark = debugger_browser.needed
browser, tab, show, written = (
    debugger_browser.browser,
    debugger_browser.tab,
    debugger_browser.show,
    debugger_browser.written,
)


@pytest.fixture(scope="module")
def hello() -> Session:
    return viz.debug(spelling())


def at(tab) -> int:
    return tab.evaluate("position")


def test_buttons_and_keys_move_through_both_passes(show, hello):
    tab = show(hello)
    assert at(tab) == 0
    moves = [
        ("#step", "ArrowRight", 1),
        ("#nextt", "Shift+ArrowRight", None),
        ("#prevt", "Shift+ArrowLeft", None),
        ("#back", "ArrowLeft", None),
        ("#end", "End", hello.last),
        ("#start", "Home", hello.first),
    ]
    found = []
    for way in (0, 1):
        tab.keyboard.press("s")
        found.append([])
        for move in moves:
            tab.keyboard.press(move[1]) if way else tab.click(move[0])
            found[-1].append(at(tab))
            assert move[2] in (None, at(tab))
    assert found[0] == found[1]
    hello.goto(1)
    assert found[0][1] == hello.other_time(1)
    hello.goto(found[0][1])
    assert found[0][2] == hello.other_time(-1)
    assert found[0][3] == found[0][2] - 1
    hello.goto(0)
    tab.keyboard.press("ArrowLeft")
    assert at(tab) == hello.first, "no further than the ends"


def test_slider_address_and_boxes_lead_to_a_step(show, hello):
    tab = show(hello, "#k=17")
    assert at(tab) == 17 and "step 17" in tab.inner_text("#position")
    tab.locator("#slider").focus()
    tab.keyboard.press("ArrowRight")
    assert at(tab) == 18 and tab.evaluate("location.hash") == "#k=18"
    tab.evaluate("s = document.querySelector('#slider'); s.value = 3; s.dispatchEvent(new Event('input'))")
    assert at(tab) == hello.first + 3
    tab.evaluate("location.hash = '#k=-2'")
    playwright.expect(tab.locator("#position")).to_contain_text(f"forward {-1 - hello.first} of")
    gate = tab.locator("#picture-gate .b.gate").first
    gate.click()
    clicked = hello.graph.nodes[hello.node_at(at(tab))]
    assert clicked.role in ("f", "i", "g", "o") and gate.get_attribute("class").endswith("current")
    tab.click("#rule .name")
    assert hello.shown(hello.node_at(at(tab))) == tab.inner_text("#node")
    assert at(show(hello, "#k=99999")) == hello.last
    assert at(show(hello, "#k=<b>")) == 0


def test_play_runs_to_the_end_and_stops_where_it_is_told(show, hello):
    tab = show(hello, "#k=2")
    tab.select_option("#speed", "40")
    tab.keyboard.press("Space")
    assert tab.get_attribute("#play", "aria-label") == "pause"
    assert tab.get_attribute("#sentence", "aria-live") == "off"
    playwright.expect(tab.locator("#position")).not_to_contain_text("step 2 of")
    tab.keyboard.press("ArrowLeft")
    assert tab.get_attribute("#play", "aria-label") == "play"
    tab.evaluate("go(D.last - 2, 'near the end')")
    tab.click("#play")
    playwright.expect(tab.locator("#play")).to_have_attribute("aria-label", "play")
    assert at(tab) == hello.last
    assert "every gradient is finished" in tab.inner_text("#reason")


def test_the_other_controls(show, hello):
    tab = show(hello, "#k=30")
    assert tab.is_visible("#picture-gate") and not tab.is_visible("#picture-op")
    tab.keyboard.press("d")
    assert tab.is_visible("#picture-op") and tab.inner_text("#detail") == "operations"
    width = tab.evaluate("pictures[detail].drawing.getBoundingClientRect().width")
    tab.keyboard.press("+")
    assert tab.evaluate("pictures[detail].drawing.getBoundingClientRect().width") == pytest.approx(
        1.25 * width, rel=0.01
    )
    tab.click("#out")
    tab.click("#fit")
    assert tab.evaluate("(s => s.scrollWidth <= s.clientWidth)(document.querySelector('#stage'))")
    paper = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    tab.keyboard.press("l")
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") != paper
    tab.keyboard.press("?")
    assert tab.is_visible("#keys") and "one step on" in tab.inner_text("#keys")
    tab.keyboard.press("Escape")
    assert not tab.is_visible("#keys") and at(tab) == 30
    for node in (x.index for x in hello.graph.parameters if x.index in hello.trace.turn):
        tab.select_option("#weight", str(node))
        tab.evaluate("go(D.last, '')")
        total = float(tab.get_attribute("#total", "data-x"))
        assert total == pytest.approx(hello.ledger(node, hello.last).total, rel=1e-12)
        shares = tab.evaluate("[...document.querySelectorAll('[data-share]')].map(x => Number(x.dataset.share))")
        assert sum(shares[: len(shares)]) == pytest.approx(1, abs=1e-6) or not total


def test_clipping_counts_weights_the_page_does_not_stop_at(show, monkeypatch):
    monkeypatch.setattr(page_data, "NODE_LIMIT", 20)
    weights = [tg.tensor([0.1 * i, 1.0], requires_grad=True) for i in range(40)]
    session = viz.debug(sum((w * w).sum() for w in weights))
    tab = show(session)
    assert float(tab.get_attribute("#clip-norm", "data-x")) == pytest.approx(session.clip(1.0).norm, rel=1e-6)
    tab.evaluate("for (const p of stops) go(p, 'a test')")


def test_the_page_of_tensors_without_elements(show):
    rnn, x = nn.LSTM(2, 3), tg.tensor(np.zeros((2, 0, 3)), requires_grad=True)
    for loss in (rnn(tg.zeros(3, 0, 2))[0].sum(), tg.stack([x.tanh(), x * 2]).sum() + (x.transpose(1, 2) @ x).sum()):
        show(viz.debug(loss)).evaluate("for (const p of stops) go(p, 'a test')")


def test_clipping_is_the_engines_at_any_threshold(show, hello):
    tab = show(hello)
    for threshold in (0.0, 0.25, 1.0, 100.0):
        tab.fill("#threshold", str(threshold))
        found = hello.clip(threshold)
        assert float(tab.get_attribute("#clip-norm", "data-x")) == pytest.approx(found.norm, rel=1e-12)
        assert float(tab.get_attribute("#clip-scale", "data-x")) == pytest.approx(found.scale, rel=1e-12)
        after = tab.evaluate("[...document.querySelectorAll('[data-after]')].map(x => Number(x.dataset.after))")
        assert sorted(after) == pytest.approx(sorted(row.after for row in found.rows), rel=1e-12)
    tab.fill("#threshold", "-1")
    assert "from 0 up" in tab.inner_text("#clip")


def test_the_numerical_check_is_shown_on_demand(show, hello):
    tab = show(hello, "#k=30", panels=False)
    assert not tab.locator("#check > div").is_visible()
    tab.keyboard.press("c")
    for k in (5, 10, 20, 40):
        tab.evaluate(f"go({k}, '')")
        passed = tab.evaluate("[...document.querySelectorAll('#check [data-passed]')].map(x => x.dataset.passed)")
        assert passed == [str(check.passed).lower() for check in hello.check(k)]


def test_the_table_says_in_words_what_the_picture_shows(show, hello):
    tab = show(hello, "#k=5")
    tab.click("#table summary")
    tab.wait_for_selector("#table tbody tr")  # it is made when the browser says that it was opened
    rows = tab.evaluate(
        "[...document.querySelectorAll('#table tbody tr')].map(r => [...r.cells].map(c => c.textContent))"
    )
    assert [int(row[0]) for row in rows] == list(range(hello.first, hello.last + 1))
    assert [row[-1] for row in rows] == [hello.sentence(p) for p in range(hello.first, hello.last + 1)]
    assert tab.locator("#table tr.now").get_attribute("data-p") == "5"
    tab.click("#table tr[data-p='7'] button")
    assert at(tab) == 7
    assert tab.get_attribute("#sentence", "aria-live") == "polite"
    nameless = tab.evaluate(
        "[...document.querySelectorAll('button, input, select')].filter(x => !(x.ariaLabel || x.textContent.trim() || "
        "(x.labels && x.labels.length))).map(x => x.outerHTML)"
    )
    assert nameless == []


@pytest.mark.parametrize(
    ("width", "height", "scheme"), [(390, 844, "light"), (690, 800, "light"), (1920, 1080, "dark")]
)
def test_phone_and_projector(show, hello, width, height, scheme):
    tab = show(hello, "#k=34", scheme=scheme)
    tab.set_viewport_size({"width": width, "height": height})
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    light = tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert light == (scheme == "light")
    box = tab.locator(".picture:not([hidden]) .current").first.bounding_box()
    stage = tab.locator("#stage").bounding_box()
    assert stage["x"] <= box["x"] and box["x"] + box["width"] <= stage["x"] + stage["width"], (
        "the current box is in sight"
    )


@pytest.mark.parametrize(("width", "height"), [(1440, 900), (1000, 760), (390, 844)])
def test_what_a_student_asks_first_comes_first(show, hello, width, height):
    tab = show(hello, "#k=34", panels=False)
    tab.set_viewport_size({"width": width, "height": height})
    top = {
        name: tab.locator(f"#{name}").bounding_box()["y"] for name in ("sentence", "stage", "rule", "next", "ledger")
    }
    assert top["sentence"] < top["stage"] < top["rule"] <= top["next"] < top["ledger"]
    assert top["rule"] < height - 60, "the rule can be seen without scrolling"
    assert "right arrow key" in tab.inner_text("#next") and hello.sentence(35) in tab.inner_text("#next")
    assert tab.locator("#panels details[open]").count() == 0
    tab.keyboard.press("a")
    assert tab.locator("#panels details:not([open])").count() == 0


def test_for_the_last_row_there_are_the_picture_the_sentence_and_the_rule(show, hello):
    tab = show(hello, "#k=34", panels=False)
    size = "parseFloat(getComputedStyle(document.querySelector('#sentence')).fontSize)"
    before = tab.evaluate(size)
    tab.keyboard.press("p")
    assert tab.evaluate(size) > 1.4 * before and tab.locator("#rule").is_visible()
    assert not tab.locator("#next").is_visible() and not tab.locator("#panels").is_visible()


@pytest.mark.parametrize("cell, gates", [("LSTM", 4), ("GRU", 3)])
def test_a_long_row_has_a_line_for_each_gate(show, cell, gates):
    session = viz.debug(spelling(cell, steps=2, hidden=4))
    tab = show(session)
    seen = {
        (len(session.graph.nodes[number].shape), lines, width)
        for number in range(len(session.graph))
        for lines, width in tab.evaluate(
            """(number) => { go(positionOf(number), "a test"); return [...document.querySelectorAll("#here .grid")]
              .filter((x) => x.textContent.includes("(a row, in"))
              .map((x) => [x.querySelectorAll("tr").length, x.querySelector("tr").cells.length]); }""",
            number,
        )
    }
    assert seen == {(1, gates, 4), (2, gates, 4)}  # of biases, and of what a step makes


def test_the_name_of_an_operation_keeps_its_underscore(show, hello):
    tab = show(hello)
    tab.evaluate(f"go({hello.turn_of(hello.names.find('L_4'))}, 'a test')")
    assert "cross_entropy" in tab.locator("#rule math").first.text_content()


def test_nothing_waits_whose_gradient_is_complete(show, hello):
    tab = show(hello, "#k=2")
    shown = (
        "[...document.querySelectorAll('#picture-gate .b')].map(b => [b.textContent, b.classList.contains('waiting')])"
    )
    for k in (2, 10, 34, 60, hello.last):
        tab.evaluate(f"go({k}, '')")
        waiting = {text for text, waits in tab.evaluate(shown) if waits}
        assert not any(re.match(r"L∂ ", text) for text in waiting), "the loss was complete from the start"
        complete = {hello.shown(row.node) for row in hello.frontier(k).ready} | {
            hello.shown(n) for n in hello.frontier(k).done
        }
        assert not {name for name in complete if any(text.startswith(f"{name.translate(LOW)} ") for text in waiting)}


def test_a_printed_page_is_whole(show, hello):
    tab = show(hello, "#k=34", panels=False)
    tab.set_viewport_size({"width": 720, "height": 900})
    tab.emulate_media(media="print")
    tab.evaluate("dispatchEvent(new Event('beforeprint'))")
    cut = "[...document.querySelectorAll('#stage, .card, .card > div')].filter(x => x.scrollWidth > x.clientWidth + 1)"
    assert tab.evaluate(f"{cut}.map(x => x.outerHTML.slice(0, 90))") == []
    stage = tab.locator("#stage").bounding_box()
    drawing = tab.locator("#picture-gate svg").bounding_box()
    assert drawing["height"] <= stage["height"] + 1 and drawing["width"] > 0.9 * stage["width"]
    assert tab.locator("#panels details:not([open])").count() == 0 and not tab.locator(".buttons").is_visible()


# What could go wrong -----------------------------------------------------------------------------------------

EVIL = "</script><script>document.title='evil'</script><img src=x onerror=alert(1)>\"'`&#x3c;${alert(1)}\u2028]]>\ud800"


def test_hostile_names_and_values_do_nothing(show):
    weight = tg.tensor([[np.nan, -np.inf], [1e38, 1e-42]], requires_grad=True, name=EVIL)
    huge = tg.tensor([1.0, 2.0], requires_grad=True, name="x" * 10_000_000)
    with tg.scope(EVIL, step=0, part=EVIL):
        h = nn.labelled((weight * huge).tanh(), "h")
    with tg.scope("y" * 10_000_000, step=1):
        h = nn.labelled((h * huge).tanh(), EVIL)
    session = viz.debug(h.sum())
    tab = show(session)
    for p in range(session.first, session.last + 1):
        tab.evaluate(f"go({p}, '')")
    tab.click("#table summary")
    assert "evil" not in tab.title()
    assert tab.locator("img, iframe").count() == 0 and tab.locator("script").count() == 2
    assert "‘" not in tab.title()
    text = page.html(session, EVIL)
    assert len(text) < 300_000
    assert text.count("</script>") == 2


def test_the_first_nan_is_announced_and_found(show):
    x = tg.tensor([0.0, 1.0], requires_grad=True, name="x")
    session = viz.debug((x * 1.0).sqrt().sum() * 0.0)
    tab = show(session)
    origin = session.origin()
    assert origin.explanation in tab.inner_text("#notice")
    tab.keyboard.press("o")
    assert at(tab) == origin.position


def test_a_graph_without_time_steps_is_drawn_in_layers_or_if_it_is_large_not_at_all(show, monkeypatch):
    h = tg.tensor([[0.9]], requires_grad=True, name="w")
    for _ in range(85):  # no weight is used again: layers, not time steps
        h = h.tanh()
    session = viz.debug(h.sum())
    tab = show(session, "#k=30")
    assert tab.locator("#picture-op .b").count() == len(session.graph) > 80
    stage, box = tab.locator("#stage").bounding_box(), tab.locator("#picture-op .current").bounding_box()
    assert stage["x"] <= box["x"] <= stage["x"] + stage["width"]
    norm = style.number(session.measures(30)["incoming"].norm)
    assert tab.text_content("#picture-op .current .n") == f"∂ {norm}"
    monkeypatch.setattr(page_data, "NODE_LIMIT", 20)
    other = viz.debug(h.sum())
    tab = show(other)
    assert "draws no picture" in tab.inner_text("#notice") and not tab.is_visible("#graph")
    for key in ("ArrowRight", "d", "+", "0", "End"):
        tab.keyboard.press(key)
    assert at(tab) == other.last


def test_a_page_stays_small_and_large_arrays_are_cut_to_a_corner(show):
    session = viz.debug(spelling(steps=8, hidden=28))
    static = sum(len(page._static(name)) for name in (*page.SCRIPTS, "page.css", "page.html"))
    assert len(session.html()) < static + 1500 * len(session.graph)
    tab = show(session)
    k = next(k for k in range(1, session.last) if session.where(k).role == "c")
    tab.evaluate(f"go({k}, '')")
    assert float(tab.get_attribute("#incoming b", "data-norm")) == pytest.approx(
        session.measures(k)["incoming"].norm, rel=1e-12
    )
    tab.evaluate("go(D.last, '')")
    assert "a corner of" in tab.inner_text("#here")


def test_only_the_pages_own_script_and_style_may_run():
    text = page.html(viz.debug(looked_up()))
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)[1]
    assert policy.startswith("default-src 'none'; script-src 'sha256-") and "unsafe" not in policy
    assert not re.search(r"(src|href)\s*=\s*[\"']?(https?:)?//", text)
    assert not re.search(r"<[^>]*\sstyle=|\son\w+=\"", re.sub(r"<script.*?</script>", "", text, flags=re.S))
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.S)[1])
    assert data["last"] > 0


def test_the_checks_of_wide_layers_are_few_or_left_out(monkeypatch):
    def compared(limit: int) -> set[int]:
        monkeypatch.setattr(page_data, "WORK_LIMIT", limit)
        text = page.html(session)
        checks = json.loads(re.search(r'id="data">(.*?)</script>', text, re.S)[1])["checks"]
        return {count for step in checks.values() for _, count, *_ in step} if checks else set()

    session = viz.debug(spelling(steps=2, hidden=4))
    most = max(compared(10**9))
    assert most == 16 and max(compared(5_000)) in (2, 4, 8) and not compared(10)


def test_the_loss_of_a_long_walk_is_told_by_origin(show, monkeypatch):
    tg.manual_seed(0)
    monkeypatch.setattr(carried_state, "ORIGIN_LIMIT", 6)
    tab = show(viz.debug(nn.GRU(1, 1)(tg.ones(9, 1, 1))[0].sum()))
    tab.evaluate("go(D.last, '')")
    lit = tab.evaluate("D.layers[0].triangle")
    assert len(lit) == 6 and tab.locator("#triangle td[title]").count() > 5
    assert "too long" not in tab.inner_text("#triangle")
