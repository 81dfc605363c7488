#!/usr/bin/env bash
# A leaky integrator, y_t = exp(-dt / tau) (y_(t-1) + x_t), is the usual readout of a spiking network, and Rockpool calls it ExpSynTorch.
# to_nir writes its time constants in seconds, as NIR has them (0.01 for 10 ms); from_nir makes whole numbers of them: 0 s. A
# module with tau = 0 keeps nothing, also not its input, so the network that comes back gives zeros, with no error and no warning.
# Whole seconds come back as they were. A good guess: a library's own export and import give the same network.
#
# Seen with rockpool 3.1.0, nir 1.0.4, nirtorch 2.0.2, torch 2.13.0: a linear layer and ExpSynTorch with tau of 10, 20 and 50 ms. In the file
# they are right; read again they are 0, 0, 0, and all outputs are 0. With tau of 1, 2 and 3 s the outputs are the same.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.2.6 nir==1.0.4 nirtorch==2.0.2 rockpool==3.1.0
"$work/venv/bin/python" - <<'PY'
from importlib.metadata import version

import torch
from rockpool.nn.combinators import Sequential
from rockpool.nn.modules import ExpSynTorch, LinearTorch
from rockpool.nn.modules.torch.nir import from_nir, to_nir

torch.set_grad_enabled(False)
torch.manual_seed(0)
x = torch.rand(1, 60, 2)
print(", ".join(f"{name} {version(name)}" for name in ("rockpool", "nir", "nirtorch", "torch")))
for tau, comes_back in (([0.01, 0.02, 0.05], False), ([1.0, 2.0, 3.0], True)):
    network = Sequential(LinearTorch((2, 3), has_bias=False), ExpSynTorch(3, tau=torch.tensor(tau)))
    before = network(x)[0]
    written = to_nir(network, x)
    in_file = [round(float(t), 6) for node in written.nodes.values() if type(node).__name__ == "LI" for t in node.tau]
    read = from_nir(written)
    after = read(x)[0]
    taken = [float(t) for part in read.modules() if isinstance(part, ExpSynTorch) for t in part.tau]
    off = float((after - before).abs().max() / before.abs().max())
    print(f"tau {tau}: in the file {in_file}, read again {taken}; outputs up to {float(before.abs().max()):.3g}, then {float(after.abs().max()):.3g}: "
          f"off by {off:.1g} of the largest")
    assert in_file == tau, "the file has changed"
    assert (taken == tau and off < 1e-6) if comes_back else (taken == [0, 0, 0] and not after.any()), "this has changed"
PY
