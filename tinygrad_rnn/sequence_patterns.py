"""The lecture's five patterns, one-to-one to sequence-to-sequence, as small graphs of random numbers to look at."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import nn, random
from .arguments import answering
from .character_model.model import CELLS, LAYERS
from .errors import DataError
from .functional import stack
from .scopes import scope, steps
from .tensors import Tensor

PATTERNS = ("one-to-one", "one-to-many", "many-to-one", "many-to-many", "seq2seq")
FEATURES = 4


class Layers(nn.Module):
    """Recurrent cells on top of each other, and a head that scores."""

    def __init__(self, cell: str, hidden: int, layers: int, head: bool = True) -> None:
        self.cells = [CELLS[cell](FEATURES if k == 0 else hidden, hidden) for k in range(layers)]
        for k, each in enumerate(self.cells):
            setattr(self, f"l{k}", each)
        self.head = nn.Linear(hidden, FEATURES) if head else None

    def forward(self, x: Tensor, states: list[Any]) -> list[Any]:
        """One time step through all layers: the new state of each."""
        new = []
        for cell, state in zip(self.cells, states, strict=True):
            new.append(cell(x, state))
            x = new[-1][0] if isinstance(new[-1], tuple) else new[-1]
        return new

    def output(self, states: list[Any]) -> Tensor:
        """The scores of the top layer's state."""
        assert self.head is not None
        return nn.labelled(self.head(states[-1][0] if isinstance(states[-1], tuple) else states[-1]), "logits")


def build(
    pattern: str,
    cell: str = "rnn",
    length: int = 4,
    hidden: int = 3,
    layers: int = 1,
    seed: int = 0,
    *,
    bidirectional: bool = False,
) -> Tensor:
    """The loss of a freshly initialised network of this shape on random data; ready to be drawn.

    ``bidirectional`` reads the sequence from both ends; it needs all of it, so the pattern is many-to-many or
    many-to-one.

    >>> from tinygrad_rnn.sequence_patterns import build
    >>> build("many-to-one", "gru", length=3).shape
    ()
    """
    if pattern not in PATTERNS:
        raise DataError(f"pattern must be one of {', '.join(PATTERNS)}, not {pattern!r}")
    random.manual_seed(seed)
    if bidirectional:
        return _from_both_ends(pattern, cell, length, hidden, layers)
    if pattern == "one-to-one":
        value, size = _input(), FEATURES
        for _ in range(layers):
            value, size = nn.labelled(nn.Linear(size, hidden)(value).tanh(), "h"), hidden
        return _loss(nn.labelled(nn.Linear(size, FEATURES)(value), "logits"))
    net = Layers(cell, hidden, layers, head=pattern != "seq2seq")
    states: list[Any] = [None] * layers
    losses = []
    if pattern == "seq2seq":
        with scope("encoder"):
            for _ in steps(length):
                states = net(_input(), states)
        net = Layers(cell, hidden, layers)
    with scope("decoder" if pattern == "seq2seq" else None):
        x = _input() if pattern == "seq2seq" else None
        for t in steps(length):
            if x is None or pattern.startswith("many"):
                x = _input()
            states = net(x, states)
            if pattern != "many-to-one" or t == length - 1:
                x = net.output(states)  # where one input starts many outputs, each output is the next input
                losses.append(_loss(x))
    return nn.labelled(sum(losses[1:], losses[0]), "loss")


def _from_both_ends(pattern: str, cell: str, length: int, hidden: int, layers: int) -> Tensor:
    if pattern not in ("many-to-many", "many-to-one"):
        raise DataError(f"bidirectional reads a whole sequence: many-to-many or many-to-one, not {pattern}")
    layer = LAYERS[cell](FEATURES, hidden, num_layers=layers, bidirectional=True)
    head = nn.Linear(2 * hidden, FEATURES)
    outputs, _state = layer(stack([_input() for _ in steps(length)]))
    losses = []
    for t in steps(length):
        if pattern == "many-to-many" or t == length - 1:
            losses.append(_loss(nn.labelled(head(outputs[t]), "logits")))
    return nn.labelled(sum(losses[1:], losses[0]), "loss")


def _input() -> Tensor:
    return nn.labelled(Tensor(random.generator().normal(size=(1, FEATURES)), np.float32), "x")


def _loss(scores: Tensor) -> Tensor:
    target = random.generator().integers(FEATURES, size=1)
    return nn.labelled(nn.functional.cross_entropy(scores, target, reduction="sum"), "loss")


answering(globals(), "CELLS PATTERNS")
