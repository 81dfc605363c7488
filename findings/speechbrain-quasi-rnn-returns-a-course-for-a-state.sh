#!/usr/bin/env bash
# SpeechBrain's QuasiRNN returns its outputs and "hidden", as its RNN, LSTM and GRU do. A good guess: the state after the last
# step, of shape (layers, batch, units). The layer turns its states to (batch, time, units) and then takes [-1]: it returns the
# course of the last sequence over all time steps, (layers, time, units). Handed back as the state to go on from, it is an error
# if batch and time differ, gives outputs of another batch size if the batch is 1, and is silently added, step k to
# sequence k, if they are equal.
#
# Seen with speechbrain 1.1.2, torch 2.11.0: four steps and then four more differ by 0.21 from all eight at once for a batch of four
# sequences; for a single sequence the second four give outputs of shape (4, 4, 5), not (1, 4, 5). A GRU is right in both.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.11.0 torchaudio==2.11.0 numpy==2.2.6 speechbrain==1.1.2
"$work/venv/bin/python" - <<'PY'
from importlib.metadata import version

import torch
from speechbrain.nnet.RNN import GRU, QuasiRNN

torch.set_grad_enabled(False)
off = {}
for batch in (4, 1):
    torch.manual_seed(0)
    x = torch.randn(batch, 8, 3)
    for kind in (GRU, QuasiRNN):
        layer = kind(hidden_size=5, input_shape=x.shape).eval()
        whole, _ = layer(x)
        _, state = layer(x[:, :4])
        second, _ = layer(x[:, 4:], state)
        same = second.shape == whole[:, 4:].shape
        off[kind, batch] = float((second - whole[:, 4:]).abs().max()) if same else None
        print(f"speechbrain {version('speechbrain')} {kind.__name__}, {batch} sequence(s): state of shape {tuple(state.shape)} after four steps; "
              f"four more give {tuple(second.shape)}" + (f" and differ from all eight at once by {off[kind, batch]:.2g}" if same else ""))
assert off[GRU, 4] < 1e-6 and off[GRU, 1] < 1e-6, "GRU is not as it should be"
assert off[QuasiRNN, 4] > 0.01 and off[QuasiRNN, 1] is None, "this has changed"
print("so what QuasiRNN returns is not a state")
PY
