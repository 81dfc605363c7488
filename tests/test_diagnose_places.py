"""Mistakes in what several places have in common, in what a program detaches, and in what a penalty is made of.

The wrong gradients are those of the same network with other `detach`, which is how such mistakes are made.
"""

import numpy as np
import pytest

import tinygrad_rnn as tg

T, N, H = 4, 2, 3
RNG = np.random.default_rng(11)
SHAPES = {"W": (2, H), "U": (H, H), "b": (H,), "p": (H,), "V": (H, 2)}
VALUES = {name: RNG.normal(0, 0.8, shape) for name, shape in SHAPES.items()}
X, MASK = RNG.normal(size=(T, N, 2)), np.array([[0.0, 1.5, 1.5], [1.5, 0.0, 1.5]])


def kept(x):
    return x


def swish(x, first=kept, second=kept):
    return first(x) * tg.sigmoid(second(x))


def network(cuts=(2,), factor=kept, gate=kept, penalty="dropped"):
    """The loss and its leaves; ``factor`` and ``gate`` are done to the parts of both activations, or of the second."""
    p = {name: tg.tensor(value, requires_grad=True, name=name) for name, value in VALUES.items()}
    h, states, scores = tg.zeros(N, H, dtype=np.float64), [], []
    for t in tg.steps(T):
        if t in cuts:
            h = h.detach()
        f = tg.sigmoid(X[t] @ p["W"] + p["b"] + p["p"] * h)
        h = f * h + (1 - f) * swish(X[t] @ p["W"] + h @ p["U"], factor, gate)
        states.append(h)
        scores.append(swish(h @ p["V"] + 0.5, factor, gate).square().sum())
    raw = tg.stack(states)
    out = raw * MASK
    loss = sum(scores) + (out @ p["V"]).square().sum()
    return loss + 0.1 * (out if penalty == "dropped" else raw).square().sum(), p


def gradients(**changes):
    loss, p = network(**changes)
    return {name: g.numpy() for name, g in zip(p, tg.grad(loss, list(p.values())), strict=True)}


@pytest.mark.parametrize(
    "changes, says",
    [
        ({"factor": tg.Tensor.detach}, "Everywhere alike: at every step, what "),
        ({"cuts": ()}, "The gradient of h goes on where the program detaches it."),
        ({"cuts": (1,)}, "The gradient of h stops one time step earlier than where the program detaches it."),
        ({"penalty": "raw"}, "out ⊙ out is made of raw where out belongs, and sends to that"),
    ],
    ids=["an activation at two places", "no cut", "a cut too early", "a penalty of another value"],
)
def test_a_mistake_that_detach_makes_is_named(changes, says):
    found = tg.diagnose(network()[0], gradients(**changes), max_edits=1)
    assert any(says in edit.words for edit in found.edits), str(found)
