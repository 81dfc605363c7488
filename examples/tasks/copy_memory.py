"""Copy memory: ten symbols are read, nothing happens for twenty steps, then the symbols are asked for."""

from __future__ import annotations

from typing import Any

from protocol import Network, Plan, Task
from report import main

import tinygrad_rnn as tg
from tinygrad_rnn.synthetic_tasks import copy_baseline, copy_memory

DELAY, SYMBOLS = 20, 8


def loss(network: Network, x: Any, y: Any) -> tg.Tensor:
    """The cross-entropy of every step's symbol."""
    scores = network.every(tg.one_hot(x, SYMBOLS + 2))
    return tg.nn.functional.cross_entropy(scores.reshape(-1, SYMBOLS + 1), y.reshape(-1))


TASK = Task(
    name="copy-memory",
    title="Copy memory, T = 20",
    paper="S. Hochreiter, J. Schmidhuber (1997); in the form of M. Arjovsky, A. Shah, Y. Bengio (2016), Unitary "
    "Evolution Recurrent Neural Networks",
    protocol="10 symbols out of 8, delay 20, 40 steps in all; 64 hidden units, batches of 32, Adam with learning rate "
    "0.005, gradient norm clipped at 1, 3000 steps (96,000 sequences) for every network; forget bias 1",
    words="The gated networks go below the baseline, tanh stays on it. None has copied everything within this budget, "
    "a small part of theirs, and T is 20 where theirs is 100 and more. Their unitary network is not among ours.",
    unit="cross-entropy in nats per step",
    baseline=copy_baseline(DELAY, SYMBOLS),
    threshold=0.9 * copy_baseline(DELAY, SYMBOLS),
    plans={
        "GRU": Plan("gru", 3000, (0, 1, 2)),
        "LSTM, forget bias 1": Plan("lstm-1", 3000, (0, 1, 2), "below the baseline at T = 100, at it for longer T"),
        "tanh": Plan("tanh", 3000, (0, 1, 2), "at the baseline at T = 100 and more"),
        "tanh, orthogonal W_hh": Plan("orthogonal", 3000, (0, 1, 2)),
        "IRNN": Plan("irnn", 3000, (0, 1, 2)),
    },
    inputs=SYMBOLS + 2,
    outputs=SYMBOLS + 1,
    lr=0.005,
    batch=lambda n, rng: copy_memory(DELAY, n, SYMBOLS, rng=rng),
    loss=loss,
)

if __name__ == "__main__":
    main([TASK])
