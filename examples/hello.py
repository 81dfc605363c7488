"""The lecture's character model, exactly: vocabulary h, e, l, o, one training sequence, "hello".

Each character goes in as a one-hot vector, the hidden layer has three units, every step scores all four characters,
and the score of the character that really follows (its target) should be the largest. The model also writes: what it
draws by its own probabilities is its next input. That is shown after ten steps of training, when these are far from 0
and 1. Last, the embedding layer: a matrix times a one-hot vector *is* a column of that matrix, so looking the column up
gives the same network, gradients included.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from common import command, console, draw, train
from plots import one_hot_product, score_table

import tinygrad_rnn as tg
from tinygrad_rnn.character_model.model import LectureModel
from tinygrad_rnn.nn import labelled

TEXT, TARGET = "hell", "ello"
EARLY = 10  #: steps of training before it first writes


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

    score_table(out / "hello-before.svg", "before training", "helo", TEXT, TARGET, [c[:3] for c in columns(model)])
    rng = np.random.default_rng(seed)
    train("hello", min(EARLY, steps), lambda _k: step())
    write(model, rng, out)
    train("hello", steps - min(EARLY, steps), lambda _k: step())
    score_table(out / "hello-after.svg", "after training", "helo", TEXT, TARGET, [c[:3] for c in columns(model)])
    spelt = model.spell("h", 4)
    console.print(f"its best guess after “h”, fed back: [bold]{spelt}[/bold]")
    console.print("drawn by its probabilities, fed back:", *(model.spell("h", 4, rng) for _ in range(5)))
    captions = [f"‘{a}’ → ‘{b}’" for a, b in zip(TEXT, TARGET)]
    draw(model.unroll(TEXT, TARGET), out / "hello.svg", values=True, captions=captions, rolled=True, walk=True)
    if a_column_is_a_product(out):
        console.print("W times a one-hot vector is a column of W: equal values, equal gradients, to the last bit")
    return spelt


def columns(model: LectureModel, text: str = TEXT) -> list[tuple[Any, ...]]:
    """Input, hidden layer, scores and their softmax at every step of ``text``."""
    found, state = [], None
    with tg.no_grad():
        for character in text:
            scores, state = model.step(character, state)
            one_hot = [float(character == c) for c in "helo"]
            found.append((one_hot, state.numpy()[0], scores.numpy()[0], scores.softmax(-1).numpy()[0]))
    return found


def write(model: LectureModel, rng: np.random.Generator, out: Path) -> None:
    """Draw until "hello" has been written, a hundred times at most, and show how: in a table, and in the graph."""
    written: list[str] = []
    while "hello" not in written and len(written) < 100:
        scores, text = sampling(model, rng)
        written.append(text)
    console.print(f"after {EARLY} steps, drawn by its probabilities, fed back:", *written)
    score_table(out / "hello-softmax.svg", "sampling", "helo", text[:-1], text[1:], columns(model, text[:-1]))
    captions = [f"reads ‘{a}’, draws ‘{b}’" for a, b in pairwise(text)]
    draw(scores, out / "hello-sampling.svg", values=True, captions=captions, rolled=True)


def sampling(model: LectureModel, rng: np.random.Generator) -> tuple[list[tg.Tensor], str]:
    """The scores of four steps, and the text: each step reads what was drawn by the softmax of the one before."""
    h, scores, text = None, [], "h"
    for _ in tg.steps(4):
        x = labelled(tg.one_hot(model.vocabulary.encode(text[-1:]), 4), "x")
        x.name = text[-1]
        h = model.cell(x, h)
        scores.append(labelled(model.head(h), "logits"))
        probabilities = scores[-1].detach().softmax(-1).numpy()[0].astype(np.float64)
        text += "helo"[rng.choice(4, p=probabilities / probabilities.sum())]
    return scores, text


def a_column_is_a_product(out: Path) -> bool:
    """Whether ``W one_hot(i)`` and column i of ``W`` have equal values and send equal gradients to ``W``.

    The embedding keeps the columns of W as its rows, as PyTorch's does: a row of the embedding is a column of W.
    """
    embedding = tg.nn.Embedding(4, 3)
    indices = tg.tensor([0, 1, 2, 2], name="h e l l")
    looked_up, product = embedding(indices), (embedding.weight.T @ tg.one_hot(indices, 4).T).T
    draw([labelled(looked_up, "looked up"), labelled(product, "product")], out / "hello-embedding.svg", detail="op")
    one_hot_product(out / "hello-column.svg", embedding.weight.T.numpy(), "helo", "e")
    upstream = tg.tensor(np.random.default_rng(0).normal(size=(4, 3)), dtype=np.float32)
    (of_looked_up,) = tg.grad((looked_up * upstream).sum(), [embedding.weight])
    (of_product,) = tg.grad((product * upstream).sum(), [embedding.weight])
    pairs = ((looked_up, product), (of_looked_up, of_product))
    return all(np.array_equal(np.asarray(a), np.asarray(b)) for a, b in pairs)


if __name__ == "__main__":
    command(main, quick=60)
