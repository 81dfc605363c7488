"""A network that scales its state to length 1 at every step. Its loss is a number; its gradient is nan."""

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn import nn


class Model(nn.Module):
    def __init__(self):
        self.cell = nn.RNNCell(3, 4, bias=False, dtype="float64")
        self.head = nn.Linear(4, 3, dtype="float64")


def loss():
    tg.manual_seed(5)
    model = Model()
    x = np.eye(3)[[0, 0, 1, 2, 1]][:, None]
    x[0] = 0.0  # the sequence is padded at its start
    h, total = tg.zeros(1, 4, dtype="float64"), 0.0
    for t in tg.steps(5):
        h = model.cell(x[t], h)
        length = (h * h).sum().sqrt()
        h = nn.labelled(h / (length + 1e-6), "h")  # so that nothing explodes
        scores = nn.labelled(model.head(h), "logits")
        total = total + nn.labelled(nn.functional.cross_entropy(scores, [t % 3]), "loss")
    return total
