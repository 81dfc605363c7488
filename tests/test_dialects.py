"""Weights of other libraries: every dialect against its equations, both ways; ambiguous, wrong and hostile input."""

import importlib.util
import io
import json
import os
import sys
import zipfile

import numpy as np
import pytest
from dialect_oracles import ORACLES, H, I, P, layer_of
from dialects_document import PAGE, updated

import tinygrad_rnn as tg
from tinygrad_rnn.interchange import DIALECTS, load_weights, save_weights

T, N = 3, 2
#: names and shapes that several dialects share, while the numbers mean something else
AMBIGUOUS = [
    {"onnx.gru", "onnx.gru_after"},
    {"keras.lstm", "tfjs.lstm"},
    {"keras.gru_before", "tfjs.gru"},
    {"equinox.lstm", "coreml.lstm"},
    {"paddle.gru_op", "paddle.gru_op_origin"},
]


def options_of(name):
    more = {"onnx.lstm": {"peepholes": "diagonal"}, "reservoirpy.reservoir": {"leak": 0.3}}
    return {**DIALECTS[name].layer, **more.get(name, {})}


def made(name, **options):
    return layer_of(DIALECTS[name])(I, H, dtype=np.float64, **options_of(name), **options)


def weights_of(name, seed=0):
    rng = np.random.default_rng(seed)
    return {key: rng.normal(size=shape) for key, shape in ORACLES[name][0].items()}


def judged(name, weights, x):
    """The library's outputs and final state, from zeros or from its learned state."""
    layer_states = 2 if DIALECTS[name].cell == "lstm" else 1
    state = tuple(np.zeros((N, H)) for _ in range(layer_states))
    if "HC0" in weights:
        state = tuple(np.tile(each, (N, 1)) for each in weights["HC0"][::-1, 0, 0])
    outputs = []
    for each in x:
        state = ORACLES[name][1](weights, each, state)
        outputs.append(state[0])
    return np.stack(outputs), state


def test_every_dialect_has_an_oracle():
    assert ORACLES.keys() == DIALECTS.keys()


@pytest.mark.parametrize("name", DIALECTS)
def test_a_dialect_is_its_equations_and_comes_back(name):
    weights, x = weights_of(name), np.random.default_rng(1).normal(size=(T, N, I))
    expected, final = judged(name, weights, x)
    layer = made(name)
    assert load_weights(layer, weights, name) is DIALECTS[name]
    output, state = layer(x)
    np.testing.assert_allclose(output.numpy(), expected, atol=1e-14)
    for mine, theirs in zip(state if isinstance(state, tuple) else (state,), final, strict=True):
        np.testing.assert_allclose(mine.numpy()[0], theirs, atol=1e-14)
    saved = save_weights(layer, name)
    assert {key: value.shape for key, value in saved.items()} == ORACLES[name][0]
    np.testing.assert_allclose(judged(name, saved, x)[0], expected, atol=1e-14)


@pytest.mark.parametrize("name", DIALECTS)
def test_a_dialect_is_recognised_or_asked_for(name):
    shared = next((names for names in AMBIGUOUS if name in names), None)
    if shared is None:
        found = load_weights(made(name), weights_of(name))
        options = ["bias", *(["p"] if "peepholes" in options_of(name) else []), *(["h0"] if "thinc" in name else [])]
        assert found.meaning(options) == DIALECTS[name].meaning(options)
        return
    layer = made(name)
    before = layer.weight_ih_l0.numpy().copy()
    with pytest.raises(tg.DataError, match="say which: ") as caught:
        load_weights(layer, weights_of(name))
    assert all(each in str(caught.value) for each in shared)
    np.testing.assert_array_equal(layer.weight_ih_l0.numpy(), before)


@pytest.mark.parametrize("name", DIALECTS)
def test_layers_and_directions_come_back(name):
    layer = made(name, num_layers=2, bidirectional=True)
    rng = np.random.default_rng(2)
    state = {key: rng.normal(size=p.shape) for key, p in layer.named_parameters()}
    for key in state:  # what not every library has a place for
        if "bias_hh" in key:
            state[key][2 * H :] = 0
        if DIALECTS[name].shared:
            state[key][H : 2 * H] = state[key][:H]
    layer.load_state_dict(state)
    other = made(name, num_layers=2, bidirectional=True)
    load_weights(other, save_weights(layer, name), name)
    x = rng.normal(size=(T, N, I))
    np.testing.assert_allclose(other(x)[0].numpy(), layer(x)[0].numpy(), atol=1e-13)


@pytest.mark.parametrize("name", ["torch.lstm", "paddle.lstm", "ncnn.lstm"])
def test_projections_come_back(name):
    layer, other = (made(name, proj_size=P, bidirectional=True) for _ in range(2))
    saved = save_weights(layer, name)
    shapes = {"torch.lstm": (P, H), "paddle.lstm": (H, P), "ncnn.lstm": (2, P, H)}
    names = {"torch.lstm": "weight_hr_l0", "paddle.lstm": "0/cell/weight_ho", "ncnn.lstm": "weight_hr"}
    assert saved[names[name]].shape == shapes[name]
    assert load_weights(other, saved).name == name
    x = np.ones((T, N, I))
    np.testing.assert_allclose(other(x)[0].numpy(), layer(x)[0].numpy(), atol=1e-14)


def test_the_documented_table_is_the_records():
    page = PAGE.read_text("utf-8")
    assert updated(page) == page, "run python tests/dialects_document.py"
    missing = page.replace(next(line for line in page.splitlines() if line.startswith("| `keras.gru`")) + "\n", "")
    assert missing != page and updated(missing) == page


# What does not fit ---------------------------------------------------------------------------------------------


def gru(**options):
    return tg.nn.GRU(I, H, **options)


def lstm(**options):
    return tg.nn.LSTM(I, H, **options)


KERAS = weights_of("keras.gru")
REFUSED = {
    "another cell": (gru(), weights_of("torch.lstm"), None, "no dialect has these names and shapes for GRU"),
    "another cell, named": (gru(), weights_of("torch.lstm"), "torch.lstm", "they are an LSTM's"),
    "missing": (gru(), {"kernel": KERAS["kernel"], "bias": KERAS["bias"]}, "keras.gru", "missing recurrent_kernel"),
    "left over": (gru(), {**KERAS, "peephole": np.ones(3)}, "keras.gru", "left over peephole"),
    "another layer left over": (
        gru(), save_weights(gru(num_layers=2), "torch.gru"), "torch.gru", "left over weight_ih_l1",
    ),
    "shape": (gru(), {**KERAS, "bias": np.ones((3, 9))}, "keras.gru", r"bias has shape \(3, 9\), which should be"),
    "no bias": (gru(), {k: v for k, v in KERAS.items() if k != "bias"}, "keras.gru", "missing bias"),
    "a bias too many": (gru(bias=False), KERAS, "keras.gru", "left over bias"),
    "reset": (gru(), weights_of("haiku.gru"), "haiku.gru", "make the layer with reset='before', not 'after'"),
    "reset, recognised": (gru(), weights_of("haiku.gru"), None, "make the layer with reset='before'"),
    "reset the other way": (gru(reset="before"), KERAS, None, "make the layer with reset='after'"),
    "hard sigmoids": (lstm(), weights_of("tfjs.lstm"), "tfjs.lstm", "activations="),
    "other activations": (
        lstm(activations=("hard_sigmoid", "tanh", "tanh")), weights_of("haiku.lstm"), None, "activations=",
    ),
    "relu": (tg.nn.RNN(I, H), weights_of("haiku.vanilla_rnn"), None, "nonlinearity='relu'"),
    "peepholes in the layer": (lstm(peepholes="full"), weights_of("chainer.lstm"), "chainer.lstm", "has no peepholes"),
    "peepholes in the file": (lstm(), weights_of("onnx.lstm"), "onnx.lstm", "left over P"),
    "learned state": (lstm(), weights_of("thinc.lstm"), "thinc.lstm", "left over HC0|learned_state=True"),
    "no forget bias": (lstm(bias=False), {"linear/w": np.ones((5, 12))}, "haiku.lstm", "bias=True"),
    "vector": (lstm(), np.ones(7), "jax.lstm", r"which should be \(84,\)"),
    "dialect": (lstm(), np.ones(7), "jax.gru", "there is no dialect 'jax.gru'"),
    "nothing": (lstm(), {"steps": np.array(3)}, None, "no arrays of floating-point numbers"),
    "no array": (lstm(), {"kernel": object()}, None, "no dialect|no arrays"),
    "no layer": (tg.nn.Linear(2, 3), {}, None, "nn.RNN, nn.LSTM or nn.GRU, not Linear"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_said_in_one_line_and_changes_nothing(case):
    layer, source, dialect, said = REFUSED[case]
    before = {key: value.numpy().copy() for key, value in layer.state_dict().items()}
    with pytest.raises(tg.TinygradError, match=said) as caught:
        load_weights(layer, source, dialect)
    assert "\n" not in str(caught.value)
    for key, value in layer.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[key])


def test_a_weight_without_a_place_is_not_saved():
    with pytest.raises(tg.DataError, match="one bias for n, but bias_hh_l0"):
        save_weights(gru(), "flax.nnx_gru")
    with pytest.raises(tg.DataError, match="here r and z differ"):
        save_weights(gru(), "flax.mgu")
    with pytest.raises(tg.ArgumentError, match="reset='before'"):
        save_weights(gru(), "haiku.gru")
    with pytest.raises(tg.ArgumentError, match=r"nn\.LSTM"):
        save_weights(gru(), "torch.lstm")
    with pytest.raises(tg.DataError, match="no place for the projection"):
        save_weights(lstm(proj_size=2), "keras.lstm")


def test_names_of_a_whole_model_and_prefixes():
    source = {"model": {"encoder.rnn": KERAS, "decoder": {"rnn": weights_of("keras.gru", 5)}, "head": np.ones((3, 3))}}
    layer = gru(dtype=np.float64)
    with pytest.raises(tg.DataError, match="choose one by prefix=: model/encoder/rnn, model/decoder/rnn"):
        load_weights(layer, source, "keras.gru")
    load_weights(layer, source, prefix="model.encoder")
    np.testing.assert_array_equal(save_weights(layer, "keras.gru")["kernel"], KERAS["kernel"])
    both = tg.nn.GRU(I, H, bidirectional=True, dtype=np.float64)
    load_weights(both, {"f": FLAX, "b": FLAX}, "flax.gru", prefix=["f", "b"])
    load_weights(both, [FLAX, FLAX], "flax.gru")
    np.testing.assert_array_equal(both.weight_ih_l0.numpy(), both.weight_ih_l0_reverse.numpy())
    with pytest.raises(tg.DataError, match="no name begins with 'other'"):
        load_weights(layer, source, prefix="other")


FLAX = weights_of("flax.gru")


# Files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".safetensors", ".npz"])
def test_files_come_back(ending, tmp_path):
    layer, other = (tg.nn.GRU(I, H, num_layers=2, dtype=np.float64) for _ in range(2))
    path = tmp_path / f"weights{ending}"
    save_weights(layer, "chainer.nstep_gru", path)
    assert load_weights(other, path).name == "chainer.nstep_gru"
    for name, value in layer.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), other.state_dict()[name].numpy())


def made_like(cell, dialect, **options):
    """Two layers of a dialect, whose numbers differ, without what the dialect has no place for."""
    layers = [getattr(tg.nn, cell)(I, H, **options, **DIALECTS[dialect].layer) for _ in range(2)]
    arrays = layers[0].state_dict()
    for name in arrays:
        if name.startswith("bias_hh") and not dialect.endswith(".gru"):
            arrays[name] = tg.zeros(arrays[name].shape)
    layers[0].load_state_dict(arrays)
    return layers


@pytest.fixture(scope="module")
def keras():
    """Keras, or None: imported before a test begins, for it draws random numbers then."""
    os.environ["KERAS_BACKEND"] = "jax"  # whatever is set: what its layers return are arrays
    return importlib.import_module("keras") if importlib.util.find_spec("keras") else None


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize(
    ("cell", "dialect"),
    [("LSTM", "keras.lstm"), ("GRU", "keras.gru"), ("GRU", "keras.gru_before"), ("RNN", "keras.simple_rnn")],
)
def test_a_keras_model_comes_back_and_keras_computes_the_same(cell, dialect, bidirectional, tmp_path, keras):
    pytest.importorskip("h5py", reason="h5py is not installed (pip install '.[keras]')")
    layer, other = made_like(cell, dialect, num_layers=2, bidirectional=bidirectional)
    path = tmp_path / "model.keras"
    save_weights(layer, dialect, path)
    first = "bidirectional" if bidirectional else {"RNN": "simple_rnn"}.get(cell, cell.lower())
    assert load_weights(other, path, prefix=[f"layers/{first}", f"layers/{first}_1"]).name == dialect
    x = np.random.default_rng(0).standard_normal((T, N, I)).astype(np.float32)
    ours = layer(x)[0].numpy()
    np.testing.assert_array_equal(other(x)[0].numpy(), ours)
    if keras:
        theirs = keras.saving.load_model(path)(x.transpose(1, 0, 2))
        np.testing.assert_allclose(np.asarray(theirs).transpose(1, 0, 2), ours, rtol=1e-4, atol=1e-6)


def test_what_keras_has_no_layer_for_is_not_written_as_one(tmp_path):
    pytest.importorskip("h5py", reason="h5py is not installed (pip install '.[keras]')")
    for dialect, options, said in (
        ("torch.lstm", {}, "file holds Keras' own layers, not torch"),
        ("keras.lstm", {"activations": ("sigmoid", "tanh", "relu")}, "one activation for the candidate and the cell"),
        ("keras.lstm", {"activations": ("leaky_relu", "tanh", "tanh")}, "no activation that is our leaky_relu"),
    ):
        layer = tg.nn.LSTM(I, H, bias=False, **options)
        with pytest.raises(tg.errors.ArgumentError, match=said):
            save_weights(layer, dialect, tmp_path / "model.keras")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("cell", "dialect"), [("LSTM", "onnx.lstm"), ("GRU", "onnx.gru"), ("GRU", "onnx.gru_after"), ("RNN", "onnx.rnn")]
)
def test_an_onnx_model_comes_back_and_runs(cell, dialect, tmp_path):
    pytest.importorskip("onnx", reason="ONNX is not installed (pip install '.[onnx]')")
    options = {"num_layers": 2, "bidirectional": True, **DIALECTS[dialect].layer}
    layer, other = (getattr(tg.nn, cell)(I, H, **options) for _ in range(2))
    path = tmp_path / "model.onnx"
    save_weights(layer, dialect, path)
    assert load_weights(other, path).name == dialect
    x = np.random.default_rng(0).standard_normal((T, N, I)).astype(np.float32)
    ours = layer(x)[0].numpy()
    np.testing.assert_array_equal(other(x)[0].numpy(), ours)
    np.testing.assert_allclose(tg.interchange.from_onnx(path)(tg.tensor(x))[0].numpy(), ours, rtol=1e-5, atol=1e-6)
    with pytest.raises(tg.errors.ArgumentError, match=r"holds ONNX's own layers, not onnx\.dynamic"):
        save_weights(tg.nn.LSTM(I, H), "onnx.dynamic_quantize_lstm", path)


def test_a_vector_in_a_file(tmp_path):
    layer, other = lstm(), lstm()
    save_weights(layer, "jax.lstm", tmp_path / "v.npy")
    load_weights(other, tmp_path / "v.npy", "jax.lstm")
    np.testing.assert_array_equal(layer.weight_hh_l0.numpy(), other.weight_hh_l0.numpy())


def npz(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def npy(array=None, header=None):
    content = io.BytesIO()
    if header is None:
        np.save(content, array, allow_pickle=True)
    else:
        np.lib.format.write_array_header_1_0(content, header)
        content.write(b"\0" * 16)
    return content.getvalue()


class Trap:
    def __reduce__(self):
        return os.mkdir, ("trapped",)


HUGE = {"shape": (1 << 40,), "fortran_order": False, "descr": "<f8"}
HOSTILE = {
    "pickled.npz": (lambda p: npz(p, {"kernel.npy": npy(np.array([Trap()], object))}), "pickled objects"),
    "promises.npz": (lambda p: npz(p, {"kernel.npy": npy(header=HUGE)}), "its header promises"),
    "promises.npy": (lambda p: p.write_bytes(npy(header=HUGE)), "its header promises"),
    "bomb.npz": (lambda p: npz(p, {"kernel.npy": b"\0" * 4_000_000}), "cannot be read as|promises"),
    "nonsense.npz": (lambda p: p.write_bytes(b"PK\3\4" + b"x" * 50), "cannot be read"),
    "nonsense.safetensors": (lambda p: p.write_bytes(b"\xff" * 64), "cannot be read"),
    "long.safetensors": (
        lambda p: p.write_bytes(
            (raw := json.dumps({"a": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}}).encode())
            and len(raw).to_bytes(8, "little") + raw
        ),
        "cannot be read",
    ),
    "pickle.pkl": (lambda p: p.write_bytes(b"\x80\x04."), "no weight file"),
    "empty.npz": (lambda p: npz(p, {}), "no arrays"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write, said = HOSTILE[name]
    write(tmp_path / name)
    with pytest.raises(tg.DataError, match=said) as caught:
        load_weights(gru(), tmp_path / name)
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(tg.DataError, match="there is no file"):
        load_weights(gru(), tmp_path / "none.npz")
    with pytest.raises(tg.ArgumentError, match="weights are written as"):
        save_weights(gru(), "torch.gru", tmp_path / "weights.pkl")


def test_a_library_that_is_absent(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    (tmp_path / "a.h5").write_bytes(b"")
    with pytest.raises(tg.DataError, match=r"pip install 'tinygrad_rnn\[keras\]'"):
        load_weights(gru(), tmp_path / "a.h5")
