#!/usr/bin/env bash
# The ONNX reference evaluator computes an LSTM without sequence_lens, clip and input_forget, and says nothing.
# A good guess: the reference evaluator is the judge of what a node means. It is not, for recurrent nodes: a model that
# onnxruntime runs as the operator text says comes out different, so "agrees with the reference" proves nothing here.
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
from onnx.reference import ReferenceEvaluator

print("onnx", onnx.__version__, "onnxruntime", onnxruntime.__version__)
runs = {"plain": {}, "sequence_lens=[4, 2]": {"sequence_lens": np.array([4, 2], np.int32)}, "clip=0.3": {"clip": 0.3},
        "input_forget=1": {"input_forget": 1}}
unchanged = ReferenceEvaluator(lstm()).run(None, {"X": X})[0]
for name, settings in runs.items():
    model = lstm(**settings)
    runtime = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"X": X})[0]
    reference = ReferenceEvaluator(model).run(None, {"X": X})[0]
    print(f"{name:22} largest difference between the two: {np.abs(runtime - reference).max():.1e}")
    assert np.array_equal(reference, unchanged), f"the reference evaluator now looks at {name}"
    assert name == "plain" or np.abs(runtime - reference).max() > 0.1
    if name == "plain":
        assert np.abs(runtime - reference).max() < 1e-6
PYTHON
