"""The lecture's character model, exactly: vocabulary h, e, l, o, one training sequence, "hello".

Each character goes in as a one-hot vector, the hidden layer has three units, every step scores all four characters,
and the score of the character that really follows (its target) should be the largest. Afterwards the model spells:
what it draws from its own scores is its next input. Last, the embedding layer: a one-hot vector times a matrix *is*
a row of that matrix, so looking the row up gives the same network, gradients included.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from common import command, console, draw, train
from plots import score_table

import tinygrad_rnn as tg
from tinygrad_rnn.language import LectureModel
from tinygrad_rnn.nn import labelled

TEXT, TARGET = "hell", "ello"


def main(steps: int = 150, out: Path = Path("out"), seed: int = 0) -> str:
    """Train, spell, draw; returns what the model writes after "h" when it always takes its best guess."""
    tg.manual_seed(seed)
    model = LectureModel("helo", "rnn", hidden=3)
    optimizer = tg.optim.Adam(model.parameters(), lr=0.1)

    @tg.compile
    def step() -> tg.Tensor:
        loss = model.unroll(TEXT, TARGET)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    score_table(out / "hello-before.svg", "before training", "helo", TEXT, TARGET, columns(model))
    train("hello", steps, lambda _k: step())
    score_table(out / "hello-after.svg", "after training", "helo", TEXT, TARGET, columns(model))
    spelt, rng = model.spell("h", 4), np.random.default_rng(seed)
    console.print(f"its best guess after “h”, fed back: [bold]{spelt}[/bold]")
    console.print("drawn from its scores, fed back:", *(model.spell("h", 4, rng) for _ in range(5)))
    captions = [f"‘{a}’ → ‘{b}’" for a, b in zip(TEXT, TARGET)]
    draw(model.unroll(TEXT, TARGET), out / "hello.svg", values=True, captions=captions, rolled=True, walk=True)
    draw(
        sampling(model), out / "hello-sampling.svg", values=True, title="its best guess is its next input", rolled=True
    )
    console.print(f"a one-hot vector times W is a row of W: {a_row_is_a_product(out)}")
    return spelt


def columns(model: LectureModel) -> list[tuple[Any, Any, Any]]:
    """Input, hidden layer and scores of every step."""
    found, state = [], None
    with tg.no_grad():
        for character in TEXT:
            scores, state = model.step(character, state)
            found.append(([float(character == c) for c in "helo"], state.numpy()[0], scores.numpy()[0]))
    return found


def sampling(model: LectureModel) -> list[tg.Tensor]:
    """The scores of four steps; each reads, as a one-hot vector, what the step before it found likeliest."""
    x, h, scores = labelled(tg.one_hot([0], 4), "x"), None, []
    x.name = "h"
    for _ in tg.steps(4):
        h = model.cell(x, h)
        scores.append(labelled(model.head(h), "logits"))
        best = scores[-1].argmax(-1)
        x = labelled(tg.one_hot(best, 4), "x")
        x.name = model.vocabulary.decode(best.numpy())
    return scores


def a_row_is_a_product(out: Path) -> bool:
    """Whether ``one_hot(i) W`` and row i of ``W`` have equal values and send equal gradients to ``W``."""
    embedding = tg.nn.Embedding(4, 3)
    indices = tg.tensor([0, 1, 2, 2], name="0 1 2 2")
    row, product = embedding(indices), tg.one_hot(indices, 4) @ embedding.weight
    draw([row, product], out / "hello-embedding.svg", detail="op", values=True)
    upstream = tg.tensor(np.random.default_rng(0).normal(size=(4, 3)), dtype=np.float32)
    (of_row,) = tg.grad((row * upstream).sum(), [embedding.weight])
    (of_product,) = tg.grad((product * upstream).sum(), [embedding.weight])
    return all(np.array_equal(np.asarray(a), np.asarray(b)) for a, b in ((row, product), (of_row, of_product)))


if __name__ == "__main__":
    command(main, quick=60)
