#!/usr/bin/env bash
# thinc's LSTM keeps its learned initial states in one parameter HC0. Its code reads H0 = HC0[0], C0 = HC0[1]; what
# HC0[0] sets is the cell state. Whoever copies a trained layer elsewhere by these names starts with the two exchanged.
#
# Seen with thinc 9.1.1 and numpy 2.2.6: all weights zero, so every gate is 1/2 and the candidate 0, and one step gives
# c_1 = c_0 / 2 and h_1 = tanh(c_1) / 2, whatever h_0 is. HC0[0] = 1 gives 0.2311 = tanh(1/2) / 2; HC0[1] = 1 gives 0.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check thinc==9.1.1 numpy==2.2.6
"$work/venv/bin/python" - <<'PY'
import math

import numpy as np
import thinc
from thinc.api import with_padded
from thinc.layers import LSTM

layer = LSTM(1, 1)
layer.initialize()
layer.set_param("LSTM", np.zeros_like(layer.get_param("LSTM")))
seen = {}
for place in (0, 1):
    states = np.zeros_like(layer.get_param("HC0"))
    states[place] = 1.0
    layer.set_param("HC0", states)
    seen[place] = float(np.ravel(with_padded(layer).predict([np.zeros((1, 1), "f")])[0])[0])
    print(f"thinc {thinc.__version__}: HC0[{place}] = 1, all else 0: the first output is {seen[place]:.4f}")
of_a_cell = math.tanh(0.5) / 2
assert abs(seen[0] - of_a_cell) < 1e-6 and seen[1] == 0.0, "this has changed"
print("so HC0[0] is the cell state and HC0[1] the hidden state")
PY
