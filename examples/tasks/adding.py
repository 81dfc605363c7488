"""The adding problem over 50 steps: two of fifty numbers are marked, their sum is asked for at the end."""

from __future__ import annotations

from typing import Any

from protocol import Network, Plan, Task
from report import main

import tinygrad_rnn as tg
from tinygrad_rnn.synthetic_tasks import ADDING_BASELINE, adding

LENGTH = 50


def loss(network: Network, x: Any, y: Any) -> tg.Tensor:
    """The mean squared error of the sum."""
    return tg.nn.functional.mse_loss(network.last(x), y)


TASK = Task(
    name="adding",
    title="The adding problem, T = 50",
    paper="S. Hochreiter, J. Schmidhuber (1997), Long Short-Term Memory, experiment 4; with one marker in each half: "
    "Q. V. Le, N. Jaitly, G. E. Hinton (2015), A Simple Way to Initialize Recurrent Networks of Rectified Linear Units",
    protocol="64 hidden units, batches of 32, Adam with learning rate 0.005, gradient norm clipped at 1, 1500 steps "
    "(48,000 sequences) for every network; forget bias 1",
    words="The budget is the one at which the gated networks have solved it. The IRNN is slower, not unable: two of "
    "its seeds have begun to leave the baseline, and with four times as many steps all solve the task, as its paper "
    "says. tanh stays, however its W_hh starts. Theirs trained for longer, at longer T, without Adam.",
    unit="mean squared error",
    baseline=ADDING_BASELINE,
    threshold=0.01,
    plans={
        "GRU": Plan("gru", 1500),
        "LSTM, forget bias 1": Plan("lstm-1", 1500, theirs="1997: T = 100 in 74,000 sequences; 2015: T = 150 solved"),
        "tanh": Plan("tanh", 1500, theirs="2015: at the baseline at T = 150"),
        "tanh, orthogonal W_hh": Plan("orthogonal", 1500),
        "IRNN": Plan("irnn", 1500),
        "IRNN, four times as long": Plan("irnn", 6000, theirs="2015: T = 150 solved"),
    },
    inputs=2,
    outputs=1,
    lr=0.005,
    batch=lambda n, rng: adding(LENGTH, n, rng),
    loss=loss,
)

if __name__ == "__main__":
    main([TASK])
