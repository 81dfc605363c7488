"""Recurrent cells that PyTorch does not have: against loops of NumPy, differentiated, compiled, drawn."""

import numpy as np
import pytest

import tinygrad_rnn as tg
import viz
from tinygrad_rnn import nn
from tinygrad_rnn.nn.activations import ACTIVATIONS, affine, scaled_tanh, thresholded_relu

T, N, IN, H, P = 4, 3, 2, 3, 2
RNG = np.random.default_rng(0)
X = RNG.normal(size=(T, N, IN))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def hard(slope):
    return lambda x: np.clip(slope * x + 0.5, 0, 1)


def bound(x, clip):
    return np.clip(x, -clip, clip)


def arrays(layer, suffix="l0"):
    """The weights of one layer and direction, by name."""
    return {
        name.removesuffix(f"_{suffix}"): value.numpy()
        for name, value in layer.named_parameters()
        if name.endswith(f"_{suffix}")
    }


def made(kind, **options):
    layer = kind(IN, H, dtype=np.float64, **options)
    layer.load_state_dict({name: RNG.normal(size=p.shape) for name, p in layer.named_parameters()})
    return layer


def lstm(w, x, h, c, *, gate=sigmoid, new=np.tanh, out=np.tanh, clip=np.inf, coupled=False, see=None, project=None):
    """One step, written from the equations gate by gate."""
    a = x @ w["weight_ih"].T + w["bias_ih"] + h @ w["weight_hh"].T + w["bias_hh"]
    i, f, g, o = np.split(a, 4, axis=-1)
    see = see or (lambda name, c: 0)
    i = gate(bound(i + see("weight_ci", c), clip))
    f = 1 - i if coupled else gate(bound(f + see("weight_cf", c), clip))
    c = f * c + i * new(bound(g, clip))
    o = gate(bound(o + see("weight_co", c), clip))
    h = o * out(c)
    return (h if project is None else h @ project.T), c


def gru(w, x, h, *, before, gate=sigmoid, new=np.tanh, clip=np.inf):
    xr, xz, xn = np.split(x @ w["weight_ih"].T + w["bias_ih"], 3, axis=-1)
    ur, uz, un = np.split(w["weight_hh"], 3)
    br, bz, bn = np.split(w["bias_hh"], 3)
    r = gate(bound(xr + h @ ur.T + br, clip))
    z = gate(bound(xz + h @ uz.T + bz, clip))
    n = new(bound(xn + ((r * h) @ un.T + bn if before else r * (h @ un.T + bn)), clip))
    return (1 - z) * n + z * h


def lstm_case(options, **oracle):
    def case():
        layer = made(nn.LSTM, **options)
        w = arrays(layer)
        if kind := options.get("peepholes"):
            oracle["see"] = lambda name, c: c * w[name] if kind == "diagonal" else c @ w[name].T
        if "proj_size" in options:
            oracle["project"] = w["weight_hr"]
        return layer, lambda x, state: lstm(w, x, *state, **oracle)

    return case


def gru_case(options, **oracle):
    def case():
        layer = made(nn.GRU, **options)
        w = arrays(layer)
        return layer, lambda x, state: (gru(w, x, state[0], **oracle),)

    return case


def rnn_case(options, function, leak=1.0):
    def case():
        layer = made(nn.RNN, **options)
        w = arrays(layer)

        def step(x, state):
            a = x @ w["weight_ih"].T + w["bias_ih"] + state[0] @ w["weight_hh"].T + w["bias_hh"]
            return ((1 - leak) * state[0] + leak * function(a),)

        return layer, step

    return case


hard_sigmoids = {"activations": ("hard_sigmoid", "tanh", "tanh")}
CASES = {
    "diagonal peepholes": lstm_case({"peepholes": "diagonal"}),
    "full peepholes": lstm_case({"peepholes": "full"}),
    "peepholes, clipped": lstm_case({"peepholes": "diagonal", "clip": 0.5}, clip=0.5),
    "coupled": lstm_case({"coupled": True}, coupled=True),
    "projection": lstm_case({"proj_size": P}),
    "projection and peepholes": lstm_case({"proj_size": P, "peepholes": "full"}),
    "hard sigmoids of slope 0.2": lstm_case(hard_sigmoids, gate=hard(0.2)),
    "relu cell": lstm_case({"activations": ("sigmoid", "relu", "linear")}, new=lambda x: x * (x > 0), out=lambda x: x),
    "reset before": gru_case({"reset": "before"}, before=True),
    "reset before, clipped": gru_case({"reset": "before", "clip": 0.4}, before=True, clip=0.4),
    "hard sigmoids of slope 1/6": gru_case({"activations": ("hard_sigmoid_6", "tanh")}, before=False, gate=hard(1 / 6)),
    "relu gates": gru_case(
        {"reset": "before", "activations": ("relu", "softsign")},
        before=True,
        gate=lambda x: x * (x > 0),
        new=lambda x: x / (1 + abs(x)),
    ),
    "leaky": rnn_case({"leak": 0.3}, np.tanh, 0.3),
    "clipped": rnn_case({"clip": 0.5}, lambda a: np.tanh(bound(a, 0.5))),
    "any function": rnn_case({"nonlinearity": lambda x: affine(x, 0.5, 0.1)}, lambda a: 0.5 * a + 0.1),
}


def run(step, state):
    outputs = []
    for t in range(T):
        state = step(X[t], state)
        outputs.append(state[0])
    return np.stack(outputs), state


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_variant_is_its_equations_and_its_gradient_is_right(case):
    layer, step = case()
    sizes = [P if role == "h" and layer.proj_size else H for role in layer.roles]
    expected, last = run(step, tuple(np.zeros((N, size)) for size in sizes))
    output, state = layer(tg.tensor(X))
    np.testing.assert_allclose(output.numpy(), expected, atol=1e-14)
    for mine, theirs in zip(state if isinstance(state, tuple) else (state,), last, strict=True):
        np.testing.assert_allclose(mine.numpy()[0], theirs, atol=1e-14)
    weights = RNG.normal(size=output.shape)
    assert tg.check_gradients((layer(X)[0] * weights).sum())


@pytest.mark.parametrize("name", ["projection and peepholes", "reset before, clipped", "leaky"])
def test_a_variant_is_the_same_compiled_and_is_drawn(name, tmp_path):
    layer, _ = CASES[name]()

    def loss():
        total = layer(tg.tensor(X))[0].square().sum()
        total.backward()
        return total

    def gradients(function):
        layer.zero_grad()
        value = float(function())
        return {"loss": value, **{name: p.grad.numpy().copy() for name, p in layer.named_parameters()}}

    eager, compiled = gradients(loss), gradients(tg.compile(loss))
    for key, value in eager.items():
        np.testing.assert_allclose(compiled[key], value, rtol=1e-11, atol=1e-13, err_msg=key)
    path = tmp_path / "variant.svg"
    viz.render(layer(tg.tensor(X))[0].sum(), path)
    assert "<svg" in path.read_text()


@pytest.mark.parametrize("kind", [nn.LSTMCell, nn.GRUCell, nn.RNNCell])
def test_a_cell_is_one_step_of_its_layer(kind):
    options = {
        nn.LSTMCell: {"peepholes": "full", "proj_size": P, "clip": 1.0, "coupled": True},
        nn.GRUCell: {"reset": "before", "activations": ("hard_sigmoid", "relu")},
        nn.RNNCell: {"nonlinearity": "relu", "leak": 0.5},
    }[kind]
    layer = made({nn.LSTMCell: nn.LSTM, nn.GRUCell: nn.GRU, nn.RNNCell: nn.RNN}[kind], **options)
    cell = kind(IN, H, dtype=np.float64, **options)
    cell.load_state_dict(arrays(layer))
    state = None
    for t in range(T):
        state = cell(X[t], state)
    expected = layer(X)[1]
    for mine, theirs in zip(*((s if isinstance(s, tuple) else (s,)) for s in (state, expected)), strict=True):
        np.testing.assert_array_equal(mine.numpy(), theirs.numpy()[0])


ELEMENTWISE = {
    **ACTIVATIONS,
    "affine": lambda x: affine(x, 0.3, 0.7),
    "scaled tanh": lambda x: scaled_tanh(x, 0.3, 0.7),
    "thresholded relu": lambda x: thresholded_relu(x, 0.4),
}
VALUES = {
    "tanh": np.tanh(2.0), "relu": 2.0, "sigmoid": sigmoid(2.0), "hard_sigmoid": 0.9, "hard_sigmoid_6": 5 / 6,
    "softsign": 2 / 3, "softplus": np.log1p(np.exp(2.0)), "elu": 2.0, "leaky_relu": 2.0, "linear": 2.0,
    "affine": 1.3, "scaled tanh": 0.3 * np.tanh(1.4), "thresholded relu": 2.0,
}  # fmt: skip


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_an_activation_and_its_derivative(name):
    assert float(ELEMENTWISE[name](tg.tensor(2.0, dtype=np.float64))) == pytest.approx(VALUES[name], rel=1e-12)
    x = tg.tensor([-9.0, -0.7, 0.3, 0.9, 9.0], dtype=np.float64, requires_grad=True)
    assert tg.check_gradients(ELEMENTWISE[name], x)


def test_the_negative_sides():
    x = tg.tensor([-800.0, -1.0, 800.0], dtype=np.float64)
    np.testing.assert_allclose(ACTIVATIONS["elu"](x).numpy(), [-1, np.exp(-1) - 1, 800], atol=1e-15)
    np.testing.assert_array_equal(thresholded_relu(tg.tensor([-1.0, 0.5, 1.0, 1.5]), 1.0).numpy(), [0, 0, 0, 1.5])


def test_a_learned_state_is_where_it_starts_and_gets_a_gradient():
    layer = made(nn.LSTM, learned_state=True, bidirectional=True, num_layers=2)
    names = [name for name, _ in layer.named_parameters() if "_0_" in name]
    assert names == [f"{role}_0_l{k}{way}" for k in range(2) for way in ("", "_reverse") for role in "hc"]
    given = tuple(
        np.stack([np.tile(layer.state_dict()[name].numpy(), (N, 1)) for name in names if name.startswith(role)])
        for role in "hc"
    )
    np.testing.assert_allclose(layer(X)[0].numpy(), layer(X, given)[0].numpy(), atol=1e-14)
    assert tg.check_gradients(layer(X)[0].sum())


# Lengths ---------------------------------------------------------------------------------------------------

LENGTHS = [4, 2, 0]


def ragged(past_end, empty, reverse=False, lengths=LENGTHS):
    """Outputs (T, N, H) and the final state of one direction."""
    both = made(nn.GRU, past_end=past_end, empty=empty, bidirectional=True)
    output, state = both(X, lengths=lengths)
    own, k = arrays(both, "l0_reverse" if reverse else "l0"), int(reverse)

    def step(x, h):
        return gru(own, x, h, before=False)

    return output.numpy()[..., k * H : (k + 1) * H], state.numpy()[k], step


@pytest.mark.parametrize("reverse", [False, True])
def test_what_is_put_out_past_the_end(reverse):
    for past_end in ("zeros", "repeat", "live", "step"):
        output, state, step = ragged(past_end, "initial", reverse)
        for row, length in enumerate(LENGTHS):
            inside, outside = list(range(length)), list(range(length, T))
            h = np.zeros(H)
            for t in reversed(inside) if reverse else inside:
                h = step(X[t, row], h)
                np.testing.assert_allclose(output[t, row], h, atol=1e-14)
            np.testing.assert_allclose(state[row], h, atol=1e-14)
            for t in reversed(outside) if reverse else outside:
                if past_end == "live":
                    h = expected = step(X[t, row], h)
                elif past_end == "step":
                    expected = step(X[t, row], np.zeros(H) if reverse else h)
                elif past_end == "repeat" and not reverse:
                    expected = h
                else:
                    expected = np.zeros(H)
                np.testing.assert_allclose(output[t, row], expected, atol=1e-14, err_msg=past_end)


def test_the_state_of_a_row_without_steps():
    start = RNG.normal(size=(2, N, H))
    layer = made(nn.GRU, past_end="live", empty="last", bidirectional=True)
    output, state = layer(X, start, lengths=LENGTHS)
    np.testing.assert_array_equal(state.numpy()[0, 2], output.numpy()[-1, 2, :H])
    np.testing.assert_array_equal(state.numpy()[1, 2], output.numpy()[0 + LENGTHS[2], 2, H:])
    for empty, expected in (("initial", start[:, 2]), ("zeros", np.zeros((2, H)))):
        state = made(nn.GRU, empty=empty, bidirectional=True)(X, start, lengths=LENGTHS)[1]
        np.testing.assert_array_equal(state.numpy()[:, 2], expected)
        assert (state.numpy()[0, 1] != start[0, 1]).all()
    with pytest.raises(tg.ShapeError, match=r"integers from 1 to 4, but are \[4, 2, 0\].*empty=\"initial\" or"):
        made(nn.GRU)(X, lengths=LENGTHS)


@pytest.mark.parametrize("past_end", ["repeat", "live", "step"])
def test_gradients_with_lengths(past_end):
    layer = made(nn.LSTM, past_end=past_end, empty="initial", bidirectional=True)
    x = tg.tensor(X, requires_grad=True)
    weights = RNG.normal(size=(T, N, 2 * H))
    assert tg.check_gradients((layer(x, lengths=LENGTHS)[0] * weights).sum())


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: nn.GRU(2, 3, reset="behind"), "GRU: reset is 'after' or 'before', not 'behind'"),
        (lambda: nn.LSTM(2, 3, peepholes=True), "peepholes is None or 'diagonal' or 'full', not True"),
        (lambda: nn.LSTM(2, 3, proj_size=-1), "proj_size"),
        (lambda: nn.LSTM(2, 3, clip=0), "clip is a positive number"),
        (lambda: nn.LSTM(2, 3, activations=("tanh", "tanh")), "activations are 3"),
        (lambda: nn.GRU(2, 3, activations=("tanh", "sin")), "'sin'"),
        (lambda: nn.RNN(2, 3, leak=2), "leak"),
        (lambda: nn.RNN(2, 3, past_end="ones"), "past_end is 'zeros' or 'repeat' or 'live' or 'step'"),
        (lambda: nn.RNN(2, 3, empty="last"), 'empty="last"'),
    ],
)
def test_settings_that_mean_nothing(make, said):
    with pytest.raises(tg.ArgumentError, match=said):
        make()


#: a hole, a beginning that is left out, a single step
HOLES = np.array([[1, 0, 0], [0, 1, 0], [1, 0, 1], [1, 1, 0]], bool)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("past_end", ["zeros", "repeat"])
def test_a_mask_may_have_holes(past_end, reverse):
    """What a step is that is False: the state stays, the output is zeros or the last one again."""
    output, state, step = ragged(past_end, None, reverse, HOLES)
    for row in range(N):
        h = np.zeros(H)
        for t in reversed(range(T)) if reverse else range(T):
            if HOLES[t, row]:
                h = step(X[t, row], h)
            shown = h if past_end == "repeat" or HOLES[t, row] else np.zeros(H)
            np.testing.assert_allclose(output[t, row], shown, atol=1e-14)
        np.testing.assert_allclose(state[row], h, atol=1e-14)


def test_a_mask_is_the_same_however_it_comes():
    layer = made(nn.LSTM, past_end="repeat", bidirectional=True)
    first = made(nn.LSTM, past_end="repeat", bidirectional=True, batch_first=True)
    first.load_state_dict(layer.state_dict())
    x = tg.tensor(X, requires_grad=True)
    output = layer(x, lengths=HOLES)[0]
    for other in (
        layer(X, lengths=tg.tensor(HOLES))[0],
        first(X.swapaxes(0, 1), lengths=HOLES.T)[0].transpose(0, 1),
        tg.compile(lambda x, mask: layer(x, lengths=mask)[0])(tg.tensor(X), HOLES),
    ):
        np.testing.assert_allclose(other.numpy(), output.numpy(), atol=1e-14)
    alone = layer(X[:, 1], lengths=HOLES[:, 1])[0]
    np.testing.assert_allclose(alone.numpy(), output.numpy()[:, 1], atol=1e-14)
    assert tg.check_gradients((output * RNG.normal(size=output.shape)).sum())
    whole = np.arange(T)[:, None] < np.array([4, 2, 1])
    for cell in (layer, nn.Recurrent(nn.GRUCell(IN, H, dtype=float))):
        np.testing.assert_array_equal(cell(X, lengths=whole)[0].numpy(), cell(X, lengths=[4, 2, 1])[0].numpy())
    last = tg.scan(lambda total, x: (total + x, None), np.zeros((N, IN)), X, lengths=HOLES)[0]
    np.testing.assert_allclose(last.numpy(), (X * HOLES[:, :, None]).sum(0), atol=1e-14)


def test_masks_that_mean_nothing():
    layer = made(nn.LSTM)
    for mask in (HOLES.astype(int), HOLES[1:], HOLES.T, HOLES[0]):
        with pytest.raises(tg.DTypeError, match=r"lengths are integers, a mask is of booleans \(4, 3\)"):
            layer(X, lengths=mask)
    with pytest.raises(tg.ShapeError, match=r"no step at all; .*empty=\"initial\""):
        layer(X, lengths=HOLES & [True, True, False])
    with pytest.raises(tg.ArgumentError, match=r"reads on past an end, which a mask does not have; give lengths"):
        made(nn.LSTM, past_end="live")(X, lengths=HOLES)
