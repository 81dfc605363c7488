"""Plain loops whose steps differ from one another: each element that is read is a step, though nobody said so."""

from __future__ import annotations

import pytest
from geometry import boxes, circular, disorder, faults

import tinygrad_rnn as tg
import viz
from tinygrad_rnn.recurrence.repeats import find


def weights(count):
    return [tg.randn(3, 3).requires_grad_() for _ in range(count)]


def clockwork(loop, x, judged, modules=3):
    """The k-th module moves at every 2ᵏ-th step, and reads all slower ones."""
    w, u = weights(modules), weights(modules)
    h, told = [tg.zeros(1, 3)] * modules, [list[tg.Tensor]() for _ in range(modules)]
    for t in loop:
        before = list(h)
        for k in range(modules):
            if t % 2**k == 0:
                h[k] = tg.tanh(x[t] @ w[k] + sum(before[k + 1 :], before[k]) @ u[k])
                told[k].append(h[k])
        judged(t, sum(h[1:], h[0]))
    return told


def alone(loop, x, judged):
    return clockwork(loop, x, judged, modules=2)


def attention_to_its_past(loop, x, judged):
    (w, u), past = weights(2), [tg.zeros(1, 3)]
    for t in loop:
        keys = tg.stack(past)
        share = (keys * past[-1]).sum(-1, keepdim=True).softmax(0)
        past.append(tg.tanh(x[t] @ w + (share * keys).sum(0) @ u))
        judged(t, past[-1])
    return [past[1:]]


def attention_to_its_past_one_by_one(loop, x, judged):
    (w, u), past = weights(2), [tg.zeros(1, 3)]
    for t in loop:
        share = tg.stack([(h * past[-1]).sum() for h in past]).softmax(0)
        past.append(tg.tanh(x[t] @ w + sum((share[k] * h for k, h in enumerate(past)), tg.zeros(1, 3)) @ u))
        judged(t, past[-1])
    return [past[1:]]


def something_once(loop, x, judged):
    """Printed, regularized, or looked at otherwise: what one step does beside the recurrence."""
    (w, u, v), h, told = weights(3), tg.zeros(1, 3), []
    for t in loop:
        h = tg.tanh(x[t] @ w + h @ u)
        told.append(h)
        if t == 1:
            judged(t, (h @ v).sum() * h)
        judged(t, h)
    return [told]


def a_list_of_inputs(loop, x, judged):
    return something_once(loop, [tg.randn(1, 3) for _ in range(len(x))], judged)


NETWORKS = (clockwork, alone, attention_to_its_past, attention_to_its_past_one_by_one, something_once, a_list_of_inputs)


def network(kind, steps, *, head=True, said=False):
    """The loss, and what each of its states was at every step at which it moved."""
    v, losses = tg.randn(3, 3).requires_grad_(), list[tg.Tensor]()

    def judged(t, h):
        losses.append(tg.nn.functional.cross_entropy(h @ v, [t % 3]))

    told = kind(tg.steps(steps) if said else range(steps), tg.randn(steps, 1, 3), judged)
    return (sum(losses[1:], losses[0]) if head else sum(h[-1].sum() for h in told)), told


@pytest.mark.parametrize("head", [True, False])
@pytest.mark.parametrize("steps", [3, 4, 5, 8])
@pytest.mark.parametrize("kind", NETWORKS)
def test_a_step_reads_one_element(kind, steps, head):
    loss, told = network(kind, steps, head=head)
    graph = tg.Graph(loss)
    found = [[graph.nodes[n].serial for n in row.nodes if n is not None] for loop in find(graph) for row in loop.states]
    moved = [[h.serial for h in states] for states in told if len(states) > 1]
    assert found == moved
    assert find(graph)[0].length == steps


@pytest.mark.parametrize("steps", [3, 4, 5])
@pytest.mark.parametrize("kind", NETWORKS)
def test_it_is_drawn_as_if_the_program_had_said_its_steps(kind, steps):
    tg.manual_seed(0)
    own, said = (viz.render(network(kind, steps, said=said)[0]).dot for said in (False, True))
    assert sorted(boxes(own).values()) == sorted(boxes(said).values())
    assert faults(own) == [] and circular(own) == set() and disorder(own) == []
