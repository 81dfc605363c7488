"""One to many: one image in, a sequence out. An 8x8 image of a digit is spelt: "three", character by character.

The shape of image captioning. The image sets the first hidden state, ``h_0 = tanh(W_0 image + b_0)``; after that the
network reads nothing but its own last character. A full stop starts a word and ends it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from common import command, console, draw, train
from digits import NAMES, load

import tinygrad_rnn as tg
from tinygrad_rnn.character_model.text import Vocabulary
from tinygrad_rnn.nn import labelled

VOCABULARY = Vocabulary.of("." + "".join(NAMES))
LENGTH = 6  # "three."
WORDS = np.array([VOCABULARY.encode(f"{name:.<{LENGTH}}") for name in NAMES])


class Speller(tg.nn.Module):
    """An image starts a GRU of 48 units, which writes."""

    def __init__(self) -> None:
        self.look = tg.nn.Linear(64, 48)
        self.embed = tg.nn.Embedding(len(VOCABULARY), 16)
        self.cell = tg.nn.GRUCell(16, 48)
        self.head = tg.nn.Linear(48, len(VOCABULARY))

    def forward(self, images: Any, target: Any = None) -> list[tg.Tensor]:
        """Scores (N, characters) of each step; what is fed back is ``target`` (N, LENGTH), or its own best guess."""
        images = labelled(tg.as_tensor(images).reshape(-1, 64), "x")
        images.name = "image"
        h = labelled(self.look(images).tanh(), "h")
        last, scores = tg.as_tensor(np.zeros(images.shape[0], np.int64)), []
        for t in tg.steps(LENGTH):
            h = self.cell(labelled(self.embed(last), "x"), h)
            scores.append(labelled(self.head(h), "logits"))
            last = scores[-1].argmax(-1) if target is None else target[:, t]
        return scores


def loss_of(model: Speller, images: Any, words: Any) -> tg.Tensor:
    """The cross-entropy per character, summed over the steps of a word."""
    total: Any = 0.0
    for t, scores in enumerate(model(images, words)):
        with tg.scope(step=t):
            total = total + labelled(tg.nn.functional.cross_entropy(scores, words[:, t]), "loss")
    return labelled(total, "loss")


def main(steps: int = 1500, out: Path = Path("out"), seed: int = 0) -> float:
    """Train, draw, and return the share of unseen digits spelt without a mistake."""
    tg.manual_seed(seed)
    rng = np.random.default_rng(seed)
    images, labels, unseen, answers = load()
    model = Speller()
    optimizer = tg.optim.Adam(model.parameters(), lr=0.005)

    @tg.compile
    def step(x: tg.Tensor, words: tg.Tensor) -> tg.Tensor:
        loss = loss_of(model, x, words)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    def batch(_k: int) -> tg.Tensor:
        chosen = rng.integers(len(images), size=32)
        return step(images[chosen], WORDS[labels[chosen]])

    train("one to many", steps, batch)
    with tg.no_grad():
        spelt = np.stack([scores.argmax(-1).numpy() for scores in model(unseen)], axis=1)
    accuracy = float((spelt == WORDS[answers]).all(axis=1).mean())
    console.print(*(f"{NAMES[a]}: “{VOCABULARY.decode(s).rstrip('.')}”" for a, s in zip(answers[:5], spelt)), sep="   ")
    console.print(f"spells {accuracy:.1%} of {len(answers)} digits it has never seen")
    captions = [f"‘{character}’" for character in VOCABULARY.decode(WORDS[answers[0]])]
    loss = loss_of(model, unseen[:1], WORDS[answers[:1]])
    draw(loss, out / "one-to-many.svg", captions=captions, rolled=True, walk=True)
    draw(model(unseen[:1]), out / "one-to-many-writing.svg", rolled=True)
    return accuracy


if __name__ == "__main__":
    command(main, quick=300)
