"""The dialects: one record a recurrent layer of a library, each measured by running that library.

Rewrites that a record implies: an update gate the other way round, ``(1 - z) h + z n``, is ours with the weights and
the bias of z negated, for ``sigmoid(-a) = 1 - sigmoid(a)``; one bias is ours with ``bias_hh`` 0; a cell that adds 1 to
the forget gate's pre-activation is ours with 1 added to that bias.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .record import Dialect, Part

BEFORE = {"reset": "before"}
HARD_LSTM = {"activations": ("hard_sigmoid", "tanh", "tanh")}
HARD_GRU = {"activations": ("hard_sigmoid", "tanh"), "reset": "before"}
RELU = {"nonlinearity": "relu"}
ZEROS = {"past_end": "zeros", "empty": "initial"}
ONNX_LENGTHS = {"past_end": "zeros", "empty": "zeros"}
REPEAT = {"past_end": "repeat", "empty": "initial"}
LIVE = {"past_end": "live", "empty": "last"}
BACK = ("", "forward_layer/", "backward_layer/")


def by_name(template: str, axes: str, kind: str, gates: Mapping[str, str]) -> tuple[Part, ...]:
    """One array a gate, ``gates`` mapping the library's name to ours."""
    return tuple(Part(template.format(name), axes, f"{kind}:{gate}") for name, gate in gates.items())


def pytorch(gates: str, suffix: str = "_l{layer}{d}", one: bool = False) -> tuple[Part, ...]:
    """PyTorch's four arrays; with ``one`` bias instead of two, three."""
    weights = (
        Part(f"weight_ih{suffix}", "(g h) i", f"x:{gates}"),
        Part(f"weight_hh{suffix}", "(g h) j", f"h:{gates}"),
    )
    if one:
        return (*weights, Part(f"bias{suffix}", "(g h)", f"b:{gates}"))
    return (
        *weights,
        Part(f"bias_ih{suffix}", "(g h)", f"bx:{gates}"),
        Part(f"bias_hh{suffix}", "(g h)", f"bh:{gates}"),
    )


def onnx(gates: str, bias: str, transposed: bool = False) -> tuple[Part, ...]:
    """The inputs W, R and B of a node, of all its directions."""
    return (
        Part("W", "d i (g h)" if transposed else "d (g h) i", f"x:{gates}"),
        Part("R", "d j (g h)" if transposed else "d (g h) j", f"h:{gates}"),
        Part("B", "d (g h)", bias),
    )


def kernels(gates: str, names: Iterable[str], prefix: str = "", bias: str = "") -> tuple[Part, ...]:
    """Matrices stored with inputs first, and one bias."""
    x, h, b = names
    return (
        Part(prefix + x, "i (g h)", f"x:{gates}"),
        Part(prefix + h, "j (g h)", f"h:{gates}"),
        Part(prefix + b, "(g h)", bias or f"b:{gates}"),
    )


def flax(gates: Mapping[str, str], own: str) -> tuple[Part, ...]:
    """A dense layer a gate, on the input and on the state; the biases are the record's ``own``."""
    by = dict(pair.split("=") for pair in own.split())
    biases = tuple(Part(f"{name}/bias", "h", f"{what}") for name, what in by.items())
    return (
        *by_name("i{}/kernel", "i h", "x", gates),
        *by_name("h{}/kernel", "j h", "h", {name.rstrip("_"): gate for name, gate in gates.items()}),
        *biases,
    )


KERAS = ("kernel", "recurrent_kernel", "bias")
PADDLE_OP = (
    Part("fc/w", "i (g h)", "x:zrn"),
    Part("fc/b", "(g h)", "bx:zrn"),
    Part("gru/w", "j (g h)", "h:zrn", chunks=(2, 1)),
    Part("gru/b", "1 (g h)", "bh:zrn"),
)
LSTM_BY_NAME = {each: each for each in "ifgo"}
LSTM_BIAS_ON_H = "hi=b:i hf=b:f hg=b:g ho=b:o"
LITERT = {"1": "i", "2": "f", "3": "g", "4": "o"}

_ALL = [
    # Two biases, PyTorch's order ---------------------------------------------------------------------------------
    Dialect("torch.lstm", "PyTorch 2.13", "lstm",
            (*pytorch("ifgo"), Part("weight_hr_l{layer}{d}", "p h", "hr")), lengths=ZEROS),
    Dialect("torch.gru", "PyTorch 2.13", "gru", pytorch("rzn"), state="h", lengths=ZEROS),
    Dialect("torch.rnn", "PyTorch 2.13", "rnn", pytorch("a"), state="h", settable=True, lengths=ZEROS),
    Dialect("torch.lstm_cell", "PyTorch 2.13", "lstm", pytorch("ifgo", "")),
    Dialect("torch.gru_cell", "PyTorch 2.13", "gru", pytorch("rzn", ""), state="h"),
    Dialect("torch.rnn_cell", "PyTorch 2.13", "rnn", pytorch("a", ""), state="h", settable=True),
    Dialect("tinygrad.lstm_cell", "tinygrad 0.14.0", "lstm", pytorch("ifgo", "")),
    Dialect("paddle.lstm", "Paddle 3.3.1", "lstm",
            (*pytorch("ifgo"), Part("{slot}/cell/weight_ho", "h p", "hr")), lengths=ZEROS,
            note="batch first; every array stands in its file twice; nn.RNN(cell) puts out steps past the end"),
    Dialect("paddle.gru", "Paddle 3.3.1", "gru", pytorch("rzn"), state="h", lengths=ZEROS, note="batch first"),
    Dialect("paddle.simple_rnn", "Paddle 3.3.1", "rnn", pytorch("a"), state="h", settable=True, lengths=ZEROS,
            note="batch first"),
    Dialect("mindspore.lstm", "MindSpore 2.10.0", "lstm", pytorch("ifgo"), lengths=ZEROS),
    Dialect("mindspore.gru", "MindSpore 2.10.0", "gru", pytorch("rzn"), state="h", lengths=ZEROS),
    Dialect("mxnet.lstm", "MXNet 1.9.1 gluon", "lstm", (
        Part("{d}{layer}_i2h_weight", "(g h) i", "x:ifgo"), Part("{d}{layer}_h2h_weight", "(g h) j", "h:ifgo"),
        Part("{d}{layer}_i2h_bias", "(g h)", "bx:ifgo"), Part("{d}{layer}_h2h_bias", "(g h)", "bh:ifgo"),
    ), ("l", "l", "r"), note="lengths have no effect on the CPU, and nothing says so"),
    Dialect("mxnet.gru", "MXNet 1.9.1 gluon", "gru", (
        Part("{d}{layer}_i2h_weight", "(g h) i", "x:rzn"), Part("{d}{layer}_h2h_weight", "(g h) j", "h:rzn"),
        Part("{d}{layer}_i2h_bias", "(g h)", "bx:rzn"), Part("{d}{layer}_h2h_bias", "(g h)", "bh:rzn"),
    ), ("l", "l", "r"), state="h"),
    Dialect("chainer.nstep_lstm", "Chainer 7.8.1", "lstm", (
        *by_name("{{slot}}/w{}", "h i", "x", {"0": "i", "1": "f", "2": "g", "3": "o"}),
        *by_name("{{slot}}/w{}", "h j", "h", {"4": "i", "5": "f", "6": "g", "7": "o"}),
        *by_name("{{slot}}/b{}", "h", "bx", {"0": "i", "1": "f", "2": "g", "3": "o"}),
        *by_name("{{slot}}/b{}", "h", "bh", {"4": "i", "5": "f", "6": "g", "7": "o"}),
    ), note="hands out h, c, then the outputs"),
    Dialect("chainer.nstep_gru", "Chainer 7.8.1", "gru", (
        *by_name("{{slot}}/w{}", "h i", "x", {"0": "r", "1": "z", "2": "n"}),
        *by_name("{{slot}}/w{}", "h j", "h", {"3": "r", "4": "z", "5": "n"}),
        *by_name("{{slot}}/b{}", "h", "bx", {"0": "r", "1": "z", "2": "n"}),
        *by_name("{{slot}}/b{}", "h", "bh", {"3": "r", "4": "z", "5": "n"}),
    ), state="h"),
    Dialect("jax.lstm", "jax.experimental.rnn 0.10.2", "lstm", pytorch("ifgo", "_{slot}"), lengths=ZEROS,
            flat=(("weight_ih_{slot}", "weight_hh_{slot}"), ("bias_ih_{slot}", "bias_hh_{slot}")), vector="weights",
            note="one vector: all matrices of all layers and directions, then all biases"),
    Dialect("thinc.lstm", "thinc 9.1.1", "lstm", (
        Part("Wx_{slot}", "(g h) i", "x:fiog"), Part("bx_{slot}", "(g h)", "bx:fiog"),
        Part("Wh_{slot}", "(g h) j", "h:fiog"), Part("bh_{slot}", "(g h)", "bh:fiog"),
        Part("HC0", "g l d h", "c0 h0"),
    ), flat=(("Wx_{slot}", "bx_{slot}", "Wh_{slot}", "bh_{slot}"),), vector="LSTM", layer={"learned_state": True},
            note="starts from a learned state HC0, c first in spite of its name"),
    # ONNX and its engines ----------------------------------------------------------------------------------------
    Dialect("onnx.lstm", "ONNX opset 22, onnxruntime 1.32.0", "lstm",
            (*onnx("iofg", "bx:iofg bh:iofg"), Part("P", "d (g h)", "p:iof")), settable=True, lengths=ONNX_LENGTHS,
            note="peepholes P in the order i o f"),
    Dialect("onnx.gru", "ONNX opset 22, onnxruntime 1.32.0", "gru", onnx("zrn", "bx:zrn bh:zrn"), layer=BEFORE,
            settable=True, state="h", lengths=ONNX_LENGTHS, note="linear_before_reset=0, the default"),
    Dialect("onnx.gru_after", "ONNX opset 22, onnxruntime 1.32.0", "gru", onnx("zrn", "bx:zrn bh:zrn"),
            settable=True, state="h", lengths=ONNX_LENGTHS, note="linear_before_reset=1"),
    Dialect("onnx.rnn", "ONNX opset 22, onnxruntime 1.32.0", "rnn", onnx("a", "bx:a bh:a"), settable=True, state="h",
            lengths=ONNX_LENGTHS),
    Dialect("onnx.dynamic_quantize_lstm", "onnxruntime 1.32.0", "lstm", onnx("iofg", "bx:iofg bh:iofg", True),
            settable=True, lengths=ONNX_LENGTHS,
            note="com.microsoft, weights after dequantising; transposed against LSTM"),
    Dialect("openvino.lstm", "OpenVINO 2026.4.1", "lstm", onnx("figo", "b:figo"),
            settable=True, lengths=ONNX_LENGTHS, note="drops peepholes when it converts ONNX, and nothing says so"),
    Dialect("openvino.gru", "OpenVINO 2026.4.1", "gru", onnx("zrn", "b:zrn"), layer=BEFORE, settable=True, state="h",
            lengths=ONNX_LENGTHS),
    Dialect("openvino.gru_after", "OpenVINO 2026.4.1", "gru", onnx("zrn", "b:zr bx:n bh:n"), settable=True, state="h",
            lengths=ONNX_LENGTHS, note="linear_before_reset: a fourth row of biases"),
    Dialect("ncnn.lstm", "ncnn 1.0.20261020", "lstm", (
        Part("weight_xc", "d (g h) i", "x:ifog"), Part("bias_c", "d (g h)", "b:ifog"),
        Part("weight_hc", "d (g h) j", "h:ifog"), Part("weight_hr", "d p h", "hr"),
    )),
    Dialect("ncnn.gru", "ncnn 1.0.20261020", "gru", (
        Part("weight_xc", "d (g h) i", "x:rzn"), Part("bias_c", "d (g h)", "b:rz bx:n bh:n"),
        Part("weight_hc", "d (g h) j", "h:rzn"),
    ), state="h"),
    Dialect("coreml.lstm", "coremltools 9.0", "lstm", pytorch("ifog", "{d}", one=True), ("", "", "_back"),
            note="the names of equinox.lstm in another order; its weights were compared, the operator was not run"),
    Dialect("litert.lstm", "TensorFlow 2.21.0 LiteRT", "lstm", (
        *by_name("{}", "h i", "x", LITERT),
        *by_name("{}", "h j", "h", {str(int(k) + 4): v for k, v in LITERT.items()}),
        *by_name("{}", "h", "b", {str(int(k) + 11): v for k, v in LITERT.items()}),
    ), note="UNIDIRECTIONAL_SEQUENCE_LSTM, inputs by position; 9 to 11 are peepholes, not measured"),
    # Keras and TensorFlow ----------------------------------------------------------------------------------------
    Dialect("keras.lstm", "Keras 3.15.1", "lstm", kernels("ifgo", KERAS, "{d}"), BACK, settable=True, lengths=REPEAT,
            note="a masked step repeats the last output; inside Bidirectional it puts out 0"),
    Dialect("keras.gru", "Keras 3.15.1", "gru", (
        *kernels("zrn", KERAS, "{d}")[:2], Part("{d}bias", "t (g h)", "bx:zrn bh:zrn"),
    ), BACK, settable=True, state="h", lengths=REPEAT),
    Dialect("keras.gru_before", "Keras 3.15.1", "gru", kernels("zrn", KERAS, "{d}"), BACK, layer=BEFORE, settable=True,
            state="h", lengths=REPEAT, note="reset_after=False"),
    Dialect("keras.simple_rnn", "Keras 3.15.1", "rnn", kernels("a", KERAS, "{d}"), BACK, settable=True, state="h",
            lengths=REPEAT),
    Dialect("keras2.cudnn_lstm", "Keras 2.2.4", "lstm", (
        Part("{d}kernel", "i (g h)", "x:ifgo", scrambled=True),
        Part("{d}recurrent_kernel", "j (g h)", "h:ifgo", scrambled=True),
        Part("{d}bias", "(t g h)", "bx:ifgo bh:ifgo"),
    ), BACK, note="the shapes of the plain layer, every gate's block scrambled"),
    Dialect("tfjs.lstm", "TensorFlow.js 4.22.0, Keras 2.2.4", "lstm", kernels("ifgo", KERAS, "{d}"), BACK,
            layer=HARD_LSTM, settable=True, lengths=REPEAT, note="the arrays of keras.lstm, but hard sigmoids"),
    Dialect("tfjs.gru", "TensorFlow.js 4.22.0", "gru", kernels("zrn", KERAS, "{d}"), BACK, layer=HARD_GRU,
            settable=True, state="h", lengths=REPEAT, note="the arrays of keras.gru_before, but hard sigmoids"),
    Dialect("sonnet.lstm", "Sonnet 2.0.2", "lstm", kernels("ifgo", ("w_i", "w_h", "b")),
            note="starts with 1 in the forget gate's bias, adds nothing"),
    Dialect("sonnet.gru", "Sonnet 2.0.2", "gru", kernels("zrn", ("w_i", "w_h", "b")), flip=True, layer=BEFORE,
            state="h"),
    # JAX ---------------------------------------------------------------------------------------------------------
    Dialect("flax.lstm", "Flax 0.12.8 linen", "lstm", flax(LSTM_BY_NAME, LSTM_BIAS_ON_H), state="c, h", lengths=LIVE,
            note="LSTMCell and OptimizedLSTMCell"),
    Dialect("flax.gru", "Flax 0.12.8 linen", "gru",
            flax({each: each for each in "rzn"}, "ir=b:r iz=b:z in=bx:n hn=bh:n"), state="h", lengths=LIVE),
    Dialect("flax.mgu", "Flax 0.12.8 linen", "gru", flax({"f": "r", "n": "n"}, "if=b:r in=bx:n hn=bh:n"), shared=True,
            state="h", lengths=LIVE, note="one gate resets and updates; here they are two that start equal"),
    Dialect("flax.simple", "Flax 0.12.8 linen", "rnn", flax({"": "a"}, "i=b:a"), settable=True, state="h",
            lengths=LIVE),
    Dialect("flax.nnx_lstm", "Flax 0.12.8 nnx", "lstm",
            flax({"i": "i", "f_": "f", "g": "g", "o": "o"}, LSTM_BIAS_ON_H), state="c, h", lengths=LIVE),
    Dialect("flax.nnx_optimized_lstm", "Flax 0.12.8 nnx", "lstm", (
        Part("dense_i/kernel", "i (g h)", "x:ifgo"), Part("dense_h/kernel", "j (g h)", "h:ifgo"),
        Part("dense_h/bias", "(g h)", "b:ifgo"),
    ), state="c, h", lengths=LIVE),
    Dialect("flax.nnx_gru", "Flax 0.12.8 nnx", "gru", (
        Part("dense_i/kernel", "i (g h)", "x:rzn"), Part("dense_h/kernel", "j (g h)", "h:rzn"),
        Part("dense_i/bias", "(g h)", "b:rzn"),
    ), state="h", lengths=LIVE),
    Dialect("equinox.lstm", "Equinox 0.13.8", "lstm", pytorch("ifgo", "", one=True)),
    Dialect("equinox.gru", "Equinox 0.13.8", "gru", (
        *pytorch("rzn", "")[:2], Part("bias", "(g h)", "b:rz bx:n"), Part("bias_n", "h", "bh:n"),
    ), state="h"),
    Dialect("haiku.lstm", "Haiku 0.0.17", "lstm", (
        Part("linear/w", "k (g h)", "xh:igfo"), Part("linear/b", "(g h)", "b:igfo"),
    ), forget_offset=1.0),
    Dialect("haiku.gru", "Haiku 0.0.17", "gru", kernels("zrn", ("w_i", "w_h", "b")), flip=True, layer=BEFORE,
            state="h"),
    Dialect("haiku.vanilla_rnn", "Haiku 0.0.17", "rnn", (
        Part("linear/w", "i h", "x:a"), Part("linear/b", "h", "bx:a"),
        Part("linear_1/w", "j h", "h:a"), Part("linear_1/b", "h", "bh:a"),
    ), layer=RELU, state="h"),
    Dialect("brainstate.lstm", "brainstate 0.5.4", "lstm", (
        Part("W/weight/weight", "k (g h)", "xh:igfo"), Part("W/weight/bias", "(g h)", "b:igfo"),
    ), forget_offset=1.0),
    Dialect("brainstate.gru", "brainstate 0.5.4", "gru", (
        Part("Wrz/weight/weight", "k (g h)", "xh:rz"), Part("Wrz/weight/bias", "(g h)", "b:rz"),
        Part("Wh/weight/weight", "k h", "xh:n"), Part("Wh/weight/bias", "h", "b:n"),
    ), flip=True, layer=BEFORE, state="h"),
    Dialect("brainstate.valina_rnn", "brainstate 0.5.4", "rnn", (
        Part("W/weight/weight", "k h", "xh:a"), Part("W/weight/bias", "h", "b:a"),
    ), layer=RELU, settable=True, state="h"),
    # Others ------------------------------------------------------------------------------------------------------
    Dialect("mlx.lstm", "MLX 0.32.4", "lstm", (
        Part("Wx", "(g h) i", "x:ifgo"), Part("Wh", "(g h) j", "h:ifgo"), Part("bias", "(g h)", "b:ifgo"),
    ), note="batch first; hands out all h and all c"),
    Dialect("mlx.gru", "MLX 0.32.4", "gru", (
        Part("Wx", "(g h) i", "x:rzn"), Part("Wh", "(g h) j", "h:rzn"),
        Part("b", "(g h)", "b:rz bx:n"), Part("bhn", "h", "bh:n"),
    ), state="h", note="batch first"),
    Dialect("mlx.rnn", "MLX 0.32.4", "rnn", (
        Part("Wxh", "h i", "x:a"), Part("Whh", "h j", "h:a"), Part("bias", "h", "b:a"),
    ), settable=True, state="h", note="batch first"),
    Dialect("paddle.gru_op", "Paddle 1.8.5 and 2.6.2, dynamic_gru", "gru", PADDLE_OP, flip=True, layer=BEFORE,
            state="h", note="gru/w is declared (H, 3H), its buffer is (H, 2H), then (H, H)"),
    Dialect("paddle.gru_op_origin", "Paddle 1.8.5 and 2.6.2, dynamic_gru", "gru", PADDLE_OP, layer=BEFORE, state="h",
            note="origin_mode: the update gate as ours"),
    Dialect("chainer.lstm", "Chainer 7.8.1", "lstm", (
        Part("upward/W", "(h g) i", "x:gifo"), Part("upward/b", "(h g)", "b:gifo"),
        Part("lateral/W", "(h g) j", "h:gifo"),
    ), note="the gates of one unit stand side by side"),
    Dialect("chainer.stateful_peephole_lstm", "Chainer 7.8.1", "lstm", (
        Part("upward/W", "(h g) i", "x:gifo"), Part("upward/b", "(h g)", "b:gifo"),
        Part("lateral/W", "(h g) j", "h:gifo"),
        *by_name("peep_{}/W", "h j", "p", {each: each for each in "ifo"}),
    ), layer={"peepholes": "full"}, note="the peepholes are full matrices"),
    Dialect("chainer.stateful_gru", "Chainer 7.8.1", "gru", (
        *by_name("W{}/W", "h i", "x", {"_r": "r", "_z": "z", "": "n"}),
        *by_name("W{}/b", "h", "bx", {"_r": "r", "_z": "z", "": "n"}),
        *by_name("U{}/W", "h j", "h", {"_r": "r", "_z": "z", "": "n"}),
        *by_name("U{}/b", "h", "bh", {"_r": "r", "_z": "z", "": "n"}),
    ), flip=True, layer=BEFORE, state="h"),
    Dialect("nnabla.lstm", "NNabla 1.39.0 PF.lstm", "lstm", (
        Part("weight_l0", "d g h k", "xh:ifgo", layers="first"),
        Part("weight", "l d g h k", "xh:ifgo", layers="later"), Part("bias", "l d g h", "b:ifgo"),
    )),
    Dialect("nnabla.gru", "NNabla 1.39.0 PF.gru", "gru", (
        Part("weight_l0", "d g h k", "xh:rzn", layers="first"),
        Part("weight", "l d g h k", "xh:rzn", layers="later"), Part("bias", "l d g h", "b:rz bx:n bh:n"),
    ), state="h"),
    Dialect("nnabla.lstm_cell", "NNabla 1.39.0 PF.lstm_cell", "lstm", (
        Part("affine/W", "k g h", "xh:iofg"), Part("affine/b", "g h", "b:iofg"),
    ), note="not the order of nnabla.lstm"),
    Dialect("dynet.lstm", "DyNet38 2.2", "lstm", (
        Part("_0", "(g h) i", "x:ifog"), Part("_1", "(g h) j", "h:ifog"), Part("_2", "(g h)", "b:ifog"),
    ), forget_offset=1.0, state="c, h", note="Vanilla and CompactVanilla; its text files are column-major"),
    Dialect("dynet.gru", "DyNet38 2.2", "gru", (
        *by_name("_{}", "h i", "x", {"0": "z", "3": "r", "6": "n"}),
        *by_name("_{}", "h j", "h", {"1": "z", "4": "r", "7": "n"}),
        *by_name("_{}", "h", "b", {"2": "z", "5": "r", "8": "n"}),
    ), flip=True, layer=BEFORE, state="h"),
    Dialect("reservoirpy.reservoir", "reservoirpy 0.4.2", "rnn", (
        Part("Win", "h i", "x:a"), Part("W", "h j", "h:a"), Part("bias", "h", "b:a"),
    ), settable=True, state="h", note="the leak is a setting: RNN(leak=lr); no batch"),
]  # fmt: skip

DIALECTS: Mapping[str, Dialect] = {each.name: each for each in _ALL}
