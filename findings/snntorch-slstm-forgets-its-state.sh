#!/usr/bin/env bash
# snnTorch's SLSTM is a spiking LSTM whose states `syn` and `mem` are handed from step to step. It compares the states'
# shape with the input's and begins anew from zeros where they differ: only a layer with as many units as inputs has a
# memory. Any other reads each step by itself, trains without an error, and no gradient goes through time.
#
# Seen with snntorch 1.0.0, torch 2.13.0: SLSTM(3, 5) gives the same after states of ones as after states of zeros, bit
# for bit, and its gradient with respect to the state before is None; for SLSTM(3, 3) both differ, as they should.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
pip=("$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check)
"${pip[@]}" torch==2.13.0 numpy==2.2.6
"${pip[@]}" --no-deps snntorch==1.0.0 # of what it asks for beside torch, a layer needs nothing
"$work/venv/bin/python" - <<'PY'
from importlib.metadata import version

import torch
from snntorch import SLSTM

torch.manual_seed(0)
remembers = {}
for inputs, units in ((3, 5), (3, 3)):
    layer = SLSTM(inputs, units)
    x = torch.randn(2, inputs)
    zeros, ones = torch.zeros(2, units), torch.ones(2, units, requires_grad=True)
    _, _, after_zeros = layer(x, zeros, zeros)
    _, _, after_ones = layer(x, ones, ones)
    (through,) = torch.autograd.grad(after_ones.sum(), ones, allow_unused=True)
    same = torch.equal(after_zeros, after_ones)
    remembers[units] = not same and through is not None
    print(
        f"snntorch {version('snntorch')}: SLSTM({inputs}, {units}): states of zeros and of ones give "
        f"{'the same' if same else 'different'} next states; gradient of the state before: "
        f"{'None' if through is None else f'norm {through.norm():.3f}'}"
    )
assert remembers == {5: False, 3: True}, "this has changed"
print("so only a layer with as many units as inputs remembers anything")
PY
