#!/usr/bin/env bash
# safetensors 0.8.0 for NumPy writes an array that is not contiguous in the order of its memory: a transposed matrix comes
# back with its numbers in other places, and nothing is said. Up to 0.7.0 it came back as it was.
# A good guess: save(load(x)) is x. Weights of another framework are transposed on their way into a file all the time.
# Cure: np.ascontiguousarray(x) before saving.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check safetensors==0.8.0 numpy==2.4.6
cd "$work" && "$work/venv/bin/python" - <<'PYTHON'
from importlib.metadata import version

import numpy as np
from safetensors.numpy import load, save

print("safetensors", version("safetensors"), "numpy", np.__version__)
weight = np.arange(6, dtype=np.float32).reshape(2, 3)
for name, x in {"contiguous": weight, "transposed": weight.T, "Fortran order": np.asfortranarray(weight)}.items():
    y = load(save({"x": x}))["x"]
    print(f"{name:14} saved {x.tolist()} loaded {y.tolist()}")
    assert x.shape == y.shape
    assert np.array_equal(x, y) == (name == "contiguous"), f"{name}: this has changed"
    assert np.array_equal(load(save({"x": np.ascontiguousarray(x)}))["x"], x)
PYTHON
