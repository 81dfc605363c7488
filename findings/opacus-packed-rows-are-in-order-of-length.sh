#!/usr/bin/env bash
# Opacus keeps a gradient for each sequence of a batch, row i of `grad_sample` for sequence i, and clips each sequence's gradient
# over all parameters together. Its recurrent layers (DPLSTM, DPGRU, DPRNN) take packed sequences. Packing with
# enforce_sorted=False sorts by length, and their rows stay in that order, while an Embedding or Linear beside them has the order of
# the batch: a row joins one sequence's recurrent gradient with another's rest, and that is what is measured and clipped. A good
# guess: outputs and final states come back in the batch's order, so the gradients do. Sums over the batch are right.
#
# Seen with opacus 1.6.0, torch 2.13.0: of sequences of lengths 2, 5, 3, 4 the linear layer's rows are those of sequences 0, 1, 2, 3,
# the LSTM's those of 1, 3, 2, 0; clipped at 0.5, the batch's gradient is off by 24 % of its size. Sorted beforehand both agree.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.2.6 opacus==1.6.0
"$work/venv/bin/python" - <<'PY'
import copy
import warnings
from importlib.metadata import version

import torch
from opacus import GradSampleModule
from opacus.layers import DPLSTM
from opacus.optimizers import DPOptimizer
from torch.nn.utils.rnn import pack_padded_sequence

warnings.simplefilter("ignore")
BOUND = 0.5


class Tagger(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.linear = DPLSTM(3, 4, batch_first=True), torch.nn.Linear(4, 1)

    def forward(self, x, lengths):
        _, (h, _) = self.lstm(pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False))
        return self.linear(h[-1])


def compare(lengths):
    torch.manual_seed(0)
    model, x, y = Tagger(), 3 * torch.randn(len(lengths), 5, 3), 3 * torch.randn(len(lengths), 1)
    right = []  # each sequence by itself
    for b in range(len(lengths)):
        alone = copy.deepcopy(model)
        ((alone(x[b : b + 1], lengths[b : b + 1]) - y[b]) ** 2).sum().backward()
        right.append([p.grad for p in alone.parameters()])

    whole = GradSampleModule(copy.deepcopy(model), batch_first=True, loss_reduction="sum")
    optimizer = DPOptimizer(torch.optim.SGD(whole.parameters(), lr=1.0), noise_multiplier=0.0, max_grad_norm=BOUND,
                            expected_batch_size=1, loss_reduction="sum")
    ((whole(x, lengths) - y) ** 2).sum().backward()
    rows = []
    for k, p in enumerate(whole.parameters()):
        close = [[torch.allclose(row, one[k], atol=1e-5) for one in right] for row in p.grad_sample]
        rows.append([row.index(True) for row in close])
    optimizer.pre_step()
    got = torch.cat([p.grad.flatten() for p in whole.parameters()])
    flat = [torch.cat([g.flatten() for g in one]) for one in right]
    want = sum(g * min(1.0, BOUND / float(g.norm())) for g in flat)
    off = float((got - want).norm() / want.norm())
    print(f"opacus {version('opacus')}, lengths {lengths}: rows of the LSTM's gradient are of sequences {rows[0]}, of the linear layer's "
          f"{rows[-1]}; the clipped gradient of the batch is off by {100 * off:.2g} %")
    return rows, off


rows, off = compare([5, 4, 3, 2])
assert all(row == [0, 1, 2, 3] for row in rows) and off < 1e-3, "sorted sequences are not as they should be"
rows, off = compare([2, 5, 3, 4])
assert all(row == [1, 3, 2, 0] for row in rows[:-2]) and rows[-1] == [0, 1, 2, 3] and off > 0.01, "this has changed"
print("so what is clipped together is not one sequence's gradient")
PY
