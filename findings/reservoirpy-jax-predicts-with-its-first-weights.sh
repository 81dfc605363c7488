#!/usr/bin/env bash
# ReservoirPy has its nodes in NumPy and, under the same names, in JAX. There a step is compiled with the node as a constant: the
# weights are those of the first call, whatever is learned afterwards. A readout that is fitted again predicts as before, online
# learning (RLS) changes nothing after the first prediction, and intrinsic plasticity never has any effect, since learning itself
# takes the first step. The attributes (Wout, a, b) hold what was learned. A good guess: two backends, one result.
#
# Seen with reservoirpy 0.4.2, jax 0.10.2, numpy 2.2.6: a model fitted to y and then to -y has a mean error of 0.047 in NumPy, and 1.03
# in JAX, where it still predicts y (mean size 0.5); a neuron's activity has a standard deviation of 0.75 before and 0.042 after
# intrinsic plasticity in NumPy, and 0.75 before and after in JAX.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check numpy==2.2.6 jax==0.10.2 reservoirpy==0.4.2
"$work/venv/bin/python" - <<'PY'
import warnings
from importlib.metadata import version

import numpy as np
import reservoirpy.jax.nodes
import reservoirpy.nodes

warnings.simplefilter("ignore")  # JAX is single precision and finds the ridge small
x = np.random.default_rng(0).uniform(-1, 1, size=(300, 1))
y = np.roll(x, 1, axis=0)  # what came a step before
seen = {}
for name, nodes in (("NumPy", reservoirpy.nodes), ("JAX", reservoirpy.jax.nodes)):
    model = nodes.Reservoir(30, seed=1) >> nodes.Ridge(ridge=1e-6)
    errors = []
    for target in (y, -y):
        model.fit(x, target, warmup=20)
        errors.append(float(np.abs(np.asarray(model.run(x)) - target)[20:].mean()))

    online = nodes.Reservoir(30, seed=1) >> nodes.RLS()
    online.partial_fit(x, y)
    before = np.asarray(online.run(x))
    for _ in range(3):
        online.partial_fit(x, -y)
    learned = float(np.abs(np.asarray(online.run(x)) - before).max())

    plastic = nodes.IPReservoir(30, seed=1, sigma=0.1)
    spread = [float(np.asarray(plastic.run(x)).std())]
    plastic.reset()
    plastic.fit(x)
    plastic.reset()
    spread.append(float(np.asarray(plastic.run(x)).std()))
    print(f"reservoirpy {version('reservoirpy')} in {name}: mean error fitted to y {errors[0]:.3f}, then fitted to -y {errors[1]:.3f}; "
          f"RLS changes predictions by {learned:.2g}; spread of activity before and after plasticity {spread[0]:.3f}, {spread[1]:.3f}")
    seen[name] = errors, learned, spread
errors, learned, spread = seen["NumPy"]
assert max(errors) < 0.1 and learned > 0.5 and spread[1] < 0.1, "NumPy's nodes do not learn either"
errors, learned, spread = seen["JAX"]
assert errors[0] < 0.1 and errors[1] > 0.8 and learned < 1e-4 and abs(spread[0] - spread[1]) < 1e-4, "this has changed"
print("so in JAX what is learned after the first step is not used")
PY
