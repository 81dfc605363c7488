#!/usr/bin/env bash
# LRU-pytorch's linear recurrent unit takes `state`, the state to begin with, beside a batch of sequences. The first sequence
# begins there; after each one the layer sets its state back to zeros, so all the others begin at nothing. A good guess: one
# state given for a batch is where every sequence of it begins.
#
# Seen with LRU-pytorch 0.1.3, torch 2.13.0: two equal sequences and a state of ones give two different outputs, the second
# that of no state at all.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
pip=("$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check)
"${pip[@]}" torch==2.13.0 numpy==2.2.6
"${pip[@]}" --no-deps LRU-pytorch==0.1.3 # the layer needs torch only
"$work/venv/bin/python" - <<'PY'
from importlib.metadata import version

import torch
from LRU_pytorch import LRU

torch.manual_seed(0)
torch.set_grad_enabled(False)
layer = LRU(in_features=2, out_features=2, state_features=3)
sequence = torch.randn(4, 2)
both = layer(torch.stack([sequence, sequence]), state=torch.ones(3, dtype=torch.complex64))
without = layer(sequence[None])[0]
apart = [float((out - without).abs().max()) for out in both]
print(f"LRU-pytorch {version('LRU-pytorch')}: a state of ones moves the first of two equal sequences by {apart[0]:.2g}, "
      f"the second by {apart[1]:.2g}")
assert apart[0] > 0.1 and apart[1] < 1e-6, "this has changed"
print("so the state that is given counts for the first sequence of a batch only")
PY
