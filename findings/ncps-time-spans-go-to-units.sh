#!/usr/bin/env bash
# The liquid networks of ncps (CfC, LTC) take a time span for each sequence and step: irregular sampling is what they are
# for. A step squeezes them to (batch,) and multiplies (batch, units) by them: NumPy's broadcasting gives the span of
# sequence j to unit j of every sequence. With as many sequences as units that is silent; otherwise a size mismatch.
#
# Seen with ncps 1.0.1, torch 2.13.0: three sequences in a batch through CfC(4, 3) and LTC(4, 3), timespans (5, 3, 1); each
# sequence by itself gives other outputs, by 0.15 and 0.14. With equal spans in a step both agree to rounding.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
pip=("$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check)
"${pip[@]}" torch==2.13.0 numpy==2.2.6
"${pip[@]}" --no-deps ncps==1.0.1 # the rest of what it asks for is not needed by these two layers
"$work/venv/bin/python" - <<'PY'
from importlib.metadata import version

import torch
from ncps.torch import CfC, LTC

torch.manual_seed(0)
torch.set_grad_enabled(False)
steps, batch, inputs, units = 5, 3, 4, 3
x = torch.randn(steps, batch, inputs)
own = 0.5 + torch.rand(steps, batch, 1)
for kind in (CfC, LTC):
    layer = kind(inputs, units, batch_first=False)
    apart = {}
    for name, spans in (("spans of their own", own), ("the same spans", own[:, :1].expand(-1, batch, -1))):
        together, _ = layer(x, timespans=spans)
        alone = [layer(x[:, b : b + 1], timespans=spans[:, b : b + 1])[0] for b in range(batch)]
        apart[name] = float((together - torch.cat(alone, 1)).abs().max())
        print(f"ncps {version('ncps')} {kind.__name__}({inputs}, {units}): {batch} sequences with {name}, "
              f"in one batch and one by one, differ by {apart[name]:.2g}")
    assert apart["spans of their own"] > 1e-3 and apart["the same spans"] < 1e-5, "this has changed"
print("so the span of sequence j was given to unit j of every sequence")
PY
