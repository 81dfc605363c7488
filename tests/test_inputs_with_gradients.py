"""Inputs whose gradient is asked for, as for saliency or an adversarial example: they are inputs, not weights."""

from __future__ import annotations

from collections import Counter

import pytest
from geometry import boxes, faults

import tinygrad_rnn as tg
import viz
from tinygrad_rnn.recurrence.inputs_with_gradients import with_inputs_named
from tinygrad_rnn.recurrence.repeats import find


def leaf(*shape):
    return tg.randn(*shape).requires_grad_()


def sequence():
    w, u, x, h = leaf(3, 2), leaf(2, 2), leaf(3, 1, 3), tg.zeros(1, 2)
    for t in range(3):
        h = tg.tanh(x[t] @ w + h @ u)
    return h


def tensors_of_their_own():
    w, u, x, h = leaf(3, 2), leaf(2, 2), [leaf(1, 3) for _ in range(3)], tg.zeros(1, 2)
    for t in range(3):
        h = tg.tanh(x[t] @ w + h @ u)
    return h


def said_steps():
    w, u, x, h = leaf(3, 2), leaf(2, 2), [leaf(1, 3) for _ in range(3)], tg.zeros(1, 2)
    for t in tg.steps(3):
        h = tg.tanh(x[t] @ w + h @ u)
    return h


def side_by_side():
    layer, x, h = tg.nn.Linear(5, 2), [leaf(2, 3) for _ in range(3)], tg.zeros(2, 2)
    for t in range(3):
        h = tg.tanh(layer(tg.concat([x[t], h], 1)))
    return h


def columns():
    w, u, x, h = leaf(2, 3), leaf(2, 2), [leaf(3, 1) for _ in range(3)], tg.zeros(2, 1)
    for t in range(3):
        h = tg.tanh(w @ x[t] + u @ h)
    return h


def cells():
    cell, x, state = tg.nn.LSTMCell(3, 2), leaf(3, 2, 3), None
    for t in range(3):
        state = cell(x[t], state)
    return state[0]


def layer():
    return tg.nn.GRU(3, 2)(leaf(3, 1, 3))[0][-1]


NETWORKS = [sequence, tensors_of_their_own, said_steps, side_by_side, columns, cells, layer]


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("detail", ["cell", "gate", "op"])
def test_every_step_has_its_input(network, detail):
    tg.manual_seed(0)
    dot = viz.render(network().sum(), detail=detail).dot
    drawn = Counter(kind for *_, kind in boxes(dot).values() if "caption" not in kind)
    assert [drawn[f"x t{t}"] for t in (1, 2, 3)] == [1, 1, 1]
    assert faults(dot) == []
    assert not any(f"W{n}" in dot for n in (1, 2, 3))


@pytest.mark.parametrize("network", NETWORKS)
def test_equations_are_written_once_for_all_steps(network):
    tg.manual_seed(0)
    text = str(viz.derive(network().sum()))
    assert "dL/dx_t = " in text and "x_b" not in text and "dL/dW1" not in text


def test_one_input_for_all_steps_is_an_input():
    w, u, image, h = leaf(3, 2), leaf(2, 2), leaf(1, 3), tg.zeros(1, 2)
    for _ in range(3):
        h = tg.tanh(image @ w + h @ u)
    (place,) = [box for box in boxes(viz.render(h.sum()).dot).values() if box[4].startswith("x ")]
    assert place
    assert "W_xh" in viz.render(h.sum(), detail="op").dot


def test_its_gradient_is_drawn():
    tg.manual_seed(0)
    dot = viz.render(sequence().sum(), backward=True).dot
    assert all(f"∂L/∂x{digit}" in dot for digit in "₁₂₃") and faults(dot) == []


def low_rank():
    a, b, h = leaf(2, 1), leaf(1, 2), tg.ones(1, 2)
    for _ in range(3):
        h = tg.tanh(h @ (a @ b))
    return h


def one_matrix_a_layer():
    w, x = leaf(3, 2, 2), leaf(2, 2)
    h = tg.tanh(tg.ones(1, 2) @ x)
    for k in range(3):
        h = tg.tanh(h @ w[k])
    return h


def biases_of_layers():
    w, b, h = leaf(2, 2), leaf(2, 2), tg.ones(1, 2)
    for _ in range(3):
        for k in range(2):
            h = tg.tanh(h @ w + b[k])
    return h


def learned_first_state():
    w, u, h, x = leaf(2, 2), leaf(2, 2), leaf(1, 2), tg.ones(3, 1, 2)
    for t in range(3):
        h = tg.tanh(x[t] @ w + h @ u)
    return h


@pytest.mark.parametrize("network", [low_rank, one_matrix_a_layer, biases_of_layers, learned_first_state])
def test_weights_and_first_states_are_no_inputs(network):
    tg.manual_seed(0)
    graph = with_inputs_named(tg.Graph(network()))
    assert not [node for node in graph.nodes if node.role == "x" and node.requires_grad]


def test_a_graph_still_names_all_leaves_that_have_a_gradient():
    tg.manual_seed(0)
    (loop,) = find(tg.Graph(sequence()))
    assert len(loop.graph.parameters) == 3 and len(loop.weights) == 2


def test_of_one_step_that_reads_data_a_state_that_is_learned_is_no_input():
    w, u, h = (tg.randn(*size, requires_grad=True) for size in [(3, 3), (3, 3), (1, 3)])
    for begun, called in ((tg.ones(1, 3), None), (tg.zeros(1, 3), "x")):
        graph = with_inputs_named(tg.Graph(tg.tanh(begun @ w + h @ u).sum()))
        assert graph.nodes[graph.by_serial()[h.serial]].role == called
