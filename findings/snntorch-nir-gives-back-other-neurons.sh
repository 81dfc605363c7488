#!/usr/bin/env bash
# NIR is the format in which spiking networks go from one library to another. snnTorch reads an integrate-and-fire neuron, which
# adds up its input without loss (dv/dt = R I), as a leaky one with beta 0.9: an input that must fire sooner or later never does.
# And a leaky neuron that snnTorch wrote itself comes back with another reset: whether it subtracts the threshold, which is the
# default, sets to zero or does nothing is not in the file, and reading takes "to zero, at once". import_from_nir "is the inverse
# of export_to_nir", it says; a good guess is that spikes are the same, or that what cannot be written is refused.
#
# Seen with snntorch 1.0.0, nir 1.0.8, nirtorch 2.6, torch 2.13.0: an input of 0.05 at threshold 1 for 100 steps gives no spike, the
# potential ends at 0.5. Of 50 steps with an input of 0.9 a leaky neuron fires in 38 (subtract), 25 (zero) and 49 (none), its copy
# in 25, whichever it was.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
pip=("$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check)
"${pip[@]}" torch==2.13.0 numpy==2.2.6 nir==1.0.8 nirtorch==2.6
"${pip[@]}" --no-deps snntorch==1.0.0 # of what it asks for beside torch, a neuron needs nothing
"$work/venv/bin/python" - <<'PY'
import contextlib
import io
from importlib.metadata import version

import nir
import numpy as np
import torch
from snntorch import Leaky
from snntorch.export_nir import export_to_nir
from snntorch.import_nir import import_from_nir

torch.set_grad_enabled(False)


def read(graph):
    with contextlib.redirect_stdout(io.StringIO()):  # it says which step it is at
        return import_from_nir(graph)


one = np.ones(1)
graph = nir.NIRGraph(
    nodes={"input": nir.Input({"input": np.array([1])}), "if": nir.IF(r=one, v_threshold=one), "output": nir.Output({"output": np.array([1])})},
    edges=[("input", "if"), ("if", "output")],
)
network, state, spikes = read(graph), None, 0
for _ in range(100):
    (spike, potential), state = network(torch.full((1, 1), 0.05), state)
    spikes += int(spike)
print(f"snntorch {version('snntorch')}: integrate-and-fire, threshold 1, 100 steps of 0.05: {spikes} spikes, potential {float(potential):.4f}")
assert spikes == 0 and abs(float(potential) - 0.5) < 1e-3, "this has changed"

counts = {}
for reset in ("subtract", "zero", "none"):
    neuron = Leaky(beta=torch.full((1,), 0.9), threshold=torch.ones(1), reset_mechanism=reset, init_hidden=True)
    network = torch.nn.Sequential(torch.nn.Linear(1, 1, bias=False), neuron)
    network[0].weight.fill_(1.0)
    copy, state = read(export_to_nir(network, torch.ones(1, 1), ignore_dims=[0])), None
    neuron.reset_mem()
    counts[reset] = [0, 0]
    for _ in range(50):
        counts[reset][0] += int(network(torch.full((1, 1), 0.9)))
        spike, state = copy(torch.full((1, 1), 0.9), state)
        counts[reset][1] += int(spike)
    print(f"a leaky neuron with reset {reset!r} fires in {counts[reset][0]} of 50 steps, written and read back in {counts[reset][1]}")
assert counts["zero"][0] == counts["zero"][1], "this has changed"
assert all(counts[reset][0] != counts[reset][1] == counts["zero"][1] for reset in ("subtract", "none")), "this has changed"
print("so a network that went through NIR computes something else, and nothing is said")
PY
