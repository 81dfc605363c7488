#!/usr/bin/env bash
# The diffusion convolutional recurrent network (Li et al., ICLR 2018) walks along a graph's edges both ways, each step weighed by
# W / degree. PyTorch Geometric Temporal's DCRNN sorts the edges of the way back, but keeps their degrees in the order in which the
# edges were given: an edge is divided by the in-degree of another node. So one graph gives other states when its edges are listed in another
# order. And weights count in the degrees only: at a node with edges of weight 1 and 9 both carry the same. A good guess: an edge list
# is a set, as it is for the GConvGRU and TGCN beside it, and an edge that weighs more carries more.
#
# Seen with torch-geometric-temporal 0.56.2, torch-geometric 2.8.1, torch 2.13.0: a graph of four nodes and six edges; after three
# steps the states of both orders differ by 0.09, GConvGRU's and TGCN's by nothing.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
pip=("$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check)
"${pip[@]}" torch==2.13.0 numpy==2.2.6 torch-geometric==2.8.1
"${pip[@]}" --no-deps torch-geometric-temporal==0.56.2
"$work/venv/bin/python" - <<'PY'
import sys
from importlib.metadata import version
from types import ModuleType

import torch

sys.modules["torch_sparse"] = ModuleType("torch_sparse")  # only EvolveGCN wants it, and it would have to be compiled
sys.modules["torch_sparse"].SparseTensor = object
from torch_geometric_temporal.nn.recurrent import DCRNN, TGCN, GConvGRU
from torch_geometric_temporal.nn.recurrent.dcrnn import DConv

torch.set_grad_enabled(False)
torch.manual_seed(0)
edges, weights = torch.tensor([[0, 0, 0, 1, 2, 3], [1, 2, 3, 2, 3, 0]]), torch.tensor([1.0, 9.0, 1.0, 2.0, 3.0, 1.0])
order = torch.tensor([3, 1, 5, 0, 4, 2])
x = torch.randn(3, 4, 2)


def states(network, edges, weights):
    h = None
    for step in x:
        h = network(step, edges, weights, h)
    return h


apart = {}
for network in (GConvGRU(2, 3, K=2), TGCN(2, 3), DCRNN(2, 3, K=2)):
    name = type(network).__name__
    apart[name] = float((states(network, edges, weights) - states(network, edges[:, order], weights[order])).abs().max())
    print(f"torch-geometric-temporal {version('torch-geometric-temporal')} {name}: the same edges in another order change the states by "
          f"{apart[name]:.2g}")

# one way only: what node 0 hands on to its three neighbours, of weights 1, 9 and 1
layer = DConv(1, 1, K=2)
layer.weight[:] = torch.tensor([[0.0, 1.0], [0.0, 0.0]])[:, :, None, None]
carried = layer(torch.tensor([[1.0], [0.0], [0.0], [0.0]]), edges, weights).flatten().tolist()
print(f"  edges of weight 1, 9, 1 from one node carry {carried[1]:.3g}, {carried[2]:.3g}, {carried[3]:.3g} of it")
assert apart["GConvGRU"] < 1e-6 and apart["TGCN"] < 1e-6, "the other layers depend on the order"
assert apart["DCRNN"] > 0.01 and abs(carried[1] - carried[2]) < 1e-6 < abs(carried[2]), "this has changed"
print("so a DCRNN reads a graph by the order of its edges, and their weights by the node's sum")
PY
