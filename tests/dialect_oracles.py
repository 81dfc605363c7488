"""What each library computes in one time step, in NumPy, on its own arrays: nothing here knows the records.

An oracle is the shapes of the arrays and a function ``(w, x, state) -> state``, the output being its first element.
"""

import numpy as np

from tinygrad_rnn import nn

I, H, P = 2, 3, 2  # noqa: E741


def layer_of(dialect):
    """The class of ours that computes it."""
    return {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}[dialect.cell]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def hard(x):
    return np.clip(0.2 * x + 0.5, 0, 1)


def cut(a, order):
    """The blocks of pre-activations by gate."""
    return dict(zip(order, np.split(a, len(order), axis=-1), strict=True))


def lstm(a, c, gate=sigmoid, forget=0.0):
    c = gate(a["f"] + forget) * c + gate(a["i"]) * np.tanh(a["g"])
    return gate(a["o"]) * np.tanh(c), c


def lstm_of(shapes, gates, **how):
    """An LSTM whose pre-activations are ``gates(w, x, h)``."""
    return shapes, lambda w, x, s: lstm(gates(w, x, s[0]), s[1], **how)


def gru_of(shapes, step):
    return shapes, lambda w, x, s: (step(w, x, s[0]),)


def kept(z, n, h):
    """z is the part that is kept."""
    return (1 - z) * n + z * h


def new(z, n, h):
    """z is the part that is new."""
    return (1 - z) * h + z * n


def torch_lstm(suffix):
    shapes = {f"weight_ih{suffix}": (4 * H, I), f"weight_hh{suffix}": (4 * H, H)}
    shapes |= {f"bias_ih{suffix}": (4 * H,), f"bias_hh{suffix}": (4 * H,)}
    return lstm_of(shapes, lambda w, x, h: cut(_two(w, x, h, suffix), "ifgo"))


def _two(w, x, h, suffix):
    return x @ w[f"weight_ih{suffix}"].T + w[f"bias_ih{suffix}"] + h @ w[f"weight_hh{suffix}"].T + w[f"bias_hh{suffix}"]


def torch_gru(suffix):
    shapes = {f"weight_ih{suffix}": (3 * H, I), f"weight_hh{suffix}": (3 * H, H)}
    shapes |= {f"bias_ih{suffix}": (3 * H,), f"bias_hh{suffix}": (3 * H,)}

    def step(w, x, h):
        a = cut(x @ w[f"weight_ih{suffix}"].T + w[f"bias_ih{suffix}"], "rzn")
        b = cut(h @ w[f"weight_hh{suffix}"].T + w[f"bias_hh{suffix}"], "rzn")
        return after(a, b, h)

    return gru_of(shapes, step)


def after(a, b, h, mix=kept):
    """The reset multiplies the product."""
    r, z = sigmoid(a["r"] + b["r"]), sigmoid(a["z"] + b["z"])
    return mix(z, np.tanh(a["n"] + r * b["n"]), h)


def before(a, u, h, mix, gate=sigmoid):
    """The reset multiplies the state; ``u[gate](h)`` is the product with whatever is added to it."""
    r, z = gate(a["r"] + u["r"](h)), gate(a["z"] + u["z"](h))
    return mix(z, np.tanh(a["n"] + u["n"](r * h)), h)


def columns(matrix, order):
    """Products with the blocks of columns of ``matrix``."""
    return {g: lambda h, m=m: h @ m for g, m in zip(order, np.split(matrix, len(order), axis=1), strict=True)}


def rows(matrix, order, bias=None):
    blocks = np.split(matrix, len(order))
    biases = [0] * len(order) if bias is None else np.split(bias, len(order))
    return {g: lambda h, m=m, b=b: h @ m.T + b for g, m, b in zip(order, blocks, biases, strict=True)}


def torch_rnn(suffix):
    shapes = {f"weight_ih{suffix}": (H, I), f"weight_hh{suffix}": (H, H), f"bias_ih{suffix}": (H,)}
    shapes[f"bias_hh{suffix}"] = (H,)
    return gru_of(shapes, lambda w, x, h: np.tanh(_two(w, x, h, suffix)))


def mxnet(gates, cell):
    shapes = {"l0_i2h_weight": (gates * H, I), "l0_h2h_weight": (gates * H, H)}
    shapes |= {"l0_i2h_bias": (gates * H,), "l0_h2h_bias": (gates * H,)}

    def parts(w, x, h):
        return x @ w["l0_i2h_weight"].T + w["l0_i2h_bias"], h @ w["l0_h2h_weight"].T + w["l0_h2h_bias"]

    if cell == "lstm":
        return lstm_of(shapes, lambda w, x, h: cut(sum(parts(w, x, h)), "ifgo"))
    return gru_of(shapes, lambda w, x, h: after(*(cut(each, "rzn") for each in parts(w, x, h)), h))


def nstep(gates):
    shapes = {f"0/w{k}": (H, I if k < gates else H) for k in range(2 * gates)}
    return shapes | {f"0/b{k}": (H,) for k in range(2 * gates)}


def nstep_parts(w, x, h, order):
    n = len(order)
    a = {g: x @ w[f"0/w{k}"].T + w[f"0/b{k}"] for k, g in enumerate(order)}
    return a, {g: h @ w[f"0/w{k + n}"].T + w[f"0/b{k + n}"] for k, g in enumerate(order)}


def summed(a, b):
    return {g: a[g] + b[g] for g in a}


def flat_lstm(name, pieces, order, gates, state=False):
    """One vector in the order of ``pieces``: names to shapes."""
    total = sum(int(np.prod(shape)) for shape in pieces.values())

    def parts(w, x, h):
        found, start = {}, 0
        for key, shape in pieces.items():
            found[key] = w[name][start : start + int(np.prod(shape))].reshape(shape)
            start += found[key].size
        return cut(x @ found["Wx"].T + found["bx"] + h @ found["Wh"].T + found["bh"], order)

    shapes, step = lstm_of({name: (total,)}, parts)
    return (shapes | {"HC0": (2, 1, 1, H)}, step) if state else (shapes, step)


def onnx_shapes(gates, bias, **more):
    return {"W": (1, gates * H, I), "R": (1, gates * H, H), "B": (1, bias * H), **more}


def onnx_lstm(w, x, s):
    h, c = s
    a = cut(x @ w["W"][0].T + h @ w["R"][0].T + w["B"][0, : 4 * H] + w["B"][0, 4 * H :], "iofc")
    p = cut(w["P"][0], "iof")
    i, f = sigmoid(a["i"] + p["i"] * c), sigmoid(a["f"] + p["f"] * c)
    c = f * c + i * np.tanh(a["c"])
    return sigmoid(a["o"] + p["o"] * c) * np.tanh(c), c


def onnx_gru(linear_before_reset):
    def step(w, x, h):
        a = cut(x @ w["W"][0].T + w["B"][0, : 3 * H], "zrn")
        if linear_before_reset:
            return after(a, cut(h @ w["R"][0].T + w["B"][0, 3 * H :], "zrn"), h)
        return before(a, rows(w["R"][0], "zrn", w["B"][0, 3 * H :]), h, kept)

    return gru_of(onnx_shapes(3, 6), step)


def four_rows(x_name, h_name, b_name, order, shapes):
    """The GRU with a fourth row of biases, that of n inside the reset."""

    def step(w, x, h):
        b0, b1, bx, bh = np.split(w[b_name].reshape(-1), 4)
        a = cut(x @ w[x_name].reshape(3 * H, I).T, order)
        a[order[0]], a[order[1]], a["n"] = a[order[0]] + b0, a[order[1]] + b1, a["n"] + bx
        b = cut(h @ w[h_name].reshape(3 * H, H).T, order)
        b["n"] = b["n"] + bh
        return after(a, b, h)

    return gru_of(shapes, step)


KERAS_LSTM = {"kernel": (I, 4 * H), "recurrent_kernel": (H, 4 * H), "bias": (4 * H,)}
KERAS_GRU = {"kernel": (I, 3 * H), "recurrent_kernel": (H, 3 * H), "bias": (3 * H,)}


def keras_lstm(w, x, h):
    return cut(x @ w["kernel"] + h @ w["recurrent_kernel"] + w["bias"], "ifgo")


def keras_gru(w, x, h):
    a = cut(x @ w["kernel"] + w["bias"][0], "zrn")
    return after(a, cut(h @ w["recurrent_kernel"] + w["bias"][1], "zrn"), h)


def keras_before(gate):
    def step(w, x, h):
        a = cut(x @ w["kernel"] + w["bias"], "zrn")
        return before(a, columns(w["recurrent_kernel"], "zrn"), h, kept, gate)

    return gru_of(KERAS_GRU, step)


def cudnn_lstm(w, x, h):
    found = {}
    for k, g in enumerate("ifgo"):
        block, recurrent = w["kernel"][:, k * H : (k + 1) * H], w["recurrent_kernel"][:, k * H : (k + 1) * H]
        b = w["bias"][k * H : (k + 1) * H] + w["bias"][(k + 4) * H : (k + 5) * H]
        found[g] = x @ block.reshape(H, I).T + h @ recurrent.reshape(H, H).T + b
    return found


def w_i_before(w, x, h):
    a = cut(x @ w["w_i"] + w["b"], "zrn")
    return before(a, columns(w["w_h"], "zrn"), h, new)


W_I_GRU = {"w_i": (I, 3 * H), "w_h": (H, 3 * H), "b": (3 * H,)}


def flax_lstm(forget="if"):
    names = {"i": "ii", "f": forget, "g": "ig", "o": "io"}
    shapes = {f"{name}/kernel": (I, H) for name in names.values()}
    shapes |= {f"h{g}/kernel": (H, H) for g in "ifgo"} | {f"h{g}/bias": (H,) for g in "ifgo"}

    def gates(w, x, h):
        return {g: x @ w[f"{n}/kernel"] + h @ w[f"h{g}/kernel"] + w[f"h{g}/bias"] for g, n in names.items()}

    return lstm_of(shapes, gates)


def flax_gru(w, x, h):
    a = {g: x @ w[f"i{g}/kernel"] + w[f"i{g}/bias"] for g in "rzn"}
    b = {"r": h @ w["hr/kernel"], "z": h @ w["hz/kernel"], "n": h @ w["hn/kernel"] + w["hn/bias"]}
    return after(a, b, h)


FLAX_GRU = {f"i{g}/kernel": (I, H) for g in "rzn"} | {f"h{g}/kernel": (H, H) for g in "rzn"}
FLAX_GRU |= {f"{name}/bias": (H,) for name in ("ir", "iz", "in", "hn")}


def flax_mgu(w, x, h):
    f = sigmoid(x @ w["if/kernel"] + w["if/bias"] + h @ w["hf/kernel"])
    n = np.tanh(x @ w["in/kernel"] + w["in/bias"] + f * (h @ w["hn/kernel"] + w["hn/bias"]))
    return (1 - f) * n + f * h


FLAX_MGU = {"if/kernel": (I, H), "in/kernel": (I, H), "hf/kernel": (H, H), "hn/kernel": (H, H)}
FLAX_MGU |= {"if/bias": (H,), "in/bias": (H,), "hn/bias": (H,)}


def nnx_gru(w, x, h):
    a = cut(x @ w["dense_i/kernel"] + w["dense_i/bias"], "rzn")
    return after(a, cut(h @ w["dense_h/kernel"], "rzn"), h)


def inner_bias(x_name, h_name, b_name, n_name):
    """One bias, and a second for n inside the reset."""
    shapes = {x_name: (3 * H, I), h_name: (3 * H, H), b_name: (3 * H,), n_name: (H,)}

    def step(w, x, h):
        b = cut(h @ w[h_name].T, "rzn")
        b["n"] = b["n"] + w[n_name]
        return after(cut(x @ w[x_name].T + w[b_name], "rzn"), b, h)

    return gru_of(shapes, step)


def joined(name, bias, order, forget):
    """One matrix on the input and the state side by side."""
    shapes = {name: (I + H, 4 * H), bias: (4 * H,)}
    return lstm_of(shapes, lambda w, x, h: cut(np.concatenate([x, h], -1) @ w[name] + w[bias], order), forget=forget)


def brainstate_gru(w, x, h):
    r, z = np.split(sigmoid(np.concatenate([x, h], -1) @ w["Wrz/weight/weight"] + w["Wrz/weight/bias"]), 2, axis=-1)
    return new(z, np.tanh(np.concatenate([x, r * h], -1) @ w["Wh/weight/weight"] + w["Wh/weight/bias"]), h)


def paddle_op(mix):
    shapes = {"fc/w": (I, 3 * H), "fc/b": (3 * H,), "gru/w": (H, 3 * H), "gru/b": (1, 3 * H)}

    def step(w, x, h):
        a = x @ w["fc/w"] + w["fc/b"] + w["gru/b"][0]
        buffer = w["gru/w"].ravel()
        gates, candidate = buffer[: 2 * H * H].reshape(H, 2 * H), buffer[2 * H * H :].reshape(H, H)
        u, r = np.split(sigmoid(a[..., : 2 * H] + h @ gates), 2, axis=-1)
        return mix(u, np.tanh(a[..., 2 * H :] + (r * h) @ candidate), h)

    return gru_of(shapes, step)


CHAINER = {"upward/W": (4 * H, I), "upward/b": (4 * H,), "lateral/W": (4 * H, H)}


def interleaved(w, x, h):
    a = (x @ w["upward/W"].T + w["upward/b"] + h @ w["lateral/W"].T).reshape(-1, H, 4)
    return dict(zip("gifo", (a[..., k] for k in range(4)), strict=True))


def chainer_peephole(w, x, s):
    h, c = s
    a = interleaved(w, x, h)
    i, f = sigmoid(a["i"] + c @ w["peep_i/W"].T), sigmoid(a["f"] + c @ w["peep_f/W"].T)
    c = f * c + i * np.tanh(a["g"])
    return sigmoid(a["o"] + c @ w["peep_o/W"].T) * np.tanh(c), c


def chainer_gru(w, x, h):
    a = {g: x @ w[f"{n}/W"].T + w[f"{n}/b"] for g, n in {"r": "W_r", "z": "W_z", "n": "W"}.items()}
    names = {"r": "U_r", "z": "U_z", "n": "U"}
    return before(a, {g: lambda h, n=n: h @ w[f"{n}/W"].T + w[f"{n}/b"] for g, n in names.items()}, h, new)


def nnabla_lstm(w, x, h):
    both = np.concatenate([x, h], -1)
    return {g: both @ w["weight_l0"][0, k].T + w["bias"][0, 0, k] for k, g in enumerate("ifgo")}


def nnabla_gru(w, x, h):
    r, z, n = w["weight_l0"][0]
    br, bz, bx, bh = w["bias"][0, 0]
    both = np.concatenate([x, h], -1)
    r, z = sigmoid(both @ r.T + br), sigmoid(both @ z.T + bz)
    return kept(z, np.tanh(x @ n[:, :I].T + bx + r * (h @ n[:, I:].T + bh)), h)


def nnabla_cell(w, x, h):
    both = np.concatenate([x, h], -1)
    return {g: both @ w["affine/W"][:, k] + w["affine/b"][k] for k, g in enumerate("iofg")}


def dynet_gru(w, x, h):
    z = sigmoid(x @ w["_0"].T + h @ w["_1"].T + w["_2"])
    r = sigmoid(x @ w["_3"].T + h @ w["_4"].T + w["_5"])
    return new(z, np.tanh(x @ w["_6"].T + (r * h) @ w["_7"].T + w["_8"]), h)


MLX = {"Wx": (4 * H, I), "Wh": (4 * H, H), "bias": (4 * H,)}
EQUINOX = {"weight_ih": (4 * H, I), "weight_hh": (4 * H, H), "bias": (4 * H,)}
NNX = {"dense_i/kernel": (I, 4 * H), "dense_h/kernel": (H, 4 * H), "dense_h/bias": (4 * H,)}
HAIKU_RNN = {"linear/w": (I, H), "linear/b": (H,), "linear_1/w": (H, H), "linear_1/b": (H,)}
THINC = {"Wx": (4 * H, I), "bx": (4 * H,), "Wh": (4 * H, H), "bh": (4 * H,)}
JAX = {"Wx": (4 * H, I), "Wh": (4 * H, H), "bx": (4 * H,), "bh": (4 * H,)}
LITERT = {str(k): (H, I) for k in range(1, 5)} | {str(k): (H, H) for k in range(5, 9)}
LITERT |= {str(k): (H,) for k in range(12, 16)}
NCNN = {"weight_xc": (1, 4 * H, I), "bias_c": (1, 4 * H), "weight_hc": (1, 4 * H, H)}
NCNN_GRU = {"weight_xc": (1, 3 * H, I), "bias_c": (1, 4 * H), "weight_hc": (1, 3 * H, H)}
DYNET = {"_0": (4 * H, I), "_1": (4 * H, H), "_2": (4 * H,)}
DYNET_GRU = {f"_{3 * k + j}": shape for k in range(3) for j, shape in enumerate([(H, I), (H, H), (H,)])}
MATRICES = {"W/weight/weight": (I + H, H), "W/weight/bias": (H,)}


def relu(x):
    return np.maximum(x, 0)


ORACLES = {
    **dict.fromkeys(["torch.lstm", "paddle.lstm", "mindspore.lstm"], torch_lstm("_l0")),
    **dict.fromkeys(["torch.gru", "paddle.gru", "mindspore.gru"], torch_gru("_l0")),
    **dict.fromkeys(["torch.rnn", "paddle.simple_rnn"], torch_rnn("_l0")),
    **dict.fromkeys(["torch.lstm_cell", "tinygrad.lstm_cell"], torch_lstm("")),
    "torch.gru_cell": torch_gru(""),
    "torch.rnn_cell": torch_rnn(""),
    "mxnet.lstm": mxnet(4, "lstm"),
    "mxnet.gru": mxnet(3, "gru"),
    "chainer.nstep_lstm": lstm_of(nstep(4), lambda w, x, h: summed(*nstep_parts(w, x, h, "ifgo"))),
    "chainer.nstep_gru": gru_of(nstep(3), lambda w, x, h: after(*nstep_parts(w, x, h, "rzn"), h)),
    "jax.lstm": flat_lstm("weights", JAX, "ifgo", 4),
    "thinc.lstm": flat_lstm("LSTM", THINC, "fiog", 4, state=True),
    "onnx.lstm": (onnx_shapes(4, 8, P=(1, 3 * H)), onnx_lstm),
    "onnx.gru": onnx_gru(0),
    "onnx.gru_after": onnx_gru(1),
    "onnx.rnn": gru_of(
        onnx_shapes(1, 2),
        lambda w, x, h: np.tanh(x @ w["W"][0].T + h @ w["R"][0].T + w["B"][0, :H] + w["B"][0, H:]),
    ),
    "onnx.dynamic_quantize_lstm": lstm_of(
        {"W": (1, I, 4 * H), "R": (1, H, 4 * H), "B": (1, 8 * H)},
        lambda w, x, h: cut(x @ w["W"][0] + h @ w["R"][0] + w["B"][0, : 4 * H] + w["B"][0, 4 * H :], "iofg"),
    ),
    "openvino.lstm": lstm_of(
        onnx_shapes(4, 4), lambda w, x, h: cut(x @ w["W"][0].T + h @ w["R"][0].T + w["B"][0], "figo")
    ),
    "openvino.gru": gru_of(
        onnx_shapes(3, 3),
        lambda w, x, h: before(cut(x @ w["W"][0].T + w["B"][0], "zrn"), rows(w["R"][0], "zrn"), h, kept),
    ),
    "openvino.gru_after": four_rows("W", "R", "B", "zrn", onnx_shapes(3, 4)),
    "ncnn.lstm": lstm_of(
        NCNN, lambda w, x, h: cut(x @ w["weight_xc"][0].T + h @ w["weight_hc"][0].T + w["bias_c"][0], "ifog")
    ),
    "ncnn.gru": four_rows("weight_xc", "weight_hc", "bias_c", "rzn", NCNN_GRU),
    "coreml.lstm": lstm_of(
        EQUINOX, lambda w, x, h: cut(x @ w["weight_ih"].T + h @ w["weight_hh"].T + w["bias"], "ifog")
    ),
    "equinox.lstm": lstm_of(
        EQUINOX, lambda w, x, h: cut(x @ w["weight_ih"].T + h @ w["weight_hh"].T + w["bias"], "ifgo")
    ),
    "litert.lstm": lstm_of(
        LITERT,
        lambda w, x, h: {g: x @ w[f"{k + 1}"].T + h @ w[f"{k + 5}"].T + w[f"{k + 12}"] for k, g in enumerate("ifgo")},
    ),
    "keras.lstm": lstm_of(KERAS_LSTM, keras_lstm),
    "tfjs.lstm": lstm_of(KERAS_LSTM, keras_lstm, gate=hard),
    "keras.gru": gru_of({**KERAS_GRU, "bias": (2, 3 * H)}, keras_gru),
    "keras.gru_before": keras_before(sigmoid),
    "tfjs.gru": keras_before(hard),
    "keras.simple_rnn": gru_of(
        {"kernel": (I, H), "recurrent_kernel": (H, H), "bias": (H,)},
        lambda w, x, h: np.tanh(x @ w["kernel"] + h @ w["recurrent_kernel"] + w["bias"]),
    ),
    "keras2.cudnn_lstm": lstm_of({**KERAS_LSTM, "bias": (8 * H,)}, cudnn_lstm),
    "sonnet.lstm": lstm_of(
        {"w_i": (I, 4 * H), "w_h": (H, 4 * H), "b": (4 * H,)},
        lambda w, x, h: cut(x @ w["w_i"] + h @ w["w_h"] + w["b"], "ifgo"),
    ),
    **dict.fromkeys(["sonnet.gru", "haiku.gru"], gru_of(W_I_GRU, w_i_before)),
    "flax.lstm": flax_lstm(),
    "flax.nnx_lstm": flax_lstm("if_"),
    "flax.gru": gru_of(FLAX_GRU, flax_gru),
    "flax.mgu": gru_of(FLAX_MGU, flax_mgu),
    "flax.simple": gru_of(
        {"i/kernel": (I, H), "h/kernel": (H, H), "i/bias": (H,)},
        lambda w, x, h: np.tanh(x @ w["i/kernel"] + w["i/bias"] + h @ w["h/kernel"]),
    ),
    "flax.nnx_optimized_lstm": lstm_of(
        NNX, lambda w, x, h: cut(x @ w["dense_i/kernel"] + h @ w["dense_h/kernel"] + w["dense_h/bias"], "ifgo")
    ),
    "flax.nnx_gru": gru_of(
        {"dense_i/kernel": (I, 3 * H), "dense_h/kernel": (H, 3 * H), "dense_i/bias": (3 * H,)}, nnx_gru
    ),
    "equinox.gru": inner_bias("weight_ih", "weight_hh", "bias", "bias_n"),
    "haiku.lstm": joined("linear/w", "linear/b", "igfo", 1.0),
    "haiku.vanilla_rnn": gru_of(
        HAIKU_RNN,
        lambda w, x, h: relu(x @ w["linear/w"] + w["linear/b"] + h @ w["linear_1/w"] + w["linear_1/b"]),
    ),
    "brainstate.lstm": joined("W/weight/weight", "W/weight/bias", "igfo", 1.0),
    "brainstate.gru": gru_of(
        {
            "Wrz/weight/weight": (I + H, 2 * H),
            "Wrz/weight/bias": (2 * H,),
            "Wh/weight/weight": (I + H, H),
            "Wh/weight/bias": (H,),
        },
        brainstate_gru,
    ),
    "brainstate.valina_rnn": gru_of(
        MATRICES, lambda w, x, h: relu(np.concatenate([x, h], -1) @ w["W/weight/weight"] + w["W/weight/bias"])
    ),
    "mlx.lstm": lstm_of(MLX, lambda w, x, h: cut(x @ w["Wx"].T + h @ w["Wh"].T + w["bias"], "ifgo")),
    "mlx.gru": inner_bias("Wx", "Wh", "b", "bhn"),
    "mlx.rnn": gru_of(
        {"Wxh": (H, I), "Whh": (H, H), "bias": (H,)},
        lambda w, x, h: np.tanh(x @ w["Wxh"].T + h @ w["Whh"].T + w["bias"]),
    ),
    "paddle.gru_op": paddle_op(new),
    "paddle.gru_op_origin": paddle_op(kept),
    "chainer.lstm": lstm_of(CHAINER, interleaved),
    "chainer.stateful_peephole_lstm": (CHAINER | {f"peep_{g}/W": (H, H) for g in "ifo"}, chainer_peephole),
    "chainer.stateful_gru": gru_of(
        {f"{n}/W": (H, I if n[0] == "W" else H) for n in ("W_r", "U_r", "W_z", "U_z", "W", "U")}
        | {f"{n}/b": (H,) for n in ("W_r", "U_r", "W_z", "U_z", "W", "U")},
        chainer_gru,
    ),
    "nnabla.lstm": lstm_of({"weight_l0": (1, 4, H, I + H), "bias": (1, 1, 4, H)}, nnabla_lstm),
    "nnabla.gru": gru_of({"weight_l0": (1, 3, H, I + H), "bias": (1, 1, 4, H)}, nnabla_gru),
    "nnabla.lstm_cell": lstm_of({"affine/W": (I + H, 4, H), "affine/b": (4, H)}, nnabla_cell),
    "dynet.lstm": lstm_of(DYNET, lambda w, x, h: cut(x @ w["_0"].T + h @ w["_1"].T + w["_2"], "ifog"), forget=1.0),
    "dynet.gru": gru_of(DYNET_GRU, dynet_gru),
    "reservoirpy.reservoir": gru_of(
        {"Win": (H, I), "W": (H, H), "bias": (H,)},
        lambda w, x, h: 0.7 * h + 0.3 * np.tanh(h @ w["W"].T + x @ w["Win"].T + w["bias"]),
    ),
}
