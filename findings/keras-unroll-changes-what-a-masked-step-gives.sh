#!/usr/bin/env bash
# Keras: a masked step of an RNN, LSTM or GRU repeats the output of the step before. Where a row begins with masked steps
# there is none. The layer then gives the state it was handed if it runs in a loop on JAX or NumPy, and zeros if it is unrolled
# there, or runs on PyTorch either way. A good guess: unroll=True trades memory for speed, and the backend is a matter of taste.
# It shows where a state is given or kept (a decoder, stateful=True): a row padded in front, and a row with nothing new in
# this stretch, whose last output is 0 while the state that is returned beside it is right.
#
# Seen with keras 3.15.1, jax 0.10.2, torch 2.13.0: state 0.7, mask (0, 0, 1, 1); the outputs begin with 0.7, 0.7 in a loop on JAX and
# with 0, 0 in the three other cases; from the third on all are equal.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check keras==3.15.1 jax==0.10.2 torch==2.13.0 numpy==2.2.6
cat > "$work/outputs.py" <<'PY'
import json
from importlib.metadata import version

import keras
import numpy as np

backend = keras.backend.backend()
x = keras.ops.convert_to_tensor(np.linspace(-1, 1, 8, dtype=np.float32).reshape(1, 4, 2))
mask = keras.ops.convert_to_tensor(np.array([[False, False, True, True]]))
nothing = keras.ops.zeros_like(mask)
states = [keras.ops.full((1, 1), 0.7), keras.ops.full((1, 1), 0.2)]
seen = {}
for unroll in (False, True):
    layer = keras.layers.LSTM(1, return_sequences=True, return_state=True, unroll=unroll)
    layer.build(x.shape)
    layer.set_weights([np.full(w.shape, 0.3) for w in layer.get_weights()])
    steps = keras.ops.convert_to_numpy(layer(x, mask=mask, initial_state=states)[0])[0, :, 0]
    layer.return_sequences = False
    last, h, _ = (float(keras.ops.convert_to_numpy(v)[0, 0]) for v in layer(x, mask=nothing, initial_state=states))
    print(f"keras {version('keras')} on {backend} {version(backend)}, {'unrolled' if unroll else 'loop'}: outputs {np.round(steps, 3)}; "
          f"if all is masked output {last:.1f} and state {h:.1f}")
    seen[unroll] = [*map(float, steps), last, h]
json.dump(seen, open(f"{backend}.json", "w"))
PY
cd "$work"
for backend in jax torch; do KERAS_BACKEND=$backend KERAS_HOME=$work "$work/venv/bin/python" outputs.py; done
"$work/venv/bin/python" - <<'PY'
import json

cases = {(backend, unroll): seen for backend in ("jax", "torch") for unroll, seen in json.load(open(f"{backend}.json")).items()}
for (backend, unroll), (one, two, three, four, last, h) in cases.items():
    first = 0.7 if (backend, unroll) == ("jax", "false") else 0.0
    assert max(abs(one - first), abs(two - first), abs(last - first), abs(h - 0.7)) < 1e-6, "this has changed"
    assert abs(three - cases["jax", "false"][2]) + abs(four - cases["jax", "false"][3]) < 1e-5, "this has changed"
print("so what a masked beginning gives depends on the backend and on unroll")
PY
