"""Many to many, different lengths: one network reads "12+49", another writes "61".

The shape of translation and of video captioning (I. Sutskever, O. Vinyals, Q. V. Le 2014). The encoder W_1 reads the
question; the state it ends in is all that the decoder W_2 is told. While training the decoder reads the true answer,
one character late; afterwards it reads what it wrote itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from common import command, console, draw, train

import tinygrad_rnn as tg
from tinygrad_rnn.nn import labelled
from tinygrad_rnn.synthetic_tasks import ADDITION, addition

START = ADDITION.characters.index(" ")


class Adder(tg.nn.Seq2Seq):
    """Two LSTMs of 128 units over the characters of additions."""

    def __init__(self, hidden: int = 128) -> None:
        size = len(ADDITION)
        super().__init__(tg.nn.LSTM(size, hidden), tg.nn.LSTM(16, hidden), vocabulary=size)

    def answer(self, questions: Any, answers: Any = None, length: int | None = None) -> tg.Tensor:
        """Indices (T_in, N), and (T_out, N) to follow or a length to write -> scores (T_out, N, characters)."""
        return self(tg.one_hot(questions, len(ADDITION)), answers, start=START, length=length)

    def loss(self, questions: Any, answers: Any) -> tg.Tensor:
        """The cross-entropy of each character of the answer, summed over its steps."""
        scores = self.answer(questions, answers)
        total: Any = 0.0
        for t in range(len(scores)):
            with tg.scope("decoder", step=t):
                total = total + labelled(tg.nn.functional.cross_entropy(scores[t], answers[t]), "loss")
        return labelled(total, "loss")


def encode(texts: list[str]) -> Any:
    """Texts of one length -> indices (T, N)."""
    return ADDITION.encode("".join(texts)).reshape(len(texts), -1).T


def main(steps: int = 1500, out: Path = Path("out"), seed: int = 0, digits: int = 2) -> float:
    """Train, draw, and return the share of unseen additions answered right to the last digit."""
    tg.manual_seed(seed)
    rng = np.random.default_rng(seed)
    unseen = dict(addition(digits, 100**digits // 20, rng))  # one in twenty, never trained on
    model = Adder()
    optimizer = tg.optim.Adam(model.parameters(), lr=0.01)

    @tg.compile
    def step(x: tg.Tensor, y: tg.Tensor) -> tg.Tensor:
        loss = model.loss(x, y)
        optimizer.zero_grad()
        loss.backward()
        tg.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss

    def batch(k: int) -> tg.Tensor:
        optimizer.lr = 0.01 * (1 - k / steps)
        pairs = [pair for pair in addition(digits, 96, rng) if pair[0] not in unseen][:64]
        return step(encode([q for q, _ in pairs]), encode([a for _, a in pairs]))

    train("sequence to sequence", steps, batch)
    questions, answers = list(unseen), list(unseen.values())
    with tg.no_grad():
        written = model.answer(encode(questions), length=digits + 1).argmax(-1).numpy()
    texts = [ADDITION.decode(column) for column in written.T]
    accuracy = float(np.mean([a == b for a, b in zip(texts, answers)]))
    console.print(*(f"{q} = {a.strip()}" for q, a in zip(questions[:5], texts)), sep="   ")
    console.print(f"answers {accuracy:.1%} of {len(unseen)} additions it has never seen")
    x, y = encode(questions[:1]), encode(answers[:1])
    draw(model.loss(x, y), out / "seq2seq.svg", title=f"{questions[0]} → {answers[0]}", walk=True)
    draw(model.answer(x, length=digits + 1), out / "seq2seq-writing.svg", title=f"{questions[0]} → {texts[0]}")
    return accuracy


if __name__ == "__main__":
    command(main, quick=300)
