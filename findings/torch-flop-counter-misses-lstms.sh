#!/usr/bin/env bash
# PyTorch's FlopCounterMode adds up what the operations of a model cost, from a table of formulas; an operation without one costs
# nothing. nn.LSTM in single precision on a CPU is one operation of oneDNN without one: forward and backward count as 0, and
# nothing is said. nn.GRU, and the same LSTM in double precision, consist of products that are in the table. A good guess: a
# counter that knows GRUs knows LSTMs, and the cost of a layer does not depend on its precision.
#
# Seen with torch 2.13.0 on an x86 CPU: 10 steps of 2 sequences, 8 inputs, 16 units: 61440 for the LSTM in double precision, 0 in
# single, where a GRU has 46080; a tagger of an LSTM and a linear layer has the linear layer's cost alone.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.2.6
"$work/venv/bin/python" - <<'PY'
import torch
from torch.utils.flop_counter import FlopCounterMode

STEPS, BATCH, INPUTS, UNITS, TAGS = 10, 2, 8, 16, 5
gate = 2 * STEPS * BATCH * (INPUTS + UNITS) * UNITS  # a multiplication and an addition each


class Tagger(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.linear = torch.nn.LSTM(INPUTS, UNITS), torch.nn.Linear(UNITS, TAGS)

    def forward(self, x):
        return (self.linear(self.lstm(x)[0]),)


seen = {}
for name, model, cost in (
    ("LSTM", torch.nn.LSTM(INPUTS, UNITS), 4 * gate),
    ("GRU", torch.nn.GRU(INPUTS, UNITS), 3 * gate),
    ("tagger", Tagger(), 4 * gate + 2 * STEPS * BATCH * UNITS * TAGS),
):
    for dtype in (torch.float32, torch.float64):
        model.to(dtype)
        x = torch.randn(STEPS, BATCH, INPUTS, dtype=dtype)
        with FlopCounterMode(display=False) as forward, torch.no_grad():
            model(x)
        with FlopCounterMode(display=False) as both:
            model(x)[0].sum().backward()
        seen[name, dtype] = forward.get_total_flops(), both.get_total_flops(), cost
        print(f"torch {torch.__version__}, {name} in {dtype}: {seen[name, dtype][0]} of {cost} operations counted forwards, "
              f"{seen[name, dtype][1]} with the backward pass")
assert seen["LSTM", torch.float32][:2] == (0, 0), "this has changed"
assert seen["tagger", torch.float32][0] == 2 * STEPS * BATCH * UNITS * TAGS, "this has changed"
assert all(got == cost for (name, dtype), (got, _, cost) in seen.items() if name == "GRU" or dtype == torch.float64), "this has changed"
print("so an LSTM in single precision counts as nothing")
PY
