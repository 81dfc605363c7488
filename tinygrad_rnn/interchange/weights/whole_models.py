"""A layer as a whole model's file: one that onnxruntime runs, one that Keras 3 loads."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import ArgumentError
from ...files import write_atomically
from ...functional import zeros
from ...optional_packages import framework
from ...tensors import Array
from ..dialects.record import Dialect

#: the version of the format that is written
KERAS = "3.15.1"
#: our activations in Keras 3, where they are the same function
_ACTIVATIONS = {name: name for name in ("tanh", "sigmoid", "relu", "softsign", "softplus", "elu", "linear")}
_ACTIVATIONS["hard_sigmoid_6"] = "hard_sigmoid"


def write_onnx(file: Path, chosen: Dialect, layer: Any) -> None:
    """The layer as a model, for sequences of any length and any batch; the nodes of several layers are "0", "1"."""
    if chosen.name not in ("onnx.lstm", "onnx.gru", "onnx.gru_after", "onnx.rnn"):
        raise ArgumentError(f"a .onnx file holds ONNX's own layers, not {chosen.name}; choose another ending")
    from ..export.onnx_file import to_onnx

    names = ("batch", "time") if layer.batch_first else ("time", "batch")
    given = zeros(1, 1, layer.input_size, dtype=layer.weight_ih_l0.dtype)
    model = to_onnx(layer, given, dynamic_axes={"x": dict(enumerate(names))})
    own = [node for node in model.graph.node if node.op_type in ("LSTM", "GRU", "RNN")]
    if len(own) != layer.num_layers:
        raise ArgumentError(f"ONNX has no node for {layer}; to_onnx writes it as a loop")
    for k, node in enumerate(own):
        node.name = str(k)
    write_atomically(file, model.SerializeToString())


def write_keras(file: Path, chosen: Dialect, layer: Any, arrays: Mapping[str, Array]) -> None:
    """The layer as a model of Keras, a layer of its own for each of ours."""
    kinds = {"keras.lstm": "LSTM", "keras.gru": "GRU", "keras.gru_before": "GRU", "keras.simple_rnn": "SimpleRNN"}
    if chosen.name not in kinds:
        raise ArgumentError(f"a .keras file holds Keras' own layers, not {chosen.name}; choose another ending")
    kind, both = kinds[chosen.name], layer.num_directions == 2
    config = _config(kind, layer, chosen.name == "keras.gru")
    base = "bidirectional" if both else kind.lower().replace("simplernn", "simple_rnn")
    layers, weights = [_input(layer)], io.BytesIO()
    with framework("h5py", "keras").File(weights, "w") as content:
        for k in range(layer.num_layers):
            place, start = f"{base}_{k}" if k else base, f"{k}/" if layer.num_layers > 1 else ""
            own = _layer(kind, {**config, "name": f"{kind.lower()}_{k}"})
            around = {"name": place, "merge_mode": "concat", "layer": own}
            layers.append(_layer("Bidirectional", around) if both else own)
            for way in ("forward_layer/", "backward_layer/") if both else ("",):
                for number, name in enumerate(("kernel", "recurrent_kernel", *(["bias"] if layer.bias else []))):
                    content[f"layers/{place}/{way}cell/vars/{number}"] = arrays[f"{start}{way}{name}"]
    model = _layer("Sequential", {"name": "sequential", "layers": layers}, "keras")
    with zipfile.ZipFile(buffer := io.BytesIO(), "w") as archive:
        for name, text in (("metadata.json", {"keras_version": KERAS}), ("config.json", model)):
            archive.writestr(zipfile.ZipInfo(name), json.dumps(text))
        archive.writestr(zipfile.ZipInfo("model.weights.h5"), weights.getvalue())
    write_atomically(file, buffer.getvalue())


def _layer(kind: str, config: dict[str, Any], module: str = "keras.layers") -> dict[str, Any]:
    return {"module": module, "class_name": kind, "config": config, "registered_name": None}


def _input(layer: Any) -> dict[str, Any]:
    config = {"name": "input", "batch_shape": [None, None, layer.input_size], "dtype": str(_dtype(layer))}
    return _layer("InputLayer", config)


def _config(kind: str, layer: Any, after: bool) -> dict[str, Any]:
    chosen = (layer.nonlinearity,) if kind == "SimpleRNN" else layer.settings["activations"]
    for each in chosen:
        if each not in _ACTIVATIONS:
            raise ArgumentError(f"Keras 3 has no activation that is our {each}")
    names = [_ACTIVATIONS[each] for each in chosen]
    if len(names) == 3 and names[1] != names[2]:
        raise ArgumentError("Keras' LSTM has one activation for the candidate and the cell; use the same for both")
    config = {
        "units": layer.hidden_size,
        "activation": names[-1],
        "use_bias": bool(layer.bias),
        "return_sequences": True,
        "dtype": str(_dtype(layer)),
    }
    config |= {"recurrent_activation": names[0]} if kind != "SimpleRNN" else {}
    return config | ({"reset_after": after} if kind == "GRU" else {})


def _dtype(layer: Any) -> np.dtype[Any]:
    return np.dtype(layer.weight_ih_l0.dtype)
