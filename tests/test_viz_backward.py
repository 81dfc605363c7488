"""Pictures with the backward pass in them: gradients stand where what they are of does, and run the other way."""

from __future__ import annotations

import re

import pytest
from geometry import boxes, faults, lines

import tinygrad_rnn as tg
import viz
from tinygrad_rnn.nn import functional as F
from viz.graph import layout as whole


def attention(decoder, head, score):
    """Encoder, decoder, and a memory of all of the encoder's states between them."""
    encoder, x, s, states, loss = tg.nn.GRUCell(2, 2), tg.randn(3, 1, 2), tg.zeros(1, 2), [], 0.0
    for t in range(3):
        s = encoder(x[t], s)
        states.append(s)
    memory, y = tg.stack(states), tg.randn(3, 1, 2)
    for t in range(3):
        context = (score(memory, s).softmax(0) * memory).sum(0)
        s = decoder(tg.concat([y[t], context], 1), s)
        loss = loss + F.cross_entropy(head(s, context), [t % 2])
    return loss


def general():
    """Scores of the products of states, and an output of the state alone."""
    key, out = tg.nn.Linear(2, 2, bias=False), tg.nn.Linear(2, 2)
    return attention(tg.nn.GRUCell(4, 2), lambda s, _: out(s), lambda m, s: (key(m) * s).sum(-1, keepdims=True))


def additive():
    """Scores of a layer of their own, and an output of what was read, too."""
    key, query, energy, out = tg.nn.Linear(2, 2), tg.nn.Linear(2, 2), tg.nn.Linear(2, 1), tg.nn.Linear(4, 2)
    cell = tg.nn.GRUCell(4, 2)
    return attention(cell, lambda s, c: out(tg.concat([s, c], 1)), lambda m, s: energy(tg.tanh(key(m) + query(s))))


@pytest.mark.parametrize("network", [general, additive])
def test_attention_is_tiled_with_its_gradients(network):
    """The gradient of the memory stands between the passes too, above it, as the memory does below."""
    tg.manual_seed(0)
    picture = viz.render(network(), backward=True)
    assert faults(picture.dot) == [] and "alike" not in picture.dot
    placed = boxes(picture.dot)
    for kind in ("cell", "backward"):
        assert len({y for _, y, *_, own in placed.values() if own.split()[0] == kind}) == 1, kind
    passes = [[x for name, (x, *_) in placed.items() if f"_s{k}_" in name] for k in (0, 1)]
    (memory,) = [name for name, (*_, own) in placed.items() if own.split()[0] == "op"]
    gradient = next(name for name in placed if name.startswith(memory.replace("n", "g", 1) + "_"))
    for name in (memory, gradient):
        assert max(passes[0]) < placed[name][0] < min(passes[1])
    ends = {(tail, head) for tail, head, _ in lines(picture.dot)}
    assert len({head for tail, head in ends if tail == gradient}) == 3
    assert len({tail for tail, head in ends if head == gradient}) == 3


def test_what_dot_has_placed_says_so_and_keeps_gradients_beside_what_they_are_of(monkeypatch):
    """Time goes from left to right, and a gradient is in the strip of its time step, no farther to the right."""
    tiled = whole.mended
    calls = []
    monkeypatch.setattr(whole, "mended", lambda layout: calls.append(0) or (99 if len(calls) == 1 else tiled(layout)))
    tg.manual_seed(0)
    dot = viz.render(general(), backward=True).dot
    assert "the steps are not drawn alike: 99 lines would run" in dot
    placed = boxes(dot)
    for kind in ("cell", "backward"):
        xs = [(name[name.index("_s") :], x) for name, (x, *_, own) in placed.items() if own.split()[0] == kind]
        assert [x for _, x in sorted(xs)] == sorted(x for _, x in xs), kind
    width = max(x for x, *_ in placed.values()) - min(x for x, *_ in placed.values())
    backward, forward = (
        {n[n.index("_s") :]: x for n, (x, *_, own) in placed.items() if own.split()[0] == kind}
        for kind in ("backward", "cell")
    )
    assert all(abs(backward[step] - forward[step]) < width / 8 for step in forward)


def test_a_penalty_on_a_cells_weights_is_joined_to_them_forward_and_back():
    """A layer's W has the loss's gradient through the steps and, beside them, that of the penalty."""
    w, u, h, loss = tg.randn(2, 3, requires_grad=True), tg.randn(3, 3, requires_grad=True), tg.zeros(1, 3), 0.0
    for t in range(3):
        h = tg.tanh(tg.randn(1, 2) @ w + h @ u)
        loss = loss + F.cross_entropy(h, [t])
    dot = viz.render(loss + 0.05 * ((u * u).sum() + (w**2).sum()), backward=True).dot
    title = dict(re.findall(r'^\s*(\w+) \[label="?([^"\\ ]*(?: ⊙ [^"\\ ]*)?)', dot, re.MULTILINE))
    joined = {(title.get(a), title.get(b)) for a, b, _ in lines(dot)}
    assert {("W", "W_xh^2"), ("W", "W_hh ⊙ W_hh"), ("∂L/∂(W_hh ⊙ W_hh)", "∂L/∂W"), ("∂L/∂(W_xh^2)", "∂L/∂W")} <= joined
    assert not faults(dot)


def own_cell(states, *, memory):
    """A cell of one's own whose first state is learned, or its two."""
    w, u, v, loss = tg.randn(2, 3, requires_grad=True), tg.randn(3, 3, requires_grad=True), tg.randn(3, 2), 0.0
    h, c = states[0], states[-1]
    for t in range(3):
        a = tg.tanh(tg.randn(1, 2) @ w + h @ u)
        c = 0.5 * c + a if memory else c
        h = a * tg.sigmoid(c) if memory else a
        loss = loss + F.cross_entropy(h @ v, [t % 2])
    return loss


def learned(count):
    """States that are learned."""
    return [tg.randn(1, 3, requires_grad=True) for _ in range(count)]


def handed_over():
    """A decoder that begins with what a layer makes of the encoder's last state."""
    encoder, decoder, bridge, out = tg.nn.GRUCell(2, 3), tg.nn.GRUCell(2, 3), tg.nn.Linear(3, 3), tg.nn.Linear(3, 2)
    s, loss = learned(1)[0], 0.0
    for _ in range(2):
        s = encoder(tg.randn(1, 2), s)
    s = tg.tanh(bridge(s))
    for t in range(2):
        s = decoder(tg.randn(1, 2), s)
        loss = loss + F.cross_entropy(out(s), [t])
    return loss


@pytest.mark.parametrize("detail", ["cell", "gate"])
@pytest.mark.parametrize(
    "network",
    [
        lambda: own_cell(learned(1), memory=False),
        lambda: own_cell(learned(2), memory=True),
        lambda: own_cell(learned(1), memory=True),
        handed_over,
    ],
    ids=["state", "two states", "one for both", "handed over"],
)
def test_all_that_a_gradient_reaches_has_a_box_for_it(network, detail):
    """What the steps begin with, too: the gradient stands as far before the first step as the state does."""
    tg.manual_seed(0)
    loss = network()
    dot = viz.render(loss, detail=detail, backward=True).dot
    assert faults(dot) == []
    placed, nodes = boxes(dot), tg.Graph(loss).nodes
    forward, backward = (
        {int(found[1]): name for name in placed if (found := re.match(letter + r"(\d+)", name))} for letter in "ng"
    )
    needed = {i for i in forward if nodes[i].requires_grad}
    assert needed <= backward.keys()
    for i in needed:
        assert any(tail == backward[i] or head == backward[i] for tail, head, _ in lines(dot))
    begun = [i for i in needed if "_t" not in forward[i] and placed[forward[i]][4].split()[0] == "state"]
    assert begun, "a state that the steps begin with"
    for i in begun:
        segment = min(forward[k] for k in forward if (forward[i], forward[k]) in {(a, b) for a, b, _ in lines(dot)})
        first = re.search(r"_s\d+_t1$", segment)[0]
        steps = [x for name, (x, *_) in placed.items() if name.endswith(first)]
        assert max(placed[forward[i]][0], placed[backward[i]][0]) < min(steps)
