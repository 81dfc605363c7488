"""Modules that feed each other back are as many cells as there are modules: found, drawn and measured as such."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
from geometry import boxes, circular, disorder, faults
from unlabelled_recurrences import Loop

import tinygrad_rnn as tg
import viz
from tinygrad_rnn.recurrence.repeats import find
from viz.debugger.terminal.line_debugger import run

ORDERS = ("from below", "from above", "at once")


class Cell(tg.nn.Module):
    """One state, of an input of any width."""

    def __init__(self, inputs):
        super().__init__()
        self.w, self.u = tg.nn.Parameter(tg.randn(inputs, 3)), tg.nn.Parameter(tg.randn(3, 3))

    def forward(self, x, h):
        return tg.tanh(x @ self.w + h @ self.u)


def without_a_class(inputs):
    w, u = (tg.randn(n, 3).requires_grad_() for n in (inputs, 3))
    return lambda x, h: tg.tanh(x @ w + h @ u)


KINDS = {
    "module": Cell,
    "without a class": without_a_class,
    "gru": lambda inputs: tg.nn.GRUCell(inputs, 3),
    "lstm": lambda inputs: tg.nn.LSTMCell(inputs, 3),
}


def network(kind, order, *, steps=4, said=False):
    """The loss of two cells, and of each what it was at every step: one state, or two."""
    lower, upper = KINDS[kind](6), KINDS[kind](6 if order == "at once" else 3)
    x, head, loss = tg.randn(steps, 1, 3), tg.randn(3, 3).requires_grad_(), 0.0
    a, b = ((tg.zeros(1, 3), tg.zeros(1, 3)) if kind == "lstm" else tg.zeros(1, 3) for _ in range(2))
    h = (lambda state: state[0]) if kind == "lstm" else (lambda state: state)
    states = [], []
    for t in tg.steps(steps) if said else range(steps):
        if order == "from below":
            a = lower(tg.concat([x[t], h(b)], 1), a)
            b = upper(h(a), b)
        elif order == "from above":
            b = upper(h(a), b)
            a = lower(tg.concat([x[t], h(b)], 1), a)
        else:
            a, b = lower(tg.concat([x[t], h(b)], 1), a), upper(tg.concat([x[t], h(a)], 1), b)
        for told, state in zip(states, (a, b), strict=True):
            told.append(state if kind == "lstm" else (state,))
        loss = loss + tg.nn.functional.cross_entropy((h(a) * h(b)) @ head, [t % 3])
    return loss, *states


@pytest.mark.parametrize("said", [True, False])
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kind", KINDS)
def test_two_that_feed_each_other_are_two(kind, order, said):
    loss, *states = network(kind, order, said=said)
    graph = tg.Graph(loss)
    found = [{tuple(graph.nodes[n].serial for n in row.nodes) for row in loop.states} for loop in find(graph)]
    written = [{tuple(s.serial for s in row) for row in zip(*each, strict=True)} for each in states]
    assert found == (written if order != "from above" else written[::-1])


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kind", KINDS)
def test_they_are_drawn_as_two_with_a_first_state_each(kind, order):
    dot = viz.render(network(kind, order, said=True)[0]).dot
    kinds = [kind.split()[0] for *_, kind in boxes(dot).values()]
    assert kinds.count("cell") == 8
    assert kinds.count("state") == (12 if kind == "lstm" else 10)
    assert all(dot.count(f'"{name}"') == 1 for name in ("h⁽¹⁾₀ = 0", "h⁽²⁾₀ = 0", "h⁽¹⁾₄", "h⁽²⁾₄"))
    assert faults(dot) == [] and circular(dot) == set() and disorder(dot) == []


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_gradient_of_each_state_is_measured(kind, order):
    loss, *states = network(kind, order)
    gradients = [tg.grad(loss, [state[0] for state in each], retain_graph=True) for each in states]
    layers = viz.flow(loss, panels=("norms",)).layers
    for layer, own in zip(layers, gradients if order != "from above" else gradients[::-1], strict=True):
        assert layer.norms["h"] == pytest.approx({t: np.linalg.norm(g.numpy()) for t, g in enumerate(own, 1)})


def test_the_states_of_both_together_make_the_next():
    """Their Jacobian is one matrix; its products are the derivatives of the last states."""
    lower, upper, x, h = Cell(6), Cell(3), tg.randn(4, 1, 3), [tg.zeros(1, 3), tg.zeros(1, 3)]
    jacobians = []
    for t in range(4):
        h[0] = lower(tg.concat([x[t], h[1]], 1), h[0])
        h[1] = upper(h[0], h[1])
        slopes = [1 - state.numpy()[0, :, None] ** 2 for state in h]
        below = slopes[0] * np.hstack([lower.u.numpy().T, lower.w.numpy()[3:].T])
        above = slopes[1] * (upper.w.numpy().T @ below + np.hstack([np.zeros((3, 3)), upper.u.numpy().T]))
        jacobians.append(np.vstack([below, above]))
    product, expected = np.eye(6), {}
    for t in (3, 2, 1):
        product = product @ jacobians[t]
        expected[t] = np.linalg.norm(product, 2)
    for layer in viz.flow((h[0] * h[1]).sum(), panels=("jacobians", "products", "transfer")).layers:
        assert layer.products == pytest.approx(expected, rel=1e-4)
        assert layer.transfer[4] == pytest.approx(expected, rel=1e-4)
        assert layer.spectra[3] == pytest.approx(np.linalg.svd(jacobians[2], compute_uv=False), rel=1e-4)
        assert all(layer.products[t] <= bound * (1 + 1e-6) for t, bound in layer.product_bounds.items())


def two_cells(kind, steps=5):
    """The states of two cells at all steps, where each is made anew; ``kind`` says how they read each other."""
    lower, upper, x = Cell(6), Cell(6 if kind == "at once" else 3), tg.randn(steps, 1, 3)
    below, above = [tg.zeros(1, 3)], [tg.zeros(1, 3)]
    for t in range(steps):
        read = {"stacked": x[t], "all before": sum(below, x[t])}.get(kind, above[-1])
        if kind == "at once":
            read_above = tg.concat([x[t], below[-1]], 1)
        elif kind == "last from above":
            above.append(upper(below[-1], above[-1]))
            read = above[-1]
        below.append(lower(tg.concat([x[t], read], 1), below[-1]))
        if kind == "at once":
            above.append(upper(read_above, above[-1]))
        elif kind != "last from above" and (kind != "seldom" or t % 2 == 0):
            above.append(upper(below[-1], above[-1]))
    return below[1:], above[1:]


def derivative(later, earlier):
    """d later / d earlier, of states taken together; those of one step vary each on its own."""

    def total(outputs):
        rows = [tg.grad(y[0, i], earlier, retain_graph=True, allow_unused=True) for y in outputs for i in range(3)]
        return np.block([[np.zeros((1, 3)) if g is None else g.numpy() for g in row] for row in rows])

    return total(later) @ np.linalg.inv(total(earlier))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", ["stacked", "at once", "from below", "last from above", "seldom", "all before"])
def test_what_is_measured_is_the_derivative_and_no_bound_is_below_it(kind, seed, float64):
    tg.manual_seed(seed)
    states = two_cells(kind)
    together = kind in ("at once", "from below")
    groups = [list(zip(*states, strict=True))] * 2 if together else [[(h,) for h in own] for own in states]
    of = {last.serial: group for own, group in zip(states, groups, strict=True) for last in own}
    known = {
        id(group): [[np.linalg.norm(derivative(s, t), 2) for t in group[:k]] for k, s in enumerate(group)]
        for group in groups
    }
    loss = (states[1][-1] ** 2).sum()
    session = viz.debug(loss if kind == "last from above" else loss + (states[0][-1] * 2.0).sum())
    assert len(session.moments) == 2
    for path, moments in session.moments.items():
        group = of[session.graph.nodes[moments[0].nodes["h"]].serial]
        expected, gains, transfers = known[id(group)], session.gains(path), session.transfers(path)
        assert len(gains) == len(moments) - 1 >= 2
        for k, (gain, row) in enumerate(zip(gains, transfers.values(), strict=True)):
            assert gain.sigma == pytest.approx(expected[k + 1][k])
            assert gain.product == pytest.approx(expected[len(gains)][k])
            assert list(row.values()) == pytest.approx(expected[k + 1])
            assert gain.bound is None or gain.bound >= gain.sigma * (1 - 1e-9)
            assert gain.product_bound is None or gain.product_bound >= gain.product * (1 - 1e-9)
        if kind == "stacked":
            assert all(gain.bound and gain.product_bound for gain in gains)


@pytest.mark.parametrize(("kind", "said"), [("at once", "s = [h, h of cell2]"), ("seldom", "other ways, too")])
def test_the_debugger_says_of_what_it_tells_the_stretch(kind, said):
    states, out = two_cells(kind), io.StringIO()
    run(viz.debug((states[0][-1] + states[1][-1]).sum()), stdin=io.StringIO("sv cell1\nquit\n"), stdout=out)
    assert said in out.getvalue()


def pendulum(m, p, k):
    """The second reads what is new of the first."""
    p = p + 0.1 * tg.tanh(m @ k)
    return m - 0.1 * p, p


def shared_gate(m, p, k):
    g = tg.sigmoid(m @ k + p)
    return g * m + (1 - g) * tg.tanh(p), g * p + (1 - g) * tg.tanh(m)


def normalized_lstm(m, p, k):
    """Three states with loops of their own, of which the fourth, that the gates read, is made."""
    h, c = m
    f, i = tg.sigmoid(h @ k), tg.exp(tg.tanh(h @ k))
    c, p = f * c + i * tg.tanh(h), f * p + i
    return (c / p, c), p


def trace(m, p, k):
    return tg.tanh(m @ k + p), 0.9 * p + m


def projected_lstm(m, p, k):
    f = tg.sigmoid(m @ k)
    p = f * p + (1 - f) * tg.tanh(m @ k)
    return tg.tanh(p) @ k, p


@pytest.mark.parametrize("step", [pendulum, shared_gate, trace, normalized_lstm, projected_lstm])
def test_states_of_one_cell_stay_together(step):
    k, m, p = tg.randn(3, 3).requires_grad_(), tg.ones(1, 3), tg.ones(1, 3)
    m = (m, tg.ones(1, 3)) if step is normalized_lstm else m
    for _ in range(4):
        m, p = step(m, p, k)
    (loop,) = find(tg.Graph(((m[0] if isinstance(m, tuple) else m) * p).sum()))
    assert len(loop.states) == (3 if step is normalized_lstm else 2)


def test_what_a_memory_is_read_for_is_the_only_h_of_its_cell():
    """Of a controller, a memory and what is read of it, one is what the network reads: the others are h′ and h′′."""
    loop = Loop(("memory",), 3, judged="distance")
    for detail in ("cell", "gate"):
        dot = viz.render(loop.graph()[0], detail=detail).dot
        names = re.findall(r'label="?(h′*[₀₃])', dot)
        assert sorted(names) == sorted(("h₀", "h′₀", "h′′₀", "h₃", "h′₃", "h′′₃")), detail


def test_lines_that_meet_in_a_crowd_are_measured_too():
    """A loss with a gradient in it reads every box of every step."""
    loop = Loop(("gated",), 7, "attention", dense=True, judged="slope")
    assert faults(viz.render(loop.graph()[0]).dot) == []


def test_lines_of_a_single_step_are_measured_too():
    loop = Loop(("gated", "lstm", "lstm"), 1, "one pass", True, True, True, False, True, True, "mutual", "slope")
    assert faults(viz.render(loop.graph()[0], detail="gate").dot) == []
