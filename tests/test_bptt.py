"""Backpropagation through time, proven: every tensor, every time step's share of it, every state, in any network."""

import numpy as np
import pytest
from hypothesis import example, given
from nightly import NIGHTLY, examples

import tinygrad_rnn as tg
from tinygrad_rnn.check.tolerances import bound, tolerance
from tinygrad_rnn.kept_walk import walked
from tinygrad_rnn.rounding_noise import noise
from tinygrad_rnn.testing import strategies
from tinygrad_rnn.testing.networks import Network
from tinygrad_rnn.testing.oracles import WEIGHTS

KINDS = ("rnn", "lstm", "gru")
RTOL = tolerance("complex-step", np.float64).rtol


def by_key(graph, kept, names):
    """What a walk (or the noise in one) says, sorted as `Network.truth` sorts it."""
    found = {}
    for index, gradient in kept.gradients.items():
        node = graph.nodes[index]
        if node.serial in names:
            found[names[node.serial],] = gradient
        elif node.role in ("h", "c") and node.op.name != "where" and node.scope.step is not None:
            found[node.role, node.scope.path[-1], node.scope.step] = gradient
    for (consumer, slot), share in kept.contributions.items():
        node = graph.nodes[consumer]
        name = names.get(graph.nodes[node.operands[slot].index].serial)
        if name is not None and name.startswith(WEIGHTS):
            key = name, node.scope.step
            found[key] = found.get(key, 0.0) + share
    return found


def claimed(network, meddle=None):
    """What the engine's walk gives each of `network.keys()`, and the rounding noise in it."""
    outputs, leaves = network.run()
    if meddle is not None:
        meddle(outputs)
    graph, names = tg.Graph(*outputs), {leaf.serial: name for name, leaf in leaves.items()}
    engine = walked(graph, outputs, network.upstream)
    floors = noise(graph, network.upstream, engine, np.float64)
    return by_key(graph, engine, names), by_key(graph, floors, names)


def wrong(network, got, floors, expected):
    """The keys at which two sets of gradients differ by more than rounding."""
    differ = []
    for key, value in expected.items():
        error = np.linalg.norm(got.get(key, 0.0) - value)
        if not error <= bound(value, RTOL, float(np.linalg.norm(floors.get(key, 0.0)))):
            differ.append(key)
    return differ


@examples(4)
@given(strategies.networks())
@example(Network("lstm", layers=3, bidirectional=True, lengths=(4, 1, 3), hidden=3))
@example(Network("gru", layers=2, bidirectional=True, lengths=(1, 4), scale=0.05))
@example(Network("lstm", lengths=(12, 10), scale=0.05, at_end=True))
@example(Network("rnn", layers=2, lengths=(12,), scale=4.0))
@example(Network("gru", lengths=(8, 8), scale=4.0, bias=False))
def test_every_tensor_every_time_step_and_every_state(network):
    got, floors = claimed(network)
    expected = network.truth()
    assert set(expected) == set(network.keys())
    assert not wrong(network, got, floors, expected)
    assert set(got) <= set(expected)


@examples(4)
@given(strategies.networks())
def test_shares_of_the_time_steps_sum_to_the_shared_weights_gradient(network):
    got, floors = claimed(network)
    shared = {(name,): got[name,] for name in network.arrays if name not in network.given}
    sums = {(name,): sum(got[name, t] for t in range(network.steps)) for (name,) in shared}
    assert not wrong(network, sums, floors, shared)


@examples(4)
@given(strategies.networks(max_layers=2, max_steps=3))
def test_the_public_check_says_the_same(network):
    outputs, leaves = network.run()
    report = tg.check_gradients(tg.Graph(*outputs), grad_outputs=network.upstream)
    names = {c.name.split(" in ")[0] for c in report.comparisons}
    assert {name for name in leaves if name != "x"} <= names
    assert {c.step for c in report.comparisons} == {None, *range(network.steps)}


def node_of(outputs, role, step):
    """The state of one role after one time step."""
    found, pending = {}, list(outputs)
    while pending:
        x = pending.pop()
        if isinstance(x, tg.Tensor) and x.serial not in found:
            found[x.serial] = x
            pending.extend(x.operands)
    return next(x for x in found.values() if x.op is not None and x.role == role and x.scope.step == step)


@pytest.mark.parametrize("scale", [1.0, 0.05, 4.0])
@pytest.mark.parametrize("kind", KINDS)
def test_a_carry_that_is_cut_is_noticed_in_every_regime(kind, scale):
    network = Network(kind, lengths=(6, 6), scale=scale)
    cut = [(role, step) for role in network.roles for step in (range(5) if NIGHTLY else (0, 2, 4))]
    truth = network.truth()
    for role, step in cut:

        def meddle(outputs, role=role, step=step):
            node_of(outputs, role, step).register_hook(lambda g: g * 0)

        got, floors = claimed(network, meddle)
        assert {key[1] for key in wrong(network, got, floors, truth) if len(key) == 2} >= {step}


@pytest.mark.parametrize("kind", ["rnn", "lstm"])
def test_a_share_that_is_scaled_by_a_millionth_is_noticed(kind):
    """One step, deep in the past, whose share of the whole is far below what a whole gradient shows.

    A GRU with small weights keeps half of its state at each step, so no share of it is that small.
    """
    network = Network(kind, lengths=(10,), scale=0.05, at_end=True)

    def meddle(outputs):
        node_of(outputs, "h", 0).register_hook(lambda g: g * (1 + 1e-6))

    got, floors = claimed(network, meddle)
    differ = wrong(network, got, floors, network.truth())
    assert ("weight_ih_l0", 0) in differ and ("weight_ih_l0",) not in differ


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("window", [1, 2, 3, 6])
def test_truncated_backpropagation(kind, window):
    """The state detached every ``window`` steps is the derivative that passes no cut; with window >= T, all of it."""
    network = Network(kind, layers=2, lengths=(5, 5))
    layer = network.layer()
    x = tg.tensor(network.arrays["x"], requires_grad=True)
    state = [tg.tensor(network.arrays[name], requires_grad=True) for name in network.given[1:]]
    first, outputs = list(state), []
    for start in range(0, network.steps, window):
        output, final = layer(x[start : start + window], tuple(state) if len(state) > 1 else state[0])
        outputs.append(output)
        final = final if isinstance(final, tuple) else (final,)
        state = [s.detach() for s in final]
    loss = sum((y * g).sum() for y, g in zip([tg.concat(outputs), *final], network.upstream))
    leaves = dict(zip(network.given, [x, *first])) | dict(layer.named_parameters())
    got = {(name,): g.numpy() for name, g in zip(leaves, tg.grad(loss, list(leaves.values())))}
    cut = network.truth(range(window, network.steps, window))
    whole = network.truth()
    assert not wrong(network, got, {}, {key: cut[key] for key in got})
    if window >= network.steps:
        assert not wrong(network, got, {}, {key: whole[key] for key in got})
    else:
        assert len(wrong(network, got, {}, {key: whole[key] for key in got})) > len(got) // 2
