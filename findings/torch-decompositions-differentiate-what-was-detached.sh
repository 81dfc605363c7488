#!/usr/bin/env bash
# torch.export: run_decompositions() keeps every value and changes gradients: what was detached, or computed under
# no_grad, is differentiated afterwards, and dropout between the layers of nn.LSTM is gone. Nothing is said.
# A good guess: lowering to core ATen keeps a program. It keeps what the program computes, not what it learns from.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
cd "$work" && "$work/venv/bin/python" - <<'PYTHON'
import warnings

import torch

warnings.filterwarnings("ignore")
print("torch", torch.__version__)
x = torch.tensor([0.3, 0.7])


class Detached(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.w = torch.nn.Parameter(torch.tensor([1.0, 2.0]))

    def forward(self, x):
        h = torch.tanh(self.w * x)
        return (h * h.detach()).sum()


class NoGrad(Detached):
    def forward(self, x):
        h = torch.tanh(self.w * x)
        with torch.no_grad():
            target = h * 1
        return (h * target).sum()


def gradient(program):
    loss = program(x)
    loss.backward()
    return loss.item(), dict(program.named_parameters())["w"].grad.clone()


for kind in (Detached, NoGrad):
    value, eager = gradient(kind())
    exported_value, exported = gradient(torch.export.export(kind(), (x,)).module())
    lowered_value, lowered = gradient(torch.export.export(kind(), (x,)).run_decompositions().module())
    print(f"{kind.__name__:9} eager {eager.tolist()} exported {exported.tolist()} decomposed {lowered.tolist()}")
    assert value == exported_value and abs(value - lowered_value) < 1e-7
    assert torch.allclose(eager, exported)
    assert torch.allclose(2 * eager, lowered), "decomposing now keeps the gradient"


class Layers(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = torch.nn.LSTM(2, 3, num_layers=2, dropout=0.5)

    def forward(self, x):
        return self.lstm(x)[0]


exported = torch.export.export(Layers().train(), (torch.ones(4, 1, 2),))
before, after = exported.module(), exported.run_decompositions().module()
same = [torch.equal(m(torch.ones(4, 1, 2)), m(torch.ones(4, 1, 2))) for m in (before, after)]
print("two calls of an LSTM in training with dropout=0.5 agree: exported", same[0], "decomposed", same[1])
assert same == [False, True], "dropout between the layers now survives"
PYTHON
