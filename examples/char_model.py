"""A character model on real text, as an RNN, a GRU and an LSTM: what it writes while it learns, and what units do.

The text is Python's own help, which every Python ships. It is read in 32 streams, 50 characters at a time, the state
carried on (truncated backpropagation through time). After A. Karpathy (2015), The Unreasonable Effectiveness of
Recurrent Neural Networks; single units that can be read: A. Karpathy, J. Johnson, L. Fei-Fei (2015), Visualizing and
Understanding Recurrent Networks.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from common import command, console, draw, train
from plots import coloured_text, curves

import tinygrad_rnn as tg
from tinygrad_rnn.character_model.model import CharModel
from tinygrad_rnn.character_model.text import Vocabulary, read_text, split, windows
from tinygrad_rnn.nn import labelled

BATCH, LENGTH, HIDDEN = 32, 50, 96
READ = 2500  #: characters, on which units are compared with features of the text


def fit(model: CharModel, cell: str, text: Any, vocabulary: Vocabulary, steps: int, rng: np.random.Generator) -> Any:
    """Train, with a sample after 1%, 10% and all of the steps; the loss of each in bits per character."""
    optimizer = tg.optim.Adam(model.parameters(), lr=0.01)
    pairs, zeros = windows(text, BATCH, LENGTH), tg.zeros(1, BATCH, HIDDEN)
    state: Any = None

    @tg.compile
    def step(x: tg.Tensor, y: tg.Tensor, state: Any) -> tuple[tg.Tensor, Any]:
        scores, state = model(x, state)
        loss = tg.nn.functional.cross_entropy(scores.reshape(-1, len(vocabulary)), y.reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        tg.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        return loss, tuple(s.detach() for s in state) if cell == "lstm" else state.detach()  # the window ends here

    def window(k: int) -> tg.Tensor:
        nonlocal state
        if k % len(pairs) == 0:
            state = (zeros, zeros) if cell == "lstm" else zeros
        loss, state = step(*pairs[k % len(pairs)], state)
        if k + 1 in (max(1, steps // 100), steps // 10, steps):
            written = vocabulary.decode(model.sample(vocabulary.encode("The "), 70, 0.7, rng))
            model.train()
            console.print(f"{cell.upper()} after {k + 1} steps: {'The ' + written!r}", markup=False, soft_wrap=True)
        return loss

    losses = np.array(train(cell.upper(), steps, window)) / np.log(2)
    if len(losses):
        console.print(f"{cell.upper()}: {losses[-50:].mean():.2f} bits a character in the last of {len(losses)} steps")
    return losses


def units(model: CharModel, text: str, vocabulary: Vocabulary, out: Path) -> None:
    """Of all units of the memory the one that follows a feature of the text best, over the text in colour."""
    memory, state = [], None
    with tg.no_grad():
        for index in vocabulary.encode(text):
            _, state = model([[index]], state)
            memory.append((state[-1] if isinstance(state, tuple) else state).numpy()[0, 0])
    values = np.tanh(memory)
    lines = text.splitlines(keepends=True)
    features = {
        "line-length": [column for line in lines for column in range(len(line))],
        "quotes": [text.count('"', 0, i + 1) % 2 for i in range(len(text))],
    }
    for name, feature in features.items():
        fits = np.corrcoef(values.T, feature)[-1, :-1]
        best = int(np.argmax(np.abs(fits)))
        console.print(f"unit {best} follows {name}: their correlation is {fits[best]:.2f}")
        shown, at = [], 0
        for line in lines[:30]:
            shown.append(("", line, values[at : at + len(line), best]))
            at += len(line)
        coloured_text(out / f"char-model-{name}.svg", shown[-20:])


def unroll(model: CharModel, vocabulary: Vocabulary, text: str, target: str) -> tg.Tensor:
    """The loss of predicting ``target`` character by character, as a graph to look at."""
    total, state = tg.as_tensor(0.0), None
    for t in tg.steps(len(text)):
        x = labelled(model.embed(vocabulary.encode(text[t])), "x")
        x.name = text[t]
        h, state = model.rnn.step(x, state)
        scores = labelled(model.head(h), "logits")
        total = total + labelled(tg.nn.functional.cross_entropy(scores, vocabulary.encode(target[t])), "loss")
    return labelled(total, "loss")


def main(
    steps: int = 400, out: Path = Path("out"), seed: int = 0, cells: Sequence[str] = ("rnn", "gru", "lstm")
) -> Any:
    """Train all three, draw; returns the mean of each one's last losses in bits per character."""
    text = read_text(None)
    vocabulary = Vocabulary.of(text)
    known, unseen = split(vocabulary.encode(text), 0.1)
    rng, losses = np.random.default_rng(seed), {}
    for cell in cells:
        tg.manual_seed(seed)
        model = CharModel(len(vocabulary), cell, HIDDEN)
        losses[cell.upper()] = fit(model, cell, known, vocabulary, steps, rng)
    smooth = {cell: np.convolve(loss, np.ones(50) / 50, "valid") for cell, loss in losses.items() if len(loss) >= 50}
    curves(out / "char-model-loss.svg", "training", "step", "bits per character", smooth)
    for temperature in (0.2, 0.5, 1.0, 1.5):
        written = vocabulary.decode(model.sample(vocabulary.encode("The "), 100, temperature, rng))
        console.print(f"temperature {temperature}: {'The ' + written!r}", markup=False, soft_wrap=True)
    units(model, vocabulary.decode(unseen[:READ]), vocabulary, out)
    draw(unroll(model, vocabulary, "hell", "ello"), out / "char-model.svg", rolled=True, walk=True)
    return {cell: float(loss[-50:].mean()) for cell, loss in losses.items() if len(loss)}


if __name__ == "__main__":
    command(main, quick=150)
