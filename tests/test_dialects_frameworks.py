"""Records against the libraries themselves, each where it is installed: random weights, its outputs, ours."""

import os
from contextlib import nullcontext

import numpy as np
import pytest
from dialect_oracles import layer_of
from nightly import NIGHTLY

import tinygrad_rnn as tg
from tinygrad_rnn.interchange import DIALECTS, load_weights, save_weights

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["KERAS_BACKEND"] = "jax"  # whatever is set: what its layers return are arrays
os.environ.setdefault("DEV", "PYTHON")
try:
    import jax
except ImportError:
    jax = None
pytestmark = pytest.mark.filterwarnings("ignore")  # theirs

T, N, I, H = 4, 3, 2, 3  # noqa: E741
RNG = np.random.default_rng(0)
X = RNG.normal(size=(T, N, I)).astype(np.float32)
FLOAT32 = 2e-6
LENGTHS = [4, 2, 1]


@pytest.fixture(autouse=True)
def as_it_was():
    """Other libraries set environment variables and draw from NumPy's global generator."""
    environment, random = dict(os.environ), np.random.get_state()
    with jax.disable_jit() if jax is not None else nullcontext():  # for so few steps compiling costs more than it saves
        yield
    np.random.set_state(random)
    os.environ.clear()
    os.environ.update(environment)


def random_like(tree):
    """The same nesting with other numbers."""
    if isinstance(tree, dict):
        return {key: random_like(value) for key, value in tree.items()}
    return RNG.normal(size=np.shape(tree)).astype(np.float32)


def same(name, weights, expected, state=None, *, x=X, atol=FLOAT32, lengths=None, **options):
    """Load the weights and compare outputs (T, N, H) and the states of the first layer and direction (N, H)."""
    layer = layer_of(DIALECTS[name])(I, H, **{**DIALECTS[name].layer, **options})
    load_weights(layer, weights, name)
    output, last = layer(x, lengths=lengths)
    np.testing.assert_allclose(output.numpy(), np.asarray(expected), atol=atol, err_msg=name)
    if state is not None:
        for mine, theirs in zip(last if isinstance(last, tuple) else (last,), state, strict=True):
            np.testing.assert_allclose(mine.numpy().reshape(np.shape(theirs)), np.asarray(theirs), atol=atol)
    other = layer_of(DIALECTS[name])(I, H, **{**DIALECTS[name].layer, **options})
    load_weights(other, save_weights(layer, name), name)
    np.testing.assert_allclose(other(x, lengths=lengths)[0].numpy(), output.numpy(), atol=1e-6)
    return layer


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_pytorch(kind):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    torch.manual_seed(0)
    for options in ({}, {"num_layers": 2, "bidirectional": True}, {"bias": False}):
        theirs = getattr(torch.nn, kind)(I, H, **options).double()
        with torch.no_grad():
            packed = torch.nn.utils.rnn.pack_padded_sequence(torch.tensor(X).double(), torch.tensor(LENGTHS))
            output, state = theirs(packed)
            expected = torch.nn.utils.rnn.pad_packed_sequence(output)[0]
        states = state if isinstance(state, tuple) else (state,)
        name = f"torch.{kind.lower()}"
        same(name, theirs.state_dict(), expected, states, atol=1e-13, lengths=LENGTHS, dtype=np.float64, **options)
    cell = getattr(torch.nn, f"{kind}Cell")(I, H).double()
    state, outputs = None, []
    with torch.no_grad():
        for x in torch.tensor(X).double():
            state = cell(x, state)
            outputs.append(state[0] if kind == "LSTM" else state)
    same(f"torch.{kind.lower()}_cell", cell.state_dict(), torch.stack(outputs), atol=1e-13, dtype=np.float64)


def test_pytorch_projections():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    theirs = torch.nn.LSTM(I, H, num_layers=2, bidirectional=True, proj_size=2).double()
    options = {"num_layers": 2, "bidirectional": True, "proj_size": 2, "dtype": np.float64}
    with torch.no_grad():
        output, state = theirs(torch.tensor(X).double())
    same("torch.lstm", theirs.state_dict(), output, state, atol=1e-13, **options)


KERAS = {
    "keras.lstm": ("LSTM", {}, {}),
    "keras.gru": ("GRU", {}, {}),
    "keras.gru_before": ("GRU", {"reset_after": False}, {}),
    "keras.simple_rnn": ("SimpleRNN", {}, {}),
    "keras.lstm, hard": (
        "LSTM",
        {"recurrent_activation": "hard_sigmoid"},
        {"activations": ("hard_sigmoid_6", "tanh", "tanh")},
    ),
}


@pytest.fixture(scope="module")
def keras():
    pytest.importorskip("jax", reason="JAX is not installed")
    return pytest.importorskip("keras", reason="Keras is not installed")


@pytest.mark.parametrize("name", KERAS)
def test_keras(name, keras):
    kind, theirs, ours = KERAS[name]
    layer = getattr(keras.layers, kind)(H, return_sequences=True, return_state=True, **theirs)
    layer.build((N, T, I))
    layer.set_weights([random_like(each) for each in layer.get_weights()])
    names = ("kernel", "recurrent_kernel", "bias")
    weights = dict(zip(names, layer.get_weights(), strict=True))
    dialect = name.split(",")[0]
    output, *state = layer(X.transpose(1, 0, 2))
    same(dialect, weights, np.asarray(output).transpose(1, 0, 2), state, **ours)
    holes = np.array([[True, False, True, True], [False, True, False, False], [True, True, True, False]])
    for mask in (np.arange(T) < np.array(LENGTHS)[:, None], holes):
        output, *state = layer(X.transpose(1, 0, 2), mask=mask)
        same(
            dialect,
            weights,
            np.asarray(output).transpose(1, 0, 2),
            state,
            lengths=mask.T,
            **{**DIALECTS[dialect].lengths, **ours},
        )


@pytest.mark.parametrize("ending", [".keras", ".weights.h5", ".h5"])
def test_keras_files(ending, keras, tmp_path):
    pytest.importorskip("h5py", reason="h5py is not installed")
    model = keras.Sequential(
        [
            keras.layers.Input((T, I)),
            keras.layers.Bidirectional(keras.layers.GRU(H, return_sequences=True)),
            keras.layers.LSTM(H, return_sequences=True, name="top"),
        ]
    )
    model.set_weights([random_like(each) for each in model.get_weights()])
    path = tmp_path / f"model{ending}"
    (model.save_weights if "weights" in ending else model.save)(path)
    gru, lstm = tg.nn.GRU(I, H, bidirectional=True), tg.nn.LSTM(2 * H, H)
    assert load_weights(gru, path).name == "keras.gru"
    if "weights" in ending:  # says nothing of activations: it might be an older Keras'
        with pytest.raises(tg.DataError, match=r"say which: keras\.lstm, tfjs\.lstm"):
            load_weights(lstm, path)
        load_weights(lstm, path, "keras.lstm")
    else:
        assert load_weights(lstm, path).name == "keras.lstm"
    expected = np.asarray(model(X.transpose(1, 0, 2))).transpose(1, 0, 2)
    np.testing.assert_allclose(lstm(gru(X)[0])[0].numpy(), expected, atol=FLOAT32)


def test_keras_files_tell_activations(keras, tmp_path):
    pytest.importorskip("h5py", reason="h5py is not installed")
    layer = keras.layers.LSTM(H, recurrent_activation="hard_sigmoid", activation="relu")
    model = keras.Sequential([keras.layers.Input((T, I)), layer])
    for ending in (".keras", ".h5"):
        model.save(tmp_path / f"model{ending}")
        with pytest.raises(tg.ArgumentError, match=r"activations=\('hard_sigmoid_6', 'relu', 'relu'\)"):
            load_weights(tg.nn.LSTM(I, H), tmp_path / f"model{ending}")
        ours = tg.nn.LSTM(I, H, activations=("hard_sigmoid_6", "relu", "relu"))
        load_weights(ours, tmp_path / f"model{ending}")
        expected = np.asarray(model(X.transpose(1, 0, 2)))
        np.testing.assert_allclose(ours(X)[0].numpy()[-1], expected, atol=FLOAT32)


FLAX = {
    "flax.lstm": "LSTMCell",
    "flax.gru": "GRUCell",
    "flax.mgu": "MGUCell",
    "flax.simple": "SimpleCell",
    "flax.lstm, optimized": "OptimizedLSTMCell",
}


@pytest.mark.parametrize("name", FLAX)
def test_flax(name):
    linen = pytest.importorskip("flax.linen", reason="Flax is not installed")
    # lengths are the loop's, not the cells'
    every = name == "flax.mgu" or NIGHTLY
    for lengths in (None, LENGTHS, [4, 2, 0]) if every else (LENGTHS,):
        for reverse in (False, True) if every else (False,):
            rnn = linen.RNN(
                getattr(linen, FLAX[name])(H), time_major=True, return_carry=True, reverse=reverse, keep_order=True
            )
            given = None if lengths is None else np.array(lengths)
            weights = random_like(rnn.init(jax.random.PRNGKey(0), X))
            carry, output = rnn.apply(weights, X, seq_lengths=given)
            state = carry[::-1] if isinstance(carry, tuple) else (carry,)
            dialect = name.split(",")[0]
            if not reverse:
                same(dialect, weights, output, state, lengths=lengths, **DIALECTS[dialect].lengths)
                continue
            layer = layer_of(DIALECTS[dialect])(I, H, bidirectional=True, **DIALECTS[dialect].lengths)
            load_weights(layer, [weights, weights], dialect)
            ours, last = layer(X, lengths=lengths)
            np.testing.assert_allclose(ours.numpy()[..., H:], output, atol=FLOAT32)
            last = last if isinstance(last, tuple) else (last,)
            for mine, theirs in zip(last, state, strict=True):
                np.testing.assert_allclose(mine.numpy()[1], theirs, atol=FLOAT32)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("flax.nnx_lstm", "LSTMCell"), ("flax.nnx_optimized_lstm", "OptimizedLSTMCell"), ("flax.nnx_gru", "GRUCell")],
)
def test_flax_nnx(name, kind):
    nnx = pytest.importorskip("flax.nnx", reason="Flax is not installed")
    cell = getattr(nnx, kind)(I, H, rngs=nnx.Rngs(0))
    state = nnx.state(cell)
    for path, value in nnx.to_flat_state(state):
        value.set_value(RNG.normal(size=value.get_value().shape).astype(np.float32)) if path else None
    nnx.update(cell, state)
    weights = {path: np.asarray(value.get_value()) for path, value in nnx.to_flat_state(nnx.state(cell))}
    carry, outputs = cell.initialize_carry((N, I), nnx.Rngs(0)), []
    for x in X:
        carry, output = cell(carry, x)
        outputs.append(np.asarray(output))
    same(name, weights, np.stack(outputs))


@pytest.mark.parametrize("name", ["equinox.lstm", "equinox.gru"])
def test_equinox(name):
    equinox = pytest.importorskip("equinox", reason="Equinox is not installed")
    kind = equinox.nn.LSTMCell if name.endswith("lstm") else equinox.nn.GRUCell
    cell = kind(I, H, key=jax.random.PRNGKey(0))
    fields = ("weight_ih", "weight_hh", "bias", "bias_n")
    weights = {key: np.asarray(getattr(cell, key)) for key in fields if getattr(cell, key, None) is not None}
    outputs = []
    for row in range(N):
        h = np.zeros(H, np.float32)
        state = (h, h) if name.endswith("lstm") else h
        for t in range(T):
            state = cell(X[t, row], state)
            outputs.append(np.asarray(state[0] if name.endswith("lstm") else state))
    same(name, weights, np.stack(outputs).reshape(N, T, H).transpose(1, 0, 2))


@pytest.mark.parametrize(
    ("name", "kind"), [("haiku.lstm", "LSTM"), ("haiku.gru", "GRU"), ("haiku.vanilla_rnn", "VanillaRNN")]
)
def test_haiku(name, kind):
    haiku = pytest.importorskip("haiku", reason="Haiku is not installed")

    def run(x):
        cell = getattr(haiku, kind)(H)
        state, outputs = cell.initial_state(N), []
        for each in x:
            output, state = cell(each, state)
            outputs.append(output)
        return jax.numpy.stack(outputs), state

    program = haiku.transform(run)
    weights = random_like(program.init(jax.random.PRNGKey(0), X))
    output, state = program.apply(weights, None, X)
    same(name, weights, output, state if name == "haiku.lstm" else (state,))


def test_jax_experimental():
    rnn = pytest.importorskip("jax.experimental.rnn", reason="JAX is not installed")
    for layers, both in ((1, False), (2, True)):
        weights = RNG.normal(size=rnn.get_num_params_in_lstm(I, H, layers, both)).astype(np.float32)
        zeros = np.zeros((layers * (1 + both), N, H), np.float32)
        parts = rnn.unpack_lstm_weights(weights, I, H, layers, both)
        output, h, c = rnn.lstm_ref(
            X.transpose(1, 0, 2), zeros, zeros, *parts, seq_lengths=np.array(LENGTHS, np.int32),
            input_size=I, hidden_size=H, num_layers=layers, dropout=0.0, bidirectional=both,
        )  # fmt: skip
        same("jax.lstm", weights, np.asarray(output).transpose(1, 0, 2), (h, c), num_layers=layers,
             bidirectional=both, lengths=LENGTHS)  # fmt: skip


@pytest.mark.parametrize("name", ["brainstate.lstm", "brainstate.gru", "brainstate.valina_rnn"])
def test_brainstate(name):
    brainstate = pytest.importorskip("brainstate", reason="brainstate is not installed")
    kind = {"lstm": "LSTMCell", "gru": "GRUCell", "valina_rnn": "ValinaRNNCell"}[name.split(".")[1]]
    cell = getattr(brainstate.nn, kind)(I, H)
    cell.init_state(batch_size=N)
    weights = {}
    for path, state in cell.states(brainstate.ParamState).items():
        state.value = random_like(state.value)
        weights[path] = state.value
    same(name, weights, np.stack([np.asarray(cell(x)) for x in X]))


@pytest.mark.parametrize(("name", "kind"), [("mlx.lstm", "LSTM"), ("mlx.gru", "GRU"), ("mlx.rnn", "RNN")])
def test_mlx(name, kind):
    core = pytest.importorskip("mlx.core", reason="MLX is not installed")
    layer = getattr(pytest.importorskip("mlx.nn"), kind)(I, H)
    weights = {key: RNG.normal(size=value.shape).astype(np.float32) for key, value in layer.parameters().items()}
    layer.update({key: core.array(value) for key, value in weights.items()})
    output = layer(core.array(X.transpose(1, 0, 2)))
    output = output[0] if kind == "LSTM" else output
    same(name, weights, np.array(output).transpose(1, 0, 2), atol=1e-5)


def test_thinc():
    layers = pytest.importorskip("thinc.layers", reason="thinc is not installed")
    model = layers.LSTM(H, I, bi=False, depth=1)
    model.initialize()
    for name in ("LSTM", "HC0"):
        model.set_param(name, RNG.normal(size=model.get_param(name).shape).astype(np.float32))
    weights = {name: model.get_param(name) for name in ("LSTM", "HC0")}
    output = layers.with_padded(model).predict([X[:, row] for row in range(N)])
    same("thinc.lstm", weights, np.stack(output, axis=1), atol=1e-5)


@pytest.mark.parametrize("name", ["dynet.lstm", "dynet.gru"])
def test_dynet(name):
    dynet = pytest.importorskip("dynet", reason="DyNet is not installed")
    dynet.renew_cg()
    collection = dynet.ParameterCollection()
    builder = (dynet.VanillaLSTMBuilder if name.endswith("lstm") else dynet.GRUBuilder)(1, I, H, collection)
    weights = {}
    for parameter in collection.parameters_list():
        value = RNG.normal(size=parameter.shape()).astype(np.float32)
        parameter.set_value(value)
        weights[parameter.name().split("/")[-1]] = value
    outputs = []
    for row in range(N):
        state = builder.initial_state()
        for t in range(T):
            state = state.add_input(dynet.inputVector(X[t, row]))
            outputs.append(np.array(state.output().value()))
    same(name, weights, np.stack(outputs).reshape(N, T, H).transpose(1, 0, 2), atol=1e-5)


def test_reservoirpy():
    nodes = pytest.importorskip("reservoirpy.nodes", reason="reservoirpy is not installed")
    weights = {"W": RNG.normal(size=(H, H)), "Win": RNG.normal(size=(H, I)), "bias": RNG.normal(size=H)}
    outputs = []
    for row in range(N):
        node = nodes.Reservoir(H, lr=0.3, **weights)
        outputs.append(node.run(X[:, row].astype(np.float64)))
    same("reservoirpy.reservoir", weights, np.stack(outputs, axis=1), atol=1e-13, leak=0.3, dtype=np.float64,
         x=X.astype(np.float64))  # fmt: skip


def test_tinygrad():
    tinygrad = pytest.importorskip("tinygrad", reason="tinygrad is not installed")
    cell = tinygrad.nn.LSTMCell(I, H)
    weights = random_like({key: value.numpy() for key, value in vars(cell).items()})
    for key, value in weights.items():
        setattr(cell, key, tinygrad.Tensor(value))
    state, outputs = None, []
    for x in X[:2]:
        state = cell(tinygrad.Tensor(x), state)
        outputs.append(state[0].numpy())
    same("tinygrad.lstm_cell", weights, np.stack(outputs), x=X[:2])


ONNX = {
    "onnx.lstm": ("LSTM", 4, {}, {"peepholes": "diagonal"}),
    "onnx.gru": ("GRU", 3, {}, {}),
    "onnx.gru_after": ("GRU", 3, {"linear_before_reset": 1}, {}),
    "onnx.rnn": ("RNN", 1, {}, {}),
    "onnx.lstm, coupled, clipped": (
        "LSTM", 4, {"input_forget": 1, "clip": 0.5}, {"peepholes": "diagonal", "coupled": True, "clip": 0.5},
    ),
    "onnx.lstm, hard": (
        "LSTM", 4, {"activations": ["HardSigmoid", "Tanh", "Softsign"]},
        {"peepholes": "diagonal", "activations": ("hard_sigmoid", "tanh", "softsign")},
    ),
    "onnx.rnn, relu": ("RNN", 1, {"activations": ["Relu"]}, {"nonlinearity": "relu"}),
}  # fmt: skip


def onnx_model(kind, gates, attributes, weights):
    """A model with one node, of as many directions as its weights."""
    from onnx import TensorProto, helper, numpy_helper

    ways = weights["W"].shape[0]
    names = ["X", "W", "R", "B", "lengths", "", "", "P"] if "P" in weights else ["X", "W", "R", "B", "lengths"]
    if ways == 2 and "activations" in attributes:
        attributes = {**attributes, "activations": attributes["activations"] * 2}
    node = helper.make_node(
        kind, names, ["Y"], hidden_size=H, direction="bidirectional" if ways == 2 else "forward", **attributes
    )
    graph = helper.make_graph(
        [node],
        "one",
        [
            helper.make_tensor_value_info("X", TensorProto.FLOAT, [T, N, I]),
            helper.make_tensor_value_info("lengths", TensorProto.INT32, [N]),
        ],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, key) for key, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)


@pytest.mark.parametrize("name", ONNX)
def test_onnxruntime_and_onnx_files(name, tmp_path):
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    kind, gates, attributes, options = ONNX[name]
    weights = {"W": (2, gates * H, I), "R": (2, gates * H, H), "B": (2, 2 * gates * H), "P": (2, 3 * H)}
    weights = {key: RNG.normal(size=shape).astype(np.float32) for key, shape in weights.items()}
    weights = weights if kind == "LSTM" else {key: weights[key] for key in "WRB"}
    model = onnx_model(kind, gates, attributes, weights)
    session = runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (output,) = session.run(None, {"X": X, "lengths": np.array(LENGTHS, np.int32)})
    expected = output.transpose(0, 2, 1, 3).reshape(T, N, 2 * H)
    dialect = name.split(",")[0]
    same(dialect, weights, expected, lengths=LENGTHS, bidirectional=True, **options)
    onnx.save(model, tmp_path / "model.onnx")
    ours = layer_of(DIALECTS[dialect])(I, H, bidirectional=True, **{**DIALECTS[dialect].layer, **options})
    assert load_weights(ours, tmp_path / "model.onnx").name == dialect  # the node says which
    np.testing.assert_allclose(ours(X, lengths=LENGTHS)[0].numpy(), expected, atol=FLOAT32)
    if attributes and "linear_before_reset" not in attributes:
        plain = layer_of(DIALECTS[dialect])(
            I, H, bidirectional=True, **({"peepholes": "diagonal"} if kind == "LSTM" else {})
        )
        with pytest.raises(tg.ArgumentError, match="make the layer with"):
            load_weights(plain, tmp_path / "model.onnx")


@pytest.mark.parametrize("name", ["openvino.lstm", "openvino.gru", "openvino.gru_after"])
def test_openvino(name):
    openvino = pytest.importorskip("openvino", reason="OpenVINO is not installed")
    from openvino import opset8

    gates, rows = {"openvino.lstm": (4, 4), "openvino.gru": (3, 3), "openvino.gru_after": (3, 4)}[name]
    weights = {"W": (1, gates * H, I), "R": (1, gates * H, H), "B": (1, rows * H)}
    weights = {key: RNG.normal(size=shape).astype(np.float32) for key, shape in weights.items()}
    x, zero = opset8.parameter([N, T, I], np.float32), np.zeros((N, 1, H), np.float32)
    arrays, lengths = [opset8.constant(weights[key]) for key in "WRB"], np.array(LENGTHS, np.int32)
    if name == "openvino.lstm":
        node = opset8.lstm_sequence(x, zero, zero, lengths, *arrays, H, "forward")
    else:
        node = opset8.gru_sequence(x, zero, lengths, *arrays, H, "forward", linear_before_reset=name.endswith("after"))
    model = openvino.compile_model(openvino.Model([node.output(0)], [x]), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    output = model([X.transpose(1, 0, 2)])[0]
    same(name, weights, output[:, 0].transpose(1, 0, 2), lengths=LENGTHS, atol=1e-5)


@pytest.mark.parametrize("name", ["ncnn.lstm", "ncnn.gru"])
def test_ncnn(name, tmp_path):
    ncnn = pytest.importorskip("ncnn", reason="ncnn is not installed")
    gates = 4 if name.endswith("lstm") else 3
    weights = {"weight_xc": (1, gates * H, I), "bias_c": (1, 4 * H), "weight_hc": (1, gates * H, H)}
    weights = {key: RNG.normal(size=shape).astype(np.float32) for key, shape in weights.items()}
    kind = name.split(".")[1].upper()
    (tmp_path / "one.param").write_text(
        f"7767517\n2 2\nInput x 0 1 x\n{kind} rnn 1 1 x y 0={H} 1={weights['weight_xc'].size} 2=0\n"
    )
    flags = b"\0\0\0\0"  # each array: how it is stored, then the numbers
    (tmp_path / "one.bin").write_bytes(b"".join(flags + value.tobytes() for value in weights.values()))
    net = ncnn.Net()
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    net.opt.use_bf16_storage = False
    assert net.load_param(str(tmp_path / "one.param")) == 0 and net.load_model(str(tmp_path / "one.bin")) == 0
    outputs = []
    for row in range(N):
        extractor = net.create_extractor()
        extractor.input("x", ncnn.Mat(np.ascontiguousarray(X[:, row])))
        outputs.append(np.array(extractor.extract("y")[1]))
    same(name, weights, np.stack(outputs, axis=1), atol=1e-5)
