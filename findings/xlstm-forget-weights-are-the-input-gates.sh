#!/usr/bin/env bash
# xlstm's sLSTM layer has the weights `igate`, `fgate`, `zgate`, `ogate` for the four gates of its cell, which takes them in
# that order. The layer hands over what `fgate` makes as the input gate and what `igate` makes as the forget gate: trained
# here, the names do not matter; exported, copied into another implementation or looked at by their names, they are exchanged.
#
# Seen with xlstm 2.0.6, torch 2.13.0: the layer's equations written out with i = fgate(x) and f = igate(x) give its outputs
# to 1e-6; with the names as they stand they are off by more than 0.1.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
pip=("$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check)
"${pip[@]}" torch==2.13.0 numpy==2.2.6 packaging==25.0
"${pip[@]}" --no-deps xlstm==2.0.6 # the layer of this backend needs no more
"$work/venv/bin/python" - <<'PY'
from importlib.metadata import version

import torch
from xlstm.blocks.slstm.layer import sLSTMLayer, sLSTMLayerConfig

torch.manual_seed(0)
torch.set_grad_enabled(False)
layer = sLSTMLayer(sLSTMLayerConfig(embedding_dim=8, num_heads=1, conv1d_kernel_size=0, backend="vanilla", dtype="float32",
                                    recurrent_weight_init="zeros", bias_init="standard", enable_automatic_mixed_precision=False))
for gate in (layer.igate, layer.fgate, layer.zgate, layer.ogate):
    gate.weight.normal_()
x = torch.randn(1, 6, 8)
out = layer(x)


def by_hand(input_gate, forget_gate):
    """The exponentially gated cell (arXiv:2405.04517, equations 8 to 17), without recurrent weights, then the layer's norm."""
    b = layer.slstm_cell._bias_.reshape(4, 8)
    c = n = torch.zeros(8)
    h = []
    for step in x[0]:
        i = torch.exp(input_gate(step[None, None])[0, 0] + b[0])
        f = torch.sigmoid(forget_gate(step[None, None])[0, 0] + b[1])
        z = torch.tanh(layer.zgate(step[None, None])[0, 0] + b[2])
        o = torch.sigmoid(layer.ogate(step[None, None])[0, 0] + b[3])
        c, n = f * c + i * z, f * n + i
        h.append(o * c / n)
    h = torch.stack(h)
    return layer.group_norm(h[None, None])[0, 0]


exchanged = float((by_hand(layer.fgate, layer.igate) - out[0]).abs().max())
as_named = float((by_hand(layer.igate, layer.fgate) - out[0]).abs().max())
print(f"xlstm {version('xlstm')}: i = fgate(x) and f = igate(x) is off by {exchanged:.1g}, the names as they stand by {as_named:.2g}")
assert exchanged < 1e-4 and as_named > 0.1, "this has changed"
print("so the forget gate's weights decide what is let in")
PY
