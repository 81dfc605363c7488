"""Many to one: a sequence in, one class out. An 8x8 image of a digit is seen row by row, then named.

The shape of action prediction: frames come one at a time, and only after the last one does the network answer. What
it would have answered earlier is in its state already: ``many-to-one-guesses.svg`` asks after every row.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from common import command, console, draw, train
from digits import NAMES, load
from plots import guesses

import tinygrad_rnn as tg
from tinygrad_rnn.nn import labelled


class Reader(tg.nn.Module):
    """Eight rows of eight pixels through a GRU of 64 units; its last state is scored."""

    def __init__(self) -> None:
        self.rnn = tg.nn.GRU(8, 64)
        self.head = tg.nn.Linear(64, 10)

    def forward(self, images: Any) -> tg.Tensor:
        """Images (N, 8, 8) -> scores (N, 10)."""
        states, _ = self.rnn(tg.as_tensor(images).transpose(0, 1))
        return labelled(self.head(states[-1]), "logits")


def main(steps: int = 1000, out: Path = Path("out"), seed: int = 0) -> float:
    """Train, draw, and return the share of unseen digits that are recognised."""
    tg.manual_seed(seed)
    rng = np.random.default_rng(seed)
    images, labels, unseen, answers = load()
    model = Reader()
    optimizer = tg.optim.Adam(model.parameters(), lr=0.01)

    @tg.compile
    def step(x: tg.Tensor, y: tg.Tensor) -> tg.Tensor:
        loss = tg.nn.functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    def batch(_k: int) -> tg.Tensor:
        chosen = rng.integers(len(images), size=32)
        return step(images[chosen], labels[chosen])

    train("many to one", steps, batch)
    with tg.no_grad():
        accuracy = float((model(unseen).argmax(-1).numpy() == answers).mean())
        states, _ = model.rnn(unseen[:1].transpose(1, 0, 2))
        beliefs = model.head(states[:, 0]).softmax(-1).numpy()
    console.print(f"recognises {accuracy:.1%} of {len(answers)} digits it has never seen, row by row")
    title = f"what it would answer after each row of a {NAMES[answers[0]]}"
    guesses(out / "many-to-one-guesses.svg", title, unseen[0], beliefs, NAMES)
    loss = tg.nn.functional.cross_entropy(model(unseen[:1]), answers[:1])
    draw(labelled(loss, "loss"), out / "many-to-one.svg", max_steps=None, rolled=True, walk=True)
    return accuracy


if __name__ == "__main__":
    command(main, quick=150)
