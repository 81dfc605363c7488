"""Small networks for the debugger's tests."""

from __future__ import annotations

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn import nn
from tinygrad_rnn.nn import functional as F


def spelling(cell: str = "LSTM", steps: int = 4, hidden: int = 3, dtype: str = "float32", batch: int = 1) -> tg.Tensor:
    """A character model over "helo": one loss a time step, and their sum."""
    tg.manual_seed(1)
    rnn = getattr(nn, cell)(4, hidden, dtype=dtype)
    head = nn.Linear(hidden, 4, dtype=dtype)
    letters = np.arange(steps) % 4
    output, _ = rnn(tg.tensor(np.repeat(np.eye(4)[letters][:, None], batch, 1), dtype=dtype, name="letters"))
    total = tg.tensor(0.0, dtype=dtype)
    for t in tg.steps(steps):
        logits = nn.labelled(head(output[t]), "logits")
        total = total + nn.labelled(F.cross_entropy(logits, [(t + 1) % 4] * batch), "loss")
    return total


def looked_up() -> tg.Tensor:
    """Repeated rows of an embedding, read one step at a time, and a weight used twice in one operation."""
    tg.manual_seed(2)
    table, weight = nn.Embedding(5, 3), nn.Parameter(np.linspace(-1, 1, 9).reshape(3, 3), name="weight")
    h = tg.zeros(2, 3)
    for t in tg.steps(4):
        with tg.scope("layer"):
            x = nn.labelled(table([[1, 1], [2, 1], [4, 2], [1, 1]][t]), "x")
            h = nn.labelled((x + h @ (weight * weight)).tanh(), "h")
    return (h * h).sum()


def ragged() -> tg.Tensor:
    """Two bidirectional layers over sequences of different lengths."""
    tg.manual_seed(3)
    rnn = nn.GRU(2, 2, num_layers=2, bidirectional=True)
    output, state = rnn(tg.tensor(np.linspace(-1, 1, 12).reshape(3, 2, 2), dtype="float32"), lengths=[3, 2])
    return (output * output).mean() + state.sum()


def translated() -> tg.Tensor:
    """An encoder and a decoder, each counting its own steps."""
    tg.manual_seed(4)
    model = nn.Seq2Seq(nn.LSTM(2, 3), nn.LSTM(2, 3), vocabulary=4)
    scores = model(tg.tensor(np.linspace(-1, 1, 12).reshape(3, 2, 2), dtype="float32"), [[1, 2], [3, 0]])
    return F.cross_entropy(scores.reshape(-1, 4), [1, 2, 3, 0])


NETWORKS = {
    "LSTM": spelling, "GRU": lambda: spelling("GRU"), "RNN": lambda: spelling("RNN", dtype="float64"),
    "batch": lambda: spelling("LSTM", batch=3), "looked_up": looked_up, "ragged": ragged, "translated": translated,
}  # fmt: skip
