#!/usr/bin/env bash
# xlstm's sLSTM takes `gradient_recurrent_cut` (no gradient through the recurrent connection), `gradient_recurrent_clipval`
# (gradients through it clipped) and `forward_clipval` (outputs clipped). The backend "vanilla", the only one without a GPU,
# accepts all three and does none of it: a network trained or checked on a CPU has the uncut gradients.
#
# Seen with xlstm 2.0.6, torch 2.13.0: with each of the three the outputs and the gradients of a loss on the last step are
# the same as without, to the last bit, for the inputs of all five steps; cut through the recurrent weights, only the cell's
# own path would be left to the first four.
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


def run(**options):
    torch.manual_seed(0)
    cell = sLSTMCell(sLSTMCellConfig(hidden_size=8, num_heads=2, backend="vanilla", dtype="float32", bias_init="standard",
                                     recurrent_weight_init="standard", enable_automatic_mixed_precision=False, **options))
    x = torch.randn(1, 5, 4 * 8, requires_grad=True)
    y, _ = cell(x)
    y[:, :, -1].sum().backward()
    return y.detach(), x.grad, cell._recurrent_kernel_.grad


plain = run()
recurrent = float(plain[2].abs().sum())
print(f"xlstm {version('xlstm')}: the recurrent weights' gradients add up to {recurrent:.2f}, the largest output is {float(plain[0].abs().max()):.2f}")
for options in ({"gradient_recurrent_cut": True}, {"gradient_recurrent_clipval": 1e-6}, {"forward_clipval": 1e-3}):
    same = all(torch.equal(a, b) for a, b in zip(plain, run(**options), strict=True))
    print(f"with {options}: outputs and gradients are the same: {same}")
    assert same and recurrent > 0.1 and plain[0].abs().max() > 0.1, "this has changed"
print("so what was to keep gradients from exploding does nothing here")
PY
