"""Many to many, the same length: a label for every frame of a video.

A ball moves over an 8x8 screen, turns at random and at the walls, and the picture is noisy. Each frame is labelled
with the direction the ball came in. No single frame shows that: the network must remember the one before, and a
plain network that sees only the frame itself, trained as long, serves as the judge of that.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from common import command, console, draw, train
from plots import film

import tinygrad_rnn as tg
from tinygrad_rnn.nn import labelled

SIZE, LENGTH = 8, 6
MOVES = {"↑": (-1, 0), "↓": (1, 0), "←": (0, -1), "→": (0, 1)}


def videos(count: int, rng: np.random.Generator) -> tuple[Any, Any]:
    """Frames (T, N, 64) and, for each, the move (T, N) that led to it, an index into MOVES."""
    frames = rng.normal(scale=0.1, size=(LENGTH, count, SIZE, SIZE)).astype(np.float32)
    labels, steps = np.zeros((LENGTH, count), np.int64), np.array(list(MOVES.values()))
    place, move = rng.integers(1, SIZE - 1, size=(count, 2)), rng.integers(4, size=count)
    for t in range(LENGTH):
        move = np.where(rng.random(count) < 0.3, rng.integers(4, size=count), move)
        ahead = place + steps[move]
        move = np.where(((ahead < 0) | (ahead >= SIZE)).any(axis=1), move ^ 1, move)  # ↑ and ↓, ← and → are neighbours
        place = place + steps[move]
        frames[t, np.arange(count), place[:, 0], place[:, 1]] += 1
        labels[t] = move
    return frames.reshape(LENGTH, count, SIZE * SIZE), labels


class Labeller(tg.nn.Module):
    """A GRU of 64 units, or without memory a layer of 64; every state is scored."""

    def __init__(self, memory: bool) -> None:
        self.memory = memory
        self.body = tg.nn.GRU(SIZE * SIZE, 64) if memory else tg.nn.Linear(SIZE * SIZE, 64)
        self.head = tg.nn.Linear(64, len(MOVES))

    def forward(self, x: Any) -> list[tg.Tensor]:
        """Frames (T, N, 64) -> scores (N, 4) of each step."""
        states = self.body(x)[0] if self.memory else self.body(x).tanh()
        return [labelled(self.head(states[t]), "logits") for t in tg.steps(LENGTH)]

    def loss(self, x: Any, y: Any) -> tg.Tensor:
        """The cross-entropy of each label but the first, before which there is no frame; summed over time."""
        scores = self(x)
        total: Any = 0.0
        for t in tg.steps(LENGTH):
            if t:
                total = total + labelled(tg.nn.functional.cross_entropy(scores[t], y[t]), "loss")
        return labelled(total, "loss")


def fit(model: Labeller, steps: int, rng: np.random.Generator) -> None:
    """Train on ever new videos."""
    optimizer = tg.optim.Adam(model.parameters(), lr=0.005)

    @tg.compile
    def step(x: tg.Tensor, y: tg.Tensor) -> tg.Tensor:
        loss = model.loss(x, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    train(f"{'with' if model.memory else 'without'} memory", steps, lambda _k: step(*videos(32, rng)))


def main(steps: int = 1000, out: Path = Path("out"), seed: int = 0) -> tuple[float, float]:
    """Train, draw, and return the shares of right labels in unseen videos, with memory and without."""
    tg.manual_seed(seed)
    rng = np.random.default_rng(seed)
    x, y = videos(500, rng)
    models, accuracies = (Labeller(memory=True), Labeller(memory=False)), []
    for model in models:
        fit(model, steps, rng)
        with tg.no_grad():
            guesses = np.stack([scores.argmax(-1).numpy() for scores in model(x)])
        accuracies.append(float((guesses == y)[1:].mean()))
        which = "with" if model.memory else "without"
        console.print(f"{which} memory {accuracies[-1]:.1%} of the frames of 500 new videos labelled right")
        film(
            out / f"frame-labels-{which}-memory.svg",
            x[:, 0].reshape(-1, SIZE, SIZE),
            ["".join(MOVES)[i] for i in guesses[:, 0]],
            ["".join(MOVES)[i] for i in y[:, 0]],
        )
    draw(models[0].loss(x[:, :1], y[:, :1]), out / "frame-labels.svg", rolled=True, walk=True)
    return accuracies[0], accuracies[1]


if __name__ == "__main__":
    command(main, quick=300)
