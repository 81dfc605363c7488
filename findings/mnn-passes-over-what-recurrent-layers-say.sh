#!/usr/bin/env bash
# MNN's converter takes ONNX models with LSTM and GRU, reads their weights and passes over what else a layer may say: a layer
# that runs in reverse runs forwards, lengths are not there (padding is read as input), clip does not clip, and a GRU with
# ONNX's default, linear_before_reset=0, resets after the product, r (U h) + b, where it should be U (r h) + b. Nothing says so when
# it converts or runs. A good guess: what a converter does not know it refuses, as it does an LSTM with peepholes.
#
# Seen with MNN 3.6.1, onnx 1.19.1, onnxruntime 1.23.2: one sequence of five steps, three units. Forward and bidirectional LSTMs and
# a GRU with linear_before_reset=1 agree with onnxruntime to 1e-6. Each of the others gives, to 1e-6, what onnxruntime gives for the same
# weights without the attribute or input (the GRU with its bias b kept out of the reset), and differs from the model by 0.18 to 0.64.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check numpy==2.2.6 onnx==1.19.1 onnxruntime==1.23.2 MNN==3.6.1
cd "$work"
PATH="$work/venv/bin:$PATH" python - <<'PY'
import subprocess
from pathlib import Path
from importlib.metadata import version

import MNN.expr
import MNN.nn
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

STEPS, INPUTS, UNITS = 5, 2, 3
x = np.random.default_rng(0).normal(size=(STEPS, 1, INPUTS)).astype("f")


def model(kind, *, lengths=False, bias_outside=False, **attributes):
    draw, gates = np.random.default_rng(1), {"LSTM": 4, "GRU": 3}[kind]
    ways = 2 if attributes.get("direction") == "bidirectional" else 1
    shapes = {"W": (ways, gates * UNITS, INPUTS), "R": (ways, gates * UNITS, UNITS), "B": (ways, 2 * gates * UNITS)}
    arrays = {name: draw.normal(size=shape).astype("f") for name, shape in shapes.items()}
    if bias_outside:  # of a GRU's reset: the second bias of n belongs to the first
        first, second = arrays["B"][:, 2 * UNITS : 3 * UNITS], arrays["B"][:, 5 * UNITS :]
        first += second
        second[:] = 0
    arrays["L"] = np.array([STEPS - 2], "int32")
    inputs = ["X", "W", "R", "B"] + ["L"] * lengths
    names = ["Y", "Y_h", "Y_c"][: 3 if kind == "LSTM" else 2]
    node = helper.make_node(kind, inputs, names, hidden_size=UNITS, **attributes)
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [STEPS] * (name == "Y") + [ways, 1, UNITS]) for name in names]
    given = [numpy_helper.from_array(arrays[name], name) for name in inputs[1:]]
    graph = helper.make_graph([node], "g", [helper.make_tensor_value_info("X", TensorProto.FLOAT, list(x.shape))], outputs, given)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    onnx.checker.check_model(made)
    return made


def reference(made):
    return onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, {"X": x})


def converted(made, like):
    onnx.save(made, "layer.onnx")
    Path("layer.mnn").unlink(missing_ok=True)
    said = subprocess.run(["mnnconvert", "-f", "ONNX", "--modelFile", "layer.onnx", "--MNNModel", "layer.mnn", "--bizCode", "x"],
                          capture_output=True, text=True, check=True)
    assert "Converted Success" in said.stdout + said.stderr, said.stdout + said.stderr
    x_there = MNN.expr.placeholder(list(x.shape), MNN.expr.NCHW)
    x_there.write(x.flatten().tolist())
    results = MNN.nn.load_module_from_file("layer.mnn", ["X"], [a.name for a in made.graph.output]).forward([x_there])
    return [np.array(MNN.expr.convert(a, MNN.expr.NCHW).read()).reshape(b.shape) for a, b in zip(results, like, strict=True)]


def apart(a, b):
    return max(float(np.abs(p - q).max()) for p, q in zip(a, b, strict=True))


print(f"MNN {version('MNN')}, onnx {onnx.__version__}, onnxruntime {onnxruntime.__version__}")
for kind, settings in (("LSTM", {}), ("LSTM", {"direction": "bidirectional"}), ("GRU", {"linear_before_reset": 1})):
    made = model(kind, **settings)
    off = apart(converted(made, right := reference(made)), right)
    print(f"  {kind} {settings}: differs from onnxruntime by {off:.1g}")
    assert off < 1e-5, "a plain layer is not as it should be"
after = {"linear_before_reset": 1}
for kind, settings, instead in (
    ("LSTM", {"direction": "reverse"}, {}), ("LSTM", {"lengths": True}, {}), ("LSTM", {"clip": 0.5}, {}),
    ("GRU", {"direction": "reverse"} | after, after), ("GRU", {"lengths": True} | after, after), ("GRU", {}, {"bias_outside": True} | after),
):
    made = model(kind, **settings)
    got = converted(made, right := reference(made))
    off, same = apart(got, right), apart(got, reference(model(kind, **instead)))
    print(f"  {kind} {settings}: differs from onnxruntime by {off:.2g}, from {kind} {instead} by {same:.1g}")
    assert off > 0.01 and same < 1e-5, "this has changed"
print("so MNN runs other recurrent layers than the model has, and nothing says so")
PY
