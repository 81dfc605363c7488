#!/usr/bin/env bash
# GatherElements takes an element of each row or column by its index: of a sequence, the last true step of each example.
# A good guess: the ONNX reference evaluator, where the node is one call of NumPy, gives what the operator's text says.
# It uses np.choose, which takes at most 63 arrays; from 64 entries along the axis on it goes another way, which gives the
# elements of other rows, and says nothing. With a negative axis, which the text allows, a valid node is an error.
#
# Seen with onnx 1.23.2, onnxruntime 1.32.0, numpy 2.4.6: row 0 asked for in each place of a column of 63 and of 64 entries: zeros
# from onnxruntime for both; from the reference zeros for 63, and 0, 1, 2, ... for 64.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
cd "$work" && "$work/venv/bin/python" - <<'PYTHON'
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator


def gather(data, indices, axis):
    """What the reference gives (or the error it raises), and what onnxruntime gives."""
    node = helper.make_node("GatherElements", ["data", "indices"], ["out"], axis=axis)
    graph = helper.make_graph(
        [node], "gather",
        [helper.make_tensor_value_info("data", TensorProto.FLOAT, data.shape),
         helper.make_tensor_value_info("indices", TensorProto.INT64, indices.shape)],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, indices.shape)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    feed = {"data": data, "indices": indices}
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    try:
        reference = ReferenceEvaluator(model).run(None, feed)[0]
    except ValueError as error:
        reference = error
    return reference, session.run(None, feed)[0]


print(f"onnx {onnx.__version__}, onnxruntime {onnxruntime.__version__}, numpy {np.__version__}")
for entries in (32, 63, 64, 70):
    column = np.arange(entries, dtype=np.float32)[:, None]
    reference, runtime = gather(column, np.zeros((entries, 1), np.int64), axis=0)
    print(f"  {entries} entries: reference {reference.ravel()[:4]}, onnxruntime {runtime.ravel()[:4]}")
    assert not runtime.any(), "onnxruntime has changed"
    assert reference.any() == (entries >= 64), "the reference has changed"

table, last = np.arange(6, dtype=np.float32).reshape(3, 2), np.array([[1], [0], [1]])
by_end, right = gather(table, last, axis=-1)
by_number, _ = gather(table, last, axis=1)
print(f"  axis -1: reference {type(by_end).__name__}, onnxruntime {right.ravel()}; axis 1: reference {by_number.ravel()}")
assert isinstance(by_end, ValueError) and np.array_equal(by_number, right), "the reference has changed"
print("so the reference evaluator is no judge of GatherElements along 64 entries and more")
PYTHON
