#!/usr/bin/env bash
# Keras: a mask keeps NaN in the padding out of the outputs, and lets it into the gradient of every weight.
# A good guess: what is masked does not count. The loss is finite, so nothing warns until the first update has made every
# weight NaN. Cure: put finite numbers (zeros) into the padding before the mask.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check keras==3.15.1 jax==0.10.2 numpy==2.4.6
cd "$work" && "$work/venv/bin/python" - <<'PYTHON'
import os

os.environ["KERAS_BACKEND"] = "jax"
import jax
import keras
import numpy as np

print("keras", keras.__version__, "on jax", jax.__version__)
layer = keras.layers.LSTM(3, return_sequences=True)
x = np.random.default_rng(0).normal(size=(1, 4, 2)).astype("float32")
mask = np.array([[True, True, False, False]])
padded = x.copy()
padded[0, 2:] = np.nan
layer.build(x.shape)
variables = [v.value for v in layer.trainable_variables]


def loss(variables, x):
    out, _ = layer.stateless_call(variables, [v.value for v in layer.non_trainable_variables], x, mask=mask)
    return (out[:, :2] ** 2).sum()


for name, data in {"numbers": x, "NaN": padded}.items():
    value, gradients = jax.value_and_grad(loss)(variables, data)
    finite = [bool(np.isfinite(g).all()) for g in gradients]
    print(f"{name:7} in the padding: loss {float(value):.6f}, gradients finite {finite}")
    assert np.isfinite(value)
    assert finite == [name == "numbers"] * len(finite), "this has changed"
PYTHON
