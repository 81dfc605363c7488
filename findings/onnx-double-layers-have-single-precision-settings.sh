#!/usr/bin/env bash
# ONNX: in a model of float64, a layer's settings (slopes of a hard sigmoid, clip) are float32 all the same.
# A good guess: a float64 HardSigmoid with alpha 0.2 and beta 0.5 gives 0.7 at 1.0. Float attributes are stored in single
# precision whatever the model computes in, the operator's own default included, so it gives 0.70000000298: an export that is
# compared at 1e-10, or a gradient check on the imported layer, is off by 1e-8 and nothing is said. Recurrent nodes alike.
# What helps: settings that single precision does not hold belong into constants (a Scan's body), not into attributes.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check onnx==1.23.2 numpy
cd "$work" && "$work/venv/bin/python" - <<'PYTHON'
import numpy as np
import onnx
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

print("onnx", onnx.__version__)
for settings in ({}, {"alpha": 0.2, "beta": 0.5}):
    x, y = (helper.make_tensor_value_info(name, TensorProto.DOUBLE, [1]) for name in "xy")
    graph = helper.make_graph([helper.make_node("HardSigmoid", ["x"], ["y"], **settings)], "one", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)])
    onnx.checker.check_model(model, full_check=True)
    (found,) = ReferenceEvaluator(model).run(None, {"x": np.array([1.0])})
    print(settings, "float64 result:", repr(found[0]), "expected: 0.7")
    assert found.dtype == np.float64 and 2e-9 < found[0] - 0.7 < 4e-9, "settings are in double precision now"
gru = helper.make_node("GRU", ["x", "w", "r"], ["y"], hidden_size=1, activation_alpha=[0.2], clip=0.1)
stored = {a.name: list(a.floats) or a.f for a in gru.attribute if a.name != "hidden_size"}
print("a GRU's settings:", stored)
assert stored["activation_alpha"] == [float(np.float32(0.2))] and stored["clip"] == float(np.float32(0.1))
PYTHON
