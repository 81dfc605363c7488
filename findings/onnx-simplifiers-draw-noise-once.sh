#!/usr/bin/env bash
# What makes ONNX models smaller merges nodes that compute the same from the same inputs. onnxsim, onnxslim and onnxoptimizer
# take two draws of noise for the same, onnxscript's optimizer two dropouts in training mode. A recurrent network with noise
# at every step then has one noise for all steps; passes of Monte Carlo dropout have one mask. onnxslim also takes RandomNormal
# for a constant: one sample is drawn and written into the file. A good guess: nodes without a seed draw for themselves,
# whoever simplifies the model.
#
# Seen with onnxsim 0.8.1, onnxslim 0.1.98, onnxoptimizer 0.4.2, onnxscript 0.7.2, run by onnxruntime 1.32.0: a random walk of 16
# steps has a standard deviation of 4 (the root of 16), after onnxsim and onnxoptimizer of 16; after onnxslim every run gives the same
# walk. Four dropouts of one input differ, and are equal after any of the four.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check numpy==2.2.6 onnx==1.23.2 onnxruntime==1.32.0 \
  onnxsim==0.8.1 onnxslim==0.1.98 onnxoptimizer==0.4.2 onnxscript==0.7.2
"$work/venv/bin/python" - <<'PY'
from importlib.metadata import version

import numpy as np
import onnx
import onnxoptimizer
import onnxruntime
import onnxscript.optimizer
import onnxsim
import onnxslim
from onnx import parser

STEPS, UNITS, PASSES = 16, 4000, 4
walk = [f"n{t} = RandomNormal<shape = [{UNITS}]>()\n h{t + 1} = Add(h{t}, n{t})" for t in range(STEPS)]
models = {
    "walk": f'<ir_version: 8, opset_import: ["" : 17]> g (float[{UNITS}] h0) => (float[{UNITS}] h{STEPS}) {{ ' + "\n".join(walk) + "}",
    "dropout": f'<ir_version: 8, opset_import: ["" : 17]> g (float[{UNITS}] x) => (float[{PASSES}, {UNITS}] y) '
    "<float rate = {0.5}, bool training = {1}, int64[1] first = {0}> { "
    + "\n".join(f"d{k} = Dropout(x, rate, training)\n u{k} = Unsqueeze(d{k}, first)" for k in range(PASSES))
    + f"\ny = Concat<axis = 0>({', '.join(f'u{k}' for k in range(PASSES))}) }}",
}
tools = {
    "onnx": lambda model: model,
    "onnxsim": lambda model: onnxsim.simplify(model)[0],
    "onnxslim": onnxslim.slim,
    "onnxoptimizer": onnxoptimizer.optimize,
    "onnxscript": onnxscript.optimizer.optimize,
}
seen = {}
for tool, simplify in tools.items():
    outs = {}
    for name, text in models.items():
        model = parser.parse_model(text)
        onnx.checker.check_model(model)
        session = onnxruntime.InferenceSession(simplify(model).SerializeToString())
        given = {session.get_inputs()[0].name: np.full(UNITS, float(name == "dropout"), np.float32)}
        outs[name] = [session.run(None, given)[0] for _ in range(2)]
    (first, again), masks = outs["walk"], outs["dropout"][0]
    seen[tool] = float(first.std()), np.array_equal(first, again), len(np.unique(masks, axis=0))
    print(f"{tool} {version(tool)}: a walk's standard deviation {seen[tool][0]:.2f}, "
          f"{'the same walk' if seen[tool][1] else 'another walk'} at the next run; {seen[tool][2]} masks in {PASSES} dropouts")
assert 3.5 < seen["onnx"][0] < 4.5 and not seen["onnx"][1] and seen["onnx"][2] == PASSES, "the model itself is not as it should be"
assert all(seen[tool][0] > 14 for tool in ("onnxsim", "onnxoptimizer")) and seen["onnxslim"][1], "this has changed"
assert all(seen[tool][2] == 1 for tool in tools if tool != "onnx"), "this has changed"
print("so a simplified model draws its noise once")
PY
