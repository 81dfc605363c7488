#!/usr/bin/env bash
# NIR carries spiking networks between simulators: its neurons have time constants in seconds, tau dv/dt = (v_leak - v) + R I.
# Norse writes 1/tau as tau_mem_inv, 100 for 10 ms, and to_nir exports tau = dt / tau_mem_inv with dt = 0.001: 0.01 ms. from_nir reads
# tau = 1 / tau_mem_inv, so even Norse takes back a neuron that is a thousand times faster. And from_nir has no leaky integrator,
# the usual readout: nothing says so, and the node hands on its input. A good guess: what is exported with the defaults and imported
# with the defaults is the same network.
#
# Seen with norse 1.1.0, nir 1.0.8, nirtorch 2.6, torch 2.13.0: linear layer, LIFBoxCell, linear layer, LIBoxCell, 50 steps. tau of
# the neurons is 1e-05 instead of 0.01; they come back with tau_mem_inv 100000 and have 198 spikes for 20. Exported with dt=1 they come
# back as they were. In both cases the readout gives what the layer before it gives.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
pip=("$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check)
"${pip[@]}" torch==2.13.0 numpy==2.2.6 nir==1.0.8 nirtorch==2.6
"${pip[@]}" --no-deps norse==1.1.0 # the rest is for its pictures
"$work/venv/bin/python" - <<'PY'
from importlib.metadata import version

import norse.torch as snn
import torch

torch.set_grad_enabled(False)
torch.manual_seed(0)
network = snn.SequentialState(torch.nn.Linear(3, 4), snn.LIFBoxCell(), torch.nn.Linear(4, 2), snn.LIBoxCell())
network[0].weight.uniform_(1, 2)
x = torch.rand(50, 1, 3)


def run(model):
    state, outputs = None, []
    for step in x:
        output, state = model(step, state)
        outputs.append(output)
    return torch.stack(outputs)


print(f"norse {version('norse')}, nir {version('nir')}")
hidden = snn.SequentialState(network[0], network[1])
before, there = run(hidden), run(network)
back = {}
for dt in (0.001, 1.0):
    graph = snn.to_nir(network, x[0], dt=dt)
    (tau,) = (float(node.tau) for node in graph.nodes.values() if type(node).__name__ == "LIF")
    spikes, outputs = run(snn.from_nir(snn.to_nir(hidden, x[0], dt=dt))), run(snn.from_nir(graph))
    linear = spikes @ network[2].weight.T + network[2].bias
    back[dt] = tau, int(spikes.sum()), float((outputs - linear).abs().max()), float((outputs - there).abs().max())
    print(f"to_nir(dt={dt:g}): tau is {tau:.2g} s; spikes {int(before.sum())} there, {back[dt][1]} back; the readout differs by "
          f"{back[dt][3]:.2g} from Norse's own, by {back[dt][2]:.2g} from its input")
assert before.sum() > 0 and abs(back[0.001][0] - 1e-5) < 1e-9 and back[0.001][1] > 3 * before.sum(), "this has changed"
assert abs(back[1.0][0] - 0.01) < 1e-6 and back[1.0][1] == before.sum(), "an export with dt=1 is not as it should be"
assert all(value[2] < 1e-6 and value[3] > 0.1 for value in back.values()), "this has changed"
print("so Norse's neurons in NIR are a thousand times faster, and its readouts do not come back")
PY
