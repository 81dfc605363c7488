"""A graph taken, saved or replayed is walked by the same walk as the tensors it was taken from: bit for bit."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nightly import examples

import tinygrad_rnn as tg
import viz
from tinygrad_rnn import nn
from tinygrad_rnn.bptt import carried_state
from viz.debugger import Trace, record

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")
nan, inf = np.nan, np.inf


def dead_log():
    x = tg.tensor([0.0, 2.0], requires_grad=True, name="x", dtype="float64")
    return tg.where(x > 0, x.log(), 0.0).sum()


def left_out(steps=4, dtype="float64"):
    """An RNN whose second unit is left out at every step, where the way through it is a pole; one loss a step."""
    w = tg.tensor([[0.5, -0.3], [0.2, 0.7]], dtype=dtype, requires_grad=True, name="w")
    keep = np.array([True, False])
    h, total = tg.tensor([[0.5, 0.0]], dtype=dtype, requires_grad=True, name="h0"), tg.tensor(0.0, dtype=dtype)
    for _ in tg.steps(steps):
        h = nn.labelled(tg.where(keep, (h @ w).tanh() + h.sqrt(), 0.0), "h")
        total = total + nn.labelled((h * h).sum(), "loss")
    return total


def padded(kind="LSTM"):
    """Two sequences, of which the shorter one ends in nan."""
    tg.manual_seed(0)
    rnn = getattr(nn, kind)(1, 2, num_layers=1 + (kind == "GRU"), bidirectional=True)
    x = np.array([[[1.0], [4.0]], [[2.0], [nan]], [[3.0], [inf]]])
    output, state = rnn(tg.tensor(x, dtype="float32"), lengths=[3, 1])
    return (output * output).mean() + (state[0] if kind == "LSTM" else state).sum()


def started():
    """A result of which a gradient was asked before one was asked of what it is made from."""
    x = tg.tensor([1.0, 2.0], name="x")
    y = (x * 3).requires_grad_()
    return (y * x.requires_grad_()).sum()


GRAPHS = {
    "a pole": dead_log,
    "a result that is a leaf": started,
    "recurrent": left_out,
    "LSTM": padded,
    "GRU": lambda: padded("GRU"),
}


def bits(gradient):
    return None if gradient is None else (gradient.dtype, gradient.shape, gradient.tobytes())


def same(one, other):
    """Two recorded walks visit the same nodes, with the same gradients and contributions."""
    assert [step.node for step in one.steps] == [step.node for step in other.steps]
    for k, (a, b) in enumerate(zip(one.steps, other.steps, strict=True), 1):
        assert bits(a.gradient) == bits(b.gradient)
        assert [c[:2] for c in a.contributions] == [c[:2] for c in b.contributions]
        for i in range(len(a.contributions)):
            assert bits(one.contribution(k, i)) == bits(other.contribution(k, i))


def same_walk(outputs, again, upstream):
    """Tensors and those of a graph of theirs send each other the same, bit for bit."""
    walks = [list(tg.walk(ends, upstream)) for ends in (outputs, again)]
    for a, b in zip(*walks, strict=True):
        assert bits(a.gradient) == bits(b.gradient)
        for c, d in zip(a.contributions, b.contributions, strict=True):
            assert c.slot == d.slot and bits(c.value) == bits(d.value)


# The debugger ------------------------------------------------------------------------------------------------


def test_what_was_left_out_stays_left_out_in_a_what_if():
    session = viz.debug(dead_log())
    for node in list(session.trace.turn):
        session.what_if(node, session.trace.gradient(node))
        np.testing.assert_array_equal(session.trace.gradient(0), [0.0, 0.5])
        session.reset()


@pytest.mark.parametrize("name", GRAPHS)
def test_a_what_if_of_the_very_same_gradient_changes_nothing(name, tmp_path):
    trace = record(GRAPHS[name]())
    trace.save(tmp_path / "walk.trace")
    for recorded in (trace, Trace.load(tmp_path / "walk.trace")):
        for node in list(recorded.turn)[:: 1 + len(recorded) // 5]:
            supposed = recorded.with_gradient(node, recorded.gradient(node))
            same(supposed, recorded)
            assert [s.node for s in supposed.steps if s.replaced] == [node]


def test_what_a_hook_puts_in_place_counts_where_it_is_not_zero():
    def run(hook):
        x = tg.tensor([0.0, 2.0], requires_grad=True)
        y = x.log()
        y.register_hook(hook)
        return x, tg.where(x > 0, y, 0.0).sum()

    for hook, expected in (
        (lambda g: g * 0.5, [0.0, 0.25]),
        (lambda g: g + 1, [inf, 1.0]),
        (lambda _g: None, [0, 0.5]),
    ):
        x, loss = run(hook)
        trace = record(loss)
        loss.backward()
        np.testing.assert_array_equal(x.grad.numpy(), expected)
        np.testing.assert_array_equal(trace.gradient(0), expected)
        x, again = run(hook)
        np.testing.assert_array_equal(tg.grad(again, x, create_graph=True)[0].numpy(), expected)
        last = trace.output
        same(trace.with_gradient(last, trace.gradient(last)), trace)


def test_a_hook_that_replaces_nothing_is_not_said_to():
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    y = x * 3
    y.register_hook(lambda _g: None)
    assert not any(step.replaced for step in record(y.sum()).steps)


def test_jacobians_do_not_pass_through_what_was_left_out():
    loss = left_out()
    session = viz.debug(loss)
    states = {n.scope.step: n for n in session.graph.nodes if n.role == "h" and n.op is not None}
    for gain in session.gains():
        before = tg.tensor(states[gain.time - 1].value, requires_grad=True)
        w = session.graph.find("w").value
        after = tg.where(np.array([True, False]), (before @ w).tanh() + before.sqrt(), 0.0)
        rows = [tg.grad(after, before, [[seed]], retain_graph=True)[0].numpy()[0] for seed in np.eye(2)]
        assert gain.sigma == gain.h == pytest.approx(np.linalg.norm(rows, 2), rel=1e-12)


@pytest.mark.parametrize("loss", [left_out, padded])
def test_the_parts_of_the_loss_do_not_pass_through_what_was_left_out(loss):
    session = viz.debug(loss())
    for moments in session.moments.values():
        assert all(np.isfinite(g.spectrum).all() for g in carried_state.gains(session.trace, moments))
        for role in moments[0].nodes:
            sums = {}
            for _, row in carried_state.triangle(session.trace, moments, role):
                for time, gradient in row.items():
                    sums[time] = sums.get(time, 0) + gradient
            for moment in moments:
                expected = session.trace.gradient(moment.nodes[role])
                if moment.time in sums:
                    np.testing.assert_allclose(sums[moment.time], expected, rtol=2e-4, atol=1e-6)


def test_a_rule_composed_of_functions_of_tensors_sends_arrays():
    sine = tg.Primitive("own_sine", "sin", lambda x: x, np.sin, vjp=(lambda g, _y, x: g * tg.cos(x),))
    try:
        x = tg.tensor([0.3, 2.0], requires_grad=True)
        assert all(isinstance(step.gradient, np.ndarray) for step in record(sine(x).sum()).steps)
        assert tg.check_gradients(lambda x: sine(x).sum(), [0.3, 2.0])
    finally:
        del tg.TABLE["own_sine"]


# The law -----------------------------------------------------------------------------------------------------

CELLS = [
    lambda h, w: (h @ w).tanh(),
    lambda h, w: tg.where(h > 0.3, h, h.log()),
    lambda h, _w: h.clip(-0.5, 0.8),
    lambda h, w: tg.maximum(h, (w * w)[0]),
    lambda h, _w: h - h.max(),
    lambda h, w: tg.stack([h[1], h[0] * w[0, 0], h[1]])[:2],
    lambda h, _w: tg.concat([h, h.abs().sqrt()])[np.array([0, 3])],
    lambda h, w: tg.where(np.array([[True], [False]]), h @ w, h),
    lambda h, _w: h.softmax(1),
    lambda h, w: tg.take(w, np.array([1, 1])) * h,
]


@st.composite
def recurrent(draw):
    """The outputs of a random cell, unrolled; places of its values are poles or not numbers, and may be left out."""
    values = draw(st.lists(st.sampled_from([0.5, 1.25, 0.0, -1.0, nan, inf]), min_size=4, max_size=4))
    steps = draw(st.lists(st.sampled_from(CELLS), min_size=1, max_size=4))
    lengths = np.array(draw(st.lists(st.integers(0, 3), min_size=2, max_size=2)))
    dtype = draw(st.sampled_from(["float32", "float64"]))
    w = tg.tensor([[0.5, -0.25], [0.75, 0.125]], dtype=dtype, requires_grad=True, name="w")
    h = tg.tensor(np.reshape(values, (2, 2)), dtype=dtype, requires_grad=True, name="h0")
    outputs = []
    for t in tg.steps(3):
        y = h
        for step in steps:
            y = step(y, w)
        h = nn.labelled(tg.where((t < lengths)[:, None], y, h), "h")
        outputs.append(tg.where((t < lengths)[:, None], y, 0.0))
    if draw(st.booleans()):
        outputs[1].register_hook(lambda g: g * draw(st.sampled_from([0.5, 0.0, 2.0])))
    return [tg.stack(outputs), h]


@given(recurrent(), st.integers(0, 3))
@examples(10)
def test_the_walk_over_a_graph_is_the_walk_over_its_tensors(outputs, seed):
    rng = np.random.default_rng(seed)
    upstream = [rng.integers(-1, 2, y.shape).astype(y.dtype) for y in outputs]
    hooked = [s.node for s in tg.walk(outputs, upstream) if s.node._hooks]
    graph = tg.Graph(*outputs)
    trace = record(loss := sum((y * g).sum() for y, g in zip(outputs, upstream, strict=True)))
    same(trace.with_gradient(trace.output, trace.seed), trace)
    loss.backward(retain_graph=True)
    if not hooked:
        for taken in (graph, tg.Graph.from_json(graph.to_json())):
            tensors = taken.tensors()
            same_walk(outputs, [tensors[i] for i in taken.outputs], upstream)


# Nobody else walks -------------------------------------------------------------------------------------------

#: who asks a rule for what it sends, beside the walk, and why that is no walk
ASKS = {
    "reverse_walk.py": "the walk",
    "dead_positions.py": "a part of the walk: rules with a branch that was left out",
    "bptt/local_rule.py": "one rule, to be shown",
    "primitives/record.py": "where rules are kept",
    "kept_walk.py": "one contribution of a kept walk that went straight into a buffer",
    "check/diagnosing.py": "one rule, by itself",
    "check/malformed_rules.py": "one rule, by itself",
    "diagnosis": "edited rules, handed to the walk",
    "testing": "one primitive, by itself; and backward passes that are meant to be others",
}


def test_only_the_walk_pulls_gradients_through_a_graph():
    package = Path(tg.__file__).parent
    files = [p for part in (package, Path(viz.__file__).parent) for p in sorted(part.rglob("*.py"))]
    asks = re.compile(r"\b(op|primitive)\.pull\(|\.vjp\[")
    asking = [p.relative_to(package.parent).as_posix() for p in files if asks.search(p.read_text("utf-8"))]
    assert not [p for p in asking if not any(p.startswith(f"tinygrad_rnn/{each}") for each in ASKS)]
    assert not [each for each in ASKS if not any(p.startswith(f"tinygrad_rnn/{each}") for p in asking)]
