"""Run by a test in processes of its own: a step over many devices, its losses beside ours.

``python export_on_devices.py DEVICES [PORT PROCESS PROCESSES]``: prints the losses of three steps on as many devices.
"""

import json
import sys

import jax
import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn import interchange
from tinygrad_rnn.interchange.export.xla.devices import here


def small():
    """A step over a ragged batch, in two directions."""
    tg.manual_seed(0)
    model = tg.nn.LSTM(3, 4, bidirectional=True)
    optimizer = tg.optim.Adam(model.parameters(), lr=0.05)

    def step(x, lengths):
        loss = model(x, None, lengths[0])[0].square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    rng = np.random.default_rng(0)
    return step, rng.standard_normal((5, 16, 3)).astype(np.float32), rng.integers(1, 6, (1, 16))


def main(devices, *processes):
    if processes:
        port, number, count = processes
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        jax.distributed.initialize(f"127.0.0.1:{port}", int(count), int(number))
    step, *batch = small()
    fn, state = interchange.to_jax(step, *batch)
    spread, there = interchange.Spread(fn, int(devices)), []
    for _ in range(3):
        state, loss = spread(state, *batch)
        there.append(float(here(loss)))
    print(json.dumps({"there": there, "ours": [float(step(*batch)) for _ in range(3)]}))


if __name__ == "__main__":
    main(*sys.argv[1:])
