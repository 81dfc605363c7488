"""Modules, layers, initialisers, dropout, sequence to sequence: judged by NumPy and by their own laws."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle import close, complex_step

import tinygrad_rnn as tg
from tinygrad_rnn import nn

WEIGHTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
KINDS = {"RNN": nn.RNN, "LSTM": nn.LSTM, "GRU": nn.GRU}


def state_parts(state):
    return list(state) if isinstance(state, tuple) else [state]


# Layers against the equations --------------------------------------------------------------------------------


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def numpy_step(kind, x, state, w_ih, w_hh, b_ih, b_hh):
    """One time step as the papers write it, with the gates as separate matrices."""
    n = w_hh.shape[1]

    def gate(k, scale=1):
        rows = slice(k * n, (k + 1) * n)
        return x @ w_ih[rows].T + b_ih[rows] + scale * (state[0] @ w_hh[rows].T + b_hh[rows])

    if kind == "RNN":
        return (np.tanh(gate(0)),)
    if kind == "LSTM":
        i, f, g, o = sigmoid(gate(0)), sigmoid(gate(1)), np.tanh(gate(2)), sigmoid(gate(3))
        c = f * state[1] + i * g
        return o * np.tanh(c), c
    r, z = sigmoid(gate(0)), sigmoid(gate(1))
    return ((1 - z) * np.tanh(gate(2, r)) + z * state[0],)


@pytest.mark.parametrize("kind", KINDS)
def test_every_gradient_of_an_unrolled_layer_is_the_complex_step(kind, float64, rng):
    layer = KINDS[kind](2, 3)
    parts = 2 if kind == "LSTM" else 1
    x = tg.tensor(rng.standard_normal((4, 2, 2)), requires_grad=True)
    initial = [tg.tensor(rng.standard_normal((1, 2, 3)), requires_grad=True) for _ in range(parts)]
    output, final = layer(x, tuple(initial) if parts == 2 else initial[0])
    results = [output, *state_parts(final)]
    weights = [rng.standard_normal(y.shape) for y in results]
    leaves = [x, *initial, *layer.parameters()]
    gradients = tg.grad(sum((y * w).sum() for y, w in zip(results, weights)), leaves)

    def network(x, *rest):
        state = tuple(h[0] for h in rest[:parts])
        outputs = []
        for t in range(len(x)):
            state = numpy_step(kind, x[t], state, *rest[parts:])
            outputs.append(state[0])
        final = [np.stack(outputs), *(part[None] for part in state)]
        return sum((y * w).sum() for y, w in zip(final, weights))

    arrays = [leaf.numpy() for leaf in leaves]
    for got, expected in zip(gradients, complex_step(network, arrays)):
        close(got.numpy(), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_padding_changes_nothing(kind, float64, rng):
    layer = KINDS[kind](2, 3, num_layers=2, bidirectional=True)
    x = rng.standard_normal((5, 3, 2))
    lengths = [5, 1, 3]
    output, final = layer(x, lengths=lengths)
    loss = output.square().sum() + sum(s.sin().sum() for s in state_parts(final))
    gradients = tg.grad(loss, list(layer.parameters()))
    parts = []
    for n, length in enumerate(lengths):
        alone, last = layer(x[:length, n : n + 1])
        close(output[:length, n : n + 1].numpy(), alone.numpy(), 1e-13)
        assert not output[length:, n].numpy().any()
        for a, b in zip(state_parts(final), state_parts(last)):
            close(a[:, n : n + 1].numpy(), b.numpy(), 1e-13)
        one = alone.square().sum() + sum(s.sin().sum() for s in state_parts(last))
        parts.append(tg.grad(one, list(layer.parameters())))
    for g, *others in zip(gradients, *parts):
        close(g.numpy(), sum(o.numpy() for o in others), 1e-12)
    x[1:, 1], x[3:, 2] = np.nan, np.inf  # whatever the padding holds
    with np.errstate(invalid="ignore"):
        spoilt, _ = layer(x, lengths=lengths)
    assert np.array_equal(spoilt.numpy(), output.numpy())


@pytest.mark.parametrize("kind", KINDS)
def test_splitting_a_sequence_and_carrying_the_state(kind, float64, rng):
    layer = KINDS[kind](2, 3, num_layers=2)
    x = rng.standard_normal((6, 2, 2))
    whole, last = layer(x)
    for split in range(1, 6):
        first, state = layer(x[:split])
        second, end = layer(x[split:], state)
        close(np.concatenate([first.numpy(), second.numpy()]), whole.numpy(), 1e-13)
        for a, b in zip(state_parts(end), state_parts(last)):
            close(a.numpy(), b.numpy(), 1e-13)
        loss = tg.concat([first, second]).square().sum()
        for a, b in zip(
            tg.grad(loss, list(layer.parameters())), tg.grad(layer(x)[0].square().sum(), list(layer.parameters()))
        ):
            close(a.numpy(), b.numpy(), 1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_stepping_is_unrolling(kind, float64, rng):
    layer = KINDS[kind](2, 3, num_layers=2)
    x = rng.standard_normal((4, 2, 2))
    whole, last = layer(x)
    state = None
    for t in tg.steps(4):
        out, state = layer.step(x[t], state)
        close(out.numpy(), whole[t].numpy(), 1e-13)
        assert out.scope.step == t
    for a, b in zip(state_parts(state), state_parts(last)):
        close(a.numpy(), b.numpy(), 1e-13)


@pytest.mark.parametrize("kind", KINDS)
def test_layouts(kind, float64, rng):
    layer = KINDS[kind](2, 3, num_layers=2, bidirectional=True)
    x = rng.standard_normal((4, 3, 2))
    output, final = layer(x)
    assert output.shape == (4, 3, 6) and all(s.shape == (4, 3, 3) for s in state_parts(final))
    other = KINDS[kind](2, 3, num_layers=2, bidirectional=True, batch_first=True)
    other.load_state_dict(layer.state_dict())
    turned, same = other(x.swapaxes(0, 1))
    close(turned.numpy(), output.numpy().swapaxes(0, 1), 1e-15)
    single, state = layer(x[:, 1])
    close(single.numpy(), output[:, 1].numpy(), 1e-13)
    for a, b, c in zip(state_parts(final), state_parts(same), state_parts(state)):
        close(b.numpy(), a.numpy(), 1e-15)
        close(c.numpy(), a[:, 1].numpy(), 1e-13)


@pytest.mark.parametrize("kind", KINDS)
def test_the_reverse_direction_is_the_layer_on_the_reversed_sequence(kind, float64, rng):
    layer = KINDS[kind](2, 3, bidirectional=True)
    plain = KINDS[kind](2, 3)
    state = {name: value for name, value in layer.state_dict().items() if name.endswith("_reverse")}
    plain.load_state_dict({name.removesuffix("_reverse"): value for name, value in state.items()})
    x = rng.standard_normal((4, 2, 2))
    close(layer(x)[0].numpy()[..., 3:], plain(x[::-1].copy())[0].numpy()[::-1], 1e-15)


def test_an_lstm_with_open_forget_gate_and_closed_input_gate_keeps_c_exactly(float64):
    cell = nn.LSTMCell(1, 2)
    with tg.no_grad():
        for p in cell.parameters():
            p.copy_(0.0)
        cell.bias_ih.copy_([-1e4, -1e4, 1e4, 1e4, 0, 0, 0, 0])
    c = tg.tensor([[0.1, -7.3]], requires_grad=True)
    h, new = tg.zeros(1, 2), c
    for _ in range(50):
        h, new = cell(tg.ones(1, 1), (h, new))
    assert np.array_equal(new.numpy(), c.numpy())
    new.sum().backward()
    assert c.grad.tolist() == [[1.0, 1.0]]


def test_a_gru_with_a_closed_update_gate_copies_its_state(float64):
    cell = nn.GRUCell(1, 2)
    with tg.no_grad():
        cell.bias_ih[2:4] = 1e4
    h = tg.tensor([[0.3, -0.9]])
    assert np.array_equal(cell(tg.ones(1, 1), h).numpy(), h.numpy())


@pytest.mark.parametrize("kind", ["RNNCell", "LSTMCell", "GRUCell"])
def test_cells_are_layers_of_one_step(kind, float64, rng):
    cell = getattr(nn, kind)(2, 3)
    layer = KINDS[kind.removesuffix("Cell")](2, 3)
    layer.load_state_dict({f"{name}_l0": value for name, value in cell.state_dict().items()})
    x = rng.standard_normal((2, 2))
    for a, b in zip(state_parts(cell(x)), state_parts(layer(x[None])[1])):
        close(a.numpy(), b[0].numpy(), 1e-15)
    one = state_parts(cell(x[0]))[0]
    assert one.shape == (3,)


def test_every_node_of_a_layer_says_where_it_belongs():
    output, _ = nn.LSTM(2, 3, num_layers=2)(tg.ones(3, 1, 2))
    graph = tg.Graph(output)
    gates = {(n.scope.path, n.scope.step, n.role) for n in graph.nodes if n.role in tuple("ifgo")}
    assert gates == {((f"l{k}",), t, g) for k, t, g in itertools.product(range(2), range(3), "ifgo")}
    assert all(n.scope.part == n.role for n in graph.nodes if n.role in tuple("ifgo"))
    assert nn.Seq2Seq(nn.RNN(1, 2), nn.RNN(1, 2), 3)(tg.ones(2, 1, 1), length=2).scope.path == ()


# Modules -----------------------------------------------------------------------------------------------------


class Tied(nn.Module):
    def __init__(self):
        self.encoder = nn.Linear(2, 3)
        self.scale = nn.Parameter([1.0, 1.0, 1.0])
        self.again = self.encoder
        self.alias = self.scale
        self.plain = tg.tensor([1.0])

    def forward(self, x):
        return self.again(x) * self.scale


def test_parameters_are_found_once_and_in_order():
    model = Tied()
    assert [name for name, _ in model.named_parameters()] == ["scale", "encoder.weight", "encoder.bias"]
    assert len(list(model.parameters())) == 3 and [name for name, _ in model.named_modules()] == ["", "encoder"]
    assert [type(m).__name__ for m in model.modules()] == ["Tied", "Linear"]
    model(tg.ones(1, 2)).sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    model.zero_grad()
    assert all(p.grad is None for p in model.parameters())
    model.requires_grad_(False)
    assert not model(tg.ones(1, 2)).requires_grad


def test_train_and_eval_reach_every_module():
    model = nn.Sequential(nn.Dropout(0.5), nn.Sequential(nn.Dropout(0.5)))
    assert model.training and model.eval() is model
    assert not any(m.training for m in model.modules())
    assert np.array_equal(model(tg.ones(100)).numpy(), np.ones(100))
    model.train()
    assert all(m.training for m in model.modules()) and (model(tg.ones(100)).numpy() == 0).any()


def test_a_list_of_modules_has_their_parameters():
    cells = nn.ModuleList([nn.Linear(2, 2)]).append(nn.Linear(2, 2))
    assert [name for name, _ in cells.named_parameters()] == ["0.weight", "0.bias", "1.weight", "1.bias"]
    assert list(cells) == [cells[0], cells[-1]] and len(cells) == 2


def test_repr():
    assert repr(nn.Linear(2, 3)) == "Linear(2, 3, bias=True)  # 9 parameters"
    model = nn.Sequential(nn.Embedding(5, 2), nn.LSTM(2, 3, num_layers=2, bidirectional=True), nn.Dropout(0.1))
    assert repr(model).splitlines()[1:] == [
        "  (0): Embedding(5, 2)  # 10 parameters",
        "  (1): LSTM(2, 3, num_layers=2, bidirectional)  # 432 parameters",
        "  (2): Dropout(p=0.1)",
        ")  # 442 parameters",
    ]
    assert repr(nn.Sequential(nn.Sequential(nn.Dropout()))).count("\n") == 4
    assert repr(nn.GRU(2, 3)) == "GRU(2, 3)  # 63 parameters"


def test_state_dicts_round_trip_bit_exactly():
    a, b = nn.GRU(2, 3, num_layers=2), nn.GRU(2, 3, num_layers=2)
    a.weight_ih_l0.data[0] = [np.nan, -0.0]
    before = {name: value.numpy().tobytes() for name, value in a.state_dict().items()}
    b.load_state_dict(a.state_dict())
    assert {name: value.numpy().tobytes() for name, value in b.state_dict().items()} == before
    b.weight_ih_l0.data[0] = 1.0
    assert a.weight_ih_l0.numpy().tobytes() == before["weight_ih_l0"]
    b.load_state_dict({name: value.numpy().tolist() for name, value in a.state_dict().items()})
    assert b.weight_hh_l1.tolist() == a.weight_hh_l1.tolist()


def test_a_state_that_does_not_fit_changes_nothing():
    model = nn.Linear(2, 3)
    before = {name: value.numpy().copy() for name, value in model.state_dict().items()}
    good = {"weight": np.ones((3, 2)), "bias": np.ones(3)}
    wrong = [
        ({"weight": np.ones((3, 2))}, tg.DataError, r"missing \['bias'\], unexpected nothing"),
        ({**good, "other": 1}, tg.DataError, r"missing nothing, unexpected \['other'\]"),
        ({**good, "bias": np.ones(4)}, tg.ShapeError, r"bias has shape \(4,\), the module's is \(3,\)"),
        ({**good, "bias": np.array(["a", "b", "c"])}, tg.TinygradError, "bias"),
        ({**good, "bias": np.ones(3) * 1j}, tg.TinygradError, "bias"),
        ({**good, "bias": [[1.0], [1.0, 2.0]]}, tg.TinygradError, "bias"),
    ]
    for state, kind, words in wrong:
        with pytest.raises(kind, match=words) as caught:
            model.load_state_dict(state)
        assert "\n" not in str(caught.value)
        assert all(np.array_equal(before[name], value.numpy()) for name, value in model.state_dict().items())
    model.load_state_dict({"bias": np.ones(3), "other": 1}, strict=False)
    assert model.bias.tolist() == [1.0] * 3 and np.array_equal(model.weight.numpy(), before["weight"])


def test_precision_of_a_module():
    model = nn.LSTM(2, 3).double()
    assert {p.dtype for p in model.parameters()} == {np.dtype(np.float64)}
    output, _ = model(np.ones((2, 1, 2)))
    assert output.dtype == np.float64
    output.sum().backward()
    assert model.float().weight_ih_l0.grad is None and model(tg.ones(2, 1, 2))[0].dtype == np.float32
    assert nn.Linear(1, 1, dtype=np.float64)(np.ones(1)).dtype == np.float64


def test_a_module_without_forward_says_so():
    with pytest.raises(NotImplementedError, match="Module has no forward"):
        nn.Module()(1)


def test_sequential():
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    assert len(model) == 2 and model[1].in_features == 3
    assert [name for name, _ in model.named_parameters()] == ["0.weight", "0.bias", "1.weight", "1.bias"]


# Dropout -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout_zeroes_a_share_and_keeps_the_mean(p):
    tg.manual_seed(1)
    x = tg.tensor(np.ones(40_000), requires_grad=True)
    y = nn.functional.dropout(x, p)
    kept = y.numpy() != 0
    assert abs(kept.mean() - (1 - p)) < 5 * math.sqrt(p * (1 - p) / 40_000)
    np.testing.assert_allclose(y.numpy()[kept], 1 / (1 - p))
    y.sum().backward()
    assert np.array_equal(x.grad.numpy(), y.numpy())
    tg.manual_seed(1)
    assert np.array_equal(nn.functional.dropout(x, p).numpy(), y.numpy())
    assert not np.array_equal(nn.functional.dropout(x, p).numpy(), y.numpy())


def test_dropout_of_nothing_and_of_everything():
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    assert nn.functional.dropout(x, 0.0) is x and nn.functional.dropout(x, 0.5, training=False) is x
    assert nn.functional.dropout(x, 1.0).tolist() == [0.0, 0.0]
    assert nn.functional.dropout(x, 0.5).dtype == np.float32
    for p in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match="probability"):
            nn.functional.dropout(x, p)
        with pytest.raises(ValueError, match="probability"):
            nn.Dropout(p)
        with pytest.raises(ValueError, match="probability"):
            nn.LSTM(1, 1, dropout=p)


def test_dropout_between_layers_only():
    tg.manual_seed(0)
    model = nn.RNN(2, 4, num_layers=2, dropout=1.0)
    x = tg.tensor(np.random.default_rng(0).standard_normal((3, 1, 2)), dtype=np.float32, requires_grad=True)
    model(x)[0].sum().backward()
    assert not x.grad.numpy().any()  # nothing passes from layer 0 to layer 1
    single = nn.RNN(2, 4, dropout=1.0)
    single(x)[0].sum().backward()
    assert x.grad.numpy().any()
    model.eval()
    assert np.array_equal(model(x)[0].numpy(), model(x)[0].numpy())


def test_dropout_between_layers_of_one_step_too():
    x = tg.ones(2, 3)
    stacked, single = nn.RNN(3, 4, num_layers=2, dropout=1.0), nn.RNN(3, 4, dropout=1.0)
    lower, state = stacked.step(x)[1]
    nothing = nn.RNN(4, 4)
    nothing.load_state_dict({f"{name}_l0": getattr(stacked, f"{name}_l1") for name in WEIGHTS})
    assert lower.numpy().any()
    assert np.array_equal(state.numpy(), nothing.step(tg.zeros(2, 4))[0].numpy())  # the upper layer was given nothing
    assert single.step(x)[0].numpy().any()
    stacked.eval()
    assert not np.array_equal(stacked.step(x)[0].numpy(), state.numpy())


@pytest.mark.parametrize("kind", KINDS)
def test_a_single_sequence_takes_its_state_with_or_without_a_batch(kind, float64, rng):
    layer = KINDS[kind](3, 4, num_layers=2, bias=False)
    x, states = rng.standard_normal((5, 3)), [rng.standard_normal((2, 1, 4)) for _ in range(1 + (kind == "LSTM"))]

    def run(x, states):
        output, final = layer(x, states[0] if len(states) == 1 else tuple(states))
        return [output.numpy(), *(part.numpy() for part in state_parts(final))]

    expected = run(x[:, None], states)
    for start in (states, [s[:, 0] for s in states]):
        for got, whole in zip(run(x, start), expected):
            assert np.array_equal(got, whole[:, 0])
    assert layer(x)[0].shape == (5, 4)  # nothing given at all, and no biases to take the dtype from
    with pytest.raises(tg.ShapeError, match="initial state h_0"):
        run(x[:, None], [s[:, 0] for s in states])
    with pytest.raises(tg.ShapeError, match="initial state h_0"):
        layer.step(x[:1], states[0][:, 0] if kind != "LSTM" else tuple(s[:, 0] for s in states))


def test_lengths_may_be_a_tensor():
    layer, x = nn.RNN(2, 3), tg.ones(4, 2, 2)
    for lengths in ([4, 2], np.array([4, 2]), tg.tensor([4, 2])):
        output, _ = layer(x, lengths=lengths)
        assert output.numpy()[1, 1].any() and not output.numpy()[2:, 1].any()


# Initialisers ------------------------------------------------------------------------------------------------


def filled(function, shape=(200, 100), *args, **kwargs):
    tg.manual_seed(5)
    tensor = nn.Parameter(np.zeros(shape))
    assert function(tensor, *args, **kwargs) is tensor
    return tensor.numpy()


def test_variances_of_the_initialisers():
    init = nn.init
    wanted = {
        (init.uniform_, -1.0, 3.0): (1.0, 16 / 12),
        (init.normal_, 2.0, 3.0): (2.0, 9.0),
        (init.xavier_uniform_,): (0.0, 2 / 300),
        (init.xavier_normal_, 2.0): (0.0, 4 * 2 / 300),
        (init.kaiming_uniform_,): (0.0, 2 / 100),
        (init.kaiming_normal_, 1.0): (0.0, 1 / 100),
    }
    for (function, *args), (mean, variance) in wanted.items():
        values = filled(function, (200, 100), *args)
        assert abs(values.mean() - mean) < 5 * math.sqrt(variance / values.size), function.__name__
        assert abs(values.var() / variance - 1) < 0.05, function.__name__
    assert np.abs(filled(init.xavier_uniform_)).max() <= math.sqrt(6 / 300)


@pytest.mark.parametrize("kind", ["RNNCell", "LSTMCell", "GRUCell"])
def test_weights_start_uniformly_below_the_square_root_of_the_hidden_size(kind):
    for p in getattr(nn, kind)(50, 100).parameters():
        assert 0.95 / 10 < np.abs(p.numpy()).max() <= 1 / 10
        assert abs(np.abs(p.numpy()).mean() - 0.05) < 0.01


def test_one_tensor_is_not_the_state_of_an_lstm():
    cell, pair = nn.LSTMCell(3, 4), tg.zeros(2, 2, 4)  # two rows, and yet no pair
    with pytest.raises(tg.ShapeError, match=r"a pair of tensors \(h, c\)"):
        cell(tg.ones(2, 3), pair)
    with pytest.raises(tg.ShapeError, match=r"a pair of tensors \(h, c\)|a pair \(h, c\)"):
        cell(tg.ones(2, 3), (pair[0], pair[0], pair[0]))


@pytest.mark.parametrize("shape", [(5, 5), (3, 7), (7, 3)])
def test_orthogonal(shape):
    q = filled(nn.init.orthogonal_, shape, gain=2.0)
    product = q @ q.T if shape[0] <= shape[1] else q.T @ q
    close(product, 4 * np.eye(min(shape)), 1e-13)


def test_the_rest_of_the_initialisers():
    assert np.array_equal(filled(nn.init.eye_, (3, 2), gain=0.5), 0.5 * np.eye(3, 2))
    assert np.array_equal(filled(nn.init.constant_, (2,), 7.0), [7, 7])
    assert np.array_equal(filled(nn.init.zeros_, (2,)), [0, 0])
    lstm = nn.LSTM(2, 3)
    before = lstm.bias_ih_l0.numpy().copy()
    nn.init.forget_bias_(lstm.bias_ih_l0, 2.0)
    after = lstm.bias_ih_l0.numpy()
    assert after[3:6].tolist() == [2.0] * 3
    assert np.array_equal(after[:3], before[:3]) and np.array_equal(after[6:], before[6:])
    assert lstm.bias_ih_l0.requires_grad and lstm.bias_ih_l0.is_leaf
    for function in (nn.init.xavier_uniform_, nn.init.orthogonal_, nn.init.eye_, nn.init.kaiming_normal_):
        with pytest.raises(tg.ShapeError, match=r"2 dimensions|matrix"):
            function(tg.tensor([1.0]))
    with pytest.raises(tg.ShapeError, match="4 \\* hidden_size"):
        nn.init.forget_bias_(tg.tensor([1.0]))


def test_an_irnn_starts_by_remembering(float64):
    layer = nn.RNN(1, 3, nonlinearity="relu", bias=False)
    nn.init.eye_(layer.weight_hh_l0)
    h = tg.tensor([[[0.5, 0.0, 2.0]]], requires_grad=True)
    _, last = layer(np.zeros((100, 1, 1)), h)
    assert np.array_equal(last.numpy(), h.numpy())


@given(seed=st.integers(0, 2**32 - 1))
def test_equal_seeds_make_equal_networks(seed):
    networks = []
    for _ in range(2):
        tg.manual_seed(seed)
        networks.append(nn.GRU(2, 3))
    for a, b in zip(*(n.parameters() for n in networks)):
        assert np.array_equal(a.numpy(), b.numpy())


# Sequence to sequence ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_the_encoders_last_state_starts_the_decoder(kind, float64, rng):
    model = nn.Seq2Seq(KINDS[kind](2, 4, num_layers=2), KINDS[kind](3, 4, num_layers=2), vocabulary=5)
    source, target = rng.standard_normal((3, 2, 2)), rng.integers(0, 5, (4, 2))
    scores = model(source, target, start=1)
    _, state = model.encoder(source)
    for t, symbols in enumerate([np.array([1, 1]), *target[:-1]]):
        expected, state = model.decoder(symbols, state)
        close(scores[t].numpy(), expected.numpy(), 1e-13)
    loss = nn.functional.cross_entropy(scores.reshape(-1, 5), target.reshape(-1))
    loss.backward()
    assert all(p.grad is not None and p.grad.numpy().any() for p in model.parameters())
    paths = {n.scope.path[0] for n in tg.Graph(loss).nodes if n.scope.path}
    assert paths == {"encoder", "decoder"}


def test_feedback_is_its_own_best_guess(float64, rng):
    model = nn.Seq2Seq(nn.GRU(2, 4), nn.GRU(3, 4), vocabulary=5)
    source = rng.standard_normal((3, 2, 2))
    scores = model(source, start=2, length=6)
    guesses = scores.argmax(-1).numpy()
    forced = model(source, guesses, start=2)
    close(scores.numpy(), forced.numpy(), 1e-15)
    free = model(source, (guesses + 1) % 5, start=2, teacher_forcing=0.0)
    close(free.numpy(), scores.numpy(), 1e-15)
    assert not np.allclose(model(source, (guesses + 1) % 5, start=2).numpy(), scores.numpy())
    assert scores.shape == (6, 2, 5)
    tg.manual_seed(3)
    mixed = model(source, (guesses + 1) % 5, start=2, teacher_forcing=0.5).numpy()
    assert not np.allclose(mixed, free.numpy())


def test_ragged_sources(float64, rng):
    model = nn.Seq2Seq(nn.LSTM(2, 4), nn.LSTM(3, 4), vocabulary=5)
    source = rng.standard_normal((4, 2, 2))
    both = model(source, length=3, lengths=[2, 4])
    close(both[:, :1].numpy(), model(source[:2, :1], length=3).numpy(), 1e-13)


def test_a_copy_task_is_learnt():
    tg.manual_seed(2)
    rng = np.random.default_rng(2)
    model = nn.Seq2Seq(nn.GRU(4, 24), nn.GRU(8, 24), vocabulary=4)
    optimizer = tg.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(150):
        symbols = rng.integers(1, 4, (3, 32))
        scores = model(np.eye(4, dtype=np.float32)[symbols], symbols)
        loss = nn.functional.cross_entropy(scores.reshape(-1, 4), symbols.reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    every = np.array(list(itertools.product([1, 2, 3], repeat=3))).T
    with tg.no_grad():
        written = model(np.eye(4, dtype=np.float32)[every], length=3).argmax(-1).numpy()
    assert (written == every).all(0).mean() > 0.9


def test_seq2seq_compiled_follows_each_call_its_own_target(rng: np.random.Generator) -> None:
    model = nn.Seq2Seq(nn.GRU(2, 4), nn.GRU(3, 4), vocabulary=5)
    compiled = tg.compile(lambda source, target: model(source, target, start=0))
    for _ in range(2):
        source, target = rng.normal(size=(3, 2, 2)).astype(np.float32), rng.integers(5, size=(4, 2))
        np.testing.assert_allclose(
            compiled(source, target).numpy(), model(source, target, start=0).numpy(), rtol=1e-5, atol=1e-6
        )
    with pytest.raises(tg.GraphError, match="make teacher_forcing 0 or 1"):
        tg.compile(lambda source, target: model(source, target, teacher_forcing=0.5))(source, target)
