#!/usr/bin/env bash
# A liquid state-space layer (Liquid-S4, equation 8) has a transition that the input changes: x_t = (A + B u_t) x_(t-1) + B u_t.
# s5-pytorch's S5(liquid=True) has it forwards only. With bidir=True the reverse scan goes with A alone: the two directions
# are two kinds of layer. A good guess: turning the input round and exchanging the halves of C turns the output round.
# And a state that is handed on enters the next stretch with A x instead of (A + B u) x: reading in two stretches gives other
# numbers than reading at once, while reading step by step (forward_rnn) is right. Without liquid=True all of this holds.
#
# Seen with s5-pytorch 0.2.1, torch 2.13.0: outputs of up to 6; turned round they differ by 1.3, after a seam by 0.051; without
# liquid=True by 1e-7 and 6e-8.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.2.6 s5-pytorch==0.2.1
"$work/venv/bin/python" - <<'PY'
import copy
from importlib.metadata import version

import torch
from s5 import S5

torch.set_grad_enabled(False)
torch.manual_seed(0)
x, apart = 3 * torch.randn(1, 12, 4), {}
for liquid in (False, True):
    torch.manual_seed(0)
    layer = S5(4, 6, liquid=liquid, dt_min=0.1, dt_max=1.0)
    whole = layer(x)
    _, state = layer(x[:, :6], return_state=True)
    seam = float((layer(x[:, 6:], state=state) - whole[:, 6:]).abs().max())
    state, steps = torch.zeros_like(state[0]), []
    for step in x[0]:
        out, state = layer.seq.forward_rnn(step, state)
        steps.append(out)
    stepwise = float((torch.stack(steps) - whole[0]).abs().max())

    both = S5(4, 6, liquid=liquid, bidir=True, dt_min=0.1, dt_max=1.0)
    turned = copy.deepcopy(both)
    turned.seq.C.copy_(both.seq.C.roll(6, -1))  # what read the forward states reads the reverse ones
    flip = float((turned(x.flip(1)).flip(1) - both(x)).abs().max())
    apart[liquid] = seam, stepwise, flip
    print(f"s5-pytorch {version('s5-pytorch')}, liquid={liquid}: outputs up to {float(whole.abs().max()):.1f}; two stretches differ "
          f"from the whole by {seam:.2g}, single steps by {stepwise:.2g}; turned round, both directions differ by {flip:.2g}")
assert max(apart[False]) < 1e-4 and apart[True][1] < 1e-4, "the layer itself is not as it should be"
assert apart[True][0] > 0.01 and apart[True][2] > 0.1, "this has changed"
print("so the reverse direction and the first step after a seam have a transition that the input does not change")
PY
