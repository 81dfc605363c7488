"""Truncated backpropagation: a state that is detached every few steps is the same loop's, with the cut visible."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from geometry import boxes, circular, disorder, faults, lines

import tinygrad_rnn as tg
import viz
from tinygrad_rnn.nn import functional as F
from tinygrad_rnn.recurrence.detached import joined
from viz.graph.detail_levels import collapse


def matrices(steps):
    w, u, v = (tg.randn(2, 2).requires_grad_() for _ in range(3))
    x, h, loss = tg.randn(6, 1, 2), tg.zeros(1, 2), 0.0
    for t in steps:
        h = tg.tanh(x[t] @ w + (h.detach() if t % 2 == 0 else h) @ u)
        loss = loss + F.cross_entropy(h @ v, [t % 2])
    return loss


def plain_loop():
    return matrices(range(6))


def said_steps():
    return matrices(tg.steps(6))


def once():
    """Detached once, after four of six steps, and made a constant by way of NumPy."""
    cell, x, h, loss = tg.nn.GRUCell(2, 2), tg.randn(6, 1, 2), tg.zeros(1, 2), 0.0
    for t in range(6):
        h = cell(x[t], tg.tensor(h.numpy()) if t == 4 else h)
        loss = loss + h.square().sum()
    return loss


def cells():
    cell, head, x, state, loss = tg.nn.LSTMCell(2, 2), tg.nn.Linear(2, 2), tg.randn(6, 1, 2), None, 0.0
    for t in range(6):
        if t == 2 or t == 4:
            state = tuple(each.detach() for each in state)
        state = cell(x[t], state)
        loss = loss + F.cross_entropy(head(state[0]), [t % 2])
    return loss


def pieces():
    """A layer that reads a sequence piece by piece, and begins each with the state of the one before."""
    layer, head, x, h, loss = tg.nn.GRU(2, 2), tg.nn.Linear(2, 2), tg.randn(6, 1, 2), None, 0.0
    for k in range(3):
        out, h = layer(x[2 * k : 2 * k + 2], None if h is None else h.detach())
        loss = loss + F.cross_entropy(head(out[:, 0]), [0, 1])
    return loss


CUTS = {plain_loop: {3: 1, 5: 1}, said_steps: {3: 1, 5: 1}, once: {5: 1}, cells: {3: 2, 5: 2}, pieces: {3: 1, 5: 1}}


def cuts(dot):
    """By time step how many dashed lines lead into it."""
    found = [line for line in dot.splitlines() if re.search(r'class="\w+ cut"', line)]
    return dict(Counter(int(line.split(" -> ")[1].split(" ")[0].rsplit("_t", 1)[1]) for line in found))


@pytest.mark.parametrize("network", CUTS)
def test_it_is_tiled_and_the_cut_is_drawn(network):
    tg.manual_seed(0)
    dot = viz.render(network()).dot
    drawn = Counter(kind for *_, kind in boxes(dot).values())
    assert [drawn[f"cell t{t}"] for t in range(1, 7)] == [1] * 6
    assert faults(dot) == [] and disorder(dot) == [] and circular(dot) == set()
    assert cuts(dot) == CUTS[network]
    assert "dashed: detached, so that no gradient flows back" in dot


@pytest.mark.parametrize("network", CUTS)
def test_no_gradient_is_drawn_across_the_cut(network):
    tg.manual_seed(0)
    dot = viz.render(network(), backward=True).dot
    kinds = {name: kind for name, (*_, kind) in boxes(dot).items()}
    later = [
        int(tail.rsplit("_t", 1)[1])
        for tail, head, _ in lines(dot)
        if kinds[tail].startswith("backward") and "_t" in head and head.rsplit("_t", 1)[1] < tail.rsplit("_t", 1)[1]
    ]
    assert set(later) == {2, 3, 4, 5, 6} - set(CUTS[network])
    assert faults(dot) == []


@pytest.mark.parametrize("detail", ["gate", "op"])
@pytest.mark.parametrize("network", [plain_loop, said_steps])
def test_at_the_finer_levels_it_is_an_operation(network, detail):
    tg.manual_seed(0)
    dot = viz.render(network(), detail=detail).dot
    assert dot.count("label=detach") == 2 and faults(dot) == []


@pytest.mark.parametrize("network", CUTS)
def test_folded_it_is_the_same_network(network):
    """One cell with an arrow back to itself for each of its states."""
    tg.manual_seed(0)
    dot = viz.render(network(), rolled=True).dot
    loops = [tail for tail, head, _ in lines(dot) if tail == head and tail.startswith("rolled")]
    assert len(loops) == (2 if network is cells else 1)


def test_what_is_no_copy_stays_a_constant():
    """Ones and zeros, as in a mask, are many values; and nothing is a copy of what was computed after it."""
    w, x = tg.randn(2, 2).requires_grad_(), tg.randn(1, 2)
    y = (x @ w) * tg.ones(1, 2) + (x @ (w * 0.0))
    again = tg.tensor(y.numpy()) * tg.zeros(1, 2)
    graph = joined(tg.Graph((again + y).sum()))
    assert [node.op.name for node in graph.nodes if node.op].count("detach") == 1
    assert joined(tg.Graph(y.sum())).nodes[0].op is None


def test_the_line_of_a_cell_state_says_what_it_is():
    tg.manual_seed(0)
    dot = viz.render(cells()).dot
    assert [f'label="c{digit}"' in dot or f"label=c{digit} " in dot for digit in "₁₂₃₄₅₆"] == [True] * 5 + [False]


def test_only_states_that_were_cut_off_are_seen_as_copies():
    tg.manual_seed(0)
    level = collapse(tg.Graph(plain_loop()), "cell")
    assert Counter(edge.cut for edge in level.edges)[True] == 2


def test_a_stack_whose_states_are_all_cut_off_is_one_sequence_in_the_debugger_too():
    below, above, x, loss = tg.nn.GRUCell(2, 3), tg.nn.GRUCell(3, 3), tg.randn(6, 1, 2), 0.0
    h = g = tg.zeros(1, 3)
    for t in range(6):
        if t % 2 == 0:
            h, g = h.detach(), g.detach()
        h = below(x[t], h)
        g = above(h, g)
        loss = loss + g.square().sum()
    session = viz.debug(loss)
    names = set(session.names.names)
    assert len(session.moments) == 2 and {f"h{k}_{t}" for k in (1, 2) for t in range(7)} <= names
    assert {"cell1.h_2:constant", "cell2.h_4:constant"} <= names and session.cuts()


@pytest.mark.parametrize("rolled", [True, False])
def test_a_line_has_the_colour_of_what_it_brings_whether_it_was_cut_or_not(rolled):
    tg.manual_seed(0)
    dot = viz.render(cells(), rolled=rolled).dot
    drawn = re.findall(r'-> \w+ \[.*?class="?(h|c)( cut)?"? color="(#\w+)".*?style=(\w+)', dot)
    for kind in "hc":
        own = [line[1:] for line in drawn if line[0] == kind]
        assert {dashes for cut, _, dashes in own if cut} == {"dashed"} and {d for cut, _, d in own if not cut} == {
            "solid"
        }
        assert len({color for _, color, _ in own}) == 1
