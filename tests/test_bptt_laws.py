"""What gradients of recurrent networks obey whatever the weights: laws that hold between one network and another."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_rnn as tg
from tinygrad_rnn import nn
from tinygrad_rnn.check.tolerances import bound, tolerance
from tinygrad_rnn.kept_walk import walked
from tinygrad_rnn.rounding_noise import noise
from tinygrad_rnn.testing import strategies
from tinygrad_rnn.testing.networks import LAYERS, Network

KINDS = ("rnn", "lstm", "gru")
RTOL = tolerance("complex-step", np.float64).rtol


def gradients(outputs, leaves, upstream):
    """By name; of what no output depends on, zeros."""
    found = tg.grad(outputs, list(leaves.values()), list(upstream), allow_unused=True)
    return {name: np.zeros(x.shape) if g is None else g.numpy() for (name, x), g in zip(leaves.items(), found)}


def of_network(network):
    """The network's gradients by name, and the rounding noise in each."""
    outputs, leaves = network.run()
    graph = tg.Graph(*outputs)
    names = {leaf.serial: name for name, leaf in leaves.items()}
    floors = noise(graph, network.upstream, walked(graph, outputs, network.upstream), np.float64)
    floors = {names[graph.nodes[i].serial]: g for i, g in floors.gradients.items() if graph.nodes[i].serial in names}
    return gradients(outputs, leaves, network.upstream), floors


def agree(got, expected, floors):
    """Both name the same tensors, and differ by no more than rounding."""
    assert set(got) == set(expected)
    for name, value in expected.items():
        error, floor = np.linalg.norm(got[name] - value), np.linalg.norm(floors.get(name, 0.0))
        assert got[name].shape == value.shape and error <= bound(value, RTOL, 2 * float(floor)), name


def call(layer, x, state, lengths=None):
    """The outputs as a list, the states taken and given as one."""
    output, final = layer(x, tuple(state) if len(state) > 1 else state[0], lengths=lengths)
    return [output, *(final if isinstance(final, tuple) else [final])]


def leaves_of(network, part=lambda name, value: value):
    """What the layer is called with, as leaves; ``part`` takes some of it."""
    return [tg.tensor(part(name, network.arrays[name]), requires_grad=True) for name in network.given]


# Batches and padding -------------------------------------------------------------------------------------


@given(strategies.networks())
def test_a_batch_is_its_sequences_one_by_one_without_padding(network):
    whole, floors = of_network(network)
    layer = network.layer()
    parameters = dict(layer.named_parameters())
    total = {name: np.zeros_like(value) for name, value in whole.items()}
    for n, length in enumerate(network.lengths):
        alone = {name: network.arrays[name][: length if name == "x" else None, n : n + 1] for name in network.given}
        x, *state = leaves_of(network, lambda name, _, alone=alone: alone[name])
        outputs = call(layer, x, state)
        arriving = [g[: length if k == 0 else None, n : n + 1] for k, g in enumerate(network.upstream)]
        mine = gradients(outputs, dict(zip(network.given, [x, *state])) | parameters, arriving)
        for name, value in mine.items():
            if name == "x":
                total[name][:length, n : n + 1] = value
            elif name in network.given:
                total[name][:, n : n + 1] = value
            else:
                total[name] += value
    agree(whole, total, floors)


@given(strategies.networks(), st.sampled_from([0.0, 1e6, -1e300]))
def test_what_the_padding_holds_changes_not_one_bit(network, padding):
    outputs, leaves = network.run()
    expected = gradients(outputs, leaves, network.upstream)
    past = np.arange(network.steps)[:, None] >= np.array(network.lengths)
    assert not expected["x"][past].any()
    layer = network.layer()
    x, *state = leaves_of(network, lambda name, v: np.where(past[..., None], padding, v) if name == "x" else v)
    arriving = [np.where(past[..., None], 7.0, network.upstream[0]), *network.upstream[1:]]
    outputs = call(layer, x, state, list(network.lengths))
    leaves = dict(zip(network.given, [x, *state])) | dict(layer.named_parameters())
    got = gradients(outputs, leaves, arriving)
    assert all(np.array_equal(got[name], value) for name, value in expected.items())


@given(strategies.networks(), st.data())
def test_samples_of_a_batch_know_nothing_of_each_other(network, data):
    n = data.draw(st.integers(0, len(network.lengths) - 1))
    outputs, leaves = network.run()
    arriving = [np.where(np.arange(len(network.lengths))[:, None] == n, g, 0.0) for g in network.upstream]
    got = gradients(outputs, leaves, arriving)
    for name in network.given:
        assert not np.delete(got[name], n, axis=1).any()


# Layers and directions -----------------------------------------------------------------------------------


def part_of(network, suffixes, names):
    """A layer of its own with the weights of some of the network's, under other suffixes."""
    state = {
        f"{name}_{new}": network.arrays[f"{name}_{old}"]
        for old, new in zip(suffixes, names)
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        if f"{name}_{old}" in network.arrays
    }
    below = state[f"weight_ih_{names[0]}"].shape[1]
    both = len(names) == 2
    layer = LAYERS[network.kind](below, network.hidden, bias=network.bias, bidirectional=both, dtype=np.float64)
    layer.load_state_dict(state)
    return layer, {p: name for name, p in layer.named_parameters()}


@given(strategies.networks())
def test_a_stack_is_its_layers_composed(network):
    whole, floors = of_network(network)
    x, *state = leaves_of(network)
    leaves, finals, sequence = dict(zip(network.given, [x, *state])), [], x
    ways = 1 + network.bidirectional
    for layer in range(network.layers):
        suffixes = network.suffixes[layer * ways : (layer + 1) * ways]
        one, names = part_of(network, suffixes, ["l0", "l0_reverse"][:ways])
        sequence, *final = call(
            one, sequence, [s[layer * ways : (layer + 1) * ways] for s in state], list(network.lengths)
        )
        finals.append(final)
        leaves |= {name.replace("l0", f"l{layer}"): p for p, name in names.items()}
    outputs = [sequence, *(tg.concat(part) for part in zip(*finals))]
    agree(gradients(outputs, leaves, network.upstream), whole, floors)


@given(strategies.networks(max_layers=1))
def test_both_directions_are_one_each_way_side_by_side(network):
    """The reverse one is a plain layer that reads every sequence from its own end."""
    network = Network(**{**vars_of(network), "bidirectional": True})
    whole, floors = of_network(network)
    x, *state = leaves_of(network)
    turned = np.arange(network.steps)[:, None]
    turned = np.where(turned < network.lengths, np.array(network.lengths) - 1 - turned, turned)
    columns = np.arange(len(network.lengths))
    forward, names = part_of(network, ["l0"], ["l0"])
    reverse, reverse_names = part_of(network, ["l0_reverse"], ["l0"])
    lengths = list(network.lengths)
    there, *last = call(forward, x, [s[:1] for s in state], lengths)
    back, *first = call(reverse, x[turned, columns], [s[1:] for s in state], lengths)
    outputs = [tg.concat([there, back[turned, columns]], axis=-1)]
    outputs += [tg.concat(pair) for pair in zip(last, first)]
    leaves = dict(zip(network.given, [x, *state])) | {name: p for p, name in names.items()}
    leaves |= {f"{name}_reverse": p for p, name in reverse_names.items()}
    agree(gradients(outputs, leaves, network.upstream), whole, floors)


def vars_of(network):
    """The settings a network was made from."""
    return {name: getattr(network, name) for name in network.__dataclass_fields__}


# Time ----------------------------------------------------------------------------------------------------


@given(strategies.networks(ragged=False, bidirectional=False, max_steps=5), st.data())
def test_splitting_anywhere_and_carrying_the_states_gradient_is_the_whole(network, data):
    at = data.draw(st.integers(0, network.steps - 1)) or network.steps
    whole, floors = of_network(network)
    layer = network.layer()
    parameters = dict(layer.named_parameters())
    x, *state = leaves_of(network)
    early, *between = call(layer, x[:at], state)
    total = dict.fromkeys(parameters, 0.0)
    carried, late = list(network.upstream[1:]), np.zeros((0, *network.arrays["x"].shape[1:]))
    if at < network.steps:
        resumed = [tg.tensor(s, requires_grad=True) for s in between]
        rest = tg.tensor(network.arrays["x"][at:], requires_grad=True)
        outputs = call(layer, rest, resumed)
        mine = gradients(
            outputs,
            {"x": rest, **dict(zip(network.given[1:], resumed)), **parameters},
            [network.upstream[0][at:], *network.upstream[1:]],
        )
        carried, late = [mine[name] for name in network.given[1:]], mine["x"]
        total = {name: mine[name] for name in parameters}
    mine = gradients(
        [early, *between],
        dict(zip(network.given, [x, *state])) | parameters,
        [network.upstream[0][:at], *carried],
    )
    mine["x"] = np.concatenate([mine["x"][:at], late])
    agree(mine | {name: mine[name] + total[name] for name in parameters}, whole, floors)


@given(strategies.networks(bidirectional=False), st.data())
def test_nothing_flows_from_an_output_to_what_comes_after_it(network, data):
    t = data.draw(st.integers(0, network.steps - 1))
    outputs, leaves = network.run()
    arriving = np.zeros(outputs[0].shape)
    arriving[t] = network.upstream[0][t]
    assert not gradients(outputs[:1], leaves, [arriving])["x"][t + 1 :].any()


@given(strategies.networks(max_layers=1), st.data())
def test_nothing_flows_from_an_output_read_backwards_to_what_comes_before_it(network, data):
    network = Network(**{**vars_of(network), "bidirectional": True})
    t = data.draw(st.integers(0, network.steps - 1))
    outputs, leaves = network.run()
    arriving = np.zeros(outputs[0].shape)
    arriving[t, ..., network.hidden :] = network.upstream[0][t, ..., network.hidden :]
    assert not gradients(outputs[:1], leaves, [arriving])["x"][:t].any()


@given(strategies.networks(bidirectional=False), st.data())
def test_no_later_step_shares_in_an_earlier_outputs_gradient(network, data):
    t = data.draw(st.integers(0, network.steps - 1))
    outputs, leaves = network.run()
    arriving = np.zeros(outputs[0].shape)
    arriving[t] = network.upstream[0][t]
    weights = {leaf.serial for name, leaf in leaves.items() if name not in network.given}
    for step in tg.walk(outputs[:1], [arriving]):
        for contribution in step.contributions:
            if contribution.target.serial in weights and step.node.scope.step > t:
                assert not contribution.value.any()


# Units ---------------------------------------------------------------------------------------------------


@given(strategies.networks(bidirectional=False), st.data())
def test_the_order_of_the_hidden_units_is_a_name_only(network, data):
    """Renaming a layer's units renames rows and columns of the gradients, and nothing else."""
    units = range(network.hidden)
    orders = [np.array(data.draw(st.permutations(units))) for _ in range(network.layers)]
    whole, floors = of_network(network)

    def renamed(name, value):
        if name == "x":
            return value
        if name in network.given:
            return np.stack([value[layer][:, order] for layer, order in enumerate(orders)])
        layer = int(name[-1])
        gates = np.arange(len(value)).reshape(-1, network.hidden)[:, orders[layer]].ravel()
        value = value[gates]
        if name.startswith("weight_hh"):
            return value[:, orders[layer]]
        return value[:, orders[layer - 1]] if name.startswith("weight_ih") and layer else value

    layer = network.layer()
    layer.load_state_dict({name: renamed(name, network.arrays[name]) for name, _ in layer.named_parameters()})
    x, *state = leaves_of(network, renamed)
    outputs = call(layer, x, state, list(network.lengths))
    output, *final = network.upstream
    arriving = [output[..., orders[-1]], *(renamed("h0", g) for g in final)]
    got = gradients(outputs, dict(zip(network.given, [x, *state])) | dict(layer.named_parameters()), arriving)
    agree(got, {name: renamed(name, value) for name, value in whole.items()}, floors)


@given(strategies.networks())
def test_a_second_walk_gives_the_same_bits(network):
    outputs, leaves = network.run()
    once, twice = (
        [g.numpy().tobytes() for g in tg.grad(outputs, list(leaves.values()), network.upstream, retain_graph=True)]
        for _ in range(2)
    )
    outputs, leaves = network.run()
    anew = [g.numpy().tobytes() for g in tg.grad(outputs, list(leaves.values()), network.upstream)]
    assert once == twice == anew


# Networks whose gradients are known in closed form -------------------------------------------------------


def gated(network, **biases):
    """The network's layer, the input biases of gates (by number) so large that the gates are exactly 0 or 1."""
    layer = network.layer()
    with tg.no_grad():
        for gate, value in biases.items():
            k = int(gate[1:]) * network.hidden
            layer.bias_ih_l0[k : k + network.hidden] = value
    return layer


@given(strategies.networks(kinds=("gru",), max_layers=1, bidirectional=False, ragged=False, scales=(1.0,)))
def test_a_gru_that_keeps_everything_copies_its_state_and_the_states_gradient(network):
    """z = 1: h_t = h_0, so dL/dh_0 is the sum of all that arrives, and nothing else receives anything."""
    layer = gated(with_bias(network), g1=1e4)
    x, h = leaves_of(network)
    outputs = call(layer, x, [h])
    assert all(np.array_equal(y, network.arrays["h0"][0]) for y in outputs[0].numpy())
    got = gradients(outputs, {"x": x, "h0": h, **dict(layer.named_parameters())}, network.upstream)
    expected = network.upstream[1][0]
    for g in network.upstream[0][::-1]:
        expected = expected + g
    np.testing.assert_allclose(got.pop("h0")[0], expected, rtol=1e-14, atol=1e-14)
    assert not any(value.any() for value in got.values())


def with_bias(network):
    return Network(**{**vars_of(network), "bias": True})


@given(strategies.networks(kinds=("lstm",), max_layers=1, bidirectional=False, ragged=False, scales=(1.0,)))
def test_an_lstm_that_forgets_nothing_and_takes_nothing_in_carries_c_and_its_gradient_bit_by_bit(network):
    """f = 1 and i = 0: the constant error carousel (Hochreiter and Schmidhuber 1997)."""
    layer = gated(with_bias(network), g0=-1e4, g1=1e4)
    x, h, c = leaves_of(network)
    _, _, last = call(layer, x, [h, c])
    assert np.array_equal(last.numpy(), c.numpy())
    got = gradients([last], {"x": x, "h0": h, "c0": c, **dict(layer.named_parameters())}, network.upstream[2:])
    assert np.array_equal(got.pop("c0"), network.upstream[2])
    assert not any(value.any() for value in got.values())


@given(strategies.networks(kinds=("gru",), max_layers=1, bidirectional=False, scales=(1.0,)))
def test_a_gru_that_keeps_nothing_and_resets_nothing_is_an_rnn(network):
    """z = 0 and r = 1: h' = tanh(W x + U h + b), with the rows of gate n for weights."""
    network = with_bias(network)
    layer = gated(network, g0=1e4, g1=-1e4)
    x, h = leaves_of(network)
    outputs = call(layer, x, [h], list(network.lengths))
    got = gradients(outputs, {"x": x, "h0": h, **dict(layer.named_parameters())}, network.upstream)
    plain = nn.RNN(network.features, network.hidden, dtype=np.float64)
    rows = slice(2 * network.hidden, None)
    plain.load_state_dict({name: p.numpy()[rows] for name, p in layer.named_parameters()})
    x, h = leaves_of(network)
    same = call(plain, x, [h], list(network.lengths))
    expected = gradients(same, {"x": x, "h0": h, **dict(plain.named_parameters())}, network.upstream)
    _, floors = of_network(network)
    for name in expected.keys() - {"x", "h0"}:
        assert not got[name][: rows.start].any()
        got[name] = got[name][rows]
    agree(got, expected, {name: floors[name][rows] if name not in ("x", "h0") else floors[name] for name in floors})


@given(strategies.networks(kinds=("lstm",), max_layers=1, bidirectional=False, scales=(1.0,)))
def test_an_lstm_without_memory_is_an_rnn_behind_one_more_tanh(network):
    """i = o = 1 and f = 0: h' = tanh(tanh(W x + U h + b)), with the rows of gate g for weights."""
    network = Network(**{**vars_of(with_bias(network)), "lengths": (network.steps,) * len(network.lengths)})
    layer = gated(network, g0=1e4, g1=-1e4, g3=1e4)
    x, h, c = leaves_of(network)
    outputs = call(layer, x, [h, c])[:2]
    got = gradients(outputs, {"x": x, "h0": h, "c0": c, **dict(layer.named_parameters())}, network.upstream[:2])
    assert not got.pop("c0").any()
    rows = slice(2 * network.hidden, 3 * network.hidden)
    cell = nn.RNNCell(network.features, network.hidden, dtype=np.float64)
    cell.load_state_dict({name.removesuffix("_l0"): p.numpy()[rows] for name, p in layer.named_parameters()})
    x, h, _ = leaves_of(network)
    state, sequence = h[0], []
    for t in tg.steps(network.steps):
        state = cell(x[t], state).tanh()
        sequence.append(state)
    leaves = {"x": x, "h0": h} | {f"{name}_l0": p for name, p in cell.named_parameters()}
    expected = gradients([tg.stack(sequence), state.expand_dims(0)], leaves, network.upstream[:2])
    _, floors = of_network(network)
    for name in expected.keys() - {"x", "h0"}:
        assert not np.delete(got[name], np.arange(rows.start, rows.stop), axis=0).any()
        got[name] = got[name][rows]
    agree(got, expected, {name: g if name in ("x", "h0", "c0") else g[rows] for name, g in floors.items()})


@pytest.mark.parametrize("steps", [1, 2, 7, 40])
def test_a_linear_network_multiplies_by_the_transposed_matrix_once_a_step(steps, rng):
    """Of positive numbers relu is the identity: dL/dh_(T-k) = (Wᵀ)^k g, dL/dW = Σ_k (Wᵀ)^k g h_(T-k-1)ᵀ."""
    layer = nn.RNN(2, 3, nonlinearity="relu", dtype=np.float64)
    with tg.no_grad():
        for p in layer.parameters():
            p.copy_(rng.uniform(0.1, 0.5, p.shape))
    w = layer.weight_hh_l0.numpy().copy()
    x, h0 = rng.uniform(0, 1, (steps, 1, 2)), tg.tensor(rng.uniform(0, 1, (1, 1, 3)), requires_grad=True)
    output, last = layer(x, h0)
    g = rng.standard_normal(3)
    states = [h0.numpy()[0, 0], *output.numpy()[:, 0]]
    arriving = [np.linalg.matrix_power(w.T, k) @ g for k in range(steps + 1)]
    seen = {
        step.node.scope.step: step.gradient
        for step in tg.walk([last], [g.reshape(1, 1, 3)])
        if step.node.role == "h" and step.node.op is not None and step.node.scope.step is not None
    }
    for k in range(steps):
        np.testing.assert_allclose(seen[steps - 1 - k][0], arriving[k], rtol=1e-12)
    by_h0, by_w = tg.grad(last, [h0, layer.weight_hh_l0], g.reshape(1, 1, 3))
    np.testing.assert_allclose(by_h0.numpy()[0, 0], arriving[steps], rtol=1e-12)
    shares = [np.outer(arriving[k], states[steps - 1 - k]) for k in range(steps)]
    np.testing.assert_allclose(by_w.numpy(), sum(shares), rtol=1e-12)
