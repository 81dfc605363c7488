#!/usr/bin/env bash
# SpikingJelly's LSTM cell keeps c at 1 or below. It does so in place and unseen by autograd, so the gradient goes through the
# limit as if it were not there. With surrogates that do not spike (spiking=False, the smooth mode in which a gradient can be
# checked against differences) a good guess is that backward() gives the slope of what forward computes. Where c was cut, the
# slope is 0, and backward() says something else.
#
# Seen with spikingjelly 2.0.0, torch 2.13.0: two of four elements of c are cut, and have other gradients.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
pip=("$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check)
"${pip[@]}" torch==2.13.0 numpy==2.2.6 tqdm==4.67.1 packaging==25.0
"${pip[@]}" --no-deps spikingjelly==2.0.0 # the rest is for data sets and plots
"$work/venv/bin/python" - <<'PY'
from importlib.metadata import version

import torch
from spikingjelly.activation_based import rnn, surrogate

torch.manual_seed(0)
torch.set_default_dtype(torch.float64)
smooth = surrogate.Sigmoid(alpha=1.0, spiking=False)
cell = rnn.SpikingLSTMCell(3, 4, surrogate_function1=smooth)
for parameter in cell.parameters():
    parameter.requires_grad_(False)
x, h = torch.randn(1, 3), torch.rand(1, 4)
c = torch.tensor([[0.2, 0.3, 1.9, 4.5]], requires_grad=True)


def loss(c):
    return cell(x, (h, c))[1].sum()


(got,) = torch.autograd.grad(loss(c), c)
step = 1e-6
with torch.no_grad():
    slope = [float(loss(c + step * d) - loss(c - step * d)) / (2 * step) for d in torch.eye(4)[:, None]]
    after = cell(x, (h, c))[1][0].tolist()
print(f"spikingjelly {version('spikingjelly')}: c after one step {[round(v, 3) for v in after]}")
print(f"  dL/dc by backward() {[round(v, 3) for v in got[0].tolist()]}, by differences {[round(v, 3) for v in slope]}")
for value, g, s in zip(after, got[0].tolist(), slope):
    assert (abs(g) > 0.1 and s == 0) if value == 1 else abs(g - s) < 1e-6, "this has changed"
assert after.count(1.0) == 2, "this has changed: another number of elements is cut"
print("so where c was cut, the gradient is not that of the value")
PY
