"""A. Karpathy's min-char-rnn.py (2015), its settings to the letter, on the engine: a tanh RNN that reads a text.

``h_t = tanh(W_xh x_t + W_hh h_{t-1} + b_h)``, ``y_t = W_hy h_t + b_y``, the loss summed over 25 steps, every element
of the gradient clipped to [-5, 5], Adagrad with learning rate 0.1. The state is carried on from window to window.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np
from protocol import Plan, Result, Task, windowed
from report import main

import tinygrad_rnn as tg
from tinygrad_rnn.character_model.model import draw
from tinygrad_rnn.character_model.text import Vocabulary, read_text, windows

TEXT = read_text(None)
VOCABULARY = Vocabulary.of(TEXT)
LENGTH, HIDDEN, V = 25, 100, len(VOCABULARY)
READING = (len(TEXT) - 1) // LENGTH  #: steps that read the text once


class MinChar(tg.nn.Module):
    """The five parameters, normal with standard deviation 0.01, the biases 0."""

    def __init__(self) -> None:
        zeros = (np.zeros(shape, np.float32) for shape in ((V, HIDDEN), (HIDDEN, HIDDEN), (HIDDEN, V), HIDDEN, V))
        self.wxh, self.whh, self.why, self.bh, self.by = map(tg.nn.Parameter, zeros)
        for weight in (self.wxh, self.whh, self.why):
            tg.nn.init.normal_(weight, 0.0, 0.01)

    def forward(self, x: tg.Tensor, h: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
        """Indices (T,) and a state (1, H) -> scores (T, V) and the next state."""
        rows, states = tg.nn.functional.embedding(x, self.wxh), []
        for t in tg.steps(len(x)):
            h = (rows[t : t + 1] + h @ self.whh + self.bh).tanh()
            states.append(h)
        return tg.concat(states) @ self.why + self.by, h


class MinCharTask(Task):
    """The score is the smoothed loss, ``s = 0.999 s + 0.001 loss``, which starts at 25 ln V."""

    def measure(self, name: str, seed: int, advance: Callable[[float], bool] = lambda loss: True) -> Result | None:
        """Train and let it write."""
        tg.manual_seed(seed)
        network, pairs = MinChar(), windows(VOCABULARY.encode(TEXT), 1, LENGTH)
        optimizer = tg.optim.Adagrad(network.parameters(), lr=0.1)

        @tg.compile
        def step(x: tg.Tensor, y: tg.Tensor, h: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
            scores, h = network(x, h)
            loss = tg.nn.functional.cross_entropy(scores, y, reduction="sum")
            optimizer.zero_grad()
            loss.backward()
            tg.nn.utils.clip_grad_value_(network.parameters(), 5.0)
            optimizer.step()
            return loss, h.detach()  # the next window starts from its value; no gradient goes back there

        smooth, losses, began, h = self.baseline, [], 0.0, tg.zeros(1, HIDDEN)
        for k in range(self.plans[name].steps):
            x, y = pairs[k % len(pairs)]
            loss, h = step(x[:, 0], y[:, 0], h if k % len(pairs) else tg.zeros(1, HIDDEN))
            began = began or time.process_time()
            smooth = 0.999 * smooth + 0.001 * loss.item()
            losses.append(smooth)
            if not advance(smooth):
                return None
        seconds = time.process_time() - began
        return Result(smooth, len(losses), seconds, windowed(losses), written(network, seed))


def written(network: MinChar, seed: int) -> str:
    """Two hundred characters drawn from the network, after "The "."""
    text, rng, h, x = "The ", np.random.default_rng(seed), tg.zeros(1, HIDDEN), VOCABULARY.encode("The ")
    for _ in range(200):
        with tg.no_grad():
            scores, h = network(tg.tensor(x), h)
        x = np.array([draw(scores.numpy()[-1], 1.0, rng)])
        text += VOCABULARY.decode(x)
    return text


TASK = MinCharTask(
    name="min-char-rnn",
    title=f"min-char-rnn, V = {V}, H = 100, T = 25",
    paper="A. Karpathy (2015), min-char-rnn.py and The Unreasonable Effectiveness of Recurrent Neural Networks",
    protocol=f"Python's own help, {len(TEXT):,} characters, {V} different; one stream, 25 characters at a time, "
    "Adagrad with learning rate 0.1, elements of the gradient clipped at 5, 100,000 steps",
    words="The program goes on for ever and its text is another one, so only the shape of the curve can be compared. "
    "The waves are the text, which is read again every 18,601 steps; of each seed every reading ends at a smaller loss "
    "than the one before.",
    unit="smoothed loss in nats per 25 characters",
    baseline=LENGTH * math.log(V),
    threshold=0.5 * LENGTH * math.log(V),
    plans={"tanh": Plan("min-char", 100_000, (0, 1, 2), "starts at 25 ln V, no final number")},
    hidden=HIDDEN,
    sequences=1,
    lr=0.1,
    clip=5.0,
)

if __name__ == "__main__":
    main([TASK])
