"""W3 and W6 with cells written by a user, through `nn.Recurrent`, beside the built-in layers, in turns.

``python benchmarks/own_cells.py [--rounds 21] [--threads 1 2]``: processor time of a training step, which other
programs disturb least; of each the least and the median, and the median of the ratios of neighbours.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
from contestants import CLIP, WORKLOADS, Workload

import tinygrad_rnn as tg
from tinygrad_rnn import nn


class OwnLSTM(nn.Module):
    """The LSTM as one writes it down."""

    def __init__(self, size: int, hidden: int) -> None:
        self.hidden_size, self.ih, self.hh = hidden, nn.Linear(size, 4 * hidden), nn.Linear(hidden, 4 * hidden)

    def forward(self, x: Any, state: Any = None) -> Any:
        h, c = state if state is not None else (tg.zeros(len(x), self.hidden_size),) * 2
        i, f, g, o = (self.ih(x) + self.hh(h)).chunk(4, 1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        return o.sigmoid() * c.tanh(), c


class OwnGRU(nn.Module):
    """The GRU as one writes it down."""

    def __init__(self, size: int, hidden: int) -> None:
        self.hidden_size, self.ih, self.hh = hidden, nn.Linear(size, 3 * hidden), nn.Linear(hidden, 3 * hidden)

    def forward(self, x: Any, h: Any = None) -> Any:
        h = tg.zeros(len(x), self.hidden_size) if h is None else h
        (ar, az, an), (br, bz, bn) = self.ih(x).chunk(3, 1), self.hh(h).chunk(3, 1)
        r, z = (ar + br).sigmoid(), (az + bz).sigmoid()
        return (1 - z) * (an + r * bn).tanh() + z * h


def training(w: Workload, rnn: Any, threads: int) -> Any:
    """A compiled training step of a character model."""
    embedding, head = nn.Embedding(w.V, w.E), nn.Linear(w.H, w.V)
    parameters = [*embedding.parameters(), *rnn.parameters(), *head.parameters()]
    optimizer = tg.optim.Adam(parameters)

    def step(x: Any, y: Any) -> Any:
        loss = nn.functional.cross_entropy(head(rnn(embedding(x))[0]).reshape(-1, w.V), y.reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, CLIP)
        optimizer.step()
        return loss

    return tg.compile(step, threads=threads)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Own cells beside the built-in layers.")
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    for threads in arguments.threads:
        for name, own in (("W3", OwnLSTM), ("W6", OwnGRU)):
            w = WORKLOADS[name]
            layers = [
                getattr(nn, w.cell)(w.E, w.H, w.L),
                nn.Recurrent(lambda size, own=own, w=w: own(size, w.H), w.L, input_size=w.E),
            ]
            steps = [training(w, layer, threads) for layer in layers]
            x, y = rng.integers(w.V, size=(2, w.T, w.B))
            taken: list[list[float]] = [[], []]
            for turn in range(-1, arguments.rounds):
                for k in (0, 1) if turn % 2 else (1, 0):
                    began = time.process_time()
                    steps[k](x, y)
                    if turn >= 0:  # the first compiles
                        taken[k].append(1e3 * (time.process_time() - began))
            built_in, mine = map(np.array, taken)
            print(
                f"{name}, {threads} thread{'s' * (threads > 1)}: least {built_in.min():.1f} and {mine.min():.1f} ms "
                f"({mine.min() / built_in.min():.2f}), medians {np.median(built_in):.1f} and {np.median(mine):.1f} ms "
                f"({np.median(mine) / np.median(built_in):.2f}), ratio of neighbours {np.median(mine / built_in):.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
