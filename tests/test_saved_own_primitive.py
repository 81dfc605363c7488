"""A saved walk whose graph has an operation of one's own opens where that operation is not defined."""

import json
import subprocess
import sys

import numpy as np
import pytest
from test_formats import judged

import tinygrad_rnn as tg
import viz
from tinygrad_rnn.bptt.recording import Trace
from tinygrad_rnn.nn.cells import labelled
from tinygrad_rnn.primitives import same_shape

SAYS = "the rule of own_swish is not in this process; import the module that defines it"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A recurrent walk with an own operation in each step, and the session it was saved from."""
    swish = tg.Primitive(
        "own_swish",
        "swish",
        same_shape,
        lambda x: x / (1 + np.exp(-x)),
        vjp=(lambda g, _y, x: g * (tg.sigmoid(x) * (1 + x * (1 - tg.sigmoid(x)))),),
    )
    rng = np.random.default_rng(0)
    w, u = (tg.tensor(rng.normal(size=(3, 3)), requires_grad=True, name=name) for name in "WU")
    h, inputs = tg.zeros(1, 3, dtype="float64"), tg.tensor(rng.normal(size=(3, 1, 3)), name="x")
    for t in tg.steps(3):
        h = labelled(swish(inputs[t] @ w + h @ u), "h")
    path = tmp_path_factory.mktemp("own") / "walk.json"
    session = viz.debug((h * h).sum())
    session.save(path)
    yield path, session
    del tg.TABLE["own_swish"]


@pytest.fixture
def elsewhere(saved, monkeypatch):
    """The same walk, opened where nothing is called own_swish."""
    monkeypatch.delitem(tg.TABLE, "own_swish")
    return viz.debug(saved[0])


def test_it_opens_in_a_new_process(saved, tmp_path):
    program = (
        "import sys, viz\nsession = viz.debug(sys.argv[1])\nsession.goto(session.last)\nsession.html(sys.argv[2])\n"
    )
    page = tmp_path / "walk.html"
    ran = subprocess.run(
        [sys.executable, "-c", program, str(saved[0]), str(page)], capture_output=True, text=True, timeout=120
    )
    assert ran.returncode == 0, ran.stderr
    assert SAYS in page.read_text(encoding="utf-8")


def test_everything_that_was_recorded_is_there(saved, elsewhere, tmp_path):
    session = saved[1]
    assert (elsewhere.first, elsewhere.last) == (session.first, session.last)
    for mine, its in zip(elsewhere.graph.nodes, session.graph.nodes, strict=True):
        assert (mine.shape, mine.dtype, mine.name) == (its.shape, its.dtype, its.name)
        np.testing.assert_array_equal(mine.value, its.value)
    for p in range(session.first, session.last + 1):
        snapshot = elsewhere.snapshot(p)
        assert snapshot["gradient"] == session.snapshot(p)["gradient"]
        assert snapshot["sentence"]
    for node in session.graph.parameters:
        at = session.last
        np.testing.assert_array_equal(elsewhere.ledger(node.index, at).total, session.ledger(node.index, at).total)
    viz.render(elsewhere.graph, tmp_path / "graph.svg", detail="op")
    assert "own_swish" in (tmp_path / "graph.svg").read_text(encoding="utf-8")
    again = elsewhere.trace.to_json()
    assert json.loads(again) == json.loads(saved[0].read_text(encoding="utf-8"))  # and it can be saved again
    assert not judged("walk", json.loads(again))


def test_what_wants_the_rule_says_where_it_is(elsewhere):
    session = elsewhere
    own = next(n.index for n in session.graph.nodes if n.op is not None and n.op.name == "own_swish")
    wants = {
        "jac": lambda: session.trace.pulled(own, 0, np.ones((1, 3))),
        "check": lambda: session.check(session.trace.turn[own]),
        "gains": session.gains,
        "what if": lambda: session.trace.with_gradient(own, 0.0),
        "evaluate": lambda: session.graph.evaluate({"W": np.ones((3, 3))}),
    }
    for what, ask in wants.items():
        with pytest.raises(tg.GraphError) as error:
            ask()
        assert SAYS in str(error.value) and "\n" not in str(error.value), what


def test_where_the_operation_is_defined_its_rule_is_used(saved):
    path, session = saved
    trace = Trace.load(path)
    assert trace.graph.nodes[-3].op is session.graph.nodes[-3].op
    assert all(
        check.passed
        for k in range(1, len(trace) + 1)
        if trace.steps[k - 1].contributions
        for check in viz.debug(trace).check(k)
    )


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda n: n.pop("value"), "no operation known here"),
        (lambda n: n.update(value=1), "is no array"),
        (lambda n: n.update(shape=[10**9]), r"takes more than 1024 MiB .*\(1000000000,\)"),
        (lambda n: n.update(shape=[3]), r"says \(1, 3\) but is \(3,\)"),
        (lambda n: n.update(dtype="<f4"), "says that it is .* float32, but is"),
        (lambda n: n.update(op="x" * 10**6), "no operation known here"),
        (lambda n: n.update(operands=[1.0]), "no operation known here"),
        (lambda n: n.update(op=["x"]), "no operation known here"),
        (lambda n: n["value"].update(shape=[10**9]), "cannot reshape"),
        (lambda n: n.update(operands=[{"node": 10**6}]), "does not come after its operands"),
    ],
)
def test_a_damaged_value_is_refused(saved, monkeypatch, change, said):
    monkeypatch.delitem(tg.TABLE, "own_swish")
    data = json.loads(saved[0].read_text(encoding="utf-8"))["graph"]
    change(next(n for n in data["nodes"] if n["op"] == "own_swish"))
    with pytest.raises(tg.DataError, match=said) as error:
        tg.Graph.from_json(json.dumps(data))
    assert len(str(error.value)) < 500


def test_a_function_named_like_a_built_in_operation_keeps_its_value():
    class tanh(tg.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 3

        @staticmethod
        def backward(ctx, g):
            return g * 3

    again = tg.Graph.from_json(tg.Graph(tanh.apply(tg.ones(2, requires_grad=True))).to_json())
    assert again.nodes[-1].value.tolist() == [3.0, 3.0]
