"""The recurrence of a graph is found from what repeats in it, whatever was said about steps, scopes and roles."""

from __future__ import annotations

import re
import time
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from geometry import disorder
from hypothesis import assume, example, given
from nightly import examples
from unlabelled_recurrences import Loop, Uneven, loops, uneven

import tinygrad_rnn as tg
import viz
from tinygrad_rnn.recurrence.annotate_time_steps import timed
from tinygrad_rnn.recurrence.repeats import find
from tinygrad_rnn.scopes import Scope
from tinygrad_rnn.sequence_patterns import build


@given(loops(wider=True))
@example(Loop(("gru", "gated", "residual"), 2, "both ways", head=False, dense=True))  # three loops, end to end
@example(Loop(("residual", "gated", "gated"), 2, head=False, listed=True, dense=True))  # the last step adds once more
def test_a_random_program_is_found_as_it_was_written(loop: Loop):
    graph, cells = loop.graph()
    found = find(graph)
    assert [r.length for r in found] == [cell.steps for cell in cells]
    by_serial = graph.by_serial()
    for r, cell in zip(found, cells, strict=True):
        assert {graph.nodes[w].serial for w in r.weights} == cell.weights
        assert {tuple(graph.nodes[n].serial for n in row.nodes) for row in r.states} == cell.states
        assert {n for initial in r.initial for n in initial} == {by_serial[s] for s in cell.initial}


@given(loops())
def test_repetitions_are_isomorphic(loop: Loop):
    graph, _ = loop.graph()
    for r in find(graph):
        place = {n: (t, k) for k, row in enumerate(r.rows) for t, n in enumerate(row.nodes) if n is not None}
        for k, row in enumerate(r.rows):
            assert None not in row.nodes
            wired = [
                [(place[s][1], t - place[s][0]) if s in place else "outside" for s in graph.nodes[n].sources]
                for t, n in enumerate(row.nodes)
                if n is not None
            ]
            assert all(w == wired[1] for w in wired[1:]), k
            assert len({graph.nodes[n].op.name for n in row.nodes}) == 1


@given(loops())
def test_writing_it_down_changes_no_value_and_is_found_again(loop: Loop):
    graph, _ = loop.graph()
    again = timed(graph)
    assert [(n.op, n.operands, n.attrs, n.serial) for n in again.nodes] == [
        (n.op, n.operands, n.attrs, n.serial) for n in graph.nodes
    ]
    shapes = [(r.length, Counter(row.op for row in r.states), r.weights) for r in find(graph)]
    assert [(r.length, Counter(row.op for row in r.states), r.weights) for r in find(again)] == shapes
    assert len(again.steps) == max((r.length for r in find(graph)), default=0)


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("layers", [1, 2])
def test_our_own_layers_are_found_without_their_labels(cell, layers):
    graph = tg.Graph(build("many-to-many", cell, length=5, layers=layers))
    bare = tg.Graph.of((replace(n, scope=Scope(), role=None, name=None, site=None) for n in graph.nodes), graph.outputs)
    assert [(r.length, len(r.states), r.weights) for r in find(bare)] == [
        (r.length, len(r.states), r.weights) for r in find(graph)
    ]
    assert len(find(graph)) == layers


def test_a_backward_pass_over_the_sequence_counts_its_steps_from_the_end():
    w, u, x, h = tg.ones(3, 3).requires_grad_(), tg.ones(3, 3).requires_grad_(), tg.ones(4, 1, 3), tg.zeros(1, 3)
    for t in reversed(range(4)):
        h = (x[t] @ w + h @ u).tanh()
    graph = tg.Graph(h)
    (loop,) = find(graph)
    assert loop.reverse
    assert timed(graph).nodes[graph.outputs[0]].scope.step == 0


def test_what_does_not_recur_is_none():
    layers = [tg.nn.Linear(3, 3) for _ in range(4)]
    x = tg.ones(2, 3)
    for layer in layers:
        x = layer(x).tanh()
    total = tg.tensor(0.0)
    for k in range(5):
        total = total + tg.nn.functional.cross_entropy(x, [k % 3, 0])
    assert find(tg.Graph(total)) == ()
    assert timed(tg.Graph(total)).steps == ()


@pytest.mark.parametrize("start", [0.0, tg.tensor(0.0), tg.zeros(1), tg.zeros(2)])
@pytest.mark.parametrize("each", [lambda y: y.square().mean(), lambda y: y.square().mean(1)])
def test_a_running_loss_is_no_state_whatever_its_shape(start, each):
    w, u, v = (tg.ones(3, 3).requires_grad_() for _ in range(3))
    x, h, loss = tg.ones(4, 2, 3), tg.zeros(2, 3), start
    for t in range(4):
        h = (x[t] @ w + h @ u).tanh()
        loss = loss + each(h @ v)
    (loop,) = find(tg.Graph((loss / 4).sum()))
    assert [row.op for row in loop.states] == ["tanh"]


def test_a_sum_that_is_read_by_a_layer_is_a_state():
    w, v = tg.ones(3, 3).requires_grad_(), tg.ones(3, 3).requires_grad_()
    x, h = tg.ones(4, 2, 3), tg.zeros(2, 3)
    for t in range(4):
        h = h + x[t] @ w
    (loop,) = find(tg.Graph((h @ v).sum()))
    assert [row.op for row in loop.states] == ["add"]


@pytest.mark.parametrize("said", [False, True])
@pytest.mark.parametrize("discounted", [lambda total, t: total * 0.9, lambda total, t: total * t / (t + 1)])
def test_a_total_in_which_the_past_counts_less_is_no_state(discounted, said):
    """Its first step has nothing to scale, so that it has fewer operations than the others."""
    w, u, v = (tg.ones(3, 3).requires_grad_() for _ in range(3))
    x, h, loss = tg.ones(4, 2, 3), tg.zeros(2, 3), 0.0
    for t in tg.steps(4) if said else range(4):
        h = (x[t] @ w + h @ u).tanh()
        loss = discounted(loss, t) + (h @ v).square().mean()
    (loop,) = find(tg.Graph(loss))
    assert loop.length == 4 and [row.op for row in loop.states] == ["tanh"]


@pytest.mark.parametrize("said", [False, True])
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("head", [True, False])
def test_the_first_step_may_have_no_state_to_read(head, first, said):
    w, u, v = (tg.ones(3, 3).requires_grad_() for _ in range(3))
    x, h, loss = tg.ones(4, 2, 3), None, 0.0
    for t in tg.steps(4) if said else range(4):
        a = x[t] @ w if h is None else h @ u + x[t] @ w if first else x[t] @ w + h @ u
        h = a.tanh()
        loss = loss + (h @ v).square().mean() if head else h.sum()
    (loop,) = find(tg.Graph(loss))
    assert loop.length == 4 and set(loop.initial) == {()}
    assert [row.op for row in loop.states] == ["tanh"] and None not in loop.states[0].nodes
    assert [sum(n is None for n in row.nodes) for row in loop.rows if row.op == "matmul"].count(1) == 1


def test_a_state_that_begins_as_a_number_is_carried_from_the_first_step_on():
    w, v = tg.ones(3, 3).requires_grad_(), tg.ones(3, 3).requires_grad_()
    x, h = tg.ones(4, 2, 3), 0.0
    for t in range(4):
        h = 0.9 * h + x[t] @ w
    (loop,) = find(tg.Graph((h @ v).square().sum()))
    assert loop.length == 4 and [row.op for row in loop.states] == ["add"]


@pytest.mark.parametrize("after_an_encoder", [False, True])
@pytest.mark.parametrize("computed", [False, True])
@pytest.mark.parametrize("start", [0.0, tg.tensor(0.0)])
def test_a_loop_fed_its_own_softmax_begins_with_the_states_that_it_is_given(start, computed, after_an_encoder):
    """The last step computes no softmax that is read, and fewer values cross elsewhere in a step."""
    w, u, v, k = (tg.randn(*shape).requires_grad_() for shape in ((4, 3), (3, 3), (3, 4), (2, 3)))
    x, h, y, loss = tg.randn(3, 1, 2), tg.randn(1, 3), tg.randn(1, 4), start
    h, y = (0.1 * h, 0.1 * y) if computed else (h, y)
    if after_an_encoder:
        for t in range(3):
            h = tg.tanh(x[t] @ k + h @ k[:1].T @ k[1:])
    given = h, y
    for t in range(4):
        h = tg.tanh(y @ w + h @ u)
        scores = h @ v
        y = tg.nn.functional.softmax(scores, -1)
        loss = loss + tg.nn.functional.cross_entropy(scores, [t])
    graph = tg.Graph(loss)
    loop = find(graph)[-1]
    assert loop.length == 4
    assert {row.op: row.nodes.count(None) for row in loop.states} == {"tanh": 0, "softmax": 1}
    assert {graph.nodes[i].serial for initial in loop.initial for i in initial} == {x.serial for x in given}
    equations = str(viz.derive(loss))
    assert re.search(r"tanh\(h\w*prime_\(t-1\) @ \w+ \+ h\w*_\(t-1\) @ \w+\)", equations), equations


def test_three_thousand_steps_take_a_second_or_two():
    w, u = (tg.tensor(0.1 * np.eye(2), requires_grad=True) for _ in range(2))
    x, h = tg.ones(3000, 1, 2), tg.zeros(1, 2)
    for t in range(3000):
        h = (x[t] @ w + h @ u).tanh()
    graph = tg.Graph(h)
    start = time.process_time()
    (loop,) = find(graph)
    assert loop.length == 3000
    assert time.process_time() - start < 10


@given(uneven())
def test_a_program_whose_steps_differ_has_one_recurrence_a_cell(program: Uneven):
    loss = program.loss()
    steps = len(program.moves)
    if program.kind in ("hierarchical", "truncated"):  # two clocks; what was cut off may be in no result
        return
    wanted = {
        "clockwork": [steps, steps],
        "clockwork, slow first": [steps, steps],
        "from an encoder": [steps, steps - 1],
        "to and fro": [steps] * 3,
    }.get(program.kind, [steps])
    assert [r.length for r in find(tg.Graph(loss))] == wanted


@given(uneven())
@examples(10, 300)
@example(Uneven("scheduled sampling", moves=(False, True, False)))  # one input alone
@example(Uneven("clockwork, slow first", moves=(True, False, True, False, True)))
@example(Uneven("a cell in a cell", moves=(True, False, True)))
def test_each_box_of_uneven_steps_has_a_name_of_its_own_and_each_input_a_box(program: Uneven):
    given = any(program.moves[1:]) and 1 + sum(program.moves[1:])  # else what is read first is a state
    inputs = {
        "scheduled sampling": given,
        "scheduled sampling of leaves": given,
        "clockwork": len(program.moves),
        "clockwork, slow first": len(program.moves),
        "a cell in a cell": len(program.moves) + sum(program.moves[:-1]) + 1,
        "hierarchical": 2 * len(program.moves),
    }
    assume(program.kind in inputs)
    dot = viz.render(program.loss(), max_steps=None).dot
    names = re.findall(r"^\s*\w+ \[label=\"?([xhyL][^<\",]+(?:,[₀-₉]+)?)", dot, re.MULTILINE)
    assert len(names) == len(set(names)), names
    assert disorder(dot) == []
    assert sum(name.startswith("x") for name in names) == inputs[program.kind], names


def test_layers_that_read_to_and_fro_are_each_turned_against_the_one_below():
    found = find(tg.Graph(Uneven("to and fro", moves=(True,) * 4).loss()))
    assert [r.reverse for r in found] == [False, True, False]


def test_a_network_over_a_parse_tree_is_no_sequence():
    """A call reads two others, and no call is read twice: it has no time steps, and its picture is a tree."""
    left, right = tg.randn(3, 3, requires_grad=True), tg.randn(3, 3, requires_grad=True)

    def node(a, b):
        return tg.tanh(a @ left + b @ right)

    a, b, c, d, e = tg.randn(5, 1, 3)
    graph = tg.Graph(node(node(node(a, b), c), node(d, e)).sum())
    assert not find(graph) and timed(graph).steps == ()
    h = tg.zeros(1, 3)
    earlier = h
    for _ in range(4):  # but what reads two steps back as well is one
        h, earlier = node(h, earlier), h
    assert len(find(tg.Graph(h.sum()))) == 1


@pytest.mark.parametrize("steps", [2, 3, 5])
@pytest.mark.parametrize("before", [tg.tanh, lambda a: tg.tanh(a).T.T, lambda a: tg.tanh(a + 1.0)])
def test_what_is_made_before_a_loop_and_read_after_it_is_none_of_its_steps(steps, before):
    """Though it ends as each step does: no step reads it."""
    u, w, v = (tg.randn(3, 3, requires_grad=True) for _ in range(3))
    x, h = tg.randn(steps, 2, 3), tg.zeros(2, 3)
    key = before(tg.randn(2, 3) @ v)
    for t in range(steps):
        h = tg.tanh(x[t] @ w + h @ u)
    graph = timed(tg.Graph((h * key).sum()))
    told = [(n.scope.step, n.role) for n in graph.nodes if n.op is not None and n.op.name == "tanh"]
    assert told == [(None, None), *((t, "h") for t in range(steps))]
