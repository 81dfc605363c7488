"""One to one: no recurrence yet. A plain network reads an 8x8 image of a digit and says which it is.

The starting point of the lecture: a fixed size in, a fixed size out, one hidden layer between them,
``y = W_2 tanh(W_1 x + b_1) + b_2``. The other examples keep the two layers and add time.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from common import command, console, draw, train
from digits import load

import tinygrad_rnn as tg
from tinygrad_rnn.nn import labelled


class Network(tg.nn.Module):
    """64 pixels, 32 hidden units, 10 scores."""

    def __init__(self) -> None:
        self.hidden = tg.nn.Linear(64, 32)
        self.head = tg.nn.Linear(32, 10)

    def forward(self, pixels: tg.Tensor) -> tg.Tensor:
        h = labelled(self.hidden(labelled(pixels, "x")).tanh(), "h")
        return labelled(self.head(h), "logits")


def main(steps: int = 1000, out: Path = Path("out"), seed: int = 0) -> float:
    """Train, draw, and return the share of unseen digits that are recognised."""
    tg.manual_seed(seed)
    rng = np.random.default_rng(seed)
    images, labels, unseen, answers = load()
    model = Network()
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
        return step(images[chosen].reshape(-1, 64), labels[chosen])

    train("one to one", steps, batch)
    with tg.no_grad():
        guesses = model(tg.tensor(unseen.reshape(-1, 64))).argmax(-1).numpy()
    accuracy = float((guesses == answers).mean())
    console.print(f"recognises {accuracy:.1%} of {len(answers)} digits it has never seen")
    loss = tg.nn.functional.cross_entropy(model(tg.tensor(unseen[:1].reshape(-1, 64))), answers[:1])
    draw(labelled(loss, "loss"), out / "one-to-one.svg", values=True, walk=True)
    return accuracy


if __name__ == "__main__":
    command(main, quick=200)
