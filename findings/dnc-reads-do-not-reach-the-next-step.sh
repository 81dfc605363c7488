#!/usr/bin/env bash
# A differentiable neural computer (Graves et al., Nature 2016, Methods) gives its controller x_t and what was read from the
# memory at step t-1. The package dnc joins x_t with the vectors that were read last before the *call*, for all steps
# at once. So within a call nothing that is read reaches the controller of a later step: a sequence in one call has other outputs than
# the same sequence a step a call, and the memory's parameters have no gradient through the controller's state. A good guess:
# both calls are the same network.
#
# And a state that is not given is drawn at random, in eval() too: two calls on one input give two outputs.
#
# Seen with dnc 1.1.0, torch 2.13.0.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
pip=("$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check)
"${pip[@]}" torch==2.13.0 numpy==2.2.6
"${pip[@]}" --no-deps dnc==1.1.0 # the rest is for its sparse memories
"$work/venv/bin/python" - <<'PY'
from importlib.metadata import version

import torch
from dnc import DNC

torch.manual_seed(0)
net = DNC(input_size=3, hidden_size=4, num_layers=1, num_hidden_layers=1, nr_cells=5, cell_size=2, read_heads=1,
          batch_first=True, gpu_id=-1).eval()
for parameter in net.parameters():
    torch.nn.init.normal_(parameter)
x = torch.randn(1, 4, 3)


def start():
    return [(torch.zeros(1, 1, 4), torch.zeros(1, 1, 4))], None, None


one_call, after = net(x, start(), reset_experience=True)
again, _ = net(x, start(), reset_experience=True)
state, steps = start(), []
for t in range(4):
    out, state = net(x[:, t : t + 1], state, reset_experience=t == 0)
    steps.append(out)
apart = (torch.cat(steps, 1) - one_call).abs().amax((0, 2)).tolist()
(h, _), = after[0]
memory = [p for name, p in net.named_parameters() if "memory" in name]
one = torch.autograd.grad(h.sum(), memory, allow_unused=True)
(h, _), = state[0]
each = torch.autograd.grad(h.sum(), memory, allow_unused=True)
first, second = (net(x, reset_experience=True)[0].detach() for _ in range(2))

print(f"dnc {version('dnc')}: one call beside a call a step, largest difference at each of four steps: {[round(v, 3) for v in apart]}")
print(f"  the last controller state depends on {sum(g is not None for g in one)} of {len(memory)} parameters of the memory after one "
      f"call, on {sum(g is not None for g in each)} after a call a step")
print(f"  two calls without a state, in eval(): outputs differ by {float((first - second).abs().max()):.2g}")
assert torch.equal(one_call, again), "the same call gives other numbers"
assert apart[0] < 1e-6 and max(apart) > 0.01, "this has changed"
assert all(g is None for g in one) and any(g is not None for g in each), "this has changed"
assert not torch.equal(first, second), "this has changed"
print("so what is read in a call is not read by the controller of a later step of it")
PY
