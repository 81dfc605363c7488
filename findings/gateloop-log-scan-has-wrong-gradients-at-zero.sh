#!/usr/bin/env bash
# gateloop-transformer's layer adds up its recurrence h_t = a_t h_{t-1} + x_t in one of two ways: by an associative scan, or, with
# use_heinsen=True, by sums of logarithms. A good guess: two ways to one result, so the gradients are the same, too.
# They are not where an input is exactly 0 (a padded row, a one-hot vector's product): forward the logarithm of 0 is kept from
# harm, and the value is right; backward the share of that very input is lost, and if it is the first one, every gradient of
# the layer is NaN.
#
# Seen with gateloop-transformer 0.2.5, torch 2.13.0: the outputs agree to 2e-7 in all cases; a row of zeros in the middle has
# another gradient in the one form than in the other, a row of zeros at the start makes the weights' gradients NaN.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
pip=("$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check)
"${pip[@]}" torch==2.13.0 numpy==2.2.6 einops==0.8.2
"${pip[@]}" --no-deps gateloop-transformer==0.2.5 rotary-embedding-torch==0.9.1 # they need the above only
"$work/venv/bin/python" - <<'PY'
from importlib.metadata import version

import torch
from gateloop_transformer import SimpleGateLoopLayer

torch.manual_seed(0)
scan = SimpleGateLoopLayer(4, prenorm=False)
logs = SimpleGateLoopLayer(4, prenorm=False, use_heinsen=True)
logs.load_state_dict(scan.state_dict())
print(f"gateloop-transformer {version('gateloop-transformer')}")
for zero in (None, 2, 0):
    x = torch.randn(2, 6, 4)
    if zero is not None:
        x[1, zero] = 0
    x.requires_grad_()
    (out, rows, weights), (out_logs, rows_logs, weights_logs) = (
        (out.detach(), *torch.autograd.grad(out.sum(), [x, layer.to_qkva[0].weight]))
        for layer in (scan, logs)
        for out in [layer(x)]
    )
    row = 0 if zero is None else zero
    print(f"  row of zeros: {zero}; outputs differ by {float((out - out_logs).abs().max()):.1g}; dL/dx of row {row}: "
          f"{[round(v, 3) for v in rows[1, row].tolist()]} and {[round(v, 3) for v in rows_logs[1, row].tolist()]}")
    assert float((out - out_logs).abs().max()) < 1e-6, "the values differ now"
    apart = float((rows - rows_logs).abs().max())
    lost = bool(torch.isnan(weights_logs).any())
    assert not torch.isnan(weights).any()
    assert lost if zero == 0 else not lost, "this has changed: no NaN"
    assert zero == 0 or (apart > 0.05 if zero == 2 else apart < 1e-5), "this has changed"
print("so the two forms give equal outputs, and other gradients where an input is 0")
PY
