#!/usr/bin/env bash
# minGRU-pytorch has the minimal LSTM twice: step by step, and over a stretch of steps at once by a scan of logarithms.
# Both take `prev_hidden`. The stretch sends that state through the positive function g(x) = x + 1/2 which belongs to the
# candidates, the single step does not: whoever reads a long sequence in chunks adds a half to the state at each seam.
#
# Seen with minGRU-pytorch 0.2.1, torch 2.13.0, float64: eight steps at once, and four and four with the state handed on,
# differ by 0.32; four and then one by one agree to 1e-15. The minimal GRU of the same package agrees in all three ways.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
pip=("$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check)
"${pip[@]}" torch==2.13.0 numpy==2.2.6
"${pip[@]}" --no-deps minGRU-pytorch==0.2.1 # the two layers need torch only
"$work/venv/bin/python" - <<'PY'
from importlib.metadata import version

import torch
from minGRU_pytorch.minGRU import minGRU
from minGRU_pytorch.minLSTM import minLSTM

torch.manual_seed(0)
torch.set_grad_enabled(False)
x = torch.randn(1, 8, 4, dtype=torch.float64)
apart = {}
for kind in (minGRU, minLSTM):
    layer = kind(4).double()
    whole = layer(x)[:, 4:]
    _, state = layer(x[:, :4], return_next_prev_hidden=True)
    halves = layer(x[:, 4:], prev_hidden=state)
    steps = []
    for t in range(4, 8):
        out, state = layer(x[:, t : t + 1], prev_hidden=state, return_next_prev_hidden=True)
        steps.append(out)
    apart[kind.__name__] = float((whole - halves).abs().max()), float((whole - torch.cat(steps, 1)).abs().max())
    print(f"minGRU-pytorch {version('minGRU-pytorch')}: {kind.__name__}, eight steps at once against four and four: "
          f"{apart[kind.__name__][0]:.2g}; against four and one by one: {apart[kind.__name__][1]:.2g}")
assert max(*apart["minGRU"], apart["minLSTM"][1]) < 1e-12 and apart["minLSTM"][0] > 0.1, "this has changed"
print("so minLSTM continues from another state over a stretch than over a step")
PY
