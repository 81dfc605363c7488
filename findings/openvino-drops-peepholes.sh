#!/usr/bin/env bash
# OpenVINO drops the peepholes and input_forget of an ONNX LSTM, and says nothing.
# A good guess: what an importer cannot represent is refused. Here the model loads, runs, and answers as if the weights P
# and the attribute were not in the file.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check onnx==1.23.2 openvino==2026.4.1 numpy==2.4.6
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

import openvino
from onnx.reference import ReferenceEvaluator

print("openvino", openvino.__version__, "onnx", onnx.__version__)


def outputs(model):
    onnx.save(model, "model.onnx")
    core = openvino.Core()
    return core.compile_model(core.read_model("model.onnx"), "CPU")({"X": X})[0]


P = rng.normal(size=(1, 3 * H)).astype(np.float32)
plain, peephole, forget = outputs(lstm()), outputs(lstm(P=P)), outputs(lstm(input_forget=1))
reference = ReferenceEvaluator(lstm(P=P)).run(None, {"X": X})[0]
print(f"without P, against the reference: {np.abs(plain - ReferenceEvaluator(lstm()).run(None, {'X': X})[0]).max():.1e}")
print(f"with P, against the reference:    {np.abs(peephole - reference).max():.1e}")
print(f"with P against without P:         {np.abs(peephole - plain).max():.1e}")
print(f"input_forget=1 against 0:         {np.abs(forget - plain).max():.1e}")
assert np.array_equal(peephole, plain), "P is now used"
assert np.array_equal(forget, plain), "input_forget is now used"
assert np.abs(peephole - reference).max() > 0.1
PYTHON
