"""Many to one, on text: forty characters in, one class out. Is it English or Python?

The data is real and ships with every Python: the standard library itself, its docstrings for English, the same files
without docstrings and comments for Python. It is judged on modules that it has never seen.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from common import command, console, draw, train
from plots import coloured_text

import tinygrad_rnn as tg
from tinygrad_rnn import viz
from tinygrad_rnn.character_model.text import Vocabulary
from tinygrad_rnn.nn import labelled

CLASSES, LENGTH = ("English", "Python"), 40
WALKED = 12  #: characters that the debugger's page walks back over: each more is a screen more of the same
SEEN = ("argparse", "calendar", "difflib", "logging", "pathlib", "shutil", "smtplib", "subprocess", "tarfile")
UNSEEN = ("heapq", "inspect", "mailbox", "statistics", "textwrap", "threading", "zipfile")
VOCABULARY = Vocabulary("".join(map(chr, range(32, 127))))


def texts(modules: Sequence[str]) -> tuple[Any, Any]:
    """All docstrings of some modules, and all else in their files, as indices; white space is one space."""
    prose, code = [], []
    for module in modules:
        tree = ast.parse(inspect.getsource(importlib.import_module(module)))
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and (text := ast.get_docstring(node)):
                prose.append(text)
                node.body = node.body[1:] or [ast.Pass()]
        code.append(ast.unparse(tree))  # without comments
    kept = (" ".join(re.sub(r"[^ -~\s]", "", " ".join(t)).split()) for t in (prose, code))
    english, python = (VOCABULARY.encode(text) for text in kept)
    return english, python


def batch(sources: tuple[Any, Any], count: int, rng: np.random.Generator) -> tuple[Any, Any]:
    """Random pieces (LENGTH, count) and their classes (count,)."""
    classes = rng.integers(2, size=count)
    starts = (rng.integers(len(sources[k]) - LENGTH) for k in classes)
    return np.stack([sources[k][i : i + LENGTH] for k, i in zip(classes, starts)], axis=1), classes


class Classifier(tg.nn.Module):
    """A vector for each character, a GRU of 48 units, two scores from its last state."""

    def __init__(self) -> None:
        self.embed = tg.nn.Embedding(len(VOCABULARY), 16)
        self.rnn = tg.nn.GRU(16, 48)
        self.head = tg.nn.Linear(48, len(CLASSES))

    def forward(self, x: Any) -> tg.Tensor:
        """Indices (T, N) -> scores (N, 2)."""
        return labelled(self.head(self.rnn(self.embed(x))[0][-1]), "logits")


def main(steps: int = 1000, out: Path = Path("out"), seed: int = 0) -> float:
    """Train, draw, and return the share of pieces of unseen modules that are told apart."""
    tg.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model, known, new = Classifier(), texts(SEEN), texts(UNSEEN)
    optimizer = tg.optim.Adam(model.parameters(), lr=0.005)

    @tg.compile
    def step(x: tg.Tensor, y: tg.Tensor) -> tg.Tensor:
        loss = tg.nn.functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        tg.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss

    train("text classification", steps, lambda _k: step(*batch(known, 32, rng)))
    x, y = batch(new, 1000, rng)
    with tg.no_grad():
        accuracy = float((model(x).argmax(-1).numpy() == y).mean())
        states, _ = model.rnn(model.embed(x[:, :8]))
        beliefs = model.head(states).softmax(-1).numpy()[:, :, 1]
    console.print(f"tells English from Python in {accuracy:.1%} of 1000 pieces of modules it has never seen")
    lines = [(CLASSES[y[n]], VOCABULARY.decode(x[:, n]), 2 * beliefs[:, n] - 1) for n in range(8)]
    coloured_text(out / "text-classification-beliefs.svg", lines)
    whole, begun = (
        labelled(tg.nn.functional.cross_entropy(model(x[:length, :1]), y[:1]), "loss") for length in (LENGTH, WALKED)
    )
    title = f"{VOCABULARY.decode(x[:, 0])!r}: {CLASSES[y[0]]}"
    draw(whole, out / "text-classification.svg", rolled=True, title=title)
    title = f"{VOCABULARY.decode(x[:WALKED, 0])!r}: {CLASSES[y[0]]}"
    viz.debug(begun).html(out / "text-classification.html", title=title)
    return accuracy


if __name__ == "__main__":
    command(main, quick=200)
