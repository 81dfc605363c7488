"""Sequence to sequence with attention: "12+49" is read, and at each character of "61" the decoder looks where it likes.

The decoder is told all states of the encoder, not the last alone: at each step a small network scores every one of
them against the decoder's state, the scores become weights that add up to 1, and the weighted mean is the decoder's
further input. D. Bahdanau, K. Cho, Y. Bengio (2015), Neural Machine Translation by Jointly Learning to Align and
Translate, arXiv:1409.0473, section 3.1.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))
from common import command, console, draw, train
from plots import figure

import tinygrad_rnn as tg
from tinygrad_rnn.nn import labelled
from tinygrad_rnn.synthetic_tasks import ADDITION, addition

START, SIZE = ADDITION.characters.index(" "), len(ADDITION)


class Attention(tg.nn.Module):
    """Weights of the encoder's states for one state of the decoder: ``softmax(v . tanh(W s + U h_j))``."""

    def __init__(self, hidden: int) -> None:
        self.of_state, self.of_source = tg.nn.Linear(hidden, hidden), tg.nn.Linear(hidden, hidden, bias=False)
        self.score = tg.nn.Linear(hidden, 1, bias=False)

    def forward(self, state: tg.Tensor, source: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
        """state (N, H), source (T, N, H) -> the mean of the source (N, H), and its weights (T, N)."""
        scores = self.score((self.of_state(state) + self.of_source(source)).tanh()).squeeze(-1)
        weights = labelled(scores.softmax(0), "attention")
        return (weights.unsqueeze(-1) * source).sum(0), weights


class Translator(tg.nn.Module):
    """A GRU that reads in both directions, and one that writes, looking back at what was read."""

    def __init__(self, hidden: int = 64) -> None:
        self.embed = tg.nn.Embedding(SIZE, 16)
        self.encoder = tg.nn.GRU(16, hidden // 2, bidirectional=True)
        self.attention = Attention(hidden)
        self.decoder = tg.nn.GRUCell(16 + hidden, hidden)
        self.head = tg.nn.Linear(hidden, SIZE)

    def forward(self, questions: Any, answers: Any = None, length: int = 0) -> tuple[tg.Tensor, tg.Tensor]:
        """Indices (T, N), and answers (T', N) to follow or a length -> scores (T', N, characters) and weights."""
        source, last = self.encoder(self.embed(questions))
        state = labelled(tg.concat([last[0], last[1]], axis=1), "h")
        symbols: Any = np.full(source.shape[1], START)
        scores, weights = [], []
        for t in tg.steps(length or len(answers)):
            context, looked = self.attention(state, source)
            state = self.decoder(labelled(tg.concat([self.embed(symbols), context], axis=1), "x"), state)
            scores.append(labelled(self.head(state), "logits"))
            weights.append(looked)
            symbols = answers[t] if answers is not None else scores[-1].detach().argmax(-1)
        return tg.stack(scores), tg.stack(weights)

    def loss(self, questions: Any, answers: Any) -> tg.Tensor:
        """The mean cross-entropy of the answers' characters."""
        scores, _ = self(questions, answers)
        return labelled(tg.nn.functional.cross_entropy(scores.reshape(-1, SIZE), answers.reshape(-1)), "loss")


def encode(texts: list[str]) -> Any:
    """Texts of one length -> indices (T, N)."""
    return ADDITION.encode("".join(texts)).reshape(len(texts), -1).T


def weights_figure(path: Path, question: str, answer: str, weights: Any) -> None:
    """What was looked at, (T', T), while each character of the answer was written."""
    with figure(path, 3.2, 2.4) as drawing:
        axes = drawing.subplots()
        axes.imshow(weights, cmap="Greys", vmin=0, vmax=1, aspect="auto")
        axes.set_xticks(range(len(question)), list(question))
        axes.set_yticks(range(len(answer)), ["end" if c == " " else c for c in answer])
        axes.set(xlabel="read", ylabel="written")


def main(steps: int = 1500, out: Path = Path("out"), seed: int = 0, digits: int = 2) -> float:
    """Train, draw what it looks at, and return the share of unseen additions answered right to the last digit."""
    tg.manual_seed(seed)
    rng = np.random.default_rng(seed)
    unseen = dict(addition(digits, 100**digits // 20, rng))  # one in twenty, never trained on
    model = Translator()
    optimizer = tg.optim.Adam(model.parameters(), lr=0.005)
    schedule = tg.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, steps))

    @tg.compile
    def step(x: Any, y: Any) -> tg.Tensor:
        loss = model.loss(x, y)
        optimizer.zero_grad()
        loss.backward()
        tg.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss

    def batch(_k: int) -> tg.Tensor:
        pairs = [pair for pair in addition(digits, 96, rng) if pair[0] not in unseen][:64]
        loss = step(encode([q for q, _ in pairs]), encode([a for _, a in pairs]))
        schedule.step()
        return loss

    train("attention", steps, batch)
    questions, answers = list(unseen), list(unseen.values())
    with tg.no_grad():
        scores, weights = model(encode(questions), length=digits + 1)
    texts = [ADDITION.decode(column) for column in scores.argmax(-1).numpy().T]
    accuracy = float(np.mean([a == b for a, b in zip(texts, answers)]))
    console.print(f"answers {accuracy:.1%} of {len(unseen)} additions it has never seen")
    weights_figure(out / "attention-weights.svg", questions[0], texts[0], weights.numpy()[:, :, 0])
    few = encode(["1+2"]), encode(["3 "])  # small enough to be seen
    draw(model.loss(*few), out / "attention.svg", walk=steps > 0, title="1+2")
    return accuracy


if __name__ == "__main__":
    command(main, quick=300)
