"""What the packages themselves compute, or the framework they run on, where that is installed.

Each function is one example's own runtime, for the same inputs, and is asked by `asked`; without it an example is
compared with NumPy's reading of the equations, and says so. Unlike the examples these run the packages' code.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


def g2p(x: Any) -> Any:
    """g2p_en's own GRU over embedded letters (T, 256)."""
    from g2p_en import G2p

    own = object.__new__(G2p)  # the network without its dictionary
    own.load_variables()
    zeros = np.zeros((1, x.shape[1]), np.float32)
    return own.gru(x[None], len(x), own.enc_w_ih, own.enc_w_hh, own.enc_b_ih, own.enc_b_hh, h0=zeros)[0]


def g2pm(x: Any) -> Any:
    """g2pM's own cells, over embedded characters (T, 64), forwards and backwards."""
    from g2pM import G2pM

    own, halves = G2pM(), []
    for cell, order in ((own.fw_lstm_cell, 1), (own.bw_lstm_cell, -1)):
        state, states = None, []
        for each in x[::order]:
            state = cell(each[None], state)
            states.append(state[0][0])
        halves.append(np.array(states)[::order])
    return np.concatenate(halves, axis=1)


def chars2vec(x: Any, weights: Path) -> Any:
    """The vector of a word (T, letters), by layers of Keras 2 with the gates that its version 2.2.4 had by default."""
    import tf_keras as keras

    layers = [keras.layers.LSTM(50, return_sequences=k == 0, recurrent_activation="hard_sigmoid") for k in range(2)]
    model = keras.Sequential([keras.layers.Input((None, x.shape[1])), *layers])
    model.load_weights(weights)
    return model.predict(x[None], verbose=0)[0]


def textgenrnn(x: Any, weights: Path) -> Any:
    """The states (T, 256) of both layers over embedded characters, by Keras 2, which unscrambles CuDNN's weights."""
    import tf_keras as keras

    given = hidden = keras.layers.Input((None, x.shape[1]))
    found = []
    for k in (1, 2):
        hidden = keras.layers.LSTM(128, return_sequences=True, recurrent_activation="sigmoid", name=f"rnn_{k}")(hidden)
        found.append(hidden)
    model = keras.Model(given, keras.layers.concatenate(found))
    model.load_weights(weights, by_name=True)
    return model.predict(x[None], verbose=0)[0]


def jieba_lac(x: Any, directions: list[dict[str, Any]]) -> Any:
    """Paddle's operator `gru` over what its `fc` projected, forwards and backwards."""
    import paddle

    paddle.enable_static()
    halves = []
    for k, w in enumerate(directions):
        program = paddle.static.Program()
        with paddle.static.program_guard(program):
            block = program.global_block()
            makes = {"persistable": True, "dtype": "float32"}
            given = paddle.static.data("x", [-1, 384], "float32", lod_level=1)
            names = {"Input": given}
            for name, value in (("Weight", w["gru/w"]), ("Bias", w["gru/b"])):
                names[name] = block.create_var(name=name, shape=list(value.shape), **makes)
            made = {
                name: block.create_var(name=name, dtype="float32")
                for name in ("Hidden", "BatchGate", "BatchResetHiddenPrev", "BatchHidden")
            }
            settings = {"activation": "tanh", "gate_activation": "sigmoid", "origin_mode": False, "is_reverse": k == 1}
            block.append_op(type="gru", inputs=names, outputs=made, attrs=settings)
        scope = paddle.static.Scope()
        place = paddle.CPUPlace()
        with paddle.static.scope_guard(scope):
            for name in ("Weight", "Bias"):
                scope.var(name).get_tensor().set(np.ascontiguousarray(w["gru/" + name[0].lower()]), place)
            rows = paddle.base.create_lod_tensor(x @ w["fc/w"] + w["fc/b"], [[len(x)]], place)
            (states,) = paddle.static.Executor(place).run(
                program, feed={"x": rows}, fetch_list=[made["Hidden"]], return_numpy=False
            )
        halves.append(np.array(states))
    return np.concatenate(halves, axis=1)


def nagisa_dynet(x: Any, directions: list[dict[str, Any]]) -> Any:
    """DyNet's own builder of a BiLSTM, over embedded characters (T, 32)."""
    import dynet

    collection = dynet.ParameterCollection()
    network = dynet.BiRNNBuilder(1, x.shape[1], 32, collection, dynet.VanillaLSTMBuilder)
    for builder, w in zip(network.builder_layers[0], directions):
        for parameter, value in zip(builder.get_parameters()[0], (w["_0"], w["_1"], w["_2"])):
            parameter.set_value(value)
    dynet.renew_cg()
    return np.array([each.npvalue() for each in network.transduce([dynet.inputVector(row) for row in x])])


#: function: what it asks, in words
WHO = {
    g2p: "g2p_en's own",
    g2pm: "g2pM's own",
    chars2vec: "Keras 2's",
    textgenrnn: "Keras 2's",
    jieba_lac: "Paddle's",
    nagisa_dynet: "DyNet's",
}


def asked(runtime: Callable[..., Any], given: tuple[Any, ...], reading: Callable[[], Any]) -> tuple[str, Any]:
    """Who answered, and the answer: the runtime's, or NumPy's where it is not installed."""
    try:
        return WHO[runtime], runtime(*given)
    except ImportError as missing:
        return f"NumPy's (without {missing.name})", reading()
