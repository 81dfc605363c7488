"""JAX and HIPS autograd as independent judges, where installed: gradients of networks written from the papers."""

import importlib
from contextlib import suppress

import numpy as np
import pytest
from nightly import NIGHTLY
from oracle import close

import tinygrad_rnn as tg
from tinygrad_rnn.testing.networks import Network

with suppress(ImportError):  # now, for it sets variables and draws random numbers when it is imported
    import jax  # noqa: F401


def jax_gradient():
    jax = importlib.import_module("jax")
    jax.config.update("jax_enable_x64", True)
    return importlib.import_module("jax.numpy"), jax.grad


def autograd_gradient():
    return importlib.import_module("autograd.numpy"), importlib.import_module("autograd").grad


JUDGES = {"jax": jax_gradient, "autograd": autograd_gradient}
SIZES = [(1, False, (4, 2), 1.0), (2, True, (1, 3), 1.0), (1, False, (5,), 0.1)]
NETWORKS = [
    Network(kind, layers, both_ways, lengths=lengths, scale=scale, seed=len(kind) + len(lengths))
    for kind in ("rnn", "lstm", "gru")
    for layers, both_ways, lengths, scale in SIZES
]


def cell(xp, kind, x, state, w, u, b, d):
    h, *c = state
    along, back = x @ w.T + b, h @ u.T + d
    if kind == "rnn":
        return (xp.tanh(along + back),)
    if kind == "lstm":
        i, f, g, o = xp.split(along + back, 4, axis=1)
        c = sigmoid(xp, f) * c[0] + sigmoid(xp, i) * xp.tanh(g)
        return sigmoid(xp, o) * xp.tanh(c), c
    (rx, zx, nx), (rh, zh, nh) = xp.split(along, 3, axis=1), xp.split(back, 3, axis=1)
    r, z = sigmoid(xp, rx + rh), sigmoid(xp, zx + zh)
    return ((1 - z) * xp.tanh(nx + r * nh) + z * h,)


def sigmoid(xp, x):
    return 0.5 * (xp.tanh(0.5 * x) + 1)


def loss(xp, network, arrays):
    """The sum of the outputs and final states, each times the gradient that arrives at it."""
    sequence, finals, place = list(arrays["x"]), [], 0
    for layer in range(network.layers):
        ways = []
        for way in ("", "_reverse")[: 1 + network.bidirectional]:
            weights = [arrays[f"{n}_l{layer}{way}"] for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
            state, outputs = tuple(arrays[name][place] for name in network.given[1:]), [None] * network.steps
            for t in range(network.steps)[:: -1 if way else 1]:
                runs = (t < np.array(network.lengths))[:, None]
                new = cell(xp, network.kind, sequence[t], state, *weights)
                outputs[t] = xp.where(runs, new[0], 0.0)
                state = tuple(xp.where(runs, a, b) for a, b in zip(new, state))
            ways.append(outputs)
            finals.append(state)
            place += 1
        sequence = [xp.concatenate(outputs, axis=1) for outputs in zip(*ways)]
    output, *last = network.upstream
    total = sum(xp.sum(y * g) for y, g in zip(sequence, output))
    return total + sum(xp.sum(s * g) for state, *gs in zip(finals, *last) for s, g in zip(state, gs))


#: JAX compiles each operation for each shape: by day it judges the network of two layers of each kind
JUDGED = [(n, judge) for n in NETWORKS for judge in JUDGES if NIGHTLY or judge != "jax" or n.layers == 2]


def name_of(x):
    return x if isinstance(x, str) else f"{x.kind}-{x.layers}-{x.bidirectional}-{x.scale}"


@pytest.mark.parametrize(("network", "judge"), JUDGED, ids=name_of)
def test_every_gradient_of_a_network(judge, network):
    pytest.importorskip(judge, reason=f"{judge}, an independent judge, is not installed (pip install '.[judges]')")
    xp, grad = JUDGES[judge]()
    expected = grad(lambda arrays: loss(xp, network, arrays))(network.arrays)
    outputs, leaves = network.run()
    got = tg.grad(outputs, list(leaves.values()), network.upstream)
    assert set(leaves) == set(expected)
    for name, mine in zip(leaves, got):
        close(mine.numpy(), np.asarray(expected[name]), 1e-10, 1e-14)
