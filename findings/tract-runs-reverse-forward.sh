#!/usr/bin/env bash
# tract runs an ONNX LSTM with direction="reverse" forward in time, and says nothing.
# A good guess: a direction that is not supported is refused. The answer has the right shape and is that of "forward".
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check onnx==1.23.2 tract==0.23.9 numpy==2.4.6
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

from importlib.metadata import version

import tract
from onnx.reference import ReferenceEvaluator

print("tract", version("tract"), "onnx", onnx.__version__)
x, zeros = X[:, :1], np.zeros((1, 1, H), np.float32)


def outputs(direction):
    model = lstm(batch=1, initial_h=zeros, initial_c=zeros, direction=direction)
    onnx.save(model, "model.onnx")
    (y, *_) = tract.onnx().load("model.onnx").into_model().into_runnable().run([x])
    return y.to_numpy(), ReferenceEvaluator(model).run(None, {"X": x})[0]


forward, expected_forward = outputs("forward")
reverse, expected_reverse = outputs("reverse")
print(f"forward, against the reference: {np.abs(forward - expected_forward).max():.1e}")
print(f"reverse, against the reference: {np.abs(reverse - expected_reverse).max():.1e}")
print(f"reverse against forward:        {np.abs(reverse - forward).max():.1e}")
assert np.abs(forward - expected_forward).max() < 1e-6
assert np.array_equal(reverse, forward), "reverse is now another answer than forward"
assert np.abs(reverse - expected_reverse).max() > 0.1
PYTHON
