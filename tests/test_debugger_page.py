"""The numbers on the debugger's page in a browser are the engine's, bit for bit: every third step, nightly each."""

from __future__ import annotations

import debugger_browser
import numpy as np
import pytest
from debugger_networks import looked_up, spelling
from nightly import NIGHTLY

import tinygrad_rnn as tg
import viz
from viz.debugger import Session
from viz.debugger.web import page_data

pytestmark = debugger_browser.needed
browser, tab, show, written = (
    debugger_browser.browser,
    debugger_browser.tab,
    debugger_browser.show,
    debugger_browser.written,
)

#: Reads off the page what it shows at a position.
READ = """(p) => {
  go(p, "a test");
  const numbers = (table) => table ? [...table.rows].map((row) => [...row.cells].map((cell) => Number(cell.title))) : null;
  const all = (selector, read) => [...document.querySelectorAll(selector)].map(read);
  const captioned = (root, caption) => [...root.querySelectorAll(".grid")].find((x) => x.innerText.includes(caption));
  const data = (element, key) => element ? Number(element.dataset[key]) : null;
  return {
    sentence: document.querySelector("#sentence").textContent,
    position: document.querySelector("#position").textContent,
    node: document.querySelector("#node").textContent,
    here: document.querySelector("#here dl").innerText,
    incoming: data(document.querySelector("#incoming b"), "norm"),
    counts: Object.fromEntries(all("#incoming [data-count]", (x) => [x.dataset.count, parseInt(x.textContent)])),
    value: numbers(captioned(document.querySelector("#here"), "value")?.querySelector("table")),
    operands: all("#rule .operand[data-slot]", (x) => ({
      slot: Number(x.dataset.slot), target: x.querySelector(".name").textContent, formula: x.querySelector("math").textContent,
      norm: data(x.querySelector("[data-norm]"), "norm"), ratio: data(x.querySelector("[data-ratio]"), "ratio"),
      arrived: data(x.querySelector(".pips"), "arrived"), expected: data(x.querySelector(".pips"), "expected"),
      grids: Object.fromEntries([...x.querySelectorAll(".grid")].map((grid) => [grid.querySelector("figcaption").textContent.split(" (")[0], numbers(grid.querySelector("table"))])),
      equation: [...x.querySelector(".equation").querySelectorAll("table")].map(numbers),
    })),
    frontier: Object.fromEntries(all("#frontier [data-group]", (x) => [x.dataset.group, Number(x.dataset.count)])),
    norms: all("#norms circle", (x) => [Number(x.dataset.node), Number(x.dataset.norm)]),
    ways: all("#split .way", (x) => [x.dataset.way, data(x.querySelector("[data-norm]"), "norm")]),
    triangle: all("#triangle td", (x) => [Number(x.dataset.s), Number(x.dataset.t), x.title ? Number(x.title) : null, x.className]),
    ledger: [...document.querySelectorAll("#ledger tbody tr")].map((row) => ["norm", "share", "running"].map((key) => data(row.querySelector(`[data-${key}]`), key))),
    gains: [...document.querySelectorAll("#gains tbody tr")].map((row) => [...row.cells].map((cell) => cell.firstElementChild?.dataset.x ?? cell.textContent)),
    boxes: pictures[detail].boxes.map((box) => [box.nodes, box.users, box.shown]),
    lit: pictures.map((_, i) => { setDetail(i); return document.querySelectorAll(".picture:not([hidden]) .b.current").length; }),
  };
}"""  # noqa: E501


def flat(rows: list[list[float]] | None) -> list[float] | None:
    return None if rows is None else [x for row in rows for x in row]


def exactly(shown: list[list[float]] | None, array: np.ndarray | None, transposed: bool = False) -> None:
    """The grid holds the array's elements, to the last bit."""
    if array is None:
        assert shown is None
        return
    kept = np.asarray(array, np.float64)
    assert sorted(flat(shown)) == sorted(kept.ravel().tolist()) if transposed else flat(shown) == kept.ravel().tolist()


def supposed() -> Session:
    session = viz.debug(spelling("RNN", steps=2))
    session.what_if(session.names.find("h_1"), 0.25)
    return session


def columns() -> tg.Tensor:
    """States are vectors, as on a blackboard: W h."""
    w, u, h = (tg.randn(*shape).requires_grad_() for shape in ((2, 2), (2, 3), (2,)))
    for x in tg.randn(2, 3):
        h = tg.tanh(w @ h + u @ x)
    return (h * h).sum()


NETWORKS = {
    "LSTM": lambda: viz.debug(spelling(steps=2)),
    "GRU in batches": lambda: viz.debug(spelling("GRU", steps=2, batch=2)),
    "an embedding": lambda: viz.debug(looked_up()),
    "columns": lambda: viz.debug(columns()),
    "a what-if": supposed,
    "sampled": lambda: viz.debug(spelling("RNN", steps=5), every=3),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_numbers_on_the_page_are_the_engines(show, name):
    session = NETWORKS[name]()
    tab = show(session)
    triangle = session.triangle() if session.moments else {}
    weight = tab.evaluate("Number(document.querySelector('#weight').value)")
    carried = {node for moments in session.moments.values() for m in moments for node in m.nodes.values()}
    tab.evaluate("setDetail(pictures.length - 1)")
    stride = 1 if NIGHTLY else 3
    positions = sorted({*range(session.first, session.last + 1, stride), 0, session.last})
    for p, shown in zip(positions, tab.evaluate(f"(list) => list.map({READ})", list(positions)), strict=True):
        where, measures = session.where(p), session.measures(p)
        assert shown["sentence"] == session.sentence(p)
        assert shown["node"] == where.name
        assert where.expression in shown["here"]
        for part in (where.time and f"t={where.time} of {where.times}", where.layer, where.role, where.site):
            assert str(part or "") in shown["here"]
        assert f"{'forward' if p < 0 else 'step' if p else 'the loss'}" in shown["position"]
        exactly(shown["value"], session.value(where.node, p))
        assert all(shown["lit"]), "a step at which nothing in the picture is highlighted"
        if (incoming := measures["incoming"]) is not None:
            assert shown["incoming"] == pytest.approx(incoming.norm, rel=1e-12)
            counted = {key: getattr(incoming, key) for key in ("negative", "zero", "positive", "infinite", "nan")}
            assert shown["counts"] == {key: count for key, count in counted.items() if count}
        compare_operands(session, p, shown)
        compare_overviews(session, p, shown, weight, triangle)
        compare_boxes(session, p, shown)
        turned = (session.where(q).node for q in range(p, 0, -1))
        last_state = next((node for node in turned if node in carried), None)
        if p > 0 and last_state is not None:
            ways = session.split(last_state, p).ways
            assert shown["ways"] == [
                [way, None if v is None else pytest.approx(np.linalg.norm(np.asarray(v, np.float64)), rel=1e-12)]
                for way, v in ways.items()
            ]


def compare_operands(session: Session, p: int, shown: dict) -> None:
    flows, rules, measures = session.flows(p), session.rules(p), session.measures(p)
    assert [x["slot"] for x in shown["operands"]] == [flow.slot for flow in flows]
    for x, flow, rule, sent, ratio in zip(
        shown["operands"], flows, rules, measures["outgoing"], measures["ratios"], strict=True
    ):
        assert x["target"] == session.shown(flow.target)
        assert (
            session.shown(flow.target).replace("_", "") in x["formula"].replace(" ", "").replace("_", "")
            or "(" in x["target"]
        )
        assert x["norm"] == pytest.approx(sent.norm, rel=1e-12)
        assert x["ratio"] == (None if ratio is None else pytest.approx(ratio, rel=1e-12))
        assert (x["arrived"], x["expected"]) == (flow.ordinal, flow.expected)
        grids = x["grids"]
        exactly(grids["upstream gradient"], rule.upstream, transposed=True)
        exactly(grids["contribution"], flow.contribution)
        exactly(grids["before"], flow.before)
        exactly(grids["after"], flow.after)
        if rule.kind == "diagonal":
            assert "slope, element by element" in grids or (rule.factor == 1).all()
        for caption in {"slope, element by element", "local Jacobian"} & set(grids):
            exactly(grids[caption], rule.factor)
        op = session.graph.nodes[session.where(p).node].op
        shapes = [np.shape(v) for v in (rule.upstream, flow.contribution)]
        if op.is_product and all(
            np.prod(shape) <= 8 or np.prod(shape[:-1]) > 1 for shape in shapes
        ):  # no row is folded
            left, right, result = x["equation"]
            np.testing.assert_allclose(np.array(left) @ np.array(right), result, rtol=1e-5, atol=1e-12)


def compare_overviews(session: Session, p: int, shown: dict, weight: int, triangle: dict) -> None:
    frontier = session.frontier(p)
    if p >= 0:
        expected = len(frontier.done), len(frontier.ready), len(frontier.waiting), frontier.unreached
        assert tuple(shown["frontier"].values()) == expected
    known = {row.node: row.norm for row in session.state_norms(p) if row.norm} if p >= 0 else {}
    assert dict(shown["norms"]) == {node: pytest.approx(norm, rel=1e-9) for node, norm in known.items()}
    rows = [
        [pytest.approx(x, rel=1e-9, abs=1e-30) if x is not None else None for x in (r.norm, r.share, r.running)]
        for r in session.ledger(weight, max(p, 0)).rows
    ]
    assert shown["ledger"] == rows
    if session.moments:
        here = session.where(p).time
        states = {m.time + 1: m.nodes.get("h") for m in next(iter(session.moments.values()))}
        for s, t, x, classes in shown["triangle"]:
            reached = session.trace.turn.get(states[t], p + 1) <= p
            assert x == (pytest.approx(triangle[s][t], rel=1e-9) if reached and t in triangle[s] else None)
            assert ("lit" in classes) == (s == t == here and t in triangle[s])
        for row, gain in zip(shown["gains"], session.gains(), strict=True):
            sigmas = [gain.sigma, gain.h, gain.product, gain.product_bound]
            assert int(row[0]) == gain.time + 1
            numbers = [float(x) for x in row[1:] if x != "·"]
            assert all(any(x == pytest.approx(n, rel=1e-9) for n in numbers) for x in sigmas if x is not None)


def compare_boxes(session: Session, p: int, shown: dict) -> None:
    """At the level of operations every box is one node: its state is the frontier's."""
    if p < 0:
        return
    frontier, node = session.frontier(p), session.node_at(p)
    state = dict.fromkeys(frontier.done, "done")
    state |= {row.node: "ready" for row in frontier.ready} | {row.node: "waiting" for row in frontier.waiting}
    for nodes, users, seen in shown["boxes"]:
        if not users:
            (one,) = nodes
            expected = state.get(one, "unreached" if one in session.trace.turn else "none")
            assert seen == ("current" if one == node else expected)


def test_a_large_walk_collapses_and_says_so(show, monkeypatch):
    monkeypatch.setattr(page_data, "NODE_LIMIT", 60)
    session = viz.debug(spelling(steps=6))
    tab = show(session)
    assert "too many to stop at each" in tab.inner_text("#notice")
    stops = tab.evaluate("stops")
    assert {session.first, 0, session.last} < set(stops) and len(stops) < 80
    for p in stops:
        shown = tab.evaluate(READ, p)
        assert shown["sentence"] == session.sentence(p)
        compare_operands(session, p, shown)
        gradient = session.gradient(session.node_at(p), p)
        if p > 0:
            assert shown["incoming"] == pytest.approx(np.linalg.norm(np.asarray(gradient, np.float64)), rel=1e-12)
    tab.evaluate("go(0, '')")
    tab.keyboard.press("ArrowRight")
    assert tab.evaluate("position") == next(p for p in stops if p > 0)
