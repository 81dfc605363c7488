#!/usr/bin/env bash
# onnxruntime: a row of length 0 ends in a state of zeros, even if an initial state was given for it.
# A good guess: nothing was read, so the final state is the initial one (PaddlePaddle and MindSpore answer so). A stream
# processed in chunks, where some rows have nothing new, silently forgets those rows.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
cd "$work" && "$work/venv/bin/python" - <<'PYTHON'
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

T, N, I, H = 4, 2, 2, 3
rng = np.random.default_rng(0)
X = rng.normal(size=(T, N, I)).astype(np.float32)
WEIGHTS = {"W": (1, 4 * H, I), "R": (1, 4 * H, H), "B": (1, 8 * H)}
WEIGHTS = {name: rng.normal(size=shape).astype(np.float32) for name, shape in WEIGHTS.items()}


def lstm(batch=N, sequence_lens=None, initial_h=None, initial_c=None, P=None, **attributes):
    """One ONNX LSTM node with its weights inside; the checker finds it valid."""
    optional = {"sequence_lens": sequence_lens, "initial_h": initial_h, "initial_c": initial_c, "P": P}
    constants = WEIGHTS | {name: value for name, value in optional.items() if value is not None}
    names = ["X", *WEIGHTS, *(name if value is not None else "" for name, value in optional.items())]
    node = helper.make_node("LSTM", names, ["Y", "Y_h", "Y_c"], hidden_size=H, **attributes)
    shapes = {"Y": (T, 1, batch, H), "Y_h": (1, batch, H), "Y_c": (1, batch, H)}
    graph = helper.make_graph(
        [node], "one_lstm", [helper.make_tensor_value_info("X", TensorProto.FLOAT, (T, batch, I))],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    onnx.checker.check_model(model)
    return model

import onnxruntime

print("onnxruntime", onnxruntime.__version__)
state = np.full((1, N, H), 0.5, np.float32)
model = lstm(sequence_lens=np.array([4, 0], np.int32), initial_h=state, initial_c=state)
_, last_h, last_c = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"X": X})
print("initial h and c of row 1: 0.5; its length: 0; final h and c:", last_h[0, 1], last_c[0, 1])
assert not last_h[0, 1].any() and not last_c[0, 1].any(), "an empty row now keeps something"
assert last_h[0, 0].any()
PYTHON
