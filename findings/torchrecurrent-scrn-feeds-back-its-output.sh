#!/usr/bin/env bash
# torchrecurrent writes the structurally constrained recurrent network as its paper does: a hidden state h = sigmoid(...), which
# the next step reads, and an output y = tanh(W h + ...). What its cell returns as the next hidden state, and reads as such, is
# y: another recurrence than the equations beside it, with states between -1 and 1 where they say 0 and 1. A good guess: h.
#
# Seen with torchrecurrent 0.2.5, torch 2.13.0: one unit, both hidden weights 1, everything else 0. By the equations
# h_1 = sigmoid(0) = 0.5 and h_2 = sigmoid(h_1) = 0.622; the cell gives tanh(0.5) = 0.462 and tanh(sigmoid(0.462)) = 0.547.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
pip=("$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check)
"${pip[@]}" torch==2.13.0 numpy==2.2.6
"${pip[@]}" --no-deps torchrecurrent==0.2.5 # the cells need torch only
"$work/venv/bin/python" - <<'PY'
from importlib.metadata import version
from math import exp, tanh

import torch
from torchrecurrent import SCRNCell

torch.set_grad_enabled(False)
cell = SCRNCell(1, 1).double()
for parameter in cell.parameters():
    parameter.zero_()
cell.weight_hh.fill_(1.0)
x, state, seen = torch.zeros(1, 1, dtype=torch.float64), None, []
for _ in range(2):
    state = cell(x, state)
    seen.append(float(state[0]))


def sigmoid(a):
    return 1 / (1 + exp(-a))


written = sigmoid(0), sigmoid(sigmoid(0))
output = tanh(sigmoid(0))
fed_back = output, tanh(sigmoid(output))
print(f"torchrecurrent {version('torchrecurrent')}: the hidden state is {seen[0]:.4f}, {seen[1]:.4f}; the equations say "
      f"{written[0]:.4f}, {written[1]:.4f}; with the output in its place they say {fed_back[0]:.4f}, {fed_back[1]:.4f}")
assert max(abs(a - b) for a, b in zip(seen, fed_back)) < 1e-12, "this has changed"
print("so SCRN's output takes the place of its hidden state")
PY
