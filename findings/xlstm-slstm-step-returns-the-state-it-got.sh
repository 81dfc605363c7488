#!/usr/bin/env bash
# xlstm's sLSTM cell has `step(input, state)` beside `forward`, for one step at a time. Its output is right, but the state
# that it returns is the very tensor that was handed in: whoever carries it on computes every step from the first state, and
# learns nothing of time. Called with one step each, `forward` does hand the new state on.
#
# Seen with xlstm 2.0.6, torch 2.13.0, the backend "vanilla": over five steps the outputs of `step` differ from those of
# `forward` by up to 1.05 from the second step on; one by one through `forward` they are the same to the last bit.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
pip=("$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check)
"${pip[@]}" torch==2.13.0 numpy==2.2.6 packaging==25.0
"${pip[@]}" --no-deps xlstm==2.0.6 # the cell of this backend needs no more
"$work/venv/bin/python" - <<'PY'
from importlib.metadata import version

import torch
from xlstm.blocks.slstm.cell import sLSTMCell, sLSTMCellConfig

torch.manual_seed(0)
torch.set_grad_enabled(False)
cell = sLSTMCell(sLSTMCellConfig(hidden_size=8, num_heads=2, backend="vanilla", dtype="float32",
                                 recurrent_weight_init="standard", bias_init="standard", enable_automatic_mixed_precision=False))
x = torch.randn(1, 5, 4 * 8)
whole, _ = cell(x)  # (batch, heads, steps, units of a head)
start = torch.zeros(4, 1, 8)
stepped, forwarded = [], []
state, other, same = start, start, True
for t in range(5):
    out, new = cell.step(x[:, t : t + 1], state)
    same, state = same and new is state, new
    stepped.append(out)
    out, other = cell(x[:, t : t + 1], other)
    forwarded.append(out)
off = (torch.cat(stepped, 2) - whole).abs().amax((0, 1, 3))
right = float((torch.cat(forwarded, 2) - whole).abs().max())
print(f"xlstm {version('xlstm')}: the state that step returns is the one it got: {same}; "
      f"its outputs are off, step by step, by {[round(float(d), 2) for d in off]}; those of forward, one by one, by {right:.1g}")
assert same and off[0] < 1e-6 and off[1:].min() > 0.1 and right < 1e-6, "this has changed"
print("so a network that is run step by step has no memory")
PY
